//! The slow and exact second look at entries that say a little too much.
//!
//! An entry is two or three intervals of classes and 16 bits of zones. Nearly always that is exactly what the rule says.
//! It is not for a set of so many runs of classes that some had to be joined, and for rules that tell more zones apart than
//! there are bits: such an entry names a check.

use super::classes::{Run, Runs};
use super::fields::FIELDS;
use super::forest::Point;
use super::width::Class;
use crate::policy::ruleset::{Query, ZoneId};

/// The zones of a packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct ZonePair {
    pub(super) from: Option<ZoneId>,
    pub(super) to: Option<ZoneId>,
}

impl ZonePair {
    pub(super) fn of(query: &Query) -> Self {
        Self { from: query.from, to: query.to }
    }
}

/// A rule as it is.
#[derive(Debug)]
struct Check {
    rule: u32,
    sets: [Option<u32>; FIELDS],
    from: Option<Box<[ZoneId]>>,
    to: Option<Box<[ZoneId]>>,
}

/// All checks of one IP version.
#[derive(Debug, Default)]
pub(super) struct Checks {
    checks: Vec<Check>,
    /// By field the classes of each set.
    runs: [Runs; FIELDS],
}

impl Checks {
    /// Adds a check for `rule`; its number.
    pub(super) fn push(
        &mut self,
        rule: u32,
        sets: [Option<u32>; FIELDS],
        from: Option<&[ZoneId]>,
        to: Option<&[ZoneId]>,
    ) -> u32 {
        let sorted = |zones: &[ZoneId]| {
            let mut zones: Box<[ZoneId]> = zones.into();
            zones.sort_unstable();
            zones
        };
        let number = u32::try_from(self.checks.len()).expect("at most one check a rule");
        self.checks.push(Check { rule, sets, from: from.map(sorted), to: to.map(sorted) });
        number
    }

    /// Keeps what the checks refer to, if there are any.
    pub(super) fn keep(&mut self, runs: [Runs; FIELDS]) {
        if !self.checks.is_empty() {
            self.runs = runs;
        }
    }

    /// The rule of a check.
    pub(super) fn rule(&self, number: u32) -> u32 {
        self.checks[number as usize].rule
    }

    /// The rule of a check, if it matches.
    #[cold]
    pub(super) fn rule_if_matches<C: Class>(
        &self,
        number: u32,
        point: &Point<C>,
        zones: &ZonePair,
    ) -> Option<u32> {
        let check = &self.checks[number as usize];
        let matches = in_zones(check.from.as_deref(), zones.from)
            && in_zones(check.to.as_deref(), zones.to)
            && (0..FIELDS).all(|field| {
                let class = point.classes[field].number();
                check.sets[field].is_none_or(|set| holds(self.runs[field].of_set(set), class))
            });
        matches.then_some(check.rule)
    }

    /// Bytes on the heap.
    pub(super) fn memory_bytes(&self) -> usize {
        let zones = |zones: &Option<Box<[ZoneId]>>| zones.as_deref().map_or(0, size_of_val);
        let lists: usize = self.checks.iter().map(|check| zones(&check.from) + zones(&check.to)).sum();
        size_of_val(&self.checks[..]) + lists + self.runs.iter().map(Runs::memory_bytes).sum::<usize>()
    }
}

fn in_zones(zones: Option<&[ZoneId]>, zone: Option<ZoneId>) -> bool {
    match (zones, zone) {
        (None, _) => true,
        (Some(zones), Some(zone)) => zones.binary_search(&zone).is_ok(),
        (Some(_), None) => false,
    }
}

/// A binary search: at most 32 steps.
fn holds(runs: &[Run], class: u32) -> bool {
    let after = runs.partition_point(|run| run.first <= class);
    after > 0 && class <= runs[after - 1].last
}
