//! A recording under way.

#![expect(clippy::needless_pass_by_value, reason = "what is made of Python's arguments is handed over")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use epsiloscope_format::{Manifest, StepRecord, StepScalars};
use epsiloscope_moments::{Decay, LentMoments, Moments, Optimizer, State};
use epsiloscope_recording::{
    BackgroundWriter, Description, HostCounter, Lent, Plan, Planned, RecordedElements, Shared, TensorPlan, Wanted,
};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::device::{Found, Key};
use super::fault::{Fault, RecordingError, TrainingFault, exception};
use super::request::{Request, Resumption};
use super::view::{View, bytes, numbers};

/// Steps, then first, second and greatest second moments, as bytes of floats.
type KeptMoments<'py> = (u64, Bound<'py, PyBytes>, Bound<'py, PyBytes>, Bound<'py, PyBytes>);
/// The same, as they come in, where they lie.
type GivenMoments = (u64, View, View, View);
/// Of a tensor, where the training's optimizer has them.
type GivenLent = (usize, usize, u64, f64, [Option<View>; 3]);
/// By tensor and optimizer.
type Given = BTreeMap<String, BTreeMap<String, GivenMoments>>;

/// Counts what it is given and writes it to a run directory, from a thread of its own.
///
/// A process that was forked from the one that made it does nothing with it.
#[pyclass(module = "epsiloscope._native")]
pub(crate) struct Recording {
    /// `None` once ended.
    live: Option<Live>,
    process: u32,
}

struct Live {
    description: Description,
    manifest: Manifest,
    tensors: Vec<Planned>,
    counter: HostCounter,
    writer: BackgroundWriter<TrainingFault>,
    shared: Arc<Shared<TrainingFault>>,
}

#[pymethods]
impl Recording {
    /// Makes the run directory, or takes up the one there, and starts the writer.
    #[new]
    fn new(py: Python<'_>, dir: PathBuf, request: &str, moments: Given) -> PyResult<Self> {
        let malformed = |fault: serde_json::Error| PyValueError::new_err(format!("cannot record: {fault}"));
        let request: Request = serde_json::from_str(request).map_err(malformed)?;
        let unknown = |fault: epsiloscope_moments::UnknownOptimizer| PyValueError::new_err(fault.to_string());
        let description = request.description().map_err(unknown)?;
        let plan = description.plan(&dir, request.candidates()).map_err(exception)?;
        let moments = kept_moments(&description, &plan, &request, &moments)?;
        let live = py.detach(|| {
            let writer = match request.resumption {
                None => description.create(&dir, plan.manifest.clone())?,
                Some(Resumption { after_step, moments_restored }) => {
                    description.resume(&dir, &plan.manifest, after_step, moments_restored)?
                }
            };
            let shared = Arc::new(Shared::default());
            let writer = description.in_background(writer, &shared)?;
            let Plan { tensors, engine, manifest } = plan;
            let counter = HostCounter::new(engine, moments, request.threads);
            Ok(Live { description, manifest, tensors, counter, writer, shared })
        });
        Ok(Self { live: Some(live.map_err(exception)?), process: std::process::id() })
    }

