//! Heat maps and curves of the tensors that are shown.

use epsiloscope_analysis::through_training::{Placed, Series, cadence, placed, windows_within};
use epsiloscope_analysis::window::Windows;
use epsiloscope_analysis::{
    AnalysisError, Estimate, HistogramOptions, Scope, ScopeHistogram, SearchSpace, Window, histograms,
};
use epsiloscope_figure::{Column, Curve, Curves, Form, HeatMap, Marks, Measure, Panel, Text};
use epsiloscope_format::Run;

use super::heading::{self, counted, steps};
use super::marks::{is_shown_as_root, marks};
use super::{Kind, PanelOptions, Selection, quantities};

/// Columns of a heat map, unless windows are asked for.
const USUAL_COLUMNS: usize = 240;
/// Columns that a heat map has pixels for.
const MOST_COLUMNS: usize = 1000;
/// Curves that can be told apart.
const MOST_CURVES: usize = 8;

/// Histograms by quantity, group and window.
#[derive(Default)]
pub(super) struct Shown {
    quantities: Vec<(Measure, Series)>,
    /// Whether windows were asked for, so that each is a curve.
    has_windows: bool,
}

impl Shown {
    pub(super) fn of(run: &Run, options: &PanelOptions, selection: &Selection) -> Result<Self, AnalysisError> {
        let window = options.window.unwrap_or_else(|| windows_within(run, USUAL_COLUMNS, 1));
        let names = quantities(run, &options.quantities);
        let asked = HistogramOptions {
            scope: selection.scope,
            window,
            tensors: selection.tensors.iter().flatten().cloned().collect(),
            quantities: names.clone(),
            ..HistogramOptions::default()
        };
        let windows = window.split(run)?;
        let found = histograms(run, &asked)?;
        let group = |of: &ScopeHistogram| selection.groups.binary_search_by(|group| group.name.cmp(&of.name)).ok();
        let series = |name: &String| {
            let of_quantity = found.iter().filter(|of| of.quantity == *name);
            let placed = of_quantity.filter_map(|of| -> Option<Placed> { placed(of, group(of)?, &windows) });
            (Measure::of(name), Series::new(selection.groups.len(), placed))
        };
        let has_windows = options.window.is_some_and(|window| window != Window::Run);
        Ok(Self { quantities: names.iter().map(series).collect(), has_windows })
    }

    /// What was counted of any tensors, added.
    pub(super) fn together(counted: &[ScopeHistogram], windows: &Windows, has_windows: bool) -> Self {
        let mut quantities: Vec<(&str, Vec<Placed>)> = Vec::new();
        for of in counted {
            let Some(placed) = placed(of, 0, windows) else { continue };
            match quantities.iter_mut().find(|(quantity, _)| *quantity == of.quantity) {
                Some((_, all)) => all.push(placed),
                None => quantities.push((&of.quantity, vec![placed])),
            }
        }
        let series = |(quantity, all): (&str, Vec<Placed>)| (Measure::of(quantity), Series::new(1, all));
        Self { quantities: quantities.into_iter().map(series).collect(), has_windows }
    }

    /// One per quantity, group and estimate.
    pub(super) fn heat_maps<'a>(
        &'a self,
        run: &'a Run,
        selection: &'a Selection,
        chosen: &'a [&Estimate],
    ) -> impl Iterator<Item = Panel> + 'a {
        self.drawn(selection, chosen).map(move |drawn| Panel::HeatMap(drawn.heat_map(run, chosen.len())))
    }

    /// Of several quantities over the same steps one panel, else one per quantity; of each group and estimate.
    pub(super) fn curves(&self, run: &Run, kind: Kind, selection: &Selection, chosen: &[&Estimate]) -> Vec<Panel> {
        let form = if kind == Kind::Histogram { Form::Density } else { Form::Cumulative };
        let drawn: Vec<Drawn<'_>> = self.drawn(selection, chosen).collect();
        if self.has_windows || self.quantities.len() < 2 {
            return drawn
                .iter()
                .map(|of| Panel::Curves(of.windows(run, form, self.has_windows, chosen.len())))
                .collect();
        }
        let n_places = drawn.len() / self.quantities.len();
        let at_place = |place: usize| drawn.iter().skip(place).step_by(n_places).collect::<Vec<_>>();
        (0..n_places).map(|place| Panel::Curves(together(&at_place(place), run, form, chosen.len()))).collect()
    }

    /// Quantity by quantity, group by group, estimate by estimate.
    fn drawn<'a>(&'a self, selection: &'a Selection, chosen: &'a [&Estimate]) -> impl Iterator<Item = Drawn<'a>> {
        let estimates: Vec<Option<&Estimate>> =
            if chosen.is_empty() { vec![None] } else { chosen.iter().map(|estimate| Some(*estimate)).collect() };
        let groups = selection.groups.iter().enumerate();
        self.quantities.iter().flat_map(move |(measure, series)| {
            let estimates = estimates.clone();
            groups.clone().flat_map(move |(index, group)| {
                let part = group.name.as_deref();
                let of = move |estimate| Drawn { measure, series, group: index, part, selection, estimate };
                estimates.clone().into_iter().map(of)
            })
        })
    }
}

