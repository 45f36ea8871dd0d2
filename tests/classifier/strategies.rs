//! Small rulesets whose parts touch, nest and overlap, and packets aimed at their borders.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::ops::RangeInclusive;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use sekisho_engine::policy::{
    AddressSet, AddressSetId, Protocols, Query, Rule, Ruleset, ServiceMatch, ZoneId,
};

use crate::sets;

/// A ruleset, and packets for it.
pub(crate) fn case() -> impl Strategy<Value = (Ruleset, Vec<Query>)> {
    let sizes = prop_oneof![4 => 0..12_usize, 2 => 12..60_usize, 1 => 60..400_usize];
    let rulesets = (vec(address_set(), 1..12), sizes, zone_count())
        .prop_flat_map(|(sets, size, zones)| {
            let count = u32::try_from(sets.len()).unwrap_or(0);
            (Just(sets), vec(rule(count, zones), size), Just(zones))
        })
        .prop_map(|(sets, rules, zones)| (sets::ruleset(sets, rules), zones));
    rulesets.prop_flat_map(|(ruleset, zones)| {
        let packets = vec(aim(zones), 40).prop_map({
            let ruleset = ruleset.clone();
            move |aims| aims.iter().map(|aim| aim.at(&ruleset)).collect()
        });
        (Just(ruleset), packets)
    })
}

fn zone_count() -> impl Strategy<Value = u16> {
    prop_oneof![3 => 1..4_u16, 1 => 20..60_u16]
}

/// A few places, so that ranges of different sets meet.
fn v4() -> impl Strategy<Value = u32> {
    let base = select(vec![0, 0x0a00_0000, 0x0a00_ff00, 0xc000_0200, 0xffff_ff00_u32]);
    (base, 0..300_u32).prop_map(|(base, offset)| base.saturating_add(offset))
}

fn v6() -> impl Strategy<Value = u128> {
    let base = select(vec![0, 0x2001_0db8 << 96, (0x2001_0db8 << 96) + (1 << 64), u128::MAX - 299]);
    (base, prop_oneof![0..300_u128, (0..4_u128).prop_map(|subnet| subnet << 64)])
        .prop_map(|(base, offset)| base.saturating_add(offset))
}

fn range_from<T: Copy + Ord + core::fmt::Debug + 'static>(
    values: impl Strategy<Value = T> + Clone + 'static,
    prefix: fn(T, u32) -> RangeInclusive<T>,
) -> BoxedStrategy<RangeInclusive<T>> {
    prop_oneof![
        (values.clone(), values.clone()).prop_map(|(a, b)| a.min(b)..=a.max(b)),
        (values.clone(), select(vec![0, 1, 3, 8, 9, 16, 24, 32])).prop_map(move |(a, host)| prefix(a, host)),
        values.prop_map(|a| a..=a),
    ]
    .boxed()
}

fn address_set() -> impl Strategy<Value = AddressSet> {
    let v4_ranges = range_from(v4().boxed(), |address, host| {
        let mask = 1_u32.checked_shl(host).map_or(u32::MAX, |bit| bit - 1);
        address & !mask..=address | mask
    });
    let v6_ranges = range_from(v6().boxed(), |address, host| {
        let mask = (1_u128 << (host * 2)) - 1;
        address & !mask..=address | mask
    });
    let counts = || prop_oneof![1 => 0..1_usize, 6 => 1..4_usize, 1 => 4..40_usize];
    let v4 = counts().prop_flat_map(move |count| vec(v4_ranges.clone(), count));
    let v6 = counts().prop_flat_map(move |count| vec(v6_ranges.clone(), count));
    (v4, v6).prop_map(|(v4, v6)| AddressSet::new(v4, v6))
}

fn service() -> impl Strategy<Value = ServiceMatch> {
    let selector = prop_oneof![
        Just(0..=u16::MAX),
        select(vec![0, 22, 53, 80, 443, 2048, 0x8000, u16::MAX]).prop_map(|port| port..=port),
        (0..500_u16, 0..500_u16).prop_map(|(a, b)| a.min(b)..=a.max(b)),
    ];
    let family = prop_oneof![6 => Just(Protocols::Both), 1 => Just(Protocols::V4), 1 => Just(Protocols::V6)];
    (family, option::weighted(0.8, protocol()), selector)
        .prop_map(|(family, protocol, selector)| ServiceMatch { family, protocol, selector })
}

fn protocol() -> impl Strategy<Value = u8> {
    prop_oneof![8 => select(vec![6, 17, 1, 58]), 1 => any::<u8>()]
}

fn zones(count: u16) -> impl Strategy<Value = Option<Vec<ZoneId>>> {
    option::weighted(0.3, vec((0..count).prop_map(ZoneId), 0..5))
}

