//! Port scans, sweeps, and the block list that they lead to.

use sekisho_tests::frames::{ACK, FIN, PSH, Packet, RST, SYN, Segment, URG, ping, udp};

use super::*;

/// A web server is open to the world, and more than three ports are a scan.
const POLICY: &str = "\
version: 1
zones: {lan: {port: lan}, wan: {port: wan}}
rules:
  - {name: web, from: wan, to: lan, service: [tcp/80, udp/80], action: allow}
  - {name: out, from: lan, to: wan, action: allow}
protections:
  port_scan: {ports: 3, within: 10s, block_for: 5m}
";
const SCANNER: &str = "198.51.100.7";

fn syn(from: &str, port: u16) -> Packet {
    Segment::new(SYN, 1, 0).between(at(from, 50_000), at(LAN, port))
}

/// The scanner is refused so many ports, one a millisecond.
fn scans(scene: &mut Scene, ports: std::ops::Range<u16>) {
    for port in ports {
        scene.wan(syn(SCANNER, port)).drops(Reason::DefaultDrop);
    }
}

#[test]
fn one_port_more_than_may_be_blocks_from_then_on_and_for_so_long() {
    let mut scene = Scene::new(POLICY);
    scans(&mut scene, 1..5);
    scene.blocks(ip(SCANNER), "port-scan", 300_000);
    let began_ms = scene.last_ms();
    scene.wan(syn(SCANNER, 80)).drops(Reason::SourceBlocked);
    scene.wan(syn(SCANNER, 5)).drops(Reason::SourceBlocked);
    scene.wan(udp(at(SCANNER, 1), at(LAN, 80), b"?")).drops(Reason::SourceBlocked);
    scene.wan(Segment::new(ACK, 1, 1).between(at(SCANNER, 1), at(LAN, 80))).drops(Reason::SourceBlocked);
    scene.wan(ping(ip(SCANNER), ip(LAN), 1, 1)).drops(Reason::SourceBlocked);
    // Others go on, and so does what others ask of it.
    scene.wan(syn("198.51.100.8", 80)).opens(1, "web");
    let mut from_lan = Tcp::new(at(LAN, 40_000), at(SCANNER, 443));
    from_lan.opens(&mut scene, 2, "out");
    scene.ends(1, Reason::EndHandshake, 30_001);
    scene.at_ms(300_000 + began_ms);
    scene.wan(syn(SCANNER, 80)).opens(3, "web");
    scene.plays();
}

#[test]
fn its_live_sessions_go_on() {
    let mut scene = Scene::new(POLICY);
    let mut web = Tcp::new(at(SCANNER, 40_000), at(LAN, 80));
    scene.wan(web.client(SYN)).opens(1, "web");
    scene.lan(web.server(SYN | ACK)).follows(1);
    scene.wan(web.client(ACK)).follows(1);
    scans(&mut scene, 1..5);
    scene.blocks(ip(SCANNER), "port-scan", 300_000);
    scene.wan(web.client_says(b"GET /")).follows(1);
    scene.lan(web.server_says(b"200")).follows(1);
    scene.wan(syn(SCANNER, 80)).drops(Reason::SourceBlocked);
    scene.plays();
}

#[test]
fn the_same_port_again_or_too_late_is_no_scan() {
    let mut scene = Scene::new(POLICY);
    for _ in 0..10 {
        scans(&mut scene, 1..4);
    }
    scene.at_ms(10_002);
    scans(&mut scene, 4..7);
    scene.wan(syn(SCANNER, 80)).opens(1, "web");
    scans(&mut scene, 7..8);
    scene.blocks(ip(SCANNER), "port-scan", 300_000);
    scene.plays();
}

#[test]
fn at_the_very_end_of_the_time_it_still_counts() {
    let mut scene = Scene::new(POLICY);
    scene.wan(syn(SCANNER, 1)).drops(Reason::DefaultDrop);
    scene.at_ms(9_999);
    scans(&mut scene, 2..4);
    scene.at_ms(10_000);
    scans(&mut scene, 4..5);
    scene.blocks(ip(SCANNER), "port-scan", 300_000);
    scene.plays();
}

#[test]
fn every_kind_of_scan_is_one() {
    // UDP has no flags.
    let kinds = [
        ("SYN and connect", Some(SYN), Reason::DefaultDrop),
        ("FIN", Some(FIN), Reason::TcpBadFlags),
        ("NULL", Some(0), Reason::TcpBadFlags),
        ("XMAS", Some(FIN | PSH | URG), Reason::TcpBadFlags),
        ("ACK", Some(ACK), Reason::TcpNoSession),
        ("UDP", None, Reason::DefaultDrop),
    ];
    for (kind, flags, reason) in kinds {
        println!("{kind}");
        let mut scene = Scene::new(POLICY);
        for port in 1..5 {
            let (source, target) = (at(SCANNER, 50_000), at(LAN, port));
            let probe = match flags {
                Some(flags) => Segment::new(flags, 1, 0).between(source, target),
                None => udp(source, target, b"?"),
            };
            scene.wan(probe).drops(reason);
        }
        scene.blocks(ip(SCANNER), "port-scan", 300_000);
        scene.wan(syn(SCANNER, 80)).drops(Reason::SourceBlocked);
        scene.plays();
    }
}

