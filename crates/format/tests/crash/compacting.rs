//! Compaction: the same rows in fewer parts, whatever fails meanwhile.

use std::path::Path;

use epsiloscope_format::fs::Disk;
use epsiloscope_format::{CompactOptions, Compaction, FormatError, Run, RunWriter, Table, compact, compact_on};

use crate::failing_disk::{FailingDisk, Fault};
use crate::recording::{BY_HAND, complete, copy, entries, interrupted, manifest, record, scratch};
use crate::views::{assert_exactly, read_steps};

/// Steps of a run that is compacted.
pub(crate) const STEPS: i64 = 8;
/// Three flushes' worth of magnitudes: four parts become two.
pub(crate) const OPTIONS: CompactOptions = CompactOptions { part_rows: 30 };

/// A run of four flushes, and what an interrupted compaction and a killed recorder may have left in it.
pub(crate) fn scattered(dir: &Path) {
    interrupted(dir, STEPS);
    std::fs::copy(dir.join("magnitudes/part-r000-00000.parquet"), dir.join("magnitudes/part-r000-00099.parquet"))
        .expect("a file can be copied");
    std::fs::write(dir.join("steps/.part-r000-00098.parquet.tmp-1"), b"half").expect("a file can be written");
}

/// Whatever a compaction came to, the next one comes to its end, and the run can be resumed.
pub(crate) fn assert_compacts_and_resumes(dir: &Path, context: &str) {
    compact(dir, OPTIONS).unwrap_or_else(|fault| panic!("{context}: {fault}"));
    assert_exactly(dir, 1..=STEPS, context);
    assert_eq!(Run::open(dir).expect("a run").parts(Table::Magnitudes).count(), 2, "{context}");
    complete(dir, 3, 5);
    assert_exactly(dir, 1..=5, context);
    let run = Run::open(dir).expect("a run");
    assert!(run.is_finished() && run.orphans().expect("folders can be listed").is_empty(), "{context}");
}

#[test]
fn parts_become_few_and_rows_stay() {
    let scratch = scratch();
    let dir = scratch.path().join("run");
    scattered(&dir);
    let done = compact(&dir, OPTIONS).expect("the run can be compacted");
    assert_eq!(sizes(&done, Table::Magnitudes), [(4, 40), (2, 40)]);
    assert_eq!(sizes(&done, Table::Tensors), [(4, 16), (1, 16)]);
    assert_eq!(sizes(&done, Table::Steps), [(4, 8), (1, 8)]);
    let bytes = |table| Run::open(&dir).expect("a run").parts(table).map(|part| part.bytes).sum::<u64>();
    assert!(Table::ALL.into_iter().all(|table| done.after.tables[&table].bytes == bytes(table)));
    assert_exactly(&dir, 1..=STEPS, "compacted");
    assert_compacts_and_resumes(&dir, "compacted");
}

/// Parts and rows, before and after.
fn sizes(done: &Compaction, table: Table) -> [(u64, u64); 2] {
    [&done.before, &done.after].map(|totals| (totals.tables[&table].parts, totals.tables[&table].rows))
}

#[test]
fn a_second_compaction_changes_nothing() {
    let scratch = scratch();
    let dir = scratch.path().join("run");
    scattered(&dir);
    let done = compact(&dir, OPTIONS).expect("the run can be compacted");
    let before = crate::locks::state(&dir);
    let again = compact(&dir, OPTIONS).expect("the run can be compacted");
    assert_eq!((&again.before, &again.after), (&done.after, &done.after));
    assert_eq!(crate::locks::state(&dir), before);
}

#[test]
fn the_totals_of_a_finished_run_are_those_of_its_parts() {
    let scratch = scratch();
    let dir = scratch.path().join("run");
    interrupted(&dir, STEPS);
    complete(&dir, STEPS, STEPS + 2);
    let totals = || Run::open(&dir).expect("a run").manifest().totals.clone().expect("a finished run has totals");
    let before = totals();
    let done = compact(&dir, OPTIONS).expect("the run can be compacted");
    assert_eq!((before, totals()), (done.before, done.after));
    assert_exactly(&dir, 1..=STEPS + 2, "compacted");
}

#[test]
fn a_run_that_is_being_recorded_is_left_alone() {
    let scratch = scratch();
    let dir = scratch.path().join("run");
    let mut writer = RunWriter::create(&dir, manifest(), BY_HAND).expect("the run can be created");
    (1..=4).for_each(|step| writer.append(record(step)).and(writer.flush()).expect("steps can be written"));
    let before = crate::locks::state(&dir);
    let refused = compact(&dir, OPTIONS).err();
    assert!(matches!(refused, Some(FormatError::Locked { .. })), "{refused:?}");
    assert_eq!(crate::locks::state(&dir), before);
}

