use etherparse::{Icmpv4Type, Icmpv6Type, PacketBuilder};

use super::*;
use crate::packet::{self, tcp_flags};
use crate::policy::{LogLevel, MidstreamMode, OnExpiry, Rule, RuleId, RuleNames, Ruleset, Zone, ZoneId};
use crate::rig;
use crate::session::SessionView;

const CLIENT: [u8; 4] = [192, 0, 2, 10];
const SERVER: [u8; 4] = [203, 0, 113, 5];
const ROUTER: [u8; 4] = [198, 51, 100, 1];

/// An engine with LAN hosts allowed out, and a clock of its own.
struct Rig {
    engine: Engine,
    now: Instant,
    out: Outbox,
}

impl Rig {
    fn new(capacity: u32) -> Self {
        let config =
            Config { worker: 0, capacity, secret: HashSecret([1, 2, 3, 4]), report_all_sessions: true };
        let engine = Engine::new(config, Self::policy(1, true), Instant::ZERO);
        Self { engine, now: Instant::ZERO, out: Outbox::new(64, 64) }
    }

    fn policy(generation: u32, allow: bool) -> Running {
        let rule = Rule { from: Some(vec![ZoneId(0)]), ..Rule::of_all("lan-out", Action::Allow) };
        let ruleset = Ruleset {
            default_log: LogLevel::All,
            zones: vec![Zone::of_port("lan", Port::Lan), Zone::of_port("wan", Port::Wan)],
            rules: if allow { vec![rule] } else { Vec::new() },
            ..Ruleset::default()
        };
        Running::new(Arc::new(Policy::compile(generation, ruleset, &mut RuleNames::default())))
    }

    fn see(&mut self, port: Port, frame: &[u8]) -> Reason {
        let facts = packet::parse(frame, frame.len());
        self.engine.inspect(self.now, port, &facts, frame, &mut self.out).reason
    }

    /// Lets time pass, with every timer at its moment; returns why sessions ended.
    fn pass(&mut self, millis: u64) -> Vec<Reason> {
        rig::pass(&mut self.engine, &mut self.now, millis, &mut self.out)
    }

    fn ends(&mut self) -> Vec<Reason> {
        rig::ends(&mut self.out)
    }

    fn sessions(&self) -> Vec<SessionView> {
        let mut all = Vec::new();
        self.engine.scan(self.now, 0, u32::MAX, |session| all.push(*session));
        all
    }
}

fn build(
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), etherparse::err::packet::BuildWriteError>,
) -> Vec<u8> {
    let mut frame = Vec::new();
    write(&mut frame).expect("writing to memory");
    frame
}

fn tcp(from: [u8; 4], to: [u8; 4], ports: (u16, u16), numbers: (u32, u32), flags: u8) -> Vec<u8> {
    let mut frame = build(|frame| {
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(from, to, 64);
        builder.tcp(ports.0, ports.1, numbers.0, 8192).ack(numbers.1).write(frame, &[])
    });
    frame[47] = flags;
    frame
}

fn udp(from: [u8; 4], to: [u8; 4], ports: (u16, u16)) -> Vec<u8> {
    build(|frame| {
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(from, to, 64);
        builder.udp(ports.0, ports.1).write(frame, &[0; 32])
    })
}

/// An ICMP error of `kind` from a router, about the packet in `frame`, cut to `quote` bytes.
fn error(kind: u8, to: [u8; 4], frame: &[u8], quote: usize) -> Vec<u8> {
    error_from(ROUTER, kind, to, frame, quote)
}

fn error_from(from: [u8; 4], kind: u8, to: [u8; 4], frame: &[u8], quote: usize) -> Vec<u8> {
    build(|out| {
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(from, to, 60);
        builder.icmpv4_raw(kind, 4, [0, 0, 5, 0]).write(out, &frame[14..][..quote])
    })
}

