//! ICMP and ICMPv6 errors: they pass with the session whose packet they quote, wherever they come from.

use sekisho_tests::frames::{ACK, Packet, SYN, Segment, icmp, ping, udp};

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

/// An error whose second four bytes of header are these.
fn error_with(router: &str, packet: &Packet, kind: u8, code: u8, rest: [u8; 4], len: usize) -> Packet {
    let quote = packet.ip();
    icmp(ip(router), packet.source, kind, code, rest, &quote[..quote.len().min(len)])
}

#[test]
fn rfc792_eight_bytes_behind_the_header_are_enough() {
    let (mut scene, mut web) = established();
    let lost = web.client_says(b"x");
    scene.lan(lost.clone()).follows(1);
    scene.wan(error_with(ROUTER, &lost, 11, 0, [0; 4], 28)).passes(Reason::Related).of(1);
    scene.wan(error_with(ROUTER, &lost, 11, 0, [0; 4], 27)).drops(Reason::IcmpError);
    // With options of IPv4 they lie further back.
    let marked = lost.options(&[7, 7, 4, 0, 0, 0, 0, 1]);
    scene.wan(error_with(ROUTER, &marked, 11, 0, [0; 4], 36)).passes(Reason::Related).of(1);
    scene.wan(error_with(ROUTER, &marked, 11, 0, [0; 4], 35)).drops(Reason::IcmpError);
    scene.plays();
}

#[test]
fn every_kind_of_error_passes_with_its_session() {
    let kinds: [&[(u8, u8)]; 2] = [
        &[(3, 0), (3, 1), (3, 3), (3, 4), (3, 13), (11, 0), (11, 1), (12, 0), (12, 2)],
        &[(1, 0), (1, 3), (1, 4), (1, 6), (2, 0), (3, 0), (3, 1), (4, 0), (4, 1), (4, 2)],
    ];
    for ((lan, wan, router), kinds) in [(LAN, WAN, ROUTER), (LAN6, WAN6, ROUTER6)].into_iter().zip(kinds) {
        let mut scene = lan_out();
        let lost = udp(at(lan, 5000), at(wan, 53), b"x");
        scene.lan(lost.clone()).opens(1, "lan-out");
        for (kind, code) in kinds {
            scene
                .wan(error_with(router, &lost, *kind, *code, [0, 0, 5, 220], 80))
                .passes(Reason::Related)
                .of(1);
        }
        scene.plays();
    }
}

#[test]
fn rfc4884_what_lies_behind_the_stated_length_is_no_quote() {
    let (mut scene, mut web) = established();
    let lost = web.client_says(&[7; 200]);
    scene.lan(lost.clone()).follows(1);
    // 128 bytes of quote, and an extension behind it.
    let mut quote = lost.ip()[..128].to_vec();
    quote.extend([0x20, 0, 0xdf, 0xff, 0, 8, 1, 1, 0, 1, 0x01, 0x40]);
    let of_len = |words: u8| icmp(ip(ROUTER), ip(LAN), 11, 0, [0, words, 0, 0], &quote);
    scene.wan(of_len(32)).passes(Reason::Related).of(1);
    // A length that leaves no room for the ports says that what looks like them is something else.
    scene.wan(of_len(5)).drops(Reason::IcmpError);
    // One past the message cannot be, and the message's own end counts.
    scene.wan(of_len(255)).passes(Reason::Related).of(1);
    scene.plays();

    let mut scene = lan_out();
    let lost = udp(at(LAN6, 5000), at(WAN6, 53), &[7; 200]);
    scene.lan(lost.clone()).opens(1, "lan-out");
    let quote = lost.ip();
    let of_len = |words: u8| icmp(ip(ROUTER6), ip(LAN6), 3, 0, [words, 0, 0, 0], &quote);
    scene.wan(of_len(16)).passes(Reason::Related).of(1);
    scene.wan(of_len(5)).drops(Reason::IcmpError);
    scene.plays();
}

