//! What values of ε do to a run, how its bounds drift, and how they spread over seeds.

use std::ffi::OsStr;
use std::num::NonZeroI64;
use std::path::{Path, PathBuf};

use epsiloscope_analysis::drift::drift_table;
use epsiloscope_analysis::effects::{Effect, Role, estimates_and_candidates};
use epsiloscope_analysis::estimate_tables::estimate_table;
use epsiloscope_analysis::grouping::Scope;
use epsiloscope_analysis::{
    At, BoundsAt, CandidateOptions, Candidates, Combination, EstimateOptions, bounds_along, candidates, drift,
    estimate, spread,
};
use epsiloscope_format::{Mode, Run};
use epsiloscope_moments::Convention;
use polars::prelude::{Column, IntoColumn, NamedFrom, Series};
use serde_json::Value;

use crate::cli::epsiloscope;
use crate::search_spaces::with_outlier;
use crate::synthetic::Synthetic;

fn options(optimizers: &[Convention], at: At, scope: Scope) -> CandidateOptions {
    let estimate = EstimateOptions { optimizers: optimizers.to_vec(), at, ..EstimateOptions::default() };
    CandidateOptions { estimate, scope, ..CandidateOptions::default() }
}

fn found(synthetic: &Synthetic, options: &CandidateOptions) -> Vec<Candidates> {
    let dir = tempfile::tempdir().unwrap();
    candidates(&Run::open(&synthetic.write(&dir.path().join("r-1"))).unwrap(), options).unwrap()
}

/// Whose critical ε can be replayed from the gradients.
fn every_convention() -> Vec<Convention> {
    Convention::ALL.to_vec()
}

/// The rows of JSON that a command prints.
fn rows(args: &[&OsStr]) -> Vec<Value> {
    let output = epsiloscope([args, &["--format".as_ref(), "json".as_ref()]].concat());
    assert_eq!((output.status, output.stderr.as_str()), (0, ""));
    serde_json::from_str(&output.stdout).unwrap()
}

#[test]
fn along_a_grid_shares_grow_regimes_follow_and_elements_slow_down() {
    for of in found(&Synthetic::default(), &options(&every_convention(), At::Last, Scope::Run)) {
        let (reference, grid) = of.effects.split_first().unwrap();
        let is_adam = of.optimizer.has_denominator_of("adam".parse().unwrap());
        assert_eq!(reference.role, if is_adam { Role::Own } else { Role::Default }, "{}", of.optimizer);
        assert_eq!(reference.matched_learning_rate, Some(1e-3));
        assert!(grid.iter().all(|effect| effect.role == Role::Grid));
        let exponents: Vec<i32> = grid.iter().map(|effect| effect.epsilon.log10().round() as i32).collect();
        assert_eq!(exponents, (of.search.0..=of.search.1).collect::<Vec<_>>());
        for pair in grid.windows(2) {
            let [less, more] = pair else { unreachable!("windows of two") };
            assert!(less.share_below.value <= more.share_below.value && less.regime <= more.regime);
            assert!(less.matched_learning_rate <= more.matched_learning_rate);
            let [slower, faster] = [more, less].map(|effect| effect.rates.unwrap());
            assert!(slower.median <= faster.median && more.sgd_rate <= less.sgd_rate);
            assert!(slower.low <= slower.median && slower.median <= slower.high);
        }
    }
}

#[test]
fn the_runs_own_share_is_that_of_its_estimate_and_the_mean_of_its_parts() {
    for sample in [None, Some(0), Some(40)] {
        let dir = tempfile::tempdir().unwrap();
        let run = Run::open(&Synthetic { sample, ..Synthetic::default() }.write(&dir.path().join("r-1"))).unwrap();
        let adam = [Convention::ALL[0]];
        let own = estimate(&run, &options(&adam, At::Last, Scope::Run).estimate).unwrap()[0].own.unwrap();
        for scope in Scope::ALL {
            let of = candidates(&run, &options(&adam, At::Last, scope)).unwrap().remove(0);
            let parts: Vec<&Effect> = of.effects.iter().filter(|effect| effect.role == Role::Own).collect();
            assert!(parts.iter().all(|part| part.epsilon == own.epsilon && part.scope == scope));
            // Every element looked at but its zeros, which are 0, 1 in 9 and 1 in 4 of the tensors' elements.
            let weight = |part: &Effect| if sample == Some(40) { f64::NAN } else { part.sample_size as f64 };
            let elements: f64 = parts.iter().map(|part| weight(part)).sum();
            let mean = parts.iter().map(|part| weight(part) * part.share_below.value).sum::<f64>() / elements;
            assert!(mean.is_nan() || (mean - own.share_below).abs() < 1e-12, "{scope}");
        }
        let all = candidates(&run, &options(&adam, At::Last, Scope::Run)).unwrap().remove(0);
        assert_eq!(all.effects[0].share_below.value, own.share_below);
    }
}

