//! UDP, ICMP queries and every other protocol; and what a session's key is made of.

use sekisho_tests::frames::{ACK, Packet, QINQ, SYN, icmp, ping, pong, udp};

use super::*;

#[test]
fn a_datagram_opens_the_way_back() {
    for (lan, wan) in [(LAN, WAN), (LAN6, WAN6)] {
        let mut scene = lan_out();
        scene.lan(udp(at(lan, 5000), at(wan, 53), b"?")).opens(1, "lan-out");
        scene.wan(udp(at(wan, 53), at(lan, 5000), b"!")).follows(1);
        // From another port or host, or to another port, it is no answer.
        scene.wan(udp(at(wan, 54), at(lan, 5000), b"!")).drops(Reason::DefaultDrop);
        scene.wan(udp(at(wan, 53), at(lan, 5001), b"!")).drops(Reason::DefaultDrop);
        scene.plays();
    }
}

#[test]
fn a_datagram_without_checksum_or_data_is_one() {
    let mut scene = lan_out();
    let bare = udp(at(LAN, 5000), at(WAN, 53), b"");
    let without_checksum = bare.patched(|packet| packet[26..28].fill(0));
    scene.lan(bare).opens(1, "lan-out");
    scene.lan(without_checksum).follows(1);
    scene.plays();
}

#[test]
fn echoes_are_sessions_by_their_identifier() {
    for (lan, wan) in [(LAN, WAN), (LAN6, WAN6)] {
        let (lan, wan) = (ip(lan), ip(wan));
        let mut scene = lan_out();
        scene.lan(ping(lan, wan, 7, 1)).opens(1, "lan-out");
        scene.wan(pong(wan, lan, 7, 1)).follows(1);
        scene.lan(ping(lan, wan, 7, 2)).follows(1);
        scene.wan(pong(wan, lan, 7, 2)).follows(1);
        scene.lan(ping(lan, wan, 8, 1)).opens(2, "lan-out");
        scene.wan(pong(wan, lan, 9, 1)).drops(Reason::IcmpNoSession);
        scene.wan(ping(wan, lan, 7, 1)).drops(Reason::DefaultDrop);
        scene.lan(pong(lan, wan, 7, 1)).drops(Reason::IcmpNoSession);
        scene.plays();
    }
}

#[test]
fn other_queries_are_apart_from_echoes() {
    let (lan, wan) = (ip(LAN), ip(WAN));
    let mut scene = lan_out();
    scene.lan(icmp(lan, wan, 8, 0, [0, 7, 0, 1], b"")).opens(1, "lan-out");
    scene.lan(icmp(lan, wan, 13, 0, [0, 7, 0, 1], &[0; 12])).opens(2, "lan-out");
    scene.wan(icmp(wan, lan, 14, 0, [0, 7, 0, 1], &[0; 12])).follows(2);
    scene.lan(icmp(lan, wan, 15, 0, [0, 7, 0, 1], b"")).opens(3, "lan-out");
    scene.wan(icmp(wan, lan, 16, 0, [0, 7, 0, 1], b"")).follows(3);
    scene.lan(icmp(lan, wan, 17, 0, [0, 7, 0, 1], &[0; 4])).opens(4, "lan-out");
    scene.wan(icmp(wan, lan, 18, 0, [0, 7, 0, 1], &[0; 4])).follows(4);
    scene.wan(icmp(wan, lan, 0, 0, [0, 7, 0, 1], b"")).follows(1);
    scene.plays();
}

#[test]
fn messages_of_unknown_type_are_dropped() {
    let mut scene = lan_out();
    for kind in [2, 4, 6, 19, 41, 255] {
        scene.lan(icmp(ip(LAN), ip(WAN), kind, 0, [0; 4], &[0; 8])).drops(Reason::IcmpType);
    }
    for kind in [0, 5, 127, 138, 154, 200, 255] {
        scene.lan(icmp(ip(LAN6), ip(WAN6), kind, 0, [0; 4], &[0; 8])).drops(Reason::IcmpType);
    }
    // The ICMP of the other family.
    scene.lan(Packet::new(ip(LAN), ip(WAN), 58, [128, 0, 0, 0, 0, 0, 0, 0])).drops(Reason::IcmpType);
    scene.lan(Packet::new(ip(LAN6), ip(WAN6), 1, [8, 0, 0, 0, 0, 0, 0, 0])).drops(Reason::IcmpType);
    scene.plays();
}

