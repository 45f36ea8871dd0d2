//! Frames, built by hand: right ones, and any kind of wrong one.
//!
//! A [`Packet`] is taken apart into what its headers say, so that a test changes just what it is about; what no field
//! can say wrong is patched in the bytes of [`Packet::frame`].

use std::net::{IpAddr, SocketAddr};

/// MAC addresses of the host behind the LAN port and of the one behind the WAN port.
pub const MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];
/// EtherType of an IEEE 802.1Q tag.
pub const VLAN: u16 = 0x8100;
/// EtherType of an IEEE 802.1ad tag.
pub const QINQ: u16 = 0x88a8;

/// FIN.
pub const FIN: u8 = 1;
/// SYN.
pub const SYN: u8 = 2;
/// RST.
pub const RST: u8 = 4;
/// PSH.
pub const PSH: u8 = 8;
/// ACK.
pub const ACK: u8 = 16;
/// URG.
pub const URG: u8 = 32;

/// An IP packet in a frame, header by header.
#[derive(Debug, Clone)]
pub struct Packet {
    /// Destination and source of the frame.
    pub macs: [[u8; 6]; 2],
    /// Tags, outer one first: EtherType and VLAN.
    pub tags: Vec<(u16, u16)>,
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// Protocol of the payload.
    pub protocol: u8,
    /// Options of IPv4, a multiple of four bytes.
    pub options: Vec<u8>,
    /// Identification, and flags with fragment offset, of IPv4.
    pub fragment: (u16, u16),
    /// Extension headers of IPv6: the number of each, and its bytes without the first (next header).
    pub extensions: Vec<(u8, Vec<u8>)>,
    /// The transport header and what follows it.
    pub payload: Vec<u8>,
}

impl Packet {
    /// A packet of `protocol`.
    #[must_use]
    pub fn new(source: IpAddr, destination: IpAddr, protocol: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            macs: [MACS[1], MACS[0]],
            tags: Vec::new(),
            source,
            destination,
            hop_limit: 64,
            protocol,
            options: Vec::new(),
            fragment: (0, 0x4000),
            extensions: Vec::new(),
            payload: payload.into(),
        }
    }

    /// In this VLAN, within those that it is in already.
    #[must_use]
    pub fn vlan(mut self, vlan: u16) -> Self {
        self.tags.push((VLAN, vlan));
        self
    }

    /// With this tag, within those that it has already.
    #[must_use]
    pub fn tag(mut self, ethertype: u16, vlan: u16) -> Self {
        self.tags.push((ethertype, vlan));
        self
    }

    /// With this TTL or hop limit.
    #[must_use]
    pub fn hop_limit(mut self, hop_limit: u8) -> Self {
        self.hop_limit = hop_limit;
        self
    }

    /// With these options of IPv4.
    #[must_use]
    pub fn options(mut self, options: &[u8]) -> Self {
        self.options = options.to_vec();
        self
    }

    /// As a fragment: this identification, offset in bytes, and whether more follow.
    #[must_use]
    pub fn fragment(mut self, identification: u16, offset: u16, more: bool) -> Self {
        if self.source.is_ipv4() {
            self.fragment = (identification, (offset / 8) | if more { 0x2000 } else { 0 });
            return self;
        }
        let mut header = vec![0];
        header.extend((offset | u16::from(more)).to_be_bytes());
        header.extend(u32::from(identification).to_be_bytes());
        self.extension(44, &header)
    }

    /// With this extension header of IPv6 behind those that it has; `rest` is all but its first byte.
    #[must_use]
    pub fn extension(mut self, number: u8, rest: &[u8]) -> Self {
        self.extensions.push((number, rest.to_vec()));
        self
    }

    /// To this MAC address.
    #[must_use]
    pub fn to_mac(mut self, mac: [u8; 6]) -> Self {
        self.macs[0] = mac;
        self
    }

    /// The frame, padded to the 60 bytes that Ethernet has at least.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        let ip = self.ip();
        let kind = if self.source.is_ipv4() { 0x0800 } else { 0x86dd };
        ethernet(self.macs, &self.tags, kind, &ip)
    }

    /// Where the IP header begins in the frame.
    #[must_use]
    pub fn network_at(&self) -> usize {
        14 + 4 * self.tags.len()
    }

    /// Where the transport header begins in the frame.
    #[must_use]
    pub fn transport_at(&self) -> usize {
        self.network_at() + self.ip().len() - self.payload.len()
    }

    /// The frame after `change` had its way with the bytes of its IP packet; the checksum of IPv4 is made right again.
    #[must_use]
    pub fn patched(&self, change: impl FnOnce(&mut [u8])) -> Vec<u8> {
        let mut frame = self.frame();
        let packet = &mut frame[self.network_at()..];
        change(packet);
        if self.source.is_ipv4() {
            let len = (usize::from(packet[0] & 0xf) * 4).min(packet.len());
            packet[10..12].fill(0);
            let sum = checksum(&[&packet[..len]]);
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        frame
    }

    /// The IP packet.
    #[must_use]
    pub fn ip(&self) -> Vec<u8> {
        let mut ip = Vec::new();
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let header_len = 20 + self.options.len();
                ip.extend([0x40 | u8::try_from(header_len / 4).unwrap(), 0]);
                ip.extend(be16(header_len + self.payload.len()));
                ip.extend(self.fragment.0.to_be_bytes());
                ip.extend(self.fragment.1.to_be_bytes());
                ip.extend([self.hop_limit, self.protocol, 0, 0]);
                ip.extend(source.octets());
                ip.extend(destination.octets());
                ip.extend(&self.options);
                let sum = checksum(&[&ip]);
                ip[10..12].copy_from_slice(&sum.to_be_bytes());
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let extensions: usize = self.extensions.iter().map(|(_, rest)| rest.len() + 1).sum();
                ip.extend([0x60, 0, 0, 0]);
                ip.extend(be16(extensions + self.payload.len()));
                let mut numbers: Vec<u8> = self.extensions.iter().map(|(number, _)| *number).collect();
                numbers.push(self.protocol);
                ip.extend([numbers[0], self.hop_limit]);
                ip.extend(source.octets());
                ip.extend(destination.octets());
                for ((_, rest), next) in self.extensions.iter().zip(&numbers[1..]) {
                    ip.push(*next);
                    ip.extend(rest);
                }
            }
            _ => panic!("{} and {} are of different families", self.source, self.destination),
        }
        ip.extend(&self.payload);
        ip
    }
}

