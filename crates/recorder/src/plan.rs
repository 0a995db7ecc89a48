//! What a builder's wishes come to for the tensors that there are.

use std::path::Path;

use epsiloscope_format::Manifest;
use epsiloscope_moments::{Moments, Optimizer};
use epsiloscope_recording::{Candidate, EnginePlan, TensorPlan};
use tch::Tensor;

use crate::builder::RecorderBuilder;
use crate::error::RecorderError;
use crate::moments_file::MomentsFile;
use crate::recorder::StepOptions;
use crate::watched::{Watched, trainable};

/// What a builder comes to.
pub(crate) struct Plan {
    pub(crate) tensors: Vec<Watched>,
    pub(crate) engine: EnginePlan,
    /// Tensor by tensor, one per optimizer.
    pub(crate) moments: Vec<Vec<Moments>>,
    pub(crate) manifest: Manifest,
}

impl RecorderBuilder<'_> {
    pub(crate) fn step_options(&self) -> StepOptions {
        let description = &self.description;
        StepOptions {
            cadence: description.cadence.clone(),
            has_moments: !description.optimizers.is_empty(),
            critical_epsilon_every_step: description.critical_epsilon_every_step,
            snapshot_elements: description.has_snapshot_elements(),
            is_scaled: self.is_scaled,
            is_recording: description.is_recording(),
        }
    }

    /// What is asked for, of the tensors that there are; `after_step` where a run is resumed.
    pub(crate) fn plan(&self, dir: &Path, after_step: Option<i64>) -> Result<Plan, RecorderError> {
        let found = trainable(self.var_store);
        let candidate = |(name, tensor): &(String, Tensor)| Candidate { name: name.clone(), shape: tensor.size() };
        let plan = self.description.plan(dir, found.iter().map(candidate).collect())?;
        let mut found = found.into_iter();
        let watched = plan.tensors.into_iter().filter_map(|planned| {
            // Both are in the order of names.
            let (_, parameter) = found.find(|(name, _)| *name == planned.name)?;
            Some(Watched::new(planned, parameter))
        });
        let tensors: Vec<Watched> = watched.collect();
        let moments = self.moments(&tensors, &plan.engine.tensors, after_step)?;
        Ok(Plan { tensors, engine: plan.engine, moments, manifest: plan.manifest })
    }

    fn moments(
        &self,
        tensors: &[Watched],
        plans: &[TensorPlan],
        after_step: Option<i64>,
    ) -> Result<Vec<Vec<Moments>>, RecorderError> {
        if !self.description.is_recording() {
            return Ok(tensors.iter().map(|_| Vec::new()).collect());
        }
        let decay = self.description.decay();
        let file = self.moments_from.as_deref().map(MomentsFile::open).transpose()?;
        if let (Some(file), Some(step)) = (&file, after_step) {
            file.expect_step(step)?;
        }
        let of_tensor = |(tensor, plan): (&Watched, &TensorPlan)| {
            let of_optimizer = |&optimizer: &Optimizer| match &file {
                Some(file) => file.moments(&tensor.name, optimizer, decay, plan.numel),
                None => Ok(Moments::new(optimizer, decay, plan.numel)),
            };
            self.description.optimizers.iter().map(of_optimizer).collect()
        };
        tensors.iter().zip(plans).map(of_tensor).collect()
    }

    /// A tensor without dimensions, where the parameters are; libtorch rounds it to the kind of what it meets.
    pub(crate) fn weight_decay(&self) -> Option<Tensor> {
        let weight_decay = self.description.gradient.coupled_weight_decay;
        (weight_decay != 0.0).then(|| Tensor::from(weight_decay).to_device(self.var_store.device()))
    }
}
