//! An end of a TCP connection as RFC 9293 has it, in small: it sends what an end may send in its state, and judges what
//! arrives as an end does. Numbers are offsets from initial numbers, SYN at 0, in 64 bits: nothing wraps in here.

use super::*;

/// Numbers that look random and follow from a seed.
#[derive(Clone)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// Below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }

    /// Once in `times`.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// How an end behaves.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    pub(crate) scale: Option<u8>,
    pub(crate) sack: bool,
    /// Data in its SYN, or what it takes of it.
    pub(crate) fast_open: u64,
    pub(crate) buffer: u64,
    /// Bytes it sends in all.
    pub(crate) total: u64,
    pub(crate) segment_max: u64,
    /// Takes back windows that it has offered.
    pub(crate) shrinks: bool,
    /// Keepalives carry a byte, probes of a closed window the next one.
    pub(crate) garbage: bool,
    /// Closes when it has sent everything.
    pub(crate) closes: bool,
    /// Aborts at some moment.
    pub(crate) aborts: bool,
}

/// A segment under way, with what selective acknowledgement tells.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) segment: Segment,
    pub(crate) sack: Vec<(u64, u64)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) manner: Manner,
    pub(crate) isn: u32,
    /// SND.NXT, SND.UNA, right edge of the window, largest window ever, what the last update came with.
    pub(crate) next: u64,
    pub(crate) acknowledged: u64,
    edge: u64,
    edge_max: u64,
    pub(crate) window_max: u64,
    updated_by: (u64, u64),
    sacked: Vec<(u64, u64)>,
    peer_isn: Option<u32>,
    /// RCV.NXT, what arrived beyond it, what the program has read, the right edge that was offered.
    pub(crate) expected: u64,
    beyond: Vec<(u64, u64)>,
    read: u64,
    offered: u64,
    peer_fin: Option<u64>,
    /// Shift of own windows, and of the other end's.
    shifts: [u8; 2],
    is_scaled: bool,
    is_passive: bool,
    acknowledges_later: bool,
    /// Aborted, or reset.
    pub(crate) is_dead: bool,
}

impl Endpoint {
    pub(crate) fn new(isn: u32, manner: Manner, is_passive: bool) -> Self {
        Self {
            manner,
            isn,
            next: 0,
            acknowledged: 0,
            edge: 0,
            edge_max: 0,
            window_max: 0,
            updated_by: (0, 0),
            sacked: Vec::new(),
            peer_isn: None,
            expected: 0,
            beyond: Vec::new(),
            read: 1,
            offered: 0,
            peer_fin: None,
            shifts: [0; 2],
            is_scaled: false,
            is_passive,
            acknowledges_later: false,
            is_dead: false,
        }
    }

    fn fin(&self) -> u64 {
        self.manner.total + 1
    }

    /// It knows the other end's SYN.
    pub(crate) fn has_met(&self) -> bool {
        self.peer_isn.is_some()
    }

    /// Its FIN is acknowledged.
    pub(crate) fn has_closed(&self) -> bool {
        self.acknowledged > self.fin()
    }

    /// All that it will ever send is acknowledged.
    pub(crate) fn is_quiet(&self) -> bool {
        self.is_dead || self.acknowledged == self.fin() + u64::from(self.manner.closes)
    }

    fn packet(&mut self, flags: u8, offset: u64, len: u64) -> Packet {
        let is_syn = flags & SYN != 0;
        let shift = if is_syn { 0 } else { self.shifts[0] };
        let held = self.expected.saturating_sub(self.read);
        let mut room = self.manner.buffer.saturating_sub(held);
        if !self.manner.shrinks {
            room = room.max(self.offered.saturating_sub(self.expected));
        }
        let window = (room >> shift).min(0xffff);
        self.offered = self.expected + (window << shift);
        let acknowledgement = match self.peer_isn {
            Some(isn) if flags & ACK != 0 => isn.wrapping_add(self.expected as u32),
            _ => 0,
        };
        let tcp = Tcp {
            sequence: self.isn.wrapping_add(offset as u32),
            acknowledgement,
            window: window as u16,
            flags,
            header_len: 20,
            data_len: len as u32,
        };
        let scale = if is_syn && (flags & ACK == 0 || self.is_scaled) { self.manner.scale } else { None };
        let options = SynOptions { scale, fast_open: is_syn && self.manner.fast_open > 0 };
        Packet { segment: Segment { tcp, options }, sack: self.beyond.clone() }
    }

    fn bare(&mut self) -> Packet {
        self.acknowledges_later = false;
        // Data in a SYN may have gone beyond a window that was not known yet: such a number would not be taken.
        let offset = if self.next > self.edge_max + 1 { self.edge } else { self.next };
        self.packet(ACK, offset, 0)
    }

