//! What stands above panels.

use epsiloscope_figure::{Heading, Text, grouped};
use epsiloscope_format::{MagnitudePolicy, Run};

/// The run's name, and what of it is shown.
pub(super) fn of(run: &Run, part: Option<&str>, details: &[Text]) -> Heading {
    let title = Text::from(run.manifest().run.as_str());
    let title = match part {
        Some(part) => title.and(": ").and(part),
        None => title,
    };
    Heading { title, subtitle: separated(details) }
}

pub(super) fn of_runs(n_runs: usize) -> Heading {
    Heading {
        title: Text::from("Search spaces of ").italic("ε"),
        subtitle: Text::from(format!("{n_runs} runs").as_str()),
    }
}

fn separated(details: &[Text]) -> Text {
    details.iter().fold(Text::default(), |all, detail| {
        if all.is_empty() { detail.clone() } else { all.and("; ").join(detail.clone()) }
    })
}

/// `steps 1 to 94`
pub(super) fn steps((first, last): (i64, i64)) -> String {
    if first == last {
        format!("step {}", grouped(first))
    } else {
        format!("steps {} to {}", grouped(first), grouped(last))
    }
}

/// `94 windows`
pub(super) fn counted(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(n as i64), if n == 1 { "" } else { "s" })
}

/// What the magnitudes are of, if those are not all.
pub(super) fn sample(run: &Run) -> Option<Text> {
    let manifest = run.manifest();
    let is_sample = !manifest.histograms && manifest.magnitudes != MagnitudePolicy::All;
    is_sample.then(|| Text::from("of a sample of the elements"))
}

/// Of what is still going on.
pub(super) fn unfinished(run: &Run) -> Option<Text> {
    (!run.is_finished()).then(|| Text::from("not finished"))
}
