//! The thread that encodes and writes, behind a bounded queue.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use epsiloscope_format::{FormatError, Losses, RunWriter, StepRecord};

use crate::error::{FrameworkError, RecordingError};

/// Steps that wait for the writer at most.
pub const QUEUE_STEPS: usize = 64;

/// How long a recorder's end and its flushes wait for a disk that takes nothing, unless it is told otherwise.
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
#[derive(Debug)]
pub struct Shared<F: FrameworkError> {
    /// The first thing that went wrong, on either side.
    pub fault: OnceLock<RecordingError<F>>,
    /// Whether nothing is recorded any more.
    pub has_stopped: AtomicBool,
    /// Steps dropped so far, by the recorder, the queue or the writer.
    pub dropped_steps: AtomicU64,
}

impl<F: FrameworkError> Default for Shared<F> {
    fn default() -> Self {
        Self { fault: OnceLock::new(), has_stopped: AtomicBool::new(false), dropped_steps: AtomicU64::new(0) }
    }
}

impl<F: FrameworkError> Shared<F> {
    /// Runs a part of the recorder that cannot go on after a fault: errors and panics are kept and go no further.
    pub fn contain<T>(&self, run: impl FnOnce() -> Result<T, RecordingError<F>>) -> Option<T> {
        let fault = match self.contain_panic(run) {
            Ok(value) => return Some(value),
            Err(fault) => fault,
        };
        self.note(fault);
        self.has_stopped.store(true, Ordering::Relaxed);
        None
    }

    /// Makes an error of a panic, after which nothing is recorded any more.
    ///
    /// # Errors
    /// Those of what is run, and [`RecordingError::Panicked`].
    pub fn contain_panic<T>(&self, run: impl FnOnce() -> Result<T, RecordingError<F>>) -> Result<T, RecordingError<F>> {
        // After a panic nothing of what it left behind is used again.
        catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
            self.has_stopped.store(true, Ordering::Relaxed);
            Err(RecordingError::Panicked { message: panic_message(&*panic) })
        })
    }

    /// Keeps a fault; the first one is the one to tell.
    pub fn note(&self, fault: RecordingError<F>) {
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
pub struct BackgroundWriter<F: FrameworkError> {
    /// `None` once closed.
    queue: Option<SyncSender<Message>>,
    when_full: WhenFull,
    /// How long a flush and the end of the recording wait.
    patience: Duration,
    backlog: Backlog,
    shared: Arc<Shared<F>>,
    /// Brings the outcome when the thread ends. In a lock only so that several threads may own the writer, one by one.
    ended: Mutex<Receiver<Option<Losses>>>,
}

/// What the queue had no room for and the writer has to know before what comes next.
#[derive(Default)]
struct Backlog {
    dropped_steps: u64,
    /// Why the recorder dropped some.
    faults: Vec<String>,
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

impl<F: FrameworkError> BackgroundWriter<F> {
    /// Starts the thread.
    ///
    /// # Errors
    /// [`RecordingError::Thread`] if none can be had.
    pub fn start(
        writer: RunWriter,
        when_full: WhenFull,
        patience: Duration,
        shared: Arc<Shared<F>>,
    ) -> Result<Self, RecordingError<F>> {
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
        Builder::new().name("epsiloscope-writer".to_owned()).spawn(write).map_err(RecordingError::Thread)?;
        Ok(Self {
            queue: Some(queue),
            when_full,
            patience,
            backlog: Backlog::default(),
            shared,
            ended: Mutex::new(ended),
        })
    }

    /// The writer of a rank that records nothing.
    pub fn absent() -> Self {
        let (ending, ended) = channel();
        // The receiver is at hand, so this cannot fail.
        let _ = ending.send(Some(Losses::default()));
        let (when_full, patience) = (WhenFull::default(), FINISH_PATIENCE);
        let ended = Mutex::new(ended);
        Self { queue: None, when_full, patience, backlog: Backlog::default(), shared: Arc::default(), ended }
    }

    /// Queues a step.
    pub fn send(&mut self, record: StepRecord) {
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
    pub fn send_scalars(&mut self, step: i64, scalars: Vec<(String, f64)>) {
        if self.queue.is_some() {
            self.backlog.scalars.push((step, scalars));
            let _ = self.offer(Task::None);
        }
    }

    /// Counts a step that was to be recorded and could not be counted, and says why in the manifest.
    pub fn drop_step(&mut self, fault: String) {
        if self.queue.is_some() {
            self.shared.dropped_steps.fetch_add(1, Ordering::Relaxed);
            self.backlog.dropped_steps += 1;
            if !self.backlog.faults.contains(&fault) && self.backlog.faults.len() < Losses::MAX_FAULTS {
                self.backlog.faults.push(fault);
            }
            let _ = self.offer(Task::None);
        }
    }

    /// Waits until everything queued is on disk, but not for ever.
    pub fn flush(&mut self) {
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

    /// Has the run marked finished once everything queued is written, and waits for that, but not for ever. No losses mean
    /// that the thread has ended early, and has said why.
    ///
    /// # Errors
    /// [`RecordingError::Stalled`] if the disk takes nothing.
    pub fn finish(&mut self) -> Result<Option<Losses>, RecordingError<F>> {
        let deadline = Instant::now() + self.patience;
        let sent = self.offer_until(deadline, Task::Finish);
        self.queue = None;
        sent.and_then(|()| self.wait(deadline))
    }

    /// Waits until everything queued is written. The run stays marked `running`, or `failed` after a fault.
    pub fn close(&mut self) {
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

    fn offer_until(&mut self, deadline: Instant, mut task: Task) -> Result<(), RecordingError<F>> {
        while let Some(unsent) = self.offer(task) {
            if deadline <= Instant::now() {
                return Err(self.stalled());
            }
            task = unsent;
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn wait(&mut self, deadline: Instant) -> Result<Option<Losses>, RecordingError<F>> {
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        match ended.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(losses) => Ok(losses),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => Err(self.stalled()),
        }
    }

    fn stalled(&self) -> RecordingError<F> {
        RecordingError::Stalled { patience: self.patience }
    }
}

impl<F: FrameworkError> Drop for BackgroundWriter<F> {
    fn drop(&mut self) {
        self.close();
    }
}

/// What the thread does until the queue is closed; what became of the run if it was finished.
fn write<F: FrameworkError>(
    mut writer: RunWriter,
    messages: &Receiver<Message>,
    shared: &Shared<F>,
) -> Result<Option<Losses>, RecordingError<F>> {
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
        before.faults.into_iter().for_each(|fault| writer.note_fault(fault));
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
fn close<F: FrameworkError>(mut writer: RunWriter, shared: &Shared<F>) -> Result<(), FormatError> {
    match shared.fault.get().filter(|_| shared.has_stopped.load(Ordering::Relaxed)) {
        Some(fault) => writer.fail(fault.to_string()),
        None => writer.flush(),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn a_panic_is_kept_and_goes_no_further() {
        let shared = Shared::<Infallible>::default();
        let panicking = || -> Result<(), RecordingError<Infallible>> { panic!("bin {} of 3", 4) };
        assert!(shared.contain(panicking).is_none());
        assert!(shared.contain(|| Err::<(), _>(RecordingError::NothingTrainable { hint: "" })).is_none());
        assert!(shared.has_stopped.load(Ordering::Relaxed));
        let first = shared.fault.get().map(ToString::to_string);
        assert_eq!(first.as_deref(), Some("the recorder panicked: bin 4 of 3"));
    }
}
