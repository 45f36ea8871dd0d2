//! Frames made once, of which only addresses, ports, sequence numbers and checksums change.

use crate::config::{Family, FrameSize, Side};
use crate::error::ErrorTemplate;
use crate::segment::{ACK, FIN, PSH, SYN};
use crate::session::{Ends, low};

/// The longest frame, without frame check sequence: the room that a caller's buffer should have.
pub const FRAME_MAX: usize = 1514;

/// What is copied of a short frame, whatever its length: fixed, so that it is a few moves. Callers' buffers are longer.
pub(crate) const HEAD_V4: usize = 64;
pub(crate) const HEAD_V6: usize = 96;
pub(crate) const ROOM_MIN: usize = HEAD_V6;

pub(crate) const ETHERNET: usize = 14;
const SMALLEST: usize = 60;
/// Frames of IMIX without frame check sequence, and how many of twelve.
const IMIX: [(usize, usize); 3] = [(SMALLEST, 7), (590, 4), (FRAME_MAX, 1)];
/// Data in the short packets of a TCP connection: what fills the smallest frame of IPv4.
const TALK: usize = 6;
/// UDP header and 16 bytes of data: fragments end at a multiple of eight.
const FRAGMENT: usize = 24;

/// What a frame carries, for a device that marks packet types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum L4 {
    /// A UDP datagram.
    #[default]
    Udp = 0,
    /// A TCP segment.
    Tcp = 1,
    /// A fragment.
    Fragment = 2,
    /// A message of ICMP or ICMPv6.
    Icmp = 3,
}

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Datagram,
    Syn,
    SynAck,
    Ack,
    Request,
    /// The answer to a request, after which the server has no more to say.
    AnswerFin,
    Fin,
    LastAck,
    Fragment,
    UdpData,
    TcpData,
}

const KINDS: usize = 11;

/// One frame and the sums over what never changes in it.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    bytes: Box<[u8; FRAME_MAX]>,
    len: usize,
    l4: L4,
    ip_sum: u32,
    l4_sum: u32,
    /// What is added to the sender's first sequence number, and to the receiver's.
    seq: u32,
    ack: u32,
    /// All ones where there is an acknowledgement number.
    ack_mask: u32,
}

/// What one packet is to be.
struct Draft {
    tcp_flags: u8,
    data: usize,
    seq: u32,
    ack: u32,
}

impl Draft {
    fn of(kind: Kind, data: usize) -> Self {
        let talk = u32::try_from(TALK).unwrap_or(0);
        let (tcp_flags, data, seq, ack) = match kind {
            Kind::Datagram | Kind::UdpData => (0, data, 0, 0),
            Kind::Syn => (SYN, 0, 0, 0),
            Kind::SynAck => (SYN | ACK, 0, 0, 1),
            Kind::Ack => (ACK, 0, 1, 1),
            Kind::TcpData => (if data > 0 { PSH | ACK } else { ACK }, data, 1, 1),
            Kind::Request => (PSH | ACK, TALK, 1, 1),
            Kind::AnswerFin => (PSH | FIN | ACK, TALK, 1, 1 + talk),
            Kind::Fin => (FIN | ACK, 0, 1 + talk, 2 + talk),
            Kind::LastAck => (ACK, 0, 2 + talk, 2 + talk),
            Kind::Fragment => (0, FRAGMENT - 8, 0, 0),
        };
        Self { tcp_flags, data, seq, ack }
    }
}

pub(crate) fn sum(bytes: &[u8]) -> u32 {
    bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |&low| u32::from(low))).sum()
}

/// The sum of both halves.
#[inline(always)]
pub(crate) const fn halves(x: u32) -> u32 {
    (x >> 16) + (x & 0xffff)
}

/// The ones' complement sum in 16 bits, complemented.
#[inline(always)]
pub(crate) fn checksum(sum: u32) -> u16 {
    !low(halves(halves(sum)))
}

/// Places in a frame that differ between the two versions of IP.
pub(crate) struct Layout {
    pub(crate) source: usize,
    pub(crate) destination: usize,
    pub(crate) l4: usize,
}

pub(crate) const V4: Layout = Layout { source: 26, destination: 30, l4: ETHERNET + 20 };
/// Of the addresses the last four bytes.
pub(crate) const V6: Layout = Layout { source: 34, destination: 50, l4: ETHERNET + 40 };
/// With a fragment header.
const FRAGMENT_HEADER: usize = 8;

/// The first 96 bits of IPv6 addresses, by side: documentation prefixes (RFC 3849).
const PREFIX: [[u8; 12]; 2] =
    [[0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0], [0x20, 0x01, 0x0d, 0xb8, 0, 2, 0, 0, 0, 0, 0, 0]];
