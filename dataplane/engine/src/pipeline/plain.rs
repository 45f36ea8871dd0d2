//! Plain packets of live sessions, a burst at a time: what nearly every packet is.
//!
//! Three stages, so that what a burst waits for from memory comes at once: what each packet is ([`Engine::glance`], which asks
//! for its bucket of the index), which session it seems to have ([`Engine::locate`], which asks for the session's lines),
//! and the state machine ([`Engine::pass`]). What the last does not take goes to [`Engine::inspect`], in its turn, and
//! nothing has happened to it: the order of packets stays, and the first two stages are only hints.

use super::Engine;
use crate::packet::{self, DeviceChecksum, Plain, protocol};
use crate::port::Port;
use crate::reason::Reason;
use crate::session::table::Hashed;
use crate::session::wheel::NIL;
use crate::session::{SessionId, State, tcp};
use crate::steer;
use crate::time::{Duration, Instant};
use crate::upkeep::stamp;

/// What is known of a plain packet at a glance.
#[derive(Clone, Copy, Debug)]
pub struct Glance {
    plain: Plain,
    hashed: Hashed,
    /// Where its session seems to be.
    slot: u32,
}

impl Glance {
    /// The worker, of `workers`, that owns the packet: what [`steer::owner`] says.
    #[inline]
    pub fn owner(&self, workers: u16) -> u16 {
        steer::queue_of_entry(steer::entry_of(&self.plain.key), workers)
    }
}

impl Engine {
    /// What a frame that arrived on `port` is, if it is a plain packet; `head` and `wire_len` as for [`packet::parse`].
    #[inline]
    pub fn glance(&self, port: Port, head: &[u8], wire_len: usize, device: DeviceChecksum) -> Option<Glance> {
        let plain = packet::glance(port, head, wire_len, device)?;
        let hashed = self.table.hash(&plain.key);
        self.table.prefetch_bucket(hashed);
        Some(Glance { plain, hashed, slot: NIL })
    }

    /// Finds the sessions that the packets of a burst seem to have.
    #[inline]
    pub fn locate<'g>(&self, glances: impl IntoIterator<Item = &'g mut Glance>) {
        for glance in glances {
            glance.slot = self.table.candidate(glance.hashed);
        }
    }

    /// Lets a plain packet pass that arrived on `port`, if it is of a live session of this engine and moves it to no other
    /// state; the session is returned. `None`: nothing has happened, and [`Engine::inspect`] is to judge it.
    #[inline]
    pub fn pass(&mut self, now: Instant, port: Port, glance: &Glance) -> Option<SessionId> {
        let Glance { plain, slot, .. } = glance;
        if *slot == NIL || !plain.is_steady() || !self.table.is(*slot, &plain.key) {
            return None;
        }
        let (hot, cold) = self.table.both(*slot);
        if hot.policy != self.running.policy.generation || !hot.is_smooth() {
            return None;
        }
        let stays = match (plain.key.protocol, hot.state) {
            (protocol::TCP, State::Established) => tcp::advance(&mut hot.peers, port.index(), &plain.tcp),
            (protocol::UDP, State::Stream) => true,
            (protocol::UDP, State::Replied) => {
                let age = u64::from(stamp(now).wrapping_sub(cold.created_ms));
                Duration::from_millis(age) <= State::STREAM_AFTER
            }
            (protocol::UDP, State::Unreplied) => port == hot.from(),
            _ => false,
        };
        if !stays {
            return None;
        }
        hot.last_seen_ms = stamp(now);
        cold.count(port, plain.wire_len);
        self.counters.reason(Reason::Session).add(1);
        Some(self.table.id(*slot))
    }
}
