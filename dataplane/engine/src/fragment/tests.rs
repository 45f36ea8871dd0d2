use std::sync::Arc;

use proptest::prelude::*;

use super::gate::FOR_STRANGERS_PER_MS;
use super::*;
use crate::flow::HashSecret;
use crate::packet::{self, DeviceChecksum, checksum, protocol};
use crate::policy::{Action, FragmentMode, Policy, Rule, RuleNames, Ruleset, Zone, ZoneId};
use crate::port::Port;
use crate::reason::Kind;
use crate::record::Outbox;
use crate::session::SessionView;
use crate::steer;
use crate::time::{Duration, Instant};
use crate::{Config, Engine, Glance, Running};

const HOST: u32 = 0xc000_020a;
const SERVER: u32 = 0xcb00_7105;

fn sum_of(bytes: &[u8]) -> u16 {
    let mut sum = checksum::Sum::default();
    sum.add(bytes);
    sum.folded()
}

/// A policy that lets the LAN out.
fn policy(fragments: FragmentMode) -> Running {
    let mut ruleset = Ruleset {
        zones: vec![Zone::of_port("lan", Port::Lan), Zone::of_port("wan", Port::Wan)],
        rules: vec![Rule { from: Some(vec![ZoneId(0)]), ..Rule::of_all("out", Action::Allow) }],
        ..Ruleset::default()
    };
    ruleset.inspection.fragments = fragments;
    Running::new(Arc::new(Policy::compile(1, ruleset, &mut RuleNames::default())))
}

/// An engine and the frames that it had kept, by number.
struct Rig {
    engine: Engine,
    out: Outbox,
    shelf: Shelf<usize>,
    now: Instant,
    seen: usize,
    /// What became of each frame, once that is known.
    fates: Vec<Option<Reason>>,
    /// Frames that left, in order.
    left: Vec<usize>,
    /// Whether fragments are turned away at a glance, as a worker does.
    is_glancing: bool,
    turned_away: usize,
}

impl Rig {
    fn new() -> Self {
        let config = Config {
            worker: 0,
            capacity: 4096,
            secret: HashSecret([1, 2, 3, 4]),
            report_all_sessions: false,
        };
        Self {
            engine: Engine::new(config, policy(FragmentMode::Reassemble), Instant::ZERO),
            out: Outbox::new(64, 64),
            shelf: Shelf::new(),
            now: Instant::ZERO,
            seen: 0,
            fates: Vec::new(),
            left: Vec::new(),
            is_glancing: true,
            turned_away: 0,
        }
    }

    fn see(&mut self, frame: &[u8]) -> Option<Reason> {
        self.see_on(Port::Lan, frame)
    }

    fn see_on(&mut self, port: Port, frame: &[u8]) -> Option<Reason> {
        let number = self.seen;
        self.seen += 1;
        self.fates.push(None);
        if self.is_glancing {
            let mut glance = Glance::default();
            glance.read(port, frame, frame.len(), DeviceChecksum::NotChecked);
            if glance.is_fragment() && self.engine.turns_away(self.now, port, &glance, &mut self.out) {
                self.turned_away += 1;
                self.settle(number, Reason::FragmentEvicted);
                self.balance();
                return self.fates[number];
            }
        }
        let facts = packet::parse(frame, frame.len());
        let carried = Carried { sum: || packet::sum_piece(&facts, [frame]), fits: true };
        let collected = self.engine.collect(self.now, port, &facts, frame, carried, &mut self.out);
        self.drop_released();
        match collected {
            Collected::Judged(verdict) => self.settle(number, verdict.reason),
            Collected::Held(datagram) => self.shelf.put(datagram, number).unwrap(),
            Collected::Whole(datagram) => {
                self.shelf.put(datagram, number).unwrap();
                let mut whole = Whole::default();
                self.engine.take_whole(datagram, &mut whole);
                let frames: Vec<_> = self.shelf.take(datagram).collect();
                assert_eq!(frames.len(), usize::from(whole.frames));
                let verdict = self.engine.judge_whole(self.now, &whole, &mut self.out);
                frames.into_iter().for_each(|frame| self.settle(frame, verdict.reason));
            }
        }
        self.balance();
        self.fates[number]
    }

