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
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(from, to, 64);
        let mut frame = Vec::new();
        match flags {
            None => builder.udp(service, service).write(&mut frame, &[0; 18]),
            Some(_) => builder.tcp(service, service, 1000, 8192).write(&mut frame, &[]),
        }
        .expect("writing to memory");
        if let Some(flags) = flags {
            frame[47] = flags;
        }
        (port, frame)
    })
}

fn engine(policy: &Arc<Policy>) -> Engine {
    let config =
        Config { worker: 0, capacity: 6, secret: HashSecret([1, 2, 3, 4]), report_all_sessions: false };
    Engine::new(config, Running::new(Arc::clone(policy)), Instant::ZERO)
}

proptest! {
    /// What a burst's strangers come to is what each would by itself, in their order after all others.
    #[test]
    fn a_burst_is_judged_as_its_packets_are(
        bursts in prop::collection::vec(prop::collection::vec(frame(), 1..=BURST_MAX), 1..6),
    ) {
        let policy = policy();
        let (mut one_by_one, mut at_once) = (engine(&policy), engine(&policy));
        let (mut out, mut out_at_once) = (Outbox::new(64, 256), Outbox::new(64, 256));
        let mut now = Instant::ZERO;
        for burst in bursts {
            now += Duration::from_millis(10);
            let mut glances = vec![Glance::default(); burst.len()];
            at_once.begin_burst();
            let (mut order, mut strangers) = (Vec::new(), 0_u64);
            for (place, (port, frame)) in burst.iter().enumerate() {
                at_once.glance(*port, frame, frame.len(), DeviceChecksum::Good, &mut glances[place]);
                if at_once.locate(&mut glances[place]) {
                    at_once.locate_elsewhere(&mut glances[place]);
                }
            }
            let mut verdicts = Vec::new();
            for (place, (port, frame)) in burst.iter().enumerate() {
                let glance = &glances[place];
                prop_assert!(glance.is_plain());
                if at_once.pass(now, *port, glance) {
                    at_once.count_passed(1);
                    verdicts.push(Verdict {
                        reason: Reason::Session,
                        rule: None,
                        session: Some(at_once.session_of(glance)),
                    });
                } else if glance.is_stranger() {
                    strangers |= 1 << place;
                    continue;
                } else {
                    verdicts.push(at_once.inspect_plain(now, *port, glance, frame, &mut out_at_once));
                }
                order.push(place);
            }
            at_once.ask_for(now, &mut glances, strangers, |place| burst[place].0);
            for place in (0..burst.len()).filter(|place| strangers >> place & 1 != 0) {
                let (port, frame) = &burst[place];
                verdicts.push(at_once.inspect_stranger(now, *port, &glances[place], frame, &mut out_at_once));
                order.push(place);
            }
            for (place, verdict) in order.into_iter().zip(verdicts) {
                let (port, frame) = &burst[place];
                let facts = packet::parse(frame, frame.len());
                prop_assert_eq!(one_by_one.inspect(now, *port, &facts, frame, &mut out), verdict);
            }
            let hits = |engine: &Engine| engine.running.hits.all().map(|rule| rule.hits.get()).collect::<Vec<_>>();
            prop_assert_eq!(hits(&one_by_one), hits(&at_once));
            prop_assert_eq!(out.frames.len(), out_at_once.frames.len());
            out.frames.clear();
            out_at_once.frames.clear();
            out.events.clear();
            out_at_once.events.clear();
        }
    }
}
