//! One pass over the elements; compiled for FMA where the processor has it, with the same bits where it has not.

use std::ops::Range;

use epsiloscope_histogram::{Beside, Counter};

use crate::{Decay, Optimizer};

/// Moments of some elements; empty where the optimizer has none.
pub(crate) struct Slices<'a> {
    pub(crate) first: &'a mut [f32],
    pub(crate) second: &'a mut [f32],
    pub(crate) max: &'a mut [f32],
}

/// The same, only to be read.
#[derive(Clone, Copy)]
pub(crate) struct Settled<'a> {
    pub(crate) first: &'a [f32],
    pub(crate) second: &'a [f32],
    pub(crate) max: &'a [f32],
}

impl<'a> Settled<'a> {
    /// The moments of some of the elements.
    #[inline(always)]
    pub(crate) fn part(&self, elements: &Range<usize>) -> Self {
        let part = |moment: &'a [f32]| if moment.is_empty() { moment } else { &moment[elements.clone()] };
        Self { first: part(self.first), second: part(self.second), max: part(self.max) }
    }
}

/// What turns second moments into critical ε after step t.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Correction {
    /// 1 − β2^t.
    bias: f32,
    /// 1 − β2, what one step of an ε that is added at every step contributes.
    in_place_share: f32,
}

impl Correction {
    pub(crate) fn after(steps: u64, Decay { beta2, .. }: Decay) -> Self {
        Self { bias: (1.0 - beta2.powf(steps as f64)) as f32, in_place_share: (1.0 - beta2) as f32 }
    }
}

/// Defines `$name`, which runs `$any` compiled for AVX2 and FMA where the processor has both.
macro_rules! compiled_twice {
    ($(#[$doc:meta])* $name:ident, $fma:ident, $any:ident, ($($argument:ident: $type:ty),*)) => {
        $(#[$doc])*
        pub(crate) fn $name($($argument: $type),*) {
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                #[expect(unsafe_code, reason = "calling a function compiled for AVX2 and FMA")]
                // SAFETY: the processor has both, as just checked.
                unsafe {
                    $fma($($argument),*);
                }
                return;
            }
            $any($($argument),*);
        }

        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        fn $fma($($argument: $type),*) {
            $any($($argument),*);
        }
    };
}

compiled_twice! {
    /// Takes one gradient per element into the moments.
    update, update_fma, update_any, (optimizer: Optimizer, decay: Decay, moments: Slices<'_>, gradients: &[f32])
}

compiled_twice! {
    /// Writes one critical ε per element.
    critical, critical_fma, critical_any,
    (optimizer: Optimizer, correction: Correction, moments: Settled<'_>, epsilons: &mut [f32])
}

/// Asks for values that will be wanted soon.
pub(crate) fn prefetch(values: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    for line in values.chunks(16) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        #[expect(unsafe_code, reason = "a prefetch takes a pointer")]
        // SAFETY: a prefetch of any address is harmless.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast());
        }
    }
}

#[inline(always)]
fn update_any(optimizer: Optimizer, decay: Decay, moments: Slices<'_>, gradients: &[f32]) {
    // Scalars are doubles until an operation on floats takes them, as in PyTorch.
    let (beta1, beta1_rest) = (decay.beta1 as f32, (1.0 - decay.beta1) as f32);
    let (beta2, beta2_rest) = (decay.beta2 as f32, (1.0 - decay.beta2) as f32);
    // v.mul_(β2).addcmul_(x, x, value=1−β2)
    let square = |v: f32, x: f32| (beta2_rest * x).mul_add(x, beta2 * v);
    // m.mul_(β1).add_(g, alpha=1−β1)
    let mean = |m: f32, g: f32| g.mul_add(beta1_rest, beta1 * m);
    let Slices { first, second, max } = moments;
    let seconds = second.iter_mut().zip(gradients);
    match optimizer {
        Optimizer::Adam | Optimizer::RAdam | Optimizer::RmsProp | Optimizer::EAdam => {
            seconds.for_each(|(v, &g)| *v = square(*v, g));
        }
        Optimizer::AmsGrad => seconds.zip(max).for_each(|((v, &g), max)| {
            *v = square(*v, g);
            *max = maximum(*max, *v);
        }),
        Optimizer::RmsPropCentered => seconds.zip(first).for_each(|((v, &g), mean)| {
            *v = square(*v, g);
            *mean = lerp(*mean, g, beta2_rest);
        }),
        // Σ.addcmul_(g, g, value=1)
        Optimizer::AdaGrad => seconds.for_each(|(sum, &g)| *sum = g.mul_add(g, *sum)),
        Optimizer::AdaBelief => seconds.zip(first).for_each(|((s, &g), m)| {
            *m = mean(*m, g);
            *s = square(*s, g - *m);
        }),
        Optimizer::AdaMomentum => seconds.zip(first).for_each(|((s, &g), m)| {
            *m = mean(*m, g);
            *s = square(*s, *m);
        }),
        // v.addcmul_(sign(v − g²), g², value=−(1−β2))
        Optimizer::Yogi => seconds.for_each(|(v, &g)| *v = (-beta2_rest * sign(*v - g * g)).mul_add(g * g, *v)),
    }
}

/// Counts values, and meanwhile writes one critical ε per element.
pub(crate) fn critical_while_counting(
    counter: &mut Counter,
    values: &[f32],
    optimizer: Optimizer,
    correction: Correction,
    moments: Settled<'_>,
    epsilons: &mut [f32],
) {
    with_formula(optimizer, correction, moments, WhileCounting { counter, values, epsilons });
}

#[inline(always)]
fn critical_any(optimizer: Optimizer, correction: Correction, moments: Settled<'_>, epsilons: &mut [f32]) {
    with_formula(optimizer, correction, moments, AtOnce { epsilons });
}

/// Something to be done with the formula of a critical ε, which is a function of second and first moment.
trait WithFormula {
    fn apply(self, second: &[f32], first: &[f32], formula: impl Fn(f32, f32) -> f32);
}

#[inline(always)]
fn with_formula(optimizer: Optimizer, correction: Correction, moments: Settled<'_>, work: impl WithFormula) {
    let Correction { bias, in_place_share } = correction;
    let Settled { first, second, max } = moments;
    let root = move |v: f32, _| (v / bias).sqrt();
    match optimizer {
        Optimizer::Adam | Optimizer::Yogi => work.apply(second, second, root),
        Optimizer::AmsGrad => work.apply(max, max, root),
        Optimizer::RAdam | Optimizer::RmsProp | Optimizer::AdaGrad => work.apply(second, second, |v, _| v.sqrt()),
        // v.addcmul(ḡ, ḡ, value=−1).sqrt_()
        Optimizer::RmsPropCentered => work.apply(second, first, |v, mean| (-mean).mul_add(mean, v).sqrt()),
        Optimizer::AdaBelief | Optimizer::AdaMomentum | Optimizer::EAdam => {
            work.apply(second, second, move |s, _| in_place_share * s / bias);
        }
    }
}

struct AtOnce<'a> {
    epsilons: &'a mut [f32],
}

