//! PyTorch's in-place operations with their `alpha` and `value` arguments, which tch leaves out, to the same bits.
//!
//! PyTorch's CPU kernels multiply the first factor by `value` and fuse the rest into one multiply-add. So does
//! `addcmul_` with a factor that is multiplied already. Half-precision kernels compute in `f32` and round the result,
//! hence the detour over a wider kind; without it a factor is rounded too.

use tch::{Kind, TchError, Tensor};

/// `sum.add_(x, alpha=alpha)`: sum ← sum + alpha·x.
pub(crate) fn add_scaled(sum: &mut Tensor, x: &Tensor, alpha: f64) -> Result<(), TchError> {
    let alpha = Tensor::f_full([0_i64; 0], alpha, (sum.kind(), sum.device()))?;
    in_wider_kind(sum, |sum| sum.f_addcmul_(x, &alpha))
}

/// `sum.addcmul_(x, y, value=value)`: sum ← sum + value·x·y.
pub(crate) fn add_product(sum: &mut Tensor, x: &Tensor, y: &Tensor, value: f64) -> Result<(), TchError> {
    let scaled = scaled(x, value)?;
    in_wider_kind(sum, |sum| sum.f_addcmul_(&scaled, y))
}

/// `sum.addcdiv_(x, y, value=value)`: sum ← sum + value·x/y.
pub(crate) fn add_quotient(sum: &mut Tensor, x: &Tensor, y: &Tensor, value: f64) -> Result<(), TchError> {
    let scaled = scaled(x, value)?;
    in_wider_kind(sum, |sum| sum.f_addcdiv_(&scaled, y))
}

/// `tensor.mul_(factor)`.
pub(crate) fn scale(tensor: &mut Tensor, factor: f64) -> Result<(), TchError> {
    in_wider_kind(tensor, |tensor| tensor.f_mul_scalar_(factor))
}

/// `mean.mul_(beta).add_(x, alpha=1 - beta)`: the exponential moving average of x.
pub(crate) fn average(mean: &mut Tensor, x: &Tensor, beta: f64) -> Result<(), TchError> {
    scale(mean, beta)?;
    add_scaled(mean, x, 1.0 - beta)
}

/// `mean.mul_(beta).addcmul_(x, x, value=1 - beta)`: the exponential moving average of x².
pub(crate) fn average_square(mean: &mut Tensor, x: &Tensor, beta: f64) -> Result<(), TchError> {
    scale(mean, beta)?;
    add_product(mean, x, x, 1.0 - beta)
}

fn scaled(x: &Tensor, value: f64) -> Result<Tensor, TchError> {
    x.f_to_kind(wider_kind(x))?.f_mul_scalar(value)
}

/// Runs an operation on the tensor itself, or on a wider copy of it that is rounded afterwards.
fn in_wider_kind(
    tensor: &mut Tensor,
    operation: impl FnOnce(&mut Tensor) -> Result<Tensor, TchError>,
) -> Result<(), TchError> {
    let mut wider = tensor.f_to_kind(wider_kind(tensor))?;
    let _in_place = operation(&mut wider)?;
    // Copying a tensor onto itself does nothing.
    tensor.f_copy_(&wider)
}

/// The kind that libtorch computes in.
fn wider_kind(tensor: &Tensor) -> Kind {
    match tensor.kind() {
        Kind::Half | Kind::BFloat16 => Kind::Float,
        kind => kind,
    }
}
