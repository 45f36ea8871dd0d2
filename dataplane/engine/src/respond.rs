//! Frames of the appliance's own: the answers to a rejected packet (a TCP reset, or ICMP and ICMPv6 administratively
//! prohibited), and what the ends of an idle session are told.

use crate::flow::{Ends, FlowKey};
use crate::packet::{Addresses, Facts, Tcp, ethertype, icmp, icmpv6, protocol, tcp_flags};
use crate::port::Port;
use crate::reason::Reason;
use crate::record::OwnFrame;

const HOP_LIMIT: u8 = 64;
/// RFC 1812 section 4.3.2.3: as much of the datagram as fits 576 bytes.
const ICMP_QUOTE_MAX: usize = 576 - 20 - 8;
/// RFC 4443 section 2.4 (c): as much as fits the minimum MTU of IPv6.
const ICMPV6_QUOTE_MAX: usize = 1280 - 40 - 8;
/// ICMP 3/13 (RFC 1812 section 5.2.7.1) and ICMPv6 1/1 (RFC 4443 section 3.1).
const ICMP_PROHIBITED: u8 = 13;
const ICMPV6_PROHIBITED: u8 = 1;

/// Writes the answer to a packet that arrived on `port`, and that may be answered.
pub(crate) fn reject(frame: &mut OwnFrame, port: Port, facts: &Facts, head: &[u8]) -> Option<()> {
    let is_segment = facts.protocol == protocol::TCP && facts.fragment.is_none();
    let reason = if is_segment { Reason::SendReset } else { Reason::SendUnreachable };
    let mut frame = Writer::begin(frame, port, reason);
    frame.ethernet(head.get(..usize::from(facts.network_at))?)?;
    let network_at = frame.len();
    if is_segment {
        frame.ip(&facts.addresses, protocol::TCP, 20)?;
        frame.reset(facts)?;
    } else {
        // The answer quotes the packet as its header states it: without the padding of its frame, and of a datagram that
        // came in fragments the first.
        let packet = head.get(usize::from(facts.network_at)..)?;
        let (at, less) = if facts.addresses.is_v4() { (2, 0) } else { (4, 40) };
        let stated = u16::from_be_bytes(*packet.get(at..)?.first_chunk()?);
        let packet = packet.get(..usize::from(stated) + less).unwrap_or(packet);
        frame.prohibited(&facts.addresses, packet)?;
    }
    frame.finish(network_at);
    Some(())
}

/// Writes a TCP segment without data that answers one which arrived on `port`, and that may be answered.
pub(crate) fn answer(
    frame: &mut OwnFrame,
    (port, facts, head): (Port, &Facts, &[u8]),
    tcp: &Tcp,
    options: &[u8],
    reason: Reason,
) -> Option<()> {
    let mut frame = Writer::begin(frame, port, reason);
    frame.ethernet(head.get(..usize::from(facts.network_at))?)?;
    let network_at = frame.len();
    frame.ip(&facts.addresses, protocol::TCP, tcp_len(options)?)?;
    frame.tcp(&facts.addresses, (facts.destination_port, facts.source_port), tcp, options)?;
    frame.finish(network_at);
    Some(())
}

/// Writes a TCP segment without data, with `options` (a whole number of 32-bit words), to the end of a session behind port
/// `to`. `link` is the link header, without EtherType, of the session's frames from LAN to WAN.
pub(crate) fn segment(
    frame: &mut OwnFrame,
    to: Port,
    (link, key): (&[u8], &FlowKey),
    tcp: &Tcp,
    options: &[u8],
    reason: Reason,
) -> Option<()> {
    let mut frame = Writer::begin(frame, to, reason);
    match to {
        Port::Wan => frame.put(link)?,
        Port::Lan => frame.ethernet(link)?,
    }
    // The packet that this one answers, as `ip` has it, is one of the receiver's.
    let from_receiver = key.five_tuple(to);
    let (addresses, kind) = match key.addresses {
        Ends::V4 { lan, wan } if to == Port::Lan => {
            (Addresses::V4 { source: lan, destination: wan }, ethertype::IPV4)
        }
        Ends::V4 { lan, wan } => (Addresses::V4 { source: wan, destination: lan }, ethertype::IPV4),
        Ends::V6 { lan, wan } if to == Port::Lan => {
            (Addresses::V6 { source: lan, destination: wan }, ethertype::IPV6)
        }
        Ends::V6 { lan, wan } => (Addresses::V6 { source: wan, destination: lan }, ethertype::IPV6),
    };
    frame.put(&kind.to_be_bytes())?;
    let network_at = frame.len();
    frame.ip(&addresses, protocol::TCP, tcp_len(options)?)?;
    frame.tcp(&addresses, (from_receiver.destination_port, from_receiver.source_port), tcp, options)?;
    frame.finish(network_at);
    Some(())
}

