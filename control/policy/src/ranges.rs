//! Sets as sorted, disjoint, inclusive ranges: what zones, rules and the shadow analysis ask about them.

use std::cmp::Ordering;
use std::ops::RangeInclusive;

use sekisho_engine::policy::AddressSet;

/// Whether two sorted sets share a value.
pub(crate) fn meet<T: Copy + Ord>(a: &[RangeInclusive<T>], b: &[RangeInclusive<T>]) -> bool {
    // The longer one is searched, so that a feed against one host costs a binary search.
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    short.iter().any(|range| {
        let after = long.partition_point(|other| other.end() < range.start());
        long.get(after).is_some_and(|other| other.start() <= range.end())
    })
}

/// Whether every value of `inner` is in `outer`; both sorted, disjoint and non-adjacent.
pub(crate) fn covers<T: Copy + Ord>(outer: &[RangeInclusive<T>], inner: &[RangeInclusive<T>]) -> bool {
    inner.iter().all(|range| {
        let at = outer.partition_point(|other| other.end() < range.start());
        outer.get(at).is_some_and(|other| other.start() <= range.start() && range.end() <= other.end())
    })
}

/// Whether two sets share an address.
pub(crate) fn sets_meet(a: &AddressSet, b: &AddressSet) -> bool {
    meet(&a.v4, &b.v4) || meet(&a.v6, &b.v6)
}

/// Whether two sorted lists share a value.
pub(crate) fn lists_meet<T: Ord>(a: &[T], b: &[T]) -> bool {
    let (mut left, mut right) = (a.iter().peekable(), b.iter().peekable());
    while let (Some(x), Some(y)) = (left.peek(), right.peek()) {
        match x.cmp(y) {
            Ordering::Less => drop(left.next()),
            Ordering::Greater => drop(right.next()),
            Ordering::Equal => return true,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn set(values: &[u8]) -> AddressSet {
        AddressSet::new(values.iter().map(|v| u32::from(*v)..=u32::from(*v)).collect(), Vec::new())
    }

    proptest! {
        #[test]
        fn as_sets_of_single_values(a: Vec<u8>, b: Vec<u8>) {
            let (a, b): (Vec<u8>, Vec<u8>) = (a.iter().map(|v| v % 32).collect(), b.iter().map(|v| v % 32).collect());
            let (x, y): (BTreeSet<_>, BTreeSet<_>) = (a.iter().collect(), b.iter().collect());
            prop_assert_eq!(meet(&set(&a).v4, &set(&b).v4), !x.is_disjoint(&y));
            prop_assert_eq!(covers(&set(&a).v4, &set(&b).v4), y.is_subset(&x));
            let (x, y): (Vec<_>, Vec<_>) = (x.into_iter().collect(), y.into_iter().collect());
            prop_assert_eq!(lists_meet(&x, &y), meet(&set(&a).v4, &set(&b).v4));
        }
    }
}
