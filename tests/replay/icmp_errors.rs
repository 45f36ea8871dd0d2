//! ICMP and ICMPv6 errors: they pass with the session whose packet they quote, wherever they come from.

use sekisho_tests::frames::{ACK, Packet, SYN, icmp, ping, udp};

use super::*;

const ROUTER: &str = "198.51.100.1";
const ROUTER6: &str = "2001:db8:9::1";

/// An error from `router` to the sender of `packet`, which it quotes.
fn error(router: &str, packet: &Packet, kind: u8, code: u8) -> Packet {
    let quote = packet.ip();
    icmp(ip(router), packet.source, kind, code, [0; 4], &quote[..quote.len().min(80)])
}

#[test]
fn an_error_about_a_packet_of_a_session_passes() {
    let (mut scene, mut web) = established();
    let lost = web.client_says(b"too long for some link on the way");
    scene.lan(lost.clone()).follows(1);
    scene.wan(error(ROUTER, &lost, 3, 4)).passes(Reason::Related).of(1);
    scene.wan(error(WAN, &lost, 3, 1)).passes(Reason::Related).of(1);
    // It neither ends nor keeps the session (RFC 5508 REQ-6).
    scene.wan(web.server_says(b"alive")).follows(1);
    scene.plays();
}

#[test]
fn errors_of_either_family_find_sessions_of_every_protocol() {
    let both = [(LAN, WAN, ROUTER, 11), (LAN6, WAN6, ROUTER6, 3)];
    for (lan, wan, router, exceeded) in both {
        let mut scene = lan_out();
        let packets = [
            udp(at(lan, 5000), at(wan, 33_434), b"traceroute"),
            ping(ip(lan), ip(wan), 7, 1),
            Packet::new(ip(lan), ip(wan), 47, [0, 0, 8, 0, 1, 2, 3, 4]),
            Tcp::new(at(lan, 40_000), at(wan, 443)).client(SYN),
        ];
        for (number, packet) in packets.iter().enumerate() {
            let session = number as u64 + 1;
            scene.lan(packet.clone()).opens(session, "lan-out");
            scene.wan(error(router, packet, exceeded, 0)).passes(Reason::Related).of(session);
        }
        scene.plays();
    }
}

#[test]
fn an_error_about_nothing_we_sent_is_dropped() {
    let (mut scene, mut web) = established();
    let lost = web.client_says(b"x");
    scene.lan(lost.clone()).follows(1);
    let never = udp(at(LAN, 5000), at(WAN, 53), b"never sent");
    scene.wan(error(ROUTER, &never, 3, 3)).drops(Reason::IcmpError);
    // From the wrong side; about a packet that went the other way; to somebody else.
    scene.lan(error(ROUTER, &lost, 3, 1)).drops(Reason::IcmpError);
    let theirs = web.server_says(b"y");
    scene.wan(error(ROUTER, &theirs, 3, 1)).drops(Reason::IcmpError);
    let mut elsewhere = error(ROUTER, &lost, 3, 1);
    elsewhere = icmp(elsewhere.source, ip("192.0.2.11"), 3, 1, [0; 4], &lost.ip());
    scene.wan(elsewhere).drops(Reason::IcmpError);
    // A sequence number that was guessed (RFC 5927).
    let guessed = frames::tcp(web.client, web.server, ACK, 1_900_000_000, 1);
    scene.wan(error(ROUTER, &guessed, 3, 4)).drops(Reason::IcmpError);
    // A quote too short to tell.
    scene.wan(icmp(ip(ROUTER), ip(LAN), 3, 1, [0; 4], &lost.ip()[..22])).drops(Reason::IcmpError);
    scene.wan(icmp(ip(ROUTER), ip(LAN), 3, 1, [0; 4], b"")).drops(Reason::IcmpError);
    scene.plays();
}
