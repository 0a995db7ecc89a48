//! One pass over the elements; compiled for FMA where the processor has it, with the same bits where it has not.

use std::ops::Range;

use epsiloscope_histogram::{Image, Power};

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

    /// The moment that the denominator is made of, but for a mean.
    #[inline(always)]
    pub(crate) fn denominator(&self, optimizer: Optimizer) -> &'a [f32] {
        if optimizer == Optimizer::AmsGrad { self.max } else { self.second }
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

/// A critical ε as a function of one moment, which grows with it.
#[derive(Clone, Copy)]
enum Formula {
    /// √(v/`bias`), where no correction is made with a bias of 1.
    Root { bias: f32 },
    /// `share`·s/`bias`.
    InPlace { share: f32, bias: f32 },
}

impl Formula {
    /// `None` if critical ε follow from two moments.
    fn of(optimizer: Optimizer, Correction { bias, in_place_share: share }: Correction) -> Option<Self> {
        match optimizer {
            Optimizer::Adam | Optimizer::AmsGrad | Optimizer::Yogi => Some(Self::Root { bias }),
            Optimizer::RAdam | Optimizer::RmsProp | Optimizer::AdaGrad => Some(Self::Root { bias: 1.0 }),
            Optimizer::AdaBelief | Optimizer::AdaMomentum | Optimizer::EAdam => Some(Self::InPlace { share, bias }),
            Optimizer::RmsPropCentered => None,
        }
    }

    #[inline(always)]
    fn apply(self, moment: f32) -> f32 {
        match self {
            Self::Root { bias } => (moment / bias).sqrt(),
            Self::InPlace { share, bias } => share * moment / bias,
        }
    }
}

/// The function that takes moments to critical ε, if these follow from one.
///
/// Where nothing underflows or overflows its two roundings change √(v/c) by 3·2^-25 of itself, k·s/c by 2^-23.
pub(crate) fn image(optimizer: Optimizer, correction: Correction) -> Option<Image<impl Fn(f32) -> f32>> {
    let formula = Formula::of(optimizer, correction)?;
    let (power, factor, regular) = match formula {
        Formula::Root { bias } => (Power::Half, f64::from(bias).powf(-0.5), f32::MIN_POSITIVE..bias * (f32::MAX / 4.0)),
        Formula::InPlace { share, bias } => {
            (Power::One, f64::from(share) / f64::from(bias), 2.0 * f32::MIN_POSITIVE / share..f32::MAX / 4.0)
        }
    };
    Image::new(move |moment| formula.apply(moment), power, factor, regular)
}

#[inline(always)]
fn critical_any(optimizer: Optimizer, correction: Correction, moments: Settled<'_>, epsilons: &mut [f32]) {
    let denominators = epsilons.iter_mut().zip(moments.denominator(optimizer));
    match Formula::of(optimizer, correction) {
        Some(formula @ Formula::Root { .. }) => denominators.for_each(|(epsilon, &v)| *epsilon = formula.apply(v)),
        Some(formula @ Formula::InPlace { .. }) => denominators.for_each(|(epsilon, &s)| *epsilon = formula.apply(s)),
        // v.addcmul(ḡ, ḡ, value=−1).sqrt_()
        None => denominators
            .zip(moments.first)
            .for_each(|((epsilon, &v), &mean)| *epsilon = (-mean).mul_add(mean, v).sqrt()),
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
    use epsiloscope_histogram::{Counter, Histogram, Summarizer};

    use super::*;

    /// Counts floats from given bits on as moments and, the slow way, by their critical ε; whether the first was done.
    fn compare_counts(counters: &mut [Counter; 2], optimizer: Optimizer, correction: Correction, first: u32) -> bool {
        let values: Vec<f32> = (first..first + (1 << 20)).map(f32::from_bits).collect();
        let moments = Settled { first: &[], second: &values, max: &[] };
        let image = image(optimizer, correction).unwrap();
        let mut epsilons = vec![0.0; values.len()];
        critical(optimizer, correction, moments, &mut epsilons);
        let [counter, by_epsilons] = counters;
        let is_counted = counter.observe_images(&values, &image, &mut Summarizer::default());
        by_epsilons.count(&epsilons);
        let expected = by_epsilons.take();
        assert_eq!(counter.take(), if is_counted { expected } else { Histogram::default() }, "{optimizer} {first:x}");
        is_counted
    }

    /// Every moment that is counted without computing its critical ε is counted where that belongs.
    #[test]
    fn every_moment_is_counted_in_its_critical_epsilons_bin() {
        let after = |steps, beta2| Correction::after(steps, Decay { beta2, ..Decay::default() });
        let cases = [
            (Optimizer::Adam, after(3, 0.999)),
            (Optimizer::RmsProp, after(1, 0.999)),
            (Optimizer::AdaBelief, after(2, 0.999)),
            (Optimizer::EAdam, after(40_000, 0.9999)),
        ];
        std::thread::scope(|scope| {
            for (optimizer, correction) in cases {
                scope.spawn(move || {
                    let mut counters = [Counter::new(), Counter::new()];
                    let mut is_counted = |first| compare_counts(&mut counters, optimizer, correction, first);
                    let n_counted = (0..1 << 31).step_by(1 << 20).filter(|&first| is_counted(first)).count();
                    assert!(n_counted > 1700, "{optimizer}: {n_counted} of 2048");
                });
            }
        });
    }

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
