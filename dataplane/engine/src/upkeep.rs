//! What happens to sessions between packets: they expire, are listed, are ended.

use arrayvec::ArrayVec;

use crate::counters::ProtocolClass;
use crate::flow::FlowKey;
use crate::packet::Facts;
use crate::pipeline::Engine;
use crate::policy::{RuleId, RuleKey, Timeouts};
use crate::port::Port;
use crate::reason::Reason;
use crate::record::{Ended, Event, Outbox, PacketRecord, Verdict};
use crate::session::expiry::Fate;
use crate::session::tombstone::{Plot, Tombstone};
use crate::session::{SessionId, SessionView};
use crate::steer;
use crate::time::{Duration, Instant};

/// Timers that are looked at together.
const DUE_TOGETHER: usize = 8;

impl Engine {
    /// A moment before which no timer is due; `None` when there is no session and no fragment. Those of sessions have a
    /// resolution of one millisecond.
    pub fn next_deadline(&self) -> Option<Instant> {
        let sessions = self.wheel.next_ms().map(Instant::from_millis);
        let handshakes = self.shields.next_ms().map(Instant::from_millis);
        sessions.into_iter().chain(handshakes).chain(self.fragments_deadline()).min()
    }

    /// Ends sessions that have been idle for as long as their timeout, and drops fragments that waited for as long as
    /// theirs; sends again what nobody answered. Looks at `budget` timers of each at the most, and with a budget of one at
    /// handshakes only when no session is due. Returns whether more may be due.
    pub fn expire(&mut self, now: Instant, budget: u32, out: &mut Outbox) -> bool {
        let sessions = self.expire_sessions(now, budget, out);
        let fragments = self.expire_fragments(now, budget, out);
        if sessions && budget == 1 {
            return true;
        }
        self.expire_handshakes(now, budget, out) || fragments || sessions
    }

    fn expire_sessions(&mut self, now: Instant, budget: u32, out: &mut Outbox) -> bool {
        let mut left = budget as usize;
        let mut due = ArrayVec::<SessionId, DUE_TOGETHER>::new();
        while left > 0 {
            // What is looked at of each is asked for before any is: they need not wait for memory one after the other.
            let mut slots = ArrayVec::<u32, DUE_TOGETHER>::new();
            while slots.len() < left.min(DUE_TOGETHER)
                && let Some(slot) = self.wheel.pop(&mut self.table.timers(), now.as_millis())
            {
                self.table.prefetch_slot(slot);
                slots.push(slot);
            }
            if slots.is_empty() {
                return false;
            }
            left -= slots.len();
            for slot in &slots {
                self.table.prefetch_bucket(self.table.hash_packed(&self.table.packed(*slot)));
            }
            due.extend(slots.iter().map(|slot| self.table.id(*slot)));
            for id in due.drain(..) {
                // The end of one may be the end of another.
                if let Some(slot) = self.table.slot(id) {
                    self.ring(now, slot, out);
                }
            }
        }
        true
    }

    /// The timer of the session in `slot` fires, and is in no list.
    fn ring(&mut self, now: Instant, slot: u32, out: &mut Outbox) {
        if self.deadline_ms(now, slot) > now.as_millis() {
            return self.file(now, slot);
        }
        // Only now: when a timer moves down the wheel is nothing to decide a session by.
        if !self.table.hot(slot).is_of(self.running.policy.generation) {
            if !self.renew(now, slot) {
                return self.finish(now, slot, Reason::EndPolicy, out);
            }
            if self.deadline_ms(now, slot) > now.as_millis() {
                return self.file(now, slot);
            }
        }
        match self.on_expiry(slot, out) {
            Fate::Asked => self.file(now, slot),
            Fate::Ends(reason) => self.finish(now, slot, reason, out),
        }
    }

    /// Ends the session of that name; whether it lived.
    pub fn end_session(&mut self, now: Instant, id: SessionId, reason: Reason, out: &mut Outbox) -> bool {
        let found = self.table.slot(id);
        if let Some(slot) = found {
            self.end(now, slot, reason, out);
        }
        found.is_some()
    }

    /// Calls `each` with the live sessions in up to `budget` slots from `cursor` on; returns where to go on, or
    /// `None` at the end of the table. A session that lives through the whole listing is seen exactly once.
    pub fn scan(
        &self,
        now: Instant,
        cursor: u32,
        budget: u32,
        mut each: impl FnMut(&SessionView),
    ) -> Option<u32> {
        let end = cursor.saturating_add(budget).min(self.table.used());
        for slot in cursor..end {
            if self.table.is_live(slot) {
                each(&self.view(now, slot));
            }
        }
        (end < self.table.used()).then_some(end)
    }