const MAC: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];

/// What the fixed parts of both addresses add to the word that is hashed.
pub(crate) fn fixed_word(family: Family) -> u16 {
    if family == Family::V4 {
        return 0;
    }
    let words = PREFIX.iter().flat_map(|prefix| prefix.chunks(2));
    words.fold(0, |word, pair| word ^ u16::from_be_bytes([pair[0], pair[1]]))
}

impl Template {
    fn new(family: Family, kind: Kind, side: Side, data: usize) -> Self {
        let draft = Draft::of(kind, data);
        let l4 = match kind {
            Kind::Datagram | Kind::UdpData => L4::Udp,
            Kind::Fragment => L4::Fragment,
            _ => L4::Tcp,
        };
        let payload = if l4 == L4::Tcp { 20 } else { 8 } + draft.data;
        let is_v6_fragment = family == Family::V6 && l4 == L4::Fragment;
        let extra = if is_v6_fragment { FRAGMENT_HEADER } else { 0 };
        let mut bytes = Box::new([0u8; FRAME_MAX]);
        let at = if family == Family::V4 { V4.l4 } else { V6.l4 + extra };
        let protocol = if l4 == L4::Tcp { 6 } else { 17 };
        let next = if is_v6_fragment { 44 } else { protocol };
        header(family, side, next, payload + extra, bytes.as_mut_slice());
        match family {
            Family::V4 if l4 == L4::Fragment => bytes[ETHERNET + 6] = 0x20,
            Family::V6 if is_v6_fragment => bytes[V6.l4..V6.l4 + 4].copy_from_slice(&[17, 0, 0, 1]),
            _ => {}
        }
        let ip_sum = if family == Family::V4 { halves(sum(&bytes[ETHERNET..ETHERNET + 20])) } else { 0 };
        let segment = &mut bytes[at..at + payload];
        if l4 == L4::Tcp {
            segment[12] = 5 << 4;
            segment[13] = draft.tcp_flags;
            segment[14..16].copy_from_slice(&u16::MAX.to_be_bytes());
        } else {
            // A datagram in fragments says how long it is when it is whole.
            let whole = if l4 == L4::Fragment { payload + 1000 } else { payload };
            segment[4..6].copy_from_slice(&length(whole));
        }
        let header = payload - draft.data;
        for (place, byte) in segment[header..].iter_mut().enumerate() {
            *byte = b'a' + u8::try_from(place % 26).unwrap_or(0);
        }
        let mut l4_sum = sum(segment) + u32::from(protocol) + u32::try_from(payload).unwrap_or(0);
        if family == Family::V6 {
            l4_sum += sum(&PREFIX[0]) + sum(&PREFIX[1]);
        }
        let len = (at + payload).max(SMALLEST);
        let ack_mask = if draft.tcp_flags & ACK == 0 { 0 } else { u32::MAX };
        let l4_sum = halves(l4_sum);
        Self { bytes, len, l4, ip_sum, l4_sum, seq: draft.seq, ack: draft.ack, ack_mask }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn l4(&self) -> L4 {
        self.l4
    }

    /// Writes the frame that the end on `side` sends. Nothing is written into a buffer that is too short.
    #[inline(always)]
    pub(crate) fn write(&self, family: Family, side: Side, ends: &Ends, number: u32, out: &mut [u8]) {
        match family {
            Family::V4 => self.write_as::<HEAD_V4>(&V4, side, ends, number, out),
            Family::V6 => self.write_as::<HEAD_V6>(&V6, side, ends, number, out),
        }
    }

    /// `HEAD` tells the versions of IP apart for the compiler too.
    #[inline(always)]
    fn write_as<const HEAD: usize>(
        &self,
        layout: &Layout,
        side: Side,
        ends: &Ends,
        number: u32,
        out: &mut [u8],
    ) {
        if self.len > HEAD {
            let (Some(to), Some(from)) = (out.get_mut(..self.len), self.bytes.get(..self.len)) else {
                return;
            };
            to.copy_from_slice(from);
        }
        let (Some(frame), Some(head)) = (out.first_chunk_mut::<HEAD>(), self.bytes.first_chunk::<HEAD>())
        else {
            return;
        };
        if self.len <= HEAD {
            *frame = *head;
        }
        let (source, destination, ports) = match side {
            Side::Lan => (ends.lan, ends.wan, u32::from(ends.lan_port) << 16 | u32::from(ends.wan_port)),
            Side::Wan => (ends.wan, ends.lan, u32::from(ends.wan_port) << 16 | u32::from(ends.lan_port)),
        };
        put32(frame, layout.source, source);
        put32(frame, layout.destination, destination);
        let addresses = halves(source) + halves(destination);
        if self.l4 == L4::Fragment {
            self.finish_fragment::<HEAD>(frame, number, ports, addresses);
            return;
        }
        if HEAD == HEAD_V4 {
            put16(frame, 24, checksum(self.ip_sum + addresses));
        }
        put32(frame, layout.l4, ports);
        let sum = self.l4_sum + addresses + halves(ports);
        if self.l4 == L4::Tcp {
            let [own, peer] = if side == Side::Lan { ends.isn } else { [ends.isn[1], ends.isn[0]] };
            let seq = own.wrapping_add(self.seq);
            let ack = peer.wrapping_add(self.ack) & self.ack_mask;
            put32(frame, layout.l4 + 4, seq);
            put32(frame, layout.l4 + 8, ack);
            put16(frame, layout.l4 + 16, checksum(sum + halves(seq) + halves(ack)));
        } else {
            // RFC 768: a sum of zero is sent as all ones.
            let checksum = checksum(sum);
            put16(frame, layout.l4 + 6, if checksum == 0 { u16::MAX } else { checksum });
        }
    }

    /// Each fragment is of a datagram of its own.
    fn finish_fragment<const HEAD: usize>(
        &self,
        frame: &mut [u8; HEAD],
        number: u32,
        ports: u32,
        addresses: u32,
    ) {
        if HEAD == HEAD_V4 {
            put16(frame, 18, low(number));
            put16(frame, 24, checksum(self.ip_sum + addresses + u32::from(low(number))));
            put32(frame, V4.l4, ports);
        } else {
            put32(frame, V6.l4 + 4, number);
            put32(frame, V6.l4 + FRAGMENT_HEADER, ports);
        }
    }
}

#[inline(always)]
pub(crate) fn put32(frame: &mut [u8], at: usize, value: u32) {
    if let Some(place) = frame.get_mut(at..at + 4) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

#[inline(always)]
pub(crate) fn put16(frame: &mut [u8], at: usize, value: u16) {
    if let Some(place) = frame.get_mut(at..at + 2) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).unwrap_or(u16::MAX).to_be_bytes()
}

/// What stands before the payload of so many bytes, without addresses that differ and without the checksum of IPv4.
fn header(family: Family, side: Side, protocol: u8, payload: usize, frame: &mut [u8]) {
    frame[..6].copy_from_slice(&MAC[side.other().index()]);
    frame[6..12].copy_from_slice(&MAC[side.index()]);
    let (ethernet, ip) = frame.split_at_mut(ETHERNET);
    if family == Family::V4 {
        ethernet[12..14].copy_from_slice(&[0x08, 0x00]);
        ip[0] = 0x45;
        ip[2..4].copy_from_slice(&length(20 + payload));
        // Don't fragment.
        ip[6] = 0x40;
        ip[8] = 64;
        ip[9] = protocol;
    } else {
        ethernet[12..14].copy_from_slice(&[0x86, 0xdd]);
        ip[0] = 0x60;
        ip[4..6].copy_from_slice(&length(payload));
        ip[6] = protocol;
        ip[7] = 64;
        ip[8..20].copy_from_slice(&PREFIX[side.index()]);
        ip[24..36].copy_from_slice(&PREFIX[side.other().index()]);
    }
}

/// The same as a whole, in a frame of zeros. What the payload's checksum has to take in of it.
pub(crate) fn headers(
    family: Family,
    side: Side,
    source: u32,
    destination: u32,
    protocol: u8,
    payload: usize,
    frame: &mut [u8],
) -> u32 {
    header(family, side, protocol, payload, frame);
    let layout = if family == Family::V4 { &V4 } else { &V6 };
    put32(frame, layout.source, source);
    put32(frame, layout.destination, destination);
    let mut pseudo = halves(source) + halves(destination);
    if family == Family::V4 {
        let header = checksum(sum(&frame[ETHERNET..V4.l4]));
        put16(frame, ETHERNET + 10, header);
    } else {
        pseudo += sum(&PREFIX[0]) + sum(&PREFIX[1]);
    }
    pseudo + u32::from(protocol) + u32::try_from(payload).unwrap_or(0)
}

/// What is known of a frame of ours that came out of the device under test.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// The LAN end's address and port, and the WAN end's address.
    pub(crate) lan: u32,
    pub(crate) port: u16,
    pub(crate) wan: u32,
    pub(crate) tcp: bool,
    pub(crate) icmp: bool,
    /// Those of TCP; 0 for others.
    pub(crate) flags: u8,
}

