//! Sets of rules and packets for them, by seed: after the filter sets that ClassBench was made from (Taylor and Turner,
//! INFOCOM 2005), and some that are meant to hurt.

#![allow(
    clippy::cast_possible_truncation,
    clippy::missing_panics_doc,
    reason = "numbers at random are cut on purpose; a set of rules has far fewer than 2^32"
)]

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::ops::RangeInclusive;
use std::collections::HashSet;

use sekisho_engine::policy::{
    Action, AddressSet, AddressSetId, Inspection, LogLevel, Protections, Protocols, Query, Rule, Ruleset,
    ServiceMatch, Timeouts, ZoneId,
};

/// SplitMix64 (Steele, Lea and Flood 2014).
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// A number in `range`.
    pub fn within(&mut self, range: RangeInclusive<u16>) -> u16 {
        range.start() + self.below(u64::from(range.end() - range.start()) + 1) as u16
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of `items`.
    pub fn choose<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }
}

/// What a set of rules is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// An access list: long prefixes, exact ports.
    Acl,
    /// A firewall: nested networks, many wildcards, ports exact, in ranges or any.
    Fw,
    /// A chain of a Linux host: address pairs, ports exact or any, other protocols too.
    Ipc,
    /// Many wildcards, and port ranges that overlap in every way.
    Hard,
}

/// Which addresses a set of rules speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Version {
    /// 4 or 6.
    pub const fn number(self) -> u32 {
        match self {
            Self::V4 => 4,
            Self::V6 => 6,
        }
    }
}

/// A prefix: IPv4 prefixes stand in the upper 32 bits.
type Prefix = (u128, u32);

/// A rule before it is made one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Draft {
    source: Prefix,
    destination: Prefix,
    protocol: Option<u8>,
    selector: (u16, u16),
}

const WELL_KNOWN: [u16; 30] = [
    22, 25, 53, 80, 110, 123, 143, 161, 389, 443, 445, 465, 514, 587, 993, 995, 1433, 1521, 1723, 3306, 3389,
    5060, 5432, 5900, 6379, 8080, 8443, 9092, 9200, 27017,
];
const RANGES: [(u16, u16); 8] = [
    (1024, 65535),
    (0, 1023),
    (49152, 65535),
    (6000, 6063),
    (135, 139),
    (5000, 5100),
    (8000, 8999),
    (33434, 33534),
];
const TCP: u8 = 6;
const UDP: u8 = 17;

/// `count` rules, the last of which matches everything, and a trace of `packets`: nine in ten are made inside of a random
/// rule, the others at random.
pub fn classbench(
    style: Style,
    version: Version,
    count: usize,
    packets: usize,
    seed: u64,
) -> (Ruleset, Vec<Query>) {
    let mut random = Random(seed);
    let drafts = drafts(style, version, count, &mut random);
    let trace = (0..packets).map(|_| packet(version, &drafts, &mut random)).collect();
    let mut sets = Vec::new();
    let mut known = std::collections::HashMap::new();
    let mut set = |prefix: Prefix| {
        (prefix.1 > 0).then(|| {
            *known.entry(prefix).or_insert_with(|| {
                sets.push(address_set(version, prefix));
                AddressSetId(sets.len() as u32 - 1)
            })
        })
    };
    let rules = drafts.iter().enumerate().map(|(number, draft)| Rule {
        source: set(draft.source),
        destination: set(draft.destination),
        services: (draft.protocol.is_some() || draft.selector != (0, 65535)).then(|| {
            vec![ServiceMatch {
                family: Protocols::Both,
                protocol: draft.protocol,
                selector: draft.selector.0..=draft.selector.1,
            }]
        }),
        ..rule(number)
    });
    let rules = rules.collect();
    (ruleset(sets, rules), trace)
}

fn drafts(style: Style, version: Version, count: usize, random: &mut Random) -> Vec<Draft> {
    let sites: Vec<u128> = (0..(count / 200).max(8))
        .map(|_| match version {
            Version::V4 => u128::from(random.bits() >> 48) << 112,
            Version::V6 => 0x2001_0db8 << 96 | u128::from(random.bits() >> 48) << 80,
        })
        .collect();
    let pool: Vec<Prefix> = (0..(count / 4).max(16))
        .map(|_| {
            let lengths = [(4, 16), (4, 20), (4, 22), (20, 24), (6, 26), (10, 28), (7, 30), (45, 32)];
            let mut pick = random.below(100);
            let found = lengths.iter().find(|(weight, _)| {
                let here = pick < *weight;
                pick = pick.saturating_sub(*weight);
                here
            });
            let length = found.map_or(32, |(_, length)| *length);
            let site = *random.choose(&sites);
            match version {
                Version::V4 => prefix(site | u128::from(random.bits() >> 48) << 96, length),
                // As long as in IPv4 below the site, in subnets of 64 bits; what is one address there is one here.
                Version::V6 => {
                    let bits = site | u128::from(random.bits() >> 48) << 64 | u128::from(random.bits() >> 48);
                    prefix(bits, if length == 32 { 128 } else { 48 + length - 16 })
                }
            }
        })
        .collect();
    let mut seen = HashSet::new();
    let mut drafts = Vec::new();
    while drafts.len() + 1 < count {
        let draft = draft(style, &pool, random);
        if seen.insert(draft.clone()) {
            drafts.push(draft);
        }
    }
    drafts.push(Draft { source: (0, 0), destination: (0, 0), protocol: None, selector: (0, 65535) });
    drafts
}

