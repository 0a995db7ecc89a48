//! `trials.jsonl`: what is searched, then a line per finished trial.
//!
//! A line is added when its trial has ended, and fsynced: a search that is killed at any moment loses the trials that were
//! running and no other. Every line carries a digest of itself; a last line without its end was being written.

use std::collections::BTreeMap;
use std::fs::TryLockError;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use epsiloscope_format::digest;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::SearchError;
use crate::trial::Outcome;

/// Its name.
pub(crate) const FILE_NAME: &str = "trials.jsonl";
/// Tells our logs from other files, and versions from each other.
pub(crate) const FORMAT: &str = "epsiloscope-search 1";

/// A trial as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Logged {
    pub(crate) point: usize,
    pub(crate) seed: u64,
    pub(crate) values: Vec<String>,
    pub(crate) outcome: Outcome,
    pub(crate) elapsed_secs: f64,
}

/// What is searched and how, by setting.
pub(crate) type Identity = BTreeMap<String, String>;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Entry {
    Search(Identity),
    Trial(Logged),
}

/// An entry's text and the digest of that text.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    entry: Box<RawValue>,
    digest: String,
}

/// The log of one search, held by its only writer.
pub(crate) struct Log {
    file: fs_err::File,
    lock: fs_err::File,
}

impl Log {
    /// Opens or begins the log in a folder; gives back the trials that it holds.
    pub(crate) fn open(dir: &Path, identity: &Identity) -> Result<(Self, Vec<Logged>), SearchError> {
        fs_err::create_dir_all(dir)?;
        let lock = locked(dir.join("lock"))?;
        let path = dir.join(FILE_NAME);
        let file = fs_err::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        let mut log = Self { file, lock };
        let mut text = Vec::new();
        log.file.read_to_end(&mut text)?;
        let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let first = Entry::Search(identity.clone());
        if whole == 0 && !line(&first).map_err(std::io::Error::from)?.starts_with(&text) {
            return Err(SearchError::Log { path, line: 1, reason: "expected the log of a search".to_owned() });
        }
        let trials = read(&path, &text[..whole], identity)?;
        // A line that was being written is none.
        log.file.set_len(whole as u64)?;
        log.file.seek(SeekFrom::End(0))?;
        if whole == 0 {
            log.append(&first)?;
            // The file itself must outlast a power cut as well.
            fs_err::File::open(dir)?.sync_all()?;
        }
        Ok((log, trials))
    }

    pub(crate) fn add(&mut self, trial: &Logged) -> Result<(), SearchError> {
        self.append(&Entry::Trial(trial.clone()))
    }

    fn append(&mut self, entry: &Entry) -> Result<(), SearchError> {
        let mut line = line(entry).map_err(std::io::Error::from)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        Ok(self.file.sync_data()?)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // Closing alone leaves the lock to a process that is being started and has not closed its copy of the file yet.
        let _ = self.lock.file().unlock();
    }
}

fn line(entry: &Entry) -> serde_json::Result<Vec<u8>> {
    let entry = serde_json::value::to_raw_value(entry)?;
    let digest = digest(entry.get().as_bytes());
    serde_json::to_vec(&Line { entry, digest })
}

fn locked(path: PathBuf) -> Result<fs_err::File, SearchError> {
    let lock = fs_err::OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
    match lock.file().try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(SearchError::Locked { path }),
        Err(TryLockError::Error(source)) => Err(source.into()),
    }
}

fn read(path: &Path, text: &[u8], identity: &Identity) -> Result<Vec<Logged>, SearchError> {
    let mut trials = Vec::new();
    for (index, line) in text.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let fault = |reason| SearchError::Log { path: path.to_owned(), line: index + 1, reason };
        match (index, parse(line).map_err(fault)?) {
            (0, Entry::Search(found)) => check(path, &found, identity)?,
            (1.., Entry::Trial(trial)) => trials.push(trial),
            (0, Entry::Trial(_)) => return Err(fault("a trial: expected what is searched".to_owned())),
            (_, Entry::Search(_)) => return Err(fault("another search: expected a trial".to_owned())),
        }
    }
    Ok(trials)
}

fn parse(line: &[u8]) -> Result<Entry, String> {
    let line: Line = serde_json::from_slice(line).map_err(|fault| fault.to_string())?;
    let found = digest(line.entry.get().as_bytes());
    if found != line.digest {
        return Err(format!("damaged: its digest is {found}, expected {}", line.digest));
    }
    serde_json::from_str(line.entry.get()).map_err(|fault| fault.to_string())
}

fn check(path: &Path, found: &Identity, expected: &Identity) -> Result<(), SearchError> {
    let names = found.keys().chain(expected.keys());
    let Some(name) = names.into_iter().find(|&name| found.get(name) != expected.get(name)) else { return Ok(()) };
    let or_none = |of: &Identity| of.get(name).map_or_else(|| "none".to_owned(), |value| format!("{value:?}"));
    let what = format!("its {name}: {} there, {} asked for", or_none(found), or_none(expected));
    Err(SearchError::OtherSearch { path: path.to_owned(), what })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(command: &str) -> Identity {
        [("command", command), ("seed", "0")].map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    fn trial(point: usize) -> Logged {
        let outcome = Outcome::Completed { value: 0.1 + 0.2 * point as f64 };
        Logged { point, seed: 0, values: vec!["1e-5".to_owned()], outcome, elapsed_secs: 0.25 }
    }

    /// Killed after any byte: what was whole is there, and the next line is whole, too.
    #[test]
    fn a_log_cut_anywhere_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let of = identity("a");
        {
            let (mut log, found) = Log::open(dir.path(), &of).unwrap();
            assert_eq!(found, []);
            (0..3).for_each(|point| log.add(&trial(point)).unwrap());
        }
        let path = dir.path().join(FILE_NAME);
        let whole = fs_err::read(&path).unwrap();
        for cut in 0..whole.len() {
            fs_err::write(&path, &whole[..cut]).unwrap();
            let n_lines = String::from_utf8_lossy(&whole[..cut]).matches('\n').count();
            let (mut log, found) = Log::open(dir.path(), &of).unwrap();
            assert_eq!(found.len(), n_lines.saturating_sub(1));
            log.add(&trial(7)).unwrap();
            drop(log);
            assert_eq!(Log::open(dir.path(), &of).unwrap().1.last(), Some(&trial(7)));
        }
    }

    #[test]
    fn damage_other_searches_and_other_searchers_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, _) = Log::open(dir.path(), &identity("a")).unwrap();
        log.add(&trial(0)).unwrap();
        assert!(matches!(Log::open(dir.path(), &identity("a")), Err(SearchError::Locked { .. })));
        drop(log);
        let fault = Log::open(dir.path(), &identity("b")).err().unwrap().to_string();
        assert!(fault.contains(r#"its command: "a" there, "b" asked for"#), "{fault}");
        let path = dir.path().join(FILE_NAME);
        let whole = fs_err::read(&path).unwrap();
        fs_err::write(&path, "somebody's notes").unwrap();
        assert!(Log::open(dir.path(), &identity("a")).is_err());
        assert_eq!(fs_err::read(&path).unwrap(), b"somebody's notes");
        for place in 0..whole.len() - 1 {
            let mut damaged = whole.clone();
            damaged[place] ^= 1;
            fs_err::write(&path, &damaged).unwrap();
            assert!(Log::open(dir.path(), &identity("a")).is_err(), "byte {place}");
        }
    }
}
