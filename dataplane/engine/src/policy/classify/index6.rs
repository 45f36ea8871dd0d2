//! From an IPv6 address to its class.
//!
//! Prefixes hardly ever go beyond 64 bits, and where they do, few share their upper half. So the borders' upper halves
//! are searched first, in a static B+ tree ([`super::search`]) of 8 keys a node: five steps for 50,000. Only an address
//! whose upper half is exactly that of a border goes on among the lower halves of those borders.
//!
//! Memory: at most 60 bytes a border.

use core::net::IpAddr;

use super::classes::Partition;
use super::located::{AddressIndex, coarse};
use super::search::{self, Key};

/// Keys in a block of the tree: one cache line.
const KEYS: usize = 8;

/// Finds the class of an IPv6 address.
#[derive(Debug)]
pub(super) struct Index6 {
    tree: Vec<u64>,
    /// Where each level of the tree begins, root first; the last are the keys.
    levels: Vec<usize>,
    /// By rank among the upper halves; the first stands for upper half 0.
    uppers: Vec<Upper>,
    /// Lower halves of borders and the classes that begin there.
    lowers: Vec<(u64, u32)>,
    /// How far classes are shifted to be coarse.
    shift: u32,
}

/// An upper half in which something begins.
#[derive(Clone, Copy, Debug)]
struct Upper {
    bits: u64,
    /// The class of what follows its last border, up to the next upper half.
    class: u32,
    /// Its borders, in `lowers`. The first is at 0 whenever there are any.
    lowers: (u32, u32),
}

impl AddressIndex for Index6 {
    type Address = u128;

    #[inline(always)]
    fn address(address: IpAddr) -> u128 {
        match address {
            IpAddr::V4(_) => 0,
            IpAddr::V6(address) => address.to_bits(),
        }
    }

    fn of(partition: &Partition<u128>, shift: u32) -> Self {
        let mut uppers: Vec<Upper> = Vec::new();
        let mut lowers: Vec<(u64, u32)> = Vec::new();
        let mut class = 0;
        for borders in partition.intervals.chunk_by(|(a, _), (b, _)| halves(*a).0 == halves(*b).0) {
            let (bits, first) = halves(borders[0].0);
            let begin = lowers.len();
            if first != 0 {
                lowers.push((0, class));
            }
            if borders.len() > 1 || first != 0 {
                lowers.extend(borders.iter().map(|(at, class)| (halves(*at).1, *class)));
            }
            class = borders[borders.len() - 1].1;
            let place = |at: usize| u32::try_from(at).expect("at most two borders a range, of 2^31 ranges");
            uppers.push(Upper { bits, class, lowers: (place(begin), place(lowers.len())) });
        }
        let keys: Vec<u64> = uppers.iter().skip(1).map(|upper| upper.bits - 1).collect();
        let mut tree = Vec::new();
        let mut levels = Vec::new();
        for level in search::levels(&keys, KEYS) {
            levels.push(tree.len());
            tree.extend(level);
        }
        Self { tree, levels, uppers, lowers, shift }
    }

    #[inline(always)]
    fn class_of(&self, address: u128) -> u16 {
        coarse(self.exact_class_of(address), self.shift)
    }

    #[inline(always)]
    fn exact_class_of(&self, address: u128) -> u32 {
        let (bits, lower) = halves(address);
        let mut block = 0;
        let mut rank = 0;
        // At most eleven levels: nine ways at each, and less than 2^32 keys.
        for level in &self.levels {
            let keys = self.tree[level + block * KEYS..].first_chunk().expect("levels are whole blocks");
            let below = u64::below::<KEYS>(keys, bits);
            rank = block * KEYS + below;
            block = block * (KEYS + 1) + below;
        }
        let upper = &self.uppers[rank];
        let lowers = &self.lowers[upper.lowers.0 as usize..upper.lowers.1 as usize];
        if upper.bits != bits || lowers.is_empty() {
            return upper.class;
        }
        // A binary search: at most 32 steps.
        lowers[lowers.partition_point(|(at, _)| *at <= lower).saturating_sub(1)].1
    }

    fn memory_bytes(&self) -> usize {
        size_of_val(&self.tree[..])
            + size_of_val(&self.levels[..])
            + size_of_val(&self.uppers[..])
            + size_of_val(&self.lowers[..])
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the halves are what is wanted")]
#[inline(always)]
fn halves(address: u128) -> (u64, u64) {
    ((address >> 64) as u64, address as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_finds(mut starts: Vec<u128>) {
        starts.sort_unstable();
        starts.dedup();
        let sets: Vec<_> = starts.iter().map(|start| [*start..=u128::MAX]).collect();
        let sets: Vec<_> = sets.iter().map(|set| &set[..]).collect();
        let partition = Partition::of(&sets);
        let index = Index6::of(&partition, 0);
        for (at, class) in &partition.intervals {
            assert_eq!(index.exact_class_of(*at), *class, "first value {at:x}");
            if let Some(before) = at.checked_sub(1) {
                assert_eq!(index.exact_class_of(before), class - 1, "value {before:x}");
            }
        }
        assert_eq!(index.exact_class_of(u128::MAX), partition.classes - 1);
    }

    #[test]
    fn finds_every_border() {
        assert_finds(vec![]);
        assert_finds(vec![1]);
        assert_finds(vec![1 << 64, u128::MAX, u128::MAX - 1]);
        let prefix: u128 = 0x2001_0db8 << 96;
        for count in [1, 7, 8, 9, 80, 81, 5_000] {
            assert_finds((0..count).map(|subnet| prefix | subnet << 64).collect());
            assert_finds((0..count).map(|host| prefix | host).collect());
            assert_finds((0..count).map(|host| prefix | (host / 3) << 64 | (host % 3) << 20).collect());
        }
    }
}
