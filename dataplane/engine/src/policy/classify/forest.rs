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

use super::checks::{Checks, Exact};
use super::classes::Run;
use super::fields::{DESTINATION, FIELDS, SERVICE, SOURCE};
use super::lists::{LANES, Lists};
use super::search::Key;
use crate::policy::ruleset::RuleId;

/// Borders in a node.
pub(super) const NODE_KEYS: usize = 16;
/// Nodes from the root of a tree to any of its lists.
pub(super) const DEPTH_MAX: usize = 8;
/// Set in a reference that is to a node, not to a list.
const NODE: u32 = 1 << 31;
/// Set in the identity of an entry that needs a check; the rest is the number of the check.
pub(super) const CHECK: u32 = 1 << 31;
/// No rule.
const NO_RULE: u32 = u32::MAX;

/// The list without entries.
pub(super) const EMPTY: Reference = Reference(0);
/// The tree of what is wide in every field: it compares all three.
pub(super) const REST: usize = FIELDS;

/// Where a list or a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reference(u32);

/// A packet, as the forest sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    /// The classes of its fields, as the lists have them: see [`super::boxes::Shape`].
    pub(super) coarse: [u16; FIELDS],
    /// Bits of its zones.
    pub(super) zones: u16,
    /// What checks want to know.
    pub(super) exact: Exact,
}

/// One box of a rule.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Coarse classes by field.
    pub(super) ranges: [Run<u16>; FIELDS],
    /// Bits of zones that it does not match.
    pub(super) forbidden: u16,
    /// The rule; or, with [`CHECK`], a check.
    pub(super) identity: u32,
}

/// Sends a packet one of 17 ways.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// The field.
    pub(super) field: usize,
    /// Sorted: where the children but the first begin, as [`border`] makes it.
    pub(super) borders: [i16; NODE_KEYS],
    pub(super) children: [Reference; NODE_KEYS + 1],
}

/// The trees of all rules of one IP version.
#[derive(Debug)]
pub(super) struct Forest {
    /// By field and coarse class: the lists of the rules that are narrowest there.
    pub(super) roots: [Vec<Reference>; FIELDS],
    /// The rules that are wide in every field.
    pub(super) rest: Reference,
    pub(super) nodes: Vec<Node>,
    pub(super) lists: Lists,
    pub(super) checks: Checks,
}

impl Forest {
    /// The first rule that matches.
    #[inline]
    pub(super) fn first_match(&self, point: &Point) -> Option<RuleId> {
        self.first_in(point, self.lists_of(point))
    }

    /// The lists that `point` has to see, by field.
    #[inline]
    pub(super) fn lists_of(&self, point: &Point) -> [Reference; FIELDS] {
        let list = |field: usize| {
            let root = self.roots[field][usize::from(point.coarse[field])];
            self.descend(root, point)
        };
        [list(SOURCE), list(DESTINATION), list(SERVICE)]
    }

    /// The first rule of `lists` and the rest that matches.
    #[inline]
    pub(super) fn first_in(&self, point: &Point, lists: [Reference; FIELDS]) -> Option<RuleId> {
        let mut best = NO_RULE;
        best = self.scan::<SERVICE>(lists[SERVICE], point, best);
        best = self.scan::<SOURCE>(lists[SOURCE], point, best);
        best = self.scan::<DESTINATION>(lists[DESTINATION], point, best);
        if self.rest != EMPTY {
            best = self.scan::<REST>(self.descend(self.rest, point), point, best);
        }
        (best != NO_RULE).then_some(RuleId(best))
    }

    /// From the root of a tree to the list for `point`.
    #[inline]
    fn descend(&self, root: Reference, point: &Point) -> Reference {
        let mut reference = root;
        for _ in 0..DEPTH_MAX {
            let Some(node) = reference.as_node() else { break };
            let node = &self.nodes[node];
            let way = i16::below(&node.borders, biased(point.coarse[node.field]));
            reference = node.children[way];
        }
        reference
    }

    /// The first rule in `list` that matches, if it comes before `best`; else `best`.
    #[inline]
    fn scan<const TREE: usize>(&self, list: Reference, point: &Point, best: u32) -> u32 {
        let list = self.lists.at(list);
        let count = list.count();
        let mut first = 0;
        while first < count {
            let mut matching = list.matching::<TREE>(first, point);
            while matching != 0 {
                let lane = matching.trailing_zeros() / u8::BITS;
                matching &= !(0xff << (lane * u8::BITS));
                let identity = list.identity::<TREE>(first + lane as usize);
                let rule = if identity & CHECK == 0 {
                    Some(identity)
                } else {
                    self.checks.rule_if_matches(identity & !CHECK, &point.exact)
                };
                if let Some(rule) = rule {
                    return rule.min(best);
                }
            }
            first += LANES;
            // Of what is after a rule that has been found already, nothing matters.
            if first < count && self.rule_of(list.identity::<TREE>(first)) > best {
                break;
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

    pub(super) fn to_list(place: usize) -> Self {
        let place = u32::try_from(place).ok().filter(|place| place & NODE == 0);
        Self(place.expect("the budget of entries keeps the lists below 2^31 words"))
    }

    /// Where a list is.
    #[inline]
    pub(super) fn place(self) -> usize {
        self.0 as usize
    }

    #[inline]
    fn as_node(self) -> Option<usize> {
        (self.0 & NODE != 0).then_some((self.0 & !NODE) as usize)
    }
}

/// The border of a node before `class`, which is not the first there is.
pub(super) fn border(class: u16) -> i16 {
    biased(class - 1)
}

/// Shifts unsigned to signed order, in which baseline x86-64 compares vectors.
#[inline(always)]
fn biased(class: u16) -> i16 {
    (class ^ 0x8000).cast_signed()
}
