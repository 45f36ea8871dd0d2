use super::*;
use proptest::prelude::*;

/// Writes numbers in either byte order.
#[derive(Clone, Copy, Debug)]
struct Order {
    big: bool,
}

impl Order {
    fn u16(self, value: u16) -> [u8; 2] {
        if self.big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn u32(self, value: u32) -> [u8; 4] {
        if self.big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    /// A pcap of one frame of `head`, `wire_len` bytes on the wire, at 7 s and `fraction`.
    fn pcap(self, magic: u32, link_type: u32, fraction: u32, head: &[u8], wire_len: u32) -> Vec<u8> {
        let mut file = self.u32(magic).to_vec();
        file.extend([self.u16(2), self.u16(4)].concat());
        file.extend([0, 0, 65_535, link_type].map(|field| self.u32(field)).concat());
        file.extend(
            [7, fraction, u32::try_from(head.len()).unwrap(), wire_len].map(|field| self.u32(field)).concat(),
        );
        file.extend(head);
        file
    }

    fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
        let padded = body.len().next_multiple_of(4);
        let len = self.u32(u32::try_from(padded + 12).unwrap());
        let padding = vec![0; padded - body.len()];
        [&self.u32(kind)[..], &len, body, &padding, &len].concat()
    }

    fn section(self) -> Vec<u8> {
        let body = [&self.u32(0x1a2b_3c4d)[..], &self.u16(1), &self.u16(0), &[0xff; 8]].concat();
        self.block(0x0a0d_0d0a, &body)
    }

    /// An interface with these options: code and value.
    fn interface(self, link_type: u16, options: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = [&self.u16(link_type)[..], &[0; 2], &self.u32(0)].concat();
        for (code, value) in options {
            body.extend([self.u16(*code), self.u16(u16::try_from(value.len()).unwrap())].concat());
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        self.block(1, &body)
    }

    fn packet(self, interface: u32, units: u64, head: &[u8], wire_len: u32) -> Vec<u8> {
        let (high, low) = (u32::try_from(units >> 32).unwrap(), u32::try_from(units & 0xffff_ffff).unwrap());
        let len = u32::try_from(head.len()).unwrap();
        let mut body = [interface, high, low, len, wire_len].map(|field| self.u32(field)).concat();
        body.extend(head);
        self.block(6, &body)
    }
}

const LITTLE: Order = Order { big: false };
const BIG: Order = Order { big: true };
const MICROS: u32 = 0xa1b2_c3d4;
const NANOS: u32 = 0xa1b2_3c4d;

/// All frames: time, length on the wire, bytes.
fn read(file: &[u8]) -> Result<Vec<Frame>, CaptureError> {
    let mut capture = Capture::new("f", file)?;
    let (mut frames, mut frame) = (Vec::new(), Frame::default());
    while capture.next_frame(&mut frame)? {
        frames.push(frame.clone());
    }
    Ok(frames)
}

fn fault(file: &[u8]) -> String {
    read(file).expect_err("the file is wrong").to_string()
}

#[test]
fn pcap_is_read_in_either_byte_order_and_resolution() {
    for order in [LITTLE, BIG] {
        for (magic, nanos) in [(MICROS, 1_000), (NANOS, 1)] {
            let file = order.pcap(magic, 1, 123, b"a frame, cut", 60);
            let expected =
                Frame { time_ns: 7_000_000_000 + 123 * nanos, wire_len: 60, bytes: b"a frame, cut".to_vec() };
            assert_eq!(read(&file).unwrap(), [expected], "{order:?} {magic:x}");
        }
    }
}

#[test]
fn pcapng_is_read_in_either_byte_order_with_several_interfaces() {
    for order in [LITTLE, BIG] {
        let offset = if order.big { 5i64.to_be_bytes() } else { 5i64.to_le_bytes() };
        let file = [
            order.section(),
            order.interface(1, &[]),
            order.interface(1, &[(9, &[9]), (14, &offset)]),
            order.interface(1, &[(9, &[0x80 | 10])]),
            order.interface(113, &[]),
            order.packet(0, 1_000_001, b"micro", 5),
            order.packet(1, 2_000_000_001, b"nano, and five seconds more", 27),
            order.packet(2, 9 * 1024 + 512, b"binary", 6),
            // Another section has interfaces of its own.
            order.section(),
            order.interface(1, &[(9, &[3])]),
            order.packet(0, 10_001, b"milli", 5),
        ]
        .concat();
        let times: Vec<_> = read(&file).unwrap().iter().map(|frame| frame.time_ns).collect();
        assert_eq!(times, [1_000_001_000, 7_000_000_001, 9_500_000_000, 10_001_000_000], "{order:?}");
    }
}

#[test]
fn sections_of_different_byte_order_follow_each_other() {
    let file = [LITTLE, BIG, LITTLE]
        .map(|order| [order.section(), order.interface(1, &[]), order.packet(0, 1, b"x", 1)].concat())
        .concat();
    assert_eq!(read(&file).unwrap().len(), 3);
}

#[test]
fn a_capture_without_frames_is_one() {
    assert_eq!(read(&LITTLE.pcap(MICROS, 1, 0, b"", 0)[..24]).unwrap(), []);
    assert_eq!(read(&LITTLE.section()).unwrap(), []);
}

#[test]
fn a_frame_longer_than_the_buffer_is_read() {
    let head = vec![7; 3 << 20];
    let len = u32::try_from(head.len()).unwrap();
    assert_eq!(read(&LITTLE.pcap(MICROS, 1, 0, &head, len)).unwrap()[0].bytes.len(), head.len());
    let file = [LITTLE.section(), LITTLE.interface(1, &[]), LITTLE.packet(0, 0, &head, len)].concat();
    assert_eq!(read(&file).unwrap()[0].bytes.len(), head.len());
}

#[test]
fn what_is_no_capture_is_refused() {
    for file in [&b""[..], b"abc", b"version: 1\nzones: {}\n and more than a header would have"] {
        assert_eq!(
            fault(file),
            "f: this is neither pcap nor pcapng; replay reads what tcpdump and Wireshark write"
        );
    }
    assert!(fault(&LITTLE.pcap(MICROS, 1, 0, b"", 0)[..20]).contains("ends in the middle"));
    assert!(fault(&LITTLE.section()[..20]).contains("ends in the middle"));
}

#[test]
fn a_link_type_other_than_ethernet_is_refused() {
    let text = fault(&LITTLE.pcap(MICROS, 113, 0, b"x", 1));
    assert!(
        text.starts_with("f: packet 1, at byte 0: the link type is 113, and only Ethernet (1)"),
        "{text}"
    );
    let file = [LITTLE.section(), LITTLE.interface(101, &[]), LITTLE.packet(0, 1, b"x", 1)].concat();
    assert!(fault(&file).contains("the link type is 101"));
}

#[test]
fn damage_is_told_with_its_packet_and_place() {
    let whole = LITTLE.pcap(MICROS, 1, 0, b"one", 3);
    let cut = [&whole[..], &whole[24..whole.len() - 1]].concat();
    let expected = "f: packet 2, at byte 43: the file ends in the middle of a record; its end is missing, or a length in it is damaged";
    assert_eq!(fault(&cut), expected);

    let mut endless = [&whole[..], &whole[24..], &vec![0; 20 << 20]].concat();
    endless[43 + 8..43 + 12].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(
        fault(&endless).starts_with("f: packet 2, at byte 43: the record claims to be longer than 16 MiB")
    );

    let mut damaged = [LITTLE.section(), LITTLE.interface(1, &[]), LITTLE.packet(0, 1, b"one", 3)].concat();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    assert_eq!(
        fault(&damaged),
        "f: packet 1, at byte 48: the record is damaged; the capture cannot be read from here on"
    );
}

#[test]
fn what_replay_cannot_use_is_refused_with_the_remedy() {
    let with = |block: Vec<u8>| fault(&[LITTLE.section(), LITTLE.interface(1, &[]), block].concat());
    assert!(with(LITTLE.block(3, &LITTLE.u32(1))).contains("no time stamp"));
    assert!(with(LITTLE.block(2, &[0; 24])).contains("obsolete packet block"));
    assert!(with(LITTLE.packet(7, 1, b"x", 1)).contains("interface 7"));
    assert!(with(LITTLE.packet(0, u64::MAX, b"x", 1)).contains("before 1970 or after 2554"));
    assert!(with(LITTLE.interface(1, &[(9, &[20])])).contains("if_tsresol 20"));
    assert!(with(LITTLE.interface(1, &[(9, &[0xc0])])).contains("if_tsresol 192"));
}

#[test]
fn blocks_that_speak_of_no_frame_are_passed_over() {
    let file = [
        LITTLE.section(),
        LITTLE.interface(1, &[]),
        LITTLE.block(5, &[0; 12]),
        LITTLE.block(4, &[0; 4]),
        LITTLE.block(0x8765_4321, b"whatever"),
        LITTLE.packet(0, 1, b"x", 1),
    ]
    .concat();
    assert_eq!(read(&file).unwrap().len(), 1);
}

#[test]
fn an_input_that_cannot_be_read_says_why() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the disk is gone"))
        }
    }
    let later = LITTLE.pcap(MICROS, 1, 0, b"one", 3);
    let error = Capture::new("f", Broken).unwrap_err();
    let source = |error: &CaptureError| std::error::Error::source(error).unwrap().to_string();
    assert_eq!(
        (error.to_string().as_str(), source(&error).as_str()),
        ("f: the file cannot be read", "the disk is gone")
    );
    let error = Capture::new("f", later.chain(Broken)).unwrap_err();
    assert_eq!(source(&error), "the disk is gone");
}

