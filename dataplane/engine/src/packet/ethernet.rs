//! Ethernet II, IEEE 802.1Q and 802.1ad tags, LLC, ARP.

use super::{Addresses, Class, Facts, be16, be32, ipv4, ipv6};
use crate::reason::Reason;

/// EtherTypes that the engine knows by name (IEEE registry).
pub mod ethertype {
    #![allow(missing_docs, reason = "the names are those of the registry")]
    pub const IPV4: u16 = 0x0800;
    pub const ARP: u16 = 0x0806;
    pub const VLAN: u16 = 0x8100;
    pub const IPV6: u16 = 0x86dd;
    pub const PAUSE: u16 = 0x8808;
    pub const SLOW: u16 = 0x8809;
    pub const DOT1X: u16 = 0x888e;
    pub const QINQ: u16 = 0x88a8;
    pub const LLDP: u16 = 0x88cc;
    /// Two tags before IEEE 802.1ad, still met.
    pub const QINQ_OLD: u16 = 0x9100;
    /// Below this it is a length (IEEE 802.3 clause 3.2.6).
    pub const FIRST: u16 = 0x0600;
}

/// More tags than this are dropped: the session key holds two.
const TAGS_MAX: usize = 2;
const LINK_LOCAL: [u8; 5] = [0x01, 0x80, 0xc2, 0x00, 0x00];

pub(super) fn parse(head: &[u8], wire_len: usize, facts: &mut Facts) -> Result<(), Reason> {
    let destination: &[u8; 6] = head.first_chunk().ok_or(Reason::FrameTruncated)?;
    facts.to_group = destination[0] & 1 == 1;
    let mut at = 12;
    let mut kind = be16(head, at).ok_or(Reason::FrameTruncated)?;
    let mut tags = 0;
    while matches!(kind, ethertype::VLAN | ethertype::QINQ | ethertype::QINQ_OLD) {
        tags += 1;
        if tags > TAGS_MAX {
            return Err(Reason::VlanStackTooDeep);
        }
        let tag = be16(head, at + 2).ok_or(Reason::FrameTruncated)?;
        facts.vlan = facts.vlan.push(tag & 0xfff);
        at += 4;
        kind = be16(head, at).ok_or(Reason::FrameTruncated)?;
    }
    at += 2;
    facts.ethertype = kind;
    if destination[..5] == LINK_LOCAL && destination[5] <= 0x0f {
        facts.class = Class::LinkLocal(destination[5]);
        return Ok(());
    }
    match kind {
        ethertype::IPV4 => {
            facts.class = Class::Ip;
            ipv4::parse(head, wire_len, at, facts)
        }
        ethertype::IPV6 => {
            facts.class = Class::Ip;
            ipv6::parse(head, wire_len, at, facts)
        }
        ethertype::ARP => {
            facts.class = Class::Arp;
            arp(head, at, facts)
        }
        length if length < ethertype::FIRST => {
            facts.class = Class::Llc;
            let room = wire_len.saturating_sub(at);
            if usize::from(length) > room { Err(Reason::FrameTruncated) } else { Ok(()) }
        }
        _ => Ok(()),
    }
}

/// RFC 826, for IPv4 over Ethernet, which is all there is.
fn arp(head: &[u8], at: usize, facts: &mut Facts) -> Result<(), Reason> {
    let packet = head.get(at..at + 28).ok_or(Reason::ArpMalformed)?;
    let is_ethernet_ipv4 = packet[..6] == [0, 1, 8, 0, 6, 4];
    let operation = be16(packet, 6).unwrap_or(0);
    if !is_ethernet_ipv4 || !(1..=4).contains(&operation) {
        return Err(Reason::ArpMalformed);
    }
    let (source, destination) = (be32(packet, 14), be32(packet, 24));
    if let (Some(source), Some(destination)) = (source, destination) {
        facts.addresses = Addresses::V4 { source, destination };
    }
    Ok(())
}
