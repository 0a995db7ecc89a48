//! The reference networks, for grey images of 28×28 pixels and ten classes.

use tch::Tensor;
use tch::nn::{self, ConvConfig, Module, ModuleT};

use crate::args::Model;

/// Pixels along each side of an image.
pub(crate) const SIDE: i64 = 28;
const N_CLASSES: i64 = crate::idx::N_CLASSES as i64;
const DROPOUT: f64 = 0.25;

/// Builds a network; it takes images `[n, 1, 28, 28]` and gives logits `[n, 10]`.
pub(crate) fn build(model: Model, root: &nn::Path<'_>) -> Box<dyn ModuleT> {
    match model {
        Model::Cnn => Box::new(cnn(root)),
        Model::Mlp => Box::new(mlp(root)),
    }
}

#[derive(Debug)]
struct Cnn {
    conv1: nn::Conv2D,
    conv2: nn::Conv2D,
    fc1: nn::Linear,
    fc2: nn::Linear,
}

fn cnn(root: &nn::Path<'_>) -> Cnn {
    let same_size = ConvConfig { padding: 1, ..ConvConfig::default() };
    Cnn {
        conv1: nn::conv2d(root / "conv1", 1, 16, 3, same_size),
        conv2: nn::conv2d(root / "conv2", 16, 32, 3, same_size),
        fc1: linear(root, "fc1", 32 * (SIDE / 4) * (SIDE / 4), 128),
        fc2: linear(root, "fc2", 128, N_CLASSES),
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

fn mlp(root: &nn::Path<'_>) -> nn::Sequential {
    nn::seq()
        .add_fn(|images| images.flatten(1, -1))
        .add(linear(root, "fc1", SIDE * SIDE, 256))
        .add_fn(Tensor::relu)
        .add(linear(root, "fc2", 256, 128))
        .add_fn(Tensor::relu)
        .add(linear(root, "fc3", 128, N_CLASSES))
}

fn linear(root: &nn::Path<'_>, name: &str, inputs: i64, outputs: i64) -> nn::Linear {
    nn::linear(root / name, inputs, outputs, nn::LinearConfig::default())
}
