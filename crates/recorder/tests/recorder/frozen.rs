//! Weights held in place while someone's own loop trains on.

use std::path::Path;

use epsiloscope_recorder::{FrozenWeights, MagnitudePolicy, Mode, Recorder, StepInfo};
use tch::nn::{self, ModuleT, OptimizerConfig, VarStore};
use tch::{Device, Kind, Tensor};

use crate::common::{assert_same_recording, bits, floats, parameters, settings, torch};

/// A convolution, batch normalisation with its running statistics, and a linear layer.
fn normalised(var_store: &VarStore) -> nn::SequentialT {
    let root = var_store.root();
    nn::seq_t()
        .add(nn::conv2d(&root / "conv", 1, 4, 3, nn::ConvConfig::default()))
        .add(nn::batch_norm2d(&root / "norm", 4, nn::BatchNormConfig::default()))
        .add_fn(|features| features.relu().flatten(1, -1))
        .add(nn::linear(&root / "head", 4 * 6 * 6, 3, nn::LinearConfig::default()))
}

fn state(var_store: &VarStore) -> Vec<(String, Vec<u32>)> {
    parameters(var_store).into_iter().map(|(name, tensor)| (name, bits(&floats(&tensor)))).collect()
}

fn is_buffer(name: &str) -> bool {
    name.contains("running")
}

/// Records a calibration; where `steps` is true, inside a loop that steps its optimizer.
fn calibrate(run_dir: &Path, steps: bool) {
    tch::manual_seed(23);
    let var_store = VarStore::new(Device::Cpu);
    let model = normalised(&var_store);
    let mut optimizer = nn::Adam::default().build(&var_store, 1e-1).unwrap();
    let builder = Recorder::builder(&var_store, settings()).mode(Mode::Calibration).magnitudes(MagnitudePolicy::All);
    let mut recorder = builder.start(run_dir).unwrap();
    let before = state(&var_store);
    let frozen = FrozenWeights::of(&var_store);
    for step in 1..=6 {
        frozen.hold(|| {
            let images = Tensor::randn([8, 1, 8, 8], (Kind::Float, Device::Cpu));
            let labels = Tensor::randint(3, [8], (Kind::Int64, Device::Cpu));
            optimizer.zero_grad();
            model.forward_t(&images, true).cross_entropy_for_logits(&labels).backward();
            recorder.step(&StepInfo { snapshot: step == 6, ..StepInfo::default() });
            if steps {
                optimizer.step();
                assert!(state(&var_store).iter().zip(&before).any(|(now, then)| !is_buffer(&now.0) && now != then));
            }
        });
        for (now, then) in state(&var_store).iter().zip(&before) {
            assert_eq!(now == then, !is_buffer(&now.0), "{}: weights are held, statistics go on", now.0);
        }
    }
    drop(frozen);
    assert_eq!(state(&var_store), before);
    recorder.finish().unwrap();
}

#[test]
fn a_calibration_in_a_training_loop_is_one_without_optimizer() {
    let _turn = torch();
    let dir = tempfile::tempdir().unwrap();
    let (still, stepping) = (dir.path().join("still"), dir.path().join("stepping"));
    calibrate(&still, false);
    calibrate(&stepping, true);
    assert_same_recording(&still, &stepping);
}

#[test]
fn a_step_that_panics_leaves_the_weights_as_they_were() {
    let _turn = torch();
    let var_store = VarStore::new(Device::Cpu);
    let mut weight = var_store.root().ones("w", &[3]);
    let panicking = std::panic::AssertUnwindSafe(|| {
        let frozen = FrozenWeights::of(&var_store);
        frozen.hold(|| {
            drop(tch::no_grad(|| weight.fill_(7.0)));
            panic!("a bug in the loop");
        });
    });
    assert!(std::panic::catch_unwind(panicking).is_err());
    assert_eq!(floats(&weight), [1.0; 3]);
    assert!(weight.requires_grad());
}