fn established(wire: &mut Rig) {
    assert_eq!(wire.see(Port::Lan, &tcp(CLIENT, SERVER, (40_000, 443), (100, 0), 2)), Reason::SessionNew);
    assert_eq!(wire.see(Port::Wan, &tcp(SERVER, CLIENT, (443, 40_000), (500, 101), 18)), Reason::Session);
    assert_eq!(wire.see(Port::Lan, &tcp(CLIENT, SERVER, (40_000, 443), (101, 501), 16)), Reason::Session);
}

#[test]
fn errors_about_a_live_session_pass_and_change_nothing() {
    let mut wire = Rig::new(16);
    established(&mut wire);
    let before = wire.sessions();
    let sent = tcp(CLIENT, SERVER, (40_000, 443), (101, 501), 16);
    for kind in [3, 11, 12] {
        assert_eq!(wire.see(Port::Wan, &error(kind, CLIENT, &sent, 28)), Reason::Related);
    }
    let answer = tcp(SERVER, CLIENT, (443, 40_000), (501, 101), 16);
    assert_eq!(
        wire.see(Port::Lan, &error(3, SERVER, &answer, 28)),
        Reason::Related,
        "and of the other direction"
    );
    assert_eq!(wire.sessions(), before);
}

/// RFC 5508 REQ-4 and REQ-5, RFC 5927 section 4.
#[test]
fn errors_about_anything_else_are_dropped() {
    let mut wire = Rig::new(16);
    established(&mut wire);
    let sent = tcp(CLIENT, SERVER, (40_000, 443), (101, 501), 16);
    let mut refused = |port, frame: &[u8], why| assert_eq!(wire.see(port, frame), Reason::IcmpError, "{why}");
    refused(Port::Lan, &error(3, CLIENT, &sent, 28), "from the side that sent the packet");
    refused(Port::Wan, &error(3, [192, 0, 2, 11], &sent, 28), "to somebody else than the packet's source");
    refused(Port::Wan, &error(3, CLIENT, &sent, 27), "quotes too little");
    refused(
        Port::Wan,
        &error(3, CLIENT, &tcp(CLIENT, SERVER, (40_001, 443), (101, 501), 16), 28),
        "another port",
    );
    refused(
        Port::Wan,
        &error(3, CLIENT, &tcp(CLIENT, SERVER, (40_000, 443), (90_000, 501), 16), 28),
        "never sent",
    );
    refused(Port::Wan, &error(3, CLIENT, &udp(CLIENT, SERVER, (40_000, 443)), 28), "another protocol");
    let about_error = error_from(CLIENT, 3, ROUTER, &error(3, CLIENT, &sent, 28), 28);
    refused(Port::Lan, &about_error, "an error about an error");
}

#[test]
fn errors_about_udp_and_echo_find_their_session() {
    let mut wire = Rig::new(16);
    let question = udp(CLIENT, SERVER, (5353, 53));
    wire.see(Port::Lan, &question);
    assert_eq!(wire.see(Port::Wan, &error(3, CLIENT, &question, 28)), Reason::Related);
    let echo = build(|frame| {
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(CLIENT, SERVER, 1);
        let header = etherparse::IcmpEchoHeader { id: 7, seq: 1 };
        builder.icmpv4(Icmpv4Type::EchoRequest(header)).write(frame, &[0; 8])
    });
    wire.see(Port::Lan, &echo);
    assert_eq!(wire.see(Port::Wan, &error(11, CLIENT, &echo, 28)), Reason::Related, "traceroute");
}

#[test]
fn packet_too_big_passes_for_ipv6() {
    let (client, server, router) = ([0x20; 16], [0x30; 16], [0x40; 16]);
    let mut wire = Rig::new(16);
    let question = build(|frame| {
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv6(client, server, 64);
        builder.udp(5353, 53).write(frame, &[0; 32])
    });
    wire.see(Port::Lan, &question);
    let error = build(|frame| {
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv6(router, client, 64);
        builder.icmpv6(Icmpv6Type::PacketTooBig { mtu: 1280 }).write(frame, &question[14..])
    });
    assert_eq!(wire.see(Port::Wan, &error), Reason::Related);
    assert_eq!(wire.see(Port::Lan, &error), Reason::IcmpError);
}

