//! `tcp_window` and `midstream` zone by zone, and more leniently for a while after the appliance started.

use sekisho_tests::frames::{ACK, Packet, SYN, Segment};

use super::*;

/// The office is strict, the laboratory is not, and the world only logs.
const BY_ZONE: &str = "\
version: 1
zones:
  office: {port: lan, vlans: [10]}
  laboratory: {port: lan, vlans: [20], tcp_window: off, midstream: pickup}
  wan: {port: wan, tcp_window: log, midstream: drop}
rules:
  - {name: out, from: [office, laboratory], to: wan, action: allow}
  - {name: in, from: wan, to: office, action: allow}
";

const OFFICE: u16 = 10;
const LABORATORY: u16 = 20;

fn in_vlan(vlan: u16) -> Tcp {
    Tcp { tags: vec![(frames::VLAN, vlan)], ..web() }
}

/// Data far above what the server may send.
fn far(web: &Tcp) -> Packet {
    web.from_server(&Segment::new(ACK, web.next[1].wrapping_add(10_000_000), web.next[0]).data(b"x"))
}

#[test]
fn windows_are_held_as_the_zone_of_the_opener_says() {
    for (vlan, suspicious) in [(OFFICE, None), (LABORATORY, Some(0))] {
        let (mut scene, mut web) = (Scene::new(BY_ZONE), in_vlan(vlan));
        web.opens(&mut scene, 1, "out");
        match suspicious {
            None => scene.wan(far(&web)).drops(Reason::TcpOutOfWindow).of(1),
            Some(_) => scene.wan(far(&web)).follows(1),
        };
        assert_eq!(scene.plays().summary.suspicious, 0);
    }
    // Opened from the world: it is the world's setting that counts, for both directions.
    let mut web = Tcp { client: at(WAN, 40_000), server: at(LAN, 443), ..in_vlan(OFFICE) };
    let mut scene = Scene::new(BY_ZONE);
    scene.wan(web.client(SYN)).opens(1, "in");
    scene.lan(web.server(SYN | ACK)).follows(1);
    scene.wan(web.client(ACK)).follows(1);
    scene.lan(far(&web)).follows(1);
    assert_eq!(scene.plays().summary.suspicious, 1);
}

#[test]
fn sessions_are_picked_up_as_the_zone_of_the_packet_says() {
    let mut scene = Scene::new(BY_ZONE);
    scene.lan(in_vlan(OFFICE).client_says(b"x")).drops(Reason::TcpNoSession);
    scene.lan(in_vlan(LABORATORY).client_says(b"x")).opens(1, "out");
    let world = Tcp { client: at(WAN, 40_000), server: at(LAN, 443), ..in_vlan(OFFICE) };
    let mut world = world;
    scene.wan(world.client_says(b"x")).drops(Reason::TcpNoSession);
    scene.plays();
}

#[test]
fn a_deploy_changes_how_windows_of_live_sessions_are_held() {
    let strict = BY_ZONE.replace("tcp_window: off, ", "");
    let (mut scene, mut web) = (Scene::new(BY_ZONE), in_vlan(LABORATORY));
    web.opens(&mut scene, 1, "out");
    scene.at_ms(100).deploys(&strict);
    scene.lan(web.client(ACK)).follows(1);
    scene.wan(far(&web)).drops(Reason::TcpOutOfWindow).of(1);
    scene.at_ms(200).deploys(BY_ZONE);
    scene.wan(far(&web)).follows(1);
    scene.plays();
}

fn with_grace(grace: &str) -> String {
    format!("{LAN_OUT}inspection: {{grace: {grace}}}\n")
}

#[test]
fn in_its_grace_every_zone_picks_up_sessions() {
    let mut scene = Scene::new(&with_grace("2m")).started_ms_ago(30_000);
    let mut first = web();
    scene.lan(first.client_says(b"as before the restart")).opens(1, "lan-out");
    scene.wan(first.server(ACK)).follows(1);
    // The rules decide as ever.
    scene.wan(Tcp::new(at(WAN, 9), at(LAN, 22)).client_says(b"x")).drops(Reason::DefaultDrop);
    // 2 minutes after the start, and not 2 minutes after the first frame.
    let mut second = Tcp::new(at(LAN, 40_001), at(WAN, 443));
    scene.at_ms(89_999).lan(second.client_says(b"just in time")).opens(2, "lan-out");
    let mut third = Tcp::new(at(LAN, 40_002), at(WAN, 443));
    scene.at_ms(90_000).lan(third.client_says(b"too late")).drops(Reason::TcpNoSession);
    // What was picked up goes on.
    scene.wan(first.server_says(b"an answer")).follows(1);
    scene.plays();
}

#[test]
fn in_its_grace_windows_are_logged_and_after_it_they_are_held() {
    let mut scene = Scene::new(&with_grace("1m")).started_ms_ago(0);
    let mut web = web();
    web.opens(&mut scene, 1, "lan-out");
    scene.at_ms(59_999).wan(far(&web)).follows(1);
    let further = Segment::new(ACK, web.next[1].wrapping_add(900_000_000), web.next[0]).data(b"x");
    scene.at_ms(60_000).wan(web.from_server(&further)).drops(Reason::TcpOutOfWindow).of(1);
    assert_eq!(scene.plays().summary.suspicious, 1);
}

#[test]
fn a_deploy_may_lengthen_the_grace_or_end_it_and_without_a_start_there_is_none() {
    let mut scene = Scene::new(&with_grace("10s")).started_ms_ago(0);
    let packet = |port| Tcp::new(at(LAN, port), at(WAN, 443)).client_says(b"x");
    scene.lan(packet(1)).opens(1, "lan-out");
    scene.at_ms(11_000).lan(packet(2)).drops(Reason::TcpNoSession);
    scene.at_ms(12_000).deploys(&with_grace("15s"));
    scene.lan(packet(3)).opens(2, "lan-out");
    scene.at_ms(13_000).deploys(LAN_OUT);
    scene.lan(packet(4)).drops(Reason::TcpNoSession);
    scene.plays();

    let mut scene = Scene::new(&with_grace("20d"));
    scene.lan(packet(1)).drops(Reason::TcpNoSession);
    scene.plays();
}
