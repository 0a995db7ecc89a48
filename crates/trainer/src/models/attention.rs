//! Residual sublayers of a transformer (Vaswani et al. 2017, arXiv 1706.03762), normalised on the way in (pre-norm,
//! Xiong et al. 2020, arXiv 2002.04745). Everything begins as PyTorch's linear layers do.

use tch::Tensor;
use tch::nn::{self, LayerNormConfig, Module};

use crate::models::layers::linear;

pub(crate) const WIDTH: i64 = 128;
const N_HEADS: i64 = 4;
const EXPANSION: i64 = 4;
pub(crate) const DROPOUT: f64 = 0.1;

/// What the positions of a sequence attend to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Attended<'a> {
    /// Themselves and what stands before them.
    Preceding,
    /// All of their sequence that the mask `[n, 1, 1, length]` leaves.
    Unmasked(&'a Tensor),
    /// All of another sequence that its mask leaves.
    Memory(&'a Tensor, &'a Tensor),
}

/// Attention of several heads.
#[derive(Debug)]
pub(crate) struct Attention {
    norm: nn::LayerNorm,
    query: nn::Linear,
    key: nn::Linear,
    value: nn::Linear,
    output: nn::Linear,
}

impl Attention {
    pub(crate) fn new(path: &nn::Path<'_>) -> Self {
        let square = |name| linear(path / name, WIDTH, WIDTH);
        Self {
            norm: layer_norm(path / "norm"),
            query: square("query"),
            key: square("key"),
            value: square("value"),
            output: square("output"),
        }
    }

    pub(crate) fn forward(&self, input: &Tensor, attended: Attended<'_>, train: bool) -> Tensor {
        let normed = self.norm.forward(input);
        let (keys, mask) = match attended {
            Attended::Preceding => (&normed, None),
            Attended::Unmasked(mask) => (&normed, Some(mask)),
            Attended::Memory(memory, mask) => (memory, Some(mask)),
        };
        let values = Tensor::scaled_dot_product_attention(
            &heads(&self.query.forward(&normed)),
            &heads(&self.key.forward(keys)),
            &heads(&self.value.forward(keys)),
            mask,
            0.0,
            mask.is_none(),
            None,
            false,
        );
        let joined = values.transpose(1, 2).flatten(2, 3);
        input + self.output.forward(&joined).dropout(DROPOUT, train)
    }
}

/// `[n, length, WIDTH]` as `[n, N_HEADS, length, WIDTH / N_HEADS]`.
fn heads(projected: &Tensor) -> Tensor {
    projected.unflatten(-1, [N_HEADS, WIDTH / N_HEADS]).transpose(1, 2)
}

/// Two linear layers at each position.
#[derive(Debug)]
pub(crate) struct FeedForward {
    norm: nn::LayerNorm,
    expand: nn::Linear,
    contract: nn::Linear,
}

impl FeedForward {
    pub(crate) fn new(path: &nn::Path<'_>) -> Self {
        Self {
            norm: layer_norm(path / "norm"),
            expand: linear(path / "expand", WIDTH, EXPANSION * WIDTH),
            contract: linear(path / "contract", EXPANSION * WIDTH, WIDTH),
        }
    }

    pub(crate) fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let expanded = self.expand.forward(&self.norm.forward(input)).gelu("none");
        input + self.contract.forward(&expanded).dropout(DROPOUT, train)
    }
}

pub(crate) fn layer_norm(path: nn::Path<'_>) -> nn::LayerNorm {
    nn::layer_norm(path, vec![WIDTH], LayerNormConfig::default())
}