    /// The live session of that name.
    pub fn session(&self, now: Instant, id: SessionId) -> Option<SessionView> {
        self.table.slot(id).map(|slot| self.view(now, slot))
    }

    pub(crate) fn view(&self, now: Instant, slot: u32) -> SessionView {
        let (hot, cold) = (self.table.hot(slot), self.table.cold(slot));
        let key = self.table.key(slot);
        let (packets, bytes) = self.table.counts(slot);
        let since = |stamped: u32| Duration::from_millis(u64::from(elapsed_ms(now, stamped)));
        let timeout_ms = hot.timeout_ms(self.timeouts_of(slot));
        SessionView {
            id: self.table.id(slot),
            from: hot.from(),
            five_tuple: key.five_tuple(hot.from()),
            vlan: key.vlan,
            state: hot.state,
            rule: cold.rule(),
            helper: hot.mark.helper(),
            parent: self.parent_of(slot),
            age: since(cold.created_ms),
            idle: since(hot.last_seen_ms),
            timeout: Duration::from_millis(u64::from(timeout_ms)),
            packets,
            bytes,
        }
    }

    /// Ends a live session.
    pub(crate) fn end(&mut self, now: Instant, slot: u32, reason: Reason, out: &mut Outbox) {
        self.wheel.remove(&mut self.table.timers(), slot);
        self.finish(now, slot, reason, out);
    }

    /// Ends a live session whose timer is in no list.
    fn finish(&mut self, now: Instant, slot: u32, reason: Reason, out: &mut Outbox) {
        let log = self.running.policy.logs_sessions(self.rule_of(slot));
        if log || self.config.report_all_sessions {
            out.event(Event::SessionEnd { time: now, session: self.view(now, slot), reason, log });
        }
        self.end_following(now, slot);
        self.release_held(slot);
        let mark = self.table.hot(slot).mark;
        if mark.is_shaking_hands() {
            self.give_handshake_up(slot, out);
        }
        if mark.is_counted() {
            self.uncount_half_open(now, slot);
        }
        let packed = self.table.packed(slot);
        let hashed = self.table.hash_packed(&packed);
        let plot = Plot { hash: hashed.hash, entry: steer::entry_of_packed(&packed) };
        self.remember(now, slot, reason, plot);
        if packed.unpacked().has_one_way_number() {
            self.pairs.end(&self.table, slot);
        }
        self.notice_session(now, slot, reason);
        let hot = self.table.hot(slot);
        self.counters.sessions(ProtocolClass::of(hot.protocol()), hot.state).sub(1);
        self.counters.reason(reason).add(1);
        self.table.remove_hashed(slot, hashed);
    }

    /// Leaves a record of a session that is cut, for a packet that comes too late; one whose ends closed it needs none.
    fn remember(&mut self, now: Instant, slot: u32, reason: Reason, plot: Plot) {
        let is_cut = matches!(
            reason,
            Reason::EndIdle
                | Reason::EndUnanswered
                | Reason::EndHandshake
                | Reason::EndEvicted
                | Reason::EndPressed
                | Reason::EndOperator
                | Reason::EndPolicy
        );
        if !is_cut {
            self.tombstones.forget(plot);
            return;
        }
        if matches!(reason, Reason::EndIdle | Reason::EndUnanswered)
            && let Some(counts) = self.rule_of(slot).and_then(|rule| self.running.hits.rule(rule))
        {
            counts.cut_idle.add(1);
        }
        let (hot, cold) = (self.table.hot(slot), self.table.cold(slot));
        let tombstone = Tombstone {
            hash: plot.hash,
            id: self.table.id(slot),
            from: hot.from(),
            ended_ms: stamp(now),
            idle_ms: elapsed_ms(now, hot.last_seen_ms),
            timeout_ms: hot.timeout_ms(self.timeouts_of(slot)),
            rule: cold.rule(),
            state: hot.state,
            reason,
        };
        self.tombstones.bury(plot.entry, tombstone, stamp(now));
    }

    /// How the session ended that a late packet speaks of.
    fn ended(&self, now: Instant, port: Port, facts: &Facts) -> Option<Ended> {
        let key = FlowKey::of(facts, port)?;
        let plot = Plot { hash: self.table.hash(&key).hash, entry: steer::entry_of(&key) };
        self.tombstones.find(plot).map(|tombstone| told(tombstone, now))
    }

