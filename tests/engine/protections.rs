//! Limits and blocks over random traffic: whoever was never refused anything is never blocked, nobody has more than a limit
//! allows nor less, and when all is over nobody has anything.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU8;

use proptest::prelude::*;
use sekisho_engine::port::Port;
use sekisho_engine::reason::Reason;
use sekisho_engine::time::Duration;
use sekisho_replay::simulation::{Decision, Simulation};
use sekisho_tests::frames::{ACK, FIN, RST, SYN, Segment, ping, udp};
use sekisho_tests::scene::ruleset;

const SESSIONS_PER_SOURCE: usize = 3;
const SESSIONS: usize = 10;

const LIMITED: &str = "\
version: 1
zones: {lan: {port: lan}, wan: {port: wan}}
rules:
  - name: in
    from: wan
    to: lan
    service: [tcp, udp]
    action: allow
    limits: {sessions_per_source: 3, sessions: 10}
timeouts: {tcp: {syn_sent: 2s, established: 5s, half_closed: 1s, reset: 1s}, udp: {unreplied: 2s}}
";

const WATCHED: &str = "\
version: 1
zones: {lan: {port: lan}, wan: {port: wan}}
rules:
  - {name: web, from: wan, to: lan, service: [tcp/1-4, udp/1-4], action: allow}
  - {name: out, from: lan, to: wan, action: allow}
protections: {port_scan: {ports: 2, hosts: 2, within: 3s, block_for: 2s}}
";

/// A packet of one of a few hosts behind the WAN port to one of a few behind the LAN port, or back.
#[derive(Clone, Debug)]
struct Step {
    wait_ms: u64,
    is_answer: bool,
    source: u8,
    host: u8,
    port: u16,
    kind: u8,
    hops: u8,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0_u64..400, prop::bool::weighted(0.2), 0_u8..6, 1_u8..5, 1_u16..9, 0_u8..7, 0_u8..20)
        .prop_map(|(wait_ms, is_answer, source, host, port, kind, hops)| Step {
            wait_ms,
            is_answer,
            source,
            host,
            port,
            kind,
            // Nearly always the same.
            hops: if hops == 0 { 63 } else { 64 },
        });
    prop::collection::vec(step, 1..150)
}

fn source_of(number: u8) -> IpAddr {
    let text = if number < 4 { format!("198.51.100.{number}") } else { format!("2001:db8:ffff::{number}") };
    text.parse().unwrap()
}

impl Step {
    fn frame(&self) -> (Port, Vec<u8>) {
        let source = source_of(self.source);
        let host: IpAddr = match source {
            IpAddr::V4(_) => format!("192.0.2.{}", self.host).parse().unwrap(),
            IpAddr::V6(_) => format!("2001:db8:1::{}", self.host).parse().unwrap(),
        };
        let (client, server) = (SocketAddr::new(source, 40_000), SocketAddr::new(host, self.port));
        let segment = |flags, sequence, acknowledgement| {
            let segment = Segment::new(flags, sequence, acknowledgement);
            if self.is_answer { segment.between(server, client) } else { segment.between(client, server) }
        };
        let packet = match self.kind {
            0 if self.is_answer => segment(SYN | ACK, 7, 2),
            0 | 1 => segment(SYN, 1, 0),
            2 => segment(ACK, 2, 8),
            3 => segment(RST | ACK, 2, 8),
            4 => segment(FIN, 2, 0),
            5 if self.is_answer => udp(server, client, b"!"),
            5 => udp(client, server, b"?"),
            _ => ping(source, host, 1, 1),
        };
        let port = if self.is_answer { Port::Lan } else { Port::Wan };
        (port, packet.hop_limit(self.hops).frame())
    }
}

struct World {
    simulation: Simulation,
    frames: u64,
}

impl World {
    fn new(policy: &str, workers: u8) -> Self {
        Self {
            simulation: Simulation::new(ruleset(policy), NonZeroU8::new(workers).unwrap(), 64, None),
            frames: 0,
        }
    }

