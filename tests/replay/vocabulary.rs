//! Every reason of the vocabulary is given for something, and what that is stands here.

use std::collections::BTreeMap;

use sekisho_engine::helper::{Refusal, Stop};
use sekisho_engine::port::Port;
use sekisho_tests::frames::{ACK, FIN, RST, SYN, Segment, arp, icmp, link_local, udp};
use sekisho_tests::sctp::{self, Association};

use super::*;

/// Reasons that only the appliance can give: they speak of rings, transmit queues, and of operators.
const ONLY_AT_WORK: &[Reason] =
    &[Reason::HandoffFull, Reason::TransmitFull, Reason::TooLong, Reason::EndOperator, Reason::EndShutdown];

/// A scene for each reason in which it is given.
fn scenes() -> Vec<Scene> {
    let mut scenes = vec![
        associations(),
        many_pairs(),
        tcp_life(),
        told_and_asked(),
        tcp_odd(),
        tcp_reset_and_reopened(),
        others(),
        protections(),
        deploys(),
        full(),
        within_budget(),
        pressed(),
        hijacked(),
        expected(),
    ];
    scenes.extend(fragments::vocabulary());
    scenes.extend(syn_proxy::vocabulary());
    scenes.extend(limits::vocabulary());
    scenes.push(port_scan::vocabulary());
    for (reason, _, frame) in malformed::cases() {
        let mut scene = Scene::new(&format!("{LAN_OUT}inspection: {{fragments: drop}}\n"));
        scene.lan(frame).drops(reason);
        scenes.push(scene);
    }
    scenes
}

fn tcp_life() -> Scene {
    let (mut scene, mut web) = established();
    let lost = web.client_says(b"x");
    scene.lan(lost.clone()).follows(1);
    scene.wan(icmp(ip(WAN), ip(LAN), 3, 4, [0; 4], &lost.ip())).passes(Reason::Related).of(1);
    scene.wan(icmp(ip(WAN), ip(LAN), 3, 4, [0, 0, 0, 67], &lost.ip())).drops(Reason::IcmpBadMtu).of(1);
    scene.lan(web.client(FIN | ACK)).follows(1);
    scene.lan(web.client_says(b"late")).drops(Reason::TcpState).of(1);
    web.next[0] = web.next[0].wrapping_sub(4);
    scene.wan(web.server(FIN | ACK)).follows(1);
    scene.lan(web.client(ACK)).follows(1);
    let end_ms = scene.last_ms() + 30_000;
    scene.ends(1, Reason::EndClosed, end_ms);
    tick(&mut scene, end_ms);
    scene
}

fn associations() -> Scene {
    let association = Association::new(at(LAN, 7), at(WAN, 9));
    let mut scene = lan_out();
    scene.lan(association.client(&sctp::data())).drops(Reason::SctpNoSession);
    association.opens(&mut scene, 1, "lan-out");
    scene.lan(association.client(&sctp::shutdown())).follows(1);
    scene.wan(association.server(&sctp::shutdown_ack())).follows(1);
    scene.lan(association.client(&sctp::shutdown_complete(0))).follows(1);
    scene.wan(association.server(&sctp::data())).drops(Reason::SctpState).of(1);
    let other = Association::new(at(LAN, 8), at(WAN, 9));
    other.opens(&mut scene, 2, "lan-out");
    scene.wan(other.server(&sctp::abort(0))).follows(2);
    scene.ends(1, Reason::EndShutDown, 60_001).ends(2, Reason::EndAborted, 60_001);
    tick(&mut scene, 60_001);
    scene
}

/// More pairs of hosts speak ESP than a small table has room for.
fn many_pairs() -> Scene {
    let mut scene = lan_out().sessions_max(100);
    for host in 1..=65 {
        let packet = frames::Packet::new(ip(&format!("192.0.2.{host}")), ip(WAN), 50, [7; 32]);
        let sent = scene.lan(packet);
        let _ = if host <= 64 { sent.opens(host, "lan-out") } else { sent.drops(Reason::PairsFull) };
    }
    scene
}

fn tcp_odd() -> Scene {
    let (mut scene, mut web) = (lan_out(), web());
    scene.lan(web.client(ACK)).drops(Reason::TcpNoSession);
    scene.lan(web.client(SYN)).opens(1, "lan-out");
    scene.lan(web.client_says(b"early")).drops(Reason::TcpHandshake).of(1);
    scene.wan(web.from_server(&Segment::new(RST, 0, 0))).drops(Reason::TcpOutOfWindow).of(1);
    scene.ends(1, Reason::EndHandshake, 30_001);
    tick(&mut scene, 30_001);
    scene
}

