use etherparse::PacketBuilder;
use proptest::prelude::*;

use super::*;

const MACS: ([u8; 6], [u8; 6]) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);

fn tcp_v4() -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(MACS.0, MACS.1)
        .ipv4([192, 0, 2, 10], [203, 0, 113, 5], 64)
        .tcp(40_000, 443, 7, 1000)
        .syn()
        .write(&mut frame, b"data")
        .expect("writing to memory");
    frame
}

fn udp_v6_with_vlan() -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(MACS.0, MACS.1)
        .double_vlan(20.try_into().expect("12 bits"), 7.try_into().expect("12 bits"))
        .ipv6([0x20; 16], [0x30; 16], 64)
        .udp(53, 1024)
        .write(&mut frame, b"answer")
        .expect("writing to memory");
    frame
}

fn fault(frame: &[u8]) -> Option<Reason> {
    parse(frame, frame.len()).fault
}

/// Writes the right checksum into an IPv4 header that follows a plain Ethernet one.
fn fix_checksum(frame: &mut [u8]) {
    let len = usize::from(frame[14] & 0xf) * 4;
    frame[24..26].copy_from_slice(&[0, 0]);
    let mut sum: u32 =
        frame[14..14 + len].chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    frame[24..26].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

/// An IPv6 packet of the given next header and payload, in plain Ethernet.
fn v6(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x86, 0xdd, 0x60, 0, 0, 0];
    frame.extend((payload.len() as u16).to_be_bytes());
    frame.extend([next, 64]);
    frame.extend([0x20; 16]);
    frame.extend([0x30; 16]);
    frame.extend(payload);
    frame
}

#[test]
fn tells_a_tcp_syn() {
    let facts = parse(&tcp_v4(), tcp_v4().len());
    assert_eq!(facts.fault, None);
    assert_eq!(facts.addresses, Addresses::V4 { source: 0xc000_020a, destination: 0xcb00_7105 });
    assert_eq!((facts.source_port, facts.destination_port), (40_000, 443));
    assert_eq!(facts.tcp.flags, tcp_flags::SYN);
    assert_eq!((facts.tcp.sequence, facts.tcp.window, facts.tcp.data_len), (7, 1000, 4));
}

#[test]
fn tells_both_vlan_tags_and_ipv6() {
    let frame = udp_v6_with_vlan();
    let facts = parse(&frame, frame.len());
    assert_eq!(facts.fault, None);
    assert_eq!((facts.vlan.outer(), facts.vlan.inner()), (20, 7));
    assert_eq!(facts.transport_len, 8 + 6);
    assert_eq!((facts.source_port, facts.destination_port), (53, 1024));
}

#[test]
fn vlan_zero_is_untagged() {
    let mut frame = tcp_v4();
    frame.splice(12..12, [0x81, 0x00, 0xe0, 0x00]);
    let facts = parse(&frame, frame.len());
    assert_eq!((facts.fault, facts.vlan), (None, VlanStack::UNTAGGED));
}

#[test]
fn three_tags_are_too_many() {
    let mut frame = udp_v6_with_vlan();
    frame.splice(12..12, [0x81, 0x00, 0x00, 0x05]);
    assert_eq!(fault(&frame), Some(Reason::VlanStackTooDeep));
}

#[test]
fn padding_is_not_part_of_the_packet() {
    let mut frame = tcp_v4();
    frame.resize(frame.len() + 40, 0xff);
    assert_eq!(parse(&frame, frame.len()).tcp.data_len, 4);
}

/// Every prefix of a frame is refused for being cut short, and nothing else.
#[test]
fn every_truncation_is_named() {
    for frame in [tcp_v4(), udp_v6_with_vlan()] {
        for len in 0..frame.len() {
            let reason = fault(&frame[..len]).expect("a part is not a packet");
            assert!(matches!(reason, Reason::FrameTruncated | Reason::IpTruncated), "{len} bytes: {reason}");
        }
    }
}

