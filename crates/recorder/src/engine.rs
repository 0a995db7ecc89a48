//! Where gradients are counted: on the host in one pass ([`crate::host`]), or on the device by libtorch operations
//! ([`crate::device`]).

use epsiloscope_format::Observation;
use epsiloscope_recording::Wanted;
use tch::{TchError, Tensor};

use crate::moments_file::TensorMoments;

/// Observes gradients, which are dense and of type `f32`.
pub(crate) trait Engine {
    /// Takes the gradient, if there is one, of a tensor given by its index in the plan.
    fn take(&mut self, tensor: usize, gradient: Option<&Tensor>, wanted: Wanted) -> Result<(), TchError>;

    /// What was wanted since the last call, in any order.
    fn collect(&mut self) -> Result<Vec<Observation>, TchError>;

    /// The moments as they are, tensor by tensor, optimizer by optimizer.
    fn moments(&self) -> Result<Vec<Vec<TensorMoments>>, TchError>;
}
