//! Connections that the engine takes part in: a client and a server say anything to each other, and to the appliance, which
//! answers SYNs itself and counts differently to both.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use sekisho_engine::flow::HashSecret;
use sekisho_engine::packet::{self, DeviceChecksum, Facts};
use sekisho_engine::policy::{
    Action, OnExpiry, Policy, Rule, RuleNames, Ruleset, SequenceNumbers, SynFlood, SynProxyMode, Zone, ZoneId,
};
use sekisho_engine::port::Port;
use sekisho_engine::reason::Reason;
use sekisho_engine::session::SessionId;
use sekisho_engine::time::{Duration, Instant};
use sekisho_engine::{Config, Engine, Outbox, Running, Shared};

use super::conversation::{frame, frame_of_icmp};

const TCP: u8 = 6;
const SYN: u8 = 2;
const ACK: u8 = 16;
const TIMESTAMPS: u8 = 8;
const SACK: u8 = 5;

const PORTS: [u16; 2] = [443, 40_000];
const FIRST: [u32; 2] = [0xffff_ff00, 1000];
/// A segment has room for so many options.
const OPTIONS_MAX: usize = 40;

/// What rules say of sources and numbers.
static POLICIES: LazyLock<Vec<Arc<Policy>>> = LazyLock::new(|| {
    use {SequenceNumbers as Numbers, SynProxyMode as Mode};
    let kinds = [
        (Mode::Always, Numbers::Keep),
        (Mode::Always, Numbers::RandomiseBoth),
        (Mode::Auto, Numbers::Keep),
        (Mode::Verify, Numbers::Randomise),
        (Mode::Off, Numbers::RandomiseBoth),
    ];
    let mut names = RuleNames::default();
    let policies = (1..).zip(kinds).map(|(generation, (syn_proxy, sequence_numbers))| {
        let rule = Rule {
            from: Some(vec![ZoneId(1)]),
            syn_proxy,
            sequence_numbers,
            ..Rule::of_all("publish", Action::Allow)
        };
        let mut ruleset = Ruleset {
            zones: vec![Zone::of_port("lan", Port::Lan), Zone::of_port("wan", Port::Wan)],
            rules: vec![rule],
            ..Ruleset::default()
        };
        ruleset.protections.syn_flood = SynFlood { half_open: Some(1), rate: Some(4) };
        ruleset.timeouts[0].on_expiry = OnExpiry::Probe;
        Arc::new(Policy::compile(generation, ruleset, &mut names))
    });
    policies.collect()
});

/// What an end was told last: the number that it expects next, the one that it has acknowledged, the time stamp.
#[derive(Clone, Copy, Default)]
struct Told {
    next: u32,
    acknowledged: u32,
    stamp: u32,
}

struct Talk {
    engine: Engine,
    shared: Shared,
    out: Outbox,
    now: Instant,
    hosts: [IpAddr; 2],
    client_port: u16,
    told: [Told; 2],
    /// What is added to the numbers of each end, and to the server's time stamps, once it was seen in a session.
    seen: Option<(SessionId, [Option<u32>; 2])>,
    translated: u64,
}

/// Plays `data` as two ends of connections through an engine that takes part in them. Whatever they say, what passes has
/// the numbers of its receiver, by one offset for each end of a session in every place where it has one, and a right
/// checksum; the appliance's own frames are sound; and all is given back in the end.
///
/// The first byte chooses IPv6 and the policy. A step is a byte of orders, a byte of flags, three bytes of distance (of
/// the sequence number, the acknowledgement, and the time before it), a window, the length of its options and of its
/// data, and those. Of the orders the lowest bit is the end that speaks; the next two are where its number is counted from:
/// its first, what the other expects, nothing; the next two the same of its acknowledgement; 32 has it echo the last time
/// stamp, 64 is an ICMP error about what it was told last, 128 another policy (by the flags) before it.
///
/// Returns how many segments were translated, and how many clients proved themselves.
///
/// # Panics
/// When an invariant is broken.
pub fn proxy(data: &[u8]) -> [u64; 2] {
    let Some((choice, mut rest)) = data.split_first() else { return [0; 2] };
    let mut talk = Talk::new(choice & 1 != 0, usize::from(choice >> 1));
    while let [orders, flags, sequence, acknowledgement, wait, window, options_len, data_len, after @ ..] =
        rest
    {
        let options_len = usize::from(*options_len).min(OPTIONS_MAX).min(after.len());
        let (options, after) = after.split_at(options_len);
        let (said, after) = after.split_at(usize::from(*data_len).min(after.len()));
        rest = after;
        let side = usize::from(orders & 1);
        if orders & 128 != 0 {
            let next = &POLICIES[usize::from(*flags) % POLICIES.len()];
            talk.engine.set_policy(Running::new(Arc::clone(next)));
            talk.client_port = PORTS[1] + u16::from(flags >> 6);
        }
        talk.wait(*wait);
        let told = talk.told[side];
        let number = |base: u8, values: [u32; 4], distance: u8| {
            values[usize::from(base & 3)].wrapping_add_signed(i32::from(distance.cast_signed()))
        };
        let sequence = number(orders >> 1, [FIRST[side], told.acknowledged, 0, told.next], *sequence);
        let acknowledgement = number(orders >> 3, [told.next, told.acknowledged, 0, 0], *acknowledgement);
        if orders & 64 != 0 {
            talk.complain(side, [told.acknowledged, sequence], said);
            continue;
        }
        let mut all = Vec::new();
        if orders & 32 != 0 {
            all.extend([1, 1, TIMESTAMPS, 10, 0, 0, 0, *window]);
            all.extend(talk.told[side].stamp.to_be_bytes());
        }
        all.extend(options);
        all.truncate(OPTIONS_MAX);
        all.resize(all.len().div_ceil(4) * 4, 0);
        let window = u16::from(*window) << (window % 8);
        talk.say(side, *flags, [sequence, acknowledgement], window, &all, said);
    }
    talk.end()
}

