//! Plain packets of live sessions, a burst at a time: what nearly every packet is.
//!
//! Three stages, so that what a burst waits for from memory comes at once: what each packet is ([`Engine::glance`], which asks
//! for its bucket of the index), which session it seems to have ([`Engine::locate`], which asks for the session's lines),
//! and the state machine ([`Engine::pass`]). What the last does not take goes to [`Engine::inspect_plain`], in its turn,
//! and nothing has happened to it: the order of packets stays, and the first two stages are only hints.

use super::{Arrival, Engine};
use crate::packet::{DeviceChecksum, Plain, protocol};
use crate::policy::{Action, RuleId, ZoneId};
use crate::port::Port;
use crate::protect::spoofing;
use crate::reason::Reason;
use crate::record::{Outbox, Verdict};
use crate::session::table::Hashed;
use crate::session::tombstone::Plot;
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
    hashed: Hashed,
    plain: Plain,
}

/// What kind of frame it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    /// Not a plain packet.
    #[default]
    Other,
    /// A plain packet.
    Plain,
    /// A plain packet whose session was asked for: not one that another worker owns.
    Sought,
}

/// What is known of a plain packet of no session.
#[derive(Clone, Copy, Debug)]
enum Stranger {
    /// Nothing yet.
    Unknown,
    /// It is dropped.
    Dropped(Verdict),
    /// Its source may speak, nobody expects it, and this is what the rules say to it.
    Asked { opener: Option<ZoneId>, action: Action, rule: Option<RuleId> },
}

impl Glance {
    /// Whether it is a plain packet; if not, nothing more is known of it.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.kind != Kind::Other
    }

    /// Whether its session was asked for ([`Engine::seek`]).
    #[inline]
    pub fn is_sought(&self) -> bool {
        self.kind == Kind::Sought
    }

    /// Looks at a frame that arrived on `port`; `head` and `wire_len` as for [`crate::packet::parse`]. Whether it is a plain
    /// packet.
    #[inline(always)]
    pub fn read(&mut self, port: Port, head: &[u8], wire_len: usize, device: DeviceChecksum) -> bool {
        let is_plain = self.plain.read(port, head, wire_len, device);
        self.kind = if is_plain { Kind::Plain } else { Kind::Other };
        is_plain
    }

    /// The worker, of `workers`, that owns the plain packet: what [`steer::owner`] says.
    #[inline]
    pub fn owner(&self, workers: u16) -> u16 {
        steer::queue_of_entry(steer::entry_of_packed(&self.plain.key), workers)
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
                // What is asked last before it is dropped.
                let entry = steer::entry_of_packed(&glance.plain.key);
                self.tombstones.prefetch(Plot { hash: glance.hashed.hash, entry });
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
        let (packed, hashed) = (&glance.plain.key, glance.hashed);
        let found = self.table.find_packed(packed, hashed);
        let stranger =
            if found.is_none() { self.judge_stranger(now, port, glance) } else { Stranger::Unknown };
        if let Stranger::Dropped(verdict) = stranger {
            self.count(verdict, 1);
            if self.running.policy.detector().is_some() {
                self.note_stray(now, port, glance, head, verdict, out);
            }
            if self.is_to_be_told(now, verdict, out) {
                self.tell_of_drop(now, port, &glance.plain.facts(port, head), verdict, out);
            }
            return verdict;
        }
        let (facts, key) = (glance.plain.facts(port, head), packed.unpacked());
        let arrival = Arrival { now, port, facts: &facts, head, key: &key, packed, hashed };
        let verdict = match stranger {
            Stranger::Asked { opener, action, rule } => {
                self.settle(&arrival, None, opener, (action, rule), out)
            }
            _ => match self.judge_source(now, port, &facts, out) {
                Some(verdict) => verdict,
                None => self.decide_keyed(&arrival, found, out),
            },
        };
        self.report(now, port, &facts, verdict, 1, out);
        verdict
    }

    /// What the order of inspection comes to for a packet of no session, as far as it can be said without all facts of it:
    /// of such packets floods are made.
    fn judge_stranger(&self, now: Instant, port: Port, glance: &Glance) -> Stranger {
        let Glance { plain, hashed, .. } = glance;
        let policy = &self.running.policy;
        if !spoofing::is_source_clean(policy, port, &plain.key) {
            return Stranger::Unknown;
        }
        let is_blocked = || !self.guards.blocks.is_empty() && self.is_sender_blocked(now, port, plain);
        if plain.key.protocol() == protocol::TCP {
            if tcp::is_midstream_segment(&plain.tcp) && self.may_pick_up(now) {
                return Stranger::Unknown;
            }
            if tcp::cannot_open(&plain.tcp) {
                if is_blocked() {
                    return Stranger::Dropped(Verdict::of(Reason::SourceBlocked));
                }
                if policy.proves_sources() {
                    // It may be the proof.
                    return Stranger::Unknown;
                }
                return Stranger::Dropped(self.unknown(port, Reason::TcpNoSession, &plain.key, *hashed));
            }
        }
        if !self.expectations.is_empty() {
            return Stranger::Unknown;
        }
        if is_blocked() {
            return Stranger::Dropped(Verdict::of(Reason::SourceBlocked));
        }
        let Some(query) = policy.query_of_plain(port, &plain.key) else { return Stranger::Unknown };
        let (action, rule) = self.ask_rules(&query);
        if action == Action::Drop {
            return Stranger::Dropped(self.dropped(port, rule, &plain.key, *hashed));
        }
        Stranger::Asked { opener: query.from, action, rule }
    }

    #[inline(never)]
    fn is_sender_blocked(&self, now: Instant, port: Port, plain: &Plain) -> bool {
        self.is_blocked(now, &plain.key.addresses(port))
    }

    #[inline(never)]
    fn note_stray(
        &mut self,
        now: Instant,
        port: Port,
        glance: &Glance,
        head: &[u8],
        verdict: Verdict,
        out: &mut Outbox,
    ) {
        self.note_refused(now, &glance.plain.facts(port, head), verdict.reason, out);
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
