use std::sync::Arc;

use etherparse::{IpNumber, PacketBuilder};
use proptest::prelude::*;

use super::*;
use crate::flow::HashSecret;
use crate::packet;
use crate::pipeline::{Config, Running};
use crate::policy::{Policy, Rule, RuleNames, Ruleset, Zone, ZoneId};
use crate::record::Event;
use crate::time::Duration;
use crate::time::Instant;

/// An engine with LAN hosts allowed out, and a clock of its own.
struct Rig {
    engine: Engine,
    now: Instant,
    out: Outbox,
}

impl Rig {
    fn new(capacity: u32) -> Self {
        let rule = Rule { from: Some(vec![ZoneId(0)]), ..Rule::of_all("lan-out", Action::Allow) };
        let ruleset = Ruleset {
            zones: vec![Zone::of_port("lan", Port::Lan), Zone::of_port("wan", Port::Wan)],
            rules: vec![rule],
            ..Ruleset::default()
        };
        let running = Running::new(Arc::new(Policy::compile(1, ruleset, &mut RuleNames::default())));
        let config =
            Config { worker: 0, capacity, secret: HashSecret([1, 2, 3, 4]), report_all_sessions: true };
        let engine = Engine::new(config, running, Instant::ZERO);
        Self { engine, now: Instant::ZERO, out: Outbox::new(64, 64) }
    }

    fn see(&mut self, port: Port, frame: &[u8]) -> Reason {
        let facts = packet::parse(frame, frame.len());
        let reason = self.engine.inspect(self.now, port, &facts, frame, &mut self.out).reason;
        self.settle();
        reason
    }

    fn pass(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
        while self.engine.expire(self.now, 16, &mut self.out) {
            self.settle();
        }
        self.settle();
    }

    fn settle(&mut self) {
        assert_eq!(self.out.events_lost, 0);
        assert!(self.out.events.drain(..).all(|event| !matches!(event, Event::Suspect { .. })));
        self.out.frames.clear();
    }
}

/// A packet of `protocol` between two hosts, by the last byte of their addresses, on its way from `port`.
fn frame(port: Port, hosts: (u8, u8), protocol: u8, payload: &[u8]) -> Vec<u8> {
    let (lan, wan) = ([192, 0, 2, hosts.0], [203, 0, 113, hosts.1]);
    let (source, destination) = if port == Port::Lan { (lan, wan) } else { (wan, lan) };
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(source, destination, 64);
    builder.write(&mut frame, IpNumber(protocol), payload).expect("writing to memory");
    frame
}

fn esp(port: Port, hosts: (u8, u8), spi: u32) -> Vec<u8> {
    frame(port, hosts, protocol::ESP, &[&spi.to_be_bytes()[..], &[0; 12]].concat())
}

fn port(lan: bool) -> Port {
    if lan { Port::Lan } else { Port::Wan }
}

proptest! {
    /// Whatever comes in whatever order, a session has at most one number each way, and what is remembered of pairs is
    /// what lives: it goes with the sessions.
    #[test]
    fn pairs_are_remembered_as_long_as_they_live(
        packets in prop::collection::vec((any::<bool>(), 1u8..4, 0u32..12, 0u64..40_000), 1..200),
        capacity in 2u32..40,
    ) {
        let mut rig = Rig::new(capacity);
        for (lan, host, spi, wait_ms) in packets {
            rig.pass(wait_ms);
            rig.see(port(lan), &esp(port(lan), (host, 1), spi));
            let live = rig.engine.table.len() as usize;
            prop_assert!(rig.engine.pairs.seconds() <= live);
            prop_assert!(rig.engine.pairs.hosts() <= live);
            prop_assert_eq!(rig.engine.counters.sessions_live(), live as u64);
        }
        rig.pass(10_000_000);
        prop_assert_eq!(rig.engine.table.len(), 0);
        prop_assert_eq!((rig.engine.pairs.seconds(), rig.engine.pairs.hosts()), (0, 0));
    }

    /// Nothing of a host that has no session with the LAN passes, whatever number it uses.
    #[test]
    fn a_stranger_does_not_get_in(
        packets in prop::collection::vec((any::<bool>(), 0u32..6), 1..60), spis in prop::collection::vec(0u32..6, 1..60),
    ) {
        let mut rig = Rig::new(100);
        for ((lan, spi), guess) in packets.into_iter().zip(spis) {
            rig.see(port(lan), &esp(port(lan), (1, 1), spi));
            prop_assert_eq!(rig.see(Port::Wan, &esp(Port::Wan, (1, 2), guess)), Reason::DefaultDrop);
            prop_assert_eq!(rig.see(Port::Wan, &esp(Port::Wan, (2, 1), guess)), Reason::DefaultDrop);
        }
    }
}

