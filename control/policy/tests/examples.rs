//! The shipped examples parse, and mean what their comments say.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use sekisho_engine::policy::linear::first_match;
use sekisho_engine::policy::{
    Action, Limits, LogLevel, OnDeploy, OnExpiry, Query, Quota, RuleNames, SpoofingMode, SynFlood,
    SynProxyMode, Timeouts,
};
use sekisho_engine::port::Port;
use sekisho_policy::words::{Helper, Hugepages, Poll};
use sekisho_policy::{Loaded, appliance, load};

fn config(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs").join(name)
}

fn decide(
    loaded: &Loaded,
    from: Port,
    (source, destination): (&str, &str),
    service: (u8, u16),
) -> Option<String> {
    let policy = loaded.compile(1, &mut RuleNames::default());
    let (source, destination): (IpAddr, IpAddr) = (source.parse().unwrap(), destination.parse().unwrap());
    let query = Query {
        from: policy.zones.place(from, 0, source).zone(),
        to: policy.zones.place(from.other(), 0, destination).zone(),
        source,
        destination,
        protocol: service.0,
        selector: service.1,
    };
    first_match(&policy.ruleset, &query).map(|id| policy.ruleset.rules[id.0 as usize].name.to_string())
}

#[test]
fn the_small_policy_lets_the_lan_out_and_nothing_in() {
    let loaded = load(&config("small.yaml")).unwrap();
    let out = decide(&loaded, Port::Lan, ("192.0.2.10", "203.0.113.5"), (6, 443));
    assert_eq!(out.as_deref(), Some("lan-out"));
    assert_eq!(decide(&loaded, Port::Wan, ("203.0.113.5", "192.0.2.10"), (6, 22)), None);
    assert_eq!(loaded.ruleset.default_action, Action::Drop);
    assert_eq!(loaded.ruleset.default_log, LogLevel::None);
    assert_eq!(loaded.ruleset.protections.spoofing, SpoofingMode::Off);
    assert_eq!(loaded.all_warnings().to_string(), "");
}

/// What it does is shown by the dialogues of `tests/replay/neighbours.rs`.
#[test]
fn the_policy_for_a_bridge_is_one_that_check_finds_nothing_to_say_about() {
    let loaded = load(&config("bridge.yaml")).unwrap();
    assert_eq!(loaded.all_warnings().to_string(), "");
}

#[test]
fn the_large_policy_decides_as_its_comments_say() {
    let loaded = load(&config("policy.yaml")).unwrap();
    let cases = [
        (Port::Wan, ("198.18.3.4", "198.51.100.10"), (6, 443), Some("threats")),
        (Port::Lan, ("192.0.2.10", "203.0.113.53"), (17, 53), Some("resolve")),
        (Port::Lan, ("192.0.2.10", "203.0.113.5"), (6, 443), Some("browse")),
        (Port::Lan, ("192.0.2.10", "203.0.113.5"), (1, 8 << 8), Some("browse")),
        (Port::Lan, ("192.0.2.10", "203.0.113.5"), (6, 25), None),
        (Port::Lan, ("192.0.2.210", "203.0.113.5"), (6, 443), Some("printers-stay-in")),
        (Port::Lan, ("192.0.2.150", "203.0.113.80"), (6, 5432), Some("long-lived")),
        (Port::Wan, ("203.0.113.5", "192.0.2.10"), (6, 443), None),
        (Port::Lan, ("2001:db8:1::5", "2001:db8:ffff::53"), (6, 53), Some("resolve")),
    ];
    for (from, addresses, service, rule) in cases {
        assert_eq!(
            decide(&loaded, from, addresses, service).as_deref(),
            rule,
            "{from} {addresses:?} {service:?}"
        );
    }
}

#[test]
fn the_large_policy_keeps_every_value() {
    let loaded = load(&config("policy.yaml")).unwrap();
    let ruleset = &loaded.ruleset;
    assert_eq!(ruleset.default_log, LogLevel::Drops);
    assert_eq!(ruleset.zones[1].vlans.as_deref(), Some(&[20][..]));
    assert_eq!(ruleset.timeouts[0], Timeouts::default());
    let long_lived = ruleset.rules.iter().find(|rule| &*rule.name == "long-lived").unwrap();
    let timeouts = &ruleset.timeouts[usize::from(long_lived.timeouts.0)];
    assert_eq!((timeouts.tcp_established_ms, timeouts.on_expiry), (43_200_000, OnExpiry::Probe));
    assert_eq!(timeouts.udp_stream_ms, Timeouts::default().udp_stream_ms);
    assert_eq!(ruleset.inspection.sessions_on_deploy, OnDeploy::Keep);
    assert_eq!(ruleset.inspection.non_ip, [0x0806]);
    assert!(ruleset.inspection.link_local.lldp && ruleset.inspection.link_local.stp);
    assert!(!ruleset.inspection.link_local.lacp && !ruleset.inspection.llc);
    assert_eq!(ruleset.protections.bogons, SpoofingMode::Drop);
    assert_eq!(ruleset.protections.syn_flood, SynFlood { half_open: Some(10_000), rate: Some(5000) });
    let scan = ruleset.protections.port_scan.as_ref().unwrap();
    assert_eq!((scan.ports, scan.within_ms, scan.block_for_ms), (20, 10_000, 300_000));
    assert_eq!((scan.hosts, scan.allow), (None, None));
    let source = Quota { sessions: Some(200), new_per_second: Some(50) };
    let limits = ruleset.rules.last().unwrap().limits.as_deref().copied();
    assert_eq!(limits, Some(Limits { source, ..Limits::default() }));
    assert_eq!(ruleset.rules.last().unwrap().syn_proxy, SynProxyMode::Auto);
    assert_eq!(ruleset.rules[2].helpers[0].0, Helper::Ftp);
    assert_eq!(ruleset.rules[2].helpers[0].1[0].selector, 21..=21);
    assert_eq!(loaded.policy.rules[0].place.line, 35);
}

#[test]
fn the_hash_is_that_of_the_policy_and_its_feeds() {
    let loaded = load(&config("policy.yaml")).unwrap();
    assert_eq!(loaded.sha256.len(), 64);
    let small = load(&config("small.yaml")).unwrap();
    assert_ne!(small.sha256, loaded.sha256);
}

#[test]
fn the_appliance_file_is_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/appliance.yaml");
    let appliance = appliance::load(&path).unwrap();
    assert_eq!(appliance.lan.device, "net_af_packet0,iface=sk-lan");
    assert_eq!(appliance.workers, appliance::Workers::Count(1));
    assert_eq!(appliance.hugepages, Hugepages::Auto);
    assert_eq!(appliance.poll, Poll::Adaptive);
    assert_eq!(appliance.policy, path.parent().unwrap().join("policy.yaml"));
    assert_eq!(appliance.log_file.as_deref(), Some(Path::new("/var/log/sekisho/flows.jsonl")));
}
