//! Legal conversations over a bad network: no packet of theirs is ever dropped, and what an outsider invents is judged
//! as the reference judges it.
//!
//! Between each end and the firewall lies a leg of its own that loses, repeats and delays, so that packets are lost
//! before the firewall and behind it. Everything follows from a seed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::endpoint::{Dice, Endpoint, Manner, Packet};
use super::reference::{Reference, Wanted};
use super::*;

/// Conversations of a test run, if `SEKISHO_CONVERSATIONS` does not say how many.
const CONVERSATIONS: u64 = 6_000;
/// Ticks; an end acts every few of them.
const TICKS_MAX: u64 = 200_000;

/// One way of the network on one side of the firewall.
#[derive(Clone, Copy, Debug)]
struct Leg {
    loss_percent: u64,
    again_percent: u64,
    delay: u64,
    jitter: u64,
}

impl Leg {
    fn any(dice: &mut Dice) -> Self {
        Self {
            loss_percent: [0, 1, 10, 30][dice.below(4) as usize],
            again_percent: [0, 0, 5, 20][dice.below(4) as usize],
            delay: dice.below(40),
            jitter: [1, 1, 10, 400][dice.below(4) as usize],
        }
    }
}

#[derive(Debug, Default)]
struct Told {
    passed: u64,
    /// Dropped, and their receiver would not have read them either.
    unread: u64,
    /// Conversations of which one end died and the other never heard of it.
    stuck: u64,
    judged: [u64; 3],
    states: [u64; State::COUNT],
}

struct Conversation {
    seed: u64,
    dice: Dice,
    ends: [Endpoint; 2],
    /// From each end to the firewall, and from there to the other end.
    legs: [[Leg; 2]; 2],
    flying: BinaryHeap<Reverse<(u64, u64, usize, bool)>>,
    packets: Vec<Packet>,
    opener: usize,
    has_reopened: bool,
    /// As the table counts them.
    bytes: [u64; 2],
    /// As the table has it: reset before its opener was answered.
    was_unanswered: bool,
    attempt: Option<(Attempt, Packet)>,
    /// Both ends are through with the first session, and begin another on its five-tuple.
    has_begun_anew: bool,
    /// When the weather clears up.
    clear_from: u64,
    peers: Option<[Peer; 2]>,
    reference: Reference,
    told: Told,
    now: u64,
}

fn manner(dice: &mut Dice, fast_open: u64, aborts: bool) -> Manner {
    let buffers = [1, 1_460, 5_000, 20_000, 65_535, 200_000, 3_000_000];
    let totals = [0, 1, 500, 20_000, 60_000];
    let buffer = buffers[dice.below(7) as usize] + dice.below(2_000);
    // A shift that leaves nothing of the window would keep it closed.
    let shift_max = u64::from(buffer.ilog2()).min(14);
    Manner {
        scale: (!dice.once_in(3)).then(|| dice.below(shift_max + 1) as u8),
        sack: dice.once_in(2),
        fast_open,
        buffer,
        total: fast_open + (totals[dice.below(5) as usize] + dice.below(3_000)),
        segment_max: [300, 536, 1_460, 8_960][dice.below(4) as usize],
        shrinks: dice.once_in(5),
        garbage: dice.once_in(2),
        closes: !dice.once_in(6),
        aborts: aborts && dice.once_in(2),
    }
}

/// Near a number at which something wraps, such that it wraps somewhere in the conversation; or anywhere.
fn isn(dice: &mut Dice, total: u64) -> u32 {
    let back = dice.below(total + 5) as u32;
    match dice.below(4) {
        0 => 0u32.wrapping_sub(back),
        1 => (1u32 << 31).wrapping_sub(back),
        2 => 0u32.wrapping_sub(dice.below(4) as u32),
        _ => dice.roll() as u32,
    }
}

