//! Sessions whose two ends count differently: what each sends is put into the other's numbers.
//!
//! Every end has its own numbers; what the other end hears of them has an offset added. A segment from one end therefore
//! leaves with its sequence number raised by the offset of its sender, and its acknowledgement, and the edges of its SACK
//! blocks, lowered by that of its receiver. Windows and time stamps are put right as well where the ends agreed on
//! something else with the appliance than with each other. In between, tracking and helpers see each end's own numbers,
//! and windows as the end that answered understands them.

use super::options::{self, SACK, TIMESTAMPS};
use crate::packet::checksum::Sum;
use crate::packet::{Facts, Tcp, tcp_flags};
use crate::port::Port;
use crate::record::Rewrite;

/// Words that the session table keeps of a translation.
pub(crate) const WORDS: usize = 4;
const HEADER_MAX: usize = 60;
const CHECKSUM_AT: usize = 16;

/// How the segments of a session are translated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Translation {
    /// By port of the end whose numbers they are added to, LAN first.
    pub(crate) offsets: [u32; 2],
    /// What is added to the time stamps of the end that answered.
    pub(crate) stamp: u32,
    /// The shift that each end has for the windows it sends.
    pub(crate) shifts: [u8; 2],
    /// The shift that the other end takes them to have.
    pub(crate) shifts_heard: [u8; 2],
    /// Neither end has said anything since the handshake by cookie.
    pub(crate) is_silent: bool,
}

/// In the last word, above the shifts.
const SILENT: u32 = 1 << 16;

impl Translation {
    /// Its words.
    pub(crate) fn words(&self) -> [u32; WORDS] {
        let [a, b] = self.shifts.map(u32::from);
        let [c, d] = self.shifts_heard.map(u32::from);
        let silent = if self.is_silent { SILENT } else { 0 };
        [self.offsets[0], self.offsets[1], self.stamp, a | b << 4 | c << 8 | d << 12 | silent]
    }

    /// Back from [`Self::words`].
    pub(crate) fn of_words([lan, wan, stamp, rest]: [u32; WORDS]) -> Self {
        let nibble = |at: u32| u8::try_from(rest >> at & 0xf).unwrap_or(0);
        Self {
            offsets: [lan, wan],
            stamp,
            shifts: [nibble(0), nibble(4)],
            shifts_heard: [nibble(8), nibble(12)],
            is_silent: rest & SILENT != 0,
        }
    }

    /// The same for a session that the two ends begin anew with each other: options are theirs again.
    pub(crate) fn begun_anew(&self) -> Self {
        Self { offsets: self.offsets, ..Self::default() }
    }

    /// A segment of the end behind `port` as tracking sees it; `opener` is the port of the end that opened the session.
    pub(crate) fn tracked(&self, port: Port, opener: Port, tcp: &Tcp) -> Tcp {
        let mut tcp = *tcp;
        if tcp.flags & tcp_flags::ACK != 0 {
            tcp.acknowledgement = tcp.acknowledgement.wrapping_sub(self.offsets[port.other().index()]);
        }
        if port == opener {
            tcp.window = self.window(port, &tcp);
        }
        tcp
    }

    /// A number of the end behind `port`, as a packet has it that was sent to the other end, as its own.
    pub(crate) fn own(&self, port: Port, sequence: u32) -> u32 {
        sequence.wrapping_sub(self.offsets[port.index()])
    }

    /// The number that the other end knows for one of the end behind `port`.
    pub(crate) fn heard(&self, port: Port, sequence: u32) -> u32 {
        sequence.wrapping_add(self.offsets[port.index()])
    }

    /// The window of a segment of the end behind `port` as the other end has to read it. Rounded up: a small window must
    /// not close, and what is sent beyond it is thrown away and sent again.
    fn window(&self, port: Port, tcp: &Tcp) -> u16 {
        let (shift, heard) = (self.shifts[port.index()], self.shifts_heard[port.index()]);
        // The window of a SYN is never scaled (RFC 7323 section 2.2).
        if shift == heard || tcp.flags & tcp_flags::SYN != 0 {
            return tcp.window;
        }
        self.window_heard(port, u32::from(tcp.window) << shift)
    }

    /// The field that tells the other end of a window of so many bytes of the end behind `port`.
    pub(crate) fn window_heard(&self, port: Port, bytes: u32) -> u16 {
        u16::try_from(bytes.div_ceil(1 << self.shifts_heard[port.index()])).unwrap_or(u16::MAX)
    }

    /// The header with which a segment leaves that arrived on `port`: `facts` and `head` are as it came.
    pub(crate) fn rewrite(&self, port: Port, opener: Port, facts: &Facts, head: &[u8]) -> Option<Rewrite> {
        let at = usize::from(facts.transport_at);
        let len = usize::from(facts.tcp.header_len);
        let before = head.get(at..at + len)?;
        let mut header = [0; HEADER_MAX];
        let header = header.get_mut(..len)?;
        header.copy_from_slice(before);
        let (own, other) = (self.offsets[port.index()], self.offsets[port.other().index()]);
        let has_ack = facts.tcp.flags & tcp_flags::ACK != 0;
        add(header, 4, own);
        if has_ack {
            add(header, 8, other.wrapping_neg());
        }
        header.get_mut(14..16)?.copy_from_slice(&self.window(port, &facts.tcp).to_be_bytes());
        if len > 20 {
            self.rewrite_options(port, opener, has_ack, before, header);
        }
        let checksum =
            renewed(u16::from_be_bytes([before[CHECKSUM_AT], before[CHECKSUM_AT + 1]]), before, header);
        header.get_mut(CHECKSUM_AT..CHECKSUM_AT + 2)?.copy_from_slice(&checksum.to_be_bytes());
        Rewrite::of(facts.transport_at, header)
    }

