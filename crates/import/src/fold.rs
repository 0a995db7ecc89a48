//! From TensorBoard's signed bins to counts of magnitudes.
//!
//! `add_histogram` counts values between the edges ±1e-12·1.1^k and 0. A bin `[a, b)` above zero and its mirror image below
//! count the same magnitudes. Each spans about 1.66 of our bins; its count is spread over them evenly on the logarithmic
//! axis: with c elements and F the share of the axis from a up to our next edge, as many as the rounded c·F are below that edge. Totals are
//! those of the source to the last element, at each of its edges.
//!
//! The greatest magnitude is known, so the last bin ends there and one element lies there. Of magnitudes below 1e-12 those of
//! negative values are known to be non-zero and count in the bin below; the others cannot be told from zeros and count as such.

use std::collections::BTreeMap;

use epsiloscope_format::SourceBins;
use epsiloscope_histogram::bins::{bin_of, lower_edge};
use epsiloscope_histogram::{BINS_PER_DECADE, Histogram, Summary};

use crate::event::HistogramProto;

const SOURCE: SourceBins = SourceBins::TENSORBOARD;
/// A histogram over every edge has 1549; what has far more is none.
const MAX_BUCKETS: usize = 1 << 16;
/// Counts are doubles: up to here they are whole numbers.
const MAX_COUNT: f64 = 9_007_199_254_740_992.0;
/// The bin below the source's least edge.
const BELOW: i32 = -12 * BINS_PER_DECADE as i32 - 1;
/// Edges that writers add up differently agree to within this.
const SAME_EDGE: f64 = 1e-9;

/// What a histogram comes to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Folded {
    pub(crate) numel: u64,
    pub(crate) histogram: Histogram,
    pub(crate) summary: Summary,
}

/// Why a histogram is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// Its numbers contradict each other: damage, or no writer's.
    Contradictory(String),
    /// Its bins say nothing of small magnitudes: nothing that its writer wrote is of use.
    Bins(String),
}

/// An end of a bucket, as a place among the source's edges.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edge {
    /// −least·growth^k.
    Below(i32),
    Zero,
    /// least·growth^k.
    Above(i32),
}

/// What a bucket counts.
enum Bucket {
    /// Magnitudes from an edge to the next.
    Magnitudes(i32),
    /// Negative values above −least.
    Tiny,
    /// Zeros, and positive values below the least edge.
    ZeroOrTiny,
    /// Values beyond every edge.
    Beyond,
}

/// Counts of magnitudes per bin of the source.
#[derive(Default)]
struct Counts {
    by_edge: BTreeMap<i32, u64>,
    tiny: u64,
    zero_or_tiny: u64,
    beyond: u64,
}

/// Folds the signs of a histogram and spreads its counts over our bins.
pub(crate) fn folded(proto: &HistogramProto) -> Result<Folded, Unfit> {
    let contradiction = |what: String| Err(Unfit::Contradictory(what));
    let Some(numel) = count(proto.num) else { return contradiction(format!("{} values", proto.num)) };
    let counts = counts(proto)?;
    let n_counted = counts.by_edge.values().sum::<u64>() + counts.tiny + counts.zero_or_tiny;
    let Some(n_uncounted) = numel.checked_sub(n_counted) else {
        return contradiction(format!("{n_counted} values in bins of {numel}"));
    };
    // NaN, infinities and what is beyond every edge are in no bin, or in one without an end.
    let greatest = if n_uncounted == 0 { Some(greatest(proto, &counts)?) } else { None };
    let histogram = spread(&counts, greatest).with_counted_apart([counts.zero_or_tiny, n_uncounted, 0, 0]);
    let summary = match greatest {
        Some(greatest) => Summary {
            min_nonzero: None,
            max: Some(if histogram.total() == 0 { 0.0 } else { (greatest as f32).max(f32::from_bits(1)) }),
            sum_of_squares: sum_of_squares(proto, &histogram, greatest)?,
        },
        None => Summary { min_nonzero: None, max: None, sum_of_squares: sum_of_middles(&histogram) },
    };
    Ok(Folded { numel, histogram, summary })
}

