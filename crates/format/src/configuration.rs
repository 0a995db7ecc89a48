//! Which runs repeat each other, and which calibration speaks for which training.
//!
//! Two keys, both digests of what the manifest says:
//!
//! | key | equal where these are | says |
//! |---|---|---|
//! | [`Manifest::task`] | tensors' names and shapes, definition of the gradient, labels but the incidental | a calibration of the one foretells the other |
//! | [`Manifest::configuration`] | the task, and the optimizer with all its settings | seeds of one experiment |
//!
//! Incidental are labels about how a run was made, not what it computes: [`INCIDENTAL_LABELS`]. Neither key says whether
//! the weights moved, what was recorded of the run, or when. A task knows nothing of ε and the learning rate, since
//! frozen weights know nothing of them either.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::manifest::{GradientDefinition, Manifest, OptimizerSettings};
use crate::parts::digest;

/// The label that tells repetitions of a configuration apart.
pub const SEED_LABEL: &str = "seed";

/// Labels in which runs of one configuration may differ.
pub const INCIDENTAL_LABELS: [&str; 6] = ["command", "device", "epochs", SEED_LABEL, "steps", "threads"];

/// Hexadecimal digits of a key: a million distinct ones hold two equal by chance once in five hundred times.
const KEY_DIGITS: usize = 12;

#[derive(Serialize)]
struct Task<'a> {
    tensors: Vec<(&'a str, &'a [i64])>,
    gradient: GradientDefinition,
    labels: BTreeMap<&'a str, &'a str>,
}

impl Manifest {
    /// What a calibration of this run would have to share with it, as `model-0123456789ab`.
    pub fn task(&self) -> String {
        let model = self.labels.get("model").map_or("run", String::as_str);
        format!("{model}-{}", key(&self.described_task()))
    }

    /// What runs that differ by their seed alone share with this one, as `model-optimizer-0123456789ab`.
    pub fn configuration(&self) -> String {
        let model = self.labels.get("model").map_or("run", String::as_str);
        let described: (Task<'_>, &OptimizerSettings) = (self.described_task(), &self.optimizer);
        format!("{model}-{}-{}", self.optimizer.name, key(&described))
    }

    /// The seed, if the run has a label of that name.
    pub fn seed(&self) -> Option<&str> {
        self.labels.get(SEED_LABEL).map(String::as_str)
    }

    fn described_task(&self) -> Task<'_> {
        let labels = self.labels.iter().map(|(label, value)| (label.as_str(), value.as_str()));
        Task {
            tensors: self.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.shape.as_slice())).collect(),
            gradient: self.gradient,
            labels: labels.filter(|(label, _)| !INCIDENTAL_LABELS.contains(label)).collect(),
        }
    }
}

/// The first digits of the digest of what is described, as JSON: numbers and order stay the same in every version.
fn key(described: &impl Serialize) -> String {
    let text = serde_json::to_vec(described).expect("text, numbers and lists have a JSON form");
    let mut digits = digest(&text);
    digits.truncate(KEY_DIGITS);
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Mode, TensorInfo};

    fn manifest() -> Manifest {
        let optimizer = OptimizerSettings::adam();
        let mut manifest = Manifest::new("r-1".to_owned(), Mode::Monitoring, optimizer, "none".to_owned());
        manifest.tensors = vec![TensorInfo { name: "fc.weight".to_owned(), shape: vec![2, 3], recorded_elements: 6 }];
        manifest.labels =
            [("model", "mlp"), ("seed", "1"), ("data", "digits")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        manifest
    }

    fn changed(change: impl FnOnce(&mut Manifest)) -> (bool, bool) {
        let (known, mut other) = (manifest(), manifest());
        change(&mut other);
        (known.task() == other.task(), known.configuration() == other.configuration())
    }

    #[test]
    fn seeds_lengths_modes_and_what_was_recorded_make_no_other_configuration() {
        for label in INCIDENTAL_LABELS {
            assert_eq!(changed(|other| drop(other.labels.insert(label.to_owned(), "7".to_owned()))), (true, true));
        }
        assert_eq!(changed(|other| other.mode = Mode::Calibration), (true, true));
        assert_eq!(changed(|other| other.tensors[0].recorded_elements = 0), (true, true));
        assert_eq!(changed(|other| other.run = "r-2".to_owned()), (true, true));
    }

    #[test]
    fn settings_of_the_optimizer_make_another_configuration_of_the_same_task() {
        assert_eq!(changed(|other| other.optimizer.epsilon = Some(1e-4)), (true, false));
        assert_eq!(changed(|other| other.optimizer.learning_rate = Some(1e-2)), (true, false));
    }

    #[test]
    fn what_shapes_the_gradient_makes_another_task() {
        assert_eq!(changed(|other| other.tensors[0].shape = vec![3, 2]), (false, false));
        assert_eq!(changed(|other| other.gradient.coupled_weight_decay = 1e-4), (false, false));
        assert_eq!(changed(|other| drop(other.labels.insert("data".to_owned(), "other".to_owned()))), (false, false));
    }

    /// Stored tables hold keys: they may never change.
    #[test]
    fn keys_are_the_same_in_every_version() {
        assert_eq!(manifest().task(), "mlp-46ccef5d9d1d");
        assert_eq!(manifest().configuration(), "mlp-adam-3a4da567c8b1");
    }
}
