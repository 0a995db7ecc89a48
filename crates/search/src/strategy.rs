//! Which points to try next.

use epsiloscope_format::digest;

use crate::cross_entropy::CrossEntropy;
use crate::error::SearchError;
use crate::grid::product;
use crate::parameter::{Parameter, Value};
use crate::random::Stream;

/// Tells its random streams from those of other strategies.
const SUBJECT: u64 = 0;
/// More points than anybody waits for.
const MAX_POINTS: usize = 1_000_000;

/// How points are chosen: a function of what was tried, of nothing else.
#[derive(Clone, Debug, PartialEq)]
pub enum Strategy {
    /// Points of a list, in its order; a value per parameter in each.
    Grid(Vec<Vec<Value>>),
    /// Points spread evenly at random on every axis.
    Random {
        /// How many.
        points: usize,
    },
    /// See [`CrossEntropy`].
    CrossEntropy {
        /// Its settings.
        settings: CrossEntropy,
        /// It ends here even if it has not converged.
        max_points: usize,
    },
}

/// A point and what it is worth: the smaller, the better; nothing if it has no value.
#[derive(Clone, Debug, PartialEq)]
pub struct Tried {
    pub(crate) values: Vec<Value>,
    pub(crate) cost: Option<f64>,
}

impl Strategy {
    /// The grid of all combinations of some values of each parameter, the last parameter changing first.
    pub fn grid(columns: &[Vec<Value>]) -> Self {
        Self::Grid(product(columns))
    }

    /// The name in commands.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Grid(_) => "grid",
            Self::Random { .. } => "random",
            Self::CrossEntropy { .. } => "cross-entropy",
        }
    }

    /// How many points there will be at most.
    pub fn max_points(&self) -> usize {
        match self {
            Self::Grid(points) => points.len(),
            Self::Random { points: n } | Self::CrossEntropy { max_points: n, .. } => *n,
        }
    }

    pub(crate) fn check(&self) -> Result<(), SearchError> {
        if !(1..=MAX_POINTS).contains(&self.max_points()) {
            return Err(SearchError::Strategy(format!("{} points: expected 1 to {MAX_POINTS}", self.max_points())));
        }
        match self {
            Self::CrossEntropy { settings, .. } => settings.check(),
            Self::Grid(_) | Self::Random { .. } => Ok(()),
        }
    }

    /// What makes it another search; the number of points does not, so that a finished search can be taken further.
    pub(crate) fn identity(&self, parameters: &[Parameter]) -> String {
        match self {
            Self::Grid(points) => {
                let texts = points.iter().map(|point| texts(parameters, point).join(" ")).collect::<Vec<_>>();
                format!("grid of {} points, {}", points.len(), digest(texts.join("\n").as_bytes()))
            }
            Self::Random { .. } => "random".to_owned(),
            Self::CrossEntropy { settings: CrossEntropy { population, elite, smoothing, tolerance }, .. } => {
                format!(
                    "cross-entropy, {population} candidates, {elite} elite, smoothing {smoothing}, tolerance {tolerance}"
                )
            }
        }
    }

    /// The next batch, whose points do not depend on each other's values; none at the end.
    pub(crate) fn next(&self, parameters: &[Parameter], seed: u64, tried: &[Tried]) -> Vec<Vec<Value>> {
        let n_left = self.max_points().saturating_sub(tried.len());
        let mut batch = match self {
            Self::Grid(points) => points.get(tried.len()..).unwrap_or_default().to_vec(),
            Self::Random { points } => (tried.len()..*points).map(|index| drawn(parameters, seed, index)).collect(),
            Self::CrossEntropy { settings, .. } => settings.next(parameters, seed, tried),
        };
        batch.truncate(n_left);
        batch
    }
}

fn drawn(parameters: &[Parameter], seed: u64, index: usize) -> Vec<Value> {
    let mut stream = Stream::new(seed, [SUBJECT, index as u64]);
    let value = |parameter: &Parameter| {
        let share = stream.uniform();
        match (parameter.ends(), parameter.domain()) {
            (Some((low, high)), _) => parameter.value_at(low + share * (high - low)),
            (None, crate::parameter::Domain::Choices(choices)) => parameter.value_at(share * choices.len() as f64),
            (None, crate::parameter::Domain::Range { .. }) => unreachable!("a range has ends"),
        }
    };
    parameters.iter().map(value).collect()
}

/// A point as it is written into commands.
pub(crate) fn texts(parameters: &[Parameter], values: &[Value]) -> Vec<String> {
    parameters.iter().zip(values).map(|(parameter, value)| parameter.text(value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters() -> Vec<Parameter> {
        ["epsilon:1e-8..1e-1", "dropout:0..0.5", "beta2:a,b"].iter().map(|text| text.parse().unwrap()).collect()
    }

    fn next(of: &Strategy, seed: u64, tried: &[Tried]) -> Vec<String> {
        let parameters = parameters();
        of.next(&parameters, seed, tried).iter().map(|point| texts(&parameters, point).join(" ")).collect()
    }

    /// Whatever changes these changes the points that a seed stands for, and interrupted searches could not go on.
    #[test]
    fn the_sequences_of_a_seed_are_golden() {
        let random = next(&Strategy::Random { points: 3 }, 1, &[]);
        let settings = CrossEntropy::default();
        let method = next(&Strategy::CrossEntropy { settings, max_points: 3 }, 1, &[]);
        assert_eq!(random, ["0.00955827 0.475394 a", "0.0260231 0.198345 a", "9.64736e-4 0.0907131 a"]);
        assert_eq!(method, ["2.75707e-6 0.31328 a", "0.00811549 0.005146 b", "7.33406e-8 0.169683 b"]);
    }

    #[test]
    fn more_points_extend_a_random_search() {
        let few = next(&Strategy::Random { points: 5 }, 4, &[]);
        let many = next(&Strategy::Random { points: 50 }, 4, &[]);
        assert_eq!(few, many[..5]);
        let nothing = Tried { values: Vec::new(), cost: None };
        assert_eq!(next(&Strategy::Random { points: 50 }, 4, &vec![nothing; 5]), many[5..]);
    }

    #[test]
    fn settings_outside_their_range_are_refused() {
        let wrong = [
            CrossEntropy { population: 3, ..CrossEntropy::default() },
            CrossEntropy { elite: 0.0, ..CrossEntropy::default() },
            CrossEntropy { smoothing: 1.1, ..CrossEntropy::default() },
            CrossEntropy { tolerance: f64::NAN, ..CrossEntropy::default() },
        ];
        for settings in wrong {
            let fault = Strategy::CrossEntropy { settings, max_points: 10 }.check();
            assert!(matches!(fault, Err(SearchError::Setting { .. })), "{settings:?}");
        }
        assert!(Strategy::Random { points: 0 }.check().is_err());
    }
}
