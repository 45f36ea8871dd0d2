//! Idle timeouts of every state, in virtual time: one millisecond before the edge, and at it.

use sekisho_tests::frames::{ACK, FIN, Packet, RST, SYN, ping, pong, udp};

use super::*;

/// All different, so that one cannot pass for another.
const TIMEOUTS: &str = "\
timeouts:
  tcp: {syn_sent: 11s, syn_received: 12s, established: 13m, half_closed: 14s, closing: 15s, time_wait: 16s, reset: 17s}
  udp: {unreplied: 18s, replied: 19s, stream: 20s}
  icmp: 21s
  other: {unreplied: 22s, replied: 23s}
";

fn policy() -> String {
    format!("{LAN_OUT}{TIMEOUTS}")
}

/// Session 1 was last heard of at `last_ms` and has this timeout: it lives to the last millisecond and not beyond. The
/// frame `more` belongs to it; when it comes too late it is dropped as `orphan`.
fn holds_for(scene: &Scene, last_ms: u64, timeout_ms: u64, end: Reason, more: Option<(Packet, Reason)>) {
    let edge_ms = last_ms + timeout_ms;
    let mut idle = scene.clone();
    tick(&mut idle, edge_ms - 1);
    idle.ends(1, end, edge_ms);
    tick(&mut idle, edge_ms);
    idle.plays();

    let Some((more, orphan)) = more else { return };
    let mut kept = scene.clone();
    kept.at_ms(edge_ms - 1).lan(more.clone()).follows(1);
    kept.plays();

    let mut late = scene.clone();
    late.ends(1, end, edge_ms);
    match orphan {
        Reason::SessionNew => late.at_ms(edge_ms).lan(more).opens(2, "lan-out"),
        // It is told which session it came too late for.
        Reason::SessionExpired => late.at_ms(edge_ms).lan(more).drops(orphan).of(1),
        orphan => late.at_ms(edge_ms).lan(more).drops(orphan),
    };
    late.plays();
}

#[test]
fn tcp_syn_sent() {
    let (mut scene, mut web) = (Scene::new(&policy()), web());
    let syn = web.client(SYN);
    scene.lan(syn.clone()).opens(1, "lan-out");
    holds_for(&scene, scene.last_ms(), 11_000, Reason::EndHandshake, Some((syn, Reason::SessionNew)));
}

#[test]
fn tcp_syn_received() {
    let (mut scene, mut web) = (Scene::new(&policy()), web());
    scene.lan(web.client(SYN)).opens(1, "lan-out");
    scene.at_ms(5000).wan(web.server(SYN | ACK)).follows(1);
    let ack = web.client(ACK);
    holds_for(&scene, 5000, 12_000, Reason::EndHandshake, Some((ack, Reason::SessionExpired)));
}

#[test]
fn tcp_established() {
    let (mut scene, mut web) = (Scene::new(&policy()), web());
    web.opens(&mut scene, 1, "lan-out");
    scene.at_ms(700_000).wan(web.server_says(b"x")).follows(1);
    let ack = web.client(ACK);
    holds_for(&scene, 700_000, 780_000, Reason::EndIdle, Some((ack, Reason::SessionExpired)));
}

#[test]
fn tcp_half_closed() {
    let (mut scene, mut web) = (Scene::new(&policy()), web());
    web.opens(&mut scene, 1, "lan-out");
    scene.at_ms(60_000).lan(web.client(FIN | ACK)).follows(1);
    let ack = web.client(ACK);
    holds_for(&scene, 60_000, 14_000, Reason::EndIdle, Some((ack, Reason::SessionExpired)));
}

#[test]
fn tcp_closing() {
    let (mut scene, mut web) = (Scene::new(&policy()), web());
    web.opens(&mut scene, 1, "lan-out");
    scene.lan(web.client(FIN | ACK)).follows(1);
    scene.at_ms(10_000).wan(web.server(FIN | ACK)).follows(1);
    holds_for(&scene, 10_000, 15_000, Reason::EndClosed, None);
}

#[test]
fn tcp_time_wait() {
    let (mut scene, mut web) = (Scene::new(&policy()), web());
    web.opens(&mut scene, 1, "lan-out");
    scene.lan(web.client(FIN | ACK)).follows(1);
    scene.wan(web.server(FIN | ACK)).follows(1);
    scene.at_ms(10_000).lan(web.client(ACK)).follows(1);
    let ack = web.client(ACK);
    holds_for(&scene, 10_000, 16_000, Reason::EndClosed, Some((ack, Reason::TcpNoSession)));
}