#[test]
fn rfc1122_there_are_no_errors_about_errors() {
    let (mut scene, mut web) = established();
    let lost = web.client_says(b"x");
    scene.lan(lost.clone()).follows(1);
    let back = web.server_says(b"y");
    scene.wan(back.clone()).follows(1);
    // The client's own error about the server's segment passes; an error about that does not.
    let error_out = icmp(ip(LAN), ip(WAN), 3, 3, [0; 4], &back.ip());
    scene.lan(error_out.clone()).passes(Reason::Related).of(1);
    scene.wan(icmp(ip(ROUTER), ip(LAN), 11, 0, [0; 4], &error_out.ip())).drops(Reason::IcmpError);
    scene.plays();
}

#[test]
fn errors_about_echoes_go_to_who_sent_them() {
    for (lan, wan, router, exceeded) in [(LAN, WAN, ROUTER, 11), (LAN6, WAN6, ROUTER6, 3)] {
        let (ask, answer) = (ping(ip(lan), ip(wan), 7, 1), frames::pong(ip(wan), ip(lan), 7, 1));
        let mut scene = lan_out();
        scene.lan(ask.clone()).opens(1, "lan-out");
        scene.wan(error(router, &ask, exceeded, 0)).passes(Reason::Related).of(1);
        scene.wan(answer.clone()).follows(1);
        // The reply died on its way to the client's side: its sender is told.
        scene.lan(error(lan, &answer, exceeded, 0)).passes(Reason::Related).of(1);
        scene.wan(error(router, &ping(ip(lan), ip(wan), 8, 1), exceeded, 0)).drops(Reason::IcmpError);
        scene.plays();
    }
}

#[test]
fn a_first_fragment_may_be_quoted_and_a_later_one_tells_too_little() {
    for (lan, wan, router, exceeded) in [(LAN, WAN, ROUTER, 11), (LAN6, WAN6, ROUTER6, 3)] {
        let whole = udp(at(lan, 5000), at(wan, 53), &[7; 64]);
        let mut scene = lan_out();
        scene.lan(whole.clone()).opens(1, "lan-out");
        scene
            .wan(error(router, &whole.clone().fragment(9, 0, true), exceeded, 1))
            .passes(Reason::Related)
            .of(1);
        scene.wan(error(router, &whole.fragment(9, 64, false), exceeded, 1)).drops(Reason::IcmpError);
        scene.plays();
    }
}

#[test]
fn quoted_extension_headers_are_walked() {
    let lost = udp(at(LAN6, 5000), at(WAN6, 53), b"x");
    let chain = lost.clone().extension(0, &[0, 1, 4, 0, 0, 0, 0]).extension(60, &[0, 1, 4, 0, 0, 0, 0]);
    let mut scene = lan_out();
    scene.lan(chain.clone()).opens(1, "lan-out");
    scene.wan(error(ROUTER6, &chain, 3, 0)).passes(Reason::Related).of(1);
    // Cut within the chain it tells nothing.
    scene.wan(error_with(ROUTER6, &chain, 3, 0, [0; 4], 50)).drops(Reason::IcmpError);
    // A length that leads out of the quote.
    let astray = lost.extension(60, &[200, 1, 4, 0, 0, 0, 0]);
    scene.wan(error(ROUTER6, &astray, 3, 0)).drops(Reason::IcmpError);
    scene.plays();
}

#[test]
fn rfc5927_the_quoted_sequence_number_is_one_that_is_under_way() {
    let (mut scene, mut web) = established();
    // A wide window does not make a guess easier: what counts is what was sent.
    scene.wan(web.from_server(&Segment::new(ACK, web.next[1], web.next[0]).window(65_535))).follows(1);
    let first = web.client_says(&[7; 1000]);
    scene.lan(first.clone()).follows(1);
    let second = web.client_says(&[7; 1000]);
    scene.lan(second.clone()).follows(1);
    let at_sequence =
        |sequence: u32| error(ROUTER, &frames::tcp(web.client, web.server, ACK, sequence, 1), 3, 4);
    scene.wan(error(ROUTER, &first, 3, 4)).passes(Reason::Related).of(1);
    scene.wan(error(ROUTER, &second, 3, 4)).passes(Reason::Related).of(1);
    scene.wan(at_sequence(web.next[0])).passes(Reason::Related).of(1);
    scene.wan(at_sequence(web.next[0].wrapping_add(1))).drops(Reason::IcmpError);
    scene.wan(at_sequence(web.next[0].wrapping_sub(2000 + 66_000))).passes(Reason::Related).of(1);
    scene.wan(at_sequence(web.next[0].wrapping_sub(2000 + 66_001))).drops(Reason::IcmpError);
    scene.plays();
}

