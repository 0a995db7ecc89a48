//! Names and defaults of ε: the same denominator, as one library or another writes it down.

use std::fmt;
use std::str::FromStr;

use crate::Optimizer;

/// An implementation's ε: whose denominator it is added to, in which power, and its default.
///
/// Implementations that differ by a transformation of ε alone share an [`Optimizer`]: what is replayed or recorded for
/// one answers for all of them.
///
/// # Examples
/// ```
/// use epsiloscope_moments::{Convention, Optimizer};
///
/// let eps_root: Convention = "optax-eps-root".parse()?;
/// assert_eq!(eps_root.optimizer(), Optimizer::Adam);
/// assert_eq!(eps_root.critical_epsilon(1e-4), 1e-8); // v̂ where Adam's is sqrt(v̂)
/// # Ok::<(), epsiloscope_moments::UnknownOptimizer>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Convention {
    name: &'static str,
    optimizer: Optimizer,
    place: Place,
    default_epsilon: f64,
}

/// Where ε stands, seen from where the optimizer's own stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the same place.
    Same,
    /// Inside the root that the optimizer's own is added to.
    InsideRoot,
}

const fn convention(name: &'static str, optimizer: Optimizer, place: Place, default_epsilon: f64) -> Convention {
    Convention { name, optimizer, place, default_epsilon }
}

impl Convention {
    /// Every convention, in the order of reports: the optimizers themselves, each followed by those that share its
    /// moments.
    ///
    /// Defaults are those of PyTorch 2, the authors' packages (AdaBelief 0.2, AdaMomentum, EAdam, TensorFlow Addons'
    /// Yogi), Keras 3 and Optax 0.2. Of an RMSprop with ε inside its root the moments begin at zero here.
    pub const ALL: [Self; 17] = [
        convention("adam", Optimizer::Adam, Place::Same, 1e-8),
        convention("adamw", Optimizer::Adam, Place::Same, 1e-8),
        convention("nadam", Optimizer::Adam, Place::Same, 1e-8),
        convention("optax-adam", Optimizer::Adam, Place::Same, 1e-8),
        convention("optax-eps-root", Optimizer::Adam, Place::InsideRoot, 0.0),
        convention("amsgrad", Optimizer::AmsGrad, Place::Same, 1e-8),
        convention("radam", Optimizer::RAdam, Place::Same, 1e-8),
        convention("keras-adam", Optimizer::RAdam, Place::Same, 1e-7),
        convention("rmsprop", Optimizer::RmsProp, Place::Same, 1e-8),
        convention("tf-rmsprop", Optimizer::RmsProp, Place::InsideRoot, 1e-7),
        convention("optax-rmsprop", Optimizer::RmsProp, Place::InsideRoot, 1e-8),
        convention("rmsprop-centered", Optimizer::RmsPropCentered, Place::Same, 1e-8),
        convention("adagrad", Optimizer::AdaGrad, Place::Same, 1e-10),
        convention("adabelief", Optimizer::AdaBelief, Place::Same, 1e-16),
        convention("adamomentum", Optimizer::AdaMomentum, Place::Same, 1e-8),
        convention("eadam", Optimizer::EAdam, Place::Same, 1e-8),
        convention("yogi", Optimizer::Yogi, Place::Same, 1e-3),
    ];

    /// The optimizer whose moments the denominator is made of.
    pub fn optimizer(self) -> Optimizer {
        self.optimizer
    }

    /// The name in commands and columns.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// What its package calls ε.
    pub fn parameter(self) -> &'static str {
        match self.name {
            "optax-eps-root" => "eps_root",
            "keras-adam" | "tf-rmsprop" => "epsilon",
            _ => "eps",
        }
    }

    /// ε where nobody sets it.
    pub fn default_epsilon(self) -> f64 {
        self.default_epsilon
    }

    /// Whether ε stands inside the root that the optimizer's own is added to.
    pub fn is_inside_root(self) -> bool {
        self.place == Place::InsideRoot
    }

    /// The critical ε here of an element whose critical ε of [`optimizer`](Self::optimizer) is given.
    ///
    /// A square is one of a root that was rounded to `f32`: it may be off by 2^-23 of itself.
    pub fn critical_epsilon(self, of_optimizer: f64) -> f64 {
        match self.place {
            Place::Same => of_optimizer,
            Place::InsideRoot => of_optimizer * of_optimizer,
        }
    }

    /// The ε of [`optimizer`](Self::optimizer) that outweighs the same gradients as this one does here.
    pub fn optimizers_epsilon(self, epsilon: f64) -> f64 {
        match self.place {
            Place::Same => epsilon,
            Place::InsideRoot => epsilon.sqrt(),
        }
    }

    /// Whether an ε means the same in both.
    pub fn has_denominator_of(self, other: Self) -> bool {
        self.optimizer == other.optimizer && self.place == other.place
    }

    /// The place in [`ALL`](Self::ALL).
    pub fn index(self) -> usize {
        Self::ALL.iter().position(|known| known.name == self.name).unwrap_or(Self::ALL.len())
    }
}

impl From<Optimizer> for Convention {
    /// The optimizer's own ε.
    fn from(optimizer: Optimizer) -> Self {
        let own = Self::ALL.into_iter().find(|convention| convention.name == optimizer.name());
        own.expect("every optimizer is a convention of its own")
    }
}

impl fmt::Display for Convention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name)
    }
}

impl FromStr for Convention {
    type Err = UnknownOptimizer;

    fn from_str(name: &str) -> Result<Self, UnknownOptimizer> {
        let named = Self::ALL.into_iter().find(|convention| convention.name == name);
        named.ok_or_else(|| UnknownOptimizer::of(name, Self::ALL.map(Self::name)))
    }
}

/// A name that is none of those known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownOptimizer {
    name: String,
    expected: String,
}

impl UnknownOptimizer {
    pub(crate) fn of<const N: usize>(name: &str, expected: [&str; N]) -> Self {
        Self { name: name.to_owned(), expected: expected.join(", ") }
    }
}

impl fmt::Display for UnknownOptimizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown optimizer {:?}: expected one of {}", self.name, self.expected)
    }
}

impl std::error::Error for UnknownOptimizer {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_optimizer_is_a_convention_and_every_name_is_read() {
        for optimizer in Optimizer::ALL {
            let own = Convention::from(optimizer);
            assert_eq!((own.optimizer(), own.critical_epsilon(0.25)), (optimizer, 0.25));
        }
        for (index, convention) in Convention::ALL.into_iter().enumerate() {
            assert_eq!(convention.name().parse(), Ok(convention));
            assert_eq!(convention.index(), index);
            let there_and_back = convention.optimizers_epsilon(convention.critical_epsilon(0.25));
            assert_eq!(there_and_back.to_bits(), 0.25f64.to_bits());
        }
        let fault = "sgd".parse::<Convention>().unwrap_err().to_string();
        assert!(fault.starts_with("unknown optimizer \"sgd\": expected one of adam, adamw"), "{fault}");
    }
}
