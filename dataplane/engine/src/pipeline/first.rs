//! First packets: what may open a session, what the rules say to it, and the slot that it takes.

use super::{Arrival, Engine};
use crate::flow::PackedKey;
use crate::packet::{self, Facts, protocol};
use crate::policy::{Action, MidstreamMode, OnExpiry, Query, RuleId, ZoneId};
use crate::port::Port;
use crate::protect::spoofing;
use crate::protect::syn_proxy::Shield;
use crate::reason::Reason;
use crate::record::{Event, Outbox, Verdict};
use crate::respond;
use crate::session::table::Hashed;
use crate::session::tcp::is_midstream;
use crate::session::tombstone::Plot;
use crate::session::{State, TimeoutKey, sctp, tcp};
use crate::steer;
use crate::time::Instant;

impl Engine {
    /// A packet that belongs to no session, or to one that is over, in slot `over`: may it open one? What is over makes
    /// room only for a packet that the rules allow.
    pub(crate) fn first(&mut self, arrival: &Arrival<'_>, over: Option<u32>, out: &mut Outbox) -> Verdict {
        let Arrival { now, port, facts, key, .. } = *arrival;
        if let Some(reason) = cannot_open(facts) {
            let picks_up = is_midstream(facts) && self.picks_up(now, port, facts);
            if !picks_up && self.is_blocked(now, &facts.addresses) {
                return Verdict::of(Reason::SourceBlocked);
            }
            if self.running.policy.proves_sources()
                && facts.protocol == protocol::TCP
                && let Some(verdict) = self.heed_proof(arrival, over, out)
            {
                return verdict;
            }
            if !picks_up {
                return self.unknown(port, reason, arrival.packed, arrival.hashed);
            }
        }
        if !is_midstream(facts)
            && let Some(expected) = self.expected(now, port, key)
        {
            return self.open_expected(arrival, over, expected, out);
        }
        if self.is_blocked(now, &facts.addresses) {
            return Verdict::of(Reason::SourceBlocked);
        }
        let Some(query) = self.running.policy.query_of(port, facts) else {
            return Verdict::of(Reason::IpTruncated);
        };
        let decision = self.ask_rules(&query);
        self.settle(arrival, over, query.from, decision, out)
    }

    /// What the rules said to a first packet from the zone `opener` is done.
    pub(super) fn settle(
        &mut self,
        arrival: &Arrival<'_>,
        over: Option<u32>,
        opener: Option<ZoneId>,
        (action, rule): (Action, Option<RuleId>),
        out: &mut Outbox,
    ) -> Verdict {
        let Arrival { now, port, facts, head, .. } = *arrival;
        if action == Action::Drop {
            return self.dropped(port, rule, arrival.packed, arrival.hashed);
        }
        if action != Action::Allow {
            return self.refuse(port, facts, head, action, rule, out);
        }
        if matches!(facts.protocol, protocol::TCP | protocol::SCTP) && facts.is_to_group() {
            return Verdict::of(Reason::GroupDestination);
        }
        let is_altered = self.running.policy.alters_tcp() && facts.protocol == protocol::TCP;
        let mut counted = None;
        if is_altered {
            match self.shield(arrival, rule, out) {
                Shield::Passes(place) => counted = place,
                Shield::Answered(reason) => return Verdict { reason, rule, session: None },
            }
        }
        let admission = match self.admit(arrival, rule, || facts.addresses.source_or_unspecified(), over) {
            Ok(admission) => admission,
            Err(reason) => return Verdict { reason, rule, session: None },
        };
        if let Some(over) = over {
            self.end(now, over, Reason::EndReopened, out);
        }
        let slot = match self.open(arrival, out) {
            Ok(slot) => slot,
            Err(reason) => {
                self.give_back(admission);
                return Verdict { reason, rule, session: None };
            }
        };
        self.keep(slot, admission);
        self.table.both(slot).1.set_rule(self.running.policy.key(rule));
        self.begin_following(arrival, slot, rule, is_midstream(facts));
        self.enter(arrival, slot, rule, opener, out);
        if let Some(place) = counted {
            self.count_half_open(arrival, slot, place);
        }
        if is_altered && !is_midstream(facts) {
            self.randomise(arrival, slot, rule, out);
        }
        Verdict { reason: Reason::SessionNew, rule, session: Some(self.table.id(slot)) }
    }