/// The head of a long frame: the data may lie beyond, the headers may not.
#[test]
fn data_may_lie_beyond_the_head_but_headers_may_not() {
    let frame = tcp_v4();
    let headers = frame.len() - 4;
    assert_eq!(parse(&frame[..headers], frame.len()).fault, None);
    assert_eq!(parse(&frame[..headers - 1], frame.len()).fault, Some(Reason::TransportTruncated));
}

#[test]
fn damaged_ipv4_headers_are_named() {
    let damage = |change: fn(&mut Vec<u8>), fix: bool| {
        let mut frame = tcp_v4();
        change(&mut frame);
        if fix {
            fix_checksum(&mut frame);
        }
        fault(&frame)
    };
    assert_eq!(damage(|frame| frame[14] = 0x65, false), Some(Reason::IpBadHeader), "version");
    assert_eq!(damage(|frame| frame[14] = 0x44, false), Some(Reason::IpBadHeader), "header length");
    assert_eq!(damage(|frame| frame[17] = 19, false), Some(Reason::IpBadHeader), "total length below header");
    assert_eq!(
        damage(|frame| frame[17] = 0xff, false),
        Some(Reason::IpTruncated),
        "total length past the end"
    );
    assert_eq!(damage(|frame| frame[24] ^= 1, false), Some(Reason::IpBadChecksum));
    assert_eq!(damage(|frame| frame[20] = 0x20, true), None, "a first fragment of 24 bytes");
    assert_eq!(
        damage(|frame| (frame[17], frame[20]) = (43, 0x20), true),
        Some(Reason::FragmentMalformed),
        "23 bytes"
    );
    assert_eq!(damage(|frame| frame[21] = 3, true), None, "a last fragment");
    assert_eq!(
        damage(|frame| frame[21] = 1, true),
        Some(Reason::FragmentTiny),
        "one that goes on within the TCP header (RFC 3128)"
    );
    assert_eq!(
        damage(|frame| (frame[17], frame[20]) = (36, 0x20), true),
        Some(Reason::FragmentTiny),
        "a first one of 16 bytes (RFC 1858)"
    );
    assert_eq!(damage(|frame| (frame[20], frame[21]) = (0x1f, 0xff), true), Some(Reason::FragmentMalformed));
}

#[test]
fn source_routes_and_broken_options_are_named() {
    let with_options = |options: [u8; 4]| {
        let mut frame = tcp_v4();
        frame.splice(34..34, options);
        frame[14] = 0x46;
        frame[17] += 4;
        fix_checksum(&mut frame);
        fault(&frame)
    };
    assert_eq!(with_options([1, 1, 1, 0]), None);
    assert_eq!(with_options([148, 4, 0, 0]), None, "router alert");
    assert_eq!(with_options([131, 3, 4, 0]), Some(Reason::IpSourceRoute));
    assert_eq!(with_options([1, 137, 3, 4]), Some(Reason::IpSourceRoute));
    assert_eq!(with_options([7, 5, 4, 0]), Some(Reason::IpBadOptions));
    assert_eq!(with_options([7, 1, 4, 0]), Some(Reason::IpBadOptions));
    assert_eq!(with_options([1, 1, 1, 7]), Some(Reason::IpBadOptions));
}

