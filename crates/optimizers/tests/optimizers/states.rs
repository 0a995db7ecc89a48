//! When states come to be, what they hold, and that training goes on from a file of them.

use epsiloscope_optimizers::{Adam, Algorithm, Optimizer};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use crate::common::{algorithms, bits, floats, gradient, state_bits, step, store};

#[test]
fn states_are_created_with_the_first_gradient_and_count_only_steps_that_had_one() {
    for (algorithm, names) in algorithms() {
        let (var_store, weight) = store(&[1.0; 5]);
        let other = var_store.root().var_copy("other", &Tensor::from_slice(&[2.0_f32, 3.0]));
        let mut optimizer = Optimizer::new(algorithm, &var_store, 1e-2).unwrap();
        step(&mut optimizer, &weight, &gradient(0));
        assert!(optimizer.state("other").is_none());
        assert_eq!(floats(&other), [2.0, 3.0]);

        step(&mut optimizer, &other, &[1.0, 1.0]);
        let before = bits(&weight);
        step(&mut optimizer, &other, &[1.0, 1.0]);
        assert_eq!(bits(&weight), before, "without a gradient, momentum does not move a tensor");
        assert_eq!(optimizer.state("weight").unwrap().steps(), 1);
        let state = optimizer.state("other").unwrap();
        assert_eq!(state.steps(), 2);
        assert_eq!(state.buffers().map(|(name, _)| name).collect::<Vec<_>>(), names);
        assert!(names.iter().all(|name| state.buffer(name).is_some()) && state.buffer("momentum").is_none());
    }
}

#[test]
fn variables_that_come_later_are_trained() {
    let (var_store, _) = store(&[1.0]);
    let mut optimizer = Adam::default().build(&var_store, 1e-2).unwrap();
    let late = var_store.root().var_copy("late", &Tensor::from_slice(&[1.0_f32]));
    step(&mut optimizer, &late, &[1.0]);
    assert!((floats(&late)[0] - 0.99).abs() < 1e-6);
}

#[test]
fn states_have_the_kind_of_their_parameter() {
    for kind in [Kind::Float, Kind::Double, Kind::BFloat16] {
        for (algorithm, _) in algorithms() {
            let mut var_store = VarStore::new(Device::Cpu);
            var_store.set_kind(kind);
            let weight = var_store.root().var_copy("weight", &Tensor::ones([40], (kind, Device::Cpu)));
            let mut optimizer = Optimizer::new(algorithm, &var_store, 1e-2).unwrap();
            optimizer.backward_step(&weight.sum(kind)).unwrap();
            assert_eq!(weight.kind(), kind);
            assert!(weight.lt(1.0).all().int64_value(&[]) == 1, "{:?} has not moved", optimizer.algorithm());
            for (name, buffer) in optimizer.state("weight").unwrap().buffers() {
                assert_eq!(buffer.kind(), if name == "mu_product" { Kind::Float } else { kind }, "{name}");
            }
        }
    }
}

#[test]
fn training_goes_on_from_a_file_to_the_last_bit() {
    let dir = tempfile::tempdir().unwrap();
    for (index, (algorithm, _)) in algorithms().into_iter().enumerate() {
        let path = dir.path().join(format!("{index}.safetensors"));
        let (var_store, weight) = store(&[0.3; 5]);
        let mut optimizer = Optimizer::new(algorithm, &var_store, 1e-2).unwrap();
        (0..50).for_each(|t| step(&mut optimizer, &weight, &gradient(t)));
        optimizer.save(&path).unwrap();
        let half_way = floats(&weight);
        (50..100).for_each(|t| step(&mut optimizer, &weight, &gradient(t)));

        let (resumed_store, resumed_weight) = store(&half_way);
        let (algorithm, _) = algorithms().swap_remove(index);
        let mut resumed = Optimizer::new(algorithm, &resumed_store, 1e-2).unwrap();
        resumed.load(&path).unwrap();
        (50..100).for_each(|t| step(&mut resumed, &resumed_weight, &gradient(t)));
        assert_eq!(bits(&resumed_weight), bits(&weight), "{:?}", resumed.algorithm());
        assert_eq!(state_bits(&resumed), state_bits(&optimizer));
    }
    let left_over = std::fs::read_dir(dir.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().extension().unwrap() != "safetensors");
    assert_eq!(left_over.count(), 0);
}

#[test]
fn an_optimizer_without_states_can_be_saved_and_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("empty.safetensors");
    let (var_store, weight) = store(&[1.0; 5]);
    let mut optimizer = Adam::default().build(&var_store, 1e-2).unwrap();
    optimizer.save(&path).unwrap();
    step(&mut optimizer, &weight, &gradient(0));
    optimizer.load(&path).unwrap();
    assert!(optimizer.state("weight").is_none());
}