    /// Names of the recorded tensors, how many elements this process has of each, and which of them are recorded at every
    /// step: all where it is `None`, else 64-bit integers.
    #[expect(clippy::type_complexity, reason = "a tuple in Python")]
    fn tensors<'py>(&self, py: Python<'py>) -> PyResult<Vec<(String, bool, usize, Option<Bound<'py, PyBytes>>)>> {
        let live = self.live()?;
        let described = |(tensor, plan): (&Planned, &TensorPlan)| {
            let elements = match &plan.elements {
                RecordedElements::All => None,
                RecordedElements::Listed(elements) => Some(PyBytes::new(py, &bytes(elements, i64::to_ne_bytes))),
            };
            (tensor.name.clone(), tensor.is_own, tensor.numel, elements)
        };
        Ok(live.tensors.iter().zip(&live.counter.plan().tensors).map(described).collect())
    }

    /// Names of the optimizers whose critical ε are recorded, in the order of indices.
    fn optimizers(&self) -> PyResult<Vec<&'static str>> {
        Ok(self.live()?.description.optimizers.iter().map(|optimizer| optimizer.name()).collect())
    }

    /// Whether a step is one of those to record.
    fn includes(&self, step: i64) -> PyResult<bool> {
        Ok(self.live()?.manifest.cadence.includes(step))
    }

    /// Takes gradients of tensors given by their indices, as they lie in memory.
    #[pyo3(signature = (tensors, values, *, counted, moments))]
    fn gradients(
        &mut self,
        py: Python<'_>,
        tensors: Vec<usize>,
        values: Vec<View>,
        counted: bool,
        moments: bool,
    ) -> PyResult<()> {
        let values: PyResult<Vec<&[f32]>> = values.into_iter().map(numbers).collect();
        let values = values?;
        let wanted = Wanted { gradient: counted, moments, critical_epsilon: false, elements: false };
        self.count(py, |live| {
            tensors.iter().zip(&values).try_for_each(|(&tensor, values)| live.check(tensor, values.len()))?;
            live.counter.take(tensors.iter().copied().zip(values.into_iter().map(Some)), wanted);
            Ok(())
        })
    }

    /// Takes the critical ε that follow from the moments kept here.
    fn critical_kept(&mut self, py: Python<'_>, elements: bool) -> PyResult<()> {
        let wanted = Wanted { gradient: false, moments: false, critical_epsilon: true, elements };
        self.count(py, |live| {
            live.counter.take((0..live.tensors.len()).map(|tensor| (tensor, None)), wanted);
            Ok(())
        })
    }

    /// Takes the critical ε of tensors that follow from moments which the training's optimizer keeps: (tensor, optimizer,
    /// steps, β2, first, second and greatest second moments).
    fn critical_lent(&mut self, py: Python<'_>, lent: Vec<GivenLent>, elements: bool) -> PyResult<()> {
        let slices: PyResult<Vec<[&[f32]; 3]>> = lent.iter().map(|given| moments_of(given.4)).collect();
        let slices = slices?;
        self.count(py, |live| {
            let lent = lent.iter().zip(slices).map(|(given, slices)| live.lent(given, slices));
            let lent = lent.collect::<Result<Vec<_>, _>>()?;
            live.counter.take_lent(lent, elements);
            Ok(())
        })
    }

    /// Takes critical ε of a tensor that were computed in Python.
    fn critical_values(
        &mut self,
        py: Python<'_>,
        tensor: usize,
        optimizer: usize,
        values: View,
        elements: bool,
    ) -> PyResult<()> {
        let values = numbers(values)?;
        self.count(py, |live| {
            live.check(tensor, values.len())?;
            live.optimizer(optimizer)?;
            live.counter.take_critical(tensor, optimizer, values, elements);
            Ok(())
        })
    }

    /// Takes what a device counted, of (tensor, optimizer or `None` for the gradient, whether values come with it).
    fn counted(
        &mut self,
        py: Python<'_>,
        keys: Vec<(usize, Option<usize>, bool)>,
        counts: View,
        summaries: View,
        samples: View,
    ) -> PyResult<()> {
        let found = Found { counts: numbers(counts)?, summaries: numbers(summaries)?, samples: numbers(samples)? };
        let key = |&(tensor, optimizer, is_sampled): &_| Key { tensor, optimizer, is_sampled };
        let keys: Vec<Key> = keys.iter().map(key).collect();
        self.count(py, |live| {
            let misfit = || Fault::Count(TrainingFault("counts of other tensors than those recorded".to_owned()));
            let observations = found.observations(live.counter.plan(), &keys).ok_or_else(misfit)?;
            for observation in observations {
                live.counter.take_observation(observation);
            }
            Ok(())
        })
    }

    /// Hands over the step that was counted.
    #[pyo3(signature = (step, time_micros, epoch, loss, learning_rate, loss_scale, overflow, scalars))]
    #[expect(clippy::too_many_arguments, reason = "the columns of the table `steps`")]
    fn end_step(
        &mut self,
        py: Python<'_>,
        step: i64,
        time_micros: i64,
        epoch: Option<i32>,
        loss: Option<f64>,
        learning_rate: Option<f64>,
        loss_scale: Option<f64>,
        overflow: bool,
        scalars: Vec<(String, f64)>,
    ) -> PyResult<()> {
        let scalars_of_step = StepScalars { epoch, time_micros, loss, learning_rate, loss_scale, overflow };
        self.count(py, |live| {
            let observations = live.counter.collect();
            let record = StepRecord { step, scalars: scalars_of_step, user_scalars: scalars, observations };
            live.writer.send(record);
            Ok(())
        })
    }

    /// Forgets what was counted since the last step ended, counts that step as dropped and says why.
    fn drop_step(&mut self, fault: String) -> PyResult<()> {
        let live = self.live_mut()?;
        drop(live.counter.collect());
        live.shared.note(Fault::Count(TrainingFault(fault.clone())));
        live.writer.drop_step(fault);
        Ok(())
    }

    /// Numbers of a step that came before.
    fn scalars(&mut self, step: i64, scalars: Vec<(String, f64)>) -> PyResult<()> {
        self.live_mut()?.writer.send_scalars(step, scalars);
        Ok(())
    }

    /// The moments kept here, tensor by tensor, optimizer by optimizer.
    fn moments<'py>(&self, py: Python<'py>) -> PyResult<Vec<Vec<KeptMoments<'py>>>> {
        let array = |values: &[f32]| PyBytes::new(py, &bytes(values, f32::to_ne_bytes));
        let of = |moments: &Moments| {
            (moments.steps(), array(moments.first()), array(moments.second()), array(moments.max()))
        };
        Ok(self.live()?.counter.moments().iter().map(|moments| moments.iter().map(of).collect()).collect())
    }

    /// Waits until everything so far is on disk.
    fn flush(&mut self, py: Python<'_>) -> PyResult<()> {
        let live = self.live_mut()?;
        py.detach(|| live.writer.flush());
        Ok(())
    }

    /// Writes what is left and marks the run finished; the losses as JSON.
    fn finish(&mut self, py: Python<'_>) -> PyResult<String> {
        self.live()?;
        let Some(Live { mut writer, shared, .. }) = self.live.take() else { return Err(ended()) };
        let losses = py.detach(|| {
            let losses = writer.finish()?;
            drop(writer);
            let fault = || Arc::into_inner(shared).and_then(|shared| shared.fault.into_inner());
            losses.ok_or_else(|| fault().unwrap_or(Fault::Ended))
        });
        serde_json::to_string(&losses.map_err(exception)?).map_err(|fault| PyRuntimeError::new_err(fault.to_string()))
    }

    /// Writes what is left and leaves the run marked as running, so that it can be taken up again.
    fn interrupt(&mut self, py: Python<'_>) {
        if self.is_own() {
            let live = self.live.take();
            py.detach(|| drop(live));
        }
    }

    /// Steps dropped, whether recording has stopped, and the first fault.
    fn health(&self) -> PyResult<(u64, bool, Option<String>)> {
        let shared = &self.live()?.shared;
        let dropped = shared.dropped_steps.load(Ordering::Relaxed);
        Ok((dropped, shared.has_stopped.load(Ordering::Relaxed), shared.fault.get().map(ToString::to_string)))
    }
}

