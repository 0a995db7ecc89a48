//! Runs as panels of figures: which histograms, which estimates, what is said above them.
//!
//! The histograms and estimates are those of `epsiloscope-analysis`; `epsiloscope-figure` draws.

mod heading;
mod histograms;
mod marks;
mod spaces;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use epsiloscope_analysis::grouping::Group;
use epsiloscope_analysis::{
    AnalysisError, Combination, Estimate, EstimateOptions, Grouping, Scope, ScopeHistogram, Window, estimate,
};
use epsiloscope_figure::{Figure, HeatMap, Panel, SearchSpaces};
use epsiloscope_format::{GRADIENT, Run};
use glob::Pattern;

use histograms::Shown;

/// Groups of tensors that one figure shows.
pub const MAX_GROUPS: usize = 24;

/// A kind of drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Magnitudes through training.
    HeatMap,
    /// Share of elements per decade.
    Histogram,
    /// Share of elements below.
    Cumulative,
    /// Bounds that each tensor, layer or kind would set.
    Bounds,
    /// Search spaces of runs and optimizers.
    SearchSpace,
}

impl Kind {
    /// In the order in which they are told.
    pub const ALL: [Self; 5] = [Self::HeatMap, Self::Histogram, Self::Cumulative, Self::Bounds, Self::SearchSpace];