/// A count, if a double is one.
fn count(value: f64) -> Option<u64> {
    ((0.0..=MAX_COUNT).contains(&value) && value.fract() == 0.0).then_some(value as u64)
}

fn counts(proto: &HistogramProto) -> Result<Counts, Unfit> {
    let HistogramProto { bucket_limit: limits, bucket: buckets, .. } = proto;
    if limits.len() != buckets.len() || MAX_BUCKETS < limits.len() {
        return Err(Unfit::Contradictory(format!("{} counts between {} edges", buckets.len(), limits.len())));
    }
    if !limits.is_sorted_by(|a, b| a < b) {
        return Err(Unfit::Contradictory("edges out of order".to_owned()));
    }
    let mut counts = Counts::default();
    for (index, (&value, &right)) in buckets.iter().zip(limits).enumerate() {
        let Some(count) = count(value) else {
            return Err(Unfit::Contradictory(format!("a count of {value}")));
        };
        if count == 0 {
            continue;
        }
        let left = index.checked_sub(1).map(|before| limits[before]);
        match bucket(left, right).ok_or_else(|| unfit(proto, left, right))? {
            Bucket::Magnitudes(edge) => *counts.by_edge.entry(edge).or_default() += count,
            Bucket::Tiny => counts.tiny += count,
            Bucket::ZeroOrTiny => counts.zero_or_tiny += count,
            Bucket::Beyond => counts.beyond += count,
        }
    }
    Ok(counts)
}

/// What lies between two limits; `None` if they are not neighbours among the source's edges.
fn bucket(left: Option<f64>, right: f64) -> Option<Bucket> {
    // TensorFlow ends its bins with the greatest double.
    if f64::MAX <= right || left.is_some_and(|left| left <= -f64::MAX) {
        return Some(Bucket::Beyond);
    }
    let right = edge(right)?;
    // Writers that leave empty bins out leave out the left end of the first.
    let left = left.map_or_else(|| Some(before(right)), edge)?;
    match (left, right) {
        _ if left != before(right) => None,
        (Edge::Above(k), _) | (Edge::Below(_), Edge::Below(k)) => Some(Bucket::Magnitudes(k)),
        (Edge::Zero, _) => Some(Bucket::ZeroOrTiny),
        (Edge::Below(_), Edge::Zero) => Some(Bucket::Tiny),
        (Edge::Below(_), Edge::Above(_)) => None,
    }
}

fn edge(value: f64) -> Option<Edge> {
    if value == 0.0 {
        return Some(Edge::Zero);
    }
    let place = ((value.abs() / SOURCE.least).ln() / SOURCE.growth.ln()).round();
    let nearest = SOURCE.least * SOURCE.growth.powf(place);
    let is_edge = place >= 0.0 && (value.abs() / nearest - 1.0).abs() < SAME_EDGE;
    let edge = if value < 0.0 { Edge::Below(place as i32) } else { Edge::Above(place as i32) };
    is_edge.then_some(edge)
}

/// The edge to the left.
fn before(edge: Edge) -> Edge {
    match edge {
        Edge::Above(0) => Edge::Zero,
        Edge::Above(k) => Edge::Above(k - 1),
        Edge::Zero => Edge::Below(0),
        Edge::Below(k) => Edge::Below(k + 1),
    }
}

/// Why bins that are not the source's are of no use.
fn unfit(proto: &HistogramProto, left: Option<f64>, right: f64) -> Unfit {
    let limits = &proto.bucket_limit;
    let is_merged = left.is_some_and(|left| edge(left).is_some()) && edge(right).is_some();
    if is_merged {
        return Unfit::Bins(
            "several of the default bins are merged into one (max_bins): expected add_histogram's default bins"
                .to_owned(),
        );
    }
    let share = proto.bucket.iter().copied().fold(0.0, f64::max) / proto.num;
    Unfit::Bins(format!(
        "{} bins that are not add_histogram's default ones: of linear bins one holds nearly every gradient ({:.2} % here), so \
         that nothing is said of small magnitudes: expected edges at 1e-12·1.1^k",
        limits.len(),
        100.0 * share
    ))
}

