//! Room for a new session: what each class of sessions may hold when room is short ([`Budgets`]), who goes for a
//! newcomer in a full table, and how timeouts shorten while it fills ([`Pressure`]).
//!
//! An established session never goes. Of the others each class has a budget, a share of the table. While there is room a
//! class may hold more; in a full table the class that holds most, measured by its budget, makes room, its oldest
//! session first: a flood of one class takes from itself, and a class within its budget loses nothing to one beyond.

use super::tombstone::Plot;
use super::{State, TimeoutKey, query};
use crate::counters::ProtocolClass;
use crate::packet::protocol;
use crate::pipeline::{Arrival, Engine};
use crate::policy::Timeouts;
use crate::port::Port;
use crate::reason::Reason;
use crate::record::Outbox;
use crate::steer;
use crate::upkeep::stamp;

/// What each class of sessions may hold when room is short, in percent of the table; and what happens as it fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// Handshakes that are not done, and those that were refused: 1 to 99, with `one_way` at most 100.
    pub half_open: u8,
    /// Packets that nobody answered: 1 to 99.
    pub one_way: u8,
    /// All others: 1 to 100. When they hold so much no session begins, and the handshakes that are under way have the
    /// rest to themselves.
    pub established: u8,
    /// Whether the timeouts of sessions that are not established shorten while the table fills.
    pub adaptive_timeouts: bool,
}

impl Default for Budgets {
    /// Halves for the unestablished, and all for the established, who are limited by nothing but the table.
    fn default() -> Self {
        Self { half_open: 50, one_way: 50, established: 100, adaptive_timeouts: true }
    }
}

/// How full a table is: below 60 %, or above that, 80 % or 95 %.
///
/// Each step halves the timeouts of sessions that are not established, or are over: of 20 s 10, 5 and 2.5 are left. A
/// session keeps what it got when it came into its state, so that its end is foretold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pressure(u16);

impl Pressure {
    /// From so much of the table on, in percent, there is pressure, more, and most.
    pub const MARKS_PERCENT: [u64; 3] = [60, 80, 95];

    /// No timeout is shortened below this: a handshake over a slow link takes as long.
    const TIMEOUT_MIN_MS: u32 = 2_000;

    /// That of a table of `capacity` sessions that holds `live`.
    pub fn of(live: u64, capacity: u64) -> Self {
        let level = Self::MARKS_PERCENT.iter().filter(|mark| live * 100 >= **mark * capacity.max(1)).count();
        Self::of_level(u16::try_from(level).unwrap_or(3))
    }

    /// That of this level, 0 (none) to 3 (the table is nearly full).
    pub const fn of_level(level: u16) -> Self {
        Self(if level > 3 { 3 } else { level })
    }

    /// Its level, 0 to 3.
    pub const fn level(self) -> u16 {
        self.0
    }

    /// How long a session of `protocol` may stay in `state` without a packet, in milliseconds.
    pub(crate) const fn timeout_ms(self, state: State, protocol: u8, timeouts: &Timeouts) -> u32 {
        let full = TimeoutKey::of(state, protocol).millis(timeouts);
        if self.0 == 0 || !is_shortened(state) {
            return full;
        }
        let floor = if full < Self::TIMEOUT_MIN_MS { full } else { Self::TIMEOUT_MIN_MS };
        let short = full >> self.0;
        if short < floor { floor } else { short }
    }
}

/// Not established, or over.
const fn is_shortened(state: State) -> bool {
    state.is_half_open() || matches!(state, State::TimeWait | State::Reset | State::Closed)
}

impl Engine {
    /// Says what each class of its sessions may hold.
    pub fn set_budgets(&mut self, budgets: Budgets) {
        self.table.set_budgets(&budgets);
        self.budgets = budgets;
    }

    /// Says how full the tables of all engines are together; its own is looked at here. Its counters then tell how many
    /// of its sessions are not established.
    pub fn set_pressure(&mut self, of_all: Pressure) {
        let own = Pressure::of(self.table.len().into(), self.table.capacity().into());
        self.pressure = if self.budgets.adaptive_timeouts { own.max(of_all) } else { Pressure::default() };
        let [half_open, one_way] = self.table.unestablished();
        self.counters.half_open.set(half_open.into());
        self.counters.one_way.set(one_way.into());
    }

