//! What a builder's wishes come to for the tensors that there are.

use std::path::Path;

use epsiloscope_format::{CriticalEpsilonPolicy, GRADIENT, Manifest, Mode};
use epsiloscope_moments::{Decay, Moments, Optimizer};
use tch::Tensor;

use crate::builder::{RecorderBuilder, Shard};
use crate::engine::{EnginePlan, Quantities, RecordedElements, TensorPlan};
use crate::error::RecorderError;
use crate::moments_file::MomentsFile;
use crate::recorder::StepOptions;
use crate::sampling::recorded_elements;
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
    /// Of replicated gradients one rank is enough.
    pub(crate) fn is_recording(&self) -> bool {
        self.rank < self.ranks.n_recording()
    }

    pub(crate) fn step_options(&self) -> StepOptions {
        StepOptions {
            cadence: self.cadence.clone(),
            has_moments: !self.optimizers.is_empty(),
            critical_epsilon_every_step: self.critical_epsilon_every_step,
            snapshot_elements: self.has_snapshot_elements(),
            is_scaled: self.is_scaled,
            is_recording: self.is_recording(),
        }
    }

    fn has_snapshot_elements(&self) -> bool {
        self.snapshot_elements.unwrap_or(self.mode == Mode::Calibration)
    }

    /// What is asked for, of the tensors that there are; `after_step` where a run is resumed.
    pub(crate) fn plan(&self, dir: &Path, after_step: Option<i64>) -> Result<Plan, RecorderError> {
        let selection = self.selection.compiled()?;
        let mut found = trainable(self.var_store);
        let is_unknown = |tensor: &&String| found.iter().all(|(name, _)| name != *tensor);
        if let Some(tensor) = self.shards.keys().find(is_unknown) {
            return Err(RecorderError::UnknownShard { tensor: tensor.clone() });
        }
        found.retain(|(name, _)| selection.admits(name));
        if found.is_empty() {
            let hint = if self.selection.is_everything() { "" } else { ", and patterns that match some of its names" };
            return Err(RecorderError::NothingTrainable { hint });
        }
        let (mut tensors, mut plans) = (Vec::new(), Vec::new());
        for (name, parameter) in found {
            let shard = self.shards.get(&name);
            if let Some(shard) = shard {
                shard.check(&name, parameter.numel())?;
            }
            // What every rank has is rank 0's to record.
            let is_own = shard.is_some() || self.rank == 0;
            let (plan, n_recorded) = self.tensor_plan(&name, parameter.numel(), shard);
            plans.push(if is_own { plan } else { TensorPlan::default() });
            tensors.push(Watched::new((name, parameter), shard, n_recorded, is_own));
        }
        let manifest = self.manifest(dir, &tensors);
        let quantities = quantities(&manifest, &self.optimizers);
        let moments = self.moments(&tensors, &plans, after_step)?;
        let engine = EnginePlan { tensors: plans, quantities };
        Ok(Plan { tensors, engine, moments, manifest })
    }

    /// What this rank records of a tensor, and how many elements of the whole tensor are recorded.
    fn tensor_plan(&self, name: &str, numel: usize, shard: Option<&Shard>) -> (TensorPlan, u64) {
        let offset = shard.map_or(0, |shard| shard.offset);
        let whole = shard.map_or(numel, |shard| shard.shape.iter().product::<i64>() as usize);
        let plan = |elements| TensorPlan { numel, offset, elements };
        if self.magnitudes.is_complete(whole as u64) {
            return (plan(RecordedElements::All), whole as u64);
        }
        let all = recorded_elements(self.magnitudes, name, whole);
        let own = offset..offset + numel as i64;
        let own = all.iter().filter(|&element| own.contains(element)).map(|element| element - offset);
        (plan(RecordedElements::Listed(own.collect())), all.len() as u64)
    }

    fn moments(
        &self,
        tensors: &[Watched],
        plans: &[TensorPlan],
        after_step: Option<i64>,
    ) -> Result<Vec<Vec<Moments>>, RecorderError> {
        if !self.is_recording() {
            return Ok(tensors.iter().map(|_| Vec::new()).collect());
        }
        let decay = self.decay();
        let file = self.moments_from.as_deref().map(MomentsFile::open).transpose()?;
        if let (Some(file), Some(step)) = (&file, after_step) {
            file.expect_step(step)?;
        }
        let of_tensor = |(tensor, plan): (&Watched, &TensorPlan)| {
            let of_optimizer = |&optimizer: &Optimizer| match &file {
                Some(file) => file.moments(&tensor.name, optimizer, decay, plan.numel),
                None => Ok(Moments::new(optimizer, decay, plan.numel)),
            };
            self.optimizers.iter().map(of_optimizer).collect()
        };
        tensors.iter().zip(plans).map(of_tensor).collect()
    }

    fn decay(&self) -> Decay {
        let default = Decay::default();
        Decay {
            beta1: self.settings.beta1.unwrap_or(default.beta1),
            beta2: self.settings.beta2.unwrap_or(default.beta2),
        }
    }

    fn manifest(&self, dir: &Path, tensors: &[Watched]) -> Manifest {
        let framework = concat!("libtorch ", env!("LIBTORCH_VERSION")).to_owned();
        let Decay { beta1, beta2 } = self.decay();
        let critical_epsilon = CriticalEpsilonPolicy {
            beta1,
            beta2,
            every_step: self.critical_epsilon_every_step,
            elements: self.has_snapshot_elements(),
        };
        let mut quantities: Vec<String> = self.optimizers.iter().map(|optimizer| optimizer.quantity()).collect();
        quantities.push(GRADIENT.to_owned());
        quantities.sort();
        Manifest {
            gradient: self.gradient,
            magnitudes: self.magnitudes,
            signs: self.signs,
            histograms: self.histograms,
            cadence: self.cadence.clone(),
            quantities,
            critical_epsilon: (!self.optimizers.is_empty()).then_some(critical_epsilon),
            tensors: tensors.iter().map(Watched::info).collect(),
            ranks: self.ranks,
            labels: self.labels.clone(),
            ..Manifest::new(Manifest::name_from(dir), self.mode, self.settings.clone(), framework)
        }
    }

    /// A tensor without dimensions, where the parameters are; libtorch rounds it to the kind of what it meets.
    pub(crate) fn weight_decay(&self) -> Option<Tensor> {
        let weight_decay = self.gradient.coupled_weight_decay;
        (weight_decay != 0.0).then(|| Tensor::from(weight_decay).to_device(self.var_store.device()))
    }
}

/// # Panics
/// If the manifest lacks a quantity.
fn quantities(manifest: &Manifest, optimizers: &[Optimizer]) -> Quantities {
    let index = |name: &str| manifest.quantity_index(name).expect("the manifest lists every quantity that is recorded");
    let critical_epsilon = optimizers.iter().map(|optimizer| index(&optimizer.quantity())).collect();
    Quantities { gradient: index(GRADIENT), critical_epsilon }
}
