use std::sync::Arc;

use etherparse::{PacketBuilder, TcpHeader};

use super::options::Offer;
use super::*;
use crate::packet::{self, DeviceChecksum, Facts, tcp_flags};
use crate::pipeline::{Config, Engine, Running};
use crate::policy::{
    Action, LogLevel, Policy, Rule, RuleNames, Ruleset, SequenceNumbers, SynFlood, SynProxyMode, Zone, ZoneId,
};
use crate::reason::Reason;
use crate::record::Outbox;
use crate::rig;
use crate::session::State;
use crate::time::Duration;
use tcp_flags::{ACK, CWR, ECE, PSH, RST, SYN};

mod conversation;
mod ecn;

const CLIENT: Port = Port::Wan;
const SERVER: Port = Port::Lan;
const ADDRESSES: [[u8; 4]; 2] = [[192, 0, 2, 10], [203, 0, 113, 5]];
const PORTS: [u16; 2] = [443, 40_000];
const FIRST: u32 = 1000;

/// An engine whose rule lets the world at the servers, and a clock.
struct Rig {
    engine: Engine,
    now: Instant,
    out: Outbox,
    port: u16,
}

/// A segment of one end: flags, sequence number, acknowledgement.
#[derive(Clone, Copy)]
struct Said<'d> {
    flags: u8,
    sequence: u32,
    acknowledgement: u32,
    window: u16,
    options: &'d [u8],
    data: &'d [u8],
}

fn said<'d>(flags: u8, sequence: u32, acknowledgement: u32) -> Said<'d> {
    Said { flags, sequence, acknowledgement, window: 500, options: &[], data: &[] }
}

/// The options of most SYNs: MSS 1460, SACK, time stamps, scale 7.
fn syn_options(stamp: u32) -> Vec<u8> {
    Offer { mss: 1460, scale: Some(7), sack: true, stamp: Some(stamp) }.written(0).to_vec()
}

impl Rig {
    fn new(mode: SynProxyMode) -> Self {
        Self::with(mode, SequenceNumbers::Keep, SynFlood::default())
    }

    fn with(syn_proxy: SynProxyMode, sequence_numbers: SequenceNumbers, syn_flood: SynFlood) -> Self {
        let rule = Rule {
            from: Some(vec![ZoneId(1)]),
            syn_proxy,
            sequence_numbers,
            ..Rule::of_all("publish", Action::Allow)
        };
        let mut ruleset = Ruleset {
            default_log: LogLevel::All,
            zones: vec![Zone::of_port("lan", Port::Lan), Zone::of_port("wan", Port::Wan)],
            rules: vec![rule],
            ..Ruleset::default()
        };
        ruleset.protections.syn_flood = syn_flood;
        let policy = Arc::new(Policy::compile(1, ruleset, &mut RuleNames::default()));
        let config =
            Config { worker: 0, capacity: 1000, secret: HashSecret([1, 2, 3, 4]), report_all_sessions: true };
        let now = Instant::from_secs(86_400);
        let engine = Engine::new(config, Running::new(policy), now);
        Self { engine, now, out: Outbox::new(64, 64), port: PORTS[1] }
    }

