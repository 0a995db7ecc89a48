//! What a description comes to for the tensors that there are.

use std::path::Path;

use epsiloscope_format::{CriticalEpsilonPolicy, GRADIENT, Manifest, TensorInfo};
use epsiloscope_moments::{Decay, Optimizer};

use crate::counting::{EnginePlan, Quantities, RecordedElements, TensorPlan};
use crate::description::{Description, Shard};
use crate::error::{FrameworkError, RecordingError};
use crate::sampling::recorded_elements;

/// A tensor that may be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub name: String,
    /// The shape of what this rank has of it.
    pub shape: Vec<i64>,
}

/// What a description comes to; everything stands in the order of the manifest's tensors.
pub struct Plan {
    /// The tensors recorded.
    pub tensors: Vec<Planned>,
    /// What is counted of them.
    pub engine: EnginePlan,
    /// How the run describes itself.
    pub manifest: Manifest,
}

/// A tensor recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Its name.
    pub name: String,
    /// Elements that this rank has.
    pub numel: usize,
    /// Whether this rank is the one to record it.
    pub is_own: bool,
}

impl Candidate {
    fn numel(&self) -> usize {
        self.shape.iter().product::<i64>() as usize
    }
}

impl Description {
    /// What is asked for, of the tensors that there are.
    ///
    /// # Errors
    /// [`RecordingError::NothingTrainable`] if none is recorded, [`RecordingError::Pattern`], [`RecordingError::Shard`] and
    /// [`RecordingError::UnknownShard`] for what was asked for.
    pub fn plan<F: FrameworkError>(
        &self,
        dir: &Path,
        mut candidates: Vec<Candidate>,
    ) -> Result<Plan, RecordingError<F>> {
        let selection = self.selection.compiled()?;
        let is_unknown = |tensor: &&String| candidates.iter().all(|candidate| candidate.name != **tensor);
        if let Some(tensor) = self.shards.keys().find(is_unknown) {
            return Err(RecordingError::UnknownShard { tensor: tensor.clone() });
        }
        candidates.retain(|candidate| selection.admits(&candidate.name));
        if candidates.is_empty() {
            let hint = if self.selection.is_everything() { "" } else { ", and patterns that match some of its names" };
            return Err(RecordingError::NothingTrainable { hint });
        }
        candidates.sort_by(|a, b| a.name.cmp(&b.name));
        let (mut tensors, mut plans, mut infos) = (Vec::new(), Vec::new(), Vec::new());
        for candidate in candidates {
            let shard = self.shards.get(&candidate.name);
            if let Some(shard) = shard {
                shard.check(&candidate.name, candidate.numel())?;
            }
            // What every rank has is rank 0's to record.
            let is_own = shard.is_some() || self.rank == 0;
            let (plan, recorded_elements) = self.tensor_plan(&candidate, shard);
            plans.push(if is_own { plan } else { TensorPlan::default() });
            tensors.push(Planned { numel: candidate.numel(), name: candidate.name.clone(), is_own });
            let shape = shard.map_or(candidate.shape, |shard| shard.shape.clone());
            infos.push(TensorInfo { name: candidate.name, shape, recorded_elements });
        }
        let manifest = self.manifest(dir, infos);
        let quantities = quantities(&manifest, &self.optimizers);
        Ok(Plan { tensors, engine: EnginePlan { tensors: plans, quantities }, manifest })
    }

    /// What this rank records of a tensor, and how many elements of the whole tensor are recorded.
    fn tensor_plan(&self, candidate: &Candidate, shard: Option<&Shard>) -> (TensorPlan, u64) {
        let numel = candidate.numel();
        let offset = shard.map_or(0, |shard| shard.offset);
        let whole = shard.map_or(numel, |shard| shard.shape.iter().product::<i64>() as usize);
        let plan = |elements| TensorPlan { numel, offset, elements };
        if self.magnitudes.is_complete(whole as u64) {
            return (plan(RecordedElements::All), whole as u64);
        }
        let all = recorded_elements(self.magnitudes, &candidate.name, whole);
        let own = offset..offset + numel as i64;
        let own = all.iter().filter(|&element| own.contains(element)).map(|element| element - offset);
        (plan(RecordedElements::Listed(own.collect())), all.len() as u64)
    }

    fn manifest(&self, dir: &Path, tensors: Vec<TensorInfo>) -> Manifest {
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
            tensors,
            ranks: self.ranks,
            labels: self.labels.clone(),
            ..Manifest::new(Manifest::name_from(dir), self.mode, self.settings.clone(), self.framework.clone())
        }
    }
}

/// # Panics
/// If the manifest lacks a quantity.
fn quantities(manifest: &Manifest, optimizers: &[Optimizer]) -> Quantities {
    let index = |name: &str| manifest.quantity_index(name).expect("the manifest lists every quantity that is recorded");
    let critical_epsilon = optimizers.iter().map(|optimizer| index(&optimizer.quantity())).collect();
    Quantities { gradient: index(GRADIENT), critical_epsilon }
}
