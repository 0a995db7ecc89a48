//! Each reference network with its data, and what training does with them.

use std::fs;
use std::path::Path;

use epsiloscope_format::{GRADIENT, Mode};
use tempfile::TempDir;

use super::{CARRIED, TEXT, measure, open, record, record_few, refusal, stderr};

/// Two steps of two examples with frozen weights; the numbers of tensors and of their elements.
fn sizes(model: &str, options: &[&str]) -> (usize, u64) {
    let dir = tempfile::tempdir().unwrap();
    let fixed = ["calibrate", "--model", model, "--out", "run", "--steps", "2", "--batch-size", "2", "--threads", "1"];
    let cheap = ["--critical-epsilon", "none"];
    let output = record(dir.path(), &[&fixed[..], &cheap, options].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let run = open(&dir, "run");
    assert_eq!((run.is_finished(), run.last_step()), (true, 2));
    let manifest = run.manifest();
    assert_eq!((manifest.mode, manifest.labels["model"].as_str()), (Mode::Calibration, model));
    let elements = manifest.tensors.iter().map(epsiloscope_format::TensorInfo::numel).sum();
    (manifest.tensors.len(), elements)
}

#[test]
fn every_network_is_recorded() {
    assert_eq!(sizes("vgg11", &["--data", CARRIED]), (34, 9_229_962));
    assert_eq!(sizes("resnet18", &["--data", CARRIED]), (62, 11_172_810));
    assert_eq!(sizes("resnet18-narrow", &["--data", CARRIED]), (62, 701_178));
    // 93 different bytes occur in the text.
    assert_eq!(sizes("lstm", &["--data", TEXT, "--layers", "3"]), (15, 1_626_717));
    assert_eq!(sizes("transformer", &["--data", TEXT, "--context", "32"]), (37, 420_701));
    assert_eq!(sizes("seq2seq", &[]), (92, 937_758));
}

fn losses(dir: &TempDir) -> Vec<f64> {
    open(dir, "run").steps().flat_map(|batch| batch.unwrap().loss.values().to_vec()).collect()
}

/// Trains on ten bytes over and over.
fn train_on_digits(options: &[&str]) -> Vec<f64> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("digits.txt"), "0123456789".repeat(200)).unwrap();
    let fixed = ["train", "--data", "digits.txt", "--out", "run", "--batch-size", "8", "--context", "16"];
    let longer = ["--epochs", "3", "--steps", "30", "--lr", "1e-2", "--threads", "1"];
    let output = record(dir.path(), &[&fixed[..], &longer, options].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    losses(&dir)
}

#[test]
fn language_models_learn() {
    for model in ["lstm", "transformer"] {
        let losses = train_on_digits(&["--model", model, "--layers", "1"]);
        let chance = 10_f64.ln();
        assert!(chance - 0.5 < losses[0] && losses[29] < 0.5 * chance, "{model}: {losses:?}");
    }
}

#[test]
fn translation_learns() {
    let dir = tempfile::tempdir().unwrap();
    let lines: Vec<String> = (0..400).map(|n| format!("{0:02}\t{0:02}\n", n % 100)).collect();
    fs::write(dir.path().join("same.tsv"), lines.concat()).unwrap();
    let fixed = ["train", "--model", "seq2seq", "--layers", "1", "--data", "same.tsv", "--out", "run"];
    let longer = ["--epochs", "8", "--lr", "3e-3", "--batch-size", "36", "--threads", "1", "--metrics", "metrics.csv"];
    let output = record(dir.path(), &[&fixed[..], &longer].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let last = |metric: &str| metrics(dir.path()).into_iter().rfind(|row| row.2 == metric).unwrap();
    assert_eq!((last("test_exact_match").0, last("test_exact_match").1), (8, 80));
    assert!(0.9 < last("test_exact_match").3 && 0.95 < last("test_token_accuracy").3);
}

/// Rows of `metrics.csv`.
fn metrics(dir: &Path) -> Vec<(i32, i64, String, f64)> {
    let text = fs::read_to_string(dir.join("metrics.csv")).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("epoch,step,metric,value"));
    let row = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        (fields[0].parse().unwrap(), fields[1].parse().unwrap(), fields[2].to_owned(), fields[3].parse().unwrap())
    };
    lines.map(row).collect()
}

#[test]
fn metrics_of_every_epoch_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let train = || {
        let options = ["train", "--out", "run", "--metrics", "metrics.csv", "--epochs", "2", "--batch-size", "1000"];
        record(dir.path(), &[&options[..], &["--data", CARRIED, "--model", "mlp", "--overwrite"]].concat())
    };
    for _again in 0..2 {
        let output = train();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let rows = metrics(dir.path());
        let keys: Vec<(i32, i64, &str)> = rows.iter().map(|row| (row.0, row.1, row.2.as_str())).collect();
        assert_eq!(keys, [(1, 3, "test_accuracy"), (1, 3, "test_loss"), (2, 6, "test_accuracy"), (2, 6, "test_loss")]);
        let told = format!("epoch 2: test accuracy {:.4}, test loss {:.4}\n", rows[2].3, rows[3].3);
        assert!(stderr(&output).contains(&told), "{}", stderr(&output));
    }
    let line = refusal(&record_few(&dir, &["train", "--out", "other", "--metrics", "metrics.csv"]));
    assert!(line.starts_with("epsiloscope-record: metrics.csv: expected a new file, or --overwrite"), "{line}");
    assert!(!dir.path().join("other").exists());
}

