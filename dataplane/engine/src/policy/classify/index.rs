//! From a value of 32 bits (an IPv4 address; a protocol with its selector) to its class.
//!
//! The upper 16 bits pick a bucket, which is cut into up to 256 equal parts, as many as it takes for each part to have
//! seven borders at most; a part is a node that holds them and the classes between them in half a cache line (classes of
//! 16 bits; those of 32 take a whole one). So a
//! lookup is three loads and one vector compare, and has no branch that depends on the data. (DXR, by Zec, Rizzo and
//! Mikuc, CCR 2012, has the same first step and then a binary search; Lulea and Poptrie need a population count, which
//! baseline x86-64 has not.)
//!
//! A part with more borders is a static B+ tree ([`super::search`]); of the few protocols that have many borders each
//! part is a table ([`Index::for_values`] with `tables`).
//!
//! Memory: 4 bytes a bucket; at most 32 + 8 bytes a border; 32 a class; 512 a table, of which there are at most
//! [`PAGES_MAX`].

use hashbrown::HashMap;

use super::FixedState;
use super::classes::Partition;
use super::fields::AddressIndex;
use super::forest::STAGE;
use super::search::{self, Key};
use super::width::Class;
use crate::prefetch::prefetch_address;

/// Borders in a node: one less than a vector has lanes, so that there is a lane of classes for each outcome.
const NODE_BORDERS: usize = 7;
/// Keys in a block of a search tree.
const KEYS: usize = 16;
/// Words before the root of a search tree: its levels less one, where its classes begin (two words), where its third
/// and where its fourth level.
const HEADER: usize = 5;

/// Buckets of IPv4 addresses.
const ADDRESS_BUCKETS: u32 = 1 << 16;

/// A bucket: the lower bits say how far the lower half of a value is shifted to give its part, the others where the
/// parts of this bucket begin.
const SHIFT_BITS: u32 = 5;
/// A bucket has at most this many parts, as a power of two.
const PARTS_MAX_LOG2: u32 = 8;

/// A part: a node; or with this bit a search tree, by its place in units of [`UNIT`] words;
const TREE: u32 = 1 << 31;
/// or with this one a page.
const TABLE: u32 = 1 << 30;
const UNIT: usize = 4;

/// Values in a page.
const PAGE: usize = 256;
/// Pages that an index may have.
const PAGES_MAX: usize = 1024;

/// Finds the class of a value.
#[derive(Debug)]
pub(super) struct Index<C> {
    buckets: Vec<u32>,
    parts: Vec<u32>,
    nodes: Vec<Node<C>>,
    trees: Vec<i16>,
    /// For each tree the classes between its borders, in order.
    tree_classes: Vec<C>,
    pages: Vec<[C; PAGE]>,
}

/// A few borders, and the classes before, between and after them.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(32))]
struct Node<C> {
    /// The last is never below any value.
    borders: [i16; NODE_BORDERS + 1],
    classes: [C; NODE_BORDERS + 1],
}

/// A border: the lower 16 bits of the first value of an interval, and its class.
type Border<C> = (u16, C);

impl<C: Class> Index<C> {
    /// The index of `partition`, for values below `buckets << 16`.
    pub(super) fn for_values(partition: &Partition<u32>, buckets: u32, tables: bool) -> Self {
        let mut builder = Builder::new(tables);
        let mut intervals = partition.intervals.iter().peekable();
        let mut current = C::default();
        let mut borders: Vec<Border<C>> = Vec::new();
        for bucket in 0..buckets {
            let mut first_class = current;
            borders.clear();
            while let Some((start, next)) = intervals.next_if(|(start, _)| *start >> 16 == bucket) {
                current = C::of(*next);
                match low_half(*start) {
                    0 => first_class = current,
                    at => borders.push((at, current)),
                }
            }
            builder.push_bucket(first_class, &borders);
        }
        builder.index
    }

    /// The class of `value`.
    #[inline(always)]
    pub(super) fn find(&self, value: u32) -> C {
        self.find_in(self.parts[self.part_of(value)], value)
    }