impl Recording {
    fn is_own(&self) -> bool {
        self.process == std::process::id()
    }

    fn live(&self) -> PyResult<&Live> {
        self.live.as_ref().filter(|_| self.is_own()).ok_or_else(ended)
    }

    fn live_mut(&mut self) -> PyResult<&mut Live> {
        let is_own = self.is_own();
        self.live.as_mut().filter(|_| is_own).ok_or_else(ended)
    }

    /// Lets other threads of Python run meanwhile, and keeps panics from the training loop.
    fn count(&mut self, py: Python<'_>, take: impl FnOnce(&mut Live) -> Result<(), Fault> + Send) -> PyResult<()> {
        let live = self.live_mut()?;
        let shared = Arc::clone(&live.shared);
        if shared.has_stopped.load(Ordering::Relaxed) {
            return Err(exception(Fault::Ended));
        }
        let outcome = py.detach(|| shared.contain_panic(|| take(live)));
        outcome.map_err(exception)
    }
}

impl Live {
    fn check(&self, tensor: usize, found: usize) -> Result<(), Fault> {
        let Some(Planned { name, numel, .. }) = self.tensors.get(tensor) else {
            return Err(Fault::Count(TrainingFault(format!("no tensor {tensor}"))));
        };
        if found == *numel {
            return Ok(());
        }
        Err(Fault::Resized { tensor: name.clone(), found, expected: *numel })
    }

