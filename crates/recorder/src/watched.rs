//! A trainable tensor, and what becomes of its gradient before it is counted.

use std::collections::BTreeSet;

use epsiloscope_recording::Planned;
use tch::nn::VarStore;
use tch::{Device, Kind, TchError, Tensor};

use crate::error::RecorderError;

/// One tensor that is recorded.
pub(crate) struct Watched {
    pub(crate) name: String,
    parameter: Tensor,
    numel: usize,
    /// Whether this rank is the one to record it.
    is_own: bool,
}

/// The tensors of a variable store that may be trained, those that are frozen at present included, in ascending order
/// of their names; a tensor of several names under the first of them.
///
/// Tensors without elements, as ranks may have of a shard, lie nowhere: all of them count as trainable.
pub(crate) fn trainable(var_store: &VarStore) -> Vec<(String, Tensor)> {
    let place = |tensor: &Tensor| (tensor.data_ptr() as usize, tensor.numel());
    let mut places: BTreeSet<_> = var_store.trainable_variables().iter().map(place).collect();
    let mut named: Vec<_> = var_store.variables().into_iter().collect();
    named.sort_by(|(a, _), (b, _)| a.cmp(b));
    named.retain(|(_, tensor)| tensor.numel() == 0 || places.remove(&place(tensor)));
    named
}

/// What is done to every gradient, by libtorch, before it is counted.
pub(crate) struct Preparation {
    /// The coefficient of coupled weight decay, a tensor without dimensions; `None` if there is none.
    pub(crate) weight_decay: Option<Tensor>,
    /// What undoes a loss scale that the gradients still carry.
    pub(crate) inverse_scale: Option<f64>,
}

impl Watched {
    pub(crate) fn new(Planned { name, numel, is_own }: Planned, parameter: Tensor) -> Self {
        Self { name, parameter, numel, is_own }
    }

    pub(crate) fn device(&self) -> Device {
        self.parameter.device()
    }

    /// What enters the optimizer's moments, as dense floats where the gradient is; `None` where there is no gradient,
    /// the tensor is frozen, or another rank's to record.
    ///
    /// # Errors
    /// [`RecorderError::Resized`] and [`RecorderError::Torch`].
    pub(crate) fn gradient(&self, preparation: &Preparation) -> Result<Option<Tensor>, RecorderError> {
        let torch = |source| RecorderError::Torch { tensor: self.name.clone(), source };
        if !self.is_own || !self.parameter.requires_grad() {
            return Ok(None);
        }
        let gradient = self.parameter.f_grad().map_err(torch)?;
        if !gradient.defined() {
            return Ok(None);
        }
        let found = if gradient.is_sparse() { self.parameter.numel() } else { gradient.numel() };
        if found != self.numel {
            return Err(RecorderError::Resized { tensor: self.name.clone(), found, expected: self.numel });
        }
        self.prepared(&gradient, preparation).map(Some).map_err(torch)
    }

    fn prepared(&self, gradient: &Tensor, preparation: &Preparation) -> Result<Tensor, TchError> {
        let mut gradient = gradient.f_detach()?;
        if gradient.is_sparse() {
            // Entries of the same index add up.
            gradient = gradient.f_to_dense(None::<Kind>, false)?;
        }
        if let Some(inverse_scale) = preparation.inverse_scale {
            // Floats of half the width may not reach as low as the unscaled value.
            let kind = if gradient.kind() == Kind::Double { Kind::Double } else { Kind::Float };
            gradient = gradient.f_to_kind(kind)?.f_mul_scalar(inverse_scale)?;
        }
        if let Some(weight_decay) = &preparation.weight_decay {
            // g + w·p, rounded as `grad.add(p, alpha=w)` rounds it: 1·p·w is exact until it is added.
            gradient = gradient.f_addcmul(&self.parameter.f_detach()?, weight_decay)?;
        }
        gradient.f_to_kind(Kind::Float)
    }
}
