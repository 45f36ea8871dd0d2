//! Honest clients get what they ask for from whatever plays by the rules, and count as lost what does not.
#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests, where clippy does not see a test")]

use std::ops::Range;
use std::sync::Arc;

use sekisho_engine::flow::HashSecret;
use sekisho_engine::packet::{DeviceChecksum, parse, verify};
use sekisho_engine::policy::{
    Action, Policy, Rule, RuleNames, Ruleset, SynFlood, SynProxyMode, Zone, ZoneId,
};
use sekisho_engine::port::Port;
use sekisho_engine::reason::Reason;
use sekisho_engine::time::{Duration, Instant};
use sekisho_engine::{Config as EngineConfig, Engine, Outbox, Running};
use sekisho_traffic::{
    Class, Config, FRAME_MAX, Family, Honest, HonestCounts, Hostile, HostileKind, L4, Protocol, Shard, Side,
};

/// Ticks are microseconds.
const SECOND: u64 = 1_000_000;
const STEP: u64 = 500;
const BURST: usize = 4;
/// Connections a second.
const RATE: u64 = 200;

fn config(family: Family, hostile: Option<HostileKind>) -> Config {
    let from = |kind: HostileKind| kind.only_from().unwrap_or(Side::Wan);
    Config {
        sessions: 64,
        protocol: Protocol::Mixed,
        family,
        hostile: hostile.map(|kind| Hostile { kind, from: from(kind), share: 0.25 }),
        honest: Some(Honest { interval: SECOND / RATE, retransmit: SECOND }),
        retry: SECOND,
        ..Config::default()
    }
}

/// Plays from one second to another, with a few frames of each side in a turn; `through` hands on what comes out where.
fn play(
    shard: &mut Shard,
    seconds: Range<u64>,
    through: impl FnMut(u64, Side, &[u8], &mut Vec<(Side, Vec<u8>)>),
) {
    play_in(shard, seconds, BURST, through);
}

fn play_in(
    shard: &mut Shard,
    seconds: Range<u64>,
    burst: usize,
    mut through: impl FnMut(u64, Side, &[u8], &mut Vec<(Side, Vec<u8>)>),
) {
    let mut buffer = [0; FRAME_MAX];
    let mut came_out = Vec::new();
    for step in seconds.start * SECOND / STEP + 1..=seconds.end * SECOND / STEP {
        let now = step * STEP;
        for side in Side::ALL {
            for _ in 0..shard.ready(side, now, burst) {
                let made = shard.make(side, now, &mut buffer);
                assert!(made.len >= 60, "what was promised is made");
                through(now, side, &buffer[..usize::from(made.len)], &mut came_out);
                for (side, frame) in came_out.drain(..) {
                    shard.sink(side, &frame);
                }
            }
        }
    }
}

/// An engine with one rule for what comes from the LAN and one for the server.
fn engine(mode: SynProxyMode) -> Engine {
    let from = |zone, name| Rule { from: Some(vec![ZoneId(zone)]), ..Rule::of_all(name, Action::Allow) };
    let mut ruleset = Ruleset {
        zones: vec![Zone::of_port("lan", Port::Lan), Zone::of_port("wan", Port::Wan)],
        rules: vec![from(0, "lan-out"), Rule { syn_proxy: mode, ..from(1, "published") }],
        ..Ruleset::default()
    };
    ruleset.protections.syn_flood = SynFlood { half_open: None, rate: Some(100) };
    let policy = Arc::new(Policy::compile(1, ruleset, &mut RuleNames::default()));
    let config = EngineConfig {
        worker: 0,
        capacity: 50_000,
        secret: HashSecret([1, 2, 3, 4]),
        report_all_sessions: false,
    };
    Engine::new(config, Running::new(policy), Instant::ZERO)
}

/// What becomes of a frame in the engine, and how often it had reasons of `syn_proxy`.
fn play_through_engine(shard: &mut Shard, seconds: u64, mode: SynProxyMode) -> [u64; 3] {
    let mut engine = engine(mode);
    let mut out = Outbox::new(64, 64);
    let mut seen = [0; 3];
    let port = |side| if side == Side::Lan { Port::Lan } else { Port::Wan };
    let side = |port| if port == Port::Lan { Side::Lan } else { Side::Wan };
    play(shard, 0..seconds, |now, from, frame, came_out| {
        let time = Instant::ZERO + Duration::from_nanos(now * 1000);
        let mut facts = parse(frame, frame.len());
        verify(&mut facts, DeviceChecksum::NotChecked, [frame]);
        assert_eq!(facts.fault, None, "{frame:02x?}");
        let verdict = engine.inspect(time, port(from), &facts, frame, &mut out);
        let reasons = [Reason::SynCookie, Reason::SynChallenged, Reason::SynVerified];
        for (count, reason) in seen.iter_mut().zip(reasons) {
            *count += u64::from(verdict.reason == reason);
        }
        if verdict.is_forward() {
            let mut frame = frame.to_vec();
            if let Some(rewrite) = out.rewrite.take() {
                rewrite.apply(&mut frame);
            }
            came_out.push((from.other(), frame));
        }
        engine.expire(time, 16, &mut out);
        came_out.extend(out.frames.take().iter().map(|frame| (side(frame.port), frame.bytes().to_vec())));
        out.events.clear();
    });
    seen
}

