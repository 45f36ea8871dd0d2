//! The engine: the order in which a frame is inspected, in one place.
//!
//! Paths of a frame, fastest first:
//! 1. a plain packet of a live session that moves it to no other state: [`plain`];
//! 2. any packet of a live session: one look-up (two cache lines of the index at the most), the session's own lines,
//!    the state machine;
//! 3. a packet without a session that cannot open one: the look-up, a reason;
//! 4. a first packet: zones, the rules, a slot, a timer.
//!
//! Nothing here allocates, waits or reads a clock. Every loop is bounded by the frame, by a bucket, or by a budget.

use std::sync::Arc;

use crate::counters::{Counters, ProtocolClass, RuleHits};
use crate::flow::{FlowKey, HashSecret, PackedKey};
use crate::fragment::Fragments;
use crate::helper::{Expectations, Followers};
use crate::one_sided::OneSided;
use crate::packet::{self, Class, Facts, ethertype, icmp, icmpv6, protocol};
use crate::policy::{Action, OnDeploy, Policy, Query, SpoofingMode, TcpWindowMode};
use crate::port::Port;
use crate::protect::hijack::Suspects;
use crate::protect::limits::AllHeld;
use crate::protect::syn_proxy::{self, SynProxy};
use crate::protect::{Guards, spoofing};
use crate::reason::Reason;
use crate::record::{Event, Outbox, Verdict};
use crate::session::pairs::{self, Pairs};
use crate::session::paths::Paths;
use crate::session::room::{Budgets, Pressure};
use crate::session::table::{Hashed, Table};
use crate::session::tombstone::Tombstones;
use crate::session::wheel::Wheel;
use crate::session::{State, kin, query, sctp, tcp};
use crate::shared::Shared;
use crate::time::{Duration, Instant};
use crate::upkeep::stamp;

mod first;
mod notices;
mod plain;
mod strangers;

use notices::Notices;
pub use plain::Glance;
use strangers::Strangers;

/// The sessions that were cut last are remembered: one for so many that the table holds.
const SESSIONS_PER_TOMBSTONE: u32 = 16;

/// Pairs of hosts that speak ESP, AH or PPTP with each other are remembered: one for so many sessions that the table holds.
const SESSIONS_PER_PAIR: u32 = 16;

/// RFC 791 section 3.2 and RFC 8200 section 5: no link carries less.
const MTU_MIN_V4: u32 = 68;
const MTU_MIN_V6: u32 = 1280;

/// What an engine is made with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its number among the workers, part of its sessions' names.
    pub worker: u8,
    /// Sessions it can hold at the most.
    pub capacity: u32,
    /// Keys the hash of its table.
    pub secret: HashSecret,
    /// Report start and end of every session, not only of those that the policy logs.
    pub report_all_sessions: bool,
}

/// A policy as one worker runs it.
#[derive(Clone, Debug)]
pub struct Running {
    /// The policy, shared by all workers.
    pub policy: Arc<Policy>,
    /// This worker's hits of its rules.
    pub hits: Arc<RuleHits>,
}

impl Running {
    /// `policy` with all hits at zero.
    pub fn new(policy: Arc<Policy>) -> Self {
        let hits = Arc::new(RuleHits::new(policy.ruleset.rules.len()));
        Self { policy, hits }
    }
}

/// A packet that has a key, and all that is known of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<'p> {
    pub(crate) now: Instant,
    pub(crate) port: Port,
    pub(crate) facts: &'p Facts,
    pub(crate) head: &'p [u8],
    pub(crate) key: &'p FlowKey,
    /// The same in words, and where it hashes to.
    pub(crate) packed: &'p PackedKey,
    pub(crate) hashed: Hashed,
}

/// The inspection engine of one worker: its shard of the sessions, its timers, its counters.
#[derive(Debug)]
pub struct Engine {
    pub(crate) config: Config,
    pub(crate) running: Running,
    pub(crate) table: Table,
    pub(crate) wheel: Wheel,
    pub(crate) tombstones: Tombstones,
    pub(crate) expectations: Arc<Expectations>,
    pub(crate) followers: Followers,
    pub(crate) guards: Arc<Guards>,
    pub(crate) held: AllHeld,
    pub(crate) pairs: Pairs,
    pub(crate) paths: Paths,
    pub(crate) fragments: Fragments,
    pub(crate) counters: Arc<Counters>,
    pub(crate) one_sided: OneSided,
    pub(crate) suspects: Suspects,
    pub(crate) budgets: Budgets,
    pub(crate) pressure: Pressure,
    /// What it shares with others of sources that have to prove that they are real, and what it has of its own.
    pub(crate) syn_proxy: Arc<SynProxy>,
    pub(crate) shields: syn_proxy::Own,
    pub(crate) notices: Notices,
    strangers: Box<Strangers>,
    /// When the appliance started; `None`: long ago.
    started: Option<Instant>,
    /// Until then sessions are picked up in midstream, and windows only logged ([`crate::policy::Inspection::grace_ms`]).
    grace_until: Instant,
}