/// The norm over all tensors of each step's gradient.
fn gradient_norms(dir: &TempDir, name: &str) -> Vec<f64> {
    let run = open(dir, name);
    let mut squares = vec![0.0; run.last_step() as usize];
    for batch in run.tensors().map(Result::unwrap) {
        for row in 0..batch.quantity.len() {
            if run.manifest().quantities[batch.quantity[row] as usize] == GRADIENT {
                squares[batch.step.value(row) as usize - 1] += batch.sum_of_squares.value(row);
            }
        }
    }
    squares.into_iter().map(f64::sqrt).collect()
}

#[test]
fn clipped_gradients_are_recorded_clipped() {
    let dir = tempfile::tempdir().unwrap();
    measure(&dir, "free", &["calibrate"]);
    measure(&dir, "clipped", &["calibrate", "--clip-norm", "0.25"]);
    measure(&dir, "wide", &["calibrate", "--clip-norm", "1e6"]);
    let norms = |parent: &str| gradient_norms(&dir, &format!("{parent}/run"));
    assert!(norms("free").iter().all(|&norm| 0.3 < norm), "{:?}", norms("free"));
    assert!(norms("clipped").iter().all(|&norm| (norm - 0.25).abs() < 1e-5), "{:?}", norms("clipped"));
    assert_eq!(norms("wide"), norms("free"));
    let clipped = open(&dir, "clipped/run");
    assert!(clipped.manifest().gradient.clipped && !open(&dir, "free/run").manifest().gradient.clipped);
    assert_eq!(clipped.manifest().labels["clip_norm"], "0.25");
}

#[test]
fn accumulated_batches_give_the_gradient_of_their_union() {
    let dir = tempfile::tempdir().unwrap();
    measure(&dir, "whole", &["calibrate", "--model", "mlp", "--batch-size", "96"]);
    measure(&dir, "parts", &["calibrate", "--model", "mlp", "--batch-size", "32", "--gradient-accumulation", "3"]);
    let (whole, parts) = (open(&dir, "whole/run"), open(&dir, "parts/run"));
    assert_eq!((whole.last_step(), parts.last_step()), (3, 3));
    assert_eq!(parts.manifest().gradient.accumulated_batches, 3);
    let norms = |parent: &str| gradient_norms(&dir, &format!("{parent}/run"));
    for (one, other) in norms("whole").into_iter().zip(norms("parts")) {
        assert!((one - other).abs() < 1e-4 * one, "{one} {other}");
    }
    let values = |run: &epsiloscope_format::Run| -> Vec<f32> {
        run.magnitudes().flat_map(|batch| batch.unwrap().magnitude.to_vec()).collect()
    };
    for (one, other) in values(&whole).into_iter().zip(values(&parts)) {
        assert!((one - other).abs() < 1e-6 + 1e-3 * one, "{one} {other}");
    }
}

#[test]
fn bad_text_is_refused_with_the_file_and_what_was_expected() {
    let dir = tempfile::tempdir().unwrap();
    let language = |options: &[&str]| {
        let fixed = ["calibrate", "--model", "lstm", "--out", "run"];
        refusal(&record(dir.path(), &[&fixed[..], options].concat()))
    };
    assert_eq!(
        language(&[]),
        "epsiloscope-record: there is no data/opticks/opticks.txt here: expected --data FILE, a text"
    );
    let missing = language(&["--data", "text"]);
    assert!(missing.starts_with("epsiloscope-record: text: expected a text: "), "{missing}");
    fs::write(dir.path().join("text"), "").unwrap();
    assert_eq!(
        language(&["--data", "text"]),
        "epsiloscope-record: text: 0 bytes: expected 650 or more, so that the tenth held out is longer than a context of 64"
    );
    fs::write(dir.path().join("text"), "abcdefghij".repeat(5)).unwrap();
    assert!(language(&["--data", "text", "--context", "5"]).contains("text: 50 bytes: expected 60 or more"));
    assert!(!dir.path().join("run").exists());
}

#[test]
fn bad_pairs_are_refused_with_the_line_and_what_was_expected() {
    let dir = tempfile::tempdir().unwrap();
    let translation = |text: &[u8]| {
        fs::write(dir.path().join("pairs"), text).unwrap();
        refusal(&record(dir.path(), &["calibrate", "--model", "seq2seq", "--data", "pairs", "--out", "run"]))
    };
    assert_eq!(translation(b"a\tb\n"), "epsiloscope-record: pairs: 1 lines: expected 10 or more");
    assert_eq!(translation(b"a\tb\nab\n"), "epsiloscope-record: pairs: line 2: no tab: expected source<TAB>target");
    let long = format!("{}\tb\n", "a".repeat(513));
    assert_eq!(
        translation(long.as_bytes()),
        "epsiloscope-record: pairs: line 1: 513 bytes: expected 512 at most on either side of the tab"
    );
    let binary = translation(b"\xff\xfe");
    assert!(binary.starts_with("epsiloscope-record: pairs: expected lines of source<TAB>target: "), "{binary}");
    assert!(!dir.path().join("run").exists());
}

#[test]
fn options_that_a_network_does_not_have_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |options: &[&str]| refusal(&record_few(&dir, &[&["train", "--out", "run"], options].concat()));
    assert_eq!(
        refused(&["--layers", "2"]),
        "epsiloscope-record: --layers: expected with --model lstm, transformer or seq2seq"
    );
    assert_eq!(
        refused(&["--model", "seq2seq", "--context", "2"]),
        "epsiloscope-record: --context: expected with --model lstm or transformer"
    );
    assert!(refused(&["--clip-norm", "0"]).contains("expected a finite number above 0"));
    assert!(!dir.path().join("run").exists());
}
