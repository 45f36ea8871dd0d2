//! A control session and what it opens: one end of what a helper follows says anything, and the other end tries what
//! was announced.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use sekisho_engine::flow::HashSecret;
use sekisho_engine::helper::{ANNOUNCED_PORT_MIN, ExpectationView, Helper, LIFETIME_MS, OPENINGS_MAX};
use sekisho_engine::packet;
use sekisho_engine::policy::{
    Action, Policy, Protocols, Rule, RuleNames, Ruleset, ServiceMatch, Zone, ZoneId,
};
use sekisho_engine::port::Port;
use sekisho_engine::reason::Reason;
use sekisho_engine::time::{Duration, Instant};
use sekisho_engine::{Config, Engine, Outbox, Running};

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// Plays `data` as an FTP control session; see [`play`].
///
/// # Panics
/// When something opens that must not, or the books are wrong.
pub fn ftp(data: &[u8]) -> [u64; 2] {
    play(Helper::Ftp, data)
}

/// Plays `data` as the datagrams of a TFTP client and its server; see [`play`].
///
/// # Panics
/// When something opens that must not, or the books are wrong.
pub fn tftp(data: &[u8]) -> [u64; 2] {
    play(Helper::Tftp, data)
}

/// Plays `data` as a SIP session, over TCP or UDP; see [`play`].
///
/// # Panics
/// When something opens that must not, or the books are wrong.
pub fn sip(data: &[u8]) -> [u64; 2] {
    play(Helper::Sip, data)
}

/// Plays `data` as a control session of `helper`: what its two ends say, in segments at any place of their streams, or in
/// datagrams, and connections that one end opens to the other. Whatever is said, only ports of the end that says it are
/// expected, only what is expected opens, and all that is expected ends with the session.
///
/// The first byte chooses: its lowest bit IPv6, the next one UDP where the helper speaks both. A step is a byte of
/// orders, a byte of distance, a byte of length, and so many bytes. Of the orders the lowest bit is the end that acts,
/// the next two what it does: 0 it speaks, as far from the end of its stream as the distance says (signed); 2 it
/// speaks, so many seconds later; 4 it connects, by the protocol that the lowest bit of the distance says, to the port that
/// the first two bytes name; 6 it connects to the expected port of that index. The upper four bits of one that speaks:
/// 1 is a FIN, 2 a RST.
///
/// Returns how many expectations were opened, and how many used.
fn play(helper: Helper, data: &[u8]) -> [u64; 2] {
    let Some((choice, mut rest)) = data.split_first() else { return [0; 2] };
    let mut session = Session::new(helper, choice & 1 != 0, choice & 2 != 0);
    session.begin();
    while let [orders, distance, len, after @ ..] = rest {
        let (said, next) = after.split_at(usize::from(*len).min(after.len()));
        rest = next;
        let side = usize::from(orders & 1);
        match orders & 6 {
            4 | 6 if orders & 2 == 0 => {
                let port = u16::from_be_bytes([0, 1].map(|at| said.get(at).copied().unwrap_or(0)));
                session.connect(side, if distance & 1 == 0 { TCP } else { UDP }, port);
            }
            4 | 6 => session.connect_as_expected(usize::from(*distance)),
            later => {
                if later == 2 {
                    session.now += Duration::from_secs(u64::from(*distance));
                }
                let distance = if later == 2 { 0 } else { i32::from(distance.cast_signed()) };
                let flags = match orders >> 4 {
                    1 => ACK | FIN,
                    2 => ACK | RST,
                    _ => ACK,
                };
                session.say(side, distance, flags, said);
            }
        }
        session.check();
    }
    session.end()
}

/// A policy whose only rule has every helper on its port.
static POLICY: LazyLock<Arc<Policy>> = LazyLock::new(|| {
    let of = |protocol, port| ServiceMatch {
        family: Protocols::Both,
        protocol: Some(protocol),
        selector: port..=port,
    };
    let services =
        [(Helper::Ftp, TCP, 21), (Helper::Tftp, UDP, 69), (Helper::Sip, TCP, 5060), (Helper::Sip, UDP, 5060)];
    let rule = Rule {
        from: Some(vec![ZoneId(0)]),
        services: Some(services.map(|(_, protocol, port)| of(protocol, port)).to_vec()),
        helpers: services.map(|(helper, protocol, port)| (helper, vec![of(protocol, port)])).to_vec(),
        ..Rule::of_all("control", Action::Allow)
    };
    let ruleset = Ruleset {
        zones: vec![Zone::of_port("lan", Port::Lan), Zone::of_port("wan", Port::Wan)],
        rules: vec![rule],
        ..Ruleset::default()
    };
    Arc::new(Policy::compile(1, ruleset, &mut RuleNames::default()))
});

/// The port from which the client speaks, and from which either end opens connections that are not the control session.
const CLIENT_PORT: u16 = 40_000;
const ANY_PORT: u16 = 20;