#[test]
fn tcp_reset() {
    let (mut scene, mut web) = (Scene::new(&policy()), web());
    web.opens(&mut scene, 1, "lan-out");
    scene.at_ms(10_000).wan(web.server(RST)).follows(1);
    let ack = web.client(ACK);
    holds_for(&scene, 10_000, 17_000, Reason::EndReset, Some((ack, Reason::TcpNoSession)));
}

#[test]
fn udp_unreplied_replied_and_stream() {
    let (client, server) = (at(LAN, 5000), at(WAN, 53));
    let (ask, answer) = (udp(client, server, b"ask"), udp(server, client, b"answer"));
    let more = || Some((ask.clone(), Reason::SessionNew));
    let mut scene = Scene::new(&policy());
    scene.lan(ask.clone()).opens(1, "lan-out");
    scene.at_ms(100).lan(ask.clone()).follows(1);
    holds_for(&scene, 100, 18_000, Reason::EndIdle, more());
    scene.at_ms(2000).wan(answer.clone()).follows(1);
    holds_for(&scene, 2000, 19_000, Reason::EndIdle, more());
    // Both ways for two seconds and not longer: not a stream yet.
    scene.lan(ask.clone()).follows(1);
    scene.at_ms(2001).wan(answer).follows(1);
    holds_for(&scene, 2001, 20_000, Reason::EndIdle, more());
}

#[test]
fn icmp_of_either_family() {
    for (lan, wan) in [(LAN, WAN), (LAN6, WAN6)] {
        let mut scene = Scene::new(&policy());
        let ask = ping(ip(lan), ip(wan), 7, 1);
        scene.lan(ask.clone()).opens(1, "lan-out");
        holds_for(&scene, 0, 21_000, Reason::EndIdle, Some((ask.clone(), Reason::SessionNew)));
        scene.at_ms(20_000).wan(pong(ip(wan), ip(lan), 7, 1)).follows(1);
        holds_for(&scene, 20_000, 21_000, Reason::EndIdle, Some((ask, Reason::SessionNew)));
    }
}

#[test]
fn other_protocols() {
    let gre = |from, to| Packet::new(ip(from), ip(to), 47, [0, 0, 8, 0]);
    let ospf = |from, to| Packet::new(ip(from), ip(to), 89, *b"ospf");
    for (ask, answer) in [(gre(LAN, WAN), gre(WAN, LAN)), (ospf(LAN, WAN), ospf(WAN, LAN))] {
        let mut scene = Scene::new(&policy());
        scene.lan(ask.clone()).opens(1, "lan-out");
        holds_for(&scene, 0, 22_000, Reason::EndIdle, Some((ask.clone(), Reason::SessionNew)));
        scene.at_ms(1000).wan(answer).follows(1);
        scene.at_ms(9000).lan(ask.clone()).follows(1);
        holds_for(&scene, 9000, 23_000, Reason::EndIdle, Some((ask, Reason::SessionNew)));
    }
}

#[test]
fn the_defaults_are_those_of_the_documents() {
    // An hour and more in a blink.
    let (mut scene, _) = established();
    let last_ms = scene.last_ms();
    let edge_ms = last_ms + 7_440_000;
    tick(&mut scene, edge_ms - 1);
    scene.ends(1, Reason::EndIdle, edge_ms);
    tick(&mut scene, edge_ms);
    scene.plays();
}

#[test]
fn a_rule_may_have_timeouts_of_its_own() {
    let policy = "\
version: 1
zones: {lan: {port: lan}, wan: {port: wan}}
rules:
  - {name: database, from: lan, to: wan, service: tcp/5432, action: allow, timeout: {established: 12h}}
  - {name: games, from: lan, to: wan, service: udp/27015, action: allow, timeout: {udp: {unreplied: 1s}}}
  - {name: rest, from: lan, to: wan, action: allow}
";
    let mut scene = Scene::new(policy);
    Tcp::new(at(LAN, 40_000), at(WAN, 5432)).opens(&mut scene, 1, "database");
    let database_ms = scene.last_ms();
    Tcp::new(at(LAN, 40_000), at(WAN, 443)).opens(&mut scene, 2, "rest");
    let rest_ms = scene.last_ms();
    scene.lan(udp(at(LAN, 5000), at(WAN, 27_015), b"x")).opens(3, "games");
    let games_ms = scene.last_ms();
    scene.lan(udp(at(LAN, 5000), at(WAN, 53), b"x")).opens(4, "rest");
    let dns_ms = scene.last_ms();
    scene.ends(3, Reason::EndIdle, games_ms + 1000);
    scene.ends(4, Reason::EndIdle, dns_ms + 30_000);
    scene.ends(2, Reason::EndIdle, rest_ms + 7_440_000);
    tick(&mut scene, database_ms + 43_200_000 - 1);
    scene.ends(1, Reason::EndIdle, database_ms + 43_200_000);
    tick(&mut scene, database_ms + 43_200_000);
    scene.plays();
}

