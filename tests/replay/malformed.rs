//! Frames that no session could send: each is dropped by the name of its fault, whatever the rules allow.

use sekisho_tests::frames::{
    self, ACK, MACS, Packet, SYN, VLAN, chunk, ethernet, icmp, ping, sctp, tcp, udp,
};
use sekisho_tests::sctp::Association;

use super::*;

/// Each fault of a frame with its reason, and what is wrong about it.
pub(crate) fn cases() -> Vec<(Reason, &'static str, Vec<u8>)> {
    let mut cases = link_layer();
    cases.extend(ipv4());
    cases.extend(ipv6());
    cases.extend(transport());
    cases.extend(other_transports());
    cases
}

fn syn() -> Packet {
    tcp(at(LAN, 40_000), at(WAN, 443), SYN, 1, 0)
}

fn syn6() -> Packet {
    tcp(at(LAN6, 40_000), at(WAN6, 443), SYN, 1, 0)
}

/// A SYN with the sum of its pseudo-header in the place of its checksum.
fn partial_checksum() -> Vec<u8> {
    let pseudo = [192, 0, 2, 10, 203, 0, 113, 53, 0, 6, 0, 20];
    let sum = !frames::checksum(&[&pseudo]);
    syn().patched(|packet| packet[36..38].copy_from_slice(&sum.to_be_bytes()))
}

fn cut(frame: Vec<u8>, len: usize) -> Vec<u8> {
    frame[..len].to_vec()
}

fn link_layer() -> Vec<(Reason, &'static str, Vec<u8>)> {
    let arp = frames::arp(1, ip(LAN), ip("192.0.2.1"));
    let patched_arp = |at: usize, value: u8| {
        let mut frame = arp.clone();
        frame[14 + at] = value;
        frame
    };
    vec![
        (Reason::FrameTruncated, "nothing at all", Vec::new()),
        (Reason::FrameTruncated, "half an Ethernet header", cut(syn().frame(), 13)),
        (Reason::FrameTruncated, "half a tag", cut(syn().vlan(20).frame(), 17)),
        (Reason::FrameTruncated, "a tag without an EtherType", cut(syn().vlan(20).frame(), 16)),
        (
            Reason::FrameTruncated,
            "a length longer than the frame",
            ethernet([MACS[1], MACS[0]], &[], 47, &[0; 46]),
        ),
        (Reason::VlanStackTooDeep, "three tags", syn().vlan(1).vlan(2).vlan(3).frame()),
        (Reason::ArpMalformed, "half an ARP packet", cut(arp.clone(), 41)),
        (Reason::ArpMalformed, "not of Ethernet", patched_arp(1, 6)),
        (Reason::ArpMalformed, "not of IPv4", patched_arp(2, 0x86)),
        (Reason::ArpMalformed, "long hardware addresses", patched_arp(4, 8)),
        (Reason::ArpMalformed, "no operation", patched_arp(7, 0)),
    ]
}

