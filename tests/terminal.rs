//! `epsiloscope show` and `watch`: what stands in the terminal, at any size, in any colours; and runs that grow meanwhile.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use epsiloscope_format::fs::Disk;
use epsiloscope_format::{RunWriter, WriterOptions};

use crate::cli::epsiloscope;
use crate::synthetic::Synthetic;

fn show(run: &Path, options: &[&str]) -> String {
    let output = epsiloscope([OsStr::new("show"), run.as_os_str()].into_iter().chain(options.iter().map(OsStr::new)));
    assert_eq!((output.status, output.stderr.as_str()), (0, ""), "{options:?}");
    output.stdout
}

fn default_run() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let run = Synthetic::default().write(&dir.path().join("r-a"));
    (dir, run)
}

#[test]
fn a_run_is_shown_with_what_follows_for_epsilon() {
    let (_dir, run) = default_run();
    let text = show(&run, &[]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 24);
    assert_eq!(lines[0], "r-a · calibration, adam, lr 0.001 · step 12, finished");
    assert!(lines.iter().all(|line| line.chars().count() <= 80));
    for expected in [
        "━ search ε in [1e-7, 1e0]   ▲ run’s ε 1e-4",
        "ε1e-4",
        "/decade",
        "step",
        "▲",
        "search ε of adam in [1e-7, 1e0]",
    ] {
        assert!(text.contains(expected), "no {expected} in\n{text}");
    }
    // The heat map: most elements lie around 1e-5, few at 1e-8.
    let at = |label: &str| lines.iter().find(|line| line.trim_start().starts_with(label)).copied().unwrap_or_default();
    assert!(at("1e-6").contains('█') && at("1e-8").contains('░') && !at("1e-8").contains(['▒', '▓', '█']), "{text}");
}

#[test]
fn bars_are_as_high_as_the_table_says() {
    let (_dir, run) = default_run();
    let text = show(&run, &["--width", "88", "--height", "60", "--tensor", "fc1.weight", "--optimizer", "adam"]);
    let axis = text.lines().position(|line| line.contains('┴') || line.contains('┷')).unwrap();
    let lines: Vec<Vec<char>> = text.lines().map(|line| line.chars().collect()).collect();
    let height = |column: usize| {
        let bars = lines[..axis].iter().rev().map(|line| line.get(column).copied().unwrap_or(' '));
        bars.map(|letter| "▁▂▃▄▅▆▇█".chars().position(|eighth| eighth == letter))
            .map_while(|eighths| eighths)
            .map(|eighths| eighths + 1)
            .sum::<usize>()
    };
    // Log-normal around 1e-5: highest there, and falling to both sides.
    let heights: Vec<usize> = (8..88).map(height).collect();
    let highest = (0..80).max_by_key(|&column| heights[column]).unwrap();
    let labels: String = lines[axis + 1].iter().collect();
    let centre = labels.find("1e-5").unwrap() + 2 - 8;
    assert!(highest.abs_diff(centre) <= 4, "{highest}, {centre}:\n{text}");
    let (left, right) = (&heights[..highest - 6], &heights[highest + 6..]);
    assert!(left.iter().chain(right).all(|&height| height < heights[highest]));
}

#[test]
fn every_size_is_kept_to() {
    let (_dir, run) = default_run();
    for (width, height) in
        [(1, 1), (1, 40), (2, 2), (7, 3), (16, 6), (20, 5), (23, 11), (80, 24), (400, 12), (2000, 3), (120, 200)]
    {
        for options in [&[][..], &["--ascii"], &["--color", "always"]] {
            let sized = ["--width", &width.to_string(), "--height", &height.to_string()].map(str::to_owned);
            let options: Vec<&str> = options.iter().copied().chain(sized.iter().map(String::as_str)).collect();
            let text = without_sequences(&show(&run, &options));
            assert_eq!(text.lines().count(), height, "{options:?}");
            assert!(text.lines().all(|line| line.chars().count() <= width), "{options:?}:\n{text}");
        }
    }
}

fn without_sequences(text: &str) -> String {
    let mut pieces = text.split('\u{1b}');
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |all, piece| all + piece.split_once('m').unwrap().1)
}

#[test]
fn colours_come_where_they_are_asked_for() {
    let (_dir, run) = default_run();
    let with = |variables: &[(&str, &str)], options: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_epsiloscope"));
        command.arg("show").arg(&run).args(options).env_remove("NO_COLOR").env_remove("COLORTERM");
        String::from_utf8(command.envs(variables.iter().copied()).output().unwrap().stdout).unwrap()
    };
    assert!(!with(&[], &[]).contains('\u{1b}'), "into a pipe");
    assert!(!with(&[("NO_COLOR", "1")], &[]).contains('\u{1b}'));
    assert!(!with(&[], &["--color", "never"]).contains('\u{1b}'));
    let palette = with(&[], &["--color", "always"]);
    assert!(palette.contains("\u{1b}[0;38;5;") && palette.contains('▀') && !palette.contains(";2;"), "{palette:?}");
    let all = with(&[("COLORTERM", "truecolor"), ("NO_COLOR", "1")], &["--color", "always"]);
    assert!(all.contains("\u{1b}[0;38;2;"), "what is asked for comes");
    // The letters are the same but for the half blocks.
    assert_eq!(without_sequences(&palette).lines().next(), with(&[], &[]).lines().next());
}

