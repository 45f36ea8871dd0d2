//! Recognises asymmetric routing: TCP of which only one direction comes through here, by the prefix of whoever sends it.
//!
//! A connection whose other direction takes another way cannot be inspected, and is dropped under reasons that do not
//! say so. What gives it away is counted here: a SYN/ACK without its SYN, packets of a session that nobody saw begin,
//! the end of a handshake whose SYN/ACK was not seen, and sessions picked up in midstream whose other end never spoke.
//! Scans look alike, one prefix at a time less often; the count tells them apart.
//!
//! A fixed table for each port of arrival, in buckets by a keyed hash, so that noise from one side does not push out
//! what is known of the other. In a full bucket the prefix with the fewest packets makes room.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::flow::HashSecret;
use crate::packet::{Facts, protocol, tcp_flags};
use crate::pipeline::Engine;
use crate::port::Port;
use crate::reason::Reason;
use crate::session::tcp;
use crate::time::Instant;

/// Prefixes of a bucket.
const WAYS: usize = 4;
/// Buckets of a port: a power of two.
const BUCKETS: usize = 64;
/// Leading bits of an address that are told apart.
const PREFIX_V4: u8 = 24;
const PREFIX_V6: u8 = 64;

/// What gives away that only one direction comes through here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Evidence {
    /// A SYN/ACK whose SYN was not seen.
    SynAck,
    /// A TCP packet of a session that nobody saw begin.
    Midstream,
    /// The acknowledgement of a SYN/ACK that was not seen.
    Handshake,
    /// A session, picked up in midstream, of which only one side was ever heard.
    Session,
}

impl Evidence {
    /// How many kinds there are.
    pub const COUNT: usize = 4;

    /// All of them.
    pub const ALL: [Self; Self::COUNT] = [Self::SynAck, Self::Midstream, Self::Handshake, Self::Session];

    /// Its name in listings and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SynAck => "syn-ack-without-syn",
            Self::Midstream => "packet-without-session",
            Self::Handshake => "handshake-half-seen",
            Self::Session => "one-sided-session",
        }
    }

    /// What a dropped packet gives away, if anything.
    fn of(facts: &Facts, reason: Reason) -> Option<Self> {
        const SYN_ACK: u8 = tcp_flags::SYN | tcp_flags::ACK;
        let is = |flags: u8| facts.tcp.flags & flags == flags;
        if facts.protocol != protocol::TCP || !is(tcp_flags::ACK) || is(tcp_flags::RST) {
            return None;
        }
        match reason {
            Reason::TcpNoSession if is(SYN_ACK) => Some(Self::SynAck),
            Reason::TcpNoSession => Some(Self::Midstream),
            Reason::TcpHandshake if !is(SYN_ACK) => Some(Self::Handshake),
            _ => None,
        }
    }
}

/// What is known of the hosts of a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneSidedPrefix {
    /// The port on which their packets arrive.
    pub port: Port,
    /// The prefix: host bits are zero.
    pub address: IpAddr,
    /// Its leading bits.
    pub len: u8,
    /// How often each kind of evidence was seen, in the order of [`Evidence::ALL`].
    pub counts: [u64; Evidence::COUNT],
    /// When the last of it came.
    pub last: Instant,
}

impl OneSidedPrefix {
    /// All evidence.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}

type Bucket = [Option<OneSidedPrefix>; WAYS];

/// The prefixes of one worker.
#[derive(Debug)]
pub(crate) struct OneSided {
    secret: u64,
    ports: [Box<[Bucket]>; Port::ALL.len()],
}

impl OneSided {
    /// Prefixes that it can hold.
    pub(crate) const CAPACITY: usize = WAYS * BUCKETS * Port::ALL.len();

    pub(crate) fn new(secret: HashSecret) -> Self {
        let ports = Port::ALL.map(|_| vec![[None; WAYS]; BUCKETS].into_boxed_slice());
        Self { secret: secret.0[2] | 1, ports }
    }

    /// Counts a piece of evidence from `source`, which arrived on `port`.
    fn count(&mut self, now: Instant, port: Port, source: IpAddr, evidence: Evidence) {
        let (address, len) = prefix_of(source);
        let place = self.place(address);
        let bucket = &mut self.ports[port.index()][place];
        // The prefix itself, else a free way, else the one with the fewest packets.
        let rank = |way: &Option<OneSidedPrefix>| match way {
            Some(known) if known.address == address => (0, 0),
            None => (1, 0),
            Some(known) => (2, known.total()),
        };
        let Some(way) = bucket.iter_mut().min_by_key(|way| rank(way)) else { return };
        let blank = OneSidedPrefix { port, address, len, counts: [0; Evidence::COUNT], last: now };
        let mut known = way.filter(|known| known.address == address).unwrap_or(blank);
        known.counts[evidence as usize] += 1;
        known.last = now;
        *way = Some(known);
    }

