//! The training loop, with the recorder in it.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use epsiloscope_format::escaped;
use epsiloscope_recorder::{Mode, OptimizerSettings, Recorder, StepInfo};
use tch::nn::{self, ModuleT, OptimizerConfig, VarStore};
use tch::{Cuda, Device, Kind, Tensor};

use crate::args::{Algorithm, Args, Command, DeviceChoice, Options, Switch, name_of};
use crate::dataset::{self, Dataset, Split};
use crate::models;
use crate::output;
use crate::progress::Progress;

/// Images that the test accuracy is computed of at a time.
const TEST_BATCH_SIZE: i64 = 1000;

/// Trains and records as asked; the exit code tells whether recording lasted to the end.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let options = args.command.options();
    let device = device(options.device)?;
    let data_dir = dataset::directory(options.data.as_deref())?;
    let data = Dataset::read(&data_dir, device)?;
    output::prepare(&options.out, options.overwrite)?;
    tch::set_num_threads(options.n_threads());
    tch::manual_seed(options.seed);
    let var_store = VarStore::new(device);
    let mut training = Training {
        options,
        mode: args.command.mode(),
        model: models::build(options.model, &var_store.root()),
        optimizer: optimizer(options, &var_store)?,
        recorder: recorder(&args.command, &var_store, &data_dir, device)?,
        progress: Progress::new(n_steps(options, &data.train)),
        warned: false,
    };
    training.run(&data);
    Ok(training.finish())
}

/// Everything that a step needs.
struct Training<'a> {
    options: &'a Options,
    mode: Mode,
    model: Box<dyn ModuleT>,
    optimizer: nn::Optimizer,
    recorder: Recorder,
    progress: Progress,
    /// Whether a failure of the recorder has been told.
    warned: bool,
}

impl Training<'_> {
    fn run(&mut self, data: &Dataset) {
        let mut steps_left = n_steps(self.options, &data.train);
        let mut epoch = 0;
        while steps_left > 0 {
            epoch += 1;
            let n_batches = data.train.n_batches(self.options.batch_size).min(steps_left);
            steps_left -= n_batches;
            let batches = data.train.shuffled(self.options.batch_size);
            for (batch, left) in batches.zip((0..n_batches).rev()) {
                self.step(epoch, &batch, left == 0);
            }
            if self.mode == Mode::Monitoring {
                let accuracy = 100.0 * accuracy(&*self.model, &data.test);
                self.progress.line(&format!("epoch {epoch}: test accuracy {accuracy:.2} %"));
            }
        }
    }

    fn step(&mut self, epoch: i32, (images, labels): &(Tensor, Tensor), snapshot: bool) {
        let loss = self.model.forward_t(images, true).cross_entropy_for_logits(labels);
        self.optimizer.zero_grad();
        loss.backward();
        let loss = loss.double_value(&[]);
        let (epoch, learning_rate) = (Some(epoch), Some(self.options.lr));
        self.recorder.step(&StepInfo { epoch, loss: Some(loss), learning_rate, snapshot, ..StepInfo::default() });
        if self.mode == Mode::Monitoring {
            self.optimizer.step();
        }
        self.progress.step(loss);
        self.warn_of_failure();
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
                return ExitCode::SUCCESS;
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

fn recorder(command: &Command, var_store: &VarStore, data: &Path, device: Device) -> anyhow::Result<Recorder> {
    let options = command.options();
    let recorder = Recorder::builder(var_store, settings(options))
        .mode(command.mode())
        .magnitudes(options.magnitudes.policy(options.seed as u64))
        .histograms(options.histograms == Switch::On)
        .critical_epsilon(&options.critical_epsilon.0)
        .coupled_weight_decay(match options.optimizer {
            Algorithm::Adam | Algorithm::Rmsprop => options.weight_decay,
            Algorithm::Adamw => 0.0,
        })
        .label("model", name_of(&options.model))
        .label("data", data.display().to_string())
        .label("batch_size", options.batch_size.to_string())
        .label("epochs", options.epochs.to_string())
        .label("seed", options.seed.to_string())
        .label("device", device_name(device))
        // Sums are split among threads, which shows in the last bits.
        .label("threads", options.n_threads().to_string())
        .label("command", command_line())
        .start(&options.out)?;
    Ok(recorder)
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
fn n_steps(options: &Options, train: &Split) -> i64 {
    let all = i64::from(options.epochs) * train.n_batches(options.batch_size);
    options.steps.map_or(all, |steps| steps.min(all))
}

/// The share of images whose class the model finds.
fn accuracy(model: &dyn ModuleT, test: &Split) -> f64 {
    let _no_grad = tch::no_grad_guard();
    let correct = |(images, labels): (Tensor, Tensor)| {
        let classes = model.forward_t(&images, false).argmax(-1, false);
        classes.eq_tensor(&labels).sum(Kind::Int64).int64_value(&[])
    };
    test.in_order(TEST_BATCH_SIZE).map(correct).sum::<i64>() as f64 / test.len() as f64
}
