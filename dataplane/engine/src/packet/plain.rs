//! Plain packets, read at a glance: TCP and UDP right behind an IPv4 header without options or an IPv6 header, untagged
//! or with one tag, whole, to one station, of a right checksum. They are nearly all there is on a wire.
//!
//! [`glance`] knows nothing that [`super::parse`] and [`super::verify`] do not: what it says is what they say (a property
//! test holds it to that), and where it is not sure it says nothing.

use super::checksum::{DeviceChecksum, Sum, is_tunnel};
use super::ethernet::ethertype;
use super::{Addresses, Tcp, VlanStack, ipv4, protocol, tcp_flags, transport};
use crate::flow::FlowKey;
use crate::port::Port;

/// What is known of a plain packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plain {
    /// Its session's key.
    pub(crate) key: FlowKey,
    /// The segment, if it is one of TCP.
    pub(crate) tcp: Tcp,
    /// Length of the frame on the wire, without FCS.
    pub(crate) wire_len: u32,
}

impl Plain {
    /// Whether it neither opens nor closes anything: UDP, or a segment with nothing but data and an acknowledgement.
    pub(crate) const fn is_steady(&self) -> bool {
        use tcp_flags::{ACK, FIN, RST, SYN, URG};
        self.key.protocol == protocol::UDP || self.tcp.flags & (ACK | FIN | RST | SYN | URG) == ACK
    }
}

/// What a frame that arrived on `port` is, if it is a plain packet; `head` and `wire_len` as for [`super::parse`].
#[inline(always)]
pub(crate) fn glance(port: Port, head: &[u8], wire_len: usize, device: DeviceChecksum) -> Option<Plain> {
    let ethernet: &[u8; 14] = head.first_chunk()?;
    let is_to_group = ethernet[0] & 1 == 1;
    let (mut kind, mut at, mut vlan) = (be(ethernet[12], ethernet[13]), 14, VlanStack::UNTAGGED);
    if kind == ethertype::VLAN {
        let tag: &[u8; 4] = head.get(14..)?.first_chunk()?;
        (kind, at, vlan) = (be(tag[2], tag[3]), 18, VlanStack::new(be(tag[0], tag[1]), 0));
    }
    let packet = head.get(at..)?;
    let room = wire_len.max(head.len()) - at;
    let (addresses, protocol, header, len) = match kind {
        ethertype::IPV4 => v4(packet, room)?,
        ethertype::IPV6 => v6(packet, room)?,
        _ => return None,
    };
    if is_to_group {
        return None;
    }
    let transport = packet.get(header..)?;
    let transport = &transport[..transport.len().min(len)];
    let mut tcp = Tcp::default();
    let (ports, stated, covered) = match protocol {
        protocol::TCP => {
            let fixed: &[u8; 20] = transport.first_chunk()?;
            let header_len = (fixed[12] >> 4) * 4;
            if header_len < 20
                || transport.len() < usize::from(header_len)
                || !transport::flags_possible(fixed[13])
            {
                return None;
            }
            tcp = Tcp {
                sequence: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
                acknowledgement: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
                window: be(fixed[14], fixed[15]),
                flags: fixed[13],
                header_len,
                data_len: u32::try_from(len).ok()? - u32::from(header_len),
            };
            ([fixed[0], fixed[1], fixed[2], fixed[3]], Some(device == DeviceChecksum::Good), len)
        }
        protocol::UDP => {
            let fixed: &[u8; 8] = transport.first_chunk()?;
            let claimed = usize::from(be(fixed[4], fixed[5]));
            if claimed < 8 || claimed > len {
                return None;
            }
            let stated = match [fixed[6], fixed[7]] {
                [0, 0] => None,
                // Of a tunnel's packet the device may have looked at the inner one.
                _ => Some(device == DeviceChecksum::Good && !is_tunnel(be(fixed[2], fixed[3]))),
            };
            ([fixed[0], fixed[1], fixed[2], fixed[3]], stated, claimed)
        }
        _ => return None,
    };
    let is_right = match stated {
        Some(is_known) => is_known || holds(&addresses, protocol, transport.get(..covered)?),
        // RFC 768: none was made.
        None => addresses.is_v4(),
    };
    let (source, destination) = (be(ports[0], ports[1]), be(ports[2], ports[3]));
    if source == 0 || destination == 0 || !is_right {
        return None;
    }
    Some(Plain {
        key: FlowKey::oriented(port, addresses, source, destination, protocol, vlan)?,
        tcp,
        wire_len: u32::try_from(wire_len).ok()?,
    })
}

const fn be(high: u8, low: u8) -> u16 {
    u16::from_be_bytes([high, low])
}

/// Addresses, protocol, length of the header, bytes behind it.
type Network = (Addresses, u8, usize, usize);

#[inline(always)]
fn v4(packet: &[u8], room: usize) -> Option<Network> {
    let fixed: &[u8; ipv4::HEADER_MIN] = packet.first_chunk()?;
    let total_len = usize::from(be(fixed[2], fixed[3]));
    let is_fragment = be(fixed[6], fixed[7]) & 0x3fff != 0;
    let is_plain = fixed[0] == 0x45 && !is_fragment && fixed[8] != 0;
    if !is_plain || total_len > room || !ipv4::fixed_holds(fixed) {
        return None;
    }
    let source = u32::from_be_bytes([fixed[12], fixed[13], fixed[14], fixed[15]]);
    let destination = u32::from_be_bytes([fixed[16], fixed[17], fixed[18], fixed[19]]);
    let len = total_len.checked_sub(ipv4::HEADER_MIN)?;
    Some((Addresses::V4 { source, destination }, fixed[9], ipv4::HEADER_MIN, len))
}

#[inline(always)]
fn v6(packet: &[u8], room: usize) -> Option<Network> {
    const HEADER: usize = super::ipv6::HEADER;
    let fixed: &[u8; HEADER] = packet.first_chunk()?;
    let len = usize::from(be(fixed[4], fixed[5]));
    if fixed[0] >> 4 != 6 || fixed[7] == 0 || HEADER + len > room {
        return None;
    }
    let source = u128::from_be_bytes(*fixed[8..].first_chunk()?);
    let destination = u128::from_be_bytes(*fixed[24..].first_chunk()?);
    Some((Addresses::V6 { source, destination }, fixed[6], HEADER, len))
}

/// Whether the checksum of a whole TCP segment or UDP datagram holds.
#[inline(never)]
fn holds(addresses: &Addresses, protocol: u8, bytes: &[u8]) -> bool {
    let Ok(len) = u32::try_from(bytes.len()) else { return false };
    let mut sum = Sum::of_pseudo_header(addresses, protocol, len);
    sum.add(bytes);
    sum.folded() == 0xffff
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "small numbers")]
mod tests;
