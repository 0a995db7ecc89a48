//! What is typed, as what is searched.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use epsiloscope_analysis::Combination;
use epsiloscope_moments::{Convention, Optimizer};
use epsiloscope_search::{
    Axis, CrossEntropy, Domain, Goal, Metric, Parameter, Settings, Strategy, Template, Value, Wide, even,
};

use crate::search::space::{Asked, Point, Space, space};
use crate::search::{SearchArgs, StrategyName};

/// The name of ε where nobody gives another.
const EPSILON: &str = "epsilon";
/// Names that stand for each ε's matched learning rate when they stand alone.
const RATES: [&str; 2] = ["lr", "learning_rate"];
/// Points where nobody says how many.
const CROSS_ENTROPY_POINTS: usize = 60;
/// Likewise.
const RANDOM_POINTS: usize = 20;

/// What is searched, how, and what it is compared with.
pub(super) struct Plan {
    pub(super) settings: Settings,
    pub(super) wide: Option<Wide>,
    /// Whose ε.
    pub(super) optimizer: Convention,
}

/// What the parameters are made of.
#[derive(Default)]
struct Spaces {
    /// The parameter that is ε, if one is.
    epsilon: Option<Parameter>,
    /// Where its range comes from, if from runs.
    space: Option<Space>,
    /// The name of a learning rate that follows ε.
    matched: Option<String>,
}

impl Plan {
    pub(super) fn of(args: &SearchArgs) -> anyhow::Result<Self> {
        let spaces = Spaces::of(args)?;
        let combination = args.combination.combination;
        if spaces.space.is_none() && combination != Combination::Extremes {
            bail!("--combination {combination}: expected with --space of a run");
        }
        let parameters = spaces.parameters(args)?;
        let goal = if args.maximize { Goal::Maximize } else { Goal::Minimize };
        let settings = Settings {
            strategy: strategy(args, &spaces, &parameters)?,
            template: Template::new(&args.run, &parameters)?,
            metric: Metric::new(&args.metric, goal)?,
            parameters,
            seed: args.seed.into(),
            n_seeds: args.seeds.into(),
            timeout: args.timeout.map(Duration::try_from_secs_f64).transpose().context("--timeout")?,
            output_bytes: u64::from(args.max_output) << 20,
        };
        let of_space = spaces.space.as_ref().map(|space| space.optimizer);
        let optimizer = args.optimizer.or(of_space).unwrap_or_else(|| Optimizer::Adam.into());
        let (low, high) = args.range.ends(optimizer);
        let wide = spaces.epsilon.map(|epsilon| Wide { parameter: epsilon.name().to_owned(), low, high });
        Ok(Self { settings, wide, optimizer })
    }
}

impl Spaces {
    fn of(args: &SearchArgs) -> anyhow::Result<Self> {
        let bare = |name: &&String| !name.contains(':');
        let (rates, mut names): (Vec<&String>, Vec<&String>) =
            args.param.iter().filter(bare).partition(|name| is_rate(name));
        if let (false, Some(rate)) = (args.strategy == StrategyName::Grid, rates.first()) {
            bail!("--param {rate}: expected a range, such as {rate}:1e-4..1e-1; alone it follows ε in grids only");
        }
        let Some(text) = &args.space else {
            return match names.first().or(rates.first()) {
                Some(name) => bail!("--param {name}: expected a range, such as {name}:1e-6..1e-2, or --space"),
                None => Ok(Self::default()),
            };
        };
        let (range, space) = if let Some(range) = explicit(text)? {
            (range, None)
        } else {
            let space = space(text, Asked::of(args))?;
            let domain = Domain::Range { low: space.low, high: space.high, axis: Axis::Log };
            let name = names.first().map_or(EPSILON, |name| name.as_str());
            (Parameter::new(name, domain)?, Some(space))
        };
        names.retain(|name| *name != range.name());
        if let Some(other) = names.first() {
            bail!("--param {other}: expected a range; --space is that of {}", range.name());
        }
        Ok(Self { epsilon: Some(range), space, matched: rates.first().map(|rate| (*rate).clone()) })
    }

