//! SQL over runs and data sets: what is answered, what is refused, what a damaged run costs.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use epsiloscope_format::WriterOptions;

use crate::cli::{Output, epsiloscope};
use crate::damaged::PART;
use crate::places::state;
use crate::synthetic::Synthetic;

fn ask(sql: &str, of: &[&Path], more: &[&str]) -> Output {
    let words = [OsStr::new("query"), OsStr::new(sql)].into_iter().chain(of.iter().map(|path| path.as_os_str()));
    epsiloscope(words.chain(more.iter().map(OsStr::new)))
}

fn rows(sql: &str, of: &[&Path]) -> Vec<serde_json::Value> {
    let output = ask(sql, of, &["--format", "json"]);
    assert_eq!((output.status, output.stderr.as_str()), (0, ""), "{sql}");
    serde_json::from_str(&output.stdout).unwrap()
}

fn runs(names: &[&str]) -> (tempfile::TempDir, Vec<PathBuf>) {
    let dir = tempfile::tempdir().unwrap();
    // Small parts: each table has several.
    let options = WriterOptions { flush_rows: 500, ..WriterOptions::default() };
    let synthetic = Synthetic { options, ..Synthetic::default() };
    let paths = names.iter().map(|name| synthetic.write(&dir.path().join(name))).collect();
    (dir, paths)
}

#[test]
fn a_run_s_tables_are_those_of_its_format() {
    let (_dir, runs) = runs(&["r-a"]);
    let output =
        epsiloscope([OsStr::new("query"), OsStr::new("--tables"), runs[0].as_os_str(), "--format=csv".as_ref()]);
    let columns: Vec<&str> = output.stdout.lines().skip(1).collect();
    for expected in [
        "runs,run,VARCHAR",
        "magnitudes,magnitude,FLOAT",
        "histograms,count,BIGINT",
        "steps,time,TIMESTAMPTZ",
        "bins,lower,DOUBLE",
    ] {
        assert!(columns.contains(&expected), "{expected}: {columns:?}");
    }
    let mut tables: Vec<&str> = columns.iter().filter_map(|line| line.split(',').next()).collect();
    tables.dedup();
    assert_eq!(tables, ["runs", "magnitudes", "histograms", "tensors", "scalars", "steps", "estimates", "bins"]);
    assert!(columns.iter().filter(|line| line.contains(",run,")).count() == 7, "{columns:?}");
}

#[test]
fn counts_are_those_of_the_histogram_command() {
    let (_dir, runs) = runs(&["r-a", "r-b"]);
    let sql = "SELECT run, tensor AS name, quantity, bin, sum(count) AS count FROM histograms \
               GROUP BY run, tensor, quantity, bin ORDER BY run, name, quantity, bin";
    let output = epsiloscope([OsStr::new("histogram"), runs[0].as_ref(), runs[1].as_ref(), "--format=json".as_ref()]);
    let expected: Vec<serde_json::Value> = serde_json::from_str(&output.stdout).unwrap();
    let keys = ["run", "name", "quantity", "bin", "count"];
    let only = |row: &serde_json::Value| keys.map(|key| row[key].clone());
    let mut expected: Vec<_> = expected.iter().map(only).collect();
    expected.sort_by_key(|row| (row[0].to_string(), row[1].to_string(), row[2].to_string(), row[3].as_i64()));
    let found: Vec<_> = rows(sql, &[&runs[0], &runs[1]]).iter().map(only).collect();
    assert!(found.len() > 100);
    assert_eq!(found, expected);
}

#[test]
fn estimates_are_those_of_the_estimate_command() {
    let (_dir, runs) = runs(&["r-a"]);
    let of_command = epsiloscope([OsStr::new("estimate"), runs[0].as_ref(), "--format=json".as_ref()]);
    let expected: serde_json::Value = serde_json::from_str(&of_command.stdout).unwrap();
    let found = rows("SELECT * FROM estimates WHERE scope = 'run'", &[&runs[0]]);
    assert_eq!(serde_json::Value::Array(found), expected);
}

