//! Programs of every day, from the LAN to servers on the WAN side.

use sekisho_tests::lab::{WAN, WAN6};
use sekisho_tests::{Appliance, Lab, wait};
use serde_json::Value;

use crate::servers::{chronyd, dns, http, ntp};
use crate::{LAN_OUT, LIMIT, policy};

const RULES: &[&str] = &[
    "{name: web, from: lan, to: wan, service: tcp/80, action: allow}",
    "{name: dns, from: lan, to: wan, service: [udp/53, tcp/53], action: allow}",
    "{name: ntp, from: lan, to: wan, service: udp/123, action: allow}",
];

#[test]
fn curl_fetches_from_nginx_over_ipv4() {
    let lab = Lab::up();
    let _appliance = Appliance::start(&lab, &policy(RULES));
    let _server = http(&lab.wan, WAN);
    assert_eq!(lab.lan.must(&format!("curl -sS --max-time 20 http://{WAN}/")).len(), 1 << 20);
}

#[test]
fn curl_fetches_from_nginx_over_ipv6() {
    let lab = Lab::up();
    let _appliance = Appliance::start(&lab, &policy(RULES));
    let _server = http(&lab.wan, &format!("[{WAN6}]"));
    assert_eq!(lab.lan.must(&format!("curl -sS -g --max-time 20 http://[{WAN6}]/")).len(), 1 << 20);
}

#[test]
fn dig_asks_dnsmasq_over_udp_and_tcp() {
    let lab = Lab::up();
    let appliance = Appliance::start(&lab, &policy(RULES));
    let _server = dns(&lab.wan, WAN);
    for transport in ["+notcp", "+tcp"] {
        let answer = lab.lan.must(&format!("dig {transport} +short +time=2 +tries=2 @{WAN} www.example"));
        assert_eq!(answer.trim(), "203.0.113.80", "{transport}");
        let answer =
            lab.lan.must(&format!("dig {transport} +short +time=2 +tries=2 @{WAN} long.example TXT"));
        assert!(answer.contains("a-text-that-fills-its-record"), "{transport}: {answer}");
    }
    wait::until(LIMIT, "the rule decided each session once", || appliance.rule_hits("dns") == 4);
}

#[test]
fn chronyd_asks_chronyd_for_the_time() {
    let lab = Lab::up();
    let _appliance = Appliance::start(&lab, &policy(RULES));
    let _server = ntp(&lab.wan);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let pid = format!("pidfile {}/pid", folder.path().display());
    let server = format!("server {WAN} iburst maxsamples 2");
    let mut asks =
        lab.lan.command_of([&chronyd(), "-Q", "-t", "20", "-u", "root", "cmdport 0", &pid, &server]);
    let output = sekisho_tests::process::run(&mut asks);
    let said = sekisho_tests::process::text(&output.stderr) + &sekisho_tests::process::text(&output.stdout);
    assert!(output.status.success() && said.contains("System clock wrong by"), "{}\n{said}", output.status);
}

#[test]
fn iperf3_moves_data_both_ways_over_tcp() {
    let lab = Lab::up();
    let _appliance = Appliance::start(&lab, &policy(&[LAN_OUT]));
    let _server = lab.wan.serve("iperf3 --server", "tcp", 5201);
    for direction in ["", " --reverse"] {
        let report = iperf3(&lab, &format!("--time 2{direction}"));
        let bytes = report["end"]["sum_received"]["bytes"].as_f64().expect("a number of bytes");
        assert!(bytes > 10e6, "{direction}: {bytes} bytes in two seconds");
    }
}

#[test]
fn iperf3_moves_datagrams_over_udp() {
    let lab = Lab::up();
    let _appliance = Appliance::start(&lab, &policy(&[LAN_OUT]));
    let _server = lab.wan.serve("iperf3 --server", "tcp", 5201);
    let report = iperf3(&lab, "--udp --bitrate 10M --time 2");
    let lost = report["end"]["sum"]["lost_percent"].as_f64().expect("a share");
    assert!(lost < 1.0, "{lost} % lost");
}

fn iperf3(lab: &Lab, arguments: &str) -> Value {
    let printed = lab.lan.must(&format!("iperf3 --client {WAN} --json {arguments}"));
    serde_json::from_str(&printed).expect("JSON")
}

#[test]
fn a_netcat_session_carries_text_both_ways() {
    let lab = Lab::up();
    let _appliance = Appliance::start(&lab, &policy(&[LAN_OUT]));
    let mut server = lab.wan.serve(&format!("nc -ln {WAN} 7000"), "tcp", 7000);
    let mut client = lab.lan.start(&format!("nc -n {WAN} 7000"));
    client.write("from the lan\n");
    server.says(LIMIT, "from the lan");
    server.write("from the wan\n");
    client.says(LIMIT, "from the wan");
}
