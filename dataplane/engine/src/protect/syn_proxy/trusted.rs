//! Sources that have shown that they are real (`syn_proxy: verify`): one table of fixed size for all engines, of atomics.
//!
//! A source is 40 bits of a keyed hash, and a moment until which it is trusted. Two sources with the same bits in one of
//! a few thousand buckets: then one is trusted for the other, which is worth nothing to anybody who cannot choose.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Release};

use crate::time::Instant;

const WAYS: usize = 8;
/// Sources that are trusted at the most.
const TRUSTED_MAX: usize = 65_536;
/// A source is trusted for so long after it came last.
pub(super) const TRUST_SECS: u64 = 600;
/// The moment has 24 bits of seconds: half a year, and spans are far shorter.
const MOMENT: u64 = 0xff_ffff;

/// The table.
#[derive(Debug)]
pub(super) struct Trusted {
    places: Box<[AtomicU64]>,
}

impl Trusted {
    pub(super) fn new(sessions_max: u32) -> Self {
        let count = (sessions_max as usize).clamp(WAYS, TRUSTED_MAX) / WAYS * WAYS;
        Self { places: (0..count).map(|_| AtomicU64::new(0)).collect() }
    }

    fn bucket(&self, name: u64) -> &[AtomicU64] {
        let buckets = self.places.len() / WAYS;
        let bucket = usize::try_from(name % buckets as u64).unwrap_or(0);
        &self.places[bucket * WAYS..][..WAYS]
    }

    /// Trusts a source from now on. The one that would be trusted for the shortest time makes room.
    pub(super) fn trust(&self, name: u64, now: Instant) {
        let until = now.as_millis() / 1000 + TRUST_SECS;
        let word = name & !MOMENT | until & MOMENT;
        let bucket = self.bucket(name);
        let is_it = |place: &&AtomicU64| place.load(Acquire) & !MOMENT == name & !MOMENT;
        let place = bucket.iter().find(is_it);
        let shortest = || bucket.iter().min_by_key(|place| left(place.load(Acquire), now));
        if let Some(place) = place.or_else(shortest) {
            place.store(word, Release);
        }
    }

    /// Whether a source is trusted; if so, it is for some time more.
    pub(super) fn is_trusted(&self, name: u64, now: Instant) -> bool {
        let found = self.bucket(name).iter().find(|place| {
            let word = place.load(Acquire);
            word & !MOMENT == name & !MOMENT && left(word, now) > 0
        });
        if found.is_some_and(|place| left(place.load(Acquire), now) < TRUST_SECS / 2) {
            self.trust(name, now);
        }
        found.is_some()
    }

    /// Sources that are trusted.
    pub(super) fn count(&self, now: Instant) -> usize {
        self.places.iter().filter(|place| left(place.load(Acquire), now) > 0).count()
    }
}

/// For how many seconds more; 0: not any more.
fn left(word: u64, now: Instant) -> u64 {
    let left = (word & MOMENT).wrapping_sub(now.as_millis() / 1000) & MOMENT;
    if word != 0 && left <= TRUST_SECS { left } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;

    #[test]
    fn a_source_is_trusted_for_a_while_after_it_came_last() {
        let trusted = Trusted::new(1000);
        let (name, start) = (0x1234_5678_9abc_def0, Instant::from_secs(86_400));
        let after = |secs| start + Duration::from_secs(secs);
        assert!(!trusted.is_trusted(name, start));
        trusted.trust(name, start);
        assert!(trusted.is_trusted(name, after(200)));
        assert!(trusted.is_trusted(name, after(400)), "which makes it longer");
        assert_eq!(trusted.count(after(900)), 1);
        assert!(!trusted.is_trusted(name, after(1000)));
        assert!(!trusted.is_trusted(name ^ 1 << 30, start));
    }

    #[test]
    fn the_table_is_bounded_and_keeps_those_that_came_last() {
        let trusted = Trusted::new(8);
        for number in 1..=100u64 {
            trusted.trust(number << 24, Instant::from_secs(number));
        }
        let now = Instant::from_secs(100);
        assert!((93..=100).all(|number| trusted.is_trusted(number << 24, now)));
        assert_eq!(trusted.count(now), 8);
    }
}
