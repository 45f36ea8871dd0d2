//! Limits of rules: who has reached one gets no session, and everybody else and everything that lives goes on.

use std::num::NonZeroU8;

use sekisho_engine::port::Port;
use sekisho_replay::simulation::Simulation;
use sekisho_tests::frames::{ACK, FIN, RST, SYN, Segment, udp};

use super::*;

/// LAN hosts may speak to the world, within these limits.
fn limited(limits: &str) -> String {
    format!("{LAN_OUT}    limits: {{{limits}}}\n").replace(
        "  - {name: lan-out, from: lan, to: wan, action: allow}\n",
        "  - name: lan-out\n    from: lan\n    to: wan\n    action: allow\n",
    )
}

fn ask(host: &str, port: u16) -> frames::Packet {
    udp(at(host, port), at(if host.contains(':') { WAN6 } else { WAN }, 53), b"?")
}

#[test]
fn a_source_has_so_many_live_sessions_and_gets_the_next_when_one_ends() {
    for (one, other) in [(LAN, "192.0.2.11"), (LAN6, "2001:db8:1::11")] {
        let mut scene = Scene::new(&limited("sessions_per_source: 2"));
        scene.lan(ask(one, 1)).opens(1, "lan-out");
        scene.lan(ask(one, 2)).opens(2, "lan-out");
        scene.lan(ask(one, 3)).drops(Reason::LimitSourceSessions).by("lan-out");
        scene.lan(ask(one, 2)).follows(2);
        scene.lan(ask(other, 1)).opens(3, "lan-out");
        scene.ends(1, Reason::EndIdle, 30_000);
        scene.at_ms(30_000);
        scene.lan(ask(one, 3)).opens(4, "lan-out");
        scene.lan(ask(one, 4)).drops(Reason::LimitSourceSessions).by("lan-out");
        scene.plays();
    }
}

#[test]
fn a_reset_session_counts_until_it_ends() {
    let mut scene = Scene::new(&limited("sessions_per_source: 1"));
    let mut web = Tcp::new(at(LAN, 40_000), at(WAN, 443));
    web.opens(&mut scene, 1, "lan-out");
    scene.lan(web.client(RST | ACK)).follows(1);
    scene.lan(ask(LAN, 1)).drops(Reason::LimitSourceSessions).by("lan-out");
    scene.ends(1, Reason::EndReset, 10_001);
    scene.at_ms(10_001);
    scene.lan(ask(LAN, 1)).opens(2, "lan-out");
    scene.plays();
}

#[test]
fn a_session_that_comes_in_the_place_of_another_takes_over_its_part() {
    let mut scene = Scene::new(&limited("sessions_per_source: 1, sessions: 1"));
    let mut web = Tcp::new(at(LAN, 40_000), at(WAN, 443));
    web.opens(&mut scene, 1, "lan-out");
    scene.lan(web.client(FIN | ACK)).follows(1);
    scene.wan(web.server(FIN | ACK)).follows(1);
    scene.lan(web.client(ACK)).follows(1);
    // RFC 9293 section 3.6.1: a new connection with higher numbers.
    scene.after_ms(1);
    let again = Segment::new(SYN, web.next[0].wrapping_add(100_000), 0);
    scene.lan(web.from_client(&again)).opens(2, "lan-out");
    let last = scene.next_frame();
    assert_eq!(last, 7);
    scene.ends_with_it(1, Reason::EndReopened);
    scene.lan(ask(LAN, 1)).drops(Reason::LimitSourceSessions).by("lan-out");
    scene.plays();
}