impl Talk {
    fn new(is_v6: bool, policy: usize) -> Self {
        let config =
            Config { worker: 0, capacity: 16, secret: HashSecret([1, 2, 3, 4]), report_all_sessions: false };
        let shared = Shared::new(config.capacity, config.secret);
        let running = Running::new(Arc::clone(&POLICIES[policy % POLICIES.len()]));
        let hosts = match is_v6 {
            true => [[0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10], [0x2001, 0xdb8, 0, 0xffff, 0, 0, 0, 5]]
                .map(IpAddr::from),
            false => [[192, 0, 2, 10], [203, 0, 113, 5]].map(IpAddr::from),
        };
        let now = Instant::from_secs(86_400);
        Self {
            engine: Engine::sharing(shared.clone(), config, running, now),
            shared,
            out: Outbox::new(64, 64),
            now,
            hosts,
            client_port: PORTS[1],
            told: FIRST.map(|first| Told { acknowledged: first, ..Told::default() }),
            seen: None,
            translated: 0,
        }
    }

    /// Lets time pass: up to 64 s, mostly less.
    fn wait(&mut self, wait: u8) {
        self.now += Duration::from_millis(u64::from(wait) * u64::from(wait));
        self.expire();
    }

    fn expire(&mut self) {
        while self.engine.next_deadline().is_some_and(|deadline| deadline <= self.now)
            && self.engine.expire(self.now, 64, &mut self.out)
        {
            self.hear();
        }
        self.hear();
    }

    /// What the appliance says itself is sound, and heard.
    fn hear(&mut self) {
        self.out.events.clear();
        for own in self.out.frames.take() {
            let facts = sound(own.bytes());
            remember(&mut self.told[own.port.index()], &facts, own.bytes());
        }
    }

    fn ports(&self, side: usize) -> [u16; 2] {
        let ports = [PORTS[0], self.client_port];
        [ports[side], ports[1 - side]]
    }

    fn say(&mut self, side: usize, flags: u8, numbers: [u32; 2], window: u16, options: &[u8], said: &[u8]) {
        let header_len = u8::try_from(20 + options.len()).expect("60 at the most");
        let mut segment: Vec<u8> = self.ports(side).iter().flat_map(|port| port.to_be_bytes()).collect();
        segment.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
        segment.extend([(header_len / 4) << 4, flags]);
        segment.extend(window.to_be_bytes());
        segment.extend([0; 4]);
        segment.extend(options);
        segment.extend(said);
        let before = frame([self.hosts[side], self.hosts[1 - side]], TCP, &segment);
        let Some((session, after)) = self.see(side, &before) else { return };
        let facts = sound(&after);
        if let Some(session) = session {
            self.check(session, side, &before, &after);
        }
        remember(&mut self.told[1 - side], &facts, &after);
    }

    /// An error about a segment with this number, which the end of index `side` was told, or says that it was.
    fn complain(&mut self, side: usize, numbers: [u32; 2], more: &[u8]) {
        let mut quoted: Vec<u8> = self.ports(1 - side).iter().flat_map(|port| port.to_be_bytes()).collect();
        let number = numbers[usize::from(more.first().is_some_and(|byte| byte & 1 != 0))];
        quoted.extend(number.to_be_bytes());
        quoted.extend(more);
        let hosts = [self.hosts[side], self.hosts[1 - side]];
        let before = frame_of_icmp(hosts, &quoted);
        if let Some((_, after)) = self.see(side, &before) {
            let facts = sound(&after);
            assert!(facts.is_icmp_error());
        }
    }

