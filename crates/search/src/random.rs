//! Seeded random numbers: the same on every machine, for every number of jobs and after every interruption.

/// A stream of random words: the i-th is a hash of the stream's key and i (splitmix64: Steele, Lea & Flood, OOPSLA
/// 2014). Every point of a search has a stream of its own, so that none depends on what was drawn before.
pub(crate) struct Stream {
    state: u64,
}

/// The golden ratio's fraction, as splitmix64 steps.
const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

impl Stream {
    /// The stream of a seed and of what is drawn.
    pub(crate) fn new(seed: u64, subject: [u64; 2]) -> Self {
        let state = subject.into_iter().fold(mixed(seed), |state, part| mixed(state.wrapping_add(STRIDE) ^ part));
        Self { state }
    }

    /// A number between 0 and 1, neither included, in steps of 2^-53.
    pub(crate) fn uniform(&mut self) -> f64 {
        self.state = self.state.wrapping_add(STRIDE);
        ((mixed(self.state) >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }
}

/// The finaliser of splitmix64.
fn mixed(mut state: u64) -> u64 {
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_even_and_apart() {
        let mut counts = [0; 16];
        for point in 0..1000 {
            let mut stream = Stream::new(7, [1, point]);
            for _draw in 0..16 {
                counts[(stream.uniform() * 16.0) as usize] += 1;
            }
        }
        // Five standard deviations of a binomial.
        assert!(counts.iter().all(|&n: &i32| (n - 1000).abs() < 155), "{counts:?}");
        let first = |seed, subject| Stream::new(seed, subject).uniform().to_bits();
        assert_ne!(first(7, [1, 2]), first(7, [2, 1]));
        assert_ne!(first(7, [1, 2]), first(8, [1, 2]));
    }
}
