//! The whole engine in a simulated world: shards, a wire, deploys, floods, a clock that leaps. After every step the
//! books are right, and one worker and several have decided alike.
//!
//! A run follows from its seed alone, and a failure names it: `SEKISHO_SEED=... SEKISHO_STEPS=...` runs it again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU8;

use sekisho_engine::counters::{Count, Counters};
use sekisho_engine::fragment::{DATAGRAMS_MAX, FRAMES_MAX};
use sekisho_engine::policy::{OnExpiry, Ruleset};
use sekisho_engine::port::Port;
use sekisho_engine::reason::{Kind, Reason};
use sekisho_engine::session::SessionView;
use sekisho_engine::time::{Duration, Instant};
use sekisho_engine::{Engine, Prospect};
use sekisho_replay::simulation::{Decision, Happening, Simulation};
use sekisho_tests::frames::{self, ACK, SYN};
use sekisho_tests::traffic::{Happens, Seeded, Wire};

/// Slots of each engine's table that are looked at after every step, in turn.
const SLOTS_A_STEP: u32 = 4;
/// Steps between two full audits.
pub(super) const STEPS_AN_AUDIT: u64 = 512;
/// A timer fires by the millisecond, and stamps are rounded up to one.
const ROUNDING: Duration = Duration::from_millis(2);

/// What the wire is like for a while.
#[derive(Clone, Copy, Debug)]
pub(super) enum Weather {
    Calm,
    /// SYNs from anywhere to a published server.
    SynFlood,
    /// Datagrams from the LAN to anywhere, that nobody answers.
    OneWay,
    /// The clock leaps.
    Leaps,
}

/// Engines under watch.
pub(super) struct World {
    pub(super) simulation: Simulation,
    frames: u64,
    /// Fragments that wait for the rest, by number.
    held: BTreeSet<u64>,
    ends: u64,
    sent: BTreeMap<Reason, u64>,
    /// Where the look at each engine's table goes on.
    cursors: Vec<u32>,
    /// When the policy in force came: older stamps may be of sessions that wait for its shorter timeouts.
    deployed: Instant,
    /// Verdicts of the step at hand.
    settled: Vec<Decision>,
    /// What the last deploy was to mean to the sessions that lived then.
    prospects: HashMap<u64, Prospect>,
    /// Sessions that it ended, and that it let live on against its rules.
    pub(super) ended_by_deploy: u64,
    pub(super) outlived_deploy: u64,
}

impl World {
    pub(super) fn new(ruleset: Ruleset, workers: u8, sessions_max: u32) -> Self {
        let simulation = Simulation::new(ruleset, NonZeroU8::new(workers).unwrap(), sessions_max, None);
        let deployed = simulation.now();
        let cursors = vec![0; usize::from(workers)];
        Self {
            simulation,
            frames: 0,
            held: BTreeSet::new(),
            ends: 0,
            sent: BTreeMap::new(),
            cursors,
            deployed,
            settled: Vec::new(),
            prospects: HashMap::new(),
            ended_by_deploy: 0,
            outlived_deploy: 0,
        }
    }

    /// Lets time pass; what happened meanwhile, as it can be compared.
    pub(super) fn pass(&mut self, until: Instant, told: &mut Vec<String>) {
        while self.simulation.step(until) {
            self.hear(told);
        }
    }

    pub(super) fn frame(&mut self, port: Port, frame: &[u8], told: &mut Vec<String>) -> Option<Decision> {
        let decision = self.simulation.inspect(self.frames, port, frame, frame.len());
        self.frames += 1;
        if let Some(decision) = decision {
            assert!(matches!(decision.reason.kind(), Kind::Forward | Kind::Drop), "{decision:?}");
            told.push(format!("{decision:?}"));
            self.settled.push(decision);
        } else {
            assert!(self.held.insert(self.frames - 1));
        }
        self.hear(told);
        self.judge_dry_run();
        decision
    }

