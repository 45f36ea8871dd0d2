//! Helpers on the engine itself: conversations that arrive in any way a network may deliver them, and a table of
//! expectations that many threads use at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;

use proptest::prelude::*;
use sekisho_engine::counters::Counters;
use sekisho_engine::flow::HashSecret;
use sekisho_engine::helper::{Helper, HelperCounts, Stop};
use sekisho_engine::packet;
use sekisho_engine::policy::{Policy, RuleNames};
use sekisho_engine::port::Port;
use sekisho_engine::reason::Reason;
use sekisho_engine::time::Instant;
use sekisho_engine::{Config, Engine, Outbox, Running, Shared};
use sekisho_tests::frames::{ACK, Packet, RST, SYN, Segment};
use sekisho_tests::scene::{Tcp, ruleset};

const FILES: &str = "\
version: 1
zones: {lan: {port: lan}, wan: {port: wan}}
services: {ftp: {ports: tcp/21, helper: ftp}}
rules: [{name: files, from: lan, to: wan, service: ftp, action: allow}]
";
const SECRET: HashSecret = HashSecret([5, 6, 7, 8]);
const NOW: Instant = Instant::from_secs(1000);

struct Rig {
    engine: Engine,
    counters: Arc<Counters>,
    out: Outbox,
}

impl Rig {
    fn sharing(worker: u8, capacity: u32, shared: &Shared) -> Self {
        let policy = Arc::new(Policy::compile(1, ruleset(FILES), &mut RuleNames::default()));
        let config = Config { worker, capacity, secret: SECRET, report_all_sessions: false };
        let engine = Engine::sharing(shared.clone(), config, Running::new(policy), NOW);
        let counters = engine.counters();
        Self { engine, counters, out: Outbox::new(16, 16) }
    }

    fn new() -> Self {
        Self::sharing(0, 64, &Shared::new(64, SECRET))
    }

    fn see(&mut self, port: Port, packet: &Packet) -> Reason {
        let frame = packet.frame();
        let facts = packet::parse(&frame, frame.len());
        let reason = self.engine.inspect(NOW, port, &facts, &frame, &mut self.out).reason;
        self.out.events.clear();
        self.out.frames.clear();
        reason
    }

    fn counts(&self) -> &HelperCounts {
        &self.counters.helpers[Helper::Ftp.index()]
    }

    /// What is expected: on which port it arrives, and where to.
    fn expected(&self) -> Vec<(Port, u16)> {
        let mut expected = Vec::new();
        self.engine.expectations().list(NOW, |one| expected.push((one.from, one.destination_port)));
        expected.sort_unstable();
        expected
    }
}

fn control() -> Tcp {
    Tcp::new("192.0.2.10:40000".parse().unwrap(), "203.0.113.53:21".parse().unwrap())
}

fn handshake(rig: &mut Rig, tcp: &mut Tcp) {
    assert_eq!(rig.see(Port::Lan, &tcp.client(SYN)), Reason::SessionNew);
    assert_eq!(rig.see(Port::Wan, &tcp.server(SYN | ACK)), Reason::Session);
    assert_eq!(rig.see(Port::Lan, &tcp.client(ACK)), Reason::Session);
}

/// What one end says before the other says anything, and how it arrives.
#[derive(Debug, Clone)]
struct Turn {
    text: String,
    /// Segments: where each begins and how long it is, by parts of the text. They may overlap, come twice, in any order.
    segments: Vec<(prop::sample::Index, usize)>,
}

fn turn(is_client: bool) -> impl Strategy<Value = Turn> {
    let line = if is_client {
        prop::sample::select(vec![
            "PASV",
            "EPSV",
            "PASV",
            "EPSV",
            "NOOP",
            "TYPE I",
            "PORT 192,0,2,10,156,64",
            "PORT 192,0,2,10,157,1",
            "PORT 192,0,2,11,156,64",
            "EPRT |1|192.0.2.10|41000|",
            "EPRT |1|192.0.2.10|22|",
            "RETR a long name of a file",
        ])
    } else {
        prop::sample::select(vec![
            "200 ok",
            "227 Passive (203,0,113,53,156,64).",
            "227 Passive (203,0,113,53,158,7).",
            "229 ok (|||42000|)",
            "229 ok (|||43000|)",
            "211-Features:\r\n227 text (203,0,113,53,159,1)\r\n211 End",
            "227 (203,0,113,54,156,64)",
        ])
    };
    let text = prop::collection::vec(line, 1..5).prop_map(|lines| lines.join("\r\n") + "\r\n");
    let segments = prop::collection::vec((any::<prop::sample::Index>(), 1usize..60), 0..20);
    (text, segments).prop_map(|(text, segments)| Turn { text, segments })
}

