//! Real stacks whose connections the appliance takes part in: a web server, whose client speaks first, and an SSH server,
//! which speaks first itself.

use std::net::SocketAddr;
use std::time::Duration;

use sekisho_tests::frames::{MACS, SYN, Segment};
use sekisho_tests::impairment::Weather;
use sekisho_tests::lab::{LAN, LAN_VLAN, LAN6, WAN, WAN_VLAN, WAN6};
use sekisho_tests::process::text;
use sekisho_tests::{Appliance, Lab, Namespace, Running, Wire, wait};

use crate::bad_network::BadLab;
use crate::helpers::vsftpd;
use crate::{LIMIT, servers};

/// Both ways, whatever the zones.
fn policy(rule: &str, more: &str) -> String {
    format!(
        "version: 1\ndefaults: {{log: all}}\nzones: {{lan: {{port: lan}}, wan: {{port: wan}}}}\nservices:\n  \
         ftp: {{ports: tcp/21, helper: ftp}}\n  others: [tcp/22, tcp/80]\nrules:\n  \
         - {{name: publish, from: wan, to: lan, service: [ftp, others], action: allow, {rule}}}\n  \
         - {{name: out, from: lan, to: wan, service: [ftp, others], action: allow, {rule}}}\n{more}"
    )
}

/// Fetches the page of a web server: one megabyte.
fn fetches(client: &Namespace, address: &str) {
    let url =
        if address.contains(':') { format!("http://[{address}]/") } else { format!("http://{address}/") };
    let got = client.run(&format!("curl -sS -g --max-time 20 -o /dev/null -w %{{size_download}} {url}"));
    assert_eq!(text(&got.stdout), (1 << 20).to_string(), "{url}: {}", text(&got.stderr));
}

/// How an SSH server begins, before anybody asks it (RFC 4253 section 4.2).
const BANNER: &str = "SSH-2.0-";

/// Nothing that the ends sent each other was found wrong.
fn nothing_was_wrong(appliance: &Appliance) {
    for reason in ["tcp-bad-checksum", "tcp-out-of-window", "tcp-handshake", "tcp-state", "syn-proxy-full"] {
        assert_eq!(appliance.count(reason), 0, "{reason}: {:?}", appliance.drops());
    }
}

#[test]
fn cookies_let_real_stacks_through_on_either_side_over_ipv4_and_ipv6() {
    let lab = Lab::up();
    let appliance = Appliance::start(&lab, &policy("syn_proxy: always", ""));
    for (server, client, addresses) in [(&lab.lan, &lab.wan, [LAN, LAN6]), (&lab.wan, &lab.lan, [WAN, WAN6])]
    {
        for address in addresses {
            let listens = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
            let web = servers::http(server, &listens);
            fetches(client, address);
            drop(web);
            let ssh = servers::ssh(server, &listens);
            ssh.is_used_by(client, address);
            drop(ssh);
        }
    }
    assert!(appliance.count("syn-cookie-proven") >= 8);
    assert_eq!(appliance.count("session-new"), 0, "nobody came without a cookie");
    nothing_was_wrong(&appliance);
}

/// What a sniffer at a host says of the first frame that fits.
fn sniffs(host: &Namespace, filter: &str) -> Running {
    let mut sniffing = host.start(&format!("tcpdump -i eth0 -nn -U -c 1 {filter}"));
    sniffing.says(LIMIT, "listening on");
    sniffing
}

/// What a stack offers comes to the other though neither hears the other's SYN, and is in force.
#[test]
fn cookies_keep_window_scale_sack_and_time_stamps() {
    let lab = Lab::up();
    let _appliance = Appliance::start(&lab, &policy("syn_proxy: always", ""));
    let _ssh = servers::ssh(&lab.lan, LAN);
    let asked = sniffs(&lab.wan, "tcp[13] == 2");
    let told = [
        sniffs(&lab.wan, "tcp[13] == 18"),
        sniffs(&lab.lan, "tcp[13] == 2"),
        sniffs(&lab.lan, "tcp[13] == 18"),
    ];
    let spoken = sniffs(&lab.wan, "tcp[13] & 8 != 0");
    let asking = lab.wan.start(&format!("nc -n -d {LAN} 22"));
    wait::until(LIMIT, "it speaks", || asking.output().contains(BANNER));
    let said = |mut sniffing: Running, what: &str| {
        sniffing.says(LIMIT, what);
        sniffing.output()
    };
    let scale = |line: &str| {
        line.split("wscale ").nth(1).and_then(|rest| rest.split([']', ',']).next()).map(str::to_owned)
    };
    let offer = said(asked, "wscale");
    for sniffing in told {
        let line = said(sniffing, "wscale");
        assert!(line.contains("sackOK") && line.contains("TS val") && line.contains("mss 1460"), "{line}");
        if line.contains("[S]") {
            assert_eq!(scale(&line), scale(&offer), "{line} after {offer}");
        }
    }
    said(spoken, "TS val");
}