    /// No session goes on that the last deploy was to end.
    fn judge_dry_run(&mut self) {
        for decision in self.settled.drain(..).filter(|decision| decision.reason == Reason::Session) {
            let prospect = decision.session.and_then(|session| self.prospects.get(&session));
            assert_ne!(
                prospect,
                Some(&Prospect::Ends),
                "a dry run said that the deploy ends it: {decision:?}"
            );
            self.outlived_deploy += u64::from(prospect == Some(&Prospect::Outlives));
        }
    }

    pub(super) fn deploy(&mut self, ruleset: Ruleset) {
        self.prospects = self.simulation.weigh(ruleset.clone());
        self.simulation.deploy(ruleset);
        self.deployed = self.simulation.now();
    }

    pub(super) fn hear(&mut self, told: &mut Vec<String>) {
        for happening in self.simulation.happened() {
            match happening {
                Happening::Settled { frame, decision, .. } => {
                    assert!(matches!(decision.reason.kind(), Kind::Forward | Kind::Drop), "{decision:?}");
                    assert!(self.held.remove(&frame), "frame {frame} was held, and is let go once");
                    told.push(format!("frame {frame}: {decision:?}"));
                    self.settled.push(decision);
                }
                Happening::Ended { session, reason } => {
                    assert_eq!(reason.kind(), Kind::End);
                    self.ends += 1;
                    if reason == Reason::EndPolicy {
                        let prospect = self.prospects.get(&session);
                        assert_eq!(
                            prospect,
                            Some(&Prospect::Ends),
                            "no dry run foretold the end of {session}"
                        );
                        self.ended_by_deploy += 1;
                    }
                    told.push(format!("{session} ends: {reason}"));
                }
                Happening::Blocked { source, cause, span } => {
                    told.push(format!("{source} is blocked for {span}: {}", cause.name()));
                }
                Happening::Sent(frame) => {
                    assert_eq!(frame.reason.kind(), Kind::Send);
                    *self.sent.entry(frame.reason).or_default() += 1;
                    told.push(format!("{} {} {:02x?}", frame.port, frame.reason, frame.bytes()));
                }
            }
        }
    }

    /// What must hold after every step.
    pub(super) fn check(&mut self) {
        self.check_fragments();
        for (at, cursor) in self.cursors.iter_mut().enumerate() {
            let engine = &self.simulation.engines()[at];
            let held = u64::from(engine.table().len());
            assert_eq!(engine.counters().sessions_live(), held, "the gauges count what is in the table");
            assert!(engine.table().len() <= engine.table().capacity());
            let (now, deployed) = (self.simulation.now(), self.deployed);
            let next = engine.scan(now, *cursor, SLOTS_A_STEP, |session| {
                check_age(engine, session, now, deployed);
            });
            *cursor = next.unwrap_or(0);
        }
    }

    /// What the engines count as held is what was held and not let go, and within bounds.
    fn check_fragments(&self) {
        let sum = |of: fn(&Counters) -> &Count| -> u64 {
            self.simulation.engines().iter().map(|engine| of(&engine.counters()).get()).sum()
        };
        let held = sum(|counters| &counters.fragments_held);
        assert_eq!((held, self.simulation.held()), (self.held.len() as u64, self.held.len()));
        assert_eq!(held == 0, sum(|counters| &counters.fragment_bytes) == 0);
        assert!(held <= FRAMES_MAX as u64);
        assert!(sum(|counters| &counters.datagrams) <= DATAGRAMS_MAX as u64);
    }

