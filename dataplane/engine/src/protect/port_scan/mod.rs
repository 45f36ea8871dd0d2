//! Port scans and sweeps: whoever is refused too many different ports, or one port of too many hosts, within a time, is
//! put on the block list.
//!
//! What counts is what was refused, so a source that was never refused anything is never blocked. A refused packet proves
//! nothing of its source, though: anybody can write another's address. So a source whose sessions live is suspected only of
//! packets that come from as far as its own do (hop count filtering: Wang, Jin and Shin, 2003); as soon as others come as
//! well, somebody forges them, and for a while nothing counts against it.

mod evidence;

use core::net::IpAddr;

use evidence::{Evidence, THING_BITS, Weight};

use crate::packet::{Addresses, Facts, protocol, tcp_flags};
use crate::pipeline::Engine;
use crate::policy::PortScan;
use crate::protect::blocks::BlockCause;
use crate::protect::limits;
use crate::reason::Reason;
use crate::record::{Event, Outbox};
use crate::time::{Duration, Instant};

/// The evidence, under one policy and those after it that have the same figures.
#[derive(Debug)]
pub(crate) struct Detector {
    ports: Evidence,
    hosts: Option<Evidence>,
    figures: Figures,
}

/// What the evidence is laid out for: ports, hosts, and the time in milliseconds.
type Figures = (u16, Option<u16>, u32);

const fn figures(scan: &PortScan) -> Figures {
    (scan.ports, scan.hosts, scan.within_ms)
}

impl Detector {
    pub(crate) fn new(scan: &PortScan) -> Self {
        let within = Duration::from_millis(u64::from(scan.within_ms));
        let table = |things_max| Evidence::new(things_max, within);
        Self { ports: table(scan.ports), hosts: scan.hosts.map(table), figures: figures(scan) }
    }

    /// Whether its evidence is what `scan` asks for.
    pub(crate) fn serves(&self, scan: &PortScan) -> bool {
        self.figures == figures(scan)
    }
}

impl Engine {
    /// Takes note that a packet was refused, if port scans are looked for.
    #[inline]
    pub(crate) fn note_refused(&mut self, now: Instant, facts: &Facts, reason: Reason, out: &mut Outbox) {
        if self.running.policy.detector().is_some() && is_refusal(reason) {
            self.suspect_source(now, facts, out);
        }
    }

    #[inline(never)]
    fn suspect_source(&mut self, now: Instant, facts: &Facts, out: &mut Outbox) {
        let policy = &self.running.policy;
        let (Some(detector), Some(scan)) = (policy.detector(), &policy.ruleset.protections.port_scan) else {
            return;
        };
        let Some(source) = facts.addresses.source() else { return };
        if policy.is_never_blocked(source) || is_late_answer(facts) {
            return;
        }
        let secret = self.guards.secret;
        let (family, bits) = match source {
            IpAddr::V4(address) => (4, u128::from(address.to_bits())),
            IpAddr::V6(address) => (6, address.to_bits()),
        };
        let who = secret.hash_words(bits, family);
        let life = limits::life_of(&self.guards.limits, secret, source);
        let is_forged = life.is_some_and(|hops| hops != facts.hop_limit);
        let port = u32::from(facts.protocol) << 16 | u32::from(facts.selector());
        let weigh = |evidence: &Evidence, who: u64, thing: u32| {
            if is_forged { evidence.void(who, now) } else { evidence.weigh(who, thing, now) }
        };
        let mut found = [None, None];
        if has_ports(facts.protocol) {
            found[0] = Some((weigh(&detector.ports, who, port), BlockCause::PortScan));
        }
        if let (Some(hosts), Some(destination)) = (&detector.hosts, facts.addresses.destination()) {
            let who = secret.hash_words(bits, u64::from(port) << 8 | 0x80 | family);
            let destination = match destination {
                IpAddr::V4(address) => u128::from(address.to_bits()),
                IpAddr::V6(address) => address.to_bits(),
            };
            let host = secret.hash_words(destination, 0x407) >> (64 - THING_BITS);
            found[1] = Some((weigh(hosts, who, u32::try_from(host).unwrap_or(0)), BlockCause::HostSweep));
        }
        if is_forged {
            self.counters.scans_forged.add(1);
        }
        let span = Duration::from_millis(u64::from(scan.block_for_ms));
        for (weight, cause) in found.into_iter().flatten() {
            match weight {
                Weight::TooMany if self.guards.blocks.block(source, cause, now, span) => {
                    out.event(Event::Block { time: now, source, cause, span });
                }
                Weight::Missed => self.counters.scans_missed.add(1),
                Weight::Counted | Weight::Void | Weight::TooMany => {}
            }
        }
    }

    /// Whether the source of a packet that belongs to no session may open none; the packet is counted.
    #[inline]
    pub(crate) fn is_blocked(&self, now: Instant, addresses: &Addresses) -> bool {
        !self.guards.blocks.is_empty() && self.is_on_list(now, addresses.source())
    }

    #[inline(never)]
    fn is_on_list(&self, now: Instant, source: Option<IpAddr>) -> bool {
        let blocks = &self.guards.blocks;
        let Some((source, found)) = source.and_then(|source| Some((source, blocks.find(source, now)?)))
        else {
            return false;
        };
        let policy = &self.running.policy;
        let is_in_force = found.cause == BlockCause::Operator || policy.detector().is_some();
        if !is_in_force || policy.is_never_blocked(source) {
            return false;
        }
        blocks.count(found);
        true
    }
}

/// Whether a drop for this reason tells its sender that something is not open to it. What spoofing, limits or a full
/// table keep out does not.
const fn is_refusal(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::RuleDrop
            | Reason::RuleReject
            | Reason::DefaultDrop
            | Reason::DefaultReject
            | Reason::TcpNoSession
            | Reason::TcpBadFlags
            | Reason::SctpNoSession
    )
}

const fn has_ports(number: u8) -> bool {
    matches!(number, protocol::TCP | protocol::UDP | protocol::SCTP)
}

/// A segment as a server sends it to clients whose sessions are not known any more, after a restart for example: each
/// to another port, none of them low, and all of them above its own.
fn is_late_answer(facts: &Facts) -> bool {
    facts.protocol == protocol::TCP
        && facts.tcp.flags & (tcp_flags::ACK | tcp_flags::RST) != 0
        && facts.destination_port >= 1024
        && facts.destination_port > facts.source_port
}