    fn see_all(&mut self, frames: &[Vec<u8>]) {
        for frame in frames {
            self.see(frame);
        }
    }

    fn pass(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
        while self.engine.expire(self.now, 4, &mut self.out) {
            self.drop_released();
        }
        self.drop_released();
        self.balance();
    }

    fn drop_released(&mut self) {
        self.out.events.clear();
        let released: Vec<_> = self.out.released.drain(..).collect();
        for Released { datagram, reason } in released {
            let frames: Vec<_> = self.shelf.take(datagram).collect();
            assert!(!frames.is_empty(), "only what is held is released");
            frames.into_iter().for_each(|frame| self.settle(frame, reason));
        }
    }

    fn settle(&mut self, frame: usize, reason: Reason) {
        assert_eq!(self.fates[frame].replace(reason), None, "once");
        if !reason.is_drop() {
            self.left.push(frame);
        }
    }

    /// What the engine counts is what is on the shelf, within bounds, and every frame has one reason or is held.
    fn balance(&self) {
        let counters = self.engine.counters();
        assert_eq!(counters.fragments_held.get(), self.shelf.len() as u64);
        assert_eq!(counters.fragment_bytes.get() == 0, self.shelf.is_empty());
        assert!(self.shelf.len() <= FRAMES_MAX && counters.datagrams.get() <= DATAGRAMS_MAX as u64);
        let frames = Reason::ALL.iter().filter(|reason| matches!(reason.kind(), Kind::Forward | Kind::Drop));
        let counted: u64 = frames.map(|reason| counters.reason(*reason).get()).sum();
        assert_eq!(counted + self.shelf.len() as u64, self.seen as u64);
    }

    fn fates(&self) -> Vec<Reason> {
        self.fates.iter().map(|fate| fate.expect("everything is settled")).collect()
    }

    fn sessions(&self) -> Vec<SessionView> {
        let mut all = Vec::new();
        self.engine.scan(self.now, 0, u32::MAX, |session| all.push(*session));
        all
    }
}

/// A fragment of an IPv4 datagram, in a frame.
fn v4(source: u32, identification: u16, protocol: u8, offset: usize, more: bool, bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0];
    frame.extend(((20 + bytes.len()) as u16).to_be_bytes());
    frame.extend(identification.to_be_bytes());
    frame.extend(((offset / 8) as u16 | if more { 0x2000 } else { 0 }).to_be_bytes());
    frame.extend([64, protocol, 0, 0]);
    frame.extend(source.to_be_bytes());
    frame.extend(SERVER.to_be_bytes());
    let header = !sum_of(&frame[14..]);
    frame[24..26].copy_from_slice(&header.to_be_bytes());
    frame.extend(bytes);
    frame
}

/// A fragment of an IPv6 datagram, in a frame.
fn v6(host: u128, identification: u32, protocol: u8, offset: usize, more: bool, bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x86, 0xdd, 0x60, 0, 0, 0];
    frame.extend(((8 + bytes.len()) as u16).to_be_bytes());
    frame.extend([44, 64]);
    frame.extend(host.to_be_bytes());
    frame.extend((0x2001_0db8_ffff << 80 | 0x53u128).to_be_bytes());
    frame.extend([protocol, 0]);
    frame.extend((offset as u16 | u16::from(more)).to_be_bytes());
    frame.extend(identification.to_be_bytes());
    frame.extend(bytes);
    frame
}

const HOST6: u128 = 0x2001_0db8_0001 << 80 | 0x10;

/// A UDP datagram of so many bytes in all, with a right checksum for both families' addresses above.
fn udp(is_v4: bool, ports: (u16, u16), len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..len).map(|at| (at * 7 % 251) as u8).collect();
    bytes[..2].copy_from_slice(&ports.0.to_be_bytes());
    bytes[2..4].copy_from_slice(&ports.1.to_be_bytes());
    bytes[4..6].copy_from_slice(&(len as u16).to_be_bytes());
    bytes[6..8].fill(0);
    let mut all = checksum::Sum::default();
    if is_v4 {
        all.add(&HOST.to_be_bytes());
        all.add(&SERVER.to_be_bytes());
    } else {
        all.add(&HOST6.to_be_bytes());
        all.add(&(0x2001_0db8_ffff << 80 | 0x53u128).to_be_bytes());
    }
    all.add(&[0, 17]);
    all.add(&(len as u16).to_be_bytes());
    all.add(&bytes);
    let checksum = match !all.folded() {
        0 => 0xffff,
        checksum => checksum,
    };
    bytes[6..8].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

