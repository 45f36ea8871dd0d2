//! What the fuzz targets do with their input, without the fuzzer: the tests run the kept corpus through it too.

mod conversation;
mod fragments;
mod proxy;

use std::sync::{Arc, LazyLock};

use sekisho_engine::flow::HashSecret;
use sekisho_engine::packet::{self, Class, DeviceChecksum};
use sekisho_engine::policy::{
    Action, HijackMode, Inspection, LinkLocal, LogLevel, Policy, Protections, Rule, RuleNames, Ruleset,
    SpoofingMode, Zone, ZoneId,
};
use sekisho_engine::port::Port;
use sekisho_engine::reason::{Kind, Reason};
use sekisho_engine::time::{Duration, Instant};
use sekisho_engine::{Config, Engine, Event, Glance, Outbox, Running, Verdict, steer};

pub use conversation::{ftp, sip, tftp};
pub use fragments::fragments;
pub use proxy::proxy;

/// Parses `data` as a frame and checks what must hold of its facts.
///
/// # Panics
/// When a fact reaches outside the frame.
pub fn parse(data: &[u8]) {
    let (beyond, frame) = match data.split_first() {
        Some((beyond, frame)) => (usize::from(*beyond), frame),
        None => return,
    };
    let facts = packet::parse(frame, frame.len() + beyond);
    assert!(usize::from(facts.transport_at) <= frame.len());
    if facts.fault.is_none() && facts.class == Class::Ip {
        assert!(usize::from(facts.transport_at) + facts.transport_len as usize <= frame.len() + beyond);
        assert!(facts.tcp.data_len <= facts.transport_len);
    }
    // Whatever it finds, in whatever pieces.
    let (mut judged, (first, second)) = (facts, frame.split_at(frame.len() / 2));
    packet::verify(&mut judged, DeviceChecksum::NotChecked, [frame]);
    packet::verify(&mut judged, DeviceChecksum::Bad, [first, second]);
    assert!(facts.fault.is_none() || judged.fault == facts.fault);
    if let Some(fragment) = facts.fragment
        && facts.fault.is_none()
    {
        assert!(usize::from(fragment.at) + usize::from(fragment.len) <= frame.len() + beyond);
        assert!(fragment.at <= facts.transport_at && fragment.len > 0);
        assert_eq!(packet::sum_piece(&facts, [frame]), packet::sum_piece(&facts, [first, second]));
    }
}

/// Two generations of a policy: the second refuses what the first allowed.
static POLICIES: LazyLock<[Arc<Policy>; 2]> = LazyLock::new(|| {
    let mut names = RuleNames::default();
    [Action::Allow, Action::Reject].map(|action| {
        let rule = |name, from, action| Rule {
            from: Some(vec![ZoneId(from)]),
            log: Some(true),
            ..Rule::of_all(name, action)
        };
        let ruleset = Ruleset {
            default_log: LogLevel::All,
            zones: vec![Zone::of_port("lan", Port::Lan), Zone::of_port("wan", Port::Wan)],
            rules: vec![rule("out", 0, action), rule("in", 1, Action::Reject)],
            inspection: Inspection {
                non_ip: vec![0x0806, 0x8863],
                llc: true,
                link_local: LinkLocal { stp: true, lldp: true, ..LinkLocal::default() },
                ..Inspection::default()
            },
            protections: Protections {
                spoofing: SpoofingMode::Log,
                bogons: SpoofingMode::Log,
                hijack: HijackMode::End,
                ..Protections::default()
            },
            ..Ruleset::default()
        };
        let generation = if action == Action::Allow { 1 } else { 2 };
        Arc::new(Policy::compile(generation, ruleset, &mut names))
    })
});

