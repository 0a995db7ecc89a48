//! A recorder killed at a hundred random moments, and taken up again in the same directory.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};

use crate::child::{BUFFERED_STEPS, Task, words};
use crate::recording::{complete, scratch};
use crate::views::{assert_exactly, assert_globbed, read_steps};

const KILLS: u32 = 50;
/// Longer than it takes to record some dozen steps.
const MAX_DELAY_MICROS: u64 = 60_000;

#[test]
fn a_killed_recorder_loses_no_step_that_was_flushed() {
    kill_again_and_again(Task::EveryStep, 0);
}

#[test]
fn a_killed_recorder_loses_less_than_its_buffer() {
    kill_again_and_again(Task::Buffered, BUFFERED_STEPS - 1);
}

/// `window` is how many of the steps that `append` had returned from may be missing.
fn kill_again_and_again(task: Task, window: i64) {
    let scratch = scratch();
    let dir = scratch.path().join("run");
    let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let (mut last, mut n_recorded) = (0, 0);
    for kill in 0..KILLS {
        let after_step = if last == 0 { 0 } else { (random.next_u64() % (last as u64 + 1)) as i64 };
        let delay = Duration::from_micros(random.next_u64() % MAX_DELAY_MICROS);
        let context = format!("{task:?}, kill {kill} after {delay:?}, resumed after step {after_step} of {last}");
        let mut child = task.start(&dir, after_step);
        let stdout = child.stdout.take().expect("its output is piped");
        let mut words = words(stdout);
        // Every other one lives until it has recorded something, however slow the machine is.
        let first = if kill % 2 == 0 { words.next() } else { None };
        let listener = std::thread::spawn(move || words.last().or(first).and_then(|word| word.parse().ok()));
        std::thread::sleep(delay);
        child.kill().expect("a child can be killed");
        child.wait().expect("a killed child ends");
        let appended: i64 = listener.join().expect("its words can be read").unwrap_or(after_step);
        let kept = read_steps(&dir, &context);
        last = kept.last().copied().unwrap_or(0);
        assert!(kept.iter().copied().eq(1..=last), "{context}: {kept:?} is no prefix");
        assert!(appended - window <= last, "{context}: {appended} steps were appended, {last} are left");
        // Killed while it was resumed, the run may have parts that are on their way.
        let whole = if after_step < appended { kept } else { BTreeSet::new() };
        assert_globbed(&dir, &whole, &context);
        n_recorded += appended - after_step;
    }
    assert!(i64::from(KILLS) / 2 <= n_recorded, "only {n_recorded} steps came between {KILLS} kills");
    complete(&dir, last, last + 3);
    assert_exactly(&dir, 1..=last + 3, "completed");
}
