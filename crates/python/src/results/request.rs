//! What Python asks for, as JSON, and the options that it means.

use std::fmt::Display;
use std::str::FromStr;

use epsiloscope_analysis::limits::{self, Limit};
use epsiloscope_analysis::{
    CandidateOptions, Combination, EstimateOptions, HistogramOptions, Origin, ReadFrom, Scope, Window,
};
use epsiloscope_dataset::Options as DataSetOptions;
use epsiloscope_histogram::bins;
use epsiloscope_moments::Convention;
use pyo3::PyResult;
use pyo3::exceptions::PyValueError;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A request as `epsiloscope/_questions.py` writes it down.
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
        Ok(EstimateOptions {
            at: parsed("at", at)?,
            beta1: self.beta1.map(|rate| within("beta1", rate, limits::DECAY_RATE)).transpose()?,
            beta2: self.beta2.map(|rate| within("beta2", rate, limits::DECAY_RATE)).transpose()?,
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
