//! Histograms of a gradient and of the critical ε it leads to, in one pass over memory.
//!
//! The tensor is taken in blocks that fit the first-level cache. Everything that is wanted of a block is done while it
//! is there: count and summarise its gradients, update every optimizer's moments, compute and count their critical ε.
//! So each gradient is read once, each moment read and written once, and no critical ε reaches memory.
//!
//! Most critical ε are not computed at all: they follow from one moment by a power law, whose bins are those of the
//! moment shifted (see [`Image`]). Blocks that hold a moment out of the ordinary, not finite or near the ends of
//! the range of floats, have theirs computed.
//!
//! Results are those of the separate passes to the last bit, but for the sums of squares of critical ε, which come
//! from the moments' sums: they are spared the roundings of single critical ε, and so differ by up to 2^-22 of themselves
//! from the sums of the rounded ones' squares.

use std::ops::Range;

use epsiloscope_histogram::{Counter, Histogram, Image, Summarizer, Summary};

use crate::{LentMoments, Moments};

/// Elements of a block: 4 KiB each of gradients and moments, as far as counting asks ahead for those that follow.
const BLOCK: usize = 1024;

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
    /// Of each optimizer's critical ε.
    critical: Vec<Tally>,
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
        self.critical.resize_with(self.critical.len().max(wanted), Tally::default);
        // An update does not depend on the steps ended, a critical ε does.
        moments.iter_mut().for_each(Moments::end_step);
        let images: Vec<_> = moments[..wanted].iter().map(|moments| moments.lent().image()).collect();
        for (start, block) in (0..).step_by(BLOCK).zip(gradient.chunks(BLOCK)) {
            for moments in &mut *moments {
                moments.update(start, block);
            }
            self.gradient.add(block);
            for ((tally, moments), image) in self.critical.iter_mut().zip(&*moments).zip(&images) {
                tally.add_critical_epsilon(&moments.lent(), image.as_ref(), start..start + block.len());
            }
        }
        let critical = self.critical.iter_mut().zip(&images);
        (self.gradient.take(), critical.map(|(tally, image)| tally.take_critical_epsilon(image.as_ref())).collect())
    }

    /// Observes the critical ε that follow from moments as they are.
    ///
    /// # Panics
    /// If no step has ended.
    pub fn observe_lent(&mut self, moments: &LentMoments<'_>) -> Observed {
        let image = moments.image();
        for start in (0..moments.numel()).step_by(BLOCK) {
            let elements = start..moments.numel().min(start + BLOCK);
            self.gradient.add_critical_epsilon(moments, image.as_ref(), elements);
        }
        self.gradient.take_critical_epsilon(image.as_ref())
    }
}

/// Counts and summary of what was seen since they were last taken.
#[derive(Default)]
struct Tally {
    counter: Counter,
    summarizer: Summarizer,
    /// Of moments whose critical ε were counted as images.
    of_moments: Summarizer,
    /// Room for the critical ε of a block.
    epsilons: Vec<f32>,
}

impl Tally {
    fn add(&mut self, values: &[f32]) {
        self.counter.count(values);
        self.summarizer.add(values);
    }

    fn add_critical_epsilon(
        &mut self,
        moments: &LentMoments<'_>,
        image: Option<&Image<impl Fn(f32) -> f32>>,
        elements: Range<usize>,
    ) {
        let values = &moments.denominator()[elements.clone()];
        if image.is_some_and(|image| self.counter.observe_images(values, image, &mut self.of_moments)) {
            return;
        }
        self.epsilons.resize(elements.len(), 0.0);
        moments.critical_epsilon_into(elements, &mut self.epsilons);
        self.counter.count(&self.epsilons);
        self.summarizer.add(&self.epsilons);
    }

    fn take(&mut self) -> Observed {
        Observed { histogram: self.counter.take(), summary: std::mem::take(&mut self.summarizer).finish() }
    }

    fn take_critical_epsilon(&mut self, image: Option<&Image<impl Fn(f32) -> f32>>) -> Observed {
        let Observed { histogram, summary } = self.take();
        let of_moments = std::mem::take(&mut self.of_moments).finish();
        let of_images = image.map(|image| image.summary(&of_moments)).unwrap_or_default();
        Observed { histogram, summary: summary.merged(&of_images) }
    }
}
