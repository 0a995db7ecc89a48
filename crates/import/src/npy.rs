//! The header of an npy file: NumPy's dictionary of type, order and shape.
//!
//! ```text
//! \x93NUMPY · version u8 u8 · length u16 or u32 · {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
//! ```

use std::io::{self, Read};

use half::{bf16, f16};

/// NumPy's own limit for headers that it trusts.
const MAX_HEADER_BYTES: usize = 10_000;
/// Dimensions that NumPy's arrays have at most.
const MAX_DIMENSIONS: usize = 64;

/// A float that gradients are kept as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Half,
    Brain,
    Single,
    Double,
}

impl Kind {
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Half | Self::Brain => 2,
            Self::Single => 4,
            Self::Double => 8,
        }
    }

    /// Values of these bytes as the floats next to them.
    pub(crate) fn values(self, bytes: &[u8], is_big_endian: bool) -> Vec<f32> {
        fn each<const N: usize>(bytes: &[u8], is_big: bool, value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
            let ordered = |mut bytes: [u8; N]| {
                if is_big {
                    bytes.reverse();
                }
                bytes
            };
            bytes.as_chunks().0.iter().map(|&bytes| value(ordered(bytes))).collect()
        }
        match self {
            Self::Half => each(bytes, is_big_endian, |bytes| f16::from_le_bytes(bytes).to_f32()),
            Self::Brain => each(bytes, is_big_endian, |bytes| bf16::from_le_bytes(bytes).to_f32()),
            Self::Single => each(bytes, is_big_endian, f32::from_le_bytes),
            Self::Double => each(bytes, is_big_endian, |bytes| f64::from_le_bytes(bytes) as f32),
        }
    }
}

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) is_big_endian: bool,
    /// Whether the first index moves fastest.
    pub(crate) is_fortran: bool,
    pub(crate) shape: Vec<u64>,
}

impl Header {
    /// Reads it; what is wrong, as a sentence.
    pub(crate) fn read(from: &mut impl Read) -> Result<Self, String> {
        let short = |fault: io::Error| format!("an array without a whole header ({fault})");
        let mut start = [0; 8];
        from.read_exact(&mut start).map_err(short)?;
        let [magic @ .., major, _minor] = start;
        if magic != *b"\x93NUMPY" {
            return Err("an array that is no npy file".to_owned());
        }
        let mut len = [0; 4];
        let n_len_bytes = if major == 1 { 2 } else { 4 };
        from.read_exact(&mut len[..n_len_bytes]).map_err(short)?;
        let len = u32::from_le_bytes(len) as usize;
        if MAX_HEADER_BYTES < len {
            return Err(format!("a header of {len} bytes: expected at most {MAX_HEADER_BYTES}"));
        }
        let mut text = vec![0; len];
        from.read_exact(&mut text).map_err(short)?;
        let text = String::from_utf8(text).map_err(|_bytes| "a header that is no text".to_owned())?;
        Self::parsed(&text)
    }

    fn parsed(text: &str) -> Result<Self, String> {
        let expected = || format!("expected a header with descr, fortran_order and shape, found {:?}", text.trim());
        let after = |key: &str| text.split_once(key).map(|(_, rest)| rest.trim_start());
        let descr =
            after("'descr':").and_then(|rest| rest.strip_prefix('\'')?.split_once('\'')).ok_or_else(expected)?.0;
        let is_fortran = match after("'fortran_order':").ok_or_else(expected)? {
            rest if rest.starts_with("True") => true,
            rest if rest.starts_with("False") => false,
            _ => return Err(expected()),
        };
        let sizes = after("'shape':").and_then(|rest| rest.strip_prefix('(')?.split_once(')')).ok_or_else(expected)?.0;
        let sizes = sizes.split(',').map(str::trim).filter(|size| !size.is_empty());
        let shape: Vec<u64> =
            sizes.map(|size| size.parse().map_err(|_no_number| expected())).collect::<Result<_, _>>()?;
        let (order, name) = descr.split_at_checked(1).ok_or_else(expected)?;
        let kind = match name {
            "f2" => Kind::Half,
            "f4" => Kind::Single,
            "f8" => Kind::Double,
            _ => return Err(format!("type {descr}: expected floats (f2, f4 or f8)")),
        };
        if MAX_DIMENSIONS < shape.len() {
            return Err(format!("{} dimensions: expected at most {MAX_DIMENSIONS}", shape.len()));
        }
        Ok(Self { kind, is_big_endian: order == ">", is_fortran, shape })
    }

    /// Bytes of the array; `None` if no file can have so many.
    pub(crate) fn n_bytes(&self) -> Option<u64> {
        let numel = self.shape.iter().try_fold(1u64, |product, &size| product.checked_mul(size))?;
        numel.checked_mul(self.kind.bytes() as u64).filter(|&bytes| i64::try_from(bytes).is_ok())
    }

    /// The array's elements from its bytes, the last index moving fastest.
    pub(crate) fn values(&self, bytes: &[u8]) -> Vec<f32> {
        let values = self.kind.values(bytes, self.is_big_endian);
        if self.is_fortran && 1 < self.shape.len() { self.reordered(&values) } else { values }
    }

    /// From first index fastest to last index fastest.
    fn reordered(&self, values: &[f32]) -> Vec<f32> {
        let mut strides = Vec::with_capacity(self.shape.len());
        let mut stride = 1;
        for &size in &self.shape {
            strides.push(stride);
            stride *= size as usize;
        }
        let mut index = vec![0u64; self.shape.len()];
        let mut reordered = Vec::with_capacity(values.len());
        for _element in 0..values.len() {
            let position: usize = index.iter().zip(&strides).map(|(&at, stride)| at as usize * stride).sum();
            reordered.push(values[position]);
            for (at, &size) in index.iter_mut().zip(&self.shape).rev() {
                *at += 1;
                if *at < size {
                    break;
                }
                *at = 0;
            }
        }
        reordered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> Result<Header, String> {
        Header::parsed(text)
    }

    #[test]
    fn headers_are_numpys() {
        let found = header("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }          \n").unwrap();
        assert_eq!((found.kind, found.shape.as_slice(), found.n_bytes()), (Kind::Single, &[3, 4][..], Some(48)));
        let found = header("{'descr': '>f8', 'fortran_order': True, 'shape': (5,), }").unwrap();
        assert!(found.is_big_endian && found.is_fortran && found.shape == [5]);
        assert_eq!(header("{'descr': '|f2', 'fortran_order': False, 'shape': (), }").unwrap().n_bytes(), Some(2));
        for text in [
            "",
            "{}",
            "{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }",
            "{'descr': '<f4', 'fortran_order': Maybe, 'shape': (3,), }",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-3,), }",
            "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,), }",
        ] {
            assert!(header(text).is_err(), "{text}");
        }
        let huge = header("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }").unwrap();
        assert_eq!(huge.n_bytes(), None);
    }

    #[test]
    fn columns_become_rows() {
        let header = header("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }").unwrap();
        // [[1, 2, 3], [4, 5, 6]] column by column.
        let bytes: Vec<u8> = [1f32, 4.0, 2.0, 5.0, 3.0, 6.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(header.values(&bytes), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    }
}