impl Conversation {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let is_simultaneous = dice.once_in(8);
        let aborts = dice.once_in(6);
        let fast_open = if is_simultaneous || !dice.once_in(5) { 0 } else { 1 + dice.below(1_400) };
        let mut ends = [0, 1].map(|side| {
            let manner = manner(&mut dice, fast_open, aborts);
            Endpoint::new(isn(&mut dice, manner.total), manner, side == SERVER && !is_simultaneous)
        });
        // A byte at a time takes long.
        let rooms = ends.each_ref().map(|end: &Endpoint| end.manner.buffer);
        for (end, room) in ends.iter_mut().zip([rooms[1], rooms[0]]) {
            end.manner.total = end.manner.total.min(100 * room);
        }
        let legs = [0, 1].map(|_| [Leg::any(&mut dice), Leg::any(&mut dice)]);
        Self {
            seed,
            dice,
            ends,
            legs,
            flying: BinaryHeap::new(),
            packets: Vec::new(),
            opener: 0,
            has_reopened: false,
            bytes: [0; 2],
            was_unanswered: false,
            attempt: None,
            has_begun_anew: false,
            clear_from: TICKS_MAX / 40,
            peers: None,
            reference: Reference::default(),
            told: Told::default(),
            now: 0,
        }
    }

    fn send(&mut self, side: usize, is_behind: bool, packet: Packet) {
        let leg = self.legs[side][usize::from(is_behind)];
        if self.dice.below(100) < leg.loss_percent {
            return;
        }
        let copies = 1 + u64::from(self.dice.below(100) < leg.again_percent);
        for _ in 0..copies {
            let at = self.now + 1 + leg.delay + self.dice.below(leg.jitter);
            self.flying.push(Reverse((at, self.packets.len() as u64, side, is_behind)));
            self.packets.push(packet.clone());
        }
    }

    /// To the end, when nothing is left to say or to deliver.
    fn run(mut self) -> Told {
        while self.now < TICKS_MAX {
            self.now += 1 + self.dice.below(10);
            while let Some(Reverse((at, number, side, is_behind))) = self.flying.peek().copied() {
                if at > self.now {
                    break;
                }
                self.flying.pop();
                let packet = self.packets[number as usize].clone();
                match is_behind {
                    false => self.pass(side, packet),
                    true => {
                        if let Some(answer) = self.ends[1 - side].receive(&packet, &mut self.dice) {
                            self.send(1 - side, false, answer);
                        }
                    }
                }
            }
            if self.now > self.clear_from {
                // The weather clears up, and both ends come to their end.
                self.legs = [[Leg { loss_percent: 0, again_percent: 0, delay: 2, jitter: 1 }; 2]; 2];
            }
            let is_over = self.ends.iter().all(Endpoint::is_quiet);
            if is_over && self.flying.is_empty() && (self.peers.is_none() || !self.dice.once_in(8)) {
                let waits = self.peers.is_some_and(|peers| state_of(&peers) == State::TimeWait);
                if !waits || self.has_begun_anew || !self.dice.once_in(4) {
                    break;
                }
                self.end();
                self.begin_anew();
            }
            let side = self.dice.below(2) as usize;
            if let Some(packet) = self.ends[side].act(&mut self.dice) {
                self.send(side, false, packet);
            }
        }
        self.end();
        self.told
    }

    /// The time to wait is over for both ends, and not for the firewall: the same opener opens again, with any number.
    fn begin_anew(&mut self) {
        let dice = &mut self.dice;
        let fast_open = if dice.once_in(5) { 1 + dice.below(1_400) } else { 0 };
        let aborts = dice.once_in(6);
        let before = self.ends.each_ref().map(|end| end.isn);
        let above = self.ends.each_ref().map(|end| end.isn.wrapping_add(end.next as u32));
        let rooms = [0, 1].map(|_| manner(dice, fast_open, aborts));
        let [room, other_room] = rooms.each_ref().map(|manner| manner.buffer);
        let mut side = 0;
        self.ends = rooms.map(|mut manner| {
            manner.total = manner.total.min(100 * if side == 0 { other_room } else { room });
            // The one that answers does not fall back into its old numbers (RFC 6528 section 3).
            let isn = match (dice.below(3), side == self.opener) {
                (0, true) => isn(dice, manner.total),
                (0, false) => dice.roll() as u32,
                (1, true) => above[side].wrapping_sub(dice.below(100_000) as u32),
                _ => above[side].wrapping_add(dice.below(100_000) as u32),
            };
            // The same number twice would be the same SYN.
            let isn = isn.wrapping_add(u32::from(isn == before[side]));
            side += 1;
            Endpoint::new(isn, manner, side - 1 != self.opener)
        });
        self.legs = [0, 1].map(|_| [Leg::any(dice), Leg::any(dice)]);
        self.clear_from = self.now + TICKS_MAX / 40;
        self.has_begun_anew = true;
    }

    /// A packet comes to the firewall.
    fn pass(&mut self, side: usize, packet: Packet) {
        let is_first = packet.segment.is(SYN) && !packet.segment.is(ACK);
        let Some(before) = self.peers else {
            // Nothing else can come to the firewall before a SYN has passed it.
            assert!(is_first, "seed {}: {packet:?}", self.seed);
            (self.opener, self.peers) = (side, Some(open(side, &packet.segment)));
            self.reference.record(side, &packet);
            self.bytes[side] += 40 + u64::from(packet.segment.tcp.data_len);
            self.send(side, true, packet);
            return;
        };
        let mut peers = before;
        let outcome = track(&mut peers, side, self.opener, &packet.segment, STRICT);
        self.peers = Some(peers);
        let (was, state) = (state_of(&before), state_of(&peers));
        self.was_unanswered = state == State::Reset && (self.was_unanswered || was == State::SynSent);
        match outcome {
            Outcome::Accept => self.reference.record(side, &packet),
            Outcome::PassAnswer if self.answers_attempt(side, &packet) => return,
            Outcome::Pass | Outcome::PassAnswer => {}
            Outcome::PassAttempt if self.was_unanswered => self.reopen(side, &packet),
            Outcome::PassAttempt => {
                self.remember_attempt(packet.clone());
            }
            Outcome::Drop(_) if self.answers_attempt(side, &packet) => return,
            // An end that does not know yet that it was refused tries again.
            Outcome::Reopen if was == State::Reset || self.has_begun_anew => self.reopen(side, &packet),
            outcome => {
                // What an end's own reset has overtaken is lost with it.
                let was_reset = self.has_reopened || was == State::Reset;
                let is_overtaken = was_reset && self.ends[side].is_dead;
                assert!(
                    is_overtaken || self.would_not_be_read(side, &packet.segment),
                    "seed {}, at {}: {outcome:?} of {side}: {packet:?} in {before:?}, receiver {:?}",
                    self.seed,
                    self.now,
                    self.ends[1 - side]
                );
                self.told.unread += 1;
                return;
            }
        }
        self.told.passed += 1;
        self.bytes[side] += 40 + u64::from(packet.segment.tcp.data_len);
        self.send(side, true, packet);
        if self.dice.once_in(4) {
            self.invent();
        }
    }

    /// A SYN takes over the five-tuple.
    fn reopen(&mut self, side: usize, packet: &Packet) {
        (self.opener, self.peers) = (side, Some(open(side, &packet.segment)));
        (self.reference, self.has_reopened, self.was_unanswered) = (Reference::default(), true, false);
        self.reference.record(side, packet);
        self.bytes = [0; 2];
    }

    /// As the table has it; the packet is one that carries the most of each.
    fn remember_attempt(&mut self, mut packet: Packet) {
        let earlier = self.attempt.take();
        self.attempt = Attempt::of(&packet.segment).map(|attempt| {
            let attempt = attempt.after(earlier.as_ref().map(|(earlier, _)| *earlier));
            let syn = &mut packet.segment.tcp;
            if let Some((_, before)) = earlier
                && before.segment.tcp.sequence == syn.sequence
            {
                syn.data_len = syn.data_len.max(before.segment.tcp.data_len);
                syn.window = syn.window.max(before.segment.tcp.window);
            }
            // Its window is kept to 64 bytes.
            packet.segment.tcp.window |= 0x3f;
            (attempt, packet)
        });
    }

    /// As the engine has it: the answer to a SYN that came in the midst begins another session, or ends this one.
    fn answers_attempt(&mut self, side: usize, packet: &Packet) -> bool {
        let (Some((attempt, syn)), Some(peers)) = (&self.attempt, &mut self.peers) else { return false };
        let segment = &packet.segment;
        if side == self.opener || !segment.is(ACK) {
            return false;
        }
        let answered = match (segment.is(SYN), segment.is(RST)) {
            (true, false) => match restart(*attempt, side, segment, peers, self.bytes) {
                Some(restarted) => {
                    (*peers, self.reference, self.has_reopened) = (restarted, Reference::default(), true);
                    self.reference.record(self.opener, syn);
                    self.reference.record(side, packet);
                    (self.attempt, self.bytes) = (None, [0; 2]);
                    true
                }
                None => false,
            },
            (false, true) => refuse(*attempt, peers, side, segment),
            _ => false,
        };
        if answered {
            self.send(side, true, packet.clone());
        }
        answered
    }

    /// Whether the receiver of a dropped segment, as it is now, would throw it away and change nothing for it: a reset
    /// outside its window, an acknowledgement that RFC 5961 section 5.2 finds too old, whatever comes to a closed end or,
    /// without SYN, to one that has not seen a SYN yet.
    fn would_not_be_read(&self, side: usize, segment: &Segment) -> bool {
        let receiver = &self.ends[1 - side];
        if receiver.is_dead || !receiver.has_met() && !segment.is(SYN) {
            return true;
        }
        let mut copy = receiver.clone();
        let answer = copy.receive(&Packet { segment: *segment, sack: Vec::new() }, &mut Dice(0));
        let is_unmoved = copy.expected == receiver.expected
            && copy.next == receiver.next
            && copy.acknowledged == receiver.acknowledged
            && copy.is_dead == receiver.is_dead;
        if segment.is(RST) {
            return is_unmoved && answer.is_none();
        }
        let behind = receiver.next
            - u64::from(
                receiver.isn.wrapping_add(receiver.next as u32).wrapping_sub(segment.tcp.acknowledgement),
            )
            .min(receiver.next);
        is_unmoved && behind + receiver.window_max < receiver.acknowledged
    }

    /// What an outsider invents, near the numbers that matter, is judged as the reference judges it.
    fn invent(&mut self) {
        let Some(peers) = self.peers else { return };
        let is_open = peers.iter().all(|peer| peer.has(Peer::SYN | Peer::SYN_ACKNOWLEDGED));
        if !is_open || peers.iter().any(|peer| peer.has(Peer::RESET)) {
            return;
        }
        let (dice, reference) = (&mut self.dice, &self.reference);
        let side = dice.below(2) as usize;
        let (sent, other) = (reference.end(side) as i64, reference.end(1 - side) as i64);
        let near = |dice: &mut Dice| dice.below(7) as i64 - 3;
        let window = reference.window_max(1 - side) as i64;
        let about =
            [sent, reference.edge(side) as i64, sent - window, sent - (1 << 30), sent - window - 1_460, 0];
        let begin = about[dice.below(6) as usize] + near(dice);
        let lag = reference.lag(side) as i64;
        let acknowledges = [other, other, other - lag, other - lag / 2][dice.below(4) as usize] + near(dice);
        let (len, fin) = ([0, 1, 2, 1_460][dice.below(4) as usize], dice.once_in(6));
        let is_overfull = reference.is_overfull(0) || reference.is_overfull(1);
        if is_overfull || reference.is_at_edge_of_syn(side, begin) {
            return;
        }
        let wanted = reference.judge(side, begin, len, fin, acknowledges);
        let tcp = Tcp {
            sequence: reference.number(side, begin as u64),
            acknowledgement: reference.number(1 - side, acknowledges as u64),
            window: 1,
            flags: ACK | if fin { FIN } else { 0 },
            header_len: 20,
            data_len: len as u32,
        };
        let mut copy = peers;
        let segment = Segment { tcp, options: SynOptions::default() };
        let outcome = track(&mut copy, side, self.opener, &segment, STRICT);
        let judged = match outcome {
            Outcome::Accept => Wanted::Accept,
            Outcome::Drop(_) => Wanted::Drop,
            _ => Wanted::Pass,
        };
        self.told.judged[wanted as usize] += 1;
        assert!(
            judged == wanted && (judged == Wanted::Accept || copy == peers),
            "seed {}: {outcome:?} and not {wanted:?}: {side} sends {begin}+{len}, acknowledges {acknowledges}; {peers:?}, {}",
            self.seed,
            reference.summary(side)
        );
    }

    /// The state is what both ends know of each other.
    fn end(&mut self) {
        let Some(peers) = self.peers else { return };
        let state = state_of(&peers);
        self.told.states[state as usize] += 1;
        let dead = self.ends.iter().filter(|end| end.is_dead).count();
        let closed = self.ends.iter().filter(|end| end.has_closed()).count();
        // Whose other end died may wait for its own timers, when the reset that would tell it was lost for good.
        let is_done = self.ends.iter().all(Endpoint::is_quiet);
        self.told.stuck += u64::from(!is_done);
        let fits = match (dead, closed) {
            (0, 2) => state == State::TimeWait,
            (0, 1) => state == State::HalfClosed,
            (0, _) => state == State::Established,
            (2, _) => matches!(state, State::Reset | State::TimeWait),
            _ => true,
        };
        assert!((is_done || dead == 1) && fits, "seed {}: {state}, {:?}, {peers:?}", self.seed, self.ends);
    }
}

