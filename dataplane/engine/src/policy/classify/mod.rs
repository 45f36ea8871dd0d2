//! From a packet to the first rule that matches it, quickly, in memory that is linear in the policy.
//!
//! 1. Each field becomes the number of its *class* ([`classes`]): values that no rule tells apart are one. An address set
//!    is an interval of classes (or a few), however many prefixes it has. [`index`] and [`index6`] find the class of an
//!    address or a service; zones become bits ([`zones`]).
//! 2. Each rule becomes a box in the space of classes ([`boxes`]), kept under the field in which it is narrowest
//!    ([`forest`], [`grow`]). A packet sees one short list by each of its three classes ([`lists`]), and takes the first
//!    rule of the three.
//! 3. What an interval cannot say exactly is looked at again ([`checks`]).
//!
//! Per lookup: no allocation; two index searches of at most four steps (IPv6: 12, then a binary search), four lists,
//! each below at most eight nodes. A list is short unless rules overlap so badly that cutting them apart would cost more
//! memory than the budget has; then it is compared to its end. `docs/decisions/0002-classifier.md` has the figures, and
//! what else was tried.

mod boxes;
mod checks;
mod classes;
mod fields;
mod forest;
mod grow;
mod index;
mod index6;
mod lists;
mod located;
mod search;
mod zones;

use core::hash::BuildHasherDefault;
use core::net::IpAddr;
use std::hash::DefaultHasher;

use self::boxes::Field;
use self::checks::{Checks, Exact};
use self::classes::{Partition, Runs};
use self::fields::{DESTINATION, Family, Fields, SERVICE, SOURCE, V4, V6};
use self::forest::{Forest, NO_RULE, Point, STAGE};
use self::index6::Index6;
use self::located::{AddressIndex, Index4, Services};
use self::zones::{Allowed, ZoneBits};
use super::ruleset::{Query, RuleId, Ruleset};

/// Hashes the same in every run.
type FixedState = BuildHasherDefault<DefaultHasher>;

/// Finds the first matching rule.
#[derive(Debug)]
pub struct Classifier {
    zones: ZoneBits,
    v4: Version<Index4>,
    v6: Version<Index6>,
}

/// The classifier of one IP version.
#[derive(Debug)]
struct Version<I> {
    sources: I,
    destinations: I,
    services: Services,
    forest: Forest,
}

impl Classifier {
    /// Compiles the rules.
    pub fn build(ruleset: &Ruleset) -> Self {
        let (zones, allowed) = zones::compile(ruleset);
        Self {
            zones,
            v4: Version::build::<V4>(ruleset, &allowed),
            v6: Version::build::<V6>(ruleset, &allowed),
        }
    }

    /// The first rule that matches `query`: what [`super::linear::first_match`] finds.
    ///
    /// A query with addresses of two families matches nothing: there is no such packet.
    pub fn classify(&self, query: &Query) -> Option<RuleId> {
        match (query.source, query.destination) {
            (IpAddr::V4(_), IpAddr::V4(_)) => self.v4.classify(query, &self.zones),
            (IpAddr::V6(_), IpAddr::V6(_)) => self.v6.classify(query, &self.zones),
            _ => None,
        }
    }

    /// What [`Self::classify`] says of each of `queries`, in the same place of `out`.
    ///
    /// The stages of several lookups run side by side, so that they wait for memory together.
    pub fn classify_burst(&self, queries: &[Query], out: &mut [Option<RuleId>]) {
        let versions = |query: &Query| (query.source.is_ipv4(), query.destination.is_ipv4());
        let mut out = out.iter_mut();
        for alike in queries.chunk_by(|a, b| versions(a) == versions(b)) {
            for queries in alike.chunks(STAGE) {
                let out = out.by_ref().take(queries.len());
                match versions(&queries[0]) {
                    (true, true) => self.v4.classify_burst(queries, &self.zones, out),
                    (false, false) => self.v6.classify_burst(queries, &self.zones, out),
                    _ => out.for_each(|out| *out = None),
                }
            }
        }
    }

    /// Bytes that the classifier takes.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.zones.memory_bytes() + self.v4.memory_bytes() + self.v6.memory_bytes()
    }
}

impl<I: AddressIndex> Version<I> {
    fn build<F: Family<Address = I::Address>>(ruleset: &Ruleset, allowed: &[Allowed]) -> Self {
        let fields = Fields::<F>::of(ruleset);
        let sources = Partition::of(&fields.sources);
        let destinations = Partition::of(&fields.destinations);
        let services: Vec<_> = fields.services.iter().map(|ranges| &ranges[..]).collect();
        let services = Partition::of(&services);
        let specs = &fields.specs;
        let field = |field: usize, classes: u32, runs: &Runs| {
            Field::of(classes, runs, specs.iter().map(move |spec| spec.sets[field]))
        };
        let coarse = [
            field(SOURCE, sources.classes, &sources.runs),
            field(DESTINATION, destinations.classes, &destinations.runs),
            field(SERVICE, services.classes, &services.runs),
        ];
        let mut checks = Checks::default();
        let boxes = boxes::compile(ruleset, specs, allowed, &coarse, &mut checks);
        let (source_index, destination_index) =
            (I::of(&sources, coarse[SOURCE].shift), I::of(&destinations, coarse[DESTINATION].shift));
        let service_index = Services::of(fields.protocols, &services, coarse[SERVICE].shift);
        checks.keep([sources.runs, destinations.runs, services.runs]);
        Self {
            sources: source_index,
            destinations: destination_index,
            services: service_index,
            forest: grow::grow(&boxes, &coarse, checks),
        }
    }

    fn classify(&self, query: &Query, zones: &ZoneBits) -> Option<RuleId> {
        let point = Point {
            classes: [
                self.sources.class_of(I::address(query.source)),
                self.destinations.class_of(I::address(query.destination)),
                self.services.class_of(query.protocol, query.selector),
            ],
            zones: zones.of(query.from, query.to),
        };
        let mut best = [NO_RULE];
        self.forest.search_all(&[point], &mut best, |_| self.exact(query));
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
            point.classes[SOURCE] = self.sources.class_of(I::address(query.source));
        }
        for (query, point) in queries.iter().zip(&mut points) {
            point.classes[DESTINATION] = self.destinations.class_of(I::address(query.destination));
        }
        for (query, point) in queries.iter().zip(&mut points) {
            point.classes[SERVICE] = self.services.class_of(query.protocol, query.selector);
            point.zones = zones.of(query.from, query.to);
        }
        let mut best = [NO_RULE; STAGE];
        self.forest.search_all(&points[..queries.len()], &mut best, |index| self.exact(&queries[index]));
        for (best, out) in best.iter().zip(out) {
            *out = rule_id(*best);
        }
    }

    /// What checks want to know of `query`.
    #[cold]
    fn exact(&self, query: &Query) -> Exact {
        let classes = [
            self.sources.exact_class_of(I::address(query.source)),
            self.destinations.exact_class_of(I::address(query.destination)),
            self.services.exact_class_of(query.protocol, query.selector),
        ];
        Exact { classes, from: query.from, to: query.to }
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
