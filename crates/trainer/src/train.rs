//! The training loop, with the recorder in it.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use epsiloscope_format::escaped;
use epsiloscope_recorder::{Mode, OptimizerSettings, Recorder, StepInfo};
use tch::nn::{self, OptimizerConfig, VarStore};
use tch::{Cuda, Device, Kind, Tensor};

use crate::args::{Algorithm, Args, Command, DeviceChoice, Options, Switch, name_of};
use crate::metrics::MetricsFile;
use crate::output;
use crate::progress::Progress;
use crate::workloads::{self, Metric, Workload};

/// Trains and records as asked; the exit code tells whether all of it was written.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let options = args.command.options();
    let device = device(options.device)?;
    tch::set_num_threads(options.n_threads());
    tch::manual_seed(options.seed);
    let var_store = VarStore::new(device);
    let workload = workloads::open(options, &var_store)?;
    output::prepare(&options.out, options.overwrite)?;
    let metrics = metrics_file(options)?;
    let mut training = Training {
        options,
        mode: args.command.mode(),
        optimizer: optimizer(options, &var_store)?,
        recorder: recorder(&args.command, &var_store, &*workload)?,
        metrics,
        metrics_lost: false,
        progress: Progress::new(n_steps(options, &*workload)),
        workload,
        warned: false,
    };
    training.run();
    Ok(training.finish())
}

/// Everything that a step needs.
struct Training<'a> {
    options: &'a Options,
    mode: Mode,
    workload: Box<dyn Workload>,
    optimizer: nn::Optimizer,
    recorder: Recorder,
    metrics: Option<MetricsFile>,
    /// Whether the metrics of an epoch could not be written.
    metrics_lost: bool,
    progress: Progress,
    /// Whether a failure of the recorder has been told.
    warned: bool,
}

