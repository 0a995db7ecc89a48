//! Steps as files count them, and as runs do: from 1.

use std::collections::BTreeSet;

use epsiloscope_format::{Cadence, StepRange};

/// What is added to steps so that they count from 1: one where they begin at 0.
pub(crate) fn step_offset(steps: &BTreeSet<i64>) -> i64 {
    i64::from(steps.first() == Some(&0))
}

/// The cadence that explains some steps, which count from 1: the greatest distance that divides all of theirs. Steps that it
/// includes and that are not there are missing.
pub(crate) fn cadence(steps: &BTreeSet<i64>) -> Cadence {
    let Some(&first) = steps.first() else { return Cadence::default() };
    let every = steps.iter().fold(0, |every, &step| greatest_common_divisor(every, step.abs_diff(first))).max(1);
    let begins_anywhere = first == 1;
    let ranges = if begins_anywhere { Vec::new() } else { vec![StepRange { first, last: None }] };
    Cadence { every, ranges }
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(steps: &[i64]) -> Cadence {
        cadence(&steps.iter().copied().collect())
    }

    #[test]
    fn steps_explain_their_cadence() {
        assert!(of(&[1, 2, 3]).is_every_step() && of(&[1]).is_every_step());
        assert_eq!(of(&[1, 101, 201]), Cadence { every: 100, ranges: Vec::new() });
        assert_eq!(of(&[100, 200, 500]), Cadence { every: 100, ranges: vec![StepRange { first: 100, last: None }] });
        for steps in [vec![1, 4, 5], vec![100, 200, 500], vec![7], vec![3, 9, 15]] {
            let cadence = of(&steps);
            assert!(steps.iter().all(|&step| cadence.includes(step)), "{steps:?}");
        }
        assert_eq!(step_offset(&[0, 5].into()), 1);
        assert_eq!(step_offset(&[5].into()), 0);
    }
}
