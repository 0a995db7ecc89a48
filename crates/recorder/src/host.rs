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
    /// Counts on as many threads as libtorch computes on.
    pub(crate) fn new(plan: EnginePlan, moments: Vec<Vec<Moments>>) -> Self {
        Self(HostCounter::new(plan, moments, usize::try_from(tch::get_num_threads()).unwrap_or(1)))
    }
}

impl Engine for HostEngine {
    fn take(&mut self, gradients: &[Option<Tensor>], wanted: Wanted) -> Result<(), (usize, TchError)> {
        let on_host = |(index, gradient): (usize, &Option<Tensor>)| {
            let moved = gradient.as_ref().map(|gradient| gradient.f_to_device(Device::Cpu)?.f_contiguous());
            moved.transpose().map_err(|fault| (index, fault))
        };
        let gradients: Result<Vec<Option<Tensor>>, _> = gradients.iter().enumerate().map(on_host).collect();
        let gradients = gradients?;
        self.0.take(gradients.iter().map(|gradient| gradient.as_ref().map(values)).enumerate(), wanted);
        Ok(())
    }

    fn collect(&mut self) -> Result<Vec<Observation>, TchError> {
        Ok(self.0.collect())
    }

    fn moments(&self) -> Result<Vec<Vec<TensorMoments>>, TchError> {
        Ok(self.0.moments().iter().map(|moments| moments.iter().map(TensorMoments::of).collect()).collect())
    }
}

/// A tensor's elements where they lie.
///
/// # Panics
/// If it is not a contiguous tensor of `f32` on the CPU.
fn values(tensor: &Tensor) -> &[f32] {
    assert!(
        tensor.device() == Device::Cpu && tensor.kind() == Kind::Float && tensor.is_contiguous(),
        "expected contiguous floats on the CPU"
    );
    let numel = tensor.numel();
    if numel == 0 {
        return &[];
    }
    #[expect(unsafe_code, reason = "reading gradients where they are spares a copy of all of them")]
    // SAFETY: a contiguous tensor of `numel` floats on the CPU has them from `data_ptr` on, as long as it lives; and nobody
    // writes to a gradient between `backward` and the optimizer's step, when the recorder runs.
    unsafe {
        std::slice::from_raw_parts(tensor.data_ptr().cast::<f32>(), numel)
    }
}