    fn rewrite_options(&self, port: Port, opener: Port, has_ack: bool, before: &[u8], header: &mut [u8]) {
        let other = self.offsets[port.other().index()];
        options::each(&before[20..], |kind, at, value| match (kind, value.len()) {
            (SACK, len) if has_ack && other != 0 => {
                for edge in (0..len / 8 * 8).step_by(4) {
                    add(header, 20 + at + edge, other.wrapping_neg());
                }
            }
            (TIMESTAMPS, 8) if self.stamp != 0 && port != opener => add(header, 20 + at, self.stamp),
            (TIMESTAMPS, 8) if self.stamp != 0 && has_ack => {
                add(header, 20 + at + 4, self.stamp.wrapping_neg());
            }
            _ => {}
        });
    }
}

/// Adds to four bytes, network byte order.
fn add(bytes: &mut [u8], at: usize, more: u32) {
    if let Some(field) = bytes.get_mut(at..).and_then(|bytes| bytes.first_chunk_mut::<4>()) {
        *field = u32::from_be_bytes(*field).wrapping_add(more).to_be_bytes();
    }
}

/// The checksum of what had the checksum `old` and in which `before` became `after` (RFC 1624 section 3, equation 3).
/// Both begin at an even offset of what is summed and have the same length; the checksum itself may lie within if it is
/// the same in both.
pub(crate) fn renewed(old: u16, before: &[u8], after: &[u8]) -> u16 {
    let mut was = Sum::default();
    was.add(before);
    let mut is = Sum::default();
    is.add(after);
    let sum = u32::from(!old) + u32::from(!was.folded()) + u32::from(is.folded());
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{self, DeviceChecksum, parse};
    use etherparse::{PacketBuilder, TcpOptionElement};
    use proptest::prelude::*;

    fn segment(flags: u8, numbers: [u32; 3], window: u16, stamps: (u32, u32), data: &[u8]) -> Vec<u8> {
        let [sequence, acknowledgement, edge] = numbers;
        let mut builder = PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv4([192, 0, 2, 1], [198, 51, 100, 2], 64)
            .tcp(40_000, 443, sequence, window)
            .options(&[
                // An odd offset for what follows.
                TcpOptionElement::Noop,
                TcpOptionElement::SelectiveAcknowledgement((edge, edge.wrapping_add(9)), [None; 3]),
                TcpOptionElement::Timestamp(stamps.0, stamps.1),
            ])
            .expect("they fit");
        if flags & tcp_flags::ACK != 0 {
            builder = builder.ack(acknowledgement);
        }
        let mut frame = Vec::new();
        builder.write(&mut frame, data).expect("it fits");
        frame
    }

    fn translated(translation: &Translation, port: Port, opener: Port, frame: &[u8]) -> Vec<u8> {
        let mut frame = frame.to_vec();
        let facts = parse(&frame, frame.len());
        translation.rewrite(port, opener, &facts, &frame).expect("it is whole").apply(&mut frame);
        frame
    }

    proptest! {
        /// What one translation does the opposite one undoes, and the checksum holds in between.
        #[test]
        fn there_and_back_again(
            numbers: [u32; 3], window: u16, stamps: (u32, u32), offsets: [u32; 2], stamp: u32,
            data in prop::collection::vec(any::<u8>(), 0..50), is_lan: bool,
        ) {
            let translation = Translation { offsets, stamp, ..Translation::default() };
            let opposite = Translation {
                offsets: offsets.map(u32::wrapping_neg), stamp: stamp.wrapping_neg(), ..Translation::default()
            };
            let port = if is_lan { Port::Lan } else { Port::Wan };
            let frame = segment(tcp_flags::ACK, numbers, window, stamps, &data);
            let other = translated(&translation, port, Port::Lan, &frame);
            let mut facts = parse(&other, other.len());
            packet::verify(&mut facts, DeviceChecksum::NotChecked, [&other[..]]);
            prop_assert_eq!(facts.fault, None);
            prop_assert_eq!(facts.tcp.sequence, numbers[0].wrapping_add(offsets[port.index()]));
            prop_assert_eq!(facts.tcp.acknowledgement, numbers[1].wrapping_sub(offsets[port.other().index()]));
            let back = translated(&opposite, port, Port::Lan, &other);
            // Zero has two signs in a sum; which one a sender writes is its own business (RFC 1624 section 3).
            let same = |at: usize| frame[at] == back[at] || (50..52).contains(&at);
            prop_assert!((0..frame.len()).all(same));
        }

        #[test]
        fn words_are_read_back(offsets: [u32; 2], stamp: u32, shifts in [0..15u8, 0..15u8], shifts_heard in [0..15u8, 0..15u8], is_silent: bool) {
            let translation = Translation { offsets, stamp, shifts, shifts_heard, is_silent };
            prop_assert_eq!(Translation::of_words(translation.words()), translation);
        }
    }

    #[test]
    fn windows_are_told_in_the_shift_that_the_other_end_knows() {
        let translation = Translation { shifts: [7, 0], shifts_heard: [0, 7], ..Translation::default() };
        let window = |port: Port, window| translation.window(port, &Tcp { window, ..Tcp::default() });
        assert_eq!((window(Port::Lan, 2), window(Port::Lan, 600)), (256, u16::MAX));
        assert_eq!((window(Port::Wan, 0), window(Port::Wan, 1), window(Port::Wan, 129)), (0, 1, 2));
        assert_eq!(
            translation.window(Port::Wan, &Tcp { window: 500, flags: tcp_flags::SYN, ..Tcp::default() }),
            500
        );
    }
}
