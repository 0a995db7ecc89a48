//! The runs that the project carries, real ones, in the present version of the format.

use std::fs;
use std::path::PathBuf;

use epsiloscope_analysis::{Origin, Scope, histograms};
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
        let counts = |origin| {
            let table = histograms(&run, Scope::Tensor, Some(origin)).unwrap();
            let column = |name: &str| table.column(name).unwrap().clone();
            let (tensor, quantity) = (column("tensor"), column("quantity"));
            let (bin, count) = (column("bin"), column("count"));
            let is_complete = |name: &str| {
                run.manifest()
                    .tensors
                    .iter()
                    .any(|tensor| tensor.name == name && tensor.recorded_elements == tensor.numel())
            };
            let row = |row: usize| {
                let tensor = tensor.str().unwrap().get(row).unwrap().to_owned();
                (tensor, bin.i32().unwrap().get(row).unwrap(), count.i64().unwrap().get(row).unwrap())
            };
            let rows = (0..table.height()).filter(|&row| quantity.str().unwrap().get(row) == Some("gradient")).map(row);
            rows.filter(|(tensor, _, _)| is_complete(tensor)).collect::<Vec<_>>()
        };
        let recorded = counts(Origin::Histograms);
        assert!(recorded.len() > 100 && recorded == counts(Origin::Magnitudes));
    }
}
