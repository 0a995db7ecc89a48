//! Counting on the CPU: one pass over each gradient, in place where libtorch has it as contiguous floats.

use epsiloscope_format::{Elements, Observation, Sample};
use epsiloscope_moments::{Moments, Observed, Observer};
use tch::{Device, Kind, TchError, Tensor};

use crate::engine::{Engine, EnginePlan, RecordedElements, TensorPlan, Wanted};
use crate::moments_file::TensorMoments;

/// The engine for gradients on the CPU.
pub(crate) struct HostEngine {
    plan: EnginePlan,
    /// Tensor by tensor, one per optimizer.
    moments: Vec<Vec<Moments>>,
    observer: Observer,
    observations: Vec<Observation>,
}

impl HostEngine {
    pub(crate) fn new(plan: EnginePlan, moments: Vec<Vec<Moments>>) -> Self {
        Self { plan, moments, observer: Observer::new(), observations: Vec::new() }
    }

    fn take_values(&mut self, tensor: usize, values: &[f32], wanted: Wanted) -> Vec<Observed> {
        let moments = &mut self.moments[tensor][..];
        if !wanted.gradient {
            for moments in moments.iter_mut().filter(|_| wanted.moments) {
                moments.update(0, values);
                moments.end_step();
            }
            return Vec::new();
        }
        let updated = if wanted.moments { moments } else { &mut [] };
        let (gradient, critical) = self.observer.observe(values, updated, wanted.critical_epsilon);
        let plan = &self.plan.tensors[tensor];
        let sample = plan.recorded().map(|elements| Sample { elements, values: recorded(plan, values) });
        self.observations.push(observation((tensor, self.plan.quantities.gradient), gradient, sample));
        critical
    }

    /// Takes critical ε that were observed as the moments were updated; without those, of the moments as they are.
    fn take_critical_epsilons(&mut self, tensor: usize, observed: Vec<Observed>, wanted: Wanted) {
        let mut observed = observed.into_iter();
        for (index, moments) in self.moments[tensor].iter().enumerate().filter(|(_, moments)| moments.steps() > 0) {
            let first = Elements::From(self.plan.tensors[tensor].offset);
            let of_moments = || self.observer.observe(&moments.critical_epsilon(), &mut [], false).0;
            let observed = observed.next().unwrap_or_else(of_moments);
            let sample = wanted.elements.then(|| Sample { elements: first, values: moments.critical_epsilon() });
            let quantity = self.plan.quantities.critical_epsilon[index];
            self.observations.push(observation((tensor, quantity), observed, sample));
        }
    }
}

impl Engine for HostEngine {
    fn take(&mut self, tensor: usize, gradient: Option<&Tensor>, wanted: Wanted) -> Result<(), TchError> {
        let observed = match gradient {
            Some(gradient) => {
                let gradient = gradient.f_to_device(Device::Cpu)?.f_contiguous()?;
                with_values(&gradient, |values| self.take_values(tensor, values, wanted))
            }
            None => Vec::new(),
        };
        if wanted.critical_epsilon {
            self.take_critical_epsilons(tensor, observed, wanted);
        }
        Ok(())
    }

    fn collect(&mut self) -> Result<Vec<Observation>, TchError> {
        Ok(std::mem::take(&mut self.observations))
    }

    fn moments(&self) -> Result<Vec<Vec<TensorMoments>>, TchError> {
        Ok(self.moments.iter().map(|moments| moments.iter().map(TensorMoments::of).collect()).collect())
    }
}

pub(crate) fn observation(
    (tensor, quantity): (usize, usize),
    Observed { histogram, summary }: Observed,
    sample: Option<Sample>,
) -> Observation {
    Observation { tensor, quantity, histogram, summary, sample }
}

fn recorded(plan: &TensorPlan, values: &[f32]) -> Vec<f32> {
    match &plan.elements {
        RecordedElements::All => values.to_vec(),
        RecordedElements::Listed(elements) => elements.iter().map(|&element| values[element as usize]).collect(),
    }
}

/// Hands over a tensor's elements where they lie.
///
/// # Panics
/// If it is not a contiguous tensor of `f32` on the CPU.
pub(crate) fn with_values<T>(tensor: &Tensor, take: impl FnOnce(&[f32]) -> T) -> T {
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