#[test]
fn new_sessions_come_out_of_a_bucket() {
    let mut scene = Scene::new(&limited("new_sessions_per_second_per_source: 4"));
    for port in 1..=4 {
        scene.lan(ask(LAN, port)).opens(port.into(), "lan-out");
    }
    scene.lan(ask(LAN, 5)).drops(Reason::LimitSourceRate).by("lan-out");
    scene.lan(ask("192.0.2.11", 1)).opens(5, "lan-out");
    scene.at_ms(249);
    scene.lan(ask(LAN, 5)).drops(Reason::LimitSourceRate).by("lan-out");
    scene.at_ms(250);
    scene.lan(ask(LAN, 5)).opens(6, "lan-out");
    scene.lan(ask(LAN, 6)).drops(Reason::LimitSourceRate).by("lan-out");
    // What is in it beside the depth is lost.
    scene.at_ms(20_000);
    for port in 6..=9 {
        scene.lan(ask(LAN, port)).opens(u64::from(port) + 1, "lan-out");
    }
    scene.lan(ask(LAN, 10)).drops(Reason::LimitSourceRate).by("lan-out");
    scene.plays();
}

#[test]
fn prefixes_share_theirs() {
    let limits =
        "sessions_per_prefix: 2, new_sessions_per_second_per_prefix: 3, prefix: {ipv4: 30, ipv6: 64}";
    let mut scene = Scene::new(&limited(limits));
    scene.lan(ask("192.0.2.8", 1)).opens(1, "lan-out");
    scene.lan(ask("192.0.2.9", 1)).opens(2, "lan-out");
    scene.lan(ask("192.0.2.11", 1)).drops(Reason::LimitPrefixSessions).by("lan-out");
    scene.lan(ask("192.0.2.12", 1)).opens(3, "lan-out");
    scene.lan(ask("2001:db8:1::1", 1)).opens(4, "lan-out");
    scene.lan(ask("2001:db8:1::ffff", 1)).opens(5, "lan-out");
    scene.lan(ask("2001:db8:1::2", 1)).drops(Reason::LimitPrefixSessions).by("lan-out");
    scene.lan(ask("2001:db8:1:1::2", 1)).opens(6, "lan-out");
    scene.plays();
    let mut scene = Scene::new(&limited("new_sessions_per_second_per_prefix: 1"));
    scene.lan(ask("192.0.2.8", 1)).opens(1, "lan-out");
    scene.lan(ask("192.0.2.200", 1)).drops(Reason::LimitPrefixRate).by("lan-out");
    scene.lan(ask("192.0.3.8", 1)).opens(2, "lan-out");
    scene.plays();
}

#[test]
fn a_rule_has_its_own_and_others_do_not_see_it() {
    let policy = limited("sessions: 2, new_sessions_per_second: 100")
        .replace("    action: allow\n", "    service: udp/53\n    action: allow\n")
        + "  - {name: rest, from: lan, to: wan, action: allow}\n";
    let mut scene = Scene::new(&policy);
    scene.lan(ask("192.0.2.1", 1)).opens(1, "lan-out");
    scene.lan(ask("192.0.2.2", 1)).opens(2, "lan-out");
    scene.lan(ask("192.0.2.3", 1)).drops(Reason::LimitRuleSessions).by("lan-out");
    scene.lan(udp(at("192.0.2.3", 1), at(WAN, 54), b"?")).opens(3, "rest");
    scene.plays();
    let mut scene = Scene::new(&limited("new_sessions_per_second: 1"));
    scene.lan(ask("192.0.2.1", 1)).opens(1, "lan-out");
    scene.lan(ask("192.0.2.2", 1)).drops(Reason::LimitRuleRate).by("lan-out");
    scene.plays();
}

#[test]
fn packets_of_all_sessions_of_a_rule_share_its_meter_both_ways() {
    let mut scene = Scene::new(&limited("packets_per_second: 5"));
    scene.lan(ask(LAN, 1)).opens(1, "lan-out");
    scene.wan(udp(at(WAN, 53), at(LAN, 1), b"!")).follows(1);
    scene.lan(ask(LAN, 1)).follows(1);
    scene.lan(ask("192.0.2.11", 1)).opens(2, "lan-out");
    scene.lan(ask(LAN, 1)).follows(1);
    scene.lan(ask(LAN, 1)).drops(Reason::LimitRulePackets).of(1);
    scene.wan(udp(at(WAN, 53), at(LAN, 1), b"!")).drops(Reason::LimitRulePackets).of(1);
    scene.lan(ask("192.0.2.12", 1)).drops(Reason::LimitRulePackets).by("lan-out");
    scene.at_ms(200);
    scene.wan(udp(at(WAN, 53), at(LAN, 1), b"!")).follows(1);
    scene.lan(ask(LAN, 1)).drops(Reason::LimitRulePackets).of(1);
    scene.plays();
}

