//! Binning against the memory it reads and against what people use instead; prints a table.
//!
//! Everything is timed in one process tree on the same buffer, round by round, so that a busy machine disturbs all
//! alike; a ratio is the median of the rounds' ratios. The limit is a plain sum of the buffer: AVX2, sixteen
//! accumulators, prefetched. The baselines run in Python (NumPy, PyTorch, one thread each) on a file of the same
//! values; `scripts/bench.sh` brings both.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its table")]

use std::error::Error;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use epsiloscope_histogram::Counter;

mod magnitudes;
mod measuring;

use magnitudes::log_normal;
use measuring::{median, seconds, sum};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Rounds of our time and the limit's, which take tens of milliseconds each.
const N_ROUNDS: usize = 31;
/// Rounds of the baselines, which take seconds.
const N_BASELINE_ROUNDS: usize = 5;
/// 512 MiB, twice the largest last-level cache of the machines we know.
const DRAM: usize = 128 << 20;
/// 1 MiB, inside a second-level cache; counted again and again to get measurable times.
const L2: usize = 256 << 10;

fn main() -> Result<()> {
    // `cargo test --benches` and `cargo bench -- --list` only want to know that it builds.
    if std::env::args().any(|arg| arg == "--test" || arg == "--list") {
        return Ok(());
    }
    println!("{:<12} {:<8} {:<28} {:>8} {:>18}", "data", "memory", "what", "Gel/s", "time, ours being 1");
    for (name, value) in [("log-normal", log_normal as fn() -> Box<dyn FnMut() -> f32>), ("constant", constant)] {
        let values: Vec<f32> = std::iter::repeat_with(value()).take(DRAM).collect();
        compare(name, "DRAM", &values, 1)?;
        compare(name, "L2", &values[..L2], 200)?;
    }
    Ok(())
}

/// Times every contender on the same values and prints a line for each.
fn compare(name: &str, memory: &str, values: &[f32], repeats: usize) -> Result<()> {
    let mut counter = Counter::new();
    let mut count = || {
        let work = || (0..repeats).for_each(|_| counter.count(black_box(values)));
        seconds(work) / repeats as f64
    };
    let limit = || seconds(|| (0..repeats).for_each(|_| _ = black_box(sum(black_box(values))))) / repeats as f64;
    let line = |what: &str, theirs: &[f64], ours: &[f64]| {
        let speed = values.len() as f64 / median(theirs.to_vec()) / 1e9;
        let ratio = median(theirs.iter().zip(ours).map(|(their, own)| their / own).collect());
        println!("{name:<12} {memory:<8} {what:<28} {speed:>8.3} {ratio:>18.2}");
    };

    let (sums, ours): (Vec<f64>, Vec<f64>) = (0..N_ROUNDS).map(|_round| (limit(), count())).unzip();
    line("epsiloscope", &ours, &ours);
    line("sum, the limit", &sums, &ours);
    let ratio = median(ours.iter().zip(&sums).map(|(own, sum)| own / sum).collect());

    let mut baselines = Baselines::start(values, repeats.min(10))?;
    let mut rounds = Vec::new();
    for _round in 0..N_BASELINE_ROUNDS {
        let theirs = baselines.round()?;
        // Untimed: pages that lay idle while the baselines ran are slow at the first touch, whoever touches them.
        limit();
        rounds.push((theirs, count()));
    }
    let ours: Vec<f64> = rounds.iter().map(|(_, own)| *own).collect();
    for (index, (what, _)) in rounds[0].0.iter().enumerate() {
        let theirs: Vec<f64> = rounds.iter().map(|(theirs, _)| theirs[index].1).collect();
        line(what, &theirs, &ours);
    }
    println!("{name:<12} {memory:<8} our time is {ratio:.2} times that of the sum");
    Ok(())
}

fn constant() -> Box<dyn FnMut() -> f32> {
    Box::new(|| 1.234e-5)
}

/// The Python process that times the baselines, one round whenever it is asked.
enum Baselines {
    Running { child: Child, ask: ChildStdin, answers: BufReader<ChildStdout>, file: PathBuf },
    Missing,
}

impl Baselines {
    fn start(values: &[f32], repeats: usize) -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let python = root.join(".venv/bin/python");
        if !python.exists() {
            eprintln!("no .venv with NumPy and PyTorch: run scripts/bench.sh for the baselines");
            return Ok(Self::Missing);
        }
        let file = std::env::temp_dir().join(format!("epsiloscope-bench-{}.f32", std::process::id()));
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        std::fs::write(&file, bytes)?;
        let mut child = Command::new(python)
            .arg(root.join("benches/binning_baselines.py"))
            .args([file.as_os_str(), repeats.to_string().as_ref()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (ask, answers) = (child.stdin.take(), child.stdout.take());
        let (Some(ask), Some(answers)) = (ask, answers) else { return Err("no pipe to the baselines".into()) };
        Ok(Self::Running { child, ask, answers: BufReader::new(answers), file })
    }

    /// Name and seconds of each baseline, timed now.
    fn round(&mut self) -> Result<Vec<(String, f64)>> {
        let Self::Running { ask, answers, .. } = self else { return Ok(Vec::new()) };
        ask.write_all(b"round\n")?;
        let mut line = String::new();
        answers.read_line(&mut line)?;
        let pair = |entry: &str| -> Result<(String, f64)> {
            let (what, seconds) = entry.split_once('=').ok_or("expected name=seconds")?;
            Ok((what.to_owned(), seconds.parse()?))
        };
        line.trim().split(';').map(pair).collect()
    }
}

impl Drop for Baselines {
    fn drop(&mut self) {
        if let Self::Running { child, file, .. } = self {
            let _ = child.kill();
            let _ = child.wait();
            let _ = std::fs::remove_file(file);
        }
    }
}
