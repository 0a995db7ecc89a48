//! Where ε lies among magnitudes.

use epsiloscope_analysis::denominator::Denominator;
use epsiloscope_analysis::{Estimate, SearchSpace};
use epsiloscope_figure::{EpsilonMark, EpsilonOf, Marks, Measure, SearchMark};

/// The marks of a search space and of the run's ε, or the optimizer's default, among magnitudes of a quantity.
pub(super) fn marks(estimate: &Estimate, space: &SearchSpace, measure: &Measure) -> Marks {
    let Some(competing) = competing(estimate, measure) else { return Marks::default() };
    let (exponents, ends) = (space.exponents(), space.ends());
    let (epsilon, of) = epsilon(estimate);
    let mark = EpsilonMark { epsilon, at: competing(epsilon), of };
    Marks {
        search: Some(SearchMark { exponents, at: (competing(ends.0), competing(ends.1)) }),
        epsilon: (0.0 < epsilon).then_some(mark),
    }
}

/// The same in the optimizer's own ε.
pub(super) fn marks_of_epsilon(estimate: &Estimate) -> Marks {
    let (epsilon, of) = epsilon(estimate);
    Marks {
        search: Some(SearchMark { exponents: estimate.exponents(), at: estimate.ends() }),
        epsilon: (0.0 < epsilon).then_some(EpsilonMark { epsilon, at: epsilon, of }),
    }
}

fn epsilon(estimate: &Estimate) -> (f64, EpsilonOf) {
    match estimate.own {
        Some(own) => (own.epsilon, EpsilonOf::Run),
        None => (estimate.optimizer.default_epsilon(), EpsilonOf::Default),
    }
}

/// The magnitude that an ε competes with; `None` of magnitudes that ε does not compete with.
fn competing(estimate: &Estimate, measure: &Measure) -> Option<Box<dyn Fn(f64) -> f64>> {
    let convention = estimate.optimizer;
    match measure {
        Measure::Gradient => {
            let denominator = Denominator::new(convention, estimate.decay, estimate.step);
            Some(Box::new(move |epsilon| denominator.competing_magnitude(epsilon)))
        }
        Measure::CriticalEpsilon { optimizer } if optimizer == convention.optimizer().name() => {
            Some(Box::new(move |epsilon| convention.optimizers_epsilon(epsilon)))
        }
        _ => None,
    }
}

/// Whether ε is shown as the root of what accumulates in the denominator.
pub(super) fn is_shown_as_root(estimate: &Estimate, measure: &Measure) -> bool {
    let epsilon = estimate.optimizer.default_epsilon();
    competing(estimate, measure).is_some_and(|competing| (competing(epsilon) / epsilon - 1.0).abs() > 1e-6)
}
