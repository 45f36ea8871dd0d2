//! Checksums on virtual interfaces, where a host may leave them to a device that there is not.

use sekisho_tests::lab::{LAN6, WAN, WAN6};
use sekisho_tests::{Appliance, Lab};

use super::*;

#[test]
fn a_host_that_leaves_checksums_to_nobody_is_told_by_name() {
    let lab = Lab::up();
    let appliance = Appliance::start(&lab, &policy(&[LAN_OUT]));
    let _servers = [WAN, WAN6].map(|address| lab.wan.listen(address, 7000));
    assert!(lab.lan.connects(WAN, 7000) && lab.lan.connects(WAN6, 7000));
    lab.lan.must("ethtool -K eth0 tx on");
    assert!(!lab.lan.connects(WAN, 7000) && !lab.lan.connects(WAN6, 7000));
    assert!(appliance.count("checksum-partial") >= 2, "{:?}", appliance.drops());
    assert_eq!(appliance.count("tcp-bad-checksum"), 0);
    let sources: Vec<_> = appliance.drops().iter().map(|drop| drop["five_tuple"].to_string()).collect();
    assert!(sources.iter().any(|source| source.contains(LAN6)), "{sources:?}");
    lab.lan.must("ethtool -K eth0 tx off");
    assert!(lab.lan.connects(WAN, 7000) && lab.lan.connects(WAN6, 7000));
}
