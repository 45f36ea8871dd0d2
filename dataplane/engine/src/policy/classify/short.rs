//! A policy of a few boxes: all of them, compared eight at a time, in the order of their rules.
//!
//! For so few it costs less than to look into the trees of three fields. No branch depends on the data but which block has
//! the first match.

use super::checks::{Checks, ZonePair};
use super::fields::FIELDS;
use super::forest::{CHECK, Entry, NO_RULE, Point};
use super::width::{Class, LANES};

/// Boxes that are kept so: of more, the trees see fewer.
pub(super) const SHORT_MAX: usize = 24;

/// The boxes.
#[derive(Debug)]
pub(super) struct Short<C> {
    blocks: Vec<Block<C>>,
}

/// Eight of them, column by column.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Block<C> {
    /// By field where each begins, and how far it goes beyond.
    ranges: [[[C; LANES]; 2]; FIELDS],
    /// The zones that each does not match.
    forbidden: [C; LANES],
    identities: [u32; LANES],
    /// By bits which lanes have a box.
    lanes: u32,
}

impl<C: Class> Short<C> {
    /// Keeps `boxes`, if they are few enough.
    pub(super) fn of(boxes: &[Entry]) -> Option<Self> {
        (boxes.len() <= SHORT_MAX).then(|| Self { blocks: boxes.chunks(LANES).map(Block::of).collect() })
    }

    /// The first rule that matches; [`NO_RULE`] if none does.
    #[inline(always)]
    pub(super) fn search(&self, point: &Point<C>, checks: &Checks, zones: impl Fn() -> ZonePair) -> u32 {
        for block in &self.blocks {
            let mut matching = block.matching(point);
            while matching != 0 {
                let identity = block.identities[matching.trailing_zeros() as usize % LANES];
                if identity & CHECK == 0 {
                    return identity;
                }
                if let Some(rule) = checks.rule_if_matches(identity & !CHECK, point, &zones()) {
                    return rule;
                }
                matching &= matching - 1;
            }
        }
        NO_RULE
    }

    /// Bytes on the heap.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&self.blocks[..])
    }
}

impl<C: Class> Block<C> {
    fn of(boxes: &[Entry]) -> Self {
        let mut block = Self {
            ranges: [[[C::default(); LANES]; 2]; FIELDS],
            forbidden: [C::default(); LANES],
            identities: [NO_RULE; LANES],
            lanes: (1 << boxes.len()) - 1,
        };
        for (lane, entry) in boxes.iter().enumerate() {
            for (columns, run) in block.ranges.iter_mut().zip(&entry.ranges) {
                columns[0][lane] = C::of(run.first);
                columns[1][lane] = C::of(run.last - run.first);
            }
            block.forbidden[lane] = C::of(entry.forbidden);
            block.identities[lane] = entry.identity;
        }
        block
    }

    #[inline(always)]
    fn matching(&self, point: &Point<C>) -> u32 {
        let mut mismatch = point.zones.common(&self.forbidden);
        for ([begin, beyond], class) in self.ranges.iter().zip(point.classes) {
            mismatch = mismatch | class.outside(begin, beyond);
        }
        C::zeros(mismatch) & self.lanes
    }
}
