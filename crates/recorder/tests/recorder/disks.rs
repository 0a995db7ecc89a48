//! Disks that are slow, full, or take nothing at all never get in the way of the training.

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use epsiloscope_format::fs::{Disk, FileSystem, WritableFile};
use epsiloscope_format::{Run, Status};
use epsiloscope_recorder::{
    MagnitudePolicy, Optimizer, QUEUE_STEPS, Recorder, RecorderBuilder, RecorderError, StepInfo, WhenFull,
    WriterOptions,
};
use tch::nn::{self, OptimizerConfig, VarStore};
use tch::{Device, Tensor};

use crate::common::{
    bits, floats, give_gradient, network, parameters, random_loss, recorded_scalars, recorded_steps, settings, torch,
};

/// How the disk is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum State {
    #[default]
    Well,
    /// Every new file takes a moment.
    Slow,
    /// Whoever makes a file waits until this is over.
    Blocked,
    Full,
}

/// The disk in some state, and without syncing, as a power cut is none of the states.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(Arc<(Mutex<State>, Condvar)>);

impl Gate {
    fn set(&self, state: State) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = state;
        self.0.1.notify_all();
    }

    fn pass(&self) -> io::Result<()> {
        let state = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let state =
            self.0.1.wait_while(state, |state| *state == State::Blocked).unwrap_or_else(PoisonError::into_inner);
        match *state {
            State::Full => Err(io::Error::new(io::ErrorKind::StorageFull, "no space left on device")),
            State::Slow => {
                std::thread::sleep(Duration::from_millis(1));
                Ok(())
            }
            State::Well | State::Blocked => Ok(()),
        }
    }
}

/// Writes fail with the disk, too: a file may be open when it fills up.
struct Gated(Box<dyn WritableFile>, Gate);