/// Whether a packet may be answered: a reset, an ICMP error, a later fragment, a multicast or a broadcast may not (RFC 1122
/// section 3.2.2, RFC 4443 section 2.4 (e)).
pub(crate) fn may_answer(facts: &Facts) -> bool {
    let is_later_fragment = facts.fragment.is_some_and(|fragment| fragment.offset > 0);
    let is_reset = facts.protocol == protocol::TCP && facts.tcp.flags & tcp_flags::RST != 0;
    let is_icmp_error = match facts.addresses {
        Addresses::V4 { .. } => {
            facts.is_icmp()
                && matches!(
                    facts.icmp_type(),
                    icmp::UNREACHABLE | 4 | icmp::REDIRECT | icmp::TIME_EXCEEDED | icmp::PARAMETER_PROBLEM
                )
        }
        Addresses::V6 { .. } => {
            facts.is_icmp() && (facts.icmp_type() < 128 || facts.icmp_type() == icmpv6::REDIRECT)
        }
        Addresses::None => true,
    };
    let is_unicast = |v4: u32| v4 != 0 && v4 >> 24 != 127 && v4 >> 28 < 0xe;
    let is_unicast6 = |v6: u128| v6 > 1 && v6 >> 120 != 0xff;
    let between_hosts = match facts.addresses {
        Addresses::V4 { source, destination } => is_unicast(source) && is_unicast(destination),
        Addresses::V6 { source, destination } => is_unicast6(source) && is_unicast6(destination),
        Addresses::None => false,
    };
    between_hosts && !facts.to_group && !is_later_fragment && !is_reset && !is_icmp_error
}

/// Writes a frame front to back.
struct Writer<'f>(&'f mut OwnFrame);

impl<'f> Writer<'f> {
    fn begin(frame: &'f mut OwnFrame, port: Port, reason: Reason) -> Self {
        frame.begin(port, reason);
        Self(frame)
    }