fn rule(sets: u32, zone_count: u16) -> impl Strategy<Value = Rule> {
    let set = || option::weighted(0.7, (0..sets).prop_map(AddressSetId));
    let services = option::weighted(0.8, vec(service(), 0..5));
    (zones(zone_count), zones(zone_count), set(), set(), services).prop_map(
        |(from, to, source, destination, services)| Rule {
            from,
            to,
            source,
            destination,
            services,
            ..sets::rule(0)
        },
    )
}

/// A packet aimed at a rule, if there is one: at each field's borders, just inside or just outside.
#[derive(Clone, Debug)]
pub(crate) struct Aim {
    rule: Index,
    is_v4: bool,
    source: Shot,
    destination: Shot,
    service: Shot,
    from: Option<u16>,
    to: Option<u16>,
    protocol: u8,
    selector: u16,
    /// Each field: whether it is aimed at all.
    aimed: [bool; 5],
}

/// Where in which range.
#[derive(Clone, Debug)]
struct Shot {
    range: Index,
    at: u8,
}

fn shot() -> impl Strategy<Value = Shot> {
    (any::<Index>(), 0..12_u8).prop_map(|(range, at)| Shot { range, at })
}

fn aim(zones: u16) -> impl Strategy<Value = Aim> {
    let zone = move || option::weighted(0.8, 0..zones + 2);
    let aimed = proptest::array::uniform5(proptest::bool::weighted(0.9));
    (
        (any::<Index>(), any::<bool>()),
        (shot(), shot(), shot()),
        (zone(), zone()),
        protocol(),
        any::<u16>(),
        aimed,
    )
        .prop_map(
            |((rule, is_v4), (source, destination, service), (from, to), protocol, selector, aimed)| Aim {
                rule,
                is_v4,
                source,
                destination,
                service,
                from,
                to,
                protocol,
                selector,
                aimed,
            },
        )
}

impl Shot {
    /// Mostly a value in one of `ranges`, its first or last; now and then the one before or after.
    fn at<T: Copy>(
        &self,
        ranges: &[RangeInclusive<T>],
        step: fn(T, i8) -> T,
        middle: fn(T, T) -> T,
    ) -> Option<T> {
        if ranges.is_empty() {
            return None;
        }
        let (first, last) = self.range.get(ranges).clone().into_inner();
        Some(match self.at {
            0..4 => first,
            4..8 => last,
            8 | 9 => middle(first, last),
            10 => step(first, -1),
            _ => step(last, 1),
        })
    }
}

impl Aim {
    fn at(&self, ruleset: &Ruleset) -> Query {
        let rule = (!ruleset.rules.is_empty()).then(|| self.rule.get(&ruleset.rules));
        let zone = |named: Option<&Vec<ZoneId>>, other: Option<u16>, aimed: bool| {
            let named = named.filter(|zones| aimed && !zones.is_empty());
            named.map(|zones| *self.rule.get(zones)).or(other.map(ZoneId))
        };
        let address = |set: Option<AddressSetId>, shot: &Shot, aimed: bool| {
            let set = set.filter(|_| aimed).map(|set| &ruleset.address_sets[set.0 as usize]);
            if self.is_v4 {
                let found = set.and_then(|set| {
                    shot.at(&set.v4, |a, by| a.saturating_add_signed(by.into()), |a, b| a + (b - a) / 2)
                });
                IpAddr::V4(Ipv4Addr::from_bits(found.unwrap_or(0x0a00_0010 + u32::from(shot.at))))
            } else {
                let found = set.and_then(|set| {
                    shot.at(&set.v6, |a, by| a.saturating_add_signed(by.into()), |a, b| a + (b - a) / 2)
                });
                IpAddr::V6(Ipv6Addr::from_bits(found.unwrap_or((0x2001_0db8 << 96) + u128::from(shot.at))))
            }
        };
        let service = rule
            .and_then(|rule| rule.services.as_ref())
            .filter(|services| self.aimed[4] && !services.is_empty())
            .map(|services| self.service.range.get(services));
        let selector = service.and_then(|service| {
            self.service.at(
                core::slice::from_ref(&service.selector),
                |a, by| a.saturating_add_signed(by.into()),
                |a, b| a + (b - a) / 2,
            )
        });
        Query {
            from: zone(rule.and_then(|rule| rule.from.as_ref()), self.from, self.aimed[0]),
            to: zone(rule.and_then(|rule| rule.to.as_ref()), self.to, self.aimed[1]),
            source: address(rule.and_then(|rule| rule.source), &self.source, self.aimed[2]),
            destination: address(rule.and_then(|rule| rule.destination), &self.destination, self.aimed[3]),
            protocol: service.and_then(|service| service.protocol).unwrap_or(self.protocol),
            selector: selector.unwrap_or(self.selector),
        }
    }
}
