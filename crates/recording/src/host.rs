//! Counting on the CPU: one pass over each gradient where it lies, several tensors at a time.

use epsiloscope_format::{Elements, Observation, Sample};
use epsiloscope_moments::{LentMoments, Moments, Observed, Observer};

use crate::counting::{EnginePlan, Wanted, observation};
use crate::workers::Workers;

/// Counts gradients that lie in memory as floats, and keeps the moments behind critical ε where those are wanted.
///
/// What is counted does not depend on the number of threads: a tensor is one thread's.
pub struct HostCounter {
    plan: EnginePlan,
    /// Tensor by tensor, one per optimizer.
    moments: Vec<Vec<Moments>>,
    workers: Workers,
    observations: Vec<Observation>,
}

/// Moments that the training's optimizer keeps of a tensor.
pub struct Lent<'a> {
    /// Index of the tensor in the plan.
    pub tensor: usize,
    /// Index of the optimizer in the plan's quantities.
    pub optimizer: usize,
    /// The moments as they are.
    pub moments: LentMoments<'a>,
}

/// A tensor to be counted by whichever thread is free.
struct Task<'a> {
    tensor: usize,
    gradient: Option<&'a [f32]>,
    moments: &'a mut [Moments],
    plan: &'a EnginePlan,
    wanted: Wanted,
}

impl HostCounter {
    /// A counter that has seen nothing; `moments` are of each tensor in turn, one per optimizer, or none.
    ///
    /// It counts on as many threads as the training computes on, sixteen at most.
    pub fn new(plan: EnginePlan, moments: Vec<Vec<Moments>>, n_threads: usize) -> Self {
        Self { plan, moments, workers: Workers::new(n_threads), observations: Vec::new() }
    }

    /// What it counts.
    pub fn plan(&self) -> &EnginePlan {
        &self.plan
    }

    /// The moments as they are, tensor by tensor, optimizer by optimizer.
    pub fn moments(&self) -> &[Vec<Moments>] {
        &self.moments
    }

    /// Takes gradients, where there are such, of tensors given by their indices in the plan.
    ///
    /// # Panics
    /// If a gradient has not as many elements as the plan says, or a tensor is given twice.
    pub fn take<'a>(&mut self, gradients: impl IntoIterator<Item = (usize, Option<&'a [f32]>)>, wanted: Wanted) {
        let mut moments: Vec<Option<&mut [Moments]>> =
            self.moments.iter_mut().map(|each| Some(&mut each[..])).collect();
        let plan = &self.plan;
        let task = |(tensor, gradient): (usize, _)| {
            let moments = moments[tensor].take().expect("each tensor once");
            Task { tensor, gradient, moments, plan, wanted }
        };
        let tasks = gradients.into_iter().map(task).collect();
        let numel = |task: &Task<'_>| plan.tensors[task.tensor].numel;
        let taken = self.workers.map(tasks, numel, |observer, task| task.take(observer));
        self.observations.extend(taken.into_iter().flatten());
    }

    /// Takes the critical ε that follow from moments which the optimizer itself keeps. With `elements` the values of all of
    /// them are recorded.
    pub fn take_lent(&mut self, lent: Vec<Lent<'_>>, elements: bool) {
        let plan = &self.plan;
        let taken = self.workers.map(
            lent,
            |lent| lent.moments.numel(),
            |observer, Lent { tensor, optimizer, moments }| {
                let observed = observer.observe_lent(&moments);
                let sample = elements.then(|| plan.all_of(tensor, moments.critical_epsilon()));
                observation((tensor, plan.quantities.critical_epsilon[optimizer]), observed, sample)
            },
        );
        self.observations.extend(taken);
    }

    /// Takes critical ε that were computed elsewhere.
    pub fn take_critical(&mut self, tensor: usize, optimizer: usize, values: &[f32], elements: bool) {
        let observed = self.workers.observer().observe(values, &mut [], false).0;
        let sample = elements.then(|| self.plan.all_of(tensor, values.to_vec()));
        let quantity = self.plan.quantities.critical_epsilon[optimizer];
        self.take_observation(observation((tensor, quantity), observed, sample));
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
}

impl EnginePlan {
    /// The values of all elements of a tensor.
    fn all_of(&self, tensor: usize, values: Vec<f32>) -> Sample {
        Sample { elements: Elements::From(self.tensors[tensor].offset), values }
    }
}