fn tcp_reset_and_reopened() -> Scene {
    let (mut scene, mut web) = established();
    scene.wan(web.server(RST)).follows(1);
    scene.wan(web.from_server(&Segment::new(SYN | ACK, 1, 1))).drops(Reason::TcpClosed).of(1);
    scene.lan(web.client(SYN)).opens(2, "lan-out");
    scene.ends_with_it(1, Reason::EndReopened);
    scene.wan(web.from_server(&Segment::new(RST | ACK, 0, web.next[0]))).follows(2);
    let end_ms = scene.last_ms() + 10_000;
    scene.ends(2, Reason::EndReset, end_ms);
    tick(&mut scene, end_ms);
    scene
}

fn told_and_asked() -> Scene {
    let policy = "\
version: 1
zones: {lan: {port: lan}, wan: {port: wan}}
rules: [{name: r, from: lan, to: wan, action: allow, timeout: {established: 1s, on_expiry: probe}}]
";
    let mut scene = Scene::new(policy);
    let mut web = web();
    web.opens(&mut scene, 1, "r");
    for at_ms in [1001, 11_001, 21_001] {
        scene.sends(Port::Lan, Reason::SendProbe, at_ms).sends(Port::Wan, Reason::SendProbe, at_ms);
    }
    scene.ends(1, Reason::EndUnanswered, 31_001);
    for port in Port::ALL {
        scene.sends(port, Reason::SendExpiryReset, 31_001);
    }
    scene.at_ms(40_000).lan(web.client(ACK)).drops(Reason::SessionExpired).of(1);
    scene
}

fn others() -> Scene {
    let policy = "\
version: 1
zones: {lan: {port: lan}, wan: {port: wan}}
rules:
  - {name: no-web, from: lan, to: wan, service: tcp/80, action: reject}
  - {name: no-dns, from: lan, to: wan, service: udp/53, action: drop}
  - {name: out, from: lan, to: wan, action: allow}
  - {name: routers, from: wan, to: lan, service: icmp/router-advertisement, action: allow}
inspection: {non_ip: [arp, 0x8892], link_local: [lldp]}
";
    let mut scene = Scene::new(policy);
    scene.lan(frames::tcp(at(LAN, 1), at(WAN, 80), SYN, 1, 0)).drops(Reason::RuleReject).by("no-web");
    scene.answers(Port::Lan, Reason::SendReset);
    scene.lan(udp(at(LAN, 1), at(WAN, 80), b"")).opens(1, "out");
    scene.lan(udp(at(LAN, 1), at(WAN, 53), b"")).drops(Reason::RuleDrop).by("no-dns");
    scene.lan(arp(1, ip(LAN), ip(WAN))).passes(Reason::Neighbour);
    scene.lan(frames::ethernet(frames::MACS, &[], 0x8892, b"")).passes(Reason::NonIp);
    scene.lan(frames::ethernet(frames::MACS, &[], 0x8893, b"")).drops(Reason::NonIpDenied);
    scene.lan(frames::ethernet(frames::MACS, &[], 3, b"abc")).drops(Reason::LlcDenied);
    scene.lan(link_local(0xe, 0x88cc)).passes(Reason::LinkLocal);
    scene.lan(link_local(2, 0x8809)).drops(Reason::LinkLocalDenied);
    let advertisement = icmp(ip("fe80::1"), ip("ff02::1"), 134, 0, [0; 4], &[0; 8]);
    scene.wan(advertisement.clone().hop_limit(255)).passes(Reason::Stateless).by("routers");
    scene.wan(advertisement).drops(Reason::NeighbourHopLimit);
    scene.wan(frames::pong(ip(WAN), ip(LAN), 7, 1)).drops(Reason::IcmpNoSession);
    scene.wan(icmp(ip(WAN), ip(LAN), 3, 1, [0; 4], b"")).drops(Reason::IcmpError);
    scene.ends(1, Reason::EndIdle, 30_001);
    scene.at_ms(60_000).lan(arp(1, ip(LAN), ip(WAN))).passes(Reason::Neighbour);
    scene
}

fn protections() -> Scene {
    let policy = "\
version: 1
defaults: {action: reject}
zones: {lan: {port: lan, networks: [192.0.2.0/24]}, wan: {port: wan}}
rules: []
protections: {bogons: drop}
";
    let mut scene = Scene::new(policy);
    scene.lan(udp(at("10.0.0.1", 1), at(WAN, 2), b"")).drops(Reason::Spoofed);
    scene.lan(udp(at("127.0.0.1", 1), at(WAN, 2), b"")).drops(Reason::Bogon);
    scene.lan(udp(at(LAN, 1), at(WAN, 2), b"")).drops(Reason::DefaultReject);
    scene.answers(Port::Lan, Reason::SendUnreachable);
    scene
}

fn deploys() -> Scene {
    let with = |action| {
        format!(
            "version: 1\nzones: {{lan: {{port: lan}}, wan: {{port: wan}}}}\nrules: [{{name: r, from: lan, to: wan, action: {action}}}]\ninspection: {{sessions_on_deploy: rematch}}\n"
        )
    };
    let mut scene = Scene::new(&with("allow"));
    scene.lan(udp(at(LAN, 1), at(WAN, 2), b"")).opens(1, "r");
    scene.at_ms(1).deploys(&with("drop"));
    scene.lan(udp(at(LAN, 1), at(WAN, 2), b"")).drops(Reason::PolicyChanged).of(1);
    scene.ends_with_it(1, Reason::EndPolicy);
    tick(&mut scene, 2);
    scene
}

