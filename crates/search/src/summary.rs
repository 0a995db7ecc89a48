//! What a search has found, and what it has spared.

use crate::cross_entropy::CrossEntropy;
use crate::engine::Search;
use crate::metric::Goal;
use crate::noise::is_within;
use crate::parameter::{Axis, Domain, Parameter, Value};
use crate::strategy::Strategy;
use crate::trial::{Outcome, Point};

/// The range that one parameter would be searched over if nothing were known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Wide {
    /// The parameter's name.
    pub parameter: String,
    /// Its least value, positive.
    pub low: f64,
    /// Its greatest.
    pub high: f64,
}

/// What a search has found.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Whether small or great values are better.
    pub goal: Goal,
    /// Points all of whose trials are finished.
    pub n_points: usize,
    /// Their trials.
    pub n_trials: usize,
    /// Trials with a value, diverged, timed out, failed.
    pub n_by_status: [usize; 4],
    /// Indices of points with a value, the best first; equal ones in the order of proposal.
    pub ranking: Vec<usize>,
    /// Of each point of the ranking, whether noise explains that it is worse than the best; `None` with a single seed.
    pub within_noise: Vec<Option<bool>>,
    /// The range of each numeric parameter over what lies within noise of the best.
    pub good: Vec<Option<(f64, f64)>>,
    /// Of a cross-entropy search: how many generations there were, and whether it converged.
    pub generations: Option<(usize, bool)>,
    /// What the wide range would have taken.
    pub spared: Option<Spared>,
}

/// What the wide range would have taken, and why.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spared {
    /// Width of the range that was searched, in decades.
    pub searched_decades: f64,
    /// Of the wide one.
    pub wide_decades: f64,
    /// How many decades of the range that was searched lie outside the wide one.
    pub outside_decades: f64,
    /// Trials that are as dense in the wide range as those of this search were in its own.
    ///
    /// - Of a grid: a grid of the same spacing.
    /// - Of random points: as many as are expected to put as many into the range that was searched, n·W/w for widths w and W.
    /// - Of the cross-entropy method: the first generation so, the later ones as they were, since they follow the best
    ///   values wherever the search began; no less than this.
    pub wide_trials: f64,
}

impl Summary {
    /// What a search has found, and what it has spared if the wide range of a parameter is known.
    pub fn of(search: &Search, wide: Option<&Wide>) -> Self {
        let points = search.points();
        let goal = search.settings().metric.goal();
        let mut ranking: Vec<usize> = (0..points.len()).filter(|&index| points[index].value().is_some()).collect();
        let cost = |index: usize| points[index].value().map_or(f64::INFINITY, |value| goal.cost(value));
        ranking.sort_by(|&a, &b| cost(a).total_cmp(&cost(b)));
        let within_noise: Vec<Option<bool>> =
            ranking.iter().map(|&index| within_noise(goal, &points[ranking[0]], &points[index])).collect();
        let statuses = points.iter().flat_map(|point| &point.trials).map(|trial| place(&trial.outcome));
        let mut n_by_status = [0; 4];
        statuses.for_each(|place| n_by_status[place] += 1);
        let good = |place| good(points, &ranking, &within_noise, place);
        Self {
            goal,
            n_points: points.len(),
            n_trials: points.iter().map(|point| point.trials.len()).sum(),
            n_by_status,
            good: (0..search.settings().parameters.len()).map(good).collect(),
            ranking,
            within_noise,
            generations: generations(search),
            spared: wide.and_then(|wide| Spared::of(search, wide)),
        }
    }

    /// The best point's index.
    pub fn best(&self) -> Option<usize> {
        self.ranking.first().copied()
    }
}

fn within_noise(goal: Goal, best: &Point, other: &Point) -> Option<bool> {
    let costs = |point: &Point| -> Option<Vec<f64>> {
        Some(point.values_by_seed()?.into_iter().map(|value| goal.cost(value)).collect())
    };
    is_within(&costs(best)?, &costs(other)?)
}

fn place(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Completed { .. } => 0,
        Outcome::Diverged { .. } => 1,
        Outcome::TimedOut => 2,
        Outcome::Failed { .. } => 3,
    }
}

fn good(points: &[Point], ranking: &[usize], within_noise: &[Option<bool>], place: usize) -> Option<(f64, f64)> {
    let is_good = |rank: &usize| *rank == 0 || within_noise[*rank] == Some(true);
    let good = (0..ranking.len()).filter(is_good).map(|rank| &points[ranking[rank]].values[place]);
    let numbers = good.filter_map(|value| match value {
        Value::Number(number) => Some(*number),
        Value::Choice(_) => None,
    });
    numbers.fold(None, |range, number| {
        let (low, high) = range.unwrap_or((number, number));
        Some((low.min(number), high.max(number)))
    })
}

fn generations(search: &Search) -> Option<(usize, bool)> {
    let Strategy::CrossEntropy { settings, .. } = search.settings().strategy else { return None };
    let parameters = &search.settings().parameters;
    let (distributions, n_generations) = settings.distributions(parameters, &search.tried());
    Some((n_generations, settings.has_converged(parameters, &distributions)))
}

