//! A hierarchical timing wheel (Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", 1987) over the slots of
//! the session table, with a resolution of one millisecond.
//!
//! Filing, moving and removing a timer is a constant number of steps; so is each step of [`Wheel::pop`], which the
//! caller bounds. The lists run through the entries themselves, so that the wheel allocates nothing.
//!
//! A timer lies on the level of the highest group of six bits in which its deadline differs from the wheel's
//! present. All timers of a level therefore share the digits above with the present, and a level's slots never wrap.

const LEVELS: usize = 7;
const SLOTS: usize = 64;
const DIGIT: u32 = 6;
/// The wheel's clock ends here, 139 years after its epoch.
const END_MS: u64 = (1 << (DIGIT as u64 * LEVELS as u64)) - 1;

/// No entry.
pub(crate) const NIL: u32 = u32::MAX;
/// `previous` of the first entry of a list: this bit, and the list's number.
const HEAD: u32 = 1 << 31;

/// The links of an entry; entries are numbered from 0, below 2^31 - 1.
#[derive(Clone, Copy, Debug)]
pub struct Links {
    previous: u32,
    next: u32,
}

impl Default for Links {
    fn default() -> Self {
        Self { previous: NIL, next: NIL }
    }
}

impl Links {
    pub(crate) const fn between(previous: u32, next: u32) -> Self {
        Self { previous, next }
    }

    pub(crate) const fn to(next: u32) -> Self {
        Self { previous: NIL, next }
    }

    pub(crate) const fn previous(self) -> u32 {
        self.previous
    }

    pub(crate) const fn next(self) -> u32 {
        self.next
    }

    pub(crate) const fn set_previous(&mut self, previous: u32) {
        self.previous = previous;
    }

    pub(crate) const fn set_next(&mut self, next: u32) {
        self.next = next;
    }
}

/// Where the wheel finds the links of entry `entry`.
pub trait Linked {
    /// The links of `entry`.
    fn links(&mut self, entry: u32) -> &mut Links;
}

/// The wheel.
#[derive(Debug)]
pub struct Wheel {
    now_ms: u64,
    occupied: [u64; LEVELS],
    heads: [[u32; SLOTS]; LEVELS],
}

impl Wheel {
    /// An empty wheel whose present is `now_ms`.
    pub fn new(now_ms: u64) -> Self {
        Self { now_ms, occupied: [0; LEVELS], heads: [[NIL; SLOTS]; LEVELS] }
    }

    /// Files `entry`, which is in no list, for `deadline_ms`. A deadline that has passed is due at once.
    pub fn insert(&mut self, entries: &mut impl Linked, entry: u32, deadline_ms: u64) {
        let deadline_ms = deadline_ms.min(END_MS).max(self.now_ms);
        let (level, slot) = self.place(deadline_ms);
        let first = self.heads[level][slot];
        *entries.links(entry) = Links { previous: HEAD | list(level, slot), next: first };
        if first != NIL {
            entries.links(first).previous = entry;
        }
        self.heads[level][slot] = entry;
        self.occupied[level] |= 1 << slot;
    }

    /// Takes `entry` out of its list.
    pub fn remove(&mut self, entries: &mut impl Linked, entry: u32) {
        let Links { previous, next } = core::mem::take(entries.links(entry));
        if next != NIL {
            entries.links(next).previous = previous;
        }
        if previous == NIL {
            return;
        }
        if previous & HEAD == 0 {
            entries.links(previous).next = next;
            return;
        }
        let (level, slot) = place_of(previous & !HEAD);
        self.heads[level][slot] = next;
        if next == NIL {
            self.occupied[level] &= !(1 << slot);
        }
    }

    /// A moment before which nothing is due, in milliseconds; `None` when the wheel is empty.
    pub fn next_ms(&self) -> Option<u64> {
        self.earliest().map(|(start, _, _)| start)
    }

    /// Takes out an entry that may be due at `now_ms`: either its deadline has come, or the wheel only knows its
    /// digits above some level. The caller looks at the entry and files it again if its time has not come.
    pub fn pop(&mut self, entries: &mut impl Linked, now_ms: u64) -> Option<u32> {
        let Some((start, level, slot)) = self.earliest() else {
            self.now_ms = self.now_ms.max(now_ms);
            return None;
        };
        if start > now_ms {
            // Nothing lies between the present and `now_ms`, so every list stays where it belongs.
            self.now_ms = self.now_ms.max(now_ms);
            return None;
        }
        self.now_ms = start;
        let entry = self.heads[level][slot];
        self.remove(entries, entry);
        Some(entry)
    }

