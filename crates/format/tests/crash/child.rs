//! The recorder that is killed: this test binary again, as a process of its own.

use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use epsiloscope_format::{FormatError, RunWriter, WriterOptions, compact};

use crate::compacting::OPTIONS;
use crate::recording::{BY_HAND, ROWS_PER_STEP, manifest, record, take_up};

const TASK: &str = "EPSILOSCOPE_CRASH_TASK";
const AFTER_STEP: &str = "EPSILOSCOPE_CRASH_AFTER_STEP";
const DIR: &str = "EPSILOSCOPE_CRASH_DIR";

/// What the process is to do in its run directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Record up to step [`LAST`], flushing after every second one, and finish.
    Short,
    /// Record for ever, every step flushed.
    EveryStep,
    /// Record for ever, flushed when so many steps are buffered.
    Buffered,
    /// Compact the run that is there.
    Compact,
    /// Begin a run, say whether that was possible, and wait.
    Hold,
}

/// The last step of [`Task::Short`].
pub(crate) const LAST: i64 = 6;
/// Steps that fill the buffer of [`Task::Buffered`].
pub(crate) const BUFFERED_STEPS: i64 = 8;

impl Task {
    const ALL: [Self; 5] = [Self::Short, Self::EveryStep, Self::Buffered, Self::Compact, Self::Hold];

    /// The arguments and variables by which this binary becomes the recorder.
    pub(crate) fn command(self, program: impl AsRef<std::ffi::OsStr>, dir: &Path, after_step: i64) -> Command {
        let mut command = Command::new(program);
        command.env(TASK, format!("{self:?}")).env(DIR, dir).env(AFTER_STEP, after_step.to_string());
        // The dynamic linker tries every folder in it, and those calls would be traced too.
        command.env_remove("LD_LIBRARY_PATH");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        command
    }

    pub(crate) fn start(self, dir: &Path, after_step: i64) -> Child {
        let binary = std::env::current_exe().expect("the path of this binary");
        self.command(binary, dir, after_step).args(ARGUMENTS).spawn().expect("a recorder can be started")
    }
}

/// Runs [`recorder`] and nothing else.
pub(crate) const ARGUMENTS: [&str; 5] = ["--exact", "child::recorder", "--ignored", "--nocapture", "--test-threads=1"];

/// What a recorder says, word by word as it says it.
pub(crate) fn words(stdout: ChildStdout) -> impl Iterator<Item = String> {
    let lines = BufReader::new(stdout).lines().map_while(Result::ok);
    lines.filter_map(|line| Some(line.split_once("say ")?.1.to_owned()))
}

fn say(word: &str) {
    // Nobody may be listening any more.
    let _ = writeln!(io::stdout().lock(), "say {word}").and_then(|()| io::stdout().flush());
}

#[test]
#[ignore = "the recorder that other tests start and kill"]
fn recorder() {
    let Some(task) =
        std::env::var(TASK).ok().and_then(|name| Task::ALL.into_iter().find(|task| format!("{task:?}") == name))
    else {
        return;
    };
    let dir = std::env::var_os(DIR).expect("a directory");
    let after_step = std::env::var(AFTER_STEP).ok().and_then(|step| step.parse().ok()).expect("a step");
    match task {
        Task::Short => record_shortly(Path::new(&dir), after_step),
        Task::EveryStep => record_on_and_on(Path::new(&dir), after_step, WriterOptions { flush_secs: 0.0, ..BY_HAND }),
        Task::Buffered => {
            let flush_rows = BUFFERED_STEPS as usize * ROWS_PER_STEP;
            record_on_and_on(Path::new(&dir), after_step, WriterOptions { flush_rows, ..BY_HAND });
        }
        Task::Compact => {
            make_calls_countable();
            compact(Path::new(&dir), OPTIONS).expect("the run can be compacted");
        }
        Task::Hold => hold(Path::new(&dir)),
    }
}

fn record_shortly(dir: &Path, after_step: i64) {
    make_calls_countable();
    let mut writer = take_up(dir, after_step, BY_HAND);
    for step in after_step + 1..=LAST {
        writer.append(record(step)).expect("the step can be written");
        if step % 2 == 0 {
            writer.flush().expect("steps can be flushed");
            say(&step.to_string());
        }
    }
    writer.finish().expect("the run can be finished");
}

/// Calls are counted thread by thread: this one makes more of them from now on than the others ever do.
fn make_calls_countable() {
    for _ in 0..64 {
        std::fs::write("/dev/null", b"counted").expect("nothing can be written");
    }
}

fn record_on_and_on(dir: &Path, after_step: i64, options: WriterOptions) {
    let mut writer = take_up(dir, after_step, options);
    for step in after_step + 1.. {
        writer.append(record(step)).expect("the step can be written");
        say(&step.to_string());
    }
}

fn hold(dir: &Path) {
    let created = RunWriter::create(dir, manifest(), BY_HAND);
    say(match &created {
        Ok(_writer) => "won",
        Err(FormatError::Locked { .. }) => "locked",
        Err(fault) => panic!("{fault}"),
    });
    let _ = io::stdin().lock().read_line(&mut String::new());
    drop(created);
}