impl Spared {
    fn of(search: &Search, wide: &Wide) -> Option<Self> {
        let settings = search.settings();
        let place = settings.parameters.iter().position(|parameter| parameter.name() == wide.parameter)?;
        let &Domain::Range { low, high, axis: Axis::Log } = settings.parameters[place].domain() else { return None };
        let decades = |low: f64, high: f64| (high.log10() - low.log10()).max(0.0);
        let (searched_decades, wide_decades) = (decades(low, high), decades(wide.low, wide.high));
        let outside_decades = decades(low, wide.low.min(high)) + decades(wide.high.max(low), high);
        let n = search.points().len() as f64;
        let ratio = wide_decades / searched_decades;
        let points = match settings.strategy {
            Strategy::Random { .. } => n * ratio,
            Strategy::Grid(ref points) => n * grid_ratio(points, &settings.parameters, place, wide_decades),
            Strategy::CrossEntropy { settings: CrossEntropy { population, .. }, .. } => {
                let first = n.min(population as f64);
                first * ratio + (n - first)
            }
        };
        let wide_trials = points * settings.n_seeds as f64;
        Some(Self { searched_decades, wide_decades, outside_decades, wide_trials })
    }
}

/// How many times more values a parameter has in a grid of the same spacing over the wide range.
fn grid_ratio(points: &[Vec<Value>], parameters: &[Parameter], place: usize, wide_decades: f64) -> f64 {
    let mut coordinates: Vec<f64> = points.iter().map(|point| parameters[place].coordinate(&point[place])).collect();
    coordinates.sort_by(f64::total_cmp);
    coordinates.dedup_by(|a, b| (*a - *b).abs() < 1e-9);
    let (Some(first), Some(last)) = (coordinates.first(), coordinates.last()) else { return 1.0 };
    let n_steps = (coordinates.len() - 1) as f64;
    if n_steps == 0.0 {
        return 1.0;
    }
    let spacing = (last - first) / n_steps;
    ((wide_decades / spacing).round() + 1.0) / (n_steps + 1.0)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::engine::{Event, Settings};
    use crate::grid::even;
    use crate::metric::Metric;
    use crate::template::Template;

    fn summary(strategy: impl Fn(&[Parameter]) -> Strategy, command: &str, n_seeds: u64) -> (Summary, Vec<Point>) {
        let parameters: Vec<Parameter> = vec!["epsilon:1e-5..1e-2".parse().unwrap()];
        let settings = Settings {
            template: Template::new(command, &parameters).unwrap(),
            strategy: strategy(&parameters),
            parameters,
            metric: Metric::new("acc", Goal::Maximize).unwrap(),
            seed: 0,
            n_seeds,
            timeout: None,
            output_bytes: 1 << 20,
        };
        let dir = tempfile::tempdir().unwrap();
        let mut search = Search::open(dir.path(), settings).unwrap();
        search.run(2, &AtomicBool::new(false), &mut |_: Event<'_>| {}).unwrap();
        let wide = Wide { parameter: "epsilon".to_owned(), low: 1e-8, high: 1e-3 };
        (Summary::of(&search, Some(&wide)), search.points().to_vec())
    }

    /// Best at 1e-3, less by as much for every seed at 1e-4; 1e-2 diverges.
    const COMMAND: &str = "\
        case {epsilon} in 1e-5) a=0;; 1e-4) a=0.9{seed};; 0.001) a=1.0{seed};; *) a=nan;; esac; echo acc=$a";

    #[test]
    fn the_best_what_is_as_good_and_what_was_spared() {
        let grid = |parameters: &[Parameter]| Strategy::grid(&[even(&parameters[0], None)]);
        let (found, points) = summary(grid, COMMAND, 3);
        assert_eq!((found.n_points, found.n_trials, found.n_by_status), (4, 12, [9, 3, 0, 0]), "{points:?}");
        assert_eq!((found.best(), &found.ranking[..]), (Some(2), &[2, 1, 0][..]));
        assert_eq!(found.within_noise, [Some(true), Some(false), Some(false)]);
        assert_eq!(found.good, [Some((1e-3, 1e-3))]);
        let spared = found.spared.unwrap();
        assert!((spared.searched_decades - 3.0).abs() < 1e-9 && (spared.wide_decades - 5.0).abs() < 1e-9);
        assert!((spared.outside_decades - 1.0).abs() < 1e-9);
        // Six powers of ten instead of four, three seeds each.
        assert!((spared.wide_trials - 18.0).abs() < 1e-9, "{spared:?}");
    }

    #[test]
    fn random_points_are_spared_by_the_ratio_of_widths() {
        let (found, _) = summary(|_| Strategy::Random { points: 6 }, "echo acc=1", 1);
        assert!((found.spared.unwrap().wide_trials - 10.0).abs() < 1e-9);
        assert_eq!((found.within_noise[1], found.best()), (None, Some(0)));
    }

    #[test]
    fn of_the_method_the_first_generation_alone_is_spread_wider() {
        let settings = CrossEntropy { population: 4, ..CrossEntropy::default() };
        let (found, _) = summary(|_| Strategy::CrossEntropy { settings, max_points: 6 }, "echo acc=1", 2);
        assert!((found.spared.unwrap().wide_trials - 2.0 * (4.0 * 5.0 / 3.0 + 2.0)).abs() < 1e-9);
        assert_eq!(found.generations.unwrap().0, 1);
        assert!(found.within_noise.iter().all(|within| *within == Some(true)));
    }
}
