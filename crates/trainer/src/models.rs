//! The reference networks.

mod attention;
mod cnn;
mod layers;
mod lstm;
mod mlp;
mod resnet;
mod seq2seq;
mod transformer;
mod vgg;

pub(crate) use cnn::cnn;
pub(crate) use lstm::lstm;
pub(crate) use mlp::mlp;
pub(crate) use resnet::resnet18;
pub(crate) use seq2seq::{Seq2Seq, seq2seq};
pub(crate) use transformer::transformer;
pub(crate) use vgg::vgg11;

/// Pixels along each side of an image: classifiers take `[n, 1, 28, 28]` and give logits `[n, 10]`.
pub(crate) const SIDE: i64 = 28;
const N_CLASSES: i64 = crate::workloads::N_CLASSES as i64;