/// Those of which it is known what became of them.
fn ended(counts: &HonestCounts) -> u64 {
    counts.at_once + counts.retransmitted + counts.failed
}

#[test]
fn the_engine_lets_every_honest_client_in_under_every_flood() {
    for family in [Family::V4, Family::V6] {
        for (mode, hostile) in [
            (SynProxyMode::Off, None),
            (SynProxyMode::Off, Some(HostileKind::ServerSyns)),
            (SynProxyMode::Auto, Some(HostileKind::ServerSyns)),
            (SynProxyMode::Always, Some(HostileKind::ServerSyns)),
            (SynProxyMode::Off, Some(HostileKind::ServerDatagrams)),
            (SynProxyMode::Off, Some(HostileKind::IcmpErrors)),
            (SynProxyMode::Off, Some(HostileKind::Fragments)),
            (SynProxyMode::Always, Some(HostileKind::Collisions)),
        ] {
            let mut shard = Shard::new(&config(family, hostile), 0).unwrap();
            let [cookies, challenges, _] = play_through_engine(&mut shard, 2, mode);
            let counts = shard.counts();
            let honest = counts.honest;
            assert!(honest.begun >= 2 * RATE - 5, "{mode:?} {hostile:?} {honest:?}");
            assert!(honest.at_once + 4 >= honest.begun, "{mode:?} {hostile:?} {honest:?}");
            assert_eq!((honest.retransmitted, honest.failed, honest.lost), (0, 0, 0), "{mode:?} {hostile:?}");
            assert_eq!((counts.stray, challenges), (0, 0), "{mode:?} {hostile:?}");
            assert_eq!(cookies > 0, matches!(mode, SynProxyMode::Auto | SynProxyMode::Always));
        }
    }
}

/// Each client calls from an address of its own, so each has to prove itself, and calls again.
#[test]
fn clients_answer_a_challenge_with_the_reset_that_proves_them() {
    let mut shard = Shard::new(&config(Family::V4, Some(HostileKind::ServerSyns)), 0).unwrap();
    let [cookies, challenges, verified] = play_through_engine(&mut shard, 3, SynProxyMode::Verify);
    let honest = shard.counts().honest;
    assert_eq!((honest.at_once, honest.failed, cookies), (0, 0, 0), "{honest:?}");
    // Those of the last second have not called again yet.
    assert!(honest.retransmitted + RATE + 4 >= honest.begun, "{honest:?}");
    assert!(verified + 4 >= honest.begun && challenges > verified, "{honest:?} {challenges} {verified}");
}

/// What only a client sends to the server, of TCP: whether it is a SYN.
fn is_syn(frame: &[u8]) -> Option<bool> {
    let facts = parse(frame, frame.len());
    (frame[30..34] == [10, 48, 0, 80] && frame[23] == 6).then_some(facts.tcp.flags & 2 != 0)
}

#[test]
fn whoever_is_heard_at_the_second_time_counts_as_retransmitted() {
    let mut shard = Shard::new(&config(Family::V4, None), 0).unwrap();
    let mut called = std::collections::HashSet::new();
    play(&mut shard, 0..5, |_, side, frame, came_out| {
        let is_first =
            side == Side::Wan && is_syn(frame) == Some(true) && called.insert(frame[26..30].to_vec());
        if !is_first {
            came_out.push((side.other(), frame.to_vec()));
        }
    });
    let honest = shard.counts().honest;
    assert_eq!((honest.at_once, honest.failed), (0, 0), "{honest:?}");
    assert!(honest.retransmitted + RATE + 2 >= honest.begun, "{honest:?}");
}

/// Three seconds after its first call a client would call for the third time.
#[test]
fn whoever_is_not_heard_twice_fails() {
    let mut shard = Shard::new(&config(Family::V4, None), 0).unwrap();
    let mut calls = 0;
    play(&mut shard, 0..5, |_, side, frame, came_out| {
        let is_call = side == Side::Wan && is_syn(frame).is_some();
        calls += u64::from(is_call);
        if !is_call {
            came_out.push((side.other(), frame.to_vec()));
        }
    });
    let honest = shard.counts().honest;
    assert_eq!((honest.at_once, honest.retransmitted), (0, 0), "{honest:?}");
    assert!((2 * RATE - 2..=2 * RATE + 2).contains(&honest.failed), "{honest:?}");
    assert!((9 * RATE - 4..=9 * RATE + 4).contains(&calls), "5 s of calls and 4 s of those again: {calls}");
}

