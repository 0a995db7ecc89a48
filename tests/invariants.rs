//! The crates' arrows, as `cargo tree` sees them; ARCHITECTURE.md states them.

use std::process::Command;

/// Names of everything a crate depends upon, directly or not; development dependencies aside.
fn dependencies(package: &str) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--format",
            "{p}",
            "--package",
            package,
        ])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("cargo prints UTF-8");
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

fn depends(package: &str, on: &str) -> bool {
    dependencies(package).iter().any(|name| name == on)
}

#[test]
fn the_kernels_depend_on_nothing_else() {
    assert_eq!(dependencies("epsiloscope-histogram"), ["epsiloscope-histogram"]);
    assert_eq!(dependencies("epsiloscope-moments"), ["epsiloscope-moments", "epsiloscope-histogram"]);
    assert!(!depends("epsiloscope-format", "epsiloscope-moments"));
}

#[test]
fn only_the_recording_side_reaches_libtorch() {
    for package in ["epsiloscope-format", "epsiloscope-analysis", "epsiloscope-report", "epsiloscope"] {
        assert!(!depends(package, "tch") && !depends(package, "torch-sys"), "{package}");
    }
    assert!(depends("epsiloscope-recorder", "tch"));
}

#[test]
fn recorders_share_what_knows_no_framework() {
    for package in ["epsiloscope-recording", "epsiloscope-python"] {
        assert!(!depends(package, "tch") && !depends(package, "torch-sys"), "{package}");
        assert!(!depends(package, "epsiloscope-recorder"), "{package}");
    }
    assert!(depends("epsiloscope-recorder", "epsiloscope-recording"));
    assert!(depends("epsiloscope-python", "epsiloscope-recording") && depends("epsiloscope-python", "pyo3"));
    assert!(!depends("epsiloscope-recorder", "pyo3") && !depends("epsiloscope-recording", "pyo3"));
}

/// Results are asked as on the command line, by the same crates, and without it.
#[test]
fn python_analyses_without_the_command_line() {
    for package in ["epsiloscope-batch", "epsiloscope-report", "epsiloscope-dataset", "epsiloscope-store"] {
        assert!(depends("epsiloscope-python", package), "{package}");
    }
    for heavy in ["clap", "epsiloscope", "epsiloscope-query", "epsiloscope-search"] {
        assert!(!depends("epsiloscope-python", heavy), "{heavy}");
    }
    for heavy in ["polars", "clap", "object_store", "epsiloscope-store", "epsiloscope-analysis"] {
        assert!(!depends("epsiloscope-batch", heavy), "{heavy}");
    }
}

#[test]
fn only_the_analysing_side_reaches_polars() {
    for package in ["epsiloscope-format", "epsiloscope-recorder", "epsiloscope-trainer"] {
        assert!(!depends(package, "polars"), "{package}");
    }
    assert!(depends("epsiloscope-analysis", "polars"));
}

#[test]
fn imports_end_in_files() {
    for heavy in ["polars", "tch", "clap", "epsiloscope-analysis", "epsiloscope-recorder"] {
        assert!(!depends("epsiloscope-import", heavy), "{heavy}");
    }
    for package in ["epsiloscope-format", "epsiloscope-analysis", "epsiloscope-recorder"] {
        assert!(!depends(package, "epsiloscope-import"), "{package}");
    }
}

#[test]
fn only_the_store_reaches_object_stores() {
    for package in ["epsiloscope-format", "epsiloscope-analysis", "epsiloscope-report", "epsiloscope-recorder"] {
        assert!(!depends(package, "object_store") && !depends(package, "epsiloscope-store"), "{package}");
    }
    assert!(depends("epsiloscope-store", "object_store") && depends("epsiloscope", "epsiloscope-store"));
    assert!(!depends("epsiloscope-store", "polars") && !depends("epsiloscope-store", "clap"));
}

#[test]
fn recorder_and_analysis_meet_only_in_files() {
    assert!(!depends("epsiloscope-recorder", "epsiloscope-analysis"));
    assert!(!depends("epsiloscope-trainer", "epsiloscope-analysis"));
    assert!(!depends("epsiloscope-analysis", "epsiloscope-recorder"));
    assert!(!depends("epsiloscope-analysis", "epsiloscope-report") && !depends("epsiloscope-report", "clap"));
}

#[test]
fn the_page_shows_what_the_analysis_found() {
    assert!(depends("epsiloscope-page", "epsiloscope-report") && !depends("epsiloscope-page", "clap"));
    assert!(!depends("epsiloscope-page", "epsiloscope-dataset") && !depends("epsiloscope-report", "epsiloscope-page"));
}

#[test]
fn figures_are_drawn_from_plain_data() {
    for package in ["epsiloscope-figure", "epsiloscope-raster", "epsiloscope-terminal"] {
        for other in ["polars", "clap", "rayon", "epsiloscope-analysis", "epsiloscope-report"] {
            assert!(!depends(package, other), "{package} -> {other}");
        }
    }
    assert!(depends("epsiloscope-report", "epsiloscope-figure") && depends("epsiloscope", "epsiloscope-terminal"));
    assert!(!depends("epsiloscope-report", "epsiloscope-terminal") && !depends("epsiloscope-figure", "ratatui-core"));
}

#[test]
fn the_optimizers_stand_by_themselves() {
    let ours = dependencies("epsiloscope-optimizers").into_iter().filter(|name| name.starts_with("epsiloscope"));
    assert_eq!(ours.collect::<Vec<_>>(), ["epsiloscope-optimizers"]);
}

#[test]
fn there_is_one_arrow() {
    let versions = |package| {
        let all = dependencies_with_versions(package);
        all.into_iter().filter(|line| line.starts_with("arrow-array ")).collect::<Vec<_>>()
    };
    assert_eq!(versions("epsiloscope").len(), 1, "{:?}", versions("epsiloscope"));
}

fn dependencies_with_versions(package: &str) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--edges", "normal", "--prefix", "none", "--no-dedupe", "--package", package])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()
        .expect("cargo runs");
    let text = String::from_utf8(output.stdout).expect("cargo prints UTF-8");
    let mut lines: Vec<String> = text.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect();
    lines.sort();
    lines.dedup();
    lines
}

#[test]
fn only_queries_reach_the_sql_parser() {
    assert!(depends("epsiloscope-query", "sqlparser"));
    assert!(!depends("epsiloscope-query", "clap") && !depends("epsiloscope-page", "epsiloscope-query"));
}

#[test]
fn the_search_knows_nothing_of_gradients() {
    let ours = dependencies("epsiloscope-search").into_iter().filter(|name| name.starts_with("epsiloscope"));
    assert_eq!(
        ours.collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>(),
        ["epsiloscope-format", "epsiloscope-histogram", "epsiloscope-search"]
    );
    for heavy in ["polars", "tch", "clap"] {
        assert!(!depends("epsiloscope-search", heavy), "{heavy}");
    }
    assert!(depends("epsiloscope", "epsiloscope-search"));
}
