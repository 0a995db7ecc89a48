//! What is counted of which tensors.

use std::sync::Arc;

use epsiloscope_format::{Elements, Observation, Sample};
use epsiloscope_moments::Observed;

/// What counting has to know of a tensor; of one that another rank records, that there is nothing.
#[derive(Clone, Debug, Default)]
pub struct TensorPlan {
    /// Elements that this rank has.
    pub numel: usize,
    /// The first of them in the whole tensor.
    pub offset: i64,
    /// The recorded ones among them, counted from 0.
    pub elements: RecordedElements,
}

/// The elements whose values are recorded at every step.
#[derive(Clone, Debug, Default)]
pub enum RecordedElements {
    /// Every one.
    #[default]
    All,
    /// Ascending.
    Listed(Arc<[i64]>),
}

impl TensorPlan {
    /// The recorded elements as files call them; `None` if there is none.
    pub fn recorded(&self) -> Option<Elements> {
        match &self.elements {
            RecordedElements::All => Some(Elements::From(self.offset)),
            RecordedElements::Listed(elements) if elements.is_empty() => None,
            RecordedElements::Listed(elements) if self.offset == 0 => Some(Elements::Listed(Arc::clone(elements))),
            RecordedElements::Listed(elements) => {
                Some(Elements::Listed(elements.iter().map(|element| self.offset + element).collect()))
            }
        }
    }

    /// The values of the recorded elements.
    pub(crate) fn values(&self, values: &[f32]) -> Vec<f32> {
        match &self.elements {
            RecordedElements::All => values.to_vec(),
            RecordedElements::Listed(elements) => elements.iter().map(|&element| values[element as usize]).collect(),
        }
    }
}

/// The indices of quantities in the manifest.
#[derive(Clone, Debug)]
pub struct Quantities {
    /// Of the gradient.
    pub gradient: usize,
    /// Of critical ε, in the order of the optimizers.
    pub critical_epsilon: Vec<usize>,
}

/// What everything that counts is made of.
#[derive(Clone, Debug)]
pub struct EnginePlan {
    /// In the order of the manifest.
    pub tensors: Vec<TensorPlan>,
    /// Where they stand in the manifest.
    pub quantities: Quantities,
}

/// What is wanted of a gradient.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Wanted {
    /// Its histogram, summary and recorded elements.
    pub gradient: bool,
    /// That the moments take the gradient.
    pub moments: bool,
    /// Histogram and summary of the critical ε that the moments then give.
    pub critical_epsilon: bool,
    /// With them the critical ε of every element.
    pub elements: bool,
}

/// An observation of what was counted of one quantity of one tensor.
pub fn observation(
    (tensor, quantity): (usize, usize),
    Observed { histogram, summary }: Observed,
    sample: Option<Sample>,
) -> Observation {
    Observation { tensor, quantity, histogram, summary, sample }
}
