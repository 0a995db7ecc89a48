//! What is to be searched, and what is known of it.

use epsiloscope_moments::Convention;
use thiserror::Error;

/// A range of ε, searched evenly on its logarithm.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchSpace {
    parameter: String,
    optimizer: Convention,
    lower: f64,
    upper: f64,
    provenance: Vec<(&'static str, String)>,
}

/// Why a search space cannot be exported.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum SearchSpaceError {
    /// It has no width, or no positive ends.
    #[error("a search space from {lower:e} to {upper:e}: expected two positive numbers, the second greater")]
    Range {
        /// Where it begins.
        lower: f64,
        /// Where it ends.
        upper: f64,
    },
    /// A name that not every tool takes.
    #[error("parameter {0:?}: expected letters, digits, _ and ., such as eps or optimizer.eps")]
    Parameter(String),
}

impl SearchSpace {
    /// The space from `lower` to `upper` of a parameter.
    ///
    /// # Errors
    /// [`SearchSpaceError`] unless the ends are positive, finite and ascend, and the name is of letters, digits, `_` and `.`.
    pub fn new(parameter: &str, optimizer: Convention, (lower, upper): (f64, f64)) -> Result<Self, SearchSpaceError> {
        if !(0.0 < lower && lower < upper && upper.is_finite()) {
            return Err(SearchSpaceError::Range { lower, upper });
        }
        let is_word = |word: &str| {
            !word.is_empty()
                && !word.starts_with(|first: char| first.is_ascii_digit())
                && word.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        };
        if !parameter.split('.').all(is_word) {
            return Err(SearchSpaceError::Parameter(parameter.to_owned()));
        }
        Ok(Self { parameter: parameter.to_owned(), optimizer, lower, upper, provenance: Vec::new() })
    }

    /// The same, saying something of where it comes from, such as its `runs`. Whatever could end a comment must have been
    /// escaped.
    ///
    /// # Panics
    /// If `said` holds a control character or a line separator.
    #[must_use]
    pub fn with_provenance(mut self, what: &'static str, said: impl Into<String>) -> Self {
        let said = said.into();
        let ends_line = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
        assert!(!said.contains(ends_line), "provenance {said:?} could end the comment it stands in");
        self.provenance.push((what, said));
        self
    }

    /// The parameter's name.
    pub fn parameter(&self) -> &str {
        &self.parameter
    }

    /// Whose ε it is.
    pub fn optimizer(&self) -> Convention {
        self.optimizer
    }

    /// Where it begins.
    pub fn lower(&self) -> f64 {
        self.lower
    }

    /// Where it ends.
    pub fn upper(&self) -> f64 {
        self.upper
    }

    /// The geometric middle.
    pub fn middle(&self) -> f64 {
        (self.lower * self.upper).sqrt().clamp(self.lower, self.upper)
    }

    /// What was said of where it comes from.
    pub(crate) fn provenance(&self) -> &[(&'static str, String)] {
        &self.provenance
    }
}

/// A number that Python, JSON and both versions of YAML read as that very float: YAML 1.1 takes `1e-5` for text, for want of
/// a point.
pub(crate) fn number(value: f64) -> String {
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => format!("{mantissa}.0e{exponent}"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use epsiloscope_moments::Optimizer;

    use super::*;

    fn space(parameter: &str, ends: (f64, f64)) -> Result<SearchSpace, SearchSpaceError> {
        SearchSpace::new(parameter, Optimizer::Adam.into(), ends)
    }

    #[test]
    fn numbers_have_a_point_and_are_the_same_floats() {
        assert_eq!((number(1e-5).as_str(), number(3.2e-12).as_str()), ("1.0e-5", "3.2e-12"));
        for value in [f64::MIN_POSITIVE, 5e-324, 0.1 + 0.2, 1e22, f64::MAX] {
            assert_eq!(number(value).parse(), Ok(value));
        }
    }

    #[test]
    fn spaces_without_width_and_names_that_could_be_code_are_refused() {
        for ends in [(1e-5, 1e-5), (0.0, 1.0), (1e-3, 1e-5), (1e-3, f64::INFINITY), (f64::NAN, 1.0)] {
            assert!(matches!(space("eps", ends), Err(SearchSpaceError::Range { .. })), "{ends:?}");
        }
        for name in ["", "eps\"", "a b", "1st", "a..b", ".eps", "ε", "a-b", "x\n"] {
            assert!(matches!(space(name, (1e-8, 1e-2)), Err(SearchSpaceError::Parameter(_))), "{name}");
        }
        assert!(space("optimizer.eps_root", (1e-8, 1e-2)).is_ok());
    }

    #[test]
    fn the_middle_lies_between_the_ends() {
        for ends in [(1e-8, 1e-2), (5e-324, 1e-323), (1e300, 1.1e300)] {
            let space = space("eps", ends).expect("a space");
            assert!((ends.0..=ends.1).contains(&space.middle()), "{}", space.middle());
        }
    }
}