#[test]
fn room_for_pairs_of_hosts_is_bounded_and_comes_back() {
    let mut rig = Rig::new(1000);
    for host in 1..=64 {
        assert_eq!(rig.see(Port::Lan, &esp(Port::Lan, (host, 1), 7)), Reason::SessionNew);
    }
    assert_eq!(rig.see(Port::Lan, &esp(Port::Lan, (65, 1), 7)), Reason::PairsFull);
    // Who is known may go on.
    assert_eq!(rig.see(Port::Wan, &esp(Port::Wan, (64, 1), 9)), Reason::Session);
    assert_eq!(rig.see(Port::Lan, &esp(Port::Lan, (64, 1), 8)), Reason::SessionNew);
    rig.pass(61_000);
    assert_eq!(rig.see(Port::Lan, &esp(Port::Lan, (65, 1), 7)), Reason::SessionNew);
}

/// An SCTP packet of these ports; the sums are not looked at here.
fn sctp(port: Port, hosts: (u8, u8), lan_port: u16, tag: u32, chunks: &[u8]) -> Vec<u8> {
    let (source, destination) = if port == Port::Lan { (lan_port, 9u16) } else { (9, lan_port) };
    let mut payload = source.to_be_bytes().to_vec();
    payload.extend(destination.to_be_bytes());
    payload.extend(tag.to_be_bytes());
    payload.extend([0; 4]);
    payload.extend(chunks);
    frame(port, hosts, protocol::SCTP, &payload)
}

/// INIT (1) or INIT ACK (2) that offers `tag` and lists one more address.
fn offer(kind: u8, tag: u32, listed: [u8; 4]) -> Vec<u8> {
    let mut chunk = vec![kind, 0, 0, 28];
    chunk.extend(tag.to_be_bytes());
    chunk.extend([0, 1, 0, 0, 0, 10, 0, 10, 0, 0, 0, 1, 0, 5, 0, 8]);
    chunk.extend(listed);
    chunk
}

#[test]
fn the_oldest_association_of_many_paths_makes_room() {
    const HEARTBEAT: &[u8] = &[4, 0, 0, 4];
    let mut rig = Rig::new(10_000);
    let (client, server) = ((1, 1), (2, 2));
    for number in 0..1025u16 {
        let (lan_port, tags) = (10_000 + number, [1000 + u32::from(number), 9_000_000 + u32::from(number)]);
        let steps = [
            (Port::Lan, 0, offer(1, tags[0], [192, 0, 2, client.0 + 1])),
            (Port::Wan, tags[0], offer(2, tags[1], [203, 0, 113, client.1 + 1])),
            (Port::Lan, tags[1], vec![10, 0, 0, 4]),
            (Port::Wan, tags[0], vec![11, 0, 0, 4]),
        ];
        for (port, tag, chunks) in steps {
            let reason = rig.see(port, &sctp(port, client, lan_port, tag, &chunks));
            assert!(matches!(reason, Reason::SessionNew | Reason::Session), "{reason}");
        }
    }
    let mut heartbeat = |number: u16| {
        let tag = 9_000_000 + u32::from(number);
        rig.see(Port::Lan, &sctp(Port::Lan, server, 10_000 + number, tag, HEARTBEAT))
    };
    assert_eq!(heartbeat(0), Reason::SctpNoSession, "the first of 1025 made room");
    assert_eq!(heartbeat(1), Reason::SessionNew);
    assert_eq!(heartbeat(1024), Reason::SessionNew);
}