    /// The frame as it leaves, if it does, and its session.
    fn see(&mut self, side: usize, frame: &[u8]) -> Option<(Option<SessionId>, Vec<u8>)> {
        let mut facts = packet::parse(frame, frame.len());
        packet::verify(&mut facts, DeviceChecksum::NotChecked, [frame]);
        let verdict = self.engine.inspect(self.now, Port::ALL[side], &facts, frame, &mut self.out);
        let rewrite = self.out.rewrite.take();
        self.hear();
        if !verdict.is_forward() {
            assert!(rewrite.is_none(), "what stays is not changed");
            return None;
        }
        assert_eq!(facts.fault, None, "what is malformed never passes");
        let mut after = frame.to_vec();
        if let Some(rewrite) = rewrite {
            rewrite.apply(&mut after);
            self.translated += 1;
        }
        Some((verdict.session, after))
    }

    /// Every number has moved by the same offset as ever in this session: that of its own end.
    fn check(&mut self, session: SessionId, side: usize, before: &[u8], after: &[u8]) {
        let (old, new) = (packet::parse(before, before.len()), packet::parse(after, after.len()));
        assert_eq!(before.len(), after.len());
        assert_eq!(
            (old.tcp.flags, old.addresses, old.source_port),
            (new.tcp.flags, new.addresses, new.source_port)
        );
        let data_at = |facts: &Facts| usize::from(facts.transport_at) + usize::from(facts.tcp.header_len);
        assert_eq!(before[data_at(&old)..], after[data_at(&new)..], "data is nobody's business");
        let mut offsets = match self.seen {
            Some((known, offsets)) if known == session => offsets,
            _ => [None; 2],
        };
        let mut is = |end: usize, offset: u32, what: &str| {
            assert_eq!(*offsets[end].get_or_insert(offset), offset, "{what} of the end behind port {end}");
        };
        let is_shaking_hands = old.tcp.flags & SYN != 0;
        is(side, new.tcp.sequence.wrapping_sub(old.tcp.sequence), "sequence number");
        if old.tcp.flags & ACK != 0 {
            is(1 - side, old.tcp.acknowledgement.wrapping_sub(new.tcp.acknowledgement), "acknowledgement");
            for (old, new) in edges(before, &old).into_iter().zip(edges(after, &new)) {
                is(1 - side, old.wrapping_sub(new), "SACK edge");
            }
        }
        // A refusal is told at the number that the client knows, whatever the server's would be.
        let is_reset = old.tcp.flags & 4 != 0;
        self.seen = (!is_shaking_hands && !is_reset).then_some((session, offsets));
    }

    /// Everything is given back.
    fn end(mut self) -> [u64; 2] {
        let proven = self.engine.counters().reason(Reason::SynProven).get();
        self.now += Duration::from_secs(100 * 24 * 3600);
        while self.engine.next_deadline().is_some() {
            self.now += Duration::from_secs(3600);
            self.expire();
        }
        assert_eq!(self.engine.table().len(), 0);
        assert_eq!(self.shared.syn_proxy.handshakes(), 0, "no handshake outlives its session");
        [self.translated, proven]
    }
}

/// The facts of a frame whose checksums are right.
fn sound(frame: &[u8]) -> Facts {
    let mut facts = packet::parse(frame, frame.len());
    packet::verify(&mut facts, DeviceChecksum::NotChecked, [frame]);
    assert_eq!(facts.fault, None, "it is sound");
    facts
}

fn remember(told: &mut Told, facts: &Facts, frame: &[u8]) {
    if facts.is_icmp_error() {
        return;
    }
    let tcp = &facts.tcp;
    told.next = tcp.sequence.wrapping_add(tcp.data_len + u32::from(tcp.flags & SYN != 0));
    if tcp.flags & ACK != 0 {
        told.acknowledged = tcp.acknowledgement;
    }
    for (kind, value) in options(frame, facts) {
        if let (TIMESTAMPS, [a, b, c, d, ..]) = (kind, value) {
            told.stamp = u32::from_be_bytes([*a, *b, *c, *d]);
        }
    }
}

/// The edges of whole SACK blocks.
fn edges(frame: &[u8], facts: &Facts) -> Vec<u32> {
    let blocks = options(frame, facts).filter(|(kind, _)| *kind == SACK);
    let whole =
        blocks.flat_map(|(_, value)| value.chunks_exact(8).flat_map(|block| block.as_chunks::<4>().0));
    whole.map(|edge| u32::from_be_bytes(*edge)).collect()
}

/// The options of a segment, by a second reckoning.
fn options<'f>(frame: &'f [u8], facts: &Facts) -> impl Iterator<Item = (u8, &'f [u8])> {
    let at = usize::from(facts.transport_at);
    let mut rest = &frame[at + 20..at + usize::from(facts.tcp.header_len)];
    std::iter::from_fn(move || {
        loop {
            match rest {
                [1, after @ ..] => rest = after,
                [kind @ 2..=255, len @ 2..=255, ..] => {
                    let (kind, len) = (*kind, usize::from(*len));
                    let value = rest.get(2..len)?;
                    rest = &rest[len..];
                    return Some((kind, value));
                }
                _ => return None,
            }
        }
    })
}
