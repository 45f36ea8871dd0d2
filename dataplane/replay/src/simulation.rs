//! N engines in virtual time.
//!
//! What happens at one moment has an order: timers that are due, then a deploy, then frames. So a frame that comes
//! exactly at the end of its session's timeout comes too late, and a policy deployed at the time of a frame decides
//! that frame. Sessions that end at one moment end in the order of their numbers; questions to the ends of sessions
//! follow.
//!
//! That N does not show takes four things: sessions are numbered as they begin, over all engines; every engine has
//! room for as many sessions as one alone; the wheels of the engines turn in step, since a session whose timeout a
//! deploy made shorter is found out when its timer moves down the wheel; and fragments wait on the first engine alone,
//! since what makes room for what depends on who else waits there. When a datagram is whole, the owner of its session
//! judges it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU8;
use std::sync::Arc;

use sekisho_engine::flow::HashSecret;
use sekisho_engine::helper::{Expectations, Helper, HelperCounts};
use sekisho_engine::packet::{self, Facts};
use sekisho_engine::policy::{Policy, RuleId, RuleNames, Ruleset};
use sekisho_engine::port::Port;
use sekisho_engine::protect::Guards;
use sekisho_engine::protect::blocks::BlockCause;
use sekisho_engine::reason::Reason;
use sekisho_engine::session::SessionId;
use sekisho_engine::session::room::{Budgets, Pressure};
use sekisho_engine::time::{Duration, Instant};
use sekisho_engine::{
    Config, Engine, Event, Evidence, Glance, HijackSign, Outbox, OwnFrame, Prospect, Rewrite, Running,
    Shared, Verdict, steer,
};

mod fragments;

/// The engines' clock at the first frame: well after its epoch, so that nothing that looks back meets it.
pub const START: Instant = Instant::from_secs(86_400);

/// Fixed, so that a replay can be repeated.
const SECRET: HashSecret =
    HashSecret([0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344, 0xa409_3822_299f_31d0, 0x082e_fa98_ec4e_6c89]);

/// One call of an engine makes no more than this.
const OUTBOX_MAX: usize = 4096;

/// A number of a session of its own, from 1 in the order in which sessions begin.
pub type SessionNumber = u64;

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Why; its kind says whether the frame is forwarded.
    pub reason: Reason,
    /// The rule that decided, in the policy in force.
    pub rule: Option<RuleId>,
    /// The session it belongs to.
    pub session: Option<SessionNumber>,
}

impl Decision {
    /// Whether the frame leaves by the other port.
    pub fn is_forward(&self) -> bool {
        !self.reason.is_drop()
    }
}

/// What happened beside verdicts on the frame at hand.
#[derive(Debug)]
pub enum Happening {
    /// A frame that was held leaves, or is dropped.
    Settled {
        /// Its number.
        frame: u64,
        /// What became of it.
        decision: Decision,
        /// What changes in it, if it leaves.
        rewrite: Option<Box<Rewrite>>,
    },
    /// A session ended.
    Ended {
        /// Its number.
        session: SessionNumber,
        /// Why.
        reason: Reason,
    },
    /// A source was put on the block list.
    Blocked {
        /// Who.
        source: IpAddr,
        /// Why.
        cause: BlockCause,
        /// For how long.
        span: Duration,
    },
    /// The appliance made a frame of its own.
    Sent(Box<OwnFrame>),
}

/// The engines, their clock, and the policy in force.
#[derive(Debug)]
pub struct Simulation {
    engines: Vec<Engine>,
    /// Sessions that each engine can hold, and by which all of them together are measured: how full the table is does not
    /// depend on the number of engines.
    sessions_max: u32,
    pressure: Pressure,
    shared: Shared,
    now: Instant,
    policy: Arc<Policy>,
    names: RuleNames,
    outbox: Outbox,
    /// Fragments that are held.
    waiting: fragments::Waiting,
    /// Numbers of all sessions, those that ended too: a late packet is told which one it came too late for.
    numbers: HashMap<SessionId, SessionNumber>,
    sessions_begun: SessionNumber,
    happened: Vec<Happening>,
    /// Hits of rules of policies that are not in force any more.
    hits: HashMap<Box<str>, u64>,
    /// Plain packets may take the short way.
    is_glancing: bool,
}

