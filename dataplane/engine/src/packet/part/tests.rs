use proptest::prelude::*;

use super::*;
use crate::packet::{Addresses, Class, VlanStack, checksum, parse};

/// A fragment of an IPv4 datagram, in a frame, with a right header checksum.
fn fragment(protocol: u8, flags: u16, bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0];
    frame.extend(((20 + bytes.len()) as u16).to_be_bytes());
    frame.extend([0x12, 0x34]);
    frame.extend(flags.to_be_bytes());
    frame.extend([64, protocol, 0, 0, 192, 0, 2, 10, 203, 0, 113, 5]);
    sum(&mut frame);
    frame.extend(bytes);
    frame
}

/// Makes the header checksum right.
fn sum(frame: &mut [u8]) {
    frame[24..26].fill(0);
    let mut sum = checksum::Sum::default();
    sum.add(&frame[14..34]);
    frame[24..26].copy_from_slice(&(!sum.folded()).to_be_bytes());
}

fn key_of(frame: &[u8], wire_len: usize) -> Option<PackedKey> {
    // What was there before must not matter.
    let mut key = PackedKey { ports: u32::MAX, tag: u32::MAX, ..PackedKey::default() };
    key.set_v6(7, 8);
    read(&mut key, frame, wire_len).map(|()| key)
}

const UDP: [u8; 24] = [0x13, 0x88, 0, 53, 0, 200, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

#[test]
fn the_fragments_of_floods_are_read() {
    let more = 0x2000;
    for (protocol, flags, bytes) in [
        (protocol::UDP, more, &UDP[..]),
        (protocol::UDP, more, &UDP[..8]),
        (protocol::UDP, more | 3, &UDP[..16]),
        (protocol::UDP, 3, &UDP[..5]),
        (protocol::ICMP, more | 1, &UDP[..]),
    ] {
        let frame = fragment(protocol, flags, bytes);
        let key = key_of(&frame, 60).expect("nothing is wrong with it");
        assert_eq!((key.lan, key.wan), (0xc000_020a, 0xcb00_7105));
        assert_eq!((key.ports, key.tag, key.is_v6), (0x1234, u32::from(protocol) << 24, false));
    }
    assert!(key_of(&fragment(protocol::UDP, 0, &UDP), 60).is_none(), "it is whole");
    assert!(key_of(&fragment(protocol::TCP, more, &UDP), 60).is_none(), "its header is for others to read");
}

proptest! {
    /// What is read is what the long way reads, which finds no fault in it.
    #[test]
    fn says_nothing_that_the_long_way_does_not(
        protocol in prop::sample::select(vec![protocol::UDP, protocol::TCP, protocol::ICMP, 50]),
        flags in prop_oneof![Just(0x2000), Just(0x2001), Just(1), Just(0x3fff), Just(0x1ffe), any::<u16>()],
        bytes in prop_oneof![Just(UDP.to_vec()), prop::collection::vec(any::<u8>(), 0..64)],
        changes in prop::collection::vec((0..60_usize, any::<u8>()), 0..3),
        is_summed: bool,
        cut in 0..100_usize,
        wire_len in 0..100_usize,
    ) {
        let mut frame = fragment(protocol, flags, &bytes);
        for (at, byte) in changes {
            if let Some(there) = frame.get_mut(at) {
                *there = byte;
            }
        }
        if is_summed {
            sum(&mut frame);
        }
        frame.truncate(cut.max(14));
        if let Some(key) = key_of(&frame, wire_len) {
            let facts = parse(&frame, wire_len);
            prop_assert_eq!((facts.fault, facts.class, facts.vlan), (None, Class::Ip, VlanStack::UNTAGGED));
            let fragment = facts.fragment.expect("it is one");
            let (source, destination) = (key.lan, key.wan);
            prop_assert_eq!(facts.addresses, Addresses::V4 { source, destination });
            prop_assert_eq!((fragment.identification, facts.protocol), (key.ports, key.protocol()));
            prop_assert!(!facts.to_group && !key.is_v6);
        }
    }
}
