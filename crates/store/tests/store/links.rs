//! Links between folders, which only directories have.

use std::os::unix::fs::symlink;

use crate::trees::Tree;

#[test]
fn links_are_followed_and_loops_end() {
    let tree = Tree::of(["runs/a/run.json", "elsewhere/b/run.json"]);
    let runs = tree.dir.path().join("runs");
    symlink("../elsewhere", runs.join("linked")).unwrap();
    symlink(".", runs.join("loop")).unwrap();
    symlink("..", runs.join("up")).unwrap();
    symlink("nowhere", runs.join("dangling")).unwrap();
    let [found, _] = tree.discover(&["runs"]);
    assert_eq!((found.runs, found.faults), (vec!["runs/a".to_owned(), "runs/linked/b".to_owned()], vec![]));
}

#[test]
fn a_run_that_links_lead_to_is_one_run() {
    let tree = Tree::of(["runs/a/run.json"]);
    let runs = tree.dir.path().join("runs");
    symlink("a", runs.join("latest")).unwrap();
    assert_eq!(tree.discover(&["runs"])[0].runs, ["runs/a"]);
    assert_eq!(tree.discover(&["runs/latest"])[0].runs, ["runs/latest"]);
    assert_eq!(tree.discover(&["runs/**/latest"])[0].runs, ["runs/latest"]);
}

#[test]
fn a_folder_that_is_not_listed_for_others_does_not_hide_them() {
    let tree = Tree::of(["runs/a/run.json", "runs/locked/b/run.json"]);
    let locked = tree.dir.path().join("runs/locked");
    let set = |mode| std::fs::set_permissions(&locked, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    set(0o000);
    let is_privileged = locked.read_dir().is_ok();
    let [found, _] = tree.discover(&["runs"]);
    set(0o755);
    // Root reads everything.
    assert_eq!(found.runs, if is_privileged { vec!["runs/a", "runs/locked/b"] } else { vec!["runs/a"] });
    assert_eq!(found.faults.len(), usize::from(!is_privileged), "{:?}", found.faults);
}
