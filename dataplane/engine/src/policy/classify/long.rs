//! Lists of more entries than are compared at a time.
//!
//! Above the entries lie outlines, the smallest box around each eight of them, above these the outlines of eight outlines,
//! and so on (an R-tree, Guttman, SIGMOD 1984, that keeps the order of the rules). What is outside of an outline need not
//! be compared, and the first entry that matches is still met first. Where rules that follow each other are alike, as
//! in sets that are generated, this makes of a list that could not be cut a few steps.
//!
//! Memory: a seventh more. A search compares each entry and outline at most once.

use super::forest::{Entry, Point};
use super::lists::{compared, identity, matches};
use super::width::{Class, LANES};

/// Levels of entries and outlines: eight to the tenth is more than there can be entries.
const LEVELS_MAX: usize = 10;

/// A list of any length.
#[derive(Clone, Copy)]
pub(super) struct Many<'a, C> {
    columns: &'a [C],
    pub(super) count: usize,
}

/// A search under way: on each level the eight in hand, and by bits which of them are still to be seen.
pub(super) struct Walk<'a, C> {
    levels: [Level<'a, C>; LEVELS_MAX],
    /// The level in hand; 0 are the entries. All is seen when it is above the highest.
    level: usize,
    highest: usize,
}

#[derive(Clone, Copy)]
struct Level<'a, C> {
    columns: &'a [C],
    count: usize,
    first: usize,
    left: u32,
}

impl<'a, C: Class> Many<'a, C> {
    pub(super) fn new(columns: &'a [C], count: usize) -> Self {
        Self { columns, count }
    }

    /// The identity of entry `index`.
    #[inline]
    pub(super) fn identity<const TREE: usize>(self, index: usize) -> u32 {
        let column = (2 * compared(TREE).len() + 1) * self.count + index;
        identity(|word| self.columns[column + word * (self.count + 1)])
    }

    /// Begins a search for `point`.
    pub(super) fn walk<const TREE: usize>(self, point: &Point<C>) -> Walk<'a, C> {
        let columns = 2 * compared(TREE).len() + 1;
        let mut levels = [Level { columns: self.columns, count: self.count, first: 0, left: 0 }; LEVELS_MAX];
        let mut place = columns * self.count + C::IDENTITY_WORDS * (self.count + 1);
        let mut highest = 0;
        while levels[highest].count > LANES && highest + 1 < LEVELS_MAX {
            let count = levels[highest].count.div_ceil(LANES);
            highest += 1;
            levels[highest] = Level { columns: &self.columns[place..], count, first: 0, left: 0 };
            place += columns * count;
        }
        levels[highest].left = levels[highest].matching::<TREE>(point);
        Walk { levels, level: highest, highest }
    }
}

impl<C: Class> Walk<'_, C> {
    /// The next few entries of which some match: the first of the few, and which match by bits.
    pub(super) fn next<const TREE: usize>(&mut self, point: &Point<C>) -> Option<(usize, u32)> {
        while self.level <= self.highest {
            let level = &mut self.levels[self.level];
            let left = level.left;
            if left == 0 {
                self.level += 1;
            } else if self.level == 0 {
                level.left = 0;
                return Some((level.first, left));
            } else {
                level.left &= left - 1;
                let below = (level.first + left.trailing_zeros() as usize) * LANES;
                self.level -= 1;
                let level = &mut self.levels[self.level];
                level.first = below;
                level.left = level.matching::<TREE>(point);
            }
        }
        None
    }
}

impl<C: Class> Level<'_, C> {
    /// Which of the eight in hand match.
    fn matching<const TREE: usize>(&self, point: &Point<C>) -> u32 {
        // What lanes beyond the last compare with is not of this level.
        let own = (1 << LANES.min(self.count - self.first)) - 1;
        matches::<C, TREE>(self.columns, self.count, self.first, point) & own
    }
}

/// The levels above `entries`, lowest first, up to one that is compared at once.
pub(super) fn outlines(entries: &[Entry]) -> Vec<Vec<Entry>> {
    let outline = |few: &[Entry]| {
        let mut outline = few[0];
        for entry in few {
            for (around, range) in outline.ranges.iter_mut().zip(&entry.ranges) {
                around.first = around.first.min(range.first);
                around.last = around.last.max(range.last);
            }
            outline.forbidden &= entry.forbidden;
        }
        outline
    };
    let mut levels: Vec<Vec<Entry>> = vec![entries.chunks(LANES).map(outline).collect()];
    while let Some(level) = levels.last().filter(|level| level.len() > LANES) {
        let above = level.chunks(LANES).map(outline).collect();
        levels.push(above);
    }
    levels
}
