//! What `sekisho status` and `sekisho counters` ask for.

use std::net::SocketAddr;
use std::path::PathBuf;

use jiff::Timestamp;
use sekisho_api as api;
use sekisho_engine::counters::ProtocolClass;
use sekisho_engine::policy::{Policy, RuleId};
use sekisho_engine::port::Port;
use sekisho_engine::reason::Reason;
use sekisho_engine::session::{State, TimeoutKey};
use sekisho_worker::shared::{LoopCounters, PortCount, WorkerShared};

use crate::run::asymmetric;
use crate::run::control::Control;
use crate::run::convert;
use crate::run::fill;
use crate::run::helpers;
use crate::run::policy::RuleSums;

/// What does not change while the appliance runs.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) started: Timestamp,
    pub(crate) dpdk: String,
    pub(crate) hugepages: bool,
    pub(crate) appliance_file: String,
    /// Where metrics are served, with the real port.
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) log_file: Option<PathBuf>,
    /// The core of each worker.
    pub(crate) cores: Vec<usize>,
}

/// The version of this program.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(crate) fn status(control: &Control) -> api::Status {
    let about = &control.about;
    let in_force = control.in_force.borrow();
    api::Status {
        version: VERSION.to_owned(),
        dpdk: about.dpdk.clone(),
        pid: std::process::id(),
        started: time_text(about.started),
        uptime_seconds: control.uptime().as_secs_f64(),
        appliance_file: about.appliance_file.clone(),
        grace_remaining_seconds: control.grace_remaining().map(|left| left.as_secs_f64()),
        metrics: about.metrics.map(|address| address.to_string()),
        hugepages: about.hugepages,
        policy: api::PolicyStatus {
            generation: in_force.policy.generation,
            name: in_force.name.clone(),
            sha256: in_force.sha256.clone(),
            rules: in_force.policy.ruleset.rules.len() as u64,
            deployed: time_text(in_force.deployed),
            age_seconds: age_seconds(in_force.deployed),
        },
        sessions: control.fleet.sessions_live(),
        sessions_capacity: control.fleet.capacity(),
        attacks: attacks(control),
        ports: control.ports.0.iter().map(|port| port.status()).collect(),
        workers: (0..)
            .zip(&about.cores)
            .filter_map(|(number, core)| worker(control, number, *core))
            .collect(),
        log: log(control),
    }
}

fn attacks(control: &Control) -> api::AttackStatus {
    let (fleet, now) = (&control.fleet, control.engine_now());
    let [sessions_half_open, sessions_one_way] = fill::unestablished(control);
    let (syn_proxy, blocks) = (&fleet.shared.syn_proxy, &fleet.shared.guards.blocks);
    let signs = |worker: &WorkerShared| worker.engine.hijack.iter().map(|sign| sign.get()).sum::<u64>();
    api::AttackStatus {
        table_alarm_percent: control.alarm.get().percent(),
        sessions_half_open,
        sessions_one_way,
        flooded_destinations: syn_proxy.flooded(now) as u64,
        syn_proxy_handshakes: syn_proxy.handshakes().into(),
        verified_sources: syn_proxy.trusted(now) as u64,
        blocked_sources: blocks.len(now),
        hijack_signs: fleet.workers.iter().map(|worker| signs(worker)).sum(),
    }
}

fn worker(control: &Control, number: u16, core: usize) -> Option<api::WorkerStatus> {
    let shared = control.fleet.workers.get(usize::from(number))?;
    let total = shared.counters.total_nanos.get();
    Some(api::WorkerStatus {
        worker: number,
        core: u16::try_from(core).unwrap_or(u16::MAX),
        sessions: shared.engine.sessions_live(),
        sessions_capacity: shared.capacity.into(),
        busy_share: if total == 0 { 0.0 } else { shared.counters.busy_nanos.get() as f64 / total as f64 },
        policy_generation: shared.running.load(std::sync::atomic::Ordering::Relaxed),
    })
}

fn log(control: &Control) -> Option<api::LogStatus> {
    let (lines_written, lines_lost) = control.log.as_ref()?.lines();
    let file = control.about.log_file.as_ref()?.display().to_string();
    Some(api::LogStatus { file, lines_written, lines_lost })
}

