//! Reading ahead: a look-up waits for memory two or three times, one after the other; the look-ups of a burst need not
//! wait for each other.

use core::hint::black_box;

use arrayvec::ArrayVec;

use super::{Hashed, Table};
use crate::flow::FlowKey;

/// Keys that are read ahead together: about as many as a core has reads from memory under way.
pub(crate) const AHEAD_MAX: usize = 32;

impl Table {
    /// Touches what a look-up of these keys is going to read, and of the sessions that they seem to have what a packet
    /// changes. First the buckets of all, then the slots of all. Nothing comes of it but that the cache holds them.
    pub(crate) fn read_ahead(&self, keys: impl Iterator<Item = FlowKey>) {
        let hashed: ArrayVec<Hashed, AHEAD_MAX> = keys.take(AHEAD_MAX).map(|key| self.hash(&key)).collect();
        let mut sum = 0;
        for one in &hashed {
            sum ^= self.buckets[one.first as usize].elsewhere;
        }
        for one in &hashed {
            let bucket = &self.buckets[one.first as usize];
            if let Some(way) = bucket.ways(one.tag).next() {
                let slot = bucket.slots[way] as usize;
                let (hot, cold) = (&self.hot[slot], &self.cold[slot]);
                // The counters may lie in two cache lines.
                sum ^= hot.policy ^ cold.packets_low[0] ^ u32::from(cold.bytes_high[1]);
            }
        }
        // What is computed and never used would not be read.
        black_box(sum);
    }
}