impl Training<'_> {
    fn run(&mut self) {
        let n_steps = n_steps(self.options, &*self.workload) as usize;
        let (mut epoch, mut done) = (0, 0);
        while done < n_steps {
            epoch += 1;
            // Drawn on the CPU, so that a seed gives the same order on every device.
            let order = Tensor::randperm(self.workload.n_examples(), (Kind::Int64, Device::Cpu));
            let batches = order.split(self.options.batch_size, 0);
            let steps = batches.chunks(self.options.gradient_accumulation as usize).take(n_steps - done);
            done += steps.len();
            for (left, batches) in (0..steps.len()).rev().zip(steps) {
                self.step(epoch, batches, left == 0);
            }
            if self.mode == Mode::Monitoring {
                self.log_metrics(epoch, done, &self.workload.evaluate());
            }
        }
    }

    fn step(&mut self, epoch: i32, batches: &[Tensor], snapshot: bool) {
        self.optimizer.zero_grad();
        let n_batches = batches.len() as f64;
        let loss = batches.iter().map(|examples| self.backward(examples, n_batches)).sum();
        if let Some(norm) = self.options.clip_norm {
            self.optimizer.clip_grad_norm(norm);
        }
        let (epoch, learning_rate) = (Some(epoch), Some(self.options.lr));
        self.recorder.step(&StepInfo { epoch, loss: Some(loss), learning_rate, snapshot, ..StepInfo::default() });
        if self.mode == Mode::Monitoring {
            self.optimizer.step();
        }
        self.progress.step(loss);
        self.warn_of_failure();
    }

    /// Adds a batch's share to the gradients and returns its share of the loss.
    fn backward(&self, examples: &Tensor, n_batches: f64) -> f64 {
        let loss = self.workload.loss(examples) / n_batches;
        loss.backward();
        loss.double_value(&[])
    }

    /// Shows the metrics of an epoch and writes them to the file that was asked for.
    fn log_metrics(&mut self, epoch: i32, step: usize, metrics: &[Metric]) {
        let told: Vec<_> =
            metrics.iter().map(|(name, value)| format!("{} {value:.4}", name.replace('_', " "))).collect();
        self.progress.line(&format!("epoch {epoch}: {}", told.join(", ")));
        let appended = self.metrics.as_mut().map(|file| file.append(epoch, step, metrics));
        if let Some(Err(fault)) = appended {
            self.metrics_lost = true;
            self.progress.line(&format!("epsiloscope-record: metrics lost: {}", escaped(&format!("{fault:#}"))));
        }
    }

    fn warn_of_failure(&mut self) {
        if let Some(fault) = self.recorder.failure().filter(|_| !self.warned) {
            self.warned = true;
            self.progress
                .line(&format!("epsiloscope-record: training goes on unrecorded: {}", escaped(&fault.to_string())));
        }
    }

    fn finish(self) -> ExitCode {
        let (n_steps, out) = (self.recorder.steps(), escaped(&self.options.out.display().to_string()));
        let finished = self.recorder.finish();
        self.progress.finish();
        match finished {
            Ok(()) => {
                self.progress.line(&format!("{n_steps} steps recorded in {out}; next: epsiloscope estimate {out}"));
                return ExitCode::from(u8::from(self.metrics_lost));
            }
            Err(fault) if !self.warned => {
                self.progress.line(&format!("epsiloscope-record: recording failed: {}", escaped(&fault.to_string())));
            }
            Err(_told) => {}
        }
        ExitCode::FAILURE
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

fn optimizer(options: &Options, var_store: &VarStore) -> anyhow::Result<nn::Optimizer> {
    let Options { beta1, beta2, weight_decay: wd, epsilon: eps, lr, .. } = *options;
    let built = match options.optimizer {
        Algorithm::Adam => nn::Adam { beta1, beta2, wd, eps, amsgrad: false }.build(var_store, lr),
        Algorithm::Adamw => nn::AdamW { beta1, beta2, wd, eps, amsgrad: false }.build(var_store, lr),
        Algorithm::Rmsprop => {
            nn::RmsProp { alpha: beta2, eps, wd, momentum: 0.0, centered: false }.build(var_store, lr)
        }
    };
    built.context("cannot build the optimizer")
}

fn recorder(command: &Command, var_store: &VarStore, workload: &dyn Workload) -> anyhow::Result<Recorder> {
    let options = command.options();
    let builder = Recorder::builder(var_store, settings(options))
        .mode(command.mode())
        .magnitudes(options.magnitudes.policy(options.seed as u64))
        .histograms(options.histograms == Switch::On)
        .critical_epsilon(&options.critical_epsilon.0)
        .accumulated_batches(options.gradient_accumulation)
        .clipped(options.clip_norm.is_some())
        .coupled_weight_decay(match options.optimizer {
            Algorithm::Adam | Algorithm::Rmsprop => options.weight_decay,
            Algorithm::Adamw => 0.0,
        });
    let labels = workload.labels().into_iter().chain(labels(options, var_store.device()));
    Ok(labels.fold(builder, |builder, (key, value)| builder.label(key, value)).start(&options.out)?)
}

fn labels(options: &Options, device: Device) -> impl Iterator<Item = (&'static str, String)> {
    let clip_norm = options.clip_norm.map(|norm| ("clip_norm", norm.to_string()));
    let labels = [
        ("model", name_of(&options.model)),
        ("batch_size", options.batch_size.to_string()),
        ("epochs", options.epochs.to_string()),
        ("seed", options.seed.to_string()),
        ("device", device_name(device)),
        // Sums are split among threads, which shows in the last bits.
        ("threads", options.n_threads().to_string()),
        ("command", command_line()),
    ];
    labels.into_iter().chain(clip_norm)
}

fn metrics_file(options: &Options) -> anyhow::Result<Option<MetricsFile>> {
    options.metrics.as_deref().map(|path| MetricsFile::create(path, options.overwrite)).transpose()
}

fn settings(options: &Options) -> OptimizerSettings {
    let has_beta1 = options.optimizer != Algorithm::Rmsprop;
    OptimizerSettings {
        name: name_of(&options.optimizer),
        learning_rate: options.lr,
        epsilon: options.epsilon,
        beta1: has_beta1.then_some(options.beta1),
        beta2: Some(options.beta2),
        weight_decay: options.weight_decay,
    }
}

fn device_name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        _ => "cpu".to_owned(),
    }
}

/// The command as typed, without the place of the executable.
fn command_line() -> String {
    let mut words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    if let Some(program) = words.first_mut() {
        *program = Path::new(program.as_str()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    }
    words.join(" ")
}

/// Steps of all epochs, or as many as were asked for.
fn n_steps(options: &Options, workload: &dyn Workload) -> i64 {
    let n_batches = (workload.n_examples() as u64).div_ceil(options.batch_size as u64);
    let all = i64::from(options.epochs) * n_batches.div_ceil(options.gradient_accumulation.into()) as i64;
    options.steps.map_or(all, |steps| steps.min(all))
}
