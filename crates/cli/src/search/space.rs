//! Where ε is searched, as runs and data sets know it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use epsiloscope_analysis::effects::Role;
use epsiloscope_analysis::schema::ResultTable;
use epsiloscope_analysis::{At, CandidateOptions, Candidates, Combination, EstimateOptions, candidates};
use epsiloscope_dataset::Stored;
use epsiloscope_format::Run;
use epsiloscope_moments::{Convention, Optimizer};
use polars::prelude::DataFrame;

use crate::runs;
use crate::search::SearchArgs;

/// A search space with the points that are recommended inside it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Space {
    /// Its ends, powers of ten.
    pub(super) low: f64,
    pub(super) high: f64,
    /// Whose ε.
    pub(super) optimizer: Convention,
    /// Each ε with its learning rate, if the run's is known, ascending; of several runs there are none.
    pub(super) grid: Vec<Point>,
}

/// An ε and the learning rate to try with it.
pub(super) type Point = (f64, Option<f64>);

/// Which space of a run.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    /// Whose ε, if not that of the run's optimizer.
    optimizer: Option<Convention>,
    /// Points of the grid, if not every power of ten.
    points: Option<usize>,
    combination: Combination,
}

impl Asked {
    pub(super) fn of(args: &SearchArgs) -> Self {
        Self {
            optimizer: args.optimizer,
            points: args.points.map(usize::from),
            combination: args.combination.combination,
        }
    }
}

/// The recommended points of one run.
struct OfRun {
    optimizer: Convention,
    /// Whether the run was trained with that optimizer.
    is_own: bool,
    grid: Vec<Point>,
}

/// The space of runs or of a data set.
pub(super) fn space(of: &str, asked: Asked) -> anyhow::Result<Space> {
    let path = Path::new(of);
    let is_data_set = Stored::is_one(path);
    let found = if is_data_set { of_data_set(path, asked.combination)? } else { of_runs(path, asked)? };
    let optimizer = match asked.optimizer {
        Some(optimizer) => optimizer,
        None => own(of, &found)?,
    };
    let mut space = combined(of, optimizer, found)?;
    if is_data_set && asked.points.is_some() {
        // It holds the grid of powers of ten alone.
        space.grid.clear();
    }
    Ok(space)
}

/// The one optimizer that the runs were trained with.
fn own(of: &str, found: &[OfRun]) -> anyhow::Result<Convention> {
    let mut own: Vec<Convention> = found.iter().filter(|of| of.is_own).map(|of| of.optimizer).collect();
    own.dedup();
    match own[..] {
        [one] => Ok(one),
        [] => Ok(Optimizer::Adam.into()),
        [first, second, ..] => {
            bail!("{of}: trained with {first} and {second}: expected --optimizer, to say whose ε is searched")
        }
    }
}

fn combined(of: &str, optimizer: Convention, mut found: Vec<OfRun>) -> anyhow::Result<Space> {
    found.retain(|run| run.optimizer == optimizer && !run.grid.is_empty());
    let all = || found.iter().flat_map(|run| run.grid.iter().map(|point| point.0));
    let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(0.0, f64::max));
    if found.is_empty() {
        bail!(
            "{of}: tells nothing of the ε of {optimizer}: expected --optimizer, or a range such as epsilon:1e-6..1e-2"
        );
    }
    if high <= low {
        bail!(
            "{of}: its search space is {low:e} alone: expected a range such as epsilon:{:e}..{:e}",
            low / 10.0,
            low * 10.0
        );
    }
    let grid = if let [only] = &mut found[..] { std::mem::take(&mut only.grid) } else { Vec::new() };
    Ok(Space { low, high, optimizer, grid })
}

fn of_runs(path: &Path, asked: Asked) -> anyhow::Result<Vec<OfRun>> {
    let outcome = runs::for_each(&[PathBuf::from(path)], |run| of_run(run, asked));
    if outcome.results.is_empty() {
        bail!("{}: no search space: expected a run, a data set or a range such as epsilon:1e-6..1e-2", path.display());
    }
    Ok(outcome.results)
}