struct Session {
    engine: Engine,
    out: Outbox,
    now: Instant,
    helper: Helper,
    protocol: u8,
    /// The client behind the LAN port and the server behind the WAN port.
    hosts: [IpAddr; 2],
    ports: [u16; 2],
    /// The number behind what each end has said.
    next: [u32; 2],
    /// Connections that have opened: from which side, by what protocol, to which port.
    connected: BTreeSet<(usize, u8, u16)>,
}

impl Session {
    fn new(helper: Helper, is_v6: bool, wants_udp: bool) -> Self {
        let (protocol, port) = match helper {
            Helper::Ftp => (TCP, 21),
            Helper::Tftp => (UDP, 69),
            Helper::Sip => (if wants_udp { UDP } else { TCP }, 5060),
        };
        let hosts = match is_v6 {
            true => [[0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10], [0x2001, 0xdb8, 0, 0xffff, 0, 0, 0, 5]]
                .map(IpAddr::from),
            false => [[192, 0, 2, 10], [203, 0, 113, 5]].map(IpAddr::from),
        };
        let config =
            Config { worker: 0, capacity: 64, secret: HashSecret([1, 2, 3, 4]), report_all_sessions: true };
        Self {
            engine: Engine::new(config, Running::new(Arc::clone(&POLICY)), Instant::ZERO),
            out: Outbox::new(64, 1024),
            now: Instant::from_secs(1),
            helper,
            protocol,
            hosts,
            ports: [CLIENT_PORT, port],
            next: [0x0fff_fff0, 0xffff_fff0],
            connected: BTreeSet::new(),
        }
    }

    fn begin(&mut self) {
        if self.protocol == TCP {
            for (side, flags) in [(0, SYN), (1, SYN | ACK), (0, ACK)] {
                self.say(side, 0, flags, &[]);
            }
        }
    }

    /// The end of index `side` says something at this distance from the end of its stream.
    fn say(&mut self, side: usize, distance: i32, flags: u8, said: &[u8]) {
        let sequence = self.next[side].wrapping_add_signed(distance);
        let acknowledgement = if flags & ACK == 0 { 0 } else { self.next[1 - side] };
        let ports = [self.ports[side], self.ports[1 - side]];
        self.see(side, self.protocol, ports, [sequence, acknowledgement], flags, said);
        let counted = u32::try_from(said.len()).unwrap_or(0) + u32::from(flags & SYN != 0);
        let end = sequence.wrapping_add(counted);
        if end.wrapping_sub(self.next[side]) < 1 << 31 {
            self.next[side] = end;
        }
    }

    /// The end of index `side` opens a connection to `port` of the other: it passes if it is expected, and only then.
    fn connect(&mut self, side: usize, protocol: u8, port: u16) {
        let is_control = side == 0 && port == self.ports[1] && protocol == self.protocol;
        if port == 0 || is_control {
            return;
        }
        let expected = self.expected();
        let connection = (side, protocol, port);
        let fits =
            |one: &&ExpectationView| (one.from.index(), one.protocol, one.destination_port) == connection;
        let is_expected = expected.iter().find(fits).is_some();
        let reason = self.see(side, protocol, [ANY_PORT, port], [7, 0], SYN, &[1, 2]);
        let is_service =
            side == 0 && [(TCP, 21), (UDP, 69), (TCP, 5060), (UDP, 5060)].contains(&(protocol, port));
        if reason == Reason::SessionExpected {
            assert!(is_expected, "nothing else opens");
            assert_eq!(self.expected().len(), expected.len() - 1, "it is used up");
        } else if !self.connected.contains(&connection) && reason != Reason::TableFull {
            // It has no session, and never had one.
            assert!(!is_expected, "it was expected: {reason}");
            assert!(is_service || reason.is_drop(), "nobody asked for it: {reason}");
        }
        if !reason.is_drop() {
            self.connected.insert(connection);
        }
    }

    /// The connection that is expected, of those that are the one of this index.
    fn connect_as_expected(&mut self, index: usize) {
        let expected = self.expected();
        if let Some(one) = expected.get(index % expected.len().max(1)) {
            self.connect(one.from.index(), one.protocol, one.destination_port);
        }
    }

    fn see(
        &mut self,
        side: usize,
        protocol: u8,
        ports: [u16; 2],
        numbers: [u32; 2],
        flags: u8,
        said: &[u8],
    ) -> Reason {
        let hosts = [self.hosts[side], self.hosts[1 - side]];
        let frame = frame(hosts, protocol, &transport(protocol, ports, numbers, flags, said));
        let mut facts = packet::parse(&frame, frame.len());
        packet::verify(&mut facts, packet::DeviceChecksum::NotChecked, [&frame[..]]);
        assert_eq!(facts.fault, None, "the frames of this target are sound");
        self.expire();
        let verdict = self.engine.inspect(self.now, Port::ALL[side], &facts, &frame, &mut self.out);
        self.out.events.clear();
        self.out.frames.clear();
        verdict.reason
    }

    fn expire(&mut self) {
        while self.engine.next_deadline().is_some_and(|deadline| deadline <= self.now)
            && self.engine.expire(self.now, 64, &mut self.out)
        {}
        self.out.events.clear();
        self.out.frames.clear();
    }

