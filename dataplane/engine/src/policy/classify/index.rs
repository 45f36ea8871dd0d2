//! From a value of 32 bits (an IPv4 address; a protocol with its selector) to its class.
//!
//! The upper 16 bits pick a bucket. A bucket is one class; or a search tree over the borders among the lower 16 bits;
//! or, for the few protocols that have many borders, a two-level table. This is DXR (Zec, Rizzo and Mikuc, CCR 2012)
//! with a static B+ tree ([`super::search`]) in place of the binary search: one step up to 16 borders in a bucket, two
//! up to 288, three up to 4,912, four for all there can be.
//!
//! Memory: 4 bytes a bucket; at most 8 bytes a border and 60 a bucket that has any; 1 KiB a page, of which there are at
//! most [`PAGES_MAX`].

use super::FixedState;
use super::classes::Partition;
use super::search::{self, Key};
use hashbrown::HashMap;

/// Keys in a block of a search tree.
const KEYS: usize = 16;
/// Words before the root of a search tree: where its classes begin (two words), where its third and its fourth level.
const HEADER: usize = 4;

/// Set in a bucket that is one class; the rest is the class.
const ONE_CLASS: u32 = 1 << 31;
/// Set in a bucket that is a table; the rest is its place in the directory.
const TABLE: u32 = 1 << 30;
/// Otherwise: the levels of the tree less one, and under them its place in units of [`UNIT`] words.
const DEPTH_SHIFT: u32 = 28;
const PLACE: u32 = (1 << DEPTH_SHIFT) - 1;
const UNIT: usize = 4;

/// Values that share a page of a table.
const PAGE: usize = 256;
/// Pages that an index may have, in all its tables.
const PAGES_MAX: usize = 1024;

/// Finds the class of a value.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// By the upper bits of the value.
    buckets: Vec<u32>,
    /// Search trees: header, then level by level.
    trees: Vec<i16>,
    /// For each tree the classes between its borders, in order.
    classes: Vec<u32>,
    /// For each table its pages, as places in `pages`.
    directory: Vec<u32>,
    pages: Vec<u32>,
}

/// A border inside of a bucket: the lower 16 bits of the first value of an interval, and its class.
type Border = (u16, u32);

impl Index {
    /// The index of `partition`, for values below `buckets << 16`. A bucket with more borders than `search_max` becomes
    /// a table, as long as there are pages.
    pub(super) fn of(partition: &Partition<u32>, buckets: u32, search_max: usize) -> Self {
        let mut builder = Builder { search_max, ..Builder::default() };
        let mut intervals = partition.intervals.iter().copied().peekable();
        let mut class = 0;
        let mut borders = Vec::new();
        for bucket in 0..buckets {
            let first = bucket << 16;
            let before = class;
            borders.clear();
            let mut class_at_first = before;
            while let Some((start, next)) = intervals.next_if(|(start, _)| *start >> 16 <= bucket) {
                class = next;
                if start == first {
                    class_at_first = next;
                } else {
                    borders.push((low_half(start), next));
                }
            }
            builder.push_bucket(class_at_first, &borders);
        }
        builder.index
    }

    /// The class of `value`.
    #[inline]
    pub(super) fn class_of(&self, value: u32) -> u32 {
        let bucket = self.buckets[(value >> 16) as usize];
        if bucket & ONE_CLASS != 0 {
            bucket & !ONE_CLASS
        } else if bucket & TABLE != 0 {
            let value = usize::from(low_half(value));
            let page = self.directory[(bucket & !TABLE) as usize + value / PAGE];
            self.pages[page as usize + value % PAGE]
        } else {
            self.search(bucket, low_half(value))
        }
    }

    #[inline]
    fn search(&self, bucket: u32, value: u16) -> u32 {
        let tree = &self.trees[(bucket & PLACE) as usize * UNIT..];
        let value = biased(value);
        let word = |at: usize| usize::from(tree[at].cast_unsigned());
        let mut place = HEADER;
        let mut block = 0;
        // At most four levels: the depth has two bits.
        for level in 0..bucket >> DEPTH_SHIFT {
            let below = i16::below(keys_at(tree, place + block * KEYS), value);
            block = block * (KEYS + 1) + below;
            place = match level {
                0 => HEADER + KEYS,
                1 => word(2),
                _ => word(3),
            };
        }
        let rank = block * KEYS + i16::below(keys_at(tree, place + block * KEYS), value);
        let classes = word(0) | word(1) << 16;
        self.classes[classes + rank]
    }

    /// Bytes on the heap.
    pub(super) fn memory_bytes(&self) -> usize {
        let words = self.buckets.len() + self.classes.len() + self.directory.len() + self.pages.len();
        words * size_of::<u32>() + self.trees.len() * size_of::<i16>()
    }
}

#[inline(always)]
fn keys_at(tree: &[i16], place: usize) -> &[i16; KEYS] {
    tree[place..].first_chunk().expect("levels are whole blocks")
}

