//! The control thread: it takes what workers report, answers requests, and switches policies.
//!
//! Everything here happens on one thread, in tasks that take turns; nothing is locked, and no borrow lives across an
//! `await`. Whatever takes long (compiling a policy) runs on a thread of its own meanwhile.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use sekisho_api as api;
use sekisho_engine::Event;
use sekisho_engine::helper::Helper;

use crate::output::counted;
use crate::run::asymmetric;
use crate::run::blocks;
use crate::run::bounds::DoorCounts;
use crate::run::convert;
use crate::run::drops::DropRing;
use crate::run::dry_run;
use crate::run::explain;
use crate::run::fill::Alarm;
use crate::run::fleet::Fleet;
use crate::run::flow_log::FlowLog;
use crate::run::helpers;
use crate::run::names::Names;
use crate::run::policy::{self, InForce, Keys, Ready, Source};
use crate::run::ports::Ports;
use crate::run::record::Record;
use crate::run::sessions;
use crate::run::status::{self, About};

/// Events that are taken from a worker before others get their turn.
const EVENTS_AT_A_TIME: usize = 1024;

/// The appliance, as the control thread holds it.
pub(crate) struct Control {
    pub(crate) fleet: Fleet,
    pub(crate) ports: Ports,
    pub(crate) about: About,
    pub(crate) in_force: RefCell<InForce>,
    pub(crate) names: RefCell<Names>,
    pub(crate) log: Option<FlowLog>,
    pub(crate) drops: RefCell<DropRing>,
    /// Prefixes with much one-sided traffic, when they were counted last.
    pub(crate) asymmetric_prefixes: Cell<usize>,
    /// Of the session tables, when control looked last.
    pub(crate) alarm: Cell<Alarm>,
    /// How often it rose.
    pub(crate) alarms_raised: Cell<u64>,
    pub(crate) doors: Doors,
    /// Expectations of each helper that expired, as they were told last: they follow from counts of several threads.
    pub(crate) expectations_expired: [Cell<u64>; Helper::ALL.len()],
    pub(crate) keys: Keys,
    /// The last that workers were offered: none is offered twice, though a worker did not take it.
    generation: Cell<u32>,
    /// One deploy at a time.
    pub(crate) deploying: tokio::sync::Mutex<()>,
    clock: Clock,
    /// Where feed files are looked for unless a request says so.
    policy_directory: PathBuf,
}

/// What came over the socket, and to the address of the metrics.
#[derive(Debug, Default)]
pub(crate) struct Doors {
    pub(crate) socket: DoorCounts,
    pub(crate) metrics: DoorCounts,
}

/// What control is made of.
pub(crate) struct Parts {
    pub(crate) fleet: Fleet,
    pub(crate) ports: Ports,
    pub(crate) about: About,
    pub(crate) in_force: InForce,
    pub(crate) log: Option<FlowLog>,
    pub(crate) keys: Keys,
    pub(crate) started: Instant,
    pub(crate) policy_directory: PathBuf,
}

impl Control {
    pub(crate) fn new(parts: Parts) -> Rc<Self> {
        let Parts { fleet, ports, about, in_force, log, keys, started, policy_directory } = parts;
        let mut names = Names::default();
        names.learn_rules(&in_force.policy);
        names.learn_zones(&in_force.policy);
        let generation = Cell::new(in_force.policy.generation);
        Rc::new(Self {
            fleet,
            ports,
            about,
            in_force: RefCell::new(in_force),
            names: RefCell::new(names),
            log,
            drops: RefCell::new(DropRing::new(api::DROPS_MAX as usize)),
            asymmetric_prefixes: Cell::new(0),
            alarm: Cell::default(),
            alarms_raised: Cell::new(0),
            doors: Doors::default(),
            expectations_expired: Default::default(),
            keys,
            generation,
            deploying: tokio::sync::Mutex::new(()),
            clock: Clock { started },
            policy_directory,
        })
    }