#[test]
fn effects_after_an_earlier_step_are_those_of_a_run_that_ended_there() {
    let every_four = At::Every(NonZeroI64::new(4).unwrap());
    let whole = found(&Synthetic::default(), &options(&every_convention(), every_four, Scope::Layer));
    for steps in [4, 8, 12] {
        let ended = Synthetic { steps, snapshots: vec![steps], ..Synthetic::default() };
        let ended = found(&ended, &options(&every_convention(), At::Last, Scope::Layer));
        let then: Vec<_> = whole.iter().filter(|of| of.step == steps).cloned().collect();
        assert_eq!(then, ended);
    }
}

#[test]
fn candidates_are_printed_for_people_and_programs() {
    let dir = tempfile::tempdir().unwrap();
    let run = Synthetic::default().write(&dir.path().join("r-a"));
    let ask = |args: &[&str]| {
        epsiloscope(["candidates".as_ref(), run.as_os_str()].into_iter().chain(args.iter().map(OsStr::new)))
    };
    let output = ask(&["--optimizer", "adam"]);
    assert_eq!((output.status, output.stderr.as_str()), (0, ""));
    let lines: Vec<Vec<&str>> = output.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[1][..6], ["r-a", "adam", "12", "all", "own", "1e-4"], "{}", output.stdout);
    assert!(
        output.stdout.contains("search 1e-7 to 1e0, 7 decades; trial and error 1e-8 to 1e-1, 7 decades: 1.0 times")
    );
    let asked = rows(&[OsStr::new("candidates"), run.as_os_str(), "--epsilon=1e-3".as_ref(), "--lr=0.1".as_ref()]);
    assert!(asked.iter().all(|row| row["learning_rate"] == 0.1));
    assert_eq!(asked.iter().filter(|row| row["role"] == "asked" && row["epsilon"] == 1e-3).count(), 4);
    let narrowing = rows(&[
        OsStr::new("candidates"),
        run.as_os_str(),
        "--view=narrowing".as_ref(),
        "--range=1e-20..1e1".as_ref(),
        "--optimizer=adam".as_ref(),
    ]);
    assert_eq!((narrowing.len(), narrowing[0]["narrowing"].as_f64()), (1, Some(3.0)));
    for (args, expected) in [
        (["--epsilon", "0"], "expected a number above 0"),
        (["--range", "1e-1..1e-3"], "expected images, language or one like 1e-8..1e-1"),
        (["--points", "0"], "0 is not in"),
    ] {
        let output = ask(&args);
        assert_eq!((output.status, output.stderr.lines().count()), (2, 1));
        assert!(output.stderr.contains(expected), "{}", output.stderr);
    }
}

/// The ends of the grids of several optimizers.
fn grid_ends(rows: &[Value]) -> Vec<(f64, f64)> {
    let of_optimizer = |rows: &[Value]| {
        let of_grid = rows.iter().filter(|row| row["role"] == "grid");
        let grid: Vec<f64> = of_grid.map(|row| row["epsilon"].as_f64().unwrap()).collect();
        (grid[0], grid[grid.len() - 1])
    };
    rows.chunk_by(|one, next| one["optimizer"] == next["optimizer"]).map(of_optimizer).collect()
}

