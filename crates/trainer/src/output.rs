//! Makes room for a run without ever deleting anything else.

use std::path::Path;

use anyhow::{Context as _, bail};
use epsiloscope_format::Table;

const MANIFEST: &str = "run.json";

/// Checks that a run can be written to `dir`; with `overwrite`, removes an earlier run's files, and only those.
pub(crate) fn prepare(dir: &Path, overwrite: bool) -> anyhow::Result<()> {
    let manifest = dir.join(MANIFEST);
    if !manifest.exists() {
        return Ok(());
    }
    if !overwrite {
        bail!("{}: holds a run already: choose another --out, or replace it with --overwrite", dir.display());
    }
    if !is_run(&manifest)? {
        bail!(
            "{}: not the manifest of a run: expected \"format\": \"epsiloscope-run\"; nothing was deleted",
            manifest.display()
        );
    }
    remove_run(dir).with_context(|| format!("{}: cannot remove the earlier run", dir.display()))
}

fn is_run(manifest: &Path) -> anyhow::Result<bool> {
    let json: Option<serde_json::Value> = serde_json::from_slice(&fs_err::read(manifest)?).ok();
    Ok(json.is_some_and(|json| json["format"] == "epsiloscope-run"))
}

/// Removes what a recorder writes, by name. The manifest goes last: whenever this is interrupted, the next attempt
/// finds it and finishes the work.
fn remove_run(dir: &Path) -> anyhow::Result<()> {
    let names = file_names(dir)?;
    for lock in names.iter().filter(|name| name.starts_with("lock-r")) {
        refuse_if_held(&dir.join(lock))?;
    }
    for list in names.iter().filter(|name| name.starts_with("parts-r")) {
        fs_err::remove_file(dir.join(list))?;
    }
    for table in Table::ALL.map(|table| dir.join(table.name())).iter().filter(|table| table.is_dir()) {
        for part in file_names(table)?.iter().filter(|name| name.starts_with("part-r") || name.starts_with(".part-r")) {
            fs_err::remove_file(table.join(part))?;
        }
        // Fails if it holds anything else, and says which folder it is.
        fs_err::remove_dir(table)?;
    }
    Ok(fs_err::remove_file(dir.join(MANIFEST))?)
}

fn file_names(dir: &Path) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs_err::read_dir(dir)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}

/// A recorder holds its lock as long as it writes.
fn refuse_if_held(lock: &Path) -> anyhow::Result<()> {
    match fs_err::File::open(lock)?.file().try_lock() {
        Ok(()) => Ok(()),
        Err(fault) => bail!("{}: cannot be locked ({fault}): expected a run that nobody records", lock.display()),
    }
}
