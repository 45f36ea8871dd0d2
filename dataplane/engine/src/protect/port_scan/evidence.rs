//! What was refused to whom within a time: for each suspect the different things that were refused, and when last.
//!
//! A table of fixed size, in buckets by a keyed hash, shared by all workers and changed behind the gates of the buckets. In a
//! full bucket the suspect with the least against it makes room, of those the one that was quiet longest: a flood of sources
//! that each come once pushes out only its like.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use crate::protect::gates::{Gates, words};
use crate::time::{Duration, Instant};

/// Words of the table: 8 MiB, taken from the system when they are first written.
const TABLE_WORDS: usize = 1 << 20;
/// Suspects of a bucket.
const WAYS: usize = 4;
/// Words of a suspect before what was refused to it: who it is, when something was refused last, until when nothing counts.
const HEAD: usize = 3;
const WHO: usize = 0;
const LAST: usize = 1;
const VOID_UNTIL: usize = 2;
/// An item is the thing, plus one, in the upper bits and the moment in the lower ones, in units that are one
/// microsecond, or for a time of more than a day so much longer that it is a quarter of what they can tell at the most.
const MOMENT_BITS: u32 = 39;
const MOMENT: u64 = (1 << MOMENT_BITS) - 1;
const UNIT_NANOS: u64 = 1000;
/// Things have so many bits.
pub(super) const THING_BITS: u32 = 63 - MOMENT_BITS;

/// What a refusal comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// It is counted.
    Counted,
    /// Now there are too many; they are forgotten.
    TooMany,
    /// It does not count: somebody forges the source.
    Void,
    /// It does not count: another worker is at the same bucket right now.
    Missed,
}

/// The table.
#[derive(Debug)]
pub(super) struct Evidence {
    words: Box<[AtomicU64]>,
    gates: Gates,
    /// Different things that may be refused within the time.
    things_max: usize,
    /// Words of a suspect.
    stride: usize,
    /// The time.
    within: Duration,
    /// A unit of moments.
    unit_nanos: u64,
}

impl Evidence {
    /// A table of suspects to whom so many things may be refused within a time.
    pub(super) fn new(things_max: u16, within: Duration) -> Self {
        let things_max = usize::from(things_max);
        let stride = HEAD + things_max + 1;
        let buckets = (TABLE_WORDS / (stride * WAYS)).max(4);
        let mut unit_nanos = UNIT_NANOS;
        while within.as_nanos() / unit_nanos > MOMENT / 4 {
            unit_nanos *= 2;
        }
        let (words, gates) = (words(buckets * WAYS * stride), Gates::new(buckets));
        Self { words, gates, things_max, stride, within, unit_nanos }
    }

    /// Suspects that it has room for.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.words.len() / self.stride
    }

    /// Weighs that `thing` was refused to `who` at `now`, together with what was within the time before.
    pub(super) fn weigh(&self, who: u64, thing: u32, now: Instant) -> Weight {
        let who = who | 1;
        let weight = self.gates.try_pass(self.bucket_of(who), || {
            let at = self.suspect(who);
            self.set(at + LAST, now.as_nanos());
            if self.get(at + VOID_UNTIL) > now.as_nanos() {
                return Weight::Void;
            }
            self.add(at + HEAD, thing, now)
        });
        // Whoever waited would let one scanner hold up all workers, who all have something to say of it.
        weight.unwrap_or(Weight::Missed)
    }

    /// Somebody forges the source: nothing counts for as long as the time is, and nothing of what did.
    pub(super) fn void(&self, who: u64, now: Instant) -> Weight {
        let who = who | 1;
        let weight = self.gates.try_pass(self.bucket_of(who), || {
            let at = self.suspect(who);
            self.set(at + LAST, now.as_nanos());
            self.set(at + VOID_UNTIL, now.as_nanos().saturating_add(self.within.as_nanos()));
            self.forget(at + HEAD);
            Weight::Void
        });
        weight.unwrap_or(Weight::Missed)
    }

    /// Adds a thing to the items from `first` on.
    fn add(&self, first: usize, thing: u32, now: Instant) -> Weight {
        let moment = (now.as_nanos() / self.unit_nanos) & MOMENT;
        let within = self.within.as_nanos() / self.unit_nanos;
        let item = u64::from(thing + 1) << MOMENT_BITS | moment;
        let (mut count, mut place) = (0, None);
        for at in first..first + self.things_max + 1 {
            let known = self.get(at);
            if known == 0 {
                // Nothing stands behind the first that is blank.
                place = place.or(Some(at));
                break;
            }
            let is_recent = moment.wrapping_sub(known & MOMENT) & MOMENT <= within;
            match (known >> MOMENT_BITS == item >> MOMENT_BITS, is_recent) {
                (true, true) => {
                    self.set(at, item);
                    return Weight::Counted;
                }
                (true, false) => place = Some(at),
                (false, true) => count += 1,
                (false, false) => place = place.or(Some(at)),
            }
        }
        // There is a place: more than `things_max` recent ones are never kept.
        if let Some(at) = place {
            self.set(at, item);
        }
        if count < self.things_max {
            return Weight::Counted;
        }
        self.forget(first);
        Weight::TooMany
    }

    /// Blanks the items from `first` on.
    fn forget(&self, first: usize) {
        let items = first..first + self.things_max + 1;
        items.take_while(|at| self.get(*at) != 0).for_each(|at| self.set(at, 0));
    }

    /// Where the words of a suspect begin; they are blank if nothing was known of it. Only behind the gate.
    fn suspect(&self, who: u64) -> usize {
        let first = self.bucket_of(who) * WAYS * self.stride;
        let places = (0..WAYS).map(|way| first + way * self.stride);
        if let Some(known) = places.clone().find(|at| self.get(at + WHO) == who) {
            return known;
        }
        let at = places.min_by_key(|at| self.rank(*at)).unwrap_or(first);
        (at..at + HEAD).for_each(|word| self.set(word, 0));
        self.forget(at + HEAD);
        self.set(at + WHO, who);
        at
    }

    /// How much is known of a suspect: whether it is more than one thing tells a scanner from noise; that somebody forges it is
    /// more, too.
    fn rank(&self, at: usize) -> (bool, bool, u64) {
        let has = |item: usize| item < self.stride && self.get(at + item) != 0;
        (self.get(at + WHO) != 0, has(HEAD + 1) || has(VOID_UNTIL), self.get(at + LAST))
    }

    fn bucket_of(&self, who: u64) -> usize {
        let buckets = (self.words.len() / (self.stride * WAYS)) as u64;
        usize::try_from(((who >> 32) * buckets) >> 32).unwrap_or(0)
    }

    fn get(&self, at: usize) -> u64 {
        self.words[at].load(Relaxed)
    }

    fn set(&self, at: usize, value: u64) {
        self.words[at].store(value, Relaxed);
    }
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "small numbers")]
mod tests;
