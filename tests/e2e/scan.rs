//! What a scanner on the WAN side sees: what was published, and nothing else.

use sekisho_tests::lab::LAN;
use sekisho_tests::{Appliance, Lab};

use crate::{LAN_OUT, policy};

/// Ports that the LAN host listens on, and one on which nobody does.
const LISTENING: [u16; 3] = [22, 80, 8080];
const SCANNED: &str = "22,80,443,8080";

/// The states that nmap sees, in the order of the ports. `kind` is its option for the kind of scan.
fn scan(lab: &Lab, kind: &str) -> Vec<String> {
    let line = format!("nmap -Pn -n {kind} -p {SCANNED} --max-retries 1 --host-timeout 60s -oG - {LAN}");
    let printed = lab.wan.must(&line);
    assert!(printed.contains("Ports: "), "no ports in\n{printed}");
    let ports =
        printed.split("Ports: ").nth(1).and_then(|rest| rest.split(['\t', '\n']).next()).unwrap_or_default();
    ports.split(", ").map(|port| port.split('/').nth(1).unwrap_or_default().to_owned()).collect()
}

#[test]
fn nothing_is_seen_that_was_not_published() {
    let lab = Lab::up();
    let _appliance = Appliance::start(&lab, &policy(&[LAN_OUT]));
    let _listeners = LISTENING.map(|port| lab.lan.listen(LAN, port));
    assert_eq!(scan(&lab, "-sS"), ["filtered"; 4], "SYN scan");
    assert_eq!(scan(&lab, "-sA"), ["filtered"; 4], "ACK scan");
    assert_eq!(scan(&lab, "-sF"), ["open|filtered"; 4], "FIN scan: no answer at all");
    assert_eq!(scan(&lab, "-sX"), ["open|filtered"; 4], "Xmas scan: no answer at all");
    assert_eq!(scan(&lab, "-sU"), ["open|filtered"; 4], "UDP scan: no answer at all");
    // Hosts are not found by any probe of IP; ARP, which finds them, must pass on a link.
    let found = lab.wan.must(&format!("nmap -n -sn --disable-arp-ping -oG - {LAN}"));
    assert!(!found.contains("Status: Up"), "{found}");
}

#[test]
fn exactly_what_was_published_is_seen() {
    let lab = Lab::up();
    let rule = "{name: publish-web, from: wan, to: lan, service: tcp/80, action: allow}";
    let _appliance = Appliance::start(&lab, &policy(&[LAN_OUT, rule]));
    let _listeners = LISTENING.map(|port| lab.lan.listen(LAN, port));
    assert_eq!(scan(&lab, "-sS"), ["filtered", "open", "filtered", "filtered"]);
    assert_eq!(scan(&lab, "-sT"), ["filtered", "open", "filtered", "filtered"]);
}
