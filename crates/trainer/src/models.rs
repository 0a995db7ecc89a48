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

#[cfg(test)]
mod tests {
    use tch::nn::{ModuleT, Path, VarStore};
    use tch::{Device, Kind, Tensor};

    use super::*;

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    /// The network with its numbers of trainable tensors and of their elements.
    fn built<N>(build: impl FnOnce(&Path<'_>) -> N) -> (N, usize, usize) {
        tch::manual_seed(1);
        let var_store = VarStore::new(Device::Cpu);
        let network = build(&var_store.root());
        let trainable = var_store.trainable_variables();
        (network, trainable.len(), trainable.iter().map(Tensor::numel).sum())
    }

    /// Asserts that a network's output has this shape and is the same each time when tested, and with `has_dropout` that
    /// it is not in training.
    fn check(network: &impl ModuleT, input: &Tensor, shape: &[i64], has_dropout: bool) {
        let _no_grad = tch::no_grad_guard();
        let output = |train| network.forward_t(input, train);
        assert_eq!(output(false).size(), shape);
        assert!(output(false) == output(false));
        assert_eq!(output(true) != output(true), has_dropout);
    }

    #[test]
    fn image_classifiers_have_the_published_sizes() {
        // For ten classes and colour they have 9,231,114, 11,173,962 and 701,466 parameters; grey images save two thirds
        // of the first convolution.
        let images = Tensor::rand([2, 1, SIDE, SIDE], CPU);
        let (network, tensors, parameters) = built(vgg11);
        assert_eq!((tensors, parameters), (34, 9_231_114 - 2 * 9 * 64));
        check(&network, &images, &[2, 10], false);
        let (network, tensors, parameters) = built(|root| resnet18(root, 64));
        assert_eq!((tensors, parameters), (62, 11_173_962 - 2 * 9 * 64));
        check(&network, &images, &[2, 10], false);
        let (network, tensors, parameters) = built(|root| resnet18(root, 16));
        assert_eq!((tensors, parameters), (62, 701_466 - 2 * 9 * 16));
        check(&network, &images, &[2, 10], false);
        let (network, tensors, parameters) = built(cnn);
        assert_eq!((tensors, parameters), (8, 206_922));
        check(&network, &images, &[2, 10], true);
        let (network, tensors, parameters) = built(mlp);
        assert_eq!((tensors, parameters), (6, 235_146));
        check(&network, &images, &[2, 10], false);
    }

    #[test]
    fn language_models_have_the_sizes_of_their_layers() {
        let tokens = Tensor::randint(7, [2, 5], (Kind::Int64, Device::Cpu));
        for layers in 1..=3 {
            let (network, n_tensors, parameters) = built(|root| lstm(root, 7, layers));
            assert_eq!(n_tensors, 3 + 4 * layers as usize);
            // Four gates of two matrices and two biases; embedding, logits.
            assert_eq!(parameters, layers as usize * 4 * (2 * 256 * 256 + 2 * 256) + 7 * 256 + 7 * 257);
            check(&network, &tokens, &[2, 5, 7], true);
            let (network, n_tensors, parameters) = built(|root| transformer(root, 7, layers));
            assert_eq!(n_tensors, 5 + 16 * layers as usize);
            // As of PyTorch's TransformerEncoderLayer(128, 4, 512); embedding, normalisation, logits.
            assert_eq!(parameters, layers as usize * 198_272 + 7 * 128 + 2 * 128 + 7 * 129);
            check(&network, &tokens, &[2, 5, 7], true);
        }
    }
}
