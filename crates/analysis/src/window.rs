//! Which steps a result is over: all, those of each epoch, every so many, or some.

use std::fmt;
use std::num::NonZeroI64;
use std::ops::RangeInclusive;
use std::str::FromStr;

use epsiloscope_format::Run;

use crate::error::AnalysisError;
use crate::replay::not_recorded;

/// Steps whose counts are added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Window {
    /// `run`: all.
    #[default]
    Run,
    /// `epoch`: those of each epoch. Steps that the training loop gave no epoch are left out.
    Epoch,
    /// `N`: steps 1 to N, N + 1 to 2 N, and so on.
    Every(NonZeroI64),
    /// `A..B`: steps A to B, both included.
    Steps {
        /// A, at least 1.
        first: i64,
        /// B, at least A.
        last: i64,
    },
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run => f.pad("run"),
            Self::Epoch => f.pad("epoch"),
            Self::Every(n) => write!(f, "{n}"),
            Self::Steps { first, last } => write!(f, "{first}..{last}"),
        }
    }
}

impl FromStr for Window {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let step = |text: &str| text.parse().ok().filter(|&step| 0 < step);
        let found = match text {
            "run" => Some(Self::Run),
            "epoch" => Some(Self::Epoch),
            _ => match text.split_once("..") {
                None => step(text).and_then(NonZeroI64::new).map(Self::Every),
                Some((first, last)) => step(first)
                    .zip(step(last))
                    .filter(|(first, last)| first <= last)
                    .map(|(first, last)| Self::Steps { first, last }),
            },
        };
        found
            .ok_or_else(|| format!("window {text:?}: expected run, epoch, a number of steps, or A..B with 1 <= A <= B"))
    }
}

impl Window {
    /// The run's steps, split.
    ///
    /// # Errors
    /// [`AnalysisError::NotRecorded`] if epochs are asked for and no step has one; [`AnalysisError::Format`] if `steps`
    /// cannot be read.
    pub fn split(self, run: &Run) -> Result<Windows, AnalysisError> {
        let whole = 1..=run.last_step();
        Ok(match self {
            Self::Run => Windows::Ranges(vec![whole]),
            Self::Epoch => Windows::Ranges(epochs(run)?),
            Self::Every(n_steps) => Windows::Every { n_steps: n_steps.get(), last: run.last_step() },
            Self::Steps { first, last } => {
                let last = last.min(run.last_step());
                if last < first {
                    let reason = format!("no step from {first} on was recorded: the last one is {}", run.last_step());
                    return Err(not_recorded(run, reason));
                }
                Windows::Ranges(vec![first..=last])
            }
        })
    }
}

/// Windows of a run: disjoint, ascending ranges of steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Windows {
    /// These.
    Ranges(Vec<RangeInclusive<i64>>),
    /// Steps 1 to `n_steps` and so on.
    Every {
        /// Steps in a window.
        n_steps: i64,
        /// The run's last step.
        last: i64,
    },
}

impl Windows {
    /// The window that a step is in, counted from 0; none if it is in none.
    pub fn of_step(&self, step: i64) -> Option<usize> {
        match self {
            Self::Ranges(ranges) => {
                let index = ranges.partition_point(|range| *range.end() < step);
                ranges.get(index)?.contains(&step).then_some(index)
            }
            Self::Every { n_steps, last } => (1..=*last).contains(&step).then(|| ((step - 1) / n_steps) as usize),
        }
    }

    /// From the first step of the first window to the last of the last.
    pub fn span(&self) -> RangeInclusive<i64> {
        match self {
            Self::Ranges(ranges) => {
                let first = ranges.first().map_or(1, |range| *range.start());
                first..=ranges.last().map_or(0, |range| *range.end())
            }
            Self::Every { last, .. } => 1..=*last,
        }
    }
}

/// The steps of each epoch: as long as steps have the same, they are in it.
pub(crate) fn epochs(run: &Run) -> Result<Vec<RangeInclusive<i64>>, AnalysisError> {
    let mut epochs: Vec<(Option<i32>, RangeInclusive<i64>)> = Vec::new();
    for batch in run.steps() {
        let batch = batch?;
        for (&step, epoch) in batch.step.values().iter().zip(&batch.epoch) {
            match epochs.last_mut() {
                Some((present, steps)) if *present == epoch => *steps = *steps.start()..=step,
                _ => epochs.push((epoch, step..=step)),
            }
        }
    }
    let known: Vec<_> = epochs.into_iter().filter_map(|(epoch, steps)| epoch.map(|_| steps)).collect();
    if known.is_empty() {
        return Err(not_recorded(
            run,
            "no step has an epoch: tell the recorder, or ask for a number of steps".to_owned(),
        ));
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_read_as_they_are_printed() {
        for text in ["run", "epoch", "1", "250", "3..3", "1..9000000000"] {
            assert_eq!(text.parse::<Window>().map(|window| window.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "0", "-1", "5..4", "0..4", "..", "1..", "1..2..3", "1.5", "Run"] {
            let fault = text.parse::<Window>().unwrap_err();
            assert!(fault.starts_with(&format!("window {text:?}: expected")), "{fault}");
        }
    }

    #[test]
    fn steps_fall_into_their_windows() {
        let ranges = Windows::Ranges(vec![2..=4, 7..=7]);
        let found: Vec<_> = (1..=8).map(|step| ranges.of_step(step)).collect();
        assert_eq!(found, [None, Some(0), Some(0), Some(0), None, None, Some(1), None]);
        assert_eq!(ranges.span(), 2..=7);
        let every = Windows::Every { n_steps: 3, last: 7 };
        let found: Vec<_> = (0..=8).map(|step| every.of_step(step)).collect();
        assert_eq!(found, [None, Some(0), Some(0), Some(0), Some(1), Some(1), Some(1), Some(2), None]);
    }
}
