//! `on_expiry`: what the ends of an idle TCP session are told, or asked, when its timeout has passed.

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use sekisho_engine::port::Port;
use sekisho_tests::frames::{ACK, SYN, VLAN};

use super::*;

const IDLE_MS: u64 = 600_000;

fn policy(mode: &str) -> String {
    format!("{LAN_OUT}timeouts: {{tcp: {{established: 10m}}, on_expiry: {mode}}}\n")
}

/// A connection under `on_expiry: mode`, and the millisecond at which it was last heard of.
fn idle(mode: &str, mut web: Tcp) -> (Scene, Tcp, u64) {
    let mut scene = Scene::new(&policy(mode));
    web.opens(&mut scene, 1, "lan-out");
    scene.at_ms(1000).lan(web.client_says(b"question")).follows(1);
    scene.at_ms(2000).wan(web.server_says(b"an answer")).follows(1);
    scene.lan(web.client(ACK)).follows(1);
    (scene, web, 2001)
}

fn asks(scene: &mut Scene, at_ms: u64) {
    scene.sends(Port::Lan, Reason::SendProbe, at_ms).sends(Port::Wan, Reason::SendProbe, at_ms);
}

fn resets(scene: &mut Scene, at_ms: u64) {
    scene.sends(Port::Lan, Reason::SendExpiryReset, at_ms).sends(Port::Wan, Reason::SendExpiryReset, at_ms);
}

