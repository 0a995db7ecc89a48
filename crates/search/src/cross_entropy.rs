//! The cross-entropy method: draw candidates from a distribution, keep the best, fit the distribution to those, draw again.
//!
//! Generic method: Rubinstein & Kroese, The Cross-Entropy Method (Springer 2004); for hyperparameters Li & Li, arXiv
//! 2409.09240. Of every generation of N candidates the elite, the best ⌈ρ·N⌉, give a mean and a deviation per parameter,
//! of decimal logarithms on a logarithmic axis, and a share per choice; each parameter u of the distribution then becomes
//! u ← `a·u_elite + (1−a)·u`. It ends when every deviation is below a tolerance.
//!
//! Candidates come from normal distributions cut off at the ends of the range. Mean and deviation are those before the cut:
//! fitting the cut distribution itself would push them outside where the best value lies at an end.

use crate::error::SearchError;
use crate::parameter::{Axis, Parameter, Value};
use crate::random::Stream;
use crate::strategy::Tried;
use crate::truncated_normal::TruncatedNormal;

/// Tells its random streams from those of other strategies.
const SUBJECT: u64 = 1 << 32;

/// Settings of the method.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CrossEntropy {
    /// N, candidates per generation.
    pub population: usize,
    /// ρ, the share of them that are elite. In the literature 0.01 to 0.1 of hundreds or thousands of candidates; where one
    /// costs a training there are few, and the elite must be several.
    pub elite: f64,
    /// a, how far the distribution moves to the elite's; in the literature usually about 0.7.
    pub smoothing: f64,
    /// Ends the search when no deviation is greater: in decades on a logarithmic axis, in widths of the range on a linear
    /// one; of choices, the share of all but the most frequent.
    pub tolerance: f64,
}

impl Default for CrossEntropy {
    /// Ten candidates, three of them elite, a smoothing of 0.7, a tolerance of a tenth.
    fn default() -> Self {
        Self { population: 10, elite: 0.3, smoothing: 0.7, tolerance: 0.1 }
    }
}

/// From what one parameter is drawn.
#[derive(Clone, Debug, PartialEq)]
pub enum Distribution {
    /// A range.
    Normal {
        /// Of the normal distribution before it is cut off at the ends; a decimal logarithm on a logarithmic axis.
        mean: f64,
        /// Likewise.
        deviation: f64,
    },
    /// Choices, with the probability of each.
    Choices(Vec<f64>),
}

impl CrossEntropy {
    pub(crate) fn check(&self) -> Result<(), SearchError> {
        let within = |name, found: f64, holds: bool, expected| {
            if holds { Ok(()) } else { Err(SearchError::Setting { name, found, expected }) }
        };
        let open = |x: f64| 0.0 < x && x < 1.0;
        within("population", self.population as f64, 4 <= self.population, "a number from 4 on")?;
        within("elite share", self.elite, open(self.elite), "a number between 0 and 1")?;
        within("smoothing", self.smoothing, 0.0 < self.smoothing && self.smoothing <= 1.0, "above 0, at most 1")?;
        within("tolerance", self.tolerance, open(self.tolerance), "a number between 0 and 1")
    }

    /// The elite's size: two at least, or there would be no deviation.
    pub(crate) fn n_elite(&self) -> usize {
        ((self.elite * self.population as f64).ceil() as usize).clamp(2, self.population)
    }

    /// The distribution after what was tried, and the number of whole generations that made it. The first spreads over each
    /// range with a deviation of half its width, which is nearly even.
    pub fn distributions(&self, parameters: &[Parameter], tried: &[Tried]) -> (Vec<Distribution>, usize) {
        let mut of: Vec<Distribution> = parameters.iter().map(initial).collect();
        let generations = tried.chunks_exact(self.population);
        let n_generations = generations.len();
        for generation in generations {
            let elite = self.elite_of(generation);
            for (index, (distribution, parameter)) in of.iter_mut().zip(parameters).enumerate() {
                let coordinates: Vec<f64> =
                    elite.iter().map(|tried| parameter.coordinate(&tried.values[index])).collect();
                distribution.follow(&coordinates, self.smoothing);
            }
        }
        (of, n_generations)
    }