    fn place(&self, address: IpAddr) -> usize {
        let bits = match address {
            IpAddr::V4(v4) => u64::from(v4.to_bits()),
            IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64 ^ 1 << 63,
        };
        let mixed = (bits ^ self.secret).wrapping_mul(self.secret);
        ((mixed ^ mixed >> 29).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as usize % BUCKETS
    }

    fn all(&self) -> impl Iterator<Item = &OneSidedPrefix> {
        self.ports.iter().flat_map(|buckets| buckets.iter()).flatten().flatten()
    }
}

/// The prefix of an address.
fn prefix_of(address: IpAddr) -> (IpAddr, u8) {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX << (32 - u32::from(PREFIX_V4));
            (Ipv4Addr::from_bits(v4.to_bits() & mask).into(), PREFIX_V4)
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX << (128 - u32::from(PREFIX_V6));
            (Ipv6Addr::from_bits(v6.to_bits() & mask).into(), PREFIX_V6)
        }
    }
}

impl Engine {
    /// Prefixes that [`Engine::one_sided`] knows at the most.
    pub const ONE_SIDED_MAX: usize = OneSided::CAPACITY;

    /// The prefixes of which only one direction comes through here, as far as this worker saw, in no order.
    pub fn one_sided(&self) -> impl Iterator<Item = &OneSidedPrefix> {
        self.one_sided.all()
    }

    /// Looks at a packet that is dropped.
    pub(crate) fn notice_packet(&mut self, now: Instant, port: Port, facts: &Facts, reason: Reason) {
        if let Some(evidence) = Evidence::of(facts, reason)
            && let Some(source) = facts.addresses.source()
        {
            self.counters.one_sided[evidence as usize].add(1);
            self.one_sided.count(now, port, source, evidence);
        }
    }

    /// Looks at a session that ends, in `slot`.
    pub(crate) fn notice_session(&mut self, now: Instant, slot: u32, reason: Reason) {
        let hot = self.table.hot(slot);
        if !matches!(reason, Reason::EndHandshake | Reason::EndEvicted)
            || hot.protocol() != protocol::TCP
            || !tcp::was_picked_up(&hot.peers)
        {
            return;
        }
        let from = hot.from();
        let (packets, _) = self.table.counts(slot);
        if packets[from.index()] < 2 || packets[from.other().index()] > 0 {
            return;
        }
        let source = self.table.key(slot).five_tuple(from).source;
        self.counters.one_sided[Evidence::Session as usize].add(1);
        self.one_sided.count(now, from, source, Evidence::Session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> OneSided {
        OneSided::new(HashSecret([1, 2, 3, 4]))
    }

    fn v4(net: u32, host: u32) -> IpAddr {
        Ipv4Addr::from_bits(net << 8 | host).into()
    }

    #[test]
    fn hosts_of_a_prefix_are_counted_together_and_ports_apart() {
        let mut table = table();
        let second = Instant::from_secs(1);
        for host in 1..=5 {
            table.count(Instant::ZERO, Port::Wan, v4(7, host), Evidence::SynAck);
        }
        table.count(second, Port::Wan, v4(7, 9), Evidence::Midstream);
        table.count(second, Port::Lan, v4(7, 9), Evidence::Midstream);
        let six = |low: u128| Ipv6Addr::from_bits(0x2001_0db8 << 96 | low).into();
        table.count(second, Port::Lan, six(1), Evidence::Handshake);
        table.count(second, Port::Lan, six(u128::from(u64::MAX)), Evidence::Session);
        let mut all: Vec<_> =
            table.all().map(|known| (known.port, known.address, known.len, known.counts)).collect();
        all.sort_by_key(|(port, address, ..)| (port.index(), *address));
        assert_eq!(
            all,
            [
                (Port::Lan, v4(7, 0), 24, [0, 1, 0, 0]),
                (Port::Lan, six(0), 64, [0, 0, 1, 1]),
                (Port::Wan, v4(7, 0), 24, [5, 1, 0, 0]),
            ]
        );
        assert!(table.all().all(|known| known.last == second));
    }

    #[test]
    fn a_flood_of_prefixes_stays_bounded_and_spares_what_is_seen_often() {
        let mut table = table();
        for _ in 0..10 {
            table.count(Instant::ZERO, Port::Wan, v4(1, 1), Evidence::SynAck);
        }
        table.count(Instant::ZERO, Port::Lan, v4(2, 1), Evidence::SynAck);
        for net in 1000..100_000 {
            table.count(Instant::ZERO, Port::Wan, v4(net, 1), Evidence::SynAck);
        }
        assert!(table.all().count() <= OneSided::CAPACITY / 2 + 1);
        let of = |port, net| {
            table
                .all()
                .find(|known| known.port == port && known.address == v4(net, 0))
                .map(OneSidedPrefix::total)
        };
        assert_eq!((of(Port::Wan, 1), of(Port::Lan, 2)), (Some(10), Some(1)));
    }
}