    fn expected(&self) -> Vec<ExpectationView> {
        let mut all = Vec::new();
        self.engine.expectations().list(self.now, |one| all.push(*one));
        all
    }

    fn check(&self) {
        let expected = self.expected();
        for one in &expected {
            let side = one.from.index();
            assert_eq!((one.source, one.destination), (self.hosts[side], self.hosts[1 - side]));
            assert_eq!(one.helper, self.helper);
            assert!(one.helper == Helper::Tftp || one.destination_port >= ANNOUNCED_PORT_MIN);
            assert!(one.expires_in <= Duration::from_millis(LIFETIME_MS));
            assert!(self.engine.session(self.now, one.parent).is_some(), "its control session lives");
        }
        assert!(expected.len() <= OPENINGS_MAX * self.engine.table().len() as usize);
    }

    /// Ends all sessions: nothing stays expected. What was opened, and used.
    fn end(mut self) -> [u64; 2] {
        let mut sessions = Vec::new();
        self.engine.scan(self.now, 0, u32::MAX, |session| sessions.push(session.id));
        for session in sessions {
            self.engine.end_session(self.now, session, Reason::EndOperator, &mut self.out);
        }
        assert_eq!(self.expected(), [], "none outlives its session");
        let counters = self.engine.counters();
        for counts in &counters.helpers {
            assert_eq!(counts.following.get(), 0);
            let over = counts.used.get() + counts.withdrawn.get();
            assert!(counts.opened.get() >= over);
            let has_expired = self.now > Instant::from_millis(LIFETIME_MS);
            assert!(has_expired || counts.opened.get() == over);
        }
        let sum =
            |of: fn(&sekisho_engine::helper::HelperCounts) -> u64| counters.helpers.iter().map(of).sum();
        [sum(|counts| counts.opened.get()), sum(|counts| counts.used.get())]
    }
}

fn be16(len: usize) -> [u8; 2] {
    u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes()
}

/// A segment or a datagram without its checksum.
fn transport(protocol: u8, ports: [u16; 2], numbers: [u32; 2], flags: u8, said: &[u8]) -> Vec<u8> {
    let mut bytes: Vec<u8> = ports.iter().flat_map(|port| port.to_be_bytes()).collect();
    if protocol == TCP {
        bytes.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
        bytes.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    } else {
        bytes.extend(be16(8 + said.len()));
        bytes.extend([0, 0]);
    }
    bytes.extend(said);
    bytes
}

/// The frame of an ICMP error from the first of two hosts to the second, that quotes what the second sent to the first.
pub(crate) fn frame_of_icmp(hosts: [IpAddr; 2], quoted: &[u8]) -> Vec<u8> {
    let packet = frame([hosts[1], hosts[0]], TCP, &[quoted, &[0; 20][quoted.len().min(20)..]].concat());
    // What the router that complains has seen of it: without the Ethernet header, and not to its end.
    let headers = if hosts[0].is_ipv4() { 20 } else { 40 };
    let seen = &packet[14..14 + headers + quoted.len().max(8)];
    let (protocol, kind) = if hosts[0].is_ipv4() { (ICMP, [3, 4]) } else { (ICMPV6, [2, 0]) };
    frame(hosts, protocol, &[&kind[..], &[0, 0, 0, 0, 5, 0], seen].concat())
}

/// The frame of a packet from the first of two hosts to the second.
pub(crate) fn frame(hosts: [IpAddr; 2], protocol: u8, transport: &[u8]) -> Vec<u8> {
    let mut addresses = Vec::new();
    for host in hosts {
        match host {
            IpAddr::V4(address) => addresses.extend(address.octets()),
            IpAddr::V6(address) => addresses.extend(address.octets()),
        }
    }
    let (ethertype, ip) = if hosts[0].is_ipv4() {
        let mut ip =
            [&[0x45, 0][..], &be16(20 + transport.len()), &[0, 0, 0x40, 0, 64, protocol, 0, 0], &addresses]
                .concat();
        let sum = checksum(&[&ip]);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        ([0x08, 0x00], ip)
    } else {
        let ip = [&[0x60, 0, 0, 0][..], &be16(transport.len()), &[protocol, 64], &addresses].concat();
        ([0x86, 0xdd], ip)
    };
    // ICMP has a sum of its message alone (RFC 792).
    let pseudo = [&addresses[..], &[0, protocol], &be16(transport.len())].concat();
    let pseudo = if protocol == ICMP { &[][..] } else { &pseudo };
    let sum = match checksum(&[pseudo, transport]) {
        // RFC 768: a sum of zero is sent as its complement.
        0 if protocol == UDP => 0xffff,
        sum => sum,
    };
    let mut transport = transport.to_vec();
    let at = match protocol {
        TCP => 16,
        UDP => 6,
        _ => 2,
    };
    transport[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    [&[2; 12][..], &ethertype, &ip, &transport].concat()
}

/// The Internet checksum (RFC 1071) over all parts; each but the last has an even length.
pub(crate) fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for pair in parts.iter().flat_map(|part| part.chunks(2)) {
        sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low));
    }
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !u16::try_from(sum).unwrap_or(0)
}
