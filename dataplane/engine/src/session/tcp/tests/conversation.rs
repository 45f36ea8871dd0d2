//! Legal conversations over a bad network: no packet of theirs is ever dropped.
//!
//! Two simulated endpoints send each other random amounts of data with windows, scaling, retransmission, keepalives
//! and FIN; between each of them and the firewall lies a leg that loses, repeats and delays.

use super::*;

/// What an endpoint knows; numbers are offsets from its initial sequence number, SYN at 0, wide enough not to wrap.
struct Endpoint {
    isn: u32,
    scale: Option<u8>,
    /// Window scaling is in force.
    scales: bool,
    /// Next offset that was never sent.
    next: u64,
    /// Offsets below are acknowledged.
    acknowledged: u64,
    /// The right edge of what the other side allows.
    allowed: u64,
    /// Data to send in all; the FIN stands behind it.
    total: u64,
    /// Offsets below were received in order, of the other side.
    expected: u64,
    /// Ranges received out of order.
    beyond: Vec<(u64, u64)>,
    peer_isn: u32,
    peer_total: Option<u64>,
    synchronised: bool,
    /// Free buffer, which bounds the window.
    window: u32,
    /// The edge that was advertised: it never moves left (RFC 9293 section 3.8.6 discourages shrinking).
    edge: u64,
}

impl Endpoint {
    fn segment(&mut self, flags: u8, offset: u64, len: u64) -> Segment {
        let shift = if self.scales && flags & SYN == 0 { self.scale.unwrap_or(0) } else { 0 };
        let mut raw = u64::from(self.window).max(self.edge.saturating_sub(self.expected)) >> shift;
        raw = raw.min(0xffff);
        self.edge = self.edge.max(self.expected + (raw << shift));
        let tcp = Tcp {
            sequence: self.isn.wrapping_add(offset as u32),
            acknowledgement: if flags & ACK == 0 {
                0
            } else {
                self.peer_isn.wrapping_add(self.expected as u32)
            },
            window: raw as u16,
            flags,
            header_len: 20,
            data_len: len as u32,
        };
        Segment { tcp, scale: if flags & SYN == 0 { None } else { self.scale } }
    }

    /// Sends something that an endpoint in this state may send; `dice` chooses.
    fn act(&mut self, dice: u32) -> Option<Segment> {
        if !self.synchronised {
            let flags = if self.expected > 0 { SYN | ACK } else { SYN };
            return Some(self.segment(flags, 0, 0));
        }
        let room = self.allowed.saturating_sub(self.next);
        match dice % 8 {
            // New data.
            0..=2 if room > 0 && self.next <= self.total => {
                let len = (u64::from(dice >> 8) % 1460 + 1).min(room).min(self.total + 1 - self.next);
                let len = len.min(self.total + 1 - self.next);
                if len == 0 {
                    return None;
                }
                let from = self.next;
                self.next += len;
                Some(self.segment(ACK | PSH, from, len))
            }
            // The FIN.
            3 if self.next == self.total + 1 && room > 0 => {
                self.next += 1;
                Some(self.segment(FIN | ACK, self.total + 1, 0))
            }
            // A retransmission of something that is not acknowledged.
            4 | 5 if self.acknowledged < self.next => {
                let from = self.acknowledged + u64::from(dice >> 8) % (self.next - self.acknowledged);
                if from == 0 {
                    return None;
                }
                if from == self.total + 1 {
                    return Some(self.segment(FIN | ACK, from, 0));
                }
                let len = (self.next.min(self.total + 1) - from).min(1460);
                Some(self.segment(ACK, from, len))
            }
            // A keepalive.
            6 => Some(self.segment(ACK, self.next - 1, 0)),
            // An acknowledgement or a window update.
            _ => {
                self.window = (dice >> 8) % 200_000;
                let at = self.next;
                Some(self.segment(ACK, at, 0))
            }
        }
    }

    fn receive(&mut self, segment: &Segment) {
        let tcp = &segment.tcp;
        if segment.is(SYN) {
            if self.expected == 0 {
                self.expected = 1;
                self.peer_isn = tcp.sequence;
                self.scales = self.scale.is_some() && segment.scale.is_some();
                if !self.scales {
                    self.scale = None;
                }
                self.edge = 1 + u64::from(self.window.min(0xffff));
            }
        } else if self.expected > 0 {
            let from = self.expected.wrapping_add_signed(i64::from(
                tcp.sequence.wrapping_sub(self.peer_isn.wrapping_add(self.expected as u32)) as i32,
            ));
            let end = from + u64::from(tcp.data_len);
            if segment.is(FIN) {
                self.peer_total = Some(end);
            }
            let end = end + u64::from(segment.is(FIN));
            self.beyond.push((from, end));
            while let Some(at) =
                self.beyond.iter().position(|(from, end)| *from <= self.expected && *end > self.expected)
            {
                self.expected = self.beyond.swap_remove(at).1;
            }
            let expected = self.expected;
            self.beyond.retain(|(_, end)| *end > expected);
        }
        if segment.is(ACK) {
            let behind = self.isn.wrapping_add(self.next as u32).wrapping_sub(tcp.acknowledgement);
            if u64::from(behind) <= self.next {
                let acknowledged = self.next - u64::from(behind);
                self.acknowledged = self.acknowledged.max(acknowledged);
                let shift = if self.scales && !segment.is(SYN) { segment_scale(self) } else { 0 };
                self.allowed = self.allowed.max(acknowledged + (u64::from(tcp.window) << shift));
                if acknowledged >= 1 {
                    self.synchronised = self.expected > 0;
                    self.next = self.next.max(1);
                }
            }
        }
    }
}