impl Engine {
    /// An engine without sessions, at the moment `now`, which is all of an appliance.
    pub fn new(config: Config, running: Running, now: Instant) -> Self {
        Self::sharing(Shared::new(config.capacity, config.secret), config, running, now)
    }

    /// One of several, with what they share.
    pub fn sharing(shared: Shared, config: Config, running: Running, now: Instant) -> Self {
        let Shared { expectations, guards, syn_proxy } = shared;
        let table = Table::new(config.worker, config.capacity, config.secret);
        let wheel = Wheel::new(now.as_millis());
        let tombstones = Tombstones::new((config.capacity / SESSIONS_PER_TOMBSTONE).clamp(64, 65_536));
        Self {
            table,
            wheel,
            tombstones,
            followers: Followers::new(expectations.followers_max()),
            expectations,
            guards,
            held: AllHeld::new(config.capacity),
            pairs: Pairs::new((config.capacity / SESSIONS_PER_PAIR).clamp(64, 16_384)),
            paths: Paths::new(),
            fragments: Fragments::new(config.secret),
            counters: Arc::new(Counters::default()),
            one_sided: OneSided::new(config.secret),
            suspects: Suspects::new(),
            budgets: Budgets::default(),
            pressure: Pressure::default(),
            shields: syn_proxy::Own::new(&syn_proxy, now),
            syn_proxy,
            notices: Notices::default(),
            strangers: Box::default(),
            started: None,
            grace_until: Instant::ZERO,
            running,
            config,
        }
    }

    /// What its helpers, and those of the engines that it shares the table with, expect.
    pub fn expectations(&self) -> &Arc<Expectations> {
        &self.expectations
    }

    /// Says when the appliance started: sessions that run through it have their grace from then on.
    pub fn set_started(&mut self, started: Instant) {
        self.started = Some(started);
        self.reckon_grace();
    }

    fn reckon_grace(&mut self) {
        let span = Duration::from_millis(self.running.policy.ruleset.inspection.grace_ms.into());
        self.grace_until = self.started.map_or(Instant::ZERO, |started| started + span);
    }

    /// Its counters, for whoever wants to read them, on any thread.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Its session table.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The policy in force.
    pub fn running(&self) -> &Running {
        &self.running
    }

    /// Switches to another policy; the old one goes back to the caller, to be freed elsewhere. Live sessions are
    /// decided again on their next packet where the policy says `rematch`.
    pub fn set_policy(&mut self, running: Running) -> Running {
        let old = core::mem::replace(&mut self.running, running);
        self.reckon_grace();
        old
    }

    /// Inspects a frame that arrived on `port`: `facts` are what [`crate::packet::parse`] found in it, `head` its
    /// bytes (or the first of them, as for `parse`). Fragments are for [`Engine::collect`]: who keeps no frames drops them
    /// here.
    pub fn inspect(
        &mut self,
        now: Instant,
        port: Port,
        facts: &Facts,
        head: &[u8],
        out: &mut Outbox,
    ) -> Verdict {
        let verdict = self.decide(now, port, facts, head, out);
        self.report(now, port, facts, verdict, 1, out);
        verdict
    }

    /// Counts the verdict on so many frames, and tells of it if they are dropped.
    pub(crate) fn report(
        &mut self,
        now: Instant,
        port: Port,
        facts: &Facts,
        verdict: Verdict,
        frames: u64,
        out: &mut Outbox,
    ) {
        self.count(verdict, frames);
        self.note_refused(now, facts, verdict.reason, out);
        if self.is_to_be_told(now, verdict, out) {
            self.tell_of_drop(now, port, facts, verdict, out);
        }
    }

    fn count(&self, verdict: Verdict, frames: u64) {
        self.counters.reason(verdict.reason).add(frames);
    }

