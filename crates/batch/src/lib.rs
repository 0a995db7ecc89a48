//! A question to many runs: opened one by one, told apart, asked at once, answered in turn.
//!
//! One run's fault, a panic included, is the fault of that run alone. Nothing is printed here, and which runs there are is
//! said by who asks ([`epsiloscope_format::Storage`]).

mod in_turn;
mod panics;

use std::collections::BTreeSet;
use std::sync::Arc;

use epsiloscope_format::{FormatError, Run, Storage};
use rayon::prelude::*;

use crate::in_turn::in_turn;
pub use crate::panics::{Panicked, guarded, message, without_panic_messages};

/// Opens every run, applies `question` to it, in parallel, and hands the answers over one by one, in the order of the runs, so
/// that they need not all be kept. Runs that share a name have that of their directory.
///
/// # Errors
/// The first that `take` gives; runs whose turn has not come are then left alone. What is wrong with a run is handed to
/// `take` in place of its answer.
pub fn answer_in_turn<T: Send, F: From<FormatError> + From<Panicked> + Send, E>(
    runs: Vec<Arc<dyn Storage>>,
    question: impl Fn(Run) -> Result<T, F> + Sync,
    take: impl FnMut(Result<T, F>) -> Result<(), E>,
) -> Result<(), E> {
    // What a panic has to say is handed over with the run's name, once.
    without_panic_messages(|| {
        let shared = shared_names::<F>(&runs);
        // Opened only when its turn comes: a thousand open runs would take memory for nothing.
        let answer = |storage: Arc<dyn Storage>| guarded(storage.root(), || question(opened(&storage, &shared)?));
        in_turn(runs, rayon::current_num_threads(), answer, take)
    })
}

/// The names that several runs have. A run that cannot be read has none; opening it says why.
fn shared_names<F: From<FormatError> + From<Panicked>>(runs: &[Arc<dyn Storage>]) -> BTreeSet<String> {
    // A lone run shares its name with none; its manifest need not be fetched twice.
    if runs.len() < 2 {
        return BTreeSet::new();
    }
    let name = |storage: &Arc<dyn Storage>| guarded::<_, F>(storage.root(), || Ok(Run::name_in(&**storage)?)).ok();
    let mut names: Vec<String> = runs.par_iter().filter_map(name).collect();
    names.sort_unstable();
    names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0].clone()).collect()
}

/// Opens a run. Those that share a name are told apart by their directories.
fn opened(storage: &Arc<dyn Storage>, shared: &BTreeSet<String>) -> Result<Run, FormatError> {
    let mut run = Run::open_in(Arc::clone(storage))?;
    if shared.contains(&run.manifest().run) {
        run.rename(run.dir().display().to_string());
    }
    Ok(run)
}
