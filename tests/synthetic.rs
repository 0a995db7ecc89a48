//! Runs without a network: deterministic gradients in place of trained ones, written as the recorder writes them.

use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use epsiloscope_format::fs::Disk;
use epsiloscope_format::{
    Cadence, CriticalEpsilonPolicy, Elements, GRADIENT, Gradients, MagnitudePolicy, Manifest, Mode, Observation,
    OptimizerSettings, Ranks, RunWriter, Sample, StepRecord, StepScalars, TensorInfo, WriterOptions,
};
use epsiloscope_histogram::{Counter, Summary};
use epsiloscope_moments::{Decay, Moments, Optimizer};

/// The usual decay rates; every element's critical ε, but in bins and at snapshots only.
pub(crate) const BINS_AT_SNAPSHOTS: CriticalEpsilonPolicy =
    CriticalEpsilonPolicy { beta1: 0.9, beta2: 0.999, every_step: false, elements: false };

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
    pub(crate) steps_per_epoch: i64,
    /// Elements recorded per tensor; `None` for every element.
    pub(crate) sample: Option<usize>,
    pub(crate) signs: bool,
    pub(crate) histograms: bool,
    pub(crate) critical_epsilon: Option<CriticalEpsilonPolicy>,
    /// The steps after which critical ε are taken.
    pub(crate) snapshots: Vec<i64>,
    pub(crate) cadence: Cadence,
    /// Steps whose gradients are infinite; the optimizer skips them, and the next step has the gradients of this one.
    pub(crate) overflows: Vec<i64>,
    /// Steps that the writer cannot keep.
    pub(crate) dropped: Vec<i64>,
    /// Ranks, each with its shard of every tensor.
    pub(crate) ranks: usize,
    pub(crate) options: WriterOptions,
    pub(crate) mode: Mode,
    pub(crate) labels: Vec<(&'static str, String)>,
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
            steps_per_epoch: 12,
            sample: None,
            signs: true,
            histograms: true,
            critical_epsilon: Some(BINS_AT_SNAPSHOTS),
            snapshots: vec![4, 12],
            cadence: Cadence::default(),
            overflows: Vec::new(),
            dropped: Vec::new(),
            ranks: 1,
            options: WriterOptions::default(),
            mode: Mode::Calibration,
            labels: Vec::new(),
            seed: 1,
        }
    }
}

