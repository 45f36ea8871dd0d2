//! The classifier on sets of rules as large as they come: lookups in bursts and one by one, beside the linear matcher
//! in the same rounds; milliseconds to build; bytes. `cargo bench -p sekisho-engine --bench classify [NAME…]` takes the
//! sets whose names contain one of the given words.
//!
//! With `--export DIRECTORY` it writes the IPv4 sets and their packets in the format of `dpdk-test-acl` instead, to
//! measure rte_acl on the same ones.

#![allow(
    dead_code,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::print_stdout,
    missing_docs,
    unreachable_pub,
    reason = "a benchmark prints what it measures, and shares its sets with the tests"
)]

mod export;
mod sets;

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use sekisho_engine::policy::{AddressSetId, Classifier, Query, Rule, Ruleset, linear};

use self::sets::{Random, Style, Version};

const ROUNDS: usize = 9;
const BUILDS: usize = 3;
const PACKETS: usize = 100_000;
/// Packets a burst, as a worker has them.
const BURST: usize = 32;
/// Rule comparisons that the linear matcher gets a round.
const LINEAR_WORK: usize = 20_000_000;

struct Case {
    name: String,
    ruleset: Ruleset,
    packets: Vec<Query>,
}

fn main() -> std::io::Result<()> {
    // `cargo bench` passes `--bench`.
    let mut words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let export = words.iter().position(|word| word == "--export").map(|at| words.drain(at..).nth(1));
    if export.is_none() {
        println!(
            "{:<18} {:>9} {:>9} {:>10} {:>10} {:>10} {:>12} {:>9}",
            "set", "build ms", "kB", "burst ns", "single ns", "M/s", "linear ns", "x linear"
        );
    }
    for case in
        names().filter(|name| words.is_empty() || words.iter().any(|word| name.contains(word))).map(case)
    {
        match &export {
            Some(directory) => export::write(Path::new(directory.as_deref().unwrap_or(".")), &case)?,
            None => measure(&case),
        }
    }
    Ok(())
}

fn names() -> impl Iterator<Item = String> {
    ["1k", "10k", "100k"].into_iter().flat_map(|size| {
        [
            "acl-v4", "fw-v4", "ipc-v4", "hard-v4", "acl-v6", "fw-v6", "ipc-v6", "hard-v6", "objects",
            "feed", "nested", "tangled",
        ]
        .into_iter()
        .map(move |kind| format!("{kind}-{size}"))
    })
}

fn case(name: String) -> Case {
    let count = match name.rsplit('-').next() {
        Some("1k") => 1_000,
        Some("10k") => 10_000,
        _ => 100_000,
    };
    let version = if name.contains("v6") { Version::V6 } else { Version::V4 };
    let mut random = Random(9);
    let (ruleset, packets) = match name.split('-').next() {
        Some("acl") => sets::classbench(Style::Acl, version, count, PACKETS, 1),
        Some("fw") => sets::classbench(Style::Fw, version, count, PACKETS, 1),
        Some("ipc") => sets::classbench(Style::Ipc, version, count, PACKETS, 1),
        Some("hard") => sets::classbench(Style::Hard, version, count, PACKETS, 1),
        Some("objects") => sets::objects(count, PACKETS, 1),
        Some("feed") => with_feed(count, &mut random),
        Some("nested") => (sets::nested(count as u32), sets::noise(PACKETS, &mut random)),
        _ => (sets::tangled(count as u32, &mut random), sets::noise(PACKETS, &mut random)),
    };
    Case { name, ruleset, packets }
}

/// A firewall's rules after one that drops what comes from half a million prefixes, and one in the midst that drops
/// what goes there.
fn with_feed(count: usize, random: &mut Random) -> (Ruleset, Vec<Query>) {
    let (mut ruleset, packets) = sets::classbench(Style::Fw, Version::V4, count, PACKETS, 1);
    let id = AddressSetId(ruleset.address_sets.len() as u32);
    ruleset.address_sets.push(sets::feed(500_000, random));
    ruleset.rules.insert(0, Rule { source: Some(id), ..sets::rule(count) });
    ruleset.rules.insert(count / 2, Rule { destination: Some(id), ..sets::rule(count + 1) });
    (ruleset, packets)
}

fn measure(case: &Case) {
    let Case { name, ruleset, packets } = case;
    let mut build = Vec::new();
    let mut classifier = Classifier::build(ruleset);
    for _ in 0..BUILDS {
        let begin = Instant::now();
        classifier = Classifier::build(black_box(ruleset));
        build.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    let linear_packets = (LINEAR_WORK / ruleset.rules.len()).clamp(10, PACKETS);
    let mut out = vec![None; packets.len()];
    let (mut burst, mut single, mut slow) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        burst.push(nanoseconds(packets.len(), || {
            for (packets, out) in packets.chunks(BURST).zip(out.chunks_mut(BURST)) {
                classifier.classify_burst(packets, out);
            }
            black_box(&mut out);
        }));
        single.push(nanoseconds(packets.len(), || {
            for packet in packets {
                black_box(classifier.classify(packet));
            }
        }));
        slow.push(nanoseconds(linear_packets, || {
            for packet in &packets[..linear_packets] {
                black_box(linear::first_match(ruleset, packet));
            }
        }));
    }
    let [build, burst, single, slow] = [build, burst, single, slow].map(median);
    println!(
        "{name:<18} {build:>9.1} {:>9} {burst:>10.1} {single:>10.1} {:>10.2} {slow:>12.0} {:>9.0}",
        classifier.memory_bytes() / 1000,
        1e3 / burst,
        slow / burst
    );
}

fn nanoseconds(count: usize, run: impl FnOnce()) -> f64 {
    let begin = Instant::now();
    run();
    begin.elapsed().as_secs_f64() * 1e9 / count as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
