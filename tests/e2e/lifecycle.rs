//! Start, stop, and being killed.

use rustix::process::Signal;
use sekisho_tests::lab::{LAN, WAN};
use sekisho_tests::{Appliance, Lab, wait};

use crate::{LAN_OUT, LIMIT, policy};

#[test]
fn sigterm_stops_it_within_a_second_under_traffic() {
    stops_under_traffic(Signal::TERM);
}

#[test]
fn sigint_stops_it_within_a_second_under_traffic() {
    stops_under_traffic(Signal::INT);
}

fn stops_under_traffic(signal: Signal) {
    let lab = Lab::up();
    let mut appliance = Appliance::start(&lab, &policy(&[LAN_OUT]));
    let _traffic = lab.lan.start(&format!("ping -nq -i 0.002 {WAN}"));
    wait::until(LIMIT, "the traffic passes", || appliance.count("session") > 100);
    appliance.stop(signal);
    assert!(!lab.lan.pings(WAN, 1), "no appliance, no wire");
}

#[test]
fn sighup_deploys_the_file_again() {
    let lab = Lab::up();
    let appliance = Appliance::start(&lab, &policy(&[LAN_OUT]));
    let ping_in = "{name: ping-in, from: wan, to: lan, service: icmp/echo, action: allow}";
    appliance.write_policy_file(&policy(&[LAN_OUT, ping_in]));
    assert!(!lab.wan.pings(LAN, 1), "writing the file changes nothing");
    appliance.signal(Signal::HUP);
    wait::until(LIMIT, "the new policy lets the ping in", || lab.wan.pings(LAN, 1));
}

#[test]
fn sighup_with_a_faulty_file_keeps_the_policy_and_says_so() {
    let lab = Lab::up();
    let appliance = Appliance::start(&lab, &policy(&[LAN_OUT]));
    appliance.write_policy_file("version: 1\nzoness: {}\n");
    appliance.signal(Signal::HUP);
    wait::until(LIMIT, "the log names the place", || appliance.log().contains("policy.yaml:2:1"));
    assert!(lab.lan.pings(WAN, 2));
}

#[test]
fn it_starts_again_after_kill_9() {
    let lab = Lab::up();
    let appliance = Appliance::start(&lab, &policy(&[LAN_OUT]));
    assert!(lab.lan.pings(WAN, 1));
    assert!(appliance.socket().exists());
    let appliance = appliance.kill_and_restart();
    wait::until(LIMIT, "the ping passes again", || lab.lan.pings(WAN, 1));
    drop(appliance);
}