#[test]
fn what_is_dropped_for_another_reason_costs_nothing() {
    let mut scene = Scene::new(&limited("packets_per_second: 4"));
    let mut web = Tcp::new(at(LAN, 40_000), at(WAN, 443));
    web.opens(&mut scene, 1, "lan-out");
    let stray = Segment::new(ACK, web.next[1].wrapping_add(1 << 30), web.next[0]);
    for _ in 0..10 {
        scene.wan(web.from_server(&stray)).drops(Reason::TcpOutOfWindow).of(1);
    }
    scene.lan(web.client_says(b"GET /")).follows(1);
    let more = web.client_says(b" HTTP/1.1");
    scene.lan(more.clone()).drops(Reason::LimitRulePackets).of(1);
    // It has moved nothing, and comes again.
    scene.at_ms(250);
    scene.lan(more).follows(1);
    scene.plays();
}

#[test]
fn bits_are_those_of_the_frames() {
    let frame: Vec<u8> = udp(at(LAN, 1), at(WAN, 53), &[0; 1000]).into();
    let bits = frame.len() as u64 * 8;
    // A second's worth is a hundred thousand bits: so many whole frames, and a rest.
    let whole = 100_000 / bits;
    let mut scene = Scene::new(&limited("bits_per_second: 100000"));
    scene.lan(frame.clone()).opens(1, "lan-out");
    for _ in 1..whole {
        scene.lan(frame.clone()).follows(1);
    }
    scene.lan(frame.clone()).drops(Reason::LimitRuleBits).of(1);
    scene.lan(ask(LAN, 2)).opens(2, "lan-out");
    scene.at_ms(100);
    scene.lan(frame.clone()).follows(1);
    scene.plays();
}

#[test]
fn counts_outlive_a_deploy_that_keeps_the_rule() {
    let policy = limited("sessions_per_source: 2, new_sessions_per_second_per_source: 3");
    let mut scene = Scene::new(&policy);
    scene.lan(ask(LAN, 1)).opens(1, "lan-out");
    scene.lan(ask(LAN, 2)).opens(2, "lan-out");
    scene.at_ms(10).deploys(&policy);
    scene.lan(ask(LAN, 3)).drops(Reason::LimitSourceSessions).by("lan-out");
    scene.lan(ask(LAN, 1)).follows(1);
    // A lower limit: nobody ends, nobody comes.
    scene.at_ms(20).deploys(&limited("sessions_per_source: 1"));
    scene.lan(ask(LAN, 2)).follows(2);
    scene.lan(ask(LAN, 3)).drops(Reason::LimitSourceSessions).by("lan-out");
    // No limit, and one again: who speaks is counted again.
    scene.at_ms(30).deploys(LAN_OUT);
    scene.lan(ask(LAN, 1)).follows(1);
    scene.lan(ask(LAN, 2)).follows(2);
    scene.lan(ask(LAN, 3)).opens(3, "lan-out");
    scene.at_ms(40).deploys(&limited("sessions_per_source: 3"));
    scene.lan(ask(LAN, 4)).opens(4, "lan-out");
    scene.lan(ask(LAN, 1)).follows(1);
    scene.lan(ask(LAN, 2)).follows(2);
    scene.lan(ask(LAN, 5)).drops(Reason::LimitSourceSessions).by("lan-out");
    scene.plays();
}

