//! Bad input: one clear line that names the file and what was expected, status 2, and the other runs still answered.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;

use crate::cli::{Output, epsiloscope};
use crate::synthetic::Synthetic;

/// A directory with a good run and one that `damage` has been done to.
struct Pair {
    _dir: tempfile::TempDir,
    good: PathBuf,
    bad: PathBuf,
}

fn pair(damage: impl FnOnce(&Path)) -> Pair {
    let dir = tempfile::tempdir().unwrap();
    let (good, bad) = (dir.path().join("good"), dir.path().join("bad"));
    Synthetic::default().write(&good);
    Synthetic::default().write(&bad);
    damage(&bad);
    Pair { _dir: dir, good, bad }
}

/// Estimates both runs; the good one is answered, the bad one gets one line that has all the words.
pub(crate) fn assert_one_line(damage: impl FnOnce(&Path), words: &[&str]) {
    let pair = pair(damage);
    let Output { status, stdout, stderr } =
        epsiloscope(["estimate".as_ref(), pair.bad.as_os_str(), pair.good.as_os_str()]);
    assert_eq!(status, 2, "{stderr}");
    assert!(stdout.contains("good") && !stdout.contains("bad "), "{stdout}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "no {word:?} in {stderr}");
    }
}

// A flush numbers its parts table by table.
pub(crate) const PART: &str = "magnitudes/part-r000-00000.parquet";
const HISTOGRAM_PART: &str = "histograms/part-r000-00001.parquet";

#[test]
fn a_missing_run() {
    assert_one_line(
        |bad| fs::remove_dir_all(bad).unwrap(),
        &["bad", "no such directory: expected that of a recorded run"],
    );
}

#[test]
fn an_empty_directory() {
    let empty = |bad: &Path| {
        fs::remove_dir_all(bad).unwrap();
        fs::create_dir(bad).unwrap();
    };
    assert_one_line(empty, &["bad", "no run.json here", "expected the directory of a recorded run"]);
}

#[test]
fn a_file_in_place_of_a_directory() {
    let file = |bad: &Path| {
        fs::remove_dir_all(bad).unwrap();
        fs::write(bad, "not a run").unwrap();
    };
    assert_one_line(file, &["bad", "expected the directory of a recorded run"]);
}

#[test]
fn a_half_written_run_without_a_complete_step() {
    let half = |bad: &Path| fs::remove_file(bad.join("parts-r000.jsonl")).unwrap();
    assert_one_line(half, &["bad", "no complete step was recorded"]);
}

