//! Frames are what they say, and the engine lets every legal one pass.
#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests, where clippy does not see a test")]

use std::collections::HashSet;
use std::sync::Arc;

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use proptest::prelude::*;
use sekisho_engine::flow::HashSecret;
use sekisho_engine::packet::{DeviceChecksum, parse, verify};
use sekisho_engine::policy::{Action, Policy, Rule, RuleNames, Ruleset, Zone, ZoneId};
use sekisho_engine::port::Port;
use sekisho_engine::steer::owner;
use sekisho_engine::time::{Duration, Instant};
use sekisho_engine::{Config as EngineConfig, Engine, Outbox, Running};
use sekisho_traffic::{
    Class, Config, FRAME_MAX, Family, FrameSize, Hostile, HostileKind, L4, Load, Made, Order, Phase,
    Protocol, Shard, Side,
};

const BURST: usize = 32;

/// What a frame holds, with its checksums looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Seen {
    source: ([u8; 16], u16),
    destination: ([u8; 16], u16),
    tcp: Option<(u32, u32, bool, bool)>,
}

fn look(frame: &[u8], made: Made) -> Seen {
    let packet = SlicedPacket::from_ethernet(frame).expect("it parses");
    let wide = |bytes: &[u8]| {
        let mut wide = [0; 16];
        wide[..bytes.len()].copy_from_slice(bytes);
        wide
    };
    let (source, destination) = match packet.net.as_ref().expect("an IP packet") {
        NetSlice::Ipv4(ip) => {
            let header = ip.header().to_header();
            assert_eq!(header.header_checksum, header.calc_header_checksum());
            (wide(&header.source), wide(&header.destination))
        }
        NetSlice::Ipv6(ip) => (wide(&ip.header().source()), wide(&ip.header().destination())),
        NetSlice::Arp(_) => panic!("not IP"),
    };
    let ip = packet.net.as_ref().unwrap();
    match packet.transport {
        Some(TransportSlice::Tcp(tcp)) => {
            let header = tcp.to_header();
            let sum = match ip {
                NetSlice::Ipv4(ip) => {
                    header.calc_checksum_ipv4(&ip.header().to_header(), tcp.payload()).unwrap()
                }
                NetSlice::Ipv6(ip) => {
                    header.calc_checksum_ipv6(&ip.header().to_header(), tcp.payload()).unwrap()
                }
                NetSlice::Arp(_) => panic!("not IP"),
            };
            assert_eq!(header.checksum, sum);
            assert_eq!(made.l4, L4::Tcp);
            let tcp = Some((header.sequence_number, header.acknowledgment_number, header.syn, header.ack));
            Seen {
                source: (source, header.source_port),
                destination: (destination, header.destination_port),
                tcp,
            }
        }
        Some(TransportSlice::Udp(udp)) => {
            let header = udp.to_header();
            let sum = match ip {
                NetSlice::Ipv4(ip) => {
                    header.calc_checksum_ipv4(&ip.header().to_header(), udp.payload()).unwrap()
                }
                NetSlice::Ipv6(ip) => {
                    header.calc_checksum_ipv6(&ip.header().to_header(), udp.payload()).unwrap()
                }
                NetSlice::Arp(_) => panic!("not IP"),
            };
            assert_eq!(header.checksum, if sum == 0 { 0xffff } else { sum });
            assert_eq!(made.l4, L4::Udp);
            Seen {
                source: (source, header.source_port),
                destination: (destination, header.destination_port),
                tcp: None,
            }
        }
        Some(TransportSlice::Icmpv4(icmp)) => {
            let header = icmp.header();
            assert_eq!(header.checksum, header.icmp_type.calc_checksum(icmp.payload()));
            assert_eq!(made.l4, L4::Icmp);
            Seen { source: (source, 0), destination: (destination, 0), tcp: None }
        }
        Some(TransportSlice::Icmpv6(icmp)) => {
            let NetSlice::Ipv6(ip) = ip else { panic!("not IPv6") };
            let (header, ip) = (icmp.header(), ip.header());
            let sum = header.icmp_type.calc_checksum(ip.source(), ip.destination(), icmp.payload());
            assert_eq!(header.checksum, sum.unwrap());
            assert_eq!(made.l4, L4::Icmp);
            Seen { source: (source, 0), destination: (destination, 0), tcp: None }
        }
        _ => {
            assert_eq!(made.l4, L4::Fragment);
            Seen { source: (source, 0), destination: (destination, 0), tcp: None }
        }
    }
}

