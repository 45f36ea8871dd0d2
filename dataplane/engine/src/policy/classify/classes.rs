//! Phase 0 of recursive flow classification (Gupta and McKeown, "Packet Classification on Multiple Fields", SIGCOMM
//! 1999): the values of one field that no set of the policy tells apart are one class.
//!
//! A sweep over the borders of all ranges finds the intervals between them; intervals that lie in exactly the same
//! sets share a class. So a feed of 500,000 prefixes makes a million intervals, but hardly any class.
//!
//! Classes are numbered as the sweep meets them first. While it is inside a range of a set, every new class belongs
//! to that set (a class of the set has no value outside of the set's ranges). So the classes of a set are as many runs
//! of consecutive numbers as the set has ranges, at most; and a set of one range (a prefix) is exactly one run. What
//! the rules ask of a field becomes an interval of small numbers, whatever the field.
//!
//! Work and memory: `O(n log n)` and `O(n)` in the number of ranges of all sets.

use core::ops::RangeInclusive;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// Consecutive classes, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Run {
    pub(super) first: u32,
    pub(super) last: u32,
}

/// Values of a field: unsigned integers.
pub(super) trait Value: Copy + Ord {
    /// The lowest.
    const MIN: Self;
    /// The one after, if there is one.
    fn next(self) -> Option<Self>;
}

