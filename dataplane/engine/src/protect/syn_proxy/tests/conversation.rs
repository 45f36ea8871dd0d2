//! Whole conversations over a bad network, through an engine that takes part in them: what each end sends arrives with
//! exactly the numbers that it means, and everything arrives.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::*;
use crate::session::tcp::tests::endpoint::{Dice, Endpoint, Manner, Packet};
use crate::session::tcp::{Segment, SynOptions};

/// Conversations of a test run, if `SEKISHO_CONVERSATIONS` does not say how many.
const CONVERSATIONS: u64 = 1500;
/// Milliseconds.
const MILLIS_MAX: u64 = 400_000;
/// From then on nothing is lost any more: before the last time that a cookie is sent again.
const CLEAR_FROM: u64 = 2000;

struct Talk {
    seed: u64,
    dice: Dice,
    rig: Rig,
    /// By port.
    ends: [Endpoint; 2],
    client: Port,
    is_v6: bool,
    tags: u8,
    has_stamps: [bool; 2],
    /// By end: the SYN of the other had time stamps.
    hears_stamps: [bool; 2],
    /// The first time stamp of each end, and the last that it heard.
    stamps: [(u32, u32); 2],
    /// What each end's first number is to the other.
    seen: [Option<u32>; 2],
    loss_percent: u64,
    jitter: u64,
    /// When, in which order, from which end, and whether it is behind the appliance already.
    flying: BinaryHeap<Reverse<(u64, u64, usize, bool)>>,
    frames: Vec<Vec<u8>>,
    millis: u64,
    passed: u64,
    /// Sessions that began by cookie: a segment that comes very late may begin another.
    proven: u32,
}

fn manner(dice: &mut Dice) -> Manner {
    let buffer = [1, 2000, 20_000, 65_535, 300_000][dice.below(5) as usize] + dice.below(2000);
    Manner {
        scale: (!dice.once_in(3)).then(|| dice.below(u64::from(buffer.ilog2()).min(14) + 1) as u8),
        sack: dice.once_in(2),
        fast_open: 0,
        buffer,
        total: [0, 1, 500, 20_000][dice.below(4) as usize] + dice.below(1000),
        segment_max: [300, 536, 1400][dice.below(3) as usize],
        shrinks: false,
        garbage: dice.once_in(2),
        closes: !dice.once_in(4),
        aborts: dice.once_in(12),
    }
}

/// What an end's data has at each place.
fn byte_at(side: usize, offset: u64) -> u8 {
    (offset.wrapping_mul(0x9e37_79b9) >> 7) as u8 ^ side as u8
}