impl Synthetic {
    /// The gradient of every element of a tensor at a step.
    pub(crate) fn gradients(&self, tensor: usize, step: i64) -> Vec<f32> {
        let SyntheticTensor { numel, centre, zero_every, .. } = self.tensors[tensor];
        if self.overflows.contains(&step) {
            return vec![f32::INFINITY; numel];
        }
        let batch = step - self.overflows.iter().filter(|&&overflow| overflow < step).count() as i64;
        let gradient = |element: usize| {
            if (element + 1).is_multiple_of(zero_every) {
                return 0.0;
            }
            let scale = normal(self.seed, [tensor as u64, element as u64, 0]);
            let noise = normal(self.seed, [tensor as u64, element as u64, batch as u64]);
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

    /// Writes the run into `dir`, rank after rank, and leaves it finished.
    pub(crate) fn write(&self, dir: &Path) -> PathBuf {
        for rank in 0..self.ranks {
            self.write_rank(dir, rank).finish().expect("the run can be finished");
        }
        dir.to_owned()
    }

    /// Writes what rank 0 has to write into `dir` and leaves it open.
    pub(crate) fn write_unfinished(&self, dir: &Path) -> RunWriter {
        self.write_rank(dir, 0)
    }

    fn write_rank(&self, dir: &Path, rank: usize) -> RunWriter {
        let writer = RunWriter::create_on(Arc::new(Disk), dir, rank as u32, self.manifest(dir), self.options);
        let mut writer = writer.expect("the run can be created");
        self.append(&mut writer, rank, 1..=self.steps);
        writer
    }

    /// Appends some steps, with moments that are zero before the first of them.
    pub(crate) fn append(&self, writer: &mut RunWriter, rank: usize, steps: RangeInclusive<i64>) {
        let moments = |tensor: &SyntheticTensor| {
            Optimizer::DEFAULT.map(|optimizer| Moments::new(optimizer, Decay::default(), tensor.numel)).to_vec()
        };
        let mut moments: Vec<Vec<Moments>> = self.tensors.iter().map(moments).collect();
        for step in steps {
            let record = self.record(step, rank, &mut moments, writer.manifest());
            if self.dropped.contains(&step) {
                writer.drop_steps(1);
            } else if self.cadence.includes(step) {
                writer.append(record).expect("the step can be written");
            }
        }
    }

    pub(crate) fn manifest(&self, dir: &Path) -> Manifest {
        let optimizer = OptimizerSettings { epsilon: Some(1e-4), ..OptimizerSettings::adam() };
        let mut manifest = Manifest::new(Manifest::name_from(dir), self.mode, optimizer, "synthetic".to_owned());
        manifest.labels = self.labels.iter().map(|(label, value)| ((*label).to_owned(), value.clone())).collect();
        manifest.histograms = self.histograms;
        manifest.signs = self.signs;
        manifest.cadence = self.cadence.clone();
        manifest.magnitudes = match self.sample {
            None => MagnitudePolicy::All,
            Some(0) => MagnitudePolicy::None,
            Some(n) => MagnitudePolicy::Sample { elements_per_tensor: n as u64, seed: 0 },
        };
        manifest.critical_epsilon = self.critical_epsilon;
        manifest.quantities = vec![GRADIENT.to_owned()];
        if self.critical_epsilon.is_some() {
            manifest.quantities.extend(Optimizer::DEFAULT.map(Optimizer::quantity));
        }
        let gradients = if self.ranks == 1 { Gradients::Replicated } else { Gradients::Sharded };
        manifest.ranks = Ranks { world_size: self.ranks as u32, gradients };
        manifest.tensors = (0..self.tensors.len())
            .map(|tensor| TensorInfo {
                name: self.tensors[tensor].name.to_owned(),
                shape: vec![self.tensors[tensor].numel as i64],
                recorded_elements: self.elements(tensor).len() as u64,
            })
            .collect();
        manifest
    }

    /// The elements of a tensor that a rank has.
    fn shard(&self, tensor: usize, rank: usize) -> Range<usize> {
        let bound = |rank| self.tensors[tensor].numel * rank / self.ranks;
        bound(rank)..bound(rank + 1)
    }

    fn record(&self, step: i64, rank: usize, moments: &mut [Vec<Moments>], manifest: &Manifest) -> StepRecord {
        let quantity = |name: &str| manifest.quantity_index(name).expect("known");
        let overflow = self.overflows.contains(&step);
        let mut observations = Vec::new();
        for (tensor, moments) in moments.iter_mut().enumerate() {
            let gradients = self.gradients(tensor, step);
            let shard = self.shard(tensor, rank);
            for moments in moments.iter_mut() {
                if !overflow {
                    moments.update(0, &gradients);
                    moments.end_step();
                }
                if let Some(keeps_values) = self.takes_critical_epsilon(step) {
                    let values = &moments.critical_epsilon()[shard.clone()];
                    let elements = Elements::From(shard.start as i64);
                    let sample = keeps_values.then(|| Sample { elements, values: values.to_vec() });
                    let index = quantity(&moments.optimizer().quantity());
                    observations.push(observation(tensor, index, values, sample));
                }
            }
            let elements = self.elements(tensor);
            let elements: Arc<[i64]> =
                elements.iter().copied().filter(|&element| shard.contains(&(element as usize))).collect();
            let values = elements.iter().map(|&element| gradients[element as usize]).collect();
            let sample = Sample { elements: Elements::Listed(elements), values };
            observations.push(observation(tensor, quantity(GRADIENT), &gradients[shard], Some(sample)));
        }
        observations.sort_by_key(|observation| (observation.tensor, observation.quantity));
        let scalars = StepScalars {
            epoch: Some(1 + ((step - 1) / self.steps_per_epoch) as i32),
            time_micros: 1_700_000_000_000_000 + step,
            loss: Some(1.0 / step as f64),
            learning_rate: Some(1e-3),
            loss_scale: None,
            overflow,
        };
        // One that is a number, one that is not.
        let user_scalars = vec![("grad_norm".to_owned(), step as f64), ("perplexity".to_owned(), f64::NAN)];
        StepRecord { step, scalars, user_scalars, observations }
    }

    /// Whether the critical ε is taken after a step, and with every value.
    fn takes_critical_epsilon(&self, step: i64) -> Option<bool> {
        let policy = self.critical_epsilon?;
        let is_snapshot = self.snapshots.contains(&step);
        (is_snapshot || policy.every_step).then_some(is_snapshot && policy.elements)
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
