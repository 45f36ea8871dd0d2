//! The space of packets that rules speak of, and sets in it: boxes of one set a dimension, and what is left of a box
//! when others are taken away.

use std::ops::RangeInclusive;
use std::rc::Rc;

use sekisho_engine::policy::{AddressSet, Protocols, Rule, Ruleset, ServiceMatch};

use crate::ranges::{covers, meet};

/// Source zone, destination zone, source address, destination address, service.
pub(super) const DIMENSIONS: usize = 5;

/// A set of values of one dimension: sorted, disjoint, non-adjacent ranges.
pub(super) type Ranges = Rc<[RangeInclusive<u128>]>;

/// A packet: zones as index + 1 (0: in no zone), addresses as numbers, service as `protocol << 16 | selector`.
pub(super) type Point = [u128; DIMENSIONS];

/// All packets of one family with each coordinate in its set.
#[derive(Clone, Debug)]
pub(super) struct Cube {
    pub(super) is_v4: bool,
    pub(super) sides: [Ranges; DIMENSIONS],
}

impl Cube {
    /// Whether two boxes share a packet.
    pub(super) fn meets(&self, other: &Self) -> bool {
        self.is_v4 == other.is_v4 && self.sides.iter().zip(&other.sides).all(|(a, b)| meet(a, b))
    }

    /// Whether every packet of `inner` is in this box.
    pub(super) fn covers(&self, inner: &Self) -> bool {
        self.is_v4 == inner.is_v4
            && self.sides.iter().zip(&inner.sides).all(|(a, b)| Rc::ptr_eq(a, b) || covers(a, b))
    }

    /// Whether a packet of this box's family is in it.
    pub(super) fn holds(&self, point: &Point) -> bool {
        self.sides.iter().zip(point).all(|(side, value)| {
            let at = side.partition_point(|range| range.end() < value);
            side.get(at).is_some_and(|range| range.contains(value))
        })
    }

    /// Adds what is left of this box without `other` to `left`: one box for each dimension in which some is left.
    /// Counts the ranges it touches in `work`.
    fn without(&self, other: &Self, left: &mut Vec<Self>, work: &mut usize) {
        let mut rest = self.clone();
        for dimension in 0..DIMENSIONS {
            let (mine, theirs) = (&rest.sides[dimension], &other.sides[dimension]);
            *work += mine.len() + theirs.len();
            let (inside, outside) = split(mine, theirs);
            if !outside.is_empty() {
                let mut piece = rest.clone();
                piece.sides[dimension] = outside.into();
                left.push(piece);
            }
            rest.sides[dimension] = inside.into();
        }
    }
}

/// What is left of some boxes, as far as it can be said in bounded time.
#[derive(Debug)]
pub(super) struct Remainder {
    pub(super) pieces: Vec<Cube>,
    work: usize,
}

/// Beyond these the answer is "something may be left".
const PIECES_MAX: usize = 512;
const WORK_MAX: usize = 1_000_000;

impl Remainder {
    pub(super) fn new(cubes: &[Cube]) -> Self {
        Self { pieces: cubes.to_vec(), work: 0 }
    }

    /// Takes `cubes` away. `None` if that would take too long.
    pub(super) fn take_away(&mut self, cubes: &[Cube]) -> Option<()> {
        for cube in cubes {
            let mut left = Vec::with_capacity(self.pieces.len());
            for piece in self.pieces.drain(..) {
                if piece.meets(cube) {
                    piece.without(cube, &mut left, &mut self.work);
                } else {
                    left.push(piece);
                }
            }
            self.pieces = left;
            self.work += self.pieces.len();
            if self.pieces.len() > PIECES_MAX || self.work > WORK_MAX {
                return None;
            }
        }
        Some(())
    }
}

/// The parts of `mine` inside and outside `theirs`.
fn split(
    mine: &[RangeInclusive<u128>],
    theirs: &[RangeInclusive<u128>],
) -> (Vec<RangeInclusive<u128>>, Vec<RangeInclusive<u128>>) {
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    for range in mine {
        let (mut from, end) = (*range.start(), *range.end());
        let mut at = theirs.partition_point(|other| *other.end() < from);
        loop {
            match theirs.get(at) {
                Some(other) if *other.start() <= end => {
                    if *other.start() > from {
                        outside.push(from..=other.start() - 1);
                    }
                    inside.push(from.max(*other.start())..=end.min(*other.end()));
                    if *other.end() >= end {
                        break;
                    }
                    from = other.end() + 1;
                    at += 1;
                }
                _ => {
                    outside.push(from..=end);
                    break;
                }
            }
        }
    }
    (inside, outside)
}

/// Turns rules into boxes; sets that many rules share are converted once.
#[derive(Debug)]
pub(super) struct Space<'a> {
    ruleset: &'a Ruleset,
    v4: Vec<Option<Ranges>>,
    v6: Vec<Option<Ranges>>,
    zones: Ranges,
    all_v4: Ranges,
    all_v6: Ranges,
    services: Ranges,
}