fn draft(style: Style, pool: &[Prefix], random: &mut Random) -> Draft {
    let (source_any, destination_any, port_any, port_range) = match style {
        Style::Fw => (25, 8, 15, 20),
        Style::Hard => (30, 30, 20, 80),
        Style::Acl => (5, 2, 10, 8),
        Style::Ipc => (12, 12, 35, 5),
    };
    let mut address = |any| if random.chance(any) { (0, 0) } else { *random.choose(pool) };
    let (source, destination) = (address(source_any), address(destination_any));
    let other = if style == Style::Ipc { 12 } else { 3 };
    let mut protocol = match random.below(100) {
        pick if pick < 93 - other => Some(if pick < 70 { TCP } else { UDP }),
        pick if pick < 93 => Some(*random.choose(&[1, 1, 47, 50, 51])),
        _ => None,
    };
    let pick = random.below(100);
    let mut selector = if pick < port_any {
        (0, 65535)
    } else if style == Style::Hard {
        let first = random.within(0..=65000);
        (first, random.within(first..=65535))
    } else if pick < port_any + port_range {
        let first = random.within(1024..=60000);
        let last = first + random.within(1..=200);
        if random.chance(80) { *random.choose(&RANGES) } else { (first, last) }
    } else {
        let port = if random.chance(80) { *random.choose(&WELL_KNOWN) } else { random.within(1..=65535) };
        (port, port)
    };
    if source.1 == 0 && destination.1 == 0 {
        // A service opened to everybody: never a match-all in the middle of the list.
        protocol = Some(*random.choose(&[TCP, UDP]));
        let port = if random.chance(3) { *random.choose(&WELL_KNOWN) } else { random.within(1..=1023) };
        selector = (port, port);
    }
    if !matches!(protocol, Some(TCP | UDP)) {
        selector = (0, 65535);
    }
    Draft { source, destination, protocol, selector }
}

fn packet(version: Version, drafts: &[Draft], random: &mut Random) -> Query {
    let some = |prefix: Prefix, random: &mut Random| {
        let noise = u128::from(random.bits()) << 64 | u128::from(random.bits());
        let bits = prefix.0 | noise & u128::MAX.checked_shr(prefix.1).unwrap_or(0);
        match version {
            Version::V4 => IpAddr::V4(Ipv4Addr::from_bits((bits >> 96) as u32)),
            Version::V6 => IpAddr::V6(Ipv6Addr::from_bits(bits)),
        }
    };
    let any = Draft { source: (0, 0), destination: (0, 0), protocol: None, selector: (0, 65535) };
    let draft = if random.chance(90) { random.choose(drafts) } else { &any };
    Query {
        from: None,
        to: None,
        source: some(draft.source, random),
        destination: some(draft.destination, random),
        protocol: draft.protocol.unwrap_or(*random.choose(&[TCP, UDP])),
        selector: random.within(draft.selector.0..=draft.selector.1),
    }
}

fn prefix(bits: u128, length: u32) -> Prefix {
    (bits & !u128::MAX.checked_shr(length).unwrap_or(0), length)
}

fn address_set(version: Version, (bits, length): Prefix) -> AddressSet {
    let last = bits | u128::MAX.checked_shr(length).unwrap_or(0);
    match version {
        Version::V4 => AddressSet::new(vec![(bits >> 96) as u32..=(last >> 96) as u32], vec![]),
        Version::V6 => AddressSet::new(vec![], vec![bits..=last]),
    }
}