fn ipv4() -> Vec<(Reason, &'static str, Vec<u8>)> {
    let wrong_sum = {
        let mut frame = syn().frame();
        frame[14 + 10] ^= 0xff;
        frame
    };
    let ttl_changed = {
        let mut frame = syn().frame();
        frame[14 + 8] = 1;
        frame
    };
    vec![
        (Reason::IpTruncated, "no IP header", cut(syn().frame(), 14)),
        (Reason::IpTruncated, "half an IP header", cut(syn().frame(), 33)),
        (Reason::IpTruncated, "shorter than its total length", cut(syn().frame(), 53)),
        (Reason::IpTruncated, "a total length past the frame", syn().patched(|packet| packet[3] = 47)),
        (Reason::IpBadHeader, "version 5", syn().patched(|packet| packet[0] = 0x55)),
        (Reason::IpBadHeader, "a header of 16 bytes", syn().patched(|packet| packet[0] = 0x44)),
        (Reason::IpBadHeader, "a total length below the header's", syn().patched(|packet| packet[3] = 19)),
        (Reason::IpBadChecksum, "a wrong checksum", wrong_sum),
        (Reason::IpBadChecksum, "a TTL changed by somebody careless", ttl_changed),
        (Reason::IpTtlZero, "a TTL of zero", syn().hop_limit(0).frame()),
        (Reason::IpBadOptions, "an option without a length", syn().options(&[1, 1, 1, 7]).frame()),
        (Reason::IpBadOptions, "an option of no length", syn().options(&[7, 0, 0, 0]).frame()),
        (Reason::IpBadOptions, "an option past the header", syn().options(&[7, 5, 0, 0]).frame()),
        (Reason::IpSourceRoute, "a loose source route", syn().options(&[131, 7, 4, 1, 1, 1, 1, 0]).frame()),
        (Reason::IpSourceRoute, "a strict one behind another option", syn().options(&[1, 137, 3, 4]).frame()),
        (
            Reason::FragmentMalformed,
            "a middle fragment of odd length",
            udp(at(LAN, 1), at(WAN, 1), b"abcd").fragment(1, 0, true).frame(),
        ),
        (
            Reason::FragmentMalformed,
            "a fragment past 65,535 bytes",
            Packet::new(ip(LAN), ip(WAN), 17, [0; 16]).fragment(1, 65_528, false).frame(),
        ),
        (
            Reason::FragmentMalformed,
            "a fragment of nothing",
            Packet::new(ip(LAN), ip(WAN), 17, []).fragment(1, 8, false).frame(),
        ),
        (
            Reason::Fragment,
            "a first fragment",
            udp(at(LAN, 1), at(WAN, 1), &[0; 16]).fragment(1, 0, true).frame(),
        ),
        (
            Reason::Fragment,
            "a later fragment",
            Packet::new(ip(LAN), ip(WAN), 17, [0; 16]).fragment(1, 24, false).frame(),
        ),
        (Reason::Land, "from itself to itself", tcp(at(LAN, 80), at(LAN, 80), SYN, 1, 0).frame()),
        (Reason::Land, "the same with different ports", tcp(at(LAN, 81), at(LAN, 80), SYN, 1, 0).frame()),
    ]
}

fn ipv6() -> Vec<(Reason, &'static str, Vec<u8>)> {
    let pad: [u8; 7] = [0, 1, 4, 0, 0, 0, 0];
    let jumbo_option: [u8; 7] = [0, 0xc2, 4, 0, 1, 0, 0];
    vec![
        (Reason::IpTruncated, "half an IPv6 header", cut(syn6().frame(), 53)),
        (Reason::IpTruncated, "shorter than its payload length", cut(syn6().frame(), 73)),
        (Reason::IpBadHeader, "version 4 in IPv6", syn6().patched(|packet| packet[0] = 0x40)),
        (
            Reason::Ipv6ExtensionHeaders,
            "hop-by-hop not first",
            syn6().extension(60, &pad).extension(0, &pad).frame(),
        ),
        (
            Reason::Ipv6ExtensionHeaders,
            "hop-by-hop twice",
            syn6().extension(0, &pad).extension(0, &pad).frame(),
        ),
        (
            Reason::Ipv6ExtensionHeaders,
            "three destination headers",
            syn6().extension(60, &pad).extension(60, &pad).extension(60, &pad).frame(),
        ),
        (
            Reason::Ipv6ExtensionHeaders,
            "an extension header past the packet",
            syn6().extension(60, &[255, 1, 4, 0, 0, 0, 0]).frame(),
        ),
        (
            Reason::Ipv6ExtensionHeaders,
            "an option past its header",
            syn6().extension(60, &[0, 1, 5, 0, 0, 0, 0]).frame(),
        ),
        (
            Reason::Ipv6RoutingHeader,
            "routing header type 0",
            syn6().extension(43, &[0, 0, 0, 0, 0, 0, 0]).frame(),
        ),
        (
            Reason::Ipv6RoutingHeader,
            "the same behind others",
            syn6().extension(0, &pad).extension(43, &[0, 0, 1, 0, 0, 0, 0]).frame(),
        ),
        (Reason::IpTtlZero, "a hop limit of zero", syn6().hop_limit(0).frame()),
        (Reason::Ipv6Jumbogram, "a jumbo payload option", syn6().extension(0, &jumbo_option).frame()),
        (
            Reason::Ipv6Jumbogram,
            "no length but hop-by-hop",
            syn6().extension(0, &pad).patched(|packet| packet[4..6].fill(0)),
        ),
        (
            Reason::FragmentMalformed,
            "a middle fragment of odd length in IPv6",
            udp(at(LAN6, 1), at(WAN6, 1), b"abcd").fragment(1, 0, true).frame(),
        ),
        (
            Reason::Fragment,
            "a first fragment of IPv6",
            udp(at(LAN6, 1), at(WAN6, 1), &[0; 16]).fragment(1, 0, true).frame(),
        ),
        (Reason::Land, "from itself to itself in IPv6", tcp(at(LAN6, 80), at(LAN6, 80), SYN, 1, 0).frame()),
    ]
}

