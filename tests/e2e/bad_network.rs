//! Real stacks over a network that loses, repeats, delays and reorders, before the appliance and behind it: not one
//! packet of theirs is dropped by the inspection.

use std::process::Command;
use std::time::Duration;

use sekisho_engine::reason::Reason;
use sekisho_tests::impairment::{Impairment, Weather};
use sekisho_tests::lab::WAN;
use sekisho_tests::process::{must, run};
use sekisho_tests::{Appliance, Lab, Wire};

use crate::{LAN_OUT, policy};

/// What iperf3 sends each way.
const BYTES: u64 = 2_000_000;

/// Two ports for the appliance, LAN first, each joined to the lab by a bad network. Dropping it removes them.
pub(crate) struct BadLab {
    suffix: String,
    networks: Vec<Impairment>,
    pub(crate) lab: Lab,
}

impl BadLab {
    pub(crate) fn up(weather: Weather) -> Self {
        let lab = Lab::up();
        let suffix = lab.port("lan").trim_start_matches("sk-lan-").to_owned();
        let mut bad = Self { suffix, networks: Vec::new(), lab };
        for (seed, side) in ["lan", "wan"].into_iter().enumerate() {
            let [port, other] = bad.pair(side);
            must(Command::new("ip").args(["link", "add", &port, "type", "veth", "peer", "name", &other]));
            for interface in [&port, &other] {
                must(
                    Command::new("sysctl")
                        .args(["-qw", &format!("net.ipv6.conf.{interface}.disable_ipv6=1")]),
                );
                let off = ["rx", "tx", "sg", "tso", "gso", "gro"].into_iter().flat_map(|what| [what, "off"]);
                must(Command::new("ethtool").args(["-K", interface.as_str()]).args(off));
                must(Command::new("ip").args(["link", "set", interface, "up", "promisc", "on"]));
            }
            let (near, far) = (Wire::on(None, &bad.lab.port(side)), Wire::on(None, &other));
            bad.networks.push(Impairment::between(near, far, weather, seed as u64));
        }
        bad
    }

    /// The port of the appliance on a side, and the interface at its other end.
    fn pair(&self, side: &str) -> [String; 2] {
        let letter = &side[..1];
        [format!("p{letter}-{}", self.suffix), format!("q{letter}-{}", self.suffix)]
    }

    fn appliance(&self) -> Appliance {
        self.appliance_under(&policy(&[LAN_OUT]))
    }

    pub(crate) fn appliance_under(&self, policy: &str) -> Appliance {
        let device = |index: u8, side: &str| format!("net_af_packet{index},iface={}", self.pair(side)[0]);
        Appliance::on(&[device(0, "lan"), device(1, "wan")], policy, 10_000)
    }

    /// A sysctl of TCP on both hosts.
    fn tcp(&self, key: &str, value: u8) {
        for host in [&self.lab.lan, &self.lab.wan] {
            host.must(&format!("sysctl -qw net.ipv4.tcp_{key}={value}"));
        }
    }
}

impl Drop for BadLab {
    fn drop(&mut self) {
        self.networks.clear();
        for side in ["lan", "wan"] {
            let _ = run(Command::new("ip").args(["link", "delete", &self.pair(side)[0]]));
        }
    }
}

/// Moves data both ways, under each setting of a sysctl, and finds nothing dropped.
fn nothing_is_dropped(sack: u8, scaling: u8) {
    let weather = Weather {
        lost: 10,
        repeated: 10,
        held_back: 50,
        delay: Duration::from_millis(1),
        jitter: Duration::from_millis(10),
    };
    let bad = BadLab::up(weather);
    let appliance = bad.appliance();
    bad.tcp("sack", sack);
    bad.tcp("window_scaling", scaling);
    let _server = bad.lab.wan.serve("iperf3 --server", "tcp", 5201);
    // Of its own, for iperf3 takes any connection for its client's.
    let _other = bad.lab.wan.serve("socat TCP4-LISTEN:5202,fork,reuseaddr OPEN:/dev/null", "tcp", 5202);
    for direction in ["", " --reverse"] {
        let printed = bad.lab.lan.must(&format!("iperf3 --client {WAN} --json --bytes {BYTES}{direction}"));
        let report: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
        let sent = report["end"]["sum_sent"]["bytes"].as_u64();
        assert!(sent.is_some_and(|bytes| bytes >= BYTES), "{direction}: {printed}");
        // Short connections: handshakes and closes meet the weather too.
        for _ in 0..10 {
            let _ = bad.lab.lan.connects(WAN, 5202);
        }
    }
    for network in &bad.networks {
        let counts = network.counts();
        assert!(counts.iter().all(|count| *count > 5), "a network that is too good: {counts:?}");
    }
    let reasons = appliance.json(&["counters"])["reasons"].clone();
    let dropped: Vec<_> = reasons
        .as_array()
        .expect("a list")
        .iter()
        .filter(|entry| {
            let reason = entry["reason"].as_str().unwrap_or_default();
            let is_of_tcp = reason.starts_with("tcp-") || reason == "session-expired";
            let is_drop = Reason::from_name(reason).is_some_and(Reason::is_drop);
            is_of_tcp && is_drop && entry["count"].as_u64() != Some(0)
        })
        .collect();
    assert!(appliance.count("session") > 1000, "{reasons}");
    assert!(dropped.is_empty(), "{dropped:?}\n{:?}", appliance.drops());
}

#[test]
fn tcp_with_sack_and_scaling() {
    nothing_is_dropped(1, 1);
}

#[test]
fn tcp_without_sack() {
    nothing_is_dropped(0, 1);
}

#[test]
fn tcp_without_scaling() {
    nothing_is_dropped(1, 0);
}

#[test]
fn tcp_without_either() {
    nothing_is_dropped(0, 0);
}
