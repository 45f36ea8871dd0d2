//! The lab of `scripts/lab`, one for each test.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use crate::process::{Running, must, run};
use crate::{repo, wait};

/// The host on the LAN side.
pub const LAN: &str = "192.0.2.10";
/// Another host on the LAN side.
pub const LAN_SECOND: &str = "192.0.2.200";
/// The host on the LAN side, IPv6.
pub const LAN6: &str = "2001:db8:1::10";
/// The host on the WAN side.
pub const WAN: &str = "203.0.113.53";
/// The host on the WAN side, IPv6.
pub const WAN6: &str = "2001:db8:ffff::53";
/// The host behind the LAN port in the VLAN of a trunk.
pub const LAN_VLAN: &str = "198.51.100.10";
/// The host behind the WAN port in the VLAN of a trunk.
pub const WAN_VLAN: &str = "198.51.100.129";

/// Two namespaces with a port of the appliance each, under names of their own. Dropping it removes them.
#[derive(Debug)]
pub struct Lab {
    suffix: String,
    /// The hosts behind the LAN port.
    pub lan: Namespace,
    /// The hosts behind the WAN port.
    pub wan: Namespace,
}

impl Lab {
    /// Builds a lab.
    #[must_use]
    pub fn up() -> Self {
        Self::build(&[])
    }

    /// Builds a lab with a trunk on either side: untagged, and `vlan`.
    #[must_use]
    pub fn up_with_vlan(vlan: u16) -> Self {
        Self::build(&["--vlan", &vlan.to_string()])
    }

    fn build(more: &[&str]) -> Self {
        static BUILT: AtomicU8 = AtomicU8::new(0);
        let letter = char::from(b'a' + BUILT.fetch_add(1, Ordering::Relaxed));
        // The process id tells the next test whose lab it was, should this one be killed.
        let suffix = format!("{}{letter}", std::process::id());
        must(Command::new(script_file()).arg("sweep"));
        must(script("up", &suffix).args(more));
        let namespace = |side: &str| Namespace::named(format!("{side}-{suffix}"));
        Self { lan: namespace("lan"), wan: namespace("wan"), suffix }
    }

    /// The DPDK device of a port; `side` is `lan` or `wan`.
    #[must_use]
    pub fn device(&self, side: &str) -> String {
        let index = u8::from(side == "wan");
        format!("net_af_packet{index},iface={}", self.port(side))
    }

    /// The interface that is a port of the appliance.
    #[must_use]
    pub fn port(&self, side: &str) -> String {
        format!("sk-{side}-{}", self.suffix)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let gone = run(&mut script("down", &self.suffix));
        if !gone.status.success() {
            eprintln!("scripts/lab down: {}", String::from_utf8_lossy(&gone.stderr));
        }
    }
}

fn script(what: &str, suffix: &str) -> Command {
    let mut command = Command::new(script_file());
    command.args([what, "--suffix", suffix]);
    command
}

fn script_file() -> PathBuf {
    repo::top().join("scripts/lab")
}

/// A network namespace of a lab.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    /// The words before a command that have it run inside.
    enter: Vec<String>,
}

impl Namespace {
    fn named(name: String) -> Self {
        let enter = ["ip", "netns", "exec", &name].map(str::to_owned).to_vec();
        Self { name, enter }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that runs inside: the words of `line`, split at spaces.
    #[must_use]
    pub fn command(&self, line: &str) -> Command {
        self.command_of(line.split(' '))
    }

    /// A command that runs inside.
    #[must_use]
    pub fn command_of<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(&self.enter[0]);
        command.args(&self.enter[1..]).args(words);
        command
    }

    /// Runs a command inside to its end.
    #[must_use]
    pub fn run(&self, line: &str) -> Output {
        run(&mut self.command(line))
    }

    /// Runs a command inside that must succeed, and returns what it printed.
    pub fn must(&self, line: &str) -> String {
        must(&mut self.command(line))
    }

    /// Starts a command inside.
    #[must_use]
    pub fn start(&self, line: &str) -> Running {
        Running::start(&self.command(line))
    }

    /// Starts a server inside and waits until it listens, beside those that listen on the port already; `proto` is
    /// `tcp` or `udp`.
    #[must_use]
    pub fn serve(&self, line: &str, proto: &str, port: u16) -> Running {
        let flag = if proto == "udp" { "-Hlun" } else { "-Hltn" };
        let filter = format!("sport = :{port}");
        let listeners = || must(&mut self.command_of(["ss", flag, &filter])).lines().count();
        let before = listeners();
        let mut server = self.start(line);
        let listens =
            wait::holds_within(Duration::from_secs(10), || listeners() > before || server.ended().is_some());
        assert!(listens && server.ended().is_none(), "{line}: does not listen\n{}", server.output());
        server
    }

