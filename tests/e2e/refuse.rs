//! How the appliance says no.

use std::time::{Duration, Instant};

use sekisho_tests::lab::{WAN, WAN6};
use sekisho_tests::process::text;
use sekisho_tests::{Appliance, Lab, wait};

use crate::{LIMIT, policy};

const REJECT: &str = "{name: no-way, from: lan, to: wan, action: reject}";
const DROP: &str = "{name: silence, from: lan, to: wan, action: drop}";

/// Long before any timeout of a client.
const AT_ONCE: Duration = Duration::from_millis(900);

#[test]
fn reject_answers_tcp_with_a_reset_at_once() {
    let lab = Lab::up();
    let _appliance = Appliance::start(&lab, &policy(&[REJECT]));
    for address in [WAN.to_owned(), format!("[{WAN6}]")] {
        let start = Instant::now();
        let output = lab.lan.run(&format!("curl -gsS --max-time 10 http://{address}/"));
        assert_eq!(output.status.code(), Some(7), "could not connect: {}", text(&output.stderr));
        assert!(start.elapsed() < AT_ONCE, "{address}: {:?}", start.elapsed());
    }
    for address in [WAN, WAN6] {
        let output = lab.lan.run(&format!("nc -nvz -w 5 {address} 80"));
        assert!(text(&output.stderr).contains("Connection refused"), "{}", text(&output.stderr));
    }
}

#[test]
fn reject_answers_the_rest_with_administratively_prohibited() {
    let lab = Lab::up();
    let _appliance = Appliance::start(&lab, &policy(&[REJECT]));
    for (address, said) in [(WAN, "Packet filtered"), (WAN6, "Administratively prohibited")] {
        let output = lab.lan.run(&format!("ping -n -c 1 -W 2 {address}"));
        assert!(text(&output.stdout).contains(said), "{address}: {}", text(&output.stdout));
    }
    // A datagram's answer reaches the program that sent it.
    let output = lab.lan.run(&format!("dig +time=2 +tries=1 @{WAN} www.example"));
    let both = text(&output.stdout) + &text(&output.stderr);
    assert!(both.contains("host unreachable") || both.contains("connection refused"), "{both}");
}

#[test]
fn drop_answers_nothing() {
    let lab = Lab::up();
    let appliance = Appliance::start(&lab, &policy(&[DROP]));
    assert!(!lab.lan.connects(WAN, 80));
    let output = lab.lan.run(&format!("ping -n -c 1 -W 1 {WAN}"));
    assert!(text(&output.stdout).contains("0 received, 100% packet loss"), "{}", text(&output.stdout));
    wait::until(LIMIT, "the echo and the connection are counted", || appliance.count("rule-drop") >= 2);
    assert_eq!(appliance.count("reject-tcp-reset") + appliance.count("reject-icmp-prohibited"), 0);
}
