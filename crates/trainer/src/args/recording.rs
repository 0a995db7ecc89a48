//! What is recorded, of which steps, and when it is written.

use std::str::FromStr;

use clap::ValueEnum;
use epsiloscope_format::{Cadence, StepRange};
use epsiloscope_recorder::{MagnitudePolicy, Optimizer, WhenFull};

use super::numbers::positive;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Recording")]
pub(crate) struct RecordingOptions {
    /// Elements of each tensor whose values are recorded at every step: all, none or their number.
    #[arg(long, value_name = "all|none|K", default_value = "4096")]
    pub(crate) magnitudes: Magnitudes,

    /// Whether recorded values keep their signs, without which no first moment can be replayed.
    #[arg(long, value_enum, default_value_t = Switch::On)]
    pub(crate) signs: Switch,

    /// Whether to write the gradients' histograms of every step; critical ε are binned in any case.
    #[arg(long, value_enum, default_value_t = Switch::On)]
    pub(crate) histograms: Switch,

    /// Record only tensors whose name matches, such as 'conv*.weight'; may be repeated.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) include: Vec<String>,

    /// Leave out tensors whose name matches, such as '*.bias', even if included; may be repeated.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) exclude: Vec<String>,

    /// Record every N-th step only. Snapshots are recorded in any case, and moments take every step.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) every: u64,

    /// Record these steps only, counted from 1, both included; without LAST, to the end; may be repeated.
    #[arg(long, value_name = "FIRST-[LAST]")]
    pub(crate) record_steps: Vec<Steps>,

    /// Optimizers whose critical ε is recorded at snapshots, separated by commas, or none. The end of every epoch is a
    /// snapshot.
    #[arg(long, value_name = "NAMES", default_value = "adam,rmsprop,adabelief,adamomentum")]
    pub(crate) critical_epsilon: CriticalEpsilon,

    /// Bin critical ε at every recorded step, not at snapshots alone.
    #[arg(long)]
    pub(crate) critical_epsilon_every_step: bool,

    /// Whether snapshots hold every element's critical ε, some 5 bytes each [default: on for calibrate, off for train].
    #[arg(long, value_enum)]
    pub(crate) snapshot_elements: Option<Switch>,

    /// Take a snapshot at every N-th step, besides the end of every epoch.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) snapshot_every: Option<i64>,

    /// What happens to a step while 64 others wait for the disk: training waits, or the step is dropped.
    #[arg(long, value_enum, default_value_t = WhenFullChoice::Wait)]
    pub(crate) when_full: WhenFullChoice,

    /// Write what is recorded at least this often: a crash loses so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, value_parser = positive, allow_negative_numbers = true)]
    pub(crate) flush_secs: f64,
}

impl RecordingOptions {
    pub(crate) fn cadence(&self) -> Cadence {
        Cadence { every: self.every, ranges: self.record_steps.iter().map(|steps| steps.0).collect() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WhenFullChoice {
    Wait,
    Drop,
}

impl From<WhenFullChoice> for WhenFull {
    fn from(choice: WhenFullChoice) -> Self {
        match choice {
            WhenFullChoice::Wait => Self::Wait,
            WhenFullChoice::Drop => Self::Drop,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Magnitudes {
    All,
    None,
    Sample(u64),
}

impl Magnitudes {
    pub(crate) fn policy(self, seed: u64) -> MagnitudePolicy {
        match self {
            Self::All => MagnitudePolicy::All,
            Self::None => MagnitudePolicy::None,
            Self::Sample(elements_per_tensor) => MagnitudePolicy::Sample { elements_per_tensor, seed },
        }
    }
}

impl FromStr for Magnitudes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("all", _) => Ok(Self::All),
            ("none", _) => Ok(Self::None),
            (_, Ok(elements @ 1..)) => Ok(Self::Sample(elements)),
            _ => Err("expected all, none or a number above 0".to_owned()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Steps(pub(crate) StepRange);

impl FromStr for Steps {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('-').and_then(|(first, last)| {
            let last = if last.is_empty() { None } else { Some(last.parse().ok()?) };
            Some(StepRange { first: first.parse().ok()?, last })
        });
        let ascends = |range: &StepRange| 1 <= range.first && range.last.is_none_or(|last| range.first <= last);
        let expected = "expected FIRST-LAST or FIRST-, such as 1-100, with 1 or more ≤ FIRST ≤ LAST";
        parsed.filter(ascends).map(Self).ok_or_else(|| expected.to_owned())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CriticalEpsilon(pub(crate) Vec<Optimizer>);

impl FromStr for CriticalEpsilon {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(Vec::new()));
        }
        let optimizers: Result<_, _> = text.split(',').map(Optimizer::from_str).collect();
        optimizers.map(Self).map_err(|unknown| format!("{unknown}, or none"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magnitudes() {
        assert_eq!("17".parse(), Ok(Magnitudes::Sample(17)));
        assert_eq!("all".parse(), Ok(Magnitudes::All));
        for bad in ["0", "-1", "some", "1.5"] {
            assert!(bad.parse::<Magnitudes>().is_err(), "{bad}");
        }
    }

    #[test]
    fn ranges_of_steps() {
        assert_eq!("3-3".parse(), Ok(Steps(StepRange { first: 3, last: Some(3) })));
        assert_eq!("100-".parse(), Ok(Steps(StepRange { first: 100, last: None })));
        for bad in ["", "-", "5", "-5", "0-5", "5-4", "1-x", "1-2-3", "1--2"] {
            assert!(bad.parse::<Steps>().is_err(), "{bad}");
        }
    }

    #[test]
    fn critical_epsilons() {
        assert_eq!("none".parse(), Ok(CriticalEpsilon(Vec::new())));
        assert_eq!("adabelief,adam".parse(), Ok(CriticalEpsilon(vec![Optimizer::AdaBelief, Optimizer::Adam])));
        let fault = "adam,lion".parse::<CriticalEpsilon>();
        let fault = fault.unwrap_err();
        assert!(fault.starts_with(r#"unknown optimizer "lion": expected one of adam, "#), "{fault}");
        assert!(fault.ends_with(", yogi, or none"), "{fault}");
    }
}