impl<'a> Space<'a> {
    pub(super) fn new(ruleset: &'a Ruleset) -> Self {
        let whole = |last: u128| -> Ranges { Rc::new([0..=last]) };
        Self {
            ruleset,
            v4: vec![None; ruleset.address_sets.len()],
            v6: vec![None; ruleset.address_sets.len()],
            zones: whole(ruleset.zones.len() as u128),
            all_v4: whole(u128::from(u32::MAX)),
            all_v6: whole(u128::MAX),
            services: whole(0xff_ffff),
        }
    }

    /// What a rule matches: a box for each family of which it matches anything.
    pub(super) fn cubes(&mut self, rule: &Rule) -> Vec<Cube> {
        let zones = |zones: &Option<Vec<_>>, all: &Ranges| match zones {
            Some(zones) => {
                let zone = |zone: &sekisho_engine::policy::ZoneId| u128::from(zone.0) + 1;
                joined(zones.iter().map(|id| zone(id)..=zone(id)).collect())
            }
            None => all.clone(),
        };
        let (from, to) = (zones(&rule.from, &self.zones), zones(&rule.to, &self.zones));
        [true, false]
            .into_iter()
            .map(|is_v4| Cube {
                is_v4,
                sides: [
                    from.clone(),
                    to.clone(),
                    self.addresses(rule.source, is_v4),
                    self.addresses(rule.destination, is_v4),
                    self.services(rule.services.as_deref(), is_v4),
                ],
            })
            .filter(|cube| cube.sides.iter().all(|side| !side.is_empty()))
            .collect()
    }

    fn addresses(&mut self, set: Option<sekisho_engine::policy::AddressSetId>, is_v4: bool) -> Ranges {
        let Some(id) = set.map(|id| id.0 as usize) else {
            return if is_v4 { self.all_v4.clone() } else { self.all_v6.clone() };
        };
        let set: &AddressSet = &self.ruleset.address_sets[id];
        let known = if is_v4 { &mut self.v4[id] } else { &mut self.v6[id] };
        known
            .get_or_insert_with(|| {
                if is_v4 {
                    set.v4.iter().map(|range| u128::from(*range.start())..=u128::from(*range.end())).collect()
                } else {
                    set.v6.iter().cloned().collect()
                }
            })
            .clone()
    }

    fn services(&self, services: Option<&[ServiceMatch]>, is_v4: bool) -> Ranges {
        let Some(services) = services else {
            return self.services.clone();
        };
        let of_family = |one: &&ServiceMatch| match one.family {
            Protocols::Both => true,
            Protocols::V4 => is_v4,
            Protocols::V6 => !is_v4,
        };
        let mut ranges = Vec::with_capacity(services.len());
        for one in services.iter().filter(of_family) {
            let protocols = one.protocol.map_or(0..=u8::MAX, |protocol| protocol..=protocol);
            let (first, last) = (u128::from(*one.selector.start()), u128::from(*one.selector.end()));
            ranges.extend(
                protocols.map(|protocol| u128::from(protocol) << 16).map(|base| base | first..=base | last),
            );
        }
        joined(ranges)
    }
}

/// Sorted, and joined where they touch.
fn joined(ranges: Vec<RangeInclusive<u128>>) -> Ranges {
    AddressSet::new(Vec::new(), ranges).v6.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn side(values: &[u8]) -> Ranges {
        joined(values.iter().map(|v| u128::from(*v % 4)..=u128::from(*v % 4)).collect())
    }

    fn cube() -> impl Strategy<Value = Cube> {
        prop::collection::vec(prop::collection::vec(0u8..4, 1..3), DIMENSIONS).prop_map(|sides| Cube {
            is_v4: true,
            sides: [side(&sides[0]), side(&sides[1]), side(&sides[2]), side(&sides[3]), side(&sides[4])],
        })
    }

    fn points() -> impl Iterator<Item = Point> {
        (0..1024u128).map(|n| [n & 3, n >> 2 & 3, n >> 4 & 3, n >> 6 & 3, n >> 8 & 3])
    }

    proptest! {
        #[test]
        fn what_is_left_is_exactly_what_was_not_taken(whole in cube(), taken in prop::collection::vec(cube(), 0..4)) {
            let mut remainder = Remainder::new(std::slice::from_ref(&whole));
            remainder.take_away(&taken).unwrap();
            for point in points() {
                let left = whole.holds(&point) && !taken.iter().any(|cube| cube.holds(&point));
                let pieces = remainder.pieces.iter().filter(|piece| piece.holds(&point)).count();
                prop_assert_eq!(pieces, usize::from(left));
            }
        }

        #[test]
        fn meeting_and_covering_are_those_of_sets(a in cube(), b in cube()) {
            prop_assert_eq!(a.meets(&b), points().any(|p| a.holds(&p) && b.holds(&p)));
            prop_assert_eq!(a.covers(&b), points().all(|p| a.holds(&p) || !b.holds(&p)));
        }
    }
}
