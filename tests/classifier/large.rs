//! Sets as large as they come, and sets that are meant to hurt: still exact, and never out of bounds.

use sekisho_engine::policy::{AddressSetId, Classifier, Query, Rule, Ruleset, linear};

use crate::sets::{self, Random, Style, Version};

/// Compares `packets` with the linear matcher; returns what share of them, in percent, matched before the last rule.
fn assert_exact(ruleset: &Ruleset, classifier: &Classifier, packets: &[Query]) -> usize {
    let mut hits = 0;
    for packet in packets {
        let expected = linear::first_match(ruleset, packet);
        hits += usize::from(expected.is_some_and(|rule| rule.0 as usize + 1 < ruleset.rules.len()));
        assert_eq!(classifier.classify(packet), expected, "{packet:?}");
    }
    hits * 100 / packets.len()
}

#[test]
fn classbench_like_sets_are_exact() {
    for style in [Style::Acl, Style::Fw, Style::Ipc, Style::Hard] {
        for version in [Version::V4, Version::V6] {
            let (ruleset, packets) = sets::classbench(style, version, 3_000, 4_000, 7);
            let classifier = Classifier::build(&ruleset);
            let hits = assert_exact(&ruleset, &classifier, &packets);
            assert!((70..=99).contains(&hits), "{style:?} {version:?}: {hits} % hits");
        }
    }
}

#[test]
fn policies_of_groups_and_zones_are_exact() {
    let (ruleset, packets) = sets::objects(3_000, 4_000, 8);
    let classifier = Classifier::build(&ruleset);
    let hits = assert_exact(&ruleset, &classifier, &packets);
    assert!((70..=99).contains(&hits), "{hits} % hits");
}

#[test]
fn a_hundred_thousand_rules_fit_in_30_mb() {
    for style in [Style::Acl, Style::Fw, Style::Ipc, Style::Hard] {
        let (ruleset, packets) = sets::classbench(style, Version::V4, 100_000, 300, 11);
        let classifier = Classifier::build(&ruleset);
        assert_exact(&ruleset, &classifier, &packets);
        let bytes = classifier.memory_bytes();
        assert!(bytes < 30_000_000, "{style:?}: {bytes} bytes");
    }
}

#[test]
fn ten_thousand_rules_fit_in_10_mb() {
    for style in [Style::Acl, Style::Fw, Style::Ipc, Style::Hard] {
        let (ruleset, packets) = sets::classbench(style, Version::V4, 10_000, 1_000, 12);
        let classifier = Classifier::build(&ruleset);
        assert_exact(&ruleset, &classifier, &packets);
        let bytes = classifier.memory_bytes();
        assert!(bytes < 10_000_000, "{style:?}: {bytes} bytes");
    }
}

#[test]
fn memory_is_linear_in_the_rules_whatever_they_are() {
    const BYTES_PER_RULE_MAX: usize = 300;
    const BYTES_SPARE: usize = 2_000_000;
    for count in [1_000, 4_000, 16_000] {
        for (what, ruleset) in
            [("nested", sets::nested(count)), ("tangled", sets::tangled(count, &mut Random(3)))]
        {
            let classifier = Classifier::build(&ruleset);
            assert_exact(&ruleset, &classifier, &sets::noise(200, &mut Random(4)));
            let bytes = classifier.memory_bytes();
            let bound = count as usize * BYTES_PER_RULE_MAX + BYTES_SPARE;
            assert!(bytes < bound, "{count} {what} rules: {bytes} bytes, bound {bound}");
        }
    }
}

#[test]
fn a_feed_is_one_field_of_one_rule() {
    let (mut ruleset, mut packets) = sets::classbench(Style::Fw, Version::V4, 2_000, 1_000, 13);
    let feed = sets::feed(500_000, &mut Random(5));
    let listed: Vec<_> = feed.v4.iter().step_by(1009).map(|range| *range.start()).collect();
    ruleset.address_sets.push(feed);
    let id = AddressSetId(u32::try_from(ruleset.address_sets.len() - 1).unwrap());
    ruleset.rules.insert(0, Rule { source: Some(id), ..sets::rule(0) });
    ruleset.rules.insert(900, Rule { destination: Some(id), ..sets::rule(0) });
    for (packet, address) in packets.iter_mut().step_by(2).zip(listed) {
        packet.source = core::net::IpAddr::V4(core::net::Ipv4Addr::from_bits(address));
    }
    let classifier = Classifier::build(&ruleset);
    assert_exact(&ruleset, &classifier, &packets);
    // The same million borders for two fields, 12 bytes each, and some for the buckets.
    let bytes = classifier.memory_bytes();
    assert!(bytes < 40_000_000, "{bytes} bytes");
}

#[test]
fn more_classes_than_16_bits_stay_exact() {
    // A host a rule: 150,000 classes of sources.
    let count = 150_000;
    let hosts = (0..count).map(|host| {
        let address = 0x0a00_0000 + host * 7;
        sekisho_engine::policy::AddressSet::new(vec![address..=address], vec![])
    });
    let rules = (0..count).map(|host| Rule { source: Some(AddressSetId(host)), ..sets::rule(0) });
    let ruleset = sets::ruleset(hosts.collect(), rules.collect());
    let classifier = Classifier::build(&ruleset);
    let mut packets = sets::noise(300, &mut Random(6));
    for (number, packet) in (0..).zip(&mut packets) {
        packet.source = core::net::IpAddr::V4(core::net::Ipv4Addr::from_bits(0x0a00_0000 + number * 3_571));
    }
    assert_exact(&ruleset, &classifier, &packets);
}