#[test]
fn rejected_ports_count_as_well_and_a_blocked_source_is_told_nothing() {
    let policy = POLICY.replace("protections", "defaults: {action: reject}\nprotections");
    let mut scene = Scene::new(&policy);
    for port in 1..5 {
        scene.wan(syn(SCANNER, port)).drops(Reason::DefaultReject);
        if port == 4 {
            scene.blocks(ip(SCANNER), "port-scan", 300_000);
        }
        scene.answers(frames_port(), Reason::SendReset);
    }
    scene.wan(syn(SCANNER, 5)).drops(Reason::SourceBlocked);
    scene.plays();
}

const fn frames_port() -> sekisho_engine::port::Port {
    sekisho_engine::port::Port::Wan
}

#[test]
fn a_sweep_of_one_port_over_many_hosts_is_a_scan_where_the_policy_says_so() {
    let policy = POLICY.replace("ports: 3,", "ports: 3, hosts: 2,");
    let host = |last: u8| ip(&format!("192.0.2.{last}"));
    let probe = |last: u8, port| {
        Segment::new(SYN, 1, 0).between(at(SCANNER, 50_000), SocketAddr::new(host(last), port))
    };
    let mut scene = Scene::new(&policy);
    for last in [1, 2, 1, 2, 3] {
        scene.wan(probe(last, 22)).drops(Reason::DefaultDrop);
    }
    scene.blocks(ip(SCANNER), "host-sweep", 300_000);
    scene.wan(probe(3, 80)).drops(Reason::SourceBlocked);
    scene.plays();
    // Pings have no port, and are a sweep as well.
    let mut scene = Scene::new(&policy);
    for last in 1..4 {
        scene.wan(ping(ip(SCANNER), host(last), 1, 1)).drops(Reason::DefaultDrop);
    }
    scene.blocks(ip(SCANNER), "host-sweep", 300_000);
    scene.plays();
    // Without the key it is none.
    let mut scene = Scene::new(POLICY);
    for last in 1..50 {
        scene.wan(probe(last, 22)).drops(Reason::DefaultDrop);
    }
    scene.wan(probe(1, 80)).opens(1, "web");
    scene.plays();
}

#[test]
fn who_is_in_the_allow_list_is_never_blocked() {
    let policy = POLICY.replace("ports: 3,", "ports: 3, allow: [198.51.100.0/29, \"2001:db8:ffff::/48\"],");
    let mut scene = Scene::new(&policy);
    scans(&mut scene, 1..40);
    scene.wan(syn(SCANNER, 80)).opens(1, "web");
    scene.plays();
}

#[test]
fn a_policy_without_port_scan_or_that_allows_the_source_lets_it_go() {
    let without = POLICY.split("protections").next().unwrap();
    let allowing = POLICY.replace("ports: 3,", "ports: 3, allow: 198.51.100.7,");
    for other in [without, &allowing] {
        let mut scene = Scene::new(POLICY);
        scans(&mut scene, 1..5);
        scene.blocks(ip(SCANNER), "port-scan", 300_000);
        scene.wan(syn(SCANNER, 80)).drops(Reason::SourceBlocked);
        scene.at_ms(10).deploys(other);
        scene.wan(syn(SCANNER, 80)).opens(1, "web");
        scene.at_ms(20).deploys(POLICY);
        scene
            .wan(Segment::new(SYN, 1, 0).between(at(SCANNER, 50_001), at(LAN, 80)))
            .drops(Reason::SourceBlocked);
        scene.plays();
    }
}

#[test]
fn a_deploy_in_the_midst_of_a_scan_saves_nobody_as_long_as_the_figures_stay() {
    let reworded = POLICY.replace("web", "www").replace("block_for: 5m", "block_for: 10m, allow: 192.0.2.99");
    let mut scene = Scene::new(POLICY);
    scans(&mut scene, 1..4);
    scene.at_ms(10).deploys(&reworded);
    scans(&mut scene, 4..5);
    scene.blocks(ip(SCANNER), "port-scan", 600_000);
    scene.plays();
    // Evidence is measured by the figures: under others it begins anew.
    for (old, new) in [("ports: 3", "ports: 4"), ("10s", "9s"), ("ports: 3", "ports: 3, hosts: 9")] {
        let mut scene = Scene::new(POLICY);
        scans(&mut scene, 1..4);
        scene.at_ms(10).deploys(&POLICY.replace(old, new));
        scans(&mut scene, 4..7);
        scene.plays();
    }
}