    /// The best of a generation; equal ones in the order of their drawing.
    fn elite_of<'a>(&self, generation: &'a [Tried]) -> Vec<&'a Tried> {
        let mut ranked: Vec<(f64, &Tried)> =
            generation.iter().filter_map(|tried| tried.cost.map(|cost| (cost, tried))).collect();
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
        ranked.truncate(self.n_elite());
        ranked.into_iter().map(|(_, tried)| tried).collect()
    }

    /// Whether a distribution is narrow enough to end.
    pub fn has_converged(&self, parameters: &[Parameter], of: &[Distribution]) -> bool {
        parameters.iter().zip(of).all(|(parameter, of)| of.relative_deviation(parameter) < self.tolerance)
    }

    /// The next generation; none when the distribution has converged.
    pub(crate) fn next(&self, parameters: &[Parameter], seed: u64, tried: &[Tried]) -> Vec<Vec<Value>> {
        let (of, n_generations) = self.distributions(parameters, tried);
        if self.has_converged(parameters, &of) {
            return Vec::new();
        }
        let candidate = |index: usize| {
            let mut stream = Stream::new(seed, [SUBJECT + n_generations as u64, index as u64]);
            let drawn = parameters.iter().zip(&of).map(|(parameter, of)| of.draw(parameter, stream.uniform()));
            drawn.collect()
        };
        (0..self.population).map(candidate).collect()
    }
}

fn initial(parameter: &Parameter) -> Distribution {
    match (parameter.ends(), parameter.domain()) {
        (Some((low, high)), _) => {
            Distribution::Normal { mean: f64::midpoint(low, high), deviation: (high - low) / 2.0 }
        }
        (None, crate::parameter::Domain::Choices(choices)) => {
            Distribution::Choices(vec![1.0 / choices.len() as f64; choices.len()])
        }
        (None, crate::parameter::Domain::Range { .. }) => unreachable!("a range has ends"),
    }
}

impl Distribution {
    /// Moves towards the elite's mean and deviation, or shares. Of one candidate there is no deviation, of none nothing.
    fn follow(&mut self, elite: &[f64], smoothing: f64) {
        let n = elite.len() as f64;
        let towards = |from: &mut f64, to: f64| *from = smoothing * to + (1.0 - smoothing) * *from;
        match self {
            _ if elite.is_empty() => {}
            Self::Normal { mean, deviation } => {
                let elite_mean = elite.iter().sum::<f64>() / n;
                let elite_deviation = (elite.iter().map(|x| (x - elite_mean).powi(2)).sum::<f64>() / n).sqrt();
                towards(mean, elite_mean);
                if 1 < elite.len() {
                    towards(deviation, elite_deviation);
                }
            }
            Self::Choices(shares) => {
                for (index, share) in shares.iter_mut().enumerate() {
                    let n_chosen = elite.iter().filter(|&&choice| choice as usize == index).count();
                    towards(share, n_chosen as f64 / n);
                }
            }
        }
    }

    /// In the unit of [`CrossEntropy::tolerance`].
    fn relative_deviation(&self, parameter: &Parameter) -> f64 {
        match (self, parameter.domain()) {
            (Self::Choices(shares), _) => 1.0 - shares.iter().copied().fold(0.0, f64::max),
            (Self::Normal { deviation, .. }, crate::parameter::Domain::Range { low, high, axis: Axis::Linear }) => {
                deviation / (high - low)
            }
            (Self::Normal { deviation, .. }, _) => *deviation,
        }
    }