/// The datagram in fragments that are cut at these multiples of eight bytes.
fn cut(is_v4: bool, identification: u16, bytes: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut * 8).filter(|cut| *cut < bytes.len()).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.dedup();
    let pieces = cuts.windows(2).map(|ends| {
        let (piece, more) = (&bytes[ends[0]..ends[1]], ends[1] < bytes.len());
        match is_v4 {
            true => v4(HOST, identification, protocol::UDP, ends[0], more, piece),
            false => v6(HOST6, identification.into(), protocol::UDP, ends[0], more, piece),
        }
    });
    pieces.collect()
}

proptest! {
    /// However a datagram is cut and in whatever order it comes, some of it twice: all of it passes, each frame once.
    #[test]
    fn a_datagram_passes_whole_however_it_comes(
        is_v4: bool,
        len in 24..4000usize,
        cuts in prop::collection::vec(1..400usize, 1..20),
        keys in prop::collection::vec(any::<u16>(), 64),
        again in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let fragments = cut(is_v4, 7, &udp(is_v4, (5000, 53), len), &cuts);
        prop_assume!(fragments.len() > 1);
        let mut order: Vec<_> = (0..fragments.len()).collect();
        order.extend(again.iter().map(|which| which.index(fragments.len())));
        order.sort_by_key(|at| (keys[*at % keys.len()], *at));
        let mut rig = Rig::new();
        let mut came = vec![false; fragments.len()];
        let mut is_whole = false;
        for which in order {
            let fate = rig.see(&fragments[which]);
            if core::mem::replace(&mut came[which], true) && !is_whole {
                prop_assert_eq!(fate, Some(Reason::FragmentDuplicate));
            }
            is_whole = is_whole || came.iter().all(|came| *came);
        }
        let sessions = rig.sessions();
        // What comes again after all of it is the beginning of another datagram, which never becomes whole.
        rig.pass(30_000);
        let passed = rig.fates().iter().filter(|fate| **fate == Reason::SessionNew).count();
        prop_assert_eq!(passed, fragments.len());
        prop_assert!(rig.left.is_sorted(), "they leave in the order in which they came");
        let session = sessions[0];
        let bytes: usize = rig.left.len() * if is_v4 { 34 } else { 62 } + len;
        prop_assert_eq!((session.packets[0], session.bytes[0]), (fragments.len() as u64, bytes as u64));
    }

    /// RFC 5722: one fragment that overlaps, wherever it lies and whenever it comes, and nothing of it passes.
    #[test]
    fn an_overlap_drops_all_of_the_datagram(
        is_v4: bool,
        cuts in prop::collection::vec(1..120usize, 1..8),
        from in 0..120usize,
        pieces in 1..30usize,
        position: prop::sample::Index,
        keys in prop::collection::vec(any::<u16>(), 16),
    ) {
        let bytes = udp(is_v4, (5000, 53), 1000);
        let mut fragments = cut(is_v4, 7, &bytes, &cuts);
        prop_assume!(fragments.len() > 1);
        let (start, end) = (from * 8, ((from + pieces) * 8).min(992));
        let odd = cut(is_v4, 7, &bytes, &[from, from + pieces]);
        // The piece alone; a first one must hold the header.
        prop_assume!(end - start >= 8);
        let odd = odd.into_iter().find(|frame| {
            let facts = packet::parse(frame, frame.len());
            facts.fragment.is_some_and(|f| usize::from(f.offset) == start)
        });
        let Some(odd) = odd else { return Ok(()) };
        prop_assume!(!fragments.contains(&odd));
        let mut order: Vec<_> = (0..fragments.len()).collect();
        order.sort_by_key(|at| keys[*at % keys.len()]);
        fragments = order.into_iter().map(|at| fragments[at].clone()).collect();
        // Not behind the last: then it would be another datagram.
        fragments.insert(position.index(fragments.len()), odd);
        let mut rig = Rig::new();
        for fragment in &fragments {
            rig.see(fragment);
        }
        let expected = [Reason::FragmentOverlap, Reason::FragmentEndConflict];
        prop_assert!(rig.fates().iter().all(|fate| expected.contains(fate)), "{:?}", rig.fates());
        prop_assert!(rig.sessions().is_empty());
        for fragment in &fragments {
            prop_assert!(expected.contains(&rig.see(fragment).unwrap()), "it stays so");
        }
        rig.pass(30_000);
        prop_assert_eq!(rig.engine.counters().datagrams.get(), 0);
    }

    /// All fragments of a datagram meet on one worker, and so does what they make up with the rest of its session.
    #[test]
    fn fragments_meet_on_one_worker(is_v4: bool, ports: (u16, u16), workers in 2..9u16) {
        let ports = (ports.0 | 1, ports.1 | 1);
        let bytes = udp(is_v4, ports, 900);
        let owner = |frame: &[u8]| steer::owner(&packet::parse(frame, frame.len()), frame, workers);
        let fragments = cut(is_v4, 7, &bytes, &[40, 80]);
        let first = owner(&fragments[0]);
        prop_assert!(fragments.iter().all(|fragment| owner(fragment) == first));
        let mut engine = Rig::new().engine;
        let (mut whole, mut out) = (Whole::default(), Outbox::new(4, 4));
        for fragment in &fragments {
            let facts = packet::parse(fragment, fragment.len());
            let carried = Carried { sum: || None, fits: true };
            let collected = engine.collect(Instant::ZERO, Port::Lan, &facts, fragment, carried, &mut out);
            if let Collected::Whole(datagram) = collected {
                engine.take_whole(datagram, &mut whole);
            }
        }
        let in_one_piece = match is_v4 {
            true => v4(HOST, 7, protocol::UDP, 0, false, &bytes),
            false => v6(HOST6, 7, protocol::UDP, 0, false, &bytes),
        };
        prop_assert_eq!(steer::owner(&whole.facts, &whole.head, workers), owner(&in_one_piece));
        let facts = packet::parse(&in_one_piece, in_one_piece.len());
        prop_assert_eq!((whole.facts.transport_len, whole.facts.fault), (facts.transport_len, None));
    }

    /// Any fragments at all: the books balance, and bounds hold (checked after each).
    #[test]
    fn any_fragments_are_sorted_in(
        steps in prop::collection::vec((any::<bool>(), 0..3u8, 0..3u16, 0..12usize, any::<bool>(), 0..6usize, 0..20_000u64), 1..200)
    ) {
        let mut rig = Rig::new();
        for (is_v4, host, identification, offset, more, eighths, wait) in steps {
            let bytes = vec![host; eighths * 8 + usize::from(!more)];
            let frame = match is_v4 {
                true => v4(HOST + u32::from(host), identification, 17, offset * 8, more, &bytes),
                false => v6(HOST6 + u128::from(host), identification.into(), 17, offset * 8, more, &bytes),
            };
            rig.see(&frame);
            rig.pass(wait / 100);
        }
        rig.pass(60_000);
        prop_assert!(rig.shelf.is_empty());
    }
}

