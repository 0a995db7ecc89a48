//! `estimate-cost`: what recording costs a training loop, against the same loop without.
//!
//! Every contender trains for the same time in turn, round by round in one process, so that a busy machine disturbs all
//! alike; a ratio is the median of the rounds' ratios of time per step. The recorder's own thread works beside the steps, as it
//! does in any training; what it still has to write at the end of a turn is waited for, so that it disturbs nobody else.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use epsiloscope_format::Cadence;
use epsiloscope_recorder::{Optimizer, Recorder, StepInfo};
use serde::Serialize;
use tch::{Kind, Tensor};

use crate::args::{EstimateCostArgs, Format, Recording};
use crate::recording;
use crate::training::Setting;

/// Steps before anything is measured.
const WARM_UP_STEPS: usize = 3;

/// What watches the training.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Watching {
    Nothing,
    /// What was asked for, without critical ε.
    Gradients,
    /// The same, and exact critical ε of Adam for every element at every step.
    WithAdam,
    /// What experiment trackers do: 64 linear bins per tensor, copied to the host.
    Histc,
    /// A logarithm of every magnitude, and 640 bins of it.
    LogHistc,
}

impl Watching {
    const ALL: [Self; 5] = [Self::Nothing, Self::Gradients, Self::WithAdam, Self::Histc, Self::LogHistc];

    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Gradients => "epsiloscope",
            Self::WithAdam => "epsiloscope, with critical epsilon",
            Self::Histc => "histc(g), 64 bins",
            Self::LogHistc => "histc(log10(abs(g))), 640 bins",
        }
    }
}

/// What is printed of a contender.
#[derive(Serialize)]
struct Cost {
    watching: &'static str,
    ms_per_step: f64,
    /// To nothing watching.
    ratio: f64,
}

pub(crate) fn run(args: &EstimateCostArgs) -> anyhow::Result<ExitCode> {
    let contenders: anyhow::Result<Vec<Contender<'_>>> =
        Watching::ALL.into_iter().map(|watching| Contender::new(&args.recording, watching)).collect();
    let costs = compete(contenders?, Duration::try_from_secs_f64(args.secs)?, args.rounds)?;
    let text = match args.format {
        Format::Table => table(&costs),
        Format::Json => serde_json::to_string_pretty(&costs)? + "\n",
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn compete(mut contenders: Vec<Contender<'_>>, turn: Duration, n_rounds: u32) -> anyhow::Result<Vec<Cost>> {
    let n_contenders = contenders.len();
    for contender in &mut contenders {
        (0..WARM_UP_STEPS).try_for_each(|_| contender.step())?;
    }
    for round in 0..n_rounds {
        // Nobody always follows the same neighbour.
        for index in 0..n_contenders {
            contenders[(round as usize + index) % n_contenders].train(turn)?;
        }
    }
    let base = contenders[0].secs_per_step.clone();
    Ok(contenders.iter().map(|contender| contender.cost(&base)).collect())
}

/// A network in training, and what watches it.
struct Contender<'a> {
    watching: Watching,
    setting: Setting<'a>,
    recorder: Option<Recorder>,
    _dir: tempfile::TempDir,
    /// One per round.
    secs_per_step: Vec<f64>,
}

impl<'a> Contender<'a> {
    fn new(recording: &'a Recording, watching: Watching) -> anyhow::Result<Self> {
        let setting = Setting::new(recording)?;
        let dir = tempfile::tempdir().context("cannot make a temporary directory")?;
        let optimizers: Option<&[Optimizer]> = match watching {
            Watching::Gradients => Some(&[]),
            Watching::WithAdam => Some(&[Optimizer::Adam]),
            Watching::Nothing | Watching::Histc | Watching::LogHistc => None,
        };
        let start = |optimizers: &[Optimizer]| {
            recording::builder(recording, &setting.var_store, &*setting.workload, &Cadence::default())
                .critical_epsilon(optimizers)
                .critical_epsilon_every_step(!optimizers.is_empty())
                .start(&dir.path().join("run"))
        };
        let recorder = optimizers.map(start).transpose()?;
        Ok(Self { watching, setting, recorder, _dir: dir, secs_per_step: Vec::new() })
    }

    /// Trains for some time, and leaves nothing to be written.
    fn train(&mut self, turn: Duration) -> anyhow::Result<()> {
        let (start, mut n_steps) = (Instant::now(), 0);
        while n_steps == 0 || start.elapsed() < turn {
            self.step()?;
            n_steps += 1;
        }
        self.secs_per_step.push(start.elapsed().as_secs_f64() / f64::from(n_steps));
        if let Some(recorder) = &mut self.recorder {
            recorder.flush();
        }
        Ok(())
    }

    fn step(&mut self) -> anyhow::Result<()> {
        let Setting { recording, workload, optimizer, var_store, .. } = &mut self.setting;
        let batch_size = recording.options().training.batch_size;
        let examples = Tensor::randint(workload.n_examples(), [batch_size], (Kind::Int64, tch::Device::Cpu));
        optimizer.zero_grad();
        let loss = workload.loss(&examples);
        loss.backward();
        let loss = Some(loss.double_value(&[]));
        let gradients = || var_store.trainable_variables().into_iter().map(|parameter| parameter.grad());
        match (self.watching, &mut self.recorder) {
            (_, Some(recorder)) => recorder.step(&StepInfo { loss, ..StepInfo::default() }),
            (Watching::Histc, None) => gradients().try_for_each(|gradient| to_host(&gradient.histc(64)))?,
            (Watching::LogHistc, None) => gradients().try_for_each(|gradient| {
                to_host(&gradient.abs().clamp_min(f64::from(f32::MIN_POSITIVE)).log10().histc(640))
            })?,
            (_, None) => {}
        }
        Ok(optimizer.step()?)
    }

    fn cost(&self, base: &[f64]) -> Cost {
        let ratios = self.secs_per_step.iter().zip(base).map(|(own, base)| own / base).collect();
        let ms_per_step = 1e3 * median(self.secs_per_step.clone());
        Cost { watching: self.watching.name(), ms_per_step, ratio: median(ratios) }
    }
}

fn to_host(counts: &Tensor) -> anyhow::Result<()> {
    let counts: Vec<f32> = counts.try_into()?;
    std::hint::black_box(counts);
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn table(costs: &[Cost]) -> String {
    let head = format!("{:<36}{:>10}{:>8}\n", "watching", "ms/step", "ratio");
    let line =
        |Cost { watching, ms_per_step, ratio }: &Cost| format!("{watching:<36}{ms_per_step:>10.2}{ratio:>8.3}\n");
    head + &costs.iter().map(line).collect::<String>()
}
