//! Mixed traffic at random: connections that mostly make sense, errors about their packets, frames that make none, and
//! policies that change on the way. Everything follows from the steps, so that a failure can be told by them.

use std::net::{IpAddr, SocketAddr};

use sekisho_engine::policy::Ruleset;
use sekisho_engine::port::Port;
use sekisho_engine::time::Duration;
use sekisho_replay::{Deploy, pcap};

use crate::frames::{self, ACK, FIN, Packet, RST, SYN, Segment};
use crate::scene::{EPOCH_NS, Tcp, ruleset};
use crate::sctp::Association;

/// Policies that are deployed in turn.
const POLICIES: [&str; 5] = [
    "\
version: 1
zones: {lan: {port: lan}, wan: {port: wan}}
rules: [{name: out, from: lan, to: wan, action: allow}, {name: in, from: wan, to: lan, service: tcp/443, action: allow, limits: {sessions_per_source: 3, sessions_per_prefix: 8}}]
protections: {port_scan: {ports: 4, hosts: 2, within: 20s, block_for: 5s}}
",
    "\
version: 1
zones: {lan: {port: lan}, wan: {port: wan}}
rules: [{name: out, from: lan, to: wan, service: [tcp, icmp], action: allow, limits: {new_sessions_per_second_per_source: 5, sessions: 40, packets_per_second: 500}}, {name: no, from: any, to: any, action: reject}]
timeouts: {tcp: {syn_sent: 2s, established: 40s}, udp: {unreplied: 3s}, icmp: 5s, on_expiry: probe}
inspection: {sessions_on_deploy: rematch, midstream: pickup}
",
    "\
version: 1
defaults: {action: allow}
zones: {lan: {port: lan, networks: [192.0.2.0/24, \"2001:db8:1::/48\"]}, wan: {port: wan}}
rules: [{name: no-dns, from: any, to: any, service: udp/53, action: drop}]
timeouts: {tcp: {established: 20s}, on_expiry: reset}
inspection: {tcp_window: log}
protections: {bogons: drop}
",
    "\
version: 1
zones: {lan: {port: lan, vlans: [20]}, wan: {port: wan}}
rules: [{name: out, from: lan, to: wan, action: allow}]
inspection: {sessions_on_deploy: rematch, non_ip: []}
",
    "\
version: 1
zones: {lan: {port: lan}, wan: {port: wan}}
rules:
- {name: out, from: lan, to: wan, action: allow, sequence_numbers: randomise-both}
- {name: in, from: wan, to: lan, service: tcp/443, action: allow, syn_proxy: auto}
- {name: seen, from: wan, to: lan, service: tcp, action: allow, syn_proxy: verify}
protections: {syn_flood: {half_open: 20, rate: 40}}
",
];

/// What happens next.
#[derive(Clone, Debug)]
pub struct Step {
    /// Nanoseconds since the step before.
    pub wait_ns: u64,
    /// What it is.
    pub what: What,
}

/// A frame, or a deploy.
#[derive(Clone, Debug)]
pub enum What {
    /// A segment of a connection: which one, whose, with what flags and how much data.
    Tcp {
        /// Which connection.
        connection: u8,
        /// From its client.
        client: bool,
        /// A choice of flags.
        flags: u8,
        /// Bytes of data.
        data: u8,
        /// Added to the sequence number.
        astray: u32,
    },
    /// A datagram: which pair of ends, from the client or not.
    Udp(u8, bool),
    /// An echo: which pair of ends, request or reply.
    Echo(u8, bool),
    /// Another protocol between a pair of ends.
    Other(u8, bool, u8),
    /// An ICMP error about an earlier frame.
    Error(u16),
    /// An earlier packet again: on the other port, or cut, or with one byte changed.
    Again(u16, u8, u8),
    /// A fragment of a datagram.
    Fragment(u8),
    /// ARP, or neighbour discovery.
    Neighbour(bool),
    /// A deploy of one of the policies.
    Deploy(u8),
}

/// Traffic made from steps.
#[derive(Debug)]
pub struct Traffic {
    /// The text of the first policy.
    pub policy: &'static str,
    /// What arrives on each port, LAN first.
    pub captures: [Vec<u8>; 2],
    /// Policies on the way.
    pub deploys: Vec<Deploy>,
    /// How many frames there are.
    pub frames: u64,
}

/// Connections and pairs of ends that traffic is about.
const PAIRS: u8 = 24;

impl Traffic {
    /// The traffic of these steps.
    #[must_use]
    pub fn of(steps: &[Step]) -> Self {
        let mut maker = Maker::new();
        for step in steps {
            maker.time_ns += step.wait_ns;
            maker.make(&step.what);
        }
        maker.finish()
    }
}

/// Traffic without end: what each step makes happens at once.
#[derive(Debug)]
pub struct Wire {
    maker: Maker,
    policies: [Ruleset; POLICIES.len()],
}

/// What a step of a [`Wire`] makes.
#[derive(Clone, Debug)]
pub enum Happens {
    /// A frame arrives on this port.
    Frame(Port, Vec<u8>),
    /// A policy is deployed.
    Deploy(Ruleset),
}

/// Earlier frames that a [`Wire`] keeps: steps speak of the last fifty.
const KEPT: usize = 256;

impl Default for Wire {
    fn default() -> Self {
        Self { maker: Maker::new(), policies: POLICIES.map(ruleset) }
    }
}

impl Wire {
    /// The policy that it begins under.
    #[must_use]
    pub fn policy(&self) -> Ruleset {
        self.policies[0].clone()
    }

    /// What happens by this step; an error about nothing is nothing.
    pub fn step(&mut self, what: &What) -> Option<Happens> {
        if let What::Deploy(which) = what {
            return Some(Happens::Deploy(self.policies[usize::from(*which) % POLICIES.len()].clone()));
        }
        if self.maker.sent.len() >= 2 * KEPT {
            self.maker.sent.drain(..KEPT);
        }
        let before = self.maker.sent.len();
        self.maker.make(what);
        self.maker.sent.get(before).map(|(_, port, _, frame)| Happens::Frame(*port, frame.clone()))
    }
}

/// The client and the server of a pair; every third is of IPv6, and every fourth opens from the WAN.
fn ends(pair: u8, port: u16) -> (SocketAddr, SocketAddr) {
    let (host, server) = (u16::from(pair % 4), u16::from(pair % 3));
    let (lan, wan): (IpAddr, IpAddr) = if pair.is_multiple_of(3) {
        (
            [0x2001, 0xdb8, 1, 0, 0, 0, 0, 16 + host].into(),
            [0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 80 + server].into(),
        )
    } else {
        let (host, server) = (10 + pair % 4, 80 + pair % 3);
        ([192, 0, 2, host].into(), [203, 0, 113, server].into())
    };
    let (client, server) = if pair.is_multiple_of(4) { (wan, lan) } else { (lan, wan) };
    (SocketAddr::new(client, 40_000 + u16::from(pair)), SocketAddr::new(server, port))
}

/// The port on which a frame from the client, or the server, of a pair arrives.
fn arrives(pair: u8, client: bool) -> Port {
    if client == pair.is_multiple_of(4) { Port::Wan } else { Port::Lan }
}

#[derive(Debug)]
struct Maker {
    time_ns: u64,
    sent: Vec<(u64, Port, Packet, Vec<u8>)>,
    deploys: Vec<Deploy>,
    connections: Vec<Tcp>,
}

impl Maker {
    fn new() -> Self {
        Self {
            time_ns: 0,
            sent: Vec::new(),
            deploys: Vec::new(),
            connections: (0..PAIRS).map(|pair| Tcp::new(ends(pair, 443).0, ends(pair, 443).1)).collect(),
        }
    }

    fn make(&mut self, what: &What) {
        match *what {
            What::Tcp { connection, client, flags, data, astray } => {
                self.tcp(connection % PAIRS, client, flags, data, astray);
            }
            What::Udp(pair, client) => {
                let pair = pair % PAIRS;
                let (a, b) = ends(pair, if pair.is_multiple_of(2) { 53 } else { 123 });
                let (from, to) = if client { (a, b) } else { (b, a) };
                self.send(pair, client, frames::udp(from, to, b"datagram"));
            }
            What::Echo(pair, request) => {
                let pair = pair % PAIRS;
                let (a, b) = ends(pair, 7);
                let packet = match request {
                    true => frames::ping(a.ip(), b.ip(), u16::from(pair), 1),
                    false => frames::pong(b.ip(), a.ip(), u16::from(pair), 1),
                };
                self.send(pair, request, packet);
            }
            What::Other(pair, client, protocol) => {
                let pair = pair % PAIRS;
                let (a, b) = ends(pair, 7);
                let (from, to) = if client { (a, b) } else { (b, a) };
                let packet = match protocol % 3 {
                    0 if client => Association::new(a, b).init(),
                    0 => Association::new(a, b).init_ack(),
                    1 => Packet::new(from.ip(), to.ip(), 47, [0, 0, 8, 0]),
                    _ => Packet::new(from.ip(), to.ip(), 89, b"ospf".to_vec()),
                };
                self.send(pair, client, packet);
            }
            What::Error(about) => self.error(about),
            What::Again(which, at, value) => self.again(which, at, value),
            What::Fragment(pair) => {
                let pair = pair % PAIRS;
                let (from, to) = ends(pair, 53);
                // Mostly the two parts of one datagram; now and then one that overlaps, or of another.
                let whole = frames::udp(from, to, &[7; 40]);
                let cuts = [(0, 24), (24, 48), (16, 40), (24, 48)];
                let (from, until) = cuts[self.sent.len() % cuts.len()];
                let mut packet = whole.clone();
                packet.payload = whole.payload[from..until].to_vec();
                let packet = packet.fragment(u16::from(pair % 8), u16::try_from(from).unwrap(), until < 48);
                self.send(pair, true, packet);
            }
            What::Neighbour(v4) => self.neighbour(v4),
            What::Deploy(which) => self.deploys.push(Deploy {
                at: Duration::from_nanos(self.time_ns),
                name: which.to_string(),
                ruleset: ruleset(POLICIES[usize::from(which) % POLICIES.len()]),
            }),
        }
    }

    fn tcp(&mut self, pair: u8, client: bool, flags: u8, data: u8, astray: u32) {
        let connection = &mut self.connections[usize::from(pair)];
        let side = usize::from(!client);
        let flags = match flags % 16 {
            0 | 1 => SYN,
            2 | 3 => SYN | ACK,
            4 => FIN | ACK,
            5 => RST,
            6 => RST | ACK,
            _ => ACK,
        };
        if flags == SYN {
            // Another attempt, or another connection: both begin anew.
            connection.next[side] = connection.next[side].wrapping_add(100_000);
        }
        let [own, other] = [connection.next[side], connection.next[1 - side]];
        let data = if flags == ACK { usize::from(data) } else { 0 };
        let acknowledgement = if flags & ACK == 0 { 0 } else { other };
        let segment = Segment::new(flags, own.wrapping_add(astray), acknowledgement).data(&vec![1; data]);
        let counted = u32::from(flags & (SYN | FIN) != 0) + u32::try_from(data).unwrap();
        connection.next[side] = own.wrapping_add(counted);
        let mut packet =
            if client { connection.from_client(&segment) } else { connection.from_server(&segment) };
        if pair >= 20 {
            packet = packet.vlan(20);
        }
        self.send(pair, client, packet);
    }

    fn error(&mut self, about: u16) {
        let Some((_, port, packet, _)) = self.pick(about) else { return };
        let (quote, router): (_, IpAddr) = match packet.source {
            IpAddr::V4(_) => (packet.ip(), [198, 51, 100, 1].into()),
            IpAddr::V6(_) => (packet.ip(), [0x2001, 0xdb8, 9, 0, 0, 0, 0, 1].into()),
        };
        let (kind, tags) = (if packet.source.is_ipv4() { 11 } else { 3 }, packet.tags.clone());
        let quote = &quote[..quote.len().min(64)];
        let mut error = frames::icmp(router, packet.source, kind, 0, [0; 4], quote);
        error.tags = tags;
        let frame = error.frame();
        self.sent.push((self.time_ns, port.other(), error, frame));
    }

    fn again(&mut self, which: u16, at: u8, value: u8) {
        let Some((_, port, packet, mut frame)) = self.pick(which) else { return };
        let port = match value % 4 {
            0 => port.other(),
            1 => {
                frame.truncate(usize::from(at));
                port
            }
            _ => {
                let at = usize::from(at) % frame.len().max(1);
                if let Some(byte) = frame.get_mut(at) {
                    *byte ^= value;
                }
                port
            }
        };
        self.sent.push((self.time_ns, port, packet, frame));
    }

    fn neighbour(&mut self, v4: bool) {
        let (from, to) = ends(if v4 { 1 } else { 3 }, 7);
        let packet = frames::icmp(from.ip(), to.ip(), 135, 0, [0; 4], &[0; 16]).hop_limit(255);
        let frame = if v4 { frames::arp(1, from.ip(), to.ip()) } else { packet.frame() };
        self.sent.push((self.time_ns, Port::Lan, packet, frame));
    }

    fn pick(&self, which: u16) -> Option<(u64, Port, Packet, Vec<u8>)> {
        // Of the last few: older ones speak of sessions that are long gone.
        let recent = &self.sent[self.sent.len().saturating_sub(50)..];
        recent.get(usize::from(which) % recent.len().max(1)).cloned()
    }

    fn send(&mut self, pair: u8, client: bool, packet: Packet) {
        let frame = packet.frame();
        self.sent.push((self.time_ns, arrives(pair, client), packet, frame));
    }

    fn finish(self) -> Traffic {
        let zero_ns = self.sent.first().map_or(0, |(time_ns, ..)| *time_ns);
        let captures = Port::ALL.map(|port| {
            let mut file = Vec::new();
            let mut writer = pcap::Writer::new(&mut file).unwrap();
            for (time_ns, _, _, frame) in self.sent.iter().filter(|(_, on, ..)| *on == port) {
                writer.write(EPOCH_NS + time_ns, frame, frame.len()).unwrap();
            }
            file
        });
        let early = |deploy: &Deploy| deploy.at.as_nanos().saturating_sub(zero_ns);
        let deploys = self
            .deploys
            .into_iter()
            .map(|deploy| Deploy { at: Duration::from_nanos(early(&deploy)), ..deploy });
        Traffic { policy: POLICIES[0], captures, deploys: deploys.collect(), frames: self.sent.len() as u64 }
    }
}

/// Numbers that look random and follow from a seed (Steele et al., "Fast Splittable Pseudorandom Number Generators",
/// 2014).
#[derive(Clone, Debug)]
pub struct Seeded(pub u64);

impl Seeded {
    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A step.
    pub fn step(&mut self) -> Step {
        let n = self.number();
        let [a, b, c, d, e, f, ..] = n.to_le_bytes();
        let wait_ns = match e % 16 {
            0..6 => 0,
            6..12 => 1_000 * u64::from(f),
            12..15 => 1_000_000 * u64::from(f),
            _ => 100_000_000 * u64::from(f % 40),
        };
        let client = b & 1 == 0;
        let astray = if b > 240 { u32::from(c) << 20 } else { 0 };
        let what = match a {
            0..120 => What::Tcp { connection: c, client, flags: d, data: f, astray },
            120..160 => What::Udp(c, client),
            160..180 => What::Echo(c, client),
            180..195 => What::Other(c, client, d),
            195..215 => What::Error(u16::from(c)),
            215..240 => What::Again(u16::from(c), d, f),
            240..250 => What::Fragment(c % 4),
            255 if f < 64 => What::Deploy(c),
            250..=255 => What::Neighbour(client),
        };
        Step { wait_ns, what }
    }
}