impl From<Packet> for Vec<u8> {
    fn from(packet: Packet) -> Self {
        packet.frame()
    }
}

/// A frame of any EtherType (or, below 0x600, of any length).
#[must_use]
pub fn ethernet(macs: [[u8; 6]; 2], tags: &[(u16, u16)], kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = macs.concat();
    for (ethertype, vlan) in tags {
        frame.extend(ethertype.to_be_bytes());
        frame.extend(vlan.to_be_bytes());
    }
    frame.extend(kind.to_be_bytes());
    frame.extend(payload);
    frame.resize(frame.len().max(60), 0);
    frame
}

/// The fields of a TCP segment.
#[derive(Debug, Clone)]
pub struct Segment {
    /// Flags.
    pub flags: u8,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgement number.
    pub acknowledgement: u32,
    /// Window as sent.
    pub window: u16,
    /// Options, a multiple of four bytes.
    pub options: Vec<u8>,
    /// Data.
    pub data: Vec<u8>,
}

impl Segment {
    /// A segment without options or data.
    #[must_use]
    pub fn new(flags: u8, sequence: u32, acknowledgement: u32) -> Self {
        Self { flags, sequence, acknowledgement, window: 8192, options: Vec::new(), data: Vec::new() }
    }

    /// With this data.
    #[must_use]
    pub fn data(mut self, data: &[u8]) -> Self {
        self.data = data.to_vec();
        self
    }

    /// With this window.
    #[must_use]
    pub fn window(mut self, window: u16) -> Self {
        self.window = window;
        self
    }

    /// With these options.
    #[must_use]
    pub fn options(mut self, options: &[u8]) -> Self {
        self.options = options.to_vec();
        self
    }

    /// As a packet from `source` to `destination`.
    #[must_use]
    pub fn between(&self, source: SocketAddr, destination: SocketAddr) -> Packet {
        let mut bytes = Vec::new();
        bytes.extend(source.port().to_be_bytes());
        bytes.extend(destination.port().to_be_bytes());
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.acknowledgement.to_be_bytes());
        bytes.extend([u8::try_from((20 + self.options.len()) / 4).unwrap() << 4, self.flags]);
        bytes.extend(self.window.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(&self.options);
        bytes.extend(&self.data);
        with_checksum(source.ip(), destination.ip(), 6, bytes, 16)
    }
}

/// A TCP segment.
#[must_use]
pub fn tcp(
    source: SocketAddr,
    destination: SocketAddr,
    flags: u8,
    sequence: u32,
    acknowledgement: u32,
) -> Packet {
    Segment::new(flags, sequence, acknowledgement).between(source, destination)
}

