//! Control sessions at random: FTP, TFTP and SIP between a few hosts, the connections that they announce, and others
//! that nobody announced. Everything follows from the numbers that are put in.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use sekisho_engine::helper::ExpectationView;
use sekisho_engine::port::Port;

use crate::frames::{self, ACK, FIN, Packet, RST, SYN, Segment, VLAN};
use crate::scene::Tcp;
use crate::traffic::Seeded;

/// Policies to deploy in turn: all helpers; some, where sessions are decided again; none; and helpers whose control
/// sessions the WAN may open as well.
pub const POLICIES: [&str; 4] = [
    "\
version: 1
zones: {lan: {port: lan}, wan: {port: wan}}
services:
  ftp: {ports: tcp/21, helper: ftp}
  tftp: {ports: udp/69, helper: tftp}
  sip: {ports: [udp/5060, tcp/5060], helper: sip}
rules:
  - {name: agreed, from: lan, to: wan, service: [ftp, tftp, sip], action: allow}
  - {name: web, from: lan, to: wan, service: tcp/443, action: allow}
timeouts: {tcp: {established: 50s}}
",
    "\
version: 1
zones: {lan: {port: lan}, wan: {port: wan}}
services: {ftp: {ports: tcp/21, helper: ftp}, sip: {ports: udp/5060, helper: sip}}
rules:
  - {name: agreed, from: lan, to: wan, service: ftp, action: allow}
  - {name: calls, from: lan, to: wan, service: sip, action: allow}
  - {name: plain, from: lan, to: wan, service: udp/69, action: allow}
timeouts: {tcp: {established: 30s}, on_expiry: probe}
inspection: {sessions_on_deploy: rematch}
",
    "\
version: 1
zones: {lan: {port: lan}, wan: {port: wan}}
rules: [{name: agreed, from: lan, to: wan, action: allow}, {name: no, from: wan, to: lan, action: reject}]
timeouts: {tcp: {established: 20s}, on_expiry: reset}
inspection: {midstream: pickup}
",
    "\
version: 1
zones: {lan: {port: lan}, wan: {port: wan}}
services:
  ftp: {ports: tcp/21, helper: ftp}
  tftp: {ports: udp/69, helper: tftp}
  sip: {ports: [udp/5060, tcp/5060], helper: sip}
rules: [{name: agreed, from: any, to: any, service: [ftp, tftp, sip], action: allow}]
inspection: {sessions_on_deploy: rematch, tcp_window: log, midstream: pickup}
",
];

/// A host that takes part in nothing, and that some announce.
const THIRD: u16 = 99;
/// Connections beside the control sessions that are remembered.
const DATA_MAX: usize = 16;
/// Pairs of ends that hold control sessions; most share both hosts with others.
const PAIRS: u16 = 32;

/// What two ends agree by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Ftp,
    Sip,
    SipDatagrams,
    Tftp,
}

/// The control sessions and the connections beside them.
#[derive(Debug)]
pub struct Dialogues {
    controls: Vec<Control>,
    data: VecDeque<Data>,
}

/// A control session. Its client is behind the LAN port, or behind the WAN port.
#[derive(Debug)]
struct Control {
    protocol: Protocol,
    tcp: Tcp,
    from: Port,
    /// Segments of the handshake that were sent.
    shaken: usize,
    /// What one end has said and that has not gone out: by index of the end.
    waiting: VecDeque<(usize, Packet)>,
}

/// A connection beside a control session.
#[derive(Debug)]
struct Data {
    from: Port,
    is_tcp: bool,
    tcp: Tcp,
}

impl Default for Dialogues {
    fn default() -> Self {
        Self { controls: (0..PAIRS).map(Control::new).collect(), data: VecDeque::new() }
    }
}

impl Dialogues {
    /// The frame that `number` makes, where it makes one; `expected` is what may connect now.
    pub fn step(&mut self, number: u64, expected: &[ExpectationView]) -> Option<(Port, Vec<u8>)> {
        let mut dice = Seeded(number);
        match dice.number() % 16 {
            0..9 => {
                let pair = usize::try_from(dice.number() % u64::from(PAIRS)).unwrap();
                self.controls[pair].step(&mut dice)
            }
            9..13 => self.connect(&mut dice, expected),
            _ => self.go_on(&mut dice),
        }
    }