impl Task<'_> {
    /// Everything that is wanted of the tensor.
    fn take(mut self, observer: &mut Observer) -> Vec<Observation> {
        let mut observations = Vec::new();
        let critical = self.gradient.map(|values| self.take_values(values, observer, &mut observations));
        if self.wanted.critical_epsilon {
            self.take_critical_epsilons(critical.unwrap_or_default(), observer, &mut observations);
        }
        observations
    }

    /// Observes the gradient and moves the moments; the critical ε that were observed with it.
    fn take_values(
        &mut self,
        values: &[f32],
        observer: &mut Observer,
        observations: &mut Vec<Observation>,
    ) -> Vec<Observed> {
        if !self.wanted.gradient {
            for moments in self.moments.iter_mut().filter(|_| self.wanted.moments) {
                moments.update(0, values);
                moments.end_step();
            }
            return Vec::new();
        }
        let updated = if self.wanted.moments { &mut *self.moments } else { &mut [] };
        let (gradient, critical) = observer.observe(values, updated, self.wanted.critical_epsilon);
        let of_tensor = &self.plan.tensors[self.tensor];
        let sample = of_tensor.recorded().map(|elements| Sample { elements, values: of_tensor.values(values) });
        observations.push(observation((self.tensor, self.plan.quantities.gradient), gradient, sample));
        critical
    }

    /// Takes critical ε that were observed as the moments were updated; without those, of the moments as they are.
    fn take_critical_epsilons(
        &self,
        critical: Vec<Observed>,
        observer: &mut Observer,
        observations: &mut Vec<Observation>,
    ) {
        let mut critical = critical.into_iter();
        for (moments, &quantity) in self.moments.iter().zip(&self.plan.quantities.critical_epsilon) {
            if moments.steps() == 0 {
                continue;
            }
            let of_moments = critical.next().unwrap_or_else(|| observer.observe_lent(&moments.lent()));
            let sample = self.wanted.elements.then(|| self.plan.all_of(self.tensor, moments.critical_epsilon()));
            observations.push(observation((self.tensor, quantity), of_moments, sample));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use epsiloscope_moments::{Decay, Optimizer};

    use super::*;
    use crate::counting::{Quantities, RecordedElements, TensorPlan};

    const OPTIMIZERS: [Optimizer; 2] = [Optimizer::Adam, Optimizer::AdaBelief];

    fn counter(sizes: &[usize], n_threads: usize) -> HostCounter {
        let plan_of = |&numel: &usize| {
            let elements = RecordedElements::Listed((0..numel as i64).step_by(3).collect::<Arc<[i64]>>());
            TensorPlan { numel, offset: 0, elements }
        };
        let tensors = sizes.iter().map(plan_of).collect();
        let plan = EnginePlan { tensors, quantities: Quantities { gradient: 0, critical_epsilon: vec![1, 2] } };
        let decay = Decay { beta1: 0.9, beta2: 0.999 };
        let moments_of = |&numel: &usize| OPTIMIZERS.map(|optimizer| Moments::new(optimizer, decay, numel)).into();
        HostCounter::new(plan, sizes.iter().map(moments_of).collect(), n_threads)
    }

    /// Magnitudes over thirty decades, both signs, zeros among them.
    fn gradients(sizes: &[usize], step: usize) -> Vec<Vec<f32>> {
        let value = |tensor: usize, element: usize| {
            let mixed = (element + 1).wrapping_mul(0x9E37_79B9).wrapping_add(step * 77 + tensor);
            let sign = if mixed & 64 == 0 { 1.0 } else { -1.0 };
            if mixed.is_multiple_of(11) { 0.0 } else { sign * 10f32.powf((mixed % 3000) as f32 / 100.0 - 25.0) }
        };
        let of_tensor = |(tensor, &size): (usize, &usize)| (0..size).map(|element| value(tensor, element)).collect();
        sizes.iter().enumerate().map(of_tensor).collect()
    }

    /// What was observed, as text: that tells every float apart, and equals itself where one is no number.
    fn take(counter: &mut HostCounter, gradients: &[Vec<f32>], wanted: Wanted) -> String {
        // One tensor has none at this step.
        let given = gradients.iter().enumerate().map(|(tensor, values)| (tensor, (tensor != 3).then_some(&values[..])));
        counter.take(given, wanted);
        format!("{:?}", counter.collect())
    }

    /// One thread, which takes tensor after tensor, is the oracle.
    #[test]
    fn threads_count_as_one_does() {
        // Enough elements that threads are woken, more tensors than threads, an empty one.
        let sizes = [300_000, 1, 200_000, 50, 0, 80_000, 1_025];
        let wanted = Wanted { gradient: true, moments: true, critical_epsilon: true, elements: false };
        let mut one = counter(&sizes, 1);
        let mut several = [counter(&sizes, 2), counter(&sizes, 5)];
        for step in 0..3 {
            let gradients = gradients(&sizes, step);
            let wanted = Wanted { gradient: step != 1, critical_epsilon: step != 1, elements: step == 2, ..wanted };
            let expected = take(&mut one, &gradients, wanted);
            assert_eq!(expected == "[]", step == 1);
            for several in &mut several {
                assert!(take(several, &gradients, wanted) == expected, "step {step}");
            }
        }
        assert!(several.iter().all(|several| several.moments() == one.moments()));
    }

    #[test]
    #[should_panic(expected = "each tensor once")]
    fn a_tensor_is_taken_once() {
        let wanted = Wanted { gradient: true, moments: false, critical_epsilon: false, elements: false };
        counter(&[1], 1).take([(0, Some(&[1.0][..])), (0, Some(&[1.0][..]))], wanted);
    }
}
