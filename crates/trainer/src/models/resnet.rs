//! A residual network of 18 layers (He et al. 2015, arXiv 1512.03385, table 1) with the stem for small images: one 3×3
//! convolution, no pooling.
//! Every shortcut that changes the shape is a 1×1 convolution (option B).

use tch::Tensor;
use tch::nn::{self, ConvConfig, Module, ModuleT};

use crate::models::N_CLASSES;
use crate::models::layers::{batch_norm, conv, linear};

#[derive(Debug)]
pub(crate) struct Resnet {
    stem: ConvNorm,
    blocks: Vec<Block>,
    fc: nn::Linear,
}

/// A convolution without biases, which the normalisation would take out, and the normalisation.
#[derive(Debug)]
struct ConvNorm {
    conv: nn::Conv2D,
    norm: nn::BatchNorm,
}

#[derive(Debug)]
struct Block {
    first: ConvNorm,
    second: ConvNorm,
    /// `None` where the block keeps its input's shape.
    shortcut: Option<ConvNorm>,
}

/// Four stages of two blocks, `width` channels in the first; 64 in the paper.
pub(crate) fn resnet18(root: &nn::Path<'_>, width: i64) -> Resnet {
    let stem = conv_norm(root / "stem", 1, width, 3, 1);
    let mut inputs = width;
    let block = |index: i64| {
        let outputs = width << (index / 2);
        let built = block(&(root / format!("block{}", index + 1)), inputs, outputs);
        inputs = outputs;
        built
    };
    let blocks = (0..8).map(block).collect();
    Resnet { stem, blocks, fc: linear(root / "fc", inputs, N_CLASSES) }
}

fn block(path: &nn::Path<'_>, inputs: i64, outputs: i64) -> Block {
    // More channels, fewer pixels.
    let stride = if inputs == outputs { 1 } else { 2 };
    Block {
        first: conv_norm(path / "first", inputs, outputs, 3, stride),
        second: conv_norm(path / "second", outputs, outputs, 3, 1),
        shortcut: (inputs != outputs).then(|| conv_norm(path / "shortcut", inputs, outputs, 1, stride)),
    }
}

fn conv_norm(path: nn::Path<'_>, inputs: i64, outputs: i64, kernel: i64, stride: i64) -> ConvNorm {
    let config = ConvConfig { stride, bias: false, ..ConvConfig::default() };
    ConvNorm { conv: conv(&path / "conv", inputs, outputs, kernel, config), norm: batch_norm(path / "norm", outputs) }
}

impl ModuleT for Resnet {
    fn forward_t(&self, images: &Tensor, train: bool) -> Tensor {
        let features = self.stem.forward_t(images, train).relu();
        let features = self.blocks.iter().fold(features, |features, block| block.forward_t(&features, train));
        self.fc.forward(&features.adaptive_avg_pool2d([1, 1]).flatten(1, -1))
    }
}

impl ModuleT for Block {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        let residual = self.first.forward_t(input, train).relu();
        let residual = self.second.forward_t(&residual, train);
        (residual + input.apply_opt_t(&self.shortcut, train)).relu()
    }
}

impl ModuleT for ConvNorm {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        self.norm.forward_t(&self.conv.forward(input), train)
    }
}