#[test]
fn an_mtu_that_no_link_has_is_dropped() {
    // RFC 1191 section 3: 0 is what routers of before tell.
    let (mut scene, mut web) = established();
    let lost = web.client_says(b"x");
    scene.lan(lost.clone()).follows(1);
    for (mtu, passes) in [(0, true), (1, false), (67, false), (68, true), (1400, true), (65_535, true)] {
        let [high, low] = u16::to_be_bytes(mtu);
        let sent = scene.wan(error_with(ROUTER, &lost, 3, 4, [0, 0, high, low], 28));
        let _ =
            if passes { sent.passes(Reason::Related).of(1) } else { sent.drops(Reason::IcmpBadMtu).of(1) };
    }
    // Only fragmentation needed tells one.
    scene.wan(error_with(ROUTER, &lost, 3, 1, [0, 0, 0, 1], 28)).passes(Reason::Related).of(1);
    scene.plays();

    // RFC 8201 section 4: below 1280 it must be discarded.
    let mut scene = lan_out();
    let lost = udp(at(LAN6, 5000), at(WAN6, 53), b"x");
    scene.lan(lost.clone()).opens(1, "lan-out");
    for (mtu, passes) in [(0u32, false), (68, false), (1279, false), (1280, true), (1400, true)] {
        let sent = scene.wan(error_with(ROUTER6, &lost, 2, 0, mtu.to_be_bytes(), 80));
        let _ =
            if passes { sent.passes(Reason::Related).of(1) } else { sent.drops(Reason::IcmpBadMtu).of(1) };
    }
    scene.plays();
}

#[test]
fn rfc5508_req_3_to_6() {
    let (mut scene, mut web) = established();
    let lost = web.client_says(b"x");
    scene.lan(lost.clone()).follows(1);
    // REQ-3: a wrong checksum; REQ-4 and 5: no session; REQ-6: neither ends nor keeps it.
    scene.wan(error(ROUTER, &lost, 3, 4).patched(|packet| packet[22] ^= 1)).drops(Reason::IcmpBadChecksum);
    let other = frames::tcp(at(LAN, 40_001), at(WAN, 443), ACK, 1, 1);
    scene.wan(error(ROUTER, &other, 3, 4)).drops(Reason::IcmpError);
    let end_ms = scene.last_ms().max(1) + 7_440_000;
    for minute in [1, 30, 60, 90, 120] {
        scene.at_ms(minute * 60_000).wan(error(ROUTER, &lost, 3, 1)).passes(Reason::Related).of(1);
    }
    scene.ends(1, Reason::EndIdle, end_ms);
    scene.at_ms(end_ms).wan(error(ROUTER, &lost, 3, 1)).drops(Reason::IcmpError);
    scene.plays();
}

#[test]
fn traceroute_and_path_mtu_discovery_from_outside() {
    // The other way round: a published server's side is asked, and routers on the LAN side answer.
    let policy = "\
version: 1
zones: {lan: {port: lan}, wan: {port: wan}}
rules: [{name: in, from: wan, to: lan, service: [udp/33434-33534, icmp/echo, tcp/443], action: allow}]
";
    for (lan, wan, router, exceeded) in [(LAN, WAN, "192.0.2.1", 11), (LAN6, WAN6, "2001:db8:1::1", 3)] {
        let mut scene = Scene::new(policy);
        let probes = [
            udp(at(wan, 5000), at(lan, 33_434), b"probe"),
            ping(ip(wan), ip(lan), 7, 1),
            frames::tcp(at(wan, 5000), at(lan, 443), SYN, 1, 0),
        ];
        for (number, probe) in (1..).zip(&probes) {
            scene.wan(probe.clone()).opens(number, "in");
            scene.lan(error(router, probe, exceeded, 0)).passes(Reason::Related).of(number);
        }
        scene.plays();
    }
}
