//! ICMP and ICMPv6 types by name.

use std::ops::RangeInclusive;

/// A name, and what it means in each family: inclusive ranges of `type * 256 + code`.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) name: &'static str,
    pub(crate) v4: &'static [RangeInclusive<u16>],
    pub(crate) v6: &'static [RangeInclusive<u16>],
}

/// All codes of a type.
const fn of(kind: u16) -> RangeInclusive<u16> {
    kind << 8..=kind << 8 | 0xff
}

/// One code of a type.
const fn code(kind: u16, code: u16) -> RangeInclusive<u16> {
    kind << 8 | code..=kind << 8 | code
}

/// Names by which rules speak of types; queries stand for the question, whose answer belongs to its session.
pub(crate) const NAMES: &[Named] = &[
    Named { name: "echo", v4: &[of(8)], v6: &[of(128)] },
    Named { name: "timestamp", v4: &[of(13)], v6: &[] },
    Named { name: "information", v4: &[of(15)], v6: &[] },
    Named { name: "address-mask", v4: &[of(17)], v6: &[] },
    Named { name: "unreachable", v4: &[of(3)], v6: &[of(1)] },
    Named { name: "packet-too-big", v4: &[code(3, 4)], v6: &[of(2)] },
    Named { name: "time-exceeded", v4: &[of(11)], v6: &[of(3)] },
    Named { name: "parameter-problem", v4: &[of(12)], v6: &[of(4)] },
    Named { name: "source-quench", v4: &[of(4)], v6: &[] },
    Named { name: "redirect", v4: &[of(5)], v6: &[of(137)] },
    Named { name: "router-solicitation", v4: &[of(10)], v6: &[of(133)] },
    Named { name: "router-advertisement", v4: &[of(9)], v6: &[of(134)] },
    Named { name: "mld", v4: &[], v6: &[130 << 8..=132 << 8 | 0xff, of(143)] },
    Named { name: "router-renumbering", v4: &[], v6: &[of(138)] },
    Named { name: "node-information", v4: &[], v6: &[of(139), of(140)] },
    Named { name: "inverse-neighbour", v4: &[], v6: &[of(141), of(142)] },
    Named { name: "home-agent-discovery", v4: &[], v6: &[of(144), of(145)] },
    Named { name: "mobile-prefix", v4: &[], v6: &[of(146), of(147)] },
    Named { name: "certification-path", v4: &[], v6: &[of(148), of(149)] },
    Named { name: "multicast-router", v4: &[], v6: &[151 << 8..=153 << 8 | 0xff] },
];

/// Names that one may try, and why they are not among [`NAMES`].
pub(crate) const NOT_BY_RULE: &[(&str, &str)] = &[
    ("neighbour-solicitation", "neighbour discovery passes by itself"),
    ("neighbour-advertisement", "neighbour discovery passes by itself"),
    ("neighbor-solicitation", "neighbour discovery passes by itself"),
    ("neighbor-advertisement", "neighbour discovery passes by itself"),
    ("echo-request", "the name of the query is \"echo\""),
    ("echo-reply", "the answer to an echo belongs to the session that the query opened; allow icmp/echo"),
    ("any", "every type is meant by \"icmp\" alone"),
];

/// The meaning of a name.
pub(crate) fn find(name: &str) -> Option<&'static Named> {
    NAMES.iter().find(|named| named.name == name)
}
