//! The thread that encodes and writes, behind a bounded queue.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::{Builder, JoinHandle};

use epsiloscope_format::{FormatError, RunWriter, StepRecord};

use crate::error::RecorderError;

/// Steps that wait for the writer at most; then training waits.
pub const QUEUE_STEPS: usize = 64;

/// The first thing that went wrong, on either side of the queue.
pub(crate) type Failure = Arc<OnceLock<RecorderError>>;

/// The training thread's end of the queue.
pub(crate) struct BackgroundWriter {
    /// `None` once closed.
    queue: Option<SyncSender<Message>>,
    /// `None` once joined.
    thread: Option<JoinHandle<()>>,
}

enum Message {
    Step(StepRecord),
    Finish,
}

impl BackgroundWriter {
    pub(crate) fn start(writer: RunWriter, failure: Failure) -> Result<Self, RecorderError> {
        let (queue, messages) = sync_channel(QUEUE_STEPS);
        let write = move || {
            keep_failure(&failure, || write_messages(writer, messages, &failure));
        };
        let thread = Builder::new().name("epsiloscope-writer".to_owned()).spawn(write);
        Ok(Self { queue: Some(queue), thread: Some(thread.map_err(RecorderError::Thread)?) })
    }

    /// Queues a step; waits while the queue is full.
    pub(crate) fn send(&self, record: StepRecord) {
        if let Some(queue) = &self.queue {
            // An error means that the writer has given up, and has said why in `failure`.
            let _ = queue.send(Message::Step(record));
        }
    }

    /// Has the run marked finished once everything queued is written, and waits for that.
    pub(crate) fn finish(&mut self) {
        if let Some(queue) = &self.queue {
            // As in `send`.
            let _ = queue.send(Message::Finish);
        }
        self.close();
    }

    /// Waits until everything queued is written. The run stays marked `running`, or `failed` if there was a failure.
    pub(crate) fn close(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // The thread catches its panics.
            let _ = thread.join();
        }
    }
}

impl Drop for BackgroundWriter {
    fn drop(&mut self) {
        self.close();
    }
}

/// Runs a part of the recorder: what goes wrong, panics included, is kept in `failure` and goes no further.
pub(crate) fn keep_failure<T>(
    failure: &OnceLock<RecorderError>,
    run: impl FnOnce() -> Result<T, RecorderError>,
) -> Option<T> {
    // After a panic nothing of what it left behind is used again.
    let outcome = catch_unwind(AssertUnwindSafe(run));
    let fault = match outcome {
        Ok(Ok(value)) => return Some(value),
        Ok(Err(fault)) => fault,
        Err(panic) => RecorderError::Panicked { message: panic_message(&*panic) },
    };
    // The first failure is the one to tell.
    let _ = failure.set(fault);
    None
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}

fn write_messages(
    mut writer: RunWriter,
    messages: Receiver<Message>,
    failure: &OnceLock<RecorderError>,
) -> Result<(), RecorderError> {
    let mut finishing = false;
    for message in messages {
        let written = match message {
            Message::Step(record) => writer.append(&record),
            Message::Finish => {
                finishing = true;
                break;
            }
        };
        if let Err(fault) = written {
            return Err(give_up(writer, fault));
        }
    }
    // Flushed apart from finishing, so that the writer is still there to mark the run failed.
    match writer.flush() {
        Err(fault) => Err(give_up(writer, fault)),
        Ok(()) if failure.get().is_some() => Ok(writer.fail()?),
        Ok(()) if finishing => Ok(writer.finish()?),
        Ok(()) => Ok(()),
    }
}

/// Marks the run failed if that is still possible.
fn give_up(writer: RunWriter, fault: FormatError) -> RecorderError {
    // The fault that came first is the one to tell.
    let _ = writer.fail();
    fault.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_kept_and_goes_no_further() {
        let failure = OnceLock::new();
        let panicking = || -> Result<(), RecorderError> { panic!("bin {} of 3", 4) };
        assert!(keep_failure(&failure, panicking).is_none());
        assert!(keep_failure(&failure, || Err::<(), _>(RecorderError::NothingTrainable)).is_none());
        let first = failure.get().map(ToString::to_string);
        assert_eq!(first.as_deref(), Some("the recorder panicked: bin 4 of 3"));
    }
}