impl WithFormula for AtOnce<'_> {
    #[inline(always)]
    fn apply(self, second: &[f32], first: &[f32], formula: impl Fn(f32, f32) -> f32) {
        Remaining { second, first, epsilons: self.epsilons, formula }.advance(0..second.len());
    }
}

struct WhileCounting<'a> {
    counter: &'a mut Counter,
    values: &'a [f32],
    epsilons: &'a mut [f32],
}

impl WithFormula for WhileCounting<'_> {
    #[inline(always)]
    fn apply(self, second: &[f32], first: &[f32], formula: impl Fn(f32, f32) -> f32) {
        self.counter.count_beside(self.values, Remaining { second, first, epsilons: self.epsilons, formula });
    }
}

/// Critical ε to be computed.
struct Remaining<'a, F> {
    second: &'a [f32],
    first: &'a [f32],
    epsilons: &'a mut [f32],
    formula: F,
}

impl<F: Fn(f32, f32) -> f32> Beside for Remaining<'_, F> {
    #[inline(always)]
    fn advance(&mut self, elements: Range<usize>) {
        let (second, last_second) = self.second[elements.clone()].as_chunks::<8>();
        let (first, last_first) = self.first[elements.clone()].as_chunks::<8>();
        let (epsilons, last_epsilons) = self.epsilons[elements].as_chunks_mut::<8>();
        for ((epsilons, second), first) in epsilons.iter_mut().zip(second).zip(first) {
            // Eight are computed before any is written: nothing tells the compiler that these are different places.
            *epsilons = std::array::from_fn(|lane| (self.formula)(second[lane], first[lane]));
        }
        for ((epsilon, &second), &first) in last_epsilons.iter_mut().zip(last_second).zip(last_first) {
            *epsilon = (self.formula)(second, first);
        }
    }
}

/// `torch.lerp`, which starts from the nearer end.
#[inline(always)]
fn lerp(start: f32, end: f32, weight: f32) -> f32 {
    let difference = end - start;
    if weight < 0.5 { weight.mul_add(difference, start) } else { (weight - 1.0).mul_add(difference, end) }
}

/// `torch.maximum`, which hands NaN on: bits of numbers without a sign are in their order, with NaN above all.
#[inline(always)]
fn maximum(a: f32, b: f32) -> f32 {
    f32::from_bits(a.to_bits().max(b.to_bits()))
}

/// `torch.sign`: 0 of zeros and of NaN.
#[inline(always)]
fn sign(value: f32) -> f32 {
    f32::from(u8::from(value > 0.0)) - f32::from(u8::from(value < 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiled_variants_agree_to_the_last_bit() {
        let gradients: Vec<f32> = (1..1000).map(|i| ((i * 7919 % 1009) as f32 - 500.0) * 1e-5).collect();
        let bits = |values: &[Vec<f32>]| -> Vec<u32> { values.iter().flatten().map(|value| value.to_bits()).collect() };
        for optimizer in Optimizer::ALL {
            let run = |update: fn(_, _, Slices<'_>, &[f32]), critical: fn(_, _, Settled<'_>, &mut [f32])| {
                let [mut first, mut second, mut max] = [1e-3, 1e-6, 1.01e-6].map(|value| vec![value; gradients.len()]);
                let slices = Slices { first: &mut first, second: &mut second, max: &mut max };
                update(optimizer, Decay::default(), slices, &gradients);
                let mut epsilons = vec![0.0; gradients.len()];
                let settled = Settled { first: &first, second: &second, max: &max };
                critical(optimizer, Correction::after(3, Decay::default()), settled, &mut epsilons);
                bits(&[first, second, max, epsilons])
            };
            assert_eq!(run(update, critical), run(update_any, critical_any), "{optimizer}");
        }
    }
}
