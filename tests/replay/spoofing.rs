//! Sources that cannot be, and packets that choose their own way: on both ports, first packets and packets of live sessions,
//! as the policy takes them.

use sekisho_engine::port::Port;
use sekisho_tests::frames::{ACK, Packet, SYN, Segment, udp};

use super::*;

const ZONES: &str = "\
version: 1
zones:
  lan: {port: lan, networks: [192.0.2.0/24, \"2001:db8:1::/48\"]}
  wan: {port: wan, networks: [203.0.113.0/24, \"2001:db8:ffff::/48\"]}
rules:
  - {name: all, from: any, to: any, action: allow}
";
/// Hosts on either side, IPv4 and IPv6, and one that lives on neither.
const ENDS: [[[&str; 3]; 2]; 2] = [
    [[LAN, WAN, "10.0.0.1"], [LAN6, WAN6, "2001:db8:2::1"]],
    [[WAN, LAN, "10.0.0.1"], [WAN6, LAN6, "2001:db8:2::1"]],
];
const BOGONS4: [&str; 7] = [
    "0.0.0.0",
    "127.0.0.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.254",
    "255.255.255.255",
];
const BOGONS6: [&str; 4] = ["::", "::1", "ff02::1", "::ffff:192.0.2.1"];

fn datagram(source: &str, destination: &str) -> Packet {
    udp(at(source, 5000), at(destination, 53), b"?")
}

#[test]
fn a_source_that_lives_elsewhere_on_either_port() {
    for (mode, suspicious) in [("drop", 0), ("log", 8), ("off", 0)] {
        let mut scene = Scene::new(&format!("{ZONES}protections: {{spoofing: {mode}}}\n"));
        let mut session = 0;
        for (port, families) in Port::ALL.into_iter().zip(ENDS) {
            for [own, others, nobodys] in families {
                session += 1;
                scene.on(port, datagram(own, others)).opens(session, "all");
                // One that lives on the other side, and one that lives on neither.
                for (number, source) in [(1, others), (2, nobodys)] {
                    let destination = if source == others { own } else { others };
                    let seen = scene.on(port, udp(at(source, number), at(destination, 9), b"?"));
                    if mode == "drop" {
                        seen.drops(Reason::Spoofed);
                    } else {
                        session += 1;
                        seen.opens(session, "all");
                    }
                }
            }
        }
        assert_eq!(scene.plays().summary.suspicious, suspicious, "{mode}");
    }
}

#[test]
fn bogons_on_either_port() {
    for mode in ["drop", "log", "off"] {
        let mut scene = Scene::new(&format!(
            "{LAN_OUT}  - {{name: in, from: wan, to: lan, action: allow}}\nprotections: {{bogons: {mode}}}\n"
        ));
        let (mut session, mut seen) = (0, 0);
        for (port, rule, hosts) in [(Port::Lan, "lan-out", [WAN, WAN6]), (Port::Wan, "in", [LAN, LAN6])] {
            let sources =
                BOGONS4.map(|one| (one, hosts[0])).into_iter().chain(BOGONS6.map(|one| (one, hosts[1])));
            for (source, host) in sources {
                seen += 1;
                let frame = scene.on(port, datagram(source, host));
                if mode == "drop" {
                    frame.drops(Reason::Bogon);
                } else {
                    session += 1;
                    frame.opens(session, rule);
                }
            }
        }
        assert_eq!(scene.plays().summary.suspicious, if mode == "log" { seen } else { 0 }, "{mode}");
    }
}

#[test]
fn land_source_routes_and_routing_headers_on_either_port_whatever_the_policy_says() {
    let policy = format!("{ZONES}protections: {{spoofing: off, bogons: off}}\n");
    for port in Port::ALL {
        let [[own, others, _], [own6, others6, _]] = ENDS[port.index()];
        let mut scene = Scene::new(&policy);
        let syn = |source, destination| Segment::new(SYN, 1, 0).between(at(source, 80), at(destination, 80));
        scene.on(port, syn(own, own)).drops(Reason::Land);
        scene.on(port, syn(own6, own6)).drops(Reason::Land);
        scene.on(port, datagram(others, others)).drops(Reason::Land);
        for kind in [131, 137] {
            let routed = datagram(own, others).options(&[kind, 7, 4, 1, 1, 1, 1, 0]);
            scene.on(port, routed).drops(Reason::IpSourceRoute);
        }
        let routed = |kind| datagram(own6, others6).extension(43, &[0, kind, 0, 0, 0, 0, 0]);
        scene.on(port, routed(0)).drops(Reason::Ipv6RoutingHeader);
        // Another kind with no segments left is like any packet.
        scene.on(port, routed(2)).opens(1, "all");
        scene.plays();
    }
}

#[test]
fn packets_of_live_sessions_are_held_to_it_as_well() {
    let policy = |lan: &str, mode: &str| {
        format!(
            "version: 1\nzones:\n  lan: {{port: lan, networks: {lan}}}\n  wan: {{port: wan}}\nrules:\n  - {{name: all, from: any, to: any, action: allow}}\nprotections: {{spoofing: {mode}}}\n"
        )
    };
    let mut scene = Scene::new(&policy("192.0.2.0/24", "drop"));
    let mut web = Tcp::new(at(LAN, 40_000), at(WAN, 443));
    web.opens(&mut scene, 1, "all");
    // The host moved away: what says to come from it is spoofed, though its session lives.
    scene.after_ms(1).deploys(&policy("198.51.100.0/24", "drop"));
    let segment = web.client_says(b"x");
    scene.lan(segment.clone()).drops(Reason::Spoofed);
    scene.wan(web.from_server(&Segment::new(ACK, web.next[1], web.next[0].wrapping_sub(1)))).follows(1);
    scene.after_ms(1).deploys(&policy("198.51.100.0/24", "log"));
    scene.lan(segment).follows(1);
    assert_eq!(scene.plays().summary.suspicious, 1);
}
