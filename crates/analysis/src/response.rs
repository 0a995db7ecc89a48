//! What every ε at the edge of a bin does to a run, tensor by tensor: counts of critical ε in place of single candidates.
//!
//! Below an edge lie the same elements whether they are known as values or as bins, so the shares that follow from these
//! counts are those of [`candidates`](crate::candidates()) to the last bit:
//! Σ elements·(below / n) / Σ elements over the tensors, with elements = n·weight.

use epsiloscope_format::{Manifest, Run};
use epsiloscope_histogram::{BINS_PER_DECADE, Counter, Histogram, bins::lower_edge};
use rayon::prelude::*;

use crate::critical_epsilon::{CriticalEpsilon, Known};
use crate::denominator::Denominator;
use crate::effects::{CandidateOptions, Candidates, Quantiles, Share, candidates_from, parts, taken};
use crate::error::AnalysisError;
use crate::estimate::{Estimate, Method, visit_estimates};
use crate::grouping::Scope;

/// One optimizer after one step of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// Bounds, and the search spaces of the scopes asked for.
    pub estimate: Estimate,
    /// The reference and the candidates asked for.
    pub candidates: Candidates,
    /// What the optimizer divides by.
    pub denominator: Denominator,
    /// The part of a gradient that comes into the first moment: 1−β1, or all of it where there is none.
    pub taken: f64,
    /// One per tensor of the manifest, in its order; `None` of those without a finite critical ε above 0.
    pub tensors: Vec<Option<CriticalCounts>>,
    /// Every part of every scope of whose elements something is known.
    pub parts: Vec<ResponsePart>,
    /// Of the run's elements the share below each edge, from the first edge on, and where it lies; empty unless some
    /// tensor was sampled or only its gradients' histograms are known, for nothing else has an error at an edge.
    pub sampled_shares: Vec<(i32, Share)>,
}

/// The critical ε of a tensor's elements, by bin.
#[derive(Clone, Debug, PartialEq)]
pub struct CriticalCounts {
    /// Of [`Convention::optimizer`](epsiloscope_moments::Convention::optimizer), at 40 bins per decade.
    pub histogram: Histogram,
    /// Elements that each value stands for.
    pub weight: f64,
    /// How they are known.
    pub method: Method,
}

/// Tensors that are looked at together.
#[derive(Clone, Debug, PartialEq)]
pub struct ResponsePart {
    /// What it is over.
    pub scope: Scope,
    /// The tensor's, layer's or kind's name.
    pub name: Option<String>,
    /// What the effective rates of its elements follow from.
    pub critical: Quantiles,
}

/// How a run responds to ε, for each optimizer and step asked for, from one pass over the files.
///
/// # Errors
/// As [`estimate`](crate::estimate()).
pub fn responses(run: &Run, options: &CandidateOptions) -> Result<Vec<Response>, AnalysisError> {
    let mut responses = Vec::new();
    visit_estimates(run, &options.with_search_space(), |known, estimate| {
        responses.push(response(run.manifest(), options, known, estimate));
    })?;
    responses.sort_by_key(|response| options.estimate.place(response.estimate.optimizer));
    Ok(responses)
}

fn response(manifest: &Manifest, options: &CandidateOptions, known: &Known, estimate: Estimate) -> Response {
    let counts = manifest.tensors.iter().zip(&known.tensors);
    let tensors: Vec<_> = counts.map(|(info, critical)| CriticalCounts::of(info.numel(), critical)).collect();
    let parts_of = |scope| {
        let of_part =
            move |part: crate::effects::Part<'_>| ResponsePart { scope, name: part.name, critical: part.critical };
        parts(manifest, known, scope, &estimate).into_iter().map(of_part)
    };
    Response {
        candidates: candidates_from(manifest, options, known, &estimate),
        denominator: Denominator::new(estimate.optimizer, estimate.decay, estimate.step),
        taken: taken(estimate.optimizer, estimate.decay),
        parts: Scope::ALL.into_iter().flat_map(parts_of).collect(),
        sampled_shares: sampled_shares(manifest, known, &estimate, &tensors),
        tensors,
        estimate,
    }
}

