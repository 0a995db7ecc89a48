//! Which numbers options take, whoever asks for them.

use std::fmt;

/// Numbers that an option takes.
///
/// # Examples
/// ```
/// use epsiloscope_analysis::limits::PERCENTILE;
///
/// assert_eq!(PERCENTILE.check(0.98), Ok(0.98));
/// assert_eq!(PERCENTILE.check(98.0).unwrap_err().to_string(), "expected a number between 0.5 and 1");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    holds: fn(f64) -> bool,
    expected: &'static str,
}

/// A number beyond a limit, and what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfRange(&'static str);

/// The share p of each tensor's elements that bounds leave on one side.
pub const PERCENTILE: Limit = Limit::new(|p| 0.5 < p && p < 1.0, "a number between 0.5 and 1");
/// Decay rates of moments.
pub const DECAY_RATE: Limit = Limit::new(|rate| (0.0..1.0).contains(&rate), "a number from 0 to below 1");
/// The probability with which intervals hold.
pub const CONFIDENCE: Limit = Limit::new(|share| 0.0 < share && share < 1.0, "a number between 0 and 1");
/// ε and learning rates.
pub const POSITIVE: Limit = Limit::new(|number| 0.0 < number && number.is_finite(), "a number above 0");
/// ε as it was set, and weight decay.
pub const NOT_NEGATIVE: Limit = Limit::new(|number| 0.0 <= number && number.is_finite(), "a number from 0");

impl Limit {
    /// The numbers for which something holds, in words.
    pub const fn new(holds: fn(f64) -> bool, expected: &'static str) -> Self {
        Self { holds, expected }
    }

    /// The number, if the option takes it.
    ///
    /// # Errors
    /// What was expected. Not a number is beyond every limit.
    pub fn check(self, number: f64) -> Result<f64, OutOfRange> {
        if (self.holds)(number) { Ok(number) } else { Err(OutOfRange(self.expected)) }
    }
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}", self.0)
    }
}

impl std::error::Error for OutOfRange {}
