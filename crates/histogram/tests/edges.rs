//! The bins against exact integer arithmetic: `x` lies in bin `b` or above iff `x^40 >= 10^b`, no logarithm involved.

use epsiloscope_histogram::bins::{self, MAX_BIN, MIN_BIN, bin_of, first_float, lower_edge};
use num_bigint::BigUint;

/// Whether `x >= 10^(bin/40)`, exactly: with x = m·2^e, both sides of `m^40 · 2^(40e) >= 10^bin` are made integers.
fn at_or_above(x: f32, bin: i32) -> bool {
    let bits = x.to_bits();
    let (exponent_bits, mantissa_bits) = (bits >> 23, bits & 0x007f_ffff);
    let (mantissa, exponent) = if exponent_bits == 0 {
        (mantissa_bits, -149)
    } else {
        (mantissa_bits | 0x0080_0000, exponent_bits as i32 - 150)
    };
    let (mut left, mut right) = (BigUint::from(mantissa).pow(40), BigUint::from(1u32));
    let power = BigUint::from(10u32).pow(bin.unsigned_abs());
    if bin >= 0 {
        right *= power;
    } else {
        left *= power;
    }
    let shift = 40 * exponent;
    if shift >= 0 {
        left <<= shift as u32;
    } else {
        right <<= shift.unsigned_abs();
    }
    left >= right
}

fn exact_bin(x: f32) -> i32 {
    let guess = (40.0 * f64::from(x).log10()).floor() as i32;
    (guess - 1..=guess + 1).rev().find(|&bin| at_or_above(x, bin)).expect("log10 is right to within one bin")
}

#[test]
fn every_edge_and_both_its_neighbours_fall_where_exact_arithmetic_puts_them() {
    for bin in MIN_BIN..=MAX_BIN {
        let first = first_float(bin);
        assert!(at_or_above(first, bin), "bin {bin}: {first:e} is below the edge");
        let below = f32::from_bits(first.to_bits() - 1);
        assert!(below == 0.0 || !at_or_above(below, bin), "bin {bin}: {below:e} is above the edge too");
        for value in [below, first, f32::from_bits(first.to_bits() + 1)] {
            if value > 0.0 && value.is_finite() {
                assert_eq!(bin_of(value), Some(exact_bin(value)), "{value:e}");
                assert_eq!(bin_of(-value), bin_of(value), "{value:e}");
            }
        }
    }
}

#[test]
fn powers_of_ten_subnormals_and_extremes_are_exact() {
    let powers = (-44..=38).map(|power| format!("1e{power}").parse::<f32>().unwrap());
    let subnormals = (0..23).flat_map(|shift| [1u32 << shift, (1 << shift) + 1, (2 << shift) - 1]).map(f32::from_bits);
    let extremes = [f32::MAX, f32::MIN_POSITIVE, f32::from_bits(1), f32::from_bits(0x007f_ffff), 1.0];
    for value in powers.chain(subnormals).chain(extremes) {
        assert_eq!(bin_of(value), Some(exact_bin(value)), "{value:e}");
    }
    assert_eq!(bin_of(f32::from_bits(1)), Some(MIN_BIN));
    assert_eq!(bin_of(f32::MAX), Some(MAX_BIN));
    for value in [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -f32::NAN, f32::from_bits(0x7f80_0001)] {
        assert_eq!(bin_of(value), None, "{value:e}");
    }
}

/// Every 251st float of all positive ones (8.5 million) against `log10` in `f64`, whose error of a few units in the
/// last place cannot carry a float over an edge: the first test shows that none is nearer than 1e-12 to an edge it is
/// not on.
#[test]
fn floats_of_every_size_agree_with_log10_in_double_precision() {
    for bits in (1..0x7f80_0000u32).step_by(251) {
        let value = f32::from_bits(bits);
        let scaled = 40.0 * f64::from(value).log10();
        let near_edge = (scaled - scaled.round()).abs() < 1e-9;
        let expected = if near_edge { exact_bin(value) } else { scaled.floor() as i32 };
        assert_eq!(bin_of(value), Some(expected), "{value:e}");
    }
}

#[test]
fn no_irrational_edge_is_so_near_a_float_that_an_error_of_its_double_could_matter() {
    for bin in (MIN_BIN..=MAX_BIN).filter(|bin| bin % 40 != 0) {
        let edge = lower_edge(bin, 40);
        let first = first_float(bin);
        for value in [f32::from_bits(first.to_bits() - 1), first] {
            let distance = (f64::from(value) / edge - 1.0).abs();
            assert!(distance > 1e-12, "bin {bin}: {value:e} is {distance:e} from the edge");
        }
    }
}

#[test]
fn powers_of_ten_are_edges_at_every_width() {
    for bins_per_decade in (1..=40).filter(|&n| bins::divides(n)) {
        for power in [-300, -30, -8, -1, 0, 1, 10, 38] {
            let edge = lower_edge(power * bins_per_decade as i32, bins_per_decade);
            assert_eq!(edge.to_string(), format!("1e{power}").parse::<f64>().unwrap().to_string());
        }
    }
}