impl Talk {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let client = if dice.once_in(2) { Port::Lan } else { Port::Wan };
        let (mode, numbers) = match dice.below(4) {
            0 => (SynProxyMode::Off, SequenceNumbers::Randomise),
            1 => (SynProxyMode::Off, SequenceNumbers::RandomiseBoth),
            2 => (SynProxyMode::Always, SequenceNumbers::RandomiseBoth),
            _ => (SynProxyMode::Always, SequenceNumbers::Keep),
        };
        let mut rig = Rig::with(mode, numbers, SynFlood::default());
        let mut ruleset = rig.engine.running().policy.ruleset.clone();
        ruleset.rules[0].from = None;
        let policy = Arc::new(Policy::compile(2, ruleset, &mut RuleNames::default()));
        rig.engine.set_policy(Running::new(policy));
        let mut ends = [Port::Lan, Port::Wan].map(|port| {
            let isn = match dice.below(3) {
                0 => 0u32.wrapping_sub(dice.below(1000) as u32),
                _ => dice.roll() as u32,
            };
            Endpoint::new(isn, manner(&mut dice), port != client)
        });
        // A byte at a time takes long.
        let rooms = ends.each_ref().map(|end: &Endpoint| end.manner.buffer);
        for (end, room) in ends.iter_mut().zip([rooms[1], rooms[0]]) {
            end.manner.total = end.manner.total.min(20 * room);
        }
        let has_stamps = if dice.once_in(2) { [true; 2] } else { [dice.once_in(2), false] };
        Self {
            seed,
            rig,
            ends,
            client,
            is_v6: dice.once_in(2),
            tags: dice.below(3) as u8,
            has_stamps: if client == Port::Lan { has_stamps } else { [has_stamps[1], has_stamps[0]] },
            hears_stamps: [false; 2],
            stamps: [(dice.roll() as u32, 0), (dice.roll() as u32, 0)],
            seen: [None; 2],
            loss_percent: [0, 2, 20, 40][dice.below(4) as usize],
            jitter: [1, 1, 20, 300][dice.below(4) as usize],
            flying: BinaryHeap::new(),
            frames: Vec::new(),
            millis: 0,
            passed: 0,
            proven: 0,
            dice,
        }
    }

    /// The frame of a segment.
    fn frame(&self, side: usize, packet: &Packet) -> Vec<u8> {
        let tcp = &packet.segment.tcp;
        let end = &self.ends[side];
        let mut options = Vec::new();
        let is_syn = tcp.flags & SYN != 0;
        let now = self.stamps[side].0.wrapping_add(self.millis as u32);
        let has_stamps = self.has_stamps[side] && (is_syn && tcp.flags & ACK == 0 || self.hears_stamps[side]);
        if is_syn {
            let stamp = has_stamps.then_some(now);
            let offer = Offer {
                mss: end.manner.segment_max as u16,
                scale: packet.segment.options.scale,
                sack: end.manner.sack,
                stamp,
            };
            options.extend_from_slice(&offer.written(self.stamps[side].1));
        } else if has_stamps {
            options.extend_from_slice(&options::stamps(now, self.stamps[side].1));
        }
        let other = self.seen[1 - side].unwrap_or(0);
        // At an odd offset.
        let blocks = packet.sack.iter().take(if has_stamps { 2 } else { 3 });
        let edges: Vec<u8> = blocks
            .flat_map(|(begin, end)| [begin, end])
            .flat_map(|edge| other.wrapping_add(*edge as u32).to_be_bytes())
            .collect();
        if !edges.is_empty() && !is_syn && tcp.flags & RST == 0 {
            options.extend([1, 5, edges.len() as u8 + 2]);
            options.extend(edges);
            options.push(0);
        }
        let mut header = TcpHeader::new(
            [443, 40_000][usize::from(side == self.client.index())],
            [443, 40_000][usize::from(side != self.client.index())],
            tcp.sequence,
            tcp.window,
        );
        header.acknowledgment_number = tcp.acknowledgement;
        let flag = |flag| tcp.flags & flag != 0;
        (header.syn, header.ack, header.rst) = (is_syn, flag(ACK), flag(RST));
        (header.psh, header.fin) = (flag(PSH), flag(tcp_flags::FIN));
        header.set_options_raw(&options).expect("they fit");
        let first = u64::from(tcp.sequence.wrapping_sub(end.isn));
        let data: Vec<u8> = (0..u64::from(tcp.data_len)).map(|at| byte_at(side, first + at)).collect();
        let mut frame = Vec::new();
        let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, side as u8], [2, 0, 0, 0, 0, 1 - side as u8]);
        let (from, to) = ([10, 0, 0, side as u8 + 1], [10, 0, 0, 2 - side as u8]);
        let wide = |number: u8| [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, number];
        let (wide_from, wide_to) = (wide(from[3]), wide(to[3]));
        let vlan = |id: u16| etherparse::VlanId::try_new(id).expect("an identifier");
        let builder = match (self.tags, self.is_v6) {
            (0, false) => ethernet.ipv4(from, to, 64),
            (0, true) => ethernet.ipv6(wide_from, wide_to, 64),
            (1, false) => ethernet.single_vlan(vlan(20)).ipv4(from, to, 64),
            (1, true) => ethernet.single_vlan(vlan(20)).ipv6(wide_from, wide_to, 64),
            (_, false) => ethernet.double_vlan(vlan(20), vlan(30)).ipv4(from, to, 64),
            (_, true) => ethernet.double_vlan(vlan(20), vlan(30)).ipv6(wide_from, wide_to, 64),
        };
        builder.tcp_header(header).write(&mut frame, &data).expect("it fits");
        frame
    }

    fn send(&mut self, side: usize, is_behind: bool, frame: Vec<u8>) {
        if self.millis < CLEAR_FROM && self.dice.below(100) < self.loss_percent {
            return;
        }
        let copies = 1 + u64::from(self.millis < CLEAR_FROM && self.dice.once_in(20));
        for _ in 0..copies {
            let jitter = if self.millis < CLEAR_FROM { self.jitter } else { 1 };
            let at = self.millis + 1 + self.dice.below(jitter);
            self.flying.push(Reverse((at, self.frames.len() as u64, side, is_behind)));
            self.frames.push(frame.clone());
        }
    }

    fn say(&mut self, side: usize, packet: &Packet) {
        let frame = self.frame(side, packet);
        self.send(side, false, frame);
    }

    fn options_of(frame: &[u8], facts: &Facts) -> Vec<u8> {
        super::super::answer::options_of(facts, frame).to_vec()
    }

    /// A frame comes to the appliance.
    fn arrive(&mut self, side: usize, mut frame: Vec<u8>) {
        let (seed, port) = (self.seed, Port::ALL[side]);
        let before = sound(&frame);
        let options_before = Self::options_of(&frame, &before);
        let verdict = self.rig.engine.inspect(self.rig.now, port, &before, &frame, &mut self.rig.out);
        let rewrite = self.rig.out.rewrite.take();
        if verdict.reason == Reason::SynProven {
            self.proven += 1;
        }
        if verdict.is_forward() {
            if let Some(rewrite) = rewrite {
                rewrite.apply(&mut frame);
            }
            let after = sound(&frame);
            let options = Self::options_of(&frame, &after);
            self.compare(side, (&before, &options_before), (&after, &options));
            self.passed += 1;
            self.send(side, true, frame);
        } else {
            assert_eq!(rewrite, None, "seed {seed}");
        }
        self.take_own();
    }

    fn take_own(&mut self) {
        for own in self.rig.out.frames.take() {
            let facts = sound(own.bytes());
            // As if the other end had sent it.
            let side = own.port.other().index();
            if facts.tcp.flags & SYN != 0 {
                self.meet(side, &facts);
            }
            self.send(side, true, own.bytes().to_vec());
        }
        self.rig.out.events.clear();
    }

    /// The first number of an end, as the other hears of it: always the same.
    fn meet(&mut self, side: usize, facts: &Facts) {
        let seen = *self.seen[side].get_or_insert(facts.tcp.sequence);
        if seen != facts.tcp.sequence && !self.ends[1 - side].has_met() {
            // Only of a cookie there may be another: in another period, or when the server is known better.
            assert_ne!(side, self.client.index(), "seed {}", self.seed);
            self.seen[side] = Some(facts.tcp.sequence);
        }
    }

    /// A segment that passes says to its receiver what it said to the appliance.
    fn compare(&mut self, side: usize, before: (&Facts, &[u8]), after: (&Facts, &[u8])) {
        let ((before, options_before), (after, options)) = (before, after);
        let seed = self.seed;
        if after.tcp.flags & SYN != 0 {
            self.meet(side, after);
        }
        let own = before.tcp.sequence.wrapping_sub(self.ends[side].isn);
        if let Some(seen) = self.seen[side]
            && !(before.tcp.flags & RST != 0 && before.tcp.sequence == 0)
        {
            assert_eq!(after.tcp.sequence.wrapping_sub(seen), own, "seed {seed}: a number of {side}");
        }
        let heard = self.seen[1 - side];
        if before.tcp.flags & ACK != 0
            && let Some(heard) = heard
        {
            let acknowledged = before.tcp.acknowledgement.wrapping_sub(heard);
            let told = after.tcp.acknowledgement.wrapping_sub(self.ends[1 - side].isn);
            assert_eq!(told, acknowledged, "seed {seed}: an acknowledgement of {side}");
        }
        let sacks = |options: &[u8], first: u32| {
            let mut edges = Vec::new();
            options::each(options, |kind, _, value| {
                if kind == options::SACK {
                    edges.extend(
                        value
                            .as_chunks::<4>()
                            .0
                            .iter()
                            .map(|edge| u32::from_be_bytes(*edge).wrapping_sub(first)),
                    );
                }
            });
            edges
        };
        let edges = sacks(options_before, heard.unwrap_or(0));
        assert_eq!(sacks(options, self.ends[1 - side].isn), edges, "seed {seed}: SACK of {side}");
        assert_eq!(options_before.len(), options.len());
        if let (Some((value, echo)), Some((new_value, new_echo))) =
            (options::stamps_of(options_before), options::stamps_of(options))
        {
            let age = value.wrapping_sub(self.stamps[side].0);
            assert!(u64::from(age) <= self.millis, "seed {seed}");
            // What it echoes its receiver has sent.
            let echoed = new_echo.wrapping_sub(self.stamps[1 - side].0);
            let has_heard = echo != 0 && before.tcp.flags & (SYN | RST) == 0;
            assert!(!has_heard || u64::from(echoed) <= self.millis, "seed {seed}: an echo of {side}");
            assert!(side != self.client.index() || new_value == value, "seed {seed}: a time stamp of {side}");
        }
    }

    /// A frame comes to its end.
    fn deliver(&mut self, side: usize, frame: &[u8]) {
        let facts = sound(frame);
        let options = Self::options_of(frame, &facts);
        let offer = Offer::of(&options);
        let is_syn = facts.tcp.flags & SYN != 0;
        let to = 1 - side;
        if let Some((value, _)) = options::stamps_of(&options) {
            self.stamps[to].1 = value;
        }
        if is_syn {
            // An end takes time stamps up where both offer them.
            self.hears_stamps[to] |= offer.stamp.is_some() && !self.ends[to].has_met();
            self.seen[side] =
                Some(facts.tcp.sequence).filter(|_| !self.ends[to].has_met()).or(self.seen[side]);
        }
        if let Some(seen) = self.seen[side]
            && !is_syn
        {
            let first = u64::from(facts.tcp.sequence.wrapping_sub(seen));
            let data = &frame[usize::from(facts.transport_at) + usize::from(facts.tcp.header_len)..];
            let data = &data[..facts.tcp.data_len as usize];
            let is_theirs = data.iter().zip(first..).all(|(byte, offset)| *byte == byte_at(side, offset));
            assert!(is_theirs, "seed {}: data of {side} at {first}", self.seed);
        }
        let mut sack = Vec::new();
        let isn = self.ends[to].isn;
        options::each(&options, |kind, _, value| {
            if kind == options::SACK {
                let edge = |bytes: &[u8]| {
                    let edge: [u8; 4] = bytes.try_into().expect("four bytes");
                    u64::from(u32::from_be_bytes(edge).wrapping_sub(isn))
                };
                sack.extend(
                    value.as_chunks::<8>().0.iter().map(|block| (edge(&block[..4]), edge(&block[4..]))),
                );
            }
        });
        let segment = Segment {
            tcp: facts.tcp,
            options: SynOptions { scale: offer.scale.filter(|_| is_syn), fast_open: false },
        };
        let packet = Packet { segment, sack };
        if let Some(answer) = self.ends[to].receive(&packet, &mut self.dice) {
            self.say(to, &answer);
        }
    }

    fn run(mut self) -> u64 {
        while self.millis < MILLIS_MAX {
            self.millis += 1 + self.dice.below(10);
            self.rig.now = Instant::from_secs(86_400) + Duration::from_millis(self.millis);
            while self.rig.engine.next_deadline().is_some_and(|due| due <= self.rig.now)
                && self.rig.engine.expire(self.rig.now, 4, &mut self.rig.out)
            {}
            self.take_own();
            while let Some(Reverse((at, number, side, is_behind))) = self.flying.peek().copied() {
                if at > self.millis {
                    break;
                }
                self.flying.pop();
                let frame = std::mem::take(&mut self.frames[number as usize]);
                match is_behind {
                    false => self.arrive(side, frame),
                    true => self.deliver(side, &frame),
                }
            }
            if self.ends.iter().all(Endpoint::is_quiet) && self.flying.is_empty() || self.proven > 1 {
                break;
            }
            let side = self.dice.below(2) as usize;
            if let Some(packet) = self.ends[side].act(&mut self.dice) {
                self.say(side, &packet);
            }
        }
        let [lan, wan] = &self.ends;
        if !lan.is_dead && !wan.is_dead && self.proven < 2 {
            for (end, other) in [(lan, wan), (wan, lan)] {
                let whole = other.manner.total + 1 + u64::from(other.manner.closes);
                assert_eq!(end.expected, whole, "seed {}: everything arrives", self.seed);
            }
        }
        let handshakes = self.rig.engine.syn_proxy.handshakes();
        assert!(handshakes == 0 || self.proven > 1 || lan.is_dead || wan.is_dead, "seed {}", self.seed);
        self.passed
    }
}

#[test]
fn every_number_of_a_conversation_is_translated_exactly_and_everything_arrives() {
    let named = std::env::var("SEKISHO_CONVERSATIONS").ok();
    let count = named.map_or(CONVERSATIONS, |text| text.parse().expect("a number"));
    let passed: u64 = (0..count).map(|seed| Talk::new(seed).run()).sum();
    assert!(passed > 20 * count, "{passed} segments of {count} conversations");
}
