//! Looking at a run again and again while it is recorded.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use epsiloscope_format::{FormatError, Run, Status, Table, escaped, has_writer};
use epsiloscope_report::{Glance, PanelOptions, glance};

use crate::runs::message;

/// Looks without a writer, and without anything new, after which a run counts as given up. More than one: its recorder may
/// have ended in order between reading the manifest and looking at the lock.
const LOOKS_WITHOUT_WRITER: u32 = 2;
/// Steps that the pace is taken over.
const PACE_STEPS: i64 = 200;
/// Rests between looks are at least so many times as long as a look, so that watching leaves the training its processor.
const REST: u32 = 4;

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Not there yet.
    Absent,
    /// Begun; no step is complete.
    Begun,
    /// Being recorded.
    Recorded,
    /// Ended in order.
    Finished,
    /// The recorder gave up.
    Failed,
    /// Nobody records it, and it was not finished.
    Abandoned,
}

impl State {
    pub(super) fn in_words(self) -> &'static str {
        match self {
            Self::Absent => "waiting: no run there yet",
            Self::Begun => "begun, no step complete yet",
            Self::Recorded => "recording",
            Self::Finished => "finished",
            Self::Failed => "the recorder gave up; what it published before stays readable",
            Self::Abandoned => {
                "nobody records it any more, and it was not finished: crashed or killed; it can be resumed"
            }
        }
    }
}

/// A run at one look.
#[derive(Clone)]
pub(super) struct Seen {
    pub(super) state: State,
    pub(super) progress: Option<Arc<Progress>>,
    /// Why it could not be read at this look.
    pub(super) fault: Option<String>,
    /// Whether that is for good.
    is_unreadable: bool,
}

/// What of a run was complete.
pub(super) struct Progress {
    pub(super) run: Run,
    fingerprint: String,
    pace: Pace,
    /// Or why there is none.
    pub(super) glance: Result<Glance, String>,
}

/// The scalars of the last steps.
#[derive(Default)]
struct Pace {
    epoch: Option<i32>,
    loss: Option<f64>,
    steps_per_sec: Option<f64>,
}

impl Seen {
    /// Whether nothing more will come.
    pub(super) fn is_over(&self) -> bool {
        self.is_unreadable || matches!(self.state, State::Finished | State::Failed | State::Abandoned)
    }

    /// `runs/mine: recording; step 1200, …`
    pub(super) fn line(&self, run: &Path) -> String {
        let mut parts = vec![format!("{}: {}", escaped(&run.display().to_string()), self.state.in_words())];
        parts.extend(self.progress.as_ref().map(|progress| progress.line()));
        parts.extend(self.faults());
        parts.join("; ")
    }

    /// What is wrong, in the run and with reading it.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if let Some(progress) = &self.progress {
            let dropped = progress.run.dropped_steps();
            faults.extend((0 < dropped).then(|| format!("{dropped} steps dropped")));
            faults.extend(progress.run.manifest().losses.faults.iter().map(|fault| escaped(fault)));
            faults.extend(progress.glance.as_ref().err().cloned());
        }
        faults.extend(self.fault.clone());
        faults
    }
}

impl Progress {
    fn of(run: Run, fingerprint: String, options: &PanelOptions) -> Result<Self, FormatError> {
        let pace = Pace::of(&run)?;
        let glance = glance(&run, options).map_err(|fault| escaped(&fault.to_string()));
        Ok(Self { run, fingerprint, pace, glance })
    }

    /// `step 1200, epoch 3, 35.2 steps/s, loss 0.231, search ε of adam in [1e-5, 1e-1]`
    pub(super) fn line(&self) -> String {
        let Pace { epoch, loss, steps_per_sec } = self.pace;
        let mut parts = vec![format!("step {}", self.run.last_step())];
        parts.extend(epoch.map(|epoch| format!("epoch {epoch}")));
        parts.extend(steps_per_sec.map(|pace| format!("{} steps/s", digits(pace))));
        parts.extend(loss.map(|loss| format!("loss {}", digits(loss))));
        let estimate = self.glance.as_ref().ok().and_then(|glance| glance.estimate.as_ref());
        parts.extend(estimate.map(|estimate| {
            let (lower, upper) = estimate.exponents();
            format!("search ε of {} in [1e{lower}, 1e{upper}]", estimate.optimizer)
        }));
        parts.join(", ")
    }
}

