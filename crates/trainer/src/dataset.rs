//! Images and labels as tensors, in batches.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use tch::{Device, Kind, Tensor};

use crate::idx::{Labelled, read_labelled};
use crate::models::SIDE;

/// What the project carries, seen from its root.
const CARRIED: &str = "data/fashion-mnist-subset";

/// Training and test images.
pub(crate) struct Dataset {
    pub(crate) train: Split,
    pub(crate) test: Split,
}

/// Images, bytes `[n, 1, 28, 28]`, and labels `[n]`.
pub(crate) struct Split {
    images: Tensor,
    labels: Tensor,
}

/// The directory asked for, or the one that the project carries.
pub(crate) fn directory(asked: Option<&Path>) -> anyhow::Result<PathBuf> {
    let carried = || Path::new(CARRIED).is_dir().then(|| PathBuf::from(CARRIED));
    let missing = || format!("there is no {CARRIED} here: expected --data DIR, a directory of IDX files");
    asked.map(Path::to_owned).or_else(carried).with_context(missing)
}

impl Dataset {
    pub(crate) fn read(dir: &Path, device: Device) -> anyhow::Result<Self> {
        Ok(Self { train: Split::read(dir, "train", device)?, test: Split::read(dir, "t10k", device)? })
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

    pub(crate) fn len(&self) -> i64 {
        self.labels.size()[0]
    }

    /// How many batches make an epoch.
    pub(crate) fn n_batches(&self, batch_size: i64) -> i64 {
        (self.len() as u64).div_ceil(batch_size as u64) as i64
    }

    /// Batches of images in `[0, 1]` with their labels, in an order drawn from libtorch's random state.
    pub(crate) fn shuffled(&self, batch_size: i64) -> impl Iterator<Item = (Tensor, Tensor)> {
        // Drawn on the CPU, so that a seed gives the same order on every device.
        let order = Tensor::randperm(self.len(), (Kind::Int64, Device::Cpu)).to_device(self.labels.device());
        self.batches(&order, batch_size)
    }

    /// The same in the order of the files.
    pub(crate) fn in_order(&self, batch_size: i64) -> impl Iterator<Item = (Tensor, Tensor)> {
        self.batches(&Tensor::arange(self.len(), (Kind::Int64, self.labels.device())), batch_size)
    }

    fn batches<'a>(&'a self, order: &Tensor, batch_size: i64) -> impl Iterator<Item = (Tensor, Tensor)> + use<'a> {
        order.split(batch_size, 0).into_iter().map(|batch| {
            let images = self.images.index_select(0, &batch).to_kind(Kind::Float) / 255.0;
            (images, self.labels.index_select(0, &batch))
        })
    }
}
