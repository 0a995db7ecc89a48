//! Bounds of ε along runs, as [drift](mod@crate::drift) and [spread](mod@crate::spread) take them: fresh from estimates,
//! or from a table that holds them already.

use epsiloscope_format::{Manifest, Mode};
use polars::prelude::*;

use crate::estimate::{Estimate, SearchSpace};

/// Which run, and which others it can be held against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunKeys {
    /// The run's name.
    pub name: String,
    /// [`Manifest::task`].
    pub task: String,
    /// [`Manifest::configuration`].
    pub configuration: String,
    /// [`Manifest::seed`].
    pub seed: Option<String>,
    /// Whether its weights moved.
    pub mode: Mode,
}

impl RunKeys {
    /// Of a run's manifest.
    pub fn of(manifest: &Manifest) -> Self {
        Self {
            name: manifest.run.clone(),
            task: manifest.task(),
            configuration: manifest.configuration(),
            seed: manifest.seed().map(str::to_owned),
            mode: manifest.mode,
        }
    }
}

/// What bounds are of, in the words of tables.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Of {
    /// The optimizer.
    pub optimizer: String,
    /// How its tensors' bounds were combined; `None` of a single tensor.
    pub combination: Option<String>,
    /// `tensor`, `layer`, `kind` or `run`.
    pub scope: String,
    /// The tensor's, layer's or kind's name.
    pub name: Option<String>,
}

/// The bounds of ε of one part of a run after one step.
#[derive(Clone, Debug, PartialEq)]
pub struct BoundsAt {
    /// The run.
    pub run: RunKeys,
    /// The part, and by which combination.
    pub of: Of,
    /// The step.
    pub step: i64,
    /// The lower bound, above 0.
    pub lower: f64,
    /// The upper bound.
    pub upper: f64,
}

impl BoundsAt {
    /// Every search space of a run's estimates.
    pub fn of_estimates(manifest: &Manifest, estimates: &[Estimate]) -> Vec<Self> {
        let run = RunKeys::of(manifest);
        let at = |(estimate, space): (&Estimate, &SearchSpace)| Self {
            run: run.clone(),
            of: Of {
                optimizer: estimate.optimizer.name().to_owned(),
                combination: space.combination.map(|combination| combination.name().to_owned()),
                scope: space.scope.name().to_owned(),
                name: space.name.clone(),
            },
            step: estimate.step,
            lower: space.lower.bound.value,
            upper: space.upper.bound.value,
        };
        estimates.iter().flat_map(|of| of.spaces.iter().map(move |space| (of, space))).map(at).collect()
    }
}

/// The rows of a table of estimates that has the columns `run`, `task`, `configuration`, `seed`, `mode`, `optimizer`,
/// `combination`, `scope`, `name`, `step`, `lower` and `upper`.
///
/// # Errors
/// If a column is missing, of another type, or null where only `seed`, `combination` and `name` may be.
pub fn bounds_along(estimates: &DataFrame) -> PolarsResult<Vec<BoundsAt>> {
    let texts = |name: &str| estimates.column(name)?.str();
    let numbers = |name: &str| estimates.column(name)?.f64();
    let [run, task, configuration, seed, mode] =
        [texts("run")?, texts("task")?, texts("configuration")?, texts("seed")?, texts("mode")?];
    let [optimizer, combination, scope, name] =
        [texts("optimizer")?, texts("combination")?, texts("scope")?, texts("name")?];
    let (step, lower, upper) = (estimates.column("step")?.i64()?, numbers("lower")?, numbers("upper")?);
    let text = |column: &StringChunked, row| column.get(row).map(str::to_owned);
    let at = |row: usize| {
        Some(BoundsAt {
            run: RunKeys {
                name: text(run, row)?,
                task: text(task, row)?,
                configuration: text(configuration, row)?,
                seed: text(seed, row),
                mode: if mode.get(row)? == Mode::Calibration.name() { Mode::Calibration } else { Mode::Monitoring },
            },
            of: Of {
                optimizer: text(optimizer, row)?,
                combination: text(combination, row),
                scope: text(scope, row)?,
                name: text(name, row),
            },
            step: step.get(row)?,
            lower: lower.get(row)?,
            upper: upper.get(row)?,
        })
    };
    let null = |row| move || PolarsError::NoData(format!("row {row} of the estimates lacks a value").into());
    (0..estimates.height()).map(|row| at(row).ok_or_else(null(row))).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Bounds of Adam over a whole run.
    pub(crate) fn bounds(name: &str, mode: Mode, seed: &str, step: i64, (lower, upper): (f64, f64)) -> BoundsAt {
        let run = RunKeys {
            name: name.to_owned(),
            task: "mlp-1".to_owned(),
            configuration: "mlp-adam-1".to_owned(),
            seed: Some(seed.to_owned()),
            mode,
        };
        let of = Of {
            optimizer: "adam".to_owned(),
            combination: Some("extremes".to_owned()),
            scope: "run".to_owned(),
            name: None,
        };
        BoundsAt { run, of, step, lower, upper }
    }

    #[test]
    fn a_table_holds_what_it_was_made_of() {
        let mut expected = vec![
            bounds("a", Mode::Calibration, "1", 4, (1e-5, 1e-2)),
            bounds("b", Mode::Monitoring, "2", 8, (2e-5, 3e-2)),
        ];
        expected[1].of.name = Some("fc.weight".to_owned());
        expected[1].run.seed = None;
        let column = |value: fn(&BoundsAt) -> Option<&str>| expected.iter().map(value).collect::<Vec<_>>();
        let table = df![
            "run" => column(|at| Some(&at.run.name)),
            "task" => column(|at| Some(&at.run.task)),
            "configuration" => column(|at| Some(&at.run.configuration)),
            "seed" => column(|at| at.run.seed.as_deref()),
            "mode" => column(|at| Some(at.run.mode.name())),
            "optimizer" => column(|at| Some(&at.of.optimizer)),
            "combination" => column(|at| at.of.combination.as_deref()),
            "scope" => column(|at| Some(&at.of.scope)),
            "name" => column(|at| at.of.name.as_deref()),
            "step" => [4i64, 8],
            "lower" => [1e-5, 2e-5],
            "upper" => [1e-2, 3e-2],
        ]
        .unwrap();
        assert_eq!(bounds_along(&table).unwrap(), expected);
        let without = table.drop("lower").unwrap();
        assert!(bounds_along(&without).is_err());
    }
}
