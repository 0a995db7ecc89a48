//! `epsiloscope plot`: what is drawn stands where the tables say, and names stay text.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use epsiloscope_figure::Theme;
use flate2::read::ZlibDecoder;
use roxmltree::{Document, Node};
use serde_json::Value;

use crate::cli::{Output, epsiloscope};
use crate::synthetic::Synthetic;

fn plot(runs: &[&Path], out: &Path, options: &[&str]) -> Output {
    let options = options.iter().map(OsStr::new);
    let paths = runs.iter().map(|run| run.as_os_str());
    epsiloscope(
        [OsStr::new("plot")].into_iter().chain(paths).chain([OsStr::new("--out"), out.as_os_str()]).chain(options),
    )
}

/// The figure of a run, drawn into its parent folder.
fn figure(run: &Path, options: &[&str]) -> String {
    let out = run.with_extension("svg");
    let output = plot(&[run], &out, options);
    assert_eq!((output.status, output.stdout.as_str(), output.stderr.as_str()), (0, "", ""), "{options:?}");
    fs::read_to_string(out).unwrap()
}

/// The rows that a command prints.
fn rows(command: &str, run: &Path, options: &[&str]) -> Vec<Value> {
    let options = options.iter().chain(&["--format", "json"]).map(OsStr::new);
    let output = epsiloscope([OsStr::new(command), run.as_os_str()].into_iter().chain(options));
    assert_eq!(output.status, 0, "{}", output.stderr);
    serde_json::from_str(&output.stdout).unwrap()
}

fn default_run() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let run = Synthetic::default().write(&dir.path().join("r-a"));
    (dir, run)
}

/// The elements of a class.
fn of_class<'a>(node: Node<'a, 'a>, class: &str) -> Vec<Node<'a, 'a>> {
    let has_class =
        |node: &Node<'_, '_>| node.attribute("class").is_some_and(|of| of.split(' ').any(|one| one == class));
    node.descendants().filter(has_class).collect()
}

fn only<'a>(node: Node<'a, 'a>, class: &str) -> Node<'a, 'a> {
    let found = of_class(node, class);
    assert_eq!(found.len(), 1, "{class}");
    found[0]
}

fn number(node: Node<'_, '_>, attribute: &str) -> f64 {
    node.attribute(attribute).unwrap_or_else(|| panic!("no {attribute}")).parse().unwrap()
}

fn text(node: Node<'_, '_>) -> String {
    node.descendants()
        .filter(|node| node.is_text() && !node.parent().unwrap().has_tag_name("title"))
        .filter_map(|node| node.text())
        .collect()
}

/// Pixels of the exponents of ten of an axis, as its ticks and their labels have them.
fn exponents(axis: Node<'_, '_>, coordinate: &str) -> impl Fn(f64) -> f64 + use<> {
    let ticks = of_class(axis, "tick").into_iter().map(|tick| number(tick, coordinate));
    let labels = axis.children().filter(|node| node.has_tag_name("text")).map(text);
    let exponent =
        |label: String| label.strip_prefix("10").map(|exponent| exponent.replace('−', "-").parse::<f64>().unwrap());
    let known: Vec<(f64, f64)> = labels.filter_map(exponent).zip(ticks).collect();
    let [(low, start), .., (high, end)] = known[..] else { panic!("an axis has two ticks") };
    move |exponent| start + (exponent - low) / (high - low) * (end - start)
}

/// Pixels of round values of an axis.
fn values(axis: Node<'_, '_>, coordinate: &str) -> impl Fn(f64) -> f64 + use<> {
    let ticks = of_class(axis, "tick").into_iter().map(|tick| number(tick, coordinate));
    let labels = axis.children().filter(|node| node.has_tag_name("text")).map(text);
    let known: Vec<(f64, f64)> =
        labels.filter_map(|label| label.replace('\u{202f}', "").parse::<f64>().ok()).zip(ticks).collect();
    let [(low, start), .., (high, end)] = known[..] else { panic!("an axis has two ticks") };
    move |value| start + (value - low) / (high - low) * (end - start)
}

fn assert_near(found: f64, expected: f64, what: &str) {
    // Pixels are written to a hundredth.
    assert!((found - expected).abs() < 0.03, "{what}: {found} is not at {expected}");
}