/// Plays the turns, the client's first; each as one segment, or as its segments say and then what was still missing.
fn play(turns: &[Turn], in_parts: bool) -> (Vec<(Port, u16)>, u64, u64) {
    let (mut rig, mut tcp) = (Rig::new(), control());
    handshake(&mut rig, &mut tcp);
    for (number, turn) in turns.iter().enumerate() {
        let (side, port) = (number % 2, [Port::Lan, Port::Wan][number % 2]);
        let (text, first) = (turn.text.as_bytes(), tcp.next[side]);
        let say = |at: usize, len: usize| {
            let sequence = first.wrapping_add(u32::try_from(at).unwrap());
            let segment =
                Segment::new(ACK, sequence, tcp.next[1 - side]).data(&text[at..(at + len).min(text.len())]);
            if side == 0 { tcp.from_client(&segment) } else { tcp.from_server(&segment) }
        };
        if in_parts {
            for (at, len) in &turn.segments {
                assert_eq!(rig.see(port, &say(at.index(text.len()), *len)), Reason::Session);
            }
            // A sender repeats what nobody has acknowledged, here from the end to the beginning.
            for at in (0..text.len()).step_by(9).rev() {
                assert_eq!(rig.see(port, &say(at, 9)), Reason::Session);
            }
        } else {
            assert_eq!(rig.see(port, &say(0, text.len())), Reason::Session);
        }
        tcp.next[side] = first.wrapping_add(u32::try_from(text.len()).unwrap());
    }
    let counts = &rig.engine.counters().helpers[Helper::Ftp.index()];
    assert_eq!(counts.following.get(), 1, "it is never lost");
    (
        rig.expected(),
        counts.opened.get(),
        sekisho_engine::helper::Refusal::ALL.iter().map(|c| counts.refused(*c).get()).sum(),
    )
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    prop::collection::vec((turn(true), turn(false)), 1..5)
        .prop_map(|pairs| pairs.into_iter().flat_map(|(client, server)| [client, server]).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_conversation_in_pieces_opens_exactly_what_it_opens_whole(turns in turns()) {
        prop_assert_eq!(play(&turns, true), play(&turns, false));
    }
}

/// The generator above has not gone inert.
#[test]
fn conversations_open_things() {
    let said = |text: &str| Turn { text: text.into(), segments: Vec::new() };
    let turns = [said("PASV\r\nPORT 192,0,2,10,157,1\r\n"), said("227 (203,0,113,53,156,64)\r\n")];
    let expected = vec![(Port::Lan, 40_000), (Port::Wan, 40_193)];
    assert_eq!(play(&turns, true), (expected, 2, 0));
}

/// The helper loses a session for good when bytes of it were never seen, but not what the session had announced: that ends
/// when the session does.
#[test]
fn a_session_that_was_lost_takes_what_it_announced_with_it_when_it_is_reset() {
    let (mut rig, mut tcp) = (Rig::new(), control());
    handshake(&mut rig, &mut tcp);
    rig.see(Port::Lan, &tcp.client_says(b"PORT 192,0,2,10,156,64\r\n"));
    tcp.next[0] = tcp.next[0].wrapping_add(20);
    rig.see(Port::Lan, &tcp.client_says(b"NOOP\r\n"));
    assert_eq!(rig.see(Port::Wan, &tcp.server(ACK)), Reason::Session);
    assert_eq!(rig.counts().stopped(Stop::Lost).get(), 1);
    assert_eq!(rig.expected(), [(Port::Wan, 40_000)]);
    assert_eq!(rig.see(Port::Lan, &tcp.client(RST | ACK)), Reason::Session);
    assert_eq!(rig.expected(), []);
    assert_eq!(rig.counts().withdrawn.get(), 1);
}

/// What another control session between the same hosts had announced is replaced: it is counted as withdrawn, not as one
/// that nobody came for.
#[test]
fn what_another_session_announces_again_is_withdrawn_from_the_first() {
    let mut rig = Rig::new();
    let mut sessions = [control(), control()];
    sessions[1].client.set_port(40_001);
    for tcp in &mut sessions {
        handshake(&mut rig, tcp);
        rig.see(Port::Lan, &tcp.client_says(b"PORT 192,0,2,10,156,64\r\n"));
        assert_eq!(rig.expected(), [(Port::Wan, 40_000)]);
    }
    assert_eq!((rig.counts().opened.get(), rig.counts().withdrawn.get()), (2, 1));
    for tcp in &mut sessions {
        rig.see(Port::Lan, &tcp.client(RST | ACK));
    }
    assert_eq!((rig.counts().opened.get(), rig.counts().withdrawn.get()), (2, 2));
}

/// Threads that wait for each other, and for none that has failed.
#[derive(Default)]
struct Race {
    announced: AtomicU64,
    /// How far each of the others has come.
    behind: [AtomicU64; 2],
    has_failed: AtomicBool,
}

impl Race {
    fn wait(&self, until: impl Fn() -> bool) {
        while !until() {
            assert!(!self.has_failed.load(SeqCst), "another thread failed");
            thread::yield_now();
        }
    }

    /// Whether the others are no further behind than this.
    fn is_followed(&self, number: u64) -> bool {
        self.behind.iter().all(|count| count.load(SeqCst) >= number)
    }
}

/// Ends the race when its thread fails.
struct Runner<'r>(&'r Race);