#[test]
fn extension_header_chains_are_walked_and_bounded() {
    let udp = [0, 53, 0, 54, 0, 8, 0, 0];
    let chain = |headers: &[&[u8]], first: u8| {
        let mut payload: Vec<u8> = headers.concat();
        payload.extend(udp);
        fault(&v6(first, &payload))
    };
    let padded = |next: u8| [next, 0, 1, 4, 0, 0, 0, 0];
    assert_eq!(chain(&[&padded(60), &padded(17)], 0), None, "hop-by-hop, destination, UDP");
    assert_eq!(
        chain(&[&padded(0), &padded(17)], 60),
        Some(Reason::Ipv6ExtensionHeaders),
        "hop-by-hop not first"
    );
    assert_eq!(
        chain(&[&padded(60), &padded(60), &padded(60), &padded(17)], 60),
        Some(Reason::Ipv6ExtensionHeaders)
    );
    assert_eq!(chain(&[&[17, 0, 0, 0, 0, 0, 0, 0]], 43), Some(Reason::Ipv6RoutingHeader));
    assert_eq!(chain(&[&[17, 0, 4, 0, 0, 0, 0, 0]], 43), None, "segment routing is not type 0");
    assert_eq!(chain(&[&[17, 9, 1, 4, 0, 0, 0, 0]], 60), Some(Reason::Ipv6ExtensionHeaders), "past the end");
    assert_eq!(
        chain(&[&[17, 0, 5, 9, 0, 0, 0, 0]], 60),
        Some(Reason::Ipv6ExtensionHeaders),
        "option past the end"
    );
    assert_eq!(chain(&[&[17, 0, 0xc2, 4, 0, 1, 0, 0]], 0), Some(Reason::Ipv6Jumbogram));
    assert_eq!(
        chain(&[&[17, 0, 0, 0, 0, 0, 0, 9]], 44),
        None,
        "an atomic fragment is a whole packet (RFC 6946)"
    );
    assert_eq!(
        parse(&v6(44, &[17, 0, 0, 9, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0]), 70).fragment.map(|f| f.offset),
        Some(8)
    );
}

/// What a first fragment of IPv6 is about is known by it alone: all headers are in it.
#[test]
fn a_first_fragment_holds_the_whole_chain_of_headers() {
    let first = |next: u8, rest: &[u8]| {
        let header = [next, 0, 0, 1, 0, 0, 0, 9];
        let frame = v6(44, &[&header[..], rest].concat());
        parse(&frame, frame.len())
    };
    let udp = [0, 7, 0, 53, 0, 200, 0, 0];
    let pad = [17, 0, 1, 4, 0, 0, 0, 0];
    let facts = first(17, &udp);
    assert_eq!((facts.fault, facts.source_port, facts.destination_port), (None, 7, 53));
    let facts = first(60, &[pad, udp].concat());
    assert_eq!((facts.fault, facts.protocol, facts.destination_port), (None, 17, 53));
    let fragment = facts.fragment.unwrap();
    assert_eq!((fragment.len, fragment.at, facts.transport_at), (16, 62, 70));
    assert_eq!(first(60, &pad).fault, Some(Reason::FragmentTiny), "RFC 7112: without the header of UDP");
    assert_eq!(first(60, &[17, 1, 1, 12, 0, 0, 0, 0]).fault, Some(Reason::FragmentTiny), "half a header");
    assert_eq!(first(44, &[17, 0, 0, 0, 0, 0, 0, 9]).fault, Some(Reason::Ipv6ExtensionHeaders), "twice");
    let solicitation = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &[0; 16]].concat();
    assert_eq!(first(58, &solicitation).fault, Some(Reason::NeighbourFragmented), "RFC 6980");
    let atomic = v6(44, &[&[58, 0, 0, 0, 0, 0, 0, 9][..], &solicitation].concat());
    assert_eq!(parse(&atomic, atomic.len()).fault, Some(Reason::NeighbourFragmented), "RFC 6980");
}

#[test]
fn impossible_tcp_flags_are_named() {
    use tcp_flags::{ACK, FIN, PSH, RST, SYN, URG};
    let with = |flags: u8| {
        let mut frame = tcp_v4();
        frame[47] = flags;
        fault(&frame)
    };
    for flags in [SYN, SYN | ACK, ACK, ACK | PSH, FIN | ACK, FIN | ACK | PSH | URG, RST, RST | ACK, ACK | URG]
    {
        assert_eq!(with(flags), None, "{flags:#x}");
        assert_eq!(with(flags | tcp_flags::ECE | tcp_flags::CWR), None, "{flags:#x} with congestion bits");
    }
    for flags in
        [0, FIN, PSH, URG, SYN | FIN, SYN | RST, FIN | RST, FIN | PSH | URG, SYN | FIN | ACK, FIN | RST | ACK]
    {
        assert_eq!(with(flags), Some(Reason::TcpBadFlags), "{flags:#x}");
    }
}

