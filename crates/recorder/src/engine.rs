//! Where gradients are counted: on the host in one pass ([`crate::host`]), or on the device by libtorch operations
//! ([`crate::device`]).

use epsiloscope_format::Observation;
use epsiloscope_recording::Wanted;
use tch::{TchError, Tensor};

use crate::moments_file::TensorMoments;

/// Observes gradients, which are dense and of type `f32`.
pub(crate) trait Engine {
    /// Takes the gradients, where there are such, of all tensors in the order of the plan.
    ///
    /// # Errors
    /// libtorch's, with the index of the tensor.
    fn take(&mut self, gradients: &[Option<Tensor>], wanted: Wanted) -> Result<(), (usize, TchError)>;

    /// What was wanted since the last call, in any order.
    fn collect(&mut self) -> Result<Vec<Observation>, TchError>;

    /// The moments as they are, tensor by tensor, optimizer by optimizer.
    fn moments(&self) -> Result<Vec<Vec<TensorMoments>>, TchError>;
}
