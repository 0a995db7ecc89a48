//! Language models: each byte of a text from those before it.

use std::f64::consts::LN_2;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use tch::nn::{self, ModuleT};
use tch::{Device, Kind, Reduction, Tensor};

use crate::args::Options;
use crate::workloads::vocabulary::Vocabulary;
use crate::workloads::{Metric, Workload, locate, sums};

const CARRIED: &str = "data/opticks/opticks.txt";
const DEFAULT_CONTEXT: i64 = 64;
const DEFAULT_LAYERS: i64 = 2;
/// The share of the text, at its end, that is held out.
const HELD_OUT: usize = 10;

pub(crate) struct Language {
    file: PathBuf,
    context: i64,
    n_layers: i64,
    network: Box<dyn ModuleT>,
    train: Windows,
    test: Windows,
}

/// Tokens `[n, context + 1]`; each window begins with the last token of the one before, so that every token but the
/// first is predicted once.
struct Windows(Tensor);

impl Language {
    /// `build` takes the numbers of tokens and layers.
    pub(crate) fn open<N: ModuleT + 'static>(
        options: &Options,
        build: fn(&nn::Path<'_>, i64, i64) -> N,
        root: &nn::Path<'_>,
    ) -> anyhow::Result<Self> {
        let file = locate(options.data.as_deref(), CARRIED, "--data FILE, a text")?;
        let context = options.context.unwrap_or(DEFAULT_CONTEXT);
        let n_layers = options.layers.unwrap_or(DEFAULT_LAYERS);
        let text = read(&file, context)?;
        let vocabulary = Vocabulary::of(&text);
        let (learned, held_out) = text.split_at(text.len() - text.len() / HELD_OUT);
        let windows = |part| Windows::of(&vocabulary, part, context, root.device());
        Ok(Self {
            context,
            n_layers,
            network: Box::new(build(root, vocabulary.len(), n_layers)),
            train: windows(learned),
            test: windows(held_out),
            file,
        })
    }

    /// Of each token, not yet reduced as asked.
    fn loss_of(&self, tokens: &Tensor, train: bool, reduction: Reduction) -> Tensor {
        let (seen, next) = (tokens.narrow(1, 0, self.context), tokens.narrow(1, 1, self.context));
        let logits = self.network.forward_t(&seen, train).flatten(0, 1);
        logits.cross_entropy_loss(&next.flatten(0, 1), None::<&Tensor>, reduction, -100, 0.0)
    }
}

impl Workload for Language {
    fn n_examples(&self) -> i64 {
        self.train.len()
    }

    fn loss(&self, examples: &Tensor) -> Tensor {
        self.loss_of(&self.train.batch(examples), true, Reduction::Mean)
    }

    fn evaluate(&self) -> Vec<Metric> {
        let n_windows = self.test.len();
        let measure = |examples: &Tensor| {
            let loss = self.loss_of(&self.test.batch(examples), false, Reduction::Sum);
            [loss.double_value(&[])]
        };
        let [loss] = sums(n_windows, measure).map(|sum| sum / (n_windows * self.context) as f64);
        vec![("test_perplexity", loss.exp()), ("test_bits_per_byte", loss / LN_2)]
    }

    fn labels(&self) -> Vec<(&'static str, String)> {
        vec![
            ("data", self.file.display().to_string()),
            ("context", self.context.to_string()),
            ("layers", self.n_layers.to_string()),
        ]
    }
}

/// A text that is long enough.
fn read(file: &Path, context: i64) -> anyhow::Result<Vec<u8>> {
    let text = fs_err::read(file).with_context(|| format!("{}: expected a text", file.display()))?;
    ensure!(
        context < (text.len() / HELD_OUT) as i64,
        "{}: {} bytes: expected {} or more, so that the tenth held out is longer than a context of {context}",
        file.display(),
        text.len(),
        HELD_OUT as i64 * (context + 1),
    );
    Ok(text)
}

impl Windows {
    fn of(vocabulary: &Vocabulary, text: &[u8], context: i64, device: Device) -> Self {
        let tokens: Vec<i16> = vocabulary.encode(text).collect();
        Self(Tensor::from_slice(&tokens).to_device(device).unfold(0, context + 1, context))
    }

    fn len(&self) -> i64 {
        self.0.size()[0]
    }

    fn batch(&self, examples: &Tensor) -> Tensor {
        self.0.index_select(0, &examples.to_device(self.0.device())).to_kind(Kind::Int64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_predict_every_byte_but_the_first_once() {
        let text = b"abcdefghij";
        let windows = Windows::of(&Vocabulary::of(text), text, 3, Device::Cpu);
        let rows: Vec<Vec<i64>> = windows.batch(&Tensor::from_slice(&[0_i64, 1, 2])).try_into().unwrap();
        assert_eq!((windows.len(), rows), (3, vec![vec![0, 1, 2, 3], vec![3, 4, 5, 6], vec![6, 7, 8, 9]]));
    }
}