    /// What must hold, and takes longer to see.
    pub(super) fn audit(&self) {
        let counted = |kinds: &[Kind]| -> u64 {
            let of_kind = Reason::ALL.iter().filter(|reason| kinds.contains(&reason.kind()));
            of_kind.map(|reason| self.simulation.count(*reason)).sum()
        };
        let held = self.held.len() as u64;
        assert_eq!(counted(&[Kind::Forward, Kind::Drop]) + held, self.frames, "every frame has one reason");
        assert_eq!(counted(&[Kind::End]), self.ends, "every end is reported and counted");
        assert_eq!(counted(&[Kind::Send]), self.sent.values().sum::<u64>());
        for (reason, count) in &self.sent {
            assert_eq!(self.simulation.count(*reason), *count, "{reason}");
        }
        let live = self.simulation.sessions_live();
        assert_eq!(self.simulation.sessions_begun() - self.ends, live, "what began and did not end lives");
        for engine in self.simulation.engines() {
            let (mut listed, mut cursor) = (0, Some(0));
            while let Some(from) = cursor {
                cursor = engine.scan(self.simulation.now(), from, 4096, |session| {
                    listed += 1;
                    assert_eq!(
                        engine.session(self.simulation.now(), session.id).as_ref(),
                        Some(session),
                        "it is found by its name"
                    );
                });
            }
            assert_eq!(listed, engine.table().len());
        }
    }
}

/// No session is older than its timeout, and the answers that its ends may still give.
fn check_age(engine: &Engine, session: &SessionView, now: Instant, deployed: Instant) {
    if now.since(deployed).as_nanos() < session.idle.as_nanos() + ROUNDING.as_nanos() {
        return;
    }
    let asks = engine.running().policy.ruleset.timeouts.iter().any(|t| t.on_expiry == OnExpiry::Probe);
    let patience = if asks { Duration::from_secs(30) } else { Duration::ZERO };
    let allowed = session.timeout.as_nanos() + patience.as_nanos() + ROUNDING.as_nanos();
    assert!(session.idle.as_nanos() <= allowed, "older than its timeout: {session:?}");
}

pub(super) fn weather_of(number: u64) -> Weather {
    match number % 8 {
        0..4 => Weather::Calm,
        4 => Weather::SynFlood,
        5 => Weather::OneWay,
        _ => Weather::Leaps,
    }
}

/// A frame of the weather, if it has one this time.
pub(super) fn squall(weather: Weather, number: u64) -> Option<(Port, Vec<u8>)> {
    let [a, b, c, d, e, f, ..] = number.to_le_bytes();
    let anyone: IpAddr = [100, 64 | a & 31, b, c].into();
    let port = u16::from_be_bytes([d, e]).max(1);
    match weather {
        Weather::SynFlood if f < 200 => {
            let server = SocketAddr::new([192, 0, 2, 10].into(), 443);
            let packet = frames::tcp(SocketAddr::new(anyone, port), server, SYN, u32::from(port) << 8, 0);
            Some((Port::Wan, packet.frame()))
        }
        Weather::OneWay if f < 200 => {
            let host = SocketAddr::new([192, 0, 2, 11].into(), port);
            Some((Port::Lan, frames::udp(host, SocketAddr::new(anyone, 514), b"log").frame()))
        }
        Weather::OneWay if f < 220 => {
            let host = SocketAddr::new([192, 0, 2, 12].into(), port);
            let packet = frames::tcp(SocketAddr::new(anyone, 443), host, SYN | ACK, 1, 1);
            Some((Port::Wan, packet.frame()))
        }
        _ => None,
    }
}

fn number_of(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("the variable is a number"))
}