    fn syn(&mut self, with_data: bool) -> Packet {
        let flags = if self.peer_isn.is_some() { SYN | ACK } else { SYN };
        // Whoever opens does not know the window yet.
        let room = if self.peer_isn.is_some() { self.edge.saturating_sub(1) } else { u64::MAX };
        let len = if with_data { self.manner.fast_open.min(self.manner.total).min(room) } else { 0 };
        self.next = self.next.max(1 + len);
        self.packet(flags, 0, len)
    }

    /// Data from `offset` on, up to `end`, with the FIN where they meet it.
    fn data(&mut self, dice: &mut Dice, offset: u64, end: u64) -> Packet {
        let last = end.min(offset + self.manner.segment_max).min(self.fin());
        let len = last.saturating_sub(offset);
        let has_fin = self.manner.closes && offset + len == self.fin() && end > self.fin();
        let urgent = if dice.once_in(20) { tcp_flags::URG } else { 0 };
        let flags = ACK | urgent | if has_fin { FIN } else { 0 } | if dice.once_in(2) { PSH } else { 0 };
        self.next = self.next.max(offset + len + u64::from(has_fin));
        self.packet(flags, offset, len)
    }

    /// A moment of its own: it opens, sends, sends again, probes, reads, closes, aborts.
    pub(crate) fn act(&mut self, dice: &mut Dice) -> Option<Packet> {
        if self.is_dead || self.is_passive && self.peer_isn.is_none() {
            return None;
        }
        let is_fast = self.manner.fast_open > 0 && self.is_passive && self.acknowledged == 0;
        if self.acknowledged == 0 && !(is_fast && self.next > 0 && dice.once_in(2)) {
            let with_data = self.next == 0 || dice.once_in(2);
            return Some(self.syn(with_data));
        }
        if self.manner.aborts && dice.once_in(40) {
            self.is_dead = true;
            return Some(self.packet(RST | if dice.once_in(2) { ACK } else { 0 }, self.next, 0));
        }
        self.read += dice.below(self.expected.saturating_sub(self.read) + 1);
        let last = self.fin() + u64::from(self.manner.closes);
        let has_room = self.next < self.edge;
        match dice.below(10) {
            0..=4 if self.next < last && has_room => {
                let end = last.min(self.edge);
                Some(self.data(dice, self.next, end))
            }
            5 | 6 if self.acknowledged < self.next => self.again(dice),
            // The window is closed: a byte beyond it, or a number below it.
            7 if self.next == self.edge && self.next < self.fin() && self.acknowledged > 0 => {
                match self.manner.garbage {
                    true => Some(self.data(dice, self.next, self.next + 1)),
                    false => Some(self.packet(ACK, self.acknowledged - 1, 0)),
                }
            }
            // Idle: a keepalive (RFC 9293 section 3.8.4), with or without a byte.
            8 if self.acknowledged == self.next => {
                Some(self.packet(ACK, self.next - 1, u64::from(self.manner.garbage)))
            }
            _ if self.acknowledges_later || dice.once_in(3) => Some(self.bare()),
            _ => None,
        }
    }

    /// What its timer sends again: from the lowest number that is not acknowledged, or any hole above.
    fn again(&mut self, dice: &mut Dice) -> Option<Packet> {
        let mut from = self.acknowledged.max(1);
        // Not what a SYN carried beyond the window that it did not know.
        let limit = self.next.min(self.edge_max.max(from + 1));
        if dice.once_in(2) {
            from += dice.below(limit - from.min(limit - 1));
        }
        if self.manner.sack {
            while let Some((_, end)) = self.sacked.iter().find(|(begin, end)| *begin <= from && from < *end) {
                from = *end;
            }
        }
        let end = limit.min(from + 1 + dice.below(self.manner.segment_max));
        (from < limit).then(|| self.data(dice, from, end))
    }

    /// What it answers at once.
    pub(crate) fn receive(&mut self, packet: &Packet, dice: &mut Dice) -> Option<Packet> {
        let tcp = &packet.segment.tcp;
        if self.is_dead {
            return self.refuse(&packet.segment);
        }
        let Some(peer_isn) = self.peer_isn else { return self.meet(packet, dice) };
        let near = |isn: u32, about: u64, number: u32| {
            let delta = number.wrapping_sub(isn.wrapping_add(about as u32)) as i32;
            about.checked_add_signed(i64::from(delta))
        };
        if packet.segment.is(SYN) {
            let is_same = tcp.sequence == peer_isn;
            if is_same && packet.segment.is(ACK) && self.acknowledged == 0 {
                // The other half of a simultaneous open.
                self.acknowledge(packet, near(self.isn, self.next, tcp.acknowledgement)?, 0);
            }
            // Otherwise a challenge (RFC 5961 section 4), or the SYN/ACK again.
            let repeats = self.acknowledged == 0 && self.is_passive;
            return Some(if repeats { self.syn(false) } else { self.bare() });
        }
        let begin = near(peer_isn, self.expected, tcp.sequence)?;
        if packet.segment.is(RST) {
            self.is_dead |= begin == self.expected;
            let challenges = begin > self.expected && begin < self.offered;
            return challenges.then(|| self.bare());
        }
        let number = near(self.isn, self.next, tcp.acknowledgement)?;
        // RFC 5961 section 5.2.
        if number > self.next || number + self.window_max < self.acknowledged {
            return Some(self.bare());
        }
        if self.acknowledged == 0 && number == 0 {
            return None;
        }
        self.acknowledge(packet, number, begin);
        self.take(packet, begin, dice)
    }