impl CriticalCounts {
    fn of(numel: u64, critical: &CriticalEpsilon) -> Option<Self> {
        let histogram = match critical {
            CriticalEpsilon::Unknown | CriticalEpsilon::NotFinite => return None,
            CriticalEpsilon::Bins(histogram) => histogram.clone(),
            CriticalEpsilon::Between(envelope) => envelope.kept.clone(),
            CriticalEpsilon::Values { sorted, zeros, non_finite, .. } => {
                let mut counter = Counter::new();
                counter.count(sorted);
                counter.take().with_counted_apart([*zeros, *non_finite, 0, 0])
            }
        };
        let weight = numel as f64 / critical.n_looked_at() as f64;
        (histogram.total() > 0).then_some(Self { histogram, weight, method: critical.method()? })
    }
}

/// See [`Response::sampled_shares`].
fn sampled_shares(
    manifest: &Manifest,
    known: &Known,
    estimate: &Estimate,
    tensors: &[Option<CriticalCounts>],
) -> Vec<(i32, Share)> {
    if !tensors.iter().flatten().any(|counts| matches!(counts.method, Method::Sample | Method::Gradient)) {
        return Vec::new();
    }
    let bins = || tensors.iter().flatten().flat_map(|counts| counts.histogram.bins().map(|(bin, _)| bin));
    let (first, last) = (bins().min().unwrap_or(0), bins().max().unwrap_or(0));
    let run = parts(manifest, known, Scope::Run, estimate);
    let Some(all) = run.first().map(|part| &part.distribution) else { return Vec::new() };
    let share = |edge| (edge, all.share_below(lower_edge(edge, BINS_PER_DECADE), 1.0 - estimate.confidence));
    (first..=last + 1).into_par_iter().map(share).collect()
}

#[cfg(test)]
mod tests {
    use epsiloscope_format::TensorInfo;
    use proptest::prelude::*;

    use super::*;
    use crate::distribution::Distribution;

    fn values() -> impl Strategy<Value = Vec<f32>> {
        let magnitude = (-30.0..5.0f64).prop_map(|exponent| 10f64.powf(exponent) as f32);
        proptest::collection::vec(prop_oneof![9 => magnitude, 1 => Just(0.0)], 1..60)
    }

    proptest! {
        /// The formula at the top, against the search in sorted values and bins.
        #[test]
        fn prop_counts_below_an_edge_give_the_share_of_the_distribution(
            a in values(), b in values(), edge in -1200..200i32, complete in any::<bool>(), bins in any::<bool>(),
        ) {
            prop_assume!([&a, &b].iter().all(|values| values.iter().any(|&value| value != 0.0)));
            let binned = |values: &[f32]| {
                let mut counter = Counter::new();
                counter.count(values);
                CriticalEpsilon::Bins(counter.take())
            };
            let known = [&a, &b].map(|values| {
                if bins { binned(values) } else { CriticalEpsilon::from_values(values, complete) }
            });
            let infos = [3 * a.len() as i64, b.len() as i64].map(|numel| TensorInfo {
                name: "fc".to_owned(), shape: vec![numel], recorded_elements: 0,
            });
            let both = Distribution::of(infos.iter().zip(&known)).unwrap();
            let expected = both.share_below(lower_edge(edge, BINS_PER_DECADE), 0.05).value;
            let (mut below, mut all) = (0.0, 0.0);
            for (info, critical) in infos.iter().zip(&known) {
                let counts = CriticalCounts::of(info.numel(), critical).unwrap();
                let n = counts.histogram.total() as f64;
                let n_below: u64 = counts.histogram.bins().filter(|&(bin, _)| bin < edge).map(|(_, count)| count).sum();
                below += n * counts.weight * (n_below as f64 / n);
                all += n * counts.weight;
            }
            prop_assert_eq!((below / all).to_bits(), expected.to_bits());
        }
    }
}
