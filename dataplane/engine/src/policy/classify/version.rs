//! The classifier of one IP version.

use super::boxes::{self, Field};
use super::checks::{Checks, ZonePair};
use super::classes::Partition;
use super::fields::{AddressIndex, DESTINATION, FIELDS, Family, Fields, SERVICE, SOURCE, Spec};
use super::forest::{Forest, NO_RULE, Point, STAGE};
use super::grow::grow;
use super::services::Services;
use super::width::Class;
use super::zones::{Allowed, ZoneBits};
use crate::policy::ruleset::{Query, RuleId, Ruleset};

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
    forest: Forest<C>,
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
    pub(super) fn build(ruleset: &Ruleset, allowed: &[Allowed]) -> Self {
        let fields = Fields::<F>::of(ruleset);
        let services: Vec<_> = fields.services.iter().map(|ranges| &ranges[..]).collect();
        let parts = Parts {
            sources: Partition::of(&fields.sources),
            destinations: Partition::of(&fields.destinations),
            services: Partition::of(&services),
            fields,
        };
        let classes = parts.sources.classes.max(parts.destinations.classes).max(parts.services.classes);
        if u64::from(classes) <= u16::COUNT_MAX {
            Self::Narrow(Version::build(ruleset, allowed, parts))
        } else {
            Self::Wide(Version::build(ruleset, allowed, parts))
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
    fn build(ruleset: &Ruleset, allowed: &[Allowed], parts: Parts<'_, F>) -> Self {
        let Parts { fields, sources, destinations, services } = parts;
        let users = |field: usize| fields.specs.iter().map(move |spec: &Spec| spec.sets[field]);
        let mut checks = Checks::default();
        let forest_fields: [Field<'_>; FIELDS] = [
            Field::of(sources.classes, &sources.runs, users(SOURCE)),
            Field::of(destinations.classes, &destinations.runs, users(DESTINATION)),
            Field::of(services.classes, &services.runs, users(SERVICE)),
        ];
        let boxes = boxes::compile(ruleset, &fields.specs, allowed, &forest_fields, &mut checks);
        let mut forest = grow(&boxes, &forest_fields, checks);
        let version =
            (F::Index::of(&sources), F::Index::of(&destinations), Services::of(&fields.protocols, &services));
        forest.checks.keep([sources.runs, destinations.runs, services.runs]);
        let (sources, destinations, services) = version;
        Self { sources, destinations, services, forest }
    }

    fn classify(&self, query: &Query, zones: &ZoneBits) -> Option<RuleId> {
        let point = Point {
            classes: [
                self.sources.class_of(F::address(query.source)),
                self.destinations.class_of(F::address(query.destination)),
                self.services.class_of(query.protocol, query.selector),
            ],
            zones: C::of(zones.of(query.from, query.to).into()),
        };
        let mut best = [NO_RULE];
        self.forest.search_all(&[point], &mut best, |_| ZonePair::of(query));
        rule_id(best[0])
    }

    /// Takes up to [`STAGE`] queries through one stage after the other.
    fn classify_burst<'a>(
        &self,
        queries: &[Query],
        zones: &ZoneBits,
        out: impl Iterator<Item = &'a mut Option<RuleId>>,
    ) {
        let mut points = [Point::default(); STAGE];
        for (query, point) in queries.iter().zip(&mut points) {
            point.classes[SOURCE] = self.sources.class_of(F::address(query.source));
        }
        for (query, point) in queries.iter().zip(&mut points) {
            point.classes[DESTINATION] = self.destinations.class_of(F::address(query.destination));
        }
        for (query, point) in queries.iter().zip(&mut points) {
            point.classes[SERVICE] = self.services.class_of(query.protocol, query.selector);
            point.zones = C::of(zones.of(query.from, query.to).into());
        }
        let mut best = [NO_RULE; STAGE];
        let zones = |index: usize| ZonePair::of(&queries[index]);
        self.forest.search_all(&points[..queries.len()], &mut best, zones);
        for (best, out) in best.iter().zip(out) {
            *out = rule_id(*best);
        }
    }

    fn memory_bytes(&self) -> usize {
        self.sources.memory_bytes()
            + self.destinations.memory_bytes()
            + self.services.memory_bytes()
            + self.forest.memory_bytes()
    }
}

fn rule_id(rule: u32) -> Option<RuleId> {
    (rule != NO_RULE).then_some(RuleId(rule))
}