    fn frame(&self, from: Port, said: &Said<'_>) -> Vec<u8> {
        let (source, destination) = (ADDRESSES[from.index()], ADDRESSES[from.other().index()]);
        let ports = [PORTS[0], self.port];
        let mut header =
            TcpHeader::new(ports[from.index()], ports[from.other().index()], said.sequence, said.window);
        header.acknowledgment_number = said.acknowledgement;
        let flag = |flag| said.flags & flag != 0;
        (header.syn, header.ack, header.rst, header.psh) = (flag(SYN), flag(ACK), flag(RST), flag(PSH));
        (header.ece, header.cwr) = (flag(ECE), flag(CWR));
        header.set_options_raw(said.options).expect("they fit");
        let mut frame = Vec::new();
        let macs = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];
        let builder = PacketBuilder::ethernet2(macs[from.index()], macs[from.other().index()]).ipv4(
            source,
            destination,
            60,
        );
        builder.tcp_header(header).write(&mut frame, said.data).expect("it fits");
        frame
    }

    /// A segment arrives; the frame as it leaves, if it does.
    fn see(&mut self, from: Port, said: Said<'_>) -> (Reason, Option<Facts>) {
        let mut frame = self.frame(from, &said);
        let facts = packet::parse(&frame, frame.len());
        let verdict = self.engine.inspect(self.now, from, &facts, &frame, &mut self.out);
        let rewrite = self.out.rewrite.take();
        if !verdict.is_forward() {
            assert_eq!(rewrite, None, "what stays is not changed");
            return (verdict.reason, None);
        }
        if let Some(rewrite) = rewrite {
            rewrite.apply(&mut frame);
        }
        (verdict.reason, Some(sound(&frame)))
    }

    fn says(&mut self, from: Port, said: Said<'_>) -> Reason {
        self.see(from, said).0
    }

    /// The appliance's own frames: by which port, and the facts of each.
    fn own(&mut self) -> Vec<(Port, Reason, Facts, Vec<u8>)> {
        let frames = self.out.frames.take();
        let told = frames.iter().map(|frame| {
            let (bytes, facts) = (frame.bytes(), sound(frame.bytes()));
            let from = usize::from(facts.transport_at) + 20;
            let options = bytes[from..from + usize::from(facts.tcp.header_len) - 20].to_vec();
            (frame.port, frame.reason, facts, options)
        });
        told.collect()
    }

    fn pass(&mut self, millis: u64) -> Vec<Reason> {
        rig::pass(&mut self.engine, &mut self.now, millis, &mut self.out)
    }

    fn ends(&mut self) -> Vec<Reason> {
        rig::ends(&mut self.out)
    }

    fn states(&self) -> Vec<State> {
        let mut states = Vec::new();
        self.engine.scan(self.now, 0, u32::MAX, |session| states.push(session.state));
        states
    }

    /// A SYN with these options, which is answered with a cookie: its numbers.
    fn cookie(&mut self, options: &[u8]) -> (u32, Option<u32>) {
        let syn = Said { options, ..said(SYN, FIRST, 0) };
        assert_eq!(self.says(CLIENT, syn), Reason::SynCookie);
        let own = self.own();
        let [(port, reason, facts, options)] = &own[..] else { panic!("one frame: {own:?}") };
        assert_eq!((*port, *reason, facts.tcp.flags), (CLIENT, Reason::SendCookie, SYN | ACK));
        assert_eq!((facts.tcp.acknowledgement, facts.tcp.window), (FIRST + 1, 0));
        (facts.tcp.sequence, options::stamps_of(options).map(|(value, _)| value))
    }

    /// A session whose server has the initial number 7,000; the cookie.
    fn established(&mut self) -> u32 {
        let (cookie, _) = self.cookie(&[]);
        assert_eq!(self.says(CLIENT, said(ACK, FIRST + 1, cookie.wrapping_add(1))), Reason::SynProven);
        assert_eq!(self.says(SERVER, said(SYN | ACK, 7000, FIRST + 1)), Reason::SynProxied);
        self.own();
        cookie
    }
}

/// The facts of a frame whose checksums are right.
fn sound(frame: &[u8]) -> Facts {
    let mut facts = packet::parse(frame, frame.len());
    packet::verify(&mut facts, DeviceChecksum::NotChecked, [frame]);
    assert_eq!(facts.fault, None);
    facts
}