impl Value for u32 {
    const MIN: Self = Self::MIN;
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

impl Value for u128 {
    const MIN: Self = Self::MIN;
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

/// A field cut into classes.
#[derive(Debug)]
pub(super) struct Partition<T> {
    /// Where each interval begins, and its class. The first begins at [`Value::MIN`]; neighbours differ.
    pub(super) intervals: Vec<(T, u32)>,
    /// How many classes there are; at least one.
    pub(super) classes: u32,
    /// The classes of each set.
    pub(super) runs: Runs,
}

/// The classes of each set, as sorted runs with gaps between them.
#[derive(Debug, Default)]
pub(super) struct Runs {
    /// The runs of set `i` are `runs[starts[i]..starts[i + 1]]`, sorted, with gaps between them.
    starts: Vec<u32>,
    runs: Vec<Run>,
}

impl<T: Value> Partition<T> {
    /// Cuts the field along the borders of `sets`, each a list of sorted, disjoint, non-adjacent ranges.
    pub(super) fn of(sets: &[&[RangeInclusive<T>]]) -> Self {
        let borders = Borders::of(sets);
        let mut intervals = Vec::with_capacity(borders.events.len() + 1);
        let mut numbering = Numbering::default();
        // The number that the next new class gets, noted at the first value of each range and at the value after it.
        let mut next_at = vec![[0, 0]; borders.set_of_range.len()];
        let mut sets_here = 0;
        let mut position = T::MIN;
        let mut events = borders.events.iter().peekable();
        loop {
            while let Some(&&(_, event)) = events.peek().filter(|(at, _)| *at <= position) {
                events.next();
                sets_here ^= signature(borders.set_of_range[event.range()]);
                next_at[event.range()][usize::from(event.is_end())] = numbering.next;
            }
            let class = numbering.class_of(sets_here);
            if intervals.last().is_none_or(|(_, last)| *last != class) {
                intervals.push((position, class));
            }
            match events.peek() {
                Some((at, _)) => position = *at,
                None => break,
            }
        }
        for range in borders.open {
            next_at[range as usize][1] = numbering.next;
        }
        Self { intervals, classes: numbering.next, runs: Runs::of(sets, &next_at) }
    }
}

/// A range of a set that begins, or has ended, at a value.
#[derive(Clone, Copy, Debug)]
struct Event(u32);

impl Event {
    fn new(range: u32, is_end: bool) -> Self {
        Self(range << 1 | u32::from(is_end))
    }
    fn range(self) -> usize {
        (self.0 >> 1) as usize
    }
    fn is_end(self) -> bool {
        self.0 & 1 == 1
    }
}

/// The borders of all ranges in order.
struct Borders<T> {
    events: Vec<(T, Event)>,
    /// To which set each range belongs; ranges are counted through all sets.
    set_of_range: Vec<u32>,
    /// Ranges that end with the last value there is, and so have no event for their end.
    open: Vec<u32>,
}

impl<T: Value> Borders<T> {
    fn of(sets: &[&[RangeInclusive<T>]]) -> Self {
        let total = sets.iter().map(|ranges| ranges.len()).sum();
        let mut set_of_range = Vec::with_capacity(total);
        let mut events = Vec::with_capacity(2 * total);
        let mut open = Vec::new();
        let mut range_index = 0;
        for (set, ranges) in (0..).zip(sets) {
            for range in *ranges {
                set_of_range.push(set);
                events.push((*range.start(), Event::new(range_index, false)));
                match range.end().next() {
                    Some(after) => events.push((after, Event::new(range_index, true))),
                    None => open.push(range_index),
                }
                range_index += 1;
            }
        }
        events.sort_unstable_by_key(|(at, _)| *at);
        Self { events, set_of_range, open }
    }
}

/// Gives numbers to classes.
#[derive(Default)]
struct Numbering {
    next: u32,
    known: HashTable<(u128, u32)>,
}

impl Numbering {
    fn class_of(&mut self, sets: u128) -> u32 {
        let hash = |sets: u128| (sets >> 64) as u64;
        match self.known.entry(hash(sets), |(known, _)| *known == sets, |(known, _)| hash(*known)) {
            Entry::Occupied(entry) => entry.get().1,
            Entry::Vacant(entry) => {
                entry.insert((sets, self.next));
                self.next += 1;
                self.next - 1
            }
        }
    }
}

/// 128 bits that stand for a set, so that the exclusive or of several stands for that collection of sets (Zobrist
/// 1970). Two collections of a million meet by chance once in 2^88 policies.
pub(super) fn signature(set: u32) -> u128 {
    let word = |seed: u64| {
        // SplitMix64 (Steele, Lea and Flood 2014).
        let mut z = (u64::from(set) << 1 | seed).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    u128::from(word(0)) << 64 | u128::from(word(1))
}

impl Runs {
    /// The classes of `set`.
    pub(super) fn of_set(&self, set: u32) -> &[Run] {
        let set = set as usize;
        &self.runs[self.starts[set] as usize..self.starts[set + 1] as usize]
    }

    /// How many sets there are.
    pub(super) fn sets(&self) -> u32 {
        u32::try_from(self.starts.len().saturating_sub(1)).expect("sets have 32-bit numbers")
    }

    /// Bytes on the heap.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&self.starts[..]) + size_of_val(&self.runs[..])
    }

    /// `next_at[range]`: which number was next when the range began, and when it had ended. The classes of a set are
    /// those that were numbered inside of its ranges.
    fn of<T>(sets: &[&[RangeInclusive<T>]], next_at: &[[u32; 2]]) -> Self {
        let mut starts = Vec::with_capacity(sets.len() + 1);
        let mut runs: Vec<Run> = Vec::with_capacity(sets.len());
        let mut next_at = next_at.iter();
        starts.push(0);
        let mut start = 0;
        for ranges in sets {
            for [begin, end] in next_at.by_ref().take(ranges.len()) {
                match runs[start..].last_mut() {
                    _ if begin == end => {}
                    Some(run) if run.last + 1 == *begin => run.last = end - 1,
                    _ => runs.push(Run { first: *begin, last: end - 1 }),
                }
            }
            start = runs.len();
            starts
                .push(u32::try_from(start).expect("at most one run a range, and ranges have 31-bit numbers"));
        }
        Self { starts, runs }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class_at(partition: &Partition<u32>, value: u32) -> u32 {
        partition.intervals[partition.intervals.partition_point(|(start, _)| *start <= value) - 1].1
    }

    /// Every interval's class is in a set's runs exactly if its values are in the set.
    fn assert_exact(sets: &[&[RangeInclusive<u32>]]) -> Partition<u32> {
        let partition = Partition::of(sets);
        for (start, class) in &partition.intervals {
            for (index, set) in (0..).zip(sets) {
                let in_set = set.iter().any(|range| range.contains(start));
                let in_runs =
                    partition.runs.of_set(index).iter().any(|run| (run.first..=run.last).contains(class));
                assert_eq!(in_set, in_runs, "value {start} set {index}");
            }
        }
        partition
    }

    #[test]
    fn no_sets_make_one_class() {
        let partition = assert_exact(&[]);
        assert_eq!(partition.intervals, [(0, 0)]);
        assert_eq!(partition.classes, 1);
    }

    #[test]
    fn everything_is_one_run() {
        let partition = assert_exact(&[&[0..=u32::MAX], &[5..=5]]);
        assert_eq!(partition.classes, 2);
        assert_eq!(partition.runs.of_set(0), [Run { first: 0, last: 1 }]);
    }

    #[test]
    fn nested_prefixes_are_one_run_each() {
        let partition = assert_exact(&[&[0..=255], &[16..=31], &[20..=23], &[64..=127], &[1000..=u32::MAX]]);
        for set in 0..5 {
            assert_eq!(partition.runs.of_set(set).len(), 1, "set {set}");
        }
        assert_eq!(class_at(&partition, 0), class_at(&partition, 255));
        assert_ne!(class_at(&partition, 255), class_at(&partition, 256));
    }

    #[test]
    fn a_feed_makes_few_classes() {
        let feed: Vec<_> = (0..1000u32).map(|i| i * 100..=i * 100 + 9).collect();
        let partition = assert_exact(&[&feed, &[500..=1499]]);
        assert_eq!(partition.classes, 4);
        assert_eq!(partition.intervals.len(), 2_000);
    }

    #[test]
    fn touching_and_crossing_ranges_stay_exact() {
        assert_exact(&[&[0..=9, 20..=29], &[10..=19, 30..=39], &[5..=34], &[9..=20], &[29..=30]]);
    }
}
