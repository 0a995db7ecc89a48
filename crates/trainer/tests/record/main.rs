//! The executable, end to end on the images that the project carries.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod options;
mod sizes;
mod workloads;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use epsiloscope_format::{MagnitudePolicy, Manifest, Mode, Run, Table};
use tempfile::TempDir;

const CARRIED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/fashion-mnist-subset");
const TEXT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/opticks/opticks.txt");

/// Runs the executable in `dir`.
fn record(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_epsiloscope-record")).args(args).current_dir(dir).output().unwrap()
}

/// The same with the carried images and few steps, for the arguments at hand.
fn record_few(dir: &TempDir, args: &[&str]) -> Output {
    let (command, options) = args.split_first().unwrap();
    let fixed = [*command, "--data", CARRIED, "--steps", "3", "--threads", "1"];
    record(dir.path(), &[&fixed[..], options].concat())
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Asserts that a command was refused with one line and exit code 2, and returns the line.
fn refusal(output: &Output) -> String {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(output.stdout.is_empty());
    text.trim_end().to_owned()
}

fn open(dir: &TempDir, name: &str) -> Run {
    Run::open(&dir.path().join(name)).unwrap()
}

fn tensor_names(manifest: &Manifest) -> Vec<&str> {
    manifest.tensors.iter().map(|tensor| tensor.name.as_str()).collect()
}

#[test]
fn calibration_records_every_step() {
    let dir = tempfile::tempdir().unwrap();
    let output = record_few(&dir, &["calibrate", "--out", "run", "--magnitudes", "5", "--seed", "7"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stderr(&output), "3 steps recorded in run; next: epsiloscope estimate run\n");
    assert!(output.stdout.is_empty());

    let run = open(&dir, "run");
    let manifest = run.manifest();
    assert!(run.is_finished() && run.orphans().unwrap().is_empty());
    assert_eq!((manifest.mode, run.last_step()), (Mode::Calibration, 3));
    assert_eq!(manifest.magnitudes, MagnitudePolicy::Sample { elements_per_tensor: 5, seed: 7 });
    let names = ["conv1", "conv2", "fc1", "fc2"].map(|layer| [format!("{layer}.bias"), format!("{layer}.weight")]);
    assert_eq!(tensor_names(manifest), names.as_flattened());
    let elements: u64 = manifest.tensors.iter().map(epsiloscope_format::TensorInfo::numel).sum();
    assert_eq!(elements, 206_922);
    let labels: Vec<(&str, &str)> = manifest.labels.iter().map(|(key, value)| (&key[..], &value[..])).collect();
    let expected = format!(
        "epsiloscope-record calibrate --data {CARRIED} --steps 3 --threads 1 --out run --magnitudes 5 --seed 7"
    );
    assert_eq!(
        labels,
        [
            ("batch_size", "64"),
            ("command", &expected[..]),
            ("data", CARRIED),
            ("device", "cpu"),
            ("epochs", "1"),
            ("model", "cnn"),
            ("seed", "7"),
            ("threads", "1")
        ]
    );
    for table in Table::ALL {
        // A calibration has no metrics.
        assert_eq!(run.parts(table).count(), usize::from(table != Table::Scalars), "{}", table.name());
    }
}

#[test]
fn training_tells_its_test_accuracy_and_its_settings() {
    let dir = tempfile::tempdir().unwrap();
    let options = ["--model", "mlp", "--optimizer", "rmsprop", "--epsilon", "1e-4", "--weight-decay", "1e-3"];
    let output = record_few(&dir, &[&["train", "--out", "run"], &options[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).starts_with("epoch 1: test accuracy "), "{}", stderr(&output));
    let run = open(&dir, "run");
    let manifest = run.manifest();
    assert_eq!(manifest.mode, Mode::Monitoring);
    assert_eq!(tensor_names(manifest)[4..], ["fc3.bias", "fc3.weight"]);
    let settings = &manifest.optimizer;
    assert_eq!((settings.name.as_str(), settings.beta1, settings.beta2), ("rmsprop", None, Some(0.999)));
    assert_eq!((settings.epsilon, settings.weight_decay), (Some(1e-4), 1e-3));
    assert_eq!(manifest.gradient.coupled_weight_decay.to_string(), "0.001");
}

#[test]
fn decoupled_weight_decay_is_no_part_of_the_gradient() {
    let dir = tempfile::tempdir().unwrap();
    let output = record_few(&dir, &["train", "--out", "run", "--optimizer", "adamw", "--weight-decay", "0.01"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(open(&dir, "run").manifest().gradient.coupled_weight_decay.to_string(), "0");
}

#[test]
fn switches_leave_tables_out() {
    let dir = tempfile::tempdir().unwrap();
    let none = ["--magnitudes", "none", "--histograms", "off", "--snapshot-elements", "off"];
    let options = [&none[..], &["--critical-epsilon", "adam"]].concat();
    let output = record_few(&dir, &[&["calibrate", "--out", "run"], &options[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let run = open(&dir, "run");
    assert_eq!(run.manifest().quantities, ["critical_epsilon.adam", "gradient"]);
    assert_eq!(run.parts(Table::Magnitudes).count(), 0);
    // Critical epsilons are binned all the same; quantity 0 is Adam's.
    assert!(run.histograms().flat_map(|batch| batch.unwrap().quantity).all(|quantity| quantity == 0));
}

/// Everything recorded but the times, as bytes.
fn measurements(dir: &TempDir, name: &str) -> Vec<Vec<u8>> {
    let run = open(dir, name);
    let tables = [Table::Magnitudes, Table::Histograms, Table::Tensors];
    let parts = tables.into_iter().flat_map(|table| run.parts(table));
    parts.map(|part| fs::read(run.dir().join(part.relative_path())).unwrap()).collect()
}

/// Records into `{parent}/run`, since the run's name, which is its directory's, stands in every part.
fn measure(dir: &TempDir, parent: &str, args: &[&str]) -> Vec<Vec<u8>> {
    let name = format!("{parent}/run");
    let output = record_few(dir, &[args, &["--out", &name]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    measurements(dir, &name)
}

#[test]
fn a_command_gives_the_same_bytes_again() {
    let dir = tempfile::tempdir().unwrap();
    let first = measure(&dir, "first", &["train"]);
    assert!(first == measure(&dir, "again", &["train"]));
    assert!(first != measure(&dir, "other", &["train", "--seed", "1"]));
}

#[test]
fn calibration_moves_no_weight() {
    let dir = tempfile::tempdir().unwrap();
    let calibration = measure(&dir, "small", &["calibrate", "--lr", "1e-6"]);
    assert!(calibration == measure(&dir, "large", &["calibrate", "--lr", "1e3"]));
    assert!(calibration != measure(&dir, "train", &["train", "--lr", "1e-6"]));
}

#[test]
fn the_end_of_every_epoch_and_of_the_run_is_a_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    // 3,000 images: batches of 1,000, 1,000, 1,000.
    let options = ["--batch-size", "1000", "--epochs", "9", "--steps", "5", "--threads", "1"];
    let output = record(dir.path(), &[&["calibrate", "--data", CARRIED, "--out", "run"], &options[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let run = open(&dir, "run");
    let quantities = &run.manifest().quantities;
    let mut snapshots: Vec<i64> = Vec::new();
    for batch in run.tensors().map(Result::unwrap) {
        let is_critical = |row: &usize| quantities[batch.quantity[*row] as usize] == "critical_epsilon.adam";
        snapshots.extend((0..batch.quantity.len()).filter(is_critical).map(|row| batch.step.value(row)));
    }
    snapshots.dedup();
    assert_eq!(snapshots, [3, 5]);
    let epochs: Vec<i32> = run.steps().flat_map(|batch| batch.unwrap().epoch.values().to_vec()).collect();
    assert_eq!(epochs, [1, 1, 1, 2, 2]);
}

#[test]
fn an_earlier_run_is_replaced_only_if_asked() {
    let dir = tempfile::tempdir().unwrap();
    assert!(record_few(&dir, &["calibrate", "--out", "run"]).status.success());
    fs::write(dir.path().join("run/notes.txt"), "mine").unwrap();
    let refused = record_few(&dir, &["calibrate", "--out", "run"]);
    let line = "epsiloscope-record: run: holds a run already: choose another --out, or replace it with --overwrite";
    assert_eq!(refusal(&refused), line);

    let output = record_few(&dir, &["train", "--out", "run", "--overwrite"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let run = open(&dir, "run");
    assert_eq!((run.manifest().mode, run.parts(Table::Steps).count()), (Mode::Monitoring, 1));
    assert_eq!(fs::read_to_string(dir.path().join("run/notes.txt")).unwrap(), "mine");
}

#[test]
fn what_is_no_run_is_never_deleted() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("run/steps")).unwrap();
    fs::write(dir.path().join("run/run.json"), r#"{"format": "something else"}"#).unwrap();
    let line = refusal(&record_few(&dir, &["calibrate", "--out", "run", "--overwrite"]));
    assert!(line.contains("run.json") && line.ends_with("nothing was deleted"), "{line}");
    assert!(dir.path().join("run/steps").is_dir());
}

#[test]
fn a_run_that_is_being_recorded_is_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    assert!(record_few(&dir, &["calibrate", "--out", "run"]).status.success());
    let lock = fs::File::open(dir.path().join("run/lock-r000")).unwrap();
    lock.lock().unwrap();
    let line = refusal(&record_few(&dir, &["calibrate", "--out", "run", "--overwrite"]));
    assert!(line.contains("lock-r000") && line.ends_with("expected a run that nobody records"), "{line}");
    assert!(open(&dir, "run").is_finished());
}

#[test]
fn bad_data_is_refused_with_the_file_and_what_was_expected() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let calibrate = || refusal(&record(dir.path(), &["calibrate", "--data", "data", "--out", "run"]));

    assert_eq!(
        refusal(&record(dir.path(), &["calibrate", "--out", "run"])),
        "epsiloscope-record: there is no data/fashion-mnist-subset here: expected --data DIR, a directory of IDX files"
    );
    assert_eq!(calibrate(), "epsiloscope-record: data: no such directory: expected one with IDX files");
    fs::create_dir(&data).unwrap();
    assert_eq!(
        calibrate(),
        "epsiloscope-record: data/train-images-idx3-ubyte: no such file, gzipped or not: expected an IDX file"
    );
    copy_carried("train-labels-idx1-ubyte.gz", &data.join("train-images-idx3-ubyte.gz"));
    assert_eq!(
        calibrate(),
        "epsiloscope-record: data/train-images-idx3-ubyte.gz: bad magic number: found 0x00000801, \
         expected 0x00000803 (images)"
    );
    copy_carried("train-images-idx3-ubyte.gz", &data.join("train-images-idx3-ubyte.gz"));
    copy_carried("t10k-labels-idx1-ubyte.gz", &data.join("train-labels-idx1-ubyte.gz"));
    assert_eq!(
        calibrate(),
        "epsiloscope-record: data/train-labels-idx1-ubyte.gz: 1000 labels: expected 3000, one per image"
    );
    assert!(!dir.path().join("run").exists());
}

fn copy_carried(name: &str, to: &Path) {
    fs::copy(PathBuf::from(CARRIED).join(name), to).unwrap();
}

#[test]
fn an_output_that_cannot_be_written_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let line = refusal(&record_few(&dir, &["calibrate", "--out", "file/run"]));
    assert!(line.contains("file/run"), "{line}");
}

#[test]
fn a_recording_that_fails_leaves_the_training_alone_and_shows_in_the_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let (run, moved) = (dir.path().join("run"), dir.path().join("moved"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_epsiloscope-record"));
    let options = ["--data", CARRIED, "--out", "run", "--threads", "1", "--flush-secs", "1e-3"];
    command.arg("train").args(options).current_dir(dir.path());
    let child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    while !run.join("run.json").exists() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    fs::rename(&run, &moved).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.starts_with("epsiloscope-record: cannot write, tries again: failed to open file `run/"), "{text}");
    let [trained, failed] = ["\nepoch 1: test accuracy ", "\nepsiloscope-record: recording failed: "];
    assert!(text.contains(trained) && text.contains(failed) && text.lines().count() == 3, "{text}");
}

#[test]
fn bad_options_are_refused_with_what_was_expected() {
    let dir = tempfile::tempdir().unwrap();
    let cases: [(&[&str], &str); 8] = [
        (&["--optimizer", "lion"], "[possible values: adam, adamw, amsgrad, nadam, radam, rmsprop, rmsprop-centered, "),
        (&["--epsilon", "-1"], "expected a finite number, 0 or more"),
        (&["--beta2", "1"], "expected a number in [0, 1)"),
        (&["--batch-size", "0"], "0 is not in 1.."),
        (&["--magnitudes", "some"], "expected all, none or a number above 0"),
        (&["--critical-epsilon", "sgd"], "adamomentum, eadam, yogi, or none"),
        (&["--device", "gpu"], "expected cpu, cuda:N or auto"),
        (&["--device", "cuda:999"], "expected a number below that, or cpu"),
    ];
    for (options, expected) in cases {
        let output = record_few(&dir, &[&["train", "--out", "run"], options].concat());
        assert_eq!(output.status.code(), Some(2), "{options:?}");
        assert!(stderr(&output).contains(expected), "{options:?}: {}", stderr(&output));
    }
    assert_eq!(record(dir.path(), &["calibrate"]).status.code(), Some(2), "--out is required");
    assert!(!dir.path().join("run").exists());
}

#[test]
fn help_shows_examples_first() {
    let dir = tempfile::tempdir().unwrap();
    for args in [&["--help"][..], &["train", "--help"]] {
        let output = record(dir.path(), args);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.starts_with("Examples:\n"), "{text}");
    }
}
