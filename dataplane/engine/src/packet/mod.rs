//! The facts of a frame, gathered once, with every length checked before it is believed.
//!
//! [`parse`] never fails: a frame that no session could send carries the reason in [`Facts::fault`], beside
//! whatever was learnt before the fault, so that a log line can still name its addresses.

pub mod checksum;
mod ethernet;
mod ipv4;
mod ipv6;
pub(crate) mod part;
mod pieces;
mod plain;
mod quote;
pub(crate) mod sctp;
mod transport;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::flow::FiveTuple;
use crate::reason::Reason;

pub use checksum::{DeviceChecksum, verify};
pub use ethernet::ethertype;
pub(crate) use pieces::fault_of_whole;
pub use pieces::{PieceSum, sum_piece};
pub(crate) use plain::Plain;
pub(crate) use quote::{quoted, stated_mtu};
pub(crate) use transport::{ENHANCED_GRE, Part, part_in_query};
pub use transport::{icmp, icmpv6, tcp_flags};

/// IP protocol numbers that the engine knows by name (IANA "Assigned Internet Protocol Numbers").
pub mod protocol {
    #![allow(missing_docs, reason = "the names are those of the registry")]
    pub const ICMP: u8 = 1;
    pub const IGMP: u8 = 2;
    pub const IPIP: u8 = 4;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const IPV6: u8 = 41;
    pub const GRE: u8 = 47;
    pub const ESP: u8 = 50;
    pub const AH: u8 = 51;
    pub const ICMPV6: u8 = 58;
    pub const SCTP: u8 = 132;
}

/// The VLAN tags of a frame: outer identifier in bits 0 to 11, inner one in bits 12 to 23; 0 is untagged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct VlanStack(u32);

impl VlanStack {
    /// No tag.
    pub const UNTAGGED: Self = Self(0);

    /// The stack of an outer and an inner identifier, 12 bits each, 0 for a tag that is not there.
    pub const fn new(outer: u16, inner: u16) -> Self {
        Self((outer & 0xfff) as u32 | ((inner & 0xfff) as u32) << 12)
    }

    /// The stack as packed in [`VlanStack::bits`].
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits & 0xff_ffff)
    }

    /// Identifier of the outer tag; 0 if there is none.
    pub const fn outer(self) -> u16 {
        (self.0 & 0xfff) as u16
    }

    /// Identifier of the inner tag; 0 if there is none.
    pub const fn inner(self) -> u16 {
        (self.0 >> 12 & 0xfff) as u16
    }

    /// All 24 bits.
    pub const fn bits(self) -> u32 {
        self.0
    }

    fn push(self, vlan: u16) -> Self {
        match (vlan, self.outer()) {
            (0, _) => self,
            (_, 0) => Self::new(vlan, 0),
            (_, outer) => Self::new(outer, vlan),
        }
    }
}

/// What kind of frame it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// To 01-80-C2-00-00-0x: never forwarded by an IEEE 802.1D bridge. The nibble x.
    LinkLocal(u8),
    /// A length in place of an EtherType (IEEE 802.2 LLC).
    Llc,
    /// ARP for IPv4 over Ethernet; the sender's and target's protocol address are the source and the destination.
    Arp,
    /// Any other EtherType.
    NonIp,
    /// IPv4 or IPv6.
    Ip,
}

/// Source and destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// The frame has none, or it was too broken to tell.
    None,
    /// IPv4, host byte order.
    V4 {
        /// Source.
        source: u32,
        /// Destination.
        destination: u32,
    },
    /// IPv6, host byte order.
    V6 {
        /// Source.
        source: u128,
        /// Destination.
        destination: u128,
    },
}

impl Addresses {
    /// The source in the standard library's type.
    pub fn source(&self) -> Option<IpAddr> {
        match *self {
            Self::None => None,
            Self::V4 { source, .. } => Some(Ipv4Addr::from_bits(source).into()),
            Self::V6 { source, .. } => Some(Ipv6Addr::from_bits(source).into()),
        }
    }

    /// The source; 0.0.0.0 in a frame without addresses, which is judged before anybody asks for it.
    pub(crate) fn source_or_unspecified(&self) -> IpAddr {
        self.source().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }

