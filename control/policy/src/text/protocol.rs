//! IP protocols by name.

/// TCP.
pub(crate) const TCP: u8 = 6;
/// UDP.
pub(crate) const UDP: u8 = 17;
/// SCTP.
pub(crate) const SCTP: u8 = 132;
/// ICMP, of IPv4.
pub(crate) const ICMP: u8 = 1;
/// ICMPv6.
pub(crate) const ICMPV6: u8 = 58;

/// Protocols whose services are destination ports.
pub(crate) const WITH_PORTS: &[(&str, u8)] = &[("tcp", TCP), ("udp", UDP), ("sctp", SCTP)];

/// Protocols that have neither ports nor types.
pub(crate) const PLAIN: &[(&str, u8)] = &[
    ("igmp", 2),
    ("ipip", 4),
    ("egp", 8),
    ("dccp", 33),
    ("6in4", 41),
    ("rsvp", 46),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("eigrp", 88),
    ("ospf", 89),
    ("etherip", 97),
    ("pim", 103),
    ("ipcomp", 108),
    ("vrrp", 112),
    ("l2tp", 115),
    ("isis", 124),
    ("udplite", 136),
    ("mpls-in-ip", 137),
];

/// Words of the service language that no service may be named like.
pub(crate) fn is_reserved(name: &str) -> bool {
    matches!(name, "any" | "icmp" | "icmpv4" | "icmpv6" | "ip")
        || WITH_PORTS.iter().chain(PLAIN).any(|(known, _)| *known == name)
}

/// The number of a protocol without ports or types.
pub(crate) fn plain(name: &str) -> Option<u8> {
    PLAIN.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}

/// The number of a protocol with ports.
pub(crate) fn with_ports(name: &str) -> Option<u8> {
    WITH_PORTS.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}

/// How a protocol is called.
pub(crate) fn name(number: u8) -> String {
    match number {
        ICMP => "icmp".to_owned(),
        ICMPV6 => "icmpv6".to_owned(),
        _ => match WITH_PORTS.iter().chain(PLAIN).find(|(_, known)| *known == number) {
            Some((name, _)) => (*name).to_owned(),
            None => format!("ip/{number}"),
        },
    }
}
