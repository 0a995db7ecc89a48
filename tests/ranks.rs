//! Several ranks with shards of every tensor record what one rank with all of it would.

use std::sync::Arc;

use epsiloscope_analysis::{EstimateOptions, HistogramOptions, Origin, Scope, estimate, histograms, tensor_health};
use epsiloscope_format::fs::Disk;
use epsiloscope_format::{CriticalEpsilonPolicy, Gradients, Ranks, Run, RunWriter, WriterOptions};

use crate::cli::epsiloscope;
use crate::synthetic::{BINS_AT_SNAPSHOTS, Synthetic};

/// The same run, recorded by one rank and by three, whose parts end elsewhere.
fn pair(synthetic: &Synthetic) -> (tempfile::TempDir, Run, Run) {
    let dir = tempfile::tempdir().unwrap();
    let options = WriterOptions { flush_rows: 701, flush_secs: 1e9 };
    let sharded = Synthetic { ranks: 3, options, ..synthetic.clone() };
    let one = Run::open(&synthetic.write(&dir.path().join("one/r-1"))).unwrap();
    let three = Run::open(&sharded.write(&dir.path().join("three/r-1"))).unwrap();
    (dir, one, three)
}

#[test]
fn histograms_of_shards_add_up() {
    let (_dir, one, three) = pair(&Synthetic::default());
    for scope in Scope::ALL {
        for origin in [Origin::Histograms, Origin::Magnitudes] {
            let options = HistogramOptions { scope, origin: Some(origin), ..HistogramOptions::default() };
            let found = |run| histograms(run, &options).unwrap();
            assert!(!found(&one).is_empty() && found(&one) == found(&three), "{scope:?} {origin:?}");
        }
    }
}

#[test]
fn the_health_of_a_tensor_is_that_of_all_its_shards() {
    let (_dir, one, three) = pair(&Synthetic { overflows: vec![3], ..Synthetic::default() });
    let (one, three) = (tensor_health(&one).unwrap(), tensor_health(&three).unwrap());
    assert!(one.drop("rms").unwrap().equals_missing(&three.drop("rms").unwrap()), "{one} {three}");
    let rms = |table: &polars::frame::DataFrame| table.column("rms").unwrap().f64().unwrap().clone();
    for (one, three) in rms(&one).iter().zip(rms(&three).iter()) {
        // The same squares, added in another order.
        let (one, three) = (one.unwrap(), three.unwrap());
        assert!((one - three).abs() <= 1e-12 * one, "{one} {three}");
    }
}

/// Replayed from every gradient and from a sample, in bins at a snapshot and at every step, and every value.
#[test]
fn estimates_from_shards_are_the_same() {
    let policy = |every_step, elements| Some(CriticalEpsilonPolicy { every_step, elements, ..BINS_AT_SNAPSHOTS });
    for (sample, critical_epsilon) in [
        (None, None),
        (Some(50), None),
        (Some(50), policy(false, false)),
        (Some(0), policy(true, false)),
        (Some(0), policy(false, true)),
    ] {
        let (_dir, one, three) = pair(&Synthetic { sample, critical_epsilon, ..Synthetic::default() });
        let estimates = |run| estimate(run, &EstimateOptions::default()).unwrap();
        assert_eq!(estimates(&one), estimates(&three), "{sample:?} {critical_epsilon:?}");
    }
}

/// Ranks that recorded the same elements are no shards: nothing is counted twice.
#[test]
fn shards_that_overlap_are_refused() {
    for (sample, reason) in [(None, "element 0 is there twice"), (Some(0), "no critical epsilon of adam was recorded")]
    {
        let dir = tempfile::tempdir().unwrap();
        let whole = Synthetic { sample, ..Synthetic::default() };
        let mut manifest = whole.manifest(dir.path());
        manifest.ranks = Ranks { world_size: 2, gradients: Gradients::Sharded };
        for rank in 0..2 {
            let writer = RunWriter::create_on(Arc::new(Disk), dir.path(), rank, manifest.clone(), whole.options);
            let mut writer = writer.unwrap();
            whole.append(&mut writer, 0, 1..=whole.steps);
            writer.finish().unwrap();
        }
        let fault = estimate(&Run::open(dir.path()).unwrap(), &EstimateOptions::default()).unwrap_err().to_string();
        assert!(fault.contains(reason), "{fault}");
    }
}

#[test]
fn inspect_says_how_many_ranks_recorded() {
    let (dir, _one, _three) = pair(&Synthetic::default());
    let output = epsiloscope(["inspect".as_ref(), dir.path().join("three").as_os_str()]);
    assert_eq!((output.status, output.stderr.as_str()), (0, ""));
    assert!(output.stdout.contains("ranks       3, each records its shard of the gradients\n"), "{}", output.stdout);
}