#[test]
fn a_full_table_evicts_the_oldest_half_open_session_and_no_established_one() {
    let mut wire = Rig::new(3);
    established(&mut wire);
    wire.pass(10);
    for number in 0..5 {
        assert_eq!(wire.see(Port::Lan, &udp(CLIENT, SERVER, (1000 + number, 53))), Reason::SessionNew);
    }
    assert_eq!(wire.ends(), [Reason::EndEvicted; 3]);
    let ports: Vec<_> = wire.sessions().iter().map(|session| session.five_tuple.source_port).collect();
    assert!(ports.contains(&40_000) && ports.contains(&1003) && ports.contains(&1004), "{ports:?}");
    for number in 3..5 {
        wire.see(Port::Wan, &udp(SERVER, CLIENT, (53, 1000 + number)));
    }
    assert_eq!(wire.see(Port::Lan, &udp(CLIENT, SERVER, (2000, 53))), Reason::TableFull, "all are answered");
    assert_eq!(wire.engine.table().len(), 3);
}

#[test]
fn sessions_expire_at_their_moment_and_not_before() {
    let mut wire = Rig::new(4);
    wire.see(Port::Lan, &udp(CLIENT, SERVER, (1000, 53)));
    assert_eq!(wire.pass(29_999), []);
    assert_eq!(wire.pass(1), [Reason::EndIdle]);
    established(&mut wire);
    assert_eq!(wire.pass(7_439_999), []);
    wire.see(Port::Lan, &tcp(CLIENT, SERVER, (40_000, 443), (101, 501), 16));
    assert_eq!(wire.pass(7_439_999), [], "a packet starts the timer anew");
    assert_eq!(wire.pass(1), [Reason::EndIdle]);
}

#[test]
fn rematch_ends_a_session_on_its_next_packet_and_keep_does_not() {
    for (mode, expected) in [(OnDeploy::Keep, Reason::Session), (OnDeploy::Rematch, Reason::PolicyChanged)] {
        let mut wire = Rig::new(4);
        wire.see(Port::Lan, &udp(CLIENT, SERVER, (1000, 53)));
        let mut ruleset = Rig::policy(2, false).policy.ruleset.clone();
        ruleset.inspection.sessions_on_deploy = mode;
        let policy = Arc::new(Policy::compile(2, ruleset, &mut RuleNames::default()));
        wire.engine.set_policy(Running::new(policy));
        assert_eq!(wire.see(Port::Wan, &udp(SERVER, CLIENT, (53, 1000))), expected);
        assert_eq!(wire.see(Port::Lan, &udp(CLIENT, SERVER, (1001, 53))), Reason::DefaultDrop);
    }
}

/// Two hosts that ping each other with one identifier have a session each, and only who was allowed to ask may ask.
#[test]
fn an_echo_session_opens_nothing_for_questions_from_the_other_side() {
    let echo = |from: [u8; 4], to: [u8; 4], is_reply: bool| {
        build(|frame| {
            let header = etherparse::IcmpEchoHeader { id: 7, seq: 1 };
            let kind = if is_reply { Icmpv4Type::EchoReply(header) } else { Icmpv4Type::EchoRequest(header) };
            PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(from, to, 64).icmpv4(kind).write(frame, &[0; 8])
        })
    };
    let mut wire = Rig::new(4);
    assert_eq!(wire.see(Port::Lan, &echo(CLIENT, SERVER, false)), Reason::SessionNew);
    assert_eq!(wire.see(Port::Wan, &echo(SERVER, CLIENT, false)), Reason::DefaultDrop);
    assert_eq!(wire.see(Port::Wan, &echo(SERVER, CLIENT, true)), Reason::Session);
    assert_eq!(wire.see(Port::Lan, &echo(CLIENT, SERVER, true)), Reason::IcmpNoSession);
}

