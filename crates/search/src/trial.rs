//! What came of a point.

use serde::{Deserialize, Serialize};

use crate::parameter::Value;

/// How a trial ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Outcome {
    /// With a value.
    Completed {
        /// The metric, finite.
        value: f64,
    },
    /// With a metric that is no finite number.
    Diverged {
        /// As it was printed.
        text: String,
    },
    /// It took too long and was ended.
    TimedOut,
    /// Without a metric, with an exit status other than 0, or by a signal.
    Failed {
        /// Which of these.
        reason: String,
    },
}

impl Outcome {
    /// The word in tables.
    pub fn status(&self) -> &'static str {
        match self {
            Self::Completed { .. } => "completed",
            Self::Diverged { .. } => "diverged",
            Self::TimedOut => "timed-out",
            Self::Failed { .. } => "failed",
        }
    }

    /// The metric, if there is one.
    pub fn value(&self) -> Option<f64> {
        match self {
            Self::Completed { value } => Some(*value),
            _ => None,
        }
    }

    /// What there is instead.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Diverged { text } => Some(text),
            Self::Failed { reason } => Some(reason),
            Self::Completed { .. } | Self::TimedOut => None,
        }
    }
}

/// One run of the command.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// Its seed.
    pub seed: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took; the only thing that differs when a search is repeated.
    pub elapsed_secs: f64,
}

/// A point and its trials, one per seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Its number, counted from 0 in the order of proposal.
    pub index: usize,
    /// A value per parameter.
    pub values: Vec<Value>,
    /// In the order of seeds.
    pub trials: Vec<Trial>,
}

impl Point {
    /// The mean over the seeds; `None` unless every one of them has a value: where a seed diverges, nobody wants to train.
    pub fn value(&self) -> Option<f64> {
        let values = self.values_by_seed()?;
        Some(values.iter().sum::<f64>() / values.len() as f64)
    }

    /// The standard deviation over the seeds, of n−1; `None` of a single one.
    pub fn spread(&self) -> Option<f64> {
        let (values, mean) = (self.values_by_seed()?, self.value()?);
        let n = values.len();
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        (1 < n).then(|| (squares / (n - 1) as f64).sqrt())
    }

    /// A value per seed, if there are all.
    pub(crate) fn values_by_seed(&self) -> Option<Vec<f64>> {
        let values: Option<Vec<f64>> = self.trials.iter().map(|trial| trial.outcome.value()).collect();
        values.filter(|values| !values.is_empty())
    }

    /// The worst of its trials' outcomes.
    pub fn outcome(&self) -> Option<&Outcome> {
        let badness = |outcome: &Outcome| match outcome {
            Outcome::Completed { .. } => 0,
            Outcome::Diverged { .. } => 1,
            Outcome::TimedOut => 2,
            Outcome::Failed { .. } => 3,
        };
        // The first of the worst.
        self.trials.iter().rev().map(|trial| &trial.outcome).max_by_key(|outcome| badness(outcome))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(outcomes: &[Outcome]) -> Point {
        let trial = |(seed, outcome): (usize, &Outcome)| Trial {
            seed: seed as u64,
            outcome: outcome.clone(),
            elapsed_secs: 1.0,
        };
        Point { index: 0, values: Vec::new(), trials: outcomes.iter().enumerate().map(trial).collect() }
    }

    #[test]
    fn a_point_is_worth_the_mean_if_every_seed_has_a_value() {
        let completed = |value| Outcome::Completed { value };
        let of = point(&[completed(1.0), completed(2.0), completed(6.0)]);
        assert_eq!((of.value(), of.spread()), (Some(3.0), Some(7f64.sqrt())));
        assert_eq!((point(&[completed(1.0)]).value(), point(&[completed(1.0)]).spread()), (Some(1.0), None));
        let diverged = Outcome::Diverged { text: "nan".to_owned() };
        let of = point(&[completed(1.0), diverged.clone(), completed(2.0)]);
        assert_eq!((of.value(), of.spread(), of.outcome()), (None, None, Some(&diverged)));
    }
}