/// A shard and what it is played against: `through` says whether a frame comes out on the other side.
struct Play {
    shards: Vec<Shard>,
    now: u64,
    buffers: Vec<[u8; FRAME_MAX]>,
}

impl Play {
    fn new(config: &Config) -> Self {
        let shards =
            (0..config.queues).map(|queue| Shard::new(config, queue).expect("it is legal")).collect();
        Self { shards, now: 0, buffers: vec![[0xee; FRAME_MAX]; BURST] }
    }

    /// One burst of each side of each shard; how many frames that were.
    fn turn(&mut self, mut through: impl FnMut(usize, Side, &[u8], Made) -> bool) -> usize {
        self.now += 1;
        let mut frames = 0;
        for queue in 0..self.shards.len() {
            for side in Side::ALL {
                let shard = &mut self.shards[queue];
                let count = shard.ready(side, self.now, BURST);
                frames += count;
                // One by one, and all at once: what the turn before left in the buffers must not show.
                let mut made = [Made::default(); BURST];
                let buffers = self.buffers.iter_mut().map(|buffer| buffer.as_mut_slice());
                if self.now.is_multiple_of(2) {
                    let places = buffers.zip(&mut made).take(count);
                    assert_eq!(shard.make_all(side, self.now, places), count, "what was promised is made");
                } else {
                    for (buffer, made) in buffers.zip(&mut made).take(count) {
                        *made = shard.make(side, self.now, buffer);
                    }
                }
                for (buffer, &made) in self.buffers.iter().zip(&made[..count]) {
                    assert!(made.len >= 60, "what was promised is made");
                    let frame = &buffer[..usize::from(made.len)];
                    if through(queue, side, frame, made) {
                        shard.sink(side.other(), frame);
                    }
                }
            }
        }
        frames
    }

    fn open(&mut self, mut through: impl FnMut(usize, Side, &[u8], Made) -> bool) {
        for _ in 0..100_000 {
            if self.shards.iter().all(|shard| shard.phase() == Phase::Load) {
                self.shards.iter_mut().for_each(Shard::misplace);
                return;
            }
            self.turn(&mut through);
        }
        panic!("the sessions did not open");
    }
}

fn engine(worker: u8, policy: &Arc<Policy>) -> Engine {
    let config = EngineConfig {
        worker,
        capacity: 100_000,
        secret: HashSecret([1, 2, 3, 4]),
        report_all_sessions: false,
    };
    Engine::new(config, Running::new(Arc::clone(policy)), Instant::ZERO)
}

