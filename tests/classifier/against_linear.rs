//! Small sets, every field, hits and misses.

use std::cell::Cell;

use proptest::test_runner::{Config, TestRunner};
use sekisho_engine::policy::{Classifier, RuleId, linear};

use crate::sets;
use crate::strategies::case;

#[test]
fn finds_what_the_linear_matcher_finds() {
    let (hits, later, misses) = (Cell::new(0_u32), Cell::new(0_u32), Cell::new(0_u32));
    let mut runner = TestRunner::new(Config::with_cases(2_000));
    runner
        .run(&case(), |(ruleset, packets)| {
            let classifier = Classifier::build(&ruleset);
            let mut burst = vec![Some(RuleId(u32::MAX)); packets.len()];
            classifier.classify_burst(&packets, &mut burst);
            for (packet, in_burst) in packets.iter().zip(burst) {
                let expected = linear::first_match(&ruleset, packet);
                match expected {
                    Some(RuleId(0)) => hits.set(hits.get() + 1),
                    Some(_) => later.set(later.get() + 1),
                    None => misses.set(misses.get() + 1),
                }
                proptest::prop_assert_eq!(classifier.classify(packet), expected, "{:?}", packet);
                proptest::prop_assert_eq!(in_burst, expected, "in a burst: {:?}", packet);
            }
            Ok(())
        })
        .unwrap();
    // Should the generator ever make packets that all match, or none, or always the first rule, this tests nothing.
    let total = hits.get() + later.get() + misses.get();
    for (what, count) in [("first rule", hits.get()), ("later rule", later.get()), ("no rule", misses.get())]
    {
        let percent = count * 100 / total;
        assert!((10..=80).contains(&percent), "{what}: {percent} % of {total} packets");
    }
}

#[test]
fn no_rules_match_nothing() {
    let classifier = Classifier::build(&sets::ruleset(vec![], vec![]));
    for packet in sets::noise(100, &mut sets::Random(1)) {
        assert_eq!(classifier.classify(&packet), None);
    }
}

#[test]
fn a_rule_without_fields_matches_everything() {
    let classifier = Classifier::build(&sets::ruleset(vec![], vec![sets::rule(0), sets::rule(1)]));
    for packet in sets::noise(100, &mut sets::Random(2)) {
        assert_eq!(classifier.classify(&packet), Some(RuleId(0)));
    }
}