/// A request is sent again too, and the server answers whatever comes.
#[test]
fn a_lost_request_is_sent_again() {
    let mut shard = Shard::new(&config(Family::V4, None), 0).unwrap();
    let mut asked = std::collections::HashSet::new();
    play(&mut shard, 0..4, |_, side, frame, came_out| {
        let facts = parse(frame, frame.len());
        let is_request = side == Side::Wan && is_syn(frame) == Some(false) && facts.tcp.data_len > 0;
        if !(is_request && asked.insert(frame[26..30].to_vec())) {
            came_out.push((side.other(), frame.to_vec()));
        }
    });
    let honest = shard.counts().honest;
    assert_eq!((honest.at_once, honest.failed), (0, 0), "{honest:?}");
    assert!(honest.retransmitted + RATE + 2 >= honest.begun, "{honest:?}");
}

/// Of a queue that loses half of what comes, honest frames lose half as well.
#[test]
fn honest_frames_are_lost_as_often_as_others() {
    let mut shard = Shard::new(&config(Family::V4, None), 0).unwrap();
    let mut given = [0u64; 2];
    shard.overload(Side::Wan, 500, 500);
    play(&mut shard, 0..8, |_, side, frame, came_out| {
        given[side.index()] += u64::from(is_syn(frame).is_some());
        came_out.push((side.other(), frame.to_vec()));
    });
    let counts = shard.counts();
    let share = counts.honest.lost as f64 / (counts.honest.lost + given[Side::Wan.index()]) as f64;
    assert!((0.47..0.53).contains(&share), "{share}");
    assert!(counts.honest.failed > 0 && counts.honest.at_once > 0, "{:?}", counts.honest);
    assert_eq!(
        counts.given[Side::Wan.index()][Class::New.index()],
        given[Side::Wan.index()],
        "what was lost was not given"
    );
    // And none where nothing is.
    let lost = counts.honest.lost;
    shard.overload(Side::Wan, 0, 100);
    play(&mut shard, 8..9, |_, side, frame, came_out| came_out.push((side.other(), frame.to_vec())));
    assert_eq!(shard.counts().honest.lost, lost);
}

/// However many there are, and whatever becomes of them.
#[test]
fn what_is_remembered_is_bounded_and_nobody_is_counted_twice() {
    let mut config = config(Family::V4, None);
    config.honest = Some(Honest { interval: SECOND / 4096, retransmit: SECOND });
    let mut shard = Shard::new(&config, 0).unwrap();
    let mut turn = 0u32;
    play_in(&mut shard, 0..9, 32, |_, side, frame, came_out| {
        turn = turn.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // What the established sessions need to open is not lost.
        let is_honest = frame[26..34].windows(4).any(|address| address == [10, 48, 0, 80]);
        if !is_honest || turn >> 30 != 0 {
            came_out.push((side.other(), frame.to_vec()));
        }
    });
    let honest = shard.counts().honest;
    assert_eq!(honest.lost, 0, "{honest:?}");
    assert!(honest.begun > 4 * 4096 && ended(&honest) <= honest.begun, "{honest:?}");
    assert!(ended(&honest) + 3 * 4100 + 8 >= honest.begun, "{honest:?}");
}

#[test]
fn honest_frames_are_steered_like_all_others() {
    let two = Config { queues: 2, ..config(Family::V4, Some(HostileKind::ServerSyns)) };
    for queue in 0..2 {
        let mut shard = Shard::new(&two, queue).unwrap();
        let mut buffer = [0; FRAME_MAX];
        let mut honest = 0;
        for step in 1..4000 {
            for side in Side::ALL {
                for _ in 0..shard.ready(side, step * STEP, BURST) {
                    let made = shard.make(side, step * STEP, &mut buffer);
                    assert_eq!((made.rss_hash & 127) % 2, u32::from(queue));
                    assert_ne!(made.l4, L4::Icmp);
                    let frame = &buffer[..usize::from(made.len)];
                    let facts = parse(frame, frame.len());
                    assert_eq!(u32::from(sekisho_engine::steer::owner(&facts, frame, 2)), u32::from(queue));
                    honest += u32::from(is_syn(frame).is_some());
                    shard.sink(side.other(), frame);
                }
            }
        }
        assert!(honest > 0 && shard.counts().honest.at_once > 0);
    }
}

#[test]
fn rates_that_no_table_holds_are_refused() {
    let honest = |interval, retransmit| Config {
        honest: Some(Honest { interval, retransmit }),
        ..config(Family::V4, None)
    };
    assert!(Shard::new(&honest(SECOND / 4096, SECOND), 0).is_ok());
    assert!(Shard::new(&honest(SECOND / 5000, SECOND), 0).is_err());
    assert!(Shard::new(&honest(1000, 999), 0).is_err());
    let hostile = |kind| Some(Hostile { kind, from: Side::Lan, share: 0.1 });
    for kind in [HostileKind::ServerSyns, HostileKind::ServerDatagrams, HostileKind::IcmpErrors] {
        let config = Config { hostile: hostile(kind), ..config(Family::V4, None) };
        assert!(Shard::new(&config, 0).is_err(), "{kind:?}");
    }
}
