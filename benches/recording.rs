//! What recording costs a training loop, against the same loop without; prints a table.
//!
//! Real training of the reference workloads, Adam, batches of 64. Every contender trains for the same time in turn, round
//! by round in one process, so that a busy machine disturbs all alike; a ratio is the median of the rounds' ratios of time
//! per step. What the recorder's own thread still has to do at the end of a turn is waited for and counted.
//!
//! `--secs N` is the length of a turn (default 8), `--rounds N` their number (default 5), `--threads N` how many
//! threads libtorch computes with (default: all cores but one), further arguments are workloads.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

#[expect(dead_code, reason = "the trainer's own modules, of which a benchmark needs a part")]
#[path = "../crates/trainer/src/args.rs"]
mod args;
#[expect(dead_code, reason = "as above")]
#[path = "../crates/trainer/src/models.rs"]
mod models;
#[expect(dead_code, reason = "as above")]
#[path = "../crates/trainer/src/workloads.rs"]
mod workloads;

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Parser as _;
use epsiloscope_format::{Run, Table};
use epsiloscope_recorder::{Mode, Optimizer, OptimizerSettings, Recorder, StepInfo};
use peak_alloc::PeakAlloc;
use tch::nn::{self, OptimizerConfig, VarStore};
use tch::{Device, Kind, Tensor};

use workloads::Workload;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Knows the peak of everything that Rust allocates; libtorch allocates elsewhere.
#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const WORKLOADS: [&str; 4] = ["cnn", "lstm", "transformer", "resnet18-narrow"];
const BATCH_SIZE: i64 = 64;
/// Bytes of a mebibyte.
const MIB: f64 = 1_048_576.0;

/// What watches the training.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Watching {
    Nothing,
    /// Exact histograms of every element and 4096 values per tensor, at every step.
    Recorder,
    /// The same, and exact critical ε of Adam for every element, at every step.
    RecorderWithAdam,
    /// What experiment trackers do: 64 linear bins per tensor, copied to the host.
    Histc,
    /// A logarithm of every magnitude and 640 bins of it.
    LogHistc,
}

impl Watching {
    const ALL: [Self; 5] = [Self::Nothing, Self::Recorder, Self::RecorderWithAdam, Self::Histc, Self::LogHistc];

    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Recorder => "epsiloscope",
            Self::RecorderWithAdam => "epsiloscope, with critical ε",
            Self::Histc => "histc(g), 64 bins",
            Self::LogHistc => "histc(log10(abs(g))), 640 bins",
        }
    }

    fn optimizers(self) -> Option<&'static [Optimizer]> {
        match self {
            Self::Recorder => Some(&[]),
            Self::RecorderWithAdam => Some(&[Optimizer::Adam]),
            Self::Nothing | Self::Histc | Self::LogHistc => None,
        }
    }
}

/// How long and with what.
struct Plan {
    turn: Duration,
    n_rounds: usize,
    n_threads: i32,
    workloads: Vec<String>,
}

fn main() -> Result<()> {
    // `cargo test --benches` and `cargo bench -- --list` only want to know that it builds.
    if std::env::args().any(|arg| arg == "--test" || arg == "--list") {
        return Ok(());
    }
    let plan = Plan::from_args()?;
    tch::set_num_threads(plan.n_threads);
    println!("{} threads for libtorch, {} rounds of {:?} each", plan.n_threads, plan.n_rounds, plan.turn);
    println!("{:<16} {:<31} {:>9} {:>8} {:>10} {:>12}", "workload", "watching", "ms/step", "ratio", "peak MiB", "KB/step");
    for name in &plan.workloads {
        measure(name, &plan)?;
    }
    Ok(())
}

impl Plan {
    fn from_args() -> Result<Self> {
        let all_but_one = std::thread::available_parallelism().map_or(1, |cores| (cores.get() - 1).max(1) as i32);
        let mut plan =
            Self { turn: Duration::from_secs(8), n_rounds: 5, n_threads: all_but_one, workloads: Vec::new() };
        let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
        while let Some(arg) = args.next() {
            let mut number = || args.next().ok_or_else(|| format!("{arg} needs a number"))?.parse().map_err(Box::<dyn Error>::from);
            match arg.as_str() {
                "--secs" => plan.turn = Duration::from_secs_f64(number()?),
                "--rounds" => plan.n_rounds = number()? as usize,
                "--threads" => plan.n_threads = number()? as i32,
                _ => plan.workloads.push(arg),
            }
        }
        if plan.workloads.is_empty() {
            plan.workloads = WORKLOADS.map(str::to_owned).to_vec();
        }
        Ok(plan)
    }
}

/// Trains one workload under every watcher in turn and prints a line for each.
fn measure(name: &str, plan: &Plan) -> Result<()> {
    let mut contenders: Vec<Contender> = Watching::ALL.map(|watching| Contender::new(name, watching)).into_iter().collect::<Result<_>>()?;
    for contender in &mut contenders {
        contender.warm_up();
    }
    for round in 0..plan.n_rounds {
        // Nobody always follows the same neighbour.
        for turn in 0..contenders.len() {
            let n_contenders = contenders.len();
            contenders[(round + turn) % n_contenders].train(plan.turn);
        }
    }
    let base = contenders[0].seconds_per_step.clone();
    for contender in contenders {
        contender.print(name, &base)?;
    }
    Ok(())
}

