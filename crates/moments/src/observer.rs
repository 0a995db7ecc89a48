//! Histograms of a gradient and of the critical ε it leads to, in one pass over memory.
//!
//! The tensor is taken in blocks that fit the first-level cache. Everything that is wanted of a block is done while it
//! is there: count and summarise its gradients, update every optimizer's moments, compute and count their critical ε.
//! So each gradient is read once, each moment read and written once, and no critical ε reaches memory.
//!
//! Results are those of the separate passes to the last bit: counts do not depend on blocks, and sums of squares are
//! taken in the order of [`Summary::of`].

use epsiloscope_histogram::{Counter, Histogram, Summarizer, Summary};

use crate::Moments;

/// Elements of a block: 8 KiB each of gradients, moments and critical ε.
const BLOCK: usize = 2048;

/// Counters and scratch memory, reused for every tensor.
///
/// # Examples
/// ```
/// use epsiloscope_moments::{Decay, Moments, Observer, Optimizer};
///
/// let mut moments = [Moments::new(Optimizer::RmsProp, Decay { beta1: 0.9, beta2: 0.75 }, 2)];
/// let (gradient, critical) = Observer::new().observe(&[1e-3, -2e-3], &mut moments, true);
/// assert_eq!(gradient.summary.max, Some(2e-3));
/// assert_eq!(critical[0].summary.max, Some(1e-3)); // sqrt(0.25 · g²)
/// ```
#[derive(Default)]
pub struct Observer {
    gradient: Tally,
    /// Of each optimizer's critical ε, and room for those of a block.
    critical: Vec<(Tally, Box<[f32; BLOCK]>)>,
}

/// What values come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// Counts of their magnitudes.
    pub histogram: Histogram,
    /// Their extremes and sum of squares.
    pub summary: Summary,
}

impl Observer {
    /// An observer that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a tensor's whole gradient at one step: observes it, updates the moments with it and ends their step.
    ///
    /// Where `critical` is true, also observes the critical ε of each optimizer after this step, in the order of
    /// `moments`; else there are none.
    ///
    /// # Panics
    /// If the moments are not of as many elements as the gradient has.
    pub fn observe(&mut self, gradient: &[f32], moments: &mut [Moments], critical: bool) -> (Observed, Vec<Observed>) {
        assert!(moments.iter().all(|moments| moments.numel() == gradient.len()), "one gradient per element");
        let wanted = if critical { moments.len() } else { 0 };
        self.critical.resize_with(self.critical.len().max(wanted), || (Tally::default(), Box::new([0.0; BLOCK])));
        // An update does not depend on the steps ended, a critical ε does.
        moments.iter_mut().for_each(Moments::end_step);
        for (start, block) in (0..).step_by(BLOCK).zip(gradient.chunks(BLOCK)) {
            // Memory would lie idle while this block is counted.
            let next = start + BLOCK..gradient.len().min(start + 2 * BLOCK);
            for moments in &mut *moments {
                moments.update(start, block);
                moments.prefetch(&next);
            }
            self.add(start, block, &moments[..wanted]);
        }
        (self.gradient.take(), self.critical[..wanted].iter_mut().map(|(tally, _)| tally.take()).collect())
    }

    /// Takes a block of gradients and the critical ε of its elements, which begin at `start`. Those of an optimizer
    /// are computed while the values before them are counted.
    fn add(&mut self, start: usize, block: &[f32], moments: &[Moments]) {
        let elements = start..start + block.len();
        let (mut tally, mut values) = (&mut self.gradient, block);
        for ((next, epsilons), moments) in self.critical.iter_mut().zip(moments) {
            let epsilons = &mut epsilons[..block.len()];
            moments.critical_epsilon_while_counting(&mut tally.counter, values, &elements, epsilons);
            tally.summarizer.add(values);
            (tally, values) = (next, epsilons);
        }
        tally.counter.count(values);
        tally.summarizer.add(values);
    }
}

/// Counts and summary of what was seen since they were last taken.
#[derive(Default)]
struct Tally {
    counter: Counter,
    summarizer: Summarizer,
}

impl Tally {
    fn take(&mut self) -> Observed {
        Observed { histogram: self.counter.take(), summary: std::mem::take(&mut self.summarizer).finish() }
    }
}
