//! Steps that are not there, steps that the optimizer skipped, recordings taken up again: what follows, and that it is told.

use std::path::Path;

use epsiloscope_analysis::{Estimate, EstimateOptions, Method, estimate};
use epsiloscope_format::{Cadence, CriticalEpsilonPolicy, Run, RunWriter, StepRange, WriterOptions};

use crate::cli::epsiloscope;
use crate::synthetic::{BINS_AT_SNAPSHOTS, Synthetic};

fn estimates(synthetic: &Synthetic) -> Result<Vec<Estimate>, String> {
    let dir = tempfile::tempdir().unwrap();
    let run = Run::open(&synthetic.write(&dir.path().join("r-1"))).unwrap();
    estimate(&run, &EstimateOptions::default()).map_err(|fault| fault.to_string())
}

fn inspect(run: &Path) -> String {
    let output = epsiloscope(["inspect".as_ref(), run.as_os_str()]);
    assert_eq!((output.status, output.stderr.as_str()), (0, ""));
    output.stdout
}

/// The optimizer skips a step whose scaled gradients overflowed, so replaying skips it as well.
#[test]
fn overflowed_steps_move_no_moment() {
    let plain = Synthetic { steps: 9, critical_epsilon: None, ..Synthetic::default() };
    for sample in [None, Some(50)] {
        let plain = Synthetic { sample, ..plain.clone() };
        let overflowing = Synthetic { steps: 12, overflows: vec![1, 5, 12], ..plain.clone() };
        let (plain, overflowing) = (estimates(&plain).unwrap(), estimates(&overflowing).unwrap());
        for (plain, overflowing) in plain.iter().zip(&overflowing) {
            assert_eq!((plain.last_step, overflowing.last_step), (9, 12));
            assert_eq!(plain.tensors, overflowing.tensors);
            assert_eq!((&plain.lower, &plain.upper), (&overflowing.lower, &overflowing.upper));
        }
    }
}

#[test]
fn a_missing_step_keeps_moments_from_being_replayed_and_is_told() {
    let synthetic = Synthetic { dropped: vec![2, 5, 6, 8, 10], critical_epsilon: None, ..Synthetic::default() };
    let fault = estimates(&synthetic).unwrap_err();
    assert!(fault.contains("step 2 is missing, and a moment needs every step from 1"), "{fault}");
    let dir = tempfile::tempdir().unwrap();
    let shown = inspect(&synthetic.write(&dir.path().join("r-1")));
    assert!(shown.contains("dropped     5 steps, which could not be written\n"), "{shown}");
    assert!(shown.contains("missing     steps 2, 5 to 6, 8, 10\n"), "{shown}");
    let many = Synthetic { steps: 30, dropped: (1..15).map(|step| 2 * step).collect(), ..synthetic };
    let shown = inspect(&many.write(&dir.path().join("r-2")));
    assert!(shown.contains("missing     steps 2, 4, 6, 8 and 10 more ranges\n"), "{shown}");
}

/// What was binned while recording knows the steps that were not kept.
#[test]
fn missing_steps_change_nothing_that_was_binned() {
    for (sample, elements) in [(Some(0), false), (Some(50), false), (None, true)] {
        let critical_epsilon = Some(CriticalEpsilonPolicy { elements, ..BINS_AT_SNAPSHOTS });
        let whole = estimates(&Synthetic { sample: Some(0), critical_epsilon, ..Synthetic::default() }).unwrap();
        let dropped = Synthetic { sample, critical_epsilon, dropped: vec![5, 6], ..Synthetic::default() };
        assert_eq!(estimates(&dropped).unwrap(), whole);
    }
}

#[test]
fn a_thinned_recording_is_estimated_from_bins_alone() {
    let cadence =
        Cadence { every: 3, ranges: vec![StepRange { first: 1, last: Some(6) }, StepRange { first: 8, last: None }] };
    let every_step = CriticalEpsilonPolicy { every_step: true, ..BINS_AT_SNAPSHOTS };
    let thinned =
        Synthetic { cadence, snapshots: Vec::new(), critical_epsilon: Some(every_step), ..Synthetic::default() };
    for estimate in estimates(&thinned).unwrap() {
        assert_eq!(estimate.step, 11);
        assert!(estimate.tensors.iter().all(|tensor| tensor.method == Method::Bins));
    }
    let fault = estimates(&Synthetic { critical_epsilon: None, ..thinned.clone() }).unwrap_err();
    assert!(fault.contains("not every step was recorded"), "{fault}");
    let dir = tempfile::tempdir().unwrap();
    let shown = inspect(&thinned.write(&dir.path().join("r-1")));
    assert!(shown.contains("cadence     every 3 steps, from 1 to 6, from 8 on\n"), "{shown}");
    assert!(shown.contains("bins at every recorded step\n") && !shown.contains("missing"), "{shown}");
}

/// Takes a run up after some steps, one resumption after the other, and records it to its end each time.
fn resumed(synthetic: &Synthetic, dir: &Path, resumptions: &[(i64, bool)]) -> Run {
    synthetic.write(dir);
    for &(after_step, moments_restored) in resumptions {
        let options = WriterOptions::default();
        let mut writer =
            RunWriter::resume(dir, &synthetic.manifest(dir), after_step, moments_restored, options).unwrap();
        synthetic.append(&mut writer, 0, after_step + 1..=synthetic.steps);
        writer.finish().unwrap();
    }
    Run::open(dir).unwrap()
}

#[test]
fn moments_that_began_again_are_told() {
    let binned = Synthetic { sample: Some(0), ..Synthetic::default() };
    for (resumptions, expected) in [
        (&[(8, true)][..], None),
        (&[(0, false)], None),
        (&[(8, false)], Some(8)),
        (&[(3, false), (8, false)], Some(8)),
        (&[(8, false), (10, true)], Some(8)),
        (&[(3, false), (8, false), (5, true)], Some(3)),
        (&[(8, false), (5, true)], None),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let run = resumed(&binned, &dir.path().join("r-1"), resumptions);
        let found = estimate(&run, &EstimateOptions::default()).unwrap();
        assert!(found.iter().all(|estimate| estimate.restarted_after == expected), "{resumptions:?}");
        let shown = epsiloscope(["estimate".as_ref(), run.dir().as_os_str()]).stdout;
        let note = "recording was resumed after step 8 without its moments, which began again from zero there";
        assert_eq!(shown.contains(note), expected == Some(8), "{shown}");
        let shown = inspect(run.dir());
        for &(after_step, restored) in resumptions {
            let moments = if restored { "went on" } else { "began again from zero" };
            let line = |line: &str| {
                line.starts_with(&format!("resumed     after step {after_step}, ")) && line.ends_with(moments)
            };
            assert!(shown.lines().any(line), "{shown}");
        }
    }
}

/// Recorded gradients go back to step 1 whatever became of the recorder's moments.
#[test]
fn a_resumed_run_is_replayed_as_if_it_had_never_stopped() {
    let synthetic = Synthetic::default();
    let dir = tempfile::tempdir().unwrap();
    let run = resumed(&synthetic, &dir.path().join("r-1"), &[(7, false)]);
    assert_eq!(estimate(&run, &EstimateOptions::default()).unwrap(), estimates(&synthetic).unwrap());
}

#[test]
fn why_a_recording_failed_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r-1");
    Synthetic::default().write_unfinished(&path).fail("the card \u{1b}[31mfell out".to_owned()).unwrap();
    let shown = inspect(&path);
    assert!(shown.contains("fault       the card \\u{1b}[31mfell out\n"), "{shown}");
    assert!(shown.contains("the recorder failed: read up to its last complete step"), "{shown}");
}