    /// Somebody connects: as is expected, or nearly.
    fn connect(&mut self, dice: &mut Seeded, expected: &[ExpectationView]) -> Option<(Port, Vec<u8>)> {
        let one = expected.get(usize::try_from(dice.number()).unwrap() % expected.len().max(1))?;
        let mut source = SocketAddr::new(one.source, dice.port());
        let mut destination = SocketAddr::new(one.destination, one.destination_port);
        let (mut from, mut is_tcp, mut vlan) = (one.from, one.protocol == 6, one.vlan.outer());
        match dice.number() % 16 {
            0 => source.set_ip(neighbour(source.ip(), THIRD)),
            1 => destination.set_ip(neighbour(destination.ip(), THIRD)),
            2 => destination.set_port(destination.port() ^ 1),
            3 => is_tcp = !is_tcp,
            4 => vlan ^= 20,
            5 => from = from.other(),
            _ => {}
        }
        let mut tcp = Tcp::new(source, destination);
        if vlan != 0 {
            tcp.tags.push((VLAN, vlan));
        }
        let mut data = Data { from, is_tcp, tcp };
        let frame = if is_tcp { data.tcp.client(SYN).frame() } else { data.datagram(0) };
        if self.data.len() == DATA_MAX {
            self.data.pop_front();
        }
        self.data.push_back(data);
        Some((from, frame))
    }

    /// A connection that somebody has opened, or tried to, goes on.
    fn go_on(&mut self, dice: &mut Seeded) -> Option<(Port, Vec<u8>)> {
        let which = usize::try_from(dice.number()).unwrap() % self.data.len().max(1);
        let data = self.data.get_mut(which)?;
        let number = dice.number();
        let side = usize::from(number & 1 == 0);
        let port = if side == 0 { data.from } else { data.from.other() };
        if !data.is_tcp {
            return Some((port, data.datagram(side)));
        }
        let packet = match (number >> 1 & 15, side) {
            (0..4, 0) => data.tcp.client(SYN),
            (0..4, _) => data.tcp.server(SYN | ACK),
            (4..11, 0) => data.tcp.client_says(b"a file"),
            (4..11, _) => data.tcp.server_says(b"a file"),
            (11..14, 0) => data.tcp.client(FIN | ACK),
            (11..14, _) => data.tcp.server(FIN | ACK),
            (_, 0) => data.tcp.client(RST | ACK),
            _ => data.tcp.server(RST | ACK),
        };
        Some((port, packet.frame()))
    }
}

impl Data {
    fn datagram(&self, side: usize) -> Vec<u8> {
        let ends = [self.tcp.client, self.tcp.server];
        let mut packet = frames::udp(ends[side], ends[1 - side], b"\x80\0voice");
        packet.tags.clone_from(&self.tcp.tags);
        packet.frame()
    }
}

impl Seeded {
    /// A port that anybody may have.
    fn port(&mut self) -> u16 {
        1024 + u16::try_from(self.number() % 60_000).unwrap()
    }
}

impl Control {
    fn new(pair: u16) -> Self {
        let protocol = match pair % 4 {
            0 | 1 => Protocol::Ftp,
            2 if pair % 8 == 2 => Protocol::Sip,
            2 => Protocol::SipDatagrams,
            _ => Protocol::Tftp,
        };
        // Few hosts, so that control sessions share both of theirs.
        let (host, server) = (10 + pair / 4 % 2, 80);
        let hosts: [IpAddr; 2] = if pair >= 24 {
            [[0x2001, 0xdb8, 1, 0, 0, 0, 0, host].into(), [0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, server].into()]
        } else {
            let byte = |number: u16| u8::try_from(number).unwrap();
            [[192, 0, 2, byte(host)].into(), [203, 0, 113, byte(server)].into()]
        };
        let from = if pair % 5 == 4 { Port::Wan } else { Port::Lan };
        let port = match protocol {
            Protocol::Ftp => 21,
            Protocol::Tftp => 69,
            Protocol::Sip | Protocol::SipDatagrams => 5060,
        };
        let mut tcp = Tcp::new(
            SocketAddr::new(hosts[from.index()], 40_000 + pair),
            SocketAddr::new(hosts[1 - from.index()], port),
        );
        if pair % 7 == 6 {
            tcp.tags.push((VLAN, 20));
        }
        Self { protocol, tcp, from, shaken: 0, waiting: VecDeque::new() }
    }

