//! Commands with placeholders.

use std::path::Path;

use crate::error::SearchError;
use crate::parameter::{Parameter, is_plain};

/// Placeholders that are no parameter.
const OWN: [&str; 3] = ["seed", "trial", "dir"];

/// A command for `sh -c`, with placeholders: `{name}` of a parameter, `{seed}`, `{trial}` (the point's number) and `{dir}` (a
/// folder of the trial's own). `{{` and `}}` stand for braces.
///
/// # Examples
/// ```
/// use epsiloscope_search::{Parameter, Template};
///
/// let parameters: Vec<Parameter> = vec!["eps:1e-8..1e-1".parse()?];
/// assert!(Template::new("train --eps {eps} --seed {seed} | awk '{{print $1}}'", &parameters).is_ok());
/// assert!(Template::new("train --eps {epsilon}", &parameters).is_err());
/// # Ok::<(), epsiloscope_search::SearchError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Placeholder(String),
}

/// What placeholders stand for in one trial.
pub(crate) struct Filling<'a> {
    pub(crate) parameters: &'a [Parameter],
    pub(crate) values: &'a [String],
    pub(crate) seed: u64,
    pub(crate) point: usize,
    pub(crate) dir: &'a Path,
}

impl Template {
    /// # Errors
    /// [`SearchError::Template`] for a placeholder of no parameter, and for lone braces.
    pub fn new(text: &str, parameters: &[Parameter]) -> Result<Self, SearchError> {
        let pieces = pieces(text).map_err(SearchError::Template)?;
        let is_known = |name: &str| OWN.contains(&name) || parameters.iter().any(|parameter| parameter.name() == name);
        for piece in &pieces {
            if let Piece::Placeholder(name) = piece
                && !is_known(name)
            {
                let names: Vec<&str> = parameters.iter().map(Parameter::name).chain(OWN).collect();
                let reason =
                    format!("{{{name}}} is no parameter: expected one of {}, or {{{{ for a brace", names.join(", "));
                return Err(SearchError::Template(reason));
            }
        }
        if text.trim().is_empty() || text.contains('\0') {
            return Err(SearchError::Template("expected one to run".to_owned()));
        }
        Ok(Self { text: text.to_owned(), pieces })
    }

    /// As typed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a placeholder or a parameter's variable stands in it.
    pub fn mentions(&self, parameter: &Parameter) -> bool {
        let is_it = |piece: &Piece| matches!(piece, Piece::Placeholder(name) if name == parameter.name());
        self.pieces.iter().any(is_it) || self.text.contains(&parameter.variable())
    }

    pub(crate) fn filled(&self, with: &Filling<'_>) -> String {
        let of = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Placeholder(name) => with.value(name),
        };
        self.pieces.iter().map(of).collect()
    }
}

impl Filling<'_> {
    fn value(&self, name: &str) -> String {
        let place = self.parameters.iter().position(|parameter| parameter.name() == name);
        match (place, name) {
            (Some(place), _) => self.values[place].clone(),
            (None, "seed") => self.seed.to_string(),
            (None, "trial") => self.point.to_string(),
            (None, _) => quoted(&self.dir.to_string_lossy()),
        }
    }

    /// The environment of a trial: the placeholders as variables.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        let parameters = self.parameters.iter().zip(self.values).map(|(of, value)| (of.variable(), value.clone()));
        let own = [
            ("EPSILOSCOPE_SEED", self.seed.to_string()),
            ("EPSILOSCOPE_TRIAL", self.point.to_string()),
            ("EPSILOSCOPE_DIR", self.dir.to_string_lossy().into_owned()),
        ];
        parameters.chain(own.map(|(name, value)| (name.to_owned(), value))).collect()
    }
}

/// One word for a shell.
fn quoted(word: &str) -> String {
    if is_plain(word) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(place) = rest.find(['{', '}']) {
        plain.push_str(&rest[..place]);
        let (brace, after) = rest[place..].split_at(1);
        if let Some(after) = after.strip_prefix(brace) {
            plain.push_str(brace);
            rest = after;
        } else if brace == "{" {
            let (name, after) = after.split_once('}').ok_or("a { without its }: expected {{ for a brace")?;
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
            pieces.push(Piece::Placeholder(name.to_owned()));
            rest = after;
        } else {
            return Err("a } without its {: expected }} for a brace".to_owned());
        }
    }
    plain.push_str(rest);
    pieces.push(Piece::Text(plain));
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> Result<String, SearchError> {
        let parameters: Vec<Parameter> = vec!["eps:1e-8..1e-1".parse()?, "opt.name:adam,sgd".parse()?];
        let values = ["1e-5".to_owned(), "sgd".to_owned()];
        let dir = Path::new("a b/it's");
        let filling = Filling { parameters: &parameters, values: &values, seed: 3, point: 12, dir };
        Ok(Template::new(text, &parameters)?.filled(&filling))
    }

    #[test]
    fn placeholders_are_filled_and_braces_kept() {
        assert_eq!(filled("t {eps} {opt.name}{seed} {trial}").unwrap(), "t 1e-5 sgd3 12");
        assert_eq!(filled("awk '{{print {eps}}}' ${{HOME}}").unwrap(), "awk '{print 1e-5}' ${HOME}");
        assert_eq!(filled("cd {dir}").unwrap(), r"cd 'a b/it'\''s'");
        assert_eq!(filled("{{{eps}}}").unwrap(), "{1e-5}");
    }

    #[test]
    fn what_is_no_placeholder_is_refused() {
        for text in ["{lr}", "{eps", "eps}", "{}", "{ eps }", "{eps}}", "{{eps}", "", "  "] {
            assert!(matches!(filled(text), Err(SearchError::Template(_))), "{text}");
        }
    }
}