/// A helper follows a control session whose beginning the appliance made itself.
#[test]
fn a_helper_follows_a_session_that_began_with_a_cookie() {
    let lab = Lab::up();
    let appliance = Appliance::start(&lab, &policy("syn_proxy: always", ""));
    let _ftp = vsftpd(&lab.lan, LAN);
    for mode in ["--disable-epsv", "--ftp-port -"] {
        let fetched = lab.wan.run(&format!(
            "curl -sS --max-time 20 -o /dev/null -w %{{size_download}} {mode} ftp://{LAN}/file"
        ));
        assert_eq!(text(&fetched.stdout), (1 << 20).to_string(), "{mode}: {}", text(&fetched.stderr));
    }
    assert_eq!(appliance.count("session-expected"), 2);
    nothing_was_wrong(&appliance);
}

#[test]
fn cookies_bear_the_tags_of_their_connection() {
    let lab = Lab::up_with_vlan(20);
    let appliance = Appliance::start(&lab, &policy("syn_proxy: always", ""));
    let _web = servers::http(&lab.lan, LAN_VLAN);
    fetches(&lab.wan, LAN_VLAN);
    servers::ssh(&lab.wan, WAN_VLAN).is_used_by(&lab.lan, WAN_VLAN);
    nothing_was_wrong(&appliance);
}

/// A network that loses one packet of twenty, and repeats none: what is seen twice was sent twice.
const LOSSY: Weather = Weather {
    lost: 50,
    repeated: 0,
    held_back: 50,
    delay: Duration::from_millis(1),
    jitter: Duration::from_millis(5),
};

/// Both servers over such a network: every client hears the one that speaks first, and is heard by the other. Each comes
/// from an address of its own; `has_repaired` is asked after so many, until something was lost that the appliance had to
/// make good.
fn all_are_served_though_packets_are_lost(
    bad: &BadLab,
    appliance: &Appliance,
    has_repaired: impl Fn(u64) -> bool,
) {
    const TOGETHER: u64 = 10;
    let (client, server) = (&bad.lab.wan, &bad.lab.lan);
    let ssh = servers::ssh(server, LAN);
    let _web = servers::http(server, LAN);
    let serves = |sources: &[String], line: &dyn Fn(&str) -> String, answer: &str| {
        let calls: Vec<_> = sources.iter().map(|source| client.start(&line(source))).collect();
        for call in &calls {
            let said = wait::holds_within(Duration::from_secs(60), || call.output().contains(answer));
            let state = || [["sessions"], ["counters"]].map(|listing| appliance.json(&listing).to_string());
            assert!(said, "silence: {} {:?}", call.output(), state());
        }
    };
    let is_repaired = (0..10).any(|round| {
        let sources: Vec<_> =
            (0..TOGETHER).map(|number| format!("203.0.113.{}", 100 + round * TOGETHER + number)).collect();
        for source in &sources {
            client.must(&format!("ip address add {source}/24 dev eth0"));
        }
        serves(&sources, &|source| format!("nc -n -d -s {source} {LAN} 22"), BANNER);
        let fetch =
            format!("curl -sS --max-time 60 -r 0-99 -o /dev/null -w %{{size_download}} http://{LAN}/");
        serves(&sources, &|source| format!("{fetch} --interface {source}"), "100");
        has_repaired((round + 1) * TOGETHER)
    });
    assert!(is_repaired, "nothing had to be made good: the network is too good");
    ssh.is_used_by(client, LAN);
    fetches(client, LAN);
    assert_eq!(appliance.count("tcp-bad-checksum"), 0);
}

/// Whether cookies were sent again, which is what repairs a lost acknowledgement of a client that waits.
fn has_sent_again(appliance: &Appliance) -> bool {
    appliance.count("syn-cookie") > appliance.count("syn-cookie-asked")
}

#[test]
fn always_serves_clients_whose_acknowledgements_are_lost() {
    let bad = BadLab::up(LOSSY);
    let appliance = bad.appliance_under(&policy("syn_proxy: always", ""));
    all_are_served_though_packets_are_lost(&bad, &appliance, |_| has_sent_again(&appliance));
    assert_eq!(appliance.count("session-new"), 0, "nobody came without a cookie");
}