/// Reads it back; `side` is where the frame came out.
#[inline]
pub(crate) fn read(family: Family, side: Side, frame: &[u8]) -> Option<Seen> {
    let (layout, ethertype, protocol_at) = match family {
        Family::V4 => (&V4, [0x08, 0x00], ETHERNET + 9),
        Family::V6 => (&V6, [0x86, 0xdd], ETHERNET + 6),
    };
    if frame.get(12..14)? != ethertype {
        return None;
    }
    // What leaves on the WAN side was sent by the LAN end.
    let (lan_at, wan_at, port_at) = if side == Side::Wan {
        (layout.source, layout.destination, layout.l4)
    } else {
        (layout.destination, layout.source, layout.l4 + 2)
    };
    let lan = u32::from_be_bytes(frame.get(lan_at..lan_at + 4)?.try_into().ok()?);
    let wan = u32::from_be_bytes(frame.get(wan_at..wan_at + 4)?.try_into().ok()?);
    let port = u16::from_be_bytes(frame.get(port_at..port_at + 2)?.try_into().ok()?);
    let protocol = *frame.get(protocol_at)?;
    let tcp = protocol == 6;
    let flags = if tcp { *frame.get(layout.l4 + 13)? } else { 0 };
    Some(Seen { lan, port, wan, tcp, icmp: matches!(protocol, 1 | 58), flags })
}