#[test]
fn buckets_outlive_a_deploy_that_keeps_the_rule() {
    let policy = limited("new_sessions_per_second_per_source: 4");
    let mut scene = Scene::new(&policy);
    for port in 1..=4 {
        scene.lan(ask(LAN, port)).opens(port.into(), "lan-out");
    }
    let other = format!("{policy}  - {{name: nobody-in, from: wan, to: lan, action: drop}}\n");
    scene.at_ms(10).deploys(&other);
    scene.lan(ask(LAN, 5)).drops(Reason::LimitSourceRate).by("lan-out");
    scene.at_ms(250);
    scene.lan(ask(LAN, 5)).opens(5, "lan-out");
    scene.lan(ask(LAN, 6)).drops(Reason::LimitSourceRate).by("lan-out");
    scene.plays();
}

#[test]
fn what_another_rule_takes_over_counts_there() {
    let policy =
        limited("sessions_per_source: 2").replace("  - name", "  - sessions_on_deploy: rematch\n    name");
    let mut scene = Scene::new(&policy);
    scene.lan(ask(LAN, 1)).opens(1, "lan-out");
    scene.lan(ask(LAN, 2)).opens(2, "lan-out");
    let renamed = policy
        .replace("lan-out", "lan-new")
        .replace("rules", "inspection: {sessions_on_deploy: rematch}\nrules");
    scene.at_ms(10).deploys(&renamed);
    scene.lan(ask(LAN, 1)).follows(1);
    scene.lan(ask(LAN, 2)).follows(2);
    scene.lan(ask(LAN, 3)).drops(Reason::LimitSourceSessions).by("lan-new");
    scene.at_ms(20).deploys(&policy.replace("rules", "inspection: {sessions_on_deploy: rematch}\nrules"));
    // Nobody of the old name has a part any more.
    scene.lan(ask(LAN, 4)).opens(3, "lan-out");
    scene.lan(ask(LAN, 5)).opens(4, "lan-out");
    scene.lan(ask(LAN, 6)).drops(Reason::LimitSourceSessions).by("lan-out");
    scene.plays();
}

#[test]
fn limits_keep_a_flood_from_the_table() {
    let mut scene = Scene::new(&limited("sessions_per_source: 3")).sessions_max(5);
    for port in 1..=3 {
        scene.lan(ask(LAN, port)).opens(port.into(), "lan-out");
    }
    for port in 4..100 {
        scene.lan(ask(LAN, port)).drops(Reason::LimitSourceSessions).by("lan-out");
    }
    scene.lan(ask("192.0.2.11", 1)).opens(4, "lan-out");
    scene.plays();
}

#[test]
fn who_makes_room_in_a_full_table_gives_back_what_it_had() {
    let mut scene = Scene::new(&limited("sessions_per_source: 1")).sessions_max(2);
    scene.lan(ask("192.0.2.1", 1)).opens(1, "lan-out");
    scene.lan(ask("192.0.2.2", 1)).opens(2, "lan-out");
    scene.lan(ask("192.0.2.3", 1)).opens(3, "lan-out");
    scene.ends_with_it(1, Reason::EndEvicted);
    scene.lan(ask("192.0.2.1", 2)).opens(4, "lan-out");
    scene.ends_with_it(2, Reason::EndEvicted);
    scene.plays_alone();
}

#[test]
fn an_announced_connection_counts_for_whoever_opened_the_control_session() {
    let policy = "\
version: 1
zones: {lan: {port: lan}, wan: {port: wan}}
services: {ftp: {ports: tcp/21, helper: ftp}}
rules:
  - name: ftp
    from: lan
    to: wan
    service: ftp
    action: allow
    limits: {sessions_per_source: 2}
";
    let mut scene = Scene::new(policy);
    let mut control = Tcp::new(at(LAN, 40_000), at(WAN, 21));
    control.opens(&mut scene, 1, "ftp");
    // Active mode: the server connects, for the client.
    for (data, port) in [(2_u64, 5_001_u16), (3, 5_002)] {
        let command = format!("PORT 192,0,2,10,{},{}\r\n", port >> 8, port & 0xff);
        scene.lan(control.client_says(command.as_bytes())).follows(1);
        scene.wan(control.server_says(b"200 ok\r\n")).follows(1);
        let mut connection = Tcp::new(at(WAN, 20), at(LAN, port));
        let syn = scene.wan(connection.client(SYN));
        if data == 2 {
            syn.is_expected(2, "ftp");
        } else {
            syn.drops(Reason::LimitSourceSessions).by("ftp");
            // It was not used up.
            scene
                .wan(Tcp::new(at(WAN, 20), at(LAN, port)).client(SYN))
                .drops(Reason::LimitSourceSessions)
                .by("ftp");
        }
    }
    scene.plays();
}

