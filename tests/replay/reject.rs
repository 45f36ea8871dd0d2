//! The answers to rejected packets, byte for byte, and to whom none is given.

use etherparse::{Icmpv4Type, Icmpv6Type, NetSlice, SlicedPacket, TransportSlice, icmpv4, icmpv6};
use sekisho_engine::port::Port;
use sekisho_tests::frames::{ACK, FIN, MACS, Packet, RST, SYN, Segment, VLAN, icmp, ping, udp};
use sekisho_tests::sctp::Association;

use super::*;

const REJECT: &str = "\
version: 1
zones: {lan: {port: lan}, wan: {port: wan}}
rules:
  - {name: no, from: any, to: any, action: reject}
";

/// The one frame that answers `packet`, which is rejected.
fn answer(packet: impl Into<Vec<u8>>, reason: Reason) -> Vec<u8> {
    let mut scene = Scene::new(REJECT);
    scene.wan(packet).drops(Reason::RuleReject).by("no");
    scene.answers(Port::Wan, reason);
    let mut own = scene.plays().own;
    assert_eq!(own.len(), 1);
    own.remove(0).1
}

/// `packet` is rejected in silence, or dropped before any rule.
fn no_answer(packet: impl Into<Vec<u8>>, reason: Reason) {
    let mut scene = Scene::new(REJECT);
    let frame = scene.wan(packet).drops(reason);
    if reason == Reason::RuleReject {
        frame.by("no");
    }
    scene.plays();
}

/// The answer goes back: MAC addresses, IP addresses, and a sound IPv4 header.
fn goes_back<'f>(frame: &'f [u8], packet: &Packet) -> SlicedPacket<'f> {
    assert_eq!(frame[..12], [packet.macs[1], packet.macs[0]].concat());
    let sliced = SlicedPacket::from_ethernet(frame).expect("a sound frame");
    match sliced.net.as_ref().expect("an IP packet") {
        NetSlice::Ipv4(ip) => {
            let header = ip.header();
            assert_eq!(header.header_checksum(), header.to_header().calc_header_checksum());
            assert_eq!(
                (header.source_addr().into(), header.destination_addr().into()),
                (packet.destination, packet.source)
            );
        }
        NetSlice::Ipv6(ip) => {
            let header = ip.header();
            assert_eq!(
                (header.source_addr().into(), header.destination_addr().into()),
                (packet.destination, packet.source)
            );
        }
        NetSlice::Arp(_) => panic!("ARP"),
    }
    sliced
}

/// The checksum of a TCP segment or ICMPv6 message with its pseudo header is right.
fn sums_up(packet: &Packet, protocol: u8, bytes: &[u8]) {
    let octets = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let len = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    let pseudo = [&octets(packet.source)[..], &octets(packet.destination), &len, &[0, protocol]].concat();
    assert_eq!(frames::checksum(&[&pseudo, bytes]), 0);
}

#[test]
fn tcp_is_answered_with_a_reset_that_acknowledges_what_came() {
    let cases = [
        (Segment::new(SYN, 1000, 0), 1001),
        (Segment::new(SYN, u32::MAX, 0), 0),
        (Segment::new(SYN, 1000, 0).data(b"fast open"), 1010),
    ];
    for (lan, wan) in [(LAN, WAN), (LAN6, WAN6)] {
        for (segment, acknowledges) in &cases {
            let packet = segment.between(at(wan, 40_000), at(lan, 22));
            let frame = answer(packet.clone(), Reason::SendReset);
            let sliced = goes_back(&frame, &packet);
            let Some(TransportSlice::Tcp(tcp)) = sliced.transport else { panic!("no TCP: {sliced:?}") };
            assert_eq!((tcp.source_port(), tcp.destination_port()), (22, 40_000));
            assert_eq!((tcp.sequence_number(), tcp.acknowledgment_number()), (0, *acknowledges));
            assert!(tcp.rst() && tcp.ack() && !tcp.syn() && !tcp.fin() && tcp.payload().is_empty());
            sums_up(&packet, 6, tcp.slice());
        }
    }
}

#[test]
fn everything_else_is_answered_with_administratively_prohibited() {
    let packets = [
        udp(at(WAN, 53), at(LAN, 53), b"a question"),
        ping(ip(WAN), ip(LAN), 7, 1),
        Association::new(at(WAN, 7), at(LAN, 9)).init(),
        Packet::new(ip(WAN), ip(LAN), 47, [0, 0, 8, 0]),
        udp(at(WAN, 53), at(LAN, 53), b"with options").options(&[7, 7, 4, 0, 0, 0, 0, 1]),
    ];
    for packet in packets {
        let frame = answer(packet.clone(), Reason::SendUnreachable);
        let sliced = goes_back(&frame, &packet);
        let Some(TransportSlice::Icmpv4(icmp)) = sliced.transport else { panic!("no ICMP: {sliced:?}") };
        let prohibited = icmpv4::DestUnreachableHeader::FilterProhibited;
        assert_eq!(icmp.icmp_type(), Icmpv4Type::DestinationUnreachable(prohibited));
        assert_eq!(icmp.payload(), packet.ip(), "it quotes the packet without the padding of its frame");
        assert_eq!(frames::checksum(&[icmp.slice()]), 0);
    }
    for packet in [udp(at(WAN6, 53), at(LAN6, 53), b"a question"), ping(ip(WAN6), ip(LAN6), 7, 1)] {
        let frame = answer(packet.clone(), Reason::SendUnreachable);
        let sliced = goes_back(&frame, &packet);
        let Some(TransportSlice::Icmpv6(icmp)) = sliced.transport else { panic!("no ICMPv6: {sliced:?}") };
        assert_eq!(
            icmp.icmp_type(),
            Icmpv6Type::DestinationUnreachable(icmpv6::DestUnreachableCode::Prohibited)
        );
        assert_eq!(icmp.payload(), packet.ip());
        sums_up(&packet, 58, icmp.slice());
    }
}

