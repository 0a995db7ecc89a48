//! The state of one optimizer over the elements of one tensor.

use std::fmt;
use std::ops::Range;

use epsiloscope_histogram::Image;

use crate::kernel::{self, Correction, Settled, Slices};
use crate::{Decay, Optimizer};

/// Where Yogi's second moment begins.
const YOGI_INITIAL: f32 = 1e-6;

/// The moments of one optimizer over the elements of one tensor, from where the optimizer begins: zero, or Yogi's
/// 1e-6.
///
/// # Examples
/// ```
/// use epsiloscope_moments::{Decay, Moments, Optimizer};
///
/// let mut moments = Moments::new(Optimizer::Adam, Decay::default(), 2);
/// for _step in 0..10 {
///     moments.update(0, &[1e-3, -2e-3]);
///     moments.end_step();
/// }
/// // A constant gradient's bias-corrected moment is the gradient itself.
/// let critical = moments.critical_epsilon();
/// assert!((critical[0] - 1e-3).abs() < 1e-9 && (critical[1] - 2e-3).abs() < 1e-9);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    optimizer: Optimizer,
    decay: Decay,
    /// Steps ended, t in the formulas.
    steps: u64,
    /// After those steps.
    correction: Correction,
    state: State,
}

/// What the moments of a tensor's elements came to: all that a step leaves behind.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// m, or ḡ of a centered RMSprop; empty for optimizers without one.
    pub first: Vec<f32>,
    /// v, s or Σg², not corrected for bias.
    pub second: Vec<f32>,
    /// AMSGrad's maximum of v; empty for the others.
    pub max: Vec<f32>,
}

/// A state whose moments are not those that an optimizer has of so many elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateError {
    /// The optimizer.
    pub optimizer: Optimizer,
    /// Lengths of `first`, `second` and `max` that it has of as many elements as `second` holds.
    pub expected: [usize; 3],
    /// Their lengths in the state.
    pub found: [usize; 3],
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { optimizer, expected, found } = self;
        write!(f, "state of {optimizer} has moments of {found:?} elements: expected {expected:?}")
    }
}

impl std::error::Error for StateError {}

impl State {
    fn new(optimizer: Optimizer, numel: usize) -> Self {
        let [first, second, max] = Self::lengths(optimizer, numel);
        let initial = if optimizer == Optimizer::Yogi { YOGI_INITIAL } else { 0.0 };
        Self { first: vec![0.0; first], second: vec![initial; second], max: vec![0.0; max] }
    }

    fn lengths(optimizer: Optimizer, numel: usize) -> [usize; 3] {
        let if_it_has = |has: bool| if has { numel } else { 0 };
        [if_it_has(optimizer.needs_signs()), numel, if_it_has(optimizer == Optimizer::AmsGrad)]
    }
}

/// The elements of a moment, or of one that the optimizer does not have.
fn part(moment: &[f32], elements: &Range<usize>) -> Range<usize> {
    if moment.is_empty() { 0..0 } else { elements.clone() }
}

impl Moments {
    /// Moments of `numel` elements before the first step.
    pub fn new(optimizer: Optimizer, decay: Decay, numel: usize) -> Self {
        Self::after(0, optimizer, decay, State::new(optimizer, numel))
    }

    /// Moments as they were after some steps.
    ///
    /// # Errors
    /// [`StateError`] if the lengths are not those of this optimizer's moments.
    pub fn restore(optimizer: Optimizer, decay: Decay, steps: u64, state: State) -> Result<Self, StateError> {
        let expected = State::lengths(optimizer, state.second.len());
        let found = [&state.first, &state.second, &state.max].map(Vec::len);
        if found == expected {
            Ok(Self::after(steps, optimizer, decay, state))
        } else {
            Err(StateError { optimizer, expected, found })
        }
    }

    fn after(steps: u64, optimizer: Optimizer, decay: Decay, state: State) -> Self {
        Self { optimizer, decay, steps, correction: Correction::after(steps, decay), state }
    }

    /// The optimizer.
    pub fn optimizer(&self) -> Optimizer {
        self.optimizer
    }

    /// The decay rates.
    pub fn decay(&self) -> Decay {
        self.decay
    }

    /// Elements.
    pub fn numel(&self) -> usize {
        self.state.second.len()
    }

    /// Steps ended so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The moments themselves, from which [`restore`](Self::restore) goes on.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The first moment of every element; empty if the optimizer's denominator has none.
    pub fn first(&self) -> &[f32] {
        &self.state.first
    }

    /// The second moment of every element, not corrected for bias.
    pub fn second(&self) -> &[f32] {
        &self.state.second
    }

    /// The maximum of every element's second moment; empty but for AMSGrad.
    pub fn max(&self) -> &[f32] {
        &self.state.max
    }