#[test]
fn what_does_not_belong_does_not_keep_a_session_alive() {
    let (mut scene, mut web) = established();
    let last_ms = scene.last_ms();
    let far = sekisho_tests::frames::Segment::new(ACK, web.next[0].wrapping_add(100_000), web.next[1]);
    scene.at_ms(7_000_000).lan(web.from_client(&far)).drops(Reason::TcpOutOfWindow).of(1);
    scene.ends(1, Reason::EndIdle, last_ms + 7_440_000);
    scene.at_ms(last_ms + 7_440_000).lan(web.client(ACK)).drops(Reason::SessionExpired).of(1);
    scene.plays();
}

#[test]
fn sessions_that_end_together_end_in_the_order_of_their_numbers() {
    let mut scene = lan_out();
    // A tie to the millisecond, over all workers.
    for port in 0..40 {
        scene.lan(udp(at(LAN, 6000 + port), at(WAN, 53), b"x")).opens(u64::from(port) + 1, "lan-out");
    }
    let first = 30_000;
    scene.ends(1, Reason::EndIdle, first);
    for session in 2..=40 {
        scene.ends(session, Reason::EndIdle, first + 1);
    }
    tick(&mut scene, first + 1);
    scene.plays();
}

/// Every timeout that a rule may have, each different from the policy's and from all others.
#[test]
fn a_rule_may_have_every_timeout_of_its_own() {
    let of_rule = "{syn_sent: 31s, syn_received: 32s, established: 33s, half_closed: 34s, closing: 35s, time_wait: 36s, \
                   reset: 37s, udp: {unreplied: 38s, replied: 39s, stream: 40s}, icmp: 41s, \
                   other: {unreplied: 42s, replied: 43s}}";
    let policy = format!(
        "version: 1\nzones: {{lan: {{port: lan}}, wan: {{port: wan}}}}\nrules:\n  - {{name: lan-out, from: lan, to: wan, action: allow, timeout: {of_rule}}}\n{TIMEOUTS}"
    );
    let start = || (Scene::new(&policy), web());

    let (mut scene, mut web) = start();
    scene.lan(web.client(SYN)).opens(1, "lan-out");
    holds_for(&scene, scene.last_ms(), 31_000, Reason::EndHandshake, None);
    scene.at_ms(5000).wan(web.server(SYN | ACK)).follows(1);
    holds_for(&scene, 5000, 32_000, Reason::EndHandshake, None);
    scene.at_ms(6000).lan(web.client(ACK)).follows(1);
    holds_for(&scene, 6000, 33_000, Reason::EndIdle, None);
    let mut reset = scene.clone();
    reset.at_ms(7000).wan(web.clone().server(RST)).follows(1);
    holds_for(&reset, 7000, 37_000, Reason::EndReset, None);
    scene.at_ms(7000).lan(web.client(FIN | ACK)).follows(1);
    holds_for(&scene, 7000, 34_000, Reason::EndIdle, None);
    scene.at_ms(8000).wan(web.server(FIN | ACK)).follows(1);
    holds_for(&scene, 8000, 35_000, Reason::EndClosed, None);
    scene.at_ms(9000).lan(web.client(ACK)).follows(1);
    holds_for(&scene, 9000, 36_000, Reason::EndClosed, None);

    let (client, server) = (at(LAN, 5000), at(WAN, 53));
    let (mut scene, _) = start();
    scene.lan(udp(client, server, b"ask")).opens(1, "lan-out");
    holds_for(&scene, 0, 38_000, Reason::EndIdle, None);
    scene.at_ms(1000).wan(udp(server, client, b"answer")).follows(1);
    holds_for(&scene, 1000, 39_000, Reason::EndIdle, None);
    scene.at_ms(3000).lan(udp(client, server, b"ask")).follows(1);
    holds_for(&scene, 3000, 40_000, Reason::EndIdle, None);

    let (mut scene, _) = start();
    scene.lan(ping(ip(LAN), ip(WAN), 7, 1)).opens(1, "lan-out");
    holds_for(&scene, 0, 41_000, Reason::EndIdle, None);

    let gre = |from, to| Packet::new(ip(from), ip(to), 47, [0, 0, 8, 0]);
    let (mut scene, _) = start();
    scene.lan(gre(LAN, WAN)).opens(1, "lan-out");
    holds_for(&scene, 0, 42_000, Reason::EndIdle, None);
    scene.at_ms(1000).wan(gre(WAN, LAN)).follows(1);
    holds_for(&scene, 1000, 43_000, Reason::EndIdle, None);
}