    /// In the order in which they were typed, ε first if it was not.
    fn parameters(&self, args: &SearchArgs) -> anyhow::Result<Vec<Parameter>> {
        let mut parameters = Vec::new();
        for text in &args.param {
            match &self.epsilon {
                Some(epsilon) if text == epsilon.name() => parameters.push(epsilon.clone()),
                _ if self.matched.as_ref() == Some(text) => parameters.push(self.matched_rates(text)?),
                _ => parameters.push(text.parse::<Parameter>()?),
            }
        }
        let named = |epsilon: &&Parameter| !parameters.iter().any(|of| of.name() == epsilon.name());
        if let Some(epsilon) = self.epsilon.as_ref().filter(named) {
            parameters.insert(0, epsilon.clone());
        }
        if parameters.is_empty() {
            bail!("nothing to search: expected --space, or --param with a range");
        }
        Ok(parameters)
    }

    /// The recommended grid, each ε with its learning rate.
    fn grid(&self) -> Option<&[Point]> {
        self.space.as_ref().map(|space| space.grid.as_slice()).filter(|grid| !grid.is_empty())
    }

    /// The learning rates of the recommended grid, as a parameter.
    fn matched_rates(&self, name: &str) -> anyhow::Result<Parameter> {
        let grid = self.grid();
        let grid =
            grid.with_context(|| format!("--param {name}: expected a range, or --space of one run, to match it with"))?;
        let unknown = || format!("--param {name}: expected a range, as the learning rate of --space is not known");
        let rates: Vec<f64> = grid.iter().map(|point| point.1).collect::<Option<_>>().with_context(unknown)?;
        let rates = || rates.iter().copied();
        let (low, high) = (rates().fold(f64::INFINITY, f64::min), rates().fold(0.0, f64::max));
        // One rate for every ε is no range.
        let high = if low < high { high } else { 10.0 * low };
        Ok(Parameter::new(name, Domain::Range { low, high, axis: Axis::Log })?)
    }
}

fn is_rate(name: &str) -> bool {
    RATES.contains(&name)
}

/// A range that is written out; a run may be called anything but that.
fn explicit(text: &str) -> anyhow::Result<Option<Parameter>> {
    if Path::new(text).exists() || !text.contains(':') || text.contains("://") {
        return Ok(None);
    }
    Ok(Some(text.parse::<Parameter>()?))
}

fn strategy(args: &SearchArgs, spaces: &Spaces, parameters: &[Parameter]) -> anyhow::Result<Strategy> {
    let points = |usual| args.trials.map_or(usual, |n| n as usize);
    if args.points.is_some() && args.strategy != StrategyName::Grid {
        bail!("--points: expected with --strategy grid; --trials says how many points others try");
    }
    if args.trials.is_some() && args.strategy == StrategyName::Grid {
        bail!("--trials: expected with another strategy; a grid has as many points as it has");
    }
    Ok(match args.strategy {
        StrategyName::Random | StrategyName::Optuna => Strategy::Random { points: points(RANDOM_POINTS) },
        StrategyName::Grid => grid(args, spaces, parameters),
        StrategyName::CrossEntropy => {
            let settings = CrossEntropy {
                population: args.population.into(),
                elite: args.elite,
                smoothing: args.smoothing,
                tolerance: args.tolerance,
            };
            Strategy::CrossEntropy { settings, max_points: points(CROSS_ENTROPY_POINTS) }
        }
    })
}

/// All combinations; a learning rate that follows ε has one value each.
fn grid(args: &SearchArgs, spaces: &Spaces, parameters: &[Parameter]) -> Strategy {
    let place_of = |name: Option<&str>| parameters.iter().position(|parameter| Some(parameter.name()) == name);
    let epsilon = place_of(spaces.epsilon.as_ref().map(Parameter::name));
    let matched = place_of(spaces.matched.as_deref());
    let recommended = spaces.grid();
    let known = |&(epsilon, rate): &Point| Some((epsilon, rate?));
    let rates: Vec<(f64, f64)> = recommended.into_iter().flatten().filter_map(known).collect();
    let column = |(place, parameter): (usize, &Parameter)| match recommended {
        Some(recommended) if Some(place) == epsilon => recommended.iter().map(|point| Value::Number(point.0)).collect(),
        Some(_) if Some(place) == matched => rates.first().map(|point| Value::Number(point.1)).into_iter().collect(),
        _ => even(parameter, args.points.map(usize::from)),
    };
    let columns: Vec<Vec<Value>> = parameters.iter().enumerate().map(column).collect();
    let mut grid = Strategy::grid(&columns);
    if let (Strategy::Grid(rows), Some(epsilon), Some(matched), Some(first)) =
        (&mut grid, epsilon, matched, rates.first())
    {
        for row in rows {
            let of = rates.iter().find(|point| row[epsilon] == Value::Number(point.0)).unwrap_or(first);
            row[matched] = Value::Number(of.1);
        }
    }
    grid
}