    /// A first packet that `rule` drops, or the default action.
    #[inline]
    pub(super) fn dropped(
        &self,
        port: Port,
        rule: Option<RuleId>,
        key: &PackedKey,
        hashed: Hashed,
    ) -> Verdict {
        match rule {
            Some(_) => Verdict { reason: Reason::RuleDrop, rule, session: None },
            None => self.unknown(port, Reason::DefaultDrop, key, hashed),
        }
    }

    /// The session in `slot`, whose rule is known, begins; its opener is in the zone `opener`.
    pub(crate) fn enter(
        &mut self,
        arrival: &Arrival<'_>,
        slot: u32,
        rule: Option<RuleId>,
        opener: Option<ZoneId>,
        out: &mut Outbox,
    ) {
        let Arrival { now, port, facts, head, key, .. } = *arrival;
        let policy = &self.running.policy;
        let (generation, timeouts, log) =
            (policy.generation, policy.timeouts_of(rule), policy.logs_sessions(rule));
        let tcp_window = policy.tcp_window(opener);
        let is_clean = spoofing::is_clean(policy, key) && !policy.is_metered(rule);
        let (hot, cold) = self.table.both(slot);
        hot.set_policy(generation);
        hot.set_clean(is_clean);
        hot.set_terms(timeouts, tcp_window);
        cold.count(port, facts.wire_len);
        let timeout_ms = hot.timeout_ms(policy.timeouts(timeouts));
        self.wheel.insert(&mut self.table.timers(), slot, now.as_millis_up() + u64::from(timeout_ms));
        self.learn_link(slot, port, facts, head);
        self.counters.opened.add(1);
        if log || self.config.report_all_sessions {
            out.event(Event::SessionStart { time: now, session: self.view(now, slot), log });
        }
    }

    /// Whether a session that nobody saw begin may be picked up by this packet, if the rules allow it: by the zone of
    /// its source.
    fn picks_up(&self, now: Instant, port: Port, facts: &Facts) -> bool {
        let policy = &self.running.policy;
        let picks_up = |zone| policy.midstream(zone) == MidstreamMode::Pickup;
        self.may_pick_up(now) && (now < self.grace_until || picks_up(self.zone_of_source(port, facts)))
    }

    /// Whether there is any zone from which it may be.
    pub(super) fn may_pick_up(&self, now: Instant) -> bool {
        now < self.grace_until || self.running.policy.picks_up_somewhere()
    }

    /// The zone of whoever sent a packet that arrived on `port`.
    pub(crate) fn zone_of_source(&self, port: Port, facts: &Facts) -> Option<ZoneId> {
        let source = facts.addresses.source()?;
        self.running.policy.zones.place(port, facts.vlan.outer(), source).zone()
    }

    /// Remembers how frames of the session are addressed, if its ends are to be told when it expires.
    pub(super) fn learn_link(&mut self, slot: u32, port: Port, facts: &Facts, head: &[u8]) {
        let is_told = facts.protocol == protocol::TCP && self.timeouts_of(slot).on_expiry != OnExpiry::Silent;
        if is_told && let Some(header) = head.get(..usize::from(facts.network_at)) {
            self.table.learn_link(slot, port, header);
        }
    }

    /// A packet without a session that nothing allows: perhaps one of a session that was cut before.
    pub(super) fn unknown(&self, port: Port, reason: Reason, key: &PackedKey, hashed: Hashed) -> Verdict {
        let plot = Plot { hash: hashed.hash, entry: steer::entry_of_packed(key) };
        let Some(tombstone) = self.tombstones.find(plot) else { return Verdict::of(reason) };
        if reason == Reason::DefaultDrop && port == tombstone.from {
            // Its opener begins anew, and the rules refuse that.
            return Verdict::of(reason);
        }
        let rule = self.running.policy.by_key(tombstone.rule);
        if let Some(counts) = rule.and_then(|rule| self.running.hits.rule(rule)) {
            counts.spoke_again(TimeoutKey::of(tombstone.state, key.protocol()));
        }
        Verdict { reason: Reason::SessionExpired, rule: None, session: Some(tombstone.id) }
    }

