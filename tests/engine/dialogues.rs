//! Control sessions in the simulated world: shards that share one table of expectations, announcements, connections that
//! fit them and connections that nearly do, deploys that take helpers away. A ledger beside the engines knows of every
//! expectation how it came and how it went.
//!
//! A run follows from its seed alone, as in [`super::simulation`].

use std::collections::HashMap;
use std::net::IpAddr;

use sekisho_engine::flow::FiveTuple;
use sekisho_engine::helper::{
    ExpectationView, Helper, HelperCounts, LIFETIME_MS, OPENINGS_MAX, Refusal, Stop,
};
use sekisho_engine::packet::{self, VlanStack};
use sekisho_engine::policy::Ruleset;
use sekisho_engine::port::Port;
use sekisho_engine::reason::Reason;
use sekisho_engine::session::{SessionId, SessionView, State};
use sekisho_engine::time::{Duration, Instant};
use sekisho_replay::simulation::Simulation;
use sekisho_tests::dialogues::{Dialogues, POLICIES};
use sekisho_tests::frames::{ACK, RST, SYN};
use sekisho_tests::scene::ruleset;
use sekisho_tests::traffic::{Happens, Seeded, Wire};

use super::simulation::{Run, STEPS_AN_AUDIT, Weather, World, given, squall, weather_of};

const TCP: u8 = 6;
const UDP: u8 = 17;

/// What an expectation is about: the port of arrival, the two hosts, the port that is awaited, protocol, tags.
type Subject = (Port, IpAddr, IpAddr, u16, u8, VlanStack);

fn subject(one: &ExpectationView) -> Subject {
    (one.from, one.source, one.destination, one.destination_port, one.protocol, one.vlan)
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    helper: Helper,
    parent: SessionId,
    expires_ms: u64,
    /// No policy was deployed since it was announced.
    is_of_this_policy: bool,
}

/// What became of the expectations of a helper, as seen from outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Account {
    opened: u64,
    used: u64,
    withdrawn: u64,
    expired: u64,
}

/// A world, and what is expected in it.
struct Watched {
    world: World,
    open: HashMap<Subject, Entry>,
    accounts: [Account; 3],
    told: Vec<String>,
    /// Packets that were turned away while something was expected.
    forged: u64,
}

impl Watched {
    fn new(ruleset: Ruleset, workers: u8, sessions_max: u32) -> Self {
        let world = World::new(ruleset, workers, sessions_max);
        Self { world, open: HashMap::new(), accounts: Default::default(), told: Vec::new(), forged: 0 }
    }

    fn simulation(&self) -> &Simulation {
        &self.world.simulation
    }

    /// What is expected now, in an order that does not depend on where it lies in the table.
    fn expected(&self) -> Vec<ExpectationView> {
        let (simulation, mut all) = (self.simulation(), Vec::new());
        simulation.expectations().list(simulation.now(), |one| all.push(*one));
        let order = |one: &ExpectationView| {
            (one.source, one.destination, one.destination_port, one.protocol, one.vlan.bits(), one.from)
        };
        all.sort_by_key(order);
        all
    }

    fn session(&self, id: SessionId) -> Option<SessionView> {
        let simulation = self.simulation();
        let engine = simulation.engines().get(usize::from(id.worker()))?;
        engine.session(simulation.now(), id)
    }

    fn pass(&mut self, until: Instant) {
        while self.world.simulation.step(until) {
            self.world.hear(&mut self.told);
            self.settle(None);
        }
        self.settle(None);
    }

    fn deploy(&mut self, ruleset: Ruleset) {
        self.world.deploy(ruleset);
        self.open.values_mut().for_each(|entry| entry.is_of_this_policy = false);
    }

    fn frame(&mut self, port: Port, frame: &[u8]) {
        let facts = packet::parse(frame, frame.len());
        let Some(decision) = self.world.frame(port, frame, &mut self.told) else {
            // A fragment that waits for the rest.
            return self.settle(None);
        };
        let about = facts.five_tuple().map(
            |FiveTuple { source, destination, destination_port, protocol, .. }| {
                (port, source, destination, destination_port, protocol, facts.vlan)
            },
        );
        let expected = about.as_ref().and_then(|about| self.open.get(about)).copied();
        if decision.reason == Reason::SessionExpected {
            // Its control session lived a moment ago; in a full table it may just have made room for this one.
            assert!(expected.is_some(), "nothing opens but what is expected, for the hosts that agreed");
            assert!(facts.fault.is_none() && matches!(facts.protocol, TCP | UDP));
            self.settle(about);
            return;
        }
        let may_open = facts.protocol == UDP || facts.tcp.flags & (SYN | ACK | RST) == SYN;
        let is_turned_away = matches!(
            decision.reason,
            Reason::DefaultDrop
                | Reason::DefaultReject
                | Reason::RuleDrop
                | Reason::RuleReject
                | Reason::SessionExpired
        );
        assert!(
            !(is_turned_away && may_open && expected.is_some_and(|entry| entry.is_of_this_policy)),
            "it was expected: {decision:?} {about:?}"
        );
        self.forged += u64::from(is_turned_away && !self.open.is_empty());
        self.settle(None);
    }

