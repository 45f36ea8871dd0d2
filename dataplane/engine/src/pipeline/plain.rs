//! Plain packets of live sessions, a burst at a time: what nearly every packet is.
//!
//! Three stages, so that what a burst waits for from memory comes at once: what each packet is ([`Engine::glance`], which asks
//! for its bucket of the index), which session it seems to have ([`Engine::locate`], which asks for the session's lines),
//! and the state machine ([`Engine::pass`]). What the last does not take goes to [`Engine::inspect_plain`], in its turn,
//! and nothing has happened to it: the order of packets stays, and the first two stages are only hints. What has no session is for
//! [`super::strangers`].

use super::Engine;
use super::strangers::{self, Owner};
use crate::packet::{DeviceChecksum, Plain, part, protocol};
use crate::port::Port;
use crate::reason::Reason;
use crate::record::{Outbox, Verdict};
use crate::session::table::Hashed;
use crate::session::wheel::NIL;
use crate::session::{SessionId, State, query, tcp};
use crate::steer;
use crate::time::Instant;
use crate::upkeep::stamp;

/// What is known of a frame at a glance. Made once for each place of a burst, and written over.
#[derive(Clone, Copy, Debug, Default)]
pub struct Glance {
    kind: Kind,
    /// Where its session seems to be.
    slot: u32,
    pub(super) hashed: Hashed,
    pub(crate) plain: Plain,
    /// Of one that is of no session: set by [`Engine::ask_for`] alone.
    pub(super) stranger: strangers::Kind,
}

/// What kind of frame it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd)]
enum Kind {
    /// Not a plain packet.
    #[default]
    Other,
    /// A fragment of IPv4 of which nothing is wrong: the key is that of its datagram.
    Fragment,
    /// A plain packet.
    Plain,
    /// A plain packet whose session was asked for: not one that another worker owns.
    Sought,
}

impl Glance {
    /// Whether it is a plain packet; if not, nothing more is known of it.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.kind >= Kind::Plain
    }

    /// Whether it is a fragment for which [`Engine::turns_away`] may be asked.
    #[inline]
    pub fn is_fragment(&self) -> bool {
        self.kind == Kind::Fragment
    }

    /// Whether its session was asked for ([`Engine::seek`]).
    #[inline]
    pub fn is_sought(&self) -> bool {
        self.kind == Kind::Sought
    }

    /// Whether it is a plain packet that no session was found for.
    #[inline]
    pub fn is_stranger(&self) -> bool {
        self.kind == Kind::Sought && self.slot == NIL
    }

    /// Looks at a frame that arrived on `port`; `head` and `wire_len` as for [`crate::packet::parse`]. Whether it is a plain
    /// packet.
    #[inline(always)]
    pub fn read(&mut self, port: Port, head: &[u8], wire_len: usize, device: DeviceChecksum) -> bool {
        let is_plain = self.plain.read(port, head, wire_len, device);
        self.kind = if is_plain { Kind::Plain } else { self.read_fragment(head, wire_len) };
        is_plain
    }

    #[inline(never)]
    fn read_fragment(&mut self, head: &[u8], wire_len: usize) -> Kind {
        let fragment = part::read(&mut self.plain.key, head, wire_len);
        fragment.map_or(Kind::Other, |()| Kind::Fragment)
    }

    /// The worker, of `workers`, that owns the plain packet: what [`steer::owner`] says.
    #[inline]
    pub fn owner(&self, workers: u16) -> u16 {
        steer::queue_of_entry(steer::entry_of_packed(&self.plain.key), workers)
    }

    /// The same of a fragment.
    pub fn owner_of_fragment(&self, workers: u16) -> u16 {
        steer::queue_of_entry(steer::entry_of_fragment(&self.plain.key), workers)
    }
}

impl Engine {
    /// Looks at a frame, and asks for its session: [`Glance::read`] and [`Engine::seek`].
    #[inline(always)]
    pub fn glance(
        &self,
        port: Port,
        head: &[u8],
        wire_len: usize,
        device: DeviceChecksum,
        glance: &mut Glance,
    ) {
        if glance.read(port, head, wire_len, device) {
            self.seek(glance);
        }
    }

