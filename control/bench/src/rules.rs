//! Rules: lookups a second, milliseconds to compile, bytes; the linear matcher beside them.

use std::hint::black_box;
use std::time::Instant;

use sekisho_engine::policy::{AddressSetId, Classifier, Query, Rule, Ruleset, linear};

use crate::plan::{Plan, Tell};
use crate::results::Variant;

pub mod export;
pub mod sets;

use self::sets::{Random, Style, Version};

/// Packets that are looked up in a round.
const PACKETS: usize = 100_000;
/// Packets a burst, as a worker has them.
const BURST: usize = 32;
/// Rule comparisons that the linear matcher gets a round.
const LINEAR_WORK: usize = 20_000_000;
/// Prefixes of a feed.
const FEED: usize = 500_000;

/// What a set of rules is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// After those that ClassBench was made from.
    Like(Style),
    /// Groups, lists of services and a dozen zones, as administrators write them.
    Objects,
    /// A firewall, and a feed of half a million prefixes in two of its rules.
    Feed,
    /// Boxes that overlap as badly as they can.
    Nested,
    /// Wide ranges at random.
    Tangled,
}

/// A set of rules, and packets to look up.
#[derive(Clone, Debug)]
pub struct Case {
    /// What the rules are like.
    pub kind: Kind,
    /// How many rules.
    pub count: u32,
    /// Which addresses they speak of.
    pub version: Version,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::Like(Style::Acl),
        Self::Like(Style::Fw),
        Self::Like(Style::Ipc),
        Self::Like(Style::Hard),
        Self::Objects,
        Self::Feed,
        Self::Nested,
        Self::Tangled,
    ];

    /// Its name on the command line and in results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Like(Style::Acl) => "acl",
            Self::Like(Style::Fw) => "fw",
            Self::Like(Style::Ipc) => "ipc",
            Self::Like(Style::Hard) => "hard",
            Self::Objects => "objects",
            Self::Feed => "feed",
            Self::Nested => "nested",
            Self::Tangled => "tangled",
        }
    }

    /// Whether there are rules of this kind that speak of these addresses.
    pub const fn is_for(self, version: Version) -> bool {
        matches!((self, version), (Self::Like(_), _) | (_, Version::V4))
    }
}

impl Case {
    /// Its settings, in results.
    pub fn variant(&self) -> Variant {
        let Self { kind, count, version } = self;
        Variant::default().with("set", kind.name()).with("rules", *count).with("family", version.number())
    }

    /// Makes the rules and the packets: the same at each call.
    pub fn make(&self) -> (Ruleset, Vec<Query>) {
        let mut random = Random(9);
        let count = self.count as usize;
        match self.kind {
            Kind::Like(style) => sets::classbench(style, self.version, count, PACKETS, 1),
            Kind::Objects => sets::objects(count, PACKETS, 1),
            Kind::Feed => with_feed(count, &mut random),
            Kind::Nested => (sets::nested(self.count), sets::noise(PACKETS, &mut random)),
            Kind::Tangled => (sets::tangled(self.count, &mut random), sets::noise(PACKETS, &mut random)),
        }
    }
}

/// A firewall's rules after one that is about what comes from half a million prefixes, and one in the midst that is about
/// what goes there.
fn with_feed(count: usize, random: &mut Random) -> (Ruleset, Vec<Query>) {
    let (mut ruleset, packets) = sets::classbench(Style::Fw, Version::V4, count, PACKETS, 1);
    let id = AddressSetId(u32::try_from(ruleset.address_sets.len()).unwrap_or(u32::MAX));
    ruleset.address_sets.push(sets::feed(FEED, random));
    ruleset.rules.insert(0, Rule { source: Some(id), ..sets::rule(count) });
    ruleset.rules.insert(count / 2, Rule { destination: Some(id), ..sets::rule(count + 1) });
    (ruleset, packets)
}

/// Measures a set of rules.
pub fn run(plan: &Plan, case: &Case, tell: &mut Tell<'_>) {
    let (ruleset, packets) = case.make();
    let variant = case.variant();
    let mut out = vec![None; packets.len()];
    let linear_packets = (LINEAR_WORK / ruleset.rules.len().max(1)).clamp(10, packets.len());
    for round in 1..=plan.rounds {
        let mut tell = |subject: &str, figure: &str, value: f64| {
            tell(plan.sample("rules", &variant, subject, round, figure, value));
        };
        let begin = Instant::now();
        let classifier = Classifier::build(black_box(&ruleset));
        tell("sekisho", "compile_ms", begin.elapsed().as_secs_f64() * 1e3);
        tell("sekisho", "bytes", classifier.memory_bytes() as f64);
        let burst = per_second(packets.len(), || {
            for (packets, out) in packets.chunks(BURST).zip(out.chunks_mut(BURST)) {
                classifier.classify_burst(packets, out);
            }
            black_box(&mut out);
        });
        tell("sekisho", "lookups_per_second", burst);
        let single = per_second(packets.len(), || {
            for packet in &packets {
                black_box(classifier.classify(packet));
            }
        });
        tell("sekisho", "single_lookups_per_second", single);
        let slow = per_second(linear_packets, || {
            for packet in &packets[..linear_packets] {
                black_box(linear::first_match(&ruleset, packet));
            }
        });
        tell("linear", "lookups_per_second", slow);
    }
}

fn per_second(count: usize, mut run: impl FnMut()) -> f64 {
    // Once without a clock: the rules come into the cache as they do under load.
    run();
    let begin = Instant::now();
    run();
    count as f64 / begin.elapsed().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Sample;

    #[test]
    fn every_kind_of_rules_is_measured_with_all_figures() {
        let plan = Plan { rounds: 2, ..Plan::default() };
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Feed) {
            let mut samples: Vec<Sample> = Vec::new();
            let case = Case { kind, count: 50, version: Version::V4 };
            run(&plan, &case, &mut |sample| samples.push(sample));
            assert_eq!(samples.len(), 2 * 5, "{kind:?}");
            assert!(
                samples.iter().all(|sample| sample.value.is_finite() && sample.value > 0.0),
                "{samples:?}"
            );
        }
    }

    #[test]
    fn the_feed_is_in_two_rules() {
        let (ruleset, _) = with_feed(20, &mut Random(1));
        let feeds = |id: Option<AddressSetId>| {
            id.is_some_and(|id| ruleset.address_sets[id.0 as usize].v4.len() > FEED / 2)
        };
        let with = ruleset.rules.iter().filter(|rule| feeds(rule.source) || feeds(rule.destination)).count();
        assert_eq!((ruleset.rules.len(), with), (22, 2));
    }
}