    /// The destination in the standard library's type.
    pub fn destination(&self) -> Option<IpAddr> {
        match *self {
            Self::None => None,
            Self::V4 { destination, .. } => Some(Ipv4Addr::from_bits(destination).into()),
            Self::V6 { destination, .. } => Some(Ipv6Addr::from_bits(destination).into()),
        }
    }

    /// Whether they are of IPv4.
    pub const fn is_v4(&self) -> bool {
        matches!(self, Self::V4 { .. })
    }
}

/// A fragment's place in its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Offset in bytes of its payload.
    pub offset: u16,
    /// More fragments follow.
    pub more: bool,
    /// Identification, 16 bits in IPv4, 32 in IPv6.
    pub identification: u32,
    /// Offset in the frame of what it carries of the datagram.
    pub at: u16,
    /// Bytes that it carries of the datagram.
    pub len: u16,
}

/// What TCP tracking needs of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tcp {
    /// Sequence number of the first byte.
    pub sequence: u32,
    /// Acknowledgement number, meaningful with ACK.
    pub acknowledgement: u32,
    /// The window as sent, not scaled.
    pub window: u16,
    /// FIN, SYN, RST, PSH, ACK, URG, ECE, CWR: bits of [`tcp_flags`].
    pub flags: u8,
    /// Length of the header with its options, 20 to 60 bytes.
    pub header_len: u8,
    /// Bytes of data.
    pub data_len: u32,
}

/// Everything that inspection needs to know of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Why no session could send this; the other facts go as far as was understood.
    pub fault: Option<Reason>,
    /// What kind of frame it is.
    pub class: Class,
    /// Its VLAN tags.
    pub vlan: VlanStack,
    /// The EtherType behind the tags, or the length of an LLC frame.
    pub ethertype: u16,
    /// Sent to a group address (multicast or broadcast) of Ethernet.
    pub to_group: bool,
    /// Source and destination.
    pub addresses: Addresses,
    /// Protocol behind all IP headers.
    pub protocol: u8,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// Set if the packet is a fragment. What follows the IP headers is known of a first fragment only, which must hold
    /// all headers; how long the whole is nobody knows yet.
    pub fragment: Option<Fragment>,
    /// TCP, UDP, SCTP: source port. ICMP and ICMPv6 queries: the identifier. GRE, ESP, AH: the upper half of the key or
    /// SPI.
    pub source_port: u16,
    /// TCP, UDP, SCTP: destination port. ICMP and ICMPv6: `type * 256 + code`. GRE, ESP, AH: the lower half of the key
    /// or SPI.
    pub destination_port: u16,
    /// The segment, if it is one of TCP. Of SCTP the verification tag, in the place of the sequence number.
    pub tcp: Tcp,
    /// Offset of the IP header in the frame.
    pub network_at: u16,
    /// Offset of the final destination in an IPv6 routing header that still leads elsewhere; 0 if there is none.
    pub final_at: u16,
    /// Offset of the home address of a mobile IPv6 sender; 0 if there is none.
    pub home_at: u16,
    /// Offset of the header behind the IP headers.
    pub transport_at: u16,
    /// Bytes from there to the end of the packet (padding of the frame excluded).
    pub transport_len: u32,
    /// Length of the frame on the wire, without FCS.
    pub wire_len: u32,
}

impl Facts {
    /// What rules are asked for: the destination port, `type * 256 + code` of ICMP, or 0.
    pub const fn selector(&self) -> u16 {
        match self.protocol {
            protocol::TCP | protocol::UDP | protocol::SCTP | protocol::ICMP | protocol::ICMPV6 => {
                self.destination_port
            }
            _ => 0,
        }
    }

    /// The five-tuple, for records; ports are 0 where there are none.
    pub fn five_tuple(&self) -> Option<FiveTuple> {
        let has_ports = matches!(self.protocol, protocol::TCP | protocol::UDP | protocol::SCTP);
        let (source_port, destination_port) = match () {
            () if has_ports => (self.source_port, self.destination_port),
            () if self.is_icmp() => (self.source_port, u16::from(self.icmp_type())),
            () => (0, 0),
        };
        Some(FiveTuple {
            source: self.addresses.source()?,
            destination: self.addresses.destination()?,
            source_port,
            destination_port,
            protocol: self.protocol,
        })
    }

