//! Random histories of recording, crashing and resuming, against a set of steps.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use epsiloscope_format::{CompactOptions, FormatError, Resumption, RunWriter, WriterOptions, compact_on, now};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::failing_disk::{FailingDisk, Fault};
use crate::recording::{ROWS_PER_STEP, manifest, record, scratch};
use crate::views::{assert_exactly, assert_globbed, read_steps};

/// Steps that fill the buffer.
const BUFFERED_STEPS: usize = 4;
const OPTIONS: WriterOptions = WriterOptions { flush_rows: BUFFERED_STEPS * ROWS_PER_STEP, flush_secs: 1e9 };

#[derive(Clone, Copy, Debug)]
enum Action {
    /// Record so many steps.
    Record(u8),
    Flush,
    /// The process dies so many calls from now, in the middle of one.
    Crash(u64, Fault),
    /// The process, dead or alive, is followed by one that resumes after this share of the steps, in 255ths.
    Resume(u8),
    /// The process, dead or alive, is followed by one that compacts what it left.
    Compact,
    Finish,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let fault = prop::sample::select(Fault::ALL.to_vec());
    let action = prop_oneof![
        4 => (1..7u8).prop_map(Action::Record),
        1 => Just(Action::Flush),
        3 => (0..60u64, fault).prop_map(|(n_calls, fault)| Action::Crash(n_calls, fault)),
        2 => any::<u8>().prop_map(Action::Resume),
        1 => Just(Action::Compact),
        1 => Just(Action::Finish),
    ];
    prop::collection::vec(action, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1000,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn prop_every_history_leaves_the_steps_of_the_model(actions in actions()) {
        let scratch = scratch();
        let mut history = History::new(scratch.path().join("run"));
        for action in actions.into_iter().chain([Action::Resume(255), Action::Finish]) {
            history.act(action);
        }
    }
}

/// A run and what must be in it.
struct History {
    dir: PathBuf,
    disk: FailingDisk,
    writer: Option<RunWriter>,
    /// Steps on disk.
    committed: BTreeSet<i64>,
    /// Steps buffered.
    buffered: BTreeSet<i64>,
    /// Whether rows may stand in two files, of which one is listed.
    may_repeat: bool,
    /// What was done so far.
    context: String,
}

impl History {
    fn new(dir: PathBuf) -> Self {
        let disk = FailingDisk::default();
        let writer = RunWriter::create_on(Arc::new(disk.clone()), &dir, 0, manifest(), OPTIONS);
        let writer = Some(writer.expect("the run can be created"));
        let (committed, buffered) = (BTreeSet::new(), BTreeSet::new());
        Self { dir, disk, writer, committed, buffered, may_repeat: false, context: String::new() }
    }

    fn act(&mut self, action: Action) {
        self.note(&format!("{action:?}"));
        match action {
            Action::Record(n_steps) => (0..n_steps).for_each(|_| self.record()),
            Action::Flush => self.flush(),
            Action::Crash(n_calls, fault) => self.disk.crash_after(n_calls, fault),
            Action::Resume(share) => self.resume(share),
            Action::Compact => self.compact(),
            Action::Finish => self.finish(),
        }
    }

    fn note(&mut self, words: &str) {
        self.context.push_str(words);
        self.context.push_str("; ");
    }

    fn record(&mut self) {
        let Some(writer) = &mut self.writer else { return };
        let step = self.committed.iter().chain(&self.buffered).max().map_or(1, |last| last + 1);
        let appended = writer.append(record(step));
        let again = writer.append(record(step));
        assert!(matches!(again, Err(FormatError::StepOrder { .. })), "{}: step {step} is taken twice", self.context);
        self.buffered.insert(step);
        if BUFFERED_STEPS <= self.buffered.len() {
            self.flushed(appended.is_ok());
        }
    }

    fn flush(&mut self) {
        let Some(writer) = &mut self.writer else { return };
        let flushed = writer.flush().is_ok();
        self.flushed(flushed);
    }

    /// Buffered steps are on disk now, all or none if the process died meanwhile.
    fn flushed(&mut self, is_ok: bool) {
        let mut after = self.committed.clone();
        after.append(&mut self.buffered);
        if self.has_crashed() {
            self.died(&after, true);
        } else {
            assert!(is_ok, "{}: a sound disk fails nothing", self.context);
            self.committed = after;
        }
    }

    fn has_crashed(&self) -> bool {
        self.disk.n_faults() > 0
    }

    /// The process is gone: the steps are those before or after what it was doing. Whoever does not know the list sees them
    /// whole, unless parts were on their way.
    fn died(&mut self, after: &BTreeSet<i64>, is_whole: bool) {
        let nothing = BTreeSet::new();
        self.writer = None;
        self.buffered.clear();
        let kept = read_steps(&self.dir, &self.context);
        assert!(kept == self.committed || kept == *after, "{}: {kept:?}", self.context);
        if !self.may_repeat {
            assert_globbed(&self.dir, if is_whole { &kept } else { &nothing }, &self.context);
        }
        self.committed = kept;
    }

    /// Another process, on a sound disk if the last one died of it.
    fn follow(&mut self) {
        if self.has_crashed() {
            self.disk.heal();
        }
        self.writer = None;
        self.buffered.clear();
    }

    fn compact(&mut self) {
        self.follow();
        let compacted = compact_on(&self.disk, &self.dir, CompactOptions { part_rows: 4 * ROWS_PER_STEP as u64 });
        if self.has_crashed() {
            self.may_repeat = true;
            return self.died(&self.committed.clone(), false);
        }
        compacted.expect("a sound disk compacts");
        self.may_repeat = false;
        assert_exactly(&self.dir, self.committed.iter().copied(), &self.context);
    }

    fn resume(&mut self, share: u8) {
        self.follow();
        let last = self.committed.last().copied().unwrap_or(0);
        let at = Resumption { after_step: last * i64::from(share) / 255, at: now(), moments_restored: true };
        self.note(&format!("after {} of {last}", at.after_step));
        let after: BTreeSet<i64> = self.committed.range(..=at.after_step).copied().collect();
        let resumed = RunWriter::resume_on(Arc::new(self.disk.clone()), &self.dir, 0, &manifest(), at, OPTIONS);
        if self.has_crashed() {
            return self.died(&after, false);
        }
        self.writer = Some(resumed.expect("a sound disk resumes"));
        self.may_repeat = false;
        self.committed = after;
        assert_exactly(&self.dir, self.committed.iter().copied(), &self.context);
    }

    fn finish(&mut self) {
        let Some(writer) = self.writer.take() else { return };
        let finished = writer.finish().is_ok();
        self.flushed(finished);
        if !self.has_crashed() {
            assert_exactly(&self.dir, self.committed.iter().copied(), &self.context);
        }
    }
}
