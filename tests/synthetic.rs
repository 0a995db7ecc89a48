//! Runs without a network: deterministic gradients in place of trained ones, written as the recorder writes them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use epsiloscope_format::{
    DecayRates, GRADIENT, MagnitudePolicy, Manifest, Mode, Observation, OptimizerSettings, RunWriter, Sample,
    StepRecord, StepScalars, TensorInfo, WriterOptions,
};
use epsiloscope_histogram::{Counter, Summary};
use epsiloscope_moments::{Decay, Moments, Optimizer};

/// A tensor whose gradients are log-normal around 10^`centre`; every `zero_every`-th element is zero at every step.
#[derive(Clone, Copy)]
pub(crate) struct SyntheticTensor {
    pub(crate) name: &'static str,
    pub(crate) numel: usize,
    pub(crate) centre: f64,
    pub(crate) zero_every: usize,
}

/// What to write.
#[derive(Clone)]
pub(crate) struct Synthetic {
    pub(crate) tensors: Vec<SyntheticTensor>,
    pub(crate) steps: i64,
    /// Elements recorded per tensor; `None` for every element.
    pub(crate) sample: Option<usize>,
    pub(crate) histograms: bool,
    pub(crate) snapshots: bool,
    pub(crate) options: WriterOptions,
    pub(crate) seed: u64,
}

impl Default for Synthetic {
    fn default() -> Self {
        let tensor = |name, numel, centre, zero_every| SyntheticTensor { name, numel, centre, zero_every };
        Self {
            tensors: vec![
                tensor("conv1.bias", 8, -2.0, 1000),
                tensor("conv1.weight", 72, -3.0, 9),
                tensor("fc1.weight", 3000, -5.0, 4),
                tensor("unused", 5, -3.0, 1),
            ],
            steps: 12,
            sample: None,
            histograms: true,
            snapshots: true,
            options: WriterOptions::default(),
            seed: 1,
        }
    }
}

impl Synthetic {
    /// The gradient of every element of a tensor at a step.
    pub(crate) fn gradients(&self, tensor: usize, step: i64) -> Vec<f32> {
        let SyntheticTensor { numel, centre, zero_every, .. } = self.tensors[tensor];
        let gradient = |element: usize| {
            if (element + 1).is_multiple_of(zero_every) {
                return 0.0;
            }
            let scale = normal(self.seed, [tensor as u64, element as u64, 0]);
            let noise = normal(self.seed, [tensor as u64, element as u64, step as u64]);
            let magnitude = 10f64.powf(centre + 0.8 * scale + 0.3 * noise) as f32;
            if noise < 0.1 { -magnitude } else { magnitude }
        };
        (0..numel).map(gradient).collect()
    }

    /// The recorded elements of a tensor.
    pub(crate) fn elements(&self, tensor: usize) -> Arc<[i64]> {
        let numel = self.tensors[tensor].numel;
        let n = self.sample.map_or(numel, |sample| sample.min(numel));
        // Spread over the tensor, ascending.
        (0..n).map(|index| (index * numel / n) as i64).collect()
    }

    /// Writes the run into `dir` and leaves it finished.
    pub(crate) fn write(&self, dir: &Path) -> PathBuf {
        self.write_unfinished(dir).finish().expect("the run can be finished");
        dir.to_owned()
    }

    /// Writes the run into `dir` and leaves it open.
    pub(crate) fn write_unfinished(&self, dir: &Path) -> RunWriter {
        let mut writer = RunWriter::create(dir, self.manifest(dir), self.options).expect("the run can be created");
        let moments = |tensor: &SyntheticTensor| {
            Optimizer::DEFAULT.map(|optimizer| Moments::new(optimizer, Decay::default(), tensor.numel))
        };
        let mut moments: Vec<[Moments; 4]> = self.tensors.iter().map(moments).collect();
        for step in 1..=self.steps {
            let record = self.record(step, &mut moments, writer.manifest());
            writer.append(&record).expect("the step can be written");
        }
        writer
    }

    fn manifest(&self, dir: &Path) -> Manifest {
        let optimizer = OptimizerSettings {
            name: "adam".to_owned(),
            learning_rate: 1e-3,
            epsilon: 1e-4,
            beta1: Some(0.9),
            beta2: Some(0.999),
            weight_decay: 0.0,
        };
        let mut manifest =
            Manifest::new(Manifest::name_from(dir), Mode::Calibration, optimizer, "synthetic".to_owned());
        manifest.histograms = self.histograms;
        manifest.magnitudes = match self.sample {
            None => MagnitudePolicy::All,
            Some(0) => MagnitudePolicy::None,
            Some(n) => MagnitudePolicy::Sample { elements_per_tensor: n as u64, seed: 0 },
        };
        manifest.critical_epsilon_decay = self.snapshots.then_some(DecayRates { beta1: 0.9, beta2: 0.999 });
        manifest.quantities = vec![GRADIENT.to_owned()];
        if self.snapshots {
            manifest.quantities.extend(Optimizer::DEFAULT.map(Optimizer::quantity));
        }
        manifest.tensors = (0..self.tensors.len())
            .map(|tensor| TensorInfo {
                name: self.tensors[tensor].name.to_owned(),
                shape: vec![self.tensors[tensor].numel as i64],
                recorded_elements: self.elements(tensor).len() as u64,
            })
            .collect();
        manifest
    }

    fn record(&self, step: i64, moments: &mut [[Moments; 4]], manifest: &Manifest) -> StepRecord {
        let quantity = |name: &str| manifest.quantities.iter().position(|quantity| quantity == name).expect("known");
        let mut observations = Vec::new();
        for (tensor, moments) in moments.iter_mut().enumerate() {
            let gradients = self.gradients(tensor, step);
            for moments in moments.iter_mut() {
                moments.update(0, &gradients);
                moments.end_step();
                if self.snapshots && step == self.steps {
                    let index = quantity(&moments.optimizer().quantity());
                    observations.push(observation(tensor, index, &moments.critical_epsilon(), None));
                }
            }
            let elements = self.elements(tensor);
            let values = elements.iter().map(|&element| gradients[element as usize]).collect();
            let sample = (!elements.is_empty()).then_some(Sample { elements, values });
            observations.push(observation(tensor, quantity(GRADIENT), &gradients, sample));
        }
        observations.sort_by_key(|observation| (observation.tensor, observation.quantity));
        let scalars = StepScalars {
            epoch: Some(1),
            time_micros: 1_700_000_000_000_000 + step,
            loss: Some(1.0 / step as f64),
            learning_rate: Some(1e-3),
            loss_scale: None,
        };
        StepRecord { step, scalars, observations }
    }
}

fn observation(tensor: usize, quantity: usize, values: &[f32], sample: Option<Sample>) -> Observation {
    let mut counter = Counter::new();
    counter.count(values);
    Observation { tensor, quantity, histogram: counter.take(), summary: Summary::of(values), sample }
}

/// A standard normal variate from a hash of its indices: twelve uniform ones, less six.
fn normal(seed: u64, indices: [u64; 3]) -> f64 {
    let mut state = indices.iter().fold(seed, |state, index| mixed(state ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    let mut uniform = || {
        state = mixed(state.wrapping_add(0x9e37_79b9_7f4a_7c15));
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    (0..12).map(|_| uniform()).sum::<f64>() - 6.0
}

/// The finaliser of splitmix64.
fn mixed(mut state: u64) -> u64 {
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}
