//! Synthetic gradients for benchmarks.

/// Magnitudes with log10 normal around 1e-6, deviation 1.6 decades, as gradients of deep networks have.
pub(crate) fn log_normal() -> Box<dyn FnMut() -> f32> {
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
