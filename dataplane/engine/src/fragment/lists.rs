//! Lists that run through numbered entries: first in, first out, and out of the middle in a constant number of steps.

/// No entry.
const NIL: u16 = u16::MAX;

#[derive(Clone, Copy, Debug)]
struct Ends {
    first: u16,
    last: u16,
}

#[derive(Clone, Copy, Debug)]
struct Links {
    previous: u16,
    next: u16,
}

/// So many lists over so many entries; an entry is in one of them at the most.
#[derive(Debug)]
pub(super) struct Lists {
    ends: Vec<Ends>,
    links: Vec<Links>,
}

impl Lists {
    /// Empty lists over entries `0..entries`.
    pub(super) fn new(lists: usize, entries: usize) -> Self {
        Self {
            ends: vec![Ends { first: NIL, last: NIL }; lists],
            links: vec![Links { previous: NIL, next: NIL }; entries],
        }
    }

    /// Puts `entry`, which is in no list, behind the last of `list`.
    pub(super) fn push(&mut self, list: usize, entry: u16) {
        let last = core::mem::replace(&mut self.ends[list].last, entry);
        self.links[usize::from(entry)] = Links { previous: last, next: NIL };
        match last {
            NIL => self.ends[list].first = entry,
            _ => self.links[usize::from(last)].next = entry,
        }
    }

    /// Takes `entry` out of `list`, in which it is.
    pub(super) fn remove(&mut self, list: usize, entry: u16) {
        let Links { previous, next } = self.links[usize::from(entry)];
        match previous {
            NIL => self.ends[list].first = next,
            _ => self.links[usize::from(previous)].next = next,
        }
        match next {
            NIL => self.ends[list].last = previous,
            _ => self.links[usize::from(next)].previous = previous,
        }
    }

    /// The first of `list`.
    pub(super) fn first(&self, list: usize) -> Option<u16> {
        some(self.ends[list].first)
    }

    /// The entries of `list`, in order.
    pub(super) fn entries(&self, list: usize) -> impl Iterator<Item = u16> + '_ {
        core::iter::successors(self.first(list), |entry| some(self.links[usize::from(*entry)].next))
    }
}

fn some(entry: u16) -> Option<u16> {
    (entry != NIL).then_some(entry)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against queues of the standard library.
        #[test]
        fn lists_are_queues_with_a_way_out_of_the_middle(steps in prop::collection::vec((0..3usize, 0..20u16), 0..200)) {
            let mut lists = Lists::new(3, 20);
            let mut oracle = vec![VecDeque::new(); 3];
            for (list, entry) in steps {
                match oracle.iter().position(|queue| queue.contains(&entry)) {
                    Some(of) => {
                        lists.remove(of, entry);
                        oracle[of].retain(|other| *other != entry);
                    }
                    None => {
                        lists.push(list, entry);
                        oracle[list].push_back(entry);
                    }
                }
                for (list, queue) in oracle.iter().enumerate() {
                    prop_assert_eq!(lists.first(list), queue.front().copied());
                    prop_assert!(lists.entries(list).eq(queue.iter().copied()));
                }
            }
        }
    }
}