#[test]
fn a_handshake_by_cookie_keeps_every_option() {
    let mut rig = Rig::new(SynProxyMode::Always);
    let (cookie, stamp) = rig.cookie(&syn_options(77));
    let stamp = stamp.expect("time stamps are kept");
    assert!(rig.states().is_empty(), "nothing is remembered");

    let echoed = options::stamps(80, stamp);
    let ack = Said { options: &echoed, ..said(ACK, FIRST + 1, cookie.wrapping_add(1)) };
    assert_eq!(rig.says(CLIENT, ack), Reason::SynProven);
    assert_eq!(rig.states(), [State::SynSent]);
    let own = rig.own();
    let [(SERVER, Reason::SendProxySyn, facts, options)] = &own[..] else { panic!("{own:?}") };
    assert_eq!((facts.tcp.flags, facts.tcp.sequence, facts.tcp.window), (SYN, FIRST, 500 << 7));
    let offer = Offer { mss: 1460, scale: Some(7), sack: true, stamp: Some(80) };
    assert_eq!(Offer::of(options), offer);
    assert_eq!(rig.engine.syn_proxy.handshakes(), 1);

    let theirs = Offer { mss: 1400, scale: Some(9), sack: true, stamp: Some(5000) }.written(80);
    let answer = Said { options: &theirs, window: 64_000, ..said(SYN | ACK, 7000, FIRST + 1) };
    assert_eq!(rig.says(SERVER, answer), Reason::SynProxied);
    assert_eq!(rig.states(), [State::Established]);
    assert_eq!(rig.engine.syn_proxy.handshakes(), 0);
    let own = rig.own();
    let [(SERVER, _, to_server, server_options), (CLIENT, _, to_client, client_options)] = &own[..] else {
        panic!("{own:?}")
    };
    assert_eq!((to_server.tcp.sequence, to_server.tcp.acknowledgement), (FIRST + 1, 7001));
    assert_eq!((to_server.tcp.flags, to_server.tcp.window), (ACK, 500));
    assert_eq!(options::stamps_of(server_options), Some((80, 5000)));
    assert_eq!(to_client.tcp.sequence, cookie.wrapping_add(1));
    assert_eq!((to_client.tcp.acknowledgement, to_client.tcp.window), (FIRST + 1, 500));
    assert_eq!(options::stamps_of(client_options), Some((stamp, 80)));

    // What the ends say to each other from here on.
    let stamps = options::stamps(81, stamp);
    let data =
        Said { options: &stamps, data: b"hello", ..said(ACK | PSH, FIRST + 1, cookie.wrapping_add(1)) };
    let (reason, facts) = rig.see(CLIENT, data);
    let facts = facts.expect("it passes");
    assert_eq!((reason, facts.tcp.sequence, facts.tcp.acknowledgement), (Reason::Session, FIRST + 1, 7001));
    let stamps = options::stamps(5010, 81);
    let mut options = stamps.to_vec();
    options.extend([1, 1, 5, 10]);
    options.extend((FIRST + 10).to_be_bytes());
    options.extend((FIRST + 20).to_be_bytes());
    let data = Said { options: &options, data: b"world", window: 100, ..said(ACK, 7001, FIRST + 6) };
    let mut frame = rig.frame(SERVER, &data);
    let before = packet::parse(&frame, frame.len());
    assert!(rig.engine.inspect(rig.now, SERVER, &before, &frame, &mut rig.out).is_forward());
    rig.out.rewrite.take().expect("it is translated").apply(&mut frame);
    let facts = sound(&frame);
    assert_eq!((facts.tcp.sequence, facts.tcp.acknowledgement), (cookie.wrapping_add(1), FIRST + 6));
    assert_eq!(facts.tcp.window, 400, "100 << 9 in units of 128");
    let options = &frame[54..14 + 20 + usize::from(facts.tcp.header_len)];
    assert_eq!(options::stamps_of(options), Some((stamp.wrapping_add(10), 81)));
    assert_eq!(options[16..20], (FIRST + 10).to_be_bytes(), "the client's numbers are its own");
    // The client's SACK speaks of the server's numbers.
    let mut options = options::stamps(90, stamp.wrapping_add(10)).to_vec();
    options.extend([1, 1, 5, 10]);
    options.extend(cookie.wrapping_add(50).to_be_bytes());
    options.extend(cookie.wrapping_add(60).to_be_bytes());
    let sack = Said { options: &options, ..said(ACK, FIRST + 6, cookie.wrapping_add(6)) };
    let frame = rig.frame(CLIENT, &sack);
    let before = packet::parse(&frame, frame.len());
    assert!(rig.engine.inspect(rig.now, CLIENT, &before, &frame, &mut rig.out).is_forward());
    let rewrite = rig.out.rewrite.take().expect("it is translated");
    let (_, header) = rewrite.spans().next().expect("a header");
    assert_eq!(options::stamps_of(&header[20..]), Some((90, 5010)));
    assert_eq!(header[36..40], 7050u32.to_be_bytes());
    assert_eq!(header[40..44], 7060u32.to_be_bytes());
}