/// The points of a path of lines.
fn points(path: &str) -> Vec<(f64, f64)> {
    let point = |text: &str| {
        let (x, y) = text.split_once(' ').unwrap();
        (x.parse().unwrap(), y.parse().unwrap())
    };
    path.split(['M', 'L']).filter(|text| !text.is_empty()).map(point).collect()
}

/// Width and palette indices of the image in a figure.
fn indices(url: &str) -> (usize, Vec<u8>) {
    unfiltered(&BASE64.decode(url.strip_prefix("data:image/png;base64,").unwrap()).unwrap(), 1)
}

/// Width and the bytes of all pixels of a PNG of so many bytes a pixel, as figures are written.
fn unfiltered(bytes: &[u8], depth: usize) -> (usize, Vec<u8>) {
    let (mut at, mut compressed, mut width) = (8, Vec::new(), 0);
    while at < bytes.len() {
        let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        let (length, name) = (word(at), &bytes[at + 4..at + 8]);
        let content = &bytes[at + 8..at + 8 + length];
        match name {
            b"IHDR" => width = word(at + 8),
            b"IDAT" => compressed.extend_from_slice(content),
            _ => {}
        }
        at += 12 + length;
    }
    let mut rows = Vec::new();
    ZlibDecoder::new(&compressed[..]).read_to_end(&mut rows).unwrap();
    let mut pixels: Vec<u8> = Vec::new();
    for row in rows.chunks(depth * width + 1) {
        assert_eq!(row[0], 2, "each row is less the one above");
        for less in &row[1..] {
            let above = if pixels.len() < depth * width { 0 } else { pixels[pixels.len() - depth * width] };
            pixels.push(less.wrapping_add(above));
        }
    }
    (width, pixels)
}

#[test]
fn a_heat_map_has_the_densities_of_the_table() {
    let (_dir, run) = default_run();
    let svg = figure(&run, &["--window", "1"]);
    let document = Document::parse(&svg).unwrap();
    let panel = only(document.root(), "heat-map");
    let image = only(panel, "density");
    let (width, pixels) = indices(image.attribute("href").unwrap());
    let height = pixels.len() / width;
    let table = rows("histogram", &run, &["--per", "run", "--window", "1", "--quantity", "gradient"]);
    let bins: Vec<i64> = table.iter().map(|row| row["bin"].as_i64().unwrap()).collect();
    let (first, end) = (bins.iter().min().unwrap(), bins.iter().max().unwrap() + 1);
    let densities = table.iter().map(|row| row["density"].as_f64().unwrap());
    let most = densities.fold(0.0, f64::max);
    let row_height = height / (end - first) as usize;
    let mut expected = vec![0u8; (end - first) as usize * 12];
    for row in &table {
        let (step, bin) = (row["first_step"].as_i64().unwrap(), row["bin"].as_i64().unwrap());
        let share = (row["density"].as_f64().unwrap() / most).sqrt();
        expected[(end - 1 - bin) as usize * 12 + (step - 1) as usize] = 1 + (254.0 * share).round() as u8;
    }
    for (cell, expected) in expected.iter().enumerate() {
        // The middle of the cell.
        let (x, y) = ((2 * (cell % 12) + 1) * width / 24, (cell / 12) * row_height + row_height / 2);
        assert_eq!(pixels[y * width + x], *expected, "cell {cell}");
    }
    // And the picture stands where its bins and steps are.
    let (x, y) = (values(only(panel, "x"), "x1"), exponents(only(panel, "y"), "y1"));
    assert_near(number(image, "y"), y(end as f64 / 40.0), "the picture's upper edge");
    assert_near(number(image, "y") + number(image, "height"), y(*first as f64 / 40.0), "its lower edge");
    assert_near(number(image, "x"), x(0.0), "its beginning");
    assert_near(number(image, "x") + number(image, "width"), x(12.0), "its end");
}

