//! The one thing that the engine cannot say in safe code.

/// Asks the processor to have the cache line of `at` at hand soon; nothing is read. The line is not waited for, unlike
/// with a read, which keeps its place among what the core has under way until it is done.
#[inline(always)]
pub(crate) fn prefetch<T>(at: &T) {
    prefetch_address(core::ptr::from_ref(at));
}

/// The same of an address, whatever is there, if anything.
#[inline(always)]
pub(crate) fn prefetch_address<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch is a hint that cannot fault and changes nothing, whatever the address.
    #[allow(unsafe_code, reason = "the only line; what it buys is in docs/decisions/0006-plain-packets.md")]
    unsafe {
        core::arch::x86_64::_mm_prefetch(at.cast(), core::arch::x86_64::_MM_HINT_T0);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}
