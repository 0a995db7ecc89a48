//! Which tensors are recorded, by patterns over their names.

use glob::Pattern;

use crate::error::{FrameworkError, RecordingError};

/// Which tensors are recorded: those whose name matches a pattern of the included ones, if there are any, and none of the
/// excluded ones.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    include: Vec<String>,
    exclude: Vec<String>,
}

/// The same, ready to match.
pub(crate) struct CompiledSelection {
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
}

impl Selection {
    /// Records tensors whose name matches this pattern only; called again, also those.
    pub fn include(&mut self, pattern: &str) {
        self.include.push(pattern.to_owned());
    }

    /// Leaves out tensors whose name matches this pattern, even if included.
    pub fn exclude(&mut self, pattern: &str) {
        self.exclude.push(pattern.to_owned());
    }

    pub(crate) fn is_everything(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }

    pub(crate) fn compiled<F: FrameworkError>(&self) -> Result<CompiledSelection, RecordingError<F>> {
        let compiled = |patterns: &[String]| -> Result<Vec<Pattern>, RecordingError<F>> {
            patterns.iter().map(|pattern| compile(pattern)).collect()
        };
        Ok(CompiledSelection { include: compiled(&self.include)?, exclude: compiled(&self.exclude)? })
    }
}

impl CompiledSelection {
    pub(crate) fn admits(&self, name: &str) -> bool {
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(name));
        (self.include.is_empty() || any(&self.include)) && !any(&self.exclude)
    }
}

fn compile<F: FrameworkError>(pattern: &str) -> Result<Pattern, RecordingError<F>> {
    Pattern::new(pattern)
        .map_err(|fault| RecordingError::Pattern { pattern: pattern.to_owned(), reason: fault.msg.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn exclusion_wins_over_inclusion_and_nothing_included_is_everything() {
        let selection = |include: &[&str], exclude: &[&str]| {
            let owned = |patterns: &[&str]| patterns.iter().map(|&pattern| pattern.to_owned()).collect();
            Selection { include: owned(include), exclude: owned(exclude) }.compiled::<Infallible>().unwrap()
        };
        assert!(selection(&[], &[]).admits("conv1.weight"));
        assert!(!selection(&[], &["*.bias"]).admits("conv1.bias"));
        assert!(selection(&["conv?.*", "fc*"], &["*.bias"]).admits("conv1.weight"));
        assert!(!selection(&["conv?.*", "fc*"], &["*.bias"]).admits("conv1.bias"));
        assert!(!selection(&["conv?.*", "fc*"], &[]).admits("norm.weight"));
    }

    #[test]
    fn a_bad_pattern_is_told() {
        let mut selection = Selection::default();
        selection.include("conv[");
        let fault = selection.compiled::<Infallible>().map(drop).unwrap_err();
        assert!(fault.to_string().starts_with("pattern \"conv[\": "), "{fault}");
    }
}