#[test]
fn transport_headers_are_held_to_their_lengths() {
    let with = |protocol: u8, payload: &[u8]| fault(&v6(protocol, payload));
    assert_eq!(with(protocol::UDP, &[0, 1, 0, 2, 0, 7, 0, 0]), Some(Reason::UdpBadLength));
    assert_eq!(with(protocol::UDP, &[0, 1, 0, 2, 0, 9, 0, 0]), Some(Reason::UdpBadLength));
    assert_eq!(with(protocol::UDP, &[0, 0, 0, 2, 0, 8, 0, 0]), Some(Reason::PortZero));
    assert_eq!(with(protocol::UDP, &[0, 1, 0, 2]), Some(Reason::TransportTruncated));
    assert_eq!(with(protocol::ICMPV6, &[128, 0, 0, 0, 0, 1]), Some(Reason::TransportTruncated));
    assert_eq!(
        with(protocol::ICMP, &[8, 0, 0, 0, 0, 1, 0, 1]),
        Some(Reason::IcmpType),
        "ICMP for IPv4 in IPv6"
    );
    let sctp =
        |chunk: [u8; 4]| with(protocol::SCTP, &[&[0, 1, 0, 2, 0, 0, 0, 7, 0, 0, 0, 0][..], &chunk].concat());
    assert_eq!(sctp([10, 0, 0, 4]), None);
    assert_eq!(sctp([10, 0, 0, 3]), Some(Reason::SctpMalformed));
    assert_eq!(sctp([10, 0, 0, 5]), Some(Reason::SctpMalformed));
    assert_eq!(with(protocol::GRE, &[0, 0, 8, 0]), None);
    assert_eq!(
        with(protocol::GRE, &[0x20, 0, 8, 0]),
        Some(Reason::TransportTruncated),
        "a key that is not there"
    );
    assert_eq!(with(protocol::GRE, &[0x40, 0, 8, 0]), Some(Reason::GreMalformed), "a source route");
    assert_eq!(with(protocol::GRE, &[0, 2, 8, 0]), Some(Reason::GreMalformed), "version 2");
    assert_eq!(with(protocol::ESP, &[0; 7]), Some(Reason::TransportTruncated));
    assert_eq!(with(protocol::AH, &[6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), None);
    assert_eq!(with(protocol::AH, &[6, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), Some(Reason::AhMalformed));
}

#[test]
fn arp_is_of_ethernet_and_ipv4_or_nothing() {
    let mut frame = [[0xff; 6], [2; 6]].concat();
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend([2, 2, 2, 2, 2, 2, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 192, 0, 2, 2]);
    let facts = parse(&frame, frame.len());
    assert_eq!((facts.fault, facts.class), (None, Class::Arp));
    assert_eq!(facts.addresses, Addresses::V4 { source: 0xc000_0201, destination: 0xc000_0202 });
    frame[19] = 5;
    assert_eq!(fault(&frame), Some(Reason::ArpMalformed));
    assert_eq!(fault(&frame[..41]), Some(Reason::ArpMalformed));
}

proptest! {
    #[test]
    fn never_panics_and_never_believes_a_length(bytes in prop::collection::vec(any::<u8>(), 0..200), beyond in 0..2000usize) {
        let facts = parse(&bytes, bytes.len() + beyond);
        prop_assert!(usize::from(facts.transport_at) <= bytes.len());
        if facts.fault.is_none() && facts.class == Class::Ip {
            prop_assert!(usize::from(facts.transport_at) + facts.transport_len as usize <= bytes.len() + beyond);
        }
    }

    /// A sound frame with a few bytes changed exercises what random bytes rarely reach.
    #[test]
    fn never_panics_on_a_damaged_frame(changes in prop::collection::vec((0..100usize, any::<u8>()), 1..6), is_v6: bool) {
        let mut frame = if is_v6 { udp_v6_with_vlan() } else { tcp_v4() };
        for (at, byte) in changes {
            let at = at % frame.len();
            frame[at] = byte;
        }
        parse(&frame, frame.len());
    }
}