/// Three significant digits, plainly where that is short.
fn digits(value: f64) -> String {
    match value.abs() {
        magnitude if magnitude < f64::MIN_POSITIVE => "0".to_owned(),
        magnitude if !(1e-3..1e4).contains(&magnitude) => format!("{value:.2e}"),
        magnitude if magnitude < 1.0 => format!("{value:.4}"),
        magnitude if magnitude < 10.0 => format!("{value:.2}"),
        magnitude if magnitude < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

impl Pace {
    fn of(run: &Run) -> Result<Self, FormatError> {
        let from = (run.last_step() - PACE_STEPS).max(1);
        let mut rows: Vec<(i64, i64, Option<f64>, Option<i32>)> = Vec::new();
        for part in run.parts_at(Table::Steps, &(from..=run.last_step())) {
            for batch in part.steps()? {
                let scalars = batch.loss.iter().zip(batch.epoch.iter());
                let times = batch.step.values().iter().zip(batch.time.values());
                rows.extend(times.zip(scalars).map(|((&step, &time), (loss, epoch))| (step, time, loss, epoch)));
            }
        }
        rows.retain(|(step, ..)| from <= *step);
        let Some((first, last)) = rows.first().zip(rows.last()) else { return Ok(Self::default()) };
        let secs = (last.1 - first.1) as f64 / 1e6;
        Ok(Self {
            epoch: last.3,
            loss: rows.iter().rev().find_map(|(_, _, loss, _)| *loss),
            steps_per_sec: (0.0 < secs).then(|| (last.0 - first.0) as f64 / secs),
        })
    }
}

/// What looks at a run bring, as long as someone takes them and the run may go on.
pub(super) fn observed(dir: PathBuf, options: PanelOptions, interval: Duration) -> Receiver<Seen> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut observer = Observer { dir, options, last: None, n_without_writer: 0, n_faults: 0 };
        loop {
            let began = Instant::now();
            let seen = observer.guarded_look();
            let is_over = seen.is_over();
            if sender.send(seen).is_err() || is_over {
                break;
            }
            thread::sleep(interval.max(REST * began.elapsed()));
        }
    });
    receiver
}

struct Observer {
    dir: PathBuf,
    options: PanelOptions,
    last: Option<Arc<Progress>>,
    /// Looks in a row that found no writer and nothing new.
    n_without_writer: u32,
    /// Looks in a row that could not read the run.
    n_faults: u32,
}

impl Observer {
    /// A panic in a library ends the watching, not the terminal.
    fn guarded_look(&mut self) -> Seen {
        let dir = self.dir.clone();
        catch_unwind(AssertUnwindSafe(|| self.look())).unwrap_or_else(|panic| Seen {
            state: State::Failed,
            progress: None,
            fault: Some(format!("{}: internal error: {}", dir.display(), message(&*panic))),
            is_unreadable: true,
        })
    }

    fn look(&mut self) -> Seen {
        match self.state() {
            Ok(state) => {
                self.n_faults = 0;
                Seen { state, progress: self.last.clone(), fault: None, is_unreadable: false }
            }
            Err(fault) => {
                // A resumption exchanges files: what cannot be read now may be whole at the next look.
                self.n_faults += 1;
                let is_written = has_writer(&self.dir).unwrap_or(false);
                Seen {
                    state: State::Recorded,
                    progress: self.last.clone(),
                    fault: Some(escaped(&fault.to_string())),
                    is_unreadable: !is_written && LOOKS_WITHOUT_WRITER < self.n_faults,
                }
            }
        }
    }

    fn state(&mut self) -> Result<State, FormatError> {
        let run = match Run::open(&self.dir) {
            Err(FormatError::NoDirectory { .. } | FormatError::NotARun { .. }) => return Ok(State::Absent),
            Err(FormatError::Empty { .. }) => return Ok(self.written_or(State::Begun, false)),
            run => run?,
        };
        let fingerprint = run.fingerprint();
        let is_new = self.last.as_ref().is_none_or(|last| last.fingerprint != fingerprint);
        let (status, is_whole) = (run.manifest().status, run.is_finished());
        if is_new {
            self.last = Some(Arc::new(Progress::of(run, fingerprint, &self.options)?));
        }
        Ok(match status {
            Status::Failed => State::Failed,
            Status::Finished if is_whole || !has_writer(&self.dir)? => State::Finished,
            Status::Running | Status::Finished => self.written_or(State::Recorded, is_new),
        })
    }

    /// A state that lasts as long as someone writes.
    fn written_or(&mut self, state: State, is_new: bool) -> State {
        let is_written = is_new || has_writer(&self.dir).unwrap_or(true);
        self.n_without_writer = if is_written { 0 } else { self.n_without_writer + 1 };
        if self.n_without_writer < LOOKS_WITHOUT_WRITER { state } else { State::Abandoned }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let all = [35.21, 0.231_456, 1234.5, 2.345, 0.0, 1e-7, 5e6].map(digits);
        assert_eq!(all, ["35.2", "0.2315", "1234", "2.35", "0", "1.00e-7", "5.00e6"]);
    }
}