#[test]
fn an_acknowledgement_of_anything_else_opens_nothing() {
    let mut rig = Rig::new(SynProxyMode::Always);
    let (cookie, _) = rig.cookie(&[]);
    let good = said(ACK, FIRST + 1, cookie.wrapping_add(1));
    for wrong in [
        Said { acknowledgement: cookie, ..good },
        Said { acknowledgement: cookie.wrapping_add(1) ^ 1 << 31, ..good },
        Said { sequence: FIRST + 2, ..good },
        Said { flags: RST, ..good },
    ] {
        assert_eq!(rig.says(CLIENT, wrong), Reason::TcpNoSession);
    }
    rig.port += 1;
    assert_eq!(rig.says(CLIENT, good), Reason::TcpNoSession, "another port");
    rig.port -= 1;
    // A bit of what the cookie says turned, as a client that wants another scale would.
    assert_eq!(
        rig.says(CLIENT, Said { acknowledgement: (cookie ^ 1).wrapping_add(1), ..good }),
        Reason::TcpNoSession
    );
    assert!(rig.own().is_empty() && rig.states().is_empty());
    assert_eq!(rig.says(CLIENT, good), Reason::SynProven);
}

#[test]
fn a_cookie_is_good_for_one_to_two_minutes_over_a_new_secret_too() {
    let mut rig = Rig::new(SynProxyMode::Always);
    for (millis, is_good) in [(64_000, true), (129_000, false)] {
        rig.port += 1;
        let (cookie, _) = rig.cookie(&[]);
        rig.engine.syn_proxy.rotate(rig.now, [millis, 1]);
        rig.pass(millis);
        rig.own();
        let reason = rig.says(CLIENT, said(ACK, FIRST + 1, cookie.wrapping_add(1)));
        assert_eq!(reason == Reason::SynProven, is_good, "after {millis} ms: {reason}");
        rig.pass(200_000);
        rig.own();
    }
}

#[test]
fn data_that_comes_with_the_proof_proves_and_so_does_a_probe_of_the_closed_window() {
    for first in [
        Said { data: b"GET", ..said(ACK | PSH, FIRST + 1, 0) },
        said(ACK, FIRST, 0),
        Said { data: b"G", ..said(ACK, FIRST + 1, 0) },
    ] {
        let mut rig = Rig::new(SynProxyMode::Always);
        let (cookie, _) = rig.cookie(&[]);
        let proof = Said { acknowledgement: cookie.wrapping_add(1), ..first };
        assert_eq!(rig.says(CLIENT, proof), Reason::SynProven);
        assert_eq!(rig.says(CLIENT, proof), Reason::SynProxied, "again");
        assert_eq!(rig.says(SERVER, said(SYN | ACK, 7000, FIRST + 1)), Reason::SynProxied);
        let passed = Said { sequence: FIRST + 1, data: b"GET", ..proof };
        assert_eq!(rig.says(CLIENT, passed), Reason::Session);
    }
}

#[test]
fn the_syn_to_the_server_is_sent_again_and_the_client_is_told_when_nobody_answers() {
    let mut rig = Rig::new(SynProxyMode::Always);
    let (cookie, _) = rig.cookie(&[]);
    assert_eq!(rig.says(CLIENT, said(ACK, FIRST + 1, cookie.wrapping_add(1))), Reason::SynProven);
    let mut sent = vec![0];
    rig.own();
    for millis in 1..=29_999u64 {
        assert_eq!(rig.pass(1), []);
        sent.extend(rig.own().iter().map(|_| millis));
    }
    assert_eq!(sent, [0, 1000, 3000, 7000, 15_000]);
    assert_eq!(rig.pass(1), [Reason::EndHandshake]);
    let own = rig.own();
    let [(CLIENT, Reason::SendProxyReset, facts, _)] = &own[..] else { panic!("{own:?}") };
    assert_eq!((facts.tcp.flags, facts.tcp.sequence), (RST | ACK, cookie.wrapping_add(1)));
    assert_eq!(rig.engine.syn_proxy.handshakes(), 0);
    assert_eq!(rig.pass(100_000), []);
    assert!(rig.own().is_empty());
}

#[test]
fn a_server_that_refuses_resets_the_client_at_the_number_it_expects() {
    let mut rig = Rig::new(SynProxyMode::Always);
    let (cookie, _) = rig.cookie(&[]);
    rig.says(CLIENT, said(ACK, FIRST + 1, cookie.wrapping_add(1)));
    let (reason, facts) = rig.see(SERVER, said(RST | ACK, 0, FIRST + 1));
    let facts = facts.expect("it passes");
    assert_eq!((reason, facts.tcp.sequence), (Reason::Session, cookie.wrapping_add(1)));
    assert_eq!(rig.states(), [State::Reset]);
    assert_eq!(rig.engine.syn_proxy.handshakes(), 0);
}

