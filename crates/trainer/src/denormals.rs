//! Numbers below the normal ones, which processors compute with many times slower.

/// Takes numbers below the least normal one for zero from now on, in this thread and those that it starts.
///
/// # Errors
/// If this processor is none that it is known of.
#[cfg_attr(
    any(target_arch = "x86_64", target_arch = "aarch64"),
    expect(clippy::unnecessary_wraps, reason = "of other processors nothing is known")
)]
pub(crate) fn flush() -> anyhow::Result<()> {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    {
        set_flags();
        Ok(())
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    anyhow::bail!("--flush-denormals: not known of this processor: leave it out")
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "no library sets these flags for libtorch's threads")]
fn set_flags() {
    /// Operands and results: Intel's Software Developer's Manual, volume 1, 10.2.3.
    const DENORMALS_ARE_ZERO: u32 = 1 << 6;
    const FLUSH_TO_ZERO: u32 = 1 << 15;
    let mut flags = 0_u32;
    // SAFETY: both instructions take the address of four bytes; no exception is unmasked.
    unsafe {
        std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut flags, options(nostack));
        flags |= DENORMALS_ARE_ZERO | FLUSH_TO_ZERO;
        std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const flags, options(nostack, readonly));
    }
}

#[cfg(target_arch = "aarch64")]
#[expect(unsafe_code, reason = "no library sets this flag for libtorch's threads")]
fn set_flags() {
    /// Operands and results: Arm's Architecture Reference Manual, register FPCR.
    const FLUSH_TO_ZERO: u64 = 1 << 24;
    let mut flags: u64;
    // SAFETY: they read and write one register; no exception is unmasked.
    unsafe {
        std::arch::asm!("mrs {}, fpcr", out(reg) flags, options(nomem, nostack));
        flags |= FLUSH_TO_ZERO;
        std::arch::asm!("msr fpcr, {}", in(reg) flags, options(nomem, nostack));
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::thread;

    fn half_of_the_least() -> f32 {
        black_box(f32::MIN_POSITIVE) * black_box(0.5)
    }

    #[test]
    fn threads_started_afterwards_flush_as_well() {
        // In a thread of its own: other tests see denormals as before.
        let flushing = thread::spawn(|| {
            assert!(half_of_the_least() > 0.0);
            super::flush().unwrap();
            [half_of_the_least(), thread::spawn(half_of_the_least).join().unwrap()]
        });
        assert_eq!(flushing.join().unwrap().map(f32::to_bits), [0; 2]);
        assert!(half_of_the_least() > 0.0);
    }
}