    /// Takes the gradients of elements `start..start + gradients.len()` at the present step.
    ///
    /// A step may come in several slices, each element once.
    ///
    /// # Panics
    /// If the slice reaches beyond the last element.
    pub fn update(&mut self, start: usize, gradients: &[f32]) {
        let elements = start..start + gradients.len();
        let State { first, second, max } = &mut self.state;
        let (in_first, in_max) = (part(first, &elements), part(max, &elements));
        let slices = Slices { first: &mut first[in_first], second: &mut second[elements], max: &mut max[in_max] };
        kernel::update(self.optimizer, self.decay, slices, gradients);
    }

    /// Ends the present step.
    pub fn end_step(&mut self) {
        self.steps += 1;
        self.correction = Correction::after(self.steps, self.decay);
    }

    /// The critical ε of every element after the steps taken so far (estimator of arXiv 2311.11532; see
    /// [`Optimizer`]).
    ///
    /// # Panics
    /// If no step has ended.
    pub fn critical_epsilon(&self) -> Vec<f32> {
        self.lent().critical_epsilon()
    }

    /// The critical ε of some elements after the steps taken so far.
    ///
    /// # Panics
    /// If no step has ended, the elements are not all there, or `epsilons` is not as long as they are many.
    pub fn critical_epsilon_into(&self, elements: Range<usize>, epsilons: &mut [f32]) {
        self.lent().critical_epsilon_into(elements, epsilons);
    }

    /// These moments, to be read only.
    pub fn lent(&self) -> LentMoments<'_> {
        let State { first, second, max } = &self.state;
        let settled = Settled { first, second, max };
        LentMoments { optimizer: self.optimizer, steps: self.steps, correction: self.correction, settled }
    }
}

/// Moments that somebody else keeps, such as the optimizer that trains: read where they lie, never copied or changed.
///
/// # Examples
/// ```
/// use epsiloscope_moments::{Decay, LentMoments, Optimizer};
///
/// // PyTorch's `exp_avg_sq` after one step.
/// let exp_avg_sq = [0.001 * 4e-6];
/// let moments = LentMoments::new(Optimizer::Adam, Decay::default(), 1, [&[], &exp_avg_sq, &[]])?;
/// assert!((moments.critical_epsilon()[0] - 2e-3).abs() < 1e-8);
/// # Ok::<(), epsiloscope_moments::StateError>(())
/// ```
#[derive(Clone, Copy)]
pub struct LentMoments<'a> {
    optimizer: Optimizer,
    steps: u64,
    correction: Correction,
    settled: Settled<'a>,
}

impl<'a> LentMoments<'a> {
    /// The first, second and greatest second moments of every element after some steps; those that the optimizer's
    /// denominator has not are empty.
    ///
    /// # Errors
    /// [`StateError`] if the lengths are not those of this optimizer's moments.
    pub fn new(
        optimizer: Optimizer,
        decay: Decay,
        steps: u64,
        [first, second, max]: [&'a [f32]; 3],
    ) -> Result<Self, StateError> {
        let expected = State::lengths(optimizer, second.len());
        let found = [first, second, max].map(<[f32]>::len);
        let settled = Settled { first, second, max };
        if found == expected {
            Ok(Self { optimizer, steps, correction: Correction::after(steps, decay), settled })
        } else {
            Err(StateError { optimizer, expected, found })
        }
    }

    /// Elements.
    pub fn numel(&self) -> usize {
        self.settled.second.len()
    }

    /// The critical ε of every element.
    ///
    /// # Panics
    /// If no step has ended.
    pub fn critical_epsilon(&self) -> Vec<f32> {
        let mut epsilons = vec![0.0; self.numel()];
        self.critical_epsilon_into(0..self.numel(), &mut epsilons);
        epsilons
    }

    /// The critical ε of some elements.
    ///
    /// # Panics
    /// If no step has ended, the elements are not all there, or `epsilons` is not as long as they are many.
    pub fn critical_epsilon_into(&self, elements: Range<usize>, epsilons: &mut [f32]) {
        assert!(self.steps > 0, "no step has ended");
        assert_eq!(elements.len(), epsilons.len(), "one critical epsilon per element");
        kernel::critical(self.optimizer, self.correction, self.settled.part(&elements), epsilons);
    }

    /// The function that takes [`denominator`](Self::denominator) to critical ε after these steps; `None` if these follow
    /// from two moments, or are out of the ordinary.
    pub(crate) fn image(&self) -> Option<Image<impl Fn(f32) -> f32 + use<>>> {
        kernel::image(self.optimizer, self.correction)
    }

    /// The moment that the denominator is made of, but for a mean.
    pub(crate) fn denominator(&self) -> &'a [f32] {
        self.settled.denominator(self.optimizer)
    }
}