/// Plays `data` against an engine: a script of frames, pauses and deploys. After each step the engine's books must
/// be in order.
///
/// A step is a byte of orders, two bytes of time, a byte of length, and so many bytes of frame.
///
/// # Panics
/// When an invariant is broken.
pub fn inspect(data: &[u8]) {
    let policies = &*POLICIES;
    let config =
        Config { worker: 0, capacity: 8, secret: HashSecret([1, 2, 3, 4]), report_all_sessions: true };
    let mut now = Instant::ZERO;
    let mut engine = Engine::new(config, Running::new(Arc::clone(&policies[0])), now);
    let mut out = Outbox::new(64, 64);
    let (mut frames, mut live) = (0, 0i64);
    let mut rest = data;
    while let [orders, time_high, time_low, len, after @ ..] = rest {
        let (frame, next) = after.split_at(usize::from(*len).min(after.len()));
        rest = next;
        let ticks = u64::from(u16::from_be_bytes([*time_high, *time_low]));
        now += Duration::from_millis(if orders & 2 == 0 { ticks } else { ticks * 1000 });
        while engine.next_deadline().is_some_and(|deadline| deadline <= now)
            && engine.expire(now, 64, &mut out)
        {}
        if orders & 4 != 0 {
            let next = usize::from(orders & 8 != 0);
            engine.set_policy(Running::new(Arc::clone(&policies[next])));
        }
        let port = if orders & 1 == 0 { Port::Lan } else { Port::Wan };
        let facts = packet::parse(frame, frame.len());
        // A device that finds every checksum right, so that most changes to a frame leave it plain.
        let mut glance = Glance::default();
        engine.begin_burst();
        engine.glance(port, frame, frame.len(), DeviceChecksum::Good, &mut glance);
        let verdict = if !glance.is_plain() {
            engine.inspect(now, port, &facts, frame, &mut out)
        } else {
            assert_eq!(facts.fault, None, "a plain packet has no fault");
            assert_eq!(glance.owner(5), steer::owner(&facts, frame, 5), "both ways lead to one worker");
            if engine.locate(&mut glance) {
                engine.locate_elsewhere(&mut glance);
            }
            if engine.pass(now, port, &glance) {
                engine.count_passed(1);
                let session = Some(engine.session_of(&glance));
                Verdict { reason: Reason::Session, rule: None, session }
            } else if glance.is_stranger() && orders & 16 != 0 {
                engine.ask_for(now, core::slice::from_mut(&mut glance), 1, |_| port);
                engine.inspect_stranger(now, port, &glance, frame, &mut out)
            } else {
                engine.inspect_plain(now, port, &glance, frame, &mut out)
            }
        };
        frames += 1;
        check_verdict(&verdict, &facts);
        live += settle(&mut out);
        assert_eq!(live, i64::from(engine.table().len()), "events tell of every session");
    }
    let counters = engine.counters();
    let counted: u64 = Reason::ALL
        .iter()
        .filter(|reason| matches!(reason.kind(), Kind::Forward | Kind::Drop))
        .map(|reason| counters.reason(*reason).get())
        .sum();
    assert_eq!(counted, frames, "every frame has one reason");
    assert_eq!(counters.sessions_live(), u64::from(engine.table().len()));
    // With no more frames every session ends.
    now += Duration::from_secs(100 * 24 * 3600);
    while engine.next_deadline().is_some() {
        engine.expire(now, 64, &mut out);
        live += settle(&mut out);
    }
    assert_eq!((live, engine.table().len()), (0, 0));
}

fn check_verdict(verdict: &Verdict, facts: &packet::Facts) {
    assert!(matches!(verdict.reason.kind(), Kind::Forward | Kind::Drop));
    if verdict.is_forward() {
        assert_eq!(facts.fault, None, "what is malformed never passes");
        assert_eq!(facts.fragment, None, "fragments do not pass");
    }
}

/// Empties the outbox; returns sessions begun less sessions ended.
fn settle(out: &mut Outbox) -> i64 {
    let mut live = 0;
    for event in out.events.drain(..) {
        match event {
            Event::SessionStart { .. } => live += 1,
            Event::SessionEnd { .. } => live -= 1,
            Event::Drop { .. } | Event::Suspect { .. } | Event::Block { .. } => {}
        }
    }
    for frame in out.frames.take() {
        let facts = packet::parse(frame.bytes(), frame.bytes().len());
        assert_eq!(facts.fault, None, "the appliance's own frames are sound");
    }
    assert_eq!(out.events_lost, 0);
    live
}
