//! The runs that the project carries, read from objects and from directories: the same rows, the same messages.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use epsiloscope_format::{FormatError, Local, Run};
use epsiloscope_store::{Storage, discover};

use crate::trees::{ORIGIN, Tree};

/// A run in a tree, and where the original is.
fn carried(name: &str) -> (Tree, PathBuf) {
    let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/runs").join(name);
    let tree = Tree::of([]);
    for file in files(&run) {
        let key = format!("r/{}", file.strip_prefix(&run).unwrap().display());
        tree.put(&key, &std::fs::read(&file).unwrap());
    }
    (tree, run)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn objects(tree: &Tree) -> Arc<dyn Storage> {
    Arc::clone(&tree.stores().discover(&[format!("{ORIGIN}/r").into()]).runs[0])
}

/// Everything that a run's tables hold, as text.
fn rows(run: &Run) -> Vec<String> {
    let mut rows = vec![format!("{:?} {:?}", run.manifest(), run.last_step())];
    for batch in run.magnitudes().map(Result::unwrap) {
        let bits: Vec<u32> = batch.magnitude.iter().map(|value| value.to_bits()).collect();
        rows.push(format!("{:?} {:?} {bits:?} {:?}", batch.step, batch.tensor, batch.element));
    }
    for batch in run.histograms().map(Result::unwrap) {
        rows.push(format!("{:?} {:?} {:?}", batch.tensor, batch.bin, batch.count));
    }
    for batch in run.tensors().map(Result::unwrap) {
        rows.push(format!("{:?} {:?} {:?}", batch.zeros, batch.max, batch.sum_of_squares));
    }
    rows.extend(run.scalars().map(|batch| batch.unwrap()).map(|batch| format!("{:?} {:?}", batch.name, batch.value)));
    rows.extend(run.steps().map(|batch| batch.unwrap()).map(|batch| format!("{:?} {:?}", batch.epoch, batch.loss)));
    rows
}

#[test]
fn objects_hold_the_rows_that_files_hold() {
    for name in ["cnn-calibration", "cnn-training", "mlp-rmsprop"] {
        let (tree, run) = carried(name);
        let from_objects = Run::open_in(objects(&tree)).unwrap();
        let from_files = Run::open(&run).unwrap();
        assert_eq!(rows(&from_objects), rows(&from_files));
        assert!(from_objects.orphans().unwrap().is_empty() && from_files.orphans().unwrap().is_empty());
        assert_eq!(from_objects.dir(), Path::new("s3://bucket/r"));
    }
}

#[test]
fn what_is_wrong_is_said_in_the_same_words() {
    type Damage = fn(&Tree);
    let damages: [(&str, Damage); 4] = [
        ("run.json: expected a run manifest", |tree| tree.put("r/run.json", b"no")),
        ("magnitudes/part-r000-00000.parquet: 5 bytes: expected", |tree| {
            tree.put("r/magnitudes/part-r000-00000.parquet", b"short");
        }),
        ("parts-r000.jsonl: line 1: expected", |tree| tree.put("r/parts-r000.jsonl", b"{}\n")),
        ("r: no complete step was recorded", |tree| tree.put("r/parts-r000.jsonl", b"")),
    ];
    for (words, damage) in damages {
        let (tree, _) = carried("cnn-calibration");
        damage(&tree);
        let fault = |storage: Arc<dyn Storage>, root: &str| {
            let first = Run::open_in(storage).and_then(|run| run.magnitudes().try_for_each(|batch| batch.map(drop)));
            first.unwrap_err().to_string().replace(root, "")
        };
        let local = Arc::new(Local::new(&tree.dir.path().join("r")));
        let (here, there) = (fault(local, tree.dir.path().to_str().unwrap()), fault(objects(&tree), ORIGIN));
        assert_eq!(here, there);
        assert!(here.contains(words), "{here}");
    }
}

#[test]
fn what_is_missing_is_an_absence() {
    let tree = Tree::of(["r/run.json", "r/steps/x"]);
    for storage in [Arc::new(Local::new(&tree.dir.path().join("r"))) as Arc<dyn Storage>, objects(&tree)] {
        let absent = |fault: FormatError| assert!(fault.is_absence(), "{fault}");
        absent(storage.read("parts-r000.jsonl".as_ref(), &|_| Ok(())).unwrap_err());
        absent(storage.read("magnitudes/x".as_ref(), &|_| Ok(())).unwrap_err());
        absent(storage.list("magnitudes".as_ref()).unwrap_err());
        assert_eq!(storage.list("steps".as_ref()).unwrap(), ["x"]);
        let mut names = storage.list("".as_ref()).unwrap();
        names.sort();
        assert_eq!(names, ["run.json", "steps"]);
    }
}

#[test]
fn a_length_that_is_not_admitted_is_not_read() {
    let tree = Tree::of(["r/run.json"]);
    for storage in [Arc::new(Local::new(&tree.dir.path().join("r"))) as Arc<dyn Storage>, objects(&tree)] {
        let asked = Cell::new(0);
        let refuse = |bytes| {
            asked.set(bytes);
            Err(FormatError::Empty { path: "refused".into() })
        };
        let fault = storage.read("run.json".as_ref(), &refuse).unwrap_err().to_string();
        assert!(fault.starts_with("refused") && asked.get() == 2, "{fault}, {}", asked.get());
    }
}

#[test]
fn folders_without_a_run_are_told_from_nothing() {
    let tree = Tree::of(["folder/notes.txt"]);
    let open = |argument: &str| {
        let found = tree.stores().discover(&[format!("{ORIGIN}/{argument}").into()]);
        Run::open_in(Arc::clone(&found.runs[0])).unwrap_err().to_string()
    };
    assert_eq!(open("folder"), "s3://bucket/folder: no run.json here: expected the directory of a recorded run");
    assert_eq!(open("x"), "s3://bucket/x: no such directory: expected that of a recorded run");
    assert!(discover(&[]).runs.is_empty());
}
