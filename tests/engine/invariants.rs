//! Whatever arrives, the engine's books are right.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use sekisho_engine::counters::ProtocolClass;
use sekisho_engine::flow::HashSecret;
use sekisho_engine::fragment::{Carried, Collected, Shelf, Whole};
use sekisho_engine::packet;
use sekisho_engine::policy::{Policy, RuleNames};
use sekisho_engine::port::Port;
use sekisho_engine::reason::{Kind, Reason};
use sekisho_engine::session::room::{Budgets, Pressure};
use sekisho_engine::session::{SessionId, State};
use sekisho_engine::time::{Duration, Instant};
use sekisho_engine::{Config, Engine, Event, Outbox, Running};
use sekisho_tests::scene::{LAN_OUT, read, ruleset};
use sekisho_tests::traffic::{Seeded, Traffic};

/// An engine of few places, with everything that it reports written down beside it.
struct Books {
    engine: Engine,
    names: RuleNames,
    out: Outbox,
    now: Instant,
    live: BTreeSet<SessionId>,
    /// Those that both ends took for established once.
    established: BTreeSet<SessionId>,
    held: Shelf<()>,
    given: BTreeMap<Reason, u64>,
}

impl Books {
    fn new(capacity: u32) -> Self {
        let mut names = RuleNames::default();
        let policy = Arc::new(Policy::compile(1, ruleset(LAN_OUT), &mut names));
        let config =
            Config { worker: 3, capacity, secret: HashSecret([5, 6, 7, 8]), report_all_sessions: true };
        let now = Instant::from_secs(1000);
        let engine = Engine::new(config, Running::new(policy), now);
        Self {
            engine,
            names,
            out: Outbox::new(1000, 1000),
            now,
            live: BTreeSet::new(),
            established: BTreeSet::new(),
            held: Shelf::new(),
            given: BTreeMap::new(),
        }
    }

    fn see(&mut self, port: Port, frame: &[u8]) {
        let facts = packet::parse(frame, frame.len());
        let (verdict, frames) = match facts.fragment {
            None => (self.engine.inspect(self.now, port, &facts, frame, &mut self.out), 1),
            Some(_) => {
                let carried = Carried { sum: || packet::sum_piece(&facts, [frame]), fits: true };
                let collected = self.engine.collect(self.now, port, &facts, frame, carried, &mut self.out);
                self.read();
                match collected {
                    Collected::Judged(verdict) => (verdict, 1),
                    Collected::Held(datagram) => return self.held.put(datagram, ()).expect("there is room"),
                    Collected::Whole(datagram) => {
                        let mut whole = Whole::default();
                        self.engine.take_whole(datagram, &mut whole);
                        let frames = self.held.clear(datagram) as u64 + 1;
                        assert_eq!(frames, u64::from(whole.frames));
                        (self.engine.judge_whole(self.now, &whole, &mut self.out), frames)
                    }
                }
            }
        };
        *self.given.entry(verdict.reason).or_default() += frames;
        self.read();
        if verdict.reason == Reason::SessionNew {
            assert!(self.live.contains(&verdict.session.expect("a new session has a name")));
        }
        if verdict.reason == Reason::Session {
            assert!(
                self.live.contains(&verdict.session.expect("it belongs to one")),
                "a dead session forwards nothing"
            );
        }
    }

    fn pass(&mut self, until: Instant) {
        while let Some(deadline) = self.engine.next_deadline().filter(|deadline| *deadline <= until) {
            self.now = self.now.max(deadline);
            self.engine.expire(self.now, 4, &mut self.out);
            self.read();
        }
        self.now = self.now.max(until);
    }

    /// Reads what the engine reports: what begins is not alive yet, and what ends was.
    fn read(&mut self) {
        for released in self.out.released.drain(..) {
            *self.given.entry(released.reason).or_default() += self.held.clear(released.datagram) as u64;
        }
        for event in self.out.events.drain(..) {
            match event {
                Event::SessionStart { session, .. } => assert!(self.live.insert(session.id)),
                Event::SessionEnd { session, reason, .. } => {
                    assert!(self.live.remove(&session.id));
                    assert_eq!(reason.kind(), Kind::End);
                    let makes_room = matches!(reason, Reason::EndEvicted | Reason::EndPressed);
                    assert!(
                        !(makes_room && self.established.contains(&session.id)),
                        "an established session never goes for another: {session:?}"
                    );
                    *self.given.entry(reason).or_default() += 1;
                }
                Event::Drop { .. } | Event::Suspect { .. } | Event::Block { .. } => {}
            }
        }
        for frame in self.out.frames.take() {
            *self.given.entry(frame.reason).or_default() += 1;
            let facts = packet::parse(frame.bytes(), frame.bytes().len());
            assert_eq!(facts.fault, None, "the appliance's own frames are sound: {:02x?}", frame.bytes());
        }
        assert_eq!((self.out.events_lost, self.out.frames_lost), (0, 0));
    }

    /// Writes down who is established.
    fn look(&mut self) {
        let Self { engine, established, now, .. } = self;
        engine.scan(*now, 0, u32::MAX, |session| {
            if !session.state.is_half_open() && session.state != State::Reset {
                established.insert(session.id);
            }
        });
    }

