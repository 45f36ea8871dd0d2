//! From boxes to trees.
//!
//! The lists that are longest are cut first, and a cut that puts a box into several children is paid from one budget
//! for the whole forest; when that is used up what is left stays as it is. So the memory is linear in the number of
//! rules, whatever they are, where plain decision trees grow with its power (Gupta and McKeown, HiCuts, 1999, choose
//! their cuts for each node by itself).

use std::collections::BinaryHeap;

use super::boxes::{Boxes, Field};
use super::checks::Checks;
use super::classes::Run;
use super::fields::FIELDS;
use super::forest::{CHECK, DEPTH_MAX, EMPTY, Entry, Forest, NODE_KEYS, Node, REST, Reference};
use super::lists::ListsBuilder;
use super::search::Key;
use super::width::Class;

/// Lists of up to this many entries are not cut.
const UNCUT_MAX: usize = 8;
/// Entries that cuts may add: this many a box, and [`BUDGET_SPARE`].
const BUDGET_PER_BOX: usize = 4;
const BUDGET_SPARE: usize = 16_384;
/// What a node costs, in entries.
const NODE_COST: usize = 8;
/// A cut must bring the list that is met down to this share, in parts of 8.
const WORTH: usize = 6;
/// With how many entries before it each entry of a list is compared, to see whether one hides it.
const HIDERS: usize = 32;

/// A part of class space.
type Region = [Run; FIELDS];

/// Grows the forest.
pub(super) fn grow<C: Class>(boxes: &Boxes, fields: &[Field<'_>; FIELDS], checks: Checks) -> Forest<C> {
    let total: usize = boxes.iter().map(Vec::len).sum();
    let mut grower = Grower {
        boxes,
        lists: ListsBuilder::new(),
        nodes: Vec::new(),
        roots: core::array::from_fn(|field| vec![EMPTY; fields[field].classes as usize]),
        rest: EMPTY,
        pending: BinaryHeap::new(),
        budget: total * BUDGET_PER_BOX + BUDGET_SPARE,
        scratch: Vec::new(),
    };
    let whole: Region = core::array::from_fn(|field| fields[field].everything());
    for (field, boxes) in boxes[..FIELDS].iter().enumerate() {
        grower.plant(field, boxes, whole);
    }
    let all: Vec<u32> = (0..).zip(&boxes[REST]).map(|(index, _)| index).collect();
    grower.push(REST, &all, whole, Place::Rest, 0);
    while let Some(pending) = grower.pending.pop() {
        grower.settle(pending);
    }
    Forest {
        roots: grower.roots,
        rest: grower.rest,
        nodes: grower.nodes,
        lists: grower.lists.finish(),
        checks,
    }
}

/// Where the reference to a list or node belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Root { field: usize, class: u32 },
    Rest,
    Child { node: usize, way: usize },
}

/// A list that may be cut. The longest is the greatest, among equals the first made.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Pending {
    length: usize,
    place: core::cmp::Reverse<Place>,
    tree: usize,
    depth: usize,
    list: Vec<u32>,
    region: Region,
}

struct Grower<'a, C: Class> {
    boxes: &'a Boxes,
    lists: ListsBuilder<C>,
    nodes: Vec<Node<C>>,
    roots: [Vec<Reference>; FIELDS],
    rest: Reference,
    pending: BinaryHeap<Pending>,
    budget: usize,
    scratch: Vec<Entry>,
}

/// A way to cut a list.
struct Cut {
    field: usize,
    /// First classes of the children but the first.
    borders: Vec<u32>,
    children: Vec<(Region, Vec<u32>)>,
    /// Entries in all children.
    total: usize,
    /// How long the list is that a packet of one of its entries meets, on average.
    met: usize,
}

