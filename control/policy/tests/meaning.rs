//! What the keys of a policy mean, one by one.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::IpAddr;
use std::path::Path;

use sekisho_engine::policy::linear::compare;
use sekisho_engine::policy::{
    AddressSet, OnDeploy, Query, SequenceNumbers, SpoofingMode, SynFlood, SynProxyMode, Timeouts, ZoneId,
};
use sekisho_policy::words::Helper;
use sekisho_policy::{Loaded, load_str};

const ZONES: &str = "zones: {lan: {port: lan}, wan: {port: wan}}\n";

fn read(text: &str) -> Loaded {
    load_str("p", &format!("version: 1\n{text}"), Path::new("")).unwrap()
}

fn rule(rest: &str) -> Loaded {
    read(&format!("{ZONES}rules:\n- {{name: r, action: allow, {rest}}}\n"))
}

fn matches(loaded: &Loaded, source: &str, destination: &str, protocol: u8, selector: u16) -> bool {
    let (source, destination): (IpAddr, IpAddr) = (source.parse().unwrap(), destination.parse().unwrap());
    let (from, to) = (Some(ZoneId(0)), Some(ZoneId(1)));
    let query = Query { from, to, source, destination, protocol, selector };
    compare(&loaded.ruleset, &loaded.ruleset.rules[0], &query).is_ok()
}

#[test]
fn any_and_left_out_are_the_same() {
    let loaded = rule("from: any, to: any, source: any, destination: any, service: any");
    let rule = &loaded.ruleset.rules[0];
    assert!(rule.from.is_none() && rule.to.is_none() && rule.source.is_none() && rule.destination.is_none());
    assert!(rule.services.is_none() && rule.log.is_none() && rule.sessions_on_deploy.is_none());
}

#[test]
fn single_values_and_lists_are_the_same() {
    let single = rule("from: lan, source: 10.0.0.0/8, service: tcp/80");
    let list = rule("from: [lan], source: [10.0.0.0/9, 10.128.0.0/9], service: [tcp/80]");
    assert_eq!(single.ruleset.rules[0].from, list.ruleset.rules[0].from);
    assert_eq!(single.ruleset.address_sets, list.ruleset.address_sets);
    assert_eq!(single.ruleset.rules[0].services, list.ruleset.rules[0].services);
}

#[test]
fn sets_of_addresses_are_made_of_others_and_stand_once() {
    let loaded = read(
        "addresses: {a: 10.0.0.1, b: [a, 10.0.0.3-10.0.0.4, 'fd00::/8'], c: [b, 10.0.0.2]}\n\
         rules:\n- {name: r, action: allow, source: c, destination: c}\n\
         - {name: s, action: drop, source: [10.0.0.1-10.0.0.4, 'fd00::/8']}\n",
    );
    let first = 10 << 24;
    let wanted = AddressSet::new(vec![first + 1..=first + 4], vec![0xfd << 120..=(0xfe << 120) - 1]);
    assert_eq!(loaded.ruleset.address_sets, [wanted]);
    assert_eq!(loaded.policy.rules[0].written.source.as_deref(), Some("c"));
}

#[test]
fn services_are_made_of_others_and_keep_their_helpers() {
    let loaded = read(
        "services: {web: [tcp/80, tcp/443], all: [web, udp/53, gre], ftp: {ports: [tcp/21, tcp/2121], helper: ftp}}\n\
         rules:\n- {name: r, action: allow, service: [all, ftp, tcp/80]}\n",
    );
    assert!(
        matches(&loaded, "10.0.0.1", "10.0.0.2", 6, 443) && matches(&loaded, "10.0.0.1", "10.0.0.2", 6, 2121)
    );
    assert!(
        matches(&loaded, "fd00::1", "fd00::2", 47, 0) && !matches(&loaded, "10.0.0.1", "10.0.0.2", 17, 54)
    );
    assert_eq!(loaded.ruleset.rules[0].services.as_ref().unwrap().len(), 6);
    let helpers = &loaded.ruleset.rules[0].helpers;
    assert_eq!((helpers.len(), helpers[0].0, helpers[0].1.len()), (1, Helper::Ftp, 2));
}

