//! Scanners are kept out, and limits hold, with real programs on both sides.

use sekisho_tests::lab::{LAN, LAN_SECOND, WAN};
use sekisho_tests::process::text;
use sekisho_tests::{Appliance, Lab, wait};
use serde_json::Value;

use crate::{LAN_OUT, LIMIT, policy};

const WEB: &str = "{name: web, from: wan, to: lan, service: tcp/80, action: allow}";

fn watched(scan: &str) -> String {
    format!("{}protections: {{port_scan: {{{scan}}}}}\n", policy(&[LAN_OUT, WEB]))
}

fn blocks(appliance: &Appliance) -> Vec<Value> {
    appliance.json(&["blocks"])["blocks"].as_array().expect("a list").clone()
}

/// Scans so, in a bounded time. What nmap finds is not asked.
fn scan(lab: &Lab, how: &str) {
    let line = format!("nmap -Pn -n {how} --max-retries 0 --host-timeout 20s --disable-arp-ping");
    let _ = lab.wan.run(&line);
}

#[test]
fn every_kind_of_scan_gets_its_source_blocked() {
    let lab = Lab::up();
    let appliance = Appliance::start(&lab, &watched("ports: 8, within: 20s, block_for: 10m"));
    let _listener = lab.lan.listen(LAN, 80);
    for (round, kind) in (1..).zip(["-sT", "-sS", "-sF", "-sN", "-sX", "-sA", "-sU"]) {
        assert!(lab.wan.connects(LAN, 80), "{kind}: what is published is open before the scan");
        assert!(blocks(&appliance).is_empty(), "{kind}");
        scan(&lab, &format!("{kind} -p 1-20 {LAN}"));
        let blocked = wait::until_some(LIMIT, kind, || blocks(&appliance).pop());
        assert_eq!((&blocked["source"], &blocked["cause"]), (&WAN.into(), &"port-scan".into()), "{kind}");
        assert!(blocked["expires_in_seconds"].as_f64() > Some(500.0), "{blocked}");
        assert!(!lab.wan.connects(LAN, 80), "{kind}: it gets no session any more");
        assert!(appliance.count("source-blocked") > 0);
        let metrics = appliance.metrics();
        let total = format!("sekisho_blocks_total{{cause=\"port-scan\"}} {round}\n");
        assert!(metrics.contains(&total), "{kind}: no {total} in\n{metrics}");
        assert!(metrics.contains("sekisho_blocked_sources{cause=\"port-scan\"} 1\n"), "{kind}");
        assert_eq!(appliance.json(&["status"])["attacks"]["blocked_sources"], 1, "{kind}");
        // What the LAN asks of it goes on.
        assert!(lab.lan.pings(WAN, 1), "{kind}");
        let released = appliance.json(&["blocks", "release", "--source", WAN]);
        assert_eq!(released["blocks"], 1, "{kind}");
    }
    let logged = appliance.flow_log();
    let of_block = logged.iter().find(|line| line["event"] == "block").expect("a line of the flow log");
    assert_eq!((&of_block["source"], &of_block["reason"]), (&WAN.into(), &"port-scan".into()), "{of_block}");
}

#[test]
fn a_sweep_is_a_scan_where_the_policy_says_so() {
    let lab = Lab::up();
    let appliance = Appliance::start(&lab, &watched("ports: 100, hosts: 1, within: 20s, block_for: 10m"));
    scan(&lab, &format!("-sS -p 22 {LAN} {LAN_SECOND}"));
    let blocked = wait::until_some(LIMIT, "the sweep is found out", || blocks(&appliance).pop());
    assert_eq!((&blocked["source"], &blocked["cause"]), (&WAN.into(), &"host-sweep".into()), "{blocked}");
}

