//! A policy is replaced while traffic flows.

use std::collections::BTreeSet;
use std::time::Duration;

use sekisho_tests::lab::{LAN, WAN};
use sekisho_tests::process::text;
use sekisho_tests::{Appliance, Lab, Running, wait};

use crate::{LAN_OUT, LIMIT, ZONES, policy};

const PING_OUT: &str = "{name: ping-out, from: lan, to: wan, service: icmp/echo, action: allow}";

/// The policy of the experiments: with or without the rule that allows the ping.
fn experiment(sessions_on_deploy: &str, rules: &[&str]) -> String {
    format!("{}inspection: {{sessions_on_deploy: {sessions_on_deploy}}}\n", policy(rules))
}

/// A ping that runs on, and which of its questions were answered.
struct Pinging(Running);

impl Pinging {
    /// Asks every `interval` seconds.
    fn start(lab: &Lab, interval: &str) -> Self {
        Self(lab.lan.start(&format!("stdbuf -oL ping -n -i {interval} {WAN}")))
    }

    /// The numbers of the questions that were answered.
    fn answered(&self) -> BTreeSet<u32> {
        let output = self.0.output();
        let numbers =
            output.split("icmp_seq=").skip(1).filter_map(|rest| rest.split(' ').next()?.parse().ok());
        numbers.collect()
    }

    fn answers(&self) -> usize {
        self.answered().len()
    }

    /// The questions that were passed over: never answered, though a later one was.
    fn lost(&self) -> Vec<u32> {
        let answered = self.answered();
        let last = answered.last().copied().unwrap_or_default();
        (1..last).filter(|number| !answered.contains(number)).collect()
    }

    /// Waits for ten answers more.
    fn goes_on(&self) {
        let now = self.answers();
        wait::until(LIMIT, "the running ping is answered", || self.answers() >= now + 10);
    }

    /// Waits until half a second passes without an answer.
    fn falls_silent(&self) {
        wait::until(LIMIT, "the running ping falls silent", || {
            let now = self.answers();
            !wait::holds_within(Duration::from_millis(500), || self.answers() > now)
        });
    }
}

#[test]
fn keep_a_running_ping_outlives_its_rule_and_a_new_one_is_refused() {
    let lab = Lab::up();
    let appliance = Appliance::start(&lab, &experiment("keep", &[PING_OUT]));
    // 1: the rule is there, the ping is answered.
    let running = Pinging::start(&lab, "0.05");
    running.goes_on();
    // 2: the rule is gone, the running ping goes on.
    appliance.deploy(&experiment("keep", &[]));
    running.goes_on();
    // 3: a new one is refused, and the running one still goes on.
    assert!(!lab.lan.pings(WAN, 2));
    running.goes_on();
    // 4: the rule is back, a new one is answered.
    appliance.deploy(&experiment("keep", &[PING_OUT]));
    assert!(lab.lan.pings(WAN, 2));
    running.goes_on();
}

#[test]
fn rematch_a_running_ping_ends_with_its_rule_and_comes_back_with_it() {
    let lab = Lab::up();
    let appliance = Appliance::start(&lab, &experiment("rematch", &[PING_OUT]));
    let running = Pinging::start(&lab, "0.05");
    running.goes_on();
    appliance.deploy(&experiment("rematch", &[]));
    running.falls_silent();
    assert!(!lab.lan.pings(WAN, 2));
    appliance.deploy(&experiment("rematch", &[PING_OUT]));
    assert!(lab.lan.pings(WAN, 2));
    running.goes_on();
}

#[test]
fn a_long_netcat_session_lives_through_deploys() {
    let lab = Lab::up();
    let appliance = Appliance::start(&lab, &experiment("keep", &[LAN_OUT]));
    let mut server = lab.wan.serve(&format!("nc -ln {WAN} 7000"), "tcp", 7000);
    let mut client = lab.lan.start(&format!("nc -n {WAN} 7000"));
    client.write("before\n");
    server.says(LIMIT, "before");
    for round in 0..5 {
        appliance.deploy(&experiment("keep", if round % 2 == 0 { &[] } else { &[LAN_OUT] }));
        client.write(&format!("to the wan {round}\n"));
        server.says(LIMIT, &format!("to the wan {round}"));
        server.write(&format!("to the lan {round}\n"));
        client.says(LIMIT, &format!("to the lan {round}"));
    }
    assert!(!lab.lan.connects(WAN, 7000), "what is new goes by the last policy");
}

#[test]
fn a_faulty_policy_is_refused_with_the_place_and_the_old_one_works_on() {
    let lab = Lab::up();
    let appliance = Appliance::start(&lab, &policy(&[LAN_OUT]));
    let faulty = format!("{ZONES}rules:\n  - {{name: out, from: lan, to: mars, action: allow}}\n");
    let output = appliance.try_deploy(&faulty);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("next.yaml:6:") && said.contains("mars"), "{said}");
    assert!(lab.lan.pings(WAN, 2), "the old policy works on");
    assert!(!lab.wan.pings(LAN, 1));
}

/// How many deploys in a row: `SEKISHO_DEPLOYS`, as `scripts/bench deploys` sets it.
fn deploys() -> u32 {
    let named = std::env::var("SEKISHO_DEPLOYS").ok();
    named.map_or(1000, |text| text.parse().expect("SEKISHO_DEPLOYS is a number"))
}

#[test]
fn deploys_under_traffic_lose_no_packet_and_no_memory() {
    let lab = Lab::up();
    let many: Vec<String> = (0..50)
        .map(|n| format!("{{name: port-{n}, from: wan, to: lan, service: tcp/{}, action: allow}}", 1000 + n))
        .collect();
    let mut second: Vec<&str> = many.iter().map(String::as_str).collect();
    second.push(LAN_OUT);
    let policies = [policy(&[LAN_OUT]), policy(&second)];
    let appliance = Appliance::start(&lab, &policies[1]);
    let generation = appliance.generation();
    assert!(lab.lan.pings(WAN, 2));

    let total = deploys();
    let ping = Pinging::start(&lab, "0.004");
    ping.goes_on();
    let mut warm_kib = 0;
    for round in 0..total {
        // The allocator has reached its level after the first tenth.
        if round == total / 10 {
            warm_kib = appliance.resident_kib();
        }
        appliance.deploy(&policies[usize::from(round % 2 == 1)]);
    }
    let end_kib = appliance.resident_kib();
    ping.goes_on();
    let (lost, answers) = (ping.lost(), ping.answers());
    println!("{total} deploys, {answers} packets answered, {} lost", lost.len());
    println!("resident: {warm_kib} KiB after a tenth of them, {end_kib} KiB at the end");
    assert_eq!(lost, [0; 0]);
    assert!(end_kib <= warm_kib + 1024, "memory grew from {warm_kib} to {end_kib} KiB");
    assert_eq!(appliance.generation() - generation, u64::from(total), "each deploy is a generation");
}