#[test]
fn a_helper_that_follows_none_of_its_ports_is_warned_of() {
    let warned = |service: &str| read(&format!("services: {{s: {service}}}")).warnings.to_string();
    assert!(warned("{ports: udp/21, helper: ftp}").contains("the helper ftp follows none of these"));
    assert!(warned("{ports: tcp/69, helper: tftp}").contains("the helper tftp follows none of these"));
    for right in ["{ports: [udp/5060, tcp/5060], helper: sip}", "{ports: [tcp/21, udp/21], helper: ftp}"] {
        assert!(!warned(right).contains("follows none"), "{right}");
    }
}

#[test]
fn icmp_services_speak_of_their_families() {
    let echo = rule("service: icmp/echo");
    assert!(
        matches(&echo, "10.0.0.1", "10.0.0.2", 1, 8 << 8)
            && matches(&echo, "fd00::1", "fd00::2", 58, 128 << 8)
    );
    assert!(!matches(&echo, "10.0.0.1", "10.0.0.2", 58, 128 << 8));
    let all = rule("service: icmp");
    assert!(
        matches(&all, "10.0.0.1", "10.0.0.2", 1, 3 << 8 | 4)
            && matches(&all, "fd00::1", "fd00::2", 58, 1 << 8)
    );
}

#[test]
fn timeouts_of_rules_are_those_of_the_policy_but_for_their_own() {
    let loaded = read(
        "timeouts: {tcp: {established: 1h}, udp: {stream: 10m}, icmp: 5s, other: {replied: 1d}, fragments: 5s}\n\
         rules:\n- {name: a, action: allow, timeout: {established: 2h, udp: {replied: 1m30s}}}\n\
         - {name: b, action: allow, timeout: {established: 2h, udp: {replied: 90s}}}\n\
         - {name: c, action: allow, timeout: {established: 1h}}\n- {name: d, action: allow}\n",
    );
    let policy = Timeouts {
        tcp_established_ms: 3_600_000,
        udp_stream_ms: 600_000,
        icmp_ms: 5000,
        other_replied_ms: 86_400_000,
        fragments_ms: 5000,
        ..Timeouts::default()
    };
    let own = Timeouts { tcp_established_ms: 7_200_000, udp_replied_ms: 90_000, ..policy.clone() };
    assert_eq!(loaded.ruleset.timeouts, [policy, own]);
    let ids: Vec<_> = loaded.ruleset.rules.iter().map(|rule| rule.timeouts.0).collect();
    assert_eq!(ids, [1, 1, 0, 0]);
}

#[test]
fn spoofing_is_looked_for_once_a_zone_names_its_networks() {
    let mode = |text: &str| read(text).ruleset.protections.spoofing;
    assert_eq!(mode(ZONES), SpoofingMode::Off);
    assert_eq!(mode("zones: {lan: {port: lan, networks: 10.0.0.0/8}}"), SpoofingMode::Drop);
    let said = "zones: {lan: {port: lan, networks: 10.0.0.0/8}}\nprotections: {spoofing: log}";
    assert_eq!(mode(said), SpoofingMode::Log);
}

#[test]
fn vlans_are_numbers_ranges_and_untagged() {
    let loaded = read("zones: {a: {port: lan, vlans: [100-102, untagged, 7, 101]}}");
    assert_eq!(loaded.ruleset.zones[0].vlans.as_deref(), Some(&[0, 7, 100, 101, 102][..]));
}

#[test]
fn ether_types_are_names_and_numbers() {
    let inspection =
        read("inspection: {non_ip: [lldp, 0x8863, 2054, llc, arp], link_local: lacp}").ruleset.inspection;
    assert_eq!(inspection.non_ip, [0x0806, 0x8863, 0x88cc]);
    assert!(inspection.llc && inspection.link_local.lacp && !inspection.link_local.stp);
    assert!(read("inspection: {non_ip: []}").ruleset.inspection.non_ip.is_empty());
}

