//! Plain packets of live sessions, a burst at a time: what nearly every packet is.
//!
//! Three stages, so that what a burst waits for from memory comes at once: what each packet is ([`Engine::glance`], which asks
//! for its bucket of the index), which session it seems to have ([`Engine::locate`], which asks for the session's lines),
//! and the state machine ([`Engine::pass`]). What the last does not take goes to [`Engine::inspect`], in its turn, and
//! nothing has happened to it: the order of packets stays, and the first two stages are only hints.

use super::Engine;
use crate::packet::{self, DeviceChecksum, Tcp, protocol};
use crate::port::Port;
use crate::reason::Reason;
use crate::session::table::{Hashed, PackedKey};
use crate::session::wheel::NIL;
use crate::session::{SessionId, State, tcp};
use crate::steer;
use crate::time::{Duration, Instant};
use crate::upkeep::stamp;

/// What is known of a frame at a glance. Made once for each place of a burst, and written over.
#[derive(Clone, Copy, Debug, Default)]
pub struct Glance {
    is_plain: bool,
    /// It neither opens nor closes anything.
    is_steady: bool,
    key: PackedKey,
    /// Length of the frame on the wire, without FCS.
    wire_len: u32,
    /// Where its session seems to be.
    slot: u32,
    hashed: Hashed,
    tcp: Tcp,
}

impl Glance {
    /// Whether it is a plain packet; if not, nothing more is known of it.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// The worker, of `workers`, that owns the plain packet: what [`steer::owner`] says.
    #[inline]
    pub fn owner(&self, workers: u16) -> u16 {
        steer::queue_of_entry(steer::entry_of(&self.key.unpacked()), workers)
    }
}

impl Engine {
    /// What a frame that arrived on `port` is; `head` and `wire_len` as for [`packet::parse`].
    // It writes into its place: values passed by way of the stack are read again wider than they were written, which stalls.
    #[inline(always)]
    pub fn glance(
        &self,
        port: Port,
        head: &[u8],
        wire_len: usize,
        device: DeviceChecksum,
        glance: &mut Glance,
    ) {
        let plain = packet::glance(port, head, wire_len, device);
        glance.is_plain = plain.is_some();
        let Some(plain) = plain else { return };
        glance.hashed = self.table.hash(&plain.key);
        self.table.prefetch_bucket(glance.hashed);
        glance.is_steady = plain.is_steady();
        glance.key.set(&plain.key);
        glance.tcp = plain.tcp;
        glance.wire_len = plain.wire_len;
    }

    /// Finds the sessions that the packets of a burst seem to have.
    #[inline]
    pub fn locate<'g>(&self, glances: impl IntoIterator<Item = &'g mut Glance>) {
        for glance in glances.into_iter().filter(|glance| glance.is_plain) {
            glance.slot = self.table.candidate(glance.hashed);
        }
    }

    /// Lets a plain packet pass that arrived on `port`, if it is of a live session of this engine and moves it to no other
    /// state; the session is returned. `None`: nothing has happened, and [`Engine::inspect`] is to judge it.
    #[inline]
    pub fn pass(&mut self, now: Instant, port: Port, glance: &Glance) -> Option<SessionId> {
        let Glance { key, tcp, slot, .. } = glance;
        if *slot == NIL || !glance.is_steady || !self.table.is(*slot, key) {
            return None;
        }
        let (hot, cold) = self.table.both(*slot);
        if hot.policy != self.running.policy.generation || !hot.is_smooth() {
            return None;
        }
        let stays = match (key.protocol(), hot.state) {
            (protocol::TCP, State::Established) => tcp::advance(&mut hot.peers, port.index(), tcp),
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
        cold.count(port, glance.wire_len);
        self.counters.reason(Reason::Session).add(1);
        Some(self.table.id(*slot))
    }
}