    /// Its name in commands.
    pub fn name(self) -> &'static str {
        match self {
            Self::HeatMap => "heatmap",
            Self::Histogram => "histogram",
            Self::Cumulative => "cumulative",
            Self::Bounds => "bounds",
            Self::SearchSpace => "search-space",
        }
    }

    fn is_of_magnitudes(self) -> bool {
        matches!(self, Self::HeatMap | Self::Histogram | Self::Cumulative)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| format!("figure {text:?}: expected one of {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// What to draw of each run.
#[derive(Clone, Debug)]
pub struct PanelOptions {
    /// Kinds of drawings, in order.
    pub kinds: Vec<Kind>,
    /// Whose ε, at which decay rates.
    pub estimate: EstimateOptions,
    /// Of what magnitudes are; the gradient, or what else was recorded first, if none is named.
    pub quantities: Vec<String>,
    /// A drawing for each tensor, layer or kind; `None` for one of all tensors, and bounds by tensor.
    pub scope: Option<Scope>,
    /// Names, or patterns of names, of the tensors that are shown; all if there are none.
    pub tensors: Vec<String>,
    /// The steps of a column, or of a curve; `None` for as many columns as are seen, and one curve.
    pub window: Option<Window>,
}

impl Default for PanelOptions {
    fn default() -> Self {
        Self {
            kinds: vec![Kind::HeatMap],
            estimate: EstimateOptions::default(),
            quantities: Vec::new(),
            scope: None,
            tensors: Vec::new(),
            window: None,
        }
    }
}

/// Why a run has no panels.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PanelError {
    /// The run cannot be read, or does not hold what is asked for.
    #[error(transparent)]
    Analysis(#[from] AnalysisError),
    /// Ask for fewer.
    #[error("{}: {n} {scope}s: expected at most {MAX_GROUPS} in one figure; choose some by name", run.display())]
    TooMany {
        /// The run.
        run: PathBuf,
        /// Groups asked for.
        n: usize,
        /// What they are.
        scope: Scope,
    },
    /// Look at the names that the run has.
    #[error("{}: no tensor is called {pattern}", run.display())]
    NoTensor {
        /// The run.
        run: PathBuf,
        /// The name or pattern.
        pattern: String,
    },
    /// Write the pattern as globs are written.
    #[error("pattern {pattern:?} of tensors: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// The panels of one run, each with its kind.
///
/// # Errors
/// [`PanelError`] if the run does not hold what is asked for, or a figure would have no room for it.
pub fn panels(run: &Run, options: &PanelOptions) -> Result<Vec<(Kind, Panel)>, PanelError> {
    let selection = Selection::of(run, options)?;
    let estimates = estimates(run, options)?;
    let chosen = chosen(&estimates, options.estimate.all_required);
    let shown = if options.kinds.iter().any(|kind| kind.is_of_magnitudes()) {
        Shown::of(run, options, &selection)?
    } else {
        Shown::default()
    };
    let mut panels = Vec::new();
    for &kind in &options.kinds {
        match kind {
            Kind::HeatMap => panels.extend(shown.heat_maps(run, &selection, &chosen).map(|panel| (kind, panel))),
            Kind::Histogram | Kind::Cumulative => {
                panels.extend(shown.curves(run, kind, &selection, &chosen).into_iter().map(|panel| (kind, panel)));
            }
            Kind::Bounds => {
                let scope = options.scope.unwrap_or(Scope::Tensor);
                let of = |estimate: &&Estimate| Some((kind, spaces::bounds(run, estimate, scope, &selection)?));
                panels.extend(chosen.iter().filter_map(of));
            }
            Kind::SearchSpace => panels.extend(spaces::search_spaces(run, &estimates).map(|panel| (kind, panel))),
        }
    }
    if panels.is_empty() {
        let reason = "nothing of this was recorded: neither magnitudes nor critical ε".to_owned();
        return Err(AnalysisError::NotRecorded { run: run.dir().to_owned(), reason }.into());
    }
    Ok(panels)
}

/// Estimates that are there already, those after the last step: over the run their search spaces, else the bounds of every
/// part of the scope.
///
/// # Errors
/// [`PanelError`] of none that is known.
pub fn estimate_panels(run: &Run, estimates: &[Estimate], scope: Scope) -> Result<Vec<(Kind, Panel)>, PanelError> {
    let last = last_steps(estimates.to_vec());
    if scope == Scope::Run {
        return Ok(spaces::search_spaces(run, &last).map(|panel| (Kind::SearchSpace, panel)).into_iter().collect());
    }
    let everything = Selection::of(run, &PanelOptions { kinds: vec![Kind::Bounds], ..PanelOptions::default() })?;
    let bounds = |estimate| Some((Kind::Bounds, spaces::bounds(run, estimate, scope, &everything)?));
    Ok(last.iter().filter_map(bounds).collect())
}

/// Histograms that are there already, all tensors together: a curve for each of some windows; without, one for each quantity.
///
/// # Errors
/// As [`Window::split`].
pub fn histogram_panels(
    run: &Run,
    counted: &[ScopeHistogram],
    window: Window,
) -> Result<Vec<(Kind, Panel)>, PanelError> {
    let selection = Selection::of(run, &PanelOptions { kinds: vec![Kind::Histogram], ..PanelOptions::default() })?;
    let shown = Shown::together(counted, &window.split(run)?, window != Window::Run);
    let panels = shown.curves(run, Kind::Histogram, &selection, &[]);
    Ok(panels.into_iter().map(|panel| (Kind::Histogram, panel)).collect())
}

/// What of a run goes on one screen.
#[derive(Clone, Debug)]
pub struct Glance {
    /// Magnitudes through training, if any were recorded.
    pub heat_map: Option<HeatMap>,
    /// The search space for the optimizer that the run was trained with, or the first that it tells of.
    pub estimate: Option<Estimate>,
}

/// The first heat map of a run and what it is worth; kinds of drawings are not looked at.
///
/// # Errors
/// As [`panels()`].
pub fn glance(run: &Run, options: &PanelOptions) -> Result<Glance, PanelError> {
    let options = PanelOptions { kinds: vec![Kind::HeatMap], ..options.clone() };
    let selection = Selection::of(run, &options)?;
    let estimates = estimates(run, &options)?;
    let chosen = chosen(&estimates, options.estimate.all_required);
    let shown = match Shown::of(run, &options, &selection) {
        Err(AnalysisError::NotRecorded { .. }) if !chosen.is_empty() => Shown::default(),
        shown => shown?,
    };
    let panel = shown.heat_maps(run, &selection, &chosen).next();
    let heat_map = panel.and_then(|panel| if let Panel::HeatMap(map) = panel { Some(map) } else { None });
    Ok(Glance { heat_map, estimate: chosen.first().map(|&estimate| estimate.clone()) })
}

/// The panels of several runs as one figure: kind by kind, run by run; search spaces in one panel.
pub fn figure(of_runs: Vec<Vec<(Kind, Panel)>>, kinds: &[Kind]) -> Figure {
    let n_runs = of_runs.len();
    let all: Vec<(Kind, Panel)> = of_runs.into_iter().flatten().collect();
    let mut panels = Vec::new();
    for &kind in kinds {
        let of_kind = || all.iter().filter(move |(of, _)| *of == kind).map(|(_, panel)| panel.clone());
        if kind == Kind::SearchSpace {
            panels.extend(joined(of_kind(), n_runs));
        } else {
            panels.extend(of_kind());
        }
    }
    Figure { panels }
}

/// Search spaces of several runs below each other.
fn joined(of_runs: impl Iterator<Item = Panel>, n_runs: usize) -> Option<Panel> {
    let spaces = of_runs.filter_map(|panel| if let Panel::SearchSpaces(spaces) = panel { Some(spaces) } else { None });
    let joined = spaces.reduce(|mut all, next| {
        all.rows.extend(next.rows);
        all
    })?;
    Some(Panel::SearchSpaces(if n_runs < 2 {
        joined
    } else {
        SearchSpaces { heading: heading::of_runs(n_runs), ..joined }
    }))
}

/// Which tensors are shown, together or apart.
pub(crate) struct Selection {
    /// A panel each.
    groups: Vec<Group>,
    /// The tensors that are shown; `None` if those are all.
    tensors: Option<BTreeSet<String>>,
    scope: Scope,
}

impl Selection {
    fn of(run: &Run, options: &PanelOptions) -> Result<Self, PanelError> {
        let tensors = if options.tensors.is_empty() { None } else { Some(named(run, &options.tensors)?) };
        let scope = options.scope.unwrap_or(Scope::Run);
        let infos = &run.manifest().tensors;
        let is_shown = |tensor: &usize| tensors.as_ref().is_none_or(|names| names.contains(&infos[*tensor].name));
        let grouping = Grouping::of(infos);
        let groups: Vec<Group> = grouping
            .groups(scope)
            .iter()
            .map(|group| Group { tensors: group.tensors.iter().copied().filter(is_shown).collect(), ..group.clone() })
            .filter(|group| !group.tensors.is_empty())
            .collect();
        let makes_a_panel_each = options.kinds.iter().any(|kind| kind.is_of_magnitudes());
        if makes_a_panel_each && MAX_GROUPS < groups.len() {
            return Err(PanelError::TooMany { run: run.dir().to_owned(), n: groups.len(), scope });
        }
        Ok(Self { groups, tensors, scope })
    }

    fn admits(&self, tensor: &str) -> bool {
        self.tensors.as_ref().is_none_or(|names| names.contains(tensor))
    }
}

/// The tensors that some names or patterns name.
fn named(run: &Run, patterns: &[String]) -> Result<BTreeSet<String>, PanelError> {
    let mut found = BTreeSet::new();
    for pattern in patterns {
        let compiled = Pattern::new(pattern)
            .map_err(|fault| PanelError::Pattern { pattern: pattern.clone(), reason: fault.msg })?;
        // A name may hold what is special in a pattern.
        let is_named = |name: &str| name == pattern || compiled.matches(name);
        let names = run.manifest().tensors.iter().map(|tensor| &tensor.name);
        let n_before = found.len();
        let matching: Vec<String> = names.filter(|name| is_named(name)).cloned().collect();
        if matching.is_empty() && n_before == found.len() {
            return Err(PanelError::NoTensor { run: run.dir().to_owned(), pattern: pattern.clone() });
        }
        found.extend(matching);
    }
    Ok(found)
}

/// Bounds by every scope; none if the run tells of no optimizer and none is required.
fn estimates(run: &Run, options: &PanelOptions) -> Result<Vec<Estimate>, PanelError> {
    let asked = EstimateOptions {
        scopes: Scope::ALL.to_vec(),
        combinations: vec![Combination::Extremes],
        bootstrap: 0,
        ..options.estimate.clone()
    };
    match estimate(run, &asked) {
        Err(AnalysisError::NotRecorded { .. }) if !asked.all_required => Ok(Vec::new()),
        found => Ok(last_steps(found?)),
    }
}

/// Of estimates after several steps, the last of each optimizer.
fn last_steps(estimates: Vec<Estimate>) -> Vec<Estimate> {
    let mut last: Vec<Estimate> = Vec::new();
    for estimate in estimates {
        match last.last_mut() {
            Some(before) if before.optimizer == estimate.optimizer => *before = estimate,
            _ => last.push(estimate),
        }
    }
    last
}

/// Those that were asked for; else the one of the optimizer that the run was trained with, or the first.
fn chosen(estimates: &[Estimate], are_asked_for: bool) -> Vec<&Estimate> {
    if are_asked_for {
        return estimates.iter().collect();
    }
    let own = estimates.iter().find(|estimate| estimate.own.is_some());
    own.or(estimates.first()).into_iter().collect()
}

/// The quantities that are shown.
pub(crate) fn quantities(run: &Run, asked: &[String]) -> Vec<String> {
    if !asked.is_empty() {
        return asked.to_vec();
    }
    let recorded = &run.manifest().quantities;
    let usual = recorded.iter().find(|quantity| *quantity == GRADIENT).or(recorded.first());
    usual.into_iter().cloned().collect()
}
