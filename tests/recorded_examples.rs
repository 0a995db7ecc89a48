//! The runs that the project carries, real ones, in the present version of the format.

use std::fs;
use std::path::PathBuf;

use epsiloscope_analysis::{HistogramOptions, Origin, ScopeHistogram, histograms};
use epsiloscope_format::{Run, SCHEMA_VERSION, Table};

use crate::cli::epsiloscope;

fn data() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/runs"))
}

fn runs() -> Vec<Run> {
    let names = ["cnn-calibration", "cnn-training", "mlp-rmsprop"];
    names.map(|name| Run::open(&data().join(name)).unwrap()).into()
}

#[test]
fn they_are_estimated_as_when_they_were_recorded() {
    let output = epsiloscope(["estimate".as_ref(), data().as_os_str(), "--format".as_ref(), "csv".as_ref()]);
    assert_eq!((output.status, output.stderr.as_str()), (0, ""));
    assert_eq!(output.stdout, fs::read_to_string(data().join("../estimates.csv")).unwrap());
}

#[test]
fn they_are_whole_and_of_the_present_version() {
    for run in runs() {
        assert!(run.is_finished() && run.orphans().unwrap().is_empty());
        assert_eq!(run.manifest().schema_version, SCHEMA_VERSION);
        let totals = run.manifest().totals.clone().unwrap();
        assert_eq!(
            run.magnitudes().map(|batch| batch.unwrap().magnitude.len() as u64).sum::<u64>(),
            totals.tables[&Table::Magnitudes].rows
        );
        assert_eq!(
            run.histograms().map(|batch| batch.unwrap().bin.len() as u64).sum::<u64>(),
            totals.tables[&Table::Histograms].rows
        );
        assert_eq!(
            run.tensors().map(|batch| batch.unwrap().numel.len() as u64).sum::<u64>(),
            totals.tables[&Table::Tensors].rows
        );
        assert_eq!(run.steps().map(|batch| batch.unwrap().step.len() as u64).sum::<u64>(), totals.steps);
    }
}

/// Where every element of a tensor was recorded, counting its magnitudes gives the recorded histogram.
#[test]
fn magnitudes_and_histograms_of_small_tensors_agree() {
    for run in runs() {
        let tensors = &run.manifest().tensors;
        let is_complete = |found: &ScopeHistogram| {
            let is_found = |name: &str| found.name.as_deref() == Some(name);
            tensors.iter().any(|tensor| is_found(&tensor.name) && tensor.recorded_elements == tensor.numel())
        };
        let counts = |origin| -> Vec<ScopeHistogram> {
            let quantities = vec!["gradient".to_owned()];
            let options = HistogramOptions { origin: Some(origin), quantities, ..HistogramOptions::default() };
            histograms(&run, &options).unwrap().into_iter().filter(is_complete).collect()
        };
        let recorded = counts(Origin::Histograms);
        assert!(recorded.len() >= 2 && recorded == counts(Origin::Magnitudes));
    }
}