    /// Whether it is a drop that is recorded: one of the first of its millisecond.
    fn is_to_be_told(&mut self, now: Instant, verdict: Verdict, out: &mut Outbox) -> bool {
        let is_drop = verdict.reason.is_drop() && !verdict.reason.is_answered();
        let is_told = is_drop && self.notices.take(now);
        out.drops_untold += u64::from(is_drop && !is_told);
        is_told
    }

    #[inline(never)]
    fn tell_of_drop(&mut self, now: Instant, port: Port, facts: &Facts, verdict: Verdict, out: &mut Outbox) {
        self.notice_packet(now, port, facts, verdict.reason);
        let policy = &self.running.policy;
        // Whoever logs the sessions of a rule wants to know which of them were refused.
        let is_refused = matches!(verdict.reason, Reason::TableFull | Reason::BudgetFull);
        let log = policy.logs_drops(verdict.rule) || is_refused && policy.logs_sessions(verdict.rule);
        let packet = self.record(now, port, facts, verdict);
        out.event(Event::Drop { packet, log });
    }

    /// The order of inspection: malformed, link layer, source address, fragment, session, rules.
    fn decide(&mut self, now: Instant, port: Port, facts: &Facts, head: &[u8], out: &mut Outbox) -> Verdict {
        if let Some(fault) = facts.fault {
            return Verdict::of(fault);
        }
        if !matches!(facts.class, Class::Ip | Class::Arp) {
            return Verdict::of(self.judge_non_ip(facts));
        }
        if let Some(verdict) = self.judge_source(now, port, facts, out) {
            return verdict;
        }
        if facts.class == Class::Arp {
            return Verdict::of(self.judge_non_ip(facts));
        }
        if facts.fragment.is_some() {
            return Verdict::of(Reason::Fragment);
        }
        self.decide_packet(now, port, facts, head, out)
    }

    /// Drops what comes from where it cannot come from, or only tells of it, as the policy says.
    fn judge_source(&mut self, now: Instant, port: Port, facts: &Facts, out: &mut Outbox) -> Option<Verdict> {
        let finding = spoofing::check(&self.running.policy, port, facts)?;
        if finding.mode == SpoofingMode::Drop {
            return Some(Verdict::of(finding.reason));
        }
        self.suspect(now, port, facts, Verdict::of(finding.reason), out);
        None
    }

    /// A whole IP packet whose source may speak: by its session, or by the rules.
    pub(crate) fn decide_packet(
        &mut self,
        now: Instant,
        port: Port,
        facts: &Facts,
        head: &[u8],
        out: &mut Outbox,
    ) -> Verdict {
        let Some(key) = FlowKey::of(facts, port) else { return Verdict::of(Reason::IpTruncated) };
        if (facts.is_icmp() || facts.protocol == protocol::IGMP)
            && let Some(verdict) = self.judge_control(now, port, facts, head, out)
        {
            return verdict;
        }
        let packed = PackedKey::of(&key);
        let hashed = self.table.hash_packed(&packed);
        let found = self.table.find_packed(&packed, hashed);
        let arrival = Arrival { now, port, facts, head, key: &key, packed: &packed, hashed };
        self.decide_keyed(&arrival, found, out)
    }

    /// A packet whose session is in slot `found`, or which has none of its key.
    fn decide_keyed(&mut self, arrival: &Arrival<'_>, found: Option<u32>, out: &mut Outbox) -> Verdict {
        match found {
            Some(slot) => self.follow(arrival, slot, out),
            None if kin::is_possible(arrival.key) => self.kin(arrival, out),
            None => self.first(arrival, None, out),
        }
    }

    /// Frames that are not IP: by the policy's lists alone.
    fn judge_non_ip(&self, facts: &Facts) -> Reason {
        let inspection = &self.running.policy.ruleset.inspection;
        let listed = inspection.non_ip.contains(&facts.ethertype);
        match facts.class {
            Class::LinkLocal(nibble) => {
                let pass = inspection.link_local;
                let is_llc = facts.ethertype < ethertype::FIRST;
                let allowed = match (nibble, facts.ethertype) {
                    (0x00 | 0x03 | 0x0e, ethertype::LLDP) => pass.lldp,
                    (0x00, _) if is_llc => pass.stp,
                    (0x01, ethertype::PAUSE) => pass.pause,
                    (0x02, ethertype::SLOW) => pass.lacp,
                    (0x03, ethertype::DOT1X) => pass.dot1x,
                    _ => false,
                };
                if allowed { Reason::LinkLocal } else { Reason::LinkLocalDenied }
            }
            Class::Llc if inspection.llc => Reason::NonIp,
            Class::Llc => Reason::LlcDenied,
            Class::Arp if listed => Reason::Neighbour,
            _ if listed => Reason::NonIp,
            _ => Reason::NonIpDenied,
        }
    }

