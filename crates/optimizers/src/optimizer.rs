//! Finds gradients, applies weight decay, counts steps; what a step does to a tensor is the algorithm's.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use tch::nn::{self, OptimizerConfig, VarStore};
use tch::{TchError, Tensor};

use crate::algorithm::check_not_negative;
use crate::in_place::{add_scaled, scale};
use crate::{Algorithm, OptimizerError, State, WeightDecay};

/// Trains the variables of a store by an [`Algorithm`].
///
/// Used as [`tch::nn::Optimizer`] is; variables that the store gets later are trained too.
#[derive(Debug)]
pub struct Optimizer {
    pub(crate) algorithm: Box<dyn Algorithm>,
    variables: Arc<Mutex<nn::Variables>>,
    /// Never takes a step: only libtorch's own optimizers can make a gradient undefined again.
    gradients: nn::Optimizer,
    pub(crate) states: BTreeMap<String, State>,
    lr: f64,
}

impl Optimizer {
    /// An optimizer of every variable of a store.
    ///
    /// # Errors
    /// If a setting is outside its range.
    pub fn new(algorithm: Box<dyn Algorithm>, var_store: &VarStore, lr: f64) -> Result<Self, OptimizerError> {
        algorithm.check()?;
        check_not_negative("weight_decay", algorithm.weight_decay().factor())?;
        check_not_negative("lr", lr)?;
        let gradients = nn::Sgd::default().build(var_store, 0.0).map_err(OptimizerError::Gradients)?;
        Ok(Self { algorithm, variables: var_store.variables_.clone(), gradients, states: BTreeMap::new(), lr })
    }

    /// The algorithm and its settings.
    pub fn algorithm(&self) -> &dyn Algorithm {
        &*self.algorithm
    }

    /// The learning rate.
    pub fn lr(&self) -> f64 {
        self.lr
    }

    /// Sets the learning rate.
    pub fn set_lr(&mut self, lr: f64) {
        self.lr = lr;
    }

    /// What is kept of the variable of this name, or nothing before its first gradient.
    pub fn state(&self, name: &str) -> Option<&State> {
        self.states.get(name)
    }

    /// What is kept of every variable that has had a gradient, by name.
    pub fn states(&self) -> impl Iterator<Item = (&str, &State)> {
        self.states.iter().map(|(name, state)| (name.as_str(), state))
    }

    /// Makes every gradient undefined, as PyTorch's `set_to_none=True`.
    ///
    /// # Panics
    /// If libtorch fails, as [`tch::nn::Optimizer::zero_grad`].
    pub fn zero_grad(&mut self) {
        self.gradients.zero_grad();
    }

    /// Scales all gradients so that their L2 norm, taken over all of them together, is at most `max`.
    ///
    /// # Panics
    /// If libtorch fails, as [`tch::nn::Optimizer::clip_grad_norm`].
    pub fn clip_grad_norm(&self, max: f64) {
        // tch has no norm of no gradients.
        if self.parameters().values().any(|parameter| parameter.grad().defined()) {
            self.gradients.clip_grad_norm(max);
        }
    }

    /// Brings every element of every gradient into [−`max`, `max`].
    ///
    /// # Panics
    /// If libtorch fails, as [`tch::nn::Optimizer::clip_grad_value`].
    pub fn clip_grad_value(&self, max: f64) {
        self.gradients.clip_grad_value(max);
    }

    /// Computes the gradients of a loss and takes a step.
    ///
    /// # Errors
    /// If libtorch cannot compute gradients, or as [`step`](Self::step).
    pub fn backward_step(&mut self, loss: &Tensor) -> Result<(), OptimizerError> {
        self.zero_grad();
        loss.f_backward().map_err(OptimizerError::Gradients)?;
        self.step()
    }

    /// Updates every variable that has a gradient; a variable without one keeps its value, its state and its steps.
    ///
    /// # Errors
    /// If a gradient is sparse or complex, before anything is changed; if libtorch refuses an operation, after which
    /// some variables have taken the step and others have not.
    pub fn step(&mut self) -> Result<(), OptimizerError> {
        let _guard = tch::no_grad_guard();
        let mut ready = Vec::new();
        for (name, parameter) in self.parameters() {
            if let Some(gradient) = dense_gradient(&name, &parameter)? {
                ready.push((name, parameter, gradient));
            }
        }
        for (tensor, parameter, gradient) in ready {
            let stepped = self.step_tensor(tensor.clone(), parameter, gradient);
            stepped.map_err(|source| OptimizerError::Torch { tensor, source })?;
        }
        Ok(())
    }

    /// Every variable by name, those that are not trained included.
    pub(crate) fn parameters(&self) -> BTreeMap<String, Tensor> {
        let variables = self.variables.lock().unwrap_or_else(PoisonError::into_inner);
        variables.named_variables.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect()
    }

    fn step_tensor(&mut self, name: String, mut parameter: Tensor, mut gradient: Tensor) -> Result<(), TchError> {
        let state = match self.states.entry(name) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(State::new(&parameter, &self.algorithm.buffers())?),
        };
        state.steps += 1;
        match self.algorithm.weight_decay() {
            // Without weight decay, not even infinite parameters reach the gradient.
            WeightDecay::Coupled(0.0) | WeightDecay::Decoupled(0.0) => {}
            WeightDecay::Coupled(factor) => {
                gradient = gradient.f_detach_copy()?;
                add_scaled(&mut gradient, &parameter, factor)?;
            }
            WeightDecay::Decoupled(factor) => scale(&mut parameter, 1.0 - self.lr * factor)?,
        }
        self.algorithm.update(&mut parameter, &gradient, state, self.lr)
    }
}

/// A variable's gradient, if it has one.
fn dense_gradient(name: &str, parameter: &Tensor) -> Result<Option<Tensor>, OptimizerError> {
    let gradient = parameter.f_grad().map_err(|source| OptimizerError::Torch { tensor: name.to_owned(), source })?;
    let refuse = |found| Err(OptimizerError::Gradient { tensor: name.to_owned(), found });
    if !gradient.defined() {
        Ok(None)
    } else if gradient.is_sparse() {
        refuse("sparse")
    } else if !gradient.is_floating_point() {
        refuse("complex")
    } else {
        Ok(Some(gradient))
    }
}
