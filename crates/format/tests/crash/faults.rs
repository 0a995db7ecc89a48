//! A disk that fails at each call of a short run, in each way, once, for a while or for good.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use epsiloscope_format::{Resumption, Run, RunWriter, Status, WriterOptions, now};

use crate::failing_disk::{FailingDisk, Fault};
use crate::recording::{BY_HAND, ROWS_PER_STEP, complete, copy, interrupted, manifest, record, scratch};
use crate::views::{assert_exactly, assert_globbed, read_steps};

/// Steps of a run.
const STEPS: i64 = 3;
/// Every step is flushed as it comes.
const EVERY_STEP: WriterOptions = WriterOptions { flush_secs: 0.0, ..BY_HAND };

/// How long the disk fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failing {
    Once,
    /// For so many calls that a flush and the one after it fail, and the manifest may still be written.
    Awhile,
    /// Until the last step.
    UntilLast,
    Forever,
}

impl Failing {
    fn from(self, call: u64, fault: Fault) -> FailingDisk {
        let n_calls = match self {
            Self::Once => 1,
            Self::Awhile => 10,
            Self::UntilLast | Self::Forever => u64::MAX - call,
        };
        FailingDisk::failing(call..call + n_calls, fault)
    }
}

#[test]
fn a_run_survives_any_call_failing_once() {
    record_with_faults(Failing::Once);
}

#[test]
fn a_run_survives_any_calls_failing_for_a_while() {
    record_with_faults(Failing::Awhile);
}

#[test]
fn a_disk_that_comes_back_loses_nothing() {
    record_with_faults(Failing::UntilLast);
}

#[test]
fn a_disk_that_never_comes_back_leaves_what_it_had() {
    record_with_faults(Failing::Forever);
}

fn record_with_faults(failing: Failing) {
    let scratch = scratch();
    let sound = FailingDisk::default();
    record_on(&sound, &scratch.path().join("sound"), failing, "no fault");
    for call in 0..sound.n_calls() {
        for fault in Fault::ALL {
            let context = format!("{fault:?} at call {call}, {failing:?}");
            let dir = scratch.path().join("run");
            record_on(&failing.from(call, fault), &dir, failing, &context);
            std::fs::remove_dir_all(&dir).expect("the directory can be removed");
        }
    }
}

/// Records a run on a disk that may fail, and takes it up on one that does not if it could not be finished.
fn record_on(disk: &FailingDisk, dir: &Path, failing: Failing, context: &str) {
    let created = RunWriter::create_on(Arc::new(disk.clone()), dir, 0, manifest(), EVERY_STEP);
    if created.is_ok_and(|writer| append_and_finish(writer, disk, dir, failing, context)) {
        return;
    }
    let kept = read_steps(dir, context);
    complete(dir, kept.last().copied().unwrap_or(0), STEPS);
    assert_exactly(dir, 1..=STEPS, context);
}

/// Whether the run could be finished.
fn append_and_finish(mut writer: RunWriter, disk: &FailingDisk, dir: &Path, failing: Failing, context: &str) -> bool {
    let mut kept = BTreeSet::new();
    for step in 1..=STEPS {
        if step == STEPS && failing == Failing::UntilLast {
            disk.heal();
        }
        let n_faults = disk.n_faults();
        let appended = writer.append(record(step));
        let now_kept = read_steps(dir, context);
        assert!(kept.is_subset(&now_kept), "{context}: {kept:?} were kept, now {now_kept:?}");
        assert!(now_kept.iter().copied().eq(1..=now_kept.len() as i64), "{context}: {now_kept:?} is no prefix");
        if disk.n_faults() == n_faults {
            assert_eq!(now_kept.len() as i64, step, "{context}: a sound flush publishes what waited");
            assert!(appended.is_ok(), "{context}: without a new fault there is nothing to tell");
        }
        kept = now_kept;
    }
    assert_globbed(dir, &kept, context);
    let finished = writer.finish();
    match &finished {
        Ok(losses) => {
            assert_eq!(losses.dropped_steps, 0, "{context}: the buffer was never full");
            assert_exactly(dir, 1..=STEPS, context);
            assert!(Run::open(dir).expect("a run").is_finished(), "{context}");
        }
        Err(_fault) => {
            assert!(
                matches!(failing, Failing::Awhile | Failing::Forever),
                "{context}: nothing keeps it from finishing"
            );
            assert_accounted(dir, context);
        }
    }
    finished.is_ok()
}

