//! What goes wrong with a recording never reaches the training.

use epsiloscope_format::{FormatError, Run, Status};
use epsiloscope_recorder::{QUEUE_STEPS, Recorder, RecorderError, StepInfo, WriterOptions};
use tch::nn::{self, OptimizerConfig, VarStore};
use tch::{Device, Kind, Tensor};

use crate::common::{floats, network, parameters, random_loss, settings, torch};

#[test]
fn a_recording_that_cannot_begin_says_why() {
    let _turn = torch();
    let dir = tempfile::tempdir().unwrap();
    let var_store = VarStore::new(Device::Cpu);
    let start = |path: &str| Recorder::builder(&var_store, settings()).start(&dir.path().join(path)).map(drop);

    assert!(matches!(start("run"), Err(RecorderError::NothingTrainable { .. })));
    let _model = network(&var_store);
    std::fs::write(dir.path().join("file"), "not a directory").unwrap();
    let fault = start("file/run").unwrap_err();
    assert!(matches!(fault, RecorderError::Format(FormatError::Io(_))));
    assert!(fault.to_string().contains("file/run"), "{fault}");
    start("run").unwrap();
    assert!(matches!(start("run"), Err(RecorderError::Format(FormatError::AlreadyARun { .. }))));
}

#[test]
fn training_and_recording_go_on_when_the_run_directory_vanishes_for_a_while() {
    let _turn = torch();
    let dir = tempfile::tempdir().unwrap();
    let (run_dir, moved) = (dir.path().join("run"), dir.path().join("moved"));
    let var_store = VarStore::new(Device::Cpu);
    let model = network(&var_store);
    let mut optimizer = nn::Adam::default().build(&var_store, 1e-2).unwrap();
    // Every step becomes a part file of its own.
    let every_step = WriterOptions { flush_rows: 1, flush_secs: 0.0 };
    let mut recorder = Recorder::builder(&var_store, settings()).writer_options(every_step).start(&run_dir).unwrap();
    let n_steps = QUEUE_STEPS as i64 + 20;
    for step in 1..=n_steps {
        optimizer.zero_grad();
        random_loss(&model).backward();
        recorder.step(&StepInfo::default());
        optimizer.step();
        if step == 5 {
            wait_for_a_complete_step(&run_dir);
            std::fs::rename(&run_dir, &moved).unwrap();
        }
    }
    recorder.flush();
    let health = recorder.health();
    let fault = health.fault.unwrap();
    assert!(fault.contains(run_dir.to_str().unwrap()), "{fault}");
    assert!(!health.has_stopped && 0 < health.dropped_steps && health.dropped_steps < n_steps as u64);
    // What was complete is readable where it is now.
    assert!(Run::open(&moved).unwrap().last_step() < n_steps);
    std::fs::rename(&moved, &run_dir).unwrap();
    random_loss(&model).backward();
    recorder.step(&StepInfo::default());
    let losses = recorder.finish().unwrap();
    assert!(losses.faults[0].contains(run_dir.to_str().unwrap()), "{losses:?}");
    let run = Run::open(&run_dir).unwrap();
    assert_eq!((run.manifest().status, run.manifest().losses.clone()), (Status::Finished, losses.clone()));
    let kept = run.steps().map(|batch| batch.unwrap().step.len()).sum::<usize>() as u64;
    assert_eq!(kept + losses.dropped_steps, n_steps as u64 + 1);
    let missing = run.missing_steps().unwrap().into_iter().map(|(first, last)| last + 1 - first).sum::<i64>();
    assert_eq!((missing as u64, run.last_step()), (losses.dropped_steps, n_steps + 1));
}

fn wait_for_a_complete_step(run_dir: &std::path::Path) {
    while Run::open(run_dir).is_err() {
        std::thread::yield_now();
    }
}

#[test]
fn a_run_that_can_still_be_marked_is_marked_failed() {
    let _turn = torch();
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    let var_store = VarStore::new(Device::Cpu);
    let mut parameter = var_store.root().ones("p", &[4]);
    let mut recorder = Recorder::builder(&var_store, settings()).start(&run_dir).unwrap();
    for _step in 0..2 {
        parameter.sum(Kind::Float).backward();
        recorder.step(&StepInfo::default());
    }
    parameter.set_data(&Tensor::ones([5], (Kind::Float, Device::Cpu)));
    let resized = &parameter * 2.0;
    // The gradient of the old size goes, as an optimizer that sets gradients to none would have it.
    let mut optimizer = nn::Adam::default().build(&var_store, 1e-2).unwrap();
    optimizer.zero_grad();
    resized.sum(Kind::Float).backward();
    recorder.step(&StepInfo::default());

    assert!(matches!(recorder.failure(), Some(RecorderError::Resized { found: 5, expected: 4, .. })));
    assert!((&parameter * 2.0).requires_grad(), "gradients are switched on as before");
    let fault = recorder.finish().unwrap_err();
    assert_eq!(fault.to_string(), "tensor p: 5 gradient elements: expected 4, as when recording started");
    let run = Run::open(&run_dir).unwrap();
    assert_eq!((run.manifest().status, run.last_step()), (Status::Failed, 2));
}

#[test]
fn a_lost_folder_marks_the_run_failed() {
    let _turn = torch();
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    let var_store = VarStore::new(Device::Cpu);
    let model = network(&var_store);
    let mut recorder = Recorder::builder(&var_store, settings()).start(&run_dir).unwrap();
    random_loss(&model).backward();
    std::fs::remove_dir_all(run_dir.join("histograms")).unwrap();
    recorder.step(&StepInfo::default());
    assert!(recorder.failure().is_none());
    let fault = recorder.finish().unwrap_err();
    assert!(fault.to_string().contains("histograms"), "{fault}");
    let manifest = std::fs::read_to_string(run_dir.join("run.json")).unwrap();
    assert!(manifest.contains(r#""status": "failed""#), "{manifest}");
}
