//! Panics of libraries, as the fault of the one run that brought them about.

use std::any::Any;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// A library gave up on a run.
#[derive(Debug, thiserror::Error)]
#[error("{}: internal error: {message}", run.display())]
pub struct Panicked {
    /// The run.
    pub run: PathBuf,
    /// What the panic says.
    pub message: String,
}

/// Turns a panic into a fault of the run in `dir`.
///
/// # Errors
/// That of the work, or [`Panicked`].
pub fn guarded<T, F: From<Panicked>>(dir: &Path, work: impl FnOnce() -> Result<T, F>) -> Result<T, F> {
    let outcome = catch_unwind(AssertUnwindSafe(work));
    outcome.unwrap_or_else(|panic| Err(Panicked { run: dir.to_owned(), message: message(&*panic).to_owned() }.into()))
}

/// What a panic says.
pub fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown")
}

type Hook = Box<dyn Fn(&PanicHookInfo<'_>) + Send + Sync>;

/// How many do without messages at this moment, and what tells of panics otherwise.
static SILENCE: Mutex<(usize, Option<Hook>)> = Mutex::new((0, None));

/// Does what catches panics and tells of them itself. Several threads may: the last to end lets panics speak again.
pub fn without_panic_messages<T>(work: impl FnOnce() -> T) -> T {
    let _silent = Silent::new();
    work()
}

struct Silent;

impl Silent {
    fn new() -> Self {
        let mut silence = SILENCE.lock().unwrap_or_else(PoisonError::into_inner);
        if silence.0 == 0 {
            silence.1 = Some(take_hook());
            set_hook(Box::new(|_panic| {}));
        }
        silence.0 += 1;
        Self
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        let mut silence = SILENCE.lock().unwrap_or_else(PoisonError::into_inner);
        silence.0 -= 1;
        // A thread that unwinds may set no hook; then silence lasts.
        if silence.0 == 0
            && !std::thread::panicking()
            && let Some(hook) = silence.1.take()
        {
            set_hook(hook);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_the_fault_of_its_run() {
        let fault = guarded(Path::new("runs/a"), || -> Result<(), Panicked> {
            without_panic_messages(|| without_panic_messages(|| panic!("no {}", "bins")))
        });
        assert_eq!(fault.unwrap_err().to_string(), "runs/a: internal error: no bins");
        assert_eq!(guarded(Path::new("runs/a"), || Ok::<_, Panicked>(1)).unwrap(), 1);
    }
}
