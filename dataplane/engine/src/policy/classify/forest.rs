//! From the classes of a packet's fields to the first rule: three arrays and a tree, each of which ends in short lists.
//!
//! A rule is a box in the space of classes. It is kept under the field in which it is narrowest: a rule for one host in
//! the list of that host's class, one for a port and whatever addresses in that port's. So a packet has three lists to
//! see, one by each field, and most lists are a handful of entries. What is wide in every field goes to the rest, a tree of
//! its own. This is the partition by small fields of EffiCuts (Vamanan, Voskuilen and Vijaykumar, SIGCOMM 2010) and
//! CutSplit (Li et al., INFOCOM 2018), taken in class space, where "small" is a number of classes.
//!
//! A list that is long all the same is cut further, by nodes that send a packet one of 17 ways by the class of one
//! field (HyperSplit, Qi et al., INFOCOM 2009, with 16 borders in place of one).
//!
//! Lists are sorted by rule, and compared eight entries at a time, field by field: the loops below have no branch that
//! depends on the data, and compile to vector code.
//!
//! Bounds: a lookup sees four lists, each under at most [`DEPTH_MAX`] nodes. The memory has a budget that is linear in
//! the rules ([`super::grow`]), so no set of rules makes it explode; what the budget does not allow to be cut stays a
//! long list, compared to its end in the worst case.

use super::checks::{Checks, ZonePair};
use super::classes::Run;
use super::fields::{DESTINATION, FIELDS, SERVICE, SOURCE};
use super::lists::{Lists, UNIT};
use super::search::Key;
use super::width::Class;

/// Borders in a node.
pub(super) const NODE_KEYS: usize = 16;
/// Nodes from the root of a tree to any of its lists.
pub(super) const DEPTH_MAX: usize = 8;
/// The tree of what is wide in every field: it compares all three.
pub(super) const REST: usize = FIELDS;

/// Set in the identity of an entry that needs a check; the rest is the number of the check.
pub(super) const CHECK: u32 = 1 << 31;
/// Points that are searched for at a time.
pub(super) const STAGE: usize = 32;

/// The identity of no rule: after all that there are.
pub(super) const NO_RULE: u32 = !CHECK;

/// Where a list or a node is: from the highest bit on whether it is a node; if it is a list, how many entries it has,
/// in four bits; the place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reference(u32);

const NODE: u32 = 1 << 31;
const COUNT_SHIFT: u32 = 27;
/// Instead of the number of entries: it stands before them.
const MANY: u32 = 15;

/// The list without entries.
pub(super) const EMPTY: Reference = Reference(0);

/// A packet as the forest sees it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Point<C> {
    /// The classes of its fields.
    pub(super) classes: [C; FIELDS],
    /// Bits of its zones.
    pub(super) zones: C,
}

/// One box of a rule.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Classes by field.
    pub(super) ranges: [Run; FIELDS],
    /// Bits of zones that it does not match.
    pub(super) forbidden: u32,
    /// The rule; or, with [`CHECK`], a check.
    pub(super) identity: u32,
}

/// Sends a packet one of 17 ways.
#[derive(Clone, Debug)]
pub(super) struct Node<C: Class> {
    /// The field; [`FIELDS`] for zones.
    pub(super) field: usize,
    /// The bits of the zones of one side.
    pub(super) side: C,
    /// Sorted: the last class (or bits of zones) of each child but the last.
    pub(super) borders: [C::Border; NODE_KEYS],
    pub(super) children: [Reference; NODE_KEYS + 1],
}

/// The trees of all rules of one IP version.
#[derive(Debug)]
pub(super) struct Forest<C: Class> {
    /// By field and class: the lists of the rules that are narrowest there.
    pub(super) roots: [Vec<Reference>; FIELDS],
    /// The rules that are wide in every field.
    pub(super) rest: Reference,
    pub(super) nodes: Vec<Node<C>>,
    pub(super) lists: Lists<C>,
    pub(super) checks: Checks,
}

impl<C: Class> Forest<C> {
    /// Puts into `best` the first rule that matches each of `points` (of which there are at most [`STAGE`]), where it
    /// comes before the one that is there. `zones` tells their zones. `AHEAD`: the lists of all points are asked for before
    /// the first is looked at.
    #[inline(always)]
    pub(super) fn search_all<const AHEAD: bool>(
        &self,
        points: &[Point<C>],
        best: &mut [u32],
        zones: impl Fn(usize) -> ZonePair,
    ) {
        self.search::<SERVICE, AHEAD>(points, best, &zones);
        self.search::<SOURCE, AHEAD>(points, best, &zones);
        self.search::<DESTINATION, AHEAD>(points, best, &zones);
        if self.rest != EMPTY {
            for (index, (point, best)) in points.iter().zip(best).enumerate() {
                let list = self.descend(self.rest, point);
                *best = self.scan::<REST>(list, point, *best, || zones(index));
            }
        }
    }