#[test]
fn a_client_that_gives_up_resets_the_server() {
    let mut rig = Rig::new(SynProxyMode::Always);
    let (cookie, _) = rig.cookie(&[]);
    rig.says(CLIENT, said(ACK, FIRST + 1, cookie.wrapping_add(1)));
    assert_eq!(rig.says(CLIENT, said(RST, FIRST + 3, 0)), Reason::TcpOutOfWindow);
    let (reason, facts) = rig.see(CLIENT, said(RST, FIRST + 1, 0));
    assert_eq!((reason, facts.map(|facts| facts.tcp.sequence)), (Reason::Session, Some(FIRST + 1)));
    assert_eq!(rig.states(), [State::Reset]);
    rig.own();
    rig.pass(5000);
    assert!(rig.own().is_empty(), "no SYN any more");
}

#[test]
fn a_server_that_remembers_another_connection_is_reset_and_asked_again() {
    let mut rig = Rig::new(SynProxyMode::Always);
    let (cookie, _) = rig.cookie(&[]);
    rig.says(CLIENT, said(ACK, FIRST + 1, cookie.wrapping_add(1)));
    rig.own();
    assert_eq!(rig.says(SERVER, said(ACK, 9000, 123)), Reason::SynProxied);
    let own = rig.own();
    let [(SERVER, Reason::SendProxyReset, facts, _)] = &own[..] else { panic!("{own:?}") };
    assert_eq!((facts.tcp.flags, facts.tcp.sequence), (RST, 123));
    rig.pass(1000);
    let own = rig.own();
    assert!(matches!(own[..], [(SERVER, Reason::SendProxySyn, ..)]), "{own:?}");
}

#[test]
fn a_client_that_begins_anew_on_its_five_tuple_proves_itself_anew() {
    let mut rig = Rig::new(SynProxyMode::Always);
    let cookie = rig.established();
    rig.says(SERVER, said(RST, 7001, 0));
    assert_eq!(rig.states(), [State::Reset]);
    let again = said(SYN, FIRST + 100_000, 0);
    assert_eq!(rig.says(CLIENT, again), Reason::SynCookie);
    assert_eq!(rig.states(), [State::Reset], "a SYN alone ends nothing");
    let own = rig.own();
    let next = own[0].2.tcp.sequence.wrapping_add(1);
    assert_ne!(next, cookie.wrapping_add(1));
    assert_eq!(rig.says(CLIENT, said(ACK, FIRST + 100_001, next)), Reason::SynProven);
    assert_eq!((rig.states(), rig.ends()), (vec![State::SynSent], vec![Reason::EndReopened]));
    // And once more while the server is being asked.
    assert_eq!(rig.says(CLIENT, said(SYN, FIRST + 200_000, 0)), Reason::SynCookie);
    let own = rig.own();
    let next = own.last().expect("a cookie").2.tcp.sequence.wrapping_add(1);
    assert_eq!(rig.says(CLIENT, said(ACK, FIRST + 200_001, next)), Reason::SynProven);
    assert_eq!(rig.engine.syn_proxy.handshakes(), 1);
}

