//! How much a page may carry.

/// How much a page may carry, over all of its runs.
///
/// A count takes two to three bytes of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Windows of steps of one run.
    pub windows: usize,
    /// Counts of histograms over all tensors of a run, together.
    pub run_counts: usize,
    /// Counts of histograms per tensor.
    pub tensor_counts: usize,
    /// Histograms per tensor that are made before they are merged: what is held in memory.
    pub tensor_histograms: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { windows: 240, run_counts: 800_000, tensor_counts: 2_400_000, tensor_histograms: 24_000 }
    }
}

impl Budget {
    /// The part of each of some runs.
    pub(crate) fn shared_by(self, n_runs: usize) -> Self {
        let part = |whole: usize| (whole / n_runs.max(1)).max(1);
        Self {
            windows: self.windows,
            run_counts: part(self.run_counts),
            tensor_counts: part(self.tensor_counts),
            tensor_histograms: part(self.tensor_histograms),
        }
    }
}