fn transport() -> Vec<(Reason, &'static str, Vec<u8>)> {
    let short = |protocol, len: usize| Packet::new(ip(LAN), ip(WAN), protocol, vec![0; len]).frame();
    let flags = |flags| tcp(at(LAN, 40_000), at(WAN, 443), flags, 1, 1).frame();
    vec![
        (Reason::TransportTruncated, "half a TCP header", short(6, 19)),
        (Reason::TransportTruncated, "half a UDP header", short(17, 7)),
        (Reason::TransportTruncated, "half an IGMP message", short(2, 7)),
        (
            Reason::TransportTruncated,
            "half an ICMP header",
            Packet::new(ip(LAN), ip(WAN), 1, [8, 0, 0, 0, 0, 0, 0]).frame(),
        ),
        (
            Reason::TransportTruncated,
            "an ICMP type and no more",
            Packet::new(ip(LAN), ip(WAN), 1, [3, 0, 0]).frame(),
        ),
        (Reason::TcpBadHeader, "a TCP header of 16 bytes", syn().patched(|packet| packet[32] = 0x40)),
        (Reason::TcpBadHeader, "a TCP header past the packet", syn().patched(|packet| packet[32] = 0x60)),
        (Reason::TcpBadFlags, "no flag", flags(0)),
        (Reason::TcpBadFlags, "SYN and FIN", flags(SYN | 1)),
        (Reason::TcpBadFlags, "SYN and RST", flags(SYN | 4)),
        (Reason::TcpBadFlags, "FIN and RST", flags(5 | ACK)),
        (Reason::TcpBadFlags, "FIN alone", flags(1)),
        (Reason::TcpBadFlags, "PSH alone", flags(8)),
        (Reason::TcpBadFlags, "URG alone", flags(32)),
        (Reason::TcpBadFlags, "a Christmas tree", flags(0x3f)),
        (Reason::TcpBadChecksum, "a wrong TCP checksum", syn().patched(|packet| packet[36] ^= 1)),
        (
            Reason::UdpBadChecksum,
            "a wrong UDP checksum",
            udp(at(LAN, 1), at(WAN, 1), b"").patched(|packet| packet[26] ^= 1),
        ),
        (
            Reason::UdpZeroChecksum,
            "UDP over IPv6 without one",
            udp(at(LAN6, 1), at(WAN6, 1), b"").patched(|packet| packet[46..48].fill(0)),
        ),
        (
            Reason::IcmpBadChecksum,
            "a wrong ICMP checksum",
            ping(ip(LAN), ip(WAN), 7, 1).patched(|packet| packet[22] ^= 1),
        ),
        (
            Reason::SctpBadChecksum,
            "a wrong CRC of SCTP",
            Association::new(at(LAN, 7), at(WAN, 9)).init().patched(|packet| packet[28] ^= 1),
        ),
        (Reason::ChecksumPartial, "a checksum left to a device", partial_checksum()),
        (
            Reason::GroupDestination,
            "a SYN to a multicast group",
            tcp(at(LAN, 1), at("224.0.0.5", 80), SYN, 1, 0).frame(),
        ),
        (
            Reason::GroupDestination,
            "a SYN to everybody",
            tcp(at(LAN, 1), at("255.255.255.255", 80), SYN, 1, 0).frame(),
        ),
        (
            Reason::GroupDestination,
            "a SYN to a multicast group of IPv6",
            tcp(at(LAN6, 1), at("ff02::1", 80), SYN, 1, 0).frame(),
        ),
        (
            Reason::GroupDestination,
            "an INIT to a multicast group",
            Association::new(at(LAN, 1), at("239.1.1.1", 80)).init().frame(),
        ),
        (Reason::PortZero, "to TCP port 0", tcp(at(LAN, 1), at(WAN, 0), SYN, 1, 0).frame()),
        (Reason::PortZero, "from TCP port 0", tcp(at(LAN, 0), at(WAN, 1), SYN, 1, 0).frame()),
        (Reason::PortZero, "to UDP port 0", udp(at(LAN, 1), at(WAN, 0), b"").frame()),
        (Reason::PortZero, "from UDP port 0", udp(at(LAN6, 0), at(WAN6, 1), b"").frame()),
        (Reason::PortZero, "to SCTP port 0", Association::new(at(LAN, 1), at(WAN, 0)).init().frame()),
        (
            Reason::UdpBadLength,
            "a UDP length below 8",
            udp(at(LAN, 1), at(WAN, 1), b"").patched(|packet| packet[25] = 7),
        ),
        (
            Reason::UdpBadLength,
            "a UDP length past the packet",
            udp(at(LAN, 1), at(WAN, 1), b"").patched(|packet| packet[25] = 9),
        ),
    ]
}