    /// Files the timer of a session, which is in no list.
    pub(crate) fn file(&mut self, now: Instant, slot: u32) {
        let deadline_ms = self.deadline_ms(now, slot);
        self.wheel.insert(&mut self.table.timers(), slot, deadline_ms);
    }

    /// When the session will have been idle for its timeout, and its ends have had time to answer, in milliseconds of the engine's clock.
    fn deadline_ms(&self, now: Instant, slot: u32) -> u64 {
        let hot = self.table.hot(slot);
        let timeouts = self.timeouts_of(slot);
        let timeout_ms = hot.timeout_ms(timeouts);
        let idle_ms = elapsed_ms(now, hot.last_seen_ms);
        let last_seen_ms = if hot.last_seen_ms == stamp(now) {
            now.as_millis_up()
        } else {
            now.as_millis().saturating_sub(u64::from(idle_ms))
        };
        last_seen_ms
            + u64::from(timeout_ms)
            + u64::from(timeouts.probe_interval_ms) * u64::from(self.table.probes(slot))
    }

    /// The rule of a session in the policy in force, if that still has it.
    fn rule_of(&self, slot: u32) -> Option<RuleId> {
        self.running.policy.by_key(self.table.cold(slot).rule())
    }

    /// The timeouts of a session in the policy in force.
    pub(crate) fn timeouts_of(&self, slot: u32) -> &Timeouts {
        let (policy, hot) = (&self.running.policy, self.table.hot(slot));
        let id = if hot.is_of(policy.generation) {
            hot.timeouts()
        } else {
            policy.timeouts_of(self.rule_of(slot))
        };
        policy.timeouts(id)
    }

    pub(crate) fn record(
        &mut self,
        now: Instant,
        port: Port,
        facts: &Facts,
        verdict: Verdict,
    ) -> PacketRecord {
        let ended = match verdict.reason {
            Reason::SessionExpired => self.ended(now, port, facts),
            _ => None,
        };
        let rule = self.running.policy.key(verdict.rule);
        PacketRecord { rule, ended, ..Self::record_of(now, port, facts, verdict) }
    }

    /// The record of a packet that no rule and no session has a part in.
    pub(crate) fn record_of(now: Instant, port: Port, facts: &Facts, verdict: Verdict) -> PacketRecord {
        PacketRecord {
            time: now,
            port,
            vlan: facts.vlan,
            ethertype: facts.ethertype,
            five_tuple: facts.five_tuple(),
            tcp_flags: facts.tcp.flags,
            wire_len: facts.wire_len,
            reason: verdict.reason,
            rule: RuleKey::NONE,
            session: verdict.session,
            ended: None,
        }
    }

    /// Reports a packet that only `log` in the policy keeps from being dropped.
    pub(crate) fn suspect(
        &mut self,
        now: Instant,
        port: Port,
        facts: &Facts,
        verdict: Verdict,
        out: &mut Outbox,
    ) {
        self.counters.suspicious[port.index()].add(1);
        let packet = self.record(now, port, facts, verdict);
        out.event(Event::Suspect { packet });
    }
}

/// What a tombstone says, at `now`.
pub(crate) fn told(tombstone: &Tombstone, now: Instant) -> Ended {
    let millis = |millis: u32| Duration::from_millis(u64::from(millis));
    Ended {
        ago: millis(elapsed_ms(now, tombstone.ended_ms)),
        reason: tombstone.reason,
        state: tombstone.state,
        idle: millis(tombstone.idle_ms),
        timeout: millis(tombstone.timeout_ms),
        rule: tombstone.rule,
    }
}

/// A moment as sessions remember it: milliseconds, rounded up so that nothing expires early, wrapping at 32 bits.
#[expect(clippy::cast_possible_truncation, reason = "stamps wrap; timeouts are far shorter")]
pub(crate) const fn stamp(now: Instant) -> u32 {
    now.as_nanos().div_ceil(1_000_000) as u32
}

/// Milliseconds from `stamped` to `now`. A stamp is rounded up and may lie a millisecond ahead: that is zero.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "stamps wrap; a negative span is zero"
)]
fn elapsed_ms(now: Instant, stamped: u32) -> u32 {
    ((now.as_millis() as u32).wrapping_sub(stamped) as i32).max(0) as u32
}