#[test]
fn whoever_forges_a_source_that_lives_does_not_get_it_blocked() {
    for forged_ttl in [63, 65, 128, 255] {
        let mut scene = Scene::new(POLICY);
        let mut web = Tcp::new(at(SCANNER, 40_000), at(LAN, 80));
        scene.wan(web.client(SYN)).opens(1, "web");
        scene.lan(web.server(SYN | ACK)).follows(1);
        scene.wan(web.client(ACK)).follows(1);
        for port in 1..40 {
            scene.wan(syn(SCANNER, port).hop_limit(forged_ttl)).drops(Reason::DefaultDrop);
        }
        // Not even with some that come from as far as the source.
        scans(&mut scene, 1..20);
        scene.wan(web.client_says(b"GET /")).follows(1);
        scene.wan(Segment::new(SYN, 1, 0).between(at(SCANNER, 40_001), at(LAN, 80))).opens(2, "web");
        scene.plays();
    }
}

#[test]
fn hosts_on_the_lan_that_live_are_not_blocked_by_what_others_forge_either() {
    let policy = POLICY.replace(
        "name: out, from: lan, to: wan,",
        "name: out, from: lan, to: wan, service: [udp/53, tcp/443],",
    );
    let mut scene = Scene::new(&policy);
    Tcp::new(at(LAN, 40_000), at(WAN, 443)).opens(&mut scene, 1, "out");
    for port in 100..140 {
        let forged = Segment::new(SYN, 1, 0).between(at(LAN, 50_000), at(WAN, port)).hop_limit(63);
        scene.lan(forged).drops(Reason::DefaultDrop);
    }
    scene.lan(udp(at(LAN, 5001), at(WAN, 53), b"?")).opens(2, "out");
    scene.plays();
}

#[test]
fn what_is_over_or_no_connection_protects_nobody() {
    let mut scene = Scene::new(POLICY);
    let mut web = Tcp::new(at(SCANNER, 40_000), at(LAN, 80));
    scene.wan(web.client(SYN)).opens(1, "web");
    scene.lan(web.server(SYN | ACK)).follows(1);
    scene.wan(web.client(ACK)).follows(1);
    scene.wan(web.client(FIN | ACK)).follows(1);
    scene.lan(web.server(FIN | ACK)).follows(1);
    scene.wan(web.client(ACK)).follows(1);
    scene.wan(udp(at(SCANNER, 5000), at(LAN, 80), b"?")).opens(2, "web");
    scene.lan(udp(at(LAN, 80), at(SCANNER, 5000), b"!")).follows(2);
    // A scanner makes up hop limits as it likes.
    for port in 1..5_u8 {
        scene.wan(syn(SCANNER, port.into()).hop_limit(40 + port)).drops(Reason::DefaultDrop);
    }
    scene.blocks(ip(SCANNER), "port-scan", 300_000);
    scene.lan(udp(at(LAN, 80), at(SCANNER, 5000), b"!")).follows(2);
    scene.plays();
}

#[test]
fn late_answers_of_a_server_are_no_scan() {
    let mut scene = Scene::new(POLICY);
    for port in 40_000..40_040 {
        let late = Segment::new(ACK, 1, 1).between(at(LAN, 80), at(WAN, port));
        scene.lan(late).drops(Reason::TcpNoSession);
        let reset = Segment::new(RST, 1, 1).between(at(LAN, 80), at(WAN, port));
        scene.lan(reset).drops(Reason::TcpNoSession);
    }
    scene.lan(udp(at(LAN, 5000), at(WAN, 53), b"?")).opens(1, "out");
    scene.plays();
}

#[test]
fn what_limits_and_spoofing_keep_out_is_no_scan() {
    let policy = "\
version: 1
zones: {lan: {port: lan, networks: 192.0.2.0/24}, wan: {port: wan}}
rules:
  - {name: in, from: wan, to: lan, action: allow, limits: {sessions: 1}}
  - {name: out, from: lan, to: wan, action: allow}
protections:
  port_scan: {ports: 3, within: 10s, block_for: 5m}
";
    let mut scene = Scene::new(policy);
    scene.wan(syn(SCANNER, 80)).opens(1, "in");
    for port in 1..40 {
        scene.wan(syn(SCANNER, port)).drops(Reason::LimitRuleSessions).by("in");
        scene.wan(syn(LAN, port)).drops(Reason::Land);
    }
    scene.lan(udp(at("192.0.2.11", 5000), at(WAN, 53), b"?")).opens(2, "out");
    scene.plays();
}

/// The scene of a blocked source.
pub(crate) fn vocabulary() -> Scene {
    let mut scene = Scene::new(POLICY);
    scans(&mut scene, 1..5);
    scene.blocks(ip(SCANNER), "port-scan", 300_000);
    scene.wan(syn(SCANNER, 80)).drops(Reason::SourceBlocked);
    scene
}