fn other_transports() -> Vec<(Reason, &'static str, Vec<u8>)> {
    let of = |protocol, payload: &[u8]| Packet::new(ip(LAN), ip(WAN), protocol, payload).frame();
    vec![
        (Reason::SctpMalformed, "no chunk", of(132, &[0, 7, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0])),
        (Reason::SctpMalformed, "a chunk of 3 bytes", sctp(at(LAN, 7), at(WAN, 9), 1, &[1, 0, 0, 3]).frame()),
        (
            Reason::SctpMalformed,
            "a second chunk past the packet",
            sctp(at(LAN, 7), at(WAN, 9), 1, &[11, 0, 0, 4, 3, 0, 0, 9]).frame(),
        ),
        (
            Reason::SctpMalformed,
            "an INIT of 16 bytes",
            sctp(at(LAN, 7), at(WAN, 9), 0, &chunk(1, 0, &[1; 12])).frame(),
        ),
        (
            Reason::SctpMalformed,
            "an INIT that offers no tag",
            sctp(at(LAN, 7), at(WAN, 9), 0, &chunk(1, 0, &[0; 16])).frame(),
        ),
        (
            Reason::SctpBadTag,
            "an INIT with a tag",
            sctp(at(LAN, 7), at(WAN, 9), 5, &chunk(1, 0, &[1; 16])).frame(),
        ),
        (
            Reason::SctpBadTag,
            "data without one",
            sctp(at(LAN, 7), at(WAN, 9), 0, &chunk(0, 3, &[1; 13])).frame(),
        ),
        (
            Reason::SctpMalformed,
            "a chunk past the packet",
            of(132, &[0, 7, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 5]),
        ),
        (Reason::TransportTruncated, "half an SCTP header", of(132, &[0; 11])),
        (Reason::GreMalformed, "GRE version 2", of(47, &[0, 2, 8, 0])),
        (Reason::GreMalformed, "enhanced GRE without a key", of(47, &[0, 1, 0x88, 0x0b])),
        (Reason::GreMalformed, "GRE with a source route", of(47, &[0x40, 0, 8, 0, 0, 0, 0, 0])),
        (Reason::TransportTruncated, "GRE without its key", of(47, &[0x20, 0, 8, 0])),
        (Reason::TransportTruncated, "half an ESP header", of(50, &[0; 7])),
        (Reason::TransportTruncated, "half an AH header", of(51, &[59, 1, 0, 0, 0, 0, 0, 1])),
        (Reason::AhMalformed, "an AH header of 8 bytes", of(51, &[59, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1])),
        (Reason::AhMalformed, "an AH header past the packet", of(51, &[59, 9, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1])),
        (Reason::IcmpType, "ICMP of an unknown type", icmp(ip(LAN), ip(WAN), 99, 0, [0; 4], b"").frame()),
    ]
}