fn number_of(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("the variable is a number"))
}

#[test]
fn no_legal_packet_is_dropped() {
    let mut told = Told::default();
    let conversations = number_of("SEKISHO_CONVERSATIONS", CONVERSATIONS);
    let first = number_of("SEKISHO_SEED", 0);
    for seed in first..first + conversations {
        let of_one = Conversation::new(seed).run();
        told.passed += of_one.passed;
        told.unread += of_one.unread;
        told.stuck += of_one.stuck;
        for (sum, more) in told.judged.iter_mut().zip(of_one.judged) {
            *sum += more;
        }
        for (sum, more) in told.states.iter_mut().zip(of_one.states) {
            *sum += more;
        }
    }
    if conversations < CONVERSATIONS {
        return;
    }
    // The conversations say something, they end in every way, and inventions fall on both sides of each bound.
    assert!(told.passed > 100 * conversations, "{told:?}");
    assert!(told.unread < told.passed / 200, "{told:?}");
    assert!(told.stuck <= 2 + conversations / 2_000, "{told:?}");
    assert!(told.judged.iter().all(|count| *count > told.passed / 50), "{told:?}");
    for state in [State::Established, State::HalfClosed, State::TimeWait, State::Reset] {
        assert!(told.states[state as usize] > conversations / 50, "{state}: {told:?}");
    }
}
