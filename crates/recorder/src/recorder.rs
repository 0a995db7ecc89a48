//! The recorder in the training loop.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use epsiloscope_format::{GRADIENT, Manifest, Observation, OptimizerSettings, StepRecord, StepScalars};
use epsiloscope_histogram::Counter;
use epsiloscope_moments::Optimizer;
use tch::Tensor;
use tch::nn::VarStore;

use crate::builder::RecorderBuilder;
use crate::error::RecorderError;
use crate::watched::{Watched, observe};
use crate::writer::{BackgroundWriter, Failure, keep_failure};

/// What the training loop knows of a step and the recorder does not.
#[derive(Clone, Copy, Debug, Default)]
pub struct StepInfo {
    /// Pass over the data, counted from 1.
    pub epoch: Option<i32>,
    /// The loss.
    pub loss: Option<f64>,
    /// The learning rate of this step.
    pub learning_rate: Option<f64>,
    /// The loss scale that was divided out of the gradients.
    pub loss_scale: Option<f64>,
    /// Whether to record the critical ε of every element after this step: at the end of each epoch, say.
    pub snapshot: bool,
}

/// Records a training run; made by [`Recorder::builder`].
///
/// Dropped without [`finish`](Self::finish), it writes what it has and leaves the run marked `running`, readable up to
/// its last step.
pub struct Recorder {
    tensors: Vec<Watched>,
    /// Coupled weight decay on the model's device; `None` if there is none.
    weight_decay: Option<Tensor>,
    quantities: Quantities,
    /// Steps recorded.
    steps: i64,
    counter: Counter,
    /// The gradient at hand.
    values: Vec<f32>,
    writer: BackgroundWriter,
    failure: Failure,
}

/// The indices of quantities in the manifest.
pub(crate) struct Quantities {
    gradient: usize,
    critical_epsilon: Vec<(Optimizer, usize)>,
}

impl Quantities {
    /// # Panics
    /// If the manifest lacks a quantity.
    pub(crate) fn new(manifest: &Manifest, optimizers: &[Optimizer]) -> Self {
        let index = |name: &str| {
            let found = manifest.quantities.iter().position(|quantity| quantity == name);
            found.expect("the manifest lists every quantity that is recorded")
        };
        Self {
            gradient: index(GRADIENT),
            critical_epsilon: optimizers.iter().map(|&each| (each, index(&each.quantity()))).collect(),
        }
    }

    fn critical_epsilon(&self, optimizer: Optimizer) -> Option<usize> {
        self.critical_epsilon.iter().find(|(each, _)| *each == optimizer).map(|&(_, index)| index)
    }
}

impl Recorder {
    /// Begins to describe a recording of the tensors of `var_store` that require a gradient.
    ///
    /// `settings` are those of the training loop's optimizer. Their β1 and β2 are also the decay rates behind every
    /// critical ε; where they are `None`, 0.9 and 0.999.
    pub fn builder(var_store: &VarStore, settings: OptimizerSettings) -> RecorderBuilder<'_> {
        RecorderBuilder::new(var_store, settings)
    }

    pub(crate) fn new(
        tensors: Vec<Watched>,
        weight_decay: Option<Tensor>,
        quantities: Quantities,
        writer: BackgroundWriter,
        failure: Failure,
    ) -> Self {
        let (counter, values) = (Counter::new(), Vec::new());
        Self { tensors, weight_decay, quantities, steps: 0, counter, values, writer, failure }
    }

    /// Records the gradients as they are now. Call it once per optimizer step, right before that step.
    ///
    /// A tensor without gradient is left out of this step, as the optimizer leaves it out. Never fails and never
    /// panics: after a failure, which [`failure`](Self::failure) tells, it does nothing.
    pub fn step(&mut self, info: &StepInfo) {
        if self.failure.get().is_some() {
            return;
        }
        let failure = Arc::clone(&self.failure);
        match keep_failure(&failure, || self.record(info)) {
            Some(record) => self.writer.send(record),
            None => self.writer.close(),
        }
    }

    /// Why recording ended early, if it did. Problems with files show some steps after they happened.
    pub fn failure(&self) -> Option<&RecorderError> {
        self.failure.get()
    }

    /// Steps recorded so far.
    pub fn steps(&self) -> i64 {
        self.steps
    }

    /// Writes what is left and marks the run finished.
    ///
    /// # Errors
    /// The first failure since recording started; what was complete before it stays readable.
    pub fn finish(self) -> Result<(), RecorderError> {
        let Self { mut writer, failure, .. } = self;
        writer.finish();
        // The writer's thread has ended, so this is the only owner.
        Arc::into_inner(failure).and_then(std::sync::OnceLock::into_inner).map_or(Ok(()), Err)
    }

    fn record(&mut self, info: &StepInfo) -> Result<StepRecord, RecorderError> {
        // A guard, not `tch::no_grad`, which would leave gradients switched off after a panic.
        let _no_grad = tch::no_grad_guard();
        let time_micros = micros_since_epoch();
        let mut observations = Vec::new();
        for tensor in 0..self.tensors.len() {
            let first = observations.len();
            observations.extend(self.observe_gradient(tensor)?);
            if info.snapshot {
                self.observe_critical_epsilons(tensor, &mut observations);
            }
            observations[first..].sort_by_key(|observation| observation.quantity);
        }
        self.steps += 1;
        let StepInfo { epoch, loss, learning_rate, loss_scale, snapshot: _ } = *info;
        let scalars = StepScalars { epoch, time_micros, loss, learning_rate, loss_scale };
        Ok(StepRecord { step: self.steps, scalars, observations })
    }

    fn observe_gradient(&mut self, tensor: usize) -> Result<Option<Observation>, RecorderError> {
        let watched = &mut self.tensors[tensor];
        if !watched.read_gradient(self.weight_decay.as_ref(), &mut self.values)? {
            return Ok(None);
        }
        watched.update_moments(&self.values);
        let sample = watched.sample(&self.values);
        Ok(Some(observe((tensor, self.quantities.gradient), &self.values, &mut self.counter, sample)))
    }

    fn observe_critical_epsilons(&mut self, tensor: usize, observations: &mut Vec<Observation>) {
        for (optimizer, values) in self.tensors[tensor].critical_epsilons() {
            if let Some(quantity) = self.quantities.critical_epsilon(optimizer) {
                observations.push(observe((tensor, quantity), &values, &mut self.counter, None));
            }
        }
    }
}

/// A label of the step; a clock set before 1970 gives 0.
fn micros_since_epoch() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_micros() as i64)
}