#[test]
fn a_foreign_manifest() {
    let foreign = |bad: &Path| fs::write(bad.join("run.json"), r#"{"format":"other","schema_version":1}"#).unwrap();
    assert_one_line(foreign, &["bad/run.json", "format is other", "expected epsiloscope-run"]);
}

#[test]
fn a_manifest_that_is_no_json() {
    let garbage = |bad: &Path| fs::write(bad.join("run.json"), "{\"format\": ").unwrap();
    assert_one_line(garbage, &["bad/run.json", "expected a run manifest", "line 1"]);
}

#[test]
fn an_empty_manifest() {
    assert_one_line(|bad| fs::write(bad.join("run.json"), "").unwrap(), &["bad/run.json", "expected a run manifest"]);
}

#[test]
fn a_manifest_of_a_newer_schema() {
    let newer = |bad: &Path| replace(&bad.join("run.json"), "\"schema_version\": 2", "\"schema_version\": 7");
    assert_one_line(newer, &["bad/run.json", "schema version 7: expected 2"]);
}

/// Refused by its version, whatever else it holds.
#[test]
fn a_manifest_of_an_older_schema() {
    let older =
        |bad: &Path| fs::write(bad.join("run.json"), r#"{"format":"epsiloscope-run","schema_version":1}"#).unwrap();
    assert_one_line(older, &["bad/run.json", "schema version 1: expected 2"]);
}

#[test]
fn a_manifest_of_impossible_tensors() {
    let shape = |bad: &Path| replace(&bad.join("run.json"), "\n        3000\n", "\n        4611686018427387904, 4\n");
    assert_one_line(shape, &["bad/run.json", "fc1.weight", "expected elements that a tensor can have"]);
    let recorded = |bad: &Path| {
        replace(&bad.join("run.json"), "\"recorded_elements\": 3000", "\"recorded_elements\": 100000000000000");
    };
    assert_one_line(recorded, &["bad/run.json", "fc1.weight", "with 100000000000000 of 3000 elements recorded"]);
    let both = |bad: &Path| {
        replace(&bad.join("run.json"), "\n        3000\n", "\n        100000000000000\n");
        replace(&bad.join("run.json"), "\"recorded_elements\": 3000", "\"recorded_elements\": 100000000000000");
    };
    assert_one_line(both, &["bad: magnitudes of", "fc1.weight", "3000 elements: expected 100000000000000"]);
}

#[test]
fn a_truncated_part() {
    let truncate = |bad: &Path| {
        let bytes = fs::read(bad.join(PART)).unwrap();
        fs::write(bad.join(PART), &bytes[..bytes.len() / 2]).unwrap();
    };
    assert_one_line(truncate, &[PART, "bytes: expected", "as listed"]);
}

#[test]
fn a_missing_part() {
    assert_one_line(|bad| fs::remove_file(bad.join(PART)).unwrap(), &[PART, "No such file or directory"]);
}

#[test]
fn a_part_with_one_flipped_bit() {
    let flip = |bad: &Path| {
        let mut bytes = fs::read(bad.join(PART)).unwrap();
        let middle = bytes.len() / 3;
        bytes[middle] ^= 4;
        fs::write(bad.join(PART), bytes).unwrap();
    };
    assert_one_line(flip, &[PART, "damaged", "expected"]);
}

#[test]
fn a_part_with_a_wrong_column_type() {
    let other_table = |bad: &Path| replace_part(bad, PART, &histogram_part_with_a_text_bin());
    assert_one_line(other_table, &[PART, "column element", "expected Int64", "found nothing"]);
    let wrong_type = |bad: &Path| {
        replace_part(bad, HISTOGRAM_PART, &histogram_part_with_a_text_bin());
        // With every element recorded an estimate reads no histogram; make it.
        replace(&bad.join("run.json"), "\"recorded_elements\": 8", "\"recorded_elements\": 7");
    };
    assert_one_line(wrong_type, &[HISTOGRAM_PART, "column bin", "expected Int32", "found Utf8"]);
}

#[test]
fn a_part_that_is_no_parquet() {
    assert_one_line(|bad| replace_part(bad, PART, b"PAR1 but not really"), &[PART, "expected a Parquet file"]);
}

#[test]
fn a_list_of_parts_that_points_outside() {
    let escape = |bad: &Path| relist(bad, |part| part["file"] = "../../../etc/passwd".into());
    assert_one_line(escape, &["bad/parts-r000.jsonl", "line 1", "part-rNNN-NNNNN.parquet"]);
}

#[test]
fn a_list_of_parts_that_was_edited() {
    let edit = |bad: &Path| replace(&bad.join("parts-r000.jsonl"), "\"through\":12", "\"through\":11");
    assert_one_line(edit, &["bad/parts-r000.jsonl", "line 1", "damaged: its digest is", "expected"]);
}

/// Every line carries a digest of itself; the line break at its end is what makes it count.
#[test]
fn a_list_of_parts_with_one_flipped_bit() {
    let dir = tempfile::tempdir().unwrap();
    let path = Synthetic::default().write(&dir.path().join("r-1"));
    let list = path.join("parts-r000.jsonl");
    let original = fs::read(&list).unwrap();
    for position in 0..original.len() {
        let mut bytes = original.clone();
        bytes[position] ^= 1 << (position % 8);
        fs::write(&list, &bytes).unwrap();
        let fault = epsiloscope_format::Run::open(&path).expect_err("the list is damaged").to_string();
        let words = if position + 1 == original.len() { "no complete step" } else { "parts-r000.jsonl: line 1" };
        assert!(fault.contains(words), "byte {position}: {fault}");
    }
}

#[test]
fn a_torn_last_line_of_the_list_lists_nothing() {
    let pair = pair(|bad| {
        let list = bad.join("parts-r000.jsonl");
        let mut text = fs::read_to_string(&list).unwrap();
        text.push_str("{\"commit\":{\"genera");
        fs::write(&list, text).unwrap();
    });
    let output = epsiloscope(["estimate".as_ref(), pair.bad.as_os_str()]);
    assert_eq!((output.status, output.stderr.as_str()), (0, ""));
}

#[test]
fn a_tensor_that_the_manifest_does_not_know() {
    let rename = |bad: &Path| replace(&bad.join("run.json"), "fc1.weight", "fc1.whatever");
    assert_one_line(rename, &[PART, "tensor \"fc1.weight\" is not in the manifest"]);
}

/// Every byte of every small file of a run, changed one at a time, is noticed or changes no answer.
#[test]
fn no_changed_byte_changes_an_answer_unnoticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r-1");
    let mut synthetic = Synthetic { steps: 2, ..Synthetic::default() };
    synthetic.tensors.truncate(2);
    synthetic.write(&path);
    let answer = || {
        let run = epsiloscope_format::Run::open(&path).ok()?;
        let table = epsiloscope_analysis::histograms(&run, &epsiloscope_analysis::HistogramOptions::default()).ok()?;
        let options = epsiloscope_analysis::EstimateOptions::default();
        Some((table, epsiloscope_analysis::estimate(&run, &options).ok()?))
    };
    let expected = answer().unwrap();
    for file in [PART, HISTOGRAM_PART, "parts-r000.jsonl"] {
        let original = fs::read(path.join(file)).unwrap();
        for position in (0..original.len()).step_by(7) {
            let mut bytes = original.clone();
            bytes[position] ^= 1 << (position % 8);
            fs::write(path.join(file), &bytes).unwrap();
            if let Some((table, estimates)) = answer() {
                assert!(table == expected.0 && estimates == expected.1, "{file}: byte {position}");
            }
        }
        fs::write(path.join(file), original).unwrap();
    }
}

pub(crate) fn replace(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "no {from} in {}", path.display());
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

/// Puts other bytes in a part's place and lists them with the right length and digest, as a hostile writer would.
pub(crate) fn replace_part(run: &Path, part: &str, bytes: &[u8]) {
    fs::write(run.join(part), bytes).unwrap();
    let (table, file) = part.split_once('/').unwrap();
    relist(run, |part| {
        if part["table"] == table && part["file"] == file {
            part["bytes"] = bytes.len().into();
            part["digest"] = digest(bytes).into();
        }
    });
}

/// Changes the entries of a list and gives its lines the digests that they then have.
pub(crate) fn relist(run: &Path, change: impl Fn(&mut serde_json::Value)) {
    let list = run.join("parts-r000.jsonl");
    let lines = fs::read_to_string(&list).unwrap();
    let relisted = lines.lines().map(|line| {
        let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["commit"]["parts"].as_array_mut().unwrap().iter_mut().for_each(&change);
        let commit = line["commit"].to_string();
        format!("{{\"commit\":{commit},\"digest\":\"{}\"}}\n", digest(commit.as_bytes()))
    });
    fs::write(&list, relisted.collect::<String>()).unwrap();
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("{:032x}", twox_hash::XxHash3_128::oneshot(bytes))
}

/// What `histograms` would be with a text column for the bin.
pub(crate) fn histogram_part_with_a_text_bin() -> Vec<u8> {
    let field = |name, data_type| Field::new(name, data_type, false);
    let schema = Arc::new(Schema::new(vec![
        field("step", DataType::Int64),
        field("tensor", DataType::Utf8),
        field("quantity", DataType::Utf8),
        field("bin", DataType::Utf8),
        field("count", DataType::Int32),
    ]));
    let text = |value: &str| Arc::new(StringArray::from(vec![value]));
    let batch = RecordBatch::try_new(
        schema.clone(),
        vec![
            Arc::new(Int64Array::from(vec![1])),
            text("fc1.weight"),
            text("gradient"),
            text("-80"),
            Arc::new(Int32Array::from(vec![1])),
        ],
    );
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, None).unwrap();
    writer.write(&batch.unwrap()).unwrap();
    writer.into_inner().unwrap()
}
