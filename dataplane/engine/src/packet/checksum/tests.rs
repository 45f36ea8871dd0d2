use proptest::prelude::*;

use super::*;
use crate::packet::parse;

/// RFC 1071 word by word.
fn reference(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low));
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

/// CRC32c bit by bit.
fn reference_crc(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}

/// `bytes` cut at these places, wrapped into range.
fn cut<'b>(mut bytes: &'b [u8], places: &[usize]) -> Vec<&'b [u8]> {
    let mut parts = Vec::new();
    for place in places {
        let (part, rest) = bytes.split_at(place % (bytes.len() + 1));
        parts.push(part);
        bytes = rest;
    }
    parts.push(bytes);
    parts
}

proptest! {
    #[test]
    fn the_sum_is_that_of_rfc_1071_however_the_bytes_are_cut(
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
        places in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        let mut sum = Sum::default();
        cut(&bytes, &places).into_iter().for_each(|part| sum.add(part));
        prop_assert_eq!(sum.folded(), reference(&bytes));
    }

    #[test]
    fn the_pseudo_header_is_that_of_its_bytes(source: u128, destination: u128, len: u16, protocol: u8) {
        let mut bytes = source.to_be_bytes().to_vec();
        bytes.extend(destination.to_be_bytes());
        bytes.extend(u32::from(len).to_be_bytes());
        bytes.extend([0, 0, 0, protocol]);
        let sum = Sum::of_pseudo_header(&Addresses::V6 { source, destination }, protocol, u32::from(len));
        prop_assert_eq!(sum.folded(), reference(&bytes));
    }

    #[test]
    fn the_crc_is_that_of_its_polynomial_however_the_bytes_are_cut(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        places in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        let mut crc = Crc32c::default();
        cut(&bytes, &places).into_iter().for_each(|part| crc.add(part));
        prop_assert_eq!(crc.value(), reference_crc(&bytes));
    }

    /// One bit turned over in a packet is found, wherever the frame is cut into segments.
    #[test]
    fn a_bit_that_turned_is_found(
        v6: bool, tcp: bool, data in prop::collection::vec(any::<u8>(), 0..100), at: usize, bit in 0u8..8,
        places in prop::collection::vec(any::<usize>(), 0..4),
    ) {
        let mut frame = packet(v6, tcp, &data);
        let from = usize::from(parse(&frame, frame.len()).transport_at);
        let fault = |frame: &[u8]| {
            let mut facts = parse(frame, frame.len());
            // The head holds all headers.
            let (head, rest) = frame.split_at(from + 20.min(frame.len() - from));
            let segments = core::iter::once(head).chain(cut(rest, &places));
            verify(&mut facts, DeviceChecksum::NotChecked, segments);
            facts.fault
        };
        prop_assert_eq!(fault(&frame), None);
        let at = from + at % (frame.len() - from);
        frame[at] ^= 1 << bit;
        let zeroed = !tcp && be16(&frame, from + 6) == Some(0);
        prop_assert!(fault(&frame).is_some() || zeroed);
    }
}

fn packet(v6: bool, tcp: bool, data: &[u8]) -> Vec<u8> {
    use etherparse::PacketBuilder;
    let ethernet = PacketBuilder::ethernet2([2; 6], [4; 6]);
    let builder = if v6 {
        ethernet.ipv6([1; 16], [2; 16], 9)
    } else {
        ethernet.ipv4([192, 0, 2, 1], [203, 0, 113, 5], 9)
    };
    let mut frame = Vec::new();
    let written = if tcp {
        builder.tcp(1000, 2000, 7, 8192).ack(9).write(&mut frame, data)
    } else {
        builder.udp(1000, 2000).write(&mut frame, data)
    };
    written.expect("writing to memory");
    frame
}

fn judge(frame: &[u8], device: DeviceChecksum) -> Option<Reason> {
    let mut facts = parse(frame, frame.len());
    assert_eq!(facts.fault, None);
    verify(&mut facts, device, [frame]);
    facts.fault
}

#[test]
fn the_crc_of_the_digits_is_the_known_one() {
    let mut crc = Crc32c::default();
    crc.add(b"123456789");
    assert_eq!(crc.value(), 0xe306_9283);
}