impl Simulation {
    /// `workers` engines for `sessions_max` sessions each, at [`START`], under the policy of `ruleset`; they started
    /// `started` before, or long ago.
    pub fn new(ruleset: Ruleset, workers: NonZeroU8, sessions_max: u32, started: Option<Duration>) -> Self {
        let mut names = RuleNames::default();
        let policy = Arc::new(Policy::compile(1, ruleset, &mut names));
        let shared = Shared::new(sessions_max, SECRET);
        let engine = |worker| {
            let config = Config { worker, capacity: sessions_max, secret: SECRET, report_all_sessions: true };
            let running = Running::new(Arc::clone(&policy));
            let mut engine = Engine::sharing(shared.clone(), config, running, START);
            if let Some(before) = started {
                engine.set_started(START - before);
            }
            engine
        };
        Self {
            engines: (0..workers.get()).map(engine).collect(),
            sessions_max,
            pressure: Pressure::default(),
            shared,
            now: START,
            policy,
            names,
            outbox: Outbox::new(OUTBOX_MAX, OUTBOX_MAX),
            waiting: fragments::Waiting::default(),
            numbers: HashMap::new(),
            sessions_begun: 0,
            happened: Vec::new(),
            hits: HashMap::new(),
            is_glancing: true,
        }
    }

    /// Sends every packet the long way, as if none were plain; verdicts are the same.
    pub fn set_thorough(&mut self) {
        self.is_glancing = false;
    }

    /// Takes out what changes in the frame that was inspected last, if it leaves.
    pub fn rewrite(&mut self) -> Option<Rewrite> {
        self.outbox.rewrite.take()
    }

    /// The virtual time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The policy in force.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The engines, for whoever checks their books.
    pub fn engines(&self) -> &[Engine] {
        &self.engines
    }

    /// Sessions that began so far.
    pub fn sessions_begun(&self) -> u64 {
        self.sessions_begun
    }

    /// Sessions that live.
    pub fn sessions_live(&self) -> u64 {
        self.engines.iter().map(|engine| u64::from(engine.table().len())).sum()
    }

    /// How often something happened for this reason, over all engines.
    pub fn count(&self, reason: Reason) -> u64 {
        self.engines.iter().map(|engine| engine.counters().reason(reason).get()).sum()
    }

    /// Frames that only `log` in the policy kept from being dropped.
    pub fn suspicious(&self) -> u64 {
        self.engines.iter().flat_map(|engine| engine.counters().suspicious.each_ref().map(|c| c.get())).sum()
    }

    /// What is expected now.
    pub fn expectations(&self) -> &Expectations {
        &self.shared.expectations
    }

    /// What the protections of all engines remember.
    pub fn guards(&self) -> &Guards {
        &self.shared.guards
    }

    /// A figure of a helper, over all engines.
    pub fn count_of_helper(&self, helper: Helper, of: impl Fn(&HelperCounts) -> u64) -> u64 {
        self.engines.iter().map(|engine| of(&engine.counters().helpers[helper.index()])).sum()
    }

    /// How often this gave away that only one direction of TCP comes through here.
    pub fn one_sided(&self, evidence: Evidence) -> u64 {
        self.engines.iter().map(|engine| engine.counters().one_sided[evidence as usize].get()).sum()
    }

    /// How often this gave away that a session was hijacked.
    pub fn hijack(&self, sign: HijackSign) -> u64 {
        self.engines.iter().map(|engine| engine.counters().hijack[sign as usize].get()).sum()
    }

    /// Expectations of a helper whose connection did not come in time.
    pub fn expired(&self, helper: Helper) -> u64 {
        let counters: Vec<_> = self.engines.iter().map(Engine::counters).collect();
        let of_all = counters.iter().map(|counters| &counters.helpers[helper.index()]);
        HelperCounts::expired(of_all, || self.shared.expectations.open(self.now)[helper.index()])
    }

    /// Packets that each rule decided, under all policies so far, in no order.
    pub fn hits(&self) -> HashMap<Box<str>, u64> {
        let mut hits = self.hits.clone();
        self.add_hits(&mut hits);
        hits
    }