/// A first fragment that waits for the rest.
fn lone(source: u32, identification: u16) -> Vec<u8> {
    v4(source, identification, protocol::UDP, 0, true, &udp(true, (5000, 53), 64)[..32])
}

#[test]
fn a_flood_from_one_source_costs_nobody_else() {
    let mut rig = Rig::new();
    let bytes = udp(true, (5000, 53), 60_000);
    let fragments = cut(true, 7, &bytes, &(1..45).map(|at| at * 185).collect::<Vec<_>>());
    let mut identification = 0;
    for fragment in &fragments {
        // In each millisecond some of the flood make room for others of it.
        rig.now += Duration::from_millis(1);
        rig.see(fragment);
        for _ in 0..5_000 {
            identification = (identification + 1) % 60_000;
            rig.see(&lone(0xc633_6401, identification));
        }
    }
    assert_eq!(rig.left.len(), fragments.len());
    assert_eq!(rig.engine.counters().datagrams.get(), DATAGRAMS_PER_SOURCE as u64);
    assert_eq!(
        rig.engine.counters().reason(Reason::FragmentEvicted).get(),
        fragments.len() as u64 * 5_000 - 64
    );
}

#[test]
fn a_source_that_holds_most_frames_makes_room() {
    let mut rig = Rig::new();
    let many = |source: u32, identification: u16| -> Vec<_> {
        (0..120).map(|at| v4(source, identification, 17, 64 + at * 8, true, &[7; 8])).collect()
    };
    // Its own oldest goes when it is over its share.
    for identification in 0..6 {
        many(1 << 24, identification).iter().for_each(|frame| assert_eq!(rig.see(frame), None));
    }
    assert!(rig.shelf.len() <= FRAMES_PER_SOURCE);
    assert_eq!(rig.fates[0], Some(Reason::FragmentEvicted));
    assert_eq!(rig.fates[5 * 120], None, "the youngest stays");
    // With the shelf full, those who hold most make room for one who holds little.
    for source in 2..20 {
        for frame in (0..4).flat_map(|id| many(source << 24, id)) {
            rig.see(&frame);
        }
    }
    assert!(rig.shelf.len() > FRAMES_MAX - 128);
    let fragments = cut(true, 7, &udp(true, (5000, 53), 4000), &[100, 200, 300]);
    rig.see_all(&fragments);
    assert_eq!(rig.left.len(), 4);
}

