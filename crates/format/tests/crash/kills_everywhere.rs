//! A recorder killed at each call that it makes to the operating system about its run.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::child::{ARGUMENTS, LAST, Task};
use crate::compacting::{STEPS, assert_compacts_and_resumes, scattered};
use crate::recording::{complete, copy, interrupted, scratch};
use crate::views::{assert_exactly, assert_globbed, read_steps};

/// The calls by which files change, as any Linux names them.
const CALLS: &str = "openat,write,fsync,?rename,?renameat,?renameat2,?unlink,?unlinkat,?mkdir,?mkdirat";
const SIGKILL: i32 = 9;
/// Processes that are traced at a time: they wait more than they compute.
const LANES: usize = 4;

/// The `number`th call of a name that a thread makes.
#[derive(Clone, Debug)]
struct Call {
    name: String,
    number: usize,
}

#[test]
fn a_recorder_killed_at_any_call_leaves_a_run_to_take_up() {
    let scratch = scratch();
    let template = scratch.path().join("template");
    std::fs::create_dir(&template).expect("a directory can be made");
    kill_at_every_call(scratch.path(), &template, Task::Short, 0, &["openat", "write", "fsync", "rename", "mkdir"]);
}

#[test]
fn a_resumption_killed_at_any_call_leaves_a_run_to_take_up() {
    let scratch = scratch();
    let template = scratch.path().join("template");
    interrupted(&template, 4);
    // What an earlier kill may have left.
    std::fs::write(template.join("magnitudes/.part-r000-00099.parquet.tmp-1"), b"half").expect("a file can be written");
    let expected = ["openat", "write", "fsync", "rename", "mkdir", "unlink"];
    kill_at_every_call(scratch.path(), &template, Task::Short, 3, &expected);
}

#[test]
fn a_compaction_killed_at_any_call_leaves_the_rows_there_were() {
    let scratch = scratch();
    let template = scratch.path().join("template");
    scattered(&template);
    let expected = ["openat", "write", "fsync", "rename", "mkdir", "unlink"];
    kill_at_every_call(scratch.path(), &template, Task::Compact, 0, &expected);
}

/// Carries out a task in a copy of `template`, once for every call that is made.
fn kill_at_every_call(scratch: &Path, template: &Path, task: Task, after_step: i64, expected: &[&str]) {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        // Past the test harness, which keeps to itself what a passing test prints.
        let _ = writeln!(std::io::stderr(), "skipped: strace is not installed");
        return;
    }
    let calls = calls_of(scratch, template, task, after_step);
    for name in expected {
        assert!(calls.iter().any(|call| call.name.starts_with(name)), "{name} is among the calls traced");
    }
    let next = AtomicUsize::new(0);
    std::thread::scope(|lanes| {
        for lane in 0..LANES {
            let (next, calls) = (&next, &calls);
            let dir = scratch.join(format!("run-{lane}"));
            lanes.spawn(move || {
                while let Some(call) = calls.get(next.fetch_add(1, Ordering::Relaxed)) {
                    copy(template, &dir);
                    kill_at(call, &dir, task, after_step);
                    std::fs::remove_dir_all(&dir).expect("the directory can be removed");
                }
            });
        }
    });
}

/// The calls of an undisturbed recording that concern its run directory.
fn calls_of(scratch: &Path, template: &Path, task: Task, after_step: i64) -> Vec<Call> {
    let (dir, log) = (scratch.join("undisturbed"), scratch.join("calls"));
    copy(template, &dir);
    let traced = trace(task, &dir, after_step, &["-y", "-o", &log.to_string_lossy(), "-e", &format!("trace={CALLS}")]);
    assert!(traced.status.success(), "{}", String::from_utf8_lossy(&traced.stdout));
    assert_exactly(&dir, 1..=if task == Task::Compact { STEPS } else { LAST }, "undisturbed");
    let log = std::fs::read_to_string(log).expect("the trace can be read");
    let mut numbers: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut calls = BTreeMap::new();
    for line in log.lines() {
        let Some(((thread, name), arguments)) = parse(line) else { continue };
        let number = numbers.entry((thread, name)).or_default();
        *number += 1;
        if arguments.contains(&*dir.to_string_lossy()) {
            calls.insert((name, *number), thread);
        }
    }
    for (&(name, number), thread) in &calls {
        let is_first = |((other, same), &n): (&(&str, &str), &usize)| other == thread || *same != name || n < number;
        assert!(numbers.iter().all(is_first), "another thread makes {number} calls of {name}");
    }
    calls.into_keys().map(|(name, number)| Call { name: name.to_owned(), number }).collect()
}

/// Thread, name and arguments of a call in a trace.
fn parse(line: &str) -> Option<((&str, &str), &str)> {
    let (thread, call) = line.split_once(' ')?;
    let (name, arguments) = call.trim_start().split_once('(')?;
    Some(((thread, name), arguments))
}

fn trace(task: Task, dir: &Path, after_step: i64, options: &[&str]) -> Output {
    let binary = std::env::current_exe().expect("the path of this binary");
    let mut command = task.command("strace", dir, after_step);
    command.args(["-f", "-qq"]).args(options).arg(binary).args(ARGUMENTS);
    command.output().expect("strace can be started")
}

fn kill_at(call: &Call, dir: &Path, task: Task, after_step: i64) {
    let Call { name, number } = call;
    let context = format!("{task:?} killed at {name} {number} after step {after_step}");
    let inject = format!("inject={name}:signal=SIGKILL:when={number}");
    let killed = trace(task, dir, after_step, &["-o", "/dev/null", "-e", &format!("trace={name}"), "-e", &inject]);
    assert_eq!(killed.status.signal(), Some(SIGKILL), "{context}: {}", String::from_utf8_lossy(&killed.stdout));
    if task == Task::Compact {
        assert!(read_steps(dir, &context).into_iter().eq(1..=STEPS), "{context}");
        return assert_compacts_and_resumes(dir, &context);
    }
    let said = String::from_utf8_lossy(&killed.stdout);
    let flushed = said.lines().filter_map(|line| line.split_once("say ")?.1.parse().ok()).next_back();
    let kept = read_steps(dir, &context);
    let last = kept.last().copied().unwrap_or(0);
    assert!(kept.iter().copied().eq(1..=last), "{context}: {kept:?} is no prefix");
    assert!(flushed.unwrap_or(after_step) <= last, "{context}: flushed up to {flushed:?}, read up to {last}");
    let whole = if flushed.is_some() { kept } else { (1..after_step).collect::<BTreeSet<i64>>() };
    assert_globbed(dir, &whole, &context);
    complete(dir, last, LAST + 1);
    assert_exactly(dir, 1..=LAST + 1, &context);
}
