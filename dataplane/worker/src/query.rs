//! Questions and orders about the sessions of a worker, answered a few slots a turn so that no packet waits.

use std::net::IpAddr;
use std::sync::Arc;

use crossbeam::channel::Sender;
use sekisho_engine::flow::FlowKey;
use sekisho_engine::policy::{Policy, RuleKey, ZoneId};
use sekisho_engine::port::Port;
use sekisho_engine::reason::Reason;
use sekisho_engine::session::{SessionId, SessionView, State};
use sekisho_engine::time::Duration;
use sekisho_engine::{Known, OneSidedPrefix, Prospect};

/// An address prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// The network address; host bits are ignored.
    pub address: IpAddr,
    /// Leading bits that count, at most 32 or 128.
    pub len: u8,
}

impl Prefix {
    /// Whether `address` is of this prefix.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differing = (own.to_bits() ^ other.to_bits()).leading_zeros();
                differing >= u32::from(self.len).min(32)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differing = (own.to_bits() ^ other.to_bits()).leading_zeros();
                differing >= u32::from(self.len).min(128)
            }
            _ => false,
        }
    }
}

/// Which sessions; a field that is `None` matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The session of that name.
    pub id: Option<SessionId>,
    /// One end's address.
    pub address: Option<Prefix>,
    /// The address of the end that opened it.
    pub source: Option<Prefix>,
    /// The address of the other end.
    pub destination: Option<Prefix>,
    /// One end's port.
    pub port: Option<u16>,
    /// IP protocol number.
    pub protocol: Option<u8>,
    /// The zone of one end.
    pub zone: Option<ZoneId>,
    /// Where it stands.
    pub state: Option<State>,
    /// The rule that allowed it; [`RuleKey::NONE`] for the default action.
    pub rule: Option<RuleKey>,
    /// The outer VLAN; 0 for untagged.
    pub vlan: Option<u16>,
    /// The port on which its first packet arrived.
    pub from: Option<Port>,
}

impl Filter {
    /// Whether a session is meant.
    pub fn matches(&self, session: &SessionView, policy: &Policy) -> bool {
        let tuple = &session.five_tuple;
        let is = |wanted: Option<Prefix>, address| wanted.is_none_or(|prefix| prefix.contains(address));
        self.id.is_none_or(|id| id == session.id)
            && self.state.is_none_or(|state| state == session.state)
            && self.protocol.is_none_or(|protocol| protocol == tuple.protocol)
            && self.rule.is_none_or(|rule| rule == session.rule)
            && self.vlan.is_none_or(|vlan| vlan == session.vlan.outer())
            && self.from.is_none_or(|from| from == session.from)
            && self.port.is_none_or(|port| port == tuple.source_port || port == tuple.destination_port)
            && is(self.source, tuple.source)
            && is(self.destination, tuple.destination)
            && (is(self.address, tuple.source) || is(self.address, tuple.destination))
            && self.zone.is_none_or(|zone| zones_of(session, policy).contains(&Some(zone)))
    }
}

/// The zones of a session's two ends, the opener's first.
pub fn zones_of(session: &SessionView, policy: &Policy) -> [Option<ZoneId>; 2] {
    let vlan = session.vlan.outer();
    [
        policy.zones.place(session.from, vlan, session.five_tuple.source).zone(),
        policy.zones.place(session.from.other(), vlan, session.five_tuple.destination).zone(),
    ]
}

/// What to do with the sessions that match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Put them on the page.
    List,
    /// Only count them.
    Count,
    /// End them for this reason, and put them on the page while it has room.
    End(Reason),
}

/// What a worker is asked. Whatever room the answer takes comes with the question, so that the worker allocates and
/// frees nothing.
#[derive(Debug)]
pub enum Question {
    /// About sessions that fit a filter.
    Sessions(Request),
    /// What another policy would mean to the sessions.
    Weigh(Weighing),
    /// What is known of one five-tuple.
    Look(Look),
    /// The prefixes of which only one direction comes through.
    OneSided(OneSidedList),
}

/// One five-tuple, looked up in one turn.
#[derive(Debug)]
pub struct Look {
    /// The five-tuple.
    pub key: FlowKey,
    /// Where the answer goes; a channel with room for it.
    pub answer: Sender<Known>,
}

/// All prefixes that a worker knows, in one turn.
#[derive(Debug)]
pub struct OneSidedList {
    /// Where they go, each with the time since the last packet of it: an empty list with room for
    /// [`sekisho_engine::Engine::ONE_SIDED_MAX`].
    pub prefixes: Vec<(OneSidedPrefix, Duration)>,
    /// Where the list goes back; a channel with room for it.
    pub answer: Sender<Vec<(OneSidedPrefix, Duration)>>,
}