/// The grid, the narrowing and the note are of the search space that `estimate` gives by the same combination.
#[test]
fn candidates_are_of_the_combination_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let run = with_outlier("block3.conv.bias").write(&dir.path().join("r-a"));
    let search_ends = |row: &Value| (row["search_lower"].as_f64().unwrap(), row["search_upper"].as_f64().unwrap());
    let spaces = Combination::ALL.map(|combination| {
        let option = format!("--combination={combination}");
        let args = |words: [&'static str; 2]| {
            [
                words[0].as_ref(),
                run.as_os_str(),
                "--optimizer=adam,optax-eps-root".as_ref(),
                option.as_ref(),
                words[1].as_ref(),
            ]
        };
        let expected: Vec<_> = rows(&args(["estimate", "--per=run"])).iter().map(search_ends).collect();
        let narrowing = rows(&args(["candidates", "--view=narrowing"]));
        assert_eq!(narrowing.iter().map(search_ends).collect::<Vec<_>>(), expected);
        assert_eq!(grid_ends(&rows(&args(["candidates", "--view=candidates"]))), expected);
        let by = if combination == Combination::Extremes { String::new() } else { format!(", {combination}") };
        let note = format!("- r-a, adam: search {:e} to {:e}{by}, ", expected[0].0, expected[0].1);
        let told = epsiloscope(args(["candidates", "--format=table"])).stdout;
        assert!(told.contains(&note), "{note}\n{told}");
        expected
    });
    assert!(spaces[0] != spaces[1] && spaces[1] != spaces[2] && spaces[0] != spaces[2], "{spaces:?}");
}

/// Whatever else is estimated beside candidates.
#[test]
fn the_search_space_of_candidates_need_not_be_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let run = Run::open(&Synthetic::default().write(&dir.path().join("r-1"))).unwrap();
    let options =
        CandidateOptions { combination: Combination::Pooled, ..options(&every_convention(), At::All, Scope::Run) };
    let expected = candidates(&run, &options).unwrap();
    let estimate = EstimateOptions { scopes: vec![Scope::Layer], ..options.estimate.clone() };
    let (estimates, found) = estimates_and_candidates(&run, &CandidateOptions { estimate, ..options }).unwrap();
    assert_eq!(found, expected);
    for (estimate, found) in estimates.iter().zip(&found) {
        assert_eq!(estimate.space_of_run(Combination::Pooled).unwrap().exponents(), found.search);
        assert_ne!(estimate.exponents(), found.search);
    }
}

/// A calibration and a training of each seed, which see the same gradients.
fn batch(dir: &Path, seeds: &[u64]) -> Vec<PathBuf> {
    let write = |mode, name: &str, seed: u64| {
        let labels = vec![("model", "mlp".to_owned()), ("seed", seed.to_string())];
        Synthetic { mode, labels, seed, ..Synthetic::default() }.write(&dir.join(format!("{name}-{seed}")))
    };
    let both = |&seed: &u64| [write(Mode::Calibration, "calibration", seed), write(Mode::Monitoring, "training", seed)];
    seeds.iter().flat_map(both).collect()
}

#[test]
fn a_training_is_held_against_the_calibration_of_its_seed() {
    let dir = tempfile::tempdir().unwrap();
    batch(dir.path(), &[1, 2]);
    let drift = rows(&["drift".as_ref(), dir.path().as_os_str(), "--at=every:6".as_ref(), "--optimizer=adam".as_ref()]);
    let found: Vec<_> = drift.iter().map(|row| (row["run"].as_str().unwrap(), row["step"].as_i64().unwrap())).collect();
    let runs = ["calibration-1", "calibration-2", "training-1", "training-2"];
    assert_eq!(found, runs.iter().flat_map(|&run| [(run, 6), (run, 12)]).collect::<Vec<_>>());
    for row in &drift {
        let (run, step) = (row["run"].as_str().unwrap(), row["step"].as_i64().unwrap());
        if step == 6 {
            assert_eq!((&row["lower_shift"], &row["upper_shift"]), (&0.0.into(), &0.0.into()));
        } else {
            assert!(row["lower_shift"].as_f64().unwrap() != 0.0);
        }
        match run.strip_prefix("training-") {
            None => assert!(row["calibration_run"].is_null() && row["within_calibration"].is_null()),
            Some(seed) => {
                assert_eq!(row["calibration_run"], format!("calibration-{seed}"));
                if step == 12 {
                    assert_eq!(
                        (&row["lower_from_calibration"], &row["within_calibration"]),
                        (&0.0.into(), &true.into())
                    );
                }
            }
        }
    }
}