    /// Compares what is expected with what was before, one happening ago: each change has a cause, and is counted.
    /// `used` is what has just been opened.
    fn settle(&mut self, used: Option<Subject>) {
        let now_ms = self.simulation().now().as_millis();
        let expected = self.expected();
        assert!(expected.len() <= OPENINGS_MAX * usize::try_from(self.simulation().sessions_live()).unwrap());
        let mut open = HashMap::with_capacity(expected.len());
        for one in &expected {
            let (about, before) = (subject(one), self.open.get(&subject(one)).copied());
            let expires_ms = now_ms + one.expires_in.as_nanos() / 1_000_000;
            let entry = Entry { helper: one.helper, parent: one.parent, expires_ms, is_of_this_policy: true };
            let is_kept = |old: &Entry| (old.parent, old.expires_ms) == (one.parent, expires_ms);
            let entry = before.filter(is_kept).unwrap_or(entry);
            if before.is_none_or(|old| old.parent != one.parent || old.expires_ms <= now_ms) {
                self.accounts[one.helper.index()].opened += 1;
            }
            assert!(one.expires_in <= Duration::from_millis(LIFETIME_MS));
            self.check_parent(one, entry);
            assert!(open.insert(about, entry).is_none(), "expected twice: {one:?}");
        }
        for (about, old) in &self.open {
            let account = &mut self.accounts[old.helper.index()];
            match open.get(about) {
                _ if old.expires_ms <= now_ms => account.expired += 1,
                Some(new) if new.parent == old.parent => {}
                None if used.as_ref() == Some(about) => account.used += 1,
                _ => account.withdrawn += 1,
            }
        }
        self.open = open;
        self.balance();
    }

    /// An expectation belongs to a live control session between the same two hosts that its helper may follow.
    fn check_parent(&self, one: &ExpectationView, entry: Entry) {
        let Some(parent) = self.session(one.parent) else {
            panic!("it outlives its control session: {one:?}")
        };
        let is_over = matches!(parent.state, State::Closing | State::TimeWait | State::Reset);
        assert!(!is_over, "its control session is over: {one:?} {parent:?}");
        let hosts = [parent.five_tuple.source, parent.five_tuple.destination];
        assert!([[one.source, one.destination], [one.destination, one.source]].contains(&hosts), "{one:?}");
        assert_eq!(one.vlan, parent.vlan, "{one:?}");
        // A deploy may have given the control session another rule since.
        assert!(one.rule == parent.rule || !entry.is_of_this_policy, "{one:?} {parent:?}");
        assert!(parent.parent.is_none(), "it was not expected itself");
    }

    /// The counters tell what the ledger tells.
    fn balance(&mut self) {
        for helper in Helper::ALL {
            let sum = |of: fn(&HelperCounts) -> u64| self.simulation().count_of_helper(helper, of);
            let counted = Account {
                opened: sum(|counts| counts.opened.get()),
                used: sum(|counts| counts.used.get()),
                withdrawn: sum(|counts| counts.withdrawn.get()),
                ..self.accounts[helper.index()]
            };
            // What was announced and withdrawn by one packet was never seen open.
            let account = &mut self.accounts[helper.index()];
            let unseen = counted.opened - account.opened;
            account.opened += unseen;
            account.withdrawn += unseen;
            assert_eq!(counted, *account, "{helper:?}");
            let open = self.open.values().filter(|entry| entry.helper == helper).count() as u64;
            assert_eq!(
                counted.opened,
                counted.used + counted.withdrawn + counted.expired + open,
                "{helper:?}"
            );
        }
    }

    /// Those that are followed are counted; takes longer to see.
    fn audit(&self) {
        self.world.audit();
        let simulation = self.simulation();
        for helper in Helper::ALL {
            let mut followed = 0;
            for engine in simulation.engines() {
                let more = engine.scan(simulation.now(), 0, u32::MAX, |session| {
                    followed += u64::from(session.helper == Some(helper) && session.parent.is_none());
                });
                assert_eq!(more, None);
            }
            assert_eq!(simulation.count_of_helper(helper, |counts| counts.following.get()), followed);
        }
    }

    fn stopped(&self, stop: Stop) -> u64 {
        Helper::ALL.iter().map(|h| self.simulation().count_of_helper(*h, |c| c.stopped(stop).get())).sum()
    }

    fn refused(&self, refusal: Refusal) -> u64 {
        Helper::ALL.iter().map(|h| self.simulation().count_of_helper(*h, |c| c.refused(refusal).get())).sum()
    }
}

