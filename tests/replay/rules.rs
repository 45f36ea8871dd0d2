//! Rules, zones, and sources that cannot be.

use sekisho_engine::port::Port;
use sekisho_tests::frames::{SYN, VLAN, arp, icmp, ping, tcp, udp};

use super::*;

/// Two zones behind the LAN port, one of them in a VLAN, each with its networks.
const ZONES: &str = "\
version: 1
zones:
  lan: {port: lan, networks: [192.0.2.0/24, \"2001:db8:1::/48\"]}
  dmz: {port: lan, vlans: [20], networks: [198.51.100.0/25]}
  wan: {port: wan}
services:
  web: [tcp/80, tcp/443]
rules:
  - {name: out, from: lan, to: wan, action: allow}
  - {name: publish, from: wan, to: dmz, destination: 198.51.100.10, service: web, action: allow}
  - {name: inside, from: wan, to: lan, service: icmp/echo, action: allow}
";

const DMZ: &str = "198.51.100.10";

#[test]
fn the_first_rule_that_matches_decides() {
    let policy = "\
version: 1
zones: {lan: {port: lan}, wan: {port: wan}}
addresses: {guests: 192.0.2.128/25}
services: {web: [tcp/80, tcp/443], high: tcp/1024-65535}
rules:
  - {name: no-mail, from: lan, to: wan, service: tcp/25, action: drop}
  - {name: guests, from: lan, to: wan, source: guests, service: web, action: allow}
  - {name: guests-end, from: lan, to: wan, source: guests, action: reject}
  - {name: high, from: lan, to: wan, service: high, action: allow}
  - {name: ping, from: any, to: any, service: icmp/echo, action: allow}
";
    let mut scene = Scene::new(policy);
    let syn = |from, port| tcp(at(from, 40_000), at(WAN, port), SYN, 1, 0);
    scene.lan(syn(LAN, 25)).drops(Reason::RuleDrop).by("no-mail");
    scene.lan(syn("192.0.2.200", 443)).opens(1, "guests");
    scene.lan(syn("192.0.2.200", 444)).drops(Reason::RuleReject).by("guests-end");
    scene.answers(Port::Lan, Reason::SendReset);
    scene.lan(syn("192.0.2.127", 1023)).drops(Reason::DefaultDrop);
    scene.lan(syn("192.0.2.127", 1024)).opens(2, "high");
    scene.lan(syn(LAN, 65_535)).opens(3, "high");
    scene.lan(udp(at(LAN, 5000), at(WAN, 5000), b"")).drops(Reason::DefaultDrop);
    scene.wan(ping(ip(WAN), ip(LAN), 7, 1)).opens(4, "ping");
    scene.lan(ping(ip(LAN6), ip(WAN6), 7, 1)).opens(5, "ping");
    let played = scene.plays();
    let hits: Vec<_> = played.summary.rules.iter().map(|rule| (&*rule.rule, rule.hits)).collect();
    assert_eq!(hits, [("guests", 1), ("guests-end", 1), ("high", 2), ("no-mail", 1), ("ping", 2)]);
}

#[test]
fn the_default_action_may_allow_and_reject() {
    let with = |action| {
        format!(
            "version: 1\ndefaults: {{action: {action}}}\nzones: {{lan: {{port: lan}}, wan: {{port: wan}}}}\nrules: []\n"
        )
    };
    let mut scene = Scene::new(&with("allow"));
    scene.wan(udp(at(WAN, 1), at(LAN, 2), b"")).passes(Reason::SessionNew).of(1);
    scene.lan(udp(at(LAN, 2), at(WAN, 1), b"")).follows(1);
    scene.plays();
    let mut scene = Scene::new(&with("reject"));
    scene.wan(udp(at(WAN, 1), at(LAN, 2), b"")).drops(Reason::DefaultReject);
    scene.answers(Port::Wan, Reason::SendUnreachable);
    scene.plays();
}

#[test]
fn zones_follow_from_port_vlan_and_address() {
    let mut scene = Scene::new(ZONES);
    let inbound = tcp(at(WAN, 40_000), at(DMZ, 443), SYN, 1, 0);
    scene.wan(inbound.clone().vlan(20)).opens(1, "publish");
    // Untagged, only the zone without VLANs has that port: the address is behind it and no rule publishes it.
    scene.wan(inbound.clone()).drops(Reason::DefaultDrop);
    scene.wan(inbound.clone().vlan(21)).drops(Reason::DefaultDrop);
    // With two tags the outer one decides.
    scene.wan(inbound.clone().vlan(20).vlan(99)).opens(2, "publish");
    scene.wan(inbound.clone().tag(frames::QINQ, 99).tag(VLAN, 20)).drops(Reason::DefaultDrop);
    // In VLAN 20 both zones are; the networks tell.
    scene.wan(ping(ip(WAN), ip(LAN), 7, 1).vlan(20)).opens(3, "inside");
    scene.wan(ping(ip(WAN), ip(DMZ), 7, 1).vlan(20)).drops(Reason::DefaultDrop);
    scene.plays();
}

#[test]
fn a_destination_in_no_zone_is_matched_by_any_alone() {
    let policy = "\
version: 1
zones:
  a: {port: lan, networks: [192.0.2.0/24]}
  b: {port: lan, networks: [198.51.100.0/24]}
  wan: {port: wan}
rules:
  - {name: to-a, from: wan, to: [a, b], service: udp, action: allow}
  - {name: to-any, from: wan, to: any, service: icmp/echo, action: allow}
";
    let mut scene = Scene::new(policy);
    scene.wan(udp(at(WAN, 1), at(LAN, 2), b"")).opens(1, "to-a");
    scene.wan(udp(at(WAN, 1), at("10.9.9.9", 2), b"")).drops(Reason::DefaultDrop);
    scene.wan(ping(ip(WAN), ip("10.9.9.9"), 1, 1)).opens(2, "to-any");
    scene.plays();
}

#[test]
fn a_source_that_lives_elsewhere_is_spoofed() {
    let mut scene = Scene::new(ZONES);
    let from = |source| udp(at(source, 5000), at(WAN, 53), b"");
    scene.lan(from(LAN)).opens(1, "out");
    scene.lan(from("10.0.0.1")).drops(Reason::Spoofed);
    scene.lan(from(DMZ)).drops(Reason::Spoofed);
    scene.lan(from(DMZ).vlan(20)).drops(Reason::DefaultDrop);
    scene.lan(from("198.51.100.200").vlan(20)).drops(Reason::Spoofed);
    scene.lan(udp(at("2001:db8:2::1", 5000), at(WAN6, 53), b"")).drops(Reason::Spoofed);
    // One of ours arriving from the world.
    scene.wan(udp(at("192.0.2.99", 5000), at(LAN, 53), b"")).drops(Reason::Spoofed);
    scene.wan(udp(at("198.51.100.9", 5000), at(LAN, 53), b"")).drops(Reason::Spoofed);
    // ARP and neighbour discovery are held to it too; link-local addresses live on every link.
    scene.lan(arp(1, ip("10.0.0.1"), ip(LAN))).drops(Reason::Spoofed);
    scene.wan(arp(2, ip("192.0.2.1"), ip(LAN))).drops(Reason::Spoofed);
    let solicitation =
        |source| icmp(ip(source), ip("ff02::1:ff00:1"), 135, 0, [0; 4], &[0; 16]).hop_limit(255);
    scene.lan(solicitation("fe80::1")).passes(Reason::Neighbour);
    scene.lan(solicitation("2001:db8:2::1")).drops(Reason::Spoofed);
    scene.plays();
}

#[test]
fn spoofing_may_be_logged_or_left_alone() {
    for (mode, suspicious) in [("log", 1), ("off", 0)] {
        let mut scene = Scene::new(&format!("{ZONES}protections: {{spoofing: {mode}}}\n"));
        scene.lan(udp(at("10.0.0.1", 5000), at(WAN, 53), b"")).opens(1, "out");
        assert_eq!(scene.plays().summary.suspicious, suspicious);
    }
}

#[test]
fn bogons_are_no_source() {
    let mut scene = Scene::new(&format!("{LAN_OUT}protections: {{bogons: drop}}\n"));
    let bogons4 =
        ["0.0.0.0", "127.0.0.1", "127.255.255.255", "224.0.0.1", "239.1.2.3", "240.0.0.1", "255.255.255.255"];
    for source in bogons4 {
        scene.wan(udp(at(source, 1), at(LAN, 2), b"")).drops(Reason::Bogon);
    }
    for source in ["::", "::1", "ff02::1", "::ffff:192.0.2.1"] {
        scene.wan(udp(at(source, 1), at(LAN6, 2), b"")).drops(Reason::Bogon);
    }
    // Private and documentation prefixes are for the zones' networks to judge.
    for source in ["10.1.1.1", "192.168.1.1", "172.16.0.1", "198.51.100.1", "100.64.0.1", "169.254.1.1"] {
        scene.wan(udp(at(source, 1), at(LAN, 2), b"")).drops(Reason::DefaultDrop);
    }
    for source in ["fd00::1", "2001:db8::1", "fe80::1"] {
        scene.wan(udp(at(source, 1), at(LAN6, 2), b"")).drops(Reason::DefaultDrop);
    }
    scene.plays();
}

#[test]
fn bogons_pass_where_nobody_asked_to_look_for_them() {
    let mut scene = lan_out();
    scene.lan(udp(at("127.0.0.1", 1), at(WAN, 2), b"")).opens(1, "lan-out");
    scene.plays();
}
