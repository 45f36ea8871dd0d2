//! Questions and orders about the sessions of a worker, answered a few slots a turn so that no packet waits.

use std::net::IpAddr;

use crossbeam::channel::Sender;
use sekisho_engine::policy::{Policy, RuleKey, ZoneId};
use sekisho_engine::port::Port;
use sekisho_engine::reason::Reason;
use sekisho_engine::session::{SessionId, SessionView, State};

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
