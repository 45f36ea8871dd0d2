//! Fragments of a few datagrams, in any order, with any overlap.

use sekisho_engine::fragment::{
    Carried, Collected, DATAGRAMS_MAX, DATAGRAMS_PER_SOURCE, FRAMES_MAX, Released, Shelf, Whole,
};
use sekisho_engine::packet::{self, Facts};
use sekisho_engine::policy::{Action, FragmentMode, Inspection};

use super::conversation::checksum;
use super::*;

/// Policies: one lets fragments be put together, the other does not.
static POLICIES: LazyLock<[Arc<Policy>; 2]> = LazyLock::new(|| {
    let mut names = RuleNames::default();
    [FragmentMode::Reassemble, FragmentMode::Drop].map(|fragments| {
        let ruleset = Ruleset {
            default_action: Action::Allow,
            zones: vec![Zone::of_port("lan", Port::Lan), Zone::of_port("wan", Port::Wan)],
            inspection: Inspection { fragments, ..Inspection::default() },
            ..Ruleset::default()
        };
        let generation = if fragments == FragmentMode::Reassemble { 1 } else { 2 };
        Arc::new(Policy::compile(generation, ruleset, &mut names))
    })
});

/// Length of the datagrams, which end within eight bytes.
const LEN: usize = 259;

/// A fragment as this target made it.
struct Sent {
    /// Which datagram: its family, port, host and identification.
    name: u8,
    offset: usize,
    more: bool,
    bytes: Vec<u8>,
    frame: Vec<u8>,
}

/// What has arrived, and what became of it.
struct World {
    engine: Engine,
    out: Outbox,
    now: Instant,
    shelf: Shelf<usize>,
    sent: Vec<Option<Sent>>,
    passed: u64,
    dropped: u64,
    whole: u64,
}

/// Plays `data` as fragments of a few datagrams. What passes was whole, without an overlap, and of a right checksum, as
/// a second reckoning has it; every frame has one fate, and no more are held than may be.
///
/// A step is five bytes: which datagram and orders, the offset in units of eight bytes, the length in such units, what its
/// bytes are changed by, and the time before it. Returns how many datagrams passed.
///
/// # Panics
/// When an invariant is broken.
pub fn fragments(data: &[u8]) -> u64 {
    let config =
        Config { worker: 0, capacity: 8, secret: HashSecret([1, 2, 3, 4]), report_all_sessions: false };
    let mut world = World {
        engine: Engine::new(config, Running::new(Arc::clone(&POLICIES[0])), Instant::ZERO),
        out: Outbox::new(64, 4096),
        now: Instant::ZERO,
        shelf: Shelf::new(),
        sent: Vec::new(),
        passed: 0,
        dropped: 0,
        whole: 0,
    };
    for step in data.as_chunks::<5>().0 {
        world.step(*step);
    }
    world.pass(Duration::from_secs(60));
    world.balance();
    assert!(world.shelf.is_empty(), "nothing waits for ever");
    assert_eq!(world.engine.counters().datagrams.get(), 0);
    world.whole
}

impl World {
    fn step(&mut self, [orders, offset, eighths, change, wait]: [u8; 5]) {
        // Mostly at once; now and then for seconds.
        let wait_ms = if wait & 0xc0 == 0xc0 { u64::from(wait & 0x3f) * 1000 } else { u64::from(wait & 3) };
        self.pass(Duration::from_millis(wait_ms));
        if change == 0xff {
            let next = usize::from(orders & 1);
            self.engine.set_policy(Running::new(Arc::clone(&POLICIES[next])));
        }
        let name = orders & 0x3f;
        let offset = usize::from(offset % 40) * 8;
        let datagram = datagram(name);
        let until = (offset + usize::from(eighths % 34 + 1) * 8).min(LEN);
        // Those behind the end, and those that claim that nothing or something follows though it is not so.
        let more = (until < LEN) != (orders & 0x80 != 0);
        let mut bytes = datagram.get(offset..until).map_or_else(|| vec![change; 8], <[u8]>::to_vec);
        if orders & 0x40 != 0 && !bytes.is_empty() {
            let at = usize::from(change) % bytes.len();
            bytes[at] ^= change;
        }
        let frame = frame_of(name, offset, more, &bytes);
        let facts = packet::parse(&frame, frame.len());
        self.sent.push(Some(Sent { name, offset, more, bytes, frame: frame.clone() }));
        self.see(&facts, &frame, port_of(name));
        self.balance();
    }

    fn see(&mut self, facts: &Facts, frame: &[u8], port: Port) {
        let number = self.sent.len() - 1;
        // In whatever segments.
        let (first, second) = frame.split_at(frame.len().min(100));
        let carried = Carried { sum: || packet::sum_piece(facts, [first, second]), fits: true };
        let collected = self.engine.collect(self.now, port, facts, frame, carried, &mut self.out);
        self.let_go();
        match collected {
            Collected::Judged(verdict) => {
                assert!(
                    facts.fragment.is_none() || verdict.reason.is_drop(),
                    "a fragment never passes alone"
                );
                self.settle(&[number], verdict.reason);
            }
            Collected::Held(datagram) => self.shelf.put(datagram, number).expect("there is room"),
            Collected::Whole(datagram) => {
                self.shelf.put(datagram, number).expect("there is room");
                let mut whole = Whole::default();
                self.engine.take_whole(datagram, &mut whole);
                let frames: Vec<_> = self.shelf.take(datagram).collect();
                assert_eq!(frames.len(), usize::from(whole.frames));
                assert!(frames.is_sorted(), "in the order in which they came");
                let sent = |frame: &usize| self.sent[*frame].as_ref().expect("it was held");
                whole.put_together(frames.iter().map(|frame| [&sent(frame).frame[..]]));
                let verdict = self.engine.judge_whole(self.now, &whole, &mut self.out);
                if verdict.is_forward() {
                    let bytes = self.check_whole(&frames);
                    assert!(whole.head.ends_with(&bytes), "helpers read what was sent");
                    self.whole += 1;
                }
                self.settle(&frames, verdict.reason);
            }
        }
        self.let_go();
    }

