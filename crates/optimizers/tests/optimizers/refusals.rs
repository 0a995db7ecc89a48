//! What is refused, in which words, and that nothing changes by it.

use epsiloscope_optimizers::{Adam, Algorithm, Optimizer, OptimizerError, RmsProp, WeightDecay, Yogi};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use crate::common::{floats, gradient, state_bits, step, store};

#[test]
fn a_file_of_other_states_is_refused_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("adam.safetensors");
    let (var_store, weight) = store(&[0.3; 5]);
    let mut adam = Adam::default().build(&var_store, 1e-2).unwrap();
    step(&mut adam, &weight, &gradient(0));
    adam.save(&path).unwrap();

    let refusal = |algorithm: Box<dyn Algorithm>, var_store: &VarStore| {
        let mut optimizer = Optimizer::new(algorithm, var_store, 1e-2).unwrap();
        let error = optimizer.load(&path).unwrap_err().to_string();
        assert!(optimizer.states().next().is_none());
        error.strip_prefix(&format!("optimizer states in {}: ", path.display())).unwrap().to_owned()
    };
    assert_eq!(
        refusal(Box::new(Adam::amsgrad()), &var_store),
        "weight.max_second_moment: expected Float of size [5], found nothing"
    );
    assert_eq!(
        refusal(Box::<RmsProp>::default(), &var_store),
        "weight.first_moment: expected nothing, found Float of size [5]"
    );
    assert_eq!(
        refusal(Box::<Adam>::default(), &store(&[0.3; 4]).0),
        "weight.first_moment: expected Float of size [4], found Float of size [5]"
    );

    std::fs::write(&path, b"not safetensors").unwrap();
    let before = state_bits(&adam);
    assert!(matches!(adam.load(&path), Err(OptimizerError::File { .. })));
    assert!(matches!(adam.load(dir.path().join("missing")), Err(OptimizerError::File { .. })));
    assert!(matches!(adam.save(dir.path().join("no/such/folder")), Err(OptimizerError::File { .. })));
    assert_eq!(state_bits(&adam), before);
}

#[test]
fn a_sparse_gradient_is_refused_before_anything_moves() {
    let (var_store, weight) = store(&[1.0; 5]);
    let embedding = var_store.root().var_copy("embedding", &Tensor::ones([4, 2], (Kind::Float, Device::Cpu)));
    let mut optimizer = Adam::default().build(&var_store, 1e-2).unwrap();
    let rows = Tensor::embedding(&embedding, &Tensor::from_slice(&[1_i64, 2]), -1, false, true);
    let error = optimizer.backward_step(&(rows.sum(Kind::Float) + weight.sum(Kind::Float))).unwrap_err();
    assert_eq!(error.to_string(), "tensor embedding: sparse gradient: expected a dense one of floating-point numbers");
    assert_eq!(floats(&weight), [1.0; 5]);
    assert!(optimizer.state("weight").is_none());
}

#[test]
fn settings_outside_their_range_are_refused() {
    let refusal = |algorithm: Box<dyn Algorithm>, lr| {
        Optimizer::new(algorithm, &VarStore::new(Device::Cpu), lr).unwrap_err().to_string()
    };
    let adam = Adam::default();
    let rate = "expected a decay rate in [0, 1)";
    let number = "expected a finite number that is not negative";
    assert_eq!(refusal(Box::new(Adam { beta1: 1.0, ..adam }), 1e-3), format!("beta1 is 1: {rate}"));
    assert_eq!(refusal(Box::new(Yogi { beta2: -0.1, ..Yogi::default() }), 1e-3), format!("beta2 is -0.1: {rate}"));
    assert_eq!(refusal(Box::new(Adam { epsilon: f64::NAN, ..adam }), 1e-3), format!("epsilon is NaN: {number}"));
    assert_eq!(refusal(Box::new(adam), f64::INFINITY), format!("lr is inf: {number}"));
    assert_eq!(
        refusal(Box::new(Adam { weight_decay: WeightDecay::Coupled(-1.0), ..adam }), 1e-3),
        format!("weight_decay is -1: {number}")
    );
    assert_eq!(
        refusal(Box::new(RmsProp { momentum: -1.0, ..RmsProp::default() }), 1e-3),
        format!("momentum is -1: {number}")
    );
}
