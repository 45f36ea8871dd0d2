//! What sources, prefixes and rules have taken of what they may: one table of fixed size for all engines of an
//! appliance.
//!
//! An entry is two words. The first holds a tag (the upper half) and how many sessions have a part in it (the lower half),
//! so that a session joins by one compare-and-exchange, which fails if the entry has become another's meanwhile, and leaves
//! by one subtraction. The second is the token bucket: the moment at which it will be full again, in ticks of 1/64 ns, as
//! in the generic cell rate algorithm (ITU-T I.371 annex A). An entry that no session has a part in goes when its bucket is
//! full and another one needs the place; only making and taking away entries needs the bucket's gate.
//!
//! Entries are told apart by 32 bits of tag and the number of their bucket, both of a keyed hash.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use crate::protect::gates::{Gates, words};
use crate::time::Instant;

/// Entries of a bucket.
const WAYS: usize = 16;
/// Entries for each session that the engines can hold, so that buckets are a quarter full when every session has its own.
const ENTRIES_PER_SESSION: usize = 4;
/// An entry whose bucket is being looked at: nobody's.
const CLOSED: u64 = 1;
/// The first bit of the tag.
const ONE_TAG: u64 = 1 << 32;
/// The half that counts.
const LIVE: u64 = ONE_TAG - 1;
/// A compare-and-exchange that fails did so because another one succeeded; so often in a row it does not.
const TRIES_MAX: u32 = 10_000;
/// Ticks of a token bucket in a nanosecond. The clock reaches 2^58 ns (nine years) before they overflow.
pub(super) const TICKS_PER_NANO: u64 = 64;
pub(super) const TICKS_PER_SECOND: u64 = TICKS_PER_NANO * 1_000_000_000;

/// Where an entry is, for whoever has a part in it: never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(u32);

impl Place {
    /// As a number; 0 stands for none.
    pub(super) const fn number(place: Option<Self>) -> u32 {
        match place {
            Some(place) => place.0,
            None => 0,
        }
    }

    pub(super) const fn from_number(number: u32) -> Option<Self> {
        if number == 0 { None } else { Some(Self(number)) }
    }

    const fn index(self) -> usize {
        self.0 as usize - 1
    }
}

/// Why there is no part for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// So many have one as may.
    Reached,
    /// The table has no place for another entry.
    Full,
}

/// The table of an appliance.
#[derive(Debug)]
pub(crate) struct LimitTable {
    counts: Box<[AtomicU64]>,
    second: Box<[AtomicU64]>,
    gates: Gates,
}

impl LimitTable {
    /// A table for engines that hold so many sessions together.
    pub(crate) fn new(sessions_max: u32) -> Self {
        let buckets = (sessions_max as usize * ENTRIES_PER_SESSION).div_ceil(WAYS).clamp(4, 1 << 27);
        Self { counts: words(buckets * WAYS), second: words(buckets * WAYS), gates: Gates::new(buckets) }
    }

    /// Entries that it has room for.
    pub(crate) fn capacity(&self) -> usize {
        self.counts.len()
    }

    /// Takes a part in the entry of `id` if fewer than `live_max` have one; makes the entry if it is not there.
    pub(super) fn take(&self, id: u64, live_max: u32, now: Instant) -> Result<Place, Refused> {
        for _ in 0..TRIES_MAX {
            let Some(index) = self.find(id) else {
                match self.make(id, now) {
                    Some(Some(index)) => return Ok(place(index)),
                    // Another one has just made it.
                    Some(None) => continue,
                    None => return Err(Refused::Full),
                }
            };
            let word = self.counts[index].load(Acquire);
            if word & !LIVE != tag_of(id) {
                continue;
            }
            if word & LIVE >= u64::from(live_max) {
                return Err(Refused::Reached);
            }
            if self.counts[index].compare_exchange_weak(word, word + 1, AcqRel, Relaxed).is_ok() {
                return Ok(place(index));
            }
        }
        Err(Refused::Full)
    }

    /// Gives a part back.
    pub(super) fn give_back(&self, place: Place) {
        let before = self.counts[place.index()].fetch_sub(1, AcqRel);
        debug_assert!(before & LIVE > 0 && before >= ONE_TAG, "a part that somebody has");
    }

    /// Whether `place`, in which the caller has a part, is the entry of `id`.
    pub(super) fn is(&self, place: Place, id: u64) -> bool {
        place.index() / WAYS == self.bucket_of(id)
            && self.counts[place.index()].load(Acquire) & !LIVE == tag_of(id)
    }

