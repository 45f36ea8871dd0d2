//! Segments between honest clients and the published server, made and read field by field: they are few, and their
//! numbers come from whoever answers, so that no template would do.

use crate::config::{Family, Side};
use crate::session::SERVER;
use crate::template::{ETHERNET, Layout, V4, V6, headers, sum};

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const PSH: u8 = 0x08;
pub(crate) const ACK: u8 = 0x10;

/// The port of the server.
const SERVER_PORT: u16 = 443;
/// What both ends offer: 1,460 bytes, and windows in units of 128.
const MSS: [u8; 4] = [2, 4, 0x05, 0xb4];
const SCALE: [u8; 4] = [1, 3, 3, 7];
const SACK: [u8; 2] = [4, 2];
const STAMPS: [u8; 2] = [8, 10];
const NOTHING: u8 = 1;

/// A segment of a client or of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Segment {
    /// The client's address and port.
    pub(crate) address: u32,
    pub(crate) port: u16,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    pub(crate) sequence: u32,
    pub(crate) acknowledgement: u32,
    /// The sender's time, and the one that it has heard.
    pub(crate) stamps: Option<(u32, u32)>,
    pub(crate) data: u16,
}

impl Segment {
    pub(crate) const fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// What it takes of the sender's numbers.
    pub(crate) fn length(&self) -> u32 {
        u32::from(self.data) + u32::from(self.has(SYN)) + u32::from(self.has(FIN))
    }

    /// Its options, of which so many bytes are used.
    fn options(&self) -> ([u8; 20], usize) {
        let mut options = [NOTHING; 20];
        let Some((own, heard)) = self.stamps else { return (options, 0) };
        let mut put = |at: usize, bytes: &[u8]| options[at..at + bytes.len()].copy_from_slice(bytes);
        // As Linux arranges them.
        let (stamps_at, length) = if self.has(SYN) { (6, 20) } else { (2, 12) };
        if self.has(SYN) {
            put(0, &MSS);
            put(4, &SACK);
            put(16, &SCALE);
        }
        put(stamps_at, &STAMPS);
        put(stamps_at + 2, &own.to_be_bytes());
        put(stamps_at + 6, &heard.to_be_bytes());
        (options, length)
    }

    /// Writes the frame that carries it from that side; its length. `out` has room for the longest.
    pub(crate) fn write(&self, family: Family, from: Side, out: &mut [u8]) -> usize {
        let (options, options_len) = self.options();
        let length = 20 + options_len + usize::from(self.data);
        let layout = layout(family);
        let (source, destination, ports) = match from {
            Side::Lan => (SERVER, self.address, [SERVER_PORT, self.port]),
            Side::Wan => (self.address, SERVER, [self.port, SERVER_PORT]),
        };
        let end = (layout.l4 + length).max(60);
        let Some(frame) = out.get_mut(..end) else { return 0 };
        frame.fill(0);
        let pseudo = headers(family, from, source, destination, 6, length, frame);
        let segment = &mut frame[layout.l4..layout.l4 + length];
        segment[..2].copy_from_slice(&ports[0].to_be_bytes());
        segment[2..4].copy_from_slice(&ports[1].to_be_bytes());
        segment[4..8].copy_from_slice(&self.sequence.to_be_bytes());
        segment[8..12].copy_from_slice(&self.acknowledgement.to_be_bytes());
        segment[12] = u8::try_from(20 + options_len).unwrap_or(0) << 2;
        segment[13] = self.flags;
        segment[14..16].copy_from_slice(&self.window.to_be_bytes());
        segment[20..20 + options_len].copy_from_slice(&options[..options_len]);
        segment[20 + options_len..].fill(b'h');
        let checksum = crate::template::checksum(pseudo + sum(segment));
        segment[16..18].copy_from_slice(&checksum.to_be_bytes());
        end
    }

    /// Reads it from a frame of TCP that came out on `side`, between the server and one of its clients. Checksums are not
    /// looked at: that is for tests of the device.
    pub(crate) fn read(family: Family, side: Side, frame: &[u8]) -> Option<Self> {
        let layout = layout(family);
        let to_client = side == Side::Wan;
        let address_at = if to_client { layout.destination } else { layout.source };
        let word = |at: usize| Some(u32::from_be_bytes(*frame.get(at..)?.first_chunk()?));
        let half = |at: usize| Some(u16::from_be_bytes(*frame.get(at..)?.first_chunk()?));
        let at = layout.l4;
        let header = usize::from(frame.get(at + 12)? >> 4) * 4;
        // The length of IP: what is behind it fills the frame up.
        let length = match family {
            Family::V4 => usize::from(half(ETHERNET + 2)?).checked_sub(20)?,
            Family::V6 => usize::from(half(ETHERNET + 4)?),
        };
        let (server_port, port) =
            if to_client { (half(at)?, half(at + 2)?) } else { (half(at + 2)?, half(at)?) };
        if server_port != SERVER_PORT {
            return None;
        }
        Some(Self {
            address: word(address_at)?,
            port,
            flags: *frame.get(at + 13)?,
            window: half(at + 14)?,
            sequence: word(at + 4)?,
            acknowledgement: word(at + 8)?,
            stamps: stamps(frame.get(at + 20..at + header)?),
            data: u16::try_from(length.checked_sub(header)?).ok()?,
        })
    }
}

fn layout(family: Family) -> &'static Layout {
    match family {
        Family::V4 => &V4,
        Family::V6 => &V6,
    }
}

/// The time stamps among the options of a segment.
fn stamps(mut options: &[u8]) -> Option<(u32, u32)> {
    loop {
        match *options {
            [NOTHING, ref rest @ ..] => options = rest,
            [8, 10, ..] => {
                let word = |at: usize| Some(u32::from_be_bytes(*options.get(at..)?.first_chunk()?));
                return Some((word(2)?, word(6)?));
            }
            [kind, length, ..] if kind > NOTHING && length >= 2 => {
                options = options.get(usize::from(length)..)?
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            (address, port, flags, window) in any::<(u32, u16, u8, u16)>(),
            (sequence, acknowledgement, stamps) in any::<(u32, u32, Option<(u32, u32)>)>(),
            data in 0u16..8,
        ) {
            let segment = Segment { address, port, flags, window, sequence, acknowledgement, stamps, data };
            for (family, from) in [(Family::V4, Side::Lan), (Family::V6, Side::Wan)] {
                let mut out = [0xee; 128];
                let len = segment.write(family, from, &mut out);
                prop_assert_eq!(Segment::read(family, from.other(), &out[..len]), Some(segment));
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(frame in prop::collection::vec(any::<u8>(), 0..120)) {
            for family in [Family::V4, Family::V6] {
                for side in Side::ALL {
                    let _ = Segment::read(family, side, &frame);
                }
            }
        }
    }
}
