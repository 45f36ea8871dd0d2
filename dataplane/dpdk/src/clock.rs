//! Time from the cycle counter: one instruction, no system call.

use sekisho_dpdk_sys as sys;

use crate::eal::Eal;

/// The cycle counter now.
#[inline]
pub fn cycles() -> u64 {
    // SAFETY: FFI (a static inline); reads a counter, no precondition.
    unsafe { sys::shim_rdtsc() }
}

/// Cycles per second, as EAL measured or read it at its start.
pub fn hertz(_started: &Eal) -> u64 {
    // SAFETY: FFI; the number is set by `rte_eal_init`, which has returned, as the argument proves.
    unsafe { sys::rte_get_tsc_hz() }
}

/// Nanoseconds of `CLOCK_MONOTONIC`, reckoned from the cycle counter. Each thread has one of its own.
///
/// EAL knows the frequency to some parts in a thousand only, so [`Clock::discipline`] is to be called now and then:
/// it compares with the kernel's clock and corrects the rate. Time never goes back.
#[derive(Clone, Debug)]
pub struct Clock {
    base_cycles: u64,
    base_ns: u64,
    /// Nanoseconds per cycle, as a fixed-point number with 32 bits after the point.
    rate: u64,
    last_ns: u64,
    first_cycles: u64,
    first_ns: u64,
}

/// Below this, the kernel's own jitter would spoil the rate.
const DISCIPLINE_AFTER_NS: u64 = 100_000_000;

impl Clock {
    /// Starts at the kernel's time of now.
    pub fn new(eal: &Eal) -> Self {
        Self::at(cycles(), monotonic_ns(), hertz(eal))
    }

    fn at(cycles: u64, ns: u64, hertz: u64) -> Self {
        let rate = rate_of(1_000_000_000, hertz.max(1));
        Self { base_cycles: cycles, base_ns: ns, rate, last_ns: ns, first_cycles: cycles, first_ns: ns }
    }

    /// Nanoseconds of the monotonic clock, now.
    #[inline]
    pub fn now_ns(&mut self) -> u64 {
        self.reckon(cycles())
    }

    #[inline]
    fn reckon(&mut self, cycles: u64) -> u64 {
        let passed = u128::from(cycles.saturating_sub(self.base_cycles));
        let passed_ns = u64::try_from((passed * u128::from(self.rate)) >> 32).unwrap_or(u64::MAX);
        self.last_ns = self.last_ns.max(self.base_ns.saturating_add(passed_ns));
        self.last_ns
    }

    /// Compares with the kernel's clock and corrects the rate; for housekeeping, from once a second to once a minute.
    pub fn discipline(&mut self) {
        self.correct(cycles(), monotonic_ns());
    }

    fn correct(&mut self, cycles: u64, ns: u64) {
        let passed_ns = ns.saturating_sub(self.first_ns);
        let passed_cycles = cycles.saturating_sub(self.first_cycles);
        if passed_ns < DISCIPLINE_AFTER_NS || passed_cycles == 0 {
            return;
        }
        self.rate = rate_of(passed_ns, passed_cycles);
        self.base_cycles = cycles;
        self.base_ns = ns;
    }
}

fn rate_of(ns: u64, cycles: u64) -> u64 {
    u64::try_from((u128::from(ns) << 32) / u128::from(cycles)).unwrap_or(u64::MAX)
}

fn monotonic_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: FFI; `time` is a valid place for the answer, and this clock always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERTZ: u64 = 2_100_000_000;

    #[test]
    fn a_second_of_cycles_is_a_second() {
        let mut clock = Clock::at(500, 1_000, HERTZ);
        let ns = clock.reckon(500 + HERTZ);
        assert!(ns.abs_diff(1_000_001_000) <= 1, "{ns}");
    }

    #[test]
    fn a_year_does_not_overflow() {
        let mut clock = Clock::at(0, 0, HERTZ);
        let year_s = 365 * 86_400;
        let ns = clock.reckon(HERTZ * year_s);
        assert!(ns.abs_diff(year_s * 1_000_000_000) < 20_000_000, "{ns}");
    }

    #[test]
    fn a_wrong_frequency_is_corrected_and_time_never_goes_back() {
        // EAL believes in one part per thousand too few cycles: time runs fast.
        let mut clock = Clock::at(0, 0, HERTZ - HERTZ / 1000);
        let before = clock.reckon(HERTZ);
        assert!(before > 1_000_000_000);
        clock.correct(HERTZ, 1_000_000_000);
        assert_eq!(clock.reckon(HERTZ), before, "it waits instead of going back");
        let later = clock.reckon(3 * HERTZ);
        assert!(later.abs_diff(3_000_000_000) < 1_000, "{later}");
    }
}
