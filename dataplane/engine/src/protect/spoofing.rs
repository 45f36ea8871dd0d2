//! Source addresses that cannot be: LAND, bogons, and what the zones' networks say lives elsewhere.

use crate::flow::{FlowKey, PackedKey};
use crate::packet::{Addresses, Class, Facts, VlanStack, icmpv6};
use crate::policy::{Policy, SpoofingMode};
use crate::port::Port;
use crate::reason::Reason;

/// What is wrong with a source address, and how the policy takes it.
pub(crate) struct Finding {
    pub(crate) reason: Reason,
    pub(crate) mode: SpoofingMode,
}

/// Looks at the source address of an IP or ARP packet.
pub(crate) fn check(policy: &Policy, port: Port, facts: &Facts) -> Option<Finding> {
    if is_land(facts) {
        return Some(Finding { reason: Reason::Land, mode: SpoofingMode::Drop });
    }
    // A host that has no address yet asks from none: RFC 4862 section 5.4.2, RFC 5227 section 2.1.1.
    if is_unspecified(&facts.addresses) && asks_without_address(facts) {
        return None;
    }
    check_source(policy, port, facts.vlan, &facts.addresses)
}

/// Whether [`check`] finds nothing in any TCP segment or UDP datagram of the session with this key, whoever sends it.
pub(crate) fn is_clean(policy: &Policy, key: &FlowKey) -> bool {
    let key = PackedKey::of(key);
    Port::ALL.iter().all(|port| is_source_clean(policy, *port, &key))
}

/// The same of a segment or datagram that arrives on `port`.
pub(crate) fn is_source_clean(policy: &Policy, port: Port, key: &PackedKey) -> bool {
    is_clean_between(policy, port, VlanStack::from_bits(key.tag), &key.addresses(port))
}

/// The same of any packet but those that a host without an address may send.
#[inline]
pub(crate) fn is_clean_between(policy: &Policy, port: Port, vlan: VlanStack, addresses: &Addresses) -> bool {
    !is_to_itself(addresses) && check_source(policy, port, vlan, addresses).is_none()
}

/// Bogons, and the zones' networks.
fn check_source(policy: &Policy, port: Port, vlan: VlanStack, addresses: &Addresses) -> Option<Finding> {
    let protections = &policy.ruleset.protections;
    if protections.bogons != SpoofingMode::Off && is_bogon(addresses) {
        return Some(Finding { reason: Reason::Bogon, mode: protections.bogons });
    }
    if protections.spoofing == SpoofingMode::Off || !policy.zones.knows_networks() || is_link_local(addresses)
    {
        return None;
    }
    let source = addresses.source()?;
    policy
        .zones
        .is_spoofed(port, vlan.outer(), source)
        .then_some(Finding { reason: Reason::Spoofed, mode: protections.spoofing })
}

/// RFC 3704 and every stack since 1997: nobody speaks to himself over a wire. A gratuitous ARP does.
fn is_land(facts: &Facts) -> bool {
    facts.class == Class::Ip && is_to_itself(&facts.addresses)
}

fn is_to_itself(addresses: &Addresses) -> bool {
    match addresses {
        Addresses::None => false,
        Addresses::V4 { source, destination } => source == destination,
        Addresses::V6 { source, destination } => source == destination,
    }
}

fn is_unspecified(addresses: &Addresses) -> bool {
    matches!(addresses, Addresses::V4 { source: 0, .. } | Addresses::V6 { source: 0, .. })
}

fn asks_without_address(facts: &Facts) -> bool {
    match facts.class {
        Class::Arp => true,
        _ => {
            facts.is_icmp()
                && !facts.addresses.is_v4()
                && matches!(
                    facts.icmp_type(),
                    icmpv6::NEIGHBOUR_SOLICITATION
                        | icmpv6::ROUTER_SOLICITATION
                        | icmpv6::MLD_REPORT
                        | icmpv6::MLD2_REPORT
                )
        }
    }
}

/// IPv6 link-local addresses live on every link, whatever networks are behind it (RFC 4291 section 2.5.6).
fn is_link_local(addresses: &Addresses) -> bool {
    matches!(addresses, Addresses::V6 { source, .. } if source >> 118 == 0xfe80 >> 6)
}

/// RFC 6890: unspecified, loopback, multicast, class E with the broadcast; and the same of IPv6 with v4-mapped.
/// Private and documentation prefixes are for the zones' networks to judge.
fn is_bogon(addresses: &Addresses) -> bool {
    match *addresses {
        Addresses::None => false,
        Addresses::V4 { source, .. } => source == 0 || source >> 24 == 127 || source >> 28 >= 0xe,
        Addresses::V6 { source, .. } => source <= 1 || source >> 120 == 0xff || source >> 32 == 0xffff,
    }
}