impl Drop for Runner<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.has_failed.store(true, SeqCst);
        }
    }
}

/// One engine announces; two others see two connections each for every announcement, at the same time, while somebody
/// lists: of the four exactly one opens, and whoever announces finds every place again.
#[test]
fn of_connections_that_race_for_an_expectation_one_opens() {
    const PORTS: u16 = 8_000;
    let shared = Shared::new(20_000, SECRET);
    let (race, done) = (Race::default(), AtomicBool::new(false));
    let opened: Vec<AtomicU64> = (0..PORTS).map(|_| AtomicU64::new(0)).collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            let _runner = Runner(&race);
            let (mut rig, mut tcp) = (Rig::sharing(0, 64, &shared), control());
            handshake(&mut rig, &mut tcp);
            for number in 0..PORTS {
                // One session may have 64 open: the others must have come to them before.
                race.wait(|| race.is_followed(u64::from(number).saturating_sub(32)));
                let [high, low] = (20_000 + number).to_be_bytes();
                let command = format!("PORT 192,0,2,10,{high},{low}\r\n");
                assert_eq!(rig.see(Port::Lan, &tcp.client_says(command.as_bytes())), Reason::Session);
                race.announced.fetch_add(1, SeqCst);
                assert_eq!(rig.see(Port::Wan, &tcp.server(ACK)), Reason::Session);
            }
            race.wait(|| race.is_followed(u64::from(PORTS)));
            let counts = &rig.engine.counters().helpers[Helper::Ftp.index()];
            assert_eq!(counts.opened.get(), u64::from(PORTS));
            done.store(true, SeqCst);
        });
        for worker in [1u8, 2] {
            let (shared, race, opened) = (&shared, &race, &opened);
            scope.spawn(move || {
                let _runner = Runner(race);
                let mut rig = Rig::sharing(worker, 20_000, shared);
                for number in 0..PORTS {
                    race.wait(|| race.announced.load(SeqCst) > u64::from(number));
                    for source in [20, 30] {
                        let source = format!("203.0.113.53:{}", source + u16::from(worker)).parse().unwrap();
                        let destination = format!("192.0.2.10:{}", 20_000 + number).parse().unwrap();
                        match rig.see(Port::Wan, &Tcp::new(source, destination).client(SYN)) {
                            Reason::SessionExpected => drop(opened[usize::from(number)].fetch_add(1, SeqCst)),
                            Reason::DefaultDrop => {}
                            other => panic!("{other}"),
                        }
                    }
                    race.behind[usize::from(worker) - 1].fetch_add(1, SeqCst);
                }
            });
        }
        scope.spawn(|| {
            let _runner = Runner(&race);
            while !done.load(SeqCst) && !race.has_failed.load(SeqCst) {
                shared.expectations.list(NOW, |one| {
                    assert_eq!((one.helper, one.from, one.protocol), (Helper::Ftp, Port::Wan, 6));
                    assert!((20_000..20_000 + PORTS).contains(&one.destination_port));
                });
            }
        });
    });
    let wrong: Vec<_> = (0..PORTS).filter(|n| opened[usize::from(*n)].load(SeqCst) != 1).collect();
    assert!(wrong.is_empty(), "opened not exactly once: {wrong:?}");
    assert_eq!(shared.expectations.open(NOW), [0, 0, 0]);
}
