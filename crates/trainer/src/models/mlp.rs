//! Three linear layers; weights begin Kaiming-uniform, as tch has it.

use tch::Tensor;
use tch::nn::{self, LinearConfig};

use crate::models::{N_CLASSES, SIDE};

pub(crate) fn mlp(root: &nn::Path<'_>) -> nn::Sequential {
    let linear = |name, inputs, outputs| nn::linear(root / name, inputs, outputs, LinearConfig::default());
    nn::seq()
        .add_fn(|images| images.flatten(1, -1))
        .add(linear("fc1", SIDE * SIDE, 256))
        .add_fn(Tensor::relu)
        .add(linear("fc2", 256, 128))
        .add_fn(Tensor::relu)
        .add(linear("fc3", 128, N_CLASSES))
}