    /// Answers a request.
    pub(crate) async fn answer(self: &Rc<Self>, request: api::Request) -> Result<Answer, api::Fault> {
        match request {
            api::Request::Status => Ok(Answer::Status(Box::new(status::status(self)))),
            api::Request::Deploy(deploy) => self.deploy(self.source(deploy)?).await.map(Answer::Deployed),
            api::Request::DryRun(deploy) => {
                let weighed = dry_run::dry_run(self, self.source(deploy)?).await;
                weighed.map(|weighed| Answer::DryRun(Box::new(weighed)))
            }
            api::Request::Explain(asked) => {
                let explained = explain::explain(self, asked).await;
                explained.map(|explained| Answer::Explained(Box::new(explained)))
            }
            api::Request::Asymmetric => asymmetric::list(self).await.map(Answer::Asymmetric),
            api::Request::ListSessions(list) => sessions::list(self, list).await.map(Answer::Sessions),
            api::Request::CountSessions(filter) => sessions::count(self, filter).await.map(Answer::Count),
            api::Request::EndSessions(filter) => sessions::end(self, filter).await.map(Answer::Count),
            api::Request::ListExpectations(filter) => {
                helpers::expectations(self, &filter).map(Answer::Expectations)
            }
            api::Request::ListBlocks(filter) => blocks::list(self, &filter).map(Answer::Blocks),
            api::Request::Block(block) => blocks::block(self, &block).map(Answer::BlockCount),
            api::Request::ReleaseBlocks(filter) => blocks::release(self, &filter).map(Answer::BlockCount),
            api::Request::Counters => Ok(Answer::Counters(Box::new(status::counters(self)))),
            api::Request::ListDrops(list) => {
                self.take_events();
                self.drops.borrow().list(&list).map(Answer::Drops)
            }
        }
    }

    /// The policy that a request brings.
    fn source(&self, deploy: api::Deploy) -> Result<Source, api::Fault> {
        let directory = deploy.directory.map_or_else(|| self.policy_directory.clone(), PathBuf::from);
        if directory.is_relative() {
            let message = "the directory is relative: relative to what? Name it from the root on";
            return Err(api::Fault::new(api::FaultKind::BadRequest, message));
        }
        Ok(Source::Text { name: deploy.name, text: deploy.text, directory })
    }

    /// Runs the policy from `source` on all workers, or changes nothing.
    pub(crate) async fn deploy(&self, source: Source) -> Result<api::Deployed, api::Fault> {
        let _one_at_a_time = self.deploying.lock().await;
        let generation = self.generation.get() + 1;
        let keys = Keys::clone(&self.keys);
        let before = Arc::clone(&self.in_force.borrow().policy);
        let preparing =
            tokio::task::spawn_blocking(move || policy::prepare(&source, generation, &keys, Some(&before)));
        let prepared = preparing.await.map_err(|error| not_compiled(&error))?;
        let ready = prepared.map_err(|found| wrong_policy(&found))?;
        self.generation.set(generation);
        self.names.borrow_mut().learn_rules(&ready.policy);
        let failed = |error: &dyn std::error::Error| {
            tracing::error!("deploy of {}: {error}", ready.name);
            api::Fault::new(api::FaultKind::Failed, error.to_string())
        };
        let switched = self.fleet.switch_to(&ready.policy).await.map_err(|error| failed(&error))?;
        // What happened before the switch was under the policy before.
        self.take_events();
        self.in_force.borrow_mut().replace(&ready, switched.hits, Timestamp::now());
        self.fleet.free_retired();
        self.names.borrow_mut().learn_zones(&ready.policy);
        match switched.late {
            Some(late) => Err(failed(&late)),
            None => Ok(self.deployed(&ready)),
        }
    }

    fn deployed(&self, ready: &Ready) -> api::Deployed {
        let Ready { policy, name, sha256, warnings, .. } = ready;
        let rules = policy.ruleset.rules.len();
        let counted = counted(rules, "rule");
        tracing::info!("policy {name} is in force: generation {}, {counted}", policy.generation);
        api::Deployed {
            generation: policy.generation,
            sha256: sha256.clone(),
            rules: rules as u64,
            warnings: convert::diagnostics(warnings),
        }
    }

