//! Translation of lines, byte by byte.

use std::path::Path;

use anyhow::{Context as _, ensure};
use tch::nn;
use tch::{Device, Kind, Reduction, Tensor};

use crate::args::Options;
use crate::models::{Seq2Seq, seq2seq};
use crate::workloads::vocabulary::Vocabulary;
use crate::workloads::{Metric, Workload, numbers, sums};

const GENERATED: &str = "English and German number words";
const DEFAULT_LAYERS: i64 = 2;
/// The share of the pairs, at the end, that is held out.
const HELD_OUT: usize = 10;
/// The memory of attention grows with the square of a line's length.
const MAX_BYTES: usize = 512;

/// Tokens that are no bytes.
const PADDING: i16 = 0;
const BEGIN: i16 = 1;
const END: i16 = 2;
const N_SPECIAL: i16 = 3;

pub(crate) struct Translation {
    data: String,
    n_layers: i64,
    network: Seq2Seq,
    train: Pairs,
    test: Pairs,
}

/// Tokens `[n, longest]`, padded at the end.
struct Pairs {
    sources: Tensor,
    targets: Tensor,
}

impl Translation {
    pub(crate) fn open(options: &Options, root: &nn::Path<'_>) -> anyhow::Result<Self> {
        let (data, pairs) = match &options.data {
            Some(file) => (file.display().to_string(), read(file)?),
            None => (GENERATED.to_owned(), numbers::corpus()),
        };
        let n_layers = options.layers.unwrap_or(DEFAULT_LAYERS);
        let vocabulary = Vocabulary::of(pairs.iter().flat_map(|(source, target)| [source, target]).flat_map(bytes));
        let (learned, held_out) = pairs.split_at(pairs.len() - pairs.len() / HELD_OUT);
        Ok(Self {
            data,
            n_layers,
            network: seq2seq(root, i64::from(N_SPECIAL) + vocabulary.len(), n_layers),
            train: Pairs::of(&vocabulary, learned, root.device()),
            test: Pairs::of(&vocabulary, held_out, root.device()),
        })
    }

    /// Logits of every token of the targets but the first, given those before it, and these tokens.
    fn predict(&self, (source, target): &(Tensor, Tensor), train: bool) -> (Tensor, Tensor) {
        let length = target.size()[1] - 1;
        let is_source = source.not_equal(i64::from(PADDING));
        let logits = self.network.forward_t(source, &is_source, &target.narrow(1, 0, length), train);
        (logits, target.narrow(1, 1, length))
    }
}

fn bytes(line: &String) -> &[u8] {
    line.as_bytes()
}

impl Workload for Translation {
    fn n_examples(&self) -> i64 {
        self.train.sources.size()[0]
    }

    fn loss(&self, examples: &Tensor) -> Tensor {
        let (logits, expected) = self.predict(&self.train.batch(examples), true);
        cross_entropy(&logits, &expected, Reduction::Mean)
    }

    /// A line counts as exact if every token, its end included, is the likeliest one behind the true beginning. Greedy
    /// decoding gives the true line in just these cases, so nothing needs to be decoded.
    fn evaluate(&self) -> Vec<Metric> {
        let n_pairs = self.test.sources.size()[0];
        let [exact, correct, n_tokens, loss] = sums(n_pairs, |examples| {
            let (logits, expected) = self.predict(&self.test.batch(examples), false);
            let is_padding = expected.eq(i64::from(PADDING));
            let is_correct = logits.argmax(-1, false).eq_tensor(&expected);
            let exact = is_correct.logical_or(&is_padding).all_dim(1, false);
            let correct = is_correct.logical_and(&is_padding.logical_not());
            let loss = cross_entropy(&logits, &expected, Reduction::Sum);
            [exact, correct, is_padding.logical_not(), loss].map(|values| values.sum(Kind::Double).double_value(&[]))
        });
        vec![
            ("test_exact_match", exact / n_pairs as f64),
            ("test_token_accuracy", correct / n_tokens),
            ("test_loss", loss / n_tokens),
        ]
    }

    fn labels(&self) -> Vec<(&'static str, String)> {
        vec![("data", self.data.clone()), ("layers", self.n_layers.to_string())]
    }
}

fn cross_entropy(logits: &Tensor, expected: &Tensor, reduction: Reduction) -> Tensor {
    let (logits, expected) = (logits.flatten(0, 1), expected.flatten(0, 1));
    logits.cross_entropy_loss(&expected, None::<&Tensor>, reduction, PADDING.into(), 0.0)
}

/// Lines of `source<TAB>target`.
fn read(file: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let expected = || format!("{}: expected lines of source<TAB>target", file.display());
    let text = fs_err::read_to_string(file).with_context(expected)?;
    let mut pairs = Vec::new();
    for (index, line) in text.lines().enumerate() {
        pairs.push(pair(line).with_context(|| format!("{}: line {}", file.display(), index + 1))?);
    }
    ensure!(HELD_OUT <= pairs.len(), "{}: {} lines: expected {HELD_OUT} or more", file.display(), pairs.len());
    Ok(pairs)
}