    fn ends(&self) -> [SocketAddr; 2] {
        [self.tcp.client, self.tcp.server]
    }

    fn step(&mut self, dice: &mut Seeded) -> Option<(Port, Vec<u8>)> {
        let is_datagrams = matches!(self.protocol, Protocol::Tftp | Protocol::SipDatagrams);
        if self.waiting.is_empty() {
            match (is_datagrams, self.shaken) {
                (true, _) => self.speak(dice),
                (false, 0..3) => {
                    let side = self.shaken & 1;
                    let flags = [SYN, SYN | ACK, ACK][self.shaken];
                    let packet = if side == 0 { self.tcp.client(flags) } else { self.tcp.server(flags) };
                    self.shaken += 1;
                    self.waiting.push_back((side, packet));
                }
                _ if dice.number().is_multiple_of(12) => self.close(dice),
                _ => self.speak(dice),
            }
        }
        let (side, packet) = self.waiting.pop_front()?;
        if dice.number().is_multiple_of(16) && !self.waiting.is_empty() {
            // What was to come later comes first, or it never comes.
            if dice.number().is_multiple_of(4) {
                return None;
            }
            self.waiting.push_back((side, packet));
            return None;
        }
        if dice.number().is_multiple_of(24) {
            self.waiting.push_back((side, packet.clone()));
        }
        let port = if side == 0 { self.from } else { self.from.other() };
        Some((port, packet.frame()))
    }

    /// One end closes, or resets; after that it may begin anew.
    fn close(&mut self, dice: &mut Seeded) {
        let number = dice.number();
        let side = usize::from(number & 1 == 0);
        // The last words, and an announcement among them, may come with the FIN.
        let last = if number & 6 == 0 { self.line(dice, side) } else { String::new() };
        let flags = if number & 8 == 0 { FIN | ACK } else { RST | ACK };
        let last = if flags & RST == 0 { last.into_bytes() } else { Vec::new() };
        let segment = Segment::new(flags, self.tcp.next[side], self.tcp.next[1 - side]).data(&last);
        let counted = u32::from(flags & FIN != 0) + u32::try_from(last.len()).unwrap();
        self.tcp.next[side] = self.tcp.next[side].wrapping_add(counted);
        self.send(side, &segment);
        if flags & RST != 0 || number & 48 == 0 {
            let next = self.tcp.next.map(|next| next.wrapping_add(1_000_000));
            self.tcp.next = next;
            self.shaken = 0;
        }
    }

    /// One end says something, in one piece or two.
    fn speak(&mut self, dice: &mut Seeded) {
        let number = dice.number();
        let side = usize::from(number & 1 == 0);
        let text = self.line(dice, side).into_bytes();
        if matches!(self.protocol, Protocol::Tftp | Protocol::SipDatagrams) {
            let ends = self.ends();
            let mut packet = frames::udp(ends[side], ends[1 - side], &text);
            packet.tags.clone_from(&self.tcp.tags);
            self.waiting.push_back((side, packet));
            return;
        }
        let (first, acknowledgement) = (self.tcp.next[side], self.tcp.next[1 - side]);
        let cut = if number & 2 == 0 { 0 } else { usize::try_from(number >> 8).unwrap() % text.len() };
        for (at, part) in [(0, &text[..cut]), (cut, &text[cut..])] {
            if !part.is_empty() {
                let sequence = first.wrapping_add(u32::try_from(at).unwrap());
                self.send(side, &Segment::new(ACK, sequence, acknowledgement).data(part));
            }
        }
        self.tcp.next[side] = first.wrapping_add(u32::try_from(text.len()).unwrap());
    }

