//! Which elements of a tensor are recorded: a draw without replacement that touches no framework's random state.

use std::collections::BTreeSet;

use epsiloscope_format::MagnitudePolicy;

/// The recorded elements of a tensor of `numel` elements, ascending.
///
/// Depends on the policy, the tensor's name and its size alone, so a tensor keeps its sample when others come or go.
pub fn recorded_elements(policy: MagnitudePolicy, name: &str, numel: usize) -> Vec<i64> {
    let numel = numel as u64;
    match policy {
        MagnitudePolicy::None => Vec::new(),
        MagnitudePolicy::Sample { elements_per_tensor, seed } if elements_per_tensor < numel => {
            draw(&mut SplitMix64::new(seed, name), elements_per_tensor, numel)
        }
        MagnitudePolicy::All | MagnitudePolicy::Sample { .. } => (0..numel as i64).collect(),
    }
}

/// `k` of the numbers below `n`, every set of them equally likely (Floyd's algorithm), ascending.
fn draw(random: &mut SplitMix64, k: u64, n: u64) -> Vec<i64> {
    let mut drawn = BTreeSet::new();
    for top in n - k..n {
        let candidate = random.below(top + 1);
        if !drawn.insert(candidate) {
            drawn.insert(top);
        }
    }
    drawn.into_iter().map(|element| element as i64).collect()
}

/// The generator of Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (OOPSLA 2014).
struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    /// A stream of its own for every seed and name.
    fn new(seed: u64, name: &str) -> Self {
        // FNV-1a, started from the mixed seed.
        let start = Self { state: seed }.next();
        let state = name.bytes().fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Self { state }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; no number is more likely than another by more than bound/2^64.
    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(elements_per_tensor: u64, seed: u64, name: &str, numel: usize) -> Vec<i64> {
        recorded_elements(MagnitudePolicy::Sample { elements_per_tensor, seed }, name, numel)
    }

    #[test]
    fn splitmix64_is_the_published_generator() {
        // First outputs for state 1234567, from the authors' reference implementation.
        let mut random = SplitMix64 { state: 1_234_567 };
        assert_eq!((random.next(), random.next()), (6_457_827_717_110_365_317, 3_203_168_211_198_807_973));
    }

    #[test]
    fn a_sample_is_ascending_distinct_in_range_and_repeatable() {
        for (k, numel) in [(1, 2), (10, 11), (4096, 200_832), (5, 6)] {
            let elements = sample(k, 7, "fc1.weight", numel);
            assert_eq!(elements.len() as u64, k);
            assert!(elements.is_sorted_by(|a, b| a < b));
            assert!(elements.iter().all(|&element| 0 <= element && element < numel as i64));
            assert_eq!(elements, sample(k, 7, "fc1.weight", numel));
        }
    }

    #[test]
    fn seed_and_name_change_the_sample() {
        let elements = sample(100, 0, "fc1.weight", 10_000);
        assert_ne!(elements, sample(100, 1, "fc1.weight", 10_000));
        assert_ne!(elements, sample(100, 0, "fc2.weight", 10_000));
    }

    #[test]
    fn every_element_is_equally_likely() {
        let mut hits = [0; 20];
        for seed in 0..20_000 {
            for element in sample(5, seed, "weight", 20) {
                hits[element as usize] += 1;
            }
        }
        // Binomial with mean 5,000 and deviation 61: six deviations.
        assert!(hits.iter().all(|&hits: &i32| (hits - 5000).abs() < 370), "{hits:?}");
    }

    #[test]
    fn small_tensors_and_the_policy_all_record_everything() {
        assert_eq!(sample(4096, 0, "bias", 3), [0, 1, 2]);
        assert_eq!(recorded_elements(MagnitudePolicy::All, "bias", 3), [0, 1, 2]);
        assert_eq!(recorded_elements(MagnitudePolicy::None, "bias", 3), [0; 0]);
    }
}