fn pair(line: &str) -> anyhow::Result<(String, String)> {
    let (source, target) = line.split_once('\t').context("no tab: expected source<TAB>target")?;
    let longest = source.len().max(target.len());
    ensure!(longest <= MAX_BYTES, "{longest} bytes: expected {MAX_BYTES} at most on either side of the tab");
    Ok((source.to_owned(), target.to_owned()))
}

impl Pairs {
    fn of(vocabulary: &Vocabulary, pairs: &[(String, String)], device: Device) -> Self {
        let encode = |line: &str| vocabulary.encode(line.as_bytes()).map(|token| N_SPECIAL + token).collect::<Vec<_>>();
        let source = |(source, _): &(String, String)| [encode(source), vec![END]].concat();
        let target = |(_, target): &(String, String)| [vec![BEGIN], encode(target), vec![END]].concat();
        Self {
            sources: padded(pairs.iter().map(source)).to_device(device),
            targets: padded(pairs.iter().map(target)).to_device(device),
        }
    }

    /// As many columns as the longest lines need.
    fn batch(&self, examples: &Tensor) -> (Tensor, Tensor) {
        let examples = examples.to_device(self.sources.device());
        let pick = |tokens: &Tensor| {
            let rows = tokens.index_select(0, &examples).to_kind(Kind::Int64);
            let lengths = rows.not_equal(i64::from(PADDING)).sum_dim_intlist(1, false, Kind::Int64);
            rows.narrow(1, 0, lengths.max().int64_value(&[]))
        };
        (pick(&self.sources), pick(&self.targets))
    }
}

fn padded(rows: impl Iterator<Item = Vec<i16>>) -> Tensor {
    let rows: Vec<Tensor> = rows.map(|row| Tensor::from_slice(&row)).collect();
    Tensor::pad_sequence(&rows, true, PADDING.into(), "right")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use tch::nn::{OptimizerConfig as _, VarStore};

    use super::*;
    use crate::args::Args;

    /// Held-out lines that greedy decoding gives exactly.
    fn decoded(translation: &Translation) -> usize {
        let _no_grad = tch::no_grad_guard();
        let n_pairs = translation.test.sources.size()[0];
        let is_exact = |example: &i64| {
            let (source, target) = translation.test.batch(&Tensor::from_slice(&[*example]));
            let mut begun = Tensor::from_slice(&[i64::from(BEGIN)]).view([1, 1]);
            while begun.size()[1] < target.size()[1] {
                let next =
                    translation.network.forward_t(&source, &source.ones_like().to_kind(Kind::Bool), &begun, false);
                begun = Tensor::cat(&[begun, next.select(1, -1).argmax(-1, true)], 1);
            }
            begun == target
        };
        (0..n_pairs).filter(is_exact).count()
    }

    #[test]
    fn exact_match_is_that_of_greedy_decoding() {
        tch::manual_seed(1);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("reversed.tsv");
        let lines = (100..300).map(|n| format!("{n}\t{}\n", n.to_string().chars().rev().collect::<String>()));
        fs_err::write(&file, lines.collect::<Vec<_>>().concat()).unwrap();
        let words = ["epsiloscope-record", "train", "--out", "run", "--layers", "1", "--data", file.to_str().unwrap()];
        let args = Args::parse_from(words);
        let var_store = VarStore::new(Device::Cpu);
        let translation = Translation::open(args.command.options(), &var_store.root()).unwrap();
        let mut optimizer = nn::Adam::default().build(&var_store, 3e-3).unwrap();
        let mut counts = Vec::new();
        for _epoch in 0..12 {
            let order = Tensor::randperm(translation.n_examples(), (Kind::Int64, Device::Cpu));
            for examples in order.split(30, 0) {
                optimizer.backward_step(&translation.loss(&examples));
            }
            let (metric, share) = translation.evaluate()[0];
            let count = decoded(&translation);
            assert_eq!((metric, (20.0 * share).round() as usize), ("test_exact_match", count));
            counts.push(count);
        }
        assert!(counts[0] < 10 && counts.iter().any(|&count| 10 < count), "{counts:?}");
    }

    #[test]
    fn lines_are_framed_and_padded_and_a_batch_is_as_wide_as_its_longest() {
        let lines = [("b", "ab"), ("aab", "a")].map(|(source, target)| (source.to_owned(), target.to_owned()));
        let pairs = Pairs::of(&Vocabulary::of(b"ab"), &lines, Device::Cpu);
        let rows = |examples: &[i64]| -> [Vec<Vec<i64>>; 2] {
            let (sources, targets) = pairs.batch(&Tensor::from_slice(examples));
            [sources, targets].map(|tokens| tokens.try_into().unwrap())
        };
        assert_eq!(rows(&[0, 1])[0], [[4, END.into(), 0, 0], [3, 3, 4, END.into()]]);
        assert_eq!(rows(&[1, 0])[1], [[BEGIN.into(), 3, END.into(), 0], [BEGIN.into(), 3, 4, END.into()]]);
        assert_eq!(rows(&[0])[0], [[4, END.into()]]);
    }
}
