//! Histogram tables against counting one value at a time.

use std::collections::BTreeMap;

use epsiloscope_analysis::{Origin, Scope, histograms};
use epsiloscope_format::Run;
use epsiloscope_histogram::bins::{bin_of, lower_edge};
use epsiloscope_moments::Optimizer;
use polars::prelude::DataFrame;

use crate::synthetic::Synthetic;

/// (tensor, bin) → count, of the gradient rows of a table.
fn counts(table: &DataFrame) -> BTreeMap<(Option<String>, i32), i64> {
    let (tensor, quantity) = (table.column("tensor").unwrap().str().unwrap(), table.column("quantity").unwrap());
    let (bin, count) = (table.column("bin").unwrap().i32().unwrap(), table.column("count").unwrap().i64().unwrap());
    (0..table.height())
        .filter(|&row| quantity.str().unwrap().get(row) == Some("gradient"))
        .map(|row| ((tensor.get(row).map(str::to_owned), bin.get(row).unwrap()), count.get(row).unwrap()))
        .collect()
}

fn expected(synthetic: &Synthetic, per_tensor: bool) -> BTreeMap<(Option<String>, i32), i64> {
    let mut counts = BTreeMap::new();
    for step in 1..=synthetic.steps {
        for (index, tensor) in synthetic.tensors.iter().enumerate() {
            for bin in synthetic.gradients(index, step).into_iter().filter_map(bin_of) {
                *counts.entry((per_tensor.then(|| tensor.name.to_owned()), bin)).or_insert(0) += 1;
            }
        }
    }
    counts
}

#[test]
fn both_origins_count_every_gradient_once() {
    let dir = tempfile::tempdir().unwrap();
    let synthetic = Synthetic::default();
    let run = Run::open(&synthetic.write(&dir.path().join("r-1"))).unwrap();
    for (scope, per_tensor) in [(Scope::Tensor, true), (Scope::Run, false)] {
        for origin in [Origin::Histograms, Origin::Magnitudes] {
            let table = histograms(&run, scope, Some(origin)).unwrap();
            assert_eq!(counts(&table), expected(&synthetic, per_tensor), "{scope:?} {origin:?}");
        }
    }
}

#[test]
fn without_histograms_the_magnitudes_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let synthetic = Synthetic { histograms: false, critical_epsilon: None, ..Synthetic::default() };
    let run = Run::open(&synthetic.write(&dir.path().join("r-1"))).unwrap();
    assert_eq!(counts(&histograms(&run, Scope::Tensor, None).unwrap()), expected(&synthetic, true));
}

#[test]
fn density_integrates_to_one_over_the_decades_and_edges_are_the_bins() {
    let dir = tempfile::tempdir().unwrap();
    let run = Run::open(&Synthetic::default().write(&dir.path().join("r-1"))).unwrap();
    let table = histograms(&run, Scope::Run, None).unwrap();
    let number = |name: &str| table.column(name).unwrap().f64().unwrap().clone();
    let (lower, upper, density) = (number("lower"), number("upper"), number("density"));
    let mut shares: BTreeMap<String, f64> = BTreeMap::new();
    for row in 0..table.height() {
        let bin = table.column("bin").unwrap().i32().unwrap().get(row).unwrap();
        assert_eq!(lower.get(row), Some(lower_edge(bin, 40)));
        assert_eq!(upper.get(row), Some(lower_edge(bin + 1, 40)));
        let quantity = table.column("quantity").unwrap().str().unwrap().get(row).unwrap().to_owned();
        *shares.entry(quantity).or_default() += density.get(row).unwrap() / 40.0;
    }
    assert_eq!(shares.len(), 1 + Optimizer::DEFAULT.len());
    assert!(shares.values().all(|share| (share - 1.0).abs() < 1e-12), "{shares:?}");
}