/// What a deploy of another policy would mean to the sessions: all are looked at, a few slots a turn.
#[derive(Debug)]
pub struct Weighing {
    /// The other policy, compiled with the same keys of rules. Control keeps an `Arc` of its own until the answer is
    /// there, so that no worker ever frees a policy.
    pub candidate: Arc<Policy>,
    /// The slot to go on with; 0 to begin.
    pub cursor: u32,
    /// What was found; its room comes from control.
    pub tally: Tally,
    /// Where the weighing goes back; a channel with room for it.
    pub answer: Sender<Weighing>,
}

/// Sessions by what would become of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Sessions that were looked at.
    pub sessions: u64,
    /// By the key of the rule that they have now, from [`RuleKey::NONE`] on.
    pub rules: Vec<RuleTally>,
    /// A few of those that the other policy would not allow, up to the list's capacity.
    pub samples: Vec<(SessionView, Prospect)>,
    /// Samples of one rule, at most.
    pub samples_of_rule_max: u8,
}

/// Sessions of one rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleTally {
    /// Sessions that would end.
    pub ends: u64,
    /// Sessions that would go on, though not allowed any more.
    pub outlives: u64,
    /// Samples that were taken.
    samples: u8,
}

impl Tally {
    /// Room for rules with keys below `rules` and for so many samples.
    pub fn new(rules: usize, samples_max: usize, samples_of_rule_max: u8) -> Self {
        let rules = vec![RuleTally::default(); rules];
        Self { sessions: 0, rules, samples: Vec::with_capacity(samples_max), samples_of_rule_max }
    }

    /// Counts a session.
    pub fn count(&mut self, session: &SessionView, prospect: Prospect) {
        self.sessions += 1;
        let place = usize::try_from(session.rule.number()).unwrap_or(usize::MAX);
        let Some(rule) = self.rules.get_mut(place) else { return };
        match prospect {
            Prospect::Allowed => return,
            Prospect::Ends => rule.ends += 1,
            Prospect::Outlives => rule.outlives += 1,
        }
        if rule.samples < self.samples_of_rule_max && self.samples.len() < self.samples.capacity() {
            rule.samples += 1;
            self.samples.push((*session, prospect));
        }
    }

    /// Adds what another worker found; samples beyond the capacity are left out.
    pub fn add(&mut self, other: &Self) {
        self.sessions += other.sessions;
        for (sum, more) in self.rules.iter_mut().zip(&other.rules) {
            sum.ends += more.ends;
            sum.outlives += more.outlives;
        }
        let room = self.samples.capacity() - self.samples.len();
        for (session, prospect) in other.samples.iter().take(room) {
            let place = usize::try_from(session.rule.number()).unwrap_or(usize::MAX);
            if let Some(rule) = self.rules.get_mut(place)
                && rule.samples < self.samples_of_rule_max
            {
                rule.samples += 1;
                self.samples.push((*session, *prospect));
            }
        }
    }
}

/// A question or an order. The page comes with it, so that the worker allocates nothing.
#[derive(Debug)]
pub struct Request {
    /// Which sessions.
    pub filter: Filter,
    /// What to do with them.
    pub order: Order,
    /// The slot to begin with: 0, or [`Answer::next`] of the page before.
    pub cursor: u32,
    /// Where the sessions go; the page is full at its capacity.
    pub page: Vec<SessionView>,
    /// Where the answer goes; a channel with room for it.
    pub answer: Sender<Answer>,
}

/// What a worker answers.
#[derive(Debug)]
pub struct Answer {
    /// The worker's number.
    pub worker: u16,
    /// The sessions.
    pub page: Vec<SessionView>,
    /// Sessions that matched on this page, listed or not.
    pub matched: u64,
    /// Where the next page begins; `None` at the end of the table.
    pub next: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn prefixes_hold_their_addresses_and_no_others() {
        let net = Prefix { address: Ipv4Addr::new(192, 0, 2, 0).into(), len: 24 };
        assert!(net.contains(Ipv4Addr::new(192, 0, 2, 255).into()));
        assert!(!net.contains(Ipv4Addr::new(192, 0, 3, 0).into()));
        assert!(!net.contains(Ipv6Addr::LOCALHOST.into()));
        let all = Prefix { address: Ipv6Addr::UNSPECIFIED.into(), len: 0 };
        assert!(all.contains(Ipv6Addr::LOCALHOST.into()));
        let host = Prefix { address: Ipv6Addr::LOCALHOST.into(), len: 128 };
        assert!(host.contains(Ipv6Addr::LOCALHOST.into()));
        assert!(!host.contains(Ipv6Addr::UNSPECIFIED.into()));
    }
}