#[test]
fn the_band_and_the_line_stand_where_the_estimate_puts_them() {
    let (_dir, run) = default_run();
    for optimizer in ["adam", "rmsprop", "optax-rmsprop", "adabelief"] {
        let options = ["--optimizer", optimizer];
        let svg = figure(&run, &options);
        let document = Document::parse(&svg).unwrap();
        let panel = only(document.root(), "heat-map");
        let y = exponents(only(panel, "y"), "y1");
        let estimate = &rows("estimate", &run, &["--optimizer", optimizer])[0];
        // Where ε is added to the root it competes with is the gradient's magnitude, else the root of what accumulates.
        let competing = |epsilon: f64| match optimizer {
            "optax-rmsprop" => epsilon.sqrt(),
            "adabelief" => (epsilon / (1.0 - 0.999)).sqrt(),
            _ => epsilon,
        };
        let at = |epsilon: f64| y(competing(epsilon).log10());
        let band = only(panel, "search-space");
        let ends = ["search_lower", "search_upper"].map(|end| estimate[end].as_f64().unwrap());
        assert_near(number(band, "y") + number(band, "height"), at(ends[0]), "the lower end");
        assert_near(number(band, "y"), at(ends[1]), "the upper end");
        let edges: Vec<f64> = of_class(panel, "edge").into_iter().map(|edge| number(edge, "y1")).collect();
        assert_near(edges[0], at(ends[0]), "the lower edge");
        assert_near(edges[1], at(ends[1]), "the upper edge");
        let line = only(panel, "epsilon");
        // The run was trained with Adam; of others the default is shown.
        let epsilon = if optimizer == "adam" { 1e-4 } else { estimate["default_epsilon"].as_f64().unwrap() };
        assert_near(number(line, "y1"), at(epsilon), "ε");
        assert_eq!(line.attribute("y1"), line.attribute("y2"));
        let words = text(panel);
        assert!(words.contains(if optimizer == "adam" { "run’s ε 10−4" } else { "default ε 10−" }), "{words}");
    }
}

#[test]
fn a_histogram_has_the_densities_and_shares_of_the_table() {
    let (_dir, run) = default_run();
    let svg = figure(&run, &["--figure", "histogram,cumulative"]);
    let document = Document::parse(&svg).unwrap();
    let table = rows("histogram", &run, &["--per", "run", "--quantity", "gradient"]);
    let bin = |row: &Value| row["bin"].as_f64().unwrap();
    let panel = only(document.root(), "histogram");
    let (x, y) = (exponents(only(panel, "x"), "x1"), values(only(panel, "y"), "y1"));
    let line = points(only(only(panel, "curve"), "line").attribute("d").unwrap());
    for row in &table {
        let (left, right, top) = (x(bin(row) / 40.0), x((bin(row) + 1.0) / 40.0), y(row["density"].as_f64().unwrap()));
        let is_there =
            |(at, height): (f64, f64), wanted: f64| (at - wanted).abs() < 0.03 && (height - top).abs() < 0.03;
        let step = line.windows(2).any(|pair| is_there(pair[0], left) && is_there(pair[1], right));
        assert!(step, "no step for {row}");
    }
    let panel = only(document.root(), "cumulative");
    let (x, y) = (exponents(only(panel, "x"), "x1"), values(only(panel, "y"), "y1"));
    let line = points(only(only(panel, "curve"), "line").attribute("d").unwrap());
    for row in &table {
        let (right, share) = (x((bin(row) + 1.0) / 40.0), y(100.0 * row["cumulative"].as_f64().unwrap()));
        let found = line.iter().any(|(at, height)| (at - right).abs() < 0.03 && (height - share).abs() < 0.03);
        assert!(found, "no point for {row}");
    }
}

#[test]
fn windows_and_quantities_are_curves_of_one_panel() {
    let (_dir, run) = default_run();
    let curves = |options: &[&str]| -> Vec<String> {
        let svg = figure(&run, options);
        let document = Document::parse(&svg).unwrap();
        let names = of_class(only(document.root(), "panel"), "curve");
        names.into_iter().map(|curve| curve.first_element_child().unwrap().text().unwrap().to_owned()).collect()
    };
    assert_eq!(curves(&["--figure", "histogram", "--window", "6"]), ["steps 1 to 6", "steps 7 to 12"]);
    let all = curves(&["--figure", "cumulative", "--window", "1"]);
    assert_eq!((all.len(), all[0].as_str(), all[7].as_str()), (8, "step 1", "step 12"), "of many some are shown");
    assert_eq!(
        curves(&["--figure", "histogram", "--quantity", "gradient,critical_epsilon.adam"]),
        ["gradient magnitude", "critical ε of adam"]
    );
}