/// Shifts unsigned to signed order: baseline x86-64 has vector compares for signed words only.
#[inline(always)]
fn biased(value: u16) -> i16 {
    (value ^ 0x8000).cast_signed()
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
#[inline(always)]
fn low_half(value: u32) -> u16 {
    value as u16
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
fn words_of(value: usize) -> [i16; 2] {
    [value as i16, (value >> 16) as i16]
}

#[derive(Default)]
struct Builder {
    index: Index,
    search_max: usize,
    known_pages: HashMap<Box<[u32]>, u32, FixedState>,
}

impl Builder {
    fn push_bucket(&mut self, first_class: u32, borders: &[Border]) {
        let bucket = if borders.is_empty() {
            ONE_CLASS | first_class
        } else if borders.len() > self.search_max && self.index.pages.len() / PAGE + PAGE <= PAGES_MAX {
            TABLE | self.push_table(first_class, borders)
        } else {
            self.push_tree(first_class, borders)
        };
        self.index.buckets.push(bucket);
    }

    fn push_tree(&mut self, first_class: u32, borders: &[Border]) -> u32 {
        let keys: Vec<i16> = borders.iter().map(|(at, _)| biased(at - 1)).collect();
        let levels = search::levels(&keys, KEYS);
        let depth = u32::try_from(levels.len() - 1).expect("four levels hold 16-bit keys");
        let trees = &mut self.index.trees;
        let place = u32::try_from(trees.len() / UNIT).expect("a place has 28 bits: borders in 2^29 buckets");
        let third = HEADER + levels.iter().take(2).map(Vec::len).sum::<usize>();
        let fourth = HEADER + levels.iter().take(3).map(Vec::len).sum::<usize>();
        trees.extend(words_of(self.index.classes.len()));
        trees.extend([words_of(third)[0], words_of(fourth)[0]]);
        trees.extend(levels.into_iter().flatten());
        self.index.classes.push(first_class);
        self.index.classes.extend(borders.iter().map(|(_, class)| class));
        depth << DEPTH_SHIFT | place
    }

    fn push_table(&mut self, first_class: u32, borders: &[Border]) -> u32 {
        let place = u32::try_from(self.index.directory.len()).expect("at most PAGES_MAX entries");
        let mut borders = borders.iter().peekable();
        let mut class = first_class;
        for page in 0..PAGE {
            let values = page * PAGE..(page + 1) * PAGE;
            let content: Box<[u32]> = values
                .map(|value| {
                    if let Some((_, next)) = borders.next_if(|(at, _)| usize::from(*at) == value) {
                        class = *next;
                    }
                    class
                })
                .collect();
            let pages = &mut self.index.pages;
            let at = *self.known_pages.entry(content).or_insert_with_key(|content| {
                let at = u32::try_from(pages.len()).expect("at most PAGES_MAX pages");
                pages.extend_from_slice(content);
                at
            });
            self.index.directory.push(at);
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_finds(starts: &[u32], search_max: usize) {
        let sets: Vec<_> = starts.iter().map(|start| [*start..=u32::MAX]).collect();
        let sets: Vec<_> = sets.iter().map(|set| &set[..]).collect();
        let partition = Partition::of(&sets);
        let index = Index::of(&partition, 1 << 16, search_max);
        for (at, class) in &partition.intervals {
            assert_eq!(index.class_of(*at), *class, "first value {at}");
            if let Some(before) = at.checked_sub(1) {
                assert_eq!(index.class_of(before), class - 1, "value {before}");
            }
        }
        assert_eq!(index.class_of(u32::MAX), partition.classes - 1);
    }

    #[test]
    fn finds_every_border_at_every_depth() {
        for count in [0, 1, 16, 17, 272, 273, 4_912, 4_913, 65_535] {
            let mut starts: Vec<u32> = (0..count).map(|border| 0x0a01_0001 + border).collect();
            starts.extend([1, 0x0a00_ffff, 0x0a02_0000, 0x0b00_0000, 0xffff_0000, 0xffff_ffff]);
            starts.sort_unstable();
            starts.dedup();
            assert_finds(&starts, usize::MAX);
            assert_finds(&starts, 16);
        }
    }

    #[test]
    fn pages_are_bounded() {
        // Every bucket wants a table with 256 pages of its own.
        let starts: Vec<u32> = (0..=u32::MAX)
            .step_by(1 << 16)
            .take(64)
            .flat_map(|b| (0..256).map(move |p| b + p * 256 + 1))
            .collect();
        let sets: Vec<_> = starts.iter().map(|start| [*start..=u32::MAX]).collect();
        let sets: Vec<_> = sets.iter().map(|set| &set[..]).collect();
        let index = Index::of(&Partition::of(&sets), 1 << 16, 16);
        assert!(!index.pages.is_empty());
        assert!(index.pages.len() <= PAGES_MAX * PAGE);
    }
}
