//! The optimizers whose denominators are replayed, and their names.

use std::fmt;
use std::str::FromStr;

use crate::UnknownOptimizer;

/// An optimizer whose denominator is replayed.
///
/// Of implementations that differ by a transformation of ε alone only one stands here; [`Convention`](crate::Convention)
/// has them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Optimizer {
    /// Adam, `AdamW`, `NAdam` of PyTorch: sqrt(v̂) + ε; critical ε = sqrt(v / (1−β2^t)).
    Adam,
    /// PyTorch's Adam with `amsgrad`, which keeps the maximum of the uncorrected v; critical ε =
    /// sqrt(max v / (1−β2^t)).
    AmsGrad,
    /// PyTorch's `RAdam`, which adds ε before it corrects the bias; critical ε = sqrt(v). It divides by nothing in its
    /// first steps (five of them at β2 = 0.999): ε has no part in those.
    RAdam,
    /// RMSprop: sqrt(v) + ε, without bias correction; critical ε = sqrt(v).
    RmsProp,
    /// PyTorch's RMSprop with `centered`, ḡ being the mean gradient at the same rate α; critical ε = sqrt(v − ḡ²), NaN
    /// where rounding makes the difference negative, as in PyTorch.
    RmsPropCentered,
    /// Adagrad: sqrt(Σg²) + ε, from an initial sum of zero; critical ε = sqrt(Σg²).
    AdaGrad,
    /// AdaBelief, which adds ε to its second moment s of g − m at every step; critical ε = (1−β2)·s / (1−β2^t).
    AdaBelief,
    /// AdaMomentum, which adds ε to its second moment s of m at every step; critical ε = (1−β2)·s / (1−β2^t).
    AdaMomentum,
    /// EAdam (arXiv 2011.02150), which adds ε to v at every step; critical ε = (1−β2)·v / (1−β2^t).
    EAdam,
    /// Yogi (Zaheer et al., `NeurIPS` 2018): v ← v − (1−β2)·sign(v−g²)·g² from 1e-6, as TensorFlow Addons and
    /// torch-optimizer begin; critical ε = sqrt(v / (1−β2^t)).
    Yogi,
}

impl Optimizer {
    /// Every optimizer, in the order of reports.
    pub const ALL: [Self; 10] = [
        Self::Adam,
        Self::AmsGrad,
        Self::RAdam,
        Self::RmsProp,
        Self::RmsPropCentered,
        Self::AdaGrad,
        Self::AdaBelief,
        Self::AdaMomentum,
        Self::EAdam,
        Self::Yogi,
    ];

    /// Those of arXiv 2311.11532, which are recorded and estimated unless others are asked for.
    pub const DEFAULT: [Self; 4] = [Self::Adam, Self::RmsProp, Self::AdaBelief, Self::AdaMomentum];

    /// The name in commands, files and columns.
    pub fn name(self) -> &'static str {
        match self {
            Self::Adam => "adam",
            Self::AmsGrad => "amsgrad",
            Self::RAdam => "radam",
            Self::RmsProp => "rmsprop",
            Self::RmsPropCentered => "rmsprop-centered",
            Self::AdaGrad => "adagrad",
            Self::AdaBelief => "adabelief",
            Self::AdaMomentum => "adamomentum",
            Self::EAdam => "eadam",
            Self::Yogi => "yogi",
        }
    }

    /// The quantity under which files hold this optimizer's critical ε.
    pub fn quantity(self) -> String {
        format!("critical_epsilon.{}", self.name())
    }

    /// The power of the gradients that critical ε grows with: 2 where ε is added to the second moment, 1 where to its root.
    pub fn degree(self) -> i32 {
        if matches!(self, Self::AdaBelief | Self::AdaMomentum | Self::EAdam) { 2 } else { 1 }
    }

    /// Whether critical ε depends on the gradients' signs, through a first moment.
    pub fn needs_signs(self) -> bool {
        matches!(self, Self::RmsPropCentered | Self::AdaBelief | Self::AdaMomentum)
    }
}

impl fmt::Display for Optimizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Optimizer {
    type Err = UnknownOptimizer;

    fn from_str(name: &str) -> Result<Self, UnknownOptimizer> {
        let named = Self::ALL.into_iter().find(|optimizer| optimizer.name() == name);
        named.ok_or_else(|| UnknownOptimizer::of(name, Self::ALL.map(Self::name)))
    }
}
