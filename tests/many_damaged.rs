//! A batch of many runs, some of them damaged: the others' results are those of a batch without the damaged ones.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cli::{Output, epsiloscope};
use crate::resealed::{edit_manifest, relist, replace_part};
use crate::synthetic::Synthetic;

const RUNS: usize = 200;
/// Of so many runs one is damaged.
const ONE_IN: usize = 4;
const PART: &str = "magnitudes/part-r000-00000.parquet";

/// Ten ways in which a run can be damaged.
const DAMAGES: [fn(&Path); 10] = [
    |run| fs::remove_dir_all(run).unwrap(),
    |run| fs::write(run.join("run.json"), "{\"format\": ").unwrap(),
    |run| flip(&run.join("run.json"), 1000),
    |run| fs::write(run.join("parts-r000.jsonl"), "").unwrap(),
    |run| flip(&run.join("parts-r000.jsonl"), 40),
    |run| relist(run, |part| part["file"] = "../../../etc/passwd".into()),
    |run| fs::remove_file(run.join(PART)).unwrap(),
    |run| fs::write(run.join(PART), &fs::read(run.join(PART)).unwrap()[..100]).unwrap(),
    |run| replace_part(run, PART, &cpu_bomb()),
    |run| edit_manifest(run, "\"conv1.bias\"", "\"conv0.bias\""),
];

fn flip(file: &Path, position: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[position] ^= 0x10;
    fs::write(file, bytes).unwrap();
}

/// 43 bytes that keep a Parquet reader busy for ten seconds: a list of two thousand million elements of no size.
pub(crate) fn cpu_bomb() -> Vec<u8> {
    crate::crafted::file(&[], &[0xf9, 0xf1, 0xff, 0xff, 0xff, 0xff, 0x07, 0x00])
}

fn batch(runs: &[PathBuf], format: &str) -> Output {
    let args = ["estimate", "--format", format].map(Into::into);
    epsiloscope(args.into_iter().chain(runs.iter().map(|run| run.clone().into_os_string())))
}

#[test]
fn good_runs_of_a_damaged_batch_are_answered_as_ever() {
    let dir = tempfile::tempdir().unwrap();
    let mut synthetic = Synthetic { steps: 2, snapshots: vec![2], ..Synthetic::default() };
    synthetic.tensors.truncate(2);
    let write = |run: usize| {
        let seeded = Synthetic { seed: run as u64, ..synthetic.clone() };
        seeded.write(&dir.path().join(format!("r-{run:03}")))
    };
    let runs: Vec<PathBuf> = (0..RUNS).map(write).collect();
    let (damaged, good): (Vec<_>, Vec<_>) =
        (0..RUNS).map(|run| (run, runs[run].clone())).partition(|(run, _)| run % ONE_IN == 1);
    let good: Vec<PathBuf> = good.into_iter().map(|(_, path)| path).collect();
    let clean = ["json", "csv"].map(|format| batch(&good, format));
    for (n, (_, path)) in damaged.iter().enumerate() {
        DAMAGES[n % DAMAGES.len()](path);
    }
    for (format, clean) in ["json", "csv"].into_iter().zip(clean) {
        assert_eq!((clean.status, clean.stderr.as_str()), (0, ""));
        let Output { status, stdout, stderr } = batch(&runs, format);
        assert_eq!(status, 4, "{stderr}");
        assert!(stdout == clean.stdout, "{format} of the good runs has changed");
        let lines: Vec<&str> = stderr.lines().collect();
        assert_eq!(lines.len(), damaged.len(), "{stderr}");
        for (line, (_, path)) in lines.iter().zip(&damaged) {
            assert!(line.contains(&path.display().to_string()), "{line}");
        }
    }
}

#[test]
fn the_status_says_whether_all_some_or_no_runs_are_answered() {
    let dir = tempfile::tempdir().unwrap();
    let good = Synthetic::default().write(&dir.path().join("r-1"));
    let bad = dir.path().join("r-2");
    for (runs, status) in [(vec![&good], 0), (vec![&good, &bad], 4), (vec![&bad], 2)] {
        for command in ["estimate", "histogram", "inspect"] {
            let runs = runs.iter().map(|run| run.as_os_str());
            assert_eq!(epsiloscope([command.as_ref()].into_iter().chain(runs)).status, status, "{command}");
        }
    }
}