    /// Takes what workers have reported; whether there may be more.
    pub(crate) fn take_events(&self) -> bool {
        let offset = self.clock.offset();
        let (in_force, names) = (self.in_force.borrow(), self.names.borrow());
        let mut drops = self.drops.borrow_mut();
        self.fleet.take_events(EVENTS_AT_A_TIME, |event| {
            let (time, is_logged) = match event {
                Event::SessionStart { time, log, .. } | Event::SessionEnd { time, log, .. } => (time, log),
                Event::Drop { packet, log } => (packet.time, log),
                Event::Suspect { packet } => (packet.time, true),
                Event::Block { time, source, cause, span } => {
                    let (why, span) = (cause.name(), Duration::from_nanos(span.as_nanos()));
                    tracing::warn!("{source} is blocked for {span:?}: {why}");
                    (time, true)
                }
            };
            let is_drop = matches!(event, Event::Drop { .. });
            let log = self.log.as_ref().filter(|_| is_logged);
            if !is_drop && log.is_none() {
                return;
            }
            let record = Record::of(&event, Clock::at(offset, time), &in_force.policy, &names);
            if let Some(log) = log {
                log.push(record.clone());
            }
            if is_drop {
                drops.push(record);
            }
        })
    }

    /// Logs what control itself did.
    pub(crate) fn report(&self, event: &Event) {
        if let (Some(log), Event::Block { time, .. }) = (&self.log, event) {
            let (in_force, names) = (self.in_force.borrow(), self.names.borrow());
            let time = Clock::at(self.clock.offset(), *time);
            log.push(Record::of(event, time, &in_force.policy, &names));
        }
    }

    /// The moment, by the clock of the workers.
    pub(crate) fn engine_now(&self) -> sekisho_engine::time::Instant {
        let nanos = u64::try_from(self.uptime().as_nanos()).unwrap_or(u64::MAX);
        sekisho_engine::time::Instant::from_nanos(nanos)
    }

    /// The time of day so long ago.
    pub(crate) fn ago(&self, span: sekisho_engine::time::Duration) -> Timestamp {
        let nanos = i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
        Timestamp::now().checked_sub(SignedDuration::from_nanos(nanos)).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// For how long sessions are still picked up in midstream because the appliance started lately.
    pub(crate) fn grace_remaining(&self) -> Option<Duration> {
        let grace_ms = self.in_force.borrow().policy.ruleset.inspection.grace_ms;
        Duration::from_millis(grace_ms.into()).checked_sub(self.uptime()).filter(|left| !left.is_zero())
    }

    /// Time since the appliance started.
    pub(crate) fn uptime(&self) -> Duration {
        self.clock.started.elapsed()
    }
}

/// What a request is answered with.
#[derive(Debug, serde::Serialize)]
#[serde(untagged)]
pub(crate) enum Answer {
    Status(Box<api::Status>),
    Deployed(api::Deployed),
    DryRun(Box<api::DryRun>),
    Explained(Box<api::LiveExplanation>),
    Asymmetric(api::Asymmetric),
    Sessions(api::SessionPage),
    Count(api::SessionCount),
    Expectations(api::Expectations),
    Blocks(api::Blocks),
    BlockCount(api::BlockCount),
    Counters(Box<api::Counters>),
    Drops(api::Drops),
}

/// The thread that compiles a policy did not come to its end.
pub(crate) fn not_compiled(error: &tokio::task::JoinError) -> api::Fault {
    let message = format!("the policy could not be compiled: {error}; the policy before goes on");
    api::Fault::new(api::FaultKind::Failed, message)
}

pub(crate) fn wrong_policy(found: &sekisho_policy::Diagnostics) -> api::Fault {
    let message = format!("the policy is wrong in {} places: the one before goes on", found.len());
    api::Fault {
        diagnostics: convert::diagnostics(found),
        diagnostics_omitted: found.omitted() as u64,
        ..api::Fault::new(api::FaultKind::PolicyWrong, message)
    }
}

/// From the workers' clock, whose zero is the start, to the time of day.
#[derive(Debug)]
struct Clock {
    started: Instant,
}

impl Clock {
    /// The time of day of the start, by the present time of day: what is reported now has the time that people have.
    fn offset(&self) -> Timestamp {
        let since = SignedDuration::try_from(self.started.elapsed()).unwrap_or(SignedDuration::ZERO);
        Timestamp::now().checked_sub(since).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    fn at(offset: Timestamp, time: sekisho_engine::time::Instant) -> Timestamp {
        let nanos = i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        offset.checked_add(SignedDuration::from_nanos(nanos)).unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
#[path = "control/tests.rs"]
mod tests;