    /// IGMP, and ICMP and ICMPv6 that is no query: neighbour discovery, group and router messages, errors. `None` for
    /// queries.
    fn judge_control(
        &mut self,
        now: Instant,
        port: Port,
        facts: &Facts,
        head: &[u8],
        out: &mut Outbox,
    ) -> Option<Verdict> {
        if facts.protocol == protocol::IGMP {
            return Some(self.judge_stateless(now, port, facts, head, out));
        }
        if facts.is_icmp_error() {
            return Some(self.judge_error(now, port, facts, head, out));
        }
        let (is_v4, kind) = (facts.addresses.is_v4(), facts.icmp_type());
        if packet::part_in_query(is_v4, kind).is_some() {
            return None;
        }
        if is_v4 {
            return Some(match kind {
                icmp::REDIRECT | icmp::ROUTER_ADVERTISEMENT | icmp::ROUTER_SOLICITATION => {
                    self.judge_stateless(now, port, facts, head, out)
                }
                _ => Verdict::of(Reason::IcmpType),
            });
        }
        // RFC 4861 section 7.1, RFC 3122 section 4, RFC 3971 section 6.4.
        let is_neighbourly = matches!(
            kind,
            icmpv6::ROUTER_SOLICITATION
                ..=icmpv6::REDIRECT
                    | icmpv6::INVERSE_SOLICITATION
                    | icmpv6::INVERSE_ADVERTISEMENT
                    | icmpv6::CERTIFICATION_PATH_SOLICITATION
                    | icmpv6::CERTIFICATION_PATH_ADVERTISEMENT
        );
        if is_neighbourly && facts.hop_limit != 255 {
            return Some(Verdict::of(Reason::NeighbourHopLimit));
        }
        Some(match kind {
            icmpv6::NEIGHBOUR_SOLICITATION | icmpv6::NEIGHBOUR_ADVERTISEMENT => {
                Verdict::of(Reason::Neighbour)
            }
            _ if is_neighbourly => self.judge_stateless(now, port, facts, head, out),
            icmpv6::MLD_QUERY..=icmpv6::MLD_DONE
            | icmpv6::MLD2_REPORT
            | icmpv6::MULTICAST_ROUTER_ADVERTISEMENT..=icmpv6::MULTICAST_ROUTER_TERMINATION => {
                self.judge_stateless(now, port, facts, head, out)
            }
            _ => Verdict::of(Reason::IcmpType),
        })
    }

    /// An ICMP or ICMPv6 error: by the session that it speaks of.
    fn judge_error(
        &mut self,
        now: Instant,
        port: Port,
        facts: &Facts,
        head: &[u8],
        out: &mut Outbox,
    ) -> Verdict {
        let Some(slot) = self.related(port, facts, head) else { return Verdict::of(Reason::IcmpError) };
        let session = Some(self.table.id(slot));
        if !self.is_current(now, slot, out) {
            return Verdict { reason: Reason::PolicyChanged, rule: None, session };
        }
        // RFC 1191 section 3: an MTU of 0 is that of a router of before, and left to the host's guess.
        let mtu_min = if facts.addresses.is_v4() { MTU_MIN_V4 } else { MTU_MIN_V6 };
        let is_no_link = match packet::stated_mtu(head, facts) {
            Some(0) => !facts.addresses.is_v4(),
            Some(mtu) => mtu < mtu_min,
            None => false,
        };
        let reason = if is_no_link { Reason::IcmpBadMtu } else { Reason::Related };
        if reason == Reason::Related && self.table.hot(slot).mark.is_translated() {
            out.rewrite = self.rewrite_error(slot, port, facts, head);
        }
        Verdict { reason, rule: None, session }
    }

    /// Messages that nobody answers: each is decided by the rules.
    fn judge_stateless(
        &mut self,
        now: Instant,
        port: Port,
        facts: &Facts,
        head: &[u8],
        out: &mut Outbox,
    ) -> Verdict {
        if self.is_blocked(now, &facts.addresses) {
            return Verdict::of(Reason::SourceBlocked);
        }
        let Some(query) = self.running.policy.query_of(port, facts) else {
            return Verdict::of(Reason::IpTruncated);
        };
        let (action, rule) = self.ask_rules(&query);
        match action {
            Action::Allow => Verdict { reason: Reason::Stateless, rule, session: None },
            _ => self.refuse(port, facts, head, action, rule, out),
        }
    }

