//! The classifier of one IP version.

use super::boxes::{self, Field};
use super::checks::{Checks, ZonePair};
use super::classes::{Partition, Value};
use super::fields::{AddressIndex, DESTINATION, FIELDS, Family, Fields, SERVICE, SOURCE, Spec};
use super::forest::{Forest, NO_RULE, Point, REST, STAGE};
use super::grow::grow;
use super::services::Services;
use super::short::{SHORT_MAX, Short};
use super::width::Class;
use super::zones::{Allowed, ZoneBits};
use crate::policy::ruleset::{Query, RuleId, Ruleset};

/// How many entries there may be, for each rule.
struct Plan {
    /// In the trees of single fields.
    entries: usize,
    /// By cuts besides.
    cuts: usize,
}

/// Much is tried first, because boxes that overlap in all fields must be cut by each before they begin to hide each
/// other; if what comes out is too large, less.
const PLANS: [Plan; 2] = [Plan { entries: 8, cuts: 12 }, Plan { entries: 8, cuts: 3 }];
/// What is bounded by itself: at most 5 entries of 38 bytes a rule.
const LAST_PLAN: Plan = Plan { entries: 4, cuts: 1 };
/// Entries besides, so that small policies need not save.
const SPARE_ENTRIES: usize = 16_384;
/// How large the lists may become.
const BYTES_PER_RULE: usize = 220;
const SPARE_BYTES: usize = 1 << 20;

/// What is read from the caches of a core of today without much of a wait: as much as a second-level cache has.
const NEAR_MAX: usize = 2 << 20;

/// In numbers that are as wide as the policy needs.
#[derive(Debug)]
pub(super) enum Compiled<F: Family> {
    Narrow(Version<F, u16>),
    Wide(Version<F, u32>),
}

/// The classifier of one IP version, with classes of so many bits.
#[derive(Debug)]
pub(super) struct Version<F: Family, C: Class> {
    sources: F::Index<C>,
    destinations: F::Index<C>,
    services: Services<C>,
    /// Whether a field has more classes than one, by which it must be looked at.
    is_cut: [bool; FIELDS],
    /// Whether it is larger than a core's own caches, so that the lookups of a burst ask for what they read ahead.
    is_far: bool,
    rules: Rules<C>,
}

/// The boxes of the rules.
#[derive(Debug)]
enum Rules<C: Class> {
    Few(Short<C>, Checks),
    Many(Forest<C>),
}

/// The fields of all rules, cut into classes.
struct Parts<'a, F: Family> {
    fields: Fields<'a, F>,
    sources: Partition<F::Address>,
    destinations: Partition<F::Address>,
    services: Partition<u32>,
}

impl<F: Family> Compiled<F> {
    /// Compiles the rules that speak of this version.
    pub(super) fn build(ruleset: &Ruleset, zones: &ZoneBits, allowed: &[Allowed]) -> Self {
        let fields = Fields::<F>::of(ruleset);
        let services: Vec<_> = fields.services.iter().map(|ranges| &ranges[..]).collect();
        let parts = Parts {
            sources: Partition::of(&fields.sources),
            destinations: Partition::of(&fields.destinations),
            services: Partition::of(&services),
            fields,
        };
        let classes = parts.sources.classes.max(parts.destinations.classes).max(parts.services.classes);
        if classes <= 1 << u16::BITS && zones.bits() <= u16::BITS {
            Self::Narrow(Version::build(ruleset, zones, allowed, parts))
        } else {
            Self::Wide(Version::build(ruleset, zones, allowed, parts))
        }
    }

    /// The first rule that matches.
    pub(super) fn classify(&self, query: &Query, zones: &ZoneBits) -> Option<RuleId> {
        match self {
            Self::Narrow(version) => version.classify(query, zones),
            Self::Wide(version) => version.classify(query, zones),
        }
    }

    /// The same for up to [`STAGE`] queries.
    pub(super) fn classify_burst<'a>(
        &self,
        queries: &[Query],
        zones: &ZoneBits,
        out: impl Iterator<Item = &'a mut Option<RuleId>>,
    ) {
        match self {
            Self::Narrow(version) => version.classify_burst(queries, zones, out),
            Self::Wide(version) => version.classify_burst(queries, zones, out),
        }
    }

    /// Bytes on the heap.
    pub(super) fn memory_bytes(&self) -> usize {
        match self {
            Self::Narrow(version) => version.memory_bytes(),
            Self::Wide(version) => version.memory_bytes(),
        }
    }
}

