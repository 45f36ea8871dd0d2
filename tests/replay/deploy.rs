//! Policies deployed under way, and what becomes of live sessions.

use sekisho_tests::frames::{SYN, ping, pong, udp};

use super::*;

fn policy(on_deploy: &str, rules: &str) -> String {
    format!(
        "version: 1\nzones: {{lan: {{port: lan}}, wan: {{port: wan}}}}\nrules:\n{rules}\ninspection: {{sessions_on_deploy: {on_deploy}}}\n"
    )
}

const PING: &str = "  - {name: ping, from: lan, to: wan, service: icmp/echo, action: allow}";
const NO_PING: &str = "  - {name: web, from: lan, to: wan, service: tcp/443, action: allow}";

fn request(identifier: u16, sequence: u16) -> frames::Packet {
    ping(ip(LAN), ip(WAN), identifier, sequence)
}

fn reply(identifier: u16, sequence: u16) -> frames::Packet {
    pong(ip(WAN), ip(LAN), identifier, sequence)
}

/// Four experiments with a ping that runs on while its rule goes and comes back; the operator keeps sessions.
#[test]
fn a_running_ping_survives_its_rule_with_keep() {
    let mut scene = Scene::new(&policy("keep", PING));
    // First: the rule is there, and ping works.
    scene.lan(request(1, 1)).opens(1, "ping");
    scene.wan(reply(1, 1)).follows(1);
    // Second: the rule goes, and the ping that runs goes on.
    scene.at_ms(1000).deploys(&policy("keep", NO_PING));
    scene.lan(request(1, 2)).follows(1);
    scene.wan(reply(1, 2)).follows(1);
    // Third: another ping is refused, the first still runs.
    scene.at_ms(2000).lan(request(2, 1)).drops(Reason::DefaultDrop);
    scene.lan(request(1, 3)).follows(1);
    scene.wan(reply(1, 3)).follows(1);
    // Fourth: the rule is back, and new pings work.
    scene.at_ms(3000).deploys(&policy("keep", PING));
    scene.lan(request(2, 2)).opens(2, "ping");
    scene.wan(reply(2, 2)).follows(2);
    scene.lan(request(1, 4)).follows(1);
    scene.plays();
}

/// The same four, with an operator who wants the new policy to hold for all.
#[test]
fn a_running_ping_ends_with_its_rule_with_rematch() {
    let mut scene = Scene::new(&policy("rematch", PING));
    scene.lan(request(1, 1)).opens(1, "ping");
    scene.wan(reply(1, 1)).follows(1);
    scene.at_ms(1000).deploys(&policy("rematch", NO_PING));
    scene.lan(request(1, 2)).drops(Reason::PolicyChanged).of(1);
    scene.ends_with_it(1, Reason::EndPolicy);
    scene.lan(request(1, 3)).drops(Reason::DefaultDrop);
    scene.wan(reply(1, 1)).drops(Reason::SessionExpired).of(1);
    scene.at_ms(2000).lan(request(2, 1)).drops(Reason::DefaultDrop);
    scene.at_ms(3000).deploys(&policy("rematch", PING));
    scene.lan(request(1, 4)).opens(2, "ping");
    scene.wan(reply(1, 4)).follows(2);
    scene.plays();
}

#[test]
fn rematch_keeps_what_the_new_policy_allows() {
    let other = "  - {name: everything, from: lan, to: wan, action: allow}";
    let mut scene = Scene::new(&policy("rematch", PING));
    scene.lan(request(1, 1)).opens(1, "ping");
    scene.at_ms(1000).deploys(&policy("rematch", other));
    scene.wan(reply(1, 1)).follows(1);
    scene.lan(request(1, 2)).follows(1);
    scene.plays();
}

#[test]
fn it_is_the_way_of_the_first_packet_that_is_decided_again() {
    // The reply comes first after the deploy; what counts is who asked.
    let inbound = "  - {name: in, from: wan, to: lan, action: allow}";
    let mut scene = Scene::new(&policy("rematch", PING));
    scene.lan(request(1, 1)).opens(1, "ping");
    scene.at_ms(1000).deploys(&policy("rematch", inbound));
    scene.wan(reply(1, 1)).drops(Reason::PolicyChanged).of(1);
    scene.ends_with_it(1, Reason::EndPolicy);
    scene.plays();
}

