//! From an IPv6 address to its class.
//!
//! A level- and path-compressed trie (Nilsson and Karlsson, "IP-address lookup using LC-tries", JSAC 1999) over the
//! borders between classes: a branch skips the bits that all borders below it share, and goes one of 2^k ways by the
//! next k, as many as keep a quarter of the ways in use. Two or three branches lead to a leaf for policies of any size
//! that are not made to hurt. A leaf is three borders and the classes between them: one cache line.
//!
//! Memory: each branch parts the borders below it, so there are fewer than borders; at most 8 ways of 4 bytes, and 64
//! bytes of leaf, a border. Depth: at most [`DEPTH_MAX`], one bit a branch.

use hashbrown::HashMap;

use super::FixedState;
use super::classes::Partition;
use super::fields::AddressIndex;
use super::width::Class;

/// Borders in a leaf.
const LEAF_BORDERS: usize = 3;
/// Branches on the way to a leaf.
const DEPTH_MAX: u32 = u128::BITS;
/// Bits that a branch tells apart.
const BRANCH_BITS_MAX: u32 = 16;
/// Of this many ways of a branch one must be in use.
const WAYS_PER_USED: usize = 4;

/// Set in a reference to a branch; otherwise it is to a leaf.
const BRANCH: u32 = 1 << 31;

/// Finds the class of an IPv6 address.
#[derive(Debug)]
pub(super) struct Index6<C> {
    root: u32,
    branches: Vec<Branch>,
    ways: Vec<u32>,
    leaves: Vec<Leaf<C>>,
}

/// Ways by the bits from `shift` on of the distance from `start`. What lies outside of all goes the last way.
#[derive(Clone, Copy, Debug)]
struct Branch {
    start: u128,
    shift: u32,
    /// The first way and, from it, the last.
    first: u32,
    last: u32,
}

/// A few borders, and the classes before, between and after them.
#[derive(Clone, Copy, Debug)]
struct Leaf<C> {
    borders: [u128; LEAF_BORDERS],
    classes: [C; LEAF_BORDERS + 1],
}

impl<C: Class> AddressIndex<u128, C> for Index6<C> {
    fn of(partition: &Partition<u128>) -> Self {
        let borders: Vec<_> = partition.intervals.iter().map(|(at, class)| (*at, C::of(*class))).collect();
        let index = Self { root: 0, branches: Vec::new(), ways: Vec::new(), leaves: Vec::new() };
        let mut builder = Builder { index, constant: HashMap::default() };
        builder.index.root = match &borders[..] {
            [(_, class), borders @ ..] => builder.part(*class, borders),
            [] => builder.part(C::default(), &[]),
        };
        builder.index
    }

    #[inline(always)]
    fn class_of(&self, address: u128) -> C {
        let mut reference = self.root;
        for _ in 0..DEPTH_MAX {
            if reference & BRANCH == 0 {
                break;
            }
            let branch = &self.branches[(reference & !BRANCH) as usize];
            let way = address.wrapping_sub(branch.start) >> (branch.shift % u128::BITS);
            let way = u32::try_from(way).unwrap_or(u32::MAX).min(branch.last);
            reference = self.ways[(branch.first + way) as usize];
        }
        let leaf = &self.leaves[reference as usize];
        let mut class = leaf.classes[0];
        for (border, next) in leaf.borders.iter().zip(&leaf.classes[1..]) {
            class = if *border <= address { *next } else { class };
        }
        class
    }

    #[inline(always)]
    fn classes_of(&self, addresses: &[u128], classes: &mut [C]) {
        for (class, address) in classes.iter_mut().zip(addresses) {
            *class = self.class_of(*address);
        }
    }

    fn memory_bytes(&self) -> usize {
        size_of_val(&self.branches[..]) + size_of_val(&self.ways[..]) + size_of_val(&self.leaves[..])
    }
}

/// The first address of an interval, and its class.
type Border<C> = (u128, C);

struct Builder<C> {
    index: Index6<C>,
    /// By class the leaf without borders.
    constant: HashMap<C, u32, FixedState>,
}

impl<C: Class> Builder<C> {
    /// A leaf or branch for a part of the address space that begins with `class` and has these borders inside.
    fn part(&mut self, class: C, borders: &[Border<C>]) -> u32 {
        match borders {
            [] => {
                if let Some(leaf) = self.constant.get(&class) {
                    return *leaf;
                }
                let leaf = self.leaf(class, borders);
                self.constant.insert(class, leaf);
                leaf
            }
            [first, .., last] if borders.len() > LEAF_BORDERS => self.branch(class, borders, first.0, last),
            _ => self.leaf(class, borders),
        }
    }