#[test]
fn bounds_stand_where_the_table_has_them_and_binding_ones_are_marked() {
    let (_dir, run) = default_run();
    let svg = figure(&run, &["--figure", "bounds", "--optimizer", "adam"]);
    let document = Document::parse(&svg).unwrap();
    let panel = only(document.root(), "bounds");
    let x = exponents(only(panel, "x"), "x1");
    let mut table = rows("estimate", &run, &["--per", "tensor", "--optimizer", "adam"]);
    table.retain(|row| row["combination"].is_null() || row["combination"] == "extremes");
    table.sort_by(|a, b| a["lower"].as_f64().unwrap().total_cmp(&b["lower"].as_f64().unwrap()));
    let drawn = of_class(panel, "row");
    assert_eq!(drawn.len(), table.len());
    for (row, expected) in drawn.iter().zip(&table) {
        assert_eq!(text(*row).trim(), expected["name"].as_str().unwrap());
        let bar = only(*row, "bar");
        let ends = ["lower", "upper"].map(|end| x(expected[end].as_f64().unwrap().log10()));
        assert_near(number(bar, "x"), ends[0], "lower");
        assert_near(number(bar, "x") + number(bar, "width"), ends[1], "upper");
        let marks: Vec<f64> = of_class(*row, "binds").into_iter().map(|mark| number(mark, "cx")).collect();
        let expected: &[f64] = match expected["sets"].as_str().unwrap() {
            "lower" => &ends[..1],
            "upper" => &ends[1..],
            _ => &[],
        };
        assert_eq!(marks.len(), expected.len());
        for (mark, expected) in marks.iter().zip(expected) {
            assert_near(*mark, *expected, "what binds");
        }
    }
}

#[test]
fn search_spaces_of_runs_and_optimizers_stand_below_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let runs = ["r-a", "r-b"].map(|name| Synthetic::default().write(&dir.path().join(name)));
    let out = dir.path().join("spaces.svg");
    assert_eq!(plot(&[&runs[0], &runs[1]], &out, &["--figure", "search-space"]).status, 0);
    let svg = fs::read_to_string(&out).unwrap();
    let document = Document::parse(&svg).unwrap();
    let panel = only(document.root(), "search-spaces");
    let x = exponents(only(panel, "x"), "x1");
    let mut table: Vec<Value> = runs.iter().flat_map(|run| rows("estimate", run, &[])).collect();
    table.retain(|row| row["combination"] == "extremes");
    let drawn = of_class(panel, "row");
    assert_eq!(drawn.len(), 8);
    for (row, expected) in drawn.iter().zip(&table) {
        let bar = only(*row, "search-space");
        assert_near(number(bar, "x"), x(expected["search_lower"].as_f64().unwrap().log10()), "lower end");
        let end = x(expected["search_upper"].as_f64().unwrap().log10());
        assert_near(number(bar, "x") + number(bar, "width"), end, "upper end");
        let default = x(expected["default_epsilon"].as_f64().unwrap().log10());
        assert_near(number(only(*row, "default"), "cx"), default, "default");
        assert_eq!(of_class(*row, "own").len(), usize::from(expected["optimizer"] == "adam"));
    }
    let names: Vec<String> = panel.descendants().filter(|node| node.has_tag_name("text")).map(text).collect();
    assert!(
        names.iter().any(|name| name == "r-a, adam") && names.iter().any(|name| name == "r-b, rmsprop"),
        "{names:?}"
    );
}

#[test]
fn runs_side_by_side_have_the_same_axes() {
    let dir = tempfile::tempdir().unwrap();
    let small = Synthetic::default().write(&dir.path().join("r-small"));
    let mut synthetic = Synthetic::default();
    synthetic.tensors[2].centre = -9.0;
    let wide = synthetic.write(&dir.path().join("r-wide"));
    let out = dir.path().join("both.svg");
    assert_eq!(plot(&[&small, &wide], &out, &["--optimizer", "adam"]).status, 0);
    let svg = fs::read_to_string(&out).unwrap();
    let document = Document::parse(&svg).unwrap();
    let labels = of_class(document.root(), "heat-map").into_iter().map(|panel| text(only(panel, "y")));
    let labels: Vec<String> = labels.collect();
    assert!(labels.len() == 2 && labels[0] == labels[1], "{labels:?}");
}