/// A damaged part ends a compaction before anything has changed.
#[test]
fn a_damaged_part_is_found_before_anything_changes() {
    let scratch = scratch();
    let dir = scratch.path().join("run");
    interrupted(&dir, STEPS);
    let part = entries(&dir.join("steps")).pop().expect("a part");
    let whole = std::fs::read(&part).expect("a part can be read");
    std::fs::write(&part, &whole[..whole.len() - 1]).expect("a file can be written");
    let fault = compact(&dir, OPTIONS).err();
    assert!(matches!(fault, Some(FormatError::PartSize { .. })), "{fault:?}");
    std::fs::write(&part, whole).expect("a file can be written");
    assert_exactly(&dir, 1..=STEPS, "refused");
    assert_compacts_and_resumes(&dir, "refused");
}

/// Where the run is resumed at an earlier step, as many steps count as dropped as did there.
#[test]
fn what_was_dropped_when_is_not_forgotten() {
    let scratch = scratch();
    let dir = scratch.path().join("run");
    let mut writer = RunWriter::create(&dir, manifest(), BY_HAND).expect("the run can be created");
    for step in [1, 2, 5, 6, 8] {
        writer.drop_steps(u64::from(step == 5) * 2 + u64::from(step == 8));
        writer.append(record(step)).and(writer.flush()).expect("steps can be written");
    }
    drop(writer);
    let plain = scratch.path().join("plain");
    copy(&dir, &plain);
    compact(&dir, OPTIONS).expect("the run can be compacted");
    for after_step in 0..=8 {
        let dropped = |dir: &Path| {
            let copied = scratch.path().join("resumed");
            copy(dir, &copied);
            let writer = RunWriter::resume(&copied, &manifest(), after_step, true, BY_HAND).expect("it can be resumed");
            let dropped = writer.losses().dropped_steps;
            drop(writer);
            std::fs::remove_dir_all(copied).expect("a directory can be removed");
            dropped
        };
        assert_eq!(dropped(&dir), dropped(&plain), "after step {after_step}");
    }
}

#[test]
fn compacting_survives_any_call_failing() {
    let scratch = scratch();
    let template = scratch.path().join("template");
    scattered(&template);
    let sound = FailingDisk::default();
    let dir = scratch.path().join("run");
    copy(&template, &dir);
    compact_on(&sound, &dir, OPTIONS).expect("a sound disk compacts");
    assert!(20 < sound.n_calls(), "{} calls", sound.n_calls());
    std::fs::remove_dir_all(&dir).expect("the directory can be removed");
    for call in 0..sound.n_calls() {
        for (fault, n_calls) in Fault::ALL.into_iter().flat_map(|fault| [(fault, 1), (fault, u64::MAX - call)]) {
            let context = format!("{fault:?} at call {call} of a compaction and for {n_calls} calls");
            copy(&template, &dir);
            let compacted = compact_on(&FailingDisk::failing(call..call + n_calls, fault), &dir, OPTIONS);
            assert!(read_steps(&dir, &context).into_iter().eq(1..=STEPS), "{context}");
            if compacted.is_ok() {
                assert_exactly(&dir, 1..=STEPS, &context);
            }
            assert_compacts_and_resumes(&dir, &context);
            std::fs::remove_dir_all(&dir).expect("the directory can be removed");
        }
    }
}

/// Several ranks: each one's parts among themselves.
#[test]
fn ranks_are_compacted_each_for_itself() {
    use epsiloscope_format::{Gradients, Ranks};
    let scratch = scratch();
    let dir = scratch.path().join("run");
    let mut sharded = manifest();
    sharded.ranks = Ranks { world_size: 2, gradients: Gradients::Sharded };
    for rank in 0..2 {
        let writer = RunWriter::create_on(std::sync::Arc::new(Disk), &dir, rank, sharded.clone(), BY_HAND);
        let mut writer = writer.expect("the run can be created");
        (1..=4).for_each(|step| writer.append(record(step)).and(writer.flush()).expect("steps can be written"));
        writer.finish().expect("the run can be finished");
    }
    let done = compact(&dir, OPTIONS).expect("the run can be compacted");
    assert_eq!(sizes(&done, Table::Magnitudes), [(8, 40), (2, 40)]);
    assert_eq!(sizes(&done, Table::Steps), [(4, 4), (1, 4)]);
    let run = Run::open(&dir).expect("a run");
    let own = run.manifest().totals.clone().expect("a finished run has totals");
    assert_eq!((own.tables[&Table::Magnitudes].rows, own.tables[&Table::Magnitudes].parts), (20, 1), "rank 0 alone");
    let ranks: Vec<u32> = run.magnitudes().map(|batch| batch.expect("a batch").rank).collect();
    assert_eq!(ranks, [0, 1]);
}
