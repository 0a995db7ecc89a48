//! Which tags or arrays are imported, and what their tensors are called.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use epsiloscope_format::MAX_NAME_BYTES;
use glob::Pattern;

use crate::error::ImportError;
use crate::options::Options;

/// The names of tensors, each with the tag or array that it is made of, and how many were left out because others alone say
/// that they are gradients.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Names {
    /// Tag by tensor.
    pub(crate) tensors: BTreeMap<String, String>,
    pub(crate) n_no_gradients: usize,
}

/// Chooses among tags as the options say; unless they do, those whose names speak of gradients, if some do and some do not: people
/// write weights down beside them.
pub(crate) fn names(path: &Path, tags: &BTreeSet<&str>, options: &Options) -> Result<Names, ImportError> {
    let (include, exclude) = (compiled(&options.include)?, compiled(&options.exclude)?);
    let matches = |patterns: &[Pattern], tag: &str| patterns.iter().any(|pattern| pattern.matches(tag));
    let is_admitted = |tag: &&str| (include.is_empty() || matches(&include, tag)) && !matches(&exclude, tag);
    let admitted: Vec<&str> = tags.iter().copied().filter(is_admitted).collect();
    let says_so = |tag: &str| tag.to_ascii_lowercase().contains("grad");
    let chooses = include.is_empty() && admitted.iter().any(|tag| says_so(tag));
    let mut names = Names { tensors: BTreeMap::new(), n_no_gradients: 0 };
    for tag in admitted {
        if chooses && !says_so(tag) {
            names.n_no_gradients += 1;
            continue;
        }
        let name = name(tag, options);
        if name.is_empty() || MAX_NAME_BYTES < name.len() {
            let found = format!("a name of {} bytes", name.len());
            let expected = format!("names of 1 to {MAX_NAME_BYTES} bytes");
            return Err(ImportError::Nothing { path: path.to_owned(), found, expected });
        }
        if let Some(first) = names.tensors.insert(name.clone(), tag.to_owned()) {
            return Err(ImportError::SameName { path: path.to_owned(), first, second: tag.to_owned(), name });
        }
    }
    Ok(names)
}

fn name(tag: &str, options: &Options) -> String {
    let tag = tag.strip_prefix(options.strip_prefix.as_str()).unwrap_or(tag);
    let tag = tag.strip_suffix(options.strip_suffix.as_str()).unwrap_or(tag);
    if options.separator.is_empty() { tag.to_owned() } else { tag.replace(&options.separator, ".") }
}

fn compiled(patterns: &[String]) -> Result<Vec<Pattern>, ImportError> {
    let compile = |pattern: &String| {
        Pattern::new(pattern)
            .map_err(|fault| ImportError::Pattern { pattern: pattern.clone(), reason: fault.msg.to_owned() })
    };
    patterns.iter().map(compile).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(tags: &[&str], options: &Options) -> Vec<String> {
        let names = names(Path::new("logs"), &tags.iter().copied().collect(), options).unwrap();
        names.tensors.into_iter().map(|(name, tag)| format!("{name}={tag}")).collect()
    }

    #[test]
    fn weights_beside_gradients_are_left_out_unless_asked_for() {
        let tags = ["conv1/weight", "conv1/weight/grad"];
        assert_eq!(chosen(&tags, &Options::default()), ["conv1/weight/grad=conv1/weight/grad"]);
        assert_eq!(chosen(&tags[..1], &Options::default()).len(), 1);
        let include = Options { include: vec!["*".to_owned()], ..Options::default() };
        assert_eq!(chosen(&tags, &include).len(), 2);
        let exclude = Options { exclude: vec!["*/grad".to_owned()], ..Options::default() };
        assert_eq!(chosen(&tags, &exclude), ["conv1/weight=conv1/weight"]);
    }

    #[test]
    fn names_become_those_of_parameters() {
        let options = Options {
            strip_prefix: "gradients/".to_owned(),
            strip_suffix: "/grad".to_owned(),
            separator: "/".to_owned(),
            ..Options::default()
        };
        assert_eq!(chosen(&["gradients/fc/bias/grad"], &options), ["fc.bias=gradients/fc/bias/grad"]);
        let tags = ["gradients/a", "grad/a"];
        let both = Options { strip_prefix: "gradients/".to_owned(), ..Options::default() };
        assert_eq!(chosen(&tags, &both).len(), 2);
        let same = ["a.grad", "a"];
        let options = Options { strip_suffix: ".grad".to_owned(), include: vec!["*".to_owned()], ..Options::default() };
        let fault = names(Path::new("logs"), &same.into(), &options).unwrap_err().to_string();
        assert_eq!(fault, "logs: \"a\" and \"a.grad\" would both be the tensor \"a\"");
    }
}
