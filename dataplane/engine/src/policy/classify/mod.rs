//! From a packet to the first rule that matches it, quickly, in memory that is linear in the policy.
//!
//! 1. Each field becomes the number of its *class* ([`classes`]): values that no rule tells apart are one. An address set
//!    is an interval of classes (or a few), however many prefixes it has. [`index`] and [`index6`] find the class of an
//!    address, [`services`] that of a protocol and selector; zones become bits ([`zones`]).
//! 2. Each rule becomes a box in the space of classes ([`boxes`]), kept under the field in which it is narrowest
//!    ([`forest`], [`grow`]). A packet sees one short list by each of its three classes ([`lists`]), and takes the first
//!    rule of the three.
//!    A policy of a few boxes has one list of them all ([`short`]).
//! 3. What an interval cannot say exactly is looked at again ([`checks`]).
//!
//! Per lookup: no allocation; an index search by each field (IPv4 and services: three loads, in crowded places four steps
//! of a search tree more; IPv6: two or three branches of a trie, at most 128), four lists, each below at most eight nodes.
//! A list is short unless rules overlap so badly that cutting them apart would cost more memory than the budget has; then
//! it is searched by outlines ([`long`]), at worst to its end. `docs/decisions/0002-classifier.md` has the figures, and what else was tried.

mod boxes;
mod checks;
mod classes;
mod cut;
mod fields;
mod forest;
mod grow;
mod index;
mod index6;
mod lists;
mod long;
mod search;
mod services;
mod short;
mod version;
mod width;
mod zones;

use core::hash::BuildHasherDefault;
use core::net::IpAddr;
use std::hash::DefaultHasher;

use self::fields::{V4, V6};
use self::forest::STAGE;
use self::version::Compiled;
use self::zones::ZoneBits;
use super::ruleset::{Query, RuleId, Ruleset};

/// Hashes the same in every run.
type FixedState = BuildHasherDefault<DefaultHasher>;

/// Finds the first matching rule.
#[derive(Debug)]
pub struct Classifier {
    zones: ZoneBits,
    v4: Compiled<V4>,
    v6: Compiled<V6>,
}

impl Classifier {
    /// Compiles the rules.
    pub fn build(ruleset: &Ruleset) -> Self {
        let (zones, allowed) = zones::compile(ruleset);
        let v4 = Compiled::build(ruleset, &zones, &allowed);
        let v6 = Compiled::build(ruleset, &zones, &allowed);
        Self { zones, v4, v6 }
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