#[test]
fn each_fault_has_its_name_and_nothing_else_moves() {
    // Everything is allowed: no rule can let a malformed frame pass.
    let policy = "version: 1\ndefaults: {action: allow}\nzones: {lan: {port: lan}, wan: {port: wan}}\nrules: []\ninspection: {fragments: drop}\n";
    for (reason, what, frame) in cases() {
        let mut scene = Scene::new(policy);
        println!("{reason}: {what}");
        scene.lan(frame.clone()).drops(reason);
        scene.wan(frame).drops(reason);
        scene.plays();
    }
}

#[test]
fn each_fault_has_its_name_within_tags() {
    for (reason, what, frame) in cases() {
        // What is only a fragment waits here.
        if frame.len() < 14 || frame[12..14] == VLAN.to_be_bytes() || reason == Reason::Fragment {
            continue;
        }
        println!("{reason}: {what}");
        let mut tagged = frame[..12].to_vec();
        tagged.extend([0x88, 0xa8, 0, 20, 0x81, 0, 0, 30]);
        tagged.extend(&frame[12..]);
        let mut scene = lan_out();
        scene.lan(tagged).drops(reason);
        scene.plays();
    }
}

#[test]
fn a_malformed_packet_does_nothing_to_its_session() {
    let (mut scene, mut web) = established();
    let good = web.server_says(b"data");
    let bad = good.patched(|packet| packet[33] = 0x3f);
    scene.wan(bad).drops(Reason::TcpBadFlags);
    scene.wan(good).follows(1);
    scene.plays();
}

#[test]
fn every_truncation_of_good_frames_is_harmless() {
    let good = [
        syn().vlan(5).options(&[7, 7, 4, 0, 0, 0, 0, 1]).frame(),
        syn6().extension(0, &[0, 1, 4, 0, 0, 0, 0]).extension(60, &[0, 1, 4, 0, 0, 0, 0]).frame(),
        udp(at(LAN6, 5000), at(WAN6, 53), b"some data").frame(),
        ping(ip(LAN6), ip(WAN6), 7, 1).frame(),
        Association::new(at(LAN, 7), at(WAN, 9)).init().frame(),
        frames::arp(1, ip(LAN), ip("192.0.2.1")),
    ];
    for frame in good {
        let facts = sekisho_engine::packet::parse(&frame, frame.len());
        assert_eq!(facts.fault, None);
        for len in 0..frame.len() {
            let facts = sekisho_engine::packet::parse(&frame[..len], len);
            // What is cut off may be padding; a whole packet parses the same.
            let is_whole = facts.fault.is_none();
            let end = usize::from(facts.transport_at) + facts.transport_len as usize;
            assert!(!is_whole || end <= len.max(42), "{len} of {} bytes: {facts:?}", frame.len());
        }
    }
}