fn expected() -> Scene {
    let policy = "\
version: 1
zones: {lan: {port: lan}, wan: {port: wan}}
services: {tftp: {ports: udp/69, helper: tftp}}
rules: [{name: files, from: lan, to: wan, service: tftp, action: allow}]
";
    let mut scene = Scene::new(policy);
    scene.lan(udp(at(LAN, 2000), at(WAN, 69), b"\0\x01file\0octet\0")).opens(1, "files");
    scene.wan(udp(at(WAN, 3000), at(LAN, 2000), b"\0\x03\0\x01")).is_expected(2, "files");
    scene
}

/// One place in the table: full for everybody else. Only for one worker, since each has a table of its own.
fn full() -> Scene {
    let mut scene = lan_out().sessions_max(1);
    scene.lan(udp(at(LAN, 1), at(WAN, 2), b"")).opens(1, "lan-out");
    scene.lan(udp(at(LAN, 2), at(WAN, 2), b"")).opens(2, "lan-out");
    scene.ends_with_it(1, Reason::EndEvicted);
    scene.wan(udp(at(WAN, 2), at(LAN, 2), b"")).follows(2);
    scene.lan(udp(at(LAN, 3), at(WAN, 2), b"")).drops(Reason::TableFull).by("lan-out");
    scene
}

/// Both ends say over and over what neither believes.
fn hijacked() -> Scene {
    let mut scene = Scene::new(&format!("{LAN_OUT}protections: {{hijack: end}}\n"));
    let mut web = web();
    web.opens(&mut scene, 1, "lan-out");
    for _ in 0..2 {
        let unsent = Segment::new(ACK, web.next[1], web.next[0].wrapping_add(5));
        scene.wan(web.from_server(&unsent)).drops(Reason::TcpOutOfWindow).of(1);
    }
    let unsent = Segment::new(ACK, web.next[1], web.next[0].wrapping_add(5));
    scene.wan(web.from_server(&unsent)).drops(Reason::TcpHijacked).of(1);
    scene.ends_with_it(1, Reason::EndHijacked);
    scene.answers(Port::Lan, Reason::SendHijackReset).answers(Port::Wan, Reason::SendHijackReset);
    scene
}

/// Established sessions hold half of the table, which is all that they may.
fn within_budget() -> Scene {
    let mut scene = lan_out().sessions_max(2).budgets(Budgets { established: 50, ..Budgets::default() });
    scene.lan(udp(at(LAN, 1), at(WAN, 2), b"")).opens(1, "lan-out");
    scene.wan(udp(at(WAN, 2), at(LAN, 1), b"")).follows(1);
    scene.lan(udp(at(LAN, 2), at(WAN, 2), b"")).drops(Reason::BudgetFull).by("lan-out");
    scene
}

/// The second session begins in a table that is half full, the third in one of 80 %.
fn pressed() -> Scene {
    let mut scene = lan_out().sessions_max(5);
    for number in 1..=5u16 {
        scene.lan(udp(at(LAN, number), at(WAN, 2), b"")).opens(number.into(), "lan-out");
    }
    // The policy has 30 s; at 60 % that is halved, at 80 % once more.
    scene.ends(5, Reason::EndPressed, 7_501);
    scene.ends(4, Reason::EndPressed, 15_001);
    tick(&mut scene, 15_001);
    scene
}

#[test]
fn the_causes_of_helpers_are_documented() {
    let document = std::fs::read_to_string(sekisho_tests::repo::top().join("docs/policy.md")).unwrap();
    let causes =
        Refusal::ALL.iter().map(|cause| cause.name()).chain(Stop::ALL.iter().map(|cause| cause.name()));
    for cause in causes {
        assert!(document.contains(&format!("\n| `{cause}` | ")), "docs/policy.md does not tell of {cause}");
    }
}

#[test]
fn every_reason_is_given_somewhere() {
    let mut given: BTreeMap<&str, u64> = BTreeMap::new();
    for scene in scenes() {
        for (reason, count) in scene.plays_alone().summary.reasons {
            *given.entry(reason).or_default() += count;
        }
    }
    let (mut missing, mut unexpected) = (Vec::new(), Vec::new());
    for reason in Reason::ALL {
        match (given.contains_key(reason.name()), ONLY_AT_WORK.contains(reason)) {
            (false, false) => missing.push(reason.name()),
            (true, true) => unexpected.push(reason.name()),
            _ => {}
        }
    }
    assert!(missing.is_empty(), "no scene gives these reasons: {missing:?}; add one");
    assert!(unexpected.is_empty(), "given in a replay, and listed as not: {unexpected:?}");
}
