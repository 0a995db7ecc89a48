//! Where runs are: folders, patterns, lists; and what may stand in a run that no recorder put there.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use epsiloscope_format::Run;

use crate::cli::epsiloscope;
use crate::damaged::{PART, assert_one_line};
use crate::synthetic::Synthetic;

const FILES: [&str; 3] = ["run.json", "parts-r000.jsonl", PART];

#[test]
fn links_in_a_run_are_not_followed() {
    for file in FILES {
        let link = |bad: &Path| {
            let (file, moved) = (bad.join(file), bad.join("moved"));
            fs::rename(&file, &moved).unwrap();
            symlink(&moved, &file).unwrap();
        };
        assert_one_line(link, &[&format!("bad/{file}: a symbolic link: expected a regular file")]);
    }
}

#[test]
fn a_linked_folder_in_a_run_is_not_followed() {
    let link = |bad: &Path| {
        fs::rename(bad.join("magnitudes"), bad.join("moved")).unwrap();
        symlink("moved", bad.join("magnitudes")).unwrap();
    };
    assert_one_line(
        link,
        &["bad/magnitudes: a symbolic link: expected a regular file, reached through no symbolic link"],
    );
}

#[test]
fn nothing_but_regular_files_is_read_or_waited_for() {
    type Plant = fn(&Path);
    let fifo: Plant = |path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    let socket: Plant = |path| drop(UnixListener::bind(path).unwrap());
    let device: Plant = |path| symlink("/dev/zero", path).unwrap();
    let plants = [("a FIFO", fifo), ("a socket", socket), ("a directory", |path| fs::create_dir(path).unwrap())];
    for file in FILES {
        for (found, plant) in plants.into_iter().chain([("a symbolic link", device)]) {
            let planted = |bad: &Path| {
                fs::remove_file(bad.join(file)).unwrap();
                plant(&bad.join(file));
            };
            assert_one_line(planted, &[&format!("bad/{file}: {found}: expected a regular file")]);
        }
    }
}

#[test]
fn a_file_of_a_tebibyte_is_refused_by_its_length() {
    for (file, words) in FILES.into_iter().zip(["at most 16 MiB", "larger than 128 MiB", "1099511627776 bytes"]) {
        let grow = |bad: &Path| {
            let file = fs::OpenOptions::new().write(true).open(bad.join(file)).unwrap();
            file.set_len(1 << 40).unwrap();
        };
        assert_one_line(grow, &[&format!("bad/{file}"), words]);
    }
}

#[test]
fn a_part_that_must_not_be_read_gets_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let run = Synthetic::default().write(&dir.path().join("r-1"));
    fs::set_permissions(run.join(PART), std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    // Root reads everything.
    let is_privileged = fs::read(run.join(PART)).is_ok();
    let output = epsiloscope([OsStr::new("estimate"), run.as_os_str()]);
    assert_eq!(output.status, if is_privileged { 0 } else { 2 }, "{}", output.stderr);
    assert_eq!(output.stderr.contains("Permission denied"), !is_privileged, "{}", output.stderr);
}

#[test]
fn a_run_may_be_reached_through_links() {
    let dir = tempfile::tempdir().unwrap();
    let run = Synthetic::default().write(&dir.path().join("r-1"));
    symlink(&run, dir.path().join("latest")).unwrap();
    let estimate = |path: &Path| epsiloscope([OsStr::new("estimate"), path.as_os_str()]);
    let (direct, linked) = (estimate(&run), estimate(&dir.path().join("latest")));
    assert_eq!((linked.status, linked.stdout), (0, direct.stdout));
}

/// Path, length, and when content and the entry itself were changed, of everything in a directory.
pub(crate) fn state(dir: &Path) -> Vec<(PathBuf, u64, i64, i64)> {
    let mut state = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let found = entry.metadata().unwrap();
        state.push((entry.path(), found.len(), found.mtime_nsec(), found.ctime_nsec()));
        if found.is_dir() {
            state.extend(self::state(&entry.path()));
        }
    }
    state.sort();
    state
}

#[test]
fn reading_a_run_that_grows_shows_whole_steps_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("r-1");
    let mut synthetic = Synthetic::default();
    synthetic.options.flush_rows = 3000;
    let mut last_step = 0;
    let mut writer = synthetic.write_unfinished(&run);
    for more in [1, 2, 3] {
        let before = state(&run);
        for command in ["estimate", "histogram", "inspect"] {
            let output = epsiloscope([OsStr::new(command), run.as_os_str()]);
            assert_eq!(output.status, 0, "{}", output.stderr);
        }
        assert_eq!(state(&run), before);
        let read = Run::open(&run).unwrap();
        let steps: Vec<i64> = read.steps().flat_map(|batch| batch.unwrap().step.values().to_vec()).collect();
        assert_eq!(steps, (1..=read.last_step()).collect::<Vec<_>>());
        assert!(last_step < read.last_step(), "it grows");
        last_step = read.last_step();
        let next = synthetic.steps + 2 * more - 1;
        synthetic.append(&mut writer, 0, next..=next + 1);
    }
    writer.finish().unwrap();
}

#[test]
fn every_command_takes_folders_patterns_and_urls() {
    let dir = tempfile::tempdir().unwrap();
    let names = ["a/seed-1", "a/seed-2", "b/c/seed-1"];
    for name in &names {
        Synthetic::default().write(&dir.path().join(name));
    }
    let paths: Vec<PathBuf> = names.iter().map(|name| dir.path().join(name)).collect();
    for command in ["estimate", "histogram", "inspect"] {
        let args = |places: &[PathBuf]| {
            let places = places.iter().map(|place| place.as_os_str().to_owned());
            [command.into(), "--format".into(), "csv".into()].into_iter().chain(places).collect::<Vec<_>>()
        };
        let expected = epsiloscope(args(&paths));
        assert_eq!((expected.status, expected.stderr.as_str()), (0, ""));
        let url = PathBuf::from(format!("file://{}", dir.path().display()));
        for places in [dir.path().to_owned(), dir.path().join("**/seed-*"), dir.path().join("*"), url] {
            assert_eq!(epsiloscope(args(&[places])).stdout, expected.stdout);
        }
    }
}

#[test]
fn standard_input_names_runs_one_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let run = Synthetic::default().write(&dir.path().join("a run"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_epsiloscope"))
        .args(["estimate", "--format", "csv", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{}\n", run.display()).unwrap();
    let output = child.wait_with_output().unwrap();
    let expected = epsiloscope([OsStr::new("estimate"), "--format".as_ref(), "csv".as_ref(), run.as_os_str()]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected.stdout);
    assert!(output.status.success());
}