    fn lent<'a>(
        &self,
        &(tensor, optimizer, steps, beta2, _): &GivenLent,
        moments: [&'a [f32]; 3],
    ) -> Result<Lent<'a>, Fault> {
        self.check(tensor, moments[1].len())?;
        let decay = Decay { beta2, ..self.description.decay() };
        let moments = LentMoments::new(self.optimizer(optimizer)?, decay, steps.max(1), moments);
        let moments = moments.map_err(|fault| Fault::Count(TrainingFault(fault.to_string())))?;
        Ok(Lent { tensor, optimizer, moments })
    }

    fn optimizer(&self, index: usize) -> Result<Optimizer, Fault> {
        let unknown = || Fault::Count(TrainingFault(format!("no optimizer {index}")));
        self.description.optimizers.get(index).copied().ok_or_else(unknown)
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if !self.is_own() {
            // The writer's thread did not come along, and the lock is the other process's.
            std::mem::forget(self.live.take());
        }
    }
}

fn ended() -> PyErr {
    RecordingError::new_err("the recording has ended, or is another process's")
}

/// First, second and greatest second moments; of those that the optimizer has not, no elements.
fn moments_of<'a>(views: [Option<View>; 3]) -> PyResult<[&'a [f32]; 3]> {
    let mut slices: [&[f32]; 3] = [&[]; 3];
    for (slice, view) in slices.iter_mut().zip(views) {
        *slice = view.map_or(Ok(&[][..]), numbers)?;
    }
    Ok(slices)
}

/// Moments as they begin or as they are given, of the tensors whose moments are kept here.
fn kept_moments(
    description: &Description,
    plan: &Plan,
    request: &Request,
    given: &Given,
) -> PyResult<Vec<Vec<Moments>>> {
    let of_tensor = |(tensor, counted): (&Planned, &TensorPlan)| {
        if !request.keeps_moments(&tensor.name) {
            return Ok(Vec::new());
        }
        let given = given.get(&tensor.name);
        let of_optimizer = |&optimizer: &Optimizer| match given.and_then(|given| given.get(optimizer.name())) {
            Some(given) => restored(description, optimizer, given),
            None => Ok(Moments::new(optimizer, description.decay(), counted.numel)),
        };
        description.optimizers.iter().map(of_optimizer).collect()
    };
    plan.tensors.iter().zip(&plan.engine.tensors).map(of_tensor).collect()
}

fn restored(
    description: &Description,
    optimizer: Optimizer,
    &(steps, first, second, max): &GivenMoments,
) -> PyResult<Moments> {
    let [first, second, max] = [numbers(first)?.to_vec(), numbers(second)?.to_vec(), numbers(max)?.to_vec()];
    let moments = Moments::restore(optimizer, description.decay(), steps, State { first, second, max });
    moments.map_err(|fault| PyValueError::new_err(fault.to_string()))
}
