//! States in a file, so that training goes on as if it had never stopped.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use tch::{TchError, Tensor};

use crate::{Optimizer, OptimizerError, State};

/// The name under which a file has a state's steps.
const STEPS: &str = "steps";

impl Optimizer {
    /// Writes the state of every variable to a safetensors file, `conv1.weight.first_moment` and so on.
    ///
    /// Algorithm, settings and learning rate are not in the file. It appears under its name when it is complete.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), OptimizerError> {
        let path = path.as_ref();
        self.write(path).map_err(|source| OptimizerError::File { path: path.to_owned(), source })
    }

    fn write(&self, path: &Path) -> Result<(), TchError> {
        let mut entries = Vec::new();
        for (name, state) in &self.states {
            entries.push((format!("{name}.{STEPS}"), Tensor::from(state.steps)));
            for (buffer, values) in state.buffers() {
                entries.push((format!("{name}.{buffer}"), values.f_contiguous()?));
            }
        }
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".tmp");
        Tensor::write_safetensors(&entries, &temporary)?;
        File::open(&temporary)?.sync_all()?;
        Ok(fs::rename(&temporary, path)?)
    }

    /// Replaces all states by those of a file that [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// If the file cannot be read, or has other entries than this algorithm keeps for the variables of this store.
    /// The states are then as before.
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<(), OptimizerError> {
        let mut file = StateFile::read(path.as_ref())?;
        let mut states = BTreeMap::new();
        for (name, parameter) in self.parameters() {
            if file.entries.contains_key(&format!("{name}.{STEPS}")) {
                let state = State::new(&parameter, &self.algorithm.buffers());
                let mut state = state.map_err(|source| file.error(source))?;
                file.fill(&name, &mut state)?;
                states.insert(name, state);
            }
        }
        file.expect_nothing_more()?;
        self.states = states;
        Ok(())
    }
}

/// The entries of a file that no state has taken yet.
struct StateFile<'a> {
    path: &'a Path,
    entries: BTreeMap<String, Tensor>,
}

impl<'a> StateFile<'a> {
    fn read(path: &'a Path) -> Result<Self, OptimizerError> {
        match Tensor::read_safetensors(path) {
            Ok(entries) => Ok(Self { path, entries: entries.into_iter().collect() }),
            Err(source) => Err(OptimizerError::File { path: path.to_owned(), source }),
        }
    }

    /// Takes the steps and buffers of one variable.
    fn fill(&mut self, name: &str, state: &mut State) -> Result<(), OptimizerError> {
        let steps = Tensor::from(0_i64);
        self.fill_entry(&format!("{name}.{STEPS}"), &steps)?;
        state.steps = i64::try_from(steps).map_err(|source| self.error(source))?;
        for (buffer, values) in state.buffers() {
            self.fill_entry(&format!("{name}.{buffer}"), values)?;
        }
        Ok(())
    }

    fn fill_entry(&mut self, entry: &str, target: &Tensor) -> Result<(), OptimizerError> {
        match self.entries.remove(entry) {
            Some(values) if values.kind() == target.kind() && values.size() == target.size() => {
                target.shallow_clone().f_copy_(&values).map_err(|source| self.error(source))
            }
            found => Err(self.mismatch(entry, Some(target), found.as_ref())),
        }
    }

    fn expect_nothing_more(&self) -> Result<(), OptimizerError> {
        match self.entries.first_key_value() {
            Some((entry, values)) => Err(self.mismatch(entry, None, Some(values))),
            None => Ok(()),
        }
    }

    fn error(&self, source: TchError) -> OptimizerError {
        OptimizerError::File { path: self.path.to_owned(), source }
    }

    fn mismatch(&self, entry: &str, expected: Option<&Tensor>, found: Option<&Tensor>) -> OptimizerError {
        let describe = |tensor: Option<&Tensor>| match tensor {
            Some(tensor) => format!("{:?} of size {:?}", tensor.kind(), tensor.size()),
            None => "nothing".to_owned(),
        };
        let (expected, found) = (describe(expected), describe(found));
        OptimizerError::Mismatch { path: self.path.to_owned(), entry: entry.to_owned(), expected, found }
    }
}
