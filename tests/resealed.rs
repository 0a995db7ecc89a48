//! Runs changed by someone who knows the format: every digest is right again.

use std::fs;
use std::io::Write;
use std::path::Path;

/// Writes a file's new content over the old one: fast where emptying a file first makes the disk wait.
pub(crate) fn overwrite(file: &Path, bytes: &[u8]) {
    let mut open = fs::OpenOptions::new().write(true).open(file).unwrap();
    open.write_all(bytes).unwrap();
    open.set_len(bytes.len() as u64).unwrap();
}

/// Changes a text in `run.json`, once.
pub(crate) fn edit_manifest(run: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(run.join("run.json")).unwrap();
    let (fields, _digest) = text.rsplit_once(",\n  \"digest\"").unwrap();
    assert!(fields.contains(from), "no {from} in {fields}");
    let fields = fields.replacen(from, to, 1);
    let digest = digest(fields.as_bytes());
    fs::write(run.join("run.json"), format!("{fields},\n  \"digest\": \"{digest}\"\n}}\n")).unwrap();
}

/// Puts other bytes in a part's place and lists them with the right length and digest, as a hostile writer would.
pub(crate) fn replace_part(run: &Path, part: &str, bytes: &[u8]) {
    overwrite(&run.join(part), bytes);
    let (table, file) = part.split_once('/').unwrap();
    relist(run, |part| {
        if part["table"] == table && part["file"] == file {
            part["bytes"] = bytes.len().into();
            part["digest"] = digest(bytes).into();
        }
    });
}

/// Changes the entries of a list and gives its lines the digests that they then have.
pub(crate) fn relist(run: &Path, change: impl Fn(&mut serde_json::Value)) {
    let list = run.join("parts-r000.jsonl");
    let lines = fs::read_to_string(&list).unwrap();
    let relisted = lines.lines().map(|line| {
        let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["commit"]["parts"].as_array_mut().unwrap().iter_mut().for_each(&change);
        let commit = line["commit"].to_string();
        format!("{{\"commit\":{commit},\"digest\":\"{}\"}}\n", digest(commit.as_bytes()))
    });
    overwrite(&list, relisted.collect::<String>().as_bytes());
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("{:032x}", twox_hash::XxHash3_128::oneshot(bytes))
}
