//! Every option of recording, as it shows in the run; every optimizer by its name.

use epsiloscope_format::{Run, StepRange, Table};
use tempfile::TempDir;

use super::{CARRIED, open, record, record_few, refusal, stderr, tensor_names};

/// Records three steps of a small network into `run`.
fn recorded(dir: &TempDir, options: &[&str]) -> Run {
    recorded_steps(dir, "3", options)
}

fn recorded_steps(dir: &TempDir, n_steps: &str, options: &[&str]) -> Run {
    let fixed = ["train", "--model", "mlp", "--data", CARRIED, "--out", "run", "--overwrite", "--threads", "1"];
    let output = record(dir.path(), &[&fixed[..], &["--magnitudes", "8", "--steps", n_steps], options].concat());
    assert_eq!(output.status.code(), Some(0), "{options:?}: {}", stderr(&output));
    open(dir, "run")
}

/// The steps of a table's rows, each once; of critical ε alone if asked.
fn steps_of_tensors(run: &Run, critical: bool) -> Vec<i64> {
    let quantities = &run.manifest().quantities;
    let mut steps = Vec::new();
    for batch in run.tensors().map(Result::unwrap) {
        let is_meant = |row: &usize| !critical || quantities[batch.quantity[*row] as usize] != "gradient";
        steps.extend((0..batch.quantity.len()).filter(is_meant).map(|row| batch.step.value(row)));
    }
    steps.dedup();
    steps
}

#[test]
fn every_optimizer_trains_and_is_named() {
    let dir = tempfile::tempdir().unwrap();
    // β1, β2, ε, and the share of weight decay in the gradient.
    let cases = [
        ("adam", true, true, 1e-8, 0.25),
        ("adamw", true, true, 1e-8, 0.0),
        ("amsgrad", true, true, 1e-8, 0.25),
        ("nadam", true, true, 1e-8, 0.25),
        ("radam", true, true, 1e-8, 0.25),
        ("rmsprop", false, true, 1e-8, 0.25),
        ("rmsprop-centered", false, true, 1e-8, 0.25),
        ("adagrad", false, false, 1e-10, 0.25),
        ("adabelief", true, true, 1e-16, 0.0),
        ("adamomentum", true, true, 1e-8, 0.0),
        ("eadam", true, true, 1e-8, 0.25),
        ("yogi", true, true, 1e-3, 0.25),
    ];
    let mut last_losses: Vec<u64> = Vec::new();
    for (name, has_beta1, has_beta2, epsilon, coupled) in cases {
        let run = recorded(&dir, &["--optimizer", name, "--weight-decay", "0.25", "--critical-epsilon", "none"]);
        let settings = &run.manifest().optimizer;
        assert_eq!((settings.name.as_str(), settings.epsilon.map(f64::to_bits)), (name, Some(f64::to_bits(epsilon))));
        assert_eq!((settings.beta1, settings.beta2), (has_beta1.then_some(0.9), has_beta2.then_some(0.999)), "{name}");
        let decay = (settings.weight_decay, run.manifest().gradient.coupled_weight_decay);
        assert_eq!(decay, (0.25, coupled), "{name}");
        last_losses.push(run.steps().flat_map(|batch| batch.unwrap().loss.values().to_vec()).last().unwrap().to_bits());
    }
    last_losses.sort_unstable();
    last_losses.dedup();
    assert_eq!(last_losses.len(), cases.len(), "each optimizer takes steps of its own");
}

#[test]
fn settings_that_an_optimizer_lacks_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |options: &[&str]| refusal(&record_few(&dir, &[&["train", "--out", "run"], options].concat()));
    let no_beta1 = refused(&["--optimizer", "rmsprop", "--beta1", "0.5"]);
    assert_eq!(no_beta1, "epsiloscope-record: --beta1: rmsprop has none");
    assert!(refused(&["--optimizer", "adagrad", "--beta2", "0.5"]).ends_with("--beta2: adagrad has none"));
    assert!(!dir.path().join("run").exists());
    let run = recorded(&dir, &["--optimizer", "nadam", "--beta1", "0.5", "--beta2", "0.75", "--epsilon", "0.5"]);
    let settings = &run.manifest().optimizer;
    assert_eq!((settings.beta1, settings.beta2, settings.epsilon), (Some(0.5), Some(0.75), Some(0.5)));
    refused(&["--optimizer", "rmsprop", "--beta1", "0.5", "--overwrite"]);
    assert!(open(&dir, "run").is_finished(), "what is refused replaces nothing");
}

