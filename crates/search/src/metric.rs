//! What a command printed, and what is to be made of it.

use std::convert::Infallible;
use std::io::{self, BufRead};

use regex::bytes::Regex;
use regex_syntax::ast::{self, Ast, Visitor};

use crate::error::SearchError;

/// Of a longer line only the end is looked at.
const MAX_LINE_BYTES: usize = 1 << 20;
/// A number as programs print it, or what stands where there is none.
const NUMBER: &str = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?(?i:nan|inf(?:inity)?)";
/// What patterns of numbers leave out.
const NOT_FINITE: &str = r"[-+]?(?i:nan|inf(?:inity)?)\b";

/// Which values are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// Small ones.
    Minimize,
    /// Great ones.
    Maximize,
}

impl Goal {
    /// The word in commands and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Minimize => "minimize",
            Self::Maximize => "maximize",
        }
    }

    /// The smaller, the better.
    pub fn cost(self, value: f64) -> f64 {
        match self {
            Self::Minimize => value,
            Self::Maximize => -value,
        }
    }
}

/// Where a trial's value stands in standard output: the last match of a pattern, line by line.
///
/// Of the match the first group counts, or all of it if there is none. A pattern that is nothing but a name stands for that
/// name and the number after it, as in `val_loss=0.31`, `val_loss: 0.31` or `"val_loss": 0.31`.
///
/// NaN and infinity count even where the pattern does not match them, or a network that has diverged would be judged by
/// an earlier epoch: the same pattern is also looked for with `nan` and `inf` in place of its group.
#[derive(Clone, Debug)]
pub struct Metric {
    pattern: String,
    goal: Goal,
    number: Regex,
    not_finite: Option<Regex>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Found {
    /// A finite number.
    Value(f64),
    /// As it was printed.
    NotFinite(String),
    /// Something that is no number.
    NoNumber(String),
}

impl Metric {
    /// The metric of a pattern in the syntax of the regex crate, which is Python's and Perl's without look-around.
    ///
    /// # Errors
    /// [`SearchError::Metric`] if the pattern is none.
    pub fn new(pattern: &str, goal: Goal) -> Result<Self, SearchError> {
        let fault = |reason: String| SearchError::Metric { pattern: pattern.to_owned(), reason };
        let whole = if is_name(pattern) { of_name(pattern) } else { pattern.to_owned() };
        let compiled = |pattern: &str| Regex::new(pattern).map_err(|reason| fault(last_line(&reason.to_string())));
        let number = compiled(&whole)?;
        let not_finite = with_group_replaced(&whole, NOT_FINITE).as_deref().map(compiled).transpose()?;
        Ok(Self { pattern: pattern.to_owned(), goal, number, not_finite })
    }

    /// As typed.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// The whole pattern, as Python's `re` takes it, too.
    pub(crate) fn regex(&self) -> &str {
        self.number.as_str()
    }

    /// The same for what is not finite.
    pub(crate) fn not_finite_regex(&self) -> Option<&str> {
        self.not_finite.as_ref().map(Regex::as_str)
    }

    /// Which values are better.
    pub fn goal(&self) -> Goal {
        self.goal
    }

    /// The last match in a text of any length; memory stays bounded.
    pub(crate) fn find(&self, text: impl BufRead) -> io::Result<Option<Found>> {
        let mut last = None;
        for_each_line(text, |line| {
            if let Some(found) = self.last_in(line) {
                last = Some(found);
            }
        })?;
        Ok(last)
    }

    fn last_in(&self, line: &[u8]) -> Option<Found> {
        let number = last_match(&self.number, line);
        let not_finite = self.not_finite.as_ref().and_then(|regex| last_match(regex, line));
        let found = match (number, not_finite) {
            (Some(number), Some(other)) if other.0 < number.0 => Some(number),
            (number, other) => other.or(number),
        };
        found.map(|(_, text)| Found::of(&String::from_utf8_lossy(text)))
    }
}

impl Found {
    fn of(text: &str) -> Self {
        // A sentence may end after the number.
        let text = text.trim().trim_end_matches([',', ';']);
        let number = text.parse::<f64>().or_else(|_| text.trim_end_matches('.').parse());
        match number {
            Ok(number) if number.is_finite() => Self::Value(number),
            Ok(_) => Self::NotFinite(text.to_owned()),
            Err(_) => Self::NoNumber(text.to_owned()),
        }
    }
}

fn is_name(pattern: &str) -> bool {
    pattern.starts_with(|first: char| first.is_alphabetic() || first == '_')
        && pattern.chars().all(|letter| letter.is_alphanumeric() || "_-/".contains(letter))
}

fn of_name(name: &str) -> String {
    format!(r#"(?:^|[^\w/-]){}["']?\s*[=:]?\s*({NUMBER})"#, regex::escape(name))
}

/// Where the last match begins, and what it holds.
fn last_match<'a>(regex: &Regex, line: &'a [u8]) -> Option<(usize, &'a [u8])> {
    let captures = regex.captures_iter(line).last()?;
    let found = captures.get(1).or_else(|| captures.get(0))?;
    Some((found.start(), found.as_bytes()))
}

fn for_each_line(mut text: impl BufRead, mut visit: impl FnMut(&[u8])) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        let piece = text.fill_buf()?;
        if piece.is_empty() {
            visit(&line);
            return Ok(());
        }
        let end = piece.iter().position(|&byte| byte == b'\n');
        line.extend_from_slice(&piece[..end.unwrap_or(piece.len())]);
        let n_taken = end.map_or(piece.len(), |end| end + 1);
        text.consume(n_taken);
        if end.is_some() {
            visit(&line);
            line.clear();
        } else if 2 * MAX_LINE_BYTES < line.len() {
            line.drain(..line.len() - MAX_LINE_BYTES);
        }
    }
}