fn any_config() -> impl Strategy<Value = Config> {
    let protocol = prop_oneof![Just(Protocol::Udp), Just(Protocol::Tcp), Just(Protocol::Mixed)];
    let family = prop_oneof![Just(Family::V4), Just(Family::V6)];
    let size = prop_oneof![Just(FrameSize::Smallest), Just(FrameSize::Imix)];
    let order = prop_oneof![Just(Order::Random), Just(Order::Sequential)];
    let load = prop_oneof![Just(Load::Data), Just(Load::FirstPackets), Just(Load::Connections)];
    (protocol, family, size, order, load, 1u16..4, 8u32..300, 1u32..64, 0.0..1.0).prop_map(
        |(protocol, family, size, order, load, queues, sessions, window, misplaced)| Config {
            sessions,
            protocol,
            family,
            size,
            order,
            load,
            hostile: None,
            honest: None,
            queues,
            misplaced: if queues > 1 { misplaced } else { 0.0 },
            window,
            retry: 50,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// All of it through a firewall that allows what comes from the LAN.
    #[test]
    fn the_engine_drops_nothing_that_is_legal(config in any_config()) {
        let rule = Rule { from: Some(vec![ZoneId(0)]), ..Rule::of_all("lan-out", Action::Allow) };
        let ruleset = Ruleset {
            zones: vec![Zone::of_port("lan", Port::Lan), Zone::of_port("wan", Port::Wan)],
            rules: vec![rule],
            ..Ruleset::default()
        };
        let policy = Arc::new(Policy::compile(1, ruleset, &mut RuleNames::default()));
        let mut engines: Vec<_> = (0..config.queues).map(|queue| engine(u8::try_from(queue).unwrap(), &policy)).collect();
        let mut play = Play::new(&config);
        let mut time = Instant::ZERO;
        let mut out = Outbox::new(64, 64);
        let workers = config.queues;
        let mut misplaced = 0u32;
        let mut frames = 0u32;
        let mut through = |queue: usize, side: Side, frame: &[u8], made: Made| {
            time += Duration::from_millis(1);
            let mut facts = parse(frame, frame.len());
            verify(&mut facts, DeviceChecksum::NotChecked, [frame]);
            assert_eq!(facts.fault, None);
            let owner = owner(&facts, frame, workers);
            assert_eq!(u32::from(owner), (made.rss_hash & 127) % u32::from(workers));
            frames += 1;
            misplaced += u32::from(usize::from(owner) != queue);
            let port = if side == Side::Lan { Port::Lan } else { Port::Wan };
            let verdict = engines[usize::from(owner)].inspect(time, port, &facts, frame, &mut out);
            assert!(verdict.is_forward(), "{:?}: {frame:02x?}", verdict.reason);
            true
        };
        play.open(&mut through);
        for _ in 0..20 {
            play.turn(&mut through);
        }
        let opened: u64 = play.shards.iter().map(|shard| shard.counts().opened).sum();
        prop_assert_eq!(opened, u64::from(config.sessions));
        prop_assert!(play.shards.iter().all(|shard| shard.counts().stray == 0 && shard.counts().retries == 0));
        prop_assert!(config.misplaced > 0.0 || misplaced == 0);
        if config.misplaced > 0.2 && config.load == Load::Data {
            prop_assert!(misplaced > 0);
        }
        if config.load == Load::Connections {
            prop_assert!(play.shards.iter().all(|shard| shard.counts().connections > 0));
        }
    }

    #[test]
    fn checksums_are_right_and_sessions_differ(config in any_config()) {
        let mut play = Play::new(&config);
        let mut opened = HashSet::new();
        let phase_ends = |seen: Seen, side| {
            if side == Side::Lan { (seen.source, seen.destination) } else { (seen.destination, seen.source) }
        };
        play.open(|_, side, frame, made| {
            let seen = look(frame, made);
            let ends = phase_ends(seen, side);
            // The last turn brings the first new sessions too, which have addresses of their own.
            let lan = if config.family == Family::V4 { ends.0.0[1] } else { ends.0.0[13] };
            if lan < 16 {
                opened.insert((ends, seen.tcp.is_some()));
            }
            true
        });
        prop_assert_eq!(opened.len(), config.sessions as usize);
        for _ in 0..20 {
            play.turn(|_, side, frame, made| {
                let seen = look(frame, made);
                let known = opened.contains(&(phase_ends(seen, side), seen.tcp.is_some()));
                assert_eq!(known, config.load == Load::Data);
                true
            });
        }
    }

    /// What is lost is sent again, and counted once.
    #[test]
    fn losses_only_delay(config in any_config(), seed in 1u64..) {
        let mut state = seed;
        let mut play = Play::new(&config);
        play.open(|_, _, _, _| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            !state.is_multiple_of(4)
        });
        let opened: u64 = play.shards.iter().map(|shard| shard.counts().opened).sum();
        prop_assert_eq!(opened, u64::from(config.sessions));
    }
}

fn established(config: &Config) -> Play {
    let mut play = Play::new(config);
    play.open(|_, _, _, _| true);
    play
}

#[test]
fn every_session_sends_as_often_as_any_other() {
    let config = Config { sessions: 100, protocol: Protocol::Mixed, ..Config::default() };
    let mut play = established(&config);
    let mut frames = std::collections::HashMap::<_, u32>::new();
    for _ in 0..2000 {
        play.turn(|_, side, frame, made| {
            *frames.entry((side, look(frame, made))).or_default() += 1;
            true
        });
    }
    assert_eq!(frames.len(), 200);
    // 640 expected of each, with a standard deviation of 25.
    assert!(frames.values().all(|&count| (500..800).contains(&count)), "{frames:?}");
}

/// What a TCP session sends never ends below what it has sent: it would be a retransmission.
#[test]
fn data_of_a_tcp_session_has_one_size_and_all_sizes_are_there() {
    let config =
        Config { sessions: 300, protocol: Protocol::Tcp, size: FrameSize::Imix, ..Config::default() };
    let mut play = established(&config);
    let mut sizes = std::collections::HashMap::new();
    for _ in 0..100 {
        play.turn(|_, side, frame, made| {
            let seen = look(frame, made);
            assert_eq!(*sizes.entry((side, seen)).or_insert(made.len), made.len, "{seen:?}");
            true
        });
    }
    let mut shares = std::collections::HashMap::<_, u32>::new();
    sizes.values().for_each(|len| *shares.entry(*len).or_default() += 1);
    // Seven, four and one of twelve.
    let shares = [60, 590, 1514].map(|len| f64::from(shares[&len]) / sizes.len() as f64);
    let wanted = [7.0, 4.0, 1.0].map(|share| share / 12.0);
    assert!(shares.iter().zip(wanted).all(|(share, wanted)| (share - wanted).abs() < 0.05), "{shares:?}");
}

#[test]
fn sequential_means_one_after_the_other() {
    let config = Config { sessions: 64, order: Order::Sequential, ..Config::default() };
    let mut play = established(&config);
    let mut seen = HashSet::new();
    for _ in 0..2 {
        play.turn(|_, _, frame, made| seen.insert(look(frame, made)));
    }
    assert_eq!(seen.len(), 128);
}

#[test]
fn hostile_frames_have_their_share_and_their_class() {
    for (kind, from, legal) in [
        (HostileKind::SynFlood, Side::Wan, true),
        (HostileKind::SynFlood, Side::Lan, true),
        (HostileKind::Fragments, Side::Wan, false),
        (HostileKind::Collisions, Side::Lan, true),
        (HostileKind::ServerSyns, Side::Wan, true),
        (HostileKind::ServerDatagrams, Side::Wan, true),
        (HostileKind::IcmpErrors, Side::Wan, true),
    ] {
        for family in [Family::V4, Family::V6] {
            let hostile = Some(Hostile { kind, from, share: 0.25 });
            let config = Config { hostile, family, ..Config::default() };
            let mut play = established(&config);
            let before = play.shards[0].counts();
            let mut hashes = HashSet::new();
            let mut frames = HashSet::new();
            for _ in 0..100 {
                play.turn(|_, side, frame, made| {
                    let facts = parse(frame, frame.len());
                    assert_eq!(facts.fault, None);
                    let seen = look(frame, made);
                    if matches!(made.l4, L4::Tcp | L4::Icmp | L4::Fragment)
                        || kind == HostileKind::Collisions
                        || (side, seen.destination.1) == (Side::Wan, 53)
                    {
                        frames.insert(frame.to_vec());
                        hashes.insert(made.rss_hash);
                    }
                    assert_eq!(facts.fragment.is_none(), made.l4 != L4::Fragment);
                    assert!(legal || made.l4 != L4::Fragment || seen.source.1 == 0);
                    true
                });
            }
            let counts = play.shards[0].counts();
            let hostile = counts.given[from.index()][Class::Hostile.index()];
            let other = counts.given[from.other().index()][Class::Hostile.index()];
            assert_eq!((hostile, other), (1600, 0), "half of one side's, a quarter of all");
            assert_eq!(counts.back[from.other().index()][Class::Hostile.index()], 1600);
            let given: u64 =
                counts.given.iter().flatten().sum::<u64>() - before.given.iter().flatten().sum::<u64>();
            assert_eq!(given, 6400);
            if !matches!(kind, HostileKind::Fragments | HostileKind::Collisions) {
                assert!(
                    frames.len() > 1590 && hashes.len() > 1000,
                    "random: {} {}",
                    frames.len(),
                    hashes.len()
                );
            }
        }
    }
}

/// Half of the errors are about sessions that the engine has, and the engine passes them on; the others it drops.
#[test]
fn half_of_the_errors_are_about_open_sessions() {
    for family in [Family::V4, Family::V6] {
        let hostile = Some(Hostile { kind: HostileKind::IcmpErrors, from: Side::Wan, share: 0.25 });
        let config = Config { hostile, family, protocol: Protocol::Mixed, ..Config::default() };
        let ruleset = Ruleset {
            zones: vec![Zone::of_port("lan", Port::Lan), Zone::of_port("wan", Port::Wan)],
            rules: vec![Rule { from: Some(vec![ZoneId(0)]), ..Rule::of_all("lan-out", Action::Allow) }],
            ..Ruleset::default()
        };
        let policy = Arc::new(Policy::compile(1, ruleset, &mut RuleNames::default()));
        let mut engine = engine(0, &policy);
        let (mut time, mut out) = (Instant::ZERO, Outbox::new(64, 64));
        let mut passed = [0u32; 2];
        let mut through = |side: Side, frame: &[u8], made: Made| {
            time += Duration::from_nanos(10_000);
            let mut facts = parse(frame, frame.len());
            verify(&mut facts, DeviceChecksum::NotChecked, [frame]);
            assert_eq!(facts.fault, None);
            let port = if side == Side::Lan { Port::Lan } else { Port::Wan };
            let passes = engine.inspect(time, port, &facts, frame, &mut out).is_forward();
            match made.l4 {
                L4::Icmp => passed[usize::from(passes)] += 1,
                _ => assert!(passes, "{frame:02x?}"),
            }
            passes
        };
        let mut play = Play::new(&config);
        play.open(|_, side, frame, made| through(side, frame, made));
        for _ in 0..100 {
            play.turn(|_, side, frame, made| through(side, frame, made));
        }
        // Of 1,600 and more, with a standard deviation of 20.
        assert!(passed[0] + passed[1] >= 1600 && passed[0].abs_diff(passed[1]) < 240, "{passed:?}");
    }
}

#[test]
fn colliding_sessions_have_one_hash() {
    let hostile = Some(Hostile { kind: HostileKind::Collisions, from: Side::Lan, share: 0.5 });
    let config = Config { hostile, ..Config::default() };
    let mut play = established(&config);
    let (mut hashes, mut sessions) = (HashSet::new(), HashSet::new());
    for _ in 0..200 {
        play.turn(|_, side, frame, made| {
            if side == Side::Lan {
                hashes.insert(made.rss_hash);
                sessions.insert(look(frame, made));
            }
            true
        });
    }
    assert_eq!(hashes.len(), 1);
    assert!(sessions.len() > 5000, "{}", sessions.len());
}

#[test]
fn ten_million_sessions_take_no_memory() {
    let config = Config { sessions: 10_000_000, protocol: Protocol::Tcp, window: 4096, ..Config::default() };
    let shard = Shard::new(&config, 0).unwrap();
    // The window of what is under way is all there is: slots of 24 bytes.
    assert!(size_of_val(&shard) < 4096);
    assert_eq!(shard.sessions(), 10_000_000);
}

#[test]
fn what_cannot_be_is_refused() {
    let refused = |config: Config| assert!(Shard::new(&config, 0).is_err(), "{config:?}");
    refused(Config { sessions: 17 << 20, ..Config::default() });
    refused(Config { sessions: 0, ..Config::default() });
    refused(Config { queues: 0, ..Config::default() });
    refused(Config { misplaced: 0.5, ..Config::default() });
    refused(Config { window: 0, ..Config::default() });
    let hostile = |kind, from, share| Some(Hostile { kind, from, share });
    refused(Config { hostile: hostile(HostileKind::SynFlood, Side::Wan, 0.6), ..Config::default() });
    refused(Config { hostile: hostile(HostileKind::Collisions, Side::Wan, 0.1), ..Config::default() });
}
