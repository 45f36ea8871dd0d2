//! Plain packets, read at a glance: TCP and UDP right behind an IPv4 header without options or an IPv6 header, untagged
//! or with one tag, whole, to one station, of a right checksum. They are nearly all there is on a wire.
//!
//! [`Plain::read`] knows nothing that [`super::parse`] and [`super::verify`] do not: what it says is what they say (a
//! property test holds it to that), and where it is not sure it says nothing.

use super::checksum::{DeviceChecksum, Sum, is_tunnel};
use super::ethernet::ethertype;
use super::{Addresses, Class, Facts, Tcp, VlanStack, be16, ipv4, ipv6, protocol, tcp_flags, transport};
use crate::flow::PackedKey;
use crate::port::Port;

/// What is known of a plain packet. Made once for each place of a burst, and written over: nothing of it is passed by way
/// of the stack, where it would be read wider than it was written, which stalls the core.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Plain {
    /// Its session's key.
    pub(crate) key: PackedKey,
    /// Length of the frame on the wire, without FCS.
    pub(crate) wire_len: u32,
    /// It neither opens nor closes anything: UDP, or a segment with nothing but data and an acknowledgement.
    pub(crate) is_steady: bool,
    /// Bytes behind the IP header, padding of the frame excluded.
    transport_len: u32,
    /// The segment, if it is one of TCP; otherwise anything.
    pub(crate) tcp: Tcp,
}

impl Plain {
    /// Reads a frame that arrived on `port`; whether it is a plain packet. If not, nothing of this means anything. `head`
    /// and `wire_len` as for [`super::parse`].
    #[inline(always)]
    pub(crate) fn read(&mut self, port: Port, head: &[u8], wire_len: usize, device: DeviceChecksum) -> bool {
        self.read_ethernet(port, head, wire_len, device).is_some()
    }

    /// All facts of the frame, of which `head` is the same as before: what [`super::parse`] would find.
    #[inline]
    pub(crate) fn facts(&self, port: Port, head: &[u8]) -> Facts {
        let vlan = VlanStack::from_bits(self.key.tag);
        let network_at: u16 = if be16(head, 12) == Some(ethertype::VLAN) { 18 } else { 14 };
        let key = &self.key;
        let (ethertype, header, hop_limit_at) =
            if key.is_v6 { (ethertype::IPV6, 40, 7) } else { (ethertype::IPV4, 20, 8) };
        let (source_port, destination_port) = oriented(port, high(key.ports), low(key.ports));
        let protocol = key.protocol();
        Facts {
            fault: None,
            class: Class::Ip,
            vlan,
            ethertype,
            to_group: false,
            addresses: key.addresses(port),
            protocol,
            hop_limit: head.get(usize::from(network_at) + hop_limit_at).copied().unwrap_or(0),
            fragment: None,
            source_port,
            destination_port,
            tcp: if protocol == protocol::TCP { self.tcp } else { Tcp::default() },
            network_at,
            final_at: 0,
            home_at: 0,
            transport_at: network_at + header,
            transport_len: self.transport_len,
            wire_len: self.wire_len,
        }
    }

    #[inline(always)]
    fn read_ethernet(
        &mut self,
        port: Port,
        head: &[u8],
        wire_len: usize,
        device: DeviceChecksum,
    ) -> Option<()> {
        let ethernet: &[u8; 14] = head.first_chunk()?;
        // Its own length is known to be sound: a frame that claims less than there is of it is not.
        self.wire_len = u32::try_from(wire_len).ok()?;
        let room = wire_len.max(head.len());
        match be(ethernet[12], ethernet[13]) {
            _ if ethernet[0] & 1 == 1 => None,
            ethertype::IPV4 => {
                self.key.tag = 0;
                self.read_v4(port, &head[14..], room - 14, device)
            }
            ethertype::IPV6 => {
                self.key.tag = 0;
                self.read_v6(port, &head[14..], room - 14, device)
            }
            ethertype::VLAN => self.read_tagged(port, head, room, device),
            _ => None,
        }
    }

    #[inline(never)]
    fn read_tagged(&mut self, port: Port, head: &[u8], room: usize, device: DeviceChecksum) -> Option<()> {
        let tag: &[u8; 4] = head.get(14..)?.first_chunk()?;
        self.key.tag = VlanStack::new(be(tag[0], tag[1]), 0).bits();
        match be(tag[2], tag[3]) {
            ethertype::IPV4 => self.read_v4(port, &head[18..], room - 18, device),
            ethertype::IPV6 => self.read_v6(port, &head[18..], room - 18, device),
            _ => None,
        }
    }