/// Runs worlds of so many workers each through the same steps; where they are to agree, they must.
fn simulate(seed: u64, steps: u64, workers: &[u8], sessions_max: u32, agree: bool) -> Vec<World> {
    let mut seeded = Seeded(seed);
    let mut wire = Wire::default();
    let mut worlds: Vec<_> =
        workers.iter().map(|workers| World::new(wire.policy(), *workers, sessions_max)).collect();
    // Plain packets take the short way in one of them, and none does in the others.
    for world in worlds.iter_mut().skip(1) {
        world.simulation.set_thorough();
    }
    let mut weather = Weather::Calm;
    let mut now = worlds[0].simulation.now();
    for step in 0..steps {
        if step % 1000 == 0 {
            weather = weather_of(seeded.number());
        }
        let number = seeded.number();
        let next = seeded.step();
        let pause_ns = match weather {
            Weather::Leaps if number.is_multiple_of(97) => number % 10_000 * 1_000_000_000,
            Weather::Calm | Weather::Leaps => next.wait_ns / 8,
            _ => number % 50_000,
        };
        now += Duration::from_nanos(pause_ns);
        let happens = match squall(weather, number) {
            Some((port, frame)) => Some(Happens::Frame(port, frame)),
            None => wire.step(&next.what),
        };
        let mut told: Vec<Vec<String>> = Vec::with_capacity(worlds.len());
        for world in &mut worlds {
            let mut tells = Vec::new();
            world.pass(now, &mut tells);
            match &happens {
                Some(Happens::Frame(port, frame)) => drop(world.frame(*port, frame, &mut tells)),
                Some(Happens::Deploy(ruleset)) => world.deploy(ruleset.clone()),
                None => {}
            }
            world.check();
            if step % STEPS_AN_AUDIT == 0 {
                world.audit();
            }
            told.push(tells);
        }
        if agree {
            assert!(told.iter().all(|tells| *tells == told[0]), "step {step} of seed {seed}: {told:#?}");
        }
    }
    for world in &mut worlds {
        world.audit();
        // Nothing is forever.
        now += Duration::from_secs(200_000);
        world.pass(now, &mut Vec::new());
        world.audit();
        assert_eq!(world.simulation.sessions_live(), 0, "seed {seed}");
        assert_eq!(world.simulation.held(), 0, "seed {seed}");
    }
    worlds
}

/// Says which run it was, should it fail.
pub(super) struct Run {
    pub(super) seed: u64,
    pub(super) steps: u64,
}

impl Run {
    pub(super) fn new(seed: u64, steps: u64) -> Self {
        Self { seed: number_of("SEKISHO_SEED", seed), steps: number_of("SEKISHO_STEPS", steps) }
    }
}

impl Drop for Run {
    #[expect(clippy::print_stderr, reason = "shown of a failing test")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("to run it again: SEKISHO_SEED={} SEKISHO_STEPS={}", self.seed, self.steps);
        }
    }
}

pub(super) fn given(worlds: &[World], wanted: &[Reason]) {
    for world in worlds {
        let missing: Vec<_> = wanted.iter().filter(|reason| world.simulation.count(**reason) == 0).collect();
        assert!(missing.is_empty(), "the traffic went inert: no {missing:?}");
    }
}

#[test]
fn shards_agree_and_the_books_are_right_whatever_comes() {
    let run = Run::new(0x5e15_0001, 1_000_000);
    let worlds = simulate(run.seed, run.steps, &[1, 3], 1 << 16, true);
    let wanted = [
        Reason::SessionNew,
        Reason::Session,
        Reason::Related,
        Reason::RuleReject,
        Reason::TcpOutOfWindow,
        Reason::SessionExpired,
        Reason::PolicyChanged,
        Reason::EndIdle,
        Reason::EndHandshake,
        Reason::EndUnanswered,
        Reason::SendProbe,
        Reason::SendExpiryReset,
        Reason::FragmentOverlap,
        Reason::FragmentIncomplete,
    ];
    given(&worlds, &wanted);
    assert_eq!(worlds[0].simulation.count(Reason::EndEvicted), 0, "the table has room for all");
    assert!(worlds[0].ended_by_deploy > 0 && worlds[0].outlived_deploy > 0, "deploys meet live sessions");
}

#[test]
fn the_books_are_right_where_tables_are_full() {
    let run = Run::new(0x5e15_0002, 2_000_000);
    let worlds = simulate(run.seed, run.steps, &[1, 4], 8, false);
    given(&worlds, &[Reason::EndEvicted, Reason::TableFull, Reason::SessionNew]);
}