    fn send(&mut self, side: usize, segment: &Segment) {
        let packet = if side == 0 { self.tcp.from_client(segment) } else { self.tcp.from_server(segment) };
        self.waiting.push_back((side, packet));
    }

    /// What the end of index `side` says.
    fn line(&self, dice: &mut Seeded, side: usize) -> String {
        let number = dice.number();
        let own = self.ends()[side].ip();
        let host = if number.is_multiple_of(16) { neighbour(own, THIRD) } else { own };
        // Of few ports, so that the same is announced again, by others too.
        let port = if number % 16 == 1 { 22 } else { 30_000 + u16::try_from(number >> 8 & 31).unwrap() };
        match self.protocol {
            Protocol::Ftp => ftp(number >> 16, side, host, port),
            Protocol::Tftp => match number >> 16 & 7 {
                0..4 if side == 0 => "\0\u{1}a file\0octet\0".into(),
                4 => "\0\u{2}a file\0morse\0".into(),
                _ => "\0\u{4}\0\u{1}".into(),
            },
            Protocol::Sip | Protocol::SipDatagrams => sip(number >> 16, host, port),
        }
    }
}

/// A line of an FTP session: the client's commands, or the server's replies.
fn ftp(number: u64, side: usize, host: IpAddr, port: u16) -> String {
    let octets = match host {
        IpAddr::V4(address) => address.octets().map(|octet| octet.to_string()).join(","),
        IpAddr::V6(_) => "0,0,0,0".into(),
    };
    let (high, low) = (port >> 8, port & 255);
    let family = if host.is_ipv4() { 1 } else { 2 };
    if side == 0 {
        match number & 31 {
            0..6 => format!("PORT {octets},{high},{low}\r\n"),
            6..12 => format!("EPRT |{family}|{host}|{port}|\r\n"),
            12..18 => "PASV\r\n".into(),
            18..24 => "EPSV\r\n".into(),
            24 if number & 32 == 0 => "EPSV ALL\r\n".into(),
            25 if number & 32 == 0 => "AUTH TLS\r\n".into(),
            26 => format!("PORT {octets},{high}\r\n"),
            // Many at once.
            27 => (0..3).map(|more| format!("EPRT |{family}|{host}|{}|\r\n", port + more)).collect(),
            _ => "NOOP\r\n".into(),
        }
    } else {
        match number & 15 {
            0..5 => format!("227 Passive ({octets},{high},{low}).\r\n"),
            5..11 => format!("229 Passive (|||{port}|)\r\n"),
            11 if number & 48 == 0 => "234 go on\r\n".into(),
            12 => format!("211-features\r\n229 no (|||{port}|)\r\n211 end\r\n"),
            _ => "200 ok\r\n".into(),
        }
    }
}

/// A SIP message, most often with a session description.
fn sip(number: u64, host: IpAddr, port: u16) -> String {
    let family = if host.is_ipv4() { "IP4" } else { "IP6" };
    let rtcp = match number >> 3 & 3 {
        0 => "a=rtcp-mux\r\n".into(),
        1 => format!("a=rtcp:{}\r\n", port ^ 4),
        _ => String::new(),
    };
    let first = match number & 7 {
        0..3 => "INVITE sip:b@example.org SIP/2.0",
        3..6 => "SIP/2.0 200 OK",
        6 => "OPTIONS sip:b@example.org SIP/2.0",
        _ => return "BYE sip:b@example.org SIP/2.0\r\nCSeq: 2 BYE\r\nContent-Length: 0\r\n\r\n".into(),
    };
    let body = format!("v=0\r\nc=IN {family} {host}\r\nm=audio {port} RTP/AVP 0\r\n{rtcp}");
    format!(
        "{first}\r\nCSeq: 1 INVITE\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The address of another host of the same network.
fn neighbour(address: IpAddr, host: u16) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            [a, b, c, u8::try_from(host).unwrap()].into()
        }
        IpAddr::V6(address) => {
            let mut words = address.segments();
            words[7] = host;
            words.into()
        }
    }
}
