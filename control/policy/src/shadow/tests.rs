//! Known cases, and all packets of a small world against the rules in order.

use std::fmt::Write;
use std::net::IpAddr;
use std::path::Path;
use std::time::Instant;

use proptest::prelude::*;
use sekisho_engine::policy::linear::first_match;
use sekisho_engine::policy::{Query, ZoneId};

use super::*;
use crate::{Loaded, load_str};

const ZONES: &str = "version: 1\nzones: {lan: {port: lan}, wan: {port: wan}}\n";

fn warnings(text: &str) -> String {
    load_str("p", text, Path::new("")).unwrap().all_warnings().to_string()
}

fn rules(rules: &[&str]) -> String {
    let list: String = rules.iter().fold(String::new(), |list, rule| list + "- {" + rule + "}\n");
    warnings(&format!("{ZONES}rules:\n{list}"))
}

#[test]
fn a_rule_behind_a_wider_one_is_shadowed_or_redundant() {
    let told = rules(&[
        "name: a, from: lan, to: wan, action: allow",
        "name: b, from: lan, to: wan, service: tcp/25, action: reject",
        "name: c, from: lan, to: wan, source: 10.0.0.0/8, action: allow",
    ]);
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines.len(), 2, "{told}");
    assert!(
        lines[0].starts_with("p:5:3: warning: the rule \"b\" is shadowed: the rule \"a\" (line 4)"),
        "{told}"
    );
    assert!(
        lines[1].starts_with("p:6:3: warning: the rule \"c\" is redundant: the rule \"a\" (line 4)"),
        "{told}"
    );
}

#[test]
fn several_rules_together_leave_nothing() {
    let told = rules(&[
        "name: low, from: lan, to: wan, destination: 0.0.0.0/1, action: allow",
        "name: high, from: lan, to: wan, destination: 128.0.0.0/1, action: allow",
        "name: rest, from: lan, to: wan, destination: 0.0.0.0/0, service: tcp/80, action: reject",
    ]);
    let wanted =
        "the rule \"rest\" is unreachable: the rule \"low\" (line 4) and the rule \"high\" (line 5) together";
    assert!(told.contains(wanted), "{told}");
}

#[test]
fn a_rule_that_the_default_or_a_later_one_repeats_is_redundant() {
    let told = rules(&[
        "name: few, from: lan, to: wan, service: tcp/80, action: allow",
        "name: all, from: lan, to: wan, action: allow",
        "name: none, from: wan, to: lan, action: drop",
    ]);
    assert!(
        told.contains("\"few\" is redundant: without it the rule \"all\" (line 5) would do the same"),
        "{told}"
    );
    assert!(told.contains("\"none\" is redundant: without it the default does the same"), "{told}");
    let told = rules(&[
        "name: few, from: lan, to: wan, service: tcp/80, action: allow",
        "name: between, from: lan, to: wan, destination: 10.0.0.1, action: drop",
        "name: all, from: lan, to: wan, action: allow",
        "name: none, from: wan, to: lan, action: drop, log: true",
    ]);
    assert_eq!(told, "", "what differs in between, or is logged, is not redundant");
}

#[test]
fn contradictions_are_told() {
    let text = "version: 1\n\
        zones:\n  a: {port: lan, vlans: 10, networks: 10.0.0.0/24}\n  b: {port: lan, vlans: 20, networks: 10.0.1.0/24}\n\
        \x20 c: {port: wan, vlans: 20}\n\
        rules:\n\
        - {name: same-port, from: a, to: b, action: allow}\n\
        - {name: no-vlan, from: a, to: c, action: allow}\n\
        - {name: families, from: b, to: c, source: 10.0.1.1, destination: '2001:db8::1', action: allow}\n\
        - {name: elsewhere, from: b, to: c, source: 10.0.0.1, action: allow}\n\
        - {name: spoofed, from: c, to: b, source: 10.0.1.9, action: allow}\n\
        - {name: icmp6, from: b, to: c, source: 10.0.1.1, service: icmp/mld, action: allow}\n\
        - {name: good, from: b, to: c, source: 10.0.1.1, action: allow}\n";
    let told = warnings(text);
    for (name, why) in [
        ("same-port", "lie behind the same port, lan"),
        ("no-vlan", "have no VLAN in common"),
        ("families", "no family"),
        ("elsewhere", "none of its source addresses lives in \"b\""),
        ("spoofed", "none of its source addresses lives in \"c\""),
        ("icmp6", "no family"),
    ] {
        assert!(
            told.contains(&format!("the rule \"{name}\" is unreachable")) && told.contains(why),
            "{name}\n{told}"
        );
    }
    assert_eq!(told.lines().count(), 6, "{told}");
}

#[test]
fn what_nothing_names_is_unused() {
    let told = warnings(
        "version: 1\nzones: {lan: {port: lan}, wan: {port: wan}}\n\
         addresses: {a: 10.0.0.1, b: a}\nservices: {s: tcp/1, t: s}\n\
         rules: [{name: r, from: lan, action: allow}]\n",
    );
    for wanted in [
        "p:2:27: warning: the zone \"wan\" is unused",
        "p:3:26: warning: the address set \"b\" is unused",
        "p:4:22: warning: the service \"t\" is unused",
    ] {
        assert!(told.contains(wanted), "{wanted}\n{told}");
    }
    assert_eq!(told.lines().count(), 3, "{told}");
}

