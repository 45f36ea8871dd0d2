//! A trunk: untagged frames and those of a VLAN through the same two ports.

use sekisho_tests::lab::{LAN_VLAN, WAN, WAN_VLAN};
use sekisho_tests::{Appliance, Lab};

use crate::{LIMIT, policy};

/// The VLAN of the trunk has zones of its own, which may do what the untagged may not.
const TRUNK: &str = "\
version: 1
zones:
  office: {port: lan, vlans: [0]}
  guests: {port: lan, vlans: [20]}
  world: {port: wan, vlans: [0]}
  guests-world: {port: wan, vlans: [20]}
rules:
  - {name: guests-out, from: guests, to: guests-world, action: allow}
";

#[test]
fn a_vlan_has_rules_of_its_own_and_keeps_its_tag() {
    let lab = Lab::up_with_vlan(20);
    let _appliance = Appliance::start(&lab, TRUNK);
    let sniffer = lab.port("wan");
    let tcpdump = format!("tcpdump -i {sniffer} -nne -U -c 1 vlan 20 and icmp");
    let words: Vec<_> = tcpdump.split(' ').collect();
    let mut sniffing = std::process::Command::new(words[0]);
    let mut sniffing = sekisho_tests::Running::start(sniffing.args(&words[1..]));
    sniffing.says(LIMIT, "listening on");
    assert!(lab.lan.pings(WAN_VLAN, 3), "tagged frames pass by their rule");
    sniffing.says(LIMIT, "vlan 20");
    assert!(!lab.lan.pings(WAN, 2), "untagged frames have no rule");
}

#[test]
fn tcp_passes_through_a_trunk_tagged_and_untagged() {
    let lab = Lab::up_with_vlan(20);
    let _appliance = Appliance::start(&lab, &policy(&[crate::LAN_OUT]));
    let _servers = [lab.wan.listen(WAN, 7000), lab.wan.listen(WAN_VLAN, 7001)];
    assert!(lab.lan.connects(WAN, 7000), "untagged");
    assert!(lab.lan.connects(WAN_VLAN, 7001), "tagged");
    let _inside = lab.lan.listen(LAN_VLAN, 7002);
    assert!(!lab.wan.connects(LAN_VLAN, 7002), "nothing was published");
}