/// A network in training, and what watches it.
struct Contender {
    watching: Watching,
    workload: Box<dyn Workload>,
    var_store: VarStore,
    optimizer: nn::Optimizer,
    recorder: Option<Recorder>,
    dir: tempfile::TempDir,
    /// One per round.
    seconds_per_step: Vec<f64>,
    peak_bytes: usize,
}

impl Contender {
    fn new(name: &str, watching: Watching) -> Result<Self> {
        tch::manual_seed(0);
        let dir = tempfile::tempdir()?;
        let command = ["epsiloscope-record", "train", "--model", name, "--out", "unused"];
        let args = args::Args::try_parse_from(command)?;
        let var_store = VarStore::new(Device::Cpu);
        let workload = workloads::open(args.command.options(), &var_store)?;
        let optimizer = nn::Adam::default().build(&var_store, 1e-3)?;
        let start = |optimizers| {
            let builder = Recorder::builder(&var_store, settings()).mode(Mode::Monitoring).critical_epsilon(optimizers);
            builder.critical_epsilon_every_step(!optimizers.is_empty()).start(&dir.path().join("run"))
        };
        let recorder = watching.optimizers().map(start).transpose()?;
        let seconds_per_step = Vec::new();
        Ok(Self { watching, workload, var_store, optimizer, recorder, dir, seconds_per_step, peak_bytes: 0 })
    }

    fn warm_up(&mut self) {
        for _step in 0..3 {
            self.step();
        }
    }

    /// Trains for some time; the end of the turn is when nothing is left to be written.
    fn train(&mut self, turn: Duration) {
        let before = ALLOCATOR.current_usage();
        ALLOCATOR.reset_peak_usage();
        let (start, mut n_steps) = (Instant::now(), 0);
        while n_steps == 0 || start.elapsed() < turn {
            self.step();
            n_steps += 1;
        }
        if let Some(recorder) = &self.recorder {
            recorder.flush();
        }
        self.seconds_per_step.push(start.elapsed().as_secs_f64() / f64::from(n_steps));
        self.peak_bytes = self.peak_bytes.max(ALLOCATOR.peak_usage().saturating_sub(before));
    }

    fn step(&mut self) {
        let examples = Tensor::randint(self.workload.n_examples(), [BATCH_SIZE], (Kind::Int64, Device::Cpu));
        self.optimizer.zero_grad();
        let loss = self.workload.loss(&examples);
        loss.backward();
        let loss = loss.double_value(&[]);
        match (&mut self.recorder, self.watching) {
            (Some(recorder), _) => recorder.step(&StepInfo { loss: Some(loss), ..StepInfo::default() }),
            (None, Watching::Histc) => self.for_each_gradient(|gradient| gradient.histc(64)),
            (None, Watching::LogHistc) => {
                self.for_each_gradient(|gradient| gradient.abs().clamp_min(1e-30).log10().histc(640));
            }
            (None, _) => {}
        }
        self.optimizer.step();
    }

    fn for_each_gradient(&self, counts: impl Fn(&Tensor) -> Tensor) {
        for parameter in self.var_store.trainable_variables() {
            let counts: std::result::Result<Vec<f32>, _> = counts(&parameter.grad()).try_into();
            assert!(counts.is_ok_and(|counts| counts.iter().sum::<f32>() > 0.0));
        }
    }

    fn print(self, name: &str, base: &[f64]) -> Result<()> {
        let ratio = median(self.seconds_per_step.iter().zip(base).map(|(own, base)| own / base).collect());
        let milliseconds = 1e3 * median(self.seconds_per_step.clone());
        print!("{name:<16} {:<31} {milliseconds:>9.2} {ratio:>8.3}", self.watching.name());
        match self.recorder {
            None => println!(),
            Some(recorder) => {
                recorder.finish()?;
                let (peak, sizes) = (self.peak_bytes as f64 / MIB, sizes(&self.dir.path().join("run"))?);
                println!(" {peak:>10.1} {sizes}");
            }
        }
        Ok(())
    }
}

/// Bytes per step of each table.
fn sizes(dir: &Path) -> Result<String> {
    let run = Run::open(dir)?;
    let per_step = |table| run.parts(table).map(|part| part.bytes).sum::<u64>() as f64 / run.last_step() as f64 / 1e3;
    let sizes = Table::ALL.map(|table| format!("{} {:.1}", table.name(), per_step(table)));
    Ok(sizes.join(", "))
}

fn settings() -> OptimizerSettings {
    OptimizerSettings {
        name: "adam".to_owned(),
        learning_rate: 1e-3,
        epsilon: 1e-8,
        beta1: Some(0.9),
        beta2: Some(0.999),
        weight_decay: 0.0,
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
