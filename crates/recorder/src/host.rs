//! Counting on the CPU, in place where libtorch has a gradient as contiguous floats.

use epsiloscope_format::Observation;
use epsiloscope_moments::Moments;
use epsiloscope_recording::{EnginePlan, HostCounter, Wanted};
use tch::{Device, Kind, TchError, Tensor};

use crate::engine::Engine;
use crate::moments_file::TensorMoments;

/// The engine for gradients on the CPU.
pub(crate) struct HostEngine(HostCounter);

impl HostEngine {
    pub(crate) fn new(plan: EnginePlan, moments: Vec<Vec<Moments>>) -> Self {
        Self(HostCounter::new(plan, moments))
    }
}

impl Engine for HostEngine {
    fn take(&mut self, tensor: usize, gradient: Option<&Tensor>, wanted: Wanted) -> Result<(), TchError> {
        let Some(gradient) = gradient else {
            self.0.take(tensor, None, wanted);
            return Ok(());
        };
        let gradient = gradient.f_to_device(Device::Cpu)?.f_contiguous()?;
        with_values(&gradient, |values| self.0.take(tensor, Some(values), wanted));
        Ok(())
    }

    fn collect(&mut self) -> Result<Vec<Observation>, TchError> {
        Ok(self.0.collect())
    }

    fn moments(&self) -> Result<Vec<Vec<TensorMoments>>, TchError> {
        Ok(self.0.moments().iter().map(|moments| moments.iter().map(TensorMoments::of).collect()).collect())
    }
}

/// Hands over a tensor's elements where they lie.
///
/// # Panics
/// If it is not a contiguous tensor of `f32` on the CPU.
fn with_values<T>(tensor: &Tensor, take: impl FnOnce(&[f32]) -> T) -> T {
    assert!(
        tensor.device() == Device::Cpu && tensor.kind() == Kind::Float && tensor.is_contiguous(),
        "expected contiguous floats on the CPU"
    );
    let numel = tensor.numel();
    if numel == 0 {
        return take(&[]);
    }
    #[expect(unsafe_code, reason = "reading gradients where they are spares a copy of all of them")]
    // SAFETY: a contiguous tensor of `numel` floats on the CPU has them from `data_ptr` on. It stays alive during the
    // call; and nobody writes to a gradient between `backward` and the optimizer's step, when the recorder runs.
    let values = unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast::<f32>(), numel) };
    take(values)
}
