//! Takes an optimizer through recorded gradients and writes where every step leads.
//!
//! ```text
//! trajectory INPUT.npz OUTPUT.npz KIND ALGORITHM [SETTING=VALUE]...
//! ```
//!
//! The input has, per tensor, `parameter.NAME`, `gradient.NAME` with one gradient per step, and `present.NAME` with 1
//! for each step at which the tensor has a gradient. The output has, per tensor, `parameter.NAME` after every step and
//! `state.NAME.BUFFER` after every step that had a gradient. KIND is that of the computation: float, double or bfloat16.

use std::collections::BTreeMap;
use std::env;
use std::error::Error;

use epsiloscope_optimizers::{
    AdaBelief, AdaMomentum, Adagrad, Adam, Algorithm, EAdam, NAdam, Optimizer, RAdam, RmsProp, WeightDecay, Yogi,
};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [input, output, kind, name, settings @ ..] = &arguments[..] else {
        return Err("expected INPUT.npz OUTPUT.npz KIND ALGORITHM [SETTING=VALUE]...".into());
    };
    let mut settings = Settings::parse(settings)?;
    let lr = settings.take("lr", 1e-3);
    let algorithm = algorithm(name, &mut settings)?;
    settings.expect_nothing_more()?;

    let gradients = Tensor::read_npz(input)?.into_iter().collect();
    let trajectory = trajectory(&gradients, parse_kind(kind)?, algorithm, lr)?;
    let stacked: Vec<_> = trajectory.iter().map(|(name, steps)| (name, Tensor::stack(steps, 0))).collect();
    Ok(Tensor::write_npz(&stacked, output)?)
}

fn trajectory(
    input: &BTreeMap<String, Tensor>,
    kind: Kind,
    algorithm: Box<dyn Algorithm>,
    lr: f64,
) -> Result<BTreeMap<String, Vec<Tensor>>, Box<dyn Error>> {
    let mut var_store = VarStore::new(Device::Cpu);
    var_store.set_kind(kind);
    let names: Vec<&str> = input.keys().filter_map(|key| key.strip_prefix("parameter.")).collect();
    let parameters: Vec<Tensor> =
        names.iter().map(|name| var_store.root().var_copy(name, &input[&format!("parameter.{name}")])).collect();
    let mut optimizer = Optimizer::new(algorithm, &var_store, lr)?;
    let mut trajectory: BTreeMap<String, Vec<Tensor>> = BTreeMap::new();
    let mut put = |key, tensor: &Tensor| trajectory.entry(key).or_default().push(readable(tensor));
    let steps = input[&format!("gradient.{}", names[0])].size()[0];
    for step in 0..steps {
        // The gradient of p·g with respect to p is g, exactly.
        let mut loss = Tensor::zeros([0_i64; 0], (kind, Device::Cpu));
        let present = |name: &str| input[&format!("present.{name}")].int64_value(&[step]) == 1;
        for (name, parameter) in names.iter().zip(&parameters).filter(|(name, _)| present(name)) {
            let gradient = input[&format!("gradient.{name}")].get(step).to_kind(kind);
            loss += (parameter * gradient).sum(kind);
        }
        optimizer.backward_step(&loss)?;
        for (name, parameter) in names.iter().zip(&parameters) {
            put(format!("parameter.{name}"), parameter);
        }
        for (name, state) in optimizer.states().filter(|(name, _)| present(name)) {
            state.buffers().for_each(|(buffer, values)| put(format!("state.{name}.{buffer}"), values));
        }
    }
    Ok(trajectory)
}

/// A copy of a kind that NumPy knows.
fn readable(tensor: &Tensor) -> Tensor {
    let kind = if tensor.kind() == Kind::BFloat16 { Kind::Float } else { tensor.kind() };
    tensor.detach().copy().to_kind(kind)
}

fn parse_kind(name: &str) -> Result<Kind, String> {
    match name {
        "float" => Ok(Kind::Float),
        "double" => Ok(Kind::Double),
        "bfloat16" => Ok(Kind::BFloat16),
        _ => Err(format!("unknown kind {name:?}: expected float, double or bfloat16")),
    }
}

/// An algorithm with its own defaults for the settings that are not given.
fn algorithm(name: &str, settings: &mut Settings) -> Result<Box<dyn Algorithm>, String> {
    macro_rules! with_settings {
        ($default:expr, $($field:ident),*) => {{
            let mut algorithm = $default;
            algorithm.weight_decay = settings.weight_decay(algorithm.weight_decay);
            $(algorithm.$field = settings.take(stringify!($field), algorithm.$field);)*
            algorithm
        }};
    }
    Ok(match name {
        "adam" => Box::new(with_settings!(Adam::default(), beta1, beta2, epsilon)),
        "adamw" => Box::new(with_settings!(Adam::adamw(), beta1, beta2, epsilon)),
        "amsgrad" => Box::new(with_settings!(Adam::amsgrad(), beta1, beta2, epsilon)),
        "nadam" => Box::new(with_settings!(NAdam::default(), beta1, beta2, epsilon, momentum_decay)),
        "radam" => Box::new(with_settings!(RAdam::default(), beta1, beta2, epsilon)),
        "rmsprop" => Box::new(with_settings!(RmsProp::default(), alpha, epsilon, momentum)),
        "centered-rmsprop" => {
            Box::new(with_settings!(RmsProp { centered: true, ..RmsProp::default() }, alpha, epsilon, momentum))
        }
        "adagrad" => Box::new(with_settings!(Adagrad::default(), lr_decay, initial_accumulator, epsilon)),
        "adabelief" => Box::new(with_settings!(AdaBelief::default(), beta1, beta2, epsilon)),
        "unrectified-adabelief" => {
            Box::new(with_settings!(AdaBelief { rectify: false, ..AdaBelief::default() }, beta1, beta2, epsilon))
        }
        "adamomentum" => Box::new(with_settings!(AdaMomentum::default(), beta1, beta2, epsilon)),
        "eadam" => Box::new(with_settings!(EAdam::default(), beta1, beta2, epsilon)),
        "yogi" => Box::new(with_settings!(Yogi::default(), beta1, beta2, epsilon, initial_accumulator)),
        _ => return Err(format!("unknown algorithm {name:?}")),
    })
}

/// Settings by name.
struct Settings(BTreeMap<String, f64>);

impl Settings {
    fn parse(arguments: &[String]) -> Result<Self, Box<dyn Error>> {
        let parse = |argument: &String| match argument.split_once('=') {
            Some((name, value)) => Ok((name.to_owned(), value.parse()?)),
            None => Err(format!("{argument}: expected SETTING=VALUE").into()),
        };
        arguments.iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    fn take(&mut self, name: &str, default: f64) -> f64 {
        self.0.remove(name).unwrap_or(default)
    }

    fn weight_decay(&mut self, default: WeightDecay) -> WeightDecay {
        let coupled = self.0.remove("coupled").map(WeightDecay::Coupled);
        coupled.or_else(|| self.0.remove("decoupled").map(WeightDecay::Decoupled)).unwrap_or(default)
    }

    fn expect_nothing_more(&self) -> Result<(), String> {
        self.0.keys().next().map_or(Ok(()), |name| Err(format!("{name}: not a setting of this algorithm")))
    }
}
