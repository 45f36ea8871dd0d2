//! A static B+ tree in an array: the search below the indices of a field.
//!
//! A block holds a fixed number of sorted keys; the search counts how many lie at or below the value and goes to that
//! child, so it has no branch that depends on the data and the counting is a few vector compares (Schlegel, Gemulla and
//! Lehner, "k-ary search on modern processors", DaMoN 2009). No pointers: the children of block `b` of a level are the
//! blocks `b * (KEYS + 1)` and on of the next.
//!
//! Keys are stored less one (a border at the lowest value is never needed, because that is where the first class
//! begins anyway), so that "at or below" becomes "below" and the highest key is free to fill blocks up.

use wide::{i16x8, i32x8};

/// What can be a key.
pub(super) trait Key: Copy + core::fmt::Debug + Ord {
    /// Fills blocks up; no value is above it.
    const PAD: Self;

    /// How many keys of `block`, which is sorted, are below `value`. `KEYS` is 8 or 16.
    fn below<const KEYS: usize>(block: &[Self; KEYS], value: Self) -> usize;
}

macro_rules! vector_key {
    ($key:ty, $vector:ty) => {
        impl Key for $key {
            const PAD: Self = Self::MAX;

            #[inline(always)]
            fn below<const KEYS: usize>(block: &[Self; KEYS], value: Self) -> usize {
                let value = <$vector>::splat(value);
                let (vectors, _) = block.as_chunks();
                let bits = vectors
                    .iter()
                    .rev()
                    .fold(0, |bits, keys| bits << 8 | <$vector>::new(*keys).simd_lt(value).to_bitmask());
                // Sorted: those below come first.
                bits.trailing_ones() as usize
            }
        }
    };
}

vector_key!(i16, i16x8);
vector_key!(i32, i32x8);

/// The levels of the tree over `keys` (sorted, each already less one), root first. Each level is whole blocks; the
/// first block of the first level is the root, and the last level holds the keys themselves.
pub(super) fn levels<K: Key>(keys: &[K], block_keys: usize) -> Vec<Vec<K>> {
    let fan_out = block_keys + 1;
    let mut leaves = keys.to_vec();
    leaves.resize(keys.len().div_ceil(block_keys).max(1) * block_keys, K::PAD);
    // The lowest key below each block of the level in hand.
    let mut lowest: Vec<K> = leaves.iter().step_by(block_keys).copied().collect();
    let mut levels = vec![leaves];
    while lowest.len() > 1 {
        let parents = lowest.chunks(fan_out);
        let level = parents
            .clone()
            .flat_map(|children| (1..fan_out).map(|child| children.get(child).copied().unwrap_or(K::PAD)))
            .collect();
        lowest = parents.map(|children| children[0]).collect();
        levels.push(level);
    }
    levels.reverse();
    levels
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: usize = 16;

    fn rank(levels: &[Vec<i16>], value: i16) -> usize {
        let mut block = 0;
        let mut below = 0;
        for level in levels {
            below = i16::below::<KEYS>(level[block * KEYS..][..KEYS].try_into().unwrap(), value);
            block = block * (KEYS + 1) + below;
        }
        (block - below) / (KEYS + 1) * KEYS + below
    }

    #[test]
    fn the_tree_counts_as_a_scan_does() {
        for count in [0, 1, 15, 16, 17, 272, 288, 289, 290, 4_912, 5_000, 30_000] {
            let keys: Vec<i16> =
                (0..count).map(|key: i32| i16::try_from(key * 2 - 32_768).unwrap()).collect();
            let levels = levels(&keys, KEYS);
            for value in (i16::MIN..=i16::MAX).step_by(7) {
                let expected = keys.partition_point(|key| *key < value);
                assert_eq!(rank(&levels, value), expected, "{count} keys, value {value}");
            }
        }
    }
}