    /// A packet of a live session.
    pub(crate) fn follow(&mut self, arrival: &Arrival<'_>, slot: u32, out: &mut Outbox) -> Verdict {
        if self.running.policy.proves_sources()
            && arrival.facts.protocol == protocol::TCP
            && let Some(verdict) = self.heed_proof_over(arrival, slot, out)
        {
            return verdict;
        }
        if self.table.hot(slot).mark.is_translated() {
            return self.follow_translated(arrival, slot, out);
        }
        self.follow_as_it_is(arrival, slot, out)
    }

    /// The same of a session that nobody translates, or of a packet that was translated.
    #[inline]
    pub(crate) fn follow_as_it_is(&mut self, arrival: &Arrival<'_>, slot: u32, out: &mut Outbox) -> Verdict {
        let Arrival { now, port, facts, head, .. } = *arrival;
        let session = Some(self.table.id(slot));
        if !self.table.hot(slot).is_of(self.running.policy.generation) {
            if !self.is_current(now, slot, out) {
                return Verdict { reason: Reason::PolicyChanged, rule: None, session };
            }
            self.learn_link(slot, port, facts, head);
        }
        let metered = match self.meter(now, slot, facts.wire_len) {
            Ok(metered) => metered,
            Err(reason) => return Verdict { reason, rule: None, session },
        };
        let verdict = self.follow_current(arrival, slot, out);
        if verdict.session != session || verdict.reason.is_drop() {
            self.unmeter(metered);
        }
        verdict
    }

    /// A packet of a live session that was decided under the policy in force.
    fn follow_current(&mut self, arrival: &Arrival<'_>, slot: u32, out: &mut Outbox) -> Verdict {
        let Arrival { now, port, facts, head, key, .. } = *arrival;
        let session = Some(self.table.id(slot));
        let is_tcp = facts.protocol == protocol::TCP;
        let mut is_read = self.table.hot(slot).mark.is_read();
        let moved = if is_tcp {
            let segment = tcp::Segment::of(facts, head);
            let hot = self.table.hot_mut(slot);
            let (mode, opener) = (hot.tcp_window(), hot.from().index());
            let sign = tcp::sign_of(&hot.peers, port.index(), &facts.tcp);
            let mut outcome = tcp::track(&mut hot.peers, port.index(), opener, &segment, mode);
            if outcome == tcp::Outcome::Drop(Reason::TcpOutOfWindow) && now < self.grace_until {
                // What is refused has changed nothing.
                outcome = tcp::track(&mut hot.peers, port.index(), opener, &segment, TcpWindowMode::Log);
            }
            if let Some(sign) = sign
                && (sign == tcp::Sign::Unsent || outcome == tcp::Outcome::Accept)
                && let Some(verdict) = self.suspect_hijack(arrival, slot, sign, out)
            {
                return verdict;
            }
            let hot = self.table.hot(slot);
            match outcome {
                tcp::Outcome::Accept => Some(tcp::state_of(&hot.peers)),
                tcp::Outcome::Suspect => {
                    let state = tcp::state_of(&hot.peers);
                    let verdict = Verdict { reason: Reason::TcpOutOfWindow, rule: None, session };
                    self.suspect(now, port, facts, verdict, out);
                    // Its receiver may well not take it: no helper believes it.
                    is_read = false;
                    Some(state)
                }
                tcp::Outcome::Pass => None,
                // A session that never came about has no stragglers.
                tcp::Outcome::PassAttempt if hot.was_unanswered() => {
                    return self.first(arrival, Some(slot), out);
                }
                tcp::Outcome::PassAttempt => {
                    self.table.set_attempt(slot, tcp::Attempt::of(&segment));
                    None
                }
                tcp::Outcome::PassAnswer => {
                    if let Some(verdict) = self.restart(arrival, slot, &segment, out) {
                        return verdict;
                    }
                    None
                }
                tcp::Outcome::Drop(reason) => {
                    let restarted = self.restart(arrival, slot, &segment, out);
                    return restarted.unwrap_or(Verdict { reason, rule: None, session });
                }
                tcp::Outcome::Reopen => {
                    return self.first(arrival, Some(slot), out);
                }
            }
        } else if facts.protocol == protocol::SCTP {
            match self.follow_sctp(port, facts, head, slot, key) {
                sctp::Outcome::Accept(state) => Some(state),
                sctp::Outcome::Pass => None,
                sctp::Outcome::Drop(reason) => return Verdict { reason, rule: None, session },
                sctp::Outcome::Reopen => {
                    return self.first(arrival, Some(slot), out);
                }
            }
        } else {
            let hot = self.table.hot(slot);
            let begun_on = if key.has_one_way_number() { pairs::begun_on(hot) } else { hot.from() };
            Some(query::track(hot, now, port != begun_on))
        };
        let (_, cold) = self.table.both(slot);
        cold.count(port, facts.wire_len);
        if let Some(state) = moved {
            self.touch(now, port, slot, state);
            if self.running.policy.detector().is_some() {
                self.note_life(now, slot, port, facts.hop_limit);
            }
            if is_read {
                self.heed(now, port, facts, head, slot);
            }
            self.withdraw_if_over(now, slot, state);
        }
        Verdict { reason: Reason::Session, rule: None, session }
    }