#[test]
fn a_figure_depends_on_nothing_but_runs_and_options() {
    let dir = tempfile::tempdir().unwrap();
    let run = Synthetic::default().write(&dir.path().join("r-a"));
    let options = epsiloscope_format::WriterOptions { flush_rows: 701, flush_secs: 1e9 };
    fs::create_dir(dir.path().join("parts")).unwrap();
    let same = Synthetic { options, ..Synthetic::default() }.write(&dir.path().join("parts/r-a"));
    let every = ["--figure", "heatmap,histogram,cumulative,bounds,search-space", "--theme", "dark"];
    let one = figure(&run, &every);
    let output = Command::new(env!("CARGO_BIN_EXE_epsiloscope"))
        .args([
            OsStr::new("plot"),
            same.as_ref(),
            OsStr::new("--out"),
            OsStr::new("-"),
            OsStr::new("--format"),
            OsStr::new("svg"),
        ])
        .args(every)
        .env("RAYON_NUM_THREADS", "1")
        .output()
        .unwrap();
    assert!(output.status.success() && output.stdout == one.as_bytes());
}

#[test]
fn tensors_can_be_shown_alone_together_and_apart() {
    let (_dir, run) = default_run();
    let titles = |options: &[&str]| -> Vec<String> {
        let svg = figure(&run, options);
        let document = Document::parse(&svg).unwrap();
        let panels = of_class(document.root(), "panel");
        panels
            .into_iter()
            .map(|panel| {
                panel
                    .children()
                    .filter(|node| node.has_tag_name("text"))
                    .map(text)
                    .take(2)
                    .collect::<Vec<_>>()
                    .join(" / ")
            })
            .collect()
    };
    let both = titles(&["--tensor", "conv1.*", "--window", "1"]);
    assert_eq!(both, ["r-a / gradient magnitude of 2 tensors; steps 1 to 12 in 12 windows"]);
    let apart = titles(&["--tensor", "conv1.*", "--per", "tensor"]);
    assert!(
        apart.len() == 2 && apart[0].starts_with("r-a: conv1.bias / ") && apart[1].starts_with("r-a: conv1.weight / "),
        "{apart:?}"
    );
    assert_eq!(titles(&["--per", "kind", "--optimizer", "adam,rmsprop"]).len(), 4);
    let output = plot(&[&run], &run.with_extension("svg"), &["--tensor", "conv7.*"]);
    assert!(output.status == 2 && output.stderr.contains("no tensor is called conv7.*"), "{}", output.stderr);
}

#[test]
fn hostile_names_stay_text() {
    let dir = tempfile::tempdir().unwrap();
    let mut synthetic = Synthetic::default();
    // Sorted, as a run's tensors are.
    synthetic.tensors[0].name = "</text><script>alert(1)</script>\u{1b}[31m\"'&amp;\u{0}\u{202e}\u{ffff}";
    synthetic.tensors[1].name =
        "conv1.a_very_long_name_that_would_run_out_of_its_panel_and_over_everything_else_in_it.weight";
    let run = synthetic.write(&dir.path().join("r-a"));
    let svg = figure(
        &run,
        &["--per", "tensor", "--figure", "heatmap,histogram,bounds", "--optimizer", "adam", "--columns", "1"],
    );
    assert!(
        !svg.contains(|c: char| c.is_control() && c != '\n') && !svg.contains('\u{202e}') && !svg.contains('\u{ffff}')
    );
    let document = Document::parse(&svg).unwrap();
    assert!(document.descendants().all(|node| !node.has_tag_name("script")));
    let words: Vec<String> = document.descendants().filter(|node| node.has_tag_name("text")).map(text).collect();
    assert!(
        words
            .iter()
            .any(|words| words.contains("</text><script>alert(1)</script>\\u{1b}[31m\"'&amp;\\u{0}\\u{202e}\\u{ffff}")),
        "{words:?}"
    );
    // What is cut is whole in the tooltip.
    let cut = words.iter().find(|words| words.starts_with("conv1.a_very") && words.contains('…'));
    assert!(cut.is_some_and(|cut| cut.ends_with(".weight")), "{words:?}");
    let titles: Vec<&str> =
        document.descendants().filter(|node| node.has_tag_name("title")).filter_map(|node| node.text()).collect();
    assert!(titles.contains(&synthetic.tensors[1].name));
}