/// What administrators write: `count` rules between a dozen zones, over groups of networks and hosts and lists of
/// services that many rules share. The packets are made as those of [`classbench`].
pub fn objects(count: usize, packets: usize, seed: u64) -> (Ruleset, Vec<Query>) {
    const ZONES: u64 = 12;
    let mut random = Random(seed);
    let network = |random: &mut Random| {
        let bits = u128::from(0x0a00_0000 | random.below(1 << 24)) << 96;
        prefix(bits, *random.choose(&[24, 24, 28, 32, 32, 32, 32]))
    };
    let groups: Vec<AddressSet> = (0..(count / 20).max(10))
        .map(|_| {
            let size = *random.choose(&[1, 1, 1, 2, 3, 5, 10, 30]);
            let ranges = (0..size).flat_map(|_| address_set(Version::V4, network(&mut random)).v4);
            AddressSet::new(ranges.collect(), vec![])
        })
        .collect();
    let lists: Vec<Vec<ServiceMatch>> = (0..(count / 50).max(10))
        .map(|_| {
            let size = *random.choose(&[1, 1, 2, 3, 6]);
            let service = |_| {
                let port =
                    if random.chance(80) { *random.choose(&WELL_KNOWN) } else { random.within(1..=9999) };
                let last = if random.chance(10) { port + random.within(1..=500) } else { port };
                let protocol = Some(*random.choose(&[TCP, TCP, UDP]));
                ServiceMatch { family: Protocols::Both, protocol, selector: port..=last }
            };
            (0..size).map(service).collect()
        })
        .collect();
    let zone = |random: &mut Random| ZoneId(random.below(ZONES) as u16);
    let rules: Vec<Rule> = (0..count)
        .map(|number| {
            let mut group = |percent| {
                random.chance(percent).then(|| AddressSetId(random.below(groups.len() as u64) as u32))
            };
            let (source, destination) = (group(80), group(90));
            Rule {
                from: random.chance(80).then(|| vec![zone(&mut random)]),
                to: random.chance(80).then(|| vec![zone(&mut random), zone(&mut random)]),
                source,
                destination,
                services: Some(random.choose(&lists).clone()),
                ..rule(number)
            }
        })
        .collect();
    let trace = (0..packets)
        .map(|_| {
            let rule = random.choose(&rules).clone();
            let mut address = |set: Option<AddressSetId>| {
                let range = set
                    .filter(|_| random.chance(95))
                    .map_or(0..=u32::MAX, |set| random.choose(&groups[set.0 as usize].v4).clone());
                let size = u64::from(range.end() - range.start()) + 1;
                IpAddr::V4(Ipv4Addr::from_bits(range.start() + random.below(size) as u32))
            };
            let (source, destination) = (address(rule.source), address(rule.destination));
            let service = random.choose(rule.services.as_deref().unwrap_or_default()).clone();
            let mut pick = |zones: Option<Vec<ZoneId>>| {
                Some(match zones {
                    Some(zones) => *random.choose(&zones),
                    None => zone(&mut random),
                })
            };
            Query {
                from: pick(rule.from),
                to: pick(rule.to),
                source,
                destination,
                protocol: service.protocol.unwrap_or(TCP),
                selector: random.within(service.selector),
            }
        })
        .collect();
    (ruleset(groups, rules), trace)
}

/// A feed: `count` prefixes of 24 to 32 bits, anywhere.
pub fn feed(count: usize, random: &mut Random) -> AddressSet {
    let ranges = (0..count).map(|_| {
        let bits = (random.bits() >> 32) as u32;
        let host = if random.chance(80) { 0 } else { (1_u32 << random.below(9)) - 1 };
        bits & !host..=bits | host
    });
    AddressSet::new(ranges.collect(), vec![])
}

/// Boxes that overlap as badly as they can, and of which none hides another: each is wider than all before it in
/// every field, and has one field in which it stands out.
pub fn nested(count: u32) -> Ruleset {
    let sets = (1..=count).map(|number| {
        let half = number * 1000;
        AddressSet::new(vec![0x8000_0000 - half..=0x8000_0000 + half], vec![])
    });
    let rules = (0..count).map(|number| {
        let half = (number % 32_000) as u16;
        Rule {
            source: Some(AddressSetId(number)),
            destination: Some(AddressSetId(count - 1 - number)),
            services: Some(vec![ServiceMatch {
                family: Protocols::Both,
                protocol: Some(TCP),
                selector: 32_768 - half..=32_768 + half,
            }]),
            ..rule(number as usize)
        }
    });
    ruleset(sets.collect(), rules.collect())
}

/// Ranges at random in all fields, each a good part of all there is.
pub fn tangled(count: u32, random: &mut Random) -> Ruleset {
    let mut range = || {
        let (a, b) = ((random.bits() >> 32) as u32, (random.bits() >> 32) as u32);
        a.min(b)..=a.max(b)
    };
    let sets: Vec<_> = (0..2 * count).map(|_| AddressSet::new(vec![range()], vec![])).collect();
    let rules = (0..count).map(|number| {
        let selector = range();
        Rule {
            source: Some(AddressSetId(2 * number)),
            destination: Some(AddressSetId(2 * number + 1)),
            services: Some(vec![ServiceMatch {
                family: Protocols::Both,
                protocol: Some(TCP),
                selector: (selector.start() >> 16) as u16..=(selector.end() >> 16) as u16,
            }]),
            ..rule(number as usize)
        }
    });
    let rules = rules.collect();
    ruleset(sets, rules)
}

/// Random packets of IPv4.
pub fn noise(count: usize, random: &mut Random) -> Vec<Query> {
    let any = [Draft { source: (0, 0), destination: (0, 0), protocol: Some(TCP), selector: (0, 65535) }];
    (0..count).map(|_| packet(Version::V4, &any, random)).collect()
}

/// A rule that matches everything.
pub fn rule(number: usize) -> Rule {
    Rule::of_all(&format!("rule-{number}"), Action::Allow)
}

/// A policy of these rules.
pub fn ruleset(address_sets: Vec<AddressSet>, rules: Vec<Rule>) -> Ruleset {
    Ruleset {
        default_action: Action::Drop,
        default_log: LogLevel::None,
        zones: Vec::new(),
        address_sets,
        rules,
        timeouts: vec![Timeouts::default()],
        inspection: Inspection::default(),
        protections: Protections::default(),
    }
}
