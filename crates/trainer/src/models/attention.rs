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

/// Attention of several heads, with PyTorch's biases. Those of the keys move all scores of a query alike, which cancels
/// in the softmax: their gradients are rounding noise.
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

#[cfg(test)]
mod tests {
    use tch::nn::VarStore;
    use tch::{Device, Kind};

    use super::*;

    /// Section 3.2.2 of the paper, head by head.
    fn by_heads(attention: &Attention, input: &Tensor, keys: &Tensor, allowed: &Tensor) -> Tensor {
        let size = WIDTH / N_HEADS;
        let head = |index: i64| {
            let part = |layer: &nn::Linear, input: &Tensor| layer.forward(input).narrow(-1, index * size, size);
            let (query, key) = (part(&attention.query, &attention.norm.forward(input)), part(&attention.key, keys));
            let scores = query.matmul(&key.transpose(1, 2)) / (size as f64).sqrt();
            let weights = scores.masked_fill(&allowed.logical_not(), f64::NEG_INFINITY).softmax(-1, Kind::Float);
            weights.matmul(&part(&attention.value, keys))
        };
        let joined = Tensor::cat(&(0..N_HEADS).map(head).collect::<Vec<_>>(), -1);
        input + attention.output.forward(&joined)
    }

    #[test]
    fn attention_equals_that_of_its_heads() {
        tch::manual_seed(1);
        let (var_store, cpu) = (VarStore::new(Device::Cpu), (Kind::Float, Device::Cpu));
        let attention = Attention::new(&var_store.root());
        let (input, memory) = (Tensor::randn([2, 5, WIDTH], cpu), Tensor::randn([2, 3, WIDTH], cpu));
        let lower = Tensor::ones([5, 5], (Kind::Bool, Device::Cpu)).tril(0);
        let normed = attention.norm.forward(&input);
        let mask = Tensor::from_slice(&[true, true, false, true, true, true]).view([2, 1, 1, 3]);
        let long_mask = Tensor::from_slice(&[true, false, true, true, true]).view([1, 1, 1, 5]);
        let cases = [
            (Attended::Preceding, &normed, lower),
            (Attended::Unmasked(&long_mask), &normed, long_mask.view([1, 1, 5])),
            (Attended::Memory(&memory, &mask), &memory, mask.view([2, 1, 3])),
        ];
        for (attended, keys, allowed) in cases {
            let expected = by_heads(&attention, &input, keys, &allowed);
            let found = attention.forward(&input, attended, false);
            assert!(found.allclose(&expected, 1e-5, 1e-6, false), "{attended:?}");
        }
    }
}
