//! What is typed: commands, options, and what they say in `--help`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Parser, Subcommand, ValueEnum};
use epsiloscope_recorder::{MagnitudePolicy, Mode, Optimizer};

const EXAMPLES: &str = "\
Examples:
  Calibrate on the images that the project carries: one epoch, frozen weights
    epsiloscope-record calibrate --out runs/calibration
  Train and record with another optimizer and ε
    epsiloscope-record train --optimizer rmsprop --epsilon 1e-4 --out runs/a
  A language model with clipped gradients, on the text that the project carries
    epsiloscope-record train --model lstm --lr 3e-3 --clip-norm 1 --epochs 3 \\
      --metrics lstm.csv --out runs/lstm
  Translation of number words, four batches to a step
    epsiloscope-record train --model seq2seq --batch-size 16 \\
      --gradient-accumulation 4 --out runs/seq2seq
  More images, on a GPU, every element's values
    epsiloscope-record train --model resnet18 --data DIR --device cuda:0 \\
      --magnitudes all --out runs/b
";

/// Trains reference networks on images, text or translations and records their gradient magnitudes.
#[derive(Debug, Parser)]
#[command(name = "epsiloscope-record", version, before_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Records with the weights frozen at their initial values; dropout and shuffling are on.
    #[command(before_help = EXAMPLES)]
    Calibrate(Options),
    /// Records while the weights are trained.
    #[command(before_help = EXAMPLES)]
    Train(Options),
}

impl Command {
    pub(crate) fn options(&self) -> &Options {
        match self {
            Self::Calibrate(options) | Self::Train(options) => options,
        }
    }

    pub(crate) fn mode(&self) -> Mode {
        match self {
            Self::Calibrate(_) => Mode::Calibration,
            Self::Train(_) => Mode::Monitoring,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The run directory to write.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,

    /// Replace an earlier run in --out and an earlier file --metrics.
    #[arg(long)]
    pub(crate) overwrite: bool,

    /// A CSV file for the metrics on held-out data, which training computes at the end of every epoch: epoch, step,
    /// metric, value.
    #[arg(long, value_name = "FILE")]
    pub(crate) metrics: Option<PathBuf>,

    /// What to learn from. Images: a directory of IDX files, gzipped or not, named as MNIST and Fashion-MNIST name them
    /// [default: data/fashion-mnist-subset]. Language models: a text [default: data/opticks/opticks.txt]. seq2seq: lines
    /// of `source<TAB>target` [default: English and German number words]. The last tenth of text and lines is
    /// held out.
    #[arg(long, value_name = "PATH")]
    pub(crate) data: Option<PathBuf>,

    /// The network.
    #[arg(long, value_enum, default_value_t = Model::Cnn)]
    pub(crate) model: Model,

    /// Layers of lstm and transformer, and of either side of seq2seq [default: 2].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..=64))]
    pub(crate) layers: Option<i64>,

    /// Bytes that lstm and transformer see at most of what comes before [default: 64].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..=65536))]
    pub(crate) context: Option<i64>,

    /// The optimizer.
    #[arg(long, value_enum, default_value_t = Algorithm::Adam)]
    pub(crate) optimizer: Algorithm,

    /// The optimizer's ε.
    #[arg(long, value_name = "NUMBER", default_value = "1e-8", value_parser = not_negative, allow_negative_numbers = true)]
    pub(crate) epsilon: f64,

    /// Learning rate.
    #[arg(long, value_name = "NUMBER", default_value = "1e-3", value_parser = not_negative, allow_negative_numbers = true)]
    pub(crate) lr: f64,

    /// Decay of the first moment; RMSprop has none.
    #[arg(long, value_name = "NUMBER", default_value_t = 0.9, value_parser = decay, allow_negative_numbers = true)]
    pub(crate) beta1: f64,

    /// Decay of the second moment; RMSprop's α.
    #[arg(long, value_name = "NUMBER", default_value_t = 0.999, value_parser = decay, allow_negative_numbers = true)]
    pub(crate) beta2: f64,

    /// Weight decay: part of the gradient for adam and rmsprop, apart from it for adamw.
    #[arg(long, value_name = "NUMBER", default_value_t = 0.0, value_parser = not_negative, allow_negative_numbers = true)]
    pub(crate) weight_decay: f64,

    /// Images, windows of text or lines per batch; the last batch of an epoch takes what is left.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) batch_size: i64,

    /// Batches per step, whose gradients are averaged; the last step of an epoch takes what is left.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) gradient_accumulation: u32,

    /// Scale gradients down to this norm, taken over all tensors together, before they are recorded.
    #[arg(long, value_name = "NUMBER", value_parser = positive, allow_negative_numbers = true)]
    pub(crate) clip_norm: Option<f64>,

    /// Passes over the training data.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..))]
    pub(crate) epochs: i32,

    /// Stop after this many steps.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) steps: Option<i64>,

    /// Seed of the initial weights, the order of the data, dropout and the choice of recorded elements.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) seed: i64,

    /// Where to compute: cpu, cuda:N, or auto for the first GPU if there is one.
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub(crate) device: DeviceChoice,

    /// Threads that libtorch computes with [default: one per core but one, which is left to the recorder's writer].
    /// More threads than free cores are many times slower than fewer, unless `OMP_WAIT_POLICY=passive` is set.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub(crate) threads: Option<i32>,

    /// Elements of each tensor whose values are recorded at every step: all, none or their number.
    #[arg(long, value_name = "all|none|K", default_value = "4096")]
    pub(crate) magnitudes: Magnitudes,

    /// Whether to write the gradients' histograms of every step; critical ε are binned in any case.
    #[arg(long, value_enum, default_value_t = Switch::On)]
    pub(crate) histograms: Switch,

    /// Optimizers whose critical ε is recorded at the end of every epoch, separated by commas, or none.
    #[arg(long, value_name = "NAMES", default_value = "adam,rmsprop,adabelief,adamomentum")]
    pub(crate) critical_epsilon: CriticalEpsilon,
}

impl Options {
    /// Threads for libtorch: its own spin while they wait for each other, so they must not compete with the writer's.
    pub(crate) fn n_threads(&self) -> i32 {
        let all_but_one = || std::thread::available_parallelism().map_or(1, |cores| (cores.get() - 1).max(1) as i32);
        self.threads.unwrap_or_else(all_but_one)
    }
}

/// The reference networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Model {
    /// Two convolutions, dropout, two linear layers; 206,922 parameters.
    Cnn,
    /// Three linear layers; 235,146 parameters.
    Mlp,
    /// VGG11 with batch normalisation, images in a frame of 32×32; 9,229,962 parameters.
    Vgg11,
    /// A residual network of 18 layers for small images; 11,172,810 parameters.
    Resnet18,
    /// The same with a quarter of the channels; 701,178 parameters.
    Resnet18Narrow,
    /// A language model over bytes: LSTM layers, 256 units wide.
    Lstm,
    /// A language model over bytes: a causal transformer, 128 wide, 4 heads.
    Transformer,
    /// Translation byte by byte: a transformer with encoder and decoder, 128 wide, 4 heads.
    Seq2seq,
}

/// The optimizers that training can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Algorithm {
    Adam,
    Adamw,
    Rmsprop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}

