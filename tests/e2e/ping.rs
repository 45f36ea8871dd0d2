//! Echo, and the neighbours' talk that must pass before it.

use sekisho_tests::lab::{LAN, LAN6, WAN, WAN6};
use sekisho_tests::{Appliance, Lab, wait};
use serde_json::Value;

use crate::{LAN_OUT, LIMIT, policy};

#[test]
fn echo_passes_from_lan_to_wan_over_ipv4_and_ipv6() {
    let lab = Lab::up();
    let _appliance = Appliance::start(&lab, &policy(&[LAN_OUT]));
    assert!(lab.lan.pings(WAN, 5));
    assert!(lab.lan.pings(WAN6, 5));
}

#[test]
fn neighbours_are_found_both_ways_although_no_rule_speaks_of_them() {
    let lab = Lab::up();
    let appliance = Appliance::start(&lab, &policy(&[]));
    // Nobody answers, since nothing is allowed; but both ends learn each other's addresses.
    assert!(!lab.lan.pings(WAN, 1) && !lab.wan.pings(LAN, 1));
    assert!(!lab.lan.pings(WAN6, 1) && !lab.wan.pings(LAN6, 1));
    for (namespace, neighbour) in [(&lab.lan, WAN), (&lab.lan, WAN6), (&lab.wan, LAN), (&lab.wan, LAN6)] {
        let known = namespace.must(&format!("ip neighbour show {neighbour}"));
        assert!(known.contains("lladdr"), "{}: {neighbour}: {known:?}", namespace.name());
    }
    // Beside the four echoes the hosts' multicast reports are dropped, which nobody asked for.
    let is_echo =
        |drop: &Value| drop["five_tuple"]["icmp_type"] == 8 || drop["five_tuple"]["icmp_type"] == 128;
    wait::until(LIMIT, "the four echoes are dropped", || {
        appliance.drops().iter().filter(|drop| is_echo(drop) && drop["reason"] == "default-drop").count() == 4
    });
    assert!(appliance.count("neighbour-discovery") >= 4, "a question and an answer for each family");
}

#[test]
fn echo_from_the_wan_is_refused_without_a_rule() {
    let lab = Lab::up();
    let _appliance = Appliance::start(&lab, &policy(&[LAN_OUT]));
    assert!(lab.lan.pings(WAN, 1) && lab.lan.pings(WAN6, 1));
    assert!(!lab.wan.pings(LAN, 2));
    assert!(!lab.wan.pings(LAN6, 2));
}

#[test]
fn echo_from_the_wan_passes_by_a_rule() {
    let lab = Lab::up();
    let rule = "{name: ping-in, from: wan, to: lan, service: icmp/echo, action: allow}";
    let _appliance = Appliance::start(&lab, &policy(&[rule]));
    assert!(lab.wan.pings(LAN, 5));
    assert!(lab.wan.pings(LAN6, 5));
    assert!(!lab.lan.pings(WAN, 2), "the rule opens one direction only");
}