/// The greatest magnitude, which must lie in the last bin that is not empty.
fn greatest(proto: &HistogramProto, counts: &Counts) -> Result<f64, Unfit> {
    let greatest = proto.min.abs().max(proto.max.abs());
    let is_finite = greatest <= f64::from(f32::MAX);
    let contradiction = |expected: String| {
        Err(Unfit::Contradictory(format!("values from {} to {}: expected {expected}", proto.min, proto.max)))
    };
    if !is_finite || proto.max < proto.min {
        return contradiction("finite ones".to_owned());
    }
    let (low, high) = match counts.by_edge.last_key_value() {
        Some((&edge, _)) => (at(edge), at(edge + 1)),
        None => (0.0, SOURCE.least),
    };
    let is_within = low * (1.0 - SAME_EDGE) <= greatest && greatest <= high * (1.0 + SAME_EDGE);
    if is_within { Ok(greatest) } else { contradiction(format!("the greatest magnitude between {low:e} and {high:e}")) }
}

/// An edge of the source.
fn at(edge: i32) -> f64 {
    SOURCE.least * SOURCE.growth.powi(edge)
}

fn spread(counts: &Counts, greatest: Option<f64>) -> Histogram {
    let mut bins: BTreeMap<i32, u64> = BTreeMap::new();
    let mut add = |bin: i32, count: u64| {
        if 0 < count {
            *bins.entry(bin).or_default() += count;
        }
    };
    add(BELOW, counts.tiny);
    let last = counts.by_edge.last_key_value().map(|(&edge, _)| edge);
    for (&edge, &count) in &counts.by_edge {
        let top =
            greatest.filter(|_| last == Some(edge)).and_then(|greatest| Some((greatest, bin_of(greatest as f32)?)));
        match top {
            Some((greatest, bin)) => {
                add(bin, 1);
                // A float above the edge it was rounded over is in the bin of another float, but within the same source's.
                between(at(edge), greatest.max(at(edge)), count - 1, &mut add);
            }
            None => between(at(edge), at(edge + 1), count, &mut add),
        }
    }
    Histogram::from_bins(bins)
}

/// Spreads a count evenly, on the logarithmic axis, over our bins from one magnitude to another.
fn between(low: f64, high: f64, count: u64, add: &mut impl FnMut(i32, u64)) {
    let axis = |magnitude: f64| magnitude.log10() * f64::from(BINS_PER_DECADE);
    // The source's least edge is one of ours, where a logarithm may round below.
    let first = (axis(low) + SAME_EDGE).floor() as i32;
    let (start, end) = (axis(low), axis(high));
    let mut below = 0;
    for bin in first.. {
        let share = if end <= start { 1.0 } else { ((f64::from(bin + 1) - start) / (end - start)).min(1.0) };
        let reached = if 1.0 <= share { count } else { ((count as f64 * share).round() as u64).clamp(below, count) };
        add(bin, reached - below);
        below = reached;
        if 1.0 <= share {
            return;
        }
    }
}

/// Σ g², held against what the counts allow: between one magnitude of the greatest and all of them.
fn sum_of_squares(proto: &HistogramProto, histogram: &Histogram, greatest: f64) -> Result<f64, Unfit> {
    let n = histogram.total() as f64;
    let square = f64::from(greatest as f32).powi(2);
    let tolerated = 1e-6;
    let highest = (n + histogram.zeros() as f64) * greatest.powi(2).max(SOURCE.least.powi(2));
    let is_possible =
        greatest.powi(2) * (1.0 - tolerated) <= proto.sum_squares && proto.sum_squares <= highest * (1.0 + tolerated);
    if !is_possible {
        let what = format!("a sum of squares of {} with {greatest:e} the greatest of {}", proto.sum_squares, proto.num);
        return Err(Unfit::Contradictory(what));
    }
    // What may be zeros has no part in it, and floats are rounded.
    Ok(if histogram.total() == 0 { 0.0 } else { proto.sum_squares.clamp(square, n * square) })
}