#[test]
fn seeds_spread_around_the_mean_of_their_logarithms() {
    let dir = tempfile::tempdir().unwrap();
    let paths = batch(dir.path(), &[1, 2, 3]);
    let args = ["--at=last", "--optimizer=adam"].map(OsStr::new);
    let ask = |command: &'static str, paths: &[PathBuf]| {
        let named: Vec<&OsStr> =
            [OsStr::new(command)].into_iter().chain(paths.iter().map(|path| path.as_os_str())).collect();
        rows(&[&named[..], &args].concat())
    };
    let spread = ask("spread", &paths);
    let found: Vec<_> = spread.iter().map(|row| (row["mode"].as_str().unwrap(), row["n_runs"].as_i64())).collect();
    assert_eq!(found, [("calibration", Some(3)), ("monitoring", Some(3))]);
    let lower: Vec<f64> = ask("estimate", &paths)
        .iter()
        .filter(|row| row["mode"] == "monitoring" && row["combination"] == "extremes")
        .map(|row| row["lower"].as_f64().unwrap().log10())
        .collect();
    let mean = lower.iter().sum::<f64>() / 3.0;
    let deviation = (lower.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 2.0).sqrt();
    let value = |name: &str| spread[1][name].as_f64().unwrap();
    assert!((value("lower_mean").log10() - mean).abs() < 1e-12 && (value("lower_deviation") - deviation).abs() < 1e-12);
    assert!(value("lower_min") < value("lower_boot_low") + 1e-15 && value("lower_boot_low") < value("lower_mean"));
    assert!(value("lower_mean") < value("lower_boot_high") && value("lower_boot_high") <= value("lower_max") + 1e-15);
    let reversed: Vec<PathBuf> = paths.iter().rev().cloned().collect();
    assert_eq!(ask("spread", &reversed), spread);
}

/// What was stored in a table of estimates tells of drift and spread what the runs tell.
#[test]
fn stored_estimates_answer_as_runs_do() {
    let dir = tempfile::tempdir().unwrap();
    let options = EstimateOptions { at: At::All, scopes: Scope::ALL.to_vec(), ..EstimateOptions::default() };
    let (mut fresh, mut stored) = (Vec::new(), Vec::new());
    for path in batch(dir.path(), &[1, 2]) {
        let run = Run::open(&path).unwrap();
        let estimates = estimate(&run, &options).unwrap();
        fresh.extend(BoundsAt::of_estimates(run.manifest(), &estimates));
        let mut table = estimate_table(&estimates).unwrap();
        let manifest = run.manifest();
        let texts = [
            ("task", Some(manifest.task())),
            ("configuration", Some(manifest.configuration())),
            ("seed", manifest.seed().map(str::to_owned)),
        ];
        let columns: [Column; 3] =
            texts.map(|(name, text)| Series::new(name.into(), vec![text; table.height()]).into_column());
        for column in columns {
            table.with_column(column).unwrap();
        }
        stored.extend(bounds_along(&table).unwrap());
    }
    assert!(fresh.len() > 100 && fresh == stored);
    assert_eq!(drift(&fresh), drift(&stored));
    assert_eq!(spread(&fresh, 0.95, 0), spread(&stored, 0.95, 0));
    assert_eq!(drift_table(&drift(&fresh)).unwrap().height(), fresh.len());
}

/// Real runs: the training's bounds move by less than a decade in its two epochs, and its calibration is found.
#[test]
fn recorded_runs_drift_by_less_than_a_decade() {
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/runs");
    let drift = rows(&[OsStr::new("drift"), data.as_ref(), "--optimizer=adam".as_ref()]);
    let training: Vec<&Value> = drift.iter().filter(|row| row["run"] == "cnn-training").collect();
    assert_eq!(training.iter().map(|row| row["step"].as_i64().unwrap()).collect::<Vec<_>>(), [47, 94]);
    for row in training {
        assert_eq!(row["calibration_run"], "cnn-calibration");
        for name in ["lower_shift", "upper_shift", "lower_from_calibration", "upper_from_calibration"] {
            assert!(row[name].as_f64().unwrap().abs() < 1.0, "{row}");
        }
    }
    let alone: Vec<&Value> = drift.iter().filter(|row| row["run"] == "mlp-rmsprop").collect();
    assert!(!alone.is_empty() && alone.iter().all(|row| row["calibration_run"].is_null()));
}
