//! Layers as they begin in the papers or in PyTorch; tch's own defaults differ.

use tch::nn::{self, BatchNormConfig, ConvConfig, Init, LinearConfig};

/// A linear layer, weights and biases uniform within 1/√inputs, as PyTorch's `nn.Linear` begins.
pub(crate) fn linear(path: nn::Path<'_>, inputs: i64, outputs: i64) -> nn::Linear {
    // The default of the biases is PyTorch's already.
    nn::linear(path, inputs, outputs, LinearConfig { ws_init: within(inputs), ..LinearConfig::default() })
}

/// Uniform within 1/√n.
pub(crate) fn within(n: i64) -> Init {
    let bound = (n as f64).sqrt().recip();
    Init::Uniform { lo: -bound, up: bound }
}

/// A 3×3 or 1×1 convolution that keeps the size but for its stride. Weights begin normal with variance 2/fan-in (He et
/// al. 2015, arXiv 1502.01852, equation 10), biases at zero.
pub(crate) fn conv(path: nn::Path<'_>, inputs: i64, outputs: i64, kernel: i64, config: ConvConfig) -> nn::Conv2D {
    let config = ConvConfig { padding: kernel / 2, ws_init: nn::init::DEFAULT_KAIMING_NORMAL, ..config };
    nn::conv2d(path, inputs, outputs, kernel, config)
}

/// Batch normalisation, scales beginning at one, as in PyTorch.
pub(crate) fn batch_norm(path: nn::Path<'_>, channels: i64) -> nn::BatchNorm {
    nn::batch_norm2d(path, channels, BatchNormConfig { ws_init: Init::Const(1.0), ..BatchNormConfig::default() })
}
