//! `epsiloscope verify`: sound runs are found sound, and each fault as what it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float32Array, Float64Array, Int32Array, Int64Array, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Float32Type, Float64Type, Int32Type, Int64Type};
use epsiloscope_analysis::verify::{Finding, Severity, verify};
use epsiloscope_format::fs::Disk;
use epsiloscope_format::{
    Cadence, CriticalEpsilonPolicy, Gradients, Ranks, Run, RunWriter, StepRange, Table, WriterOptions,
};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use crate::cli::epsiloscope;
use crate::damaged::histogram_part_with_a_text_bin;
use crate::resealed::{edit_manifest, relist, replace_part};
use crate::synthetic::{BINS_AT_SNAPSHOTS, Synthetic};

fn found(run: &Path) -> Vec<Finding> {
    verify(&Run::open(run).unwrap()).unwrap()
}

fn names(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.kind.name()).collect()
}

/// A run of every table, one part each, without totals.
struct Unfinished {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

fn unfinished() -> Unfinished {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r-1");
    Synthetic::default().write_unfinished(&path).flush().unwrap();
    assert_eq!(found(&path), []);
    Unfinished { _dir: dir, path }
}

/// Does damage to a run, which must be found as this and nothing else, in these words.
fn assert_finds(damage: impl FnOnce(&Path), kinds: &[&str], words: &[&str]) {
    let run = unfinished();
    damage(&run.path);
    let findings = found(&run.path);
    assert_eq!(names(&findings), kinds, "{findings:?}");
    let text = format!("{findings:?}");
    for word in words {
        assert!(text.contains(word), "no {word:?} in {text}");
    }
    let output = epsiloscope(["verify".as_ref(), run.path.as_os_str()]);
    let is_error = findings.iter().any(|finding| finding.kind.severity() == Severity::Error);
    assert_eq!((output.status, output.stderr.as_str()), (if is_error { 2 } else { 0 }, ""));
    assert!(kinds.iter().all(|kind| output.stdout.contains(kind)), "{}", output.stdout);
}

/// The part of a table of a run that has one each.
fn part(table: Table) -> String {
    let number = Table::ALL.iter().position(|&other| other == table).unwrap();
    format!("{}/part-r000-{number:05}.parquet", table.name())
}

/// Changes rows of a part and lists it anew, so that only the rows can give it away.
fn doctor(run: &Path, table: Table, change: impl FnOnce(RecordBatch) -> RecordBatch) {
    let part = part(table);
    let reader = ParquetRecordBatchReader::try_new(fs::File::open(run.join(&part)).unwrap(), 1 << 16).unwrap();
    let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    let batch = change(concat_batches(&batches[0].schema(), &batches).unwrap());
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    replace_part(run, &part, &writer.into_inner().unwrap());
    relist(run, |entry| {
        if entry["table"] == table.name() {
            entry["rows"] = batch.num_rows().into();
        }
    });
}

/// A batch with one column replaced.
fn with(batch: &RecordBatch, name: &str, change: impl FnOnce(&ArrayRef) -> ArrayRef) -> RecordBatch {
    let index = batch.schema().index_of(name).unwrap();
    let mut columns = batch.columns().to_vec();
    columns[index] = change(&columns[index]);
    RecordBatch::try_new(batch.schema(), columns).unwrap()
}

fn int64(name: &'static str, change: impl FnOnce(&mut [i64])) -> impl FnOnce(RecordBatch) -> RecordBatch {
    move |batch| {
        with(&batch, name, |column| {
            let mut values = column.as_primitive::<Int64Type>().values().to_vec();
            change(&mut values);
            Arc::new(Int64Array::from(values))
        })
    }
}

fn float32(name: &'static str, change: impl FnOnce(&mut [Option<f32>])) -> impl FnOnce(RecordBatch) -> RecordBatch {
    move |batch| {
        with(&batch, name, |column| {
            let mut values: Vec<Option<f32>> = column.as_primitive::<Float32Type>().iter().collect();
            change(&mut values);
            Arc::new(Float32Array::from(values))
        })
    }
}

fn without_row(row: usize) -> impl FnOnce(RecordBatch) -> RecordBatch {
    move |batch| {
        let rest = batch.slice(row + 1, batch.num_rows() - row - 1);
        concat_batches(&batch.schema(), &[batch.slice(0, row), rest]).unwrap()
    }
}

/// The first row of `tensors` of a tensor's gradients.
fn row_of(batch: &RecordBatch, tensor: &str) -> usize {
    let column = |name: &str| batch.column_by_name(name).unwrap().as_string::<i32>().clone();
    let (tensors, quantities) = (column("tensor"), column("quantity"));
    (0..batch.num_rows()).find(|&row| tensors.value(row) == tensor && quantities.value(row) == "gradient").unwrap()
}

#[test]
fn sound_runs_are_sound_however_they_were_recorded() {
    let plain = Synthetic::default;
    let policy = |every_step, elements| Some(CriticalEpsilonPolicy { every_step, elements, ..BINS_AT_SNAPSHOTS });
    let ranges = vec![StepRange { first: 2, last: Some(6) }, StepRange { first: 8, last: None }];
    let small_parts = WriterOptions { flush_rows: 701, flush_secs: 1e9 };
    for synthetic in [
        plain(),
        Synthetic { sample: Some(50), signs: false, overflows: vec![1, 5, 12], ..plain() },
        Synthetic { sample: Some(0), critical_epsilon: policy(true, false), ..plain() },
        Synthetic { histograms: false, critical_epsilon: policy(false, true), ..plain() },
        Synthetic { options: small_parts, ranks: 3, sample: Some(50), ..plain() },
        Synthetic { options: small_parts, cadence: Cadence { every: 2, ranges }, ..plain() },
    ] {
        let dir = tempfile::tempdir().unwrap();
        let run = synthetic.write(&dir.path().join("r-1"));
        assert_eq!(found(&run), [], "{:?}", (synthetic.sample, synthetic.ranks, synthetic.cadence));
    }
}

#[test]
fn the_runs_that_the_project_carries_are_sound() {
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/runs");
    let output = epsiloscope(["verify", data]);
    let expected = "cnn-calibration: ok\ncnn-training: ok\nmlp-rmsprop: ok\n";
    assert_eq!((output.status, output.stdout.as_str(), output.stderr.as_str()), (0, expected, ""));
}

#[test]
fn every_format_has_every_finding() {
    let run = unfinished();
    fs::remove_file(run.path.join(part(Table::Steps))).unwrap();
    let verify = |format: &str| {
        let output = epsiloscope(["verify", run.path.to_str().unwrap(), "--format", format]);
        assert_eq!((output.status, output.stderr.as_str()), (2, ""));
        output.stdout
    };
    assert!(verify("table").starts_with("r-1: 1 error\n\n"), "{}", verify("table"));
    assert!(
        verify("csv").starts_with("run,file,table,step,finding,expected,found,times,severity\nr-1,steps/part-r000")
    );
    let json: serde_json::Value = serde_json::from_str(&verify("json")).unwrap();
    let (finding, file) = (&json[0], part(Table::Steps));
    assert_eq!((&finding["finding"], &finding["severity"]), (&"missing".into(), &"error".into()));
    assert_eq!((&finding["file"], &finding["table"], &finding["step"]), (&file.into(), &"steps".into(), &1.into()));
    assert!(verify("parquet").starts_with("PAR1"));
}

#[test]
fn nothing_found_is_an_empty_table() {
    let run = unfinished();
    let verify = |format: &str| epsiloscope(["verify", run.path.to_str().unwrap(), "--format", format]).stdout;
    assert_eq!(verify("json").trim(), "[]");
    assert_eq!(verify("csv"), "run,file,table,step,finding,expected,found,times,severity\n");
    assert_eq!(verify("table"), "r-1: ok\n");
}

#[test]
fn one_bad_run_hides_no_other() {
    let (good, bad) = (unfinished(), unfinished());
    fs::remove_file(bad.path.join("run.json")).unwrap();
    let output = epsiloscope(["verify".as_ref(), bad.path.as_os_str(), good.path.as_os_str()]);
    assert_eq!((output.status, output.stdout.as_str()), (4, "r-1: ok\n"));
    assert!(output.stderr.contains("no run.json here"), "{}", output.stderr);
}

#[test]
fn a_part_that_is_gone_cut_changed_or_foreign() {
    assert_finds(|run| fs::remove_file(run.join(part(Table::Histograms))).unwrap(), &["missing"], &["No such file"]);
    let file = part(Table::Magnitudes);
    let rewrite = |run: &Path, change: fn(&mut Vec<u8>)| {
        let mut bytes = fs::read(run.join(&file)).unwrap();
        change(&mut bytes);
        fs::write(run.join(&file), bytes).unwrap();
    };
    assert_finds(|run| rewrite(run, |bytes| bytes.truncate(100)), &["size"], &["\"100 bytes\""]);
    assert_finds(|run| rewrite(run, |bytes| bytes[100] ^= 1), &["digest"], &[&file]);
    assert_finds(|run| replace_part(run, &file, b"PAR1 but not really"), &["footer"], &["a Parquet file"]);
    let text_bin = |run: &Path| replace_part(run, &part(Table::Histograms), &histogram_part_with_a_text_bin());
    assert_finds(text_bin, &["schema"], &["column bin: Int32", "Utf8"]);
    let more_rows = |run: &Path| relist(run, |part| part["rows"] = (part["rows"].as_u64().unwrap() + 1).into());
    assert_finds(more_rows, &["content"; 5], &["rows: expected"]);
}

#[test]
fn what_is_there_twice_or_out_of_order() {
    let twice = int64("element", |elements| elements[1] = elements[0]);
    assert_finds(|run| doctor(run, Table::Magnitudes, twice), &["duplicate"], &["the row before again"]);
    let swapped = int64("element", |elements| elements.swap(3, 4));
    assert_finds(|run| doctor(run, Table::Magnitudes, swapped), &["order"], &["ascending rows", "times: 1"]);
    let step = int64("step", |steps| steps.swap(3, 4));
    assert_finds(|run| doctor(run, Table::Scalars, step), &["order"], &["step: Some(2)"]);
}

#[test]
fn listed_steps_that_are_not_the_part_s() {
    let other = |part: &mut serde_json::Value| {
        if part["table"] == "tensors" {
            part["last_step"] = 11.into();
        }
    };
    assert_finds(|run| relist(run, other), &["listed_steps"], &["steps 1 to 11", "steps 1 to 12"]);
}

#[test]
fn values_that_cannot_be() {
    let negative = float32("magnitude", |values| values[0] = values[0].map(|value| -value));
    assert_finds(|run| doctor(run, Table::Magnitudes, negative), &["range"], &["a magnitude"]);
    let negative_zero = float32("magnitude", |values| values[0] = Some(-0.0));
    assert_finds(|run| doctor(run, Table::Magnitudes, negative_zero), &["range"], &["\"-0.0\""]);
    let beyond = int64("element", |elements| elements[7] = 8);
    assert_finds(|run| doctor(run, Table::Magnitudes, beyond), &["range"], &["elements 0 to 7", "element 8"]);
    let bin = |batch: RecordBatch| {
        with(&batch, "bin", |column| {
            let mut bins = column.as_primitive::<Int32Type>().values().to_vec();
            bins[0] = -1796;
            Arc::new(Int32Array::from(bins))
        })
    };
    assert_finds(
        |run| doctor(run, Table::Histograms, bin),
        &["content"],
        &["bin -1796: expected one of -1795 to 1541"],
    );
    let zeros = |batch: RecordBatch| {
        let row = row_of(&batch, "conv1.weight");
        let batch = int64("nan", |nan| nan[row] -= 1)(batch);
        int64("zeros", |zeros| zeros[row] += 1)(batch)
    };
    assert_finds(|run| doctor(run, Table::Tensors, zeros), &["range"], &["count -1"]);
}

#[test]
fn sums_that_do_not_add_up() {
    let count = int64("count", |counts| counts[0] += 1);
    assert_finds(|run| doctor(run, Table::Histograms, count), &["counts"], &["8 elements in bins", "\"9\""]);
    let numel = |batch: RecordBatch| {
        let row = row_of(&batch, "conv1.weight");
        let batch = int64("numel", |numel| numel[row] += 1)(batch);
        int64("zeros", |zeros| zeros[row] += 1)(batch)
    };
    assert_finds(|run| doctor(run, Table::Tensors, numel), &["numel"], &["72 elements of conv1.weight", "\"73\""]);
    assert_finds(
        |run| doctor(run, Table::Magnitudes, without_row(7)),
        &["elements"],
        &["8 recorded elements of conv1.bias", "\"7\"", "step: Some(1)"],
    );
    let summary = |batch: RecordBatch| without_row(row_of(&batch, "conv1.weight"))(batch);
    assert_finds(|run| doctor(run, Table::Tensors, summary), &["no_summary"], &["step: Some(1)"]);
    assert_finds(|run| doctor(run, Table::Steps, without_row(4)), &["no_step", "gap"], &["step 5 in steps"]);
}

#[test]
fn summaries_that_contradict_the_bins_or_themselves() {
    let change = |batch: RecordBatch, column, factor: f32| {
        let row = row_of(&batch, "conv1.weight");
        float32(column, |values| values[row] = values[row].map(|value| value * factor))(batch)
    };
    let min = |batch| change(batch, "min_nonzero", 1.2);
    assert_finds(|run| doctor(run, Table::Tensors, min), &["extremes"], &["extremes of bins"]);
    let no_min = |batch| change(batch, "min_nonzero", 0.0);
    assert_finds(|run| doctor(run, Table::Tensors, no_min), &["extremes"], &["0e0 to "]);
    for factor in [0.0, 1e3, f64::NAN] {
        let sum = |batch: RecordBatch| {
            let row = row_of(&batch, "conv1.weight");
            with(&batch, "sum_of_squares", |column| {
                let mut sums = column.as_primitive::<Float64Type>().values().to_vec();
                sums[row] *= factor;
                Arc::new(Float64Array::from(sums))
            })
        };
        assert_finds(|run| doctor(run, Table::Tensors, sum), &["sum_of_squares"], &["a sum of squares from"]);
    }
}

#[test]
fn totals_that_are_not_those_of_the_parts() {
    let dir = tempfile::tempdir().unwrap();
    let run = Synthetic::default().write(&dir.path().join("r-1"));
    edit_manifest(&run, "\"steps\": 12,", "\"steps\": 13,");
    let findings = found(&run);
    assert_eq!(names(&findings), ["totals"]);
    assert_eq!((findings[0].expected.as_str(), findings[0].found.as_str()), ("13 steps", "12"));
    edit_manifest(&run, "\"steps\": 13,", "\"steps\": 12,");
    // The same rows in other bytes.
    doctor(&run, Table::Magnitudes, |batch| batch);
    let findings = found(&run);
    assert_eq!(names(&findings), ["file_totals"]);
    assert_eq!(findings[0].kind.severity(), Severity::Warning);
}

#[test]
fn what_is_missing_or_lies_about_is_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let run = Synthetic { dropped: vec![5, 6, 9], ..Synthetic::default() }.write(&dir.path().join("r-1"));
    let findings = found(&run);
    assert_eq!(names(&findings), ["gap", "dropped"]);
    assert_eq!((findings[0].step, findings[0].found.as_str(), findings[0].times), (Some(5), "no steps 5 to 6", 2));
    assert_finds(|run| fs::write(run.join("steps/notes.txt"), "mine").unwrap(), &["orphan"], &["steps/notes.txt"]);
    let resume = |run: &Path| {
        let synthetic = Synthetic::default();
        let writer = RunWriter::resume(run, &synthetic.manifest(run), 0, true, WriterOptions::default());
        let mut writer = writer.unwrap();
        synthetic.append(&mut writer, 0, 1..=12);
        writer.flush().unwrap();
    };
    assert_finds(resume, &["superseded"; 5], &["superseded/magnitudes/part-r000-00000.parquet"]);
}

/// Ranks that recorded all of every tensor, each taken for a shard.
#[test]
fn shards_must_make_up_their_tensors() {
    for (sample, kinds) in [(Some(0), &["numel"][..]), (None, &["elements", "numel"])] {
        let dir = tempfile::tempdir().unwrap();
        let whole = Synthetic { sample, critical_epsilon: None, ..Synthetic::default() };
        let mut manifest = whole.manifest(dir.path());
        manifest.ranks = Ranks { world_size: 2, gradients: Gradients::Sharded };
        for rank in 0..2 {
            let writer = RunWriter::create_on(Arc::new(Disk), dir.path(), rank, manifest.clone(), whole.options);
            let mut writer = writer.unwrap();
            whole.append(&mut writer, 0, 1..=whole.steps);
            writer.flush().unwrap();
        }
        let findings = found(dir.path());
        assert_eq!(names(&findings), kinds, "{findings:?}");
        assert!(findings.iter().all(|finding| finding.times == 12 * 4), "{findings:?}");
    }
}
