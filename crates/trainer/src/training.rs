//! The training loop, with the recorder in it.

use std::path::Path;

use anyhow::bail;
use epsiloscope_format::Cadence;
use epsiloscope_optimizers::Optimizer;
use epsiloscope_recorder::{Mode, Recorder, StepInfo, WriterOptions};
use tch::nn::VarStore;
use tch::{Cuda, Device, Kind, Tensor};

use crate::args::{DeviceChoice, Options, Recording};
use crate::denormals;
use crate::optimizers;
use crate::recording;
use crate::schedule::Schedule;
use crate::workloads::{self, Workload};

/// A name and a value.
pub(crate) type Metric = (&'static str, f64);

/// A network before its first step.
pub(crate) struct Setting<'a> {
    pub(crate) recording: &'a Recording,
    pub(crate) var_store: VarStore,
    pub(crate) workload: Box<dyn Workload>,
    pub(crate) optimizer: Optimizer,
    pub(crate) schedule: Schedule,
}

impl<'a> Setting<'a> {
    /// Reads the data and draws the initial weights.
    ///
    /// # Errors
    /// What was asked for and cannot be had.
    pub(crate) fn new(recording: &'a Recording) -> anyhow::Result<Self> {
        let options = recording.options();
        let device = device(options.training.device)?;
        if options.training.flush_denormals {
            // Before libtorch starts threads, which take the setting over.
            denormals::flush()?;
        }
        tch::set_num_threads(options.training.n_threads());
        tch::manual_seed(options.training.seed);
        let var_store = VarStore::new(device);
        let workload = workloads::open(options, &var_store)?;
        let optimizer = optimizers::optimizer(&options.training, &var_store)?;
        let schedule = Schedule::new(recording, workload.n_examples());
        Ok(Self { recording, var_store, workload, optimizer, schedule })
    }

    /// Begins to record into `dir`, steps of the given cadence.
    ///
    /// # Errors
    /// What was asked for and cannot be had.
    pub(crate) fn start(self, dir: &Path, cadence: &Cadence, flush_secs: f64) -> anyhow::Result<Training<'a>> {
        let Self { recording, var_store, workload, optimizer, schedule } = self;
        let coupled_weight_decay = optimizers::coupled_weight_decay(&optimizer);
        let builder = recording::builder(recording, &var_store, &*workload, cadence);
        let writer_options = WriterOptions { flush_secs, ..WriterOptions::default() };
        let builder = builder.coupled_weight_decay(coupled_weight_decay).writer_options(writer_options);
        let recorder = builder.start(dir)?;
        let (options, mode) = (recording.options(), recording.mode());
        Ok(Training { options, mode, workload, optimizer, recorder, schedule, order: Vec::new() })
    }
}

/// Everything that a step needs.
pub(crate) struct Training<'a> {
    options: &'a Options,
    mode: Mode,
    workload: Box<dyn Workload>,
    optimizer: Optimizer,
    pub(crate) recorder: Recorder,
    pub(crate) schedule: Schedule,
    /// The batches that are left of an epoch, the next one last.
    order: Vec<Tensor>,
}

impl Training<'_> {
    /// Takes the next step and returns its loss.
    ///
    /// # Errors
    /// If the optimizer cannot take it.
    pub(crate) fn step(&mut self, snapshot: bool) -> anyhow::Result<f64> {
        let step = self.recorder.steps() + 1;
        let batches = self.batches(step);
        self.optimizer.zero_grad();
        let n_batches = batches.len() as f64;
        let loss = batches.iter().map(|examples| self.backward(examples, n_batches)).sum();
        if let Some(norm) = self.options.training.clip_norm {
            self.optimizer.clip_grad_norm(norm);
        }
        let (epoch, learning_rate) = (Some(self.schedule.epoch(step)), Some(self.optimizer.lr()));
        self.recorder.step(&StepInfo { epoch, loss: Some(loss), learning_rate, snapshot, ..StepInfo::default() });
        if self.mode == Mode::Monitoring {
            self.optimizer.step()?;
        }
        Ok(loss)
    }

    /// How well the network does after the last step; the run's table `scalars` gets it, too.
    pub(crate) fn evaluate(&mut self) -> Vec<Metric> {
        let metrics: Vec<Metric> = self.workload.metrics().iter().copied().zip(self.workload.evaluate()).collect();
        self.recorder.scalars(&metrics);
        metrics
    }

    /// Records what an evaluation would record, without one.
    pub(crate) fn pretend_to_evaluate(&mut self) {
        let metrics: Vec<Metric> = self.workload.metrics().iter().map(|&name| (name, 0.0)).collect();
        self.recorder.scalars(&metrics);
    }

    /// The indices of a step's examples, batch by batch. Every epoch has an order of its own.
    fn batches(&mut self, step: i64) -> Vec<Tensor> {
        if self.schedule.begins_epoch(step) {
            // Drawn on the CPU, so that a seed gives the same order on every device.
            let order = Tensor::randperm(self.workload.n_examples(), (Kind::Int64, Device::Cpu));
            self.order = order.split(self.options.training.batch_size, 0);
            self.order.reverse();
        }
        let n_left = self.order.len().saturating_sub(self.options.training.gradient_accumulation as usize);
        self.order.drain(n_left..).rev().collect()
    }

    /// Adds a batch's share to the gradients and returns its share of the loss.
    fn backward(&self, examples: &Tensor, n_batches: f64) -> f64 {
        let loss = self.workload.loss(examples) / n_batches;
        loss.backward();
        loss.double_value(&[])
    }
}

fn device(choice: DeviceChoice) -> anyhow::Result<Device> {
    match choice {
        DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Auto => Ok(Device::cuda_if_available()),
        DeviceChoice::Cuda(index) => {
            let n_devices = if Cuda::is_available() { Cuda::device_count() } else { 0 };
            if n_devices <= index as i64 {
                bail!("--device cuda:{index}: libtorch finds {n_devices} GPUs: expected a number below that, or cpu");
            }
            Ok(Device::Cuda(index))
        }
    }
}
