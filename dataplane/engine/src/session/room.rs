//! Room for a new session: in a full table the half-open session that has waited longest makes it.

use super::State;
use crate::counters::ProtocolClass;
use crate::pipeline::{Arrival, Engine};
use crate::port::Port;
use crate::reason::Reason;
use crate::record::Outbox;
use crate::upkeep::stamp;

impl Engine {
    /// Takes a slot for a session of the end behind `from`. Where the index has no place for it nobody has to go: the end of
    /// the oldest would hardly make one.
    pub(crate) fn take_slot(
        &mut self,
        arrival: &Arrival<'_>,
        from: Port,
        state: State,
        out: &mut Outbox,
    ) -> Option<u32> {
        let Arrival { now, packed, hashed, .. } = *arrival;
        if self.table.len() == self.table.capacity() {
            let oldest = self.table.oldest_half_open()?;
            if !self.table.has_way(hashed) {
                return None;
            }
            self.end(now, oldest, Reason::EndEvicted, out);
        }
        let slot = self.table.insert_packed(packed, hashed, from, state).ok()?;
        let (hot, cold) = self.table.both(slot);
        hot.last_seen_ms = stamp(now);
        cold.created_ms = stamp(now);
        self.counters.sessions(ProtocolClass::of(packed.protocol()), state).add(1);
        Some(slot)
    }
}