    /// The classes of up to [`STAGE`] values, step by step: each asks for what the next one reads.
    #[inline(always)]
    pub(super) fn find_all(&self, values: &[u32], classes: &mut [C]) {
        let mut places = [0; STAGE];
        for (place, value) in places.iter_mut().zip(values) {
            *place = self.part_of(*value);
            prefetch_address(self.parts.as_ptr().wrapping_add(*place));
        }
        let mut parts = [0; STAGE];
        for (part, place) in parts.iter_mut().zip(&places[..values.len()]) {
            *part = self.parts[*place];
            // Of the few that are a table or a tree this is no node.
            prefetch_address(self.nodes.as_ptr().wrapping_add(*part as usize));
        }
        for ((class, part), value) in classes.iter_mut().zip(parts).zip(values) {
            *class = self.find_in(part, *value);
        }
    }

    /// The place of the part in which `value` is.
    #[inline(always)]
    fn part_of(&self, value: u32) -> usize {
        let bucket = self.buckets[(value >> 16) as usize];
        let within = u32::from(low_half(value)) >> (bucket % (1 << SHIFT_BITS));
        ((bucket >> SHIFT_BITS) + within) as usize
    }

    #[inline(always)]
    fn find_in(&self, part: u32, value: u32) -> C {
        if part & (TREE | TABLE) == 0 {
            let node = &self.nodes[part as usize];
            node.classes[i16::below(&node.borders, biased(low_half(value))) % node.classes.len()]
        } else if part & TABLE != 0 {
            self.pages[(part & !TABLE) as usize][value as usize % PAGE]
        } else {
            self.search(part & !TREE, low_half(value))
        }
    }

    #[inline(never)]
    fn search(&self, place: u32, value: u16) -> C {
        let tree = &self.trees[place as usize * UNIT..];
        let value = biased(value);
        let word = |at: usize| usize::from(tree[at].cast_unsigned());
        let mut level_place = HEADER;
        let mut block = 0;
        // At most four levels: 17 to the fourth is more than there are values.
        for level in 0..word(0) {
            let below = i16::below(keys_at(tree, level_place + block * KEYS), value);
            block = block * (KEYS + 1) + below;
            level_place = match level {
                0 => HEADER + KEYS,
                1 => word(3),
                _ => word(4),
            };
        }
        let rank = block * KEYS + i16::below(keys_at(tree, level_place + block * KEYS), value);
        self.tree_classes[(word(1) | word(2) << 16) + rank]
    }

    /// Bytes on the heap.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&self.buckets[..])
            + size_of_val(&self.parts[..])
            + size_of_val(&self.nodes[..])
            + size_of_val(&self.trees[..])
            + size_of_val(&self.tree_classes[..])
            + size_of_val(&self.pages[..])
    }
}

impl<C: Class> AddressIndex<u32, C> for Index<C> {
    fn of(partition: &Partition<u32>) -> Self {
        Self::for_values(partition, ADDRESS_BUCKETS, false)
    }

    #[inline(always)]
    fn class_of(&self, address: u32) -> C {
        self.find(address)
    }

    #[inline(always)]
    fn classes_of(&self, addresses: &[u32], classes: &mut [C]) {
        self.find_all(addresses, classes);
    }

    fn memory_bytes(&self) -> usize {
        self.bytes()
    }
}

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

#[expect(clippy::cast_possible_truncation, reason = "the halves are what is wanted")]
fn words_of(value: usize) -> [i16; 2] {
    [value as i16, (value >> 16) as i16]
}

struct Builder<C> {
    index: Index<C>,
    tables: bool,
    /// By class what has no borders.
    constant_nodes: HashMap<C, u32, FixedState>,
    constant_parts: HashMap<C, u32, FixedState>,
    known_pages: HashMap<Box<[C; PAGE]>, u32, FixedState>,
}