/// What an operator asks most often: the session was there, and now it is not. When did it end, and why?
#[test]
fn a_packet_that_comes_too_late_is_told_what_happened() {
    let mut wire = Rig::new(16);
    established(&mut wire);
    let late = tcp(SERVER, CLIENT, (443, 40_000), (501, 101), 16);
    assert_eq!(wire.pass(7_440_000), [Reason::EndIdle]);
    wire.pass(60_000);
    assert_eq!(wire.see(Port::Wan, &late), Reason::SessionExpired);
    let Some(Event::Drop { packet, log: true }) = wire.out.events.pop() else { panic!("no record") };
    let ended = packet.ended.expect("it tells");
    assert_eq!((ended.reason, ended.state), (Reason::EndIdle, State::Established));
    assert_eq!(ended.ago, Duration::from_secs(60));
    assert_eq!((ended.idle, ended.timeout), (Duration::from_secs(7_440), Duration::from_secs(7_440)));
    let counts = wire.engine.running().hits.rule(RuleId(0)).expect("the rule");
    assert_eq!((counts.cut_idle.get(), counts.spoke_again.get()), (1, 1));
    assert_eq!(
        wire.see(Port::Wan, &udp(SERVER, CLIENT, (443, 40_000))),
        Reason::DefaultDrop,
        "another session"
    );
}

#[test]
fn a_udp_answer_after_the_timeout_is_late_and_a_question_begins_anew() {
    let mut wire = Rig::new(16);
    wire.see(Port::Lan, &udp(CLIENT, SERVER, (1000, 53)));
    wire.pass(30_000);
    assert_eq!(wire.see(Port::Wan, &udp(SERVER, CLIENT, (53, 1000))), Reason::SessionExpired);
    assert_eq!(wire.see(Port::Lan, &udp(CLIENT, SERVER, (1000, 53))), Reason::SessionNew);
    assert_eq!(wire.see(Port::Wan, &udp(SERVER, CLIENT, (53, 1000))), Reason::Session);
}

#[test]
fn a_session_that_its_ends_closed_leaves_nothing() {
    let mut wire = Rig::new(16);
    established(&mut wire);
    wire.see(Port::Lan, &tcp(CLIENT, SERVER, (40_000, 443), (101, 501), 20));
    assert_eq!(wire.pass(10_000), [Reason::EndReset]);
    assert_eq!(
        wire.see(Port::Wan, &tcp(SERVER, CLIENT, (443, 40_000), (501, 101), 16)),
        Reason::TcpNoSession
    );
}

impl Rig {
    fn with_on_expiry(on_expiry: OnExpiry) -> Self {
        let mut ruleset = Self::policy(1, true).policy.ruleset.clone();
        ruleset.timeouts[0].on_expiry = on_expiry;
        let policy = Arc::new(Policy::compile(1, ruleset, &mut RuleNames::default()));
        let mut wire = Self::new(16);
        wire.engine.set_policy(Running::new(policy));
        established(&mut wire);
        wire.ends();
        wire
    }

    /// The appliance's own frames: by which port, and the facts of each.
    fn own(&mut self) -> Vec<(Port, Facts)> {
        let frames = self.out.frames.take();
        frames.iter().map(|frame| (frame.port, packet::parse(frame.bytes(), frame.bytes().len()))).collect()
    }
}

/// RFC 9293 section 3.10.7.4: a reset is accepted at exactly the number that is expected next.
#[test]
fn on_expiry_reset_tells_both_ends_at_the_number_they_expect() {
    let mut wire = Rig::with_on_expiry(OnExpiry::Reset);
    assert_eq!(wire.pass(7_440_000), [Reason::EndIdle]);
    let own = wire.own();
    let told: Vec<_> = own
        .iter()
        .map(|(port, facts)| (*port, facts.tcp.flags, facts.tcp.sequence, facts.destination_port))
        .collect();
    let reset = tcp_flags::RST | tcp_flags::ACK;
    assert_eq!(told, [(Port::Lan, reset, 501, 40_000), (Port::Wan, reset, 101, 443)]);
    assert!(own.iter().all(|(_, facts)| facts.fault.is_none()));
}