#[test]
fn auto_serves_clients_whose_acknowledgements_are_lost() {
    let bad = BadLab::up(LOSSY);
    let flood = "protections: {syn_flood: {half_open: 1000, rate: 3}}\n";
    let appliance = bad.appliance_under(&policy("syn_proxy: auto", flood));
    all_are_served_though_packets_are_lost(&bad, &appliance, |_| has_sent_again(&appliance));
    assert!(appliance.count("session-new") > 0, "the first ones came without");
}

#[test]
fn verify_serves_clients_whose_resets_are_lost() {
    let bad = BadLab::up(LOSSY);
    let appliance = bad.appliance_under(&policy("syn_proxy: verify", ""));
    // Who was challenged twice lost the challenge or the reset that answers it.
    all_are_served_though_packets_are_lost(&bad, &appliance, |sources| {
        appliance.count("syn-challenged") > sources && appliance.count("syn-verified") >= sources
    });
    assert_eq!(appliance.count("syn-cookie"), 0);
}

#[test]
fn verification_lets_a_real_stack_through_untouched() {
    let lab = Lab::up();
    let appliance = Appliance::start(&lab, &policy("syn_proxy: verify", ""));
    let _web = servers::http(&lab.lan, LAN);
    fetches(&lab.wan, LAN);
    assert!(appliance.count("syn-verified") >= 1);
    assert_eq!(appliance.count("syn-cookie"), 0);
    let asked = appliance.count("syn-challenged");
    fetches(&lab.wan, LAN);
    assert_eq!(appliance.count("syn-challenged"), asked, "it is known now");
    let _six = servers::http(&lab.wan, &format!("[{WAN6}]"));
    fetches(&lab.lan, WAN6);
    assert_eq!(metric(&appliance, "sekisho_syn_verified_sources"), 2.0);
    nothing_was_wrong(&appliance);
}

#[test]
fn replaced_numbers_are_none_of_the_ends_business() {
    let lab = Lab::up();
    let appliance = Appliance::start(&lab, &policy("sequence_numbers: randomise-both", ""));
    let _web = servers::http(&lab.lan, LAN);
    fetches(&lab.wan, LAN);
    let _six = servers::http(&lab.wan, &format!("[{WAN6}]"));
    fetches(&lab.lan, WAN6);
    nothing_was_wrong(&appliance);
}

/// A flood from forged sources: it fills nothing, and an honest client gets through meanwhile.
#[test]
fn auto_answers_a_flood_with_cookies_and_an_honest_client_gets_through() {
    let lab = Lab::up();
    let flood = "protections: {syn_flood: {half_open: 60, rate: 200}}\n";
    let appliance = Appliance::start(&lab, &policy("syn_proxy: auto", flood));
    let _web = servers::http(&lab.lan, LAN);
    fetches(&lab.wan, LAN);
    assert_eq!(appliance.count("syn-cookie"), 0, "no flood, no cookies");
    let wire = Wire::on(Some(lab.wan.name()), "eth0");
    let to: SocketAddr = format!("{LAN}:80").parse().expect("an address");
    for number in 0..1200u32 {
        let [a, b, c, _] = (number.wrapping_mul(0x9e37_79b9)).to_be_bytes();
        let from = SocketAddr::from(([11, a, b, c], 1024 + u16::from(a)));
        let mut packet = Segment::new(SYN, number, 0).between(from, to);
        packet.macs = [lab_mac(&lab.lan), MACS[1]];
        wire.send(&packet.frame());
    }
    wait::until(LIMIT, "the flood is answered", || appliance.count("syn-cookie-asked") > 300);
    assert_eq!(metric(&appliance, "sekisho_syn_flooded_destinations"), 1.0);
    assert_eq!(appliance.json(&["status"])["attacks"]["flooded_destinations"], 1);
    fetches(&lab.wan, LAN);
    assert!(appliance.count("syn-cookie-proven") >= 1, "by a cookie");
    let live = appliance.json(&["status"])["workers"][0]["sessions"].as_u64();
    assert!(live.is_some_and(|live| live <= 250), "{live:?} sessions");
}

/// The MAC address of a host's interface.
fn lab_mac(host: &Namespace) -> [u8; 6] {
    let told = host.must("cat /sys/class/net/eth0/address");
    let mut mac = [0; 6];
    for (byte, text) in mac.iter_mut().zip(told.trim().split(':')) {
        *byte = u8::from_str_radix(text, 16).expect("a byte");
    }
    mac
}

/// The value of a metric without labels.
fn metric(appliance: &Appliance, name: &str) -> f64 {
    let page = appliance.metrics();
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).expect("a metric of the page")
}