    fn pass(&mut self, ms: u64) {
        let until = self.simulation.now() + Duration::from_millis(ms);
        while self.simulation.step(until) {}
        self.simulation.happened().for_each(drop);
    }

    fn see(&mut self, step: &Step) -> Decision {
        self.pass(step.wait_ms);
        let (port, frame) = step.frame();
        self.frames += 1;
        let decision = self.simulation.inspect(self.frames, port, &frame, frame.len()).unwrap();
        self.simulation.happened().for_each(drop);
        decision
    }

    /// Live sessions by whoever opened them.
    fn live(&self) -> BTreeMap<IpAddr, usize> {
        let mut live = BTreeMap::new();
        for engine in self.simulation.engines() {
            engine.scan(self.simulation.now(), 0, u32::MAX, |session| {
                *live.entry(session.five_tuple.source).or_default() += 1;
            });
        }
        live
    }

    fn blocked(&self) -> BTreeSet<IpAddr> {
        let mut blocked = BTreeSet::new();
        self.simulation.guards().blocks.list(self.simulation.now(), |view| {
            blocked.insert(view.source);
        });
        blocked
    }

    fn parts(&self) -> u64 {
        self.simulation.guards().limit_totals().0
    }
}

proptest! {
    #[test]
    fn a_source_that_was_never_refused_anything_is_never_blocked(steps in steps(), workers in 1_u8..5) {
        let mut world = World::new(WATCHED, workers);
        let (mut refused, mut blocked_ever) = (BTreeSet::new(), BTreeSet::new());
        for step in &steps {
            let was_blocked = { world.pass(step.wait_ms); world.blocked() };
            let decision = world.see(&Step { wait_ms: 0, ..step.clone() });
            if decision.reason.is_drop() && !step.is_answer {
                refused.insert(source_of(step.source));
            }
            if decision.reason == Reason::SourceBlocked {
                prop_assert!(was_blocked.contains(&source_of(step.source)), "only who is on the list");
            }
            if decision.reason == Reason::SessionNew && !step.is_answer {
                prop_assert!(!was_blocked.contains(&source_of(step.source)), "nobody who is on the list");
            }
            // Hosts on the LAN side are refused as well: what they answer to nobody.
            blocked_ever.extend(world.blocked().into_iter().filter(|source| {
                (0..6).any(|number| source_of(number) == *source)
            }));
            prop_assert!(blocked_ever.is_subset(&refused), "{blocked_ever:?} of {refused:?}");
        }
        world.pass(3_600_000 * 24);
        prop_assert_eq!(world.simulation.sessions_live(), 0);
        prop_assert_eq!(world.parts(), 0, "who ended has nothing");
        prop_assert!(world.blocked().is_empty());
    }

    #[test]
    fn limits_hold_to_the_session(steps in steps(), workers in 1_u8..5) {
        let mut world = World::new(LIMITED, workers);
        for step in &steps {
            world.pass(step.wait_ms);
            let before = world.live();
            let decision = world.see(&Step { wait_ms: 0, ..step.clone() });
            let (own, all): (usize, usize) =
                (before.get(&source_of(step.source)).copied().unwrap_or(0), before.values().sum());
            match decision.reason {
                Reason::LimitSourceSessions => prop_assert_eq!(own, SESSIONS_PER_SOURCE),
                Reason::LimitRuleSessions => prop_assert_eq!(all, SESSIONS),
                _ => {}
            }
            let after = world.live();
            prop_assert!(after.values().all(|own| *own <= SESSIONS_PER_SOURCE));
            prop_assert!(after.values().sum::<usize>() <= SESSIONS);
            // Each has a part in its source's and in the rule's.
            prop_assert_eq!(world.parts(), 2 * after.values().sum::<usize>() as u64);
        }
        world.pass(3_600_000 * 24);
        prop_assert_eq!(world.parts(), 0);
    }
}