#[test]
fn runs_that_hold_little_are_drawn_as_far_as_they_go() {
    let dir = tempfile::tempdir().unwrap();
    let histograms_only = Synthetic { sample: Some(0), critical_epsilon: None, ..Synthetic::default() };
    let run = histograms_only.write(&dir.path().join("r-histograms"));
    let svg = figure(&run, &["--figure", "heatmap,histogram,bounds"]);
    let document = Document::parse(&svg).unwrap();
    assert_eq!(of_class(document.root(), "panel").len(), 2);
    assert!(of_class(document.root(), "search-space").is_empty() && of_class(document.root(), "epsilon").is_empty());
    let output = plot(&[&run], &run.with_extension("svg"), &["--figure", "bounds"]);
    assert!(output.status == 2 && output.stderr.lines().count() == 1, "{}", output.stderr);
    let output = plot(&[&run], &run.with_extension("svg"), &["--optimizer", "adam"]);
    assert!(output.status == 2 && output.stderr.lines().count() == 1, "{}", output.stderr);
}

#[test]
fn what_cannot_be_drawn_is_told_in_a_line() {
    let (dir, run) = default_run();
    let out = dir.path().join("figure.svg");
    for (out, options, expected) in [
        (dir.path().join("nowhere/figure.svg"), &[][..], "expected a folder"),
        (dir.path().to_owned(), &[], "expected"),
        (out.clone(), &["--figure", "pie"], "expected one of heatmap, histogram, cumulative, bounds, search-space"),
        (out.clone(), &["--size", "100x50"], "expected at least"),
        (out.clone(), &["--size", "100"], "as 800x500"),
        (dir.path().join("figure.pdf"), &[], "expected a name that ends in .svg or .png, or --format"),
        (out.clone(), &["--format", "pdf"], "expected svg or png"),
        (dir.path().join("figure.png"), &["--scale", "0"], "a number from 0.1 to 20"),
        (dir.path().join("figure.png"), &["--size", "19000x19000"], "choose another size or scale"),
        (PathBuf::from("-"), &[], "expected --format svg or png"),
        (out.clone(), &["--theme", "pink"], "expected light or dark"),
        (out.clone(), &["--quantity", "loss"], "loss was not recorded"),
        (out.clone(), &["--tensor", "[", "--per", "tensor"], "pattern"),
    ] {
        let output = plot(&[&run], &out, options);
        assert_eq!((output.status, output.stderr.lines().count()), (2, 1), "{options:?}: {}", output.stderr);
        assert!(output.stderr.contains(expected), "{options:?}: {}", output.stderr);
        assert!(!dir.path().join("figure.svg").exists());
    }
}

#[test]
fn a_damaged_run_is_told_and_the_others_are_drawn() {
    let (dir, run) = default_run();
    let bad = Synthetic::default().write(&dir.path().join("r-bad"));
    fs::write(bad.join("run.json"), "{}").unwrap();
    let out = dir.path().join("figure.svg");
    let output = plot(&[&run, &bad], &out, &[]);
    assert!(output.status == 4 && output.stderr.contains("r-bad"), "{}", output.stderr);
    assert_eq!(of_class(Document::parse(&fs::read_to_string(out).unwrap()).unwrap().root(), "panel").len(), 1);
}

