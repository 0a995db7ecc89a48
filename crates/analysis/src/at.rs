//! After which steps of a run critical ε is looked at.

use std::fmt;
use std::num::NonZeroI64;
use std::str::FromStr;

/// The steps after which critical ε is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum At {
    /// `last`: the last step; where not every element's gradients can be replayed, that of the last snapshot.
    #[default]
    Last,
    /// `epoch`: the last step of each epoch. Steps that the training loop gave no epoch are left out.
    Epoch,
    /// `N`: this one.
    Step(i64),
    /// `every:N`: N, 2 N and so on.
    Every(NonZeroI64),
    /// `all`: every step after which the recorder took critical ε.
    All,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Last => f.pad("last"),
            Self::Epoch => f.pad("epoch"),
            Self::Step(step) => write!(f, "{step}"),
            Self::Every(n) => write!(f, "every:{n}"),
            Self::All => f.pad("all"),
        }
    }
}

impl FromStr for At {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let step = |text: &str| text.parse().ok().filter(|&step: &i64| 0 < step);
        let found = match text {
            "last" => Some(Self::Last),
            "epoch" => Some(Self::Epoch),
            "all" => Some(Self::All),
            _ => match text.strip_prefix("every:") {
                Some(n) => step(n).and_then(NonZeroI64::new).map(Self::Every),
                None => step(text).map(Self::Step),
            },
        };
        found.ok_or_else(|| format!("step {text:?}: expected last, epoch, all, every:N or a step counted from 1"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_as_they_are_printed() {
        for text in ["last", "epoch", "17", "every:100", "all"] {
            assert_eq!(text.parse::<At>().unwrap().to_string(), text);
        }
        for text in ["", "0", "-3", "every:0", "every:", "steps", "1..2"] {
            assert!(text.parse::<At>().is_err(), "{text}");
        }
    }
}