impl Write for Gated {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1.pass()?;
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl WritableFile for Gated {
    fn sync_all(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl FileSystem for Gate {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        Disk.create_dir_all(dir)
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn WritableFile>> {
        Ok(Box::new(Gated(Disk.create_new(path)?, self.clone())))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn WritableFile>> {
        Ok(Box::new(Gated(Disk.append(path)?, self.clone())))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        Disk.remove_file(path)
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }
}

/// One tensor of two elements, whose gradient never changes.
struct Tiny {
    _dir: tempfile::TempDir,
    run_dir: std::path::PathBuf,
    gate: Gate,
    recorder: Recorder,
}

impl Tiny {
    fn start(options: impl FnOnce(RecorderBuilder<'_>) -> RecorderBuilder<'_>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (run_dir, gate) = (dir.path().join("run"), Gate::default());
        let var_store = VarStore::new(Device::Cpu);
        let parameter = var_store.root().zeros("p", &[2]);
        give_gradient(&parameter, &Tensor::from_slice(&[0.5_f32, -0.25]));
        let builder = Recorder::builder(&var_store, settings()).magnitudes(MagnitudePolicy::None);
        let builder = builder.critical_epsilon(&[Optimizer::Adam]).file_system(Arc::new(gate.clone()));
        let recorder = options(builder).start(&run_dir).unwrap();
        Self { _dir: dir, run_dir, gate, recorder }
    }

    fn steps(&mut self, n: usize) {
        (0..n).for_each(|_| self.recorder.step(&StepInfo::default()));
    }
}

/// Every step a part file.
const EVERY_STEP: WriterOptions = WriterOptions { flush_rows: 1, flush_secs: 0.0 };

#[test]
fn training_that_drops_steps_never_waits_for_a_blocked_disk() {
    let _turn = torch();
    let mut tiny = Tiny::start(|builder| builder.when_full(WhenFull::Drop).writer_options(EVERY_STEP));
    tiny.gate.set(State::Blocked);
    tiny.steps(5000);
    tiny.recorder.scalars(&[("accuracy", 0.5)]);
    tiny.steps(5000);
    let health = tiny.recorder.health();
    assert!(!health.has_stopped && health.steps == 10_000);
    assert!((10_000 - 2 * QUEUE_STEPS as u64..10_000).contains(&health.dropped_steps), "{health:?}");
    tiny.gate.set(State::Well);
    let losses = tiny.recorder.finish().unwrap();

    let run = Run::open(&tiny.run_dir).unwrap();
    let (kept, _) = recorded_steps(&tiny.run_dir);
    assert_eq!(kept.len() as u64 + losses.dropped_steps, 10_000);
    assert!(kept.is_sorted_by(|a, b| a < b));
    assert_eq!((run.manifest().status, run.manifest().losses.dropped_steps), (Status::Finished, losses.dropped_steps));
    assert_eq!(recorded_scalars(&tiny.run_dir), [(5000, "accuracy".to_owned(), 0.5)]);
}

#[test]
fn training_that_waits_loses_nothing_to_a_slow_disk() {
    let _turn = torch();
    let mut tiny = Tiny::start(|builder| builder.when_full(WhenFull::Wait).writer_options(EVERY_STEP));
    tiny.gate.set(State::Slow);
    let n_steps = 2 * QUEUE_STEPS;
    tiny.steps(n_steps);
    assert_eq!(tiny.recorder.finish().unwrap().dropped_steps, 0);
    assert!(recorded_steps(&tiny.run_dir).0.into_iter().eq(1..=n_steps as i64));
}

/// Trains from a fixed seed on a disk that is full for some of the steps; gives the weights afterwards.
fn train_on_full_disk(run_dir: Option<&Path>, options: WriterOptions) -> Vec<Vec<u32>> {
    tch::manual_seed(4);
    let gate = Gate::default();
    let var_store = VarStore::new(Device::Cpu);
    let model = network(&var_store);
    let mut optimizer = nn::Adam::default().build(&var_store, 1e-2).unwrap();
    let builder = Recorder::builder(&var_store, settings()).magnitudes(MagnitudePolicy::None).histograms(false);
    let builder = builder.file_system(Arc::new(gate.clone())).writer_options(options);
    let mut recorder = run_dir.map(|run_dir| builder.start(run_dir).unwrap());
    for step in 1..=20 {
        match step {
            6 => gate.set(State::Full),
            15 => gate.set(State::Well),
            _ => {}
        }
        optimizer.zero_grad();
        random_loss(&model).backward();
        if let Some(recorder) = &mut recorder {
            recorder.step(&StepInfo { snapshot: step % 10 == 0, ..StepInfo::default() });
            if step % 5 == 0 {
                recorder.flush();
            }
        }
        optimizer.step();
    }
    if let Some(recorder) = recorder {
        assert!(recorder.failure().unwrap().to_string().contains("no space left"));
        recorder.finish().unwrap();
    }
    parameters(&var_store).values().map(|tensor| bits(&floats(tensor))).collect()
}

#[test]
fn a_disk_that_is_full_for_a_while_loses_nothing_or_what_is_counted() {
    let _turn = torch();
    let dir = tempfile::tempdir().unwrap();
    let plain = train_on_full_disk(None, WriterOptions::default());
    // Room for all steps, and for one.
    for (name, options) in [("roomy", WriterOptions::default()), ("tight", EVERY_STEP)] {
        let run_dir = dir.path().join(name);
        assert_eq!(train_on_full_disk(Some(&run_dir), options), plain);
        let run = Run::open(&run_dir).unwrap();
        let losses = &run.manifest().losses;
        assert!(losses.faults[0].contains("no space left"), "{losses:?}");
        assert_eq!(recorded_steps(&run_dir).0.len() as u64 + losses.dropped_steps, 20);
        assert_eq!(losses.dropped_steps > 0, name == "tight", "{losses:?}");
        assert!(run.orphans().unwrap().is_empty());
    }
}

#[test]
fn nothing_waits_for_ever_for_a_blocked_disk() {
    let _turn = torch();
    let blocked = || {
        let patience = Duration::from_millis(50);
        let mut tiny = Tiny::start(|builder| builder.patience(patience).writer_options(EVERY_STEP));
        tiny.steps(1);
        tiny.recorder.flush();
        tiny.gate.set(State::Blocked);
        tiny.steps(QUEUE_STEPS);
        tiny
    };
    let mut tiny = blocked();
    tiny.recorder.flush();
    assert!(matches!(tiny.recorder.failure(), Some(RecorderError::Stalled { .. })));
    let fault = tiny.recorder.finish().unwrap_err();
    assert_eq!(fault.to_string(), "the disk took nothing for 50ms: what was queued may be lost");
    assert_eq!(Run::open(&tiny.run_dir).unwrap().last_step(), 1, "what was complete is readable");
    tiny.gate.set(State::Well);

    let Tiny { recorder, gate, run_dir, _dir } = blocked();
    drop(recorder);
    assert_eq!(Run::open(&run_dir).unwrap().manifest().status, Status::Running);
    gate.set(State::Well);
}

#[test]
#[cfg(unix)]
fn a_permission_that_is_lost_ends_no_training() {
    use std::os::unix::fs::PermissionsExt;
    let _turn = torch();
    let mut tiny = Tiny::start(|builder| builder.writer_options(EVERY_STEP));
    tiny.steps(1);
    tiny.recorder.flush();
    let steps = tiny.run_dir.join("steps");
    let permit = |mode| std::fs::set_permissions(&steps, std::fs::Permissions::from_mode(mode)).unwrap();
    permit(0o500);
    if std::fs::write(steps.join("probe"), "").is_ok() {
        eprintln!("skipped: this user writes wherever it likes");
        return;
    }
    tiny.steps(3);
    tiny.recorder.flush();
    let health = tiny.recorder.health();
    assert!(!health.has_stopped && health.fault.unwrap().contains("steps"));
    permit(0o700);
    tiny.recorder.flush();
    tiny.steps(1);
    let losses = tiny.recorder.finish().unwrap();
    assert_eq!(recorded_steps(&tiny.run_dir).0.len() as u64 + losses.dropped_steps, 5);
}
