//! Classification of images in IDX files.

use std::path::{Path, PathBuf};

use anyhow::ensure;
use tch::nn::ModuleT;
use tch::{Device, Kind, Reduction, Tensor};

use crate::models::SIDE;
use crate::workloads::idx::{Labelled, read_labelled};
use crate::workloads::{Metric, Workload, locate, sums};

const CARRIED: &str = "data/fashion-mnist-subset";

pub(crate) struct Images {
    dir: PathBuf,
    network: Box<dyn ModuleT>,
    train: Split,
    test: Split,
}

/// Images, bytes `[n, 1, 28, 28]`, and labels `[n]`.
struct Split {
    images: Tensor,
    labels: Tensor,
}

impl Images {
    pub(crate) fn open(dir: Option<&Path>, network: impl ModuleT + 'static, device: Device) -> anyhow::Result<Self> {
        let dir = locate(dir, CARRIED, "--data DIR, a directory of IDX files")?;
        let (train, test) = (Split::read(&dir, "train", device)?, Split::read(&dir, "t10k", device)?);
        Ok(Self { dir, network: Box::new(network), train, test })
    }
}

impl Workload for Images {
    fn n_examples(&self) -> i64 {
        self.train.len()
    }

    fn loss(&self, examples: &Tensor) -> Tensor {
        let (images, labels) = self.train.batch(examples);
        self.network.forward_t(&images, true).cross_entropy_for_logits(&labels)
    }

    fn evaluate(&self) -> Vec<Metric> {
        let n_images = self.test.len();
        let [correct, loss] = sums(n_images, |examples| {
            let (images, labels) = self.test.batch(examples);
            let logits = self.network.forward_t(&images, false);
            let correct = logits.argmax(-1, false).eq_tensor(&labels).sum(Kind::Int64);
            let loss = logits.cross_entropy_loss(&labels, None::<&Tensor>, Reduction::Sum, -100, 0.0);
            [correct, loss].map(|sum| sum.double_value(&[]))
        });
        vec![("test_accuracy", correct / n_images as f64), ("test_loss", loss / n_images as f64)]
    }

    fn labels(&self) -> Vec<(&'static str, String)> {
        vec![("data", self.dir.display().to_string())]
    }
}

impl Split {
    fn read(dir: &Path, name: &str, device: Device) -> anyhow::Result<Self> {
        let Labelled { rows, columns, pixels, labels } = read_labelled(dir, name)?;
        let side = SIDE as usize;
        ensure!(
            (rows, columns) == (side, side),
            "{}: {name} images of {rows}×{columns} pixels: expected {side}×{side}",
            dir.display()
        );
        let images = Tensor::from_slice(&pixels).view([-1, 1, SIDE, SIDE]).to_device(device);
        let labels = Tensor::from_slice(&labels).to_kind(Kind::Int64).to_device(device);
        Ok(Self { images, labels })
    }

    fn len(&self) -> i64 {
        self.labels.size()[0]
    }

    /// Images in `[0, 1]` with their labels.
    fn batch(&self, examples: &Tensor) -> (Tensor, Tensor) {
        let examples = examples.to_device(self.labels.device());
        let images = self.images.index_select(0, &examples).to_kind(Kind::Float) / 255.0;
        (images, self.labels.index_select(0, &examples))
    }
}
