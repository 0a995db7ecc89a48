//! Counting on the CPU: one pass over each gradient where it lies.

use epsiloscope_format::{Elements, Observation, Sample};
use epsiloscope_moments::{LentMoments, Moments, Observed, Observer};

use crate::counting::{EnginePlan, Wanted, observation};

/// Counts gradients that lie in memory as floats, and keeps the moments behind critical ε where those are wanted.
pub struct HostCounter {
    plan: EnginePlan,
    /// Tensor by tensor, one per optimizer.
    moments: Vec<Vec<Moments>>,
    observer: Observer,
    observations: Vec<Observation>,
}

impl HostCounter {
    /// A counter that has seen nothing; `moments` are of each tensor in turn, one per optimizer, or none.
    pub fn new(plan: EnginePlan, moments: Vec<Vec<Moments>>) -> Self {
        Self { plan, moments, observer: Observer::new(), observations: Vec::new() }
    }

    /// What it counts.
    pub fn plan(&self) -> &EnginePlan {
        &self.plan
    }

    /// The moments as they are, tensor by tensor, optimizer by optimizer.
    pub fn moments(&self) -> &[Vec<Moments>] {
        &self.moments
    }

    /// Takes the gradient, if there is one, of a tensor given by its index in the plan.
    ///
    /// # Panics
    /// If the gradient has not as many elements as the plan says.
    pub fn take(&mut self, tensor: usize, gradient: Option<&[f32]>, wanted: Wanted) {
        let observed = gradient.map(|values| self.take_values(tensor, values, wanted)).unwrap_or_default();
        if wanted.critical_epsilon {
            self.take_critical_epsilons(tensor, observed, wanted);
        }
    }

    /// Takes the critical ε that follow from moments which the optimizer itself keeps; `optimizer` is an index into the
    /// plan's quantities. With `elements` the values of all of them are recorded.
    pub fn take_lent(&mut self, tensor: usize, optimizer: usize, moments: &LentMoments<'_>, elements: bool) {
        let observed = self.observer.observe_lent(moments);
        let sample = elements.then(|| self.all_of(tensor, moments.critical_epsilon()));
        self.push(tensor, optimizer, observed, sample);
    }

    /// Takes critical ε that were computed elsewhere.
    pub fn take_critical(&mut self, tensor: usize, optimizer: usize, values: &[f32], elements: bool) {
        let observed = self.observer.observe(values, &mut [], false).0;
        let sample = elements.then(|| self.all_of(tensor, values.to_vec()));
        self.push(tensor, optimizer, observed, sample);
    }

    /// Takes what was counted elsewhere.
    pub fn take_observation(&mut self, observation: Observation) {
        self.observations.push(observation);
    }

    /// What was wanted since the last call, in the order of tensors and quantities; of what was taken twice the later one.
    pub fn collect(&mut self) -> Vec<Observation> {
        let mut observations = std::mem::take(&mut self.observations);
        observations.reverse();
        let key = |observation: &Observation| (observation.tensor, observation.quantity);
        observations.sort_by_key(key);
        observations.dedup_by_key(|observation| key(observation));
        observations
    }

    fn push(&mut self, tensor: usize, optimizer: usize, observed: Observed, sample: Option<Sample>) {
        let quantity = self.plan.quantities.critical_epsilon[optimizer];
        self.observations.push(observation((tensor, quantity), observed, sample));
    }

    fn all_of(&self, tensor: usize, values: Vec<f32>) -> Sample {
        Sample { elements: Elements::From(self.plan.tensors[tensor].offset), values }
    }

    fn take_values(&mut self, tensor: usize, values: &[f32], wanted: Wanted) -> Vec<Observed> {
        let moments = &mut self.moments[tensor][..];
        if !wanted.gradient {
            for moments in moments.iter_mut().filter(|_| wanted.moments) {
                moments.update(0, values);
                moments.end_step();
            }
            return Vec::new();
        }
        let updated = if wanted.moments { moments } else { &mut [] };
        let (gradient, critical) = self.observer.observe(values, updated, wanted.critical_epsilon);
        let plan = &self.plan.tensors[tensor];
        let sample = plan.recorded().map(|elements| Sample { elements, values: plan.values(values) });
        self.observations.push(observation((tensor, self.plan.quantities.gradient), gradient, sample));
        critical
    }

    /// Takes critical ε that were observed as the moments were updated; without those, of the moments as they are.
    fn take_critical_epsilons(&mut self, tensor: usize, observed: Vec<Observed>, wanted: Wanted) {
        let mut observed = observed.into_iter();
        for optimizer in 0..self.moments[tensor].len() {
            let moments = &self.moments[tensor][optimizer];
            if moments.steps() == 0 {
                continue;
            }
            let of_moments = || self.observer.observe_lent(&moments.lent());
            let observed = observed.next().unwrap_or_else(of_moments);
            let sample = wanted.elements.then(|| self.all_of(tensor, moments.critical_epsilon()));
            self.push(tensor, optimizer, observed, sample);
        }
    }
}