impl<F: Family, C: Class> Version<F, C> {
    fn build(ruleset: &Ruleset, zones: &ZoneBits, allowed: &[Allowed], parts: Parts<'_, F>) -> Self {
        let Parts { fields, sources, destinations, services } = parts;
        let users = |field: usize| fields.specs.iter().map(move |spec: &Spec| spec.sets[field]);
        let cut: [Field<'_>; FIELDS] = [
            Field::of(sources.classes, &sources.runs, users(SOURCE)),
            Field::of(destinations.classes, &destinations.runs, users(DESTINATION)),
            Field::of(services.classes, &services.runs, users(SERVICE)),
        ];
        let is_cut = cut.each_ref().map(|field| field.classes > 1);
        let few = || {
            // Without a budget all boxes are in the rest.
            let (boxes, checks) = boxes::compile(ruleset, &fields.specs, allowed, &cut, 0);
            Short::of(&boxes[REST]).map(|short| Rules::Few(short, checks))
        };
        let count = fields.specs.len();
        let plant = |plan: &Plan, bytes_max: usize| {
            let entries = count * plan.entries + SPARE_ENTRIES;
            let (boxes, checks) = boxes::compile(ruleset, &fields.specs, allowed, &cut, entries);
            grow(&boxes, count * plan.cuts + SPARE_ENTRIES, &cut, zones.sides, checks, bytes_max)
        };
        let many = || {
            let bytes_max = count * BYTES_PER_RULE + SPARE_BYTES;
            let planted = PLANS.iter().find_map(|plan| plant(plan, bytes_max));
            let planted = planted.or_else(|| plant(&LAST_PLAN, usize::MAX));
            Rules::Many(planted.expect("without a bound of bytes every forest is grown"))
        };
        let mut rules = if count <= SHORT_MAX { few() } else { None }.unwrap_or_else(many);
        let (source_index, destination_index) = (F::Index::of(&sources), F::Index::of(&destinations));
        let service_index = Services::of(&fields.protocols, &services);
        rules.checks().keep([sources.runs, destinations.runs, services.runs]);
        let mut version = Self {
            sources: source_index,
            destinations: destination_index,
            services: service_index,
            is_cut,
            is_far: false,
            rules,
        };
        version.is_far = version.memory_bytes() > NEAR_MAX;
        version
    }

    fn classify(&self, query: &Query, zones: &ZoneBits) -> Option<RuleId> {
        // A field that no rule asks for has one class.
        let class =
            |field: usize, find: &dyn Fn() -> C| if self.is_cut[field] { find() } else { C::default() };
        let point = Point {
            classes: [
                class(SOURCE, &|| self.sources.class_of(F::address(query.source))),
                class(DESTINATION, &|| self.destinations.class_of(F::address(query.destination))),
                class(SERVICE, &|| self.services.class_of(query.protocol, query.selector)),
            ],
            zones: C::of(zones.of(query.from, query.to)),
        };
        let zones = || ZonePair::of(query);
        rule_id(match &self.rules {
            Rules::Few(short, checks) => short.search(&point, checks, zones),
            Rules::Many(forest) => {
                let mut best = [NO_RULE];
                forest.search_all::<false>(&[point], &mut best, |_| zones());
                best[0]
            }
        })
    }

    /// Takes up to [`STAGE`] queries through one stage after the other.
    fn classify_burst<'a>(
        &self,
        queries: &[Query],
        zones: &ZoneBits,
        out: impl Iterator<Item = &'a mut Option<RuleId>>,
    ) {
        let mut points = [Point::default(); STAGE];
        let points = &mut points[..queries.len()];
        if self.is_far {
            self.place_all(queries, points);
        } else {
            if self.is_cut[SOURCE] {
                for (query, point) in queries.iter().zip(&mut *points) {
                    point.classes[SOURCE] = self.sources.class_of(F::address(query.source));
                }
            }
            if self.is_cut[DESTINATION] {
                for (query, point) in queries.iter().zip(&mut *points) {
                    point.classes[DESTINATION] = self.destinations.class_of(F::address(query.destination));
                }
            }
        }
        if self.is_cut[SERVICE] {
            for (query, point) in queries.iter().zip(&mut *points) {
                point.classes[SERVICE] = self.services.class_of(query.protocol, query.selector);
            }
        }
        for (query, point) in queries.iter().zip(&mut *points) {
            point.zones = C::of(zones.of(query.from, query.to));
        }
        let mut best = [NO_RULE; STAGE];
        let zones = |index: usize| ZonePair::of(&queries[index]);
        match &self.rules {
            Rules::Few(short, checks) => {
                for (index, (point, best)) in points.iter().zip(&mut best).enumerate() {
                    *best = short.search(point, checks, || zones(index));
                }
            }
            Rules::Many(forest) if self.is_far => forest.search_all::<true>(points, &mut best, zones),
            Rules::Many(forest) => forest.search_all::<false>(points, &mut best, zones),
        }
        for (best, out) in best.iter().zip(out) {
            *out = rule_id(*best);
        }
    }

    /// The classes of the addresses of up to [`STAGE`] queries, with what is read asked for ahead.
    #[inline(always)]
    fn place_all(&self, queries: &[Query], points: &mut [Point<C>]) {
        let mut addresses = [F::Address::MIN; STAGE];
        let mut classes = [C::default(); STAGE];
        for field in [SOURCE, DESTINATION] {
            for (query, address) in queries.iter().zip(&mut addresses) {
                *address = F::address(if field == SOURCE { query.source } else { query.destination });
            }
            let index = if field == SOURCE { &self.sources } else { &self.destinations };
            index.classes_of(&addresses[..queries.len()], &mut classes[..queries.len()]);
            for (point, class) in points.iter_mut().zip(classes) {
                point.classes[field] = class;
            }
        }
    }

    fn memory_bytes(&self) -> usize {
        self.sources.memory_bytes()
            + self.destinations.memory_bytes()
            + self.services.memory_bytes()
            + self.rules.memory_bytes()
    }
}

impl<C: Class> Rules<C> {
    fn checks(&mut self) -> &mut Checks {
        match self {
            Self::Few(_, checks) => checks,
            Self::Many(forest) => &mut forest.checks,
        }
    }

    fn memory_bytes(&self) -> usize {
        match self {
            Self::Few(short, checks) => short.memory_bytes() + checks.memory_bytes(),
            Self::Many(forest) => forest.memory_bytes(),
        }
    }
}

fn rule_id(rule: u32) -> Option<RuleId> {
    (rule != NO_RULE).then_some(RuleId(rule))
}
