//! The bounds that one tensor sets.

use epsiloscope_histogram::{BinRange, Histogram};

use crate::bootstrap::{Bits, percentile_interval};
use crate::critical_epsilon::CriticalEpsilon;
use crate::estimate::{Bound, EstimateOptions};
use crate::kept_ranks::Reach;
use crate::order_statistics::{confidence_ranks, indices};

/// One of a tensor's two bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Lower,
    Upper,
}

impl Side {
    pub(crate) const BOTH: [Self; 2] = [Self::Lower, Self::Upper];

    /// The share of the elements that lie below the bound.
    pub(crate) fn share(self, percentile: f64) -> f64 {
        match self {
            Self::Lower => 1.0 - percentile,
            Self::Upper => percentile,
        }
    }
}

/// What a tensor's critical ε come to.
pub(crate) struct TensorBounds {
    /// Lower and upper.
    pub(crate) bounds: [Bound; 2],
    /// What they would be in other samples, drawn again from this one; empty unless it is a sample.
    pub(crate) replicates: Vec<[f32; 2]>,
}

/// A tensor's bounds, or why it has none. Of a sample, each end of an interval misses with probability `miss`.
pub(crate) fn tensor_bounds(
    critical: &CriticalEpsilon,
    options: &EstimateOptions,
    tensor: usize,
    miss: f64,
) -> Result<TensorBounds, &'static str> {
    let n = critical.sample_size() as usize;
    match critical {
        CriticalEpsilon::Unknown => return Err("not recorded"),
        CriticalEpsilon::NotFinite => return Err("some gradients are not finite, and histograms do not say whose"),
        _ if n == 0 && critical.non_finite() > 0 => return Err("no finite non-zero gradient"),
        _ if n == 0 => return Err("every gradient is zero"),
        _ => {}
    }
    let (lower, upper) = indices(options.percentile, n);
    let ranks = [(Side::Lower, lower), (Side::Upper, upper)];
    let mut replicates = Vec::new();
    let bounds = match critical {
        CriticalEpsilon::Unknown | CriticalEpsilon::NotFinite => unreachable!("nothing known has no bounds"),
        CriticalEpsilon::Between(envelope) => {
            let reaches = envelope.bounds(options.percentile).expect("some rank is not zero");
            reaches.map(|Reach { value, low, high }| Bound { value, low, high, bootstrap: None })
        }
        CriticalEpsilon::Bins(histogram) => ranks.map(|(_, rank)| binned(histogram, rank)),
        CriticalEpsilon::Values { sorted, complete: true, .. } => ranks.map(|(_, rank)| exact(sorted[rank])),
        CriticalEpsilon::Values { sorted, complete: false, .. } => {
            replicates = replicated(sorted, critical.n_looked_at(), options, tensor);
            ranks.map(|(side, rank)| Bound {
                bootstrap: bootstrap_interval(&replicates, side, options.confidence),
                ..sampled(sorted, rank, confidence_ranks(n, side.share(options.percentile), miss))
            })
        }
    };
    Ok(TensorBounds { bounds, replicates })
}

fn exact(value: f32) -> Bound {
    Bound::exact(f64::from(value))
}

fn binned(histogram: &Histogram, rank: usize) -> Bound {
    let range = histogram.order_statistic(rank as u64).expect("the rank is below the total");
    let middle = BinRange::middle(range);
    Bound { value: middle, low: Some(range.lower()), high: Some(range.upper()), bootstrap: None }
}

fn sampled(sorted: &[f32], rank: usize, ends: (Option<usize>, Option<usize>)) -> Bound {
    let at = |rank: usize| f64::from(sorted[rank]);
    Bound { value: at(rank), low: ends.0.map(at), high: ends.1.map(at), bootstrap: None }
}

/// The bounds of resamples: as many elements drawn with replacement from those looked at, zeros included, so that the
/// number of non-zero ones varies as well. Without any, a resample has no bounds (NaN).
fn replicated(sorted: &[f32], n_looked_at: u64, options: &EstimateOptions, tensor: usize) -> Vec<[f32; 2]> {
    let len = sorted.len();
    let replicate = |index| {
        let mut bits = Bits::new(options.seed, [tensor as u64, index]);
        let n = bits.below(n_looked_at, len as u64, n_looked_at);
        if n == 0 {
            return [f32::NAN; 2];
        }
        let (lower, upper) = indices(options.percentile, n as usize);
        [lower, upper].map(|rank| sorted[bits.resampled(len, n, rank as u64)])
    };
    (0..u64::from(options.bootstrap)).map(replicate).collect()
}

fn bootstrap_interval(replicates: &[[f32; 2]], side: Side, confidence: f64) -> Option<(f64, f64)> {
    let of_side = replicates.iter().map(|bounds| f64::from(bounds[side as usize])).filter(|bound| !bound.is_nan());
    percentile_interval(of_side.collect(), confidence)
}
