//! Recordings that end anywhere and go on from a checkpoint.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use epsiloscope_format::{FormatError, Run};
use epsiloscope_recorder::{
    MagnitudePolicy, Optimizer, OptimizerSettings, Recorder, RecorderBuilder, RecorderError, StepInfo, WriterOptions,
};
use tch::Device;
use tch::nn::{self, OptimizerConfig, SequentialT, VarStore};

use crate::common::{assert_same_recording, network, random_loss, recorded_steps, settings, torch};
use crate::processes::{role, spawn, wait_for};

/// A network trained by plain SGD, so that its weights are all of its state.
struct Training {
    var_store: VarStore,
    model: SequentialT,
}

impl Training {
    fn new() -> Self {
        tch::manual_seed(31);
        let var_store = VarStore::new(Device::Cpu);
        let model = network(&var_store);
        Self { var_store, model }
    }

    /// As it was at a checkpoint.
    fn from(checkpoint: &Checkpoint) -> Self {
        let mut training = Self::new();
        training.var_store.load(&checkpoint.weights).unwrap();
        training
    }

    fn builder(&self) -> RecorderBuilder<'_> {
        let policy = MagnitudePolicy::Sample { elements_per_tensor: 50, seed: 2 };
        let builder = Recorder::builder(&self.var_store, settings()).magnitudes(policy).snapshot_elements(true);
        builder
            .critical_epsilon(&Optimizer::ALL)
            .writer_options(WriterOptions { flush_rows: 500_000, flush_secs: 0.02 })
    }

    /// Takes steps, each with a batch of its own seed.
    fn steps(&self, recorder: &mut Recorder, steps: RangeInclusive<i64>) {
        let mut optimizer = nn::Sgd::default().build(&self.var_store, 0.1).unwrap();
        for step in steps {
            tch::manual_seed(step);
            optimizer.zero_grad();
            let loss = random_loss(&self.model);
            loss.backward();
            let scalars = [("loss again", loss.double_value(&[]))];
            recorder.step(&StepInfo { snapshot: step % 7 == 0, scalars: &scalars, ..StepInfo::default() });
            optimizer.step();
        }
    }

    fn save(&self, recorder: &mut Recorder, checkpoint: &Checkpoint) {
        self.var_store.save(&checkpoint.weights).unwrap();
        recorder.save_moments(&checkpoint.moments).unwrap();
        recorder.flush();
    }
}

struct Checkpoint {
    weights: PathBuf,
    moments: PathBuf,
}

impl Checkpoint {
    fn at(dir: &Path, step: i64) -> Self {
        let file = |name: &str| dir.join(format!("{name}-{step}.safetensors"));
        Self { weights: file("weights"), moments: file("moments") }
    }
}

/// A recording of so many steps that nothing interrupts.
fn uninterrupted(run_dir: &Path, n_steps: i64) {
    let training = Training::new();
    let mut recorder = training.builder().start(run_dir).unwrap();
    training.steps(&mut recorder, 1..=n_steps);
    recorder.finish().unwrap();
}

/// A recording that ends unfinished after `end` steps, with a checkpoint after `saved` of them.
fn interrupted(dir: &Path, run_dir: &Path, saved: i64, end: i64) -> Checkpoint {
    let checkpoint = Checkpoint::at(dir, saved);
    let training = Training::new();
    let mut recorder = training.builder().start(run_dir).unwrap();
    training.steps(&mut recorder, 1..=saved);
    training.save(&mut recorder, &checkpoint);
    training.steps(&mut recorder, saved + 1..=end);
    drop(recorder);
    assert_eq!(recorded_steps(run_dir).0.len() as i64, end);
    checkpoint
}

#[test]
fn a_resumed_recording_is_one_that_was_never_interrupted() {
    let _turn = torch();
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    uninterrupted(&whole, 25);
    for (saved, end) in [(10, 17), (10, 10), (1, 24), (16, 19)] {
        let run_dir = dir.path().join(format!("run-{saved}-{end}"));
        let checkpoint = interrupted(dir.path(), &run_dir, saved, end);
        let training = Training::from(&checkpoint);
        let mut recorder = training.builder().moments_from(&checkpoint.moments).resume(&run_dir, saved).unwrap();
        assert_eq!(recorder.steps(), saved);
        training.steps(&mut recorder, saved + 1..=25);
        recorder.finish().unwrap();
        assert_same_recording(&run_dir, &whole);
        let run = Run::open(&run_dir).unwrap();
        assert!(run.is_finished() && run.missing_steps().unwrap().is_empty() && run.orphans().unwrap().is_empty());
        let resumed = &run.manifest().resumed;
        assert_eq!((resumed.len(), resumed[0].after_step, resumed[0].moments_restored), (1, saved, true));
    }
}

#[test]
fn moments_that_begin_again_are_told() {
    let _turn = torch();
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    let checkpoint = interrupted(dir.path(), &run_dir, 4, 6);
    let training = Training::from(&checkpoint);
    let mut recorder = training.builder().resume(&run_dir, 4).unwrap();
    training.steps(&mut recorder, 5..=9);
    recorder.finish().unwrap();
    assert!(!Run::open(&run_dir).unwrap().manifest().resumed[0].moments_restored);
    assert_eq!(recorded_steps(&run_dir).0, (1..=9).collect::<Vec<i64>>());
}

