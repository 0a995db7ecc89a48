//! What a step of ResNet-18 costs to observe, against the memory traffic that no way of observing it avoids.
//!
//! One thread, the gradients of all 62 tensors (11.7 million elements), in memory that no cache holds. In each round
//! everything is timed in turn, so that a busy machine disturbs all alike, and a ratio is the median of the rounds'
//! ratios. There are two limits: a plain sum of the gradients (AVX2, prefetched), and the stream that any second moment
//! takes, which reads the gradients and reads and writes v (Adam's; prefetching by hand makes it slower).

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::hint::black_box;

use epsiloscope_histogram::{Counter, Summary};
use epsiloscope_moments::{Decay, Moments, Observer, Optimizer};

mod magnitudes;
mod measuring;

use magnitudes::log_normal;
use measuring::{median, seconds, sum};

const N_ROUNDS: usize = 41;
/// Copies of the gradients, 47 MB each, taken in turn: together they exceed the last-level caches we know.
const N_COPIES: usize = 6;
/// Lengths of single tensors, whose cost is that of a call, and how often each is observed per round.
const SMALL: [(usize, usize); 5] = [(10, 4000), (64, 4000), (512, 2000), (4096, 500), (36_864, 50)];

/// The gradients of one step, tensor by tensor.
type Step = [Vec<f32>];
/// What is done with a step.
type Work = Box<dyn FnMut(&Step)>;
/// What is done, in words and in deed.
type Contender = (&'static str, Work);

fn main() {
    // `cargo test --benches` and `cargo bench -- --list` only want to know that it builds.
    if std::env::args().any(|arg| arg == "--test" || arg == "--list") {
        return;
    }
    let copies: Vec<Vec<Vec<f32>>> = std::iter::repeat_n(gradients(), N_COPIES).collect();
    whole_steps(&copies);
    small_tensors(&copies[0][0]);
}

/// Lengths of ResNet-18's parameter tensors (He et al. 2016; torchvision's `resnet18`).
fn lengths() -> Vec<usize> {
    let mut lengths = vec![];
    let mut convolution = |from: usize, to: usize, side: usize| lengths.extend([to * from * side * side, to, to]);
    convolution(3, 64, 7);
    for (from, to) in [(64, 64), (64, 128), (128, 256), (256, 512)] {
        convolution(from, to, 3);
        convolution(to, to, 3);
        if from != to {
            convolution(from, to, 1);
        }
        convolution(to, to, 3);
        convolution(to, to, 3);
    }
    lengths.extend([512 * 1000, 1000]);
    lengths
}

fn gradients() -> Vec<Vec<f32>> {
    let mut next = log_normal();
    lengths().into_iter().map(|length| std::iter::repeat_with(&mut next).take(length).collect()).collect()
}

/// Times every contender on the gradients of whole steps and prints a line for each.
fn whole_steps(copies: &[Vec<Vec<f32>>]) {
    let mut contenders = contenders(&copies[0]);
    let mut turns = copies.iter().cycle();
    let mut times = vec![Vec::with_capacity(N_ROUNDS); contenders.len()];
    for _round in 0..N_ROUNDS {
        for ((_, work), times) in contenders.iter_mut().zip(&mut times) {
            let step = turns.next().expect("copies go round");
            times.push(seconds(|| work(black_box(step))));
        }
    }
    println!("{:<28} {:>8} {:>12} {:>12} {:>8}", "a step of ResNet-18", "ms", "by sum", "by stream", "best ms");
    for ((name, _), own) in contenders.iter().zip(&times) {
        let by = |limit: &[f64]| median(own.iter().zip(limit).map(|(own, limit)| own / limit).collect());
        let best = own.iter().copied().fold(f64::INFINITY, f64::min);
        let [ms, best_ms] = [median(own.clone()), best].map(|seconds| seconds * 1e3);
        println!("{name:<28} {ms:>8.2} {:>12.2} {:>12.2} {best_ms:>8.2}", by(&times[0]), by(&times[1]));
    }
}

/// Everything that is timed, the two limits first.
fn contenders(step: &Step) -> Vec<Contender> {
    let mut streamed = begin(step, &[Optimizer::Adam]);
    let mut counter = Counter::new();
    vec![
        ("sum, limit of reading", Box::new(|step| step.iter().for_each(|tensor| _ = black_box(sum(tensor))))),
        (
            "stream, limit of moments",
            Box::new(move |step| {
                streamed.iter_mut().zip(step).for_each(|(moments, tensor)| moments[0].update(0, tensor));
            }),
        ),
        ("summaries", Box::new(|step| step.iter().for_each(|tensor| _ = black_box(Summary::of(tensor))))),
        ("histograms", Box::new(move |step| step.iter().for_each(|tensor| _ = black_box(count(&mut counter, tensor))))),
        ("histograms, summaries", observing(step, &[])),
        ("... and Adam's critical ε", observing(step, &[Optimizer::Adam])),
        ("... and that of four", observing(step, &Optimizer::DEFAULT)),
    ]
}

fn observing(step: &Step, optimizers: &[Optimizer]) -> Work {
    let (mut observer, mut moments) = (Observer::new(), begin(step, optimizers));
    Box::new(move |step| {
        for (tensor, moments) in step.iter().zip(&mut moments) {
            black_box(observer.observe(tensor, moments, true));
        }
    })
}

fn begin(step: &Step, optimizers: &[Optimizer]) -> Vec<Vec<Moments>> {
    let of = |tensor: &Vec<f32>| {
        optimizers.iter().map(|&optimizer| Moments::new(optimizer, Decay::default(), tensor.len())).collect()
    };
    step.iter().map(of).collect()
}

fn count(counter: &mut Counter, tensor: &[f32]) -> u64 {
    counter.count(tensor);
    counter.take().total()
}

/// Times single small tensors, which the caches hold, and prints a line for each.
fn small_tensors(values: &[f32]) {
    let values: Vec<f32> = values.iter().copied().cycle().take(1 << 16).collect();
    let (mut counter, mut observer) = (Counter::new(), Observer::new());
    println!("\n{:>9} {:>22} {:>32}", "elements", "count and take, ns", "observe with critical ε, ns");
    for (length, repeats) in SMALL {
        let tensor = &values[..length];
        let mut moments = [Moments::new(Optimizer::Adam, Decay::default(), length)];
        let per_call = |work: &mut dyn FnMut()| seconds(|| (0..repeats).for_each(|_| work())) / repeats as f64 * 1e9;
        let mut round = || {
            let counting = per_call(&mut || _ = black_box(count(&mut counter, black_box(tensor))));
            let observing = per_call(&mut || _ = black_box(observer.observe(black_box(tensor), &mut moments, true)));
            (counting, observing)
        };
        let (counting, observing): (Vec<f64>, Vec<f64>) = (0..N_ROUNDS).map(|_| round()).unzip();
        println!("{length:>9} {:>22.0} {:>32.0}", median(counting), median(observing));
    }
}
