//! What is searched: names, and what each may be.

use std::fmt;
use std::str::FromStr;

use crate::error::SearchError;

/// Names that stand for something else in commands and tables.
pub const RESERVED: [&str; 13] = [
    "seed",
    "trial",
    "dir",
    "point",
    "status",
    "value",
    "reason",
    "elapsed_secs",
    "spread",
    "seeds",
    "best",
    "within_noise",
    "rank",
];
/// Values are rounded to so many significant digits, so that a value is what its text says, and the last bits of a
/// machine's logarithms do not matter.
const DIGITS: usize = 6;

/// A name and what it may be.
///
/// Written `name:low..high`, on a logarithmic axis if both ends are positive and at least a decade apart, or as said by a
/// suffix, `name:low..high:linear` or `:log`; or `name:a,b,c`, one of some words.
///
/// # Examples
/// ```
/// use epsiloscope_search::{Axis, Domain, Parameter};
///
/// let lr: Parameter = "lr:1e-4..1e-1".parse()?;
/// assert_eq!(lr.domain(), &Domain::Range { low: 1e-4, high: 1e-1, axis: Axis::Log });
/// let dropout: Parameter = "dropout:0..0.5".parse()?;
/// assert_eq!(dropout.domain(), &Domain::Range { low: 0.0, high: 0.5, axis: Axis::Linear });
/// assert_eq!("beta2:0.9,0.99".parse::<Parameter>()?.domain(), &Domain::Choices(vec!["0.9".into(), "0.99".into()]));
/// # Ok::<(), epsiloscope_search::SearchError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    name: String,
    domain: Domain,
}

/// What a parameter may be.
#[derive(Clone, Debug, PartialEq)]
pub enum Domain {
    /// Numbers from `low` to `high`, both included.
    Range {
        /// Finite; positive on a logarithmic axis.
        low: f64,
        /// Greater than `low`, and finite.
        high: f64,
        /// On which it is spread evenly.
        axis: Axis,
    },
    /// At least one word of letters, digits and `_./:=@%+-`, which no shell reads as anything else.
    Choices(Vec<String>),
}

/// On which a range is spread evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// The common logarithm; distances are decades.
    Log,
    /// The number itself.
    Linear,
}

/// One value of one parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Of a range, with six significant digits.
    Number(f64),
    /// One of the choices, by its index.
    Choice(usize),
}

impl Parameter {
    /// A parameter over a domain.
    ///
    /// # Errors
    /// [`SearchError::Parameter`] for a name that is not of letters, digits, `_` and `.` or is [`RESERVED`], and for a domain
    /// that is not as [`Domain`] says.
    pub fn new(name: &str, domain: Domain) -> Result<Self, SearchError> {
        let fault = |expected: &str| SearchError::Parameter { text: name.to_owned(), expected: expected.to_owned() };
        let is_word = |word: &str| {
            word.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
                && word.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        };
        if !name.split('.').all(is_word) {
            return Err(fault("expected a name of letters, digits, _ and ., then : and a range or choices"));
        }
        if RESERVED.contains(&name) {
            return Err(fault("a name that stands for something else; expected another"));
        }
        domain.check().map_err(fault)?;
        Ok(Self { name: name.to_owned(), domain })
    }

    /// The name in templates and tables.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it may be.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// The environment variable that commands find it in: `EPSILOSCOPE_` and the name in capitals, `_` for `.`.
    pub fn variable(&self) -> String {
        format!("EPSILOSCOPE_{}", self.name.to_ascii_uppercase().replace('.', "_"))
    }

    /// A value as it is written into commands: the shortest text that is read as the same number.
    pub fn text(&self, value: &Value) -> String {
        match (value, &self.domain) {
            (&Value::Number(number), _) => number_text(number),
            (&Value::Choice(index), Domain::Choices(choices)) => choices.get(index).cloned().unwrap_or_default(),
            (Value::Choice(index), Domain::Range { .. }) => index.to_string(),
        }
    }

    /// The value with a coordinate: a decimal logarithm, a number, or the index of a choice.
    pub(crate) fn value_at(&self, coordinate: f64) -> Value {
        match self.domain {
            Domain::Range { low, high, axis: Axis::Log } => Value::Number(rounded(10f64.powf(coordinate), low, high)),
            Domain::Range { low, high, axis: Axis::Linear } => Value::Number(rounded(coordinate, low, high)),
            Domain::Choices(ref choices) => Value::Choice((coordinate.max(0.0) as usize).min(choices.len() - 1)),
        }
    }

    /// The coordinates of the ends of a range.
    pub(crate) fn ends(&self) -> Option<(f64, f64)> {
        match self.domain {
            Domain::Range { low, high, axis: Axis::Log } => Some((low.log10(), high.log10())),
            Domain::Range { low, high, axis: Axis::Linear } => Some((low, high)),
            Domain::Choices(_) => None,
        }
    }

    /// See [`value_at`](Self::value_at).
    pub(crate) fn coordinate(&self, value: &Value) -> f64 {
        match (value, &self.domain) {
            (&Value::Number(number), Domain::Range { axis: Axis::Log, .. }) => number.log10(),
            (&Value::Number(number), _) => number,
            (&Value::Choice(index), _) => index as f64,
        }
    }
}

