//! What is known of each run's results: from what they were computed, and which files hold them.
//!
//! A run's state is written after its tables and removed before they change, so an interruption leaves a run whose results
//! are computed anew, never one whose results are taken for something they are not.

use std::path::PathBuf;

use epsiloscope_format::{digest, publish};
use serde::{Deserialize, Serialize};

use crate::error::DataSetError;
use crate::layout::{Layout, Written, file_name};

/// What a run's results came from and went into.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    /// The run's name.
    pub(crate) run: String,
    /// Of the run, the options and the program.
    pub(crate) fingerprint: String,
    /// The tables' files.
    pub(crate) tables: Vec<Written>,
}

/// A state and the digest of its text.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    state: Box<serde_json::value::RawValue>,
    digest: String,
}

impl State {
    /// The state of a run; none if it was never computed, or its file is not whole: then the run is computed anew.
    pub(crate) fn read(layout: &Layout, run: &str) -> Option<Self> {
        Self::parse(&layout.state(&name(run))?).filter(|state| state.run == run)
    }

    /// The state that a file holds; none if it is not whole.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let sealed: Sealed = serde_json::from_slice(text).ok()?;
        let is_whole = sealed.digest == digest(sealed.state.get().as_bytes());
        serde_json::from_str(sealed.state.get()).ok().filter(|_state| is_whole)
    }

    /// Whether the results are those of `fingerprint`, all of them in place.
    pub(crate) fn is_current(&self, layout: &Layout, fingerprint: &str) -> bool {
        self.fingerprint == fingerprint && self.tables.iter().all(|written| layout.holds(&self.run, written))
    }

    pub(crate) fn write(&self, layout: &Layout) -> Result<(), DataSetError> {
        let json = |fault: serde_json::Error| std::io::Error::other(fault);
        let state = serde_json::value::to_raw_value(self).map_err(json)?;
        let digest = digest(state.get().as_bytes());
        let text = serde_json::to_vec(&Sealed { state, digest }).map_err(json)?;
        Ok(publish(&layout.state_dir(), &name(&self.run), &text)?)
    }

    pub(crate) fn remove(layout: &Layout, run: &str) -> Result<(), DataSetError> {
        match fs_err::remove_file(path(layout, run)) {
            Err(fault) if fault.kind() != std::io::ErrorKind::NotFound => Err(fault.into()),
            _removed_or_absent => Ok(()),
        }
    }
}

fn name(run: &str) -> String {
    format!("{}.json", file_name(run))
}

fn path(layout: &Layout, run: &str) -> PathBuf {
    layout.state_dir().join(name(run))
}
