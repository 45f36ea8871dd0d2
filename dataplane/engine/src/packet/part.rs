//! Fragments of IPv4 datagrams, read at a glance: what a flood of them costs is mostly reading them.
//!
//! As [`super::plain`], it knows nothing that [`super::parse`] does not, and where it is not sure it says nothing: a property
//! test holds it to that.

use super::ethernet::ethertype;
use super::plain::be;
use super::{ipv4, protocol};
use crate::flow::PackedKey;

/// Reads a fragment of an untagged frame to one station, without a fault and without IP options: its first 34 bytes, and of a
/// first fragment, which has to be of UDP, eight more. `key` becomes that of its datagram, as [`crate::fragment`] has it: source
/// and destination in the places of the LAN's and the WAN's, the identification in that of the ports. `head` and `wire_len` as
/// for [`super::parse`].
pub(crate) fn read(key: &mut PackedKey, head: &[u8], wire_len: usize) -> Option<()> {
    let fixed: &[u8; ipv4::HEADER_MIN] = head.get(14..)?.first_chunk()?;
    let total_len = usize::from(be(fixed[2], fixed[3]));
    let flags = be(fixed[6], fixed[7]);
    let (more, offset) = (flags & 0x2000 != 0, usize::from(flags & 0x1fff) * 8);
    let is_fragment = head[0] & 1 == 0
        && be(head[12], head[13]) == ethertype::IPV4
        && fixed[0] == 0x45
        && (more || offset != 0);
    if !is_fragment || fixed[8] == 0 || 14 + total_len > wire_len.max(head.len()) || !ipv4::fixed_holds(fixed)
    {
        return None;
    }
    let len = total_len.checked_sub(ipv4::HEADER_MIN)?;
    let is_ragged = more && !len.is_multiple_of(8);
    if len == 0 || is_ragged || offset + total_len > usize::from(u16::MAX) {
        return None;
    }
    if offset == 0 {
        let udp: &[u8; 8] = head.get(34..)?.first_chunk()?;
        let has_ports = be(udp[0], udp[1]) != 0 && be(udp[2], udp[3]) != 0;
        if fixed[9] != protocol::UDP || len < 8 || !has_ports || be(udp[4], udp[5]) < 8 {
            return None;
        }
    } else if fixed[9] == protocol::TCP {
        return None;
    }
    let source = u32::from_be_bytes([fixed[12], fixed[13], fixed[14], fixed[15]]);
    let destination = u32::from_be_bytes([fixed[16], fixed[17], fixed[18], fixed[19]]);
    key.set_v4(source, destination);
    key.ports = u32::from(be(fixed[4], fixed[5]));
    key.tag = u32::from(fixed[9]) << 24;
    Some(())
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "small numbers")]
mod tests;