    /// The same for one field's own tree.
    #[inline(always)]
    fn search<const FIELD: usize, const AHEAD: bool>(
        &self,
        points: &[Point<C>],
        best: &mut [u32],
        zones: &impl Fn(usize) -> ZonePair,
    ) {
        let mut lists = [EMPTY; STAGE];
        if AHEAD {
            for (point, list) in points.iter().zip(&mut lists) {
                *list = self.list_of::<FIELD>(point);
                self.lists.prefetch(list.place());
            }
        }
        // Those that need more than a look at a few entries, by bits.
        let mut unfinished = 0_u32;
        for (index, ((point, best), list)) in points.iter().zip(&mut *best).zip(&mut lists).enumerate() {
            if !AHEAD {
                *list = self.list_of::<FIELD>(point);
            }
            let identity = match list.count() {
                Some(count) => self.lists.first_of_few::<FIELD>(list.place(), count, point),
                None => CHECK,
            };
            if identity & CHECK == 0 {
                *best = identity.min(*best);
            } else {
                unfinished |= 1 << index;
            }
        }
        while unfinished != 0 {
            let index = unfinished.trailing_zeros() as usize;
            unfinished &= unfinished - 1;
            let list = lists[index];
            best[index] = self.scan::<FIELD>(list, &points[index], best[index], || zones(index));
        }
    }

    /// The list that `point` sees by its class in one field.
    #[inline(always)]
    fn list_of<const FIELD: usize>(&self, point: &Point<C>) -> Reference {
        let root = self.roots[FIELD][point.classes[FIELD].number() as usize];
        if root.is_node() { self.descend(root, point) } else { root }
    }

    /// From the root of a tree to the list for `point`.
    #[inline(never)]
    fn descend(&self, root: Reference, point: &Point<C>) -> Reference {
        let mut reference = root;
        for _ in 0..DEPTH_MAX {
            if !reference.is_node() {
                break;
            }
            let node = &self.nodes[(reference.0 & !NODE) as usize];
            let zones = point.zones.and(node.side);
            let value = point.classes.get(node.field).copied().unwrap_or(zones);
            let way = C::Border::below(&node.borders, value.order());
            reference = node.children[way];
        }
        reference
    }

    /// The first rule in `list` that matches, if it comes before `best`; else `best`.
    #[inline(never)]
    fn scan<const TREE: usize>(
        &self,
        list: Reference,
        point: &Point<C>,
        best: u32,
        zones: impl Fn() -> ZonePair,
    ) -> u32 {
        let list = match list.count() {
            Some(count) => self.lists.few(list.place(), count),
            None => self.lists.many(list.place()),
        };
        let mut walk = list.walk::<TREE>(point);
        while let Some((first, mut matching)) = walk.next::<TREE>(point) {
            // What comes after a rule that is already found does not matter.
            if self.rule_of(list.identity::<TREE>(first)) > best {
                break;
            }
            while matching != 0 {
                let identity = list.identity::<TREE>(first + matching.trailing_zeros() as usize);
                matching &= matching - 1;
                if identity & CHECK == 0 {
                    return identity.min(best);
                }
                if let Some(rule) = self.checks.rule_if_matches(identity & !CHECK, point, &zones()) {
                    return rule.min(best);
                }
            }
        }
        best
    }

    fn rule_of(&self, identity: u32) -> u32 {
        if identity & CHECK == 0 { identity } else { self.checks.rule(identity & !CHECK) }
    }

    /// Bytes on the heap.
    pub(super) fn memory_bytes(&self) -> usize {
        let roots: usize = self.roots.iter().map(|roots| size_of_val(&roots[..])).sum();
        roots + size_of_val(&self.nodes[..]) + self.lists.memory_bytes() + self.checks.memory_bytes()
    }
}

impl Reference {
    pub(super) fn to_node(index: usize) -> Self {
        Self(NODE | u32::try_from(index).expect("the budget of nodes is far below 2^31"))
    }

    /// A list at `place`, a multiple of [`UNIT`], of `count` entries if they are few.
    pub(super) fn to_list(place: usize, count: Option<u32>) -> Self {
        let place = u32::try_from(place / UNIT).ok().filter(|place| place >> COUNT_SHIFT == 0);
        let place = place.expect("the budget of entries keeps the lists below 1 GiB");
        Self(count.unwrap_or(MANY) << COUNT_SHIFT | place)
    }

    #[inline(always)]
    pub(super) fn is_node(self) -> bool {
        self.0 & NODE != 0
    }

    /// How many entries the list has, if they are few.
    #[inline(always)]
    pub(super) fn count(self) -> Option<usize> {
        let count = (self.0 & !NODE) >> COUNT_SHIFT;
        (count != MANY).then_some(count as usize)
    }

    /// Where the list is.
    #[inline(always)]
    pub(super) fn place(self) -> usize {
        (self.0 & ((1 << COUNT_SHIFT) - 1)) as usize * UNIT
    }
}