    /// Starts the idle timer anew, and moves the session to `state` if it is not there yet.
    pub(crate) fn touch(&mut self, now: Instant, port: Port, slot: u32, state: State) {
        let hot = self.table.hot_mut(slot);
        if hot.is_asked() {
            if !hot.answer(port) && hot.state == state {
                return;
            }
            hot.settle();
        }
        hot.last_seen_ms = stamp(now);
        if hot.state == state {
            return;
        }
        let (was, protocol) = (hot.state, hot.protocol());
        let timeouts = self.running.policy.timeouts(hot.timeouts());
        let was_ms = hot.timeout_ms(timeouts);
        hot.set_pressure(self.pressure);
        let is_counted = hot.mark.is_counted();
        self.table.set_state(slot, state);
        let is_sooner = self.table.hot(slot).timeout_ms(timeouts) < was_ms;
        if is_counted && !state.is_half_open() {
            self.uncount_half_open(now, slot);
        }
        let class = ProtocolClass::of(protocol);
        self.counters.sessions(class, was).sub(1);
        self.counters.sessions(class, state).add(1);
        if is_sooner {
            // The timer is filed for later than the new state allows. A longer timeout is found out when it fires.
            self.wheel.remove(&mut self.table.timers(), slot);
            self.file(now, slot);
        }
    }

    /// Whether the session may go on under the policy in force; if not, it ends.
    pub(crate) fn is_current(&mut self, now: Instant, slot: u32, out: &mut Outbox) -> bool {
        if self.table.hot(slot).is_of(self.running.policy.generation) {
            return true;
        }
        if !self.renew(now, slot) {
            self.end(now, slot, Reason::EndPolicy, out);
            return false;
        }
        // The new timeout may be shorter than the one its timer was filed for.
        self.wheel.remove(&mut self.table.timers(), slot);
        self.file(now, slot);
        true
    }

    /// A session that was decided under another policy: whether it may go on under this one. It then has this one's
    /// rule and timeouts.
    pub(crate) fn renew(&mut self, now: Instant, slot: u32) -> bool {
        let policy = Arc::clone(&self.running.policy);
        let old = self.table.cold(slot).rule();
        let by_name = policy.by_key(old);
        let mark = self.table.hot(slot).mark;
        let is_clean = spoofing::is_clean(&policy, &self.table.key(slot));
        let query = self.original_query(&policy, slot);
        let (rule, key) = match policy.on_deploy_of(by_name) {
            OnDeploy::Keep => (by_name, old),
            OnDeploy::Rematch if mark.is_expected() => {
                let Some(rule) = self.rematch_expected(slot) else { return false };
                (rule, policy.key(rule))
            }
            OnDeploy::Rematch => {
                let (action, rule) = self.ask_rules(&query);
                if action != Action::Allow {
                    return false;
                }
                (rule, policy.key(rule))
            }
        };
        let (hot, cold) = self.table.both(slot);
        hot.set_policy(policy.generation);
        hot.set_clean(is_clean && !policy.is_metered(rule));
        hot.set_terms(policy.timeouts_of(rule), policy.tcp_window(query.from));
        cold.set_rule(key);
        self.hold_anew(now, slot, rule);
        if mark.is_followed() && policy.helper_for(rule, &query) != Some(mark.kind()) {
            self.end_following(now, slot);
        }
        true
    }

    /// What the rules of `policy` are asked about the session's first packet.
    pub(crate) fn original_query(&self, policy: &Policy, slot: u32) -> Query {
        policy.query_from(&self.table.key(slot), self.table.hot(slot).from())
    }
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers")]
mod tests;
