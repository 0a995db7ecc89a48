//! Two convolutions and two linear layers; weights begin Kaiming-uniform, as tch has it.

use tch::Tensor;
use tch::nn::{self, ConvConfig, LinearConfig, Module, ModuleT};

use crate::models::{N_CLASSES, SIDE};

const DROPOUT: f64 = 0.25;

#[derive(Debug)]
pub(crate) struct Cnn {
    conv1: nn::Conv2D,
    conv2: nn::Conv2D,
    fc1: nn::Linear,
    fc2: nn::Linear,
}

pub(crate) fn cnn(root: &nn::Path<'_>) -> Cnn {
    let same_size = ConvConfig { padding: 1, ..ConvConfig::default() };
    Cnn {
        conv1: nn::conv2d(root / "conv1", 1, 16, 3, same_size),
        conv2: nn::conv2d(root / "conv2", 16, 32, 3, same_size),
        fc1: nn::linear(root / "fc1", 32 * (SIDE / 4) * (SIDE / 4), 128, LinearConfig::default()),
        fc2: nn::linear(root / "fc2", 128, N_CLASSES, LinearConfig::default()),
    }
}

impl ModuleT for Cnn {
    fn forward_t(&self, images: &Tensor, train: bool) -> Tensor {
        let features = self.conv1.forward(images).relu().max_pool2d_default(2);
        let features = self.conv2.forward(&features).relu().max_pool2d_default(2);
        let features = features.flatten(1, -1).dropout(DROPOUT, train);
        self.fc2.forward(&self.fc1.forward(&features).relu())
    }
}