#[test]
fn a_rule_may_say_what_becomes_of_its_sessions() {
    let loaded = rule("sessions_on_deploy: rematch");
    assert_eq!(loaded.ruleset.rules[0].sessions_on_deploy, Some(OnDeploy::Rematch));
    assert_eq!(loaded.ruleset.inspection.sessions_on_deploy, OnDeploy::Keep);
}

#[test]
fn anchors_spare_repetition() {
    let loaded = read(
        "rules:\n- {name: a, action: allow, timeout: &long {established: 12h}}\n\
         - {name: b, action: allow, timeout: *long}\n",
    );
    assert_eq!(loaded.ruleset.rules[0].timeouts, loaded.ruleset.rules[1].timeouts);
    assert_eq!(loaded.ruleset.timeouts.len(), 2);
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_do_not_matter() {
    let text = "\u{feff}version: 1\r\nrules:\r\n- {name: a, action: allow}\r\n";
    let loaded = load_str("p", text, Path::new("")).unwrap();
    assert_eq!(&*loaded.ruleset.rules[0].name, "a");
    assert_eq!(loaded.policy.rules[0].place.line, 3);
}

#[test]
fn a_rule_says_how_sources_prove_that_they_are_real() {
    let loaded = read(
        "rules:\n- {name: a, action: allow, service: tcp/80, syn_proxy: always}\n\
         - {name: b, action: allow, service: tcp/81, syn_proxy: verify, sequence_numbers: randomise}\n\
         - {name: c, action: allow, service: [tcp/82, udp/82], syn_proxy: auto, sequence_numbers: randomise-both}\n\
         - {name: d, action: allow, service: udp/83, syn_proxy: always}\n\
         - {name: e, action: allow}\n",
    );
    let said: Vec<_> =
        loaded.ruleset.rules.iter().map(|rule| (rule.syn_proxy, rule.sequence_numbers)).collect();
    use SequenceNumbers::{Keep, Randomise, RandomiseBoth};
    use SynProxyMode::{Always, Auto, Off, Verify};
    assert_eq!(
        said,
        [(Always, Keep), (Verify, Randomise), (Auto, RandomiseBoth), (Always, Keep), (Off, Keep)]
    );
    assert_eq!(loaded.ruleset.protections.syn_flood, SynFlood::default());
    let warned: Vec<_> = loaded.all_warnings().iter().map(|one| one.message.clone()).collect();
    assert!(
        warned.iter().any(|said| said.contains("\"c\" has syn_proxy: auto, which never begins")),
        "{warned:?}"
    );
    assert!(warned.iter().any(|said| said.contains("\"d\" has no TCP")), "{warned:?}");
    let flooded = read("protections: {syn_flood: {rate: 5}}\nrules: []");
    assert_eq!(flooded.ruleset.protections.syn_flood, SynFlood { half_open: None, rate: Some(5) });
}

#[test]
fn zones_and_probes_have_settings_of_their_own() {
    use sekisho_engine::policy::{MidstreamMode, TcpWindowMode};
    let loaded = read(
        "zones: {lan: {port: lan, tcp_window: off}, wan: {port: wan, midstream: pickup}}\n\
         inspection: {tcp_window: log, grace: 2m}\n\
         timeouts: {probe: {retries: 5}}\n\
         rules:\n- {name: r, action: allow, timeout: {probe: {interval: 1s}}}\n",
    );
    let zones = &loaded.ruleset.zones;
    assert_eq!((zones[0].tcp_window, zones[0].midstream), (Some(TcpWindowMode::Off), None));
    assert_eq!((zones[1].tcp_window, zones[1].midstream), (None, Some(MidstreamMode::Pickup)));
    assert_eq!(loaded.ruleset.inspection.grace_ms, 120_000);
    let probes = |timeouts: &Timeouts| (timeouts.probe_retries, timeouts.probe_interval_ms);
    assert_eq!(loaded.ruleset.timeouts.iter().map(probes).collect::<Vec<_>>(), [(5, 10_000), (5, 1000)]);
    for wrong in ["retries: 0", "retries: 21", "interval: 2h", "interval: 5"] {
        let text = format!("version: 1\ntimeouts: {{probe: {{{wrong}}}}}\nrules: []\n");
        assert!(load_str("p", &text, Path::new("")).is_err(), "{wrong}");
    }
}

#[test]
fn limits_say_what_they_count_by() {
    use sekisho_engine::policy::{Limits, Quota};
    let of =
        |limits: &str| rule(&format!("limits: {{{limits}}}")).ruleset.rules[0].limits.as_deref().copied();
    let source = Quota { sessions: Some(200), new_per_second: Some(50) };
    let wanted = Limits { source, ..Limits::default() };
    assert_eq!(of("sessions_per_source: 200, new_sessions_per_second_per_source: 50"), Some(wanted));
    let wanted = Limits {
        prefix: Quota { sessions: Some(9), new_per_second: Some(8) },
        prefix_bits: [20, 56],
        rule: Quota { sessions: Some(7), new_per_second: Some(6) },
        packets_per_second: Some(1000),
        bits_per_second: Some(1_000_000_000),
        ..Limits::default()
    };
    let all = "sessions_per_prefix: 9, new_sessions_per_second_per_prefix: 8, prefix: {ipv4: 20}, sessions: 7, \
               new_sessions_per_second: 6, packets_per_second: 1000, bits_per_second: 1000000000";
    assert_eq!(of(all), Some(wanted));
    assert_eq!(rule("log: true").ruleset.rules[0].limits, None);
    for wrong in [
        "",
        "sessions_per_source: 0",
        "new_sessions_per_second: 10000001",
        "prefix: {ipv4: 33}",
        "prefix: {ipv6: 0}",
        "prefix: {}",
        "bits_per_second: 99999",
        "packets_per_second: many",
        "sessions_per_host: 5",
    ] {
        let text = format!("version: 1\nrules: [{{name: r, action: allow, limits: {{{wrong}}}}}]\n");
        let fault = load_str("p", &text, Path::new("")).unwrap_err().to_string();
        assert!(fault.starts_with("p:2:"), "{wrong}: {fault}");
    }
    let idle =
        read("rules: [{name: r, action: allow, limits: {sessions: 5, prefix: {ipv4: 20}}}]\n").all_warnings();
    assert!(idle.to_string().contains("prefix says nothing where no limit counts by prefix"), "{idle}");
    let none = read("rules: [{name: r, action: drop, limits: {sessions: 5}}]\n").all_warnings().to_string();
    assert!(none.contains("limits says nothing on a rule that does not allow"), "{none}");
}

#[test]
fn a_port_scan_says_who_is_never_blocked() {
    let scan = |more: &str| {
        let text = format!(
            "version: 1\naddresses: {{monitors: [192.0.2.9, \"2001:db8::/48\"]}}\nprotections: {{port_scan: {{ports: 20, within: 10s, block_for: 5m{more}}}}}\nrules: []\n"
        );
        load_str("p", &text, Path::new(""))
    };
    let loaded = scan(", hosts: 50, allow: [monitors, 198.51.100.0/24]").unwrap();
    let found = loaded.ruleset.protections.port_scan.as_ref().unwrap();
    assert_eq!(
        (found.ports, found.hosts, found.within_ms, found.block_for_ms),
        (20, Some(50), 10_000, 300_000)
    );
    let allow = &loaded.ruleset.address_sets[found.allow.unwrap().0 as usize];
    for (address, is_allowed) in [("192.0.2.9", true), ("192.0.2.8", false), ("2001:db8::1", true)] {
        assert_eq!(allow.contains(address.parse().unwrap()), is_allowed, "{address}");
    }
    assert!(!loaded.all_warnings().to_string().contains("monitors"), "it is used");
    for (wrong, told) in [
        (", allow: nobody", "there is no address or set of addresses named \"nobody\""),
        (", allow: any", "\"any\" stands inside allow"),
        (", allow: [192.0.2.9/24]", "host bits"),
        (", hosts: 0", "from 1 to 4096"),
        (", ports: 5", "stands in line 3 already"),
    ] {
        let fault = scan(wrong).unwrap_err().to_string();
        assert!(fault.starts_with("p:3:") && fault.contains(told), "{wrong}: {fault}");
    }
}
