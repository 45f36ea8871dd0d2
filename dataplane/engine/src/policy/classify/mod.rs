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
mod search;
mod zones;

use core::hash::BuildHasherDefault;
use core::net::IpAddr;
use std::hash::DefaultHasher;

use arrayvec::ArrayVec;

use self::boxes::Field;
use self::checks::{Checks, Exact};
use self::classes::{Partition, Runs};
use self::fields::{DESTINATION, FIELDS, Family, Fields, Protocol, SERVICE, SOURCE, V4, V6};
use self::forest::{Forest, Point};
use self::index::Index;
use self::index6::Index6;
use self::zones::{Allowed, ZoneBits};
use super::ruleset::{Query, RuleId, Ruleset};

/// Hashes the same in every run.
type FixedState = BuildHasherDefault<DefaultHasher>;

/// Borders in an IPv4 index that are searched; more become a table.
const ADDRESS_SEARCH_MAX: usize = 4_912;
/// Borders of a protocol that are searched; more become a table.
const SERVICE_SEARCH_MAX: usize = 16;

/// Queries that [`Classifier::classify_burst`] takes through its stages together.
const STAGE: usize = 16;

/// Finds the first matching rule.
#[derive(Debug)]
pub struct Classifier {
    zones: ZoneBits,
    v4: Version<Index>,
    v6: Version<Index6>,
}

/// The classifier of one IP version.
#[derive(Debug)]
struct Version<I> {
    sources: I,
    destinations: I,
    services: Services,
    shifts: [u32; FIELDS],
    forest: Forest,
}

/// From protocol and selector to their class.
#[derive(Debug)]
struct Services {
    protocols: Protocol,
    index: Index,
}

impl Classifier {
    /// Compiles the rules.
    pub fn build(ruleset: &Ruleset) -> Self {
        let (zones, allowed) = zones::compile(ruleset);
        Self {
            zones,
            v4: Version::build::<V4>(ruleset, &allowed, |partition| {
                Index::of(partition, 1 << 16, ADDRESS_SEARCH_MAX)
            }),
            v6: Version::build::<V6>(ruleset, &allowed, Index6::of),
        }
    }

    /// The first rule that matches `query`: what [`super::linear::first_match`] finds.
    ///
    /// A query with addresses of two families matches nothing: there is no such packet.
    pub fn classify(&self, query: &Query) -> Option<RuleId> {
        let (forest, point) = self.locate(query)?;
        forest.first_match(&point)
    }

    /// What [`Self::classify`] says of each of `queries`, in the same place of `out`.
    ///
    /// The stages of several lookups run side by side, so that they wait for memory together.
    pub fn classify_burst(&self, queries: &[Query], out: &mut [Option<RuleId>]) {
        for (queries, out) in queries.chunks(STAGE).zip(out.chunks_mut(STAGE)) {
            let located: ArrayVec<_, STAGE> = queries
                .iter()
                .map(|query| {
                    let (forest, point) = self.locate(query)?;
                    Some((forest, point, forest.lists_of(&point)))
                })
                .collect();
            for (located, out) in located.iter().zip(out) {
                *out = located.and_then(|(forest, point, lists)| forest.first_in(&point, lists));
            }
        }
    }

    #[inline]
    fn locate(&self, query: &Query) -> Option<(&Forest, Point)> {
        match (query.source, query.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let source = self.v4.sources.class_of(source.to_bits());
                let destination = self.v4.destinations.class_of(destination.to_bits());
                Some((&self.v4.forest, self.v4.point(source, destination, query, &self.zones)))
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let source = self.v6.sources.class_of(source.to_bits());
                let destination = self.v6.destinations.class_of(destination.to_bits());
                Some((&self.v6.forest, self.v6.point(source, destination, query, &self.zones)))
            }
            _ => None,
        }
    }

    /// Bytes that the classifier takes.
    pub fn memory_bytes(&self) -> usize {
        let v4 = self.v4.sources.memory_bytes() + self.v4.destinations.memory_bytes();
        let v6 = self.v6.sources.memory_bytes() + self.v6.destinations.memory_bytes();
        size_of::<Self>()
            + self.zones.memory_bytes()
            + v4
            + v6
            + self.v4.memory_bytes()
            + self.v6.memory_bytes()
    }
}

impl<I> Version<I> {
    fn build<F: Family>(
        ruleset: &Ruleset,
        allowed: &[Allowed],
        index: impl Fn(&Partition<F::Address>) -> I,
    ) -> Self {
        let fields = Fields::<F>::of(ruleset);
        let sources = Partition::of(&fields.sources);
        let destinations = Partition::of(&fields.destinations);
        let services: Vec<_> = fields.services.iter().map(|ranges| &ranges[..]).collect();
        let services = Partition::of(&services);
        let protocols = fields.protocols;
        let service_index = Index::of(&services, protocols.classes(), SERVICE_SEARCH_MAX);
        let (source_index, destination_index) = (index(&sources), index(&destinations));
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
        checks.keep([sources.runs, destinations.runs, services.runs]);
        Self {
            sources: source_index,
            destinations: destination_index,
            services: Services { protocols, index: service_index },
            shifts: [coarse[0].shift, coarse[1].shift, coarse[2].shift],
            forest: grow::grow(&boxes, &coarse, checks),
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the shift leaves 16 bits")]
    #[inline]
    fn point(&self, source: u32, destination: u32, query: &Query, zones: &ZoneBits) -> Point {
        let classes = [source, destination, self.services.class_of(query)];
        let coarse = core::array::from_fn(|field| (classes[field] >> self.shifts[field]) as u16);
        let zones = zones.of(query.from, query.to);
        Point { coarse, zones, exact: Exact { classes, from: query.from, to: query.to } }
    }

    fn memory_bytes(&self) -> usize {
        self.services.index.memory_bytes() + self.forest.memory_bytes()
    }
}

impl Services {
    #[inline]
    fn class_of(&self, query: &Query) -> u32 {
        self.index.class_of(self.protocols.value(query.protocol, query.selector))
    }
}