/// The name by which a value is chosen.
pub(crate) fn name_of(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceChoice {
    Cpu,
    Cuda(usize),
    Auto,
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix("cuda:").map(str::parse)) {
            ("cpu", _) => Ok(Self::Cpu),
            ("auto", _) => Ok(Self::Auto),
            (_, Some(Ok(index))) => Ok(Self::Cuda(index)),
            _ => Err("expected cpu, cuda:N or auto".to_owned()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Magnitudes {
    All,
    None,
    Sample(u64),
}

impl Magnitudes {
    pub(crate) fn policy(self, seed: u64) -> MagnitudePolicy {
        match self {
            Self::All => MagnitudePolicy::All,
            Self::None => MagnitudePolicy::None,
            Self::Sample(elements_per_tensor) => MagnitudePolicy::Sample { elements_per_tensor, seed },
        }
    }
}

impl FromStr for Magnitudes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("all", _) => Ok(Self::All),
            ("none", _) => Ok(Self::None),
            (_, Ok(elements @ 1..)) => Ok(Self::Sample(elements)),
            _ => Err("expected all, none or a number above 0".to_owned()),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CriticalEpsilon(pub(crate) Vec<Optimizer>);

impl FromStr for CriticalEpsilon {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(Vec::new()));
        }
        let optimizers: Result<_, _> = text.split(',').map(Optimizer::from_str).collect();
        optimizers.map(Self).map_err(|unknown| format!("{unknown}, or none"))
    }
}

fn not_negative(text: &str) -> Result<f64, String> {
    in_range(text, |value| 0.0 <= value && value.is_finite(), "a finite number, 0 or more")
}

fn positive(text: &str) -> Result<f64, String> {
    in_range(text, |value| 0.0 < value && value.is_finite(), "a finite number above 0")
}

fn decay(text: &str) -> Result<f64, String> {
    in_range(text, |value| (0.0..1.0).contains(&value), "a number in [0, 1)")
}

fn in_range(text: &str, accepts: fn(f64) -> bool, expected: &str) -> Result<f64, String> {
    text.parse().ok().filter(|&value| accepts(value)).ok_or_else(|| format!("expected {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Args::command().debug_assert();
    }

    #[test]
    fn devices() {
        assert_eq!("cuda:1".parse(), Ok(DeviceChoice::Cuda(1)));
        assert_eq!("auto".parse(), Ok(DeviceChoice::Auto));
        for bad in ["cuda", "cuda:", "cuda:-1", "gpu", ""] {
            assert!(bad.parse::<DeviceChoice>().is_err(), "{bad}");
        }
    }

    #[test]
    fn magnitudes() {
        assert_eq!("17".parse(), Ok(Magnitudes::Sample(17)));
        assert_eq!("all".parse(), Ok(Magnitudes::All));
        for bad in ["0", "-1", "some", "1.5"] {
            assert!(bad.parse::<Magnitudes>().is_err(), "{bad}");
        }
    }

    #[test]
    fn critical_epsilons() {
        assert_eq!("none".parse(), Ok(CriticalEpsilon(Vec::new())));
        assert_eq!("adabelief,adam".parse(), Ok(CriticalEpsilon(vec![Optimizer::AdaBelief, Optimizer::Adam])));
        let fault = "adam,lion".parse::<CriticalEpsilon>();
        let fault = fault.unwrap_err();
        assert!(fault.starts_with(r#"unknown optimizer "lion": expected one of adam, "#), "{fault}");
        assert!(fault.ends_with(", yogi, or none"), "{fault}");
    }
}