#[test]
fn a_device_is_believed_when_it_found_the_sum_right() {
    for tcp in [true, false] {
        let mut frame = packet(false, tcp, b"data");
        let last = frame.len() - 1;
        frame[last] ^= 1;
        let wrong = if tcp { Reason::TcpBadChecksum } else { Reason::UdpBadChecksum };
        assert_eq!(judge(&frame, DeviceChecksum::NotChecked), Some(wrong));
        assert_eq!(judge(&frame, DeviceChecksum::Bad), Some(wrong));
        assert_eq!(judge(&frame, DeviceChecksum::Good), None);
        assert_eq!(judge(&packet(false, tcp, b"data"), DeviceChecksum::Bad), None, "devices err");
    }
}

#[test]
fn a_sum_left_to_a_device_has_a_name_of_its_own() {
    for v6 in [false, true] {
        let mut frame = packet(v6, true, b"data");
        let facts = parse(&frame, frame.len());
        let partial = Sum::of_pseudo_header(&facts.addresses, 6, facts.transport_len).folded();
        let at = usize::from(facts.transport_at) + 16;
        frame[at..at + 2].copy_from_slice(&partial.to_be_bytes());
        assert_eq!(judge(&frame, DeviceChecksum::NotChecked), Some(Reason::ChecksumPartial));
    }
}

#[test]
fn a_frame_that_is_not_all_there_is_not_judged() {
    let mut frame = packet(false, true, &[7; 600]);
    frame[60] ^= 1;
    let mut facts = parse(&frame[..512], frame.len());
    verify(&mut facts, DeviceChecksum::NotChecked, [&frame[..512]]);
    assert_eq!(facts.fault, None);
    verify(&mut facts, DeviceChecksum::NotChecked, [&frame[..512], &frame[512..]]);
    assert_eq!(facts.fault, Some(Reason::TcpBadChecksum));
}

/// A UDP datagram over IPv6 behind an extension header, its sum counting these addresses.
fn rerouted(extension: &[u8], source: [u8; 16], destination: [u8; 16]) -> Vec<u8> {
    let mut frame = [[4; 12].as_slice(), &[0x86, 0xdd, 0x60, 0, 0, 0]].concat();
    frame.extend((extension.len() as u16 + 8).to_be_bytes());
    frame.extend([if extension[2] == 0xc9 { 60 } else { 43 }, 64]);
    frame.extend([[1; 16], [2; 16]].concat());
    frame.extend(extension);
    let datagram = [0, 7, 0, 9, 0, 8, 0, 0];
    let (source, destination) = (u128::from_be_bytes(source), u128::from_be_bytes(destination));
    let mut sum = Sum::of_pseudo_header(&Addresses::V6 { source, destination }, 17, 8);
    sum.add(&datagram);
    frame.extend(&datagram[..6]);
    frame.extend((!sum.folded()).to_be_bytes());
    frame
}

#[test]
fn rfc8200_8_1_the_final_destination_counts() {
    for kind in [2, 4] {
        let header = [&[17, 2, kind, 1, 0, 0, 0, 0][..], &[9; 16]].concat();
        assert_eq!(judge(&rerouted(&header, [1; 16], [9; 16]), DeviceChecksum::NotChecked), None);
        let wrong = judge(&rerouted(&header, [1; 16], [2; 16]), DeviceChecksum::NotChecked);
        assert_eq!(wrong, Some(Reason::UdpBadChecksum));
        // Nothing left to visit: the packet is where it was meant to go.
        let done = [&[17, 2, kind, 0, 0, 0, 0, 0][..], &[9; 16]].concat();
        assert_eq!(judge(&rerouted(&done, [1; 16], [2; 16]), DeviceChecksum::NotChecked), None);
    }
}

#[test]
fn rfc6275_the_home_address_counts() {
    let header = [&[17, 2, 0xc9, 16][..], &[8; 16], &[1, 2, 0, 0]].concat();
    assert_eq!(judge(&rerouted(&header, [8; 16], [2; 16]), DeviceChecksum::NotChecked), None);
    let wrong = judge(&rerouted(&header, [1; 16], [2; 16]), DeviceChecksum::NotChecked);
    assert_eq!(wrong, Some(Reason::UdpBadChecksum));
}