#[test]
fn many_sources_wait_in_turn() {
    let mut rig = Rig::new();
    let fragments = cut(true, 7, &udp(true, (5000, 53), 4000), &[100, 200, 300]);
    rig.see(&fragments[0]);
    for source in 0..DATAGRAMS_MAX as u32 - 1 {
        rig.see(&lone(0x0a00_0000 + source, 1));
    }
    assert_eq!(rig.engine.counters().datagrams.get(), DATAGRAMS_MAX as u64);
    rig.see_all(&fragments[1..]);
    assert_eq!(rig.left.len(), 4, "a full table evicts nobody for a datagram that is in it");
    rig.see(&lone(0x0b00_0000, 1));
    rig.see(&lone(0x0b00_0001, 1));
    assert_eq!(rig.fates[1], Some(Reason::FragmentEvicted), "the oldest of equals");
    assert_eq!(rig.fates[2], None);
}

/// Only so many make room in a millisecond: the others wait on, and a newcomer is refused. A source of which a datagram became
/// whole still gets in.
#[test]
fn in_a_flood_those_who_are_known_still_get_in() {
    let mut rig = Rig::new();
    let own = |identification| cut(true, identification, &udp(true, (5000, 53), 4000), &[100, 200, 300]);
    rig.see_all(&own(7));
    let first = rig.seen;
    for forged in 0..3 * DATAGRAMS_MAX as u32 {
        rig.see(&lone(0x0a00_0000 + forged, 1));
    }
    let made_room = rig.fates[first..][..DATAGRAMS_MAX].iter().filter(|fate| fate.is_some()).count();
    assert_eq!(made_room, FOR_STRANGERS_PER_MS as usize, "the oldest of them, and the rest waits on");
    assert_eq!(rig.see(&lone(0x0b00_0000, 1)), Some(Reason::FragmentEvicted));
    rig.see_all(&own(8));
    assert_eq!(rig.left.len(), 2 * own(7).len());
    rig.now += Duration::from_millis(1);
    assert_eq!(rig.see(&lone(0x0b00_0000, 1)), None, "in the next millisecond others make room");
}

