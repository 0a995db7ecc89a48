//! A trainable tensor, and what becomes of its gradient before it is counted.

use std::collections::BTreeSet;

use epsiloscope_format::TensorInfo;
use tch::nn::VarStore;
use tch::{Device, Kind, TchError, Tensor};

use crate::builder::Shard;
use crate::error::RecorderError;

/// One tensor that is recorded.
pub(crate) struct Watched {
    pub(crate) name: String,
    parameter: Tensor,
    /// Of the whole tensor, of which this rank may have a part.
    shape: Vec<i64>,
    /// How many elements of the whole are recorded.
    recorded_elements: u64,
    numel: usize,
}

/// The tensors of a variable store that may be trained, those that are frozen at present included, in ascending order
/// of their names; a tensor of several names under the first of them.
pub(crate) fn trainable(var_store: &VarStore) -> Vec<(String, Tensor)> {
    let place = |tensor: &Tensor| (tensor.data_ptr() as usize, tensor.numel());
    let mut places: BTreeSet<_> = var_store.trainable_variables().iter().map(place).collect();
    let mut named: Vec<_> = var_store.variables().into_iter().collect();
    named.sort_by(|(a, _), (b, _)| a.cmp(b));
    named.retain(|(_, tensor)| places.remove(&place(tensor)));
    named
}

/// What is done to every gradient, in libtorch and in the gradient's own type, before it is counted.
pub(crate) struct Preparation {
    /// The coefficient of coupled weight decay, a tensor without dimensions; `None` if there is none.
    pub(crate) weight_decay: Option<Tensor>,
    /// What undoes a loss scale that the gradients still carry.
    pub(crate) inverse_scale: Option<f64>,
}

impl Watched {
    pub(crate) fn new((name, parameter): (String, Tensor), shard: Option<&Shard>, recorded_elements: u64) -> Self {
        let shape = shard.map_or_else(|| parameter.size(), |shard| shard.shape.clone());
        let numel = parameter.numel();
        Self { name, parameter, shape, recorded_elements, numel }
    }

    /// How the manifest describes it.
    pub(crate) fn info(&self) -> TensorInfo {
        TensorInfo { name: self.name.clone(), shape: self.shape.clone(), recorded_elements: self.recorded_elements }
    }

    pub(crate) fn device(&self) -> Device {
        self.parameter.device()
    }

    /// What enters the optimizer's moments, as dense floats where the gradient is; `None` where there is no gradient,
    /// or the tensor is frozen.
    ///
    /// # Errors
    /// [`RecorderError::Resized`] and [`RecorderError::Torch`].
    pub(crate) fn gradient(&self, preparation: &Preparation) -> Result<Option<Tensor>, RecorderError> {
        let torch = |source| RecorderError::Torch { tensor: self.name.clone(), source };
        if !self.parameter.requires_grad() {
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
            gradient = gradient.f_mul_scalar(inverse_scale)?;
        }
        if let Some(weight_decay) = &preparation.weight_decay {
            // g + w·p, rounded as `grad.add(p, alpha=w)` rounds it: 1·p·w is exact until it is added.
            gradient = gradient.f_addcmul(&self.parameter.f_detach()?, weight_decay)?;
        }
        gradient.f_to_kind(Kind::Float)
    }
}

impl Shard {
    /// Checks that a local tensor of so many elements fits.
    pub(crate) fn check(&self, tensor: &str, local: usize) -> Result<(), RecorderError> {
        let numel = self.shape.iter().product();
        let end = self.offset + local as i64;
        if 0 <= self.offset && end <= numel {
            return Ok(());
        }
        Err(RecorderError::Shard { tensor: tensor.to_owned(), first: self.offset, end, numel })
    }
}