    fn len(&self) -> usize {
        self.0.bytes().len()
    }

    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        self.0.put(bytes)
    }

    /// The link header of the packet, tags included, with the MAC addresses exchanged.
    fn ethernet(&mut self, header: &[u8]) -> Option<()> {
        self.put(header.get(6..12)?)?;
        self.put(header.get(..6)?)?;
        self.put(header.get(12..)?)
    }

    /// An IP header back to the source, for `len` bytes of `protocol`.
    fn ip(&mut self, addresses: &Addresses, protocol: u8, len: u16) -> Option<()> {
        match *addresses {
            Addresses::V4 { source, destination } => {
                self.put(&[0x45, 0])?;
                self.put(&(20 + len).to_be_bytes())?;
                // An atomic datagram needs no identification (RFC 6864 section 4.1): DF is set.
                self.put(&[0, 0, 0x40, 0, HOP_LIMIT, protocol, 0, 0])?;
                self.put(&destination.to_be_bytes())?;
                self.put(&source.to_be_bytes())
            }
            Addresses::V6 { source, destination } => {
                self.put(&[0x60, 0, 0, 0])?;
                self.put(&len.to_be_bytes())?;
                self.put(&[protocol, HOP_LIMIT])?;
                self.put(&destination.to_be_bytes())?;
                self.put(&source.to_be_bytes())
            }
            Addresses::None => None,
        }
    }

    /// RFC 9293 section 3.10.7.1: sequence number 0, acknowledging what came.
    fn reset(&mut self, facts: &Facts) -> Option<()> {
        let Tcp { sequence, flags, data_len, .. } = facts.tcp;
        let counted = u32::from(flags & tcp_flags::SYN != 0) + u32::from(flags & tcp_flags::FIN != 0);
        let acknowledgement = sequence.wrapping_add(data_len).wrapping_add(counted);
        let answer = Tcp { acknowledgement, flags: tcp_flags::RST | tcp_flags::ACK, ..Tcp::default() };
        self.tcp(&facts.addresses, (facts.destination_port, facts.source_port), &answer, &[])
    }

    /// A TCP header.
    fn tcp(&mut self, addresses: &Addresses, ports: (u16, u16), tcp: &Tcp, options: &[u8]) -> Option<()> {
        let len = tcp_len(options)?;
        let at = self.len();
        self.put(&ports.0.to_be_bytes())?;
        self.put(&ports.1.to_be_bytes())?;
        self.put(&tcp.sequence.to_be_bytes())?;
        self.put(&tcp.acknowledgement.to_be_bytes())?;
        self.put(&[u8::try_from(len / 4).ok()? << 4, tcp.flags])?;
        self.put(&tcp.window.to_be_bytes())?;
        self.put(&[0; 4])?;
        self.put(options)?;
        self.checksum(at, at + 16, pseudo_header(addresses, protocol::TCP, u32::from(len)))
    }

    fn prohibited(&mut self, addresses: &Addresses, packet: &[u8]) -> Option<()> {
        let is_v4 = addresses.is_v4();
        let quote_max = if is_v4 { ICMP_QUOTE_MAX } else { ICMPV6_QUOTE_MAX };
        let quote = &packet[..packet.len().min(quote_max)];
        let len = u16::try_from(8 + quote.len()).ok()?;
        let protocol = if is_v4 { protocol::ICMP } else { protocol::ICMPV6 };
        self.ip(addresses, protocol, len)?;
        let at = self.len();
        let (kind, code) = if is_v4 {
            (icmp::UNREACHABLE, ICMP_PROHIBITED)
        } else {
            (icmpv6::UNREACHABLE, ICMPV6_PROHIBITED)
        };
        self.put(&[kind, code, 0, 0, 0, 0, 0, 0])?;
        self.put(quote)?;
        let pseudo = if is_v4 { 0 } else { pseudo_header(addresses, protocol, u32::from(len)) };
        self.checksum(at, at + 2, pseudo)
    }

    /// Writes the checksum over everything from `from` on to `at`.
    fn checksum(&mut self, from: usize, at: usize, start: u64) -> Option<()> {
        let bytes = self.0.bytes_mut();
        let sum = !finish(start + sum(bytes.get(from..)?));
        bytes.get_mut(at..at + 2)?.copy_from_slice(&sum.to_be_bytes());
        Some(())
    }

    /// The checksum of the IPv4 header, if it is one.
    fn finish(self, network_at: usize) {
        if let Some(header) = self.0.bytes_mut().get_mut(network_at..network_at + 20)
            && header[0] >> 4 == 4
        {
            let sum = !finish(sum(header));
            header[10..12].copy_from_slice(&sum.to_be_bytes());
        }
    }
}

/// The length of a TCP header with these options.
fn tcp_len(options: &[u8]) -> Option<u16> {
    u16::try_from(20 + options.len()).ok()
}

/// RFC 9293 section 3.1 and RFC 8200 section 8.1; the order of the addresses does not matter to the sum.
fn pseudo_header(addresses: &Addresses, protocol: u8, len: u32) -> u64 {
    let ends = match *addresses {
        Addresses::V4 { source, destination } => sum(&source.to_be_bytes()) + sum(&destination.to_be_bytes()),
        Addresses::V6 { source, destination } => sum(&source.to_be_bytes()) + sum(&destination.to_be_bytes()),
        Addresses::None => 0,
    };
    ends + u64::from(protocol) + u64::from(len)
}

/// The sum of 16-bit words, the last one padded with zero (RFC 1071).
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<2>();
    let sum: u64 = words.iter().map(|word| u64::from(u16::from_be_bytes(*word))).sum();
    sum + rest.first().map_or(0, |last| u64::from(*last) << 8)
}

#[expect(clippy::cast_possible_truncation, reason = "the carries were added")]
fn finish(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers")]
mod tests;