    /// Asks for what the next evictions after that of `slot` will look at: the next but one's own lines, and with those of the
    /// next, which were asked for before, its places in the index and among the tombstones. One after the other an
    /// eviction would wait for memory six times.
    fn read_ahead(&self, slot: u32) {
        let Some(next) = self.table.waits_after(slot) else { return };
        let packed = self.table.packed(next);
        let hashed = self.table.hash_packed(&packed);
        self.table.prefetch_buckets(hashed);
        self.tombstones.prefetch_all(Plot { hash: hashed.hash, entry: steer::entry_of_packed(&packed) });
        if let Some(further) = self.table.waits_after(next) {
            self.table.prefetch_slot(further);
            self.table.prefetch_ties(further);
        }
    }

    /// Takes a slot for a session of the end behind `from`, or says why there is none. Where the index has no place for it
    /// nobody has to go: the end of the oldest would hardly make one.
    pub(crate) fn take_slot(
        &mut self,
        arrival: &Arrival<'_>,
        from: Port,
        state: State,
        out: &mut Outbox,
    ) -> Result<u32, Reason> {
        let Arrival { now, packed, hashed, .. } = *arrival;
        if self.table.is_established_full() {
            let is_all_established = self.table.unestablished() == [0, 0];
            let is_full = is_all_established && self.table.len() == self.table.capacity();
            return Err(if is_full { Reason::TableFull } else { Reason::BudgetFull });
        }
        if self.table.len() == self.table.capacity() {
            let oldest = self.table.makes_room_for(state).ok_or(Reason::TableFull)?;
            if !self.table.has_way(hashed) {
                return Err(Reason::TableFull);
            }
            self.read_ahead(oldest);
            self.end(now, oldest, Reason::EndEvicted, out);
        }
        let inserted = self.table.insert_packed(packed, hashed, from, state);
        let slot = inserted.map_err(|_| Reason::TableFull)?;
        let (hot, cold) = self.table.both(slot);
        hot.last_seen_ms = stamp(now);
        hot.set_pressure(self.pressure);
        cold.created_ms = stamp(now);
        if packed.protocol() == protocol::UDP {
            query::begin(hot, now);
        }
        self.counters.sessions(ProtocolClass::of(packed.protocol()), state).add(1);
        Ok(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::protocol::{TCP, UDP};

    #[test]
    fn pressure_rises_at_its_marks() {
        let level = |live, capacity| Pressure::of(live, capacity).level();
        assert_eq!([0, 59, 60, 79, 80, 94, 95, 100].map(|live| level(live, 100)), [0, 0, 1, 1, 2, 2, 3, 3]);
        assert_eq!(level(0, 0), 0);
        assert_eq!(level(200_000_000 * 64, 200_000_000), 3, "more than there is room for");
    }

    #[test]
    fn established_sessions_keep_their_timeouts_and_others_lose_half_at_each_mark() {
        let timeouts = Timeouts { tcp_syn_sent_ms: 20_000, udp_unreplied_ms: 3_000, ..Timeouts::default() };
        let of = |level, state, protocol| Pressure::of_level(level).timeout_ms(state, protocol, &timeouts);
        assert_eq!([0, 1, 2, 3].map(|level| of(level, State::SynSent, TCP)), [20_000, 10_000, 5_000, 2_500]);
        assert_eq!([0, 1, 2, 3].map(|level| of(level, State::Unreplied, UDP)), [3_000, 2_000, 2_000, 2_000]);
        let short = Timeouts { tcp_syn_sent_ms: 500, ..timeouts.clone() };
        assert_eq!(
            Pressure::of_level(3).timeout_ms(State::SynSent, TCP, &short),
            500,
            "as the policy has it"
        );
        for state in State::ALL.into_iter().filter(|state| !is_shortened(*state)) {
            assert_eq!(of(3, state, TCP), state.timeout_ms(TCP, &timeouts), "{state}");
        }
    }
}
