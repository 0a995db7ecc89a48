//! Counts against the slow obvious version, and the algebra of merging and coarsening.

use std::collections::BTreeMap;

use epsiloscope_histogram::bins::{bin_of, lower_edge};
use epsiloscope_histogram::{Counter, Histogram, Summary};
use proptest::collection::vec;
use proptest::prelude::*;

/// Floats spread over all exponents, with the special ones and constants often among them.
fn floats() -> impl Strategy<Value = Vec<f32>> {
    let any_bits = any::<u32>().prop_map(f32::from_bits);
    let special = prop::sample::select(vec![0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e-40, 1e-45, 1e-8]);
    vec(prop_oneof![8 => any_bits, 1 => special, 1 => Just(0.125f32)], 0..9000)
}

fn count(values: &[f32]) -> Histogram {
    let mut counter = Counter::new();
    counter.count(values);
    counter.take()
}

fn sorted_magnitudes(values: &[f32]) -> Vec<f32> {
    let mut magnitudes: Vec<f32> =
        values.iter().map(|value| value.abs()).filter(|&value| value > 0.0 && value.is_finite()).collect();
    magnitudes.sort_by(f32::total_cmp);
    magnitudes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn prop_counts_equal_one_value_at_a_time(values in floats()) {
        let histogram = count(&values);
        let mut expected = BTreeMap::new();
        for bin in values.iter().filter_map(|&value| bin_of(value)) {
            *expected.entry(bin).or_insert(0u64) += 1;
        }
        prop_assert_eq!(histogram.bins().collect::<Vec<_>>(), expected.into_iter().collect::<Vec<_>>());
        let how_many = |holds: fn(&&f32) -> bool| values.iter().filter(holds).count() as u64;
        prop_assert_eq!(histogram.zeros(), how_many(|value| **value == 0.0));
        prop_assert_eq!(histogram.nan(), how_many(|value| value.is_nan()));
        prop_assert_eq!(histogram.pos_inf(), how_many(|value| **value == f32::INFINITY));
        prop_assert_eq!(histogram.neg_inf(), how_many(|value| **value == f32::NEG_INFINITY));
        prop_assert_eq!(histogram.numel(), values.len() as u64);
    }

    #[test]
    fn prop_parts_merged_equal_the_whole_in_any_order(values in floats(), cut in 0usize..9000) {
        let (left, right) = values.split_at(cut.min(values.len()));
        prop_assert_eq!(count(left).merged(&count(right)), count(&values));
        prop_assert_eq!(count(right).merged(&count(left)), count(&values));
        prop_assert_eq!(count(&values).merged(&Histogram::default()), count(&values));
    }

    #[test]
    fn prop_coarsening_in_steps_equals_coarsening_at_once(values in floats()) {
        let histogram = count(&values);
        let at_once = histogram.coarsened(5).unwrap();
        prop_assert_eq!(&histogram.coarsened(20).unwrap().coarsened(5).unwrap(), &at_once);
        prop_assert_eq!(at_once.numel(), histogram.numel());
        for (bin, _) in histogram.bins() {
            prop_assert!(at_once.bins().any(|(coarse, _)| coarse == bin.div_euclid(8)));
        }
        prop_assert!(histogram.coarsened(7).is_err() && at_once.coarsened(40).is_err());
    }

    #[test]
    fn prop_order_statistics_lie_in_their_bins(values in floats(), q in 0.0f64..=1.0) {
        let magnitudes = sorted_magnitudes(&values);
        let histogram = count(&values);
        prop_assert_eq!(histogram.total() as usize, magnitudes.len());
        prop_assert_eq!(histogram.order_statistic(magnitudes.len() as u64), None);
        let Some(last) = magnitudes.len().checked_sub(1) else {
            prop_assert_eq!(histogram.quantile(q), None);
            return Ok(());
        };
        let index = ((q * magnitudes.len() as f64) as usize).min(last);
        let value = f64::from(magnitudes[index]);
        let quantile = histogram.quantile(q).unwrap();
        for bins_per_decade in [40, 20, 8, 1] {
            let range = histogram.coarsened(bins_per_decade).unwrap().order_statistic(index as u64).unwrap();
            prop_assert!(range.lower() <= value && value < range.upper(), "{} at {}", value, bins_per_decade);
        }
        prop_assert!(quantile.range.lower() <= quantile.estimate && quantile.estimate <= quantile.range.upper());
        // The stated bound: an estimate is less than one bin away, a factor of 10^(1/40).
        prop_assert!((quantile.estimate / value).log10().abs() < 1.0 / 40.0 + 1e-12);
    }

    #[test]
    fn prop_summary_equals_the_plain_loops(values in floats()) {
        let summary = Summary::of(&values);
        let magnitudes = sorted_magnitudes(&values);
        let finite = values.iter().filter(|value| value.is_finite());
        prop_assert_eq!(summary.min_nonzero, magnitudes.first().copied());
        prop_assert_eq!(summary.max, finite.clone().map(|value| value.abs()).max_by(f32::total_cmp));
        let expected: f64 = finite.map(|&value| f64::from(value) * f64::from(value)).sum();
        let bound = expected * values.len() as f64 * f64::EPSILON;
        prop_assert!((summary.sum_of_squares - expected).abs() <= bound);
    }
}

#[test]
fn long_constant_input_overflows_nothing() {
    let values = vec![1e-8f32; 3_000_001];
    let mut counter = Counter::new();
    for _ in 0..3 {
        counter.count(&values);
    }
    let histogram = counter.take();
    let bin = bin_of(1e-8).unwrap();
    assert_eq!(histogram.bins().collect::<Vec<_>>(), [(bin, 9_000_003)]);
    assert!(lower_edge(bin, 40) <= 1e-8 && f64::from(1e-8f32) <= lower_edge(bin + 1, 40));
}

#[test]
fn a_histogram_from_pairs_equals_the_counted_one() {
    let values: Vec<f32> = (1..5000).map(|i| (i as f32).powi(-3)).collect();
    let histogram = count(&values);
    assert_eq!(Histogram::from_bins(histogram.bins()), histogram);
}