    /// Asks for the bucket of the index where the session of a plain packet would be. Without that it is not looked for.
    #[inline(always)]
    pub fn seek(&self, glance: &mut Glance) {
        glance.kind = Kind::Sought;
        glance.hashed = self.table.hash_packed(&glance.plain.key);
        self.table.prefetch_bucket(glance.hashed);
    }

    /// Finds the session that a packet seems to have, if it was asked for. Whether [`Engine::locate_elsewhere`] is to look for
    /// it further: the fuller the table, the more sessions are in their other bucket.
    #[inline(always)]
    pub fn locate(&self, glance: &mut Glance) -> bool {
        if glance.is_sought() {
            glance.slot = self.table.candidate(glance.hashed);
            if glance.slot == NIL {
                return self.table.may_be_elsewhere(glance.hashed);
            }
        }
        false
    }

    /// Finds it in its other bucket, for which [`Engine::locate`] has asked some packets before.
    pub fn locate_elsewhere(&self, glance: &mut Glance) {
        glance.slot = self.table.candidate_elsewhere(glance.hashed);
    }

    /// Asks for what else of its session a packet needs that opens or closes it, some packets after [`Engine::locate`].
    #[inline(always)]
    pub fn anticipate(&self, glance: &Glance) {
        if glance.is_sought() && glance.slot != NIL {
            let is_moving = !self.table.hot(glance.slot).state.is_settled() || !glance.plain.is_steady;
            if is_moving {
                self.table.prefetch_slot(glance.slot);
                self.table.prefetch_ties(glance.slot);
            }
        }
    }

    /// Lets a plain packet pass that arrived on `port`, if it is of a live session of this engine and moves it to no other
    /// state but that of a stream: where many UDP sessions are that old at once, each of their packets may. `false`: nothing has happened, and [`Engine::inspect_plain`] is to judge it. Those that passed are counted by
    /// [`Engine::count_passed`].
    #[inline(always)]
    pub fn pass(&mut self, now: Instant, port: Port, glance: &Glance) -> bool {
        let Glance { slot, plain, hashed, .. } = glance;
        if *slot == NIL || !plain.is_steady || !self.table.is(*slot, &plain.key, *hashed) {
            return false;
        }
        let hot = self.table.hot_mut(*slot);
        if !self.running.policy.is_alike(hot.policy()) || !hot.is_smooth() {
            return false;
        }
        let stays = match (plain.key.protocol(), hot.state) {
            (protocol::TCP, State::Established) => tcp::advance(&mut hot.peers, port.index(), &plain.tcp),
            (protocol::UDP, State::Stream) => true,
            (protocol::UDP, State::Replied) if query::is_of_age(hot, now) => {
                self.table.count(*slot, port, plain.wire_len);
                self.ripen(now, port, *slot);
                return true;
            }
            (protocol::UDP, State::Replied) => true,
            (protocol::UDP, State::Unreplied) => port == hot.from(),
            _ => false,
        };
        if stays {
            hot.last_seen_ms = stamp(now);
            self.table.count(*slot, port, plain.wire_len);
        }
        stays
    }

    /// A UDP session has become a stream.
    #[inline(never)]
    fn ripen(&mut self, now: Instant, port: Port, slot: u32) {
        self.touch(now, port, slot, State::Stream);
    }

    /// Inspects a plain packet that did not pass: what [`Engine::inspect`] says of it, without reading it again. `head` is
    /// the same as before.
    pub fn inspect_plain(
        &mut self,
        now: Instant,
        port: Port,
        glance: &Glance,
        head: &[u8],
        out: &mut Outbox,
    ) -> Verdict {
        let owner = match self.table.find_packed(&glance.plain.key, glance.hashed) {
            Some(slot) => Owner::Slot(slot),
            None => Owner::Nobody(self.kind_of(now, port, &glance.plain)),
        };
        self.inspect_of(now, port, glance, owner, head, out)
    }

    /// Counts so many frames that [`Engine::pass`] let pass.
    #[inline]
    pub fn count_passed(&self, frames: u64) {
        self.counters.reason(Reason::Session).add(frames);
    }

    /// The session that a packet which passed is of.
    pub fn session_of(&self, passed: &Glance) -> SessionId {
        self.table.id(passed.slot)
    }
}
