//! The reference: it keeps every range that was sent and every window that was offered, in 64-bit numbers that do not
//! wrap, and looks through all of them for each question.

use super::endpoint::Packet;
use super::*;

/// What one side did, as it passed the firewall.
#[derive(Clone, Debug, Default)]
struct Side {
    isn: Option<u32>,
    /// Every range of sequence numbers that it sent, SYN and FIN counted.
    sent: Vec<(u64, u64)>,
    /// Every window that it offered, in bytes: the number up to which it acknowledged, the window, and the same as the
    /// tracker keeps it: that of a SYN in whole units of its scale.
    offers: Vec<(u64, u64, u64)>,
    has_fin: bool,
    acknowledges: bool,
}

/// What must become of a segment that has ACK, and neither SYN nor RST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Accept,
    Pass,
    Drop,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Reference {
    sides: [Side; 2],
    scales: [Option<u8>; 2],
}

impl Reference {
    /// A packet of the conversation passes, and counts.
    pub(super) fn record(&mut self, side: usize, packet: &Packet) {
        let Segment { tcp, options } = packet.segment;
        let is_syn = packet.segment.is(SYN);
        if is_syn {
            self.sides[side].isn.get_or_insert(tcp.sequence);
            self.scales[side] = self.scales[side].max(options.scale);
        }
        // An acknowledgement may come before the SYN of its sender, which was lost before us.
        if packet.segment.is(RST) || self.sides[side].isn.is_none() {
            return;
        }
        let begin = self.offset(side, tcp.sequence);
        let counted = u64::from(tcp.data_len) + u64::from(is_syn) + u64::from(packet.segment.is(FIN));
        self.sides[side].sent.push((begin, begin + counted));
        self.sides[side].has_fin |= packet.segment.is(FIN);
        let shift = if is_syn { 0 } else { self.shift(side) };
        self.sides[side].acknowledges |= packet.segment.is(ACK);
        let edge_from = if packet.segment.is(ACK) { self.offset(1 - side, tcp.acknowledgement) } else { 1 };
        let window = u64::from(tcp.window) << shift;
        let kept = match is_syn {
            // Once it is acknowledged it tells nothing new.
            true if self.sides[1 - side].acknowledges => 0,
            true => window.next_multiple_of(1 << options.scale.unwrap_or(0)),
            false => window,
        };
        self.sides[side].offers.push((edge_from, window, kept));
    }

    fn shift(&self, side: usize) -> u8 {
        match self.scales {
            [Some(_), Some(_)] => self.scales[side].unwrap_or(0),
            _ => 0,
        }
    }

    /// The offset of a number, of the many that share it the one nearest to what the side has sent.
    fn offset(&self, side: usize, number: u32) -> u64 {
        let about = self.end(side);
        let isn = self.sides[side].isn.unwrap_or(0);
        let delta = number.wrapping_sub(isn.wrapping_add(about as u32)) as i32;
        about.saturating_add_signed(i64::from(delta))
    }

    pub(super) fn number(&self, side: usize, offset: u64) -> u32 {
        self.sides[side].isn.unwrap_or(0).wrapping_add(offset as u32)
    }

    pub(super) fn end(&self, side: usize) -> u64 {
        self.sides[side].sent.iter().map(|(_, end)| *end).max().unwrap_or(0)
    }

    /// The right edge of all that `side` may send.
    pub(super) fn edge(&self, side: usize) -> u64 {
        let offered = self.sides[1 - side].offers.iter().map(|(from, window, _)| from + window);
        // Data in a SYN knows no window.
        let with_syn = self.sides[side].sent.iter().filter(|(begin, _)| *begin == 0).map(|(_, end)| *end);
        offered.chain(with_syn).max().unwrap_or(0)
    }

    pub(super) fn window_max(&self, side: usize) -> u64 {
        let is_scaled = self.scales.iter().all(Option::is_some);
        let most = if is_scaled { u64::MAX } else { u64::from(u16::MAX) };
        self.sides[side].offers.iter().map(|(.., kept)| *kept).max().unwrap_or(0).min(most)
    }

    /// What it knows, in a line.
    pub(super) fn summary(&self, side: usize) -> String {
        let bound = |side| (self.end(side), self.edge(side), self.window_max(side));
        format!(
            "sent, edge and window {:?}, of the other {:?}; last offers {:?}",
            bound(side),
            bound(1 - side),
            &self.sides[1 - side].offers[self.sides[1 - side].offers.len().saturating_sub(4)..]
        )
    }

    /// Whether the SYN of the other side carried more than the windows of `side` take: the tracker then knows more.
    pub(super) fn is_overfull(&self, side: usize) -> bool {
        let syns = self.sides[1 - side].sent.iter().filter(|(begin, _)| *begin == 0);
        syns.map(|(_, end)| *end).max().unwrap_or(0) > self.window_max(side)
    }

    /// How far below what the other side has sent an acknowledgement of `side` may lie.
    pub(super) fn lag(&self, side: usize) -> u64 {
        (2 * self.window_max(side)).max(66_000) + 1
    }

    /// Whether `begin` lies where the window of the other side's SYN ends, to a unit of its scale.
    pub(super) fn is_at_edge_of_syn(&self, side: usize, begin: i64) -> bool {
        let offers = self.sides[1 - side].offers.iter();
        let of_syn = offers.filter(|(from, ..)| *from <= 1).map(|(.., kept)| 1 + kept).max().unwrap_or(0);
        begin >= self.edge(side) as i64 && begin <= of_syn as i64 + 1
    }

    /// What must become of a segment of `side` with these offsets in an established session; signed, for what lies below
    /// the initial numbers.
    pub(super) fn judge(&self, side: usize, begin: i64, len: i64, fin: bool, acknowledges: i64) -> Wanted {
        let (sent, other) = (self.end(side) as i64, self.end(1 - side) as i64);
        let end = begin + len + i64::from(fin);
        // One more for the number behind a probe of a closed window.
        let above = begin - self.edge(side) as i64 - i64::from(begin == end);
        let is_too_high = above > 0 && end > sent;
        if acknowledges > other || acknowledges < other - self.lag(side) as i64 || is_too_high {
            return Wanted::Drop;
        }
        if end < sent - self.window_max(1 - side) as i64 - 1 {
            return if sent - end <= 1 << 30 { Wanted::Pass } else { Wanted::Drop };
        }
        if self.sides[side].has_fin && end > sent { Wanted::Drop } else { Wanted::Accept }
    }
}