/// What is turned away at a glance is what would be refused for want of room, whoever sends it and whatever else comes.
#[test]
fn who_is_turned_away_at_a_glance_would_have_found_no_room() {
    let mut rigs = [Rig::new(), Rig::new()];
    rigs[1].is_glancing = false;
    for rig in &mut rigs {
        let own = |identification| cut(true, identification, &udp(true, (5000, 53), 4000), &[100, 200, 300]);
        rig.see_all(&own(7));
        rig.see(&own(9)[0]);
        for forged in 0..4 * DATAGRAMS_MAX as u32 {
            let source = 0x0a00_0000 + forged * 0x101;
            let bytes = udp(true, (5000, 53), 64);
            let frame = match forged % 16 {
                0 => v4(source, 1, protocol::UDP, 64, true, &bytes[..32]),
                1 => v4(source, 1, protocol::UDP, 0, true, &bytes[..31]),
                2 => v4(source, 1, protocol::UDP, 0, true, &[0; 32]),
                3 => v4(source, 1, protocol::TCP, 8, true, &bytes[..32]),
                4 => v4(0x7f00_0001, 1, protocol::UDP, 0, true, &bytes[..32]),
                5 => v4(SERVER, 1, protocol::UDP, 0, true, &bytes[..32]),
                6 if forged % 512 == 6 => v6(HOST6, forged, protocol::UDP, 0, true, &bytes[..32]),
                7 if forged % 512 == 7 => own(20 + (forged / 512) as u16)[0].clone(),
                _ => lone(source, 1),
            };
            rig.see_on(if forged % 3 == 0 { Port::Wan } else { Port::Lan }, &frame);
            rig.now += Duration::from_millis(u64::from(forged % 1000 == 999));
        }
        // The rest of one that waits, and one of a source that is known.
        rig.see_all(&own(9)[1..]);
        rig.see_all(&own(10));
    }
    let [glancing, long] = &rigs;
    assert!(glancing.turned_away > DATAGRAMS_MAX && long.turned_away == 0, "{}", glancing.turned_away);
    assert_eq!(glancing.fates, long.fates);
    assert_eq!((&glancing.left, glancing.out.drops_untold), (&long.left, long.out.drops_untold));
    let counted = |rig: &Rig| -> Vec<_> {
        Reason::ALL.iter().map(|reason| rig.engine.counters().reason(*reason).get()).collect()
    };
    assert_eq!(counted(glancing), counted(long));
}

/// Who forges sources behind one port takes nothing from those behind the other.
#[test]
fn a_flood_of_forged_sources_stays_on_its_side() {
    let mut rig = Rig::new();
    let own = cut(true, 7, &udp(true, (5000, 53), 4000), &[100, 200, 300]);
    for (number, fragment) in own.iter().enumerate() {
        rig.see(fragment);
        // Of one source more than of any forged one.
        rig.see(&lone(HOST, 100 + number as u16));
        for forged in 0..2 * DATAGRAMS_MAX as u32 {
            let frame = lone(0x0a00_0000 + forged, 1);
            rig.see_on(Port::Wan, &frame);
        }
    }
    assert_eq!(rig.left.len(), own.len());
    assert_eq!(rig.engine.counters().datagrams.get(), DATAGRAMS_MAX as u64);
}

/// Each fragment states a length that a datagram may have; what they make up with the first one's options does not.
#[test]
fn a_whole_that_no_header_can_state_is_malformed() {
    let bytes = udp(true, (5000, 53), 65_512);
    let fragments = cut(true, 7, &bytes, &(1..45).map(|at| at * 185).collect::<Vec<_>>());
    let mut rig = Rig::new();
    for fragment in &fragments[1..] {
        assert_eq!(rig.see(fragment), None);
    }
    // Options of four bytes, which are not copied into later fragments.
    let mut first = fragments[0].clone();
    first.splice(34..34, [1, 1, 1, 0]);
    first[14] = 0x46;
    let len = u16::from_be_bytes([first[16], first[17]]) + 4;
    first[16..18].copy_from_slice(&len.to_be_bytes());
    first[24..26].fill(0);
    let sum = !sum_of(&first[14..38]);
    first[24..26].copy_from_slice(&sum.to_be_bytes());
    rig.see(&first);
    assert!(rig.fates().iter().all(|fate| *fate == Reason::FragmentMalformed), "{:?}", rig.fates());
}

#[test]
fn hosts_of_an_ipv6_network_share_its_share() {
    let mut rig = Rig::new();
    for host in 0..1000u32 {
        rig.see(&v6(HOST6 + u128::from(host), 1, protocol::UDP, 64, true, &[0; 8]));
    }
    assert_eq!(rig.engine.counters().datagrams.get(), DATAGRAMS_PER_SOURCE as u64);
}

