//! Several processes that record one run: this test binary, executed again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use epsiloscope_format::Run;
use epsiloscope_recorder::{MagnitudePolicy, Optimizer, Recorder, RecorderError, Shard, StepInfo};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use crate::common::{give_gradient, recorded_histograms, recorded_steps, recorded_values, settings, torch};

/// What tells a child what it is, and where.
const ROLE: &str = "EPSILOSCOPE_TEST_ROLE";
const PLACE: &str = "EPSILOSCOPE_TEST_PLACE";

/// Executes one of this binary's tests in a process of its own, as a child with a role.
pub(crate) fn spawn(test: &str, role: &str, place: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--ignored"]).env(ROLE, role).env(PLACE, place);
    command.stdout(Stdio::null()).spawn().unwrap()
}

/// The role and the place of a child.
pub(crate) fn role() -> (String, PathBuf) {
    (std::env::var(ROLE).unwrap(), std::env::var_os(PLACE).unwrap().into())
}

/// Waits for a file to appear while a child lives.
pub(crate) fn wait_for(file: &Path, child: &mut Child) {
    while !file.exists() {
        assert!(child.try_wait().unwrap().is_none(), "the child ended before there was {}", file.display());
        std::thread::yield_now();
    }
}

/// Names and shapes: one in halves, one of which the second rank has nothing, one that both ranks have.
const TENSORS: [(&str, &[i64]); 3] = [("halves", &[37, 11]), ("lopsided", &[5]), ("same", &[6])];

/// The elements of a tensor that a rank has; all of them without ranks.
fn own_elements(tensor: &str, numel: i64, rank: Option<u32>) -> std::ops::Range<i64> {
    match (tensor, rank) {
        ("halves", Some(0)) => 0..numel / 2,
        ("halves", Some(_)) => numel / 2..numel,
        ("lopsided", Some(1)) => numel..numel,
        _ => 0..numel,
    }
}

fn record(run_dir: &Path, rank: Option<u32>) {
    let var_store = VarStore::new(Device::Cpu);
    let policy = MagnitudePolicy::Sample { elements_per_tensor: 100, seed: 5 };
    let (mut shards, mut parameters) = (BTreeMap::new(), Vec::new());
    for (name, shape) in TENSORS {
        let own = own_elements(name, shape.iter().product(), rank);
        let size = if rank.is_some() { vec![own.end - own.start] } else { shape.to_vec() };
        parameters.push((var_store.root().zeros(name, &size), own.clone()));
        if name != "same" {
            shards.insert(name.to_owned(), Shard { offset: own.start, shape: shape.to_vec() });
        }
    }
    let builder = Recorder::builder(&var_store, settings()).magnitudes(policy).snapshot_elements(true);
    let builder = match rank {
        Some(rank) => builder.sharded(rank, 2, shards),
        None => builder,
    };
    let mut recorder = builder.start(run_dir).unwrap();
    for step in 1..=12 {
        for (index, ((_, shape), (parameter, own))) in TENSORS.iter().zip(&parameters).enumerate() {
            tch::manual_seed(10 * step + index as i64);
            let whole = Tensor::randn(*shape, (Kind::Float, Device::Cpu)).flatten(0, -1);
            give_gradient(parameter, &whole.narrow(0, own.start, own.end - own.start).view_as(parameter));
        }
        recorder.step(&StepInfo { snapshot: step % 6 == 0, ..StepInfo::default() });
    }
    recorder.finish().unwrap();
}

#[test]
#[ignore = "what the processes of the next test execute"]
fn a_rank_of_two() {
    let (role, run_dir) = role();
    record(&run_dir, Some(role.parse().unwrap()));
}

#[test]
fn processes_with_shards_record_what_one_with_everything_does() {
    let _turn = torch();
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    record(&whole, None);
    for first in [0, 1_u32] {
        let run_dir = dir.path().join(format!("first{first}"));
        let rank = |rank: u32| spawn("processes::a_rank_of_two", &rank.to_string(), &run_dir);
        let mut one = rank(first);
        wait_for(&run_dir.join(format!("lock-r00{first}")), &mut one);
        let mut other = rank(1 - first);
        assert!(one.wait().unwrap().success() && other.wait().unwrap().success());

        assert_eq!(recorded_values(&run_dir), recorded_values(&whole));
        assert_eq!(recorded_histograms(&run_dir), recorded_histograms(&whole));
        assert_eq!(recorded_steps(&run_dir), recorded_steps(&whole));
        let tensors = |dir: &Path| Run::open(dir).unwrap().manifest().tensors.clone();
        assert_eq!(tensors(&run_dir), tensors(&whole), "shapes are those of whole tensors");
    }
}

#[test]
fn shards_that_fit_no_tensor_are_refused() {
    let _turn = torch();
    let dir = tempfile::tempdir().unwrap();
    let var_store = VarStore::new(Device::Cpu);
    let _parameter = var_store.root().zeros("p", &[6]);
    let start = |name: &str, offset| {
        let shards = BTreeMap::from([(name.to_owned(), Shard { offset, shape: vec![2, 5] })]);
        let builder = Recorder::builder(&var_store, settings()).sharded(0, 2, shards);
        builder.start(&dir.path().join("run")).map(drop).unwrap_err()
    };
    assert_eq!(
        start("p", 5).to_string(),
        "tensor p: shard of elements 5 to 11 of a tensor of 10: expected it to lie inside"
    );
    assert!(matches!(start("q", 0), RecorderError::UnknownShard { tensor } if tensor == "q"));
    assert!(!dir.path().join("run").exists(), "nothing is written");
}

#[test]
fn of_replicated_gradients_rank_0_alone_writes() {
    let _turn = torch();
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    let var_store = VarStore::new(Device::Cpu);
    let parameter = var_store.root().zeros("p", &[3]);
    give_gradient(&parameter, &Tensor::from_slice(&[1.0_f32, 2.0, 3.0]));
    let moments = dir.path().join("moments");
    let rank = |rank| {
        let builder = Recorder::builder(&var_store, settings()).critical_epsilon(&[Optimizer::Adam]);
        builder.replicated(rank, 2).start(&run_dir).unwrap()
    };
    let record = |mut recorder: Recorder| {
        recorder.step(&StepInfo { snapshot: true, ..StepInfo::default() });
        recorder.scalars(&[("accuracy", 1.0)]);
        recorder.flush();
        recorder.save_moments(&moments).unwrap();
        assert_eq!((recorder.steps(), recorder.failure().is_none()), (1, true));
        recorder.finish().unwrap()
    };
    assert_eq!(record(rank(1)).dropped_steps, 0);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "rank 1 writes nothing");
    record(rank(0));
    assert!(moments.exists());
    let manifest = Run::open(&run_dir).unwrap().manifest().clone();
    assert_eq!((manifest.ranks.world_size, manifest.ranks.n_recording()), (2, 1));
}
