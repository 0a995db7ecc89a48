//! What arguments lead to: a table of cases, and random trees against a slow model.

use std::path::{Path, PathBuf};

use epsiloscope_store::{MAX_DEPTH, MAX_ENTRIES};
use proptest::prelude::*;

use crate::trees::{Answer, Tree};

const FILES: [&str; 9] = [
    "runs/cnn/seed-1/run.json",
    "runs/cnn/seed-2/run.json",
    "runs/cnn/seed-2/inside/run.json",
    "runs/mlp/seed-1/run.json",
    "runs/.hidden/seed-1/run.json",
    "runs/notes.txt",
    "other/deep/er/still/seed-3/run.json",
    "single/run.json",
    "empty/notes.txt",
];

#[track_caller]
fn assert_found(arguments: &[&str], runs: &[&str], faults: &[&str]) {
    let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    let expected = Answer { runs: owned(runs), faults: owned(faults) };
    for found in Tree::of(FILES).discover(arguments) {
        assert_eq!(found, expected, "{arguments:?}");
    }
}

#[test]
fn a_run_is_itself() {
    assert_found(&["single"], &["single"], &[]);
    assert_found(&["runs/cnn/seed-2/"], &["runs/cnn/seed-2"], &[]);
}

#[test]
fn folders_hold_runs_at_any_depth_but_not_in_runs_or_hidden_folders() {
    assert_found(&["runs"], &["runs/cnn/seed-1", "runs/cnn/seed-2", "runs/mlp/seed-1"], &[]);
    assert_found(&["other"], &["other/deep/er/still/seed-3"], &[]);
    assert_found(&["runs/.hidden"], &["runs/.hidden/seed-1"], &[]);
}

#[test]
fn patterns_match_runs_and_folders_of_runs() {
    assert_found(&["runs/*/seed-1"], &["runs/cnn/seed-1", "runs/mlp/seed-1"], &[]);
    assert_found(&["runs/c?n"], &["runs/cnn/seed-1", "runs/cnn/seed-2"], &[]);
    assert_found(&["**/seed-[23]"], &["other/deep/er/still/seed-3", "runs/cnn/seed-2"], &[]);
    assert_found(&["runs/**"], &["runs/cnn/seed-1", "runs/cnn/seed-2", "runs/mlp/seed-1"], &[]);
    assert_found(&["s*"], &["single"], &[]);
}

#[test]
fn no_run_comes_twice_and_all_come_in_order_of_path() {
    let expected = ["runs/cnn/seed-1", "runs/cnn/seed-2", "runs/mlp/seed-1", "single"];
    assert_found(&["single", "runs/mlp", "runs/*/seed-1", "runs", "single"], &expected, &[]);
}

#[test]
fn what_leads_nowhere_gets_one_line() {
    let unmatched = "no-*: matches no recorded run: expected a pattern such as 'runs/**/seed-*'";
    assert_found(&["no-*", "single"], &["single"], &[unmatched]);
    // Left to whoever opens them, who knows what a run should be.
    assert_found(&["empty", "missing"], &["empty", "missing"], &[]);
    let [found, _] = Tree::of(FILES).discover(&["runs/[", "single"]);
    assert!(found.faults[0].contains("expected a pattern such as"), "{found:?}");
    assert_eq!(found.runs, ["single"]);
}

#[test]
fn a_directory_whose_name_looks_like_a_pattern_is_found() {
    let [found, _] = Tree::of(["[1]/run.json", "1/run.json"]).discover(&["[1]"]);
    assert_eq!(found, Answer { runs: vec!["[1]".to_owned()], faults: Vec::new() });
}

#[test]
fn urls_of_no_store_get_one_line() {
    for url in ["ftp://host/runs", "memory:///runs", "s3://", "file://host/runs", "http://[/runs"] {
        let found = epsiloscope_store::discover(&[url.into()]);
        assert!(found.runs.is_empty(), "{url}");
        let [fault] = &found.faults[..] else { panic!("{url}: {:?}", found.faults) };
        assert!(fault.to_string().contains("expected a path or a URL such as s3://bucket/runs"), "{fault}");
    }
}

