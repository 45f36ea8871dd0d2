//! What the fuzz targets do with their input, without the fuzzer: the tests run the kept corpus through it too.

mod fragments;

use std::sync::{Arc, LazyLock};

use sekisho_engine::flow::HashSecret;
use sekisho_engine::helper::{ANNOUNCED_PORT_MIN, Helper, OPENINGS_MAX};
use sekisho_engine::packet::{self, Class, DeviceChecksum};
use sekisho_engine::policy::{
    Action, Inspection, LinkLocal, LogLevel, Policy, Protections, Protocols, Rule, RuleNames, Ruleset,
    ServiceMatch, SpoofingMode, Zone, ZoneId,
};
use sekisho_engine::port::Port;
use sekisho_engine::reason::{Kind, Reason};
use sekisho_engine::time::{Duration, Instant};
use sekisho_engine::{Config, Engine, Event, Outbox, Running, Verdict};

pub use fragments::fragments;

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
            protections: Protections { spoofing: SpoofingMode::Log, bogons: SpoofingMode::Log },
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
        let verdict = engine.inspect(now, port, &facts, frame, &mut out);
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

/// A policy whose only rule has every helper on its port.
static HELPERS: LazyLock<Arc<Policy>> = LazyLock::new(|| {
    let services =
        [(Helper::Ftp, 6, 21), (Helper::Tftp, 17, 69), (Helper::Sip, 6, 5060), (Helper::Sip, 17, 5060)];
    let of = |protocol, port| ServiceMatch {
        family: Protocols::Both,
        protocol: Some(protocol),
        selector: port..=port,
    };
    let rule = Rule {
        from: Some(vec![ZoneId(0)]),
        services: Some(services.iter().map(|(_, protocol, port)| of(*protocol, *port)).collect()),
        helpers: services
            .iter()
            .map(|(helper, protocol, port)| (*helper, vec![of(*protocol, *port)]))
            .collect(),
        ..Rule::of_all("control", Action::Allow)
    };
    let ruleset = Ruleset {
        zones: vec![Zone::of_port("lan", Port::Lan), Zone::of_port("wan", Port::Wan)],
        rules: vec![rule],
        ..Ruleset::default()
    };
    Arc::new(Policy::compile(1, ruleset, &mut RuleNames::default()))
});

/// The client behind the LAN port and the server behind the WAN port of a control session.
const HOSTS: [[u8; 4]; 2] = [[192, 0, 2, 10], [203, 0, 113, 5]];

/// Plays `data` as a control session: what its two ends say, in segments at any place of their streams, or in datagrams.
/// Whatever is said, only ports of the end that says it are expected, and all of them end with the session.
///
/// Returns how many expectations were opened. The first byte chooses the protocol. A step is a byte of orders (its lowest bit the end that speaks), a byte of distance
/// from where its stream ends (signed), a byte of length, and so many bytes.
///
/// # Panics
/// When something opens that must not, or the books are wrong.
pub fn helpers(data: &[u8]) -> u64 {
    let Some((choice, mut rest)) = data.split_first() else { return 0 };
    let (protocol, port) = [(6, 21), (17, 69), (6, 5060), (17, 5060)][usize::from(choice % 4)];
    let config =
        Config { worker: 0, capacity: 64, secret: HashSecret([1, 2, 3, 4]), report_all_sessions: true };
    let mut engine = Engine::new(config, Running::new(Arc::clone(&HELPERS)), Instant::ZERO);
    let (mut out, mut ends) = (Outbox::new(64, 1024), [0x0fff_fff0u32, 0xffff_fff0]);
    let see = |engine: &mut Engine,
               out: &mut Outbox,
               side: usize,
               flags,
               sequence,
               acknowledgement,
               said: &[u8]| {
        let frame = frame(side, protocol, port, flags, sequence, acknowledgement, said);
        let facts = packet::parse(&frame, frame.len());
        assert_eq!(facts.fault, None, "the frames of this target are sound");
        engine.inspect(Instant::from_secs(1), Port::ALL[side], &facts, &frame, out);
        out.events.clear();
        out.frames.clear();
    };
    if protocol == 6 {
        see(&mut engine, &mut out, 0, 2, ends[0], 0, &[]);
        ends[0] = ends[0].wrapping_add(1);
        see(&mut engine, &mut out, 1, 18, ends[1], ends[0], &[]);
        ends[1] = ends[1].wrapping_add(1);
        see(&mut engine, &mut out, 0, 16, ends[0], ends[1], &[]);
    }
    while let [orders, distance, len, after @ ..] = rest {
        let (said, next) = after.split_at(usize::from(*len).min(after.len()));
        rest = next;
        let side = usize::from(orders & 1);
        let sequence = ends[side].wrapping_add_signed(i32::from(distance.cast_signed()));
        // FIN and RST now and then.
        let flags =
            16 | if orders & 0xf0 == 0x10 { 1 } else { 0 } | if orders & 0xf0 == 0x20 { 4 } else { 0 };
        let flags = if flags & 5 == 5 { 16 } else { flags };
        see(&mut engine, &mut out, side, flags, sequence, ends[1 - side], said);
        let end = sequence.wrapping_add(u32::try_from(said.len()).unwrap_or(0));
        if end.wrapping_sub(ends[side]) < 1 << 31 {
            ends[side] = end;
        }
        check_expectations(&engine);
    }
    let sessions: Vec<_> = {
        let mut all = Vec::new();
        engine.scan(Instant::from_secs(1), 0, u32::MAX, |session| all.push(session.id));
        all
    };
    for session in sessions {
        engine.end_session(Instant::from_secs(1), session, Reason::EndOperator, &mut out);
    }
    assert_eq!(engine.expectations().open(Instant::from_secs(1)), [0, 0, 0], "none outlives its session");
    for counts in &engine.counters().helpers {
        assert_eq!(counts.following.get(), 0);
        assert_eq!(counts.opened.get(), counts.used.get() + counts.withdrawn.get());
    }
    engine.counters().helpers.iter().map(|counts| counts.opened.get()).sum()
}