/// All frames of one version of IP.
#[derive(Clone, Debug)]
pub(crate) struct Templates {
    family: Family,
    /// By kind and side.
    short: Vec<[Template; 2]>,
    /// Data by side, protocol (UDP, TCP), and place among the twelve of IMIX.
    data: [[Vec<Template>; 2]; 2],
    /// ICMP errors about UDP and TCP.
    errors: [ErrorTemplate; 2],
}

const ALL: [Kind; KINDS] = [
    Kind::Datagram,
    Kind::Syn,
    Kind::SynAck,
    Kind::Ack,
    Kind::Request,
    Kind::AnswerFin,
    Kind::Fin,
    Kind::LastAck,
    Kind::Fragment,
    Kind::UdpData,
    Kind::TcpData,
];

impl Templates {
    pub(crate) fn new(family: Family, size: FrameSize) -> Self {
        let lengths = match size {
            FrameSize::Smallest => vec![SMALLEST],
            FrameSize::Imix => imix(),
        };
        let ip = if family == Family::V4 { 20 } else { 40 };
        let room = |frame: usize, l4: usize| frame.saturating_sub(ETHERNET + ip + l4);
        let short = ALL
            .iter()
            .map(|&kind| Side::ALL.map(|side| Template::new(family, kind, side, room(SMALLEST, 8))))
            .collect();
        let data = Side::ALL.map(|side| {
            [(Kind::UdpData, 8), (Kind::TcpData, 20)].map(|(kind, l4)| {
                lengths.iter().map(|&frame| Template::new(family, kind, side, room(frame, l4))).collect()
            })
        });
        let errors = [false, true].map(|tcp| ErrorTemplate::new(family, tcp));
        Self { family, short, data, errors }
    }

    /// Whether all data frames are equally short.
    #[inline]
    pub(crate) fn one_size(&self) -> bool {
        self.data[0][0].len() == 1
    }

    #[inline]
    pub(crate) fn family(&self) -> Family {
        self.family
    }

    #[inline]
    pub(crate) fn short(&self, kind: Kind, side: Side) -> &Template {
        &self.short[kind as usize][side.index()]
    }

    #[inline]
    pub(crate) fn error(&self, tcp: bool) -> &ErrorTemplate {
        &self.errors[usize::from(tcp)]
    }

    /// The data frame number `turn` of one side.
    #[inline]
    pub(crate) fn data(&self, side: Side, tcp: bool, turn: usize) -> &Template {
        let list = &self.data[side.index()][usize::from(tcp)];
        if list.len() == 1 { &list[0] } else { &list[turn % list.len()] }
    }
}

/// The twelve of IMIX, mixed as evenly as they can be.
fn imix() -> Vec<usize> {
    let total: usize = IMIX.iter().map(|&(_, share)| share).sum();
    let mut credit = [0; IMIX.len()];
    (0..total)
        .map(|_| {
            for (credit, &(_, share)) in credit.iter_mut().zip(&IMIX) {
                *credit += share;
            }
            let most = (0..IMIX.len()).max_by_key(|&at| credit[at]).unwrap_or(0);
            credit[most] = credit[most].saturating_sub(total);
            IMIX[most].0
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imix_has_its_shares() {
        let frames = imix();
        for (len, share) in IMIX {
            assert_eq!(frames.iter().filter(|&&frame| frame == len).count(), share);
        }
    }
}