/// The pattern with something else in its first group; `None` if it has none.
fn with_group_replaced(pattern: &str, by: &str) -> Option<String> {
    let parsed = ast::parse::Parser::new().parse(pattern).ok()?;
    let (start, end) = match ast::visit(&parsed, FirstGroup(None)) {
        Ok(found) => found?,
        Err(never) => match never {},
    };
    Some([&pattern[..start], "(", by, ")", &pattern[end..]].concat())
}

/// Where the first group stands.
struct FirstGroup(Option<(usize, usize)>);

impl Visitor for FirstGroup {
    type Output = Option<(usize, usize)>;
    type Err = Infallible;

    fn finish(self) -> Result<Self::Output, Infallible> {
        Ok(self.0)
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), Infallible> {
        if let Ast::Group(group) = ast
            && group.capture_index() == Some(1)
        {
            self.0 = Some((group.span.start.offset, group.span.end.offset));
        }
        Ok(())
    }
}

/// What the regex crate says after it has drawn the pattern.
fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pattern: &str, text: &str) -> Option<Found> {
        Metric::new(pattern, Goal::Minimize).unwrap().find(text.as_bytes()).unwrap()
    }

    fn number(number: f64) -> Found {
        Found::Value(number)
    }

    #[test]
    fn the_last_match_counts() {
        let pattern = "val_loss=([0-9.e+-]+)";
        assert_eq!(found(pattern, "val_loss=2\nval_loss=1e-3 val_loss=0.5\nother"), Some(number(0.5)));
        assert_eq!(found(pattern, "val_loss=0.25.\n"), Some(number(0.25)));
        assert_eq!(found(pattern, "epoch 1\rval_loss=3\rval_loss=2"), Some(number(2.0)));
        assert_eq!(found("[0-9]+", "a 1 b 22"), Some(number(22.0)));
        assert_eq!(found(pattern, "loss=2"), None);
        assert_eq!(found(pattern, "val_loss=--\n"), Some(Found::NoNumber("--".to_owned())));
    }

    #[test]
    fn what_diverged_is_not_judged_by_an_earlier_value() {
        for (pattern, text) in [
            ("val_loss=([0-9.e+-]+)", "val_loss=0.5\nval_loss=nan\n"),
            ("val_loss=([0-9.e+-]+)", "val_loss=0.5\nval_loss=-inf\n"),
            (r"loss (?P<loss>\S+), acc", "loss 0.5, acc 1\nloss NaN, acc 0\n"),
            (r"\((?:[(])?loss=(\d+)", "(loss=3\n(loss=Infinity\n"),
            ("val_loss", "val_loss: 3\nval_loss: nan"),
        ] {
            assert!(matches!(found(pattern, text), Some(Found::NotFinite(_))), "{pattern}");
        }
        assert_eq!(found("val_loss=([0-9.e+-]+)", "val_loss=nan\nval_loss=0.5"), Some(number(0.5)));
        assert_eq!(found("val_loss=([0-9.e+-]+)", "val_loss=nancy"), None);
    }

    #[test]
    fn a_name_stands_for_the_number_after_it() {
        for text in
            ["val_loss=0.5", "{\"val_loss\": 0.5}", "epoch 3 val_loss 5e-1", "a, val_loss : .5,", "'val_loss':0.5"]
        {
            assert_eq!(found("val_loss", text), Some(number(0.5)), "{text}");
        }
        assert_eq!(found("loss", "val_loss=0.5 loss=1 val/loss=2"), Some(number(1.0)));
    }

    #[test]
    fn lines_without_end_take_bounded_memory_and_their_end_counts() {
        let text = format!("loss=1 {}loss=2", "x".repeat(5 * MAX_LINE_BYTES));
        assert_eq!(found("loss=([0-9]+)", &text), Some(number(2.0)));
        let mut bytes = vec![0xff, 0, 0x80];
        bytes.extend_from_slice(b"loss=7\xff\n\xfe");
        let metric = Metric::new("loss=([0-9]+)", Goal::Minimize).unwrap();
        assert_eq!(metric.find(&bytes[..]).unwrap(), Some(number(7.0)));
    }

    #[test]
    fn patterns_that_are_none_are_refused_in_a_line() {
        for pattern in ["(", "[a", "a{2", "(?<=a)b"] {
            let fault = Metric::new(pattern, Goal::Minimize).unwrap_err().to_string();
            assert!(!fault.contains('\n') && fault.contains("metric"), "{fault}");
        }
    }
}