    /// Takes out what happened since the last call, in order.
    pub fn happened(&mut self) -> std::vec::Drain<'_, Happening> {
        self.happened.drain(..)
    }

    /// Lets time pass to the next moment, `until` at the latest, at which a timer may be due, and fires it. `false`
    /// when there is no such moment any more: then it is `until`.
    pub fn step(&mut self, until: Instant) -> bool {
        let next = self.engines.iter().filter_map(Engine::next_deadline).min();
        let Some(moment) = next.filter(|next| *next <= until) else {
            self.now = self.now.max(until);
            return false;
        };
        self.now = self.now.max(moment);
        self.reckon_pressure();
        let mut fired: Vec<Vec<Happening>> = Vec::new();
        for at in 0..self.engines.len() {
            loop {
                let is_more_due = self.engines[at].expire(self.now, 1, &mut self.outbox);
                // Fragments that nobody waits for any more go before anything else of the moment.
                let is_settled = |happening: &Happening| matches!(happening, Happening::Settled { .. });
                let (settled, happened): (Vec<_>, Vec<_>) =
                    self.empty_outbox().into_iter().partition(is_settled);
                self.happened.extend(settled);
                if !happened.is_empty() {
                    fired.push(happened);
                }
                if !is_more_due {
                    break;
                }
            }
        }
        fired.sort_by(|a, b| rank(a).cmp(&rank(b)));
        self.happened.extend(fired.into_iter().flatten());
        true
    }

    /// What a deploy of the policy of `ruleset` would mean to the sessions that live now.
    pub fn weigh(&mut self, ruleset: Ruleset) -> HashMap<SessionNumber, Prospect> {
        let candidate = Policy::compile(self.policy.generation + 1, ruleset, &mut self.names);
        let mut prospects = HashMap::new();
        for engine in &self.engines {
            let mut cursor = Some(0);
            while let Some(from) = cursor {
                cursor = engine.weigh(self.now, &candidate, from, u32::MAX, |session, prospect| {
                    prospects.extend(self.numbers.get(&session.id).map(|number| (*number, prospect)));
                });
            }
        }
        prospects
    }

    /// Tells the engines how full their tables are together.
    fn reckon_pressure(&mut self) {
        let pressure = Pressure::of(self.sessions_live(), self.sessions_max.into());
        if core::mem::replace(&mut self.pressure, pressure) != pressure {
            self.engines.iter_mut().for_each(|engine| engine.set_pressure(pressure));
        }
    }

    /// Says what each class of sessions may hold in the table of each engine.
    pub fn set_budgets(&mut self, budgets: Budgets) {
        self.engines.iter_mut().for_each(|engine| engine.set_budgets(budgets));
    }

    /// Puts the policy of `ruleset` in force on all engines at once.
    pub fn deploy(&mut self, ruleset: Ruleset) {
        let mut hits = core::mem::take(&mut self.hits);
        self.add_hits(&mut hits);
        self.hits = hits;
        let generation = self.policy.generation + 1;
        let policy = Policy::compile(generation, ruleset, &mut self.names).after(&self.policy);
        self.policy = Arc::new(policy);
        for engine in &mut self.engines {
            engine.set_policy(Running::new(Arc::clone(&self.policy)));
        }
    }

    /// Has the engine that owns it inspect a frame that arrives now on `port`: `bytes` of it, `wire_len` on the wire.
    /// `None` if it is held: what becomes of `frame`, its number, is told among what happens, now or later.
    pub fn inspect(&mut self, frame: u64, port: Port, bytes: &[u8], wire_len: usize) -> Option<Decision> {
        self.reckon_pressure();
        if self.is_glancing
            && let Some(verdict) = self.inspect_plain(port, bytes, wire_len)
        {
            return Some(self.decided(verdict));
        }
        let mut facts = packet::parse(bytes, wire_len);
        if facts.fragment.is_some() {
            return self.collect(frame, port, &facts, bytes);
        }
        // What a capture holds cut short cannot be summed.
        packet::verify(&mut facts, packet::DeviceChecksum::NotChecked, [bytes]);
        let engine = self.owner(&facts, bytes);
        let verdict = self.engines[engine].inspect(self.now, port, &facts, bytes, &mut self.outbox);
        Some(self.decided(verdict))
    }

    /// What the appliance does with plain packets.
    fn inspect_plain(&mut self, port: Port, bytes: &[u8], wire_len: usize) -> Option<Verdict> {
        let mut glance = Glance::default();
        self.engines[0].glance(port, bytes, wire_len, packet::DeviceChecksum::NotChecked, &mut glance);
        if !glance.is_plain() {
            return None;
        }
        let owner = glance.owner(u16::try_from(self.engines.len()).unwrap_or(u16::MAX));
        let engine = self.engine(usize::from(owner));
        if self.engines[engine].locate(&mut glance) {
            self.engines[engine].locate_elsewhere(&mut glance);
        }
        let (now, engine) = (self.now, &mut self.engines[engine]);
        if !engine.pass(now, port, &glance) {
            return Some(engine.inspect_plain(now, port, &glance, bytes, &mut self.outbox));
        }
        engine.count_passed(1);
        Some(Verdict { reason: Reason::Session, rule: None, session: Some(engine.session_of(&glance)) })
    }

    /// The number of the engine that owns the packet. Nothing is due any more, but its wheel has to know what time it is
    /// before a timer is filed.
    fn owner(&mut self, facts: &Facts, head: &[u8]) -> usize {
        let workers = u16::try_from(self.engines.len()).unwrap_or(u16::MAX);
        self.engine(usize::from(steer::owner(facts, head, workers)))
    }

    /// The engine of that number, which knows what time it is.
    fn engine(&mut self, owner: usize) -> usize {
        self.engines[owner].expire(self.now, 1, &mut self.outbox);
        owner
    }

    fn decided(&mut self, verdict: Verdict) -> Decision {
        self.begin_sessions();
        let decision = self.decision(verdict);
        let happened = self.empty_outbox();
        self.happened.extend(happened);
        decision
    }

    fn decision(&self, Verdict { reason, rule, session }: Verdict) -> Decision {
        Decision { reason, rule, session: session.and_then(|id| self.numbers.get(&id).copied()) }
    }

    /// Numbers the sessions that began, before anything speaks of them.
    fn begin_sessions(&mut self) {
        for event in &self.outbox.events {
            if let Event::SessionStart { session, .. } = event {
                self.sessions_begun += 1;
                self.numbers.insert(session.id, self.sessions_begun);
            }
        }
    }

    /// What an engine left in the outbox: frames that go, ends of sessions, then frames of its own.
    fn empty_outbox(&mut self) -> Vec<Happening> {
        debug_assert_eq!(self.outbox.events_lost + self.outbox.frames_lost, 0, "one call fits the outbox");
        let mut happened = Vec::new();
        self.let_go(&mut happened);
        for event in self.outbox.events.drain(..) {
            match event {
                Event::SessionEnd { session, reason, .. } => {
                    let number = self.numbers.get(&session.id).copied();
                    happened.extend(number.map(|session| Happening::Ended { session, reason }));
                }
                Event::Block { source, cause, span, .. } => {
                    happened.push(Happening::Blocked { source, cause, span });
                }
                Event::SessionStart { .. } | Event::Drop { .. } | Event::Suspect { .. } => {}
            }
        }
        happened.extend(self.outbox.frames.iter().map(|frame| Happening::Sent(Box::new(frame.clone()))));
        self.outbox.frames.clear();
        happened
    }

    fn add_hits(&self, hits: &mut HashMap<Box<str>, u64>) {
        for engine in &self.engines {
            for (rule, more) in self.policy.ruleset.rules.iter().zip(engine.running().hits.all()) {
                *hits.entry(rule.name.clone()).or_default() += more.hits.get();
            }
        }
    }
}

/// The order of what one timer did among what others did at the same moment: by the session that ended; where none
/// did, by the frames that were sent, which name their session in their headers.
fn rank(happened: &[Happening]) -> (SessionNumber, Vec<(Port, &[u8])>) {
    let ended = happened.iter().find_map(|happening| match happening {
        Happening::Ended { session, .. } => Some(*session),
        Happening::Sent(_) | Happening::Settled { .. } | Happening::Blocked { .. } => None,
    });
    let frames = happened.iter().filter_map(|happening| match happening {
        Happening::Ended { .. } | Happening::Settled { .. } | Happening::Blocked { .. } => None,
        Happening::Sent(frame) => Some((frame.port, frame.bytes())),
    });
    (ended.unwrap_or(SessionNumber::MAX), frames.collect())
}

/// Time since the first frame.
pub fn since_start(now: Instant) -> Duration {
    now.since(START)
}
