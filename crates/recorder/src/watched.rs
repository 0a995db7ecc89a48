//! A trainable tensor, how its gradient is read, and what is kept of it between steps.

use std::sync::Arc;

use epsiloscope_format::{MagnitudePolicy, Observation, Sample, TensorInfo};
use epsiloscope_histogram::{Counter, Summary};
use epsiloscope_moments::{Decay, Moments, Optimizer};
use tch::nn::VarStore;
use tch::{Kind, TchError, Tensor};

use crate::error::RecorderError;
use crate::sampling::recorded_elements;

/// One trainable tensor.
pub(crate) struct Watched {
    name: String,
    parameter: Tensor,
    numel: usize,
    /// The elements whose values are recorded, ascending.
    elements: Arc<[i64]>,
    /// Of every optimizer whose critical ε is wanted.
    moments: Vec<Moments>,
}

/// The tensors of a variable store that require a gradient now, in ascending order of their names.
pub(crate) fn trainable(var_store: &VarStore) -> Vec<(String, Tensor)> {
    let variables = var_store.variables().into_iter();
    let mut trainable: Vec<_> = variables.filter(|(_, tensor)| tensor.requires_grad()).collect();
    trainable.sort_by(|(a, _), (b, _)| a.cmp(b));
    trainable
}

impl Watched {
    pub(crate) fn new(
        (name, parameter): (String, Tensor),
        policy: MagnitudePolicy,
        optimizers: &[Optimizer],
        decay: Decay,
    ) -> Self {
        let numel = parameter.numel();
        let elements = recorded_elements(policy, &name, numel).into();
        let moments = optimizers.iter().map(|&optimizer| Moments::new(optimizer, decay, numel)).collect();
        Self { name, parameter, numel, elements, moments }
    }

    /// How the manifest describes it.
    pub(crate) fn info(&self) -> TensorInfo {
        TensorInfo {
            name: self.name.clone(),
            shape: self.parameter.size(),
            recorded_elements: self.elements.len() as u64,
        }
    }

    /// Copies into `values` what enters the optimizer's moments: the gradient, with coupled weight decay added.
    ///
    /// Returns whether there is a gradient at the present step; if not, `values` is left as it was.
    ///
    /// # Errors
    /// [`RecorderError::Resized`] and [`RecorderError::Torch`].
    pub(crate) fn read_gradient(
        &self,
        weight_decay: Option<&Tensor>,
        values: &mut Vec<f32>,
    ) -> Result<bool, RecorderError> {
        let torch = |source| RecorderError::Torch { tensor: self.name.clone(), source };
        let gradient = self.parameter.f_grad().map_err(torch)?;
        if !gradient.defined() {
            return Ok(false);
        }
        let found = gradient.numel();
        if found != self.numel {
            return Err(RecorderError::Resized { tensor: self.name.clone(), found, expected: self.numel });
        }
        values.resize(found, 0.0);
        let moved = self.with_weight_decay(&gradient, weight_decay).and_then(|total| {
            // Copies to the CPU and into row-major order where need be.
            total.f_to_kind(Kind::Float)?.f_copy_data(values, found)
        });
        moved.map(|()| true).map_err(torch)
    }

    /// g + w·p, rounded as `grad.add(p, alpha=w)` rounds it: 1·p·w is exact until it is added.
    fn with_weight_decay(&self, gradient: &Tensor, weight_decay: Option<&Tensor>) -> Result<Tensor, TchError> {
        match weight_decay {
            Some(weight_decay) => gradient.f_addcmul(&self.parameter, weight_decay),
            None => gradient.f_detach(),
        }
    }

    /// Takes a step's gradient into the moments. A step without gradient takes none: optimizers skip the tensor, too.
    pub(crate) fn update_moments(&mut self, gradient: &[f32]) {
        for moments in &mut self.moments {
            moments.update(0, gradient);
            moments.end_step();
        }
    }

    /// The values of the recorded elements.
    pub(crate) fn sample(&self, values: &[f32]) -> Option<Sample> {
        let values = || self.elements.iter().map(|&element| values[element as usize]).collect();
        (!self.elements.is_empty()).then(|| Sample { elements: self.elements.clone(), values: values() })
    }

    /// The critical ε of every element, per optimizer; none before the first gradient.
    pub(crate) fn critical_epsilons(&self) -> impl Iterator<Item = (Optimizer, Vec<f32>)> {
        let started = self.moments.iter().filter(|moments| moments.steps() > 0);
        started.map(|moments| (moments.optimizer(), moments.critical_epsilon()))
    }
}

/// The observation of some values.
pub(crate) fn observe(
    (tensor, quantity): (usize, usize),
    values: &[f32],
    counter: &mut Counter,
    sample: Option<Sample>,
) -> Observation {
    counter.count(values);
    Observation { tensor, quantity, histogram: counter.take(), summary: Summary::of(values), sample }
}