#[test]
fn patterns_choose_tensors() {
    let dir = tempfile::tempdir().unwrap();
    let patterns = ["--include", "fc1.*", "--include", "*.weight", "--exclude", "fc2*", "--exclude", "*.bias"];
    assert_eq!(tensor_names(recorded(&dir, &patterns).manifest()), ["fc1.weight", "fc3.weight"]);
    let refused = |pattern| refusal(&record_few(&dir, &["train", "--out", "new", "--include", pattern]));
    assert!(refused("fc[").starts_with("epsiloscope-record: pattern \"fc[\": "));
    assert!(refused("lstm*").starts_with("epsiloscope-record: no trainable tensor"), "{}", refused("lstm*"));
}

#[test]
fn cadence_and_ranges_choose_steps_and_snapshots_are_added() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded_steps(&dir, "9", &["--every", "2", "--record-steps", "2-4", "--record-steps", "7-"]);
    let cadence = &run.manifest().cadence;
    assert_eq!(cadence.every, 2);
    assert_eq!(cadence.ranges, [StepRange { first: 2, last: Some(4) }, StepRange { first: 7, last: None }]);
    assert_eq!(steps_of_tensors(&run, false), [2, 4, 7, 9]);

    let run = recorded_steps(&dir, "8", &["--every", "4", "--snapshot-every", "3"]);
    assert_eq!(steps_of_tensors(&run, false), [1, 3, 5, 6, 8]);
    assert_eq!(steps_of_tensors(&run, true), [3, 6, 8]);
    let run = recorded(&dir, &["--critical-epsilon-every-step"]);
    assert!(run.manifest().critical_epsilon.unwrap().every_step);
    assert_eq!(steps_of_tensors(&run, true), [1, 2, 3]);
}

#[test]
fn signs_and_elements_of_snapshots_are_kept_as_asked() {
    let dir = tempfile::tempdir().unwrap();
    let n_magnitudes = |run: &Run| run.parts(Table::Magnitudes).map(|part| part.rows).sum::<u64>();
    let run = recorded(&dir, &["--signs", "off"]);
    assert!(!run.manifest().signs && recorded(&dir, &[]).manifest().signs);
    // Six tensors, eight elements of each at each of three steps.
    assert_eq!(n_magnitudes(&run), 3 * 6 * 8);
    let run = recorded(&dir, &["--snapshot-elements", "on", "--critical-epsilon", "adam"]);
    assert_eq!(n_magnitudes(&run), 3 * 6 * 8 + 235_146);
    let calibrate = |out, options: &[&str]| {
        let fixed = ["calibrate", "--model", "mlp", "--out", out, "--magnitudes", "none", "--critical-epsilon", "adam"];
        assert!(record_few(&dir, &[&fixed[..], options].concat()).status.success());
        n_magnitudes(&open(&dir, out))
    };
    assert_eq!((calibrate("usual", &[]), calibrate("off", &["--snapshot-elements", "off"])), (235_146, 0));
}

#[test]
fn flushes_come_as_often_as_asked() {
    let dir = tempfile::tempdir().unwrap();
    let n_parts = |options: &[&str]| recorded_steps(&dir, "9", options).parts(Table::Steps).count();
    assert_eq!(n_parts(&["--flush-secs", "600", "--when-full", "wait"]), 1);
    // Due again as soon as one is done.
    assert_eq!(n_parts(&["--flush-secs", "1e-9", "--when-full", "drop"]), 9);
}

#[test]
fn metrics_are_scalars_of_the_last_step_of_an_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(&dir, &["--batch-size", "1500", "--epochs", "2", "--metrics", "metrics.csv"]);
    let rows = run.scalars().flat_map(|batch| {
        let batch = batch.unwrap();
        (0..batch.step.len()).map(move |row| (batch.step.value(row), batch.value.value(row))).collect::<Vec<_>>()
    });
    let text = std::fs::read_to_string(dir.path().join("metrics.csv")).unwrap();
    let written = text.lines().skip(1).map(|line| {
        let fields: Vec<&str> = line.split(',').collect();
        (fields[1].parse().unwrap(), fields[3].parse().unwrap())
    });
    let rows: Vec<(i64, f64)> = rows.collect();
    assert_eq!(rows, written.collect::<Vec<_>>());
    assert_eq!(rows.iter().map(|row| row.0).collect::<Vec<_>>(), [2, 2, 3, 3]);
}

#[test]
fn bad_options_of_recording_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let cases = [
        (["--record-steps", "5"], "expected FIRST-LAST or FIRST-"),
        (["--record-steps", "3-2"], "expected FIRST-LAST or FIRST-"),
        (["--every", "0"], "0 is not in 1.."),
        (["--snapshot-every", "0"], "0 is not in 1.."),
        (["--flush-secs", "0"], "expected a finite number above 0"),
        (["--signs", "maybe"], "[possible values: on, off]"),
        (["--when-full", "grow"], "[possible values: wait, drop]"),
    ];
    for (options, expected) in cases {
        let line = refusal(&record_few(&dir, &[&["train", "--out", "run"], &options[..]].concat()));
        assert!(line.contains(expected), "{options:?}: {line}");
    }
}