#[test]
fn a_server_without_time_stamps_is_found_out_once() {
    let mut rig = Rig::new(SynProxyMode::Always);
    let (cookie, stamp) = rig.cookie(&syn_options(77));
    let echoed = options::stamps(80, stamp.expect("promised"));
    rig.says(CLIENT, Said { options: &echoed, ..said(ACK, FIRST + 1, cookie.wrapping_add(1)) });
    rig.own();
    let theirs = Offer { mss: 1400, scale: None, sack: false, stamp: None }.written(0);
    let answer = Said { options: &theirs, ..said(SYN | ACK, 7000, FIRST + 1) };
    assert_eq!(rig.says(SERVER, answer), Reason::SynProxied);
    let own = rig.own();
    let resets: Vec<_> = own.iter().map(|(port, _, facts, _)| (*port, facts.tcp.sequence)).collect();
    assert_eq!(resets, [(SERVER, FIRST + 1), (CLIENT, cookie.wrapping_add(1))]);
    assert!(rig.states().is_empty());
    rig.port += 1;
    let (cookie, stamp) = rig.cookie(&syn_options(77));
    assert_eq!(stamp, None, "nobody is promised what the server does not have");
    rig.says(CLIENT, said(ACK, FIRST + 1, cookie.wrapping_add(1)));
    let own = rig.own();
    assert_eq!(Offer::of(&own[0].3), Offer { mss: 1460, scale: Some(7), sack: false, stamp: None });
    assert_eq!(rig.says(SERVER, answer), Reason::SynProxied);
    assert_eq!(rig.states(), [State::Established]);
    // It has no scale: its windows are told in that of the cookie, the client's in none.
    let (_, facts) = rig.see(SERVER, Said { window: 1000, ..said(ACK, 7001, FIRST + 1) });
    assert_eq!(facts.expect("it passes").tcp.window, 8);
    let (_, facts) = rig.see(CLIENT, Said { window: 100, ..said(ACK, FIRST + 1, cookie.wrapping_add(1)) });
    assert_eq!(facts.expect("it passes").tcp.window, 12_800);
}

#[test]
fn a_cookie_that_nobody_acknowledges_is_sent_three_times_more() {
    let mut rig = Rig::new(SynProxyMode::Always);
    let (cookie, _) = rig.cookie(&[]);
    rig.port += 1;
    let (other, _) = rig.cookie(&[]);
    rig.says(CLIENT, said(ACK, FIRST + 1, other.wrapping_add(1)));
    rig.own();
    let mut again = Vec::new();
    for millis in 1..=8000u64 {
        rig.pass(1);
        let cookies = rig.own();
        let cookies = cookies.iter().filter(|(_, reason, ..)| *reason == Reason::SendCookie);
        again.extend(cookies.map(|(port, _, facts, _)| (millis, *port, facts.tcp.sequence)));
    }
    assert_eq!(again, [(1000, CLIENT, cookie), (3000, CLIENT, cookie), (7000, CLIENT, cookie)]);
    rig.port -= 1;
    assert_eq!(rig.says(CLIENT, said(ACK, FIRST + 1, cookie.wrapping_add(1))), Reason::SynProven);
}

/// Only who waits for the server needs it.
#[test]
fn a_cookie_of_a_service_whose_clients_speak_first_is_not_sent_again() {
    let mut rig = Rig::new(SynProxyMode::Always);
    let mut is_sent_again_once = |first: Port, is_sent_again: bool| {
        rig.port += 1;
        let cookie = rig.established().wrapping_add(1);
        let from_client = Said { data: b"GET", ..said(ACK | PSH, FIRST + 1, cookie) };
        let from_server = Said { data: b"220", ..said(ACK | PSH, 7001, FIRST + 1) };
        let words = [(CLIENT, from_client), (SERVER, from_server)];
        let words = if first == CLIENT { words } else { [words[1], words[0]] };
        assert!(words.iter().all(|(end, said)| rig.says(*end, *said) == Reason::Session));
        rig.port += 1;
        rig.cookie(&[]);
        rig.pass(8000);
        let again = rig.own().iter().filter(|(_, reason, ..)| *reason == Reason::SendCookie).count();
        assert_eq!(again, if is_sent_again { 3 } else { 0 }, "{first}");
    };
    is_sent_again_once(CLIENT, false);
    is_sent_again_once(CLIENT, false);
    is_sent_again_once(SERVER, true);
    is_sent_again_once(CLIENT, true);
}

#[test]
fn handshakes_are_bounded() {
    let mut rig = Rig::new(SynProxyMode::Always);
    for number in 0..=1000u16 {
        rig.port = 10_000 + number;
        let (cookie, _) = rig.cookie(&[]);
        let reason = rig.says(CLIENT, said(ACK, FIRST + 1, cookie.wrapping_add(1)));
        rig.own();
        let full = if number < 1000 { Reason::SynProven } else { Reason::SynProxyFull };
        assert_eq!(reason, full, "{number}");
    }
    rig.pass(30_000);
    assert_eq!(rig.engine.syn_proxy.handshakes(), 0);
}

