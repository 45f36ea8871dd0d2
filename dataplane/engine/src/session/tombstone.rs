//! Remembers sessions that the appliance cut, so that a packet that comes too late can be told what happened to it:
//! the operator's most frequent riddle.
//!
//! A fixed table of small records, in buckets by the session's keyed hash; in a full bucket the oldest makes room. A
//! record is found by all 64 bits of the hash: two keys that share them are one chance in 2^64, and an attacker who
//! does not know the secret cannot do better.

use super::{SessionId, State};
use crate::policy::RuleKey;
use crate::port::Port;
use crate::prefetch::prefetch;
use crate::reason::Reason;
use crate::steer::REDIRECTION_ENTRIES;

/// Records of a bucket.
const WAYS: usize = 4;
const ENTRIES: usize = REDIRECTION_ENTRIES as usize;

/// Where the record of a session lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plot {
    /// The keyed hash of its key.
    pub(crate) hash: u64,
    /// Where steering sends it ([`crate::steer::entry_of`]): the records of one entry share buckets with no others,
    /// so that what makes room for what does not depend on the number of workers.
    pub(crate) entry: u16,
}

/// A session that was cut, as far as it is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tombstone {
    /// The keyed hash of its key.
    pub(crate) hash: u64,
    pub(crate) id: SessionId,
    /// The port on which its first packet had arrived.
    pub(crate) from: Port,
    /// When it ended: milliseconds of the engine's clock, wrapping.
    pub(crate) ended_ms: u32,
    /// How long it had been idle, in milliseconds.
    pub(crate) idle_ms: u32,
    /// The timeout of its state, in milliseconds.
    pub(crate) timeout_ms: u32,
    pub(crate) rule: RuleKey,
    pub(crate) state: State,
    /// Why it ended.
    pub(crate) reason: Reason,
}

const _: () = assert!(size_of::<Tombstone>() <= 40);

/// The records of one worker.
#[derive(Debug)]
pub(crate) struct Tombstones {
    buckets: Vec<[Option<Tombstone>; WAYS]>,
    /// Of each record some bits of its hash, 0 where there is none: a core's own caches hold all of them, so that
    /// who has no record, as all of a flood have none, costs no look into the buckets.
    tags: Vec<[u16; WAYS]>,
}

impl Tombstones {
    /// Room for about so many records, at least one bucket for each entry of steering.
    pub(crate) fn new(records: u32) -> Self {
        let buckets = (records as usize).div_ceil(WAYS).max(1).next_multiple_of(ENTRIES);
        Self { buckets: vec![[None; WAYS]; buckets], tags: vec![[0; WAYS]; buckets] }
    }

    /// Remembers a session.
    pub(crate) fn bury(&mut self, entry: u16, tombstone: Tombstone, now_ms: u32) {
        let place = self.place(Plot { hash: tombstone.hash, entry });
        let age = |record: &Option<Tombstone>| match record {
            Some(record) if record.hash == tombstone.hash => u32::MAX,
            Some(record) => now_ms.wrapping_sub(record.ended_ms).min(u32::MAX - 2),
            None => u32::MAX - 1,
        };
        let records = self.buckets[place].iter_mut().zip(&mut self.tags[place]);
        if let Some((oldest, tag)) = records.max_by_key(|(record, _)| age(record)) {
            (*oldest, *tag) = (Some(tombstone), tag_of(tombstone.hash));
        }
    }

    /// Asks for all of the bucket that [`Self::bury`] will read.
    pub(crate) fn prefetch_all(&self, plot: Plot) {
        self.buckets[self.place(plot)].iter().for_each(prefetch);
    }

    /// Whether there may be a session that had this hash.
    #[inline]
    pub(crate) fn may_hold(&self, plot: Plot) -> bool {
        self.tags[self.place(plot)].contains(&tag_of(plot.hash))
    }

    /// The session that had this hash.
    #[inline]
    pub(crate) fn find(&self, plot: Plot) -> Option<&Tombstone> {
        if !self.may_hold(plot) {
            return None;
        }
        self.buckets[self.place(plot)].iter().flatten().find(|record| record.hash == plot.hash)
    }

    /// Forgets the session that had this hash: its five-tuple lived again, and ended well.
    pub(crate) fn forget(&mut self, plot: Plot) {
        let place = self.place(plot);
        for (record, tag) in self.buckets[place].iter_mut().zip(&mut self.tags[place]) {
            if record.is_some_and(|record| record.hash == plot.hash) {
                (*record, *tag) = (None, 0);
            }
        }
    }

    fn place(&self, Plot { hash, entry }: Plot) -> usize {
        let of_entry = self.buckets.len() / ENTRIES;
        let within = ((hash >> 32) * of_entry as u64) >> 32;
        usize::from(entry) % ENTRIES * of_entry + within as usize
    }
}

/// Other bits than those that tell its place. Never 0.
#[expect(clippy::cast_possible_truncation, reason = "the lowest bits are what is wanted")]
const fn tag_of(hash: u64) -> u16 {
    let tag = hash as u16;
    if tag == 0 { 1 } else { tag }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(hash: u64, ended_ms: u32) -> Tombstone {
        Tombstone {
            hash,
            id: SessionId::from_number(hash),
            from: Port::Lan,
            ended_ms,
            idle_ms: 0,
            timeout_ms: 0,
            rule: RuleKey::NONE,
            state: State::Established,
            reason: Reason::EndIdle,
        }
    }

    fn at(hash: u64) -> Plot {
        Plot { hash, entry: 7 }
    }

    #[test]
    fn the_oldest_makes_room_and_the_same_session_stands_once() {
        let mut tombstones = Tombstones::new(1);
        for number in 1..=4u32 {
            tombstones.bury(7, of(u64::from(number), 10 * number), 100);
        }
        tombstones.bury(7, of(2, 90), 100);
        assert_eq!(tombstones.find(at(2)).map(|record| record.ended_ms), Some(90));
        tombstones.bury(7, of(5, 95), 100);
        assert_eq!(tombstones.find(at(1)), None, "the oldest");
        assert!([2, 3, 4, 5].iter().all(|hash| tombstones.find(at(*hash)).is_some()));
        tombstones.forget(at(3));
        assert_eq!(tombstones.find(at(3)), None);
    }

    #[test]
    fn the_records_of_an_entry_make_room_for_no_others() {
        let mut tombstones = Tombstones::new(1);
        for number in 1..=4u32 {
            tombstones.bury(7, of(u64::from(number), 10 * number), 100);
        }
        for entry in (0..REDIRECTION_ENTRIES).filter(|entry| *entry != 7) {
            tombstones.bury(entry, of(5, 95), 100);
        }
        assert!((1..=4).all(|hash| tombstones.find(at(hash)).is_some()));
        assert_eq!(tombstones.find(at(5)), None);
    }

    #[test]
    fn age_is_told_across_the_wrap_of_the_clock() {
        let mut tombstones = Tombstones::new(4);
        let (old, young) = (u32::MAX - 50, 10);
        for (hash, ended_ms) in [(1, old), (2, young), (3, young), (4, young)] {
            tombstones.bury(7, of(hash, ended_ms), young);
        }
        tombstones.bury(7, of(5, 20), 20);
        assert_eq!(tombstones.find(at(1)), None);
        assert!(tombstones.find(at(2)).is_some());
    }
}
