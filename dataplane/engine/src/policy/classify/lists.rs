//! Short lists of boxes, column by column, compared eight entries at a time.

use hashbrown::HashMap;
use wide::u16x8;

use super::FixedState;
use super::fields::{DESTINATION, FIELDS, SERVICE, SOURCE};
use super::forest::{EMPTY, Entry, NO_RULE, Point, Reference};

/// Entries compared at a time: eight words of 16 bits are a vector on every processor.
pub(super) const LANES: usize = 8;
/// Words of a long list before its columns: how many entries it has.
const HEADER: usize = 2;
/// Lists begin at multiples of this many words.
pub(super) const UNIT: usize = 4;
/// Words behind the last list, so that a window from anywhere is whole.
const MARGIN: usize = 64;

/// All lists of a forest. A list of `n` entries is columns of `n` words each: for each field that its tree compares,
/// where the boxes begin and how far they go beyond; the forbidden zones; the identity's lower and upper half, each with
/// a word more for [`NO_RULE`]. If there are more entries than lanes, a header with their number goes before.
#[derive(Debug)]
pub(super) struct Lists {
    words: Vec<u16>,
}

/// The fields that the lists of a tree compare: those of a field's own tree, not that field.
const fn compared(tree: usize) -> &'static [usize] {
    match tree {
        SOURCE => &[DESTINATION, SERVICE],
        DESTINATION => &[SOURCE, SERVICE],
        SERVICE => &[SOURCE, DESTINATION],
        _ => &[SOURCE, DESTINATION, SERVICE],
    }
}

impl Lists {
    /// The identity of the first entry that matches, of a list of a field's own tree with at most [`LANES`] entries;
    /// [`NO_RULE`] if there is none. No branch depends on the data.
    #[inline(always)]
    pub(super) fn first_of_few<const TREE: usize>(&self, place: usize, count: usize, point: &Point) -> u32 {
        const { assert!(compared(TREE).len() == 2) };
        // Of a constant size, and the number of entries known to be small: so the columns below need no bounds checks.
        let window: &[u16; MARGIN] = self.words[place..place + MARGIN]
            .try_into()
            .expect("that is its length, and there is a margin behind the last list");
        let count = count.min(LANES);
        let matching = matches::<TREE>(window, count, 0, point);
        // The terminator stands in the lane after the last; what is compared in lanes beyond is not of this list.
        let lane = (matching | 1 << count).trailing_zeros() as usize;
        let word = |column: usize, at: usize| u32::from(window[(column * count + at) % MARGIN]);
        word(5, lane) | word(6, lane + 1) << 16
    }

    /// The long list at `place`.
    pub(super) fn many(&self, place: usize) -> Many<'_> {
        let list = &self.words[place..];
        let count = usize::from(list[0]) | usize::from(list[1]) << 16;
        Many { columns: &list[HEADER..], count }
    }

    /// The list of `count` entries at `place`, to be seen entry by entry.
    pub(super) fn few(&self, place: usize, count: usize) -> Many<'_> {
        Many { columns: &self.words[place..], count }
    }

    /// Bytes on the heap.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&self.words[..])
    }
}

/// A list of any length.
#[derive(Clone, Copy)]
pub(super) struct Many<'a> {
    columns: &'a [u16],
    pub(super) count: usize,
}

impl Many<'_> {
    /// For each of the [`LANES`] entries from `first` on a bit: whether it matches `point`.
    #[inline]
    pub(super) fn matching<const TREE: usize>(self, first: usize, point: &Point) -> u32 {
        // What lanes beyond the last entry compare with is not of this list.
        let own = (1 << LANES.min(self.count - first)) - 1;
        matches::<TREE>(self.columns, self.count, first, point) & own
    }

    /// The identity of entry `index`.
    #[inline]
    pub(super) fn identity<const TREE: usize>(self, index: usize) -> u32 {
        let column = (2 * compared(TREE).len() + 1) * self.count + index;
        u32::from(self.columns[column]) | u32::from(self.columns[column + self.count + 1]) << 16
    }
}

/// For each of the [`LANES`] entries from `first` on a bit: whether it matches.
#[inline(always)]
fn matches<const TREE: usize>(columns: &[u16], count: usize, first: usize, point: &Point) -> u32 {
    let lanes = |column: usize| -> u16x8 {
        let lanes = columns[column * count + first..].first_chunk::<LANES>();
        u16x8::new(*lanes.expect("there is a margin behind the last list"))
    };
    let mut mismatch = u16x8::ZERO;
    let mut column = 0;
    for field in compared(TREE) {
        let class = u16x8::splat(point.classes[*field]);
        // Not zero if the class lies outside: below the beginning the difference wraps.
        mismatch |= (class - lanes(column)).saturating_sub(lanes(column + 1));
        column += 2;
    }
    mismatch |= lanes(column) & u16x8::splat(point.zones);
    mismatch.simd_eq(u16x8::ZERO).to_bitmask()
}

/// Makes [`Lists`]. Equal lists are kept once.
pub(super) struct ListsBuilder {
    words: Vec<u16>,
    /// By how many columns and entries a list has, and its words.
    known: HashMap<(usize, u32, Box<[u16]>), Reference, FixedState>,
}

impl ListsBuilder {
    /// Begins with the empty list, which is the same for all trees: [`EMPTY`].
    pub(super) fn new() -> Self {
        let mut words = halves(NO_RULE).to_vec();
        words.resize(UNIT, 0);
        Self { words, known: HashMap::default() }
    }

    /// Adds a list for `tree`, unless there is one that is equal.
    pub(super) fn push(&mut self, tree: usize, entries: &[Entry]) -> Reference {
        if entries.is_empty() {
            return EMPTY;
        }
        let count = u32::try_from(entries.len()).expect("the budget of entries is below 2^31");
        let is_long = entries.len() > LANES;
        let mut words = Vec::with_capacity(HEADER + (2 * FIELDS + 3) * (entries.len() + 1));
        if is_long {
            words.extend(halves(count));
        }
        for field in compared(tree) {
            words.extend(entries.iter().map(|entry| entry.ranges[*field].first));
            words.extend(entries.iter().map(|entry| entry.ranges[*field].last - entry.ranges[*field].first));
        }
        words.extend(entries.iter().map(|entry| entry.forbidden));
        for half in 0..2 {
            words.extend(entries.iter().map(|entry| halves(entry.identity)[half]));
            words.push(halves(NO_RULE)[half]);
        }
        words.resize(words.len().next_multiple_of(UNIT), 0);
        let all = &mut self.words;
        let key = (compared(tree).len(), count, words.into_boxed_slice());
        *self.known.entry(key).or_insert_with_key(|(_, _, words)| {
            let reference = Reference::to_list(all.len(), if is_long { None } else { Some(count) });
            all.extend_from_slice(words);
            reference
        })
    }

    pub(super) fn finish(mut self) -> Lists {
        self.words.extend([0; MARGIN]);
        self.words.shrink_to_fit();
        Lists { words: self.words }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the halves are what is wanted")]
fn halves(word: u32) -> [u16; 2] {
    [word as u16, (word >> 16) as u16]
}