/// A UDP datagram.
#[must_use]
pub fn udp(source: SocketAddr, destination: SocketAddr, data: &[u8]) -> Packet {
    let mut bytes = Vec::new();
    bytes.extend(source.port().to_be_bytes());
    bytes.extend(destination.port().to_be_bytes());
    bytes.extend(be16(8 + data.len()));
    bytes.extend([0; 2]);
    bytes.extend(data);
    with_checksum(source.ip(), destination.ip(), 17, bytes, 6)
}

/// An ICMP or ICMPv6 message: type, code, the four bytes that every type uses otherwise, and what follows.
#[must_use]
pub fn icmp(source: IpAddr, destination: IpAddr, kind: u8, code: u8, rest: [u8; 4], data: &[u8]) -> Packet {
    let mut bytes = vec![kind, code, 0, 0];
    bytes.extend(rest);
    bytes.extend(data);
    if source.is_ipv6() {
        return with_checksum(source, destination, 58, bytes, 2);
    }
    let sum = checksum(&[&bytes]);
    bytes[2..4].copy_from_slice(&sum.to_be_bytes());
    Packet::new(source, destination, 1, bytes)
}

/// An echo request of either family.
#[must_use]
pub fn ping(source: IpAddr, destination: IpAddr, identifier: u16, sequence: u16) -> Packet {
    echo(source, destination, if source.is_ipv4() { 8 } else { 128 }, identifier, sequence)
}

/// An echo reply of either family.
#[must_use]
pub fn pong(source: IpAddr, destination: IpAddr, identifier: u16, sequence: u16) -> Packet {
    echo(source, destination, if source.is_ipv4() { 0 } else { 129 }, identifier, sequence)
}

fn echo(source: IpAddr, destination: IpAddr, kind: u8, identifier: u16, sequence: u16) -> Packet {
    let ([a, b], [c, d]) = (identifier.to_be_bytes(), sequence.to_be_bytes());
    icmp(source, destination, kind, 0, [a, b, c, d], b"abcdefgh")
}

/// An SCTP packet with this verification tag and these chunks; each but the last has a length that is a multiple of four.
#[must_use]
pub fn sctp(source: SocketAddr, destination: SocketAddr, tag: u32, chunks: &[u8]) -> Packet {
    let mut bytes = Vec::new();
    bytes.extend(source.port().to_be_bytes());
    bytes.extend(destination.port().to_be_bytes());
    bytes.extend(tag.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(chunks);
    let sum = crc32c(&bytes);
    bytes[8..12].copy_from_slice(&sum.to_le_bytes());
    Packet::new(source.ip(), destination.ip(), 132, bytes)
}

/// A chunk of SCTP: its type, flags and value, padded.
#[must_use]
pub fn chunk(kind: u8, flags: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, flags];
    bytes.extend(be16(4 + value.len()));
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// CRC32c (RFC 9260 appendix A), bit by bit.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}

/// An ARP packet for IPv4 over Ethernet: 1 asks, 2 answers.
#[must_use]
pub fn arp(operation: u16, sender: IpAddr, target: IpAddr) -> Vec<u8> {
    let (IpAddr::V4(sender), IpAddr::V4(target)) = (sender, target) else { panic!("ARP is of IPv4") };
    let mut packet = vec![0, 1, 8, 0, 6, 4];
    packet.extend(operation.to_be_bytes());
    packet.extend(MACS[0]);
    packet.extend(sender.octets());
    packet.extend([0; 6]);
    packet.extend(target.octets());
    ethernet([[0xff; 6], MACS[0]], &[], 0x0806, &packet)
}

/// A frame to the link-local group address 01-80-C2-00-00-0x.
#[must_use]
pub fn link_local(x: u8, kind: u16) -> Vec<u8> {
    ethernet([[1, 0x80, 0xc2, 0, 0, x], MACS[0]], &[], kind, &[0; 46])
}

fn with_checksum(source: IpAddr, destination: IpAddr, protocol: u8, mut bytes: Vec<u8>, at: usize) -> Packet {
    let len = u32::try_from(bytes.len()).unwrap();
    let address = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let pseudo =
        [address(source), address(destination), len.to_be_bytes().to_vec(), vec![0, protocol]].concat();
    let sum = match checksum(&[&pseudo, &bytes]) {
        // To UDP a checksum of zero means none (RFC 768).
        0 if protocol == 17 => 0xffff,
        sum => sum,
    };
    bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    Packet::new(source, destination, protocol, bytes)
}

/// The Internet checksum (RFC 1071) over all parts; each but the last has an even length.
#[must_use]
pub fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum: u32 = 0;
    for pair in parts.iter().flat_map(|part| part.chunks(2)) {
        sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low));
    }
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !u16::try_from(sum).unwrap()
}

fn be16(len: usize) -> [u8; 2] {
    u16::try_from(len).expect("a packet has at most 65,535 bytes").to_be_bytes()
}
