//! A disk whose calls fail by number.

use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use epsiloscope_format::fs::{Disk, FileSystem, WritableFile};

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// ENOSPC, and nothing done.
    NoSpace,
    /// EIO, and nothing done.
    Io,
    /// Half of what was to be written is; then ENOSPC.
    ShortWrite,
    /// EIO, but done.
    AfterEffect,
}

impl Fault {
    pub(crate) const ALL: [Self; 4] = [Self::NoSpace, Self::Io, Self::ShortWrite, Self::AfterEffect];

    fn error(self) -> io::Error {
        match self {
            Self::NoSpace | Self::ShortWrite => ErrorKind::StorageFull.into(),
            Self::Io | Self::AfterEffect => io::Error::other("input/output error"),
        }
    }
}

/// Counts calls and lets some fail.
#[derive(Clone, Debug, Default)]
pub(crate) struct FailingDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    n_calls: u64,
    n_faults: u64,
    plan: Option<Plan>,
}

#[derive(Clone, Debug)]
struct Plan {
    failing: Range<u64>,
    first: Fault,
    then: Fault,
}

impl FailingDisk {
    /// A disk whose calls of these numbers, counted from 0, fail.
    pub(crate) fn failing(calls: Range<u64>, fault: Fault) -> Self {
        let disk = Self::default();
        disk.state().plan = Some(Plan { failing: calls, first: fault, then: fault });
        disk
    }

    /// Lets so many calls pass, then one fail and none have an effect: what a crash leaves behind.
    pub(crate) fn crash_after(&self, n_calls: u64, fault: Fault) {
        let mut state = self.state();
        state.plan = Some(Plan { failing: state.n_calls + n_calls..u64::MAX, first: fault, then: Fault::Io });
        state.n_faults = 0;
    }

    pub(crate) fn heal(&self) {
        let mut state = self.state();
        (state.plan, state.n_faults) = (None, 0);
    }

    pub(crate) fn n_calls(&self) -> u64 {
        self.state().n_calls
    }

    /// Faults since it was last told to crash or to be well.
    pub(crate) fn n_faults(&self) -> u64 {
        self.state().n_faults
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no call panics")
    }

    /// Counts a call; how it fails, if it does.
    fn next(&self) -> Option<Fault> {
        let mut state = self.state();
        let call = state.n_calls;
        state.n_calls += 1;
        let plan = state.plan.clone().filter(|plan| plan.failing.contains(&call))?;
        state.n_faults += 1;
        Some(if call == plan.failing.start { plan.first } else { plan.then })
    }

    fn call<T>(&self, effect: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        fail(self.next(), effect)
    }

    fn file(&self, file: Box<dyn WritableFile>) -> Box<dyn WritableFile> {
        Box::new(FailingFile { disk: self.clone(), file, has_failed: false, is_full: false })
    }
}

fn fail<T>(fault: Option<Fault>, effect: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    match fault {
        None => effect(),
        Some(Fault::AfterEffect) => effect().and(Err(Fault::AfterEffect.error())),
        Some(fault) => Err(fault.error()),
    }
}

impl FileSystem for FailingDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.call(|| Disk.create_dir_all(dir))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn WritableFile>> {
        self.call(|| Disk.create_new(path)).map(|file| self.file(file))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn WritableFile>> {
        self.call(|| Disk.append(path)).map(|file| self.file(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(|| Disk.rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.call(|| Disk.remove_file(path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.call(|| Disk.sync_dir(dir))
    }
}

struct FailingFile {
    disk: FailingDisk,
    file: Box<dyn WritableFile>,
    has_failed: bool,
    /// Half was written: the rest has no room.
    is_full: bool,
}

impl FailingFile {
    fn call<T>(
        &mut self,
        fault: Option<Fault>,
        effect: impl FnOnce(&mut dyn WritableFile) -> io::Result<T>,
    ) -> io::Result<T> {
        assert!(!self.has_failed, "after a fault a file is to be given up");
        let result = fail(fault, || effect(&mut *self.file));
        self.has_failed = result.is_err();
        result
    }
}

impl Write for FailingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let fault = if self.is_full { Some(Fault::NoSpace) } else { self.disk.next() };
        self.is_full = fault == Some(Fault::ShortWrite);
        match fault {
            Some(Fault::ShortWrite) => self.call(None, |file| file.write(&bytes[..bytes.len().div_ceil(2)])),
            fault => self.call(fault, |file| file.write(bytes)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl WritableFile for FailingFile {
    fn sync_all(&mut self) -> io::Result<()> {
        let fault = self.disk.next();
        self.call(fault, |file| file.sync_all())
    }
}
