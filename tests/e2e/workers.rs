//! More than one worker, and more than one appliance.

use sekisho_tests::lab::{LAN, WAN, WAN6};
use sekisho_tests::{Appliance, Lab, Settings};

use crate::servers::http;
use crate::{LAN_OUT, policy};

#[test]
fn two_workers_share_the_sessions_and_nobody_notices() {
    let lab = Lab::up();
    let settings = Settings { policy: policy(&[LAN_OUT]), workers: 2, ..Settings::default() };
    let appliance = Appliance::with(&lab, &settings);
    let _server = http(&lab.wan, WAN);
    assert!(lab.lan.pings(WAN, 5) && lab.lan.pings(WAN6, 5));
    for _ in 0..20 {
        // Each is a five-tuple of its own, and may live on either worker.
        let fetched = lab.lan.must(&format!("curl -sS --max-time 20 http://{WAN}/"));
        assert_eq!(fetched.len(), 1 << 20);
    }
    assert!(!lab.wan.pings(LAN, 2), "no worker lets in what no rule allows");
    assert!(appliance.handed_over() > 0, "veth has one queue: the other worker lives on what is handed over");
    let shared = appliance.json(&["status"])["workers"].clone();
    assert_eq!(shared.as_array().map(Vec::len), Some(2), "{shared}");
}

#[test]
fn two_appliances_on_one_machine_do_not_meet() {
    let (first, second) = (Lab::up(), Lab::up());
    let open = Appliance::start(&first, &policy(&[LAN_OUT]));
    let shut = Appliance::start(&second, &policy(&[]));
    assert!(first.lan.pings(WAN, 3));
    assert!(!second.lan.pings(WAN, 2));
    drop(open);
    shut.deploy(&policy(&[LAN_OUT]));
    assert!(second.lan.pings(WAN, 3), "one stops, the other goes on");
}
