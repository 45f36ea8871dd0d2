//! Datagrams longer than a frame, cut up and put together by real hosts.

use sekisho_tests::lab::{LAN, LAN6, WAN, WAN6};
use sekisho_tests::{Appliance, Lab, Namespace, Settings, wait};
use serde_json::Value;

use super::*;

const PING_IN: &str = "{name: ping-in, from: wan, to: lan, service: icmp/echo, action: allow}";

/// Echo of so many bytes, with whose contents ping itself is content.
fn pings(from: &Namespace, address: &str, bytes: u32) -> bool {
    from.run(&format!("ping -nq -c 4 -i 0.1 -W 2 -s {bytes} {address}")).status.success()
}

/// Nothing waits, and no fragment was dropped.
fn all_passed(appliance: &Appliance) {
    let of_fragments = |page: &str| -> Vec<String> {
        let lines = page.lines().filter(|line| line.starts_with("sekisho_dropped_packets_total"));
        let named = lines.filter(|line| line.contains("fragment") || line.contains("handoff"));
        named.filter(|line| !line.ends_with(" 0")).map(str::to_owned).collect()
    };
    let page = appliance.metrics();
    assert_eq!(of_fragments(&page), Vec::<String>::new());
    let held = page.lines().filter(|line| line.starts_with("sekisho_fragment"));
    let held: Vec<_> = held.filter(|line| !line.ends_with(" 0")).collect();
    assert_eq!(held, Vec::<&str>::new(), "nothing is left to wait");
}

#[test]
fn echo_of_65000_bytes_passes_both_ways_over_ipv4_and_ipv6() {
    let lab = Lab::up();
    let appliance = Appliance::start(&lab, &policy(&[LAN_OUT, PING_IN]));
    for (from, address) in [(&lab.lan, WAN), (&lab.lan, WAN6), (&lab.wan, LAN), (&lab.wan, LAN6)] {
        assert!(pings(from, address, 65_000), "{address}");
    }
    // A whole datagram opens a session with all of its 44 or 45 fragments.
    assert!(appliance.count("session-new") >= 4 * 44);
    all_passed(&appliance);
}

#[test]
fn workers_hand_whole_datagrams_to_the_owners_of_their_sessions() {
    let lab = Lab::up();
    let settings = Settings { policy: policy(&[LAN_OUT, PING_IN]), workers: 2, ..Settings::default() };
    let appliance = Appliance::with(&lab, &settings);
    for (from, address) in [(&lab.lan, WAN), (&lab.wan, LAN6)] {
        assert!(pings(from, address, 65_000), "{address}");
    }
    let _server = lab.wan.serve("iperf3 --server", "tcp", 5201);
    // Streams of different ports, of which some belong to the worker that does not put their fragments together.
    datagrams(&lab, WAN, "--parallel 8 --bitrate 1M");
    assert!(appliance.handed_over() > 0);
    all_passed(&appliance);
}

#[test]
fn long_udp_datagrams_pass_both_ways_over_ipv4_and_ipv6() {
    let lab = Lab::up();
    let appliance = Appliance::start(&lab, &policy(&[LAN_OUT]));
    let _server = lab.wan.serve("iperf3 --server", "tcp", 5201);
    for (address, direction) in [(WAN, ""), (WAN, "--reverse"), (WAN6, ""), (WAN6, "--reverse")] {
        datagrams(&lab, address, &format!("--bitrate 5M {direction}"));
    }
    all_passed(&appliance);
}

/// Datagrams of 20,000 bytes, of which none may be lost.
fn datagrams(lab: &Lab, address: &str, arguments: &str) {
    let line = format!("iperf3 --client {address} --json --udp --length 20000 --time 1 {arguments}");
    let run = || serde_json::from_str::<Value>(&lab.lan.must(&line)).expect("JSON");
    let mut report = run();
    if report["end"]["sum"]["packets"].is_null() {
        // Its server was not done with what came before: nothing was measured.
        report = run();
    }
    let sum = &report["end"]["sum"];
    let number =
        |name: &str| sum[name].as_f64().ok_or_else(|| format!("no {name} in {report}")).expect("figures");
    assert!(number("packets") > 10.0, "{sum}");
    assert!(number("lost_packets") < 1.0, "{sum}");
}

#[test]
fn ports_hidden_behind_tiny_fragments_are_dropped_by_name() {
    let lab = Lab::up();
    let appliance = Appliance::start(&lab, &policy(&[LAN_OUT]));
    let _server = lab.wan.listen(WAN, 7000);
    assert!(lab.lan.connects(WAN, 7000));
    // Eight bytes a fragment: the first holds the ports, the second the flags.
    let said = lab.lan.must(&format!("nmap -n -Pn -f -sS -p 7000 --max-retries 0 {WAN}"));
    assert!(!said.contains("open  "), "{said}");
    wait::until(LIMIT, "the fragments are dropped", || appliance.count("fragment-tiny") >= 1);
}

#[test]
fn a_policy_without_reassembly_drops_them_and_the_next_one_lets_them_pass() {
    let lab = Lab::up();
    let without = format!("{}inspection: {{fragments: drop}}\n", policy(&[LAN_OUT]));
    let appliance = Appliance::start(&lab, &without);
    assert!(pings(&lab.lan, WAN, 1000) && !pings(&lab.lan, WAN, 3000));
    let dropped = appliance.count("fragment");
    assert!(dropped >= 4 * 3, "{dropped}");
    appliance.deploy(&policy(&[LAN_OUT]));
    assert!(pings(&lab.lan, WAN, 3000));
    assert_eq!(appliance.count("fragment"), dropped);
}