fn of_run(run: &Run, asked: Asked) -> anyhow::Result<OfRun> {
    let own: Option<Convention> = run.manifest().optimizer.name.parse().ok();
    let optimizer = asked.optimizer.or(own).unwrap_or_else(|| Optimizer::Adam.into());
    let estimate =
        EstimateOptions { optimizers: vec![optimizer], all_required: true, at: At::Last, ..EstimateOptions::default() };
    let Asked { points, combination, .. } = asked;
    let options = CandidateOptions { estimate, points, combination, ..CandidateOptions::default() };
    let found = candidates(run, &options)?.pop().context("no candidate was found")?;
    let is_own = own.is_some_and(|own| own == optimizer);
    Ok(OfRun { optimizer, is_own, grid: grid(&found) })
}

fn grid(of: &Candidates) -> Vec<Point> {
    let of_grid = of.effects.iter().filter(|effect| effect.role == Role::Grid);
    of_grid.map(|effect| (effect.epsilon, effect.matched_learning_rate)).collect()
}

/// The grids of all runs of a data set after their last step.
fn of_data_set(root: &Path, combination: Combination) -> anyhow::Result<Vec<OfRun>> {
    if combination != Combination::Extremes {
        bail!(
            "{}: a data set, which holds the grids of extremes alone: expected a run with --combination {combination}",
            root.display()
        );
    }
    let stored = Stored::new(root);
    let mut found = Vec::new();
    for table in stored.tables()? {
        if let (ResultTable::Candidates, Some(run)) = (table.table, &table.run) {
            found.extend(of_table(run, &stored.read(&table)?)?);
        }
    }
    if found.is_empty() {
        bail!("{}: no candidates in this data set: expected some of `epsiloscope analyze`", root.display());
    }
    Ok(found)
}

/// A row of the table of candidates that is about a whole run.
struct Row {
    optimizer: Convention,
    step: i64,
    role: String,
    point: Point,
}

fn of_table(run: &str, frame: &DataFrame) -> anyhow::Result<Vec<OfRun>> {
    let rows = rows(frame).with_context(|| format!("{run}: table of candidates"))?;
    let mut by_optimizer: BTreeMap<usize, Vec<Row>> = BTreeMap::new();
    for row in rows {
        by_optimizer.entry(row.optimizer.index()).or_default().push(row);
    }
    let of = |mut rows: Vec<Row>| {
        let last = rows.iter().map(|row| row.step).max();
        rows.retain(|row| Some(row.step) == last);
        let grid = rows.iter().filter(|row| row.role == Role::Grid.name()).map(|row| row.point).collect();
        let is_own = rows.iter().any(|row| row.role == Role::Own.name());
        OfRun { optimizer: rows[0].optimizer, is_own, grid }
    };
    Ok(by_optimizer.into_values().map(of).collect())
}

fn rows(frame: &DataFrame) -> anyhow::Result<Vec<Row>> {
    let text = |name: &str| frame.column(name).and_then(|column| column.str().cloned());
    let number = |name: &str| frame.column(name).and_then(|column| column.f64().cloned());
    let (optimizer, scope, role) = (text("optimizer")?, text("scope")?, text("role")?);
    let (epsilon, rate) = (number("epsilon")?, number("matched_learning_rate")?);
    let step = frame.column("step").and_then(|column| column.i64().cloned())?;
    let row = |index: usize| {
        let is_of_run = scope.get(index) == Some("run");
        let point = (epsilon.get(index)?, rate.get(index));
        let (optimizer, step) = (optimizer.get(index)?.parse().ok()?, step.get(index)?);
        is_of_run.then_some(Row { optimizer, step, role: role.get(index)?.to_owned(), point })
    };
    Ok((0..frame.height()).filter_map(row).collect())
}
