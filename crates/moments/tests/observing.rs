//! One pass over a gradient against the separate passes: to the last bit, but for sums of squares of critical ε.

use epsiloscope_histogram::{Counter, Summary};
use epsiloscope_moments::{Decay, Moments, Observed, Observer, Optimizer};
use proptest::collection::vec;
use proptest::prelude::*;

/// 2^-22, which the roundings of a critical ε change its square by, and the sums' own roundings.
const SUM_ERROR: f64 = 1.0 / 4_194_304.0 + 1e-11;

/// Gradients spread over exponents, with zeros and what is not finite among them.
fn gradients() -> impl Strategy<Value = Vec<f32>> {
    let usual = (-30f32..3.0, any::<bool>()).prop_map(|(log, negative)| if negative { -log.exp() } else { log.exp() });
    let special = prop::sample::select(vec![0.0, -0.0, 1e-40, f32::MAX, f32::INFINITY, f32::NAN]);
    let rarely_special = prop_oneof![500 => usual, 1 => special];
    prop_oneof![vec(rarely_special.clone(), 0..40), vec(rarely_special, 2000..9000)]
}

fn apart(counter: &mut Counter, values: &[f32]) -> Observed {
    counter.count(values);
    Observed { histogram: counter.take(), summary: Summary::of(values) }
}

fn begin(numel: usize) -> Vec<Moments> {
    Optimizer::ALL.map(|optimizer| Moments::new(optimizer, Decay::default(), numel)).to_vec()
}

/// NaN equals itself here.
fn bits(moments: &[Moments]) -> Vec<Vec<u32>> {
    let of = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect();
    moments.iter().flat_map(|moments| [of(moments.first()), of(moments.second()), of(moments.max())]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn prop_one_pass_equals_separate_passes(tensors in vec(gradients(), 1..4)) {
        let (mut observer, mut counter) = (Observer::new(), Counter::new());
        for tensor in &tensors {
            let (mut fused, mut separate) = (begin(tensor.len()), begin(tensor.len()));
            for step in 0..3 {
                let (gradient, critical) = observer.observe(tensor, &mut fused, step != 1);
                prop_assert_eq!(gradient, apart(&mut counter, tensor));
                for moments in &mut separate {
                    moments.update(0, tensor);
                    moments.end_step();
                }
                prop_assert_eq!(bits(&fused), bits(&separate));
                let of = |moments: &Moments| apart(&mut counter, &moments.critical_epsilon());
                let expected: Vec<Observed> = if step == 1 { Vec::new() } else { separate.iter().map(of).collect() };
                prop_assert_eq!(critical.len(), expected.len());
                if step != 1 {
                    let lent: Vec<Observed> = fused.iter().map(|each| observer.observe_lent(&each.lent())).collect();
                    prop_assert_eq!(&lent, &critical);
                }
                for (fused, apart) in critical.into_iter().zip(expected) {
                    let [sum, of_rounded] = [&fused, &apart].map(|observed| observed.summary.sum_of_squares);
                    prop_assert!((sum - of_rounded).abs() <= SUM_ERROR * of_rounded, "{} {}", sum, of_rounded);
                    let summary = Summary { sum_of_squares: of_rounded, ..fused.summary };
                    prop_assert_eq!(Observed { summary, ..fused }, apart);
                }
            }
        }
    }
}

#[test]
#[should_panic(expected = "one gradient per element")]
fn a_gradient_of_another_length_is_refused() {
    Observer::new().observe(&[1.0, 2.0], &mut begin(3), true);
}
