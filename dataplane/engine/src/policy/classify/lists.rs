//! Short lists of boxes, column by column, compared eight entries at a time.

use hashbrown::HashMap;

use super::FixedState;
use super::fields::{DESTINATION, FIELDS, SERVICE, SOURCE};
use super::forest::{EMPTY, Entry, Point, Reference};

/// Entries compared at a time: eight words of 16 bits are a vector everywhere.
pub(super) const LANES: usize = 8;
/// Words of a list before its columns: how many entries it has.
const HEADER: usize = 2;

/// All lists of a forest. A list of `n` entries is its header and then columns of `n` words each: for each field
/// that its tree compares, where the boxes begin and how far they go beyond; the forbidden zones; the identity's lower
/// and upper half.
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

/// A list, seen from its header on.
#[derive(Clone, Copy)]
pub(super) struct List<'a>(&'a [u16]);

impl Lists {
    /// The list at `reference`.
    #[inline]
    pub(super) fn at(&self, reference: Reference) -> List<'_> {
        List(&self.words[reference.place()..])
    }

    /// Bytes on the heap.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&self.words[..])
    }
}

impl<'a> List<'a> {
    /// How many entries it has.
    #[inline]
    pub(super) fn count(self) -> usize {
        usize::from(self.0[0]) | usize::from(self.0[1]) << 16
    }

    /// A byte for each of the [`LANES`] entries from `first` on, which is all ones if it matches `point`.
    #[inline]
    pub(super) fn matching<const TREE: usize>(self, first: usize, point: &Point) -> u64 {
        let count = self.count();
        let lanes = |column: usize| self.lanes(column * count + first);
        let mut mismatch = [0_u16; LANES];
        let mut column = 0;
        for field in compared(TREE) {
            let class = point.coarse[*field];
            let (begin, beyond) = (lanes(column), lanes(column + 1));
            for lane in 0..LANES {
                // Not zero if the class lies outside: below the beginning the difference wraps.
                mismatch[lane] |= class.wrapping_sub(begin[lane]).saturating_sub(beyond[lane]);
            }
            column += 2;
        }
        let forbidden = lanes(column);
        for lane in 0..LANES {
            mismatch[lane] |= forbidden[lane] & point.zones;
        }
        let matching = u64::from_le_bytes(mismatch.map(|mismatch| if mismatch == 0 { 0xff } else { 0 }));
        // The last entries are compared together with words that are not theirs.
        match count - first {
            left if left < LANES => matching & !(u64::MAX << (left * 8)),
            _ => matching,
        }
    }

    /// The identity of entry `index`.
    #[inline]
    pub(super) fn identity<const TREE: usize>(self, index: usize) -> u32 {
        let column = HEADER + (2 * compared(TREE).len() + 1) * self.count() + index;
        u32::from(self.0[column]) | u32::from(self.0[column + self.count()]) << 16
    }

    #[inline(always)]
    fn lanes(self, at: usize) -> &'a [u16; LANES] {
        self.0[HEADER + at..].first_chunk().expect("the last list has a margin of a vector behind it")
    }
}

/// Makes [`Lists`]. Equal lists are kept once.
pub(super) struct ListsBuilder {
    words: Vec<u16>,
    known: HashMap<Box<[u16]>, Reference, FixedState>,
}

impl ListsBuilder {
    pub(super) fn new() -> Self {
        // The empty list is at place 0, for every tree.
        Self { words: vec![0; HEADER], known: HashMap::default() }
    }

    /// Adds a list for `tree`, unless there is one that is equal.
    pub(super) fn push(&mut self, tree: usize, entries: &[Entry]) -> Reference {
        if entries.is_empty() {
            return EMPTY;
        }
        let count = u32::try_from(entries.len()).expect("the budget of entries is below 2^31");
        let mut words = Vec::with_capacity(HEADER + (2 * FIELDS + 3) * entries.len());
        words.extend(halves(count));
        for field in compared(tree) {
            words.extend(entries.iter().map(|entry| entry.ranges[*field].first));
            words.extend(entries.iter().map(|entry| entry.ranges[*field].last - entry.ranges[*field].first));
        }
        words.extend(entries.iter().map(|entry| entry.forbidden));
        words.extend(entries.iter().map(|entry| halves(entry.identity)[0]));
        words.extend(entries.iter().map(|entry| halves(entry.identity)[1]));
        let all = &mut self.words;
        *self.known.entry(words.into_boxed_slice()).or_insert_with_key(|words| {
            let reference = Reference::to_list(all.len());
            all.extend_from_slice(words);
            reference
        })
    }

    pub(super) fn finish(mut self) -> Lists {
        self.words.extend([0; LANES]);
        self.words.shrink_to_fit();
        Lists { words: self.words }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the halves are what is wanted")]
fn halves(word: u32) -> [u16; 2] {
    [word as u16, (word >> 16) as u16]
}