    /// Whether a session with that key may be among those that were cut and are remembered.
    #[inline]
    pub(super) fn may_be_remembered(&self, key: &PackedKey, hashed: Hashed) -> bool {
        self.tombstones.may_hold(Plot { hash: hashed.hash, entry: steer::entry_of_packed(key) })
    }

    /// Takes a slot for a session that the rules allow, by its first packet, or says why there is none; in a full table
    /// one that is not established makes room.
    pub(crate) fn open(&mut self, arrival: &Arrival<'_>, out: &mut Outbox) -> Result<u32, Reason> {
        let Arrival { port, facts, head, .. } = *arrival;
        let state = match facts.protocol {
            protocol::TCP => State::SynSent,
            protocol::SCTP => State::CookieWait,
            _ => State::Unreplied,
        };
        let slot = self.take_slot(arrival, port, state, out)?;
        let hot = self.table.hot_mut(slot);
        if facts.protocol == protocol::TCP {
            let segment = tcp::Segment::of(facts, head);
            let begin = if is_midstream(facts) { tcp::pick_up } else { tcp::open };
            hot.peers = begin(port.index(), &segment);
        } else if facts.protocol == protocol::SCTP {
            let init = packet::sctp::Packet::of(facts, head);
            hot.peers = sctp::open(port.index(), &init).map(sctp::Side::kept);
        }
        Ok(slot)
    }

    /// Drops a packet that the rules do not allow, and answers it where they say so.
    pub(crate) fn refuse(
        &mut self,
        port: Port,
        facts: &Facts,
        head: &[u8],
        action: Action,
        rule: Option<RuleId>,
        out: &mut Outbox,
    ) -> Verdict {
        if action == Action::Reject && respond::may_answer(facts) {
            self.send(out, |frame| respond::reject(frame, port, facts, head));
        }
        let reason = match (action, rule) {
            (Action::Reject, Some(_)) => Reason::RuleReject,
            (Action::Reject, None) => Reason::DefaultReject,
            (_, Some(_)) => Reason::RuleDrop,
            (_, None) => Reason::DefaultDrop,
        };
        Verdict { reason, rule, session: None }
    }

    pub(crate) fn ask_rules(&self, query: &Query) -> (Action, Option<RuleId>) {
        self.heed_rule(self.running.policy.classifier.classify(query))
    }

    /// What the rule says that the rules were asked for; counts the packet as decided by it.
    pub(super) fn heed_rule(&self, rule: Option<RuleId>) -> (Action, Option<RuleId>) {
        self.count_hit(rule);
        (self.running.policy.action_of(rule), rule)
    }

    /// Counts a packet that this rule decided.
    #[inline]
    pub(super) fn count_hit(&self, rule: Option<RuleId>) {
        if let Some(counts) = rule.and_then(|rule| self.running.hits.rule(rule)) {
            counts.hits.add(1);
        }
    }
}

/// Why the packet cannot open a session, whatever the rules say.
fn cannot_open(facts: &Facts) -> Option<Reason> {
    let is_reply = || {
        let part = packet::part_in_query(facts.addresses.is_v4(), facts.icmp_type());
        matches!(part, Some(packet::Part::Reply(_)))
    };
    match facts.protocol {
        protocol::TCP if tcp::cannot_open(&facts.tcp) => Some(Reason::TcpNoSession),
        // Without a tag it is an INIT (RFC 9260 section 8.5.1).
        protocol::SCTP if facts.tcp.sequence != 0 => Some(Reason::SctpNoSession),
        _ if facts.is_icmp() && is_reply() => Some(Reason::IcmpNoSession),
        _ => None,
    }
}
