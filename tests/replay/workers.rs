//! Sharding is not visible from outside, and a replay can be repeated: over traffic of every kind.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU8;

use proptest::prelude::*;
use sekisho_replay::{Capture, Job};
use sekisho_tests::scene::{Output, play, read, ruleset};
use sekisho_tests::traffic::{Seeded, Step, Traffic};

fn replay(traffic: &Traffic, workers: u8) -> Output {
    play(Job {
        ruleset: ruleset(traffic.policy),
        captures: traffic
            .captures
            .each_ref()
            .map(|capture| Some(Capture::new("capture", &capture[..]).unwrap())),
        deploys: traffic.deploys.clone(),
        workers: NonZeroU8::new(workers).unwrap(),
        sessions_max: 4096,
        budgets: sekisho_engine::session::room::Budgets::default(),
        started: None,
    })
}

/// The same output for any number of workers, and sense in it.
fn holds(traffic: &Traffic, workers: &[u8]) -> Output {
    let one = replay(traffic, 1);
    assert!(!one.summary.table_was_full, "the table must have room, or results may differ");
    makes_sense(traffic, &one);
    for workers in workers {
        let many = replay(traffic, *workers);
        if many.lines != one.lines {
            let differs = one.lines.lines().zip(many.lines.lines()).position(|(a, b)| a != b).unwrap_or(0);
            let around = |text: &str| {
                text.lines().skip(differs.saturating_sub(8)).take(12).collect::<Vec<_>>().join("\n")
            };
            panic!(
                "{workers} workers differ in line {differs}:\n{}\n\n{}",
                around(&one.lines),
                around(&many.lines)
            );
        }
        assert!(many == one, "{workers} workers send or count otherwise");
    }
    one
}

fn makes_sense(traffic: &Traffic, output: &Output) {
    let (mut index, mut last_time, mut opened, mut ended) = (0, 0.0, BTreeMap::new(), BTreeSet::new());
    for line in output.lines.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let time = line["time"].as_f64().unwrap();
        assert!(time >= last_time, "time goes on: {line}");
        last_time = time;
        if line["reason"] == "session-new" {
            // A datagram in fragments opens one with all of them, and does so when the last has come.
            opened.insert(line["session"].as_u64().unwrap(), index);
        }
        match line["event"].as_str() {
            None => {
                assert_eq!(line["index"], index, "every frame has one line, in order");
                index += 1;
            }
            Some("session-end") => {
                let session = line["session"].as_u64().unwrap();
                assert!(opened.contains_key(&session) && ended.insert(session), "{line}");
            }
            Some(_) => {}
        }
    }
    assert!(opened.values().is_sorted(), "sessions are numbered as they begin");
    assert!(opened.keys().copied().eq(1..=opened.len() as u64), "and all of them");
    let (summary, begun) = (&output.summary, opened.len() as u64);
    assert_eq!((index, begun), (traffic.frames, summary.sessions_begun));
    assert_eq!(summary.sessions_live, begun - ended.len() as u64);
    let left: usize = output.captures.iter().map(|capture| read(capture).len()).sum();
    assert_eq!(left as u64, summary.forwarded + summary.sent);
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(any::<u64>().prop_map(|seed| Seeded(seed).step()), 1..200)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn short_traffic_comes_out_the_same(steps in steps()) {
        holds(&Traffic::of(&steps), &[2, 3, 4, 128]);
    }
}

#[test]
fn long_traffic_comes_out_the_same() {
    let mut seeded = Seeded(2026);
    let steps: Vec<_> = (0..60_000).map(|_| seeded.step()).collect();
    let output = holds(&Traffic::of(&steps), &[1, 2, 3, 4]);
    // The traffic has not gone inert: most of the vocabulary is in it.
    let given: BTreeSet<_> = output.summary.reasons.keys().copied().collect();
    let wanted = [
        "session-new",
        "session",
        "icmp-error-related",
        "icmp-error-unrelated",
        "policy-changed",
        "session-expired",
        "tcp-no-session",
        "tcp-handshake",
        "tcp-out-of-window",
        "tcp-state",
        "tcp-closed",
        "rule-drop",
        "rule-reject",
        "default-drop",
        "spoofed-source",
        "ip-bad-checksum",
        "ip-truncated",
        "neighbour-discovery",
        "idle-timeout",
        "handshake-timeout",
        "tcp-reset",
        "reopened",
        "policy-ended",
        "reject-tcp-reset",
        "reject-icmp-prohibited",
        "expiry-reset",
        "expiry-probe",
        "probe-unanswered",
    ];
    let missing: Vec<_> = wanted.iter().filter(|reason| !given.contains(*reason)).collect();
    assert!(missing.is_empty(), "the traffic gives no {missing:?}, but {:?}", output.summary.reasons);
}