#[test]
fn ascii_is_nothing_but_ascii() {
    let dir = tempfile::tempdir().unwrap();
    let mut synthetic = Synthetic::default();
    synthetic.tensors[2].name = "fc\u{1b}[31m層";
    let run = synthetic.write(&dir.path().join("r-a"));
    let text = show(&run, &["--ascii"]);
    assert!(text.is_ascii() && !text.contains('\u{1b}'), "{text}");
    assert!(
        text.contains("search e in [1e-7, 1e0]   ^ run's e 1e-4") && text.contains("search epsilon of adam"),
        "{text}"
    );
    assert!(text.contains("fc\\u{1b}[31m\\u{5c64}"), "{text}");
}

#[test]
fn runs_without_magnitudes_or_without_critical_epsilon_are_shown_as_far_as_they_go() {
    let dir = tempfile::tempdir().unwrap();
    let histograms_only = Synthetic { sample: Some(0), critical_epsilon: None, ..Synthetic::default() };
    let text = show(&histograms_only.write(&dir.path().join("r-histograms")), &[]);
    assert!(text.contains('█') && text.contains("nothing that was recorded tells of any optimizer"), "{text}");
    let snapshots_only = Synthetic { sample: Some(0), histograms: false, ..Synthetic::default() };
    let text = show(&snapshots_only.write(&dir.path().join("r-snapshots")), &[]);
    assert!(text.contains("search ε of adam in"), "{text}");
}

const DIR: &str = "EPSILOSCOPE_WATCHED_DIR";

/// Steps of the run that is watched.
const STEPS: i64 = 12;

#[test]
#[ignore = "the recorder that other tests start and watch"]
fn recording() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let dir = PathBuf::from(dir);
    let synthetic = Synthetic { steps: STEPS, ..Synthetic::default() };
    let options = WriterOptions { flush_secs: 0.0, ..WriterOptions::default() };
    let mut writer = RunWriter::create_on(Arc::new(Disk), &dir, 0, synthetic.manifest(&dir), options).unwrap();
    for step in 1..=STEPS {
        synthetic.append(&mut writer, 0, step..=step);
        thread::sleep(Duration::from_millis(60));
    }
    writer.finish().unwrap();
}

fn recorder(dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "terminal::recording", "--ignored", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn watch(dir: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_epsiloscope"))
        .args([OsStr::new("watch"), dir.as_ref(), OsStr::new("--interval"), OsStr::new("0.05")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What is printed, line by line as it comes.
fn lines(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok)
}

#[test]
fn a_run_is_waited_for_and_followed_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("r-watched");
    let mut watching = watch(&run);
    let mut printed = lines(&mut watching);
    let first = printed.next().unwrap();
    assert!(first.ends_with("r-watched: waiting: no run there yet"), "{first}");
    let mut recording = recorder(&run);
    let rest: Vec<String> = printed.collect();
    assert!(watching.wait().unwrap().success() && recording.wait().unwrap().success());
    let steps: Vec<i64> =
        rest.iter().filter_map(|line| line.split_once("step ")?.1.split(',').next()?.parse().ok()).collect();
    assert!(steps.is_sorted() && 2 < steps.len() && steps.last() == Some(&STEPS), "{rest:#?}");
    assert!(
        rest.iter().any(|line| line.contains(": recording; step ") && line.contains(" steps/s, loss ")),
        "{rest:#?}"
    );
    let last = rest.last().unwrap();
    assert!(last.contains(": finished; step 12, epoch 1, "), "{last}");
    assert!(last.contains("search ε of adam in [1e-7, 1e0]"), "{last}");
}

#[test]
fn a_run_that_was_killed_is_said_to_be() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("r-watched");
    let mut recording = recorder(&run);
    let mut watching = watch(&run);
    let mut printed = lines(&mut watching);
    let line = printed.find(|line| line.contains("recording; step ")).unwrap();
    recording.kill().unwrap();
    recording.wait().unwrap();
    let rest: Vec<String> = printed.collect();
    let output = watching.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{line} {rest:#?}");
    assert!(rest.last().unwrap().contains("nobody records it any more"), "{rest:#?}");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("can be resumed") && stderr.lines().count() == 1, "{stderr}");
}

#[test]
fn a_finished_run_ends_watching_at_once_and_a_damaged_one_with_its_fault() {
    let (dir, run) = default_run();
    let output = epsiloscope([OsStr::new("watch"), run.as_os_str()]);
    assert_eq!((output.status, output.stdout.lines().count(), output.stderr.as_str()), (0, 1, ""), "{}", output.stdout);
    fs::write(run.join("run.json"), "{}").unwrap();
    let output = epsiloscope(["watch".as_ref(), run.as_os_str(), "--interval".as_ref(), "0.05".as_ref()]);
    assert!(output.status == 2 && output.stderr.contains("run.json"), "{}", output.stderr);
    drop(dir);
    let output = epsiloscope(["watch", "s3://bucket/run"]);
    assert!(output.status == 2 && output.stderr.contains("expected a directory"), "{}", output.stderr);
}
