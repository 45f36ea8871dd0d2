use std::sync::Arc;

use etherparse::PacketBuilder;
use proptest::prelude::*;

use super::*;
use crate::flow::HashSecret;
use crate::packet::{self, DeviceChecksum, tcp_flags};
use crate::pipeline::{Config, Running};
use crate::policy::{Policy, Protocols, Rule, RuleNames, Ruleset, ServiceMatch, Zone, ZoneId};
use crate::time::Duration;

/// LAN hosts may speak to all ports but one, WAN hosts may speak to one; nobody is answered by a reject but there.
fn policy() -> Arc<Policy> {
    let to_port = |port: u16| {
        Some(vec![ServiceMatch { family: Protocols::Both, protocol: None, selector: port..=port }])
    };
    let rules = vec![
        Rule { services: to_port(1), ..Rule::of_all("none-to-1", Action::Drop) },
        Rule { services: to_port(2), ..Rule::of_all("reject-2", Action::Reject) },
        Rule { from: Some(vec![ZoneId(0)]), ..Rule::of_all("lan-out", Action::Allow) },
        Rule { services: to_port(3), ..Rule::of_all("published", Action::Allow) },
    ];
    let zones = vec![Zone::of_port("lan", Port::Lan), Zone::of_port("wan", Port::Wan)];
    let ruleset = Ruleset { zones, rules, ..Ruleset::default() };
    Arc::new(Policy::compile(1, ruleset, &mut RuleNames::default()))
}

/// Of few ends, so that bursts hold several packets of what begins in them.
fn frame() -> impl Strategy<Value = (Port, Vec<u8>)> {
    let flags = prop::sample::select(vec![
        None,
        Some(tcp_flags::SYN),
        Some(tcp_flags::ACK),
        Some(tcp_flags::SYN | tcp_flags::ACK),
        Some(tcp_flags::RST),
    ]);
    (any::<bool>(), 1..3u8, 1..5u16, flags).prop_map(|(from_lan, host, service, flags)| {
        let (client, server) = ([192, 0, 2, host], [203, 0, 113, 1]);
        let port = if from_lan { Port::Lan } else { Port::Wan };
        let (from, to) = if from_lan { (client, server) } else { (server, client) };
        (port, flags.map_or_else(|| udp(from, to, service), |flags| tcp(from, to, service, flags)))
    })
}

fn udp(from: [u8; 4], to: [u8; 4], port: u16) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(from, to, 64);
    let mut frame = Vec::new();
    builder.udp(port, port).write(&mut frame, &[0; 18]).expect("writing to memory");
    frame
}

fn tcp(from: [u8; 4], to: [u8; 4], port: u16, flags: u8) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(from, to, 64);
    let mut frame = Vec::new();
    builder.tcp(port, port, 1000, 8192).write(&mut frame, &[]).expect("writing to memory");
    frame[47] = flags;
    frame
}

fn engine(policy: &Arc<Policy>) -> Engine {
    let config =
        Config { worker: 0, capacity: 6, secret: HashSecret([1, 2, 3, 4]), report_all_sessions: false };
    Engine::new(config, Running::new(Arc::clone(policy)), Instant::ZERO)
}

/// One by one, and a burst at once.
struct Pair {
    single: (Engine, Outbox),
    burst: (Engine, Outbox),
}

impl Pair {
    fn new(policy: &Arc<Policy>) -> Self {
        let side = || (engine(policy), Outbox::new(64, 1024));
        Self { single: side(), burst: side() }
    }

