//! What Python asks for, as JSON, and the options that it means.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use epsiloscope_analysis::limits::{self, Limit};
use epsiloscope_analysis::{
    CandidateOptions, Combination, EstimateOptions, HistogramOptions, Origin, ReadFrom, Scope, Window,
};
use epsiloscope_dataset::Options as DataSetOptions;
use epsiloscope_format::{GradientDefinition, Mode};
use epsiloscope_histogram::bins;
use epsiloscope_import::{Options as ImportOptions, optimizer_settings};
use epsiloscope_moments::Convention;
use pyo3::PyResult;
use pyo3::exceptions::PyValueError;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A request as `epsiloscope/_request.py` writes it down.
pub(super) fn read<T: DeserializeOwned>(request: &str) -> PyResult<T> {
    serde_json::from_str(request).map_err(|fault| PyValueError::new_err(format!("cannot ask: {fault}")))
}

/// Whose critical ε, at which decay rates.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whose {
    optimizer: Vec<String>,
    percentile: f64,
    beta1: Option<f64>,
    beta2: Option<f64>,
    from_: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Estimate {
    whose: Whose,
    at: String,
    per: String,
    combination: Vec<String>,
    confidence: f64,
    bootstrap: u32,
    seed: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Histogram {
    per: String,
    quantity: Vec<String>,
    window: String,
    bins_per_decade: u32,
    from_: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Candidates {
    whose: Whose,
    at: String,
    combination: String,
    epsilon: Vec<f64>,
    lr: Option<f64>,
    points: Option<u16>,
    per: String,
    range: String,
    view: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Analysis {
    whose: Whose,
    at: String,
    window: String,
}

/// What event files do not say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Import {
    every_step: bool,
    include: Vec<String>,
    exclude: Vec<String>,
    strip_prefix: String,
    strip_suffix: String,
    separator: String,
    optimizer: Option<String>,
    lr: Option<f64>,
    eps: Option<f64>,
    beta1: Option<f64>,
    beta2: Option<f64>,
    weight_decay: f64,
    coupled_weight_decay: f64,
    clipped: bool,
    unscaled: bool,
    accumulated_batches: u32,
    mode: Mode,
    steps_per_epoch: Option<i64>,
    labels: BTreeMap<String, String>,
}

/// Which table of candidates.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    Candidates,
    Narrowing,
}

impl Whose {
    fn options(&self, at: &str) -> PyResult<EstimateOptions> {
        let read_from = |from: &str| match from {
            "moments" => Ok(ReadFrom::Moments),
            "gradient" => Ok(ReadFrom::Gradients),
            _ => Err(refused("from_", format!("{from:?}: expected moments or gradient"))),
        };
        let (beta1, beta2) = decay_rates(self.beta1, self.beta2)?;
        Ok(EstimateOptions {
            at: parsed("at", at)?,
            beta1,
            beta2,
            read_from: self.from_.as_deref().map(read_from).transpose()?,
            percentile: within("percentile", self.percentile, limits::PERCENTILE)?,
            ..EstimateOptions::of_optimizers(&all_parsed::<Convention>("optimizer", &self.optimizer)?)
        })
    }
}

impl Estimate {
    pub(super) fn options(&self) -> PyResult<EstimateOptions> {
        let mut combinations: Vec<Combination> = all_parsed("combination", &self.combination)?;
        combinations.sort_unstable();
        combinations.dedup();
        Ok(EstimateOptions {
            scopes: vec![parsed("per", &self.per)?],
            combinations,
            confidence: within("confidence", self.confidence, limits::CONFIDENCE)?,
            bootstrap: self.bootstrap,
            seed: self.seed,
            ..self.whose.options(&self.at)?
        })
    }
}

impl Histogram {
    pub(super) fn options(&self) -> PyResult<HistogramOptions> {
        let origin = |from: &str| match from {
            "histograms" => Ok(Origin::Histograms),
            "magnitudes" => Ok(Origin::Magnitudes),
            _ => Err(refused("from_", format!("{from:?}: expected histograms or magnitudes"))),
        };
        if !bins::divides(self.bins_per_decade) {
            return Err(refused("bins_per_decade", format!("expected a divisor of {}", bins::BINS_PER_DECADE)));
        }
        Ok(HistogramOptions {
            scope: parsed("per", &self.per)?,
            window: parsed("window", &self.window)?,
            tensors: Vec::new(),
            quantities: self.quantity.clone(),
            bins_per_decade: self.bins_per_decade,
            origin: self.from_.as_deref().map(origin).transpose()?,
        })
    }
}

impl Candidates {
    pub(super) fn options(&self) -> PyResult<CandidateOptions> {
        let positive = |name: &'static str, number: f64| within(name, number, limits::POSITIVE);
        if !self.epsilon.is_empty() && self.points.is_some() {
            return Err(refused("points", "expected either points or values of epsilon"));
        }
        if self.points == Some(0) {
            return Err(refused("points", "expected a number above 0"));
        }
        Ok(CandidateOptions {
            estimate: self.whose.options(&self.at)?,
            scope: parsed::<Scope>("per", &self.per)?,
            combination: parsed("combination", &self.combination)?,
            epsilons: self.epsilon.iter().map(|&epsilon| positive("epsilon", epsilon)).collect::<PyResult<_>>()?,
            points: self.points.map(usize::from),
            learning_rate: self.lr.map(|rate| positive("lr", rate)).transpose()?,
            trial_range: parsed("range", &self.range)?,
        })
    }

    pub(super) fn view(&self) -> PyResult<View> {
        match self.view.as_str() {
            "candidates" => Ok(View::Candidates),
            "narrowing" => Ok(View::Narrowing),
            other => Err(refused("view", format!("{other:?}: expected candidates or narrowing"))),
        }
    }
}

impl Analysis {
    pub(super) fn options(&self) -> PyResult<DataSetOptions> {
        Ok(DataSetOptions::new(self.whose.options(&self.at)?, parsed::<Window>("window", &self.window)?))
    }
}

impl Import {
    pub(super) fn options(self) -> PyResult<ImportOptions> {
        if self.steps_per_epoch.is_some_and(|steps| steps < 1) {
            return Err(refused("steps_per_epoch", "expected a number above 0"));
        }
        let epsilon = self.eps.map(|epsilon| within("eps", epsilon, limits::NOT_NEGATIVE)).transpose()?;
        let learning_rate = self.lr.map(|rate| within("lr", rate, limits::POSITIVE)).transpose()?;
        let weight_decay = within("weight_decay", self.weight_decay, limits::NOT_NEGATIVE)?;
        let decay_rates = decay_rates(self.beta1, self.beta2)?;
        Ok(ImportOptions {
            optimizer: optimizer_settings(self.optimizer.as_deref(), epsilon, learning_rate, weight_decay, decay_rates),
            mode: self.mode,
            gradient: GradientDefinition {
                accumulated_batches: self.accumulated_batches,
                unscaled: self.unscaled,
                clipped: self.clipped,
                coupled_weight_decay: within("coupled_weight_decay", self.coupled_weight_decay, limits::NOT_NEGATIVE)?,
            },
            labels: self.labels,
            include: self.include,
            exclude: self.exclude,
            strip_prefix: self.strip_prefix,
            strip_suffix: self.strip_suffix,
            separator: self.separator,
            every_step: self.every_step,
            steps_per_epoch: self.steps_per_epoch,
            ..ImportOptions::default()
        })
    }
}

fn decay_rates(beta1: Option<f64>, beta2: Option<f64>) -> PyResult<(Option<f64>, Option<f64>)> {
    let rate = |option, rate: Option<f64>| rate.map(|rate| within(option, rate, limits::DECAY_RATE)).transpose();
    Ok((rate("beta1", beta1)?, rate("beta2", beta2)?))
}

fn refused(option: &str, reason: impl Display) -> pyo3::PyErr {
    PyValueError::new_err(format!("{option}: {reason}"))
}

fn parsed<T: FromStr<Err: Display>>(option: &str, text: &str) -> PyResult<T> {
    text.parse().map_err(|fault| refused(option, fault))
}

fn all_parsed<T: FromStr<Err: Display>>(option: &str, texts: &[String]) -> PyResult<Vec<T>> {
    texts.iter().map(|text| parsed(option, text)).collect()
}

fn within(option: &str, number: f64, limit: Limit) -> PyResult<f64> {
    limit.check(number).map_err(|fault| refused(option, format!("{number}: {fault}")))
}
