//! Where gradients are counted: on the host in one pass ([`crate::host`]), or on the device by libtorch operations
//! ([`crate::device`]).

use std::sync::Arc;

use epsiloscope_format::{Elements, Observation};
use tch::{TchError, Tensor};

use crate::moments_file::TensorMoments;

/// What an engine has to know of a tensor; of one that another rank records, that there is nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct TensorPlan {
    /// Elements that this rank has.
    pub(crate) numel: usize,
    /// The first of them in the whole tensor.
    pub(crate) offset: i64,
    /// The recorded ones among them, counted from 0.
    pub(crate) elements: RecordedElements,
}

/// The elements whose values are recorded at every step.
#[derive(Clone, Debug, Default)]
pub(crate) enum RecordedElements {
    #[default]
    All,
    /// Ascending.
    Listed(Arc<[i64]>),
}

impl TensorPlan {
    /// The recorded elements as files call them; `None` if there is none.
    pub(crate) fn recorded(&self) -> Option<Elements> {
        match &self.elements {
            RecordedElements::All => Some(Elements::From(self.offset)),
            RecordedElements::Listed(elements) if elements.is_empty() => None,
            RecordedElements::Listed(elements) if self.offset == 0 => Some(Elements::Listed(Arc::clone(elements))),
            RecordedElements::Listed(elements) => {
                Some(Elements::Listed(elements.iter().map(|element| self.offset + element).collect()))
            }
        }
    }
}

/// The indices of quantities in the manifest.
#[derive(Clone, Debug)]
pub(crate) struct Quantities {
    pub(crate) gradient: usize,
    /// In the order of the optimizers.
    pub(crate) critical_epsilon: Vec<usize>,
}

/// What every engine is made of.
#[derive(Clone, Debug)]
pub(crate) struct EnginePlan {
    pub(crate) tensors: Vec<TensorPlan>,
    pub(crate) quantities: Quantities,
}

/// What is wanted of a gradient.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub(crate) struct Wanted {
    /// Its histogram, summary and recorded elements.
    pub(crate) gradient: bool,
    /// That the moments take the gradient.
    pub(crate) moments: bool,
    /// Histogram and summary of the critical ε that the moments then give; only together with `gradient`.
    pub(crate) critical_epsilon: bool,
    /// With them the critical ε of every element.
    pub(crate) elements: bool,
}

/// Observes gradients, which are dense and of type `f32`.
pub(crate) trait Engine {
    /// Takes the gradient, if there is one, of a tensor given by its index in the plan.
    fn take(&mut self, tensor: usize, gradient: Option<&Tensor>, wanted: Wanted) -> Result<(), TchError>;

    /// What was wanted since the last call, in any order.
    fn collect(&mut self) -> Result<Vec<Observation>, TchError>;

    /// The moments as they are, tensor by tensor, optimizer by optimizer.
    fn moments(&self) -> Result<Vec<Vec<TensorMoments>>, TchError>;
}