/// The other side's scale: both ends of these tests use the same one if they scale at all.
fn segment_scale(endpoint: &Endpoint) -> u8 {
    endpoint.scale.unwrap_or(0)
}

struct Leg {
    flying: Vec<Segment>,
}

impl Leg {
    /// Delivers any one of those under way (they overtake each other), loses it, or delivers it twice.
    fn deliver(&mut self, dice: u32) -> Option<Segment> {
        if self.flying.is_empty() {
            return None;
        }
        // Mostly in order, sometimes not.
        let at = if dice.is_multiple_of(4) { (dice >> 4) as usize % self.flying.len() } else { 0 };
        match (dice >> 16) % 10 {
            0 => {
                self.flying.remove(at);
                None
            }
            1 => Some(self.flying[at]),
            _ => Some(self.flying.remove(at)),
        }
    }
}

fn endpoint(isn: u32, scale: Option<u8>, total: u64, window: u32) -> Endpoint {
    Endpoint {
        isn,
        scale,
        scales: false,
        next: 1,
        acknowledged: 0,
        allowed: 0,
        total,
        expected: 0,
        beyond: Vec::new(),
        peer_isn: 0,
        peer_total: None,
        synchronised: false,
        window,
        edge: 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn no_legal_packet_is_dropped(
        isns in prop::array::uniform2(prop_oneof![any::<u32>(), u32::MAX - 50_000..=u32::MAX]),
        scale in prop::option::of(0..=14u8),
        totals in prop::array::uniform2(0..300_000u64),
        windows in prop::array::uniform2(0..200_000u32),
        dice in prop::collection::vec(any::<[u32; 3]>(), 200..1500),
    ) {
        let mut ends = [
            endpoint(isns[0], scale, totals[0], windows[0]),
            endpoint(isns[1], scale, totals[1], windows[1]),
        ];
        // near[i]: from endpoint i to the firewall; far[i]: from the firewall to the other endpoint.
        let mut near = [Leg { flying: Vec::new() }, Leg { flying: Vec::new() }];
        let mut far = [Leg { flying: Vec::new() }, Leg { flying: Vec::new() }];
        let mut peers: Option<[Peer; 2]> = None;
        for roll in dice {
            let side = (roll[0] >> 3) as usize % 2;
            // The server speaks only once it was spoken to.
            if side == CLIENT || ends[SERVER].expected > 0 {
                let segment = ends[side].act(roll[1]);
                near[side].flying.extend(segment);
            }
            for side in [CLIENT, SERVER] {
                if let Some(segment) = near[side].deliver(roll[2].rotate_left(side as u32 * 7)) {
                    match &mut peers {
                        None if segment.is(SYN) => peers = Some(open(side, &segment)),
                        None => continue,
                        Some(peers) => {
                            let before = *peers;
                            let outcome = track(peers, side, &segment, STRICT);
                            prop_assert!(
                                matches!(outcome, Outcome::Accept | Outcome::Pass),
                                "{:?} of {}: {:?} in {:?}", outcome, side, segment, before
                            );
                        }
                    }
                    far[side].flying.push(segment);
                }
                if let Some(segment) = far[side].deliver(roll[2].rotate_right(side as u32 * 5 + 3)) {
                    ends[1 - side].receive(&segment);
                }
            }
        }
    }

    /// An attacker who sees nothing, against an established session: the share of his packets that get through.
    #[test]
    fn blind_injection_has_the_odds_of_the_window(seed in any::<u64>()) {
        let mut state = seed | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u32
        };
        let mut through = 0;
        for _ in 0..20_000 {
            let mut wire = Wire::established();
            let flags = [ACK, ACK | PSH, FIN | ACK, RST, RST | ACK][next() as usize % 5];
            let (sequence, acknowledgement) = (next(), next());
            if !matches!(wire.send(SERVER, flags, sequence, acknowledgement, next() % 1460), Outcome::Drop(_)) {
                through += 1;
            }
        }
        // In the window by chance: 10,000 of 2^32 for a reset, that times 66,000 of 2^32 for the rest.
        prop_assert!(through <= 3, "{through} of 20,000");
    }
}