/// A scene for each reason of limits.
pub(crate) fn vocabulary() -> Vec<Scene> {
    let reached = [
        ("sessions_per_source: 1", Reason::LimitSourceSessions),
        ("new_sessions_per_second_per_source: 1", Reason::LimitSourceRate),
        ("sessions_per_prefix: 1", Reason::LimitPrefixSessions),
        ("new_sessions_per_second_per_prefix: 1", Reason::LimitPrefixRate),
        ("sessions: 1", Reason::LimitRuleSessions),
        ("new_sessions_per_second: 1", Reason::LimitRuleRate),
        ("packets_per_second: 1", Reason::LimitRulePackets),
    ];
    let mut scenes: Vec<_> = reached
        .into_iter()
        .map(|(limits, reason)| {
            let mut scene = Scene::new(&limited(limits));
            scene.lan(ask(LAN, 1)).opens(1, "lan-out");
            scene.lan(ask(LAN, 2)).drops(reason).by("lan-out");
            scene
        })
        .collect();
    let mut scene = Scene::new(&limited("bits_per_second: 100000"));
    for number in 1..=9 {
        scene.lan(udp(at(LAN, number), at(WAN, 53), &[0; 1300])).opens(number.into(), "lan-out");
    }
    scene.lan(udp(at(LAN, 10), at(WAN, 53), &[0; 1300])).drops(Reason::LimitRuleBits).by("lan-out");
    scenes.push(scene);
    scenes.push(too_many_sources().0);
    scenes
}

/// So many sources within a second that one more, the last, finds no place to be counted: of a table for 16 sessions.
fn too_many_sources() -> (Scene, u64) {
    let policy = limited("new_sessions_per_second_per_source: 1");
    let last = first_without_place(&policy);
    let mut scene = Scene::new(&policy).sessions_max(16);
    for number in 1..last {
        scene.lan(ask(&host(number), 1)).opens(number, "lan-out");
        if number > 16 {
            scene.ends_with_it(number - 16, Reason::EndEvicted);
        }
    }
    scene.lan(ask(&host(last), 1)).drops(Reason::LimitTableFull).by("lan-out");
    (scene, last)
}

fn host(number: u64) -> String {
    format!("192.0.2.{number}")
}

/// Which of them that is, by the secret of replays.
fn first_without_place(policy: &str) -> u64 {
    let ruleset = sekisho_tests::scene::ruleset(policy);
    let mut simulation = Simulation::new(ruleset, NonZeroU8::MIN, 16, None);
    let refused = (1..200).find(|number| {
        let frame: Vec<u8> = ask(&host(*number), 1).into();
        let decision = simulation.inspect(*number, Port::Lan, &frame, frame.len()).unwrap();
        simulation.happened().for_each(drop);
        decision.reason == Reason::LimitTableFull
    });
    refused.expect("64 places are not enough for 199 sources")
}

#[test]
fn who_cannot_be_counted_is_refused_until_others_are_forgotten() {
    let (mut scene, last) = too_many_sources();
    // A second later their buckets are full again.
    scene.at_ms(1_100);
    scene.lan(ask(&host(last), 1)).opens(last, "lan-out");
    scene.ends_with_it(last - 16, Reason::EndEvicted);
    scene.plays_alone();
}
