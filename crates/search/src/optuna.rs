//! The same search by Optuna: a Python program that runs the same command.

use std::fmt::Write as _;
use std::path::Path;

use crate::engine::Settings;
use crate::parameter::{Axis, Domain, Parameter};
use crate::template::Template;

/// What does not depend on the search.
const PROGRAM: &str = include_str!("optuna.py");
/// Where the settings go.
const PLACE: &str = "# settings\n";

/// A Python program that needs nothing but Optuna: its sampler of tree-structured Parzen estimators in place of a strategy,
/// everything else as in the search; the study and the trials' output are kept in `out`.
pub fn optuna_script(settings: &Settings, out: &Path) -> String {
    let mut text = String::new();
    let mut set = |name: &str, value: String| {
        let _ = writeln!(text, "{name} = {value}");
    };
    set("PARAMETERS", parameters(&settings.parameters));
    set("TEMPLATE", template(&settings.template));
    set("METRIC", literal(settings.metric.regex()));
    set("NOT_FINITE", settings.metric.not_finite_regex().map_or("None".to_owned(), literal));
    set("DIRECTION", literal(settings.metric.goal().name()));
    set("SEED", settings.seed.to_string());
    set("SEEDS", settings.n_seeds.to_string());
    set("TRIALS", settings.strategy.max_points().to_string());
    set("TIMEOUT", settings.timeout.map_or("None".to_owned(), |of| of.as_secs_f64().to_string()));
    set("OUT", format!("Path({})", literal(&out.to_string_lossy())));
    PROGRAM.replacen(PLACE, &text, 1)
}

fn parameters(of: &[Parameter]) -> String {
    let mut text = "{".to_owned();
    for parameter in of {
        let kind = match parameter.domain() {
            Domain::Range { low, high, axis } => {
                let log = if *axis == Axis::Log { "True" } else { "False" };
                format!("optuna.distributions.FloatDistribution({low:e}, {high:e}, log={log})")
            }
            Domain::Choices(choices) => {
                let choices: Vec<String> = choices.iter().map(|choice| literal(choice)).collect();
                format!("optuna.distributions.CategoricalDistribution([{}])", choices.join(", "))
            }
        };
        let _ = write!(text, "\n    {}: {kind},", literal(parameter.name()));
    }
    text + "\n}"
}

/// Python's own templates have the same braces.
fn template(of: &Template) -> String {
    literal(of.text())
}

/// A string that Python reads as the same text: JSON's escapes are Python's, as long as nothing but control characters,
/// quotes and backslashes are escaped.
fn literal(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
