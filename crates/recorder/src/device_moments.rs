//! The moments of `epsiloscope_moments` as libtorch operations.

use epsiloscope_moments::{Moments, Optimizer};
use tch::{Device, Kind, TchError, Tensor};

use crate::moments_file::TensorMoments;

/// The moments of one optimizer over the elements of one tensor, flat, on a device.
pub(crate) struct DeviceMoments {
    optimizer: Optimizer,
    beta2: f64,
    /// 1 − β1 as a tensor without dimensions: libtorch's fused multiply-add takes no other factor here.
    beta1_rest: Tensor,
    beta1: f64,
    steps: u64,
    /// Without elements where the optimizer has none.
    first: Tensor,
    second: Tensor,
    max: Tensor,
}

impl DeviceMoments {
    /// A copy of moments on the host.
    pub(crate) fn new(moments: &Moments, device: Device) -> Self {
        let decay = moments.decay();
        let on_device = |values: &[f32]| Tensor::from_slice(values).to_device(device);
        Self {
            optimizer: moments.optimizer(),
            beta1: decay.beta1,
            beta1_rest: Tensor::from((1.0 - decay.beta1) as f32).to_device(device),
            beta2: decay.beta2,
            steps: moments.steps(),
            first: on_device(moments.first()),
            second: on_device(moments.second()),
            max: on_device(moments.max()),
        }
    }

    pub(crate) fn to_host(&self) -> Result<TensorMoments, TchError> {
        let to_host = |values: &Tensor| values.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_detach_copy();
        Ok(TensorMoments {
            optimizer: self.optimizer,
            steps: self.steps,
            first: to_host(&self.first)?,
            second: to_host(&self.second)?,
            max: to_host(&self.max)?,
        })
    }

    /// Takes a step's gradient; operations and their order as `epsiloscope_moments` cites them.
    pub(crate) fn update(&mut self, gradient: &Tensor) -> Result<(), TchError> {
        match self.optimizer {
            Optimizer::Adam | Optimizer::RAdam | Optimizer::RmsProp | Optimizer::EAdam => self.square(gradient)?,
            Optimizer::AmsGrad => {
                self.square(gradient)?;
                self.max = self.max.f_maximum(&self.second)?;
            }
            Optimizer::RmsPropCentered => {
                self.square(gradient)?;
                drop(self.first.f_lerp_(gradient, 1.0 - self.beta2)?);
            }
            Optimizer::AdaGrad => drop(self.second.f_addcmul_(gradient, gradient)?),
            Optimizer::AdaBelief => {
                self.mean(gradient)?;
                self.square(&gradient.f_sub(&self.first)?)?;
            }
            Optimizer::AdaMomentum => {
                self.mean(gradient)?;
                self.square(&self.first.shallow_clone())?;
            }
            Optimizer::Yogi => {
                let squares = gradient.f_mul(gradient)?;
                let signs = self.second.f_sub(&squares)?.f_sign()?;
                drop(self.second.f_addcmul_(&signs.f_mul_scalar(-(1.0 - self.beta2))?, &squares)?);
            }
        }
        self.steps += 1;
        Ok(())
    }

    /// v ← β2·v + (1−β2)·x²
    fn square(&mut self, values: &Tensor) -> Result<(), TchError> {
        let scaled = values.f_mul_scalar(1.0 - self.beta2)?;
        self.second.f_mul_scalar_(self.beta2)?.f_addcmul_(&scaled, values).map(drop)
    }

    /// m ← β1·m + (1−β1)·g
    fn mean(&mut self, gradient: &Tensor) -> Result<(), TchError> {
        self.first.f_mul_scalar_(self.beta1)?.f_addcmul_(gradient, &self.beta1_rest).map(drop)
    }

    /// The critical ε of every element after the steps taken so far; `None` before the first.
    pub(crate) fn critical_epsilon(&self) -> Result<Option<Tensor>, TchError> {
        if self.steps == 0 {
            return Ok(None);
        }
        let bias = 1.0 - self.beta2.powf(self.steps as f64);
        let values = match self.optimizer {
            Optimizer::Adam | Optimizer::Yogi => self.second.f_div_scalar(bias)?.f_sqrt(),
            Optimizer::AmsGrad => self.max.f_div_scalar(bias)?.f_sqrt(),
            Optimizer::RAdam | Optimizer::RmsProp | Optimizer::AdaGrad => self.second.f_sqrt(),
            Optimizer::RmsPropCentered => self.second.f_addcmul(&self.first.f_neg()?, &self.first)?.f_sqrt(),
            Optimizer::AdaBelief | Optimizer::AdaMomentum | Optimizer::EAdam => {
                self.second.f_mul_scalar(1.0 - self.beta2)?.f_div_scalar(bias)
            }
        };
        values.map(Some)
    }
}
