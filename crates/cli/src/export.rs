//! `epsiloscope export`

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::ValueEnum;
use epsiloscope_analysis::{At, Estimate, EstimateOptions, estimate};
use epsiloscope_export::{SearchSpace, Tool, write};
use epsiloscope_format::{Run, escaped};
use epsiloscope_moments::{Convention, Optimizer};

use crate::args::{CombinationArg, RunsArg, WhoseArgs};
use crate::output::OutFile;
use crate::runs::for_each;

#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  epsiloscope export runs/mine --to optuna > space.py       a module with SPACE and suggest(trial)
  epsiloscope export runs/mine --to wandb > sweep.yaml
  epsiloscope export runs/mine --to json --bounds exact     the bounds as they are, not as powers of ten
  epsiloscope export runs/seed-* --to ray                   what covers the search spaces of all these runs
  epsiloscope export runs/mine --to keras-tuner --optimizer keras-adam
  epsiloscope export runs/mine --to hydra --param optimizer.eps > conf/space/eps.yaml    for train.py -m +space=eps

The parameter is called as in the optimizer's own package: eps, epsilon in Keras, eps_root in Optax.
")]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    runs: RunsArg,
    /// Who is to search: optuna, optuna-json, ray, wandb, hydra, configspace, smac, ax, nevergrad, hyperopt, keras-tuner, nni,
    /// katib, json
    #[arg(long, value_name = "TOOL")]
    to: Tool,
    #[command(flatten)]
    whose: WhoseArgs,
    /// After which step the critical ε is taken: last, or a step
    #[arg(long, default_value_t = At::Last, value_name = "STEP")]
    at: At,
    #[command(flatten)]
    combination: CombinationArg,
    /// Where the search space ends
    #[arg(long, value_enum, default_value_t = Bounds::Powers)]
    bounds: Bounds,
    /// Name of the parameter [default: as the optimizer's package calls ε]
    #[arg(long, value_name = "NAME")]
    param: Option<String>,
    /// Write to this file, not to standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Bounds {
    /// At the powers of ten nearest to the bounds, as in the paper
    Powers,
    /// At the bounds themselves
    Exact,
}

pub(crate) fn run(args: &ExportArgs) -> anyhow::Result<ExitCode> {
    let asked = args.whose.asked();
    if asked.len() > 1 {
        bail!("--optimizer names {}: expected one, whose ε is to be searched", asked.len());
    }
    let file = args.out.as_deref().map(OutFile::at).transpose()?;
    let outcome = for_each(&args.runs.runs, |run| one_estimate(args, run));
    if outcome.results.is_empty() {
        return Ok(outcome.status);
    }
    let text = write(&search_space(args, &outcome.results)?, args.to);
    match file {
        Some(file) => file.publish(text.as_bytes())?,
        None => std::io::stdout().lock().write_all(text.as_bytes())?,
    }
    Ok(outcome.status)
}

/// The estimate for the optimizer asked for, or else the run's own, after one step.
fn one_estimate(args: &ExportArgs, run: &Run) -> anyhow::Result<Estimate> {
    let own = || run.manifest().optimizer.name.parse().unwrap_or_else(|_unknown| Optimizer::Adam.into());
    let optimizer: Convention = args.whose.asked().first().copied().unwrap_or_else(own);
    let options = EstimateOptions {
        optimizers: vec![optimizer],
        combinations: vec![args.combination.combination],
        bootstrap: 0,
        ..args.whose.options(args.at)
    };
    let mut estimates = estimate(run, &options)?;
    match (estimates.pop(), estimates.len()) {
        (Some(only), 0) => Ok(only),
        (_, n) => {
            bail!("{}: critical ε after {} steps: expected one step, such as --at last", run.dir().display(), n + 1)
        }
    }
}

/// What covers the search spaces of all runs.
fn search_space(args: &ExportArgs, estimates: &[Estimate]) -> anyhow::Result<SearchSpace> {
    let first = estimates.first().context("no run was read")?;
    let optimizer = first.optimizer;
    if let Some(other) = estimates.iter().find(|other| !other.optimizer.has_denominator_of(optimizer)) {
        bail!(
            "{} was trained with {}, {} with {optimizer}: expected --optimizer, to say whose ε is to be searched",
            escaped(&other.run),
            other.optimizer,
            escaped(&first.run)
        );
    }
    let ends: Vec<(f64, f64)> = estimates.iter().map(|estimate| ends(args.bounds, estimate)).collect();
    let lower = ends.iter().map(|ends| ends.0).fold(f64::INFINITY, f64::min);
    let upper = ends.iter().map(|ends| ends.1).fold(0.0, f64::max);
    let parameter = args.param.as_deref().unwrap_or_else(|| optimizer.parameter());
    let space = SearchSpace::new(parameter, optimizer, (lower, upper));
    let hint = || match args.bounds {
        Bounds::Powers => format!("{}: try --bounds exact", escaped(&first.run)),
        Bounds::Exact => escaped(&first.run),
    };
    Ok(described(space.with_context(hint)?, args, estimates))
}

fn ends(bounds: Bounds, estimate: &Estimate) -> (f64, f64) {
    // One scope and one combination were asked for.
    let space = &estimate.spaces[0];
    match bounds {
        Bounds::Exact => (space.lower.bound.value, space.upper.bound.value),
        Bounds::Powers => space.ends(),
    }
}

fn described(space: SearchSpace, args: &ExportArgs, estimates: &[Estimate]) -> SearchSpace {
    let joined = |each: fn(&Estimate) -> String| {
        let mut all: Vec<String> = estimates.iter().map(each).collect();
        all.dedup();
        all.join(", ")
    };
    let Estimate { optimizer, percentile, .. } = &estimates[0];
    space
        .with_provenance("runs", joined(|estimate| escaped(&estimate.run)))
        .with_provenance("optimizer", optimizer.name())
        .with_provenance("critical ε after step", joined(|estimate| estimate.step.to_string()))
        .with_provenance("known by", joined(|estimate| estimate.spaces[0].method.name().to_owned()))
        .with_provenance("bounds", format!("{} of the tensors, percentile {percentile}", args.combination.combination))
        .with_provenance("by", concat!("epsiloscope ", env!("CARGO_PKG_VERSION"), ", the method of arXiv 2311.11532"))
}