    /// How many have a part in the entry of `id`, and its second word.
    pub(super) fn look(&self, id: u64) -> Option<(u32, u64)> {
        let index = self.find(id)?;
        let second = self.second[index].load(Acquire);
        let word = self.counts[index].load(Acquire);
        (word & !LIVE == tag_of(id)).then_some((live(word), second))
    }

    /// Takes `cost` ticks out of the bucket of an entry in which the caller has a part, if it holds as many; full it holds
    /// `depth`.
    pub(super) fn spend(&self, place: Place, cost: u64, depth: u64, now: Instant) -> bool {
        let full_at = &self.second[place.index()];
        for _ in 0..TRIES_MAX {
            let known = full_at.load(Acquire);
            let Some(next) = after(known, cost, depth, now) else { return false };
            if full_at.compare_exchange_weak(known, next, AcqRel, Relaxed).is_ok() {
                return true;
            }
        }
        false
    }

    /// Whether the bucket of `id` holds less than `cost`: what [`LimitTable::spend`] would find out, without a write.
    pub(super) fn is_spent(&self, id: u64, cost: u64, depth: u64, now: Instant) -> bool {
        self.look(id).is_some_and(|(_, full_at)| after(full_at, cost, depth, now).is_none())
    }

    /// Puts back what was spent for nothing.
    pub(super) fn refund(&self, place: Place, cost: u64) {
        // The entry may be another's by now, if its session has ended with this packet: nothing goes below zero.
        let less = |known: u64| Some(known.saturating_sub(cost));
        let _ = self.second[place.index()].fetch_update(AcqRel, Acquire, less);
    }

    /// Writes the second word of an entry that keeps no bucket, and in which the caller has a part.
    pub(super) fn write(&self, place: Place, word: u64) {
        self.second[place.index()].store(word, Release);
    }

    /// Sessions that have a part in any entry, and entries that are taken; for tests and metrics.
    pub(crate) fn totals(&self) -> (u64, u64) {
        let mut totals = (0, 0);
        for word in self.counts.iter().map(|count| count.load(Relaxed)).filter(|word| *word >= ONE_TAG) {
            totals.0 += word & LIVE;
            totals.1 += 1;
        }
        totals
    }

    fn find(&self, id: u64) -> Option<usize> {
        let first = self.bucket_of(id) * WAYS;
        let counts = &self.counts[first..first + WAYS];
        counts.iter().position(|count| count.load(Acquire) & !LIVE == tag_of(id)).map(|way| first + way)
    }

    /// Makes an entry with one part; where. `Some(None)`: there is one already. `None`: there is no place.
    #[inline(never)]
    fn make(&self, id: u64, now: Instant) -> Option<Option<usize>> {
        let bucket = self.bucket_of(id);
        self.gates.pass(bucket, || {
            if self.find(id).is_some() {
                return Some(None);
            }
            let index = (bucket * WAYS..(bucket + 1) * WAYS).find(|index| self.vacate(*index, now))?;
            self.second[index].store(0, Release);
            self.counts[index].store(tag_of(id) | 1, Release);
            Some(Some(index))
        })?
    }

    /// Closes an entry that is free or that nobody needs any more; only behind the gate.
    fn vacate(&self, index: usize, now: Instant) -> bool {
        let count = &self.counts[index];
        let word = count.load(Acquire);
        if word == 0 {
            return true;
        }
        if word & LIVE != 0 || count.compare_exchange(word, CLOSED, AcqRel, Relaxed).is_err() {
            return false;
        }
        // Nobody finds it now, so its bucket stands still.
        let is_full = self.second[index].load(Acquire) <= ticks(now);
        if !is_full {
            count.store(word, Release);
        }
        is_full
    }

    fn bucket_of(&self, id: u64) -> usize {
        let buckets = (self.counts.len() / WAYS) as u64;
        usize::try_from(((id & LIVE) * buckets) >> 32).unwrap_or(0)
    }
}

/// When a bucket that will be full at `known` will be, once `cost` is taken out of it; `None` if it does not hold as much.
fn after(known: u64, cost: u64, depth: u64, now: Instant) -> Option<u64> {
    let now = ticks(now);
    let next = known.max(now).saturating_add(cost);
    (next <= now.saturating_add(depth)).then_some(next)
}

fn ticks(now: Instant) -> u64 {
    now.as_nanos().saturating_mul(TICKS_PER_NANO)
}

/// Never 0.
const fn tag_of(id: u64) -> u64 {
    id & !LIVE | ONE_TAG
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
const fn live(word: u64) -> u32 {
    word as u32
}

fn place(index: usize) -> Place {
    Place(u32::try_from(index + 1).expect("fewer than 2^32 entries"))
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "small numbers")]
mod tests;