#[test]
fn other_protocols_are_sessions_by_their_addresses() {
    for (lan, wan) in [(LAN, WAN), (LAN6, WAN6)] {
        let mut scene = lan_out();
        let payloads: [(u8, &[u8]); 5] = [
            (47, &[0, 0, 8, 0]),
            (50, &[0, 0, 1, 0, 0, 0, 0, 1]),
            (51, &[59, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1]),
            (4, &[0; 20]),
            (253, b""),
        ];
        for (number, (protocol, payload)) in payloads.into_iter().enumerate() {
            let session = number as u64 + 1;
            scene.lan(Packet::new(ip(lan), ip(wan), protocol, payload)).opens(session, "lan-out");
            scene.wan(Packet::new(ip(wan), ip(lan), protocol, payload)).follows(session);
        }
        scene.wan(Packet::new(ip(wan), ip(lan), 89, b"x")).drops(Reason::DefaultDrop);
        scene.plays();
    }
}

#[test]
fn the_vlan_is_part_of_the_key() {
    let (mut scene, mut web) = established();
    let plain = web.server_says(b"x");
    // The same five-tuple in a VLAN is another session, and one that the WAN may not start.
    scene.wan(plain.clone().vlan(20)).drops(Reason::TcpNoSession);
    scene.wan(plain).follows(1);
    let mut tagged = Tcp { tags: vec![(frames::VLAN, 20)], ..self::web() };
    tagged.opens(&mut scene, 2, "lan-out");
    scene.wan(tagged.server_says(b"y")).follows(2);
    let mut other = Tcp { tags: vec![(frames::VLAN, 21)], ..self::web() };
    other.opens(&mut scene, 3, "lan-out");
    scene.plays();
}

#[test]
fn the_whole_tag_stack_is_part_of_the_key() {
    let stack = |outer, inner| Tcp { tags: vec![(QINQ, outer), (frames::VLAN, inner)], ..web() };
    let mut scene = lan_out();
    stack(20, 30).opens(&mut scene, 1, "lan-out");
    stack(20, 31).opens(&mut scene, 2, "lan-out");
    stack(30, 20).opens(&mut scene, 3, "lan-out");
    Tcp { tags: vec![(QINQ, 20)], ..web() }.opens(&mut scene, 4, "lan-out");
    let stray = Tcp { tags: vec![(QINQ, 40), (frames::VLAN, 30)], ..web() }.server(ACK);
    scene.wan(stray).drops(Reason::TcpNoSession);
    scene.plays();
}

#[test]
fn vlan_0_is_untagged_and_priority_bits_do_not_matter() {
    let (mut scene, mut web) = established();
    scene.wan(web.server_says(b"x").vlan(0)).follows(1);
    let mut tagged = Tcp { tags: vec![(frames::VLAN, 20)], ..self::web() };
    tagged.opens(&mut scene, 2, "lan-out");
    let mut urgent = tagged.server_says(b"y");
    urgent.tags = vec![(0x9100, 0xe000 | 20)];
    scene.wan(urgent).follows(2);
    scene.plays();
}

#[test]
fn padding_is_no_data() {
    // A bare ACK is 54 bytes, padded to 60: six bytes of data would make the next number wrong.
    let (mut scene, mut web) = established();
    let ack = web.client(ACK).frame();
    assert_eq!(ack.len(), 60);
    scene.lan(ack).follows(1);
    scene.lan(web.client_says(b"x")).follows(1);
    scene.wan(web.server(ACK)).follows(1);
    scene.plays();
}

#[test]
fn long_frames_and_headers_of_every_length_pass() {
    let (mut scene, mut web) = established();
    scene.lan(web.client_says(&[1; 8900])).follows(1);
    scene.wan(web.server(ACK)).follows(1);
    // Record route and time stamp are odd, but no fault.
    scene.lan(web.client_says(b"x").options(&[7, 7, 4, 0, 0, 0, 0, 1])).follows(1);
    let mut far = Tcp::new(at(LAN6, 40_000), at(WAN6, 443));
    let syn = far.client(SYN);
    let chain = syn.extension(0, &[0, 1, 4, 0, 0, 0, 0]).extension(60, &[0, 1, 4, 0, 0, 0, 0]);
    scene.lan(chain.extension(43, &[0, 2, 0, 0, 0, 0, 0])).opens(2, "lan-out");
    scene.wan(far.server(SYN | ACK)).follows(2);
    scene.plays();
}

#[test]
fn an_atomic_fragment_is_a_whole_datagram() {
    let mut scene = lan_out();
    scene.lan(udp(at(LAN6, 5000), at(WAN6, 53), b"?").fragment(1, 0, false)).opens(1, "lan-out");
    scene.wan(udp(at(WAN6, 53), at(LAN6, 5000), b"!")).follows(1);
    scene.plays();
}