pub(crate) fn counters(control: &Control) -> api::Counters {
    let fleet = &control.fleet;
    let (log_lines_written, log_lines_lost) = control.log.as_ref().map_or((0, 0), |log| log.lines());
    let in_force = control.in_force.borrow();
    let rules = (0..).map(RuleId).zip(in_force.rules()).map(|(id, (rule, sums))| api::RuleCount {
        rule: rule.to_owned(),
        hits: sums.hits,
        cut_idle: sums.cut_idle,
        spoke_again: sums.spoke_again,
        timeouts_too_short: too_short(&in_force.policy, id, sums),
    });
    api::Counters {
        ports: Port::ALL.iter().map(|port| of_port(control, *port)).collect(),
        reasons: Reason::ALL.iter().map(|reason| of_reason(control, *reason)).collect(),
        rules: rules.collect(),
        one_sided: asymmetric::evidence(control),
        sessions: sessions(control).collect(),
        sessions_opened: fleet.workers.iter().map(|worker| worker.engine.opened.get()).sum(),
        helpers: helpers::counters(control).collect(),
        workers: (0..).zip(&fleet.workers).map(|(number, shared)| of_worker(number, shared)).collect(),
        log_lines_written,
        log_lines_lost,
    }
}

/// The timeouts of a rule under which sessions had been cut that spoke again.
fn too_short(policy: &Policy, rule: RuleId, sums: RuleSums) -> Vec<api::TimeoutOfRule> {
    let timeouts = policy.timeouts(policy.timeouts_of(Some(rule)));
    let told = TimeoutKey::ALL.into_iter().filter(|key| sums.too_short & 1 << *key as u32 != 0);
    told.map(|key| api::TimeoutOfRule {
        timeout: key.name().to_owned(),
        seconds: f64::from(key.millis(timeouts)) / 1000.0,
    })
    .collect()
}

fn of_port(control: &Control, port: Port) -> api::CountersOfPort {
    let sum = |of: fn(&LoopCounters) -> &[PortCount; 2]| {
        control.fleet.workers.iter().fold(api::Packets::default(), |sum, worker| {
            let count = &of(&worker.counters)[port.index()];
            let (packets, bytes) = (sum.packets + count.packets.get(), sum.bytes + count.bytes.get());
            api::Packets { packets, bytes }
        })
    };
    let controlled = control.ports.0.iter().find(|one| one.which == port);
    let device = controlled.and_then(|one| one.device.stats().ok());
    api::CountersOfPort {
        port: convert::port_name(port),
        received: sum(|counters| &counters.received),
        sent: sum(|counters| &counters.sent),
        suspicious: control.fleet.workers.iter().map(|one| one.engine.suspicious[port.index()].get()).sum(),
        device_missed: device.map(|stats| stats.rx_missed),
        device_receive_errors: device.map(|stats| stats.rx_errors),
        device_transmit_errors: device.map(|stats| stats.tx_errors),
        device_no_buffer: device.map(|stats| stats.rx_no_buffer),
    }
}

fn of_reason(control: &Control, reason: Reason) -> api::ReasonCount {
    api::ReasonCount {
        reason: reason.name().to_owned(),
        kind: reason.kind().name().to_owned(),
        count: control.fleet.workers.iter().map(|worker| worker.engine.reason(reason).get()).sum(),
    }
}

fn sessions(control: &Control) -> impl Iterator<Item = api::SessionsByState> + '_ {
    let pairs = ProtocolClass::ALL.into_iter().flat_map(|class| State::ALL.map(|state| (class, state)));
    pairs.filter_map(|(class, state)| {
        let live = |worker: &std::sync::Arc<WorkerShared>| worker.engine.sessions(class, state).get();
        let sessions: u64 = control.fleet.workers.iter().map(live).sum();
        let (protocol, state) = (class.name().to_owned(), convert::state_name(state));
        (sessions > 0).then_some(api::SessionsByState { protocol, state, sessions })
    })
}

fn of_worker(worker: u16, shared: &WorkerShared) -> api::CountersOfWorker {
    let counters = &shared.counters;
    api::CountersOfWorker {
        worker,
        sessions: shared.engine.sessions_live(),
        turns: counters.turns.get(),
        busy_turns: counters.busy_turns.get(),
        bursts: counters.bursts.get(),
        received: counters.received.iter().map(|count| count.packets.get()).sum(),
        busy_seconds: counters.busy_nanos.get() as f64 / 1e9,
        total_seconds: counters.total_nanos.get() as f64 / 1e9,
        handed_over: counters.handed_over.get(),
        handed_in: counters.handed_in.get(),
        events_lost: counters.events_lost.get(),
        own_frames_lost: counters.own_frames_lost.get(),
    }
}

/// A moment as answers write it: RFC 3339 in UTC, to the millisecond.
pub(crate) fn time_text(time: Timestamp) -> String {
    format!("{time:.3}")
}

/// Seconds since a moment of the day.
pub(crate) fn age_seconds(since: Timestamp) -> f64 {
    Timestamp::now().duration_since(since).as_secs_f64().max(0.0)
}