    /// The first occupied slot of all: its first moment, its level, its number. While a slot of a higher level is
    /// being emptied its time has come already, so all levels are looked at.
    fn earliest(&self) -> Option<(u64, usize, usize)> {
        let occupied = (0..LEVELS).filter(|level| self.occupied[*level] != 0);
        let first = occupied.map(|level| {
            let slot = self.occupied[level].trailing_zeros() as usize;
            (self.start_of(level, slot), level, slot)
        });
        first.min()
    }

    fn place(&self, deadline_ms: u64) -> (usize, usize) {
        let differing = deadline_ms ^ self.now_ms;
        let level = ((63 - (differing | 1).leading_zeros()) / DIGIT) as usize;
        let level = level.min(LEVELS - 1);
        let digit = deadline_ms >> (DIGIT as usize * level) & (SLOTS as u64 - 1);
        (level, usize::try_from(digit).expect("six bits"))
    }

    /// The first moment of a slot in the present turn, or the present if that is later.
    fn start_of(&self, level: usize, slot: usize) -> u64 {
        let shift = DIGIT as usize * level;
        let above = self.now_ms >> (shift + DIGIT as usize) << (shift + DIGIT as usize);
        (above | (slot as u64) << shift).max(self.now_ms)
    }
}

fn list(level: usize, slot: usize) -> u32 {
    u32::try_from(level * SLOTS + slot).expect("a few hundred lists")
}

fn place_of(list: u32) -> (usize, usize) {
    (list as usize / SLOTS, list as usize % SLOTS)
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "small numbers")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Entries(Vec<Links>);

    impl Linked for Entries {
        fn links(&mut self, entry: u32) -> &mut Links {
            &mut self.0[entry as usize]
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        File { entry: usize, after_ms: u64 },
        Remove { entry: usize },
        Pass { by_ms: u64 },
    }

    fn step() -> impl Strategy<Value = Step> {
        let span = prop_oneof![0..4u64, 0..200u64, 0..100_000u64, 0..20 * 86_400_000u64];
        prop_oneof![
            4 => (0..40usize, span.clone()).prop_map(|(entry, after_ms)| Step::File { entry, after_ms }),
            1 => (0..40usize).prop_map(|entry| Step::Remove { entry }),
            2 => span.prop_map(|by_ms| Step::Pass { by_ms }),
        ]
    }

    proptest! {
        /// Against a plain list of deadlines: everything fires, nothing early, in order, at its millisecond.
        #[test]
        fn fires_what_a_sorted_list_fires(start in 0..1u64 << 40, steps in prop::collection::vec(step(), 1..200)) {
            let mut now = start;
            let mut wheel = Wheel::new(now);
            let mut entries = Entries(vec![Links::default(); 40]);
            let mut deadlines = [None; 40];
            for step in steps {
                match step {
                    Step::File { entry, after_ms } => {
                        if deadlines[entry].take().is_some() {
                            wheel.remove(&mut entries, entry as u32);
                        }
                        deadlines[entry] = Some(now + after_ms);
                        wheel.insert(&mut entries, entry as u32, now + after_ms);
                    }
                    Step::Remove { entry } => {
                        if deadlines[entry].take().is_some() {
                            wheel.remove(&mut entries, entry as u32);
                        }
                    }
                    Step::Pass { by_ms } => {
                        now += by_ms;
                        while let Some(next) = wheel.next_ms().filter(|next| *next <= now) {
                            let earliest = deadlines.iter().flatten().min().copied();
                            prop_assert!(earliest.is_some_and(|earliest| next <= earliest));
                            let popped = wheel.pop(&mut entries, next).expect("it said so") as usize;
                            let deadline = deadlines[popped].expect("only filed entries are popped");
                            if deadline > next {
                                wheel.insert(&mut entries, popped as u32, deadline);
                            } else {
                                prop_assert_eq!(deadline, next.max(deadline));
                                deadlines[popped] = None;
                            }
                        }
                        prop_assert!(wheel.pop(&mut entries, now).is_none());
                        prop_assert!(deadlines.iter().flatten().all(|deadline| *deadline > now));
                    }
                }
            }
            prop_assert_eq!(wheel.next_ms().is_none(), deadlines.iter().all(Option::is_none));
        }
    }
}
