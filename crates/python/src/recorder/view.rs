//! Memory of Python's that is read where it lies.

use pyo3::PyResult;
use pyo3::exceptions::PyValueError;

/// An address, and how many numbers lie there: `tensor.data_ptr()` and `tensor.numel()` of a contiguous tensor on the CPU.
pub(super) type View = (usize, usize);

/// Numbers that a view is of.
///
/// # Errors
/// `ValueError` for an address where no such number can lie.
pub(super) fn numbers<'a, T: Number>((address, len): View) -> PyResult<&'a [T]> {
    if len == 0 {
        return Ok(&[]);
    }
    let pointer = std::ptr::with_exposed_provenance::<T>(address);
    if pointer.is_null() || !pointer.is_aligned() {
        return Err(PyValueError::new_err(format!(
            "no numbers at {address:#x}: expected a contiguous tensor on the CPU"
        )));
    }
    #[expect(unsafe_code, reason = "reading gradients where they are spares a copy of all of them")]
    // SAFETY: `epsiloscope.torch`, the only caller, hands over contiguous tensors of this type on the CPU and keeps them
    // during the call; nobody writes to a gradient or a moment around an optimizer's step, when the recorder runs.
    Ok(unsafe { std::slice::from_raw_parts(pointer, len) })
}

/// What views are of; every pattern of bits is one.
pub(super) trait Number: Copy {}

impl Number for f32 {}
impl Number for i32 {}

/// Numbers as bytes, which Python copies into a tensor.
pub(super) fn bytes<const N: usize, T: Copy>(numbers: &[T], bytes_of: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    numbers.iter().flat_map(|&number| bytes_of(number)).collect()
}