/// A world of few enough packets to try them all; rules can only tell apart what is told apart here.
fn packets() -> Vec<Query> {
    let zones = [None, Some(ZoneId(0)), Some(ZoneId(1))];
    let v4: Vec<IpAddr> = (0..5).map(|host| format!("10.0.0.{host}").parse().unwrap()).collect();
    let v6: Vec<IpAddr> = (0..3).map(|host| format!("fd00::{host}").parse().unwrap()).collect();
    let services = [(6, 80), (6, 443), (6, 500), (6, 1000), (17, 53), (1, 8 << 8), (58, 128 << 8), (47, 0)];
    let mut packets = Vec::new();
    for (from, to) in zones.iter().flat_map(|from| zones.iter().map(move |to| (*from, *to))) {
        for hosts in [&v4, &v6] {
            for (source, destination) in hosts.iter().flat_map(|a| hosts.iter().map(move |b| (*a, *b))) {
                for (protocol, selector) in services {
                    packets.push(Query { from, to, source, destination, protocol, selector });
                }
            }
        }
    }
    packets
}

fn rule() -> impl Strategy<Value = String> {
    let zone = || prop::sample::select(vec!["any", "lan", "wan", "[lan, wan]"]);
    let hosts = || {
        prop::sample::select(vec![
            "any",
            "10.0.0.0/31",
            "10.0.0.2/31",
            "10.0.0.0-10.0.0.3",
            "10.0.0.1",
            "'::/0'",
            "0.0.0.0/0",
            "[10.0.0.0, 10.0.0.3, 'fd00::1']",
        ])
    };
    let service =
        prop::sample::select(vec!["any", "tcp/80", "tcp/1-999", "tcp", "[udp, tcp/443]", "icmp/echo", "gre"]);
    let action = prop::sample::select(vec!["allow", "drop", "drop, log: true", "reject"]);
    (zone(), zone(), hosts(), hosts(), service, action).prop_map(|(from, to, source, destination, service, action)| {
        format!("from: {from}, to: {to}, source: {source}, destination: {destination}, service: {service}, action: {action}")
    })
}

fn policy_of(rules: &[String]) -> Loaded {
    let mut text = format!("{ZONES}rules:{}\n", if rules.is_empty() { " []" } else { "" });
    for (index, rule) in rules.iter().enumerate() {
        writeln!(text, "- {{name: r{index}, {rule}}}").unwrap();
    }
    load_str("p", &text, Path::new("")).unwrap()
}

/// What becomes of each packet.
fn effects(loaded: &Loaded, packets: &[Query]) -> Vec<Effect> {
    let default = Effect::of_default(&loaded.ruleset);
    let of = |index| Effect::of_rule(&loaded.ruleset, index);
    let rules: Vec<_> = (0..loaded.ruleset.rules.len()).map(of).collect();
    packets
        .iter()
        .map(|packet| match first_match(&loaded.ruleset, packet) {
            Some(id) => rules[id.0 as usize].clone(),
            None => default.clone(),
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn findings_are_those_of_all_packets(rules in prop::collection::vec(rule(), 1..12)) {
        let loaded = policy_of(&rules);
        let packets = packets();
        let mut hit = vec![false; rules.len()];
        let mut hit_possible = vec![false; rules.len()];
        for packet in &packets {
            if let Some(id) = first_match(&loaded.ruleset, packet) {
                hit[id.0 as usize] = true;
                hit_possible[id.0 as usize] |= packet.from != packet.to && packet.from.is_some() && packet.to.is_some();
            }
        }
        let mut analysis = Analysis::new(&loaded.policy, &loaded.ruleset);
        analysis.find_dead();
        analysis.find_redundant();
        for (index, finding) in analysis.findings.iter().enumerate() {
            match finding {
                Some(Finding::Impossible(_)) => prop_assert!(!hit_possible[index], "r{index} {finding:?}"),
                Some(Finding::RedundantAfter(_)) => prop_assert!(hit[index], "r{index} {finding:?}"),
                Some(_) => prop_assert!(!hit[index], "r{index} {finding:?}"),
                None => prop_assert!(hit[index], "r{index} is never hit, and nothing is said"),
            }
        }
        let kept: Vec<_> = rules.iter().zip(&analysis.findings).filter(|(_, finding)| finding.is_none()).collect();
        let reduced = policy_of(&kept.into_iter().map(|(rule, _)| rule.clone()).collect::<Vec<_>>());
        let possible: Vec<_> = packets
            .into_iter()
            .filter(|packet| packet.from != packet.to && packet.from.is_some() && packet.to.is_some())
            .collect();
        prop_assert_eq!(effects(&loaded, &possible), effects(&reduced, &possible), "all findings removed at once");
    }
}

#[test]
fn ten_thousand_rules_take_little_time() {
    let mut text = format!("{ZONES}rules:\n");
    let mut state = 7;
    for index in 0..10_000 {
        let random = next(&mut state);
        let (a, b, bits) = ((random & 0xff) as u32, (random >> 8 & 0xff) as u32, 8 + (random >> 16) % 17);
        let net = ((10 + a % 100) << 24 | b << 16 | (a ^ b) << 8) & (u32::MAX << (32 - bits));
        let net = std::net::Ipv4Addr::from_bits(net);
        let port = 1 + (random >> 32) % 2000;
        let action = if random >> 60 & 1 == 0 { "allow" } else { "drop" };
        let _ = writeln!(
            text,
            "- {{name: r{index}, from: lan, to: wan, destination: {net}/{bits}, service: tcp/{port}, action: {action}}}"
        );
    }
    let loaded = load_str("p", &text, Path::new("")).unwrap();
    let begin = Instant::now();
    let told = loaded.all_warnings();
    assert!(told.len() > 100, "such rules overlap");
    assert!(begin.elapsed().as_secs() < 10, "{:?}", begin.elapsed());
    println!("{:?} for {} findings", begin.elapsed(), told.len());
}
