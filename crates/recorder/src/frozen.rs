//! Weights that stay what they are while someone's own loop trains on.

use tch::Tensor;
use tch::nn::VarStore;

/// Holds every tensor of a variable store at its present value, for a calibration inside a loop that steps its optimizer.
///
/// The optimizer's step moves the weights; [`hold`](Self::hold) puts them back before anything else is computed with
/// them, bit for bit. Buffers, such as the running means of batch normalisation, go on as in any training and are put back when
/// the guard is dropped. What the optimizer keeps for itself is not undone: build a new one for the training.
///
/// # Examples
/// ```no_run
/// # use epsiloscope_recorder::{FrozenWeights, Recorder, StepInfo};
/// # fn calibrate(
/// #     var_store: &tch::nn::VarStore, recorder: &mut Recorder, optimizer: &mut tch::nn::Optimizer,
/// #     batches: Vec<tch::Tensor>, loss_of: impl Fn(&tch::Tensor) -> tch::Tensor,
/// # ) {
/// let frozen = FrozenWeights::of(var_store);
/// for batch in &batches {
///     frozen.hold(|| {
///         optimizer.zero_grad();
///         loss_of(batch).backward();
///         recorder.step(&StepInfo::default());
///         optimizer.step();
///     });
/// }
/// # }
/// ```
pub struct FrozenWeights {
    weights: Vec<Held>,
    buffers: Vec<Held>,
}

struct Held {
    tensor: Tensor,
    value: Tensor,
}

impl Held {
    fn new(tensor: Tensor) -> Self {
        let value = tensor.detach().copy();
        Self { tensor, value }
    }

    fn put_back(&self) {
        let _no_grad = tch::no_grad_guard();
        self.tensor.shallow_clone().copy_(&self.value);
    }
}

impl FrozenWeights {
    /// Remembers every tensor of the store; costs as much memory as the model.
    pub fn of(var_store: &VarStore) -> Self {
        let trainable: Vec<usize> =
            var_store.trainable_variables().iter().map(|tensor| tensor.data_ptr() as usize).collect();
        let all = var_store.variables().into_values();
        let (weights, buffers): (Vec<_>, Vec<_>) =
            all.partition(|tensor| trainable.contains(&(tensor.data_ptr() as usize)));
        let held = |tensors: Vec<Tensor>| tensors.into_iter().map(Held::new).collect();
        Self { weights: held(weights), buffers: held(buffers) }
    }

    /// Runs one step of training, then puts the weights back.
    pub fn hold<T>(&self, step: impl FnOnce() -> T) -> T {
        let result = step();
        self.weights.iter().for_each(Held::put_back);
        result
    }
}

impl Drop for FrozenWeights {
    fn drop(&mut self) {
        self.weights.iter().chain(&self.buffers).for_each(Held::put_back);
    }
}