#[test]
fn rows_after_the_last_complete_step_do_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let run = Synthetic { ranks: 2, ..Synthetic::default() }.write(&dir.path().join("r"));
    let all = &rows("SELECT max(step) AS last, count(*) AS n FROM histograms", &[&run])[0];
    assert_eq!(all["last"], 12);
    // A file that no list names.
    fs::copy(run.join(PART), run.join("magnitudes/part-r000-99999.parquet")).unwrap();
    assert_eq!(&rows("SELECT max(step) AS last, count(*) AS n FROM histograms", &[&run])[0], all);
}

#[test]
fn a_damaged_run_gets_its_line_and_the_others_are_answered() {
    let (_dir, runs) = runs(&["bad", "good"]);
    let part = runs[0].join(PART);
    let mut bytes = fs::read(&part).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&part, bytes).unwrap();
    let sql = "SELECT run, count(*) AS n FROM magnitudes GROUP BY run";
    let Output { status, stdout, stderr } = ask(sql, &[&runs[0], &runs[1]], &["--format", "csv"]);
    assert_eq!((status, stderr.lines().count()), (4, 1), "{stderr}");
    assert!(stderr.contains(PART) && stderr.contains("digest"), "{stderr}");
    assert!(stdout.lines().count() == 2 && stdout.contains("good,"), "{stdout}");
    // A table that is whole in both is answered for both.
    assert_eq!(rows("SELECT run, count(*) AS n FROM steps GROUP BY run", &[&runs[0], &runs[1]]).len(), 2);
    let alone = ask(sql, &[&runs[0]], &[]);
    assert_eq!((alone.status, alone.stdout.as_str()), (2, ""), "{}", alone.stderr);
    let gone = ask(sql, &[&runs[1], Path::new("/nowhere")], &[]);
    assert_eq!((gone.status, gone.stderr.lines().count()), (4, 1), "{}", gone.stderr);
}

#[test]
fn what_cannot_be_answered_is_said_in_one_line() {
    let (dir, runs) = runs(&["r-a"]);
    let before = state(dir.path());
    let elsewhere = dir.path().join("r-a/run.json").display().to_string();
    for (sql, words) in [
        ("SELECT nope FROM steps", &["nope", "columns of steps: run, step, epoch", "tables: runs, "][..]),
        ("SELECT * FROM nope", &["nope", "tables: runs, magnitudes"]),
        ("SELEC 1", &["cannot parse the statement", "SELEC"]),
        ("SELECT 1; SELECT 2", &["2 statements: expected one"]),
        ("DROP TABLE runs", &["DROP is refused", "SELECT"]),
        ("CREATE TABLE a AS SELECT * FROM runs", &["CREATE is refused"]),
        (&format!("COPY runs TO '{elsewhere}'"), &["COPY is refused"]),
        (&format!("SELECT * FROM read_csv('{elsewhere}')"), &["read_csv() is refused"]),
        ("SELECT max(step), min(step) FROM steps", &["two columns of the result are called step", "AS"]),
        ("SELECT (SELECT max(step) FROM steps) AS a FROM steps", &["subquery"]),
        ("", &["expected one"]),
    ] {
        let output = ask(sql, &[&runs[0]], &[]);
        assert_eq!((output.status, output.stdout.as_str()), (2, ""), "{sql}");
        assert_eq!(output.stderr.lines().count(), 1, "{sql}: {}", output.stderr);
        for word in words {
            assert!(output.stderr.contains(word), "{sql}: no {word:?} in {}", output.stderr);
        }
    }
    assert_eq!(state(dir.path()), before);
    let swapped = ask(&runs[0].display().to_string(), &[Path::new("SELECT 1")], &[]);
    assert!(swapped.stderr.contains("expected the statement first"), "{}", swapped.stderr);
    let misspelt = epsiloscope(["query", "--formt", "csv"]);
    assert!(misspelt.status == 2 && misspelt.stderr.contains("unexpected argument --formt"), "{}", misspelt.stderr);
    let none = epsiloscope(["query", "SELECT 1"]);
    assert!(none.stderr.contains("no run"), "{}", none.stderr);
}

