//! A language model that sees only what precedes: a decoder without an encoder (Radford et al. 2018).

use tch::nn::{self, EmbeddingConfig, Module, ModuleT};
use tch::{Kind, Tensor};

use crate::models::attention::{Attended, Attention, DROPOUT, FeedForward, WIDTH, layer_norm};
use crate::models::layers::linear;

#[derive(Debug)]
pub(crate) struct Transformer {
    embedding: Embedding,
    blocks: Vec<Block>,
    norm: nn::LayerNorm,
    logits: nn::Linear,
}

/// Attention within a sequence and what follows it.
#[derive(Debug)]
pub(crate) struct Block {
    attention: Attention,
    feed_forward: FeedForward,
}

/// Vectors of tokens, with their positions added.
#[derive(Debug)]
pub(crate) struct Embedding {
    tokens: nn::Embedding,
}

/// Takes tokens `[n, length]` and gives logits `[n, length, n_tokens]` of the tokens that follow.
pub(crate) fn transformer(root: &nn::Path<'_>, n_tokens: i64, n_layers: i64) -> Transformer {
    Transformer {
        embedding: Embedding::new(root / "embedding", n_tokens),
        blocks: (1..=n_layers).map(|layer| Block::new(&(root / format!("block{layer}")))).collect(),
        norm: layer_norm(root / "norm"),
        logits: linear(root / "logits", WIDTH, n_tokens),
    }
}

impl ModuleT for Transformer {
    fn forward_t(&self, tokens: &Tensor, train: bool) -> Tensor {
        let embedded = self.embedding.forward_t(tokens, train);
        let block = |input, block: &Block| block.forward(&input, Attended::Preceding, train);
        self.logits.forward(&self.norm.forward(&self.blocks.iter().fold(embedded, block)))
    }
}

impl Block {
    pub(crate) fn new(path: &nn::Path<'_>) -> Self {
        Self {
            attention: Attention::new(&(path / "attention")),
            feed_forward: FeedForward::new(&(path / "feed_forward")),
        }
    }

    pub(crate) fn forward(&self, input: &Tensor, attended: Attended<'_>, train: bool) -> Tensor {
        self.feed_forward.forward(&self.attention.forward(input, attended, train), train)
    }
}

impl Embedding {
    pub(crate) fn new(path: nn::Path<'_>, n_tokens: i64) -> Self {
        Self { tokens: nn::embedding(path, n_tokens, WIDTH, EmbeddingConfig::default()) }
    }
}

impl ModuleT for Embedding {
    fn forward_t(&self, tokens: &Tensor, train: bool) -> Tensor {
        let embedded = self.tokens.forward(tokens);
        let positions = positions(tokens.size()[1]).to_device(tokens.device());
        (embedded + positions).dropout(DROPOUT, train)
    }
}

/// Sines and cosines `[length, WIDTH]` (Vaswani et al. 2017, section 3.5); all sines come first.
fn positions(length: i64) -> Tensor {
    let cpu = (Kind::Float, tch::Device::Cpu);
    let exponents = Tensor::arange(WIDTH / 2, cpu) * (-2.0 / WIDTH as f64 * 10_000_f64.ln());
    let angles = Tensor::arange(length, cpu).outer(&exponents.exp());
    Tensor::cat(&[angles.sin(), angles.cos()], 1)
}

#[cfg(test)]
mod tests {
    use tch::Device;
    use tch::nn::VarStore;

    use super::*;

    #[test]
    fn a_later_token_changes_no_earlier_logit() {
        tch::manual_seed(1);
        let var_store = VarStore::new(Device::Cpu);
        let network = transformer(&var_store.root(), 11, 2);
        let tokens = Tensor::randint(11, [3, 9], (Kind::Int64, Device::Cpu));
        let changed = tokens.copy();
        changed.narrow(1, 5, 1).copy_(&(tokens.narrow(1, 5, 1) + 1).remainder(11));
        let (before, after) = (network.forward_t(&tokens, false), network.forward_t(&changed, false));
        let difference = (before - after).abs().amax([0, 2], false);
        for position in 0..9 {
            assert_eq!(difference.double_value(&[position]) > 0.0, 5 <= position, "position {position}");
        }
    }

    #[test]
    fn positions_are_the_paper_s() {
        let table = positions(70);
        for (position, pair) in [(0, 0), (1, 0), (69, 3), (69, 63)] {
            let angle = position as f64 / 10_000_f64.powf(2.0 * pair as f64 / WIDTH as f64);
            let found = [table.double_value(&[position, pair]), table.double_value(&[position, pair + WIDTH / 2])];
            let (sine, cosine) = angle.sin_cos();
            assert!((found[0] - sine).abs() < 1e-5 && (found[1] - cosine).abs() < 1e-5, "{position} {pair} {found:?}");
        }
    }
}
