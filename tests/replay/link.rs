//! Frames that are not IP, and the neighbour discovery of IPv6.

use sekisho_engine::port::Port;
use sekisho_tests::frames::{MACS, arp, ethernet, icmp, link_local};

use super::*;

fn with(inspection: &str) -> Scene {
    Scene::new(&format!("{LAN_OUT}inspection: {{{inspection}}}\n"))
}

#[test]
fn arp_passes_both_ways_and_is_no_session() {
    let mut scene = lan_out();
    scene.lan(arp(1, ip(LAN), ip("192.0.2.1"))).passes(Reason::Neighbour);
    scene.wan(arp(2, ip("192.0.2.1"), ip(LAN))).passes(Reason::Neighbour);
    // Gratuitous, and a probe for an address (RFC 5227).
    scene.lan(arp(1, ip(LAN), ip(LAN))).passes(Reason::Neighbour);
    scene.lan(arp(1, ip("0.0.0.0"), ip(LAN))).passes(Reason::Neighbour);
    scene.plays();
}

#[test]
fn arp_passes_only_where_non_ip_lists_it() {
    let mut scene = with("non_ip: []");
    scene.lan(arp(1, ip(LAN), ip("192.0.2.1"))).drops(Reason::NonIpDenied);
    scene.plays();
}

#[test]
fn other_ethertypes_pass_only_where_non_ip_lists_them() {
    let profinet = ethernet([MACS[1], MACS[0]], &[], 0x8892, b"cyclic");
    let mut scene = lan_out();
    scene.lan(profinet.clone()).drops(Reason::NonIpDenied);
    scene.plays();
    let mut scene = with("non_ip: [arp, 0x8892]");
    scene.lan(profinet.clone()).passes(Reason::NonIp);
    scene.wan(profinet).passes(Reason::NonIp);
    scene.lan(ethernet([MACS[1], MACS[0]], &[], 0x8893, b"")).drops(Reason::NonIpDenied);
    scene.plays();
}

#[test]
fn frames_with_a_length_pass_only_as_llc() {
    let llc = ethernet([MACS[1], MACS[0]], &[], 3, &[0x42, 0x42, 0x03]);
    let mut scene = lan_out();
    scene.lan(llc.clone()).drops(Reason::LlcDenied);
    scene.plays();
    let mut scene = with("non_ip: [arp, llc]");
    scene.lan(llc).passes(Reason::NonIp);
    scene.plays();
}

#[test]
fn link_local_protocols_pass_one_by_one() {
    let protocols = [
        ("stp", link_local(0, 38)),
        ("pause", link_local(1, 0x8808)),
        ("lacp", link_local(2, 0x8809)),
        ("dot1x", link_local(3, 0x888e)),
        ("lldp", link_local(0xe, 0x88cc)),
    ];
    for (name, _) in &protocols {
        let mut scene = with(&format!("link_local: [{name}]"));
        for (other, frame) in &protocols {
            let expected = if name == other { Reason::LinkLocal } else { Reason::LinkLocalDenied };
            scene.lan(frame.clone()).verdict(expected);
        }
        scene.plays();
    }
    let mut scene = lan_out();
    for x in 0..=15 {
        scene.wan(link_local(x, 0x88cc)).drops(Reason::LinkLocalDenied);
    }
    scene.plays();
}

#[test]
fn lldp_passes_to_its_three_addresses() {
    let mut scene = with("link_local: [lldp]");
    for x in [0, 3, 0xe] {
        scene.lan(link_local(x, 0x88cc)).passes(Reason::LinkLocal);
    }
    scene.lan(link_local(1, 0x88cc)).drops(Reason::LinkLocalDenied);
    scene.plays();
}

#[test]
fn even_ip_does_not_pass_to_a_link_local_address() {
    let mut scene = lan_out();
    let hidden = web().client(frames::SYN).to_mac([1, 0x80, 0xc2, 0, 0, 0]);
    scene.lan(hidden).drops(Reason::LinkLocalDenied);
    scene.plays();
}

#[test]
fn neighbour_discovery_passes_both_ways_from_this_link_alone() {
    let mut scene = lan_out();
    for kind in [135, 136] {
        let message = icmp(ip(LAN6), ip("2001:db8:1::1"), kind, 0, [0; 4], &[0; 16]);
        for port in Port::ALL {
            scene.on(port, message.clone().hop_limit(255)).passes(Reason::Neighbour);
            scene.on(port, message.clone().hop_limit(254)).drops(Reason::NeighbourHopLimit);
        }
    }
    // Duplicate address detection asks from no address.
    let probe = icmp(ip("::"), ip("ff02::1:ff00:10"), 135, 0, [0; 4], &[0; 16]).hop_limit(255);
    scene.lan(probe).passes(Reason::Neighbour);
    for kind in [133, 134, 137] {
        scene
            .lan(icmp(ip("fe80::1"), ip("ff02::1"), kind, 0, [0; 4], &[0; 12]))
            .drops(Reason::NeighbourHopLimit);
    }
    scene.plays();
}

#[test]
fn router_messages_and_mld_go_by_the_rules_and_open_nothing() {
    let policy = "\
version: 1
zones: {lan: {port: lan}, wan: {port: wan}}
rules:
  - {name: routers, from: wan, to: lan, service: [icmp/router-advertisement, icmp/redirect], action: allow}
  - {name: groups, from: lan, to: wan, service: icmp/mld, action: allow}
";
    let mut scene = Scene::new(policy);
    let advertisement = icmp(ip("fe80::1"), ip("ff02::1"), 134, 0, [0; 4], &[0; 8]).hop_limit(255);
    scene.wan(advertisement.clone()).passes(Reason::Stateless).by("routers");
    scene.wan(advertisement.clone()).passes(Reason::Stateless).by("routers");
    scene.lan(advertisement).drops(Reason::DefaultDrop);
    scene
        .wan(icmp(ip("fe80::1"), ip(LAN6), 137, 0, [0; 4], &[0; 32]).hop_limit(255))
        .passes(Reason::Stateless)
        .by("routers");
    for kind in [131, 132, 143] {
        let report = icmp(ip("fe80::2"), ip("ff02::16"), kind, 0, [0; 4], &[0; 16]).hop_limit(1);
        scene.lan(report.clone()).passes(Reason::Stateless).by("groups");
        scene.wan(report).drops(Reason::DefaultDrop);
    }
    scene.plays();
}
