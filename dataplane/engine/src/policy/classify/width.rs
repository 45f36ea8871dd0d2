//! How wide the numbers of classes are: 16 bits for most policies, 32 for one with more than 65,536 classes in a field or
//! with more zones than fit in a mask of 16. What follows from classes is generic over it, so that neither pays for the other.

use core::fmt::Debug;
use core::ops::BitOr;

use wide::{u16x8, u32x8};

use super::search::Key;

/// Entries of a list that are compared at a time.
pub(super) const LANES: usize = 8;

/// A class in so many bits.
pub(super) trait Class: Copy + Debug + Default + Eq + Ord + core::hash::Hash + 'static {
    /// How it is compared in the nodes of a tree: signed, because baseline x86-64 has vector compares for signed numbers
    /// only.
    type Border: Key;
    /// [`LANES`] of them.
    type Lanes: BitOr<Output = Self::Lanes>;

    /// How many words an identity of 32 bits takes.
    const IDENTITY_WORDS: usize;

    /// A number that is known to fit.
    fn of(number: u32) -> Self;
    /// The lowest bits of a number.
    fn low(number: u32) -> Self;
    /// The number.
    fn number(self) -> u32;
    /// The bits that both have.
    fn and(self, other: Self) -> Self;
    /// Where it stands among borders.
    fn order(self) -> Self::Border;
    /// Lanes that are 0 where this lies at `begin` or up to `beyond` after it.
    fn outside(self, begin: &[Self; LANES], beyond: &[Self; LANES]) -> Self::Lanes;
    /// The bits that this has in common with each of `others`.
    fn common(self, others: &[Self; LANES]) -> Self::Lanes;
    /// A bit for each lane: whether it is 0.
    fn zeros(lanes: Self::Lanes) -> u32;
}

impl Class for u16 {
    type Border = i16;
    type Lanes = u16x8;
    const IDENTITY_WORDS: usize = 2;

    #[inline(always)]
    fn of(number: u32) -> Self {
        debug_assert!(number <= Self::MAX.into());
        Self::low(number)
    }

    #[expect(clippy::cast_possible_truncation, reason = "that is what is wanted")]
    #[inline(always)]
    fn low(number: u32) -> Self {
        number as Self
    }

    #[inline(always)]
    fn number(self) -> u32 {
        self.into()
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        self & other
    }

    #[inline(always)]
    fn order(self) -> i16 {
        (self ^ 0x8000).cast_signed()
    }

    #[inline(always)]
    fn outside(self, begin: &[Self; LANES], beyond: &[Self; LANES]) -> u16x8 {
        // Below the beginning the difference wraps.
        (u16x8::splat(self) - u16x8::new(*begin)).saturating_sub(u16x8::new(*beyond))
    }

    #[inline(always)]
    fn common(self, others: &[Self; LANES]) -> u16x8 {
        u16x8::splat(self) & u16x8::new(*others)
    }

    #[inline(always)]
    fn zeros(lanes: u16x8) -> u32 {
        lanes.simd_eq(u16x8::ZERO).to_bitmask()
    }
}

impl Class for u32 {
    type Border = i32;
    type Lanes = u32x8;
    const IDENTITY_WORDS: usize = 1;

    #[inline(always)]
    fn of(number: u32) -> Self {
        number
    }

    #[inline(always)]
    fn low(number: u32) -> Self {
        number
    }

    #[inline(always)]
    fn number(self) -> u32 {
        self
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        self & other
    }

    #[inline(always)]
    fn order(self) -> i32 {
        (self ^ 0x8000_0000).cast_signed()
    }

    #[inline(always)]
    fn outside(self, begin: &[Self; LANES], beyond: &[Self; LANES]) -> u32x8 {
        (u32x8::splat(self) - u32x8::new(*begin)).simd_gt(u32x8::new(*beyond))
    }

    #[inline(always)]
    fn common(self, others: &[Self; LANES]) -> u32x8 {
        u32x8::splat(self) & u32x8::new(*others)
    }

    #[inline(always)]
    fn zeros(lanes: u32x8) -> u32 {
        lanes.simd_eq(u32x8::ZERO).to_bitmask()
    }
}