    /// A burst, in the stages of a worker; the others see its packets in the order in which they are judged.
    fn see(&mut self, now: Instant, packets: &[(Port, Vec<u8>)]) {
        let (engine, out) = &mut self.burst;
        let mut glances = vec![Glance::default(); packets.len()];
        engine.begin_burst();
        for ((port, frame), glance) in packets.iter().zip(&mut glances) {
            engine.glance(*port, frame, frame.len(), DeviceChecksum::Good, glance);
            assert!(glance.is_plain());
            if engine.locate(glance) {
                engine.locate_elsewhere(glance);
            }
        }
        // With what each came to, where that is told.
        let mut judged: Vec<(usize, Option<Verdict>)> = Vec::new();
        let mut strangers = 0_u64;
        for (place, (port, frame)) in packets.iter().enumerate() {
            let glance = &glances[place];
            if engine.pass(now, *port, glance) {
                engine.count_passed(1);
                let session = Some(engine.session_of(glance));
                judged.push((place, Some(Verdict { reason: Reason::Session, rule: None, session })));
            } else if glance.is_stranger() {
                strangers |= 1 << place;
            } else {
                judged.push((place, Some(engine.inspect_plain(now, *port, glance, frame, out))));
            }
        }
        engine.ask_for(now, &mut glances, strangers, |place| packets[place].0);
        while strangers != 0 {
            let left = engine.refuse_run(now, &glances, strangers, out);
            let refused = (0..packets.len()).filter(|place| (strangers & !left) >> place & 1 != 0);
            judged.extend(refused.map(|place| (place, None)));
            strangers = left & left.wrapping_sub(1);
            if left != 0 {
                let place = left.trailing_zeros() as usize;
                let (port, frame) = &packets[place];
                let verdict = engine.inspect_stranger(now, *port, &glances[place], frame, out);
                judged.push((place, Some(verdict)));
            }
        }
        assert_eq!(judged.len(), packets.len());
        let (engine, out) = &mut self.single;
        for (place, verdict) in judged {
            let (port, frame) = &packets[place];
            let facts = packet::parse(frame, frame.len());
            let alone = engine.inspect(now, *port, &facts, frame, out);
            assert_eq!(verdict.unwrap_or(alone), alone);
            assert!(verdict.is_some() || alone.reason.is_drop());
        }
        assert_eq!(figures(&self.single), figures(&self.burst));
        for (_, out) in [&mut self.single, &mut self.burst] {
            out.frames.clear();
            out.events.clear();
        }
    }
}

/// What is counted, and what is told.
fn figures((engine, out): &(Engine, Outbox)) -> (Vec<u64>, Vec<u64>, u64, usize, String) {
    let reasons = Reason::ALL.iter().map(|reason| engine.counters.reason(*reason).get()).collect();
    let hits = engine.running.hits.all().map(|rule| rule.hits.get()).collect();
    (reasons, hits, out.drops_untold, out.frames.len(), format!("{:?}", out.events))
}

proptest! {
    /// What a burst's strangers come to is what each would by itself, in their order after all others. With so many bursts in
    /// a millisecond that most drops are told to nobody.
    #[test]
    fn a_burst_is_judged_as_its_packets_are(
        bursts in prop::collection::vec(
            (0..3u64, prop::collection::vec(frame(), 1..=BURST_MAX)),
            1..12,
        ),
    ) {
        let mut pair = Pair::new(&policy());
        let mut now = Instant::ZERO;
        for (ticks, packets) in bursts {
            now += Duration::from_millis(ticks / 2);
            pair.see(now, &packets);
        }
    }
}

/// A flood in one millisecond: the first of it is told of, all of it is counted, and what is allowed in its midst passes.
#[test]
fn a_flood_is_counted_and_hides_nothing() {
    let mut pair = Pair::new(&policy());
    let now = Instant::ZERO;
    let refused = |host: u8| (Port::Wan, udp([203, 0, 113, host], [192, 0, 2, 1], 1));
    for _ in 0..10 {
        let mut packets: Vec<_> = (0..63).map(refused).collect();
        packets.insert(30, (Port::Lan, udp([192, 0, 2, 1], [203, 0, 113, 1], 4)));
        pair.see(now, &packets);
    }
    let counters = pair.burst.0.counters();
    assert_eq!(counters.reason(Reason::RuleDrop).get(), 630);
    assert_eq!(counters.reason(Reason::SessionNew).get(), 1);
    assert_eq!(counters.reason(Reason::Session).get(), 9);
    assert_eq!(pair.burst.1.drops_untold, 630 - 128);
}