/// The same figure in pixels: cells of the heat map, the line and the ground have their colours where the SVG has them.
#[test]
fn a_png_shows_what_the_svg_says() {
    let (dir, run) = default_run();
    for (theme, scale) in [(Theme::Light, 2.0), (Theme::Dark, 1.5)] {
        let [name, factor] = [if theme == Theme::Light { "light" } else { "dark" }.to_owned(), scale.to_string()];
        let svg = figure(&run, &["--window", "1", "--theme", &name]);
        let out = dir.path().join("figure.png");
        let output = plot(&[&run], &out, &["--window", "1", "--theme", &name, "--scale", &factor]);
        assert_eq!((output.status, output.stderr.as_str()), (0, ""));
        let (width, pixels) = unfiltered(&fs::read(&out).unwrap(), 3);
        let at = |x: f64, y: f64| {
            let place = 3 * ((y * scale) as usize * width + (x * scale) as usize);
            [pixels[place], pixels[place + 1], pixels[place + 2]]
        };
        let document = Document::parse(&svg).unwrap();
        assert_eq!(width as f64, scale * number(document.root_element(), "width"));
        assert_eq!(at(1.0, 1.0), if theme == Theme::Light { [255; 3] } else { [0x18, 0x1f, 0x27] });
        // In the middle of the search space nothing but cells is drawn, but for names at its edges.
        let (image, band) = (only(document.root(), "density"), only(document.root(), "search-space"));
        let (columns, indices) = indices(image.attribute("href").unwrap());
        let rows = indices.len() / columns;
        let [x, y, w, h] = ["x", "y", "width", "height"].map(|name| number(image, name));
        let middle = number(band, "y") + 0.6 * number(band, "height");
        let mut n_cells = 0;
        for step in 0..12 {
            let (at_x, row) = (x + (f64::from(step) + 0.5) / 12.0 * w, (middle - y) / h * rows as f64);
            // Well inside its cell, whose edges pixels may straddle.
            let row_middle = y + (row.floor() + 0.5) / rows as f64 * h;
            let index = indices[row as usize * columns + ((at_x - x) / w * columns as f64) as usize];
            if 0 < index {
                let share = f64::from(index - 1) / 254.0;
                assert_eq!(
                    at(at_x, row_middle),
                    epsiloscope_figure::density_color(share, theme),
                    "{name}, step {step}"
                );
                n_cells += 1;
            }
        }
        assert!(6 < n_cells);
        let line = only(document.root(), "epsilon");
        let dash = at(number(line, "x1") + 3.0, number(line, "y1"));
        assert_eq!(dash, if theme == Theme::Light { [0xc2, 0x41, 0x0c] } else { [0xff, 0x9a, 0x57] });
    }
}

#[test]
fn a_png_is_the_same_each_time_and_holds_every_figure() {
    let (dir, run) = default_run();
    let every =
        ["--figure", "heatmap,histogram,cumulative,bounds,search-space", "--quantity", "gradient", "--scale", "1"];
    let [one, other] = ["one.png", "other.PNG"].map(|name| dir.path().join(name));
    assert_eq!(plot(&[&run], &one, &every).status, 0);
    assert_eq!(plot(&[&run], &other, &every).status, 0);
    assert!(fs::read(&one).unwrap() == fs::read(&other).unwrap());
    let output = Command::new(env!("CARGO_BIN_EXE_epsiloscope"))
        .args([
            OsStr::new("plot"),
            run.as_ref(),
            OsStr::new("--out"),
            OsStr::new("-"),
            OsStr::new("--format"),
            OsStr::new("png"),
        ])
        .args(every)
        .output()
        .unwrap();
    assert!(output.status.success() && output.stdout == fs::read(one).unwrap());
}

/// The pictures of the documentation, by the commands that stand there.
#[test]
fn the_pictures_of_the_documentation_are_drawn_from_runs_that_come_along() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let pages = ["README.md", "docs/figures.md"].map(|page| fs::read_to_string(root.join(page)).unwrap());
    let dir = tempfile::tempdir().unwrap();
    let mut n_pictures = 0;
    for (command, picture) in
        pages.iter().flat_map(|page| page.lines()).filter_map(|line| line.split_once(" --out docs/"))
    {
        let words = command.strip_prefix("epsiloscope ").unwrap().split_whitespace();
        let out = dir.path().join("picture.svg");
        let output = Command::new(env!("CARGO_BIN_EXE_epsiloscope"))
            .args(words)
            .args([OsStr::new("--out"), out.as_ref()])
            .current_dir(root)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(
            fs::read(&out).unwrap() == fs::read(root.join("docs").join(picture)).unwrap(),
            "{picture}: draw it anew"
        );
        n_pictures += 1;
    }
    assert_eq!(n_pictures, 4);
}