    /// Whether this is ICMP for IPv4, or ICMPv6 for IPv6.
    pub const fn is_icmp(&self) -> bool {
        match self.addresses {
            Addresses::V4 { .. } => self.protocol == protocol::ICMP,
            Addresses::V6 { .. } => self.protocol == protocol::ICMPV6,
            Addresses::None => false,
        }
    }

    /// Whether this is an error of ICMP or ICMPv6, which quotes the packet that it is about.
    pub const fn is_icmp_error(&self) -> bool {
        let kind = self.icmp_type();
        match (self.is_icmp(), self.addresses.is_v4()) {
            (false, _) => false,
            (true, true) => {
                matches!(kind, icmp::UNREACHABLE | icmp::TIME_EXCEEDED | icmp::PARAMETER_PROBLEM)
            }
            (true, false) => matches!(
                kind,
                icmpv6::UNREACHABLE
                    | icmpv6::PACKET_TOO_BIG
                    | icmpv6::TIME_EXCEEDED
                    | icmpv6::PARAMETER_PROBLEM
            ),
        }
    }

    /// Whether its destination is a multicast group, or everybody on the link.
    pub const fn is_to_group(&self) -> bool {
        match self.addresses {
            Addresses::V4 { destination, .. } => destination >> 28 == 0xe || destination == u32::MAX,
            Addresses::V6 { destination, .. } => destination >> 120 == 0xff,
            Addresses::None => false,
        }
    }

    /// The ICMP or ICMPv6 type.
    pub const fn icmp_type(&self) -> u8 {
        (self.destination_port >> 8) as u8
    }
}

/// Gathers the facts of a frame of `wire_len` bytes whose first bytes are `head`.
///
/// `head` is the whole frame, or its first segment where the device splits long frames: then it must hold all
/// headers, which callers ensure by making at least 512 bytes contiguous. A header that lies outside `head` counts
/// as truncated.
pub fn parse(head: &[u8], wire_len: usize) -> Facts {
    let mut facts = Facts {
        fault: None,
        class: Class::NonIp,
        vlan: VlanStack::UNTAGGED,
        ethertype: 0,
        to_group: false,
        addresses: Addresses::None,
        protocol: 0,
        hop_limit: 0,
        fragment: None,
        source_port: 0,
        destination_port: 0,
        tcp: Tcp::default(),
        network_at: 0,
        final_at: 0,
        home_at: 0,
        transport_at: 0,
        transport_len: 0,
        wire_len: u32::try_from(wire_len).unwrap_or(u32::MAX),
    };
    let wire_len = wire_len.max(head.len());
    facts.fault = ethernet::parse(head, wire_len, &mut facts).err();
    facts
}

/// Parses the transport header of a datagram that came in fragments: `facts` are those of its first one, `fragment`, with
/// the transport length of the whole, and `head` is what there is of its frame. All fragments carry `len` bytes.
pub(crate) fn whole(head: &[u8], facts: &mut Facts, fragment: &Fragment, len: u16) -> Result<(), Reason> {
    // Headers before what is fragmented may be longer in the first fragment than in the last, and with them the whole
    // must have a length that a header can state (RFC 791 section 3.1, RFC 8200 sections 3 and 4.5).
    let uncounted = if facts.addresses.is_v4() { 0 } else { ipv6::HEADER + ipv6::FRAGMENT_HEADER };
    let headers = usize::from(fragment.at.saturating_sub(facts.network_at)).saturating_sub(uncounted);
    if headers + usize::from(len) > usize::from(u16::MAX) {
        return Err(Reason::FragmentMalformed);
    }
    transport::parse(head, facts)
}

/// Two bytes at `at`, network byte order.
fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Four bytes at `at`, network byte order.
fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// An offset in the head of a frame; heads are far shorter than 64 KiB.
fn offset(at: usize) -> Result<u16, Reason> {
    u16::try_from(at).map_err(|_| Reason::IpTruncated)
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers")]
mod tests;
