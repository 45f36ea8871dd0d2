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
use super::cut::{DIMENSIONS, Parts, Region, visible};
use super::fields::FIELDS;
use super::forest::{DEPTH_MAX, EMPTY, Entry, Forest, NODE_KEYS, Node, REST, Reference};
use super::lists::ListsBuilder;
use super::search::Key;
use super::width::Class;

/// Lists of up to this many entries are not cut.
const UNCUT_MAX: usize = 8;
/// What a node costs, in entries.
const NODE_COST: usize = 8;
/// A cut must bring the list that is met down to this share, in parts of 8.
const WORTH: usize = 6;

/// Grows the forest, unless its lists take more than `bytes_max`. Cuts may add up to `budget` entries.
pub(super) fn grow<C: Class>(
    boxes: &Boxes,
    budget: usize,
    fields: &[Field<'_>; FIELDS],
    sides: [u32; 2],
    checks: Checks,
    bytes_max: usize,
) -> Option<Forest<C>> {
    let mut grower = Grower {
        boxes,
        sides,
        lists: ListsBuilder::new(),
        nodes: Vec::new(),
        roots: core::array::from_fn(|field| vec![EMPTY; fields[field].classes as usize]),
        rest: EMPTY,
        pending: BinaryHeap::new(),
        budget,
        scratch: Vec::new(),
    };
    let ranges = core::array::from_fn(|field| fields[field].everything());
    let whole = Region { ranges, zones: sides[0] | sides[1] };
    for (field, boxes) in boxes[..FIELDS].iter().enumerate() {
        grower.plant(field, boxes, whole);
    }
    let all: Vec<u32> = (0..).zip(&boxes[REST]).map(|(index, _)| index).collect();
    grower.push(REST, &all, whole, Place::Rest, 0);
    while let Some(pending) = grower.pending.pop() {
        grower.settle(pending);
        if grower.lists.memory_bytes() > bytes_max {
            return None;
        }
    }
    Some(Forest {
        roots: grower.roots,
        rest: grower.rest,
        nodes: grower.nodes,
        lists: grower.lists.finish(),
        checks,
    })
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
    /// The bits of the zones of each side.
    sides: [u32; 2],
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
    parts: Parts,
    /// Entries in all children.
    total: usize,
    /// How long the list is that a packet of one of its entries meets, on average.
    met: usize,
}

impl<C: Class> Grower<'_, C> {
    /// Makes the lists of the tree that is entered by the class of `field`.
    fn plant(&mut self, field: usize, boxes: &[Entry], whole: Region) {
        // A counting sort: the entries of each class, in their order.
        let mut ends = vec![0_usize; whole.ranges[field].last as usize + 1];
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
        for class in 0..=whole.ranges[field].last {
            let end = ends[class as usize];
            let mut region = whole;
            region.ranges[field] = Run { first: class, last: class };
            self.push(field, &entries[begin..end], region, Place::Root { field, class }, 0);
            begin = end;
        }
    }

    /// Makes the list of what is visible of `list` in `region`, or leaves it for later if it should be cut. Returns its
    /// length.
    fn push(&mut self, tree: usize, list: &[u32], region: Region, place: Place, depth: usize) -> usize {
        let list = visible(&self.boxes[tree], list, &region, self.sides);
        let place = core::cmp::Reverse(place);
        let length = list.len();
        let pending = Pending { length, place, tree, depth, list, region };
        if pending.length <= UNCUT_MAX || pending.depth == DEPTH_MAX {
            self.end(&pending);
        } else {
            self.pending.push(pending);
        }
        length
    }

    /// Cuts a list if that pays, else makes it one.
    fn settle(&mut self, pending: Pending) {
        let Some(Cut { parts, .. }) = self.best_cut(&pending) else { return self.end(&pending) };
        self.budget = (self.budget + pending.length).saturating_sub(NODE_COST);
        let node = self.nodes.len();
        let mut borders = [C::Border::PAD; NODE_KEYS];
        let starts = parts.parts.iter().skip(1);
        starts.zip(&mut borders).for_each(|((start, _), border)| *border = C::of(start - 1).order());
        let (field, side) = (parts.dimension.min(FIELDS), C::of(parts.side));
        self.nodes.push(Node { field, side, borders, children: [EMPTY; NODE_KEYS + 1] });
        self.set(pending.place.0, Reference::to_node(node));
        let boxes = &self.boxes[pending.tree];
        let mut lists: [Vec<u32>; NODE_KEYS + 1] = Default::default();
        parts.sort(boxes, &pending.list, &pending.region, |way, index| lists[way].push(index));
        for (way, ((_, region), list)) in parts.parts.into_iter().zip(&lists).enumerate() {
            let place = Place::Child { node, way };
            let length = self.push(pending.tree, list, region, place, pending.depth + 1);
            self.budget = self.budget.saturating_sub(length);
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
        (0..DIMENSIONS)
            .filter(|dimension| *dimension != pending.tree || pending.tree == REST)
            .filter_map(|dimension| self.cut(pending, dimension))
            .filter(|cut| cut.total + NODE_COST <= self.budget + pending.length)
            .filter(|cut| cut.met * 8 <= pending.length * WORTH)
            .min_by_key(|cut| (cut.met, cut.total))
    }

    /// Cuts a list by one dimension, if that has any borders.
    fn cut(&self, pending: &Pending, dimension: usize) -> Option<Cut> {
        let boxes = &self.boxes[pending.tree];
        let parts = match self.sides.get(dimension.wrapping_sub(FIELDS)) {
            Some(side) => Parts::by_zone(dimension, &pending.region, *side),
            None => Parts::by_class(dimension, boxes, &pending.list, &pending.region),
        };
        if parts.parts.len() < 2 {
            return None;
        }
        let mut lengths = [0_usize; NODE_KEYS + 1];
        parts.sort(boxes, &pending.list, &pending.region, |way, _| lengths[way] += 1);
        let total: usize = lengths.iter().sum();
        let squares: usize = lengths.iter().map(|length| length * length).sum();
        Some(Cut { parts, total, met: squares.checked_div(total).unwrap_or(0) })
    }
}

fn classes(run: Run) -> core::ops::RangeInclusive<u32> {
    run.first..=run.last
}
