//! The key of cookies, challenges and sequence numbers, and when it changes.

use core::sync::atomic::Ordering::{Acquire, Release};
use core::sync::atomic::{AtomicU64, AtomicUsize};

use crate::time::Instant;

/// Time is counted in periods of this length: a cookie is good for the rest of its period and the next one.
pub(super) const PERIOD_SECS: u64 = 64;

/// The key in force and the one before it. One thread rotates; any may ask.
#[derive(Debug)]
pub(super) struct Secret {
    keys: [[AtomicU64; 2]; 2],
    /// Which of the keys is in force.
    current: AtomicUsize,
    /// From this period on; those before have the other key.
    since: AtomicU64,
}

impl Secret {
    pub(super) fn new(key: [u64; 2]) -> Self {
        Self {
            keys: [key.map(AtomicU64::new), key.map(AtomicU64::new)],
            current: AtomicUsize::new(0),
            since: AtomicU64::new(0),
        }
    }

    /// `key` is in force from the next period on: what was made with the one before stays good as long as ever. Not more
    /// than once in two periods.
    pub(super) fn rotate(&self, now: Instant, key: [u64; 2]) {
        let next = 1 - self.current.load(Acquire);
        for (place, word) in self.keys[next].iter().zip(key) {
            place.store(word, Release);
        }
        self.since.store(period(now) + 1, Release);
        self.current.store(next, Release);
    }

    /// The key of a period.
    pub(super) fn of(&self, period: u64) -> [u64; 2] {
        let current = self.current.load(Acquire) & 1;
        let which = if period >= self.since.load(Acquire) { current } else { 1 - current };
        let [first, second] = &self.keys[which];
        [first.load(Acquire), second.load(Acquire)]
    }
}

/// The period of a moment.
pub(super) const fn period(now: Instant) -> u64 {
    now.as_millis() / (PERIOD_SECS * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_counts_from_the_next_period_on() {
        let secret = Secret::new([1, 2]);
        let now = Instant::from_secs(PERIOD_SECS * 10 + 5);
        secret.rotate(now, [3, 4]);
        assert_eq!(secret.of(period(now)), [1, 2]);
        assert_eq!(secret.of(period(now) + 1), [3, 4]);
        secret.rotate(now + crate::time::Duration::from_secs(2 * PERIOD_SECS), [5, 6]);
        assert_eq!(secret.of(period(now) + 2), [3, 4]);
        assert_eq!(secret.of(period(now) + 3), [5, 6]);
    }
}
