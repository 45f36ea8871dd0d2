//! A router of the kernel's own between two wires that the test holds, with the rules of a stateful firewall.

use std::process::Command;
use std::time::{Duration, Instant};

use sekisho_engine::port::Port;
use sekisho_tests::Wire;
use sekisho_tests::frames::Packet;
use sekisho_tests::process::{must, run};

/// The router's MAC addresses, LAN side first, and those of the hosts behind it.
const ROUTER: [[u8; 6]; 2] = [[2, 0, 0, 0, 1, 1], [2, 0, 0, 0, 1, 2]];

/// LAN hosts may speak to the world, the world may not start anything.
const RULES: &str = "
table ip firewall {
    counter invalid { }
    counter refused { }
    chain forward {
        type filter hook forward priority 0; policy drop;
        ct state invalid counter name invalid drop
        ct state established,related accept
        iifname \"lan\" ct state new tcp flags & (fin|syn|rst|ack) == syn accept
        counter name refused drop
    }
}
";

/// The router, in a namespace of its own. Dropping it removes that.
pub(super) struct Router {
    namespaces: [String; 2],
    wires: Option<[Wire; 2]>,
}

impl Router {
    /// Builds it; `None` where the kernel has no conntrack.
    pub(super) fn up() -> Option<Self> {
        sweep();
        let pid = std::process::id();
        let mut router =
            Self { namespaces: [format!("ct-{pid}-router"), format!("ct-{pid}-hosts")], wires: None };
        let [inside, outside] = &router.namespaces;
        ip(&["netns", "add", inside]);
        ip(&["netns", "add", outside]);
        let networks = [("192.0.2.1/24", "192.0.2.10"), ("203.0.113.1/24", "203.0.113.53")];
        for (side, (address, host)) in ["lan", "wan"].into_iter().zip(networks) {
            let mac = if side == "lan" { "02:00:00:00:01:01" } else { "02:00:00:00:01:02" };
            ip(&[
                "-n", inside, "link", "add", side, "address", mac, "type", "veth", "peer", "name", side,
                "netns", outside,
            ]);
            within(inside, &["sysctl", "-qw", &format!("net.ipv6.conf.{side}.disable_ipv6=1")]);
            within(outside, &["sysctl", "-qw", &format!("net.ipv6.conf.{side}.disable_ipv6=1")]);
            ip(&["-n", inside, "address", "add", address, "dev", side]);
            ip(&["-n", inside, "link", "set", side, "up"]);
            ip(&["-n", outside, "link", "set", side, "up"]);
            let host_mac = "02:00:00:00:00:0a";
            ip(&["-n", inside, "neigh", "add", host, "lladdr", host_mac, "dev", side, "nud", "permanent"]);
        }
        within(inside, &["sysctl", "-qw", "net.ipv4.ip_forward=1"]);
        let rules = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(rules.path(), RULES).expect("the rules are written");
        let file = rules.path().to_string_lossy().into_owned();
        if !run(&mut netns(inside, &["nft", "-f", &file])).status.success() {
            return None;
        }
        // A session is opened by a SYN alone, as in the policy beside.
        within(inside, &["sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_loose=0"]);
        router.wires = Some(["lan", "wan"].map(|side| Wire::on(Some(&router.namespaces[1]), side)));
        Some(router)
    }

    /// Whether a packet that arrives on `port` leaves by the other.
    pub(super) fn forwards(&self, port: Port, packet: &Packet, talk: &str, what: &str) -> bool {
        let wires = self.wires.as_ref().expect("built");
        let mut packet = packet.clone();
        packet.macs = [ROUTER[port.index()], [2, 0, 0, 0, 0, 10]];
        let before = self.dropped();
        wires[port.index()].send(&packet.frame());
        let limit = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(frame) = wires[port.other().index()].receive(Duration::from_millis(5)) {
                let segment = &frame[34..34 + packet.payload.len()];
                assert_eq!(segment, packet.payload, "{talk}, {what}: another packet came out");
                return true;
            }
            if self.dropped() > before {
                return false;
            }
            assert!(Instant::now() < limit, "{talk}, {what}: neither came out nor was dropped");
        }
    }

    /// Packets that the rules have dropped.
    fn dropped(&self) -> u64 {
        let listed = must(&mut netns(&self.namespaces[0], &["nft", "list", "counters"]));
        let counts = listed.split("packets ").skip(1).map(|rest| rest.split(' ').next().unwrap_or_default());
        counts.map(|count| count.parse::<u64>().expect("a number of packets")).sum()
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.wires = None;
        for namespace in &self.namespaces {
            let _ = run(Command::new("ip").args(["netns", "delete", namespace]));
        }
    }
}

/// Removes what a killed test has left.
fn sweep() {
    let listed = must(Command::new("ip").args(["netns", "list"]));
    for name in listed.lines().filter_map(|line| line.split(' ').next()) {
        let pid = name.strip_prefix("ct-").and_then(|rest| rest.split('-').next());
        if pid.is_some_and(|pid| !std::path::Path::new("/proc").join(pid).exists()) {
            let _ = run(Command::new("ip").args(["netns", "delete", name]));
        }
    }
}

fn ip(args: &[&str]) {
    must(Command::new("ip").args(args));
}

fn netns(namespace: &str, args: &[&str]) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace]).args(args);
    command
}

fn within(namespace: &str, args: &[&str]) {
    must(&mut netns(namespace, args));
}