#[test]
fn files_named_by_url_are_read_as_files() {
    let tree = Tree::of(FILES);
    for argument in ["runs/mlp", "runs/*/seed-1"] {
        let url = format!("file://{}/{argument}", tree.dir.path().display());
        let (by_url, by_path) = (epsiloscope_store::discover(&[url.into()]), tree.discover(&[argument]));
        let roots: Vec<String> = by_url.runs.iter().map(|run| run.root().display().to_string()).collect();
        let paths = by_path[0].runs.iter().map(|run| tree.dir.path().join(run).display().to_string());
        assert_eq!(roots, paths.collect::<Vec<_>>());
    }
}

#[test]
fn a_folder_of_too_many_names_is_refused() {
    let tree = Tree::of(["good/run.json"]);
    let many = tree.dir.path().join("many");
    std::fs::create_dir(&many).unwrap();
    (0..=MAX_ENTRIES).for_each(|name| std::fs::write(many.join(name.to_string()), "").unwrap());
    let [found, _] = tree.discover(&["many", "good"]);
    assert_eq!(found.runs, ["good"]);
    assert_eq!(found.faults, ["many: more than 100000 names to look at: expected a folder of runs"]);
}

/// Whether names match a pattern of names, by trying everything.
fn matches(pattern: &[&str], names: &[&str]) -> bool {
    match (pattern, names) {
        (["**", rest @ ..], _) => {
            let is_hidden = |name: &&str| name.starts_with('.');
            matches(rest, names) || !names.is_empty() && !is_hidden(&names[0]) && matches(pattern, &names[1..])
        }
        ([first, rest @ ..], [name, names @ ..]) => {
            (first == name || *first == "*" && !name.starts_with('.')) && matches(rest, names)
        }
        ([], []) => true,
        _ => false,
    }
}

/// Whether a run is found from a root, by the rules alone. The search begins where the pattern does.
fn is_found(run: &str, all: &[String], root: &str, pattern: &str) -> bool {
    let pattern: Vec<&str> = pattern.split('/').filter(|name| !name.is_empty()).collect();
    let n_fixed = pattern.iter().take_while(|name| !name.contains('*')).count();
    let (fixed, pattern) = pattern.split_at(n_fixed);
    let start = fixed.iter().fold(PathBuf::from(root), |start, name| start.join(name));
    let Ok(relative) = Path::new(run).strip_prefix(&start) else { return false };
    let names: Vec<&str> = relative.iter().filter_map(|name| name.to_str()).collect();
    let is_inside_another = all
        .iter()
        .any(|other| other != run && Path::new(run).starts_with(other) && Path::new(other).starts_with(&start));
    let is_wanted = pattern.is_empty() || (0..=names.len()).any(|n| matches(pattern, &names[..n]));
    let is_hidden = names.iter().any(|name| name.starts_with('.'));
    !is_inside_another && !is_hidden && names.len() <= MAX_DEPTH && is_wanted
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn prop_trees_are_searched_by_the_rules(
        mut runs in prop::collection::vec(prop::collection::vec(prop::sample::select(vec!["a", "b", "cc", ".h"]), 1..12), 1..8),
        root in prop::sample::select(vec!["", "a", "a/b", "b"]),
        pattern in prop::sample::select(vec!["", "*", "a/*", "*/b", "**/a", "**/b/*", "b/**/cc", "a/**"]),
    ) {
        runs.sort();
        runs.dedup();
        let runs: Vec<String> = runs.iter().map(|names| format!("t/{}", names.join("/"))).collect();
        let files: Vec<String> = runs.iter().map(|run| format!("{run}/run.json")).collect();
        let root = format!("t/{root}");
        let mut expected: Vec<&str> = runs.iter().map(String::as_str).filter(|run| is_found(run, &runs, &root, pattern)).collect();
        expected.sort_by(|a, b| Path::new(a).cmp(Path::new(b)));
        // Without any run a folder stands for itself, so that opening it says what is wrong.
        let root = root.trim_end_matches('/');
        if expected.is_empty() && pattern.is_empty() {
            expected.push(root);
        }
        let argument = format!("{root}/{pattern}");
        for found in Tree::of(files.iter().map(String::as_str)).discover(&[argument.trim_end_matches('/')]) {
            prop_assert_eq!(&found.runs, &expected, "{} in {:?}", argument, files);
            prop_assert_eq!(found.faults.len(), usize::from(expected.is_empty()));
        }
    }
}
