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
use std::time::Instant;

use epsiloscope_histogram::Counter;

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

fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn sum(values: &[f32]) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        #[expect(unsafe_code, reason = "calling a function compiled for AVX2")]
        // SAFETY: the processor has AVX2, as just checked.
        return unsafe { sum_avx2(values) };
    }
    values.iter().sum()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn sum_avx2(values: &[f32]) -> f32 {
    let mut lanes = [0f32; 128];
    for chunk in values.as_chunks::<128>().0 {
        for line in 0..8 {
            prefetch(chunk.as_ptr().wrapping_add(line * 16 + 1024));
        }
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value;
        }
    }
    lanes.iter().sum()
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "a prefetch takes a pointer")]
#[inline(always)]
fn prefetch(address: *const f32) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a prefetch of any address is harmless.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
}

/// Magnitudes with log10 normal around 1e-6, deviation 1.6 decades, as gradients of deep networks have.
fn log_normal() -> Box<dyn FnMut() -> f32> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut uniform = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 40) as f32 + 0.5) / (1u64 << 24) as f32
    };
    Box::new(move || {
        // Box and Muller's transform; the sign is the second variate's.
        let (radius, angle) = ((-2.0 * uniform().ln()).sqrt(), std::f32::consts::TAU * uniform());
        10f32.powf(-6.0 + 1.6 * radius * angle.cos()).copysign(angle.sin())
    })
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
