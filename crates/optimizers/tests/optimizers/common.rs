//! What the tests share: every algorithm, a small store, and steps by given gradients.

use std::collections::BTreeMap;

use epsiloscope_optimizers::{
    AdaBelief, AdaMomentum, Adagrad, Adam, Algorithm, EAdam, NAdam, Optimizer, RAdam, RmsProp, Yogi,
};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

/// Every algorithm, in each of its forms, and the names of its buffers.
pub(crate) fn algorithms() -> Vec<(Box<dyn Algorithm>, &'static [&'static str])> {
    let moments: &[&str] = &["first_moment", "second_moment"];
    let centered = RmsProp { centered: true, momentum: 0.9, ..RmsProp::default() };
    vec![
        (Box::new(Adam::default()), moments),
        (Box::new(Adam::adamw()), moments),
        (Box::new(Adam::amsgrad()), &["first_moment", "max_second_moment", "second_moment"]),
        (Box::new(NAdam::default()), &["first_moment", "mu_product", "second_moment"]),
        (Box::new(RAdam::default()), moments),
        (Box::new(RmsProp::default()), &["second_moment"]),
        (Box::new(centered), &["first_moment", "momentum_buffer", "second_moment"]),
        (Box::new(Adagrad::default()), &["sum"]),
        (Box::new(AdaBelief::default()), moments),
        (Box::new(AdaBelief { rectify: false, ..AdaBelief::default() }), moments),
        (Box::new(AdaMomentum::default()), moments),
        (Box::new(EAdam::default()), moments),
        (Box::new(Yogi::default()), moments),
    ]
}

/// A store of one vector, `weight`.
pub(crate) fn store(values: &[f32]) -> (VarStore, Tensor) {
    let var_store = VarStore::new(Device::Cpu);
    let weight = var_store.root().var_copy("weight", &Tensor::from_slice(values));
    (var_store, weight)
}

/// A step by this gradient.
pub(crate) fn step(optimizer: &mut Optimizer, parameter: &Tensor, gradient: &[f32]) {
    optimizer.backward_step(&(parameter * Tensor::from_slice(gradient)).sum(parameter.kind())).unwrap();
}

/// A gradient that changes from step to step.
pub(crate) fn gradient(step: usize) -> Vec<f32> {
    (0..5).map(|i| ((step * 7 + i * 3) % 11) as f32 * 1e-3 - 4e-3).collect()
}

pub(crate) fn floats(tensor: &Tensor) -> Vec<f32> {
    tensor.detach().to_kind(Kind::Float).flatten(0, -1).try_into().unwrap()
}

pub(crate) fn bits(tensor: &Tensor) -> Vec<u32> {
    floats(tensor).iter().map(|value| value.to_bits()).collect()
}

/// The bits of everything that is kept.
pub(crate) fn state_bits(optimizer: &Optimizer) -> BTreeMap<String, Vec<u32>> {
    let mut all = BTreeMap::new();
    for (tensor, state) in optimizer.states() {
        all.insert(format!("{tensor}.steps"), vec![u32::try_from(state.steps()).unwrap()]);
        all.extend(state.buffers().map(|(name, buffer)| (format!("{tensor}.{name}"), bits(buffer))));
    }
    all
}