impl<C: Class> Builder<C> {
    fn new(tables: bool) -> Self {
        let index = Index {
            buckets: Vec::new(),
            parts: Vec::new(),
            nodes: Vec::new(),
            trees: Vec::new(),
            tree_classes: Vec::new(),
            pages: Vec::new(),
        };
        let [constant_nodes, constant_parts] = [HashMap::default(), HashMap::default()];
        Self { index, tables, constant_nodes, constant_parts, known_pages: HashMap::default() }
    }

    fn push_bucket(&mut self, first_class: C, borders: &[Border<C>]) {
        let as_table =
            self.tables && borders.len() > NODE_BORDERS && self.index.pages.len() + PAGE <= PAGES_MAX;
        let cut = if as_table { PARTS_MAX_LOG2 } else { cut_of(borders) };
        let shift = u16::BITS - cut;
        let first_part = if borders.is_empty() {
            self.constant_part(first_class)
        } else {
            let first_part = number(self.index.parts.len());
            let mut class = first_class;
            let mut rest = borders;
            for part in 0..1_u32 << cut {
                let (inside, after) =
                    rest.split_at(rest.partition_point(|(at, _)| u32::from(*at) >> shift <= part));
                rest = after;
                let (at_start, inside) = match inside {
                    [(at, at_start), inside @ ..] if u32::from(*at) == part << shift => (*at_start, inside),
                    _ => (class, inside),
                };
                let part =
                    if as_table { self.table(part, at_start, inside) } else { self.part(at_start, inside) };
                self.index.parts.push(part);
                class = inside.last().map_or(at_start, |(_, class)| *class);
            }
            first_part
        };
        assert!(first_part >> (u32::BITS - SHIFT_BITS) == 0, "two parts a border, of 2^25 borders at most");
        self.index.buckets.push(first_part << SHIFT_BITS | shift);
    }

    /// The node without borders for `class`.
    fn constant(&mut self, class: C) -> u32 {
        let nodes = &mut self.index.nodes;
        *self.constant_nodes.entry(class).or_insert_with(|| {
            nodes.push(Node { borders: [i16::PAD; _], classes: [class; _] });
            number(nodes.len() - 1)
        })
    }

    /// A part that is nothing but `class`.
    fn constant_part(&mut self, class: C) -> u32 {
        let node = self.constant(class);
        let parts = &mut self.index.parts;
        *self.constant_parts.entry(class).or_insert_with(|| {
            parts.push(node);
            number(parts.len() - 1)
        })
    }

    fn part(&mut self, class: C, borders: &[Border<C>]) -> u32 {
        if borders.is_empty() {
            return self.constant(class);
        }
        if borders.len() > NODE_BORDERS {
            return TREE | self.tree(class, borders);
        }
        let last = borders.last().map_or(class, |(_, class)| *class);
        let mut node = Node { borders: [i16::PAD; _], classes: [last; _] };
        node.classes[0] = class;
        for (slot, (at, class)) in borders.iter().enumerate() {
            node.borders[slot] = biased(at - 1);
            node.classes[slot + 1] = *class;
        }
        self.index.nodes.push(node);
        number(self.index.nodes.len() - 1)
    }

    fn tree(&mut self, first_class: C, borders: &[Border<C>]) -> u32 {
        let keys: Vec<i16> = borders.iter().map(|(at, _)| biased(at - 1)).collect();
        let levels = search::levels(&keys, KEYS);
        let ends = |count: usize| HEADER + levels.iter().take(count).map(Vec::len).sum::<usize>();
        let trees = &mut self.index.trees;
        trees.resize(trees.len().next_multiple_of(UNIT), 0);
        let place = number(trees.len() / UNIT);
        trees.push(words_of(levels.len() - 1)[0]);
        trees.extend(words_of(self.index.tree_classes.len()));
        trees.extend([words_of(ends(2))[0], words_of(ends(3))[0]]);
        trees.extend(levels.into_iter().flatten());
        self.index.tree_classes.push(first_class);
        self.index.tree_classes.extend(borders.iter().map(|(_, class)| class));
        place
    }