#[test]
fn auto_begins_under_a_flood_and_stops_after_it() {
    let flood = SynFlood { half_open: Some(3), rate: None };
    let mut rig = Rig::with(SynProxyMode::Auto, SequenceNumbers::Keep, flood);
    for number in 0..3 {
        rig.port = 10_000 + number;
        assert_eq!(rig.says(CLIENT, said(SYN, FIRST, 0)), Reason::SessionNew);
    }
    rig.port = PORTS[1];
    let (cookie, _) = rig.cookie(&[]);
    assert_eq!(rig.engine.syn_proxy.flooded(rig.now), 1);
    assert_eq!(rig.says(CLIENT, said(ACK, FIRST + 1, cookie.wrapping_add(1))), Reason::SynProven);
    rig.says(SERVER, said(SYN | ACK, 7000, FIRST + 1));
    assert_eq!(rig.says(CLIENT, said(ACK, FIRST + 1, cookie.wrapping_add(1))), Reason::Session);
    // All but one of the half-open ones are answered: that is less than half.
    for number in 0..2 {
        rig.port = 10_000 + number;
        assert_eq!(rig.says(SERVER, said(SYN | ACK, 500, FIRST + 1)), Reason::Session);
        assert_eq!(rig.says(CLIENT, said(ACK, FIRST + 1, 501)), Reason::Session);
    }
    rig.own();
    rig.pass(9999);
    rig.own();
    rig.port = 20_000;
    let (late, _) = rig.cookie(&[]);
    rig.pass(2);
    rig.port = 20_001;
    assert_eq!(rig.says(CLIENT, said(SYN, FIRST, 0)), Reason::SessionNew);
    rig.port = 20_000;
    rig.own();
    assert_eq!(
        rig.says(CLIENT, said(ACK, FIRST + 1, late.wrapping_add(1))),
        Reason::SynProven,
        "a cookie is good though they have stopped"
    );
}

#[test]
fn half_open_sessions_are_counted_until_they_are_answered_refused_or_over() {
    let flood = SynFlood { half_open: Some(2), rate: None };
    let mut rig = Rig::with(SynProxyMode::Auto, SequenceNumbers::Keep, flood);
    for round in 0..20u16 {
        rig.port = 10_000 + round;
        assert_eq!(rig.says(CLIENT, said(SYN, FIRST, 0)), Reason::SessionNew, "{round}");
        match round % 3 {
            0 => {
                rig.says(SERVER, said(RST | ACK, 0, FIRST + 1));
            }
            1 => {
                rig.says(SERVER, said(SYN | ACK, 500, FIRST + 1));
                assert_eq!(rig.says(CLIENT, said(ACK, FIRST + 1, 501)), Reason::Session);
            }
            _ => {
                rig.pass(30_000);
            }
        }
    }
}

#[test]
fn verification_trusts_who_answers_a_wrong_number_with_a_reset() {
    let mut rig = Rig::new(SynProxyMode::Verify);
    assert_eq!(rig.says(CLIENT, said(SYN, FIRST, 0)), Reason::SynChallenged);
    let own = rig.own();
    let [(CLIENT, Reason::SendChallenge, facts, _)] = &own[..] else { panic!("{own:?}") };
    let wrong = facts.tcp.acknowledgement;
    assert_eq!(facts.tcp.flags, SYN | ACK);
    assert_ne!(wrong, FIRST + 1);
    assert_eq!(rig.says(CLIENT, said(RST, wrong.wrapping_add(1), 0)), Reason::TcpNoSession);
    assert_eq!(rig.says(CLIENT, said(ACK, FIRST + 1, 5)), Reason::TcpNoSession);
    assert_eq!(rig.says(CLIENT, said(SYN, FIRST, 0)), Reason::SynChallenged, "still unknown");
    assert_eq!(rig.says(CLIENT, said(RST, wrong, 0)), Reason::SynVerified);
    rig.pass(1000);
    rig.own();
    let (reason, facts) = rig.see(CLIENT, said(SYN, FIRST, 0));
    assert_eq!((reason, facts.map(|facts| facts.tcp.sequence)), (Reason::SessionNew, Some(FIRST)));
    let (reason, facts) = rig.see(SERVER, said(SYN | ACK, 7000, FIRST + 1));
    assert_eq!((reason, facts.map(|facts| facts.tcp.sequence)), (Reason::Session, Some(7000)), "untouched");
    assert!(rig.own().is_empty());
    rig.pass(500_000);
    rig.port += 1;
    assert_eq!(rig.says(CLIENT, said(SYN, 1, 0)), Reason::SessionNew, "it is trusted still");
    rig.pass(601_000);
    rig.port += 1;
    assert_eq!(rig.says(CLIENT, said(SYN, 1, 0)), Reason::SynChallenged, "and no longer");
}

