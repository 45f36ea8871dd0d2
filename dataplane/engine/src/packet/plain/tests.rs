use etherparse::PacketBuilder;
use proptest::prelude::*;

use super::*;
use crate::flow::FlowKey;
use crate::packet::{parse, verify};

const MACS: ([u8; 6], [u8; 6]) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);

/// A frame of a plain packet: family, protocol, tag, so many bytes of data, checksums right.
fn sound(is_v6: bool, is_tcp: bool, is_tagged: bool, data: usize) -> Vec<u8> {
    let (mut frame, data) = (Vec::new(), vec![0x5a; data]);
    let ethernet = PacketBuilder::ethernet2(MACS.0, MACS.1);
    let vlan = 20.try_into().expect("12 bits");
    let network = match (is_v6, is_tagged) {
        (false, false) => ethernet.ipv4([192, 0, 2, 10], [203, 0, 113, 5], 64),
        (false, true) => ethernet.single_vlan(vlan).ipv4([192, 0, 2, 10], [203, 0, 113, 5], 64),
        (true, false) => ethernet.ipv6([0x20; 16], [0x30; 16], 64),
        (true, true) => ethernet.single_vlan(vlan).ipv6([0x20; 16], [0x30; 16], 64),
    };
    let written = if is_tcp {
        network.tcp(40_000, 443, 7, 1000).ack(9).write(&mut frame, &data)
    } else {
        network.udp(40_000, 53).write(&mut frame, &data)
    };
    written.expect("writing to memory");
    frame
}

/// What a glance says of it.
fn glance(port: Port, frame: &[u8], wire_len: usize, device: DeviceChecksum) -> Option<Plain> {
    // What was there before must not matter.
    let mut plain = Plain { wire_len: 9, is_steady: true, ..Plain::default() };
    plain.key.set_v6(7, 8);
    (plain.key.ports, plain.key.tag, plain.tcp.flags) = (5, u32::MAX, 0xff);
    plain.read(port, frame, wire_len, device).then_some(plain)
}

/// What the long way says of the frame, if nothing is wrong with it.
fn long_way(port: Port, frame: &[u8], wire_len: usize, device: DeviceChecksum) -> Option<(FlowKey, Facts)> {
    let mut facts = parse(frame, wire_len);
    verify(&mut facts, device, [frame]);
    let is_plain = facts.fault.is_none() && facts.class == Class::Ip && facts.fragment.is_none();
    is_plain.then(|| (FlowKey::of(&facts, port).expect("it has addresses"), facts))
}

#[test]
fn sound_packets_are_plain_whoever_looked_at_their_checksums() {
    for bits in 0..8 {
        let frame = sound(bits & 1 != 0, bits & 2 != 0, bits & 4 != 0, 26);
        for device in [DeviceChecksum::NotChecked, DeviceChecksum::Good, DeviceChecksum::Bad] {
            for port in Port::ALL {
                let plain = glance(port, &frame, frame.len(), device).expect("it is plain");
                assert_eq!(
                    Some((plain.key.unpacked(), plain.facts(port, &frame))),
                    long_way(port, &frame, frame.len(), device)
                );
                assert!(plain.is_steady);
            }
        }
        // Padding of a short frame, and data beyond the head where a device has summed it.
        let mut padded = frame.clone();
        padded.extend([0; 9]);
        assert!(glance(Port::Lan, &padded, padded.len(), DeviceChecksum::NotChecked).is_some());
        let cut = &frame[..frame.len() - 3];
        assert!(
            glance(Port::Lan, cut, frame.len(), DeviceChecksum::NotChecked).is_none(),
            "it cannot be summed"
        );
        assert!(glance(Port::Lan, cut, frame.len(), DeviceChecksum::Good).is_some());
    }
}

#[test]
fn what_is_not_plain_is_left_to_others() {
    let udp = |port: u16, sum: [u8; 2], is_v6: bool| {
        let mut frame = sound(is_v6, false, false, 26);
        let at = if is_v6 { 54 } else { 34 };
        frame[at + 2..at + 4].copy_from_slice(&port.to_be_bytes());
        frame[at + 6..at + 8].copy_from_slice(&sum);
        glance(Port::Lan, &frame, frame.len(), DeviceChecksum::Good).is_some()
    };
    assert!(udp(53, [0, 0], false), "no checksum was made");
    assert!(!udp(53, [0, 0], true), "IPv6 has no other");
    assert!(udp(53, [1, 2], false), "the device found it right");
    assert!(!udp(4789, [1, 2], false), "of a tunnel it may have looked at the inner one");
    assert!(!udp(0, [1, 2], false));
    let with = |at: usize, byte: u8| {
        let mut frame = sound(false, true, false, 26);
        frame[at] = byte;
        glance(Port::Lan, &frame, frame.len(), DeviceChecksum::Good)
    };
    assert!(with(0, 3).is_none(), "to a group");
    assert!(with(22, 63).is_none(), "the header's checksum");
    assert!(with(47, 3).is_none(), "SYN and FIN");
    assert!(with(46, 0x40).is_none(), "a header of 16 bytes");
    let syn = with(47, 2).expect("it is plain");
    assert!(!syn.is_steady, "but opens something");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// A sound frame with a few bytes changed, its header's checksum mended, cut or not.
    #[test]
    fn a_glance_says_what_the_long_way_says(
        changes in prop::collection::vec((0..90usize, any::<u8>()), 0..4),
        kind in 0..8u8,
        data in 0..40usize,
        from_wan: bool,
        is_mended: bool,
        cut in prop::option::of(0..100usize),
        beyond in 0..20usize,
        device in 0..3usize,
    ) {
        let mut frame = sound(kind & 1 != 0, kind & 2 != 0, kind & 4 != 0, data);
        for (at, byte) in changes {
            let at = at % frame.len();
            frame[at] = byte;
        }
        let at = if kind & 4 != 0 { 18 } else { 14 };
        if is_mended && kind & 1 == 0 {
            frame[at + 10..at + 12].fill(0);
            let mut sum = Sum::default();
            sum.add(&frame[at..at + 20]);
            let field = (!sum.folded()).to_be_bytes();
            frame[at + 10..at + 12].copy_from_slice(&field);
        }
        let wire_len = frame.len() + beyond;
        if let Some(cut) = cut {
            frame.truncate(cut);
        }
        let device = [DeviceChecksum::NotChecked, DeviceChecksum::Good, DeviceChecksum::Bad][device];
        let port = if from_wan { Port::Wan } else { Port::Lan };
        if let Some(plain) = glance(port, &frame, wire_len, device) {
            prop_assert_eq!(Some((plain.key.unpacked(), plain.facts(port, &frame))), long_way(port, &frame, wire_len, device));
            prop_assert_eq!(plain.wire_len as usize, wire_len);
        }
    }

    #[test]
    fn a_glance_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..120), beyond in 0..2000usize) {
        let _ = glance(Port::Lan, &bytes, bytes.len() + beyond, DeviceChecksum::NotChecked);
    }
}