#[test]
fn more_rows_than_fit_are_refused_unless_they_can_be_aggregated_part_by_part() {
    let dir = tempfile::tempdir().unwrap();
    let run = Synthetic { steps: 200, ..Synthetic::default() }.write(&dir.path().join("r"));
    let refused = ask("SELECT * FROM magnitudes", &[&run], &["--memory", "1"]);
    assert_eq!(refused.status, 2);
    assert!(
        refused.stderr.contains("the rows of magnitudes") && refused.stderr.contains("1 MiB"),
        "{}",
        refused.stderr
    );
    let some = ask("SELECT * FROM magnitudes WHERE step = 3", &[&run], &["--memory", "1"]);
    assert_eq!((some.status, some.stderr.as_str()), (0, ""));
}

#[test]
fn statements_come_from_files_and_pipes_and_answers_go_to_files() {
    let (dir, runs) = runs(&["r-a"]);
    let (question, answer) = (dir.path().join("question.sql"), dir.path().join("answer.csv"));
    fs::write(&question, "-- How many?\nSELECT count(*) AS n\nFROM steps;\n").unwrap();
    let output = epsiloscope([
        OsStr::new("query"),
        "-f".as_ref(),
        question.as_ref(),
        runs[0].as_ref(),
        "--format=csv".as_ref(),
        "--out".as_ref(),
        answer.as_ref(),
    ]);
    assert_eq!((output.status, output.stdout.as_str(), output.stderr.as_str()), (0, "", ""));
    assert_eq!(fs::read_to_string(answer).unwrap(), "n\n12\n");
}

#[test]
fn a_data_set_is_asked_as_it_was_written() {
    let (dir, runs) = runs(&["r-a", "r-b"]);
    let out = dir.path().join("analysis");
    let output =
        epsiloscope([OsStr::new("analyze"), runs[0].as_ref(), runs[1].as_ref(), "--out".as_ref(), out.as_ref()]);
    assert_eq!(output.status, 0, "{}", output.stderr);
    let found = rows("SELECT run, count(*) AS n FROM estimates GROUP BY run ORDER BY run", &[&out]);
    assert_eq!((found.len(), &found[0]["run"], &found[1]["run"]), (2, &"r-a".into(), &"r-b".into()));
    let grid = rows("SELECT run, min(epsilon) AS low FROM candidates GROUP BY run", &[&out]);
    assert_eq!(grid.len(), 2);
    // A file that is not what was written.
    let file = out.join("estimates/run=r-a/part-0.parquet");
    let mut bytes = fs::read(&file).unwrap();
    bytes[100] ^= 1;
    fs::write(&file, bytes).unwrap();
    let Output { status, stdout, stderr } = ask("SELECT DISTINCT run FROM estimates", &[&out], &["--format", "csv"]);
    assert_eq!((status, stdout.as_str()), (4, "run\nr-b\n"), "{stderr}");
    assert!(stderr.contains("part-0.parquet") && stderr.lines().count() == 1, "{stderr}");
}

#[test]
fn sampled_magnitudes_need_no_signs() {
    let dir = tempfile::tempdir().unwrap();
    let run = Synthetic { sample: Some(3), signs: false, ..Synthetic::default() }.write(&dir.path().join("r"));
    let row =
        &rows("SELECT count(*) AS n, count(negative) AS signs FROM magnitudes WHERE quantity = 'gradient'", &[&run])[0];
    assert_eq!((row["n"].as_i64(), row["signs"].as_i64()), (Some(12 * (3 * 4)), Some(0)));
}