#[test]
fn only_the_same_recording_goes_on() {
    let _turn = torch();
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    let checkpoint = interrupted(dir.path(), &run_dir, 4, 6);
    let training = Training::from(&checkpoint);
    let refusal = |builder: RecorderBuilder<'_>, after_step| {
        builder.resume(&run_dir, after_step).map(drop).unwrap_err().to_string()
    };
    let other_model = VarStore::new(Device::Cpu);
    let _parameter = other_model.root().zeros("p", &[2]);
    let other_builder = || Recorder::builder(&other_model, settings());
    let ends = [
        (refusal(other_builder(), 4), "the tensors differ from those recorded so far"),
        (
            refusal(training.builder().magnitudes(MagnitudePolicy::None), 4),
            "the tensors differ from those recorded so far",
        ),
        (refusal(training.builder().signs(false), 4), "the recorded elements differ from those recorded so far"),
        (refusal(training.builder().critical_epsilon(&[]), 4), "the quantities differ from those recorded so far"),
        (refusal(training.builder().clipped(true), 4), "the definitions of gradient differ from those recorded so far"),
        (
            refusal(training.builder().moments_from(&checkpoint.moments), 5),
            "moments after step 4: expected those after step 5",
        ),
        (
            refusal(other_builder().moments_from(&checkpoint.moments), 4),
            "expected a tensor \"adam/p/first\" of type Float",
        ),
    ];
    for (refusal, end) in ends {
        assert!(refusal.ends_with(end) && !refusal.contains('\n'), "{refusal}");
    }
    let other_decay = OptimizerSettings { beta2: Some(0.5), ..settings() };
    let other_decay = Recorder::builder(&training.var_store, other_decay).critical_epsilon(&Optimizer::ALL);
    let policy = MagnitudePolicy::Sample { elements_per_tensor: 50, seed: 2 };
    let other_decay = refusal(other_decay.magnitudes(policy).snapshot_elements(true), 4);
    assert!(other_decay.contains("decay rates"), "{other_decay}");
    // Whatever was refused, the run is as it was.
    assert_eq!(recorded_steps(&run_dir).0.len(), 6);
    assert!(matches!(
        training.builder().resume(&dir.path().join("nowhere"), 4).map(drop),
        Err(RecorderError::Format(FormatError::NoDirectory { .. }))
    ));
}

#[test]
fn a_run_has_one_recorder_at_a_time() {
    let _turn = torch();
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    let training = Training::new();
    let mut recorder = training.builder().start(&run_dir).unwrap();
    let is_locked = |outcome| matches!(outcome, Err(RecorderError::Format(FormatError::Locked { .. })));
    assert!(is_locked(training.builder().start(&run_dir).map(drop)));
    assert!(is_locked(training.builder().resume(&run_dir, 1).map(drop)));
    training.steps(&mut recorder, 1..=3);
    recorder.finish().unwrap();
    assert_eq!(recorded_steps(&run_dir).0, [1, 2, 3]);
}

/// A checkpoint every ten steps, until killed.
#[test]
#[ignore = "what the processes of the next test execute"]
fn a_training_without_end() {
    let (_, dir) = role();
    let training = Training::new();
    let mut recorder = training.builder().start(&dir.join("run")).unwrap();
    for saved in (10..).step_by(10) {
        training.steps(&mut recorder, saved - 9..=saved);
        training.save(&mut recorder, &Checkpoint::at(&dir, saved));
        let (writing, written) = (dir.join("writing"), dir.join("saved"));
        std::fs::write(&writing, saved.to_string()).unwrap();
        std::fs::rename(&writing, &written).unwrap();
    }
}

#[test]
fn a_killed_training_goes_on_from_its_checkpoint() {
    let _turn = torch();
    for moment in 0..10 {
        let dir = tempfile::tempdir().unwrap();
        let (run_dir, whole) = (dir.path().join("run"), dir.path().join("whole"));
        let mut child = spawn("resuming::a_training_without_end", "training", dir.path());
        wait_for(&dir.path().join("saved"), &mut child);
        std::thread::sleep(Duration::from_millis(moment * 37 % 60));
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success());

        let saved: i64 = std::fs::read_to_string(dir.path().join("saved")).unwrap().parse().unwrap();
        let last = Run::open(&run_dir).unwrap().last_step();
        assert!(saved <= last, "steps before a flush are safe: {last} against {saved}");
        assert!(recorded_steps(&run_dir).0.into_iter().eq(1..=last), "and those beyond are whole");
        let checkpoint = Checkpoint::at(dir.path(), saved);
        let training = Training::from(&checkpoint);
        let mut recorder = training.builder().moments_from(&checkpoint.moments).resume(&run_dir, saved).unwrap();
        training.steps(&mut recorder, saved + 1..=saved + 9);
        recorder.finish().unwrap();
        uninterrupted(&whole, saved + 9);
        assert_same_recording(&run_dir, &whole);
    }
}