    /// These frames are all of one datagram, each byte once. Returns it.
    fn check_whole(&self, frames: &[usize]) -> Vec<u8> {
        let mut parts: Vec<&Sent> =
            frames.iter().map(|frame| self.sent[*frame].as_ref().expect("it was held")).collect();
        parts.sort_by_key(|part| part.offset);
        let (name, mut bytes) = (parts[0].name, Vec::new());
        for (at, part) in parts.iter().enumerate() {
            assert_eq!((part.name, part.offset), (name, bytes.len()), "no gap, no overlap, no stranger");
            assert_eq!(part.more, at + 1 < parts.len(), "the last one alone says that it is the last");
            bytes.extend_from_slice(&part.bytes);
        }
        assert_eq!(checksum(&[&pseudo_header(name, bytes.len()), &bytes]), 0, "its checksum is right");
        bytes
    }

    fn pass(&mut self, span: Duration) {
        self.now += span;
        while self.engine.next_deadline().is_some_and(|deadline| deadline <= self.now)
            && self.engine.expire(self.now, 8, &mut self.out)
        {
            self.let_go();
        }
        self.let_go();
    }

    /// Frames of datagrams that the engine gave up.
    fn let_go(&mut self) {
        let released: Vec<_> = self.out.released.drain(..).collect();
        for Released { datagram, reason } in released {
            assert!(reason.is_drop());
            let frames: Vec<_> = self.shelf.take(datagram).collect();
            assert!(!frames.is_empty(), "only what is held is let go");
            self.settle(&frames, reason);
        }
        settle(&mut self.out);
    }

    fn settle(&mut self, frames: &[usize], reason: Reason) {
        for frame in frames {
            assert!(self.sent[*frame].take().is_some(), "one fate each");
        }
        let count = if reason.is_drop() { &mut self.dropped } else { &mut self.passed };
        *count += frames.len() as u64;
    }

    fn balance(&self) {
        let counters = self.engine.counters();
        let held = self.shelf.len();
        assert_eq!(self.passed + self.dropped + held as u64, self.sent.len() as u64);
        let counted = |kind| -> u64 {
            let of_kind = Reason::ALL.iter().filter(|reason| reason.kind() == kind);
            of_kind.map(|reason| counters.reason(*reason).get()).sum()
        };
        assert_eq!((counted(Kind::Forward), counted(Kind::Drop)), (self.passed, self.dropped));
        assert_eq!(counters.fragments_held.get(), held as u64);
        assert_eq!(counters.fragment_bytes.get() == 0, held == 0);
        // Four hosts behind each port, in two families; those of IPv6 share a network.
        assert!(counters.datagrams.get() <= 10 * DATAGRAMS_PER_SOURCE as u64);
        assert!(held <= FRAMES_MAX && counters.datagrams.get() <= DATAGRAMS_MAX as u64);
    }
}

fn is_v4(name: u8) -> bool {
    name & 1 == 0
}

fn port_of(name: u8) -> Port {
    if name & 2 == 0 { Port::Lan } else { Port::Wan }
}

/// Source and destination of a datagram.
fn ends(name: u8) -> [Vec<u8>; 2] {
    let host = name >> 2 & 3;
    let mut ends = match is_v4(name) {
        true => [vec![192, 0, 2, 10 + host], vec![203, 0, 113, 5]],
        false => [1, 0xff].map(|net| {
            let mut address = vec![0x20, 1, 0x0d, 0xb8, 0, net];
            address.resize(15, 0);
            address.push(host + 1);
            address
        }),
    };
    if port_of(name) == Port::Wan {
        ends.reverse();
    }
    ends
}

fn pseudo_header(name: u8, len: usize) -> Vec<u8> {
    let len = u32::try_from(len).unwrap_or(0);
    let [source, destination] = ends(name);
    [source, destination, len.to_be_bytes().to_vec(), vec![0, 0, 0, 17]].concat()
}

/// A UDP datagram of right checksum.
fn datagram(name: u8) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..LEN).map(|at| u8::try_from(at % 251).unwrap_or(0) ^ name).collect();
    bytes[..8].copy_from_slice(&[0x13, 0x88, 0, 53, 1, 3, 0, 0]);
    let sum = checksum(&[&pseudo_header(name, LEN), &bytes]);
    bytes[6..8].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// A fragment of it in a frame.
fn frame_of(name: u8, offset: usize, more: bool, bytes: &[u8]) -> Vec<u8> {
    let be16 = |number: usize| u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes();
    let (identification, [source, destination]) = (name >> 4 & 3, ends(name));
    let header = if is_v4(name) {
        let place = be16(offset / 8 + if more { 0x2000 } else { 0 });
        let mut header = [&[0x45, 0][..], &be16(20 + bytes.len()), &[0, identification], &place].concat();
        header.extend([64, 17, 0, 0]);
        header.extend([source, destination].concat());
        let sum = checksum(&[&header]);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        header
    } else {
        let start = [&[0x60, 0, 0, 0][..], &be16(8 + bytes.len()), &[44, 64]].concat();
        let place = be16(offset + usize::from(more));
        [start, source, destination, vec![17, 0], place.to_vec(), vec![0, 0, 0, identification]].concat()
    };
    let kind: [u8; 2] = if is_v4(name) { [0x08, 0x00] } else { [0x86, 0xdd] };
    [&[2; 12][..], &kind, &header, bytes].concat()
}
