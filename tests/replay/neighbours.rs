//! Messages between neighbours and routers, which a bridge stands in the way of: what passes by itself, what by a rule, and what
//! not (the contract, RFC 4890).

use sekisho_tests::frames::{Packet, checksum, icmp, ping, pong};

use super::*;

const ROUTER6: &str = "fe80::1";
const ALL_NODES: &str = "ff02::1";

/// A message of ICMPv6 to all nodes of the link.
fn message(kind: u8, hop_limit: u8) -> Packet {
    icmp(ip(ROUTER6), ip(ALL_NODES), kind, 0, [0; 4], &[0; 16]).hop_limit(hop_limit)
}

/// An IGMP message to all hosts of the link.
fn igmp(kind: u8) -> Packet {
    let mut bytes = vec![kind, 0, 0, 0, 224, 0, 0, 251];
    let sum = checksum(&[&bytes]);
    bytes[2..4].copy_from_slice(&sum.to_be_bytes());
    Packet::new(ip("198.51.100.1"), ip("224.0.0.1"), 2, bytes).hop_limit(1)
}

fn allow(service: &str) -> String {
    format!(
        "version: 1\nzones: {{lan: {{port: lan}}, wan: {{port: wan}}}}\nrules: [{{name: r, from: wan, to: lan, service: {service}, action: allow}}]\n"
    )
}

/// Services by which rules decide of messages between neighbours, with a type of each and its hop limit.
const BY_RULE: [(&str, u8, u8); 12] = [
    ("icmp/router-solicitation", 133, 255),
    ("icmp/router-advertisement", 134, 255),
    ("icmp/redirect", 137, 255),
    ("icmp/mld", 130, 1),
    ("icmp/mld", 131, 1),
    ("icmp/mld", 132, 1),
    ("icmp/mld", 143, 1),
    ("icmp/inverse-neighbour-discovery", 141, 255),
    ("icmp/inverse-neighbour-discovery", 142, 255),
    ("icmp/certification-path", 149, 255),
    ("icmp/multicast-router-discovery", 151, 1),
    ("icmp/multicast-router-discovery", 153, 1),
];

#[test]
fn rfc4890_messages_between_neighbours_go_by_their_rules() {
    for (service, kind, hop_limit) in BY_RULE {
        let mut scene = lan_out();
        scene.wan(message(kind, hop_limit)).drops(Reason::DefaultDrop);
        scene.plays();
        let mut scene = Scene::new(&allow(service));
        scene.wan(message(kind, hop_limit)).passes(Reason::Stateless).by("r");
        // It opens nothing, the way back included.
        scene.lan(message(kind, hop_limit)).drops(Reason::DefaultDrop);
        if hop_limit == 255 {
            scene.wan(message(kind, 254)).drops(Reason::NeighbourHopLimit);
        }
        scene.plays();
    }
}

#[test]
fn a_rule_for_one_kind_is_none_for_another() {
    let mut scene = Scene::new(&allow("icmp/router-advertisement"));
    for (service, kind, hop_limit) in BY_RULE {
        if service != "icmp/router-advertisement" {
            scene.wan(message(kind, hop_limit)).drops(Reason::DefaultDrop);
        }
    }
    scene.plays();
}

#[test]
fn redirects_are_dropped_unless_a_rule_allows_them() {
    let lost = ping(ip(LAN), ip(WAN), 7, 1);
    let redirect = |quote: &[u8]| icmp(ip("198.51.100.1"), ip(LAN), 5, 1, [198, 51, 100, 2], quote);
    let mut scene = lan_out();
    scene.lan(lost.clone()).opens(1, "lan-out");
    // Not even one that speaks of a live session.
    scene.wan(redirect(&lost.ip())).drops(Reason::DefaultDrop);
    scene.plays();
    let mut scene = Scene::new(&allow("icmp/redirect"));
    scene.wan(redirect(&lost.ip())).passes(Reason::Stateless).by("r");
    scene.plays();
}

#[test]
fn igmp_goes_by_its_rule_and_opens_no_session() {
    for kind in [0x11, 0x12, 0x16, 0x17, 0x22, 0x30] {
        let mut scene = lan_out();
        scene.wan(igmp(kind)).drops(Reason::DefaultDrop);
        // Out is allowed; what comes back is no answer.
        scene.lan(igmp(kind)).passes(Reason::Stateless).by("lan-out");
        let back = igmp(kind);
        scene.wan(Packet::new(back.destination, back.source, 2, back.payload)).drops(Reason::DefaultDrop);
        scene.plays();
        let mut scene = Scene::new(&allow("igmp"));
        scene.wan(igmp(kind)).passes(Reason::Stateless).by("r");
        scene.wan(igmp(kind).patched(|packet| packet[24] ^= 1)).drops(Reason::IcmpBadChecksum);
        scene.plays();
    }
}

