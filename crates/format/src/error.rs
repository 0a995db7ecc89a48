//! Everything that can be wrong with a run directory, one variant per cause.

use std::path::PathBuf;

use crate::schema::SCHEMA_VERSION;

/// What went wrong with a run directory, naming the file and what was expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The operating system refused; the message names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),

    /// Not the directory of a run. Point at the directory that holds `run.json`.
    #[error("{}: no run.json here: expected the directory of a recorded run", path.display())]
    NotARun {
        /// The directory.
        path: PathBuf,
    },

    /// Nothing there.
    #[error("{}: no such directory: expected that of a recorded run", path.display())]
    NoDirectory {
        /// The path.
        path: PathBuf,
    },

    /// Something in a run directory that no recorder makes.
    #[error("{}: {found}: expected a regular file, reached through no symbolic link", path.display())]
    NotAFile {
        /// Where.
        path: PathBuf,
        /// What.
        found: &'static str,
    },

    /// The directory holds a run already. Choose another directory.
    #[error("{}: holds a run already: expected a new directory", path.display())]
    AlreadyARun {
        /// The directory.
        path: PathBuf,
    },

    /// The run that recording was to go on in is another one.
    #[error("{}: cannot be resumed: {reason}", path.display())]
    Resume {
        /// The run directory.
        path: PathBuf,
        /// What differs.
        reason: String,
    },

    /// A step that does not come after those recorded. Count optimizer steps on from where the run stands.
    #[error("{}: step {found} after step {last}: expected steps in ascending order, from 1", path.display())]
    StepOrder {
        /// The run directory.
        path: PathBuf,
        /// The step.
        found: i64,
        /// The last step recorded, 0 if none.
        last: i64,
    },

    /// Another process records into this run.
    #[error("{}: locked by another recorder: expected to be the only writer of this run", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },

    /// Neither a manifest nor anything like it.
    #[error("{}: expected a run manifest", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What the JSON parser found.
        source: serde_json::Error,
    },

    /// Written by another version of Epsiloscope: read it with that one.
    #[error("{}: schema version {found}: expected {SCHEMA_VERSION}, which this version of Epsiloscope reads", path.display())]
    OtherSchema {
        /// The manifest.
        path: PathBuf,
        /// Its schema version.
        found: u64,
    },

    /// A manifest that contradicts itself or this program.
    #[error("{}: {field} is {found}: expected {expected}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// The field in question.
        field: &'static str,
        /// Its value.
        found: String,
        /// What it should be.
        expected: String,
    },

    /// Recording stopped before anything was published.
    #[error("{}: no complete step was recorded: expected at least one published part file of each table", path.display())]
    Empty {
        /// The run directory.
        path: PathBuf,
    },

    /// A line of the list of part files that is not one.
    #[error("{}: line {line}: expected the entry of a part file: {reason}", path.display())]
    PartList {
        /// The list.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// Why.
        reason: String,
    },

    /// A part file whose length is not the listed one, truncated or appended to.
    #[error("{}: {found} bytes: expected {expected}, as listed when it was written", path.display())]
    PartSize {
        /// The part file.
        path: PathBuf,
        /// Bytes found.
        found: u64,
        /// Bytes listed.
        expected: u64,
    },

    /// A part file whose content changed after it was written.
    #[error("{}: damaged: its digest is {found}, expected {expected}", path.display())]
    PartDigest {
        /// The part file.
        path: PathBuf,
        /// Digest found.
        found: String,
        /// Digest listed.
        expected: String,
    },

    /// The Parquet library cannot read or write it.
    #[error("{}: expected a Parquet file", path.display())]
    Parquet {
        /// The part file.
        path: PathBuf,
        /// What the library found.
        source: parquet::errors::ParquetError,
    },

    /// A part file that says of itself what no part does. It was not decoded: it might exhaust whoever tries.
    #[error("{}: {what} is {found}: expected {expected}", path.display())]
    Refused {
        /// The part file.
        path: PathBuf,
        /// What of it.
        what: &'static str,
        /// What it is.
        found: String,
        /// What it should be.
        expected: String,
    },

    /// A column is missing, of another type, or not one of the table's.
    #[error("{}: column {column}: expected {expected}, found {found}", path.display())]
    Column {
        /// The part file.
        path: PathBuf,
        /// The column.
        column: String,
        /// Type expected.
        expected: String,
        /// Type found, or `nothing`.
        found: String,
    },

    /// Values that the manifest or the list of parts rules out.
    #[error("{}: {reason}", path.display())]
    Content {
        /// The part file.
        path: PathBuf,
        /// What contradicts what.
        reason: String,
    },
}

impl FormatError {
    /// Whether all that is wrong is that something is not there.
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::Io(source) if source.kind() == std::io::ErrorKind::NotFound)
    }
}
