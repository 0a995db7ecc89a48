//! VGG11 with batch normalisation, as it is trained on CIFAR: configuration A of Simonyan & Zisserman 2014 (arXiv
//! 1409.1556), one linear layer behind it. Its convolutions keep their biases, whose gradients are rounding noise.

use tch::Tensor;
use tch::nn::{self, ConvConfig, Module, ModuleT};

use crate::models::layers::{batch_norm, conv, linear};
use crate::models::{N_CLASSES, SIDE};

/// Channels of each convolution and whether a pooling halves the image behind it.
const LAYERS: [(i64, bool); 8] =
    [(64, true), (128, true), (256, false), (256, true), (512, false), (512, true), (512, false), (512, true)];
/// Five times halved, CIFAR's 32 pixels leave one; images of 28 get a black frame.
const FRAME: i64 = (32 - SIDE) / 2;

#[derive(Debug)]
pub(crate) struct Vgg {
    features: Vec<ConvUnit>,
    fc: nn::Linear,
}

#[derive(Debug)]
struct ConvUnit {
    conv: nn::Conv2D,
    norm: nn::BatchNorm,
    pools: bool,
}

pub(crate) fn vgg11(root: &nn::Path<'_>) -> Vgg {
    let mut inputs = 1;
    let unit = |(index, (outputs, pools)): (usize, (i64, bool))| {
        let (conv_path, norm_path) = (root / format!("conv{}", index + 1), root / format!("norm{}", index + 1));
        let conv = conv(conv_path, inputs, outputs, 3, ConvConfig::default());
        inputs = outputs;
        ConvUnit { conv, norm: batch_norm(norm_path, outputs), pools }
    };
    let features = LAYERS.into_iter().enumerate().map(unit).collect();
    Vgg { features, fc: linear(root / "fc", inputs, N_CLASSES) }
}

impl ModuleT for Vgg {
    fn forward_t(&self, images: &Tensor, train: bool) -> Tensor {
        let framed = images.constant_pad_nd([FRAME; 4]);
        let features = self.features.iter().fold(framed, |features, unit| unit.forward_t(&features, train));
        self.fc.forward(&features.flatten(1, -1))
    }
}

impl ModuleT for ConvUnit {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        let output = self.norm.forward_t(&self.conv.forward(input), train).relu();
        if self.pools { output.max_pool2d_default(2) } else { output }
    }
}
