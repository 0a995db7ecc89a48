//! Parquet's hybrid of run lengths and packed bits, taken as the runs that it is.
//!
//! Format: Apache Parquet, Encodings.md, "Run Length Encoding / Bit-Packing Hybrid".

use crate::thrift::{Malformed, varint};

/// Tells `each` the numbers of `width` bits that `bytes` hold, as runs, until there are `n`. Equal runs may follow each other.
///
/// # Errors
/// [`Malformed`] if `bytes` end early or hold a run beyond `n`; what `each` refuses.
pub(crate) fn for_each_run<E: From<Malformed>>(
    mut bytes: &[u8],
    width: u8,
    n: usize,
    mut each: impl FnMut(u32, usize) -> Result<(), E>,
) -> Result<(), E> {
    let width = usize::from(width);
    if u32::BITS as usize <= width {
        return Err("numbers of more than 31 bits".into());
    }
    let mut n_left = n;
    while 0 < n_left {
        let header = varint(&mut bytes)?;
        let count = usize::try_from(header >> 1).ok().filter(|&count| count <= n).ok_or("a run beyond its page")?;
        let is_packed = header & 1 == 1;
        // Packed numbers come in groups of eight, of which the last may reach beyond the page.
        let n_bytes = if is_packed { count * width } else { width.div_ceil(8) };
        let encoded = bytes.split_off(..n_bytes).ok_or("an early end")?;
        if is_packed {
            let n_packed = n_left.min(8 * count);
            (0..n_packed).try_for_each(|index| each(bits(encoded, index * width, width), 1))?;
            n_left -= n_packed;
        } else {
            n_left = n_left.checked_sub(count).ok_or("a run beyond its page")?;
            each(bits(encoded, 0, width), count)?;
        }
    }
    Ok(())
}

/// `width` bits from bit `at` on, the lowest first.
fn bits(bytes: &[u8], at: usize, width: usize) -> u32 {
    let from = &bytes[at / 8..];
    let mut eight = [0; 8];
    let n_bytes = from.len().min(eight.len());
    eight[..n_bytes].copy_from_slice(&from[..n_bytes]);
    (u64::from_le_bytes(eight) >> (at % 8)) as u32 & ((1 << width) - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbers(bytes: &[u8], width: u8, n: usize) -> Result<Vec<u32>, Malformed> {
        let mut numbers = Vec::new();
        for_each_run(bytes, width, n, |number, count| {
            numbers.extend(std::iter::repeat_n(number, count));
            Ok::<(), Malformed>(())
        })?;
        Ok(numbers)
    }

    fn header(value: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = value;
        while 0x80 <= rest {
            bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push(rest as u8);
        bytes
    }

    /// Bit by bit, as the format's text says it.
    fn packed(numbers: &[u32], width: u8) -> Vec<u8> {
        let mut bytes = vec![0; numbers.len().div_ceil(8) * usize::from(width)];
        let set = |(index, number): (usize, &u32)| {
            let at = move |bit: u8| index * usize::from(width) + usize::from(bit);
            (0..width).filter(move |bit| number >> bit & 1 == 1).map(at).collect::<Vec<usize>>()
        };
        for at in numbers.iter().enumerate().flat_map(set) {
            bytes[at / 8] |= 1 << (at % 8);
        }
        bytes
    }

    proptest! {
        #[test]
        fn prop_runs_and_packed_numbers_are_those_that_were_encoded(
            width in 0u8..32,
            pieces in prop::collection::vec((any::<u32>(), 1usize..300, any::<bool>()), 0..8),
            n_cut in 0usize..8,
        ) {
            let number = |seed: u32| seed & ((1u64 << width) - 1) as u32;
            let (mut bytes, mut expected) = (Vec::new(), Vec::new());
            for (seed, count, is_packed) in pieces {
                if is_packed {
                    let varied: Vec<u32> = (0..8 * count as u32).map(|i| number(seed.wrapping_mul(i + 1))).collect();
                    bytes.extend(header(count << 1 | 1));
                    bytes.extend(packed(&varied, width));
                    expected.extend(varied);
                } else {
                    bytes.extend(header(count << 1));
                    bytes.extend(&number(seed).to_le_bytes()[..usize::from(width).div_ceil(8)]);
                    expected.extend(std::iter::repeat_n(number(seed), count));
                }
            }
            prop_assert_eq!(numbers(&bytes, width, expected.len()), Ok(expected.clone()));
            // Nothing panics, and nothing is made up, where bytes are missing.
            if n_cut < bytes.len() && !expected.is_empty() {
                prop_assert!(numbers(&bytes[..bytes.len() - n_cut - 1], width, expected.len()).is_err() || width == 0);
            }
        }

        #[test]
        fn prop_any_bytes_end_in_numbers_or_a_refusal(
            bytes in prop::collection::vec(any::<u8>(), 0..100), width in any::<u8>(), n in 0usize..1000,
        ) {
            let found = numbers(&bytes, width, n);
            prop_assert!(found.is_err() || found.is_ok_and(|numbers| numbers.len() == n));
        }
    }
}
