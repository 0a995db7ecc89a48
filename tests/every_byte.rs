//! No byte of a run can change, vanish or appear unnoticed.

use std::fs;
use std::path::{Path, PathBuf};

use epsiloscope_analysis::{
    Estimate, EstimateOptions, HistogramOptions, ScopeHistogram, estimate, files, histograms, scalars, steps,
    tensor_health,
};
use epsiloscope_format::Run;
use polars::frame::DataFrame;

use crate::resealed::overwrite;
use crate::synthetic::Synthetic;

/// Everything that can be said of a run.
struct Answers {
    estimates: Vec<Estimate>,
    histograms: Vec<ScopeHistogram>,
    tables: Vec<DataFrame>,
}

impl Answers {
    fn of(run: &Run) -> Result<Self, String> {
        every_row(run)?;
        let says = |fault: epsiloscope_analysis::AnalysisError| fault.to_string();
        let table = |table: Result<DataFrame, _>| table.map_err(says);
        let tables = [files(run), steps(run), scalars(run), tensor_health(run)].into_iter().map(table);
        Ok(Self {
            tables: tables.collect::<Result<_, _>>()?,
            histograms: histograms(run, &HistogramOptions::default()).map_err(says)?,
            estimates: estimate(run, &EstimateOptions::default()).map_err(says)?,
        })
    }

    fn equals(&self, other: &Self) -> bool {
        let are_equal = |(a, b): (&DataFrame, &DataFrame)| a.equals_missing(b);
        let is_same = self.estimates == other.estimates && self.histograms == other.histograms;
        is_same && self.tables.iter().zip(&other.tables).all(are_equal)
    }
}

/// The cheapest question of all, which most damage does not survive.
fn every_row(run: &Run) -> Result<(), String> {
    let outcomes = [
        run.magnitudes().try_for_each(|batch| batch.map(|_| ())),
        run.histograms().try_for_each(|batch| batch.map(|_| ())),
        run.tensors().try_for_each(|batch| batch.map(|_| ())),
        run.scalars().try_for_each(|batch| batch.map(|_| ())),
        run.steps().try_for_each(|batch| batch.map(|_| ())),
    ];
    outcomes.into_iter().collect::<Result<(), _>>().map_err(|fault| fault.to_string())
}

struct Case {
    _dir: tempfile::TempDir,
    run: PathBuf,
    answers: Answers,
}

impl Case {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut synthetic = Synthetic { steps: 2, snapshots: vec![2], ..Synthetic::default() };
        synthetic.tensors.truncate(2);
        let run = synthetic.write(&dir.path().join("r-1"));
        let answers = Answers::of(&Run::open(&run).unwrap()).unwrap();
        Self { _dir: dir, run, answers }
    }

    /// Every file of the run that has anything in it.
    fn files(&self) -> Vec<PathBuf> {
        let mut folders = vec![self.run.clone()];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() { &mut folders } else { &mut files }.push(path);
            }
        }
        files.sort();
        files
    }

    /// An error that names the file, or the same answers.
    fn assert_noticed_or_harmless(&self, file: &Path, bytes: &[u8], position: usize) {
        overwrite(file, bytes);
        match Run::open(&self.run).map_err(|fault| fault.to_string()).and_then(|run| Answers::of(&run)) {
            Ok(answers) => assert!(answers.equals(&self.answers), "{}: byte {position} goes unnoticed", file.display()),
            // Of a list without a line there is nothing to say but that nothing was recorded.
            Err(fault) => {
                let is_named = fault.contains(&file.display().to_string()) || fault.contains("no complete step");
                assert!(is_named, "{}: byte {position}: {fault}", file.display());
            }
        }
    }

    /// Damages every file at every place.
    fn assert_all(&self, damage: impl Fn(&[u8], usize) -> Vec<u8>) {
        for file in self.files() {
            let original = fs::read(&file).unwrap();
            for position in 0..original.len() {
                self.assert_noticed_or_harmless(&file, &damage(&original, position), position);
            }
            overwrite(&file, &original);
        }
    }
}

#[test]
fn every_byte_flipped() {
    Case::new().assert_all(|original, position| {
        let mut bytes = original.to_vec();
        bytes[position] ^= 1 << (position % 8);
        bytes
    });
}

#[test]
fn every_truncation() {
    Case::new().assert_all(|original, position| original[..position].to_vec());
}

#[test]
fn every_byte_deleted_or_doubled() {
    Case::new().assert_all(|original, position| {
        let after = if position % 2 == 0 { position + 1 } else { position - 1 };
        [&original[..position], &original[after..]].concat()
    });
}
