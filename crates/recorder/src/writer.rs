//! The thread that encodes and writes, behind a bounded queue.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::Builder;
use std::time::{Duration, Instant};

use epsiloscope_format::{FormatError, Losses, RunWriter, StepRecord};

use crate::error::RecorderError;

/// Steps that wait for the writer at most.
pub const QUEUE_STEPS: usize = 64;

/// How long dropping a recorder waits for a disk that takes nothing.
pub const DROP_PATIENCE: Duration = Duration::from_secs(5);

/// What happens to a step while the queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// Training waits until the writer has caught up: nothing is lost to a slow disk.
    #[default]
    Wait,
    /// The step is dropped, and counted: training never waits.
    Drop,
}

/// What both sides of the queue know.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// The first thing that went wrong, on either side.
    pub(crate) fault: OnceLock<RecorderError>,
    /// Whether nothing is recorded any more.
    pub(crate) has_stopped: AtomicBool,
    /// Steps dropped so far, by the queue or by the writer.
    pub(crate) dropped_steps: AtomicU64,
}

impl Shared {
    /// Runs a part of the recorder that cannot go on after a fault: errors and panics are kept and go no further.
    pub(crate) fn contain<T>(&self, run: impl FnOnce() -> Result<T, RecorderError>) -> Option<T> {
        // After a panic nothing of what it left behind is used again.
        let outcome = catch_unwind(AssertUnwindSafe(run));
        let fault = match outcome {
            Ok(Ok(value)) => return Some(value),
            Ok(Err(fault)) => fault,
            Err(panic) => RecorderError::Panicked { message: panic_message(&*panic) },
        };
        self.note(fault);
        self.has_stopped.store(true, Ordering::Relaxed);
        None
    }

    /// Keeps a fault; the first one is the one to tell.
    fn note(&self, fault: RecorderError) {
        let _ = self.fault.set(fault);
    }

    /// Keeps a fault of the disk, which the writer goes on after.
    fn note_if_failed(&self, outcome: Result<(), FormatError>) {
        if let Err(fault) = outcome {
            self.note(fault.into());
        }
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}

/// The training thread's end of the queue.
pub(crate) struct BackgroundWriter {
    /// `None` once closed.
    queue: Option<SyncSender<Message>>,
    when_full: WhenFull,
    /// Steps that the queue had no room for since the last one that it took.
    dropped: u64,
    shared: Arc<Shared>,
    /// Brings the outcome when the thread ends.
    ended: Receiver<Option<Losses>>,
}

enum Message {
    /// A step, and how many before it were dropped.
    Step(u64, StepRecord),
    /// Scalars of a step that came before.
    Scalars(i64, Vec<(String, f64)>),
    /// Publish what is buffered and say so.
    Flush(SyncSender<()>),
    /// Mark the run finished, after so many more dropped steps.
    Finish(u64),
}

impl BackgroundWriter {
    pub(crate) fn start(writer: RunWriter, when_full: WhenFull, shared: Arc<Shared>) -> Result<Self, RecorderError> {
        let (queue, messages) = sync_channel(QUEUE_STEPS);
        let (ending, ended) = channel();
        let own = Arc::clone(&shared);
        let write = move || {
            let losses = own.contain(|| write(writer, &messages, &own));
            // Nobody may be waiting any more.
            let _ = ending.send(losses.flatten());
        };
        Builder::new().name("epsiloscope-writer".to_owned()).spawn(write).map_err(RecorderError::Thread)?;
        Ok(Self { queue: Some(queue), when_full, dropped: 0, shared, ended })
    }

    /// The writer of a rank that records nothing.
    pub(crate) fn absent() -> Self {
        let (ending, ended) = channel();
        // The receiver is at hand, so this cannot fail.
        let _ = ending.send(Some(Losses::default()));
        Self { queue: None, when_full: WhenFull::default(), dropped: 0, shared: Arc::default(), ended }
    }

    /// Queues scalars of a step that has been recorded, or not.
    pub(crate) fn send_scalars(&self, step: i64, scalars: Vec<(String, f64)>) {
        if let Some(queue) = &self.queue {
            // An error means that the writer has given up, and has said why.
            let _ = queue.send(Message::Scalars(step, scalars));
        }
    }

