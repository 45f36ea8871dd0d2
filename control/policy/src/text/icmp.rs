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
    Named { name: "redirect", v4: &[of(5)], v6: &[of(137)] },
    Named { name: "router-solicitation", v4: &[of(10)], v6: &[of(133)] },
    Named { name: "router-advertisement", v4: &[of(9)], v6: &[of(134)] },
    Named { name: "extended-echo", v4: &[of(42)], v6: &[of(160)] },
    Named { name: "inverse-neighbour-discovery", v4: &[], v6: &[141 << 8..=142 << 8 | 0xff] },
    Named { name: "certification-path", v4: &[], v6: &[148 << 8..=149 << 8 | 0xff] },
    Named { name: "multicast-router-discovery", v4: &[], v6: &[151 << 8..=153 << 8 | 0xff] },
    Named { name: "home-agent-discovery", v4: &[], v6: &[of(144)] },
    Named { name: "mobile-prefix", v4: &[], v6: &[of(146)] },
    Named { name: "mld", v4: &[], v6: &[130 << 8..=132 << 8 | 0xff, of(143)] },
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

/// Types that rules decide. The others are errors, which pass with the session that they speak of, answers, which pass
/// with their question, neighbour discovery, or unknown; a test holds this equal to the engine.
const DECIDED_BY_RULES_V4: &[u16] = &[5, 8, 9, 10, 13, 15, 17, 42];
/// The same of ICMPv6.
const DECIDED_BY_RULES_V6: &[u16] =
    &[128, 130, 131, 132, 133, 134, 137, 141, 142, 143, 144, 146, 148, 149, 151, 152, 153, 160];

/// Whether a rule decides any message of these types and codes.
pub(crate) fn is_decided_by_rules(is_v4: bool, selector: &RangeInclusive<u16>) -> bool {
    let decided = if is_v4 { DECIDED_BY_RULES_V4 } else { DECIDED_BY_RULES_V6 };
    decided.iter().any(|kind| *selector.start() <= (kind << 8 | 0xff) && kind << 8 <= *selector.end())
}

/// The meaning of a name.
pub(crate) fn find(name: &str) -> Option<&'static Named> {
    NAMES.iter().find(|named| named.name == name)
}