    #[inline(always)]
    fn read_v4(&mut self, port: Port, packet: &[u8], room: usize, device: DeviceChecksum) -> Option<()> {
        let fixed: &[u8; ipv4::HEADER_MIN] = packet.first_chunk()?;
        let total_len = usize::from(be(fixed[2], fixed[3]));
        let is_fragment = be(fixed[6], fixed[7]) & 0x3fff != 0;
        let is_plain = fixed[0] == 0x45 && !is_fragment && fixed[8] != 0 && ipv4::fixed_holds(fixed);
        if !is_plain || total_len > room {
            return None;
        }
        let source = u32::from_be_bytes([fixed[12], fixed[13], fixed[14], fixed[15]]);
        let destination = u32::from_be_bytes([fixed[16], fixed[17], fixed[18], fixed[19]]);
        let len = total_len.checked_sub(ipv4::HEADER_MIN)?;
        let (lan, wan) = oriented(port, source, destination);
        self.key.set_v4(lan, wan);
        let addresses = Addresses::V4 { source, destination };
        self.read_transport(port, addresses, fixed[9], &packet[ipv4::HEADER_MIN..], len, device)
    }

    #[inline(never)]
    fn read_v6(&mut self, port: Port, packet: &[u8], room: usize, device: DeviceChecksum) -> Option<()> {
        let fixed: &[u8; ipv6::HEADER] = packet.first_chunk()?;
        let len = usize::from(be(fixed[4], fixed[5]));
        if fixed[0] >> 4 != 6 || fixed[7] == 0 || ipv6::HEADER + len > room {
            return None;
        }
        let source = u128::from_be_bytes(*fixed[8..].first_chunk()?);
        let destination = u128::from_be_bytes(*fixed[24..].first_chunk()?);
        let (lan, wan) = oriented(port, source, destination);
        self.key.set_v6(lan, wan);
        let addresses = Addresses::V6 { source, destination };
        self.read_transport(port, addresses, fixed[6], &packet[ipv6::HEADER..], len, device)
    }

    /// The header behind IP, of which the packet has `len` bytes from `transport` on.
    #[inline(always)]
    fn read_transport(
        &mut self,
        port: Port,
        addresses: Addresses,
        protocol: u8,
        transport: &[u8],
        len: usize,
        device: DeviceChecksum,
    ) -> Option<()> {
        // The padding of a short frame is not part of the packet.
        let transport = &transport[..transport.len().min(len)];
        self.transport_len = u32::try_from(len).ok()?;
        self.key.tag |= u32::from(protocol) << 24;
        match protocol {
            protocol::UDP => {
                let fixed: &[u8; 8] = transport.first_chunk()?;
                let claimed = usize::from(be(fixed[4], fixed[5]));
                if claimed < 8 || claimed > len {
                    return None;
                }
                let is_right = match [fixed[6], fixed[7]] {
                    // RFC 768: none was made.
                    [0, 0] => addresses.is_v4(),
                    // Of a tunnel's packet the device may have looked at the inner one.
                    _ if device == DeviceChecksum::Good && !is_tunnel(be(fixed[2], fixed[3])) => true,
                    _ => holds(&addresses, protocol, transport.get(..claimed)?),
                };
                self.is_steady = true;
                self.read_ports(port, fixed[..4].first_chunk()?, is_right)
            }
            protocol::TCP => {
                let fixed: &[u8; 20] = transport.first_chunk()?;
                let header_len = (fixed[12] >> 4) * 4;
                let is_sound = header_len >= 20
                    && transport.len() >= usize::from(header_len)
                    && transport::flags_possible(fixed[13]);
                if !is_sound {
                    return None;
                }
                self.tcp = Tcp {
                    sequence: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
                    acknowledgement: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
                    window: be(fixed[14], fixed[15]),
                    flags: fixed[13],
                    header_len,
                    data_len: self.transport_len - u32::from(header_len),
                };
                let is_right =
                    device == DeviceChecksum::Good || holds(&addresses, protocol, transport.get(..len)?);
                use tcp_flags::{ACK, FIN, RST, SYN, URG};
                self.is_steady = fixed[13] & (ACK | FIN | RST | SYN | URG) == ACK;
                self.read_ports(port, fixed[..4].first_chunk()?, is_right)
            }
            _ => None,
        }
    }

    #[inline(always)]
    fn read_ports(&mut self, port: Port, bytes: &[u8; 4], is_right: bool) -> Option<()> {
        let ports = u32::from_be_bytes(*bytes);
        self.key.ports = match port {
            Port::Lan => ports,
            Port::Wan => ports.rotate_left(16),
        };
        (is_right && ports >> 16 != 0 && ports & 0xffff != 0).then_some(())
    }
}

pub(super) const fn be(high: u8, low: u8) -> u16 {
    u16::from_be_bytes([high, low])
}

const fn high(ports: u32) -> u16 {
    (ports >> 16) as u16
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
const fn low(ports: u32) -> u16 {
    ports as u16
}

/// From source and destination to LAN and WAN side, or back.
#[inline(always)]
fn oriented<A>(port: Port, source: A, destination: A) -> (A, A) {
    match port {
        Port::Lan => (source, destination),
        Port::Wan => (destination, source),
    }
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
