//! Cutting a part of the space of classes and zones in parts.

use super::classes::Run;
use super::fields::FIELDS;
use super::forest::{CHECK, Entry, NODE_KEYS};

/// The ways to cut: by a field; by the zones of a side.
pub(super) const DIMENSIONS: usize = FIELDS + 2;

/// With how many entries before it each entry of a list is compared, to see whether one hides it.
const HIDERS: usize = 16;

/// A part of the space of classes and zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Region {
    pub(super) ranges: [Run; FIELDS],
    /// Bits of zones that packets here may have.
    pub(super) zones: u32,
}

/// A region cut into at most 17 parts.
pub(super) struct Parts {
    pub(super) dimension: usize,
    /// The bits of the side by whose zones it is cut, if it is that.
    pub(super) side: u32,
    /// In order. With each part its first class, or its bit of zones.
    pub(super) parts: Vec<(u32, Region)>,
}

impl Parts {
    /// Cuts by a field, so that about as many borders of boxes lie in each part.
    pub(super) fn by_class(field: usize, boxes: &[Entry], list: &[u32], region: &Region) -> Self {
        let here = region.ranges[field];
        let mut edges = Vec::with_capacity(2 * list.len());
        for entry in list {
            let run = boxes[*entry as usize].ranges[field];
            edges.extend(Some(run.first).filter(|first| *first > here.first));
            edges.extend(Some(run.last).filter(|last| *last < here.last).map(|last| last + 1));
        }
        edges.sort_unstable();
        let mut starts = vec![here.first];
        if edges.len() <= NODE_KEYS {
            starts.extend(edges);
        } else {
            starts.extend((1..=NODE_KEYS).map(|part| edges[part * edges.len() / (NODE_KEYS + 1)]));
        }
        starts.dedup();
        let ends = starts[1..].iter().map(|start| start - 1).chain([here.last]);
        let parts = starts.iter().zip(ends).map(|(first, last)| {
            let mut part = *region;
            part.ranges[field] = Run { first: *first, last };
            (*first, part)
        });
        Self { dimension: field, side: 0, parts: parts.collect() }
    }

    /// Cuts by the zones of a side, one bit a part.
    pub(super) fn by_zone(dimension: usize, region: &Region, side: u32) -> Self {
        let bits = (0..u32::BITS).map(|bit| 1 << bit).filter(|bit| region.zones & side & bit != 0);
        let parts = bits.map(|bit| (bit, Region { zones: region.zones & !side | bit, ..*region }));
        Self { dimension, side, parts: parts.collect() }
    }

    /// Gives each part the entries of `list` that have something in it, up to the first that covers it.
    pub(super) fn sort(
        &self,
        boxes: &[Entry],
        list: &[u32],
        region: &Region,
        mut give: impl FnMut(usize, u32),
    ) {
        let mut open = (1_u32 << self.parts.len()) - 1;
        for index in list {
            let entry = &boxes[*index as usize];
            let (touched, covered) = self.touched(entry);
            let mut ways = touched & open;
            while ways != 0 {
                give(ways.trailing_zeros() as usize, *index);
                ways &= ways - 1;
            }
            if self.covers_otherwise(entry, region) {
                open &= !covered;
                if open == 0 {
                    break;
                }
            }
        }
    }

    /// By bits the parts that have something of `entry`, and those that have nothing else, as far as the dimension of
    /// the cut tells.
    fn touched(&self, entry: &Entry) -> (u32, u32) {
        if self.side != 0 {
            let allowed = (0..).zip(&self.parts).filter(|(_, (bit, _))| entry.forbidden & bit == 0);
            let ways = allowed.fold(0, |ways, (way, _)| ways | 1 << way);
            return (ways, ways);
        }
        let run = entry.ranges[self.dimension];
        let way_of = |class: u32| self.parts.partition_point(|(start, _)| *start <= class).saturating_sub(1);
        let (first, last) = (way_of(run.first), way_of(run.last));
        let touched = (2_u32 << last) - (1 << first);
        let mut covered = touched;
        if run.first > self.parts[first].0 {
            covered &= !(1 << first);
        }
        if run.last < self.parts[last].1.ranges[self.dimension].last {
            covered &= !(1 << last);
        }
        (touched, covered)
    }

    /// Whether `entry` covers `region` in all dimensions but that of the cut.
    fn covers_otherwise(&self, entry: &Entry, region: &Region) -> bool {
        let covers = |field: usize| {
            let (run, here) = (entry.ranges[field], region.ranges[field]);
            field == self.dimension || run.first <= here.first && here.last <= run.last
        };
        entry.identity & CHECK == 0
            && entry.forbidden & region.zones & !self.side == 0
            && (0..FIELDS).all(covers)
    }
}

/// What of `list` can be the first match somewhere in `region`: not what lies outside, nor what one entry before it
/// hides. (What only several together hide stays.)
pub(super) fn visible(boxes: &[Entry], list: &[u32], region: &Region, sides: [u32; 2]) -> Vec<u32> {
    let mut seen: Vec<u32> = Vec::new();
    let mut hiders: Vec<Entry> = Vec::new();
    for index in list {
        let Some(entry) = clip(&boxes[*index as usize], region, sides) else { continue };
        if hiders.iter().any(|before| hides(before, &entry)) {
            continue;
        }
        seen.push(*index);
        if entry.identity & CHECK != 0 {
            continue;
        }
        if entry.ranges == region.ranges && entry.forbidden == 0 {
            break;
        }
        if hiders.len() < HIDERS {
            hiders.push(entry);
        }
    }
    seen
}

/// The part of `entry` that lies in `region`.
fn clip(entry: &Entry, region: &Region, sides: [u32; 2]) -> Option<Entry> {
    let mut clipped = *entry;
    for (range, here) in clipped.ranges.iter_mut().zip(&region.ranges) {
        *range = Run { first: range.first.max(here.first), last: range.last.min(here.last) };
        if range.first > range.last {
            return None;
        }
    }
    clipped.forbidden &= region.zones;
    // Zones of a side that all are forbidden.
    let is_shut = |side: u32| region.zones & side != 0 && clipped.forbidden & side == region.zones & side;
    if sides.into_iter().any(is_shut) { None } else { Some(clipped) }
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