#[test]
fn on_expiry_probe_keeps_a_session_whose_ends_both_answer() {
    let mut wire = Rig::with_on_expiry(OnExpiry::Probe);
    assert_eq!(wire.pass(7_440_000), []);
    let asked: Vec<_> =
        wire.own().iter().map(|(port, facts)| (*port, facts.tcp.flags, facts.tcp.sequence)).collect();
    assert_eq!(asked, [(Port::Lan, tcp_flags::ACK, 500), (Port::Wan, tcp_flags::ACK, 100)]);
    wire.see(Port::Lan, &tcp(CLIENT, SERVER, (40_000, 443), (101, 501), 16));
    wire.pass(5_000);
    wire.see(Port::Wan, &tcp(SERVER, CLIENT, (443, 40_000), (501, 101), 16));
    assert_eq!(wire.pass(7_439_999), [], "the timer starts afresh");
    assert_eq!(wire.own(), []);
    wire.pass(1);
    assert_eq!(wire.own().len(), 2, "and asks again");
}

#[test]
fn on_expiry_probe_ends_a_session_of_which_one_end_is_silent() {
    let mut wire = Rig::with_on_expiry(OnExpiry::Probe);
    wire.pass(7_440_000);
    for _ in 0..2 {
        wire.see(Port::Lan, &tcp(CLIENT, SERVER, (40_000, 443), (101, 501), 16));
        assert_eq!(wire.pass(9_999), []);
        assert_eq!(wire.own().len(), 2);
        assert_eq!(wire.pass(1), []);
    }
    assert_eq!(wire.own().len(), 2, "three questions");
    assert_eq!(wire.pass(9_999), []);
    assert_eq!(wire.pass(1), [Reason::EndUnanswered]);
    let flags: Vec<_> = wire.own().iter().map(|(_, facts)| facts.tcp.flags).collect();
    assert_eq!(flags, [tcp_flags::RST | tcp_flags::ACK; 2]);
}

#[test]
fn a_session_nobody_saw_begin_is_picked_up_only_where_the_policy_says_so() {
    let data = tcp(CLIENT, SERVER, (40_000, 443), (9_000, 7_000), 24);
    let answer = tcp(SERVER, CLIENT, (443, 40_000), (7_000, 9_000), 16);
    assert_eq!(Rig::new(4).see(Port::Lan, &data), Reason::TcpNoSession);

    let mut ruleset = Rig::policy(1, true).policy.ruleset.clone();
    ruleset.inspection.midstream = MidstreamMode::Pickup;
    let policy = Arc::new(Policy::compile(1, ruleset, &mut RuleNames::default()));
    let mut wire = Rig::new(4);
    wire.engine.set_policy(Running::new(policy));
    assert_eq!(wire.see(Port::Wan, &answer), Reason::DefaultDrop, "the rules decide as ever");
    assert_eq!(
        wire.see(Port::Lan, &tcp(CLIENT, SERVER, (40_000, 443), (9_000, 0), 4)),
        Reason::TcpNoSession,
        "a reset"
    );
    assert_eq!(wire.see(Port::Lan, &data), Reason::SessionNew);
    assert_eq!(wire.sessions()[0].state, State::SynSent, "half-open until the other side speaks");
    wire.pass(20_000);
    assert_eq!(wire.see(Port::Lan, &data), Reason::Session);
    assert_eq!(wire.pass(10_000), [Reason::EndHandshake], "its own packets do not keep it alive");

    assert_eq!(wire.see(Port::Lan, &data), Reason::SessionNew);
    let foreign = tcp(SERVER, CLIENT, (443, 40_000), (7_000, 90_000_000), 16);
    assert_eq!(wire.see(Port::Wan, &foreign), Reason::TcpOutOfWindow, "other numbers");
    assert_eq!(wire.see(Port::Wan, &answer), Reason::Session);
    assert_eq!(wire.sessions()[0].state, State::Established);
    assert_eq!(wire.see(Port::Lan, &data), Reason::Session);
}