    /// Queues a step.
    pub(crate) fn send(&mut self, record: StepRecord) {
        let Some(queue) = &self.queue else { return };
        let message = Message::Step(self.dropped, record);
        let sent = match self.when_full {
            // An error means that the writer has given up, and has said why.
            WhenFull::Wait => queue.send(message).is_ok(),
            WhenFull::Drop => match queue.try_send(message) {
                Ok(()) => true,
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
            },
        };
        if sent {
            self.dropped = 0;
        } else {
            self.dropped += 1;
            self.shared.dropped_steps.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until everything queued is on disk, or the writer has given up.
    pub(crate) fn flush(&self) {
        let (done, is_done) = sync_channel(1);
        if let Some(queue) = &self.queue
            && queue.send(Message::Flush(done)).is_ok()
        {
            // An error means that the writer has given up.
            let _ = is_done.recv();
        }
    }

    /// Has the run marked finished once everything queued is written, and waits for that, but not for ever.
    pub(crate) fn finish(&mut self, patience: Duration) -> Result<Option<Losses>, RecorderError> {
        let deadline = Instant::now() + patience;
        let Some(queue) = self.queue.take() else { return self.wait(patience) };
        let mut message = Message::Finish(self.dropped);
        // Any other error means that the writer has given up.
        while let Err(TrySendError::Full(unsent)) = queue.try_send(message) {
            if deadline <= Instant::now() {
                return Err(RecorderError::Stalled { seconds: patience.as_secs() });
            }
            message = unsent;
            std::thread::sleep(Duration::from_millis(5));
        }
        self.wait(deadline.saturating_duration_since(Instant::now()))
    }

    /// Waits until everything queued is written. The run stays marked `running`, or `failed` after a fault.
    pub(crate) fn close(&mut self, patience: Duration) {
        if self.queue.take().is_some() {
            // There is nobody left to tell.
            let _ = self.wait(patience);
        }
    }

    fn wait(&mut self, patience: Duration) -> Result<Option<Losses>, RecorderError> {
        match self.ended.recv_timeout(patience) {
            Ok(losses) => Ok(losses),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => Err(RecorderError::Stalled { seconds: patience.as_secs() }),
        }
    }
}

impl Drop for BackgroundWriter {
    fn drop(&mut self) {
        self.close(DROP_PATIENCE);
    }
}

/// What the thread does until the queue is closed; what became of the run if it was finished.
fn write(
    mut writer: RunWriter,
    messages: &Receiver<Message>,
    shared: &Shared,
) -> Result<Option<Losses>, RecorderError> {
    loop {
        match messages.recv_timeout(writer.until_due()) {
            Ok(Message::Step(dropped, record)) => {
                let before = writer.losses().dropped_steps;
                shared.note_if_failed(writer.append(record));
                // The queue has counted its own already.
                shared.dropped_steps.fetch_add(writer.losses().dropped_steps - before, Ordering::Relaxed);
                writer.drop_steps(dropped);
            }
            Ok(Message::Scalars(step, scalars)) => writer.append_scalars(step, scalars),
            Ok(Message::Flush(done)) => {
                shared.note_if_failed(writer.flush());
                // Nobody may be waiting any more.
                let _ = done.send(());
            }
            Ok(Message::Finish(dropped)) => {
                writer.drop_steps(dropped);
                return Ok(Some(writer.finish()?));
            }
            Err(RecvTimeoutError::Timeout) => shared.note_if_failed(writer.flush_if_due()),
            Err(RecvTimeoutError::Disconnected) => {
                match shared.fault.get().filter(|_| shared.has_stopped.load(Ordering::Relaxed)) {
                    Some(fault) => writer.fail(fault.to_string())?,
                    None => shared.note_if_failed(writer.flush()),
                }
                return Ok(None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_kept_and_goes_no_further() {
        let shared = Shared::default();
        let panicking = || -> Result<(), RecorderError> { panic!("bin {} of 3", 4) };
        assert!(shared.contain(panicking).is_none());
        assert!(shared.contain(|| Err::<(), _>(RecorderError::NothingTrainable { hint: "" })).is_none());
        assert!(shared.has_stopped.load(Ordering::Relaxed));
        let first = shared.fault.get().map(ToString::to_string);
        assert_eq!(first.as_deref(), Some("the recorder panicked: bin 4 of 3"));
    }
}