/// What one panel shows.
struct Drawn<'a> {
    measure: &'a Measure,
    series: &'a Series,
    group: usize,
    part: Option<&'a str>,
    selection: &'a Selection,
    estimate: Option<&'a Estimate>,
}

impl Drawn<'_> {
    fn heat_map(&self, run: &Run, n_estimates: usize) -> HeatMap {
        let n_too_many = self.series.windows.len().div_ceil(MOST_COLUMNS).max(1);
        let series = self.series.clone().with_windows_merged(n_too_many);
        let cells = series.groups[self.group].iter().cloned();
        let columns: Vec<Column> =
            series.windows.iter().zip(cells).map(|(&steps, histogram)| Column { steps, histogram }).collect();
        let extent = columns.first().zip(columns.last()).map_or((0, 0), |(first, last)| (first.steps.0, last.steps.1));
        let windows = format!("{} in {}", steps(extent), counted(columns.len() as u64, "window"));
        let details = self.details(run, n_estimates, Text::from(windows.as_str()));
        HeatMap {
            heading: heading::of(run, self.part, &details),
            measure: self.measure.clone(),
            columns,
            cadence: cadence(run),
            marks: self.marks(),
        }
    }

    /// A curve for each window, or one for all; of many windows those that are evenly apart.
    fn windows(&self, run: &Run, form: Form, has_windows: bool, n_estimates: usize) -> Curves {
        let windows = self.series.windows.iter().zip(&self.series.groups[self.group]);
        let all: Vec<Curve> = windows
            .filter_map(|(&span, cell)| {
                Some(Curve { name: Text::from(steps(span).as_str()), histogram: cell.clone()? })
            })
            .collect();
        let n_windows = all.len();
        let curves =
            if has_windows { evenly(all, MOST_CURVES) } else { self.summed(self.measure.name()).into_iter().collect() };
        let details = if curves.len() < n_windows && has_windows {
            Text::from(format!("{} of {} shown", curves.len(), counted(n_windows as u64, "window")).as_str())
        } else if has_windows {
            Text::from(counted(n_windows as u64, "window").as_str())
        } else {
            Text::from(self.extent(&curves).as_str())
        };
        Curves {
            heading: heading::of(run, self.part, &self.details(run, n_estimates, details)),
            form,
            measure: self.measure.clone(),
            is_sequence: has_windows,
            curves,
            marks: self.marks(),
        }
    }

    /// All windows added.
    fn summed(&self, name: Text) -> Option<Curve> {
        let cells = self.series.groups[self.group].iter().flatten().cloned();
        let histogram = cells.reduce(|sum, cell| sum.merged(&cell))?;
        Some(Curve { name, histogram })
    }

    /// `steps 1 to 94, 19 448 elements, 3 zeros apart`
    fn extent(&self, curves: &[Curve]) -> String {
        let windows = &self.series.windows;
        let span = windows.first().zip(windows.last()).map_or((0, 0), |(first, last)| (first.0, last.1));
        let total: u64 = curves.iter().map(|curve| curve.histogram.total()).sum();
        let apart: u64 = curves.iter().map(|curve| curve.histogram.numel() - curve.histogram.total()).sum();
        let apart = if apart == 0 { String::new() } else { format!(" and {} apart", zeros(curves, apart)) };
        format!("{}, {}{apart}", steps(span), counted(total, "magnitude"))
    }

    fn details(&self, run: &Run, n_estimates: usize, extent: Text) -> Vec<Text> {
        let what = self.measure.name();
        let what = match (&self.selection.tensors, self.selection.scope) {
            (Some(tensors), Scope::Run) => what.and(&format!(" of {}", chosen_tensors(tensors.iter()))),
            _ if self.part.is_none() => what.and(" of all tensors"),
            _ => what,
        };
        let whose = self
            .estimate
            .filter(|_| 1 < n_estimates)
            .map(|estimate| Text::default().italic("ε").and(&format!(" of {}", estimate.optimizer)));
        let root = self.estimate.filter(|estimate| is_shown_as_root(estimate, self.measure));
        let root =
            root.map(|estimate| Text::default().italic("ε").and(&format!(" of {} by its root", estimate.optimizer)));
        let all = [Some(what), Some(extent), root.or(whose), heading::sample(run), heading::unfinished(run)];
        all.into_iter().flatten().collect()
    }

    fn marks(&self) -> Marks {
        let space = |estimate: &'_ Estimate| -> Option<SearchSpace> {
            let is_of_part =
                |space: &&SearchSpace| space.scope == self.selection.scope && space.name.as_deref() == self.part;
            estimate.spaces.iter().find(is_of_part).cloned()
        };
        let marks = |estimate: &Estimate| Some(marks(estimate, &space(estimate)?, self.measure));
        self.estimate.and_then(marks).unwrap_or_default()
    }
}