    /// The value below which a share `p` lies.
    fn draw(&self, parameter: &Parameter, p: f64) -> Value {
        match (self, parameter.ends()) {
            (&Self::Normal { mean, deviation }, Some(ends)) => {
                // The elite may agree to the last digit while another parameter has not converged.
                let deviation = deviation.max(1e-9 * (ends.1 - ends.0));
                parameter.value_at(TruncatedNormal::new(mean, deviation, ends).quantile(p))
            }
            (Self::Choices(shares), _) => {
                let mut left = p * shares.iter().sum::<f64>();
                let place = shares.iter().position(|share| {
                    left -= share;
                    left < 0.0
                });
                Value::Choice(place.unwrap_or(shares.len() - 1))
            }
            (Self::Normal { .. }, None) => unreachable!("only ranges are drawn from normal distributions"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parameters(texts: &[&str]) -> Vec<Parameter> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// Runs a search to its end.
    fn searched(
        of: &CrossEntropy,
        parameters: &[Parameter],
        seed: u64,
        cost: impl Fn(&[Value]) -> Option<f64>,
    ) -> Vec<Tried> {
        let mut tried = Vec::new();
        while tried.len() < 1000 {
            let next = of.next(parameters, seed, &tried);
            if next.is_empty() {
                break;
            }
            tried.extend(next.into_iter().map(|values| Tried { cost: cost(&values), values }));
        }
        tried
    }

    fn exponent(value: &Value) -> f64 {
        let Value::Number(number) = value else { panic!("a number") };
        number.log10()
    }

    /// How many of 1000 searches for the least of a quadratic, at an end of the range as well, try nothing within a quarter
    /// of a decade of it before they settle. Seeds are fixed, since a share is claimed.
    fn n_misses(of: &CrossEntropy) -> usize {
        let parameters = parameters(&["epsilon:1e-8..1e-1"]);
        let is_missed = |seed: &u64| {
            let optimum = -8.0 + 7.0 * (seed % 8) as f64 / 7.0;
            let tried = searched(of, &parameters, *seed, |values| Some((exponent(&values[0]) - optimum).powi(2)));
            let (found, _) = of.distributions(&parameters, &tried);
            assert!(of.has_converged(&parameters, &found), "seed {seed}");
            tried.iter().all(|tried| 0.25 <= (exponent(&tried.values[0]) - optimum).abs())
        };
        (0..1000).filter(is_missed).count()
    }

    /// docs/search.md gives these shares.
    #[test]
    fn few_candidates_settle_too_early_now_and_then() {
        let n_of_few = n_misses(&CrossEntropy::default());
        let n_of_many = n_misses(&CrossEntropy { population: 40, elite: 0.2, ..CrossEntropy::default() });
        assert!(n_of_few < 120 && n_of_many <= 1, "{n_of_few} {n_of_many}");
    }

    proptest! {
        /// The values of one parameter do not depend on what other parameters come after it.
        #[test]
        fn prop_first_generations_extend(seed: u64) {
            let of = CrossEntropy::default();
            let (one, two) = (parameters(&["epsilon:1e-8..1e-1"]), parameters(&["epsilon:1e-8..1e-1", "lr:1e-4..1"]));
            let (one, two) = (of.next(&one, seed, &[]), of.next(&two, seed, &[]));
            prop_assert!(one.iter().zip(&two).all(|(one, two)| one[0] == two[0]) && one.len() == 10);
        }
    }

    #[test]
    fn several_parameters_of_all_kinds_converge_together() {
        let of = CrossEntropy { population: 40, elite: 0.2, ..CrossEntropy::default() };
        let parameters = parameters(&["epsilon:1e-8..1e-1", "dropout:0..0.5", "beta2:0.9,0.99,0.999"]);
        let cost = |values: &[Value]| {
            let &[_, Value::Number(dropout), Value::Choice(beta2)] = values else { panic!("three values") };
            Some(
                (exponent(&values[0]) + 5.0).powi(2)
                    + 50.0 * (dropout - 0.2).powi(2)
                    + if beta2 == 1 { 0.0 } else { 1.0 },
            )
        };
        let tried = searched(&of, &parameters, 3, cost);
        let (found, _) = of.distributions(&parameters, &tried);
        let [
            Distribution::Normal { mean: epsilon, .. },
            Distribution::Normal { mean: dropout, .. },
            Distribution::Choices(shares),
        ] = &found[..]
        else {
            panic!("three distributions")
        };
        assert!((epsilon + 5.0).abs() < 0.3 && (dropout - 0.2).abs() < 0.05 && 0.9 < shares[1], "{found:?}");
    }

    #[test]
    fn what_has_no_value_is_never_elite_and_nothing_moves_without_any() {
        let of = CrossEntropy::default();
        let parameters = parameters(&["epsilon:1e-8..1e-1"]);
        // Everything below 1e-4 diverges.
        let cost = |values: &[Value]| Some(exponent(&values[0])).filter(|&exponent| -4.0 < exponent);
        let tried = searched(&of, &parameters, 5, cost);
        let (found, _) = of.distributions(&parameters, &tried);
        let Distribution::Normal { mean, .. } = found[0] else { panic!("a normal distribution") };
        assert!(-4.1 < mean && mean < -3.0, "{mean}");
        let nothing = searched(&of, &parameters, 5, |_| None);
        assert_eq!(of.distributions(&parameters, &nothing).0, [initial(&parameters[0])]);
        assert_ne!(nothing[0].values, nothing[10].values);
    }

    /// The update by hand: elite −6, −5, −4 of mean −5 and deviation sqrt(2/3).
    #[test]
    fn one_update_by_hand() {
        let of = CrossEntropy { population: 6, elite: 0.5, smoothing: 0.7, tolerance: 0.1 };
        let parameters = parameters(&["epsilon:1e-8..1e-2"]);
        let tried: Vec<Tried> = [1e-4, 1e-8, 1e-6, 1e-2, 1e-5, 1e-7]
            .iter()
            .zip([3.0, 9.0, 1.0, 7.0, 2.0, 8.0])
            .map(|(&number, cost)| Tried { values: vec![Value::Number(number)], cost: Some(cost) })
            .collect();
        let (found, _) = of.distributions(&parameters, &tried);
        let Distribution::Normal { mean, deviation } = found[0] else { panic!("a normal distribution") };
        assert!((mean + 5.0).abs() < 1e-12, "{mean}");
        assert!((deviation - (0.7 * (2.0f64 / 3.0).sqrt() + 0.3 * 3.0)).abs() < 1e-12, "{deviation}");
    }
}
