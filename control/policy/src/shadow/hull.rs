//! The quick test before the exact one: for each rule the smallest interval in each dimension that holds it. Ten
//! thousand rules are fifty million pairs, and nearly all of them are told apart here.

use super::space::{Cube, DIMENSIONS, Point};

/// The bounds of what a rule matches in one family; exact if every side is a single range.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    low: [u128; DIMENSIONS],
    high: [u128; DIMENSIONS],
    is_exact: bool,
}

/// The same for IPv4, in numbers that fit together in a cache line.
#[derive(Clone, Copy, Debug)]
struct NarrowBounds {
    low: [u32; DIMENSIONS],
    high: [u32; DIMENSIONS],
    is_exact: bool,
}

/// The bounds of a rule in both families.
#[derive(Debug)]
pub(super) struct Hull {
    v4: Option<NarrowBounds>,
    v6: Option<Bounds>,
}

/// What the quick test says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quick {
    No,
    Yes,
    /// Ask the boxes.
    Maybe,
}

impl Hull {
    pub(super) fn new(cubes: &[Cube]) -> Self {
        let of = |is_v4| cubes.iter().find(|cube| cube.is_v4 == is_v4).map(Bounds::new);
        Self { v4: of(true).map(NarrowBounds::new), v6: of(false) }
    }

    /// Whether two rules share a packet.
    pub(super) fn meets(&self, other: &Self) -> Quick {
        let v4 = match (&self.v4, &other.v4) {
            (Some(a), Some(b)) => a.meets(b),
            _ => Quick::No,
        };
        if v4 == Quick::Yes {
            return v4;
        }
        let v6 = match (&self.v6, &other.v6) {
            (Some(a), Some(b)) => a.meets(b),
            _ => Quick::No,
        };
        if v6 == Quick::No { v4 } else { v6 }
    }

    /// Whether a packet is matched.
    pub(super) fn holds(&self, is_v4: bool, point: &Point) -> Quick {
        let bounds = if is_v4 { self.v4.map(NarrowBounds::widened) } else { self.v6 };
        match bounds {
            Some(bounds) if bounds.holds(point) => {
                if bounds.is_exact {
                    Quick::Yes
                } else {
                    Quick::Maybe
                }
            }
            _ => Quick::No,
        }
    }

    /// Whether everything that `inner` matches is matched.
    pub(super) fn covers(&self, inner: &Self) -> Quick {
        let v4 = match (&self.v4, &inner.v4) {
            (_, None) => Quick::Yes,
            (Some(outer), Some(inner)) => outer.widened().covers(&inner.widened()),
            (None, Some(_)) => Quick::No,
        };
        let v6 = match (&self.v6, &inner.v6) {
            (_, None) => Quick::Yes,
            (Some(outer), Some(inner)) => outer.covers(inner),
            (None, Some(_)) => Quick::No,
        };
        match (v4, v6) {
            (Quick::No, _) | (_, Quick::No) => Quick::No,
            (Quick::Yes, Quick::Yes) => Quick::Yes,
            _ => Quick::Maybe,
        }
    }
}

impl Bounds {
    fn new(cube: &Cube) -> Self {
        let side = |dimension: usize| &cube.sides[dimension];
        Self {
            low: std::array::from_fn(|dimension| side(dimension).first().map_or(1, |range| *range.start())),
            high: std::array::from_fn(|dimension| side(dimension).last().map_or(0, |range| *range.end())),
            is_exact: cube.sides.iter().all(|side| side.len() == 1),
        }
    }

    fn meets(&self, other: &Self) -> Quick {
        let meets =
            (0..DIMENSIONS).all(|dim| self.low[dim] <= other.high[dim] && other.low[dim] <= self.high[dim]);
        quick(meets, self.is_exact && other.is_exact)
    }

    fn covers(&self, inner: &Self) -> Quick {
        let covers =
            (0..DIMENSIONS).all(|dim| self.low[dim] <= inner.low[dim] && inner.high[dim] <= self.high[dim]);
        // What is inside the bounds of an exact box is inside the box, whatever its own shape.
        quick(covers, self.is_exact)
    }

    fn holds(&self, point: &Point) -> bool {
        (0..DIMENSIONS).all(|dim| self.low[dim] <= point[dim] && point[dim] <= self.high[dim])
    }
}

impl NarrowBounds {
    fn new(bounds: Bounds) -> Self {
        let narrow = |wide: u128| u32::try_from(wide).unwrap_or(u32::MAX);
        Self { low: bounds.low.map(narrow), high: bounds.high.map(narrow), is_exact: bounds.is_exact }
    }

    fn widened(self) -> Bounds {
        Bounds { low: self.low.map(u128::from), high: self.high.map(u128::from), is_exact: self.is_exact }
    }

    fn meets(&self, other: &Self) -> Quick {
        let meets =
            (0..DIMENSIONS).all(|dim| self.low[dim] <= other.high[dim] && other.low[dim] <= self.high[dim]);
        quick(meets, self.is_exact && other.is_exact)
    }
}

fn quick(possible: bool, is_exact: bool) -> Quick {
    match (possible, is_exact) {
        (false, _) => Quick::No,
        (true, true) => Quick::Yes,
        (true, false) => Quick::Maybe,
    }
}
