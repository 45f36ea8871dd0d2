//! Reading ahead: a look-up waits for memory two or three times, one after the other; the look-ups of a burst need not
//! wait for each other.

use super::{Bucket, Hashed, Table};
use crate::prefetch::prefetch;
use crate::session::wheel::NIL;

impl Table {
    /// Asks for the bucket in which a key is looked for first.
    #[inline]
    pub(crate) fn prefetch_bucket(&self, hashed: Hashed) {
        prefetch(&self.buckets[hashed.first as usize]);
    }

    /// Asks for both buckets of a key: for where it may be, or may come to be.
    #[inline]
    pub(crate) fn prefetch_buckets(&self, hashed: Hashed) {
        self.prefetch_bucket(hashed);
        prefetch(&self.buckets[self.partner(hashed.first, hashed.tag) as usize]);
    }

    /// Asks for what is looked at of a session that ends, or moves to another state.
    #[inline]
    pub(crate) fn prefetch_slot(&self, slot: u32) {
        prefetch(&self.hot[slot as usize]);
        prefetch(&self.cold[slot as usize]);
    }

    /// Asks for its places in lists.
    #[inline]
    pub(crate) fn prefetch_ties(&self, slot: u32) {
        prefetch(&self.ties[slot as usize]);
    }

    /// The slot that the session which hashes to that seems to have, whose line is asked for; [`NIL`] if there is
    /// none. Only [`Table::is`] tells.
    #[inline]
    pub(crate) fn candidate(&self, hashed: Hashed) -> u32 {
        let bucket = &self.buckets[hashed.first as usize];
        self.candidate_in(bucket, hashed.tag)
    }

    /// Whether the session that is in its first bucket under no such tag may be in its second one, which is then asked for; and
    /// so it is where a new session has no place in the first.
    #[inline]
    pub(crate) fn may_be_elsewhere(&self, hashed: Hashed) -> bool {
        let first = &self.buckets[hashed.first as usize];
        let may_be = first.elsewhere != 0;
        if may_be || first.bits(0) == 0 {
            prefetch(&self.buckets[self.partner(hashed.first, hashed.tag) as usize]);
        }
        may_be
    }

    /// The same as [`Table::candidate`], in its second bucket.
    #[inline]
    pub(crate) fn candidate_elsewhere(&self, hashed: Hashed) -> u32 {
        let bucket = &self.buckets[self.partner(hashed.first, hashed.tag) as usize];
        self.candidate_in(bucket, hashed.tag | Bucket::SECOND)
    }

    #[inline(always)]
    fn candidate_in(&self, bucket: &Bucket, tag: u16) -> u32 {
        let Some(slot) = bucket.ways(tag).next().map(|way| bucket.slots[way]) else { return NIL };
        if let Some(hot) = self.hot.get(slot as usize) {
            prefetch(hot);
        }
        slot
    }
}