    /// Whether `count` pings in a row are all answered.
    #[must_use]
    pub fn pings(&self, address: &str, count: u32) -> bool {
        self.run(&format!("ping -nq -c {count} -i 0.05 -W 1 {address}")).status.success()
    }

    /// Starts a TCP server that echoes nothing and keeps listening, and waits until it listens.
    #[must_use]
    pub fn listen(&self, address: &str, port: u16) -> Running {
        self.serve(&format!("nc -lkn {address} {port}"), "tcp", port)
    }

    /// Whether a TCP connection to the address comes about within a second.
    #[must_use]
    pub fn connects(&self, address: &str, port: u16) -> bool {
        self.run(&format!("nc -nz -w 1 {address} {port}")).status.success()
    }
}

/// A host behind one of a lab's, which routes for it. Dropping it removes it.
#[derive(Debug)]
pub struct Behind {
    /// The host.
    pub host: Namespace,
    holder: Running,
}

/// Ends what still runs inside: a server's own children outlive it, and nobody else knows of this namespace.
impl Drop for Behind {
    fn drop(&mut self) {
        let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net")).ok();
        let holder = self.holder.pid().to_string();
        let Some(own) = namespace(&holder) else { return };
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let pid = entry.file_name().to_string_lossy().into_owned();
            if pid != holder && namespace(&pid).as_ref() == Some(&own) {
                // It may have ended by itself, which is as good.
                let _ = run(Command::new("kill").args(["-KILL", &pid]));
            }
        }
    }
}

/// Where a host behind another one is.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Its addresses, IPv4 and IPv6.
    pub own: [&'static str; 2],
    /// Those of its router on the link between them.
    pub router: [&'static str; 2],
    /// The networks that hold both.
    pub networks: [&'static str; 2],
    /// The router's addresses on the lab's link.
    pub gateway: [&'static str; 2],
}

/// Behind the host on the LAN side.
pub const NEAR: Place = Place {
    own: ["198.18.2.2", "2001:db8:3::2"],
    router: ["198.18.2.1", "2001:db8:3::1"],
    networks: ["198.18.2.0/24", "2001:db8:3::/64"],
    gateway: [LAN, LAN6],
};

/// Behind the host on the WAN side.
pub const FAR: Place = Place {
    own: ["198.18.1.2", "2001:db8:2::2"],
    router: ["198.18.1.1", "2001:db8:2::1"],
    networks: ["198.18.1.0/24", "2001:db8:2::/64"],
    gateway: [WAN, WAN6],
};

impl Behind {
    /// A host at `place` behind `router`; the other side of the lab finds it by `gateway`. The way to it carries `mtu`
    /// bytes at the most, which only the router knows.
    #[must_use]
    pub fn new(place: &Place, router: &Namespace, other_side: &Namespace, mtu: u32) -> Self {
        // The namespace lives as long as this process does.
        let holder = router.start("unshare --net cat");
        let pid = holder.pid();
        let is_inside =
            || std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "cat\n");
        assert!(wait::holds_within(Duration::from_secs(5), is_inside), "{}", holder.output());
        let name = pid.to_string();
        let enter = ["nsenter", "--net", "--target", &name, "--"].map(str::to_owned).to_vec();
        let host = Namespace { name, enter };
        router.must(&format!("ip link add behind type veth peer name eth0 netns {pid}"));
        for (namespace, link) in [(router, "behind"), (&host, "eth0")] {
            let offloads = "tx off rx off sg off tso off gso off gro off";
            // Not every kernel has all of them to turn off; that they are is what the test shows.
            let _ = namespace.run(&format!("ethtool -K {link} {offloads}"));
            namespace.must("sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0");
            namespace.must(&format!("ip link set {link} up"));
        }
        host.must("ip link set lo up");
        router.must("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
        for (family, bits) in [(0, 24), (1, 64)] {
            let nodad = if family == 1 { " nodad" } else { "" };
            let (own, at) = (place.own[family], place.router[family]);
            router.must(&format!("ip address add {at}/{bits} dev behind{nodad}"));
            host.must(&format!("ip address add {own}/{bits} dev eth0{nodad}"));
            host.must(&format!("ip route add default via {at}"));
            router.must(&format!("ip route add {own} dev behind mtu lock {mtu}"));
            let (network, gateway) = (place.networks[family], place.gateway[family]);
            other_side.must(&format!("ip route add {network} via {gateway}"));
        }
        Self { host, holder }
    }
}
