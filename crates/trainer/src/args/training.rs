//! What is trained and how.

use std::str::FromStr;

use clap::ValueEnum;

use super::numbers::{decay, not_negative, positive};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Training")]
pub(crate) struct TrainingOptions {
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
    #[arg(long, value_enum, default_value_t = OptimizerName::Adam)]
    pub(crate) optimizer: OptimizerName,

    /// The optimizer's ε [default: 1e-10 for adagrad, 1e-16 for adabelief, 1e-3 for yogi, 1e-8 for the others].
    #[arg(long, value_name = "NUMBER", value_parser = not_negative, allow_negative_numbers = true)]
    pub(crate) epsilon: Option<f64>,

    /// Learning rate.
    #[arg(long, value_name = "NUMBER", default_value = "1e-3", value_parser = not_negative, allow_negative_numbers = true)]
    pub(crate) lr: f64,

    /// Decay of the first moment, which rmsprop, rmsprop-centered and adagrad lack [default: 0.9].
    #[arg(long, value_name = "NUMBER", value_parser = decay, allow_negative_numbers = true)]
    pub(crate) beta1: Option<f64>,

    /// Decay of the second moment, rmsprop's α; adagrad has none [default: 0.999].
    #[arg(long, value_name = "NUMBER", value_parser = decay, allow_negative_numbers = true)]
    pub(crate) beta2: Option<f64>,

    /// Weight decay: apart from the gradient for adamw, adabelief and adamomentum, part of it for the others.
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

    /// Take numbers below 1.2e-38 for zero, gradients among them: processors compute with those many times slower, and
    /// saturated recurrent networks have them by the thousand.
    #[arg(long)]
    pub(crate) flush_denormals: bool,
}

impl TrainingOptions {
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
pub(crate) enum OptimizerName {
    Adam,
    /// Adam with weight decay apart from the gradient.
    Adamw,
    Amsgrad,
    Nadam,
    Radam,
    Rmsprop,
    /// RMSprop that divides by the root of v − ḡ².
    RmspropCentered,
    Adagrad,
    /// Without rectification.
    Adabelief,
    Adamomentum,
    Eadam,
    Yogi,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices() {
        assert_eq!("cuda:1".parse(), Ok(DeviceChoice::Cuda(1)));
        assert_eq!("auto".parse(), Ok(DeviceChoice::Auto));
        for bad in ["cuda", "cuda:", "cuda:-1", "gpu", ""] {
            assert!(bad.parse::<DeviceChoice>().is_err(), "{bad}");
        }
    }
}