fn check_expectations(engine: &Engine) {
    let mut count = 0;
    engine.expectations().list(Instant::from_secs(1), |one| {
        count += 1;
        let side = one.from.index();
        assert_eq!((one.source, one.destination), (HOSTS[side].into(), HOSTS[1 - side].into()));
        assert!(one.helper == Helper::Tftp || one.destination_port >= ANNOUNCED_PORT_MIN);
        assert!(one.expires_in <= Duration::from_secs(60));
    });
    assert!(count <= OPENINGS_MAX);
}

/// A frame of the control session, from the end of index `side`.
fn frame(
    side: usize,
    protocol: u8,
    port: u16,
    flags: u8,
    sequence: u32,
    acknowledgement: u32,
    said: &[u8],
) -> Vec<u8> {
    let ports = if side == 0 { [40_000, port] } else { [port, 40_000] };
    let mut transport: Vec<u8> = ports.iter().flat_map(|port| port.to_be_bytes()).collect();
    let be16 = |len: usize| u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes();
    if protocol == 6 {
        transport.extend(sequence.to_be_bytes());
        transport.extend(acknowledgement.to_be_bytes());
        transport.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    } else {
        transport.extend(be16(8 + said.len()));
        transport.extend([0, 0]);
    }
    transport.extend(said);
    let mut ip = vec![0x45, 0];
    ip.extend(be16(20 + transport.len()));
    ip.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    ip.extend(HOSTS[side]);
    ip.extend(HOSTS[1 - side]);
    let sum = checksum(&[&ip]);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    if protocol == 6 {
        let pseudo = [&HOSTS[side][..], &HOSTS[1 - side], &[0, protocol], &be16(transport.len())].concat();
        let sum = checksum(&[&pseudo, &transport]);
        transport[16..18].copy_from_slice(&sum.to_be_bytes());
    }
    [&[2; 12][..], &[8, 0], &ip, &transport].concat()
}

/// The Internet checksum (RFC 1071) over all parts; each but the last has an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for pair in parts.iter().flat_map(|part| part.chunks(2)) {
        sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low));
    }
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !u16::try_from(sum).unwrap_or(0)
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
            Event::Drop { .. } | Event::Suspect { .. } => {}
        }
    }
    for frame in out.frames.drain(..) {
        let facts = packet::parse(frame.bytes(), frame.bytes().len());
        assert_eq!(facts.fault, None, "the appliance's own frames are sound");
    }
    assert_eq!(out.events_lost, 0);
    live
}