impl Domain {
    fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::Range { low, high, .. } if !(low.is_finite() && high.is_finite() && low < high) => {
                Err("expected low..high, two numbers in ascending order")
            }
            Self::Range { low, axis: Axis::Log, .. } if *low <= 0.0 => {
                Err("expected positive ends on a logarithmic axis")
            }
            Self::Choices(choices) if choices.iter().any(|choice| !is_plain(choice)) || choices.is_empty() => {
                Err("expected choices of letters, digits and _./:=@%+-, separated by commas")
            }
            Self::Choices(choices) if has_twin(choices) => Err("a choice is named twice"),
            Self::Range { .. } | Self::Choices(_) => Ok(()),
        }
    }
}

fn has_twin(choices: &[String]) -> bool {
    choices.iter().enumerate().any(|(index, choice)| choices[..index].contains(choice))
}

/// Whether every shell takes a word as it is.
pub(crate) fn is_plain(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|letter| letter.is_ascii_alphanumeric() || "_./:=@%+-".contains(letter))
}

/// Six digits are enough of a hyperparameter; ends that have more are kept.
fn rounded(number: f64, low: f64, high: f64) -> f64 {
    let short: f64 = format!("{number:.*e}", DIGITS - 1).parse().unwrap_or(number);
    short.clamp(low, high)
}

fn number_text(number: f64) -> String {
    let size = number.abs();
    if number == 0.0 || (1e-3..1e6).contains(&size) { number.to_string() } else { format!("{number:e}") }
}

impl FromStr for Parameter {
    type Err = SearchError;

    fn from_str(text: &str) -> Result<Self, SearchError> {
        let (name, domain) = text.split_once(':').unwrap_or((text, ""));
        let parameter = match domain.split_once("..") {
            Some((low, rest)) => range(low, rest).ok_or("expected low..high, and after it nothing, :log or :linear"),
            None => Ok(Domain::Choices(domain.split(',').map(|choice| choice.trim().to_owned()).collect())),
        };
        let parameter = parameter.map_err(|expected| (text, expected.to_owned())).and_then(|domain| {
            Self::new(name, domain).map_err(|fault| match fault {
                SearchError::Parameter { expected, .. } => (text, expected),
                other => (text, other.to_string()),
            })
        });
        parameter.map_err(|(text, expected)| SearchError::Parameter { text: text.to_owned(), expected })
    }
}

fn range(low: &str, rest: &str) -> Option<Domain> {
    let (high, axis) = rest.split_once(':').map_or((rest, None), |(high, axis)| (high, Some(axis)));
    let (low, high): (f64, f64) = (low.trim().parse().ok()?, high.trim().parse().ok()?);
    let spans_decades = 0.0 < low && 10.0 * low <= high;
    let axis = match axis {
        None if spans_decades => Axis::Log,
        None | Some("linear") => Axis::Linear,
        Some("log") => Axis::Log,
        Some(_) => return None,
    };
    Some(Domain::Range { low, high, axis })
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.domain {
            Domain::Range { low, high, axis } => {
                let axis = if *axis == Axis::Log { "log" } else { "linear" };
                write!(f, "{}:{}..{}:{axis}", self.name, number_text(*low), number_text(*high))
            }
            Domain::Choices(choices) => write!(f, "{}:{}", self.name, choices.join(",")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_parameter_is_refused() {
        let wrong = [
            "",
            "lr",
            "lr:",
            ":1..2",
            "lr:2..1",
            "lr:1..1",
            "lr:0..1:log",
            "lr:-1..1:log",
            "lr:1..inf",
            "lr:nan..1",
            "lr:1..2:cubic",
            "l r:1..2",
            "1r:1..2",
            "seed:1..2",
            "trial:a,b",
            "opt:a,,b",
            "opt:a,a",
            "opt:$(ls)",
            "opt:a b",
            "opt:a;b",
            "lr:1..2..3",
            "a-b:1..2",
            "ε:1..2",
        ];
        for text in wrong {
            assert!(matches!(text.parse::<Parameter>(), Err(SearchError::Parameter { .. })), "{text}");
        }
    }

    #[test]
    fn values_are_written_as_people_do() {
        let of = |number| number_text(number);
        assert_eq!([of(1e-8), of(3.16228e-5), of(0.001), of(0.25)], ["1e-8", "3.16228e-5", "0.001", "0.25"]);
        assert_eq!([of(0.0), of(12.0), of(1e6), of(-2e-4)], ["0", "12", "1e6", "-2e-4"]);
    }

    #[test]
    fn names_become_variables() {
        let parameter: Parameter = "optimizer.eps:1e-8..1e-1".parse().unwrap();
        assert_eq!(parameter.variable(), "EPSILOSCOPE_OPTIMIZER_EPS");
        assert_eq!(parameter.to_string().parse::<Parameter>().unwrap(), parameter);
    }

    proptest! {
        #[test]
        fn prop_a_value_is_what_its_text_says_and_lies_inside(
            low in -20.0..5.0f64, width in 0.1..10.0f64, share in 0.0..=1.0f64,
        ) {
            let (low, high) = (10f64.powf(low), 10f64.powf(low + width));
            for axis in [Axis::Log, Axis::Linear] {
                let parameter = Parameter::new("x", Domain::Range { low, high, axis }).unwrap();
                let (first, last) = parameter.ends().unwrap();
                let value = parameter.value_at(first + share * (last - first));
                let Value::Number(number) = value else { panic!("a number") };
                prop_assert_eq!(parameter.text(&value).parse(), Ok(number));
                prop_assert!(low <= number && number <= high);
                prop_assert_eq!(parameter.to_string().parse::<Parameter>().unwrap(), parameter);
            }
        }
    }
}