    fn table(&mut self, part: u32, first_class: C, borders: &[Border<C>]) -> u32 {
        let mut page = Box::new([first_class; PAGE]);
        for (at, class) in borders {
            page[usize::from(*at) - part as usize * PAGE..].fill(*class);
        }
        let pages = &mut self.index.pages;
        TABLE
            | *self.known_pages.entry(page).or_insert_with_key(|page| {
                pages.push(**page);
                number(pages.len() - 1)
            })
    }
}

/// Into how many parts, as a power of two, a bucket is cut: so many that none has more borders than a node, but no more
/// than twice as many as there are borders.
fn cut_of<C>(borders: &[Border<C>]) -> u32 {
    let fits = |cut: &u32| {
        let shift = u16::BITS - cut;
        borders.chunk_by(|(a, _), (b, _)| u32::from(*a) >> shift == u32::from(*b) >> shift).all(|part| {
            part.iter().filter(|(at, _)| u32::from(*at) % (1 << shift) != 0).count() <= NODE_BORDERS
        })
    };
    let most = (2 * borders.len()).checked_ilog2().unwrap_or(0).min(PARTS_MAX_LOG2);
    (0..=most).find(fits).unwrap_or(most)
}

/// There are at most 2^32 borders, and in 2^16 buckets far fewer of anything.
fn number(count: usize) -> u32 {
    u32::try_from(count).ok().filter(|count| count & (TREE | TABLE) == 0).expect("fewer than 2^30 borders")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_finds(starts: &[u32], tables: bool) -> Index<u16> {
        let sets: Vec<_> = starts.iter().map(|start| [*start..=u32::MAX]).collect();
        let sets: Vec<_> = sets.iter().map(|set| &set[..]).collect();
        let partition = Partition::of(&sets);
        let index = Index::for_values(&partition, 1 << 16, tables);
        for (at, class) in &partition.intervals {
            assert_eq!(u32::from(index.find(*at)), *class, "first value {at}");
            if let Some(before) = at.checked_sub(1) {
                assert_eq!(u32::from(index.find(before)), class - 1, "value {before}");
            }
        }
        assert_eq!(u32::from(index.find(u32::MAX)), partition.classes - 1);
        index
    }

    #[test]
    fn finds_every_border_at_every_density() {
        for (count, step) in
            [(0, 1), (1, 1), (7, 9000), (8, 8000), (100, 600), (250, 256), (1_000, 63), (30_000, 2)]
        {
            for dense in [0, 7, 8, 16, 17, 288, 289, 4_912, 4_913, 20_000] {
                let mut starts: Vec<u32> = (0..count).map(|border| 0x0a01_0001 + border * step).collect();
                starts.extend((0..dense).map(|border| 0x0a03_7001 + border));
                starts.extend([1, 0x0a00_ffff, 0x0a02_0000, 0x0b00_0000, 0xffff_0000, 0xffff_ffff]);
                starts.sort_unstable();
                starts.dedup();
                assert_finds(&starts, false);
                assert_finds(&starts, true);
            }
        }
    }

    #[test]
    fn memory_is_linear_in_the_borders() {
        // In each bucket eight borders close together, which no cut of it parts.
        let starts: Vec<u32> =
            (0..2_000).flat_map(|bucket| (1..9).map(move |at| bucket << 16 | at)).collect();
        let index = assert_finds(&starts, false);
        assert!(!index.trees.is_empty());
        assert!(index.bytes() < (4 << 16) + starts.len() * 72, "{} bytes", index.bytes());
    }

    #[test]
    fn pages_are_bounded() {
        // Every bucket wants a table with 256 pages of its own.
        let starts: Vec<u32> =
            (0..64_u32).flat_map(|bucket| (0..256).map(move |page| bucket << 16 | page << 8 | 1)).collect();
        let index = assert_finds(&starts, true);
        assert!(!index.pages.is_empty());
        assert!(index.pages.len() <= PAGES_MAX);
    }
}
