//! A language model of stacked LSTM layers with dropout before, between and behind them (Zaremba et al. 2014, arXiv
//! 1409.2329), the state zero at the beginning of every window. Everything begins as PyTorch's layers do.

use tch::Tensor;
use tch::nn::{self, EmbeddingConfig, Module, ModuleT, RNN as _, RNNConfig};

use crate::models::layers::{linear, within};

const WIDTH: i64 = 256;
const DROPOUT: f64 = 0.2;

#[derive(Debug)]
pub(crate) struct Lstm {
    embedding: nn::Embedding,
    /// One by one, since tch's stack would keep its dropout on when tested.
    layers: Vec<nn::LSTM>,
    logits: nn::Linear,
}

/// Takes tokens `[n, length]` and gives logits `[n, length, n_tokens]` of the tokens that follow.
pub(crate) fn lstm(root: &nn::Path<'_>, n_tokens: i64, n_layers: i64) -> Lstm {
    let bias = Some(within(WIDTH));
    let begin = RNNConfig {
        w_ih_init: within(WIDTH),
        w_hh_init: within(WIDTH),
        b_ih_init: bias,
        b_hh_init: bias,
        ..RNNConfig::default()
    };
    Lstm {
        embedding: nn::embedding(root / "embedding", n_tokens, WIDTH, EmbeddingConfig::default()),
        layers: (1..=n_layers).map(|layer| nn::lstm(root / format!("lstm{layer}"), WIDTH, WIDTH, begin)).collect(),
        logits: linear(root / "logits", WIDTH, n_tokens),
    }
}

impl ModuleT for Lstm {
    fn forward_t(&self, tokens: &Tensor, train: bool) -> Tensor {
        let embedded = self.embedding.forward(tokens).dropout(DROPOUT, train);
        let output = self.layers.iter().fold(embedded, |input, layer| layer.seq(&input).0.dropout(DROPOUT, train));
        self.logits.forward(&output)
    }
}
