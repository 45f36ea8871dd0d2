//! The frames that these tests are made of are what they claim to be, by the word of another parser.

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use sekisho_tests::frames::{ACK, Packet, QINQ, Segment, VLAN, arp, ping, pong, udp};
use sekisho_tests::sctp::Association;

use super::*;

#[test]
fn another_parser_finds_addresses_ports_and_checksums_right() {
    for (lan, wan) in [(LAN, WAN), (LAN6, WAN6)] {
        let segment = Segment::new(ACK, 7, 9).options(&[2, 4, 5, 180]).data(b"data");
        holds(&segment.between(at(lan, 40_000), at(wan, 443)), 24 + 4);
        holds(&udp(at(lan, 40_000), at(wan, 443), b"odd"), 8 + 3);
        holds(&ping(ip(lan), ip(wan), 7, 1), 16);
        holds(&pong(ip(lan), ip(wan), 7, 1).tag(QINQ, 20).tag(VLAN, 30), 16);
        holds(&Association::new(at(lan, 1), at(wan, 2)).init(), 32);
    }
    let chain = udp(at(LAN6, 40_000), at(WAN6, 443), b"x").extension(0, &[0, 1, 4, 0, 0, 0, 0]);
    holds(&chain.extension(43, &[0, 4, 0, 0, 0, 0, 0]), 9);
    holds(&udp(at(LAN, 40_000), at(WAN, 443), b"x").options(&[1, 1, 1, 0]), 9);
    assert!(matches!(
        SlicedPacket::from_ethernet(&arp(1, ip(LAN), ip(WAN))).unwrap().net,
        Some(NetSlice::Arp(_))
    ));
}

fn holds(packet: &Packet, len: usize) {
    let frame = packet.frame();
    let sliced = SlicedPacket::from_ethernet(&frame).unwrap();
    assert_eq!(sliced.link_exts.len(), packet.tags.len());
    let payload = match sliced.net.as_ref().unwrap() {
        NetSlice::Ipv4(ip) => {
            let header = ip.header();
            assert_eq!(header.header_checksum(), header.to_header().calc_header_checksum());
            assert_eq!(
                (IpAddr::from(header.source_addr()), IpAddr::from(header.destination_addr())),
                (packet.source, packet.destination)
            );
            ip.payload()
        }
        NetSlice::Ipv6(ip) => {
            let header = ip.header();
            assert_eq!(
                (IpAddr::from(header.source_addr()), IpAddr::from(header.destination_addr())),
                (packet.source, packet.destination)
            );
            ip.payload()
        }
        NetSlice::Arp(_) => panic!("ARP"),
    };
    assert_eq!((payload.payload.len(), payload.ip_number.0), (len, packet.protocol));
    if let (IpAddr::V4(source), IpAddr::V4(destination)) = (packet.source, packet.destination) {
        let (source, destination) = (source.octets(), destination.octets());
        match &sliced.transport {
            Some(TransportSlice::Tcp(tcp)) => assert_eq!(
                tcp.to_header().calc_checksum_ipv4_raw(source, destination, tcp.payload()),
                Ok(tcp.checksum())
            ),
            Some(TransportSlice::Udp(udp)) => assert_eq!(
                udp.to_header().calc_checksum_ipv4_raw(source, destination, udp.payload()),
                Ok(udp.checksum())
            ),
            Some(TransportSlice::Icmpv4(icmp)) => {
                assert_eq!(icmp.header().icmp_type.calc_checksum(icmp.payload()), icmp.checksum());
            }
            _ => assert_eq!(packet.protocol, 132),
        }
    }
    if let (IpAddr::V6(source), IpAddr::V6(destination)) = (packet.source, packet.destination) {
        let (source, destination) = (source.octets(), destination.octets());
        match &sliced.transport {
            Some(TransportSlice::Tcp(tcp)) => assert_eq!(
                tcp.to_header().calc_checksum_ipv6_raw(source, destination, tcp.payload()),
                Ok(tcp.checksum())
            ),
            Some(TransportSlice::Udp(udp)) => assert_eq!(
                udp.to_header().calc_checksum_ipv6_raw(source, destination, udp.payload()),
                Ok(udp.checksum())
            ),
            Some(TransportSlice::Icmpv6(icmp)) => assert!(icmp.is_checksum_valid(source, destination)),
            _ => assert_eq!(packet.protocol, 132),
        }
    }
}
