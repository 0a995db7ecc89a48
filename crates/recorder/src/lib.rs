//! Records gradient magnitudes of a training run that uses libtorch through tch.
//!
//! One [`Recorder`] sits in the training loop between `backward` and the optimizer's step and writes a run directory
//! (crate `epsiloscope_format`) from which ε's search space is read off afterwards:
//!
//! ```no_run
//! use epsiloscope_recorder::{OptimizerSettings, Recorder, StepInfo};
//! use tch::nn::{self, Module, OptimizerConfig};
//! use tch::{Device, Kind, Tensor};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let var_store = nn::VarStore::new(Device::Cpu);
//! let model = nn::linear(var_store.root() / "layer", 784, 10, nn::LinearConfig::default());
//! let mut optimizer = nn::Adam::default().build(&var_store, 1e-3)?;
//!
//! let settings = OptimizerSettings {
//!     name: "adam".to_owned(),
//!     learning_rate: Some(1e-3),
//!     epsilon: Some(1e-8),
//!     beta1: Some(0.9),
//!     beta2: Some(0.999),
//!     weight_decay: 0.0,
//! };
//! let mut recorder = Recorder::builder(&var_store, settings).label("model", "linear").start("runs/linear".as_ref())?;
//!
//! for batch in 1..=100 {
//!     let images = Tensor::rand([64, 784], (Kind::Float, Device::Cpu));
//!     let labels = Tensor::randint(10, [64], (Kind::Int64, Device::Cpu));
//!     let loss = model.forward(&images).cross_entropy_for_logits(&labels);
//!     optimizer.zero_grad();
//!     loss.backward();
//!     recorder.step(&StepInfo {
//!         epoch: Some(1),
//!         loss: Some(loss.double_value(&[])),
//!         snapshot: batch == 100,
//!         ..StepInfo::default()
//!     });
//!     optimizer.step();
//! }
//! let losses = recorder.finish()?;
//! assert_eq!(losses.dropped_steps, 0);
//! # Ok(())
//! # }
//! ```
//!
//! # Where to call it
//!
//! Once per optimizer step, after everything that changes a gradient (all backward passes that accumulate into it, all-reduce,
//! unscaling, clipping) and before the optimizer's step: ε competes with what enters the optimizer's moments, so that is what the
//! recorder has to see. [`accumulated_batches`](RecorderBuilder::accumulated_batches), [`unscaled`](RecorderBuilder::unscaled) and
//! [`clipped`](RecorderBuilder::clipped) say which of these were done; they change the manifest alone. Weight decay that the
//! optimizer itself adds to the gradient (Adam, RMSprop; not AdamW) happens later: name it in
//! [`coupled_weight_decay`](RecorderBuilder::coupled_weight_decay), and the recorder adds it to what it records.
//!
//! # What is recorded, and what it costs
//!
//! | table | a row for every | bytes on disk | unless said |
//! |---|---|---|---|
//! | `magnitudes` | recorded element and step | 4 to 6 | the same 4096 elements of each tensor ([`magnitudes`](RecorderBuilder::magnitudes)) |
//! | | element at a snapshot and optimizer | 5 | in a calibration ([`snapshot_elements`](RecorderBuilder::snapshot_elements)) |
//! | `histograms` | bin that is not empty, tensor and step | 1.2 to 1.4 | on ([`histograms`](RecorderBuilder::histograms)) |
//! | | the same of critical ε | 1.2 to 1.4 | at snapshots ([`critical_epsilon_every_step`](RecorderBuilder::critical_epsilon_every_step)) |
//! | `tensors` | tensor, quantity and step | 20 to 30 | always |
//! | `steps`, `scalars` | step | 30 to 60 | always |
//!
//! (Sizes of the runs in `data/runs`.) [`every`](RecorderBuilder::every), [`steps`](RecorderBuilder::steps),
//! [`include`](RecorderBuilder::include) and [`exclude`](RecorderBuilder::exclude) thin a recording out; a
//! [snapshot](StepInfo::snapshot) is recorded in any case. Moments take every step whatever is recorded, so that the critical ε of
//! a snapshot is never that of some of the steps. Only with every step on disk can moments of other optimizers and decay rates be
//! replayed afterwards.
//!
//! Moments cost memory where they are kept, in bytes per element: 4 for `adam`, `radam`, `rmsprop`, `adagrad`, `eadam` and `yogi`, 8 for
//! `amsgrad`, `rmsprop-centered`, `adabelief` and `adamomentum`; so 24 for [`Optimizer::DEFAULT`], none for
//! [`critical_epsilon`](RecorderBuilder::critical_epsilon)`(&[])`. Steps that wait for the disk cost 4 bytes per recorded
//! element each, and 8 per bin between a histogram's first and last.
//!
//! Gradients on the CPU are counted tensor by tensor while the training waits, on as many threads as libtorch computes on,
//! sixteen at most, where they are worth waking; encoding and writing have a thread of their own behind a queue of [`QUEUE_STEPS`] steps.
//!
//! # Calibration
//!
//! The method's histogram is that of one epoch with the weights frozen at their initial values. In a loop of your own, leave
//! `optimizer.step()` out and say [`Mode::Calibration`]. In a loop that cannot be changed, [`FrozenWeights`] puts the weights back after
//! every step:
//!
//! ```no_run
//! # use epsiloscope_recorder::{FrozenWeights, Mode, OptimizerSettings, Recorder, RecorderError, StepInfo};
//! # use tch::{Tensor, nn};
//! # fn calibrate(
//! #     var_store: &nn::VarStore, settings: OptimizerSettings, optimizer: &mut nn::Optimizer, batches: &[Tensor],
//! #     loss_of: impl Fn(&Tensor) -> Tensor,
//! # ) -> Result<(), RecorderError> {
//! let builder = Recorder::builder(var_store, settings).mode(Mode::Calibration);
//! let mut recorder = builder.start("runs/calibration".as_ref())?;
//! let frozen = FrozenWeights::of(var_store);
//! for (index, batch) in batches.iter().enumerate() {
//!     frozen.hold(|| {
//!         optimizer.zero_grad();
//!         loss_of(batch).backward();
//!         recorder.step(&StepInfo { snapshot: index + 1 == batches.len(), ..StepInfo::default() });
//!         optimizer.step();
//!     });
//! }
//! drop(frozen); // Running statistics of batch normalisation are what they were, too.
//! recorder.finish()?;
//! # Ok(())
//! # }
//! ```
//!
//! # Mixed precision
//!
//! Gradients of any type of float are recorded as the `f32` next to them. Where gradients still carry a loss scale when the
//! recorder is called, say so and name the scale at every step; it is divided out in `f32` (in `f64` for gradients of that
//! type), so that what was too small for 16 bits is recorded as it is. A step whose gradients are not all finite is recorded, marked
//! `overflow` in `steps`, and moves no moment, because the optimizer skips it:
//!
//! ```no_run
//! # use epsiloscope_recorder::{OptimizerSettings, Recorder, RecorderError, StepInfo};
//! # use tch::{Tensor, nn};
//! # fn train(
//! #     var_store: &nn::VarStore, settings: OptimizerSettings, optimizer: &mut nn::Optimizer, batches: &[Tensor],
//! #     loss_of: impl Fn(&Tensor) -> Tensor, divide_gradients_by: impl Fn(f64) -> bool,
//! # ) -> Result<(), RecorderError> {
//! let mut recorder = Recorder::builder(var_store, settings).scaled_gradients(true).start("runs/mixed".as_ref())?;
//! let mut scale = 65536.0;
//! for batch in batches {
//!     optimizer.zero_grad();
//!     let loss = tch::autocast(true, || loss_of(batch));
//!     (loss * scale).backward();
//!     recorder.step(&StepInfo { loss_scale: Some(scale), ..StepInfo::default() });
//!     if divide_gradients_by(scale) {
//!         optimizer.step();
//!     } else {
//!         scale /= 2.0;
//!     }
//! }
//! # recorder.finish()?;
//! # Ok(())
//! # }
//! ```
//!
//! Where the loop clips gradients, it unscales them first: then call the recorder after both, with
//! [`unscaled`](RecorderBuilder::unscaled) in place of [`scaled_gradients`](RecorderBuilder::scaled_gradients). A loop that knows whether gradients
//! overflowed says it in [`StepInfo::overflow`] and spares the recorder the search.
//!
//! # Several processes
//!
//! Where every process has the same gradients (data parallel, after the all-reduce), all of them call the recorder and rank 0
//! records; the others' calls return at once:
//!
//! ```no_run
//! # use epsiloscope_recorder::{OptimizerSettings, Recorder, RecorderError};
//! # fn start(var_store: &tch::nn::VarStore, settings: OptimizerSettings, rank: u32, world_size: u32) -> Result<Recorder, RecorderError> {
//! Recorder::builder(var_store, settings).replicated(rank, world_size).start("runs/parallel".as_ref())
//! # }
//! ```
//!
//! Where each process has some elements of every gradient (sharded data parallel, tensor parallel), each records its own into
//! the same directory, which all of them see, in any order of starting. Histograms add up, elements are those of the whole
//! tensor, and a sample is the one that a single process would have drawn:
//!
//! ```no_run
//! # use epsiloscope_recorder::{OptimizerSettings, Recorder, RecorderError, Shard};
//! # fn start(var_store: &tch::nn::VarStore, settings: OptimizerSettings, rank: u32, world_size: u32) -> Result<Recorder, RecorderError> {
//! // Of a weight of 1024 by 512 this rank has as many rows as every other.
//! let n_elements = 1024 * 512 / i64::from(world_size);
//! let shard = Shard { offset: i64::from(rank) * n_elements, shape: vec![1024, 512] };
//! let shards = [("layer.weight".to_owned(), shard)].into();
//! Recorder::builder(var_store, settings).sharded(rank, world_size, shards).start("runs/sharded".as_ref())
//! # }
//! ```
//!
//! A tensor that is not named there is the same on every rank; rank 0 records it. With shards and a loss scale say
//! [`StepInfo::overflow`]: an infinity on one rank makes all of them skip the step.
//!
//! # Tied, frozen and sparse tensors
//!
//! - A tensor under several names is recorded once, under the first of them in alphabetical order.
//! - A tensor that requires no gradient, or has none yet, has no row at that step. Its moments stay what they are, as
//!   those of an optimizer that passes it over; when it thaws it is recorded again. The manifest names every tensor that was
//!   registered as trainable; build the model before the recorder.
//! - A sparse gradient counts as the dense one that it stands for: entries of the same element add up, and elements
//!   without entry are zeros. It needs the memory of the dense one while it is counted.
//!
//! # When the disk fails
//!
//! Training goes on, to the last bit as it would without recorder. What could not be written is kept and written anew every five seconds; when
//! 500,000 rows of a table wait ([`WriterOptions`]), further steps are dropped and counted. While the queue is full training
//! waits, or drops the step and counts it, as [`WhenFull`] says. [`Recorder::health`] tells while training, [`Recorder::finish`] and
//! `losses` in `run.json` afterwards: dropped and recorded steps add up. [`Recorder::flush`] and [`Recorder::finish`] give up on a disk
//! that takes nothing after [`patience`](RecorderBuilder::patience). With [`WhenFull::Wait`] a disk that hangs for ever stops the training: choose
//! [`WhenFull::Drop`] on network file systems.
//!
//! A bug in the recorder, or an error of libtorch's, ends the recording and marks the run failed, and goes no further.
//!
//! # What a crash loses
//!
//! The steps of the last five seconds and those in the queue, at most [`QUEUE_STEPS`]. Everything before is whole: a run is read up to
//! the last step of which every table is on disk. [`Recorder::flush`] where the training saves its checkpoint makes sure that
//! no step before it can be lost.
//!
//! # Resuming
//!
//! Save the moments with the checkpoint, and take up the run at the checkpoint's step; what was recorded of later steps is set
//! aside, and the run becomes that of a training which was never interrupted:
//!
//! ```no_run
//! # use epsiloscope_recorder::{OptimizerSettings, Recorder, RecorderError, StepInfo};
//! # fn save(recorder: &mut Recorder) -> Result<(), RecorderError> {
//! // After step 1000, beside the weights:
//! recorder.save_moments("checkpoint/moments.safetensors".as_ref())?;
//! recorder.flush();
//! # Ok(())
//! # }
//! # fn load(var_store: &tch::nn::VarStore, settings: OptimizerSettings) -> Result<Recorder, RecorderError> {
//! // In the next process, with the weights of that checkpoint:
//! let builder = Recorder::builder(var_store, settings).moments_from("checkpoint/moments.safetensors");
//! let recorder = builder.resume("runs/mine".as_ref(), 1000)?;
//! # Ok(recorder)
//! # }
//! ```
//!
//! Without [`moments_from`](RecorderBuilder::moments_from) the moments begin again from zero, and the manifest says so. Another
//! model or policy, moments of another step, and a run that is still being recorded are refused.
//!
//! # GPUs
//!
//! Gradients on a GPU are counted there by libtorch operations; counts and recorded elements come back once per recorded step, and
//! nothing waits for the GPU before that (but for the search for overflows at steps with a loss scale). Moments are then on the GPU,
//! too; counting takes up to 40 bytes an element on top, of 16 million elements at a time. [`CountOn::Host`] copies gradients to
//! the CPU instead.
//!
//! Counts are the CPU kernel's bit for bit: a test compares them on the CPU, and on a GPU where there is one (it has passed on
//! an H200 with libtorch 2.11). Tensors are counted together, since launching an operation costs microseconds however few
//! elements it is for.
//!
//! # What it does not do
//!
//! - It changes no parameter, no gradient and no random state, and it brings no training down.
//! - It neither unscales nor clips the training's gradients.
//! - It computes no bounds on ε; that needs no libtorch and is done on the run directory.

mod builder;
mod device;
mod device_counter;
mod device_moments;
mod engine;
mod error;
mod frozen;
mod host;
mod moments_file;
mod plan;
mod recorder;
mod watched;

pub use builder::{CountOn, RecorderBuilder};
pub use epsiloscope_format::{Losses, MagnitudePolicy, Mode, OptimizerSettings, WriterOptions};
pub use epsiloscope_moments::Optimizer;
pub use epsiloscope_recording::{
    DEFAULT_MAGNITUDES, DROP_PATIENCE, FINISH_PATIENCE, QUEUE_STEPS, RecordingError, Shard, WhenFull,
};
pub use error::RecorderError;
pub use frozen::FrozenWeights;
pub use recorder::{Health, Recorder, StepInfo};