impl<C: Class> Grower<'_, C> {
    /// Makes the lists of the tree that is entered by the class of `field`.
    fn plant(&mut self, field: usize, boxes: &[Entry], whole: Region) {
        // A counting sort: the entries of each class, in their order.
        let mut ends = vec![0_usize; whole[field].last as usize + 1];
        for entry in boxes {
            classes(entry.ranges[field]).for_each(|class| ends[class as usize] += 1);
        }
        let mut sum = 0;
        for end in &mut ends {
            (sum, *end) = (sum + *end, sum);
        }
        let mut entries = vec![0_u32; sum];
        for (index, entry) in (0..).zip(boxes) {
            for class in classes(entry.ranges[field]) {
                let end = &mut ends[class as usize];
                entries[*end] = index;
                *end += 1;
            }
        }
        let mut begin = 0;
        for class in 0..=whole[field].last {
            let end = ends[class as usize];
            let mut region = whole;
            region[field] = Run { first: class, last: class };
            self.push(field, &entries[begin..end], region, Place::Root { field, class }, 0);
            begin = end;
        }
    }

    /// Makes the list of what is visible of `list` in `region`, or leaves it for later if it should be cut.
    fn push(&mut self, tree: usize, list: &[u32], region: Region, place: Place, depth: usize) {
        let list = visible(&self.boxes[tree], list, &region);
        self.push_visible(Pending {
            length: list.len(),
            place: core::cmp::Reverse(place),
            tree,
            depth,
            list,
            region,
        });
    }

    fn push_visible(&mut self, pending: Pending) {
        if pending.length <= UNCUT_MAX || pending.depth == DEPTH_MAX {
            self.end(&pending);
        } else {
            self.pending.push(pending);
        }
    }

    /// Cuts a list if that pays, else makes it one.
    fn settle(&mut self, pending: Pending) {
        let Some(cut) = self.best_cut(&pending) else { return self.end(&pending) };
        self.budget = (self.budget + pending.length).saturating_sub(cut.total + NODE_COST);
        let node = self.nodes.len();
        let mut borders = [C::Border::PAD; NODE_KEYS];
        cut.borders.iter().zip(&mut borders).for_each(|(class, at)| *at = C::of(class - 1).order());
        let children = [EMPTY; NODE_KEYS + 1];
        self.nodes.push(Node { field: cut.field, borders, children });
        self.set(pending.place.0, Reference::to_node(node));
        for (way, (region, list)) in cut.children.into_iter().enumerate() {
            let place = core::cmp::Reverse(Place::Child { node, way });
            let (tree, depth) = (pending.tree, pending.depth + 1);
            self.push_visible(Pending { length: list.len(), place, tree, depth, list, region });
        }
    }

    fn end(&mut self, pending: &Pending) {
        let boxes = &self.boxes[pending.tree];
        self.scratch.clear();
        self.scratch.extend(pending.list.iter().map(|index| boxes[*index as usize]));
        let list = self.lists.push(pending.tree, &self.scratch);
        self.set(pending.place.0, list);
    }

    fn set(&mut self, place: Place, reference: Reference) {
        match place {
            Place::Root { field, class } => self.roots[field][class as usize] = reference,
            Place::Rest => self.rest = reference,
            Place::Child { node, way } => self.nodes[node].children[way] = reference,
        }
    }

    /// The cut after which the shortest list is met, if it is worth a node and the budget allows it.
    fn best_cut(&self, pending: &Pending) -> Option<Cut> {
        let boxes = &self.boxes[pending.tree];
        (0..FIELDS)
            .filter(|field| *field != pending.tree)
            .filter_map(|field| cut(boxes, &pending.list, &pending.region, field))
            .filter(|cut| cut.total + NODE_COST <= self.budget + pending.length)
            .filter(|cut| cut.met * 8 <= pending.length * WORTH)
            .min_by_key(|cut| (cut.met, cut.total))
    }
}

fn classes(run: Run) -> core::ops::RangeInclusive<u32> {
    run.first..=run.last
}

/// Cuts `list` by `field` into up to 17 parts with about as many borders of boxes in each.
fn cut(boxes: &[Entry], list: &[u32], region: &Region, field: usize) -> Option<Cut> {
    let here = region[field];
    let mut edges = Vec::with_capacity(2 * list.len());
    for entry in list {
        let run = boxes[*entry as usize].ranges[field];
        edges.extend(Some(run.first).filter(|first| *first > here.first));
        edges.extend(Some(run.last).filter(|last| *last < here.last).map(|last| last + 1));
    }
    edges.sort_unstable();
    let mut borders: Vec<u32> = if edges.len() <= NODE_KEYS {
        edges
    } else {
        (1..=NODE_KEYS).map(|part| edges[part * edges.len() / (NODE_KEYS + 1)]).collect()
    };
    borders.dedup();
    if borders.is_empty() {
        return None;
    }
    let starts = [here.first].into_iter().chain(borders.iter().copied());
    let ends = borders.iter().map(|border| border - 1).chain([here.last]);
    let children: Vec<_> = starts
        .zip(ends)
        .map(|(first, last)| {
            let mut part = *region;
            part[field] = Run { first, last };
            (part, visible(boxes, list, &part))
        })
        .collect();
    let total: usize = children.iter().map(|(_, list)| list.len()).sum();
    let squares: usize = children.iter().map(|(_, list)| list.len() * list.len()).sum();
    Some(Cut { field, borders, children, total, met: squares.checked_div(total).unwrap_or(0) })
}

/// What of `list` can be the first match somewhere in `region`: not what lies outside, nor what one entry before it
/// hides. (What only several together hide stays.)
fn visible(boxes: &[Entry], list: &[u32], region: &Region) -> Vec<u32> {
    let mut seen: Vec<u32> = Vec::new();
    let mut hiders: Vec<Entry> = Vec::new();
    for index in list {
        let Some(entry) = clip(&boxes[*index as usize], region) else { continue };
        if hiders.iter().any(|before| hides(before, &entry)) {
            continue;
        }
        seen.push(*index);
        if entry.identity & CHECK != 0 {
            continue;
        }
        if entry.ranges == *region && entry.forbidden == 0 {
            break;
        }
        if hiders.len() < HIDERS {
            hiders.push(entry);
        }
    }
    seen
}

/// The part of `entry` that lies in `region`.
fn clip(entry: &Entry, region: &Region) -> Option<Entry> {
    let mut clipped = *entry;
    for (range, here) in clipped.ranges.iter_mut().zip(region) {
        *range = Run { first: range.first.max(here.first), last: range.last.min(here.last) };
        if range.first > range.last {
            return None;
        }
    }
    Some(clipped)
}

/// Whether `before` matches everything that `after` does.
fn hides(before: &Entry, after: &Entry) -> bool {
    before.forbidden & !after.forbidden == 0
        && before
            .ranges
            .iter()
            .zip(&after.ranges)
            .all(|(before, after)| before.first <= after.first && after.last <= before.last)
}
