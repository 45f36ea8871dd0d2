//! What an operator asks before a deploy, and when a connection does not come about.

use sekisho_tests::lab::{LAN, WAN};
use sekisho_tests::process::text;
use sekisho_tests::{Appliance, Lab, wait};
use serde_json::Value;

use crate::{LAN_OUT, LIMIT, policy};

const WEB: &str = "{name: web, from: lan, to: wan, service: tcp/7000, action: allow}";
const PING: &str = "{name: ping, from: lan, to: wan, service: icmp/echo, action: allow}";

/// What `deploy --dry-run` says of a policy.
fn dry_run(appliance: &Appliance, policy: &str) -> Value {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("candidate.yaml");
    std::fs::write(&file, policy).expect("the policy is written");
    appliance.json(&["deploy", "--dry-run", &file.display().to_string()])
}

#[test]
fn a_dry_run_tells_which_sessions_would_end_and_ends_none() {
    let lab = Lab::up();
    let appliance = Appliance::start(&lab, &policy(&[WEB, PING]));
    let mut server = lab.wan.serve(&format!("nc -ln {WAN} 7000"), "tcp", 7000);
    let mut client = lab.lan.start(&format!("nc -n {WAN} 7000"));
    client.write("hello\n");
    server.says(LIMIT, "hello");
    assert!(lab.lan.pings(WAN, 2));
    let before = appliance.generation();

    let rematch = format!("{}inspection: {{sessions_on_deploy: rematch}}\n", policy(&[PING]));
    let told = dry_run(&appliance, &rematch);
    assert_eq!((&told["ends"], &told["outlives"]), (&1.into(), &0.into()), "{told}");
    assert_eq!(told["by_rule"][0]["rule"], "web");
    assert_eq!(told["samples"][0]["session"]["destination_port"], 7000);
    let told = dry_run(&appliance, &policy(&[PING]));
    assert_eq!((&told["ends"], &told["outlives"]), (&0.into(), &1.into()), "{told}");
    assert_eq!(dry_run(&appliance, &policy(&[WEB, PING]))["by_rule"], Value::Array(Vec::new()));

    // Nothing has changed.
    assert_eq!(appliance.generation(), before);
    client.write("still here\n");
    server.says(LIMIT, "still here");
    // What was foretold comes true.
    appliance.deploy(&rematch);
    client.write("too late\n");
    wait::until(LIMIT, "the session ends", || appliance.count("policy-ended") == 1);
}

#[test]
fn explain_live_tells_of_the_session_its_end_and_its_drops() {
    let lab = Lab::up();
    let appliance = Appliance::start(&lab, &policy(&[WEB]));
    let mut server = lab.wan.serve(&format!("nc -ln {WAN} 7000"), "tcp", 7000);
    let mut client = lab.lan.start(&format!("nc -n -p 40000 {WAN} 7000"));
    client.write("hello\n");
    server.says(LIMIT, "hello");
    let (from, to) = (format!("{LAN}:40000"), format!("{WAN}:7000"));
    let explain = || appliance.json(&["explain", "--live", "--from", "lan", "tcp", &from, &to]);
    let live = explain();
    assert_eq!((&live["rule"], &live["verdict"]), (&"web".into(), &"forward".into()), "{live}");
    let session = &live["session"];
    assert_eq!((&session["rule"], &session["state"]), (&"web".into(), &"established".into()), "{live}");
    assert!(session["idle_seconds"].is_number() && live["worker"] == 0, "{live}");

    assert!(appliance.command(&["sessions", "--port", "7000", "--end"]).status.success());
    client.write("into the void\n");
    let cut = wait::until_some(LIMIT, "the straggler is told", || {
        Some(explain()).filter(|told| told["drops"].as_array().is_some_and(|drops| !drops.is_empty()))
    });
    assert!(cut["session"].is_null(), "{cut}");
    assert_eq!((&cut["ended"]["reason"], &cut["ended"]["rule"]), (&"operator-ended".into(), &"web".into()));
    assert_eq!(cut["drops"][0]["reason"], "session-expired");
    assert_eq!(cut["drops"][0]["ended"]["reason"], "operator-ended");
    let words = appliance.command(&["explain", "--live", "--from", "lan", "tcp", &from, &to]);
    let words = text(&words.stdout);
    assert!(words.contains("operator-ended") && words.contains("YES web"), "{words}");
    let wrong = appliance.command(&["explain", "--live", "--from", "mars", "tcp", &from, &to]);
    assert_eq!(wrong.status.code(), Some(2), "{}", text(&wrong.stderr));
}

/// The appliance stands in the way back only: connections that it never saw begin.
#[test]
fn connections_of_which_only_one_direction_comes_through_are_listed_by_prefix() {
    let lab = Lab::up();
    let appliance = Appliance::start(&lab, &policy(&[LAN_OUT]));
    let mut server = lab.wan.serve(&format!("nc -ln {WAN} 7000"), "tcp", 7000);
    let mut client = lab.lan.start(&format!("nc -n {WAN} 7000"));
    client.write("hello\n");
    server.says(LIMIT, "hello");
    // After a restart without grace the connection goes on as one that nobody saw begin.
    let appliance = appliance.kill_and_restart();
    client.write("and now\n");
    let listed = wait::until_some(LIMIT, "the prefix is listed", || {
        let listed = appliance.json(&["asymmetric"]);
        listed["prefixes"].as_array()?.iter().find(|one| one["from"] == "lan").cloned()
    });
    assert_eq!(listed["prefix"], "192.0.2.0/24", "{listed}");
    assert!(listed["packets"].as_u64() >= Some(1), "{listed}");
    let metrics = appliance.metrics();
    let line = metrics.lines().find(|line| {
        line.starts_with("sekisho_one_sided_packets_total{evidence=\"packet-without-session\"}")
    });
    assert!(line.is_some_and(|line| !line.ends_with(" 0")), "{line:?}");
    let words = text(&appliance.command(&["asymmetric"]).stdout);
    assert!(words.contains("192.0.2.0/24"), "{words}");
}

/// With grace the same connection is picked up.
#[test]
fn in_its_grace_a_restart_loses_no_connection() {
    let lab = Lab::up();
    let appliance = Appliance::start(&lab, &format!("{}inspection: {{grace: 1h}}\n", policy(&[LAN_OUT])));
    let mut server = lab.wan.serve(&format!("nc -ln {WAN} 7000"), "tcp", 7000);
    let mut client = lab.lan.start(&format!("nc -n {WAN} 7000"));
    client.write("hello\n");
    server.says(LIMIT, "hello");
    let appliance = appliance.kill_and_restart();
    assert!(appliance.json(&["status"])["grace_remaining_seconds"].as_f64() > Some(3000.0));
    client.write("and now\n");
    server.says(LIMIT, "and now");
    server.write("as before\n");
    client.says(LIMIT, "as before");
}