#[test]
fn neighbour_discovery_passes_both_ways_by_itself() {
    let mut scene = Scene::new(&allow("tcp/1"));
    for kind in [135, 136] {
        scene.lan(message(kind, 255)).passes(Reason::Neighbour);
        scene.wan(message(kind, 255)).passes(Reason::Neighbour);
        scene.wan(message(kind, 64)).drops(Reason::NeighbourHopLimit);
    }
    scene.plays();
}

#[test]
fn rfc4890_what_no_rule_may_let_pass() {
    // Router renumbering, node information, and what nobody has assigned.
    let policy =
        "version: 1\ndefaults: {action: allow}\nzones: {lan: {port: lan}, wan: {port: wan}}\nrules: []\n";
    for kind in [138, 139, 140, 150, 154, 199, 200, 255] {
        let mut scene = Scene::new(policy);
        scene.wan(message(kind, 255)).drops(Reason::IcmpType);
        scene.plays();
    }
}

#[test]
fn queries_of_mobility_and_rfc8335_are_sessions_by_their_identifier() {
    for (query, reply) in [(144, 145), (146, 147), (160, 161)] {
        let mut scene = lan_out();
        let ask = |from, to, kind, id| icmp(ip(from), ip(to), kind, 0, [0, id, 1, 0], &[0; 8]);
        scene.lan(ask(LAN6, WAN6, query, 7)).opens(1, "lan-out");
        scene.wan(ask(WAN6, LAN6, reply, 7)).follows(1);
        scene.wan(ask(WAN6, LAN6, reply, 8)).drops(Reason::IcmpNoSession);
        scene.wan(ask(WAN6, LAN6, query, 7)).drops(Reason::DefaultDrop);
        // An echo of the same identifier is another session.
        scene.lan(ping(ip(LAN6), ip(WAN6), 7, 1)).opens(2, "lan-out");
        scene.plays();
    }
    let mut scene = lan_out();
    scene.lan(icmp(ip(LAN), ip(WAN), 42, 0, [0, 7, 1, 0], b"")).opens(1, "lan-out");
    scene.wan(icmp(ip(WAN), ip(LAN), 43, 0, [0, 7, 1, 0], b"")).follows(1);
    scene.wan(pong(ip(WAN), ip(LAN), 7, 1)).drops(Reason::IcmpNoSession);
    scene.plays();
}

/// `configs/bridge.yaml`, which docs/policy.md explains.
#[test]
fn the_policy_for_a_bridge_does_what_it_says() {
    let policy = include_str!("../../configs/bridge.yaml");
    let mut scene = Scene::new(policy);
    let host = "192.0.2.10";
    scene.wan(message(134, 255)).passes(Reason::Stateless).by("routers-speak");
    let solicitation = icmp(ip("fe80::10"), ip("ff02::2"), 133, 0, [0; 4], b"").hop_limit(255);
    scene.lan(solicitation).passes(Reason::Stateless).by("out");
    scene.lan(message(143, 1)).passes(Reason::Stateless).by("out");
    scene.wan(message(130, 1)).passes(Reason::Stateless).by("groups");
    scene.wan(igmp(0x11)).passes(Reason::Stateless).by("groups");
    scene.lan(igmp(0x16)).passes(Reason::Stateless).by("out");
    // A host plays neither router nor server of addresses, and nobody redirects.
    scene.lan(message(134, 255)).drops(Reason::RuleDrop).by("no-rogue-routers");
    scene.lan(message(137, 255)).drops(Reason::RuleDrop).by("no-rogue-routers");
    scene.wan(message(137, 255)).drops(Reason::DefaultDrop);
    let dhcp = |from, to, ports: (u16, u16)| frames::udp(at(from, ports.0), at(to, ports.1), &[1; 20]);
    scene.lan(dhcp("0.0.0.0", "255.255.255.255", (68, 67))).opens(1, "out");
    scene.wan(dhcp("198.51.100.1", "255.255.255.255", (67, 68))).opens(2, "dhcp-answers");
    scene.lan(dhcp("fe80::10", "ff02::1:2", (546, 547))).opens(3, "out");
    scene.wan(dhcp(ROUTER6, "fe80::10", (547, 546))).opens(4, "dhcp-answers");
    scene.lan(dhcp(host, "255.255.255.255", (67, 68))).drops(Reason::RuleDrop).by("no-rogue-dhcp");
    scene.lan(ping(ip(host), ip(WAN), 7, 1)).opens(5, "out");
    scene.wan(pong(ip(WAN), ip(host), 7, 1)).follows(5);
    scene.wan(ping(ip(WAN6), ip(LAN6), 7, 1)).opens(6, "ping-in");
    scene.wan(frames::tcp(at(WAN, 1), at(host, 22), frames::SYN, 1, 0)).drops(Reason::DefaultDrop);
    scene.plays();
}