    /// The other end's SYN.
    fn meet(&mut self, packet: &Packet, dice: &mut Dice) -> Option<Packet> {
        let Segment { tcp, options } = &packet.segment;
        if packet.segment.is(ACK) {
            let number = u64::from(tcp.acknowledgement.wrapping_sub(self.isn));
            if self.is_passive || number == 0 || number > self.next {
                return None;
            }
            // The refusal of its SYN.
            self.is_dead |= packet.segment.is(RST);
        }
        if !packet.segment.is(SYN) || packet.segment.is(RST) {
            return None;
        }
        self.peer_isn = Some(tcp.sequence);
        if let (Some(own), Some(other)) = (self.manner.scale, options.scale) {
            (self.shifts, self.is_scaled) = ([own, other], true);
        }
        self.expected = 1;
        if self.manner.fast_open > 0 && dice.once_in(2) {
            self.expected += u64::from(tcp.data_len);
        }
        self.offered = self.expected;
        if packet.segment.is(ACK) {
            self.acknowledge(packet, u64::from(tcp.acknowledgement.wrapping_sub(self.isn)), 0);
            return Some(self.bare());
        }
        self.edge = 1 + u64::from(tcp.window);
        self.edge_max = self.edge;
        self.window_max = u64::from(tcp.window);
        Some(self.syn(dice.once_in(2)))
    }

    fn acknowledge(&mut self, packet: &Packet, number: u64, begin: u64) {
        let tcp = &packet.segment.tcp;
        if number < self.acknowledged {
            return;
        }
        self.acknowledged = number;
        self.sacked.clone_from(&packet.sack);
        if (begin, number) >= self.updated_by {
            let shift = if packet.segment.is(SYN) { 0 } else { self.shifts[1] };
            let window = u64::from(tcp.window) << shift;
            (self.edge, self.updated_by) = (number + window, (begin, number));
            self.window_max = self.window_max.max(window);
            self.edge_max = self.edge_max.max(self.edge);
        }
    }

    fn take(&mut self, packet: &Packet, begin: u64, dice: &mut Dice) -> Option<Packet> {
        let len = u64::from(packet.segment.tcp.data_len);
        let has_fin = packet.segment.is(FIN);
        let end = begin + len;
        if len == 0 && !has_fin {
            // A number outside the window is answered: what keepalives and probes live on.
            return (begin < self.expected || begin > self.offered).then(|| self.bare());
        }
        if begin > self.expected.max(self.offered) || end + u64::from(has_fin) <= self.expected {
            return Some(self.bare());
        }
        let fits = end.min(self.offered.max(self.expected));
        if has_fin && fits == end {
            self.peer_fin = Some(end);
        }
        let fits = fits + u64::from(has_fin && fits == end);
        if fits > begin {
            self.beyond.push((begin, fits));
        }
        while let Some(at) =
            self.beyond.iter().position(|(begin, end)| *begin <= self.expected && *end > self.expected)
        {
            self.expected = self.beyond.swap_remove(at).1;
        }
        let expected = self.expected;
        self.beyond.retain(|(_, end)| *end > expected);
        self.acknowledges_later = true;
        let is_in_order = self.beyond.is_empty() && fits == end;
        (!is_in_order || dice.once_in(2)).then(|| self.bare())
    }

    /// A closed end answers everything but a reset with one (RFC 9293 section 3.10.7.1).
    fn refuse(&mut self, segment: &Segment) -> Option<Packet> {
        if segment.is(RST) {
            return None;
        }
        let tcp = &segment.tcp;
        let counted = tcp.data_len + u32::from(segment.is(SYN)) + u32::from(segment.is(FIN));
        let (flags, sequence, acknowledgement) = match segment.is(ACK) {
            true => (RST, tcp.acknowledgement, 0),
            false => (RST | ACK, 0, tcp.sequence.wrapping_add(counted)),
        };
        let tcp = Tcp { sequence, acknowledgement, window: 0, flags, header_len: 20, data_len: 0 };
        Some(Packet { segment: Segment { tcp, options: SynOptions::default() }, sack: Vec::new() })
    }
}