/// `3 exact zeros`, or what else was counted apart.
fn zeros(curves: &[Curve], apart: u64) -> String {
    let zeros: u64 = curves.iter().map(|curve| curve.histogram.zeros()).sum();
    match apart - zeros {
        0 => counted(zeros, "exact zero"),
        non_finite => format!("{}, {}", counted(zeros, "exact zero"), counted(non_finite, "value that is not finite")),
    }
}

/// The name of one tensor, or how many there are.
fn chosen_tensors<'a>(mut names: impl ExactSizeIterator<Item = &'a String>) -> String {
    let n = names.len();
    match (n, names.next()) {
        (1, Some(name)) => name.clone(),
        _ => counted(n as u64, "tensor"),
    }
}

/// Quantities over the same steps, as curves of one panel.
fn together(drawn: &[&Drawn<'_>], run: &Run, form: Form, n_estimates: usize) -> Curves {
    let curves: Vec<Curve> = drawn.iter().filter_map(|of| of.summed(of.measure.name())).collect();
    let first = drawn[0];
    let marks = drawn.iter().map(|of| of.marks()).find(|marks| marks.search.is_some()).unwrap_or_default();
    let span = |of: &Drawn<'_>| Some((of.series.windows.first()?.0, of.series.windows.last()?.1));
    let spans = drawn.iter().filter_map(|of| span(of)).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))).unwrap_or((0, 0));
    let mut details = first.details(run, n_estimates, Text::from(steps(spans).as_str()));
    details[0] = Text::from(if first.selection.tensors.is_none() && first.part.is_none() {
        "all tensors"
    } else {
        "chosen tensors"
    });
    let measure = if curves.len() < 2 { first.measure.clone() } else { Measure::Several };
    Curves { heading: heading::of(run, first.part, &details), form, measure, curves, is_sequence: false, marks }
}

/// So many of some items, the first and the last among them.
fn evenly<T>(items: Vec<T>, n: usize) -> Vec<T> {
    let last = items.len().saturating_sub(1);
    if items.len() <= n {
        return items;
    }
    let wanted: Vec<usize> = (0..n).map(|index| (index * last + (n - 1) / 2) / (n - 1)).collect();
    items.into_iter().enumerate().filter(|(index, _)| wanted.contains(index)).map(|(_, item)| item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_of_many_are_evenly_apart() {
        assert_eq!(evenly((0..100).collect(), 4), [0, 33, 66, 99]);
        assert_eq!(evenly((0..9).collect(), 8).len(), 8);
        assert_eq!(evenly(vec![1, 2], 8), [1, 2]);
        assert!(evenly(Vec::<i32>::new(), 8).is_empty());
    }
}