/// The segment of a frame of the appliance's own: sequence and acknowledgement number, flags, tags.
fn segment(frame: &[u8]) -> (u32, u32, bool, bool, usize) {
    let sliced = SlicedPacket::from_ethernet(frame).expect("a sound frame");
    let Some(TransportSlice::Tcp(tcp)) = &sliced.transport else { panic!("no TCP: {sliced:?}") };
    assert!(!tcp.syn() && !tcp.fin() && tcp.payload().is_empty());
    let right = match &sliced.net {
        Some(NetSlice::Ipv4(ip)) => {
            assert_eq!(ip.header().header_checksum(), ip.header().to_header().calc_header_checksum());
            tcp.to_header().calc_checksum_ipv4_raw(ip.header().source(), ip.header().destination(), &[])
        }
        Some(NetSlice::Ipv6(ip)) => {
            tcp.to_header().calc_checksum_ipv6_raw(ip.header().source(), ip.header().destination(), &[])
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(Ok(tcp.checksum()), right);
    (tcp.sequence_number(), tcp.acknowledgment_number(), tcp.rst(), tcp.ack(), sliced.link_exts.len())
}

#[test]
fn silent_says_nothing() {
    let (mut scene, _, last_ms) = idle("silent", web());
    scene.ends(1, Reason::EndIdle, last_ms + IDLE_MS);
    tick(&mut scene, last_ms + IDLE_MS);
    scene.plays();
}

#[test]
fn reset_tells_each_end_with_exactly_the_number_that_it_expects() {
    let tagged = Tcp { tags: vec![(VLAN, 20)], ..web() };
    for web in [web(), tagged, Tcp::new(at(LAN6, 40_000), at(WAN6, 443))] {
        let tags = web.tags.len();
        let (mut scene, web, last_ms) = idle("reset", web);
        scene.ends(1, Reason::EndIdle, last_ms + IDLE_MS);
        resets(&mut scene, last_ms + IDLE_MS);
        tick(&mut scene, last_ms + IDLE_MS);
        let own = scene.plays().own;
        let [client, server] = web.next;
        assert_eq!(
            segment(&own[0].1),
            (server, client, true, true, tags),
            "to the client, as from the server"
        );
        assert_eq!(
            segment(&own[1].1),
            (client, server, true, true, tags),
            "to the server, as from the client"
        );
        assert_eq!(own[0].1[..12], [frames::MACS[0], frames::MACS[1]].concat());
        assert_eq!(own[1].1[..12], [frames::MACS[1], frames::MACS[0]].concat());
    }
}

/// Nobody knows whether the client has read the last that the server said: it stands before it, or behind it, and gets a
/// reset for either, the lower number first.
#[test]
fn rfc5961_3_2_an_end_that_stands_at_either_of_two_numbers_gets_a_reset_for_each() {
    let (mut scene, mut web, _) = idle("reset", web());
    let before = web.next[1];
    scene.at_ms(3000).wan(web.server_says(b"without an acknowledgement")).follows(1);
    let end_ms = 3000 + IDLE_MS;
    scene.ends(1, Reason::EndIdle, end_ms);
    scene.sends(Port::Lan, Reason::SendExpiryReset, end_ms);
    resets(&mut scene, end_ms);
    tick(&mut scene, end_ms);
    let own = scene.plays().own;
    let [client, server] = web.next;
    let told: Vec<_> = own.iter().map(|(_, frame)| segment(frame)).collect();
    let reset = |sequence, acknowledgement| (sequence, acknowledgement, true, true, 0);
    assert_eq!(told, [reset(before, client), reset(server, client), reset(client, before)]);
}

#[test]
fn probe_cuts_a_session_whose_ends_are_silent() {
    let (mut scene, web, last_ms) = idle("probe", web());
    let edge_ms = last_ms + IDLE_MS;
    for round in 0..3 {
        asks(&mut scene, edge_ms + round * 10_000);
    }
    tick(&mut scene, edge_ms + 29_999);
    scene.ends(1, Reason::EndUnanswered, edge_ms + 30_000);
    resets(&mut scene, edge_ms + 30_000);
    tick(&mut scene, edge_ms + 30_000);
    let own = scene.plays().own;
    let [client, server] = web.next;
    assert_eq!(
        segment(&own[0].1),
        (server.wrapping_sub(1), client, false, true, 0),
        "one below the next number"
    );
    assert_eq!(segment(&own[1].1), (client.wrapping_sub(1), server, false, true, 0));
}

#[test]
fn probe_keeps_a_session_whose_ends_both_answer() {
    let (mut scene, mut web, last_ms) = idle("probe", web());
    let edge_ms = last_ms + IDLE_MS;
    asks(&mut scene, edge_ms);
    scene.at_ms(edge_ms + 20).lan(web.client(ACK)).follows(1);
    scene.at_ms(edge_ms + 30).wan(web.server(ACK)).follows(1);
    // The timer starts afresh.
    asks(&mut scene, edge_ms + 30 + IDLE_MS);
    tick(&mut scene, edge_ms + 30 + IDLE_MS);
    scene.plays();
}

#[test]
fn the_answer_of_one_end_is_not_enough() {
    let (mut scene, mut web, last_ms) = idle("probe", web());
    let edge_ms = last_ms + IDLE_MS;
    asks(&mut scene, edge_ms);
    scene.at_ms(edge_ms + 20).lan(web.client(ACK)).follows(1);
    asks(&mut scene, edge_ms + 10_000);
    asks(&mut scene, edge_ms + 20_000);
    scene.ends(1, Reason::EndUnanswered, edge_ms + 30_000);
    resets(&mut scene, edge_ms + 30_000);
    tick(&mut scene, edge_ms + 30_000);
    scene.lan(web.client(ACK)).drops(Reason::SessionExpired).of(1);
    scene.plays();
}

#[test]
fn a_rule_may_ask_where_others_are_silent_and_half_open_sessions_are_never_told() {
    let policy = "\
version: 1
zones: {lan: {port: lan}, wan: {port: wan}}
rules:
  - {name: database, from: lan, to: wan, service: tcp/5432, action: allow, timeout: {established: 1m, on_expiry: reset}}
";
    let mut scene = Scene::new(policy);
    Tcp::new(at(LAN, 40_000), at(WAN, 5432)).opens(&mut scene, 1, "database");
    scene.lan(Tcp::new(at(LAN, 40_001), at(WAN, 5432)).client(SYN)).opens(2, "database");
    scene.ends(2, Reason::EndHandshake, 30_001);
    scene.ends(1, Reason::EndIdle, 60_001);
    resets(&mut scene, 60_001);
    tick(&mut scene, 60_001);
    scene.plays();
}

#[test]
fn many_sessions_are_asked_at_one_moment_in_an_order_of_their_own() {
    let mut scene = Scene::new(&policy("probe"));
    let mut connections: Vec<Tcp> =
        (0..20).map(|port| Tcp::new(at(LAN, 40_000 + port), at(WAN, 443))).collect();
    for (number, web) in connections.iter_mut().enumerate() {
        web.opens(&mut scene, number as u64 + 1, "lan-out");
    }
    // All were last heard of within one millisecond.
    assert_eq!(scene.last_ms(), 1);
    for _ in &connections {
        asks(&mut scene, 1 + IDLE_MS);
    }
    tick(&mut scene, 1 + IDLE_MS);
    scene.plays();
}

/// A policy whose probes are asked `retries` times, `interval` apart.
fn probing(probe: &str) -> String {
    format!("{LAN_OUT}timeouts: {{tcp: {{established: 10m}}, on_expiry: probe, probe: {{{probe}}}}}\n")
}

#[test]
fn retries_and_interval_of_probes_are_those_of_the_policy() {
    for (probe, retries, interval_ms) in [
        ("retries: 1, interval: 1s", 1, 1000),
        ("retries: 5", 5, 10_000),
        ("interval: 250ms", 3, 250),
        ("retries: 20, interval: 1h", 20, 3_600_000),
    ] {
        let mut scene = Scene::new(&probing(probe));
        let mut web = web();
        web.opens(&mut scene, 1, "lan-out");
        let edge_ms = scene.last_ms() + IDLE_MS;
        for round in 0..retries {
            asks(&mut scene, edge_ms + round * interval_ms);
        }
        let end_ms = edge_ms + retries * interval_ms;
        tick(&mut scene, end_ms - 1);
        scene.ends(1, Reason::EndUnanswered, end_ms);
        resets(&mut scene, end_ms);
        tick(&mut scene, end_ms);
        scene.plays();
    }
}

#[test]
fn answers_begin_the_count_of_probes_afresh() {
    let mut scene = Scene::new(&probing("retries: 2, interval: 1s"));
    let mut web = web();
    web.opens(&mut scene, 1, "lan-out");
    let edge_ms = scene.last_ms() + IDLE_MS;
    asks(&mut scene, edge_ms);
    asks(&mut scene, edge_ms + 1000);
    scene.at_ms(edge_ms + 1999).lan(web.client(ACK)).follows(1);
    scene.wan(web.server(ACK)).follows(1);
    let again_ms = scene.last_ms() + IDLE_MS;
    asks(&mut scene, again_ms);
    asks(&mut scene, again_ms + 1000);
    scene.ends(1, Reason::EndUnanswered, again_ms + 2000);
    resets(&mut scene, again_ms + 2000);
    tick(&mut scene, again_ms + 2000);
    scene.plays();
}

#[test]
fn a_rule_may_have_probes_of_its_own() {
    let policy = "\
version: 1
zones: {lan: {port: lan}, wan: {port: wan}}
timeouts: {tcp: {established: 10m}, on_expiry: probe, probe: {retries: 2, interval: 5s}}
rules:
  - {name: database, from: lan, to: wan, service: tcp/5432, action: allow, timeout: {established: 1m, probe: {retries: 1}}}
  - {name: rest, from: lan, to: wan, action: allow}
";
    let mut scene = Scene::new(policy);
    Tcp::new(at(LAN, 40_000), at(WAN, 5432)).opens(&mut scene, 1, "database");
    web().opens(&mut scene, 2, "rest");
    asks(&mut scene, 60_001);
    scene.ends(1, Reason::EndUnanswered, 65_001);
    resets(&mut scene, 65_001);
    for at_ms in [IDLE_MS + 1, IDLE_MS + 5001] {
        asks(&mut scene, at_ms);
    }
    scene.ends(2, Reason::EndUnanswered, IDLE_MS + 10_001);
    resets(&mut scene, IDLE_MS + 10_001);
    tick(&mut scene, IDLE_MS + 10_001);
    scene.plays();
}
