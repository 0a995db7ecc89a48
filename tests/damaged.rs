//! Bad input: one clear line that names the file and what was expected, status 4, and the other runs still answered.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use epsiloscope_format::{Run, WriterOptions};
use parquet::arrow::ArrowWriter;

use crate::cli::{Output, epsiloscope};
use crate::resealed::{edit_manifest, relist, replace_part};
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
    assert_eq!(status, 4, "{stderr}");
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
    let newer = |bad: &Path| edit_manifest(bad, "\"schema_version\": 2", "\"schema_version\": 7");
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
    let shape = |bad: &Path| edit_manifest(bad, "\n        3000\n", "\n        4611686018427387904, 4\n");
    assert_one_line(shape, &["bad/run.json", "fc1.weight", "expected elements that a tensor can have"]);
    let recorded = |bad: &Path| {
        edit_manifest(bad, "\"recorded_elements\": 3000", "\"recorded_elements\": 100000000000000");
    };
    assert_one_line(recorded, &["bad/run.json", "fc1.weight", "with 100000000000000 of 3000 elements recorded"]);
    let both = |bad: &Path| {
        edit_manifest(bad, "\n        3000\n", "\n        100000000000000\n");
        edit_manifest(bad, "\"recorded_elements\": 3000", "\"recorded_elements\": 100000000000000");
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
        edit_manifest(bad, "\"recorded_elements\": 8", "\"recorded_elements\": 7");
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
    let edit = |bad: &Path| {
        let list = bad.join("parts-r000.jsonl");
        let text = fs::read_to_string(&list).unwrap();
        fs::write(list, text.replacen("\"through\":12", "\"through\":11", 1)).unwrap();
    };
    assert_one_line(edit, &["bad/parts-r000.jsonl", "line 1", "damaged: its digest is", "expected"]);
}

#[test]
fn a_manifest_that_was_edited() {
    let edit = |bad: &Path| {
        let text = fs::read_to_string(bad.join("run.json")).unwrap();
        fs::write(bad.join("run.json"), text.replacen("\"epsilon\": 0.0001", "\"epsilon\": 0.0002", 1)).unwrap();
    };
    assert_one_line(edit, &["bad/run.json: digest is ", "expected ", "that of the text before it"]);
}

#[test]
fn a_manifest_without_its_digest() {
    let unsealed = |bad: &Path| {
        let text = fs::read_to_string(bad.join("run.json")).unwrap();
        let fields = text.split(",\n  \"digest\"").next().unwrap();
        fs::write(bad.join("run.json"), format!("{fields}\n}}\n")).unwrap();
    };
    assert_one_line(unsealed, &["bad/run.json: digest is not at its end: expected the last field, as written"]);
}

#[test]
fn names_that_are_too_long() {
    let name = format!("conv1.bias{}", "x".repeat(503));
    let long = |bad: &Path| edit_manifest(bad, "conv1.bias", &name);
    assert_one_line(long, &["bad/run.json: a name is 513 bytes long: expected at most 512"]);
}

/// A finished run says how many rows it has: lines that are gone are missed, whichever they are.
#[test]
fn a_list_of_parts_with_lines_cut_off() {
    let options = WriterOptions { flush_rows: 5000, flush_secs: 1e9 };
    let synthetic = Synthetic { options, ..Synthetic::default() };
    let dir = tempfile::tempdir().unwrap();
    let path = synthetic.write(&dir.path().join("r-1"));
    let list = path.join("parts-r000.jsonl");
    let text = fs::read_to_string(&list).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    assert!(3 < lines.len());
    for gone in 0..lines.len() {
        let kept = lines.iter().enumerate().filter(|&(line, _)| line != gone).map(|(_, &line)| line);
        fs::write(&list, kept.collect::<String>()).unwrap();
        let fault = Run::open(&path).expect_err("a line is gone").to_string();
        assert!(
            fault.contains("parts-r000.jsonl") && fault.contains("as run.json says of the finished run"),
            "{fault}"
        );
    }
    fs::write(&list, lines.concat() + lines[0]).unwrap();
    let fault = Run::open(&path).expect_err("parts are listed twice").to_string();
    assert!(fault.contains("magnitudes/part-r000-00000.parquet is listed twice"), "{fault}");
}

/// Rank 0 cannot know the rows of others; what is cut off their lists makes the run an unfinished one.
#[test]
fn a_list_of_another_rank_with_lines_cut_off() {
    let options = WriterOptions { flush_rows: 2500, flush_secs: 1e9 };
    let dir = tempfile::tempdir().unwrap();
    let path = Synthetic { options, ranks: 2, ..Synthetic::default() }.write(&dir.path().join("r-1"));
    assert!(Run::open(&path).unwrap().is_finished());
    let list = path.join("parts-r001.jsonl");
    let text = fs::read_to_string(&list).unwrap();
    fs::write(&list, text.split_inclusive('\n').next().unwrap()).unwrap();
    let run = Run::open(&path).unwrap();
    assert!(!run.is_finished() && run.last_step() < 12);
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
        let fault = Run::open(&path).expect_err("the list is damaged").to_string();
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
    let rename = |bad: &Path| edit_manifest(bad, "fc1.weight", "fc1.whatever");
    assert_one_line(rename, &[PART, "tensor \"fc1.weight\" is not in the manifest"]);
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