/// As good as bins tell.
fn sum_of_middles(histogram: &Histogram) -> f64 {
    let square = |(bin, count): (i32, u64)| {
        count as f64 * lower_edge(bin, BINS_PER_DECADE) * lower_edge(bin + 1, BINS_PER_DECADE)
    };
    histogram.bins().map(square).sum()
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The edges as Python adds them up.
    fn edges() -> Vec<f64> {
        let positive: Vec<f64> =
            std::iter::successors(Some(1e-12), |edge| Some(edge * 1.1)).take_while(|&edge| edge < 1e20).collect();
        positive.iter().rev().map(|edge| -edge).chain([0.0]).chain(positive.iter().copied()).collect()
    }

    /// What `make_histogram` of PyTorch makes of values.
    pub(crate) fn made(values: &[f32]) -> HistogramProto {
        let edges = edges();
        let mut counts = vec![0.0; edges.len() - 1];
        for value in values.iter().map(|&value| f64::from(value)) {
            let right = edges.partition_point(|&edge| edge <= value);
            if !value.is_nan() && 0 < right && right < edges.len() {
                counts[right - 1] += 1.0;
            }
        }
        let first = counts.iter().position(|&count| count > 0.0).unwrap_or(0);
        let last = counts.iter().rposition(|&count| count > 0.0).unwrap_or(0);
        let mut bucket = vec![0.0];
        bucket.extend(&counts[first..=last]);
        let fold = |of: fn(f64, f64) -> f64| {
            let wide = values.iter().map(|&value| f64::from(value));
            wide.reduce(|a, b| if a.is_nan() || b.is_nan() { f64::NAN } else { of(a, b) }).unwrap_or(0.0)
        };
        HistogramProto {
            min: fold(f64::min),
            max: fold(f64::max),
            num: values.len() as f64,
            sum_squares: values.iter().map(|&value| f64::from(value).powi(2)).sum(),
            bucket_limit: edges[first..=last + 1].to_vec(),
            bucket,
        }
    }

    fn values() -> impl Strategy<Value = Vec<f32>> {
        let magnitude = (-16.0..6.0f64).prop_map(|exponent| 10f64.powf(exponent) as f32);
        let value = (magnitude, any::<bool>()).prop_map(|(value, negative)| if negative { -value } else { value });
        proptest::collection::vec(prop_oneof![9 => value, 1 => Just(0.0f32)], 1..200)
    }

    proptest! {
        /// Rank by rank: each magnitude lies where the bin that stands for it says.
        #[test]
        fn prop_every_magnitude_lies_in_the_range_of_its_bin(values in values()) {
            let Folded { numel, histogram, summary } = folded(&made(&values)).unwrap();
            let tiny = |value: &&f32| value.abs() < 1e-12 && **value >= 0.0;
            let zeros = values.iter().filter(tiny).count() as u64;
            prop_assert_eq!((numel, histogram.numel(), histogram.zeros()), (values.len() as u64, values.len() as u64, zeros));
            let mut sorted: Vec<f64> =
                values.iter().filter(|value| !tiny(value)).map(|value| f64::from(value.abs())).collect();
            sorted.sort_by(f64::total_cmp);
            let bins = histogram.bins().flat_map(|(bin, count)| std::iter::repeat_n(bin, count as usize));
            for (magnitude, bin) in sorted.iter().zip(bins) {
                let (low, high) = SOURCE.range(bin);
                prop_assert!(low <= *magnitude && *magnitude <= high * (1.0 + 1e-12), "{} {} {} {}", bin, low, magnitude, high);
            }
            if let Some(&greatest) = sorted.last() {
                prop_assert_eq!(summary.max.map(f32::to_bits), Some((greatest as f32).to_bits()));
                if 1e-12 < greatest {
                    prop_assert_eq!(histogram.bins().last().map(|(bin, _)| bin), bin_of(greatest as f32));
                }
            }
        }

        /// Whatever a record holds, it is taken or refused.
        #[test]
        fn prop_no_numbers_make_it_panic(
            numbers in proptest::collection::vec(prop_oneof![
                any::<f64>(), Just(0.0), Just(1e-12), Just(-1e-12), Just(1.1e-12), Just(1.0), Just(f64::MAX), -3.0..3.0f64,
            ], 4..40),
        ) {
            let (ends, rest) = numbers.split_at(4);
            let (limits, counts) = rest.split_at(rest.len() / 2);
            let mut limits = limits.to_vec();
            limits.sort_by(f64::total_cmp);
            let proto = HistogramProto {
                min: ends[0], max: ends[1], num: ends[2].abs().round(), sum_squares: ends[3],
                bucket_limit: limits, bucket: counts.iter().map(|count| count.abs().round()).collect(),
            };
            if let Ok(Folded { numel, histogram, .. }) = folded(&proto) {
                prop_assert_eq!(numel, histogram.numel());
            }
        }
    }

    /// No edge of ours but the least comes so close to one of the source's that rounding could tell them apart wrongly.
    #[test]
    fn edges_of_the_source_lie_between_ours() {
        for bin in -480..1250 {
            let place = (lower_edge(bin, 40) / SOURCE.least).ln() / SOURCE.growth.ln();
            let distance = (place - place.round()).abs();
            assert!(bin == -480 || 1e-5 < distance, "{bin} {distance}");
        }
        assert_eq!(BELOW, -481);
    }

    #[test]
    fn what_is_not_finite_is_counted_apart() {
        let Folded { histogram, summary, .. } = folded(&made(&[1e-3, f32::NAN, f32::INFINITY, 3e21])).unwrap();
        assert_eq!((histogram.total(), histogram.nan(), summary.max), (1, 3, None));
        assert!((summary.sum_of_squares.sqrt() / 1e-3 - 1.0).abs() < 0.1);
    }

    #[test]
    fn linear_and_merged_bins_are_refused_in_a_sentence() {
        let edges: Vec<f64> = (0..=64).map(|index| -0.5 + f64::from(index) / 64.0).collect();
        let mut bucket = vec![0.0; 65];
        bucket[32] = 9998.0;
        bucket[40] = 2.0;
        let linear =
            HistogramProto { min: -0.1, max: 0.2, num: 10_000.0, sum_squares: 1.0, bucket_limit: edges, bucket };
        let Err(Unfit::Bins(reason)) = folded(&linear) else { panic!("taken") };
        assert!(reason.contains("linear bins") && reason.contains("99.98 %"), "{reason}");
        let mut merged = made(&[1e-3, 2e-3, 1e-2]);
        merged.bucket_limit.remove(1);
        let count = merged.bucket.remove(1);
        merged.bucket[1] += count;
        let Err(Unfit::Bins(reason)) = folded(&merged) else { panic!("taken") };
        assert!(reason.contains("max_bins"), "{reason}");
    }

    #[test]
    fn contradictions_are_told() {
        let sound = made(&[1e-3, -2e-3, 0.0, 1e-13, -1e-13]);
        assert!(folded(&sound).is_ok());
        let broken: [fn(&mut HistogramProto); 7] = [
            |proto| proto.num = 2.0,
            |proto| proto.num = -1.0,
            |proto| proto.bucket[1] = 0.5,
            |proto| proto.min = -1.0,
            |proto| proto.sum_squares = 1.0,
            |proto| proto.bucket.push(0.0),
            |proto| proto.bucket_limit.reverse(),
        ];
        for break_it in broken {
            let mut proto = sound.clone();
            break_it(&mut proto);
            assert!(matches!(folded(&proto), Err(Unfit::Contradictory(_))), "{proto:?}");
        }
    }
}
