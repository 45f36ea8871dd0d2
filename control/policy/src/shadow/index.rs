//! Which rules can share a packet with a given one at all: most rules speak of a few addresses or one port, so only
//! those that speak of the same neighbourhood, or of a wide one, need a closer look.

use std::collections::HashMap;

use super::space::Cube;

/// Rules by neighbourhood, along three axes; for each rule the axis that leaves the fewest is taken.
#[derive(Debug)]
pub(super) struct Index {
    axes: [Axis; 3],
    count: usize,
}

/// Rules by where they lie along one axis.
#[derive(Debug, Default)]
struct Axis {
    /// The neighbourhood of each rule; `None`: it lies in several.
    keys: Vec<Option<u64>>,
    /// Rules that lie in several, in order.
    wide: Vec<usize>,
    /// Rules of each neighbourhood, in order.
    near: HashMap<u64, Vec<usize>>,
}

/// Source address, destination address, service.
const DIMENSIONS: [usize; 3] = [2, 3, 4];

impl Index {
    pub(super) fn new(rules: &[Vec<Cube>]) -> Self {
        let axes = DIMENSIONS.map(|dimension| {
            let mut axis = Axis::default();
            for (index, cubes) in rules.iter().enumerate() {
                let key = key(cubes, dimension);
                match key {
                    Some(key) => axis.near.entry(key).or_default().push(index),
                    None => axis.wide.push(index),
                }
                axis.keys.push(key);
            }
            axis
        });
        Self { axes, count: rules.len() }
    }

    /// How many rules [`Index::before`] and [`Index::after`] give together.
    pub(super) fn size(&self, index: usize) -> usize {
        self.lists(index).map_or(self.count, |(near, wide)| near.len() + wide.len())
    }

    /// Rules before `index` that may share a packet with it, in order.
    pub(super) fn before(&self, index: usize) -> impl Iterator<Item = usize> {
        self.all(index, 0, index)
    }

    /// Rules after `index` that may share a packet with it, in order.
    pub(super) fn after(&self, index: usize) -> impl Iterator<Item = usize> {
        self.all(index, index + 1, self.count)
    }

    fn all(&self, index: usize, begin: usize, end: usize) -> impl Iterator<Item = usize> {
        let cut = |list: &'_ [usize]| {
            (list.partition_point(|rule| *rule < begin), list.partition_point(|rule| *rule < end))
        };
        let (mut near, mut wide, mut any) = match self.lists(index) {
            Some((near, wide)) => {
                let ((a, b), (c, d)) = (cut(near), cut(wide));
                (&near[a..b], &wide[c..d], 0..0)
            }
            None => (&[][..], &[][..], begin..end),
        };
        std::iter::from_fn(move || match (near.split_first(), wide.split_first()) {
            (Some((first, rest)), Some((other, _))) if first < other => {
                near = rest;
                Some(*first)
            }
            (Some((first, rest)), None) => {
                near = rest;
                Some(*first)
            }
            (_, Some((first, rest))) => {
                wide = rest;
                Some(*first)
            }
            (None, None) => any.next(),
        })
    }

    /// The shortest pair of lists that holds whatever can meet a rule; `None`: it can meet any.
    fn lists(&self, index: usize) -> Option<(&[usize], &[usize])> {
        self.axes
            .iter()
            .filter_map(|axis| Some((axis.near.get(&axis.keys[index]?)?.as_slice(), axis.wide.as_slice())))
            .min_by_key(|(near, wide)| near.len() + wide.len())
    }
}

/// The neighbourhood along one dimension: a /16 of IPv4, a /32 of IPv6, a single service.
fn key(cubes: &[Cube], dimension: usize) -> Option<u64> {
    let of = |cube: &Cube| {
        let side = &cube.sides[dimension];
        let (first, last) = (*side.first()?.start(), *side.last()?.end());
        let (shift, tag) = match (dimension, cube.is_v4) {
            (4, _) => (0, 0),
            (_, true) => (16, 1 << 40),
            (_, false) => (96, 2 << 40),
        };
        let key = u64::try_from(first >> shift).ok()?;
        (first >> shift == last >> shift).then_some(key | tag)
    };
    let first = of(cubes.first()?)?;
    cubes.iter().all(|cube| of(cube) == Some(first)).then_some(first)
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::shadow::space::Ranges;
    use proptest::prelude::*;

    fn cube(is_v4: bool, source: (u32, u32), port: (u8, u8)) -> Cube {
        let range = |low: u128, high: u128| -> Ranges { Rc::new([low.min(high)..=low.max(high)]) };
        let any = range(0, u128::from(u32::MAX));
        let shift = if is_v4 { 0 } else { 90 };
        Cube {
            is_v4,
            sides: [
                any.clone(),
                any.clone(),
                range(u128::from(source.0) << shift, u128::from(source.1) << shift),
                any,
                range(port.0.into(), port.1.into()),
            ],
        }
    }

    fn rule() -> impl Strategy<Value = Vec<Cube>> {
        let port = (0u8..4, 0u8..4);
        let source = (0u32..1 << 19, 0u32..1 << 19, any::<bool>());
        (source, port, 0..3).prop_map(|((low, high, single), port, families)| {
            let source = (low, if single { low } else { high });
            match families {
                0 => vec![cube(true, source, port)],
                1 => vec![cube(false, source, port)],
                _ => vec![cube(true, source, port), cube(false, source, port)],
            }
        })
    }

    proptest! {
        #[test]
        fn nothing_that_meets_is_left_out(rules in prop::collection::vec(rule(), 1..20)) {
            let index = Index::new(&rules);
            for this in 0..rules.len() {
                let (before, after): (Vec<_>, Vec<_>) = (index.before(this).collect(), index.after(this).collect());
                prop_assert!(before.is_sorted() && after.is_sorted());
                prop_assert!(before.len() + after.len() <= index.size(this));
                for other in 0..rules.len() {
                    let meets = rules[this].iter().any(|a| rules[other].iter().any(|b| a.meets(b)));
                    if meets && other != this {
                        let side = if other < this { &before } else { &after };
                        prop_assert!(side.contains(&other));
                    }
                }
            }
        }
    }
}