/// Kept and dropped steps must add up, if the disk took the manifest at all.
fn assert_accounted(dir: &Path, context: &str) {
    let kept = read_steps(dir, context);
    let manifest = std::fs::read(dir.join("run.json")).expect("the manifest can be read");
    let mut manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("a manifest");
    manifest.as_object_mut().expect("an object").remove("digest");
    let manifest: epsiloscope_format::Manifest = serde_json::from_value(manifest).expect("a manifest");
    match manifest.status {
        Status::Running => assert_eq!(manifest.losses.dropped_steps, 0, "{context}"),
        Status::Finished => assert_eq!(kept.len() as i64, STEPS, "{context}"),
        Status::Failed => {
            assert_eq!(kept.len() as u64 + manifest.losses.dropped_steps, STEPS as u64, "{context}: every step once");
            assert!(!manifest.losses.faults.is_empty(), "{context}: the cause is told");
        }
    }
}

#[test]
fn resuming_survives_any_call_failing() {
    let scratch = scratch();
    let template = scratch.path().join("template");
    interrupted(&template, 4);
    complete(&template, 4, 4);
    let resume = |disk: &FailingDisk, dir: &Path| {
        let at = Resumption { after_step: 3, at: now(), moments_restored: true };
        RunWriter::resume_on(Arc::new(disk.clone()), dir, 0, &manifest(), at, EVERY_STEP)
    };
    let sound = FailingDisk::default();
    copy(&template, &scratch.path().join("sound"));
    resume(&sound, &scratch.path().join("sound")).expect("a sound disk resumes");
    for call in 0..sound.n_calls() {
        for (fault, failing) in
            Fault::ALL.into_iter().flat_map(|fault| [(fault, Failing::Once), (fault, Failing::Forever)])
        {
            let context = format!("{fault:?} at call {call} of a resumption, {failing:?}");
            let dir = scratch.path().join("run");
            copy(&template, &dir);
            let disk = failing.from(call, fault);
            let resumed = resume(&disk, &dir);
            let kept = read_steps(&dir, &context);
            let wanted = if resumed.is_ok() { 3..=3 } else { 3..=4 };
            assert!(wanted.contains(&(kept.len() as i64)), "{context}: {kept:?}");
            let is_finished = Run::open(&dir).expect("the run can be opened").is_finished();
            assert!(!is_finished || kept.len() == 4, "{context}: a run that was cut passes for finished");
            // Those of the part that is never moved.
            assert_globbed(&dir, &BTreeSet::from([1, 2]), &context);
            drop(resumed);
            complete(&dir, 3, 5);
            assert_exactly(&dir, 1..=5, &context);
            std::fs::remove_dir_all(&dir).expect("the directory can be removed");
        }
    }
}

#[test]
fn a_full_buffer_drops_steps_and_counts_them() {
    let scratch = scratch();
    let dir = scratch.path().join("run");
    let disk = FailingDisk::default();
    // Two steps fill the buffer.
    let options = WriterOptions { flush_rows: 2 * ROWS_PER_STEP, flush_secs: 1e9 };
    let mut writer =
        RunWriter::create_on(Arc::new(disk.clone()), &dir, 0, manifest(), options).expect("the run can be created");
    disk.crash_after(0, Fault::NoSpace);
    let told = (1..=9).filter(|&step| writer.append(record(step)).is_err()).count();
    assert_eq!(told, 1, "a fault is told once");
    assert_eq!(writer.losses().dropped_steps, 5, "two steps wait encoded, two as rows");
    disk.heal();
    writer.flush().expect("the disk is back");
    assert_eq!(read_steps(&dir, "after the fault"), BTreeSet::from([1, 2, 3, 4]));
    writer.append(record(10)).expect("the disk is back");
    let losses = writer.finish().expect("the disk is back");
    assert_eq!((losses.dropped_steps, losses.faults.len()), (5, 1));
    assert_exactly(&dir, [1, 2, 3, 4, 10], "after finishing");
    let run = Run::open(&dir).expect("the run can be opened");
    assert_eq!((run.dropped_steps(), run.missing_steps().expect("steps can be read")), (5, vec![(5, 9)]));
    // What was dropped and is recorded now is dropped no longer.
    complete(&dir, 4, 10);
    assert_exactly(&dir, 1..=10, "after resuming");
    assert_eq!(Run::open(&dir).expect("the run can be opened").dropped_steps(), 0);
}
