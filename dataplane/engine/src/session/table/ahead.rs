//! Reading ahead: a look-up waits for memory two or three times, one after the other; the look-ups of a burst need not
//! wait for each other.

use super::{Hashed, Table};
use crate::flow::PackedKey;
use crate::prefetch::prefetch;
use crate::session::wheel::NIL;

impl Table {
    /// Asks for the bucket in which a key is looked for first.
    #[inline]
    pub(crate) fn prefetch_bucket(&self, hashed: Hashed) {
        prefetch(&self.buckets[hashed.first as usize]);
    }

    /// Asks for what is looked at of a session that ends.
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

    /// The slot that the session with this key, which hashes to that, seems to have, whose lines are asked for; [`NIL`] if
    /// there is none. Only [`Table::is`] tells.
    #[inline]
    pub(crate) fn candidate(&self, key: &PackedKey, hashed: Hashed) -> u32 {
        let bucket = &self.buckets[hashed.first as usize];
        let Some(slot) = bucket.ways(hashed.tag).next().map(|way| bucket.slots[way]) else { return NIL };
        if let (Some(hot), Some(cold)) = (self.hot.get(slot as usize), self.cold.get(slot as usize)) {
            prefetch(hot);
            prefetch(cold);
        }
        if key.is_v6
            && let Some(wide) = self.wide.get(slot as usize)
        {
            prefetch(wide);
        }
        slot
    }
}
