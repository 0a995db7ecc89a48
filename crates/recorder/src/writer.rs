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

/// How long [`Recorder::finish`](crate::Recorder::finish) and [`flush`](crate::Recorder::flush) wait for a disk that takes
/// nothing, unless the builder says otherwise.
pub const FINISH_PATIENCE: Duration = Duration::from_mins(1);

/// How long dropping a recorder waits for a disk that takes nothing, if it is not told to wait less.
pub const DROP_PATIENCE: Duration = Duration::from_secs(5);

/// How long the writer sleeps at least while nothing is queued.
const IDLE: Duration = Duration::from_millis(10);

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
    /// How long a flush and the end of the recording wait.
    patience: Duration,
    backlog: Backlog,
    shared: Arc<Shared>,
    /// Brings the outcome when the thread ends.
    ended: Receiver<Option<Losses>>,
}

/// What the queue had no room for and the writer has to know before what comes next.
#[derive(Default)]
struct Backlog {
    dropped_steps: u64,
    /// Scalars of steps that came before.
    scalars: Vec<(i64, Vec<(String, f64)>)>,
}

struct Message {
    before: Backlog,
    task: Task,
}

enum Task {
    Step(StepRecord),
    /// Publish what is buffered and say so.
    Flush(SyncSender<()>),
    /// Mark the run finished.
    Finish,
    /// Nothing but the backlog.
    None,
}

impl BackgroundWriter {
    pub(crate) fn start(
        writer: RunWriter,
        when_full: WhenFull,
        patience: Duration,
        shared: Arc<Shared>,
    ) -> Result<Self, RecorderError> {
        let (queue, messages) = sync_channel(QUEUE_STEPS);
        let (ending, ended) = channel();
        let own = Arc::clone(&shared);
        let write = move || {
            let losses = own.contain(|| write(writer, &messages, &own));
            // Whoever is told of the end finds no other owner of what is shared.
            drop(own);
            // Nobody may be waiting any more.
            let _ = ending.send(losses.flatten());
        };
        Builder::new().name("epsiloscope-writer".to_owned()).spawn(write).map_err(RecorderError::Thread)?;
        Ok(Self { queue: Some(queue), when_full, patience, backlog: Backlog::default(), shared, ended })
    }

    /// The writer of a rank that records nothing.
    pub(crate) fn absent() -> Self {
        let (ending, ended) = channel();
        // The receiver is at hand, so this cannot fail.
        let _ = ending.send(Some(Losses::default()));
        let (when_full, patience) = (WhenFull::default(), FINISH_PATIENCE);
        Self { queue: None, when_full, patience, backlog: Backlog::default(), shared: Arc::default(), ended }
    }

    /// Queues a step.
    pub(crate) fn send(&mut self, record: StepRecord) {
        let task = Task::Step(record);
        match (&self.queue, self.when_full) {
            (None, _) => {}
            (Some(queue), WhenFull::Wait) => {
                // An error means that the writer has given up, and has said why.
                let _ = queue.send(Message { before: std::mem::take(&mut self.backlog), task });
            }
            (Some(_), WhenFull::Drop) => {
                if self.offer(task).is_some() {
                    self.backlog.dropped_steps += 1;
                    self.shared.dropped_steps.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    /// Queues scalars of a step that came before, recorded or not; where there is no room they go with what comes next.
    pub(crate) fn send_scalars(&mut self, step: i64, scalars: Vec<(String, f64)>) {
        if self.queue.is_some() {
            self.backlog.scalars.push((step, scalars));
            let _ = self.offer(Task::None);
        }
    }

    /// Waits until everything queued is on disk, but not for ever.
    pub(crate) fn flush(&mut self) {
        let deadline = Instant::now() + self.patience;
        let (done, is_done) = sync_channel(1);
        let flushed = self.offer_until(deadline, Task::Flush(done)).and_then(|()| {
            let answer = is_done.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            // Any other error means that the writer has given up, and has said why.
            if answer == Err(RecvTimeoutError::Timeout) { Err(self.stalled()) } else { Ok(()) }
        });
        if let Err(fault) = flushed {
            self.shared.note(fault);
        }
    }

    /// Has the run marked finished once everything queued is written, and waits for that, but not for ever.
    pub(crate) fn finish(&mut self) -> Result<Option<Losses>, RecorderError> {
        let deadline = Instant::now() + self.patience;
        let sent = self.offer_until(deadline, Task::Finish);
        self.queue = None;
        sent.and_then(|()| self.wait(deadline))
    }

    /// Waits until everything queued is written. The run stays marked `running`, or `failed` after a fault.
    pub(crate) fn close(&mut self) {
        let deadline = Instant::now() + self.patience.min(DROP_PATIENCE);
        let sent = self.offer_until(deadline, Task::None);
        if self.queue.take().is_some() {
            // There is nobody left to tell.
            let _ = sent.and_then(|()| self.wait(deadline));
        }
    }

    /// Queues a task and the backlog before it; gives the task back if there is no room.
    fn offer(&mut self, task: Task) -> Option<Task> {
        let queue = self.queue.as_ref()?;
        match queue.try_send(Message { before: std::mem::take(&mut self.backlog), task }) {
            Err(TrySendError::Full(message)) => {
                self.backlog = message.before;
                Some(message.task)
            }
            // An error means that the writer has given up, and has said why.
            Ok(()) | Err(TrySendError::Disconnected(_)) => None,
        }
    }

    fn offer_until(&mut self, deadline: Instant, mut task: Task) -> Result<(), RecorderError> {
        while let Some(unsent) = self.offer(task) {
            if deadline <= Instant::now() {
                return Err(self.stalled());
            }
            task = unsent;
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn wait(&self, deadline: Instant) -> Result<Option<Losses>, RecorderError> {
        match self.ended.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(losses) => Ok(losses),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => Err(self.stalled()),
        }
    }

    fn stalled(&self) -> RecorderError {
        RecorderError::Stalled { patience: self.patience }
    }
}

impl Drop for BackgroundWriter {
    fn drop(&mut self) {
        self.close();
    }
}

/// What the thread does until the queue is closed; what became of the run if it was finished.
fn write(
    mut writer: RunWriter,
    messages: &Receiver<Message>,
    shared: &Shared,
) -> Result<Option<Losses>, RecorderError> {
    loop {
        // Without a pause a writer that flushes at every step would keep a processor busy between steps.
        let Message { before, task } = match messages.recv_timeout(writer.until_due().max(IDLE)) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => {
                shared.note_if_failed(writer.flush_if_due());
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => {
                close(writer, shared)?;
                return Ok(None);
            }
        };
        writer.drop_steps(before.dropped_steps);
        before.scalars.into_iter().for_each(|(step, scalars)| writer.append_scalars(step, scalars));
        match task {
            Task::Step(record) => {
                let before = writer.losses().dropped_steps;
                shared.note_if_failed(writer.append(record));
                // The queue has counted its own already.
                shared.dropped_steps.fetch_add(writer.losses().dropped_steps - before, Ordering::Relaxed);
            }
            Task::Flush(done) => {
                shared.note_if_failed(writer.flush());
                // Nobody may be waiting any more.
                let _ = done.send(());
            }
            Task::Finish => return Ok(Some(writer.finish()?)),
            Task::None => {}
        }
    }
}

/// The end of a recording that was not finished.
fn close(mut writer: RunWriter, shared: &Shared) -> Result<(), FormatError> {
    match shared.fault.get().filter(|_| shared.has_stopped.load(Ordering::Relaxed)) {
        Some(fault) => writer.fail(fault.to_string()),
        None => writer.flush(),
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
