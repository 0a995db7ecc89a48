//! What the recorder hands to the writer, step by step.

use std::ops::Range;
use std::sync::Arc;

use epsiloscope_histogram::{Histogram, Summary};

/// Everything recorded of one step.
#[derive(Clone, Debug, Default)]
pub struct StepRecord {
    /// Optimizer step, counted from 1.
    pub step: i64,
    /// The scalars that every step has.
    pub scalars: StepScalars,
    /// Others, by name, of which the first [`MAX_NAME_BYTES`](crate::MAX_NAME_BYTES) are kept.
    pub user_scalars: Vec<(String, f64)>,
    /// One per tensor and quantity, in ascending order of both.
    pub observations: Vec<Observation>,
}

/// The scalars of a step.
#[derive(Clone, Copy, Debug, Default)]
pub struct StepScalars {
    /// Pass over the data, counted from 1.
    pub epoch: Option<i32>,
    /// Microseconds since 1970, UTC.
    pub time_micros: i64,
    /// As the training loop computed it.
    pub loss: Option<f64>,
    /// Of this step.
    pub learning_rate: Option<f64>,
    /// Divided out of the recorded gradients.
    pub loss_scale: Option<f64>,
    /// Whether a scaled gradient was infinite or no number: the optimizer skips such a step.
    pub overflow: bool,
}

/// One quantity of one tensor at one step.
#[derive(Clone, Debug)]
pub struct Observation {
    /// Index into [`Manifest::tensors`](crate::Manifest::tensors).
    pub tensor: usize,
    /// Index into [`Manifest::quantities`](crate::Manifest::quantities).
    pub quantity: usize,
    /// Of every element.
    pub histogram: Histogram,
    /// Of every element.
    pub summary: Summary,
    /// Values of the recorded elements, if any.
    pub sample: Option<Sample>,
}

/// Values of some elements, signs included.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Which elements.
    pub elements: Elements,
    /// One value per element.
    pub values: Vec<f32>,
}

/// Indices into a flattened tensor, ascending.
#[derive(Clone, Debug)]
pub enum Elements {
    /// These; shared by every step.
    Listed(Arc<[i64]>),
    /// So many from this one on.
    From(i64),
}

impl Elements {
    /// Appends those of some positions.
    pub(crate) fn extend_into(&self, positions: Range<usize>, out: &mut Vec<i64>) {
        match self {
            Self::Listed(elements) => out.extend_from_slice(&elements[positions]),
            Self::From(first) => out.extend(positions.map(|position| first + position as i64)),
        }
    }
}
