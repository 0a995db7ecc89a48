//! Histograms and their table against counting one value at a time.

use std::collections::BTreeMap;
use std::fs;

use epsiloscope_analysis::histogram_tables::histogram_table;
use epsiloscope_analysis::{AnalysisError, HistogramOptions, Origin, Scope, ScopeHistogram, Window, histograms};
use epsiloscope_format::{GRADIENT, Run, Table, WriterOptions};
use epsiloscope_histogram::bins::{bin_of, lower_edge};
use epsiloscope_moments::Optimizer;
use proptest::prelude::*;

use crate::cli::epsiloscope;
use crate::synthetic::{Synthetic, SyntheticTensor};

const BINS_PER_DECADE: [u32; 8] = [1, 2, 4, 5, 8, 10, 20, 40];

/// What a group of tensors has in a window: its first and last step, counts per bin, zeros, NaN and infinities.
type Expected = (i64, i64, BTreeMap<i32, u64>, u64, u64);

/// One value at a time, by name and window.
fn expected(synthetic: &Synthetic, options: &HistogramOptions) -> BTreeMap<(Option<String>, i64), Expected> {
    let factor = (40 / options.bins_per_decade) as i32;
    let mut found: BTreeMap<(Option<String>, i64), Expected> = BTreeMap::new();
    for step in 1..=synthetic.steps {
        let Some(window) = window(synthetic, options.window, step) else { continue };
        for (index, tensor) in synthetic.tensors.iter().enumerate() {
            let start = || (step, step, BTreeMap::new(), 0, 0);
            let entry = found.entry((name(options.scope, tensor.name), window)).or_insert_with(start);
            let (_, last, bins, zeros, non_finite) = entry;
            *last = step;
            for value in synthetic.gradients(index, step) {
                match bin_of(value) {
                    Some(bin) => *bins.entry(bin.div_euclid(factor)).or_insert(0) += 1,
                    None if value == 0.0 => *zeros += 1,
                    None => *non_finite += 1,
                }
            }
        }
    }
    found.retain(|_, (_, _, bins, _, _)| !bins.is_empty());
    found
}

fn window(synthetic: &Synthetic, window: Window, step: i64) -> Option<i64> {
    match window {
        Window::Run => Some(0),
        Window::Epoch => Some((step - 1) / synthetic.steps_per_epoch),
        Window::Every(n_steps) => Some((step - 1) / n_steps.get()),
        Window::Steps { first, last } => (first <= step && step <= last).then_some(0),
    }
}

fn name(scope: Scope, tensor: &str) -> Option<String> {
    let name = match scope {
        Scope::Run => return None,
        Scope::Tensor => tensor,
        Scope::Layer => tensor.split('.').next().unwrap(),
        Scope::Kind => match tensor {
            "rare.bias" => "bias",
            "unused" => "weight",
            // All tensors are vectors: those called weight are scales.
            _ => "norm",
        },
    };
    Some(name.to_owned())
}

/// What was found of gradients, in the form of [`expected`].
fn found(
    synthetic: &Synthetic,
    options: &HistogramOptions,
    histograms: &[ScopeHistogram],
) -> BTreeMap<(Option<String>, i64), Expected> {
    let entry = |of: &ScopeHistogram| {
        let histogram = &of.histogram;
        assert_eq!((of.scope, of.quantity.as_str()), (options.scope, GRADIENT));
        assert_eq!(histogram.bins_per_decade(), options.bins_per_decade);
        let non_finite = histogram.nan() + histogram.pos_inf() + histogram.neg_inf();
        let bins = histogram.bins().collect();
        let window = window(synthetic, options.window, of.first_step).unwrap();
        ((of.name.clone(), window), (of.first_step, of.last_step, bins, histogram.zeros(), non_finite))
    };
    histograms.iter().map(entry).collect()
}

