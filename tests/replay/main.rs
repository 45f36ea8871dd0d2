//! Behaviour of the engine as a replay shows it: dialogues in virtual time, each held to its verdicts, its events, its
//! frames and its counters.
#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests, where clippy does not see a test")]

mod asymmetric;
mod builders;
mod checksums;
mod deploy;
mod expiry;
mod fragments;
mod ftp;
mod grace;
mod hijack;
mod icmp_errors;
mod limits;
mod link;
mod malformed;
mod midstream;
mod neighbours;
mod port_scan;
mod reject;
mod rules;
mod sctp;
mod sessions;
mod sip;
mod spoofing;
mod syn_proxy;
mod tcp;
mod tcp_amendments;
mod tcp_close;
mod tcp_rfc9293;
mod tftp;
mod time;
mod timeouts;
mod tunnels;
mod udp;
mod vocabulary;
mod workers;

use std::net::{IpAddr, SocketAddr};

use sekisho_engine::reason::Reason;
use sekisho_engine::session::room::Budgets;
use sekisho_tests::frames;
use sekisho_tests::scene::{LAN_OUT, Scene, Tcp};

/// A host behind the LAN port, and a server behind the WAN port.
const LAN: &str = "192.0.2.10";
const WAN: &str = "203.0.113.53";
const LAN6: &str = "2001:db8:1::10";
const WAN6: &str = "2001:db8:ffff::53";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip(address), port)
}

/// A scene where LAN hosts may speak to the world.
fn lan_out() -> Scene {
    Scene::new(LAN_OUT)
}

/// A connection from the LAN to a web server.
fn web() -> Tcp {
    Tcp::new(at(LAN, 40_000), at(WAN, 443))
}

/// A scene with that connection established, as session 1.
fn established() -> (Scene, Tcp) {
    let (mut scene, mut web) = (lan_out(), web());
    web.opens(&mut scene, 1, "lan-out");
    (scene, web)
}

/// A datagram that shows the time: it is refused, and changes nothing.
fn stray() -> Vec<u8> {
    frames::udp(at(WAN, 9), at(LAN, 9), b"").frame()
}

/// Lets time pass to `ms` and shows it by a frame that changes nothing.
fn tick(scene: &mut Scene, ms: u64) {
    scene.at_ms(ms).wan(stray()).drops(Reason::DefaultDrop);
}