#[test]
fn live_sessions_of_a_scanner_go_on_and_the_list_is_the_operators() {
    let lab = Lab::up();
    let appliance = Appliance::start(&lab, &watched("ports: 8, within: 20s, block_for: 10m"));
    let mut server = lab.lan.serve(&format!("nc -ln {LAN} 80"), "tcp", 80);
    let mut client = lab.wan.start(&format!("nc -n {LAN} 80"));
    client.write("before\n");
    server.says(LIMIT, "before");
    // With the hop limit of a real stack, as its session has it.
    scan(&lab, &format!("-sT -p 1-20 {LAN}"));
    wait::until(LIMIT, "it is blocked", || blocks(&appliance).len() == 1);
    client.write("after\n");
    server.says(LIMIT, "after");

    let add = appliance.command(&["blocks", "add", "198.51.100.77", "--for", "1h"]);
    assert!(add.status.success(), "{}", text(&add.stderr));
    let extend = appliance.command(&["blocks", "extend", WAN, "--for", "2h"]);
    assert!(extend.status.success(), "{}", text(&extend.stderr));
    let listed = blocks(&appliance);
    let left = |at: usize| listed[at]["expires_in_seconds"].as_f64().expect("a number");
    assert_eq!(listed[0]["cause"], "operator");
    assert!(left(0) > 3500.0 && left(0) <= 3600.0 && left(1) > 7100.0 && left(1) <= 7200.0, "{listed:?}");
    let found = appliance.json(&["blocks", "--source", "203.0.113.0/24"]);
    assert_eq!(found["blocks"].as_array().map(Vec::len), Some(1));
    let none = appliance.command(&["blocks", "extend", "198.51.100.78", "--for", "1h"]);
    assert_eq!(none.status.code(), Some(1));
    let all = appliance.command(&["blocks", "release"]);
    assert_eq!(all.status.code(), Some(2), "not all of them by mistake");
    assert_eq!(appliance.json(&["blocks", "release", "--all"])["blocks"], 2);
    // Whoever is in the allow list is blocked by nobody.
    let allowing = format!("ports: 8, within: 20s, block_for: 10m, allow: {WAN}");
    appliance.deploy(&watched(&allowing));
    scan(&lab, &format!("-sS -p 1-20 {LAN}"));
    wait::until(LIMIT, "the scan has come through", || appliance.count("default-drop") >= 20);
    assert!(blocks(&appliance).is_empty());
    let refused = appliance.command(&["blocks", "add", WAN, "--for", "1h"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("port_scan.allow"), "{}", text(&refused.stderr));
}

#[test]
fn a_source_gets_as_many_sessions_as_it_may_and_the_next_when_one_ends() {
    let limited = "{name: web, from: wan, to: lan, service: tcp/80, action: allow, \
                   limits: {sessions_per_source: 2}, timeout: {time_wait: 1s, reset: 1s}}";
    let lab = Lab::up();
    let appliance = Appliance::start(&lab, &policy(&[LAN_OUT, limited]));
    // One process for each connection, beside each other.
    let _server =
        lab.lan.serve(&format!("socat TCP-LISTEN:80,bind={LAN},fork,reuseaddr EXEC:cat"), "tcp", 80);
    let mut clients: Vec<_> = (0..2).map(|_| lab.wan.start(&format!("nc -n {LAN} 80"))).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.write(&format!("{number}\n"));
        client.says(LIMIT, &number.to_string());
    }
    assert!(!lab.wan.connects(LAN, 80), "two are there");
    assert!(appliance.count("limit-source-sessions") > 0);
    let dropped = appliance.drops();
    let refused = dropped.iter().find(|drop| drop["reason"] == "limit-source-sessions").expect("it is told");
    assert_eq!(
        (&refused["rule"], &refused["five_tuple"]["destination_port"]),
        (&"web".into(), &80.into()),
        "{refused}"
    );
    let logged = |line: &Value| line["event"] == "drop" && line["reason"] == "limit-source-sessions";
    wait::until(LIMIT, "it is logged as refused", || appliance.flow_log().iter().any(logged));
    // A deploy that keeps the rule forgets nobody.
    appliance.deploy(&policy(&[limited, LAN_OUT]));
    assert!(!lab.wan.connects(LAN, 80), "two are there still");
    clients.pop();
    wait::until(LIMIT, "a place is free", || lab.wan.connects(LAN, 80));
}
