//! The file: markup, styles, scripts and data, and the policy that lets nothing else in.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use epsiloscope_analysis::Scope;
use flate2::{Compression, GzBuilder};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::run::RunPage;

/// Apache `ECharts` 6.1.0, unmodified; its licence and notice stand beside it.
const ECHARTS: &str = include_str!("../assets/vendor/echarts-6.1.0/echarts.min.js");
const MARKUP: &str = include_str!("../assets/page.html");
const STYLE: &str = include_str!("../assets/style.css");

/// The page's own scripts, in the order in which they build on each other.
const SCRIPTS: [&str; 13] = [
    include_str!("../assets/numbers.js"),
    include_str!("../assets/elements.js"),
    include_str!("../assets/histograms.js"),
    include_str!("../assets/effects.js"),
    include_str!("../assets/state.js"),
    include_str!("../assets/charts.js"),
    include_str!("../assets/heatmap.js"),
    include_str!("../assets/histogram.js"),
    include_str!("../assets/curves.js"),
    include_str!("../assets/blocks.js"),
    include_str!("../assets/parts.js"),
    include_str!("../assets/comparison.js"),
    include_str!("../assets/main.js"),
];

/// What the page is given.
#[derive(Serialize)]
struct Payload<'a> {
    version: &'static str,
    /// At which scope the table of parts opens.
    scope: &'static str,
    runs: &'a [RunPage],
}

/// The report on some runs as one file, the same for the same runs.
///
/// # Panics
/// Never: everything here is written to memory.
pub fn html(runs: &[RunPage], scope: Scope) -> String {
    let payload = Payload { version: env!("CARGO_PKG_VERSION"), scope: scope.name(), runs };
    let script = format!("(() => {{\n'use strict';\n{}}})();\n", SCRIPTS.concat());
    let policy = format!(
        "default-src 'none'; script-src {} {}; style-src {}; img-src data:; base-uri 'none'; form-action 'none'",
        digest(ECHARTS),
        digest(&script),
        digest(STYLE),
    );
    filled(
        MARKUP,
        &[
            ("policy", &policy),
            ("style", STYLE),
            ("verdicts", &verdicts(runs)),
            ("data", &packed(&payload)),
            ("library", ECHARTS),
            ("script", &script),
        ],
    )
}

/// The markup with each `{{name}}` replaced, once: what is put in is not looked through.
fn filled(markup: &str, values: &[(&str, &str)]) -> String {
    let mut page = String::with_capacity(markup.len() + values.iter().map(|(_, value)| value.len()).sum::<usize>());
    for (index, piece) in markup.split("{{").enumerate() {
        let (name, rest) = if index == 0 { ("", piece) } else { piece.split_once("}}").unwrap_or(("", piece)) };
        page.push_str(values.iter().find(|(of, _)| *of == name).map_or("", |(_, value)| value));
        page.push_str(rest);
    }
    page
}

/// A source that a content security policy names.
fn digest(text: &str) -> String {
    format!("'sha256-{}'", BASE64.encode(Sha256::digest(text)))
}

/// JSON, compressed, in letters that cannot end an element.
fn packed(payload: &Payload<'_>) -> String {
    let json = serde_json::to_vec(payload).expect("a payload has no map and no number that is none");
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    encoder.write_all(&json).expect("memory takes what it is given");
    BASE64.encode(encoder.finish().expect("memory takes what it is given"))
}

/// The verdicts as markup, for readers without scripts.
fn verdicts(runs: &[RunPage]) -> String {
    let item = |(run, verdict): (&str, &str)| format!("<li>{}: {}</li>\n", escaped(run), escaped(verdict));
    let of_run = |run: &RunPage| {
        let verdicts = run.answers.iter().map(|answer| item((&run.name, &answer.verdict)));
        verdicts.collect::<String>()
    };
    runs.iter().map(of_run).collect()
}

/// Text between tags.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_is_not_looked_through() {
        assert_eq!(filled("a{{x}}b{{y}}{{x}}", &[("x", "{{y}}"), ("y", "1")]), "a{{y}}b1{{y}}");
    }

    #[test]
    fn names_end_no_element() {
        assert_eq!(escaped("</noscript><script>&"), "&lt;/noscript&gt;&lt;script&gt;&amp;");
    }

    /// In a script element these would end it, or hide its end.
    #[test]
    fn scripts_and_styles_can_stand_in_the_page() {
        for text in SCRIPTS.into_iter().chain([ECHARTS, STYLE]) {
            let text = text.to_lowercase();
            assert!(!text.contains("</script") && !text.contains("<!--") && !text.contains("</style"));
        }
    }

    #[test]
    fn digests_are_those_of_the_standard() {
        // The digest of no bytes, FIPS 180-4.
        assert_eq!(digest(""), "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='");
    }
}