#[test]
fn a_rule_may_say_otherwise_than_its_policy() {
    let both =
        "  - {name: ping, from: lan, to: wan, service: icmp/echo, action: allow, sessions_on_deploy: rematch}
  - {name: dns, from: lan, to: wan, service: udp/53, action: allow}";
    let neither =
        "  - {name: ping, from: lan, to: wan, service: icmp/echo, action: drop, sessions_on_deploy: rematch}
  - {name: dns, from: lan, to: wan, service: udp/53, action: drop}";
    let mut scene = Scene::new(&policy("keep", both));
    scene.lan(request(1, 1)).opens(1, "ping");
    scene.lan(udp(at(LAN, 5000), at(WAN, 53), b"")).opens(2, "dns");
    scene.at_ms(1000).deploys(&policy("keep", neither));
    scene.lan(request(1, 2)).drops(Reason::PolicyChanged).of(1);
    scene.ends_with_it(1, Reason::EndPolicy);
    scene.lan(udp(at(LAN, 5000), at(WAN, 53), b"")).follows(2);
    scene.plays();
}

#[test]
fn a_session_takes_the_timeouts_of_the_new_policy_with_its_next_packet() {
    let with = |secs: u32| {
        format!(
            "{}timeouts: {{udp: {{unreplied: {secs}s}}}}\n",
            policy("keep", "  - {name: dns, from: lan, to: wan, service: udp/53, action: allow}")
        )
    };
    let ask = || udp(at(LAN, 5000), at(WAN, 53), b"");
    let mut scene = Scene::new(&with(100));
    scene.lan(ask()).opens(1, "dns");
    scene.at_ms(1000).deploys(&with(5));
    scene.at_ms(2000).lan(ask()).follows(1);
    tick(&mut scene, 6999);
    scene.ends(1, Reason::EndIdle, 7000);
    tick(&mut scene, 7000);
    scene.plays();

    let mut scene = Scene::new(&with(5));
    scene.lan(ask()).opens(1, "dns");
    scene.at_ms(1000).deploys(&with(100));
    scene.at_ms(2000).lan(ask()).follows(1);
    tick(&mut scene, 101_999);
    scene.ends(1, Reason::EndIdle, 102_000);
    tick(&mut scene, 102_000);
    scene.plays();
}

#[test]
fn a_session_that_a_deploy_left_behind_ends_at_its_time() {
    // It sends nothing any more, so nothing decides it again before it has been idle for its timeout.
    let mut scene = Scene::new(&policy("rematch", PING));
    scene.lan(request(1, 1)).opens(1, "ping");
    scene.at_ms(1000).deploys(&policy("rematch", NO_PING));
    tick(&mut scene, 59_999);
    scene.ends(1, Reason::EndPolicy, 60_000);
    tick(&mut scene, 60_000);
    scene.plays();
}

#[test]
fn a_deploy_under_an_open_connection_loses_no_packet() {
    let (mut scene, mut web) = established();
    for number in 0..50 {
        scene.after_ms(10).deploys(LAN_OUT);
        scene.lan(web.client_says(&[number])).follows(1);
        scene.wan(web.server_says(&[number; 100])).follows(1);
    }
    let mut second = Tcp::new(at(LAN, 40_001), at(WAN, 443));
    scene.lan(second.client(SYN)).opens(2, "lan-out");
    assert_eq!(scene.plays().summary.deploys, 50);
}

/// What the policy says, what a rule says, and what becomes of a session that the new policy does not allow.
#[test]
fn keep_and_rematch_by_policy_and_by_rule() {
    let rule = |action: &str, of_rule: Option<&str>| {
        let of_rule = of_rule.map_or(String::new(), |word| format!(", sessions_on_deploy: {word}"));
        format!("  - {{name: ping, from: lan, to: wan, service: icmp/echo, action: {action}{of_rule}}}")
    };
    for of_policy in ["keep", "rematch"] {
        for of_rule in [None, Some("keep"), Some("rematch")] {
            let ends = of_rule.unwrap_or(of_policy) == "rematch";
            // The new policy's words count: the old one says the opposite.
            let opposite = if ends { "keep" } else { "rematch" };
            let mut scene = Scene::new(&policy(opposite, &rule("allow", Some(opposite))));
            scene.lan(request(1, 1)).opens(1, "ping");
            scene.at_ms(1000).deploys(&policy(of_policy, &rule("drop", of_rule)));
            if ends {
                scene.lan(request(1, 2)).drops(Reason::PolicyChanged).of(1);
                scene.ends_with_it(1, Reason::EndPolicy);
            } else {
                scene.lan(request(1, 2)).follows(1);
            }
            scene.plays();

            // A rule that is gone has no word; the policy's counts.
            let mut scene = Scene::new(&policy(opposite, &rule("allow", Some(opposite))));
            scene.lan(request(1, 1)).opens(1, "ping");
            scene.at_ms(1000).deploys(&policy(of_policy, NO_PING));
            if of_policy == "rematch" {
                scene.lan(request(1, 2)).drops(Reason::PolicyChanged).of(1);
                scene.ends_with_it(1, Reason::EndPolicy);
            } else {
                scene.lan(request(1, 2)).follows(1);
            }
            scene.plays();
        }
    }
}