/// Runs worlds of so many workers each through the same steps; where they are to agree, they must.
fn simulate(run: &Run, workers: &[u8], sessions_max: u32, agree: bool) -> Vec<Watched> {
    let mut seeded = Seeded(run.seed);
    let policies = POLICIES.map(ruleset);
    let (mut dialogues, mut wire) = (Dialogues::default(), Wire::default());
    let new = |workers: &u8| Watched::new(policies[0].clone(), *workers, sessions_max);
    let mut worlds: Vec<_> = workers.iter().map(new).collect();
    let mut weather = Weather::Calm;
    let mut now = worlds[0].simulation().now();
    for step in 0..run.steps {
        if step % 1000 == 0 {
            weather = weather_of(seeded.number());
        }
        let (number, kind) = (seeded.number(), seeded.number());
        now += match (weather, kind % 64) {
            (Weather::Leaps, 0) => Duration::from_millis(number % 90_000),
            (_, 1..4) => Duration::from_millis(number % 4_000),
            _ => Duration::from_nanos(number % 5_000_000),
        };
        worlds.iter_mut().for_each(|world| world.pass(now));
        let happens = if kind >> 8 & 0x7ff == 0 {
            Some(Happens::Deploy(policies[usize::try_from(number % 4).unwrap()].clone()))
        } else if let Some((port, frame)) = squall(weather, number).filter(|_| kind >> 20 & 3 == 0) {
            Some(Happens::Frame(port, frame))
        } else if kind >> 24 & 7 == 0 {
            // Deploys are this test's own.
            wire.step(&seeded.step().what).filter(|happens| matches!(happens, Happens::Frame(..)))
        } else {
            dialogues.step(number, &worlds[0].expected()).map(|(port, frame)| Happens::Frame(port, frame))
        };
        for world in &mut worlds {
            match &happens {
                Some(Happens::Frame(port, frame)) => world.frame(*port, frame),
                Some(Happens::Deploy(ruleset)) => world.deploy(ruleset.clone()),
                None => {}
            }
            world.world.check();
            if step % STEPS_AN_AUDIT == 0 {
                world.audit();
            }
        }
        let told: Vec<_> = worlds.iter_mut().map(|world| std::mem::take(&mut world.told)).collect();
        if agree {
            assert!(told.iter().all(|tells| *tells == told[0]), "step {step}: {told:#?}");
            let same = worlds.iter().all(|world| {
                world.accounts == worlds[0].accounts
                    && world.open.keys().all(|about| worlds[0].open.contains_key(about))
            });
            assert!(same, "step {step}: they expect otherwise");
        }
    }
    for world in &mut worlds {
        world.audit();
        // Nothing is forever.
        world.pass(now + Duration::from_secs(200_000));
        world.audit();
        assert_eq!(world.simulation().sessions_live(), 0);
        assert!(world.expected().is_empty());
    }
    worlds
}

/// The traffic has not gone inert: of everything there was something.
fn was_lively(worlds: &[Watched]) {
    for world in worlds {
        for (helper, account) in Helper::ALL.iter().zip(&world.accounts) {
            let Account { opened, used, withdrawn, expired } = account;
            assert!(
                [opened, used, withdrawn, expired].iter().all(|count| **count > 0),
                "{helper:?} {account:?}"
            );
        }
        for stop in [Stop::Lost, Stop::Encrypted, Stop::Midstream] {
            assert!(world.stopped(stop) > 0, "{stop:?}");
        }
        let refusals = [
            Refusal::ThirdParty,
            Refusal::PrivilegedPort,
            Refusal::Malformed,
            Refusal::Unasked,
            Refusal::EpsvAll,
        ];
        for refusal in refusals {
            assert!(world.refused(refusal) > 0, "{refusal:?}");
        }
        assert!(world.forged > 0);
    }
}

#[test]
fn shards_expect_alike_and_nothing_outlives_its_control_session() {
    let run = Run::new(0xf7b0_0001, 1_000_000);
    let worlds = simulate(&run, &[1, 3], 1 << 10, true);
    was_lively(&worlds);
    for world in &worlds {
        // Far more control sessions than can be followed at once: each has given its place back.
        assert_eq!(world.stopped(Stop::Full), 0);
        assert_eq!(world.simulation().count(Reason::EndEvicted), 0, "the table has room for all");
    }
}

#[test]
fn expectations_are_accounted_for_where_tables_are_full() {
    let run = Run::new(0xf7b0_0002, 600_000);
    let worlds = simulate(&run, &[1, 4], 12, false);
    let worlds: Vec<_> = worlds
        .into_iter()
        .map(|watched| {
            assert!(
                watched.stopped(Stop::Full) + watched.refused(Refusal::TableFull) > 0,
                "nothing was ever full"
            );
            watched.world
        })
        .collect();
    given(&worlds, &[Reason::EndEvicted, Reason::TableFull, Reason::SessionExpected]);
}