    /// Table, gauges, counters, listing and events agree.
    fn balance(&self) {
        let (table, counters) = (self.engine.table(), self.engine.counters());
        assert_eq!(table.len() as usize, self.live.len());
        assert!(table.len() <= table.capacity());
        assert_eq!(counters.sessions_live(), self.live.len() as u64);
        assert_eq!(counters.fragments_held.get(), self.held.len() as u64);
        for reason in Reason::ALL {
            assert_eq!(
                counters.reason(*reason).get(),
                self.given.get(reason).copied().unwrap_or(0),
                "{reason}"
            );
        }
        let mut listed = BTreeMap::new();
        let (mut cursor, mut seen) = (Some(0), BTreeSet::new());
        while let Some(from) = cursor {
            cursor = self.engine.scan(self.now, from, 3, |session| {
                assert!(seen.insert(session.id), "listed once");
                assert_eq!(self.engine.session(self.now, session.id).as_ref(), Some(session));
                let class = ProtocolClass::of(session.five_tuple.protocol);
                *listed.entry((class as usize, session.state)).or_insert(0u64) += 1;
                assert!(session.idle.as_nanos() <= session.age.as_nanos() + 1_000_000);
                assert!(session.packets.iter().sum::<u64>() >= 1);
            });
        }
        assert_eq!(seen, self.live);
        for class in ProtocolClass::ALL {
            for state in State::ALL {
                let gauge = counters.sessions(class, state).get();
                assert_eq!(
                    gauge,
                    listed.get(&(class as usize, state)).copied().unwrap_or(0),
                    "{class:?} {state}"
                );
            }
        }
    }
}

fn traffic(seed: u64, steps: usize) -> Traffic {
    let mut seeded = Seeded(seed);
    Traffic::of(&(0..steps).map(|_| seeded.step()).collect::<Vec<_>>())
}

fn run(books: &mut Books, traffic: &Traffic, every: usize) {
    let [lan, wan] = traffic.captures.each_ref().map(|capture| read(capture));
    let mut frames: Vec<_> = lan
        .into_iter()
        .map(|frame| (Port::Lan, frame))
        .chain(wan.into_iter().map(|frame| (Port::Wan, frame)))
        .collect();
    frames.sort_by_key(|(_, frame)| frame.time_ns);
    let zero_ns = frames.first().map_or(0, |(_, frame)| frame.time_ns);
    let start = books.now;
    let mut deploys = traffic.deploys.iter().peekable();
    let mut generation = books.engine.running().policy.generation;
    for (number, (port, frame)) in frames.iter().enumerate() {
        let after = Duration::from_nanos(frame.time_ns - zero_ns);
        while let Some(deploy) = deploys.next_if(|deploy| deploy.at <= after) {
            generation += 1;
            let policy = Policy::compile(generation, deploy.ruleset.clone(), &mut books.names);
            books.engine.set_policy(Running::new(Arc::new(policy)));
        }
        books.pass(start + after);
        books.see(*port, &frame.bytes);
        books.look();
        books.engine.set_pressure(Pressure::default());
        if number % every == 0 {
            books.balance();
        }
    }
    books.balance();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_books_balance_in_a_small_table(seed: u64, capacity in 1..40u32) {
        run(&mut Books::new(capacity), &traffic(seed, 400), 20);
    }

    /// Whatever comes, in whatever order, under whatever budgets: an established session never goes for one that is not.
    /// The books tell it of each session that ends.
    #[test]
    fn an_established_session_is_never_evicted(
        seed: u64,
        capacity in 1..24u32,
        half_open in 1..=99u8,
        established in 1..=100u8,
        adaptive_timeouts: bool,
    ) {
        let mut books = Books::new(capacity);
        books.engine.set_budgets(Budgets { half_open, one_way: 100 - half_open, established, adaptive_timeouts });
        run(&mut books, &traffic(seed, 1_500), 100);
    }

    #[test]
    fn any_bytes_are_judged(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..120), 1..50)) {
        let mut books = Books::new(8);
        for (number, frame) in frames.iter().enumerate() {
            books.see(Port::ALL[number % 2], frame);
        }
        books.balance();
    }
}

/// That traffic does what the property is about.
#[test]
fn a_small_table_evicts_refuses_and_shortens() {
    let mut given = BTreeMap::<Reason, u64>::new();
    for seed in 0..8 {
        let mut books = Books::new(6);
        books.engine.set_budgets(Budgets { established: 60, ..Budgets::default() });
        run(&mut books, &traffic(seed, 1_500), 1_000);
        assert!(!books.established.is_empty());
        books.given.into_iter().for_each(|(reason, count)| *given.entry(reason).or_default() += count);
    }
    for reason in [Reason::EndEvicted, Reason::EndPressed, Reason::BudgetFull] {
        assert!(given.contains_key(&reason), "{reason} is not among {given:?}");
    }
}

#[test]
fn everything_ends_in_the_end() {
    let mut books = Books::new(1000);
    run(&mut books, &traffic(7, 20_000), 5000);
    // Nothing is forever: after the longest timeout nobody is left, however often ends were asked.
    books.pass(books.now + Duration::from_secs(100_000));
    assert!(books.live.is_empty() && books.held.is_empty());
    books.balance();
    assert_eq!(books.engine.next_deadline(), None);
}

#[test]
fn an_operator_ends_sessions_by_name_once() {
    let mut books = Books::new(100);
    run(&mut books, &traffic(11, 2000), 500);
    let names: Vec<_> = books.live.iter().copied().collect();
    assert!(names.len() > 5, "the traffic went inert");
    for name in &names {
        assert!(books.engine.end_session(books.now, *name, Reason::EndOperator, &mut books.out));
        assert!(
            !books.engine.end_session(books.now, *name, Reason::EndOperator, &mut books.out),
            "it is gone"
        );
        assert_eq!(books.engine.session(books.now, *name), None);
    }
    books.read();
    books.balance();
    assert!(books.live.is_empty());
}
