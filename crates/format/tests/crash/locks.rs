//! Who may record a run.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::SystemTime;

use epsiloscope_format::{FormatError, RunWriter};

use crate::child::{Task, words};
use crate::recording::{BY_HAND, complete, entries, manifest, scratch};
use crate::views::assert_exactly;

const RACERS: usize = 20;

#[test]
fn one_of_many_racing_recorders_wins() {
    let scratch = scratch();
    let dir = scratch.path().join("run");
    let mut children: Vec<_> = (0..RACERS).map(|_| Task::Hold.start(&dir, 0)).collect();
    // Held until the end: who speaks to nobody fails.
    let stdout = |child: &mut Child| child.stdout.take().expect("its output is piped");
    let mut words: Vec<_> = children.iter_mut().map(|child| words(stdout(child))).collect();
    let verdict = words.iter_mut().map(|words| words.next().expect("a recorder says how it went"));
    let verdicts: Vec<String> = verdict.collect();
    let winners: Vec<usize> = (0..RACERS).filter(|&index| verdicts[index] == "won").collect();
    assert_eq!(winners.len(), 1, "{verdicts:?}");
    let before = state(&dir);
    assert_refused(&dir);
    assert_eq!(state(&dir), before, "who is refused changes nothing");
    children[winners[0]].kill().expect("the winner can be killed");
    children[winners[0]].wait().expect("a killed child ends");
    complete(&dir, 0, 3);
    assert_exactly(&dir, 1..=3, "taken over from a killed recorder");
    for mut child in children {
        drop(child.stdin.take());
        child.wait().expect("a recorder ends when nobody holds its input");
    }
}

#[test]
fn a_recording_of_something_else_changes_nothing() {
    let scratch = scratch();
    let dir = scratch.path().join("run");
    complete(&dir, 0, 3);
    let before = state(&dir);
    let mut other = manifest();
    other.signs = false;
    let resumed = RunWriter::resume(&dir, &other, 2, true, BY_HAND).err();
    assert!(matches!(resumed, Some(FormatError::Resume { .. })), "{resumed:?}");
    let created = RunWriter::create(&dir, manifest(), BY_HAND).err();
    assert!(matches!(created, Some(FormatError::AlreadyARun { .. })), "{created:?}");
    assert_eq!(state(&dir), before);
}

fn assert_refused(dir: &Path) {
    let created = RunWriter::create(dir, manifest(), BY_HAND).err();
    assert!(matches!(created, Some(FormatError::Locked { .. })), "{created:?}");
    let resumed = RunWriter::resume(dir, &manifest(), 0, true, BY_HAND).err();
    assert!(matches!(resumed, Some(FormatError::Locked { .. })), "{resumed:?}");
}

/// Every file with its bytes and the time of its last change.
pub(crate) fn state(dir: &Path) -> Vec<(PathBuf, Option<Vec<u8>>, SystemTime)> {
    let mut state = Vec::new();
    for path in entries(dir) {
        let changed = std::fs::metadata(&path).and_then(|found| found.modified()).expect("a time of change");
        state.push((path.clone(), std::fs::read(&path).ok(), changed));
        state.extend(self::state(&path));
    }
    state
}