fn any_window() -> impl Strategy<Value = Window> {
    prop_oneof![
        Just(Window::Run),
        Just(Window::Epoch),
        (1i64..10).prop_map(|n_steps| n_steps.to_string().parse().unwrap()),
        (1i64..9, 0i64..9).prop_map(|(first, more)| Window::Steps { first, last: first + more }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever is asked for, however it is cut into parts and shards, on however many threads.
    #[test]
    fn prop_histograms_are_counts_of_single_values(
        scope in prop::sample::select(&Scope::ALL[..]),
        window in any_window(),
        bins_per_decade in prop::sample::select(&BINS_PER_DECADE[..]),
        (flush_rows, ranks, n_threads) in (20usize..2000, 1usize..4, 1usize..4),
        (steps_per_epoch, seed) in (1i64..5, 0u64..100),
    ) {
        let mut synthetic = Synthetic {
            steps: 9,
            steps_per_epoch,
            critical_epsilon: None,
            overflows: vec![5],
            ranks,
            options: WriterOptions { flush_rows, flush_secs: 1e9 },
            seed,
            ..Synthetic::default()
        };
        synthetic.tensors[2].numel = 300;
        // Zero, or infinite, at every step.
        let rare = SyntheticTensor { name: "rare.bias", numel: 1, centre: -4.0, zero_every: 1 };
        synthetic.tensors.insert(3, rare);
        let dir = tempfile::tempdir().unwrap();
        let run = Run::open(&synthetic.write(&dir.path().join("r-1"))).unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        for origin in [Origin::Histograms, Origin::Magnitudes] {
            let quantities = vec![GRADIENT.to_owned()];
            let options = HistogramOptions { scope, window, tensors: Vec::new(), quantities, bins_per_decade, origin: Some(origin) };
            let histograms = pool.install(|| histograms(&run, &options));
            // Of the step whose gradients are infinite there is nothing to tell.
            if expected(&synthetic, &options).is_empty() {
                let is_refused = matches!(histograms, Err(AnalysisError::NotRecorded { .. }));
                prop_assert!(is_refused);
                continue;
            }
            let histograms = histograms.unwrap();
            prop_assert_eq!(found(&synthetic, &options, &histograms), expected(&synthetic, &options), "{:?}", origin);
            let order = |of: &ScopeHistogram| (of.name.clone(), of.first_step);
            prop_assert!(histograms.is_sorted_by_key(order));
        }
    }
}

#[test]
fn without_histograms_the_magnitudes_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let synthetic = Synthetic { histograms: false, critical_epsilon: None, ..Synthetic::default() };
    let run = Run::open(&synthetic.write(&dir.path().join("r-1"))).unwrap();
    let options = HistogramOptions::default();
    assert_eq!(found(&synthetic, &options, &histograms(&run, &options).unwrap()), expected(&synthetic, &options));
}

#[test]
fn parts_outside_the_window_are_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    let options = WriterOptions { flush_rows: 3000, flush_secs: 1e9 };
    let path = Synthetic { options, ..Synthetic::default() }.write(&dir.path().join("r-1"));
    let run = Run::open(&path).unwrap();
    for table in [Table::Magnitudes, Table::Histograms, Table::Tensors] {
        let later = run.parts(table).filter(|part| part.first_step > 6);
        assert!(later.map(|part| fs::write(path.join(part.relative_path()), b"damaged").unwrap()).count() > 0);
    }
    for origin in [Origin::Histograms, Origin::Magnitudes] {
        let ask = |window: &str| {
            let (window, origin) = (window.parse().unwrap(), Some(origin));
            histograms(&run, &HistogramOptions { window, origin, ..HistogramOptions::default() })
        };
        assert!(ask("2..5").is_ok_and(|found| found.iter().all(|of| of.first_step >= 2 && of.last_step <= 5)));
        assert!(ask("run").is_err());
    }
}

/// The shares of a table's rows against sums over its own counts.
#[test]
fn density_integrates_to_one_over_the_decades_and_edges_are_the_bins() {
    let dir = tempfile::tempdir().unwrap();
    let run = Run::open(&Synthetic::default().write(&dir.path().join("r-1"))).unwrap();
    for bins_per_decade in BINS_PER_DECADE {
        let options = HistogramOptions { scope: Scope::Run, bins_per_decade, ..HistogramOptions::default() };
        let histograms = histograms(&run, &options).unwrap();
        assert_eq!(histograms.len(), 1 + Optimizer::DEFAULT.len());
        let table = histogram_table(&histograms).unwrap();
        let number = |name: &str| table.column(name).unwrap().f64().unwrap().clone();
        let (lower, upper) = (number("lower"), number("upper"));
        let (density, cumulative) = (number("density"), number("cumulative"));
        let rows = histograms.iter().flat_map(|of| {
            let counts: Vec<u64> = of.histogram.bins().map(|(_, count)| count).collect();
            let total = of.histogram.total() as f64;
            (0..counts.len()).zip(of.histogram.bins()).map(move |(index, (bin, count))| {
                let below: u64 = counts[..=index].iter().sum();
                (bin, count as f64 * f64::from(bins_per_decade) / total, below as f64 / total)
            })
        });
        let mut n_rows = 0;
        for (row, (bin, expected_density, expected_cumulative)) in rows.enumerate() {
            assert_eq!(lower.get(row), Some(lower_edge(bin, bins_per_decade)));
            assert_eq!(upper.get(row), Some(lower_edge(bin + 1, bins_per_decade)));
            assert_eq!(density.get(row), Some(expected_density));
            assert_eq!(cumulative.get(row), Some(expected_cumulative));
            n_rows = row + 1;
        }
        assert_eq!(n_rows, table.height());
        let share: f64 = density.iter().flatten().sum::<f64>() / f64::from(bins_per_decade);
        assert!((share - histograms.len() as f64).abs() < 1e-11, "{share}");
    }
}

#[test]
fn what_is_asked_in_vain_is_told_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = Synthetic::default().write(&dir.path().join("r-1"));
    for (options, told) in [
        (["--quantity", "weight"], "weight was not recorded: expected critical_epsilon.adabelief, "),
        (["--window", "40..50"], "no step from 40 on was recorded: the last one is 12"),
        (["--window", "0..5"], "expected run, epoch, a number of steps, or A..B with 1 <= A <= B"),
        (["--bins-per-decade", "3"], "expected a divisor of 40"),
        (["--per", "module"], "expected tensor, layer, kind or run"),
    ] {
        let output = epsiloscope(["histogram", path.to_str().unwrap(), options[0], options[1]]);
        assert_eq!((output.status, output.stderr.lines().count()), (2, 1), "{}", output.stderr);
        assert!(output.stderr.contains(told), "{}", output.stderr);
    }
}