    fn leaf(&mut self, class: C, borders: &[Border<C>]) -> u32 {
        let after = borders.last().map_or(class, |(_, class)| *class);
        let mut leaf = Leaf { borders: [u128::MAX; _], classes: [after; _] };
        leaf.classes[0] = class;
        for (slot, (at, class)) in borders.iter().enumerate() {
            leaf.borders[slot] = *at;
            leaf.classes[slot + 1] = *class;
        }
        self.index.leaves.push(leaf);
        number(self.index.leaves.len() - 1)
    }

    fn branch(&mut self, class: C, borders: &[Border<C>], first: u128, last: &Border<C>) -> u32 {
        // The bits in which borders differ: at least two, as there are more than two borders.
        let bits = u128::BITS - (first ^ last.0).leading_zeros();
        let start = first & !u128::MAX.checked_shr(u128::BITS - bits).unwrap_or(0);
        let tell = bits_of_branch(borders, start, bits);
        let shift = bits - tell;
        let (first_way, ways) = (self.index.ways.len(), 1_usize << tell);
        self.index.ways.resize(first_way + ways + 1, 0);
        let mut rest = borders;
        let mut current = class;
        for way in 0..ways {
            let here = start + ((way as u128) << shift);
            let (inside, after) =
                rest.split_at(rest.partition_point(|(at, _)| (*at - start) >> shift <= way as u128));
            rest = after;
            let (at_start, inside) = match inside {
                [(at, at_start), inside @ ..] if *at == here => (*at_start, inside),
                _ => (current, inside),
            };
            current = inside.last().map_or(at_start, |(_, class)| *class);
            self.index.ways[first_way + way] = self.part(at_start, inside);
        }
        // Before the start and after the end.
        self.index.ways[first_way + ways] = self.leaf(class, &[(start, last.1)]);
        self.index.branches.push(Branch { start, shift, first: number(first_way), last: number(ways) });
        BRANCH | number(self.index.branches.len() - 1)
    }
}

/// How many of `bits` bits after `start` a branch tells apart: the most with which enough of its ways are in use.
fn bits_of_branch<C>(borders: &[Border<C>], start: u128, bits: u32) -> u32 {
    let most = (WAYS_PER_USED * borders.len()).ilog2().min(BRANCH_BITS_MAX).min(bits);
    let enough = |tell: &u32| {
        let used =
            borders.chunk_by(|(a, _), (b, _)| (*a - start) >> (bits - tell) == (*b - start) >> (bits - tell));
        used.count() * WAYS_PER_USED >= 1 << tell
    };
    (1..=most).rev().find(enough).unwrap_or(1)
}

/// There are at most 2^31 borders, and far fewer of anything in practice.
fn number(count: usize) -> u32 {
    u32::try_from(count).ok().filter(|count| count & BRANCH == 0).expect("fewer than 2^31 of anything")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_finds(mut starts: Vec<u128>) -> Index6<u16> {
        starts.sort_unstable();
        starts.dedup();
        let sets: Vec<_> = starts.iter().map(|start| [*start..=u128::MAX]).collect();
        let sets: Vec<_> = sets.iter().map(|set| &set[..]).collect();
        let partition = Partition::of(&sets);
        let index = Index6::of(&partition);
        for (at, class) in &partition.intervals {
            assert_eq!(u32::from(index.class_of(*at)), *class, "first value {at:x}");
            if let Some(before) = at.checked_sub(1) {
                assert_eq!(u32::from(index.class_of(before)), class - 1, "value {before:x}");
            }
        }
        assert_eq!(u32::from(index.class_of(u128::MAX)), partition.classes - 1);
        let bytes = index.memory_bytes();
        assert!(bytes < (starts.len() + 2) * 160, "{} borders in {bytes} bytes", starts.len());
        index
    }

    #[test]
    fn finds_every_border() {
        assert_finds(vec![]);
        assert_finds(vec![1]);
        assert_finds(vec![0, 1, 2, 3, u128::MAX, u128::MAX - 1]);
        assert_finds(vec![1 << 64, u128::MAX, u128::MAX - 1]);
        let prefix: u128 = 0x2001_0db8 << 96;
        for count in [1, 3, 4, 7, 80, 5_000] {
            assert_finds((0..count).map(|subnet| prefix | subnet << 64).collect());
            assert_finds((0..count).map(|host| prefix | host).collect());
            assert_finds((0..count).map(|host| prefix | (host / 3) << 64 | (host % 3) << 20).collect());
        }
    }

    #[test]
    fn borders_that_halve_what_is_left_stay_within_bounds() {
        // Each branch parts one border from all others, if anything does that.
        assert_finds((0..128).map(|bit| 1 << bit).collect());
        assert_finds((0..128).map(|bit| u128::MAX - ((1 << bit) - 1)).collect());
    }
}
