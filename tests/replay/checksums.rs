//! Checksums of TCP, UDP, ICMP, ICMPv6 and SCTP: what its receiver would drop unread, nothing here follows.

use sekisho_tests::frames::{ACK, Packet, SYN, checksum, ping, tcp, udp};
use sekisho_tests::sctp::Association;

use super::*;

/// The frame with one bit of the last byte of its packet turned over.
fn spoilt(packet: &Packet) -> Vec<u8> {
    let len = packet.ip().len();
    packet.patched(|bytes| bytes[len - 1] ^= 1)
}

#[test]
fn a_wrong_checksum_is_dropped_by_name_and_opens_nothing() {
    for (lan, wan) in [(LAN, WAN), (LAN6, WAN6)] {
        let cases = [
            (tcp(at(lan, 40_000), at(wan, 443), SYN, 1, 0), Reason::TcpBadChecksum),
            (udp(at(lan, 5000), at(wan, 53), b"odd"), Reason::UdpBadChecksum),
            (ping(ip(lan), ip(wan), 7, 1), Reason::IcmpBadChecksum),
            (Association::new(at(lan, 7), at(wan, 9)).init(), Reason::SctpBadChecksum),
        ];
        for (packet, reason) in cases {
            let mut scene = lan_out();
            scene.lan(spoilt(&packet)).drops(reason);
            scene.lan(spoilt(&packet.clone().vlan(20))).drops(reason);
            scene.lan(packet).opens(1, "lan-out");
            scene.plays();
        }
    }
}

#[test]
fn a_forged_reset_without_the_right_sum_ends_nothing() {
    let (mut scene, mut web) = established();
    let reset = web.clone().server(frames::RST | ACK);
    scene.wan(spoilt(&reset)).drops(Reason::TcpBadChecksum);
    scene.wan(web.server_says(b"alive")).follows(1);
    scene.plays();
}

#[test]
fn rfc768_udp_over_ipv4_may_go_without() {
    let mut scene = lan_out();
    scene
        .lan(udp(at(LAN, 5000), at(WAN, 53), b"x").patched(|packet| packet[26..28].fill(0)))
        .opens(1, "lan-out");
    scene.plays();
}

#[test]
fn rfc8200_8_1_udp_over_ipv6_may_not_but_for_tunnels() {
    let without = |port| udp(at(LAN6, 5000), at(WAN6, port), b"x").patched(|packet| packet[46..48].fill(0));
    let mut scene = lan_out();
    scene.lan(without(53)).drops(Reason::UdpZeroChecksum);
    // RFC 6935: VXLAN and others that check what they carry.
    scene.lan(without(4789)).opens(1, "lan-out");
    scene.plays();
}

#[test]
fn a_sum_that_was_left_to_a_device_is_named() {
    // As a host with checksum offload hands it to a device that does nothing: the sum of the pseudo-header.
    let syn = tcp(at(LAN, 40_000), at(WAN, 443), SYN, 1, 0);
    let pseudo = [192, 0, 2, 10, 203, 0, 113, 53, 0, 6, 0, 20];
    let partial = !checksum(&[&pseudo]);
    let mut scene = lan_out();
    scene
        .lan(syn.patched(|packet| packet[36..38].copy_from_slice(&partial.to_be_bytes())))
        .drops(Reason::ChecksumPartial);
    scene.plays();
}

#[test]
fn the_length_of_the_datagram_counts_and_not_what_follows_it() {
    // RFC 9868: options behind the datagram, and the padding of the frame.
    let mut packet = udp(at(LAN, 5000), at(WAN, 53), b"data");
    packet.payload.extend([0x55; 40]);
    let mut scene = lan_out();
    scene.lan(packet).opens(1, "lan-out");
    scene.plays();
}

#[test]
fn a_frame_that_the_capture_cuts_short_cannot_be_judged() {
    let packet = udp(at(LAN, 5000), at(WAN, 53), &[7; 400]);
    let mut frame = packet.frame();
    let wire_len = frame.len();
    frame[60] ^= 1;
    let mut scene = lan_out();
    scene.cut(sekisho_engine::port::Port::Lan, &frame[..100], wire_len).opens(1, "lan-out");
    scene.lan(frame).drops(Reason::UdpBadChecksum);
    scene.plays();
}