#[test]
fn numbers_are_replaced_where_the_rule_says_so() {
    for (numbers, client_too) in [(SequenceNumbers::Randomise, false), (SequenceNumbers::RandomiseBoth, true)]
    {
        let mut rig = Rig::with(SynProxyMode::Off, numbers, SynFlood::default());
        let seen = |facts: Option<Facts>| {
            facts.map(|facts| (facts.tcp.sequence, facts.tcp.acknowledgement)).unwrap()
        };
        let (reason, facts) = rig.see(CLIENT, said(SYN, FIRST, 0));
        assert_eq!(reason, Reason::SessionNew);
        let (first, _) = seen(facts);
        assert_eq!(first != FIRST, client_too);
        let (_, facts) = rig.see(SERVER, said(SYN | ACK, 7000, first.wrapping_add(1)));
        let (server_first, acknowledgement) = seen(facts);
        assert_eq!(acknowledgement, FIRST + 1);
        assert_ne!(server_first, 7000);
        let (_, facts) = rig.see(CLIENT, said(ACK, FIRST + 1, server_first.wrapping_add(1)));
        assert_eq!(seen(facts), (first.wrapping_add(1), 7001));
        let (_, facts) = rig.see(SERVER, Said { data: b"220", ..said(ACK, 7001, first.wrapping_add(1)) });
        assert_eq!(seen(facts), (server_first.wrapping_add(1), FIRST + 1));
    }
}

/// RFC 5927 section 4.1: the quote must be right for the check here, and again for that of its receiver.
#[test]
fn an_error_about_a_translated_session_quotes_the_number_that_its_receiver_knows() {
    let mut rig = Rig::new(SynProxyMode::Always);
    let cookie = rig.established();
    let data = Said { data: &[7; 1000], ..said(ACK, 7001, FIRST + 1) };
    let mut sent = rig.frame(SERVER, &data);
    let facts = packet::parse(&sent, sent.len());
    assert!(rig.engine.inspect(rig.now, SERVER, &facts, &sent, &mut rig.out).is_forward());
    rig.out.rewrite.take().expect("it is translated").apply(&mut sent);
    for quote in [28, 200] {
        let mut error = Vec::new();
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([198, 51, 100, 1], ADDRESSES[0], 60);
        builder.icmpv4_raw(3, 4, [0, 0, 5, 0]).write(&mut error, &sent[14..][..quote]).expect("it fits");
        let facts = packet::parse(&error, error.len());
        let verdict = rig.engine.inspect(rig.now, CLIENT, &facts, &error, &mut rig.out);
        assert_eq!(verdict.reason, Reason::Related);
        rig.out.rewrite.take().expect("it is translated").apply(&mut error);
        sound(&error);
        assert_eq!(error[14 + 20 + 8 + 20 + 4..][..4], 7001u32.to_be_bytes());
    }
    assert_ne!(cookie, 7000);
}

/// The appliance's own words at the end of an idle session are in the numbers of whoever hears them.
#[test]
fn an_idle_session_is_told_of_its_end_in_each_ends_numbers() {
    let mut rig = Rig::new(SynProxyMode::Always);
    let mut ruleset = rig.engine.running().policy.ruleset.clone();
    ruleset.timeouts[0].on_expiry = crate::policy::OnExpiry::Reset;
    let policy = Arc::new(Policy::compile(2, ruleset, &mut RuleNames::default()));
    rig.engine.set_policy(Running::new(policy));
    let cookie = rig.established();
    assert_eq!(rig.pass(7_440_000), [Reason::EndIdle]);
    let told: Vec<_> = rig.own().iter().map(|(port, _, facts, _)| (*port, facts.tcp.sequence)).collect();
    assert_eq!(told, [(SERVER, FIRST + 1), (CLIENT, cookie.wrapping_add(1))]);
}