#[test]
fn a_long_packet_is_quoted_as_far_as_it_may_be() {
    let long = udp(at(WAN, 53), at(LAN, 53), &[1; 1400]);
    let frame = answer(long.clone(), Reason::SendUnreachable);
    assert_eq!(frame.len(), 14 + 576);
    assert_eq!(frame[14 + 28..], long.ip()[..548]);
    let long = udp(at(WAN6, 53), at(LAN6, 53), &[1; 1400]);
    let frame = answer(long.clone(), Reason::SendUnreachable);
    assert_eq!(frame.len(), 14 + 1280);
    assert_eq!(frame[14 + 48..], long.ip()[..1232]);
}

#[test]
fn the_answer_keeps_the_tags() {
    for tags in [vec![(VLAN, 20)], vec![(frames::QINQ, 20), (VLAN, 30)]] {
        let mut packet = udp(at(WAN, 53), at(LAN, 53), b"x");
        packet.tags.clone_from(&tags);
        let frame = answer(packet.clone(), Reason::SendUnreachable);
        goes_back(&frame, &packet);
        let sent = packet.frame();
        assert_eq!(frame[12..14 + 4 * tags.len()], sent[12..14 + 4 * tags.len()]);
        let mut packet = Segment::new(SYN, 1, 0).between(at(WAN, 40_000), at(LAN, 22));
        packet.tags = tags;
        goes_back(&answer(packet.clone(), Reason::SendReset), &packet);
    }
}

#[test]
fn nobody_is_answered_who_must_not_be() {
    let syn = |to: &str| Segment::new(SYN, 1, 0).between(at(WAN, 40_000), at(to, 22));
    // A group of IP, or of Ethernet.
    no_answer(udp(at(WAN, 53), at("224.0.0.251", 53), b"x"), Reason::RuleReject);
    no_answer(udp(at(WAN, 53), at("255.255.255.255", 53), b"x"), Reason::RuleReject);
    no_answer(udp(at(WAN6, 53), at("ff02::fb", 53), b"x"), Reason::RuleReject);
    no_answer(udp(at(WAN, 53), at("192.0.2.255", 53), b"x").to_mac([0xff; 6]), Reason::RuleReject);
    no_answer(syn("224.0.0.1"), Reason::RuleReject);
    // Somebody who is nobody.
    no_answer(udp(at("0.0.0.0", 68), at(LAN, 67), b"x"), Reason::RuleReject);
    no_answer(udp(at("127.0.0.1", 53), at(LAN, 53), b"x"), Reason::RuleReject);
    no_answer(udp(at("::", 53), at(LAN6, 53), b"x"), Reason::RuleReject);
    // Resets and ICMP errors come to no rule, whatever session they speak of; redirects do.
    no_answer(Segment::new(RST, 1, 0).between(at(WAN, 40_000), at(LAN, 22)), Reason::TcpNoSession);
    no_answer(Segment::new(FIN | ACK, 1, 1).between(at(WAN, 40_000), at(LAN, 22)), Reason::TcpNoSession);
    no_answer(icmp(ip(WAN), ip(LAN), 3, 1, [0; 4], &syn(LAN).ip()), Reason::IcmpError);
    no_answer(icmp(ip(WAN), ip(LAN), 5, 1, [0; 4], &syn(LAN).ip()), Reason::RuleReject);
    no_answer(icmp(ip(WAN6), ip(LAN6), 137, 0, [0; 4], &[0; 32]).hop_limit(255), Reason::RuleReject);
    // A later fragment.
    no_answer(Packet::new(ip(WAN), ip(LAN), 17, [0; 16]).fragment(1, 24, false), Reason::FragmentIncomplete);
}

#[test]
fn a_drop_is_silent() {
    let mut scene = lan_out();
    scene.wan(Segment::new(SYN, 1, 0).between(at(WAN, 40_000), at(LAN, 22))).drops(Reason::DefaultDrop);
    assert!(scene.plays().own.is_empty());
}

#[test]
fn answers_from_either_port_go_back_by_it() {
    let mut scene = Scene::new(REJECT);
    scene.lan(udp(at(LAN, 1), at(WAN, 2), b"")).drops(Reason::RuleReject).by("no");
    scene.answers(Port::Lan, Reason::SendUnreachable);
    scene.wan(udp(at(WAN, 2), at(LAN, 1), b"")).drops(Reason::RuleReject).by("no");
    scene.answers(Port::Wan, Reason::SendUnreachable);
    let own = scene.plays().own;
    assert_eq!(
        own.iter().map(|(port, frame)| (*port, frame[..6].to_vec())).collect::<Vec<_>>(),
        [(Port::Lan, MACS[0].to_vec()), (Port::Wan, MACS[0].to_vec())]
    );
}
