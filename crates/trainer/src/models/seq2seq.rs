//! An encoder-decoder transformer (Vaswani et al. 2017, arXiv 1706.03762) over one vocabulary for both languages.

use tch::Tensor;
use tch::nn::{self, Module, ModuleT as _};

use crate::models::attention::{Attended, Attention, FeedForward, WIDTH, layer_norm};
use crate::models::layers::linear;
use crate::models::transformer::{Block, Embedding};

#[derive(Debug)]
pub(crate) struct Seq2Seq {
    source: Embedding,
    encoder: Vec<Block>,
    encoder_norm: nn::LayerNorm,
    target: Embedding,
    decoder: Vec<DecoderBlock>,
    decoder_norm: nn::LayerNorm,
    logits: nn::Linear,
}

#[derive(Debug)]
struct DecoderBlock {
    attention: Attention,
    source_attention: Attention,
    feed_forward: FeedForward,
}

/// As many layers on either side.
pub(crate) fn seq2seq(root: &nn::Path<'_>, n_tokens: i64, n_layers: i64) -> Seq2Seq {
    let layers = |side: &str| -> Vec<_> { (1..=n_layers).map(|layer| root / format!("{side}{layer}")).collect() };
    Seq2Seq {
        source: Embedding::new(root / "source", n_tokens),
        encoder: layers("encoder").iter().map(Block::new).collect(),
        encoder_norm: layer_norm(root / "encoder_norm"),
        target: Embedding::new(root / "target", n_tokens),
        decoder: layers("decoder").iter().map(DecoderBlock::new).collect(),
        decoder_norm: layer_norm(root / "decoder_norm"),
        logits: linear(root / "logits", WIDTH, n_tokens),
    }
}

impl Seq2Seq {
    /// Logits `[n, target length, n_tokens]` of the tokens that follow each beginning of the targets. `is_source`
    /// `[n, source length]` is false where the source is padding.
    pub(crate) fn forward_t(&self, source: &Tensor, is_source: &Tensor, target: &Tensor, train: bool) -> Tensor {
        let mask = is_source.unsqueeze(1).unsqueeze(1);
        let encode = |input, block: &Block| block.forward(&input, Attended::Unmasked(&mask), train);
        let memory = self.encoder.iter().fold(self.source.forward_t(source, train), encode);
        let memory = Attended::Memory(&self.encoder_norm.forward(&memory), &mask);
        let decode = |input, block: &DecoderBlock| block.forward(&input, memory, train);
        let output = self.decoder.iter().fold(self.target.forward_t(target, train), decode);
        self.logits.forward(&self.decoder_norm.forward(&output))
    }
}

impl DecoderBlock {
    fn new(path: &nn::Path<'_>) -> Self {
        Self {
            attention: Attention::new(&(path / "attention")),
            source_attention: Attention::new(&(path / "source_attention")),
            feed_forward: FeedForward::new(&(path / "feed_forward")),
        }
    }

    fn forward(&self, input: &Tensor, memory: Attended<'_>, train: bool) -> Tensor {
        let target = self.attention.forward(input, Attended::Preceding, train);
        self.feed_forward.forward(&self.source_attention.forward(&target, memory, train), train)
    }
}

#[cfg(test)]
mod tests {
    use tch::nn::VarStore;
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn neither_padding_nor_later_targets_but_every_source_token_shows_in_the_logits() {
        tch::manual_seed(1);
        let var_store = VarStore::new(Device::Cpu);
        let network = seq2seq(&var_store.root(), 9, 2);
        let tokens = |length| Tensor::randint(9, [2, length], (Kind::Int64, Device::Cpu));
        let (source, target) = (tokens(4), tokens(5));
        let logits = |source: &Tensor, length: i64, target: &Tensor| {
            let mask = Tensor::arange(source.size()[1], (Kind::Int64, Device::Cpu)).less(length).unsqueeze(0);
            network.forward_t(source, &mask, target, false)
        };
        let expected = logits(&source, 4, &target);
        let padded = Tensor::cat(&[&source, &tokens(3)], 1);
        assert!(logits(&padded, 4, &target).allclose(&expected, 1e-5, 1e-5, false));
        let begun = logits(&source, 4, &target.narrow(1, 0, 3));
        assert!(begun.allclose(&expected.narrow(1, 0, 3), 1e-5, 1e-5, false));
        for position in 0..4 {
            let changed = source.copy();
            changed.narrow(1, position, 1).copy_(&(source.narrow(1, position, 1) + 1).remainder(9));
            let difference = (logits(&changed, 4, &target) - &expected).abs().amax([2], false);
            assert!(difference.min().double_value(&[]) > 1e-5, "source position {position}");
        }
    }
}