#[test]
fn a_datagram_of_too_many_fragments_is_none() {
    let mut rig = Rig::new();
    for at in 0..=FRAGMENTS_MAX {
        rig.see(&v4(HOST, 7, protocol::UDP, 64 + at * 8, true, &[0; 8]));
    }
    assert!(rig.fates().iter().all(|fate| *fate == Reason::FragmentTooMany));
}

#[test]
fn a_datagram_that_is_over_leaves_its_name_to_another() {
    let mut rig = Rig::new();
    for _ in 0..3 {
        rig.see_all(&cut(true, 7, &udp(true, (5000, 53), 4000), &[100, 200]));
    }
    assert_eq!(rig.left.len(), 9);
}

#[test]
fn a_policy_without_reassembly_lets_nothing_wait() {
    let mut rig = Rig::new();
    assert_eq!(rig.see(&lone(HOST, 1)), None);
    rig.engine.set_policy(policy(FragmentMode::Drop));
    assert_eq!(rig.engine.next_deadline(), Some(Instant::ZERO));
    rig.pass(0);
    assert_eq!(rig.see(&lone(HOST, 1)), Some(Reason::Fragment));
    assert_eq!(rig.fates(), [Reason::Fragment, Reason::Fragment]);
}

#[test]
fn what_is_held_is_due_when_its_timeout_is_over() {
    let mut rig = Rig::new();
    rig.now = Instant::from_nanos(1_500_000_123);
    rig.see(&lone(HOST, 1));
    rig.pass(10_000);
    rig.see(&lone(HOST, 2));
    assert_eq!(rig.engine.next_deadline(), Some(Instant::from_nanos(31_500_000_123)));
    rig.pass(19_999);
    assert_eq!(rig.fates[0], None);
    rig.pass(1);
    assert_eq!((rig.fates[0], rig.fates[1]), (Some(Reason::FragmentIncomplete), None));
    rig.engine.end_fragments(rig.now, &mut rig.out);
    rig.drop_released();
    assert_eq!(rig.fates[1], Some(Reason::FragmentIncomplete), "and when everything ends");
    assert_eq!(rig.engine.next_deadline(), None);
}

/// The sum is over the whole, whatever is in which fragment.
#[test]
fn a_wrong_checksum_is_found_in_the_whole() {
    for is_v4 in [true, false] {
        let good = udp(is_v4, (5000, 53), 1001);
        for at in [6, 8, 500, 1000] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            let mut rig = Rig::new();
            rig.see_all(&cut(is_v4, 7, &bad, &[20, 80]));
            assert_eq!(rig.fates(), [Reason::UdpBadChecksum; 3], "byte {at}");
            assert!(rig.sessions().is_empty());
        }
        let mut none = good.clone();
        none[6..8].fill(0);
        let mut rig = Rig::new();
        rig.see_all(&cut(is_v4, 7, &none, &[20, 80]));
        let expected = if is_v4 { Reason::SessionNew } else { Reason::UdpZeroChecksum };
        assert_eq!(rig.fates(), [expected; 3], "RFC 768, RFC 8200 section 8.1");
    }
}

#[test]
fn a_frame_too_long_to_leave_takes_its_datagram_with_it() {
    let mut rig = Rig::new();
    let fragments = cut(true, 7, &udp(true, (5000, 53), 2000), &[100, 200]);
    rig.see(&fragments[0]);
    let facts = packet::parse(&fragments[1], fragments[1].len());
    let carried = Carried { sum: || None, fits: false };
    let collected = rig.engine.collect(rig.now, Port::Lan, &facts, &fragments[1], carried, &mut rig.out);
    assert_eq!(collected, Collected::Judged(Verdict::of(Reason::TooLong)));
    rig.drop_released();
    assert_eq!(rig.fates(), [Reason::TooLong]);
    rig.fates.push(Some(Reason::TooLong));
    rig.seen += 1;
    assert_eq!(rig.see(&fragments[2]), Some(Reason::TooLong));
}
