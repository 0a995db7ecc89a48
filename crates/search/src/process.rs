//! One run of a command: a process group of its own, that ends with it, on demand, when its time is up, and with us.

use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// The command's output, in the trial's folder.
pub(crate) const STDOUT: &str = "stdout";
/// Likewise.
pub(crate) const STDERR: &str = "stderr";
/// How long a command that was asked to end may take to.
const GRACE: Duration = Duration::from_secs(5);
/// How often running commands are looked at.
const POLL: Duration = Duration::from_millis(20);

/// The command is run by the same process after a guard has been started beside it, a grandchild that nobody waits for:
/// it reads from a pipe whose other end is ours, and when that end is closed, however we end, it ends the whole group.
const GUARDED: &str = "\
exec 9<&0 </dev/null
( { cat <&9; kill -KILL 0; } >/dev/null 2>&1 & )
exec 9<&-
exec sh -c \"$1\"";

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// With status 0.
    Success,
    /// With another, or by a signal.
    Failure(String),
    /// Its time was up.
    TimedOut,
    /// It printed too much.
    TooMuchOutput,
    /// We were asked to stop.
    Stopped,
}

/// What a command may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) timeout: Option<Duration>,
    /// Of each of its two outputs.
    pub(crate) output_bytes: u64,
}

/// Runs a command with `sh -c` to its end, or until one of `stops` is set; its output in files of an existing folder.
///
/// # Errors
/// If it cannot be started or watched.
pub(crate) fn run(
    command: &str,
    variables: Vec<(String, String)>,
    dir: &Path,
    limits: Limits,
    stops: [&AtomicBool; 2],
) -> io::Result<Exit> {
    let output = |name| fs_err::OpenOptions::new().write(true).create_new(true).open(dir.join(name));
    let mut child = Command::new("sh")
        .args(["-c", GUARDED, "sh", command])
        .envs(variables)
        // Kept open until the child has been waited for.
        .stdin(Stdio::piped())
        .stdout(output(STDOUT)?.into_parts().0)
        .stderr(output(STDERR)?.into_parts().0)
        .process_group(0)
        .spawn()?;
    let life_line = child.stdin.take();
    let end = watched(&child, dir, limits, stops);
    let status = ended(&mut child, matches!(end, Ok(None)));
    drop(life_line);
    let exit = end?;
    let status = status?;
    Ok(exit.unwrap_or_else(|| of_status(status)))
}

/// Waits; gives the reason to end the command before it has ended by itself.
fn watched(child: &Child, dir: &Path, limits: Limits, stops: [&AtomicBool; 2]) -> io::Result<Option<Exit>> {
    let began = Instant::now();
    let mut pause = Duration::from_millis(1);
    while !has_ended(child)? {
        if stops.iter().any(|stop| stop.load(Ordering::Relaxed)) {
            return Ok(Some(Exit::Stopped));
        }
        if limits.timeout.is_some_and(|timeout| timeout <= began.elapsed()) {
            return Ok(Some(Exit::TimedOut));
        }
        let length = |name| fs_err::metadata(dir.join(name)).map_or(0, |of| of.len());
        if [STDOUT, STDERR].into_iter().any(|name| limits.output_bytes < length(name)) {
            return Ok(Some(Exit::TooMuchOutput));
        }
        std::thread::sleep(pause);
        pause = (2 * pause).min(POLL);
    }
    Ok(None)
}

/// Without reaping it, so that its number stays its group's.
fn has_ended(child: &Child) -> io::Result<bool> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    Ok(waitid(WaitId::Pid(pid(child)?), options)?.is_some())
}

fn pid(child: &Child) -> io::Result<Pid> {
    Pid::from_raw(child.id() as i32).ok_or_else(|| io::Error::other("a process without a number"))
}

/// Ends the group, politely first if the command still runs, and takes its status.
fn ended(child: &mut Child, by_itself: bool) -> io::Result<ExitStatus> {
    let group = pid(child)?;
    if !by_itself {
        // A group that is gone cannot be ended, and need not be; so below.
        let _ = kill_process_group(group, Signal::TERM);
        let asked = Instant::now();
        while asked.elapsed() < GRACE && !has_ended(child)? {
            std::thread::sleep(POLL);
        }
    }
    // Whatever it has left running, and the guard.
    let _ = kill_process_group(group, Signal::KILL);
    child.wait()
}

fn of_status(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(0), _) => Exit::Success,
        (Some(code), _) => Exit::Failure(format!("exit status {code}")),
        (None, Some(signal)) => Exit::Failure(format!("ended by signal {signal}")),
        (None, None) => Exit::Failure(status.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { timeout: Some(Duration::from_secs(20)), output_bytes: 1 << 20 };

    fn exit(command: &str, limits: Limits) -> (Exit, String) {
        let dir = tempfile::tempdir().unwrap();
        let variables = vec![("EPSILOSCOPE_EPS".to_owned(), "1e-5".to_owned())];
        let never = AtomicBool::new(false);
        let exit = run(command, variables, dir.path(), limits, [&never, &never]).unwrap();
        (exit, fs_err::read_to_string(dir.path().join(STDOUT)).unwrap())
    }

    #[test]
    fn commands_end_as_they_end() {
        assert_eq!(exit("echo $EPSILOSCOPE_EPS", LIMITS), (Exit::Success, "1e-5\n".to_owned()));
        assert_eq!(exit("echo a; exit 3", LIMITS), (Exit::Failure("exit status 3".to_owned()), "a\n".to_owned()));
        assert_eq!(exit("no-such-program", LIMITS).0, Exit::Failure("exit status 127".to_owned()));
        assert_eq!(exit("kill -9 $$", LIMITS).0, Exit::Failure("ended by signal 9".to_owned()));
        // Nothing to read, and nobody else to wait for.
        assert_eq!(exit("cat; wait; echo done", LIMITS), (Exit::Success, "done\n".to_owned()));
    }

    #[test]
    fn a_command_that_takes_or_prints_too_much_is_ended_with_all_it_started() {
        let marker = tempfile::tempdir().unwrap();
        let file = marker.path().join("alive");
        let touch = format!("(sleep 2; touch {}) & ", file.display());
        let limits = Limits { timeout: Some(Duration::from_millis(200)), ..LIMITS };
        assert_eq!(exit(&format!("{touch} sleep 60"), limits).0, Exit::TimedOut);
        assert_eq!(exit(&format!("{touch} yes"), LIMITS).0, Exit::TooMuchOutput);
        assert_eq!(exit(&touch, LIMITS).0, Exit::Success);
        std::thread::sleep(Duration::from_millis(2300));
        assert!(!file.exists());
    }
}
