//! Short lists of boxes, column by column, compared eight entries at a time.

use hashbrown::HashMap;

use super::FixedState;
use super::fields::{DESTINATION, FIELDS, SERVICE, SOURCE};
use super::forest::{EMPTY, Entry, NO_RULE, Point, Reference};
use super::long::{self, Many};
use super::width::{Class, LANES};
use crate::prefetch::prefetch_address;

/// Words of a long list before its columns: how many entries it has.
const HEADER: usize = 2;
/// Lists begin at multiples of this many words.
pub(super) const UNIT: usize = 4;
/// Bytes of a cache line.
const LINE: usize = 64;
/// Words behind the last list, so that a window from anywhere is whole.
const MARGIN: usize = 64;

/// All lists of a forest. A list of `n` entries is columns of `n` words each: for each field that its tree compares,
/// where the boxes begin and how far they go beyond; the forbidden zones; the identities, in as many columns as it
/// takes, with a word more in each for [`NO_RULE`]. If there are more entries than lanes, a header with their number goes
/// before, and outlines follow ([`long`]).
#[derive(Debug)]
pub(super) struct Lists<C> {
    words: Vec<C>,
}

/// The fields that the lists of a tree compare: those of a field's own tree, not that field.
pub(super) const fn compared(tree: usize) -> &'static [usize] {
    match tree {
        SOURCE => &[DESTINATION, SERVICE],
        DESTINATION => &[SOURCE, SERVICE],
        SERVICE => &[SOURCE, DESTINATION],
        _ => &[SOURCE, DESTINATION, SERVICE],
    }
}

impl<C: Class> Lists<C> {
    /// The identity of the first entry that matches, of a list of a field's own tree with at most [`LANES`] entries;
    /// [`NO_RULE`] if there is none. No branch depends on the data.
    #[inline(always)]
    pub(super) fn first_of_few<const TREE: usize>(
        &self,
        place: usize,
        count: usize,
        point: &Point<C>,
    ) -> u32 {
        const { assert!(compared(TREE).len() == 2) };
        // Of a constant size, and the number of entries known to be small: so the columns below need no bounds checks.
        let window: &[C; MARGIN] = self.words[place..place + MARGIN]
            .try_into()
            .expect("that is its length, and there is a margin behind the last list");
        let count = count.min(LANES);
        let matching = matches::<C, TREE>(window, count, 0, point);
        // The terminator stands in the lane after the last; what is compared in lanes beyond is not of this list.
        let lane = (matching | 1 << count).trailing_zeros() as usize;
        identity(|word| window[(5 * count + lane + word * (count + 1)) % MARGIN])
    }

    /// Asks for the lines of the list at `place`, as many as most lists of few entries have.
    #[inline(always)]
    pub(super) fn prefetch(&self, place: usize) {
        let list = self.words.as_ptr().wrapping_add(place);
        for line in 0..size_of::<C>() {
            prefetch_address(list.wrapping_byte_add(line * LINE));
        }
    }

    /// The long list at `place`.
    pub(super) fn many(&self, place: usize) -> Many<'_, C> {
        let list = &self.words[place..];
        let count = (list[0].number() | list[1].number() << 16) as usize;
        Many::new(&list[HEADER..], count)
    }

    /// The list of `count` entries at `place`, to be seen entry by entry.
    pub(super) fn few(&self, place: usize, count: usize) -> Many<'_, C> {
        Many::new(&self.words[place..], count)
    }

    /// Bytes on the heap.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&self.words[..])
    }
}

/// Puts an identity together from its words.
#[inline(always)]
pub(super) fn identity<C: Class>(word: impl Fn(usize) -> C) -> u32 {
    (0..C::IDENTITY_WORDS).fold(0, |identity, at| identity | word(at).number() << (16 * at))
}

/// For each of the [`LANES`] entries from `first` on a bit: whether it matches.
#[inline(always)]
pub(super) fn matches<C: Class, const TREE: usize>(
    columns: &[C],
    count: usize,
    first: usize,
    point: &Point<C>,
) -> u32 {
    let lanes = |column: usize| -> &[C; LANES] {
        columns[column * count + first..].first_chunk().expect("there is a margin behind the last list")
    };
    let fields = compared(TREE);
    let mut mismatch = point.zones.common(lanes(2 * fields.len()));
    for (place, field) in fields.iter().enumerate() {
        mismatch = mismatch | point.classes[*field].outside(lanes(2 * place), lanes(2 * place + 1));
    }
    C::zeros(mismatch)
}

/// Makes [`Lists`]. Equal lists are kept once.
pub(super) struct ListsBuilder<C> {
    words: Vec<C>,
    /// By how many columns and entries a list has, and its words.
    known: HashMap<(usize, u32, Box<[C]>), Reference, FixedState>,
}

impl<C: Class> ListsBuilder<C> {
    /// Begins with the empty list, which is the same for all trees: [`EMPTY`].
    pub(super) fn new() -> Self {
        let mut words: Vec<C> = (0..C::IDENTITY_WORDS).map(|word| C::low(NO_RULE >> (16 * word))).collect();
        words.resize(UNIT, C::default());
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
            words.extend(halves::<C>(count));
        }
        push_boxes(&mut words, tree, entries);
        for word in 0..C::IDENTITY_WORDS {
            let identities = entries.iter().map(|entry| entry.identity).chain([NO_RULE]);
            words.extend(identities.map(|identity| C::low(identity >> (16 * word))));
        }
        if is_long {
            long::outlines(entries).iter().for_each(|boxes| push_boxes(&mut words, tree, boxes));
        }
        words.resize(words.len().next_multiple_of(UNIT), C::default());
        let all = &mut self.words;
        let key = (compared(tree).len(), count, words.into_boxed_slice());
        *self.known.entry(key).or_insert_with_key(|(_, _, words)| {
            let reference = Reference::to_list(all.len(), if is_long { None } else { Some(count) });
            all.extend_from_slice(words);
            reference
        })
    }

    /// Bytes that the lists take so far.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&self.words[..])
    }

    pub(super) fn finish(mut self) -> Lists<C> {
        self.words.extend([C::default(); MARGIN]);
        self.words.shrink_to_fit();
        Lists { words: self.words }
    }
}

/// The columns that say which packets match.
fn push_boxes<C: Class>(words: &mut Vec<C>, tree: usize, entries: &[Entry]) {
    for field in compared(tree) {
        words.extend(entries.iter().map(|entry| C::of(entry.ranges[*field].first)));
        words.extend(
            entries.iter().map(|entry| C::of(entry.ranges[*field].last - entry.ranges[*field].first)),
        );
    }
    words.extend(entries.iter().map(|entry| C::of(entry.forbidden)));
}

fn halves<C: Class>(word: u32) -> [C; 2] {
    [C::of(word & 0xffff), C::of(word >> 16)]
}
