//! Counting where the gradients are, by libtorch operations alone: on a GPU only counts and recorded elements come back,
//! once per recorded step, and nothing waits for the GPU before that.
//!
//! Counts are those of the host's kernel bit for bit ([`epsiloscope_histogram::device`] explains how). Moments take
//! the operations of PyTorch's optimizers in PyTorch's order, so on a device they have the bits that PyTorch's would have there.
//! Sums of squares are `f64` sums in libtorch's order.

use std::collections::BTreeMap;
use std::sync::Arc;

use epsiloscope_format::{Elements, Observation, Sample};
use epsiloscope_moments::Moments;
use epsiloscope_recording::{EnginePlan, RecordedElements, Wanted, observation};
use tch::{Device, TchError, Tensor};

use crate::device_counter::{DeviceCounter, Found, Owner, to_host};
use crate::device_moments::DeviceMoments;
use crate::engine::Engine;
use crate::moments_file::TensorMoments;

/// The engine for gradients on a device.
pub(crate) struct DeviceEngine {
    plan: EnginePlan,
    /// Tensor by tensor, one per optimizer.
    moments: Vec<Vec<DeviceMoments>>,
    counter: DeviceCounter,
    /// Recorded values of all elements of a tensor, still on the device.
    samples: Vec<(Owner, Elements, Tensor)>,
}

impl DeviceEngine {
    pub(crate) fn new(plan: EnginePlan, moments: &[Vec<Moments>], device: Device) -> Self {
        let on_device = |moments: &Vec<Moments>| moments.iter().map(|each| DeviceMoments::new(each, device)).collect();
        Self {
            moments: moments.iter().map(on_device).collect(),
            counter: DeviceCounter::new(device),
            plan,
            samples: Vec::new(),
        }
    }

    fn take_tensor(&mut self, tensor: usize, gradient: Option<&Tensor>, wanted: Wanted) -> Result<(), TchError> {
        if let Some(gradient) = gradient {
            self.take_gradient(tensor, gradient, wanted)?;
        }
        if wanted.critical_epsilon {
            self.take_critical_epsilons(tensor, wanted)?;
        }
        Ok(())
    }

    fn take_gradient(&mut self, tensor: usize, gradient: &Tensor, wanted: Wanted) -> Result<(), TchError> {
        let gradient = gradient.f_contiguous()?.f_flatten(0, -1)?;
        if wanted.gradient {
            let owner = (tensor, self.plan.quantities.gradient);
            let plan = &self.plan.tensors[tensor];
            match &plan.elements {
                RecordedElements::Listed(picked) => self.counter.count(owner, &gradient, picked)?,
                RecordedElements::All => {
                    self.samples.push((owner, Elements::From(plan.offset), gradient.shallow_clone()));
                    self.counter.count(owner, &gradient, &Arc::default())?;
                }
            }
        }
        self.moments[tensor].iter_mut().filter(|_| wanted.moments).try_for_each(|moments| moments.update(&gradient))
    }

    fn take_critical_epsilons(&mut self, tensor: usize, wanted: Wanted) -> Result<(), TchError> {
        for (moments, &quantity) in self.moments[tensor].iter().zip(&self.plan.quantities.critical_epsilon) {
            let Some(values) = moments.critical_epsilon()? else { continue };
            self.counter.count((tensor, quantity), &values, &Arc::default())?;
            if wanted.elements {
                let first = Elements::From(self.plan.tensors[tensor].offset);
                self.samples.push(((tensor, quantity), first, values));
            }
        }
        Ok(())
    }

    /// Brings the values of whole tensors to the host, all at once.
    fn collect_samples(&mut self) -> Result<BTreeMap<Owner, Sample>, TchError> {
        let samples = std::mem::take(&mut self.samples);
        if samples.is_empty() {
            return Ok(BTreeMap::new());
        }
        let values: Vec<&Tensor> = samples.iter().map(|(_, _, values)| values).collect();
        let values: Vec<f32> = to_host(&Tensor::f_cat(&values, 0)?)?.try_into()?;
        let mut rest = &values[..];
        let own = samples.into_iter().map(|(owner, elements, values)| {
            let (own, others) = rest.split_at(values.numel());
            rest = others;
            (owner, Sample { elements, values: own.to_vec() })
        });
        Ok(own.collect())
    }
}

impl Engine for DeviceEngine {
    fn take(&mut self, gradients: &[Option<Tensor>], wanted: Wanted) -> Result<(), (usize, TchError)> {
        let mut each = gradients.iter().enumerate();
        each.try_for_each(|(tensor, gradient)| {
            self.take_tensor(tensor, gradient.as_ref(), wanted).map_err(|fault| (tensor, fault))
        })
    }

    /// The one moment that waits for the device.
    fn collect(&mut self) -> Result<Vec<Observation>, TchError> {
        let found = self.counter.collect()?;
        let mut whole = self.collect_samples()?;
        let gradient = self.plan.quantities.gradient;
        let observations = found.into_iter().map(|((tensor, quantity), Found { observed, picked })| {
            let picked = || Some(Sample { elements: self.plan.tensors[tensor].recorded()?, values: picked });
            let sample = whole.remove(&(tensor, quantity));
            let sample = sample.or_else(|| if quantity == gradient { picked() } else { None });
            observation((tensor, quantity), observed, sample)
        });
        Ok(observations.collect())
    }

    fn moments(&self) -> Result<Vec<Vec<TensorMoments>>, TchError> {
        let of_tensor = |moments: &Vec<DeviceMoments>| moments.iter().map(DeviceMoments::to_host).collect();
        self.moments.iter().map(of_tensor).collect()
    }
}
