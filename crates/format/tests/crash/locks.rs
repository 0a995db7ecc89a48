//! Who may record a run.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::SystemTime;

use epsiloscope_format::{FormatError, RunWriter, has_writer};

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
    assert!(has_writer(&dir).expect("the lock can be looked at"));
    assert_eq!(state(&dir), before, "who is refused, and who looks, changes nothing");
    children[winners[0]].kill().expect("the winner can be killed");
    children[winners[0]].wait().expect("a killed child ends");
    assert!(!has_writer(&dir).expect("the lock can be looked at"), "a killed recorder holds nothing");
    complete(&dir, 0, 3);
    assert_exactly(&dir, 1..=3, "taken over from a killed recorder");
    for mut child in children {
        drop(child.stdin.take());
        child.wait().expect("a recorder ends when nobody holds its input");
    }
}

/// Who looks whether a run is being recorded never keeps a recorder from it.
#[test]
fn looking_at_a_lock_is_in_nobodys_way() {
    let scratch = scratch();
    let dir = scratch.path().join("run");
    complete(&dir, 0, 1);
    let looking = std::sync::atomic::AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while looking.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = has_writer(&dir).expect("the lock can be looked at");
                std::thread::yield_now();
            }
        });
        for last in 2..=40 {
            complete(&dir, last - 1, last);
        }
        looking.store(false, std::sync::atomic::Ordering::Relaxed);
    });
    assert_exactly(&dir, 1..=40, "resumed while someone looked");
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