/// A pipe gives what it has.
struct Trickle<'a>(&'a [u8]);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let len = buffer.len().min(3);
        self.0.read(&mut buffer[..len])
    }
}

#[test]
fn an_input_that_trickles_is_read_whole() {
    let file = [LITTLE.section(), LITTLE.interface(1, &[]), LITTLE.packet(0, 1, &[1; 1000], 1000)].concat();
    let mut capture = Capture::new("f", Trickle(&file)).unwrap();
    let mut frame = Frame::default();
    assert!(capture.next_frame(&mut frame).unwrap());
    assert_eq!(frame.bytes, [1; 1000]);
    assert!(!capture.next_frame(&mut frame).unwrap());
}

fn some_capture() -> impl Strategy<Value = Vec<u8>> {
    (any::<bool>(), any::<bool>()).prop_map(|(big, is_ng)| {
        let order = Order { big };
        if is_ng {
            let packet = |units| order.packet(0, units, b"some bytes of a frame", 60);
            [
                order.section(),
                order.interface(1, &[(9, &[6])]),
                packet(1),
                order.block(5, &[0; 12]),
                packet(2),
            ]
            .concat()
        } else {
            let one = order.pcap(NANOS, 1, 5, b"some bytes of a frame", 60);
            [&one[..], &one[24..], &one[24..]].concat()
        }
    })
}

proptest! {
    /// A damaged capture ends with frames or a message, never with a panic, and never goes on forever.
    #[test]
    fn damage_never_panics(
        mut file in some_capture(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        is_cut: bool,
    ) {
        for (at, value) in flips {
            let at = at.index(file.len());
            file[at] = value;
        }
        if is_cut {
            file.truncate(cut.index(file.len()));
        }
        let frames = read(&file).map_or(0, |frames| frames.len());
        prop_assert!(frames <= file.len());
    }

    /// Nor does any garbage behind a good beginning.
    #[test]
    fn garbage_never_panics(file in some_capture(), garbage in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&[&file[..48.min(file.len())], &garbage].concat());
        let _ = read(&garbage);
    }
}
