//! Where each metric has its value from.

use sekisho_engine::counters::{Count, Counters, ProtocolClass};
use sekisho_engine::helper::{Refusal, Stop};
use sekisho_engine::port::Port;
use sekisho_engine::protect::blocks::BlockCause;
use sekisho_engine::reason::{Kind as ReasonKind, Reason};
use sekisho_engine::session::State;
use sekisho_engine::{Evidence, HijackSign};
use sekisho_worker::shared::{LoopCounters, PortCount, WorkerShared};

use super::*;
use crate::run::asymmetric;
use crate::run::fill;
use crate::run::helpers::{Figures, figures};
use crate::run::policy::RuleSums;
use crate::run::ports::ControlledPort;
use crate::run::status;

/// Names of the directions.
const DIRECTIONS: [&str; 2] = ["receive", "transmit"];

/// Puts every metric on the page.
pub(super) fn all(page: &Page, control: &Control) -> Done {
    process(page, control)?;
    packets(page, control)?;
    rules(page, control)?;
    sessions(page, control)?;
    helpers(page, control)?;
    blocks(page, control)?;
    workers(page, control)?;
    devices(page, control)
}

fn process(page: &Page, control: &Control) -> Done {
    let about = &control.about;
    page.add(&BUILD_INFO, [([status::VERSION, about.dpdk.as_str()], 1.0)])?;
    page.one(&START_TIME, about.started.as_microsecond() as f64 / 1e6)?;
    let in_force = control.in_force.borrow();
    page.one(&POLICY_GENERATION, f64::from(in_force.policy.generation))?;
    page.one(&POLICY_AGE, status::age_seconds(in_force.deployed))?;
    page.one(&GRACE, control.grace_remaining().map_or(0.0, |left| left.as_secs_f64()))?;
    page.one(&POLICY_RULES, in_force.policy.ruleset.rules.len() as f64)?;
    let doors = [("socket", &control.doors.socket), ("metrics", &control.doors.metrics)];
    let connections = doors.into_iter().flat_map(|(door, counts)| {
        let outcomes = [("taken", &counts.taken), ("refused", &counts.refused), ("cut", &counts.cut)];
        outcomes.map(|(outcome, count)| ([door, outcome], count.get() as f64))
    });
    page.add(&CONNECTIONS, connections)?;
    page.one(&FORBIDDEN, control.doors.socket.forbidden.get() as f64)?;
    let (written, lost) = control.log.as_ref().map_or((0, 0), |log| log.lines());
    page.one(&LOG_LINES, written as f64)?;
    page.one(&LOG_LINES_LOST, lost as f64)
}

fn packets(page: &Page, control: &Control) -> Done {
    let sum = |of: fn(&LoopCounters) -> &[PortCount; 2], port: Port, what: fn(&PortCount) -> &Count| {
        let workers = control.fleet.workers.iter();
        workers.map(|worker| what(&of(&worker.counters)[port.index()]).get()).sum::<u64>() as f64
    };
    let by_port = |what: fn(&PortCount) -> &Count| {
        Port::ALL.into_iter().flat_map(move |port| {
            let received = sum(|counters| &counters.received, port, what);
            let sent = sum(|counters| &counters.sent, port, what);
            [([port.name(), DIRECTIONS[0]], received), ([port.name(), DIRECTIONS[1]], sent)]
        })
    };
    page.add(&PORT_PACKETS, by_port(|count| &count.packets))?;
    page.add(&PORT_BYTES, by_port(|count| &count.bytes))?;
    let by_reason = |kind: ReasonKind| {
        let reasons = Reason::ALL.iter().copied().filter(move |reason| reason.kind() == kind);
        reasons.map(|reason| {
            let workers = control.fleet.workers.iter();
            let count: u64 = workers.map(|worker| worker.engine.reason(reason).get()).sum();
            ([reason.name()], count as f64)
        })
    };
    page.add(&FORWARDED, by_reason(ReasonKind::Forward))?;
    page.add(&DROPPED, by_reason(ReasonKind::Drop))?;
    page.add(&OWN_FRAMES, by_reason(ReasonKind::Send))?;
    page.add(&SESSIONS_ENDED, by_reason(ReasonKind::End))?;
    let suspicious = Port::ALL.map(|port| {
        let workers = control.fleet.workers.iter();
        let count: u64 = workers.map(|worker| worker.engine.suspicious[port.index()].get()).sum();
        ([port.name()], count as f64)
    });
    page.add(&SUSPICIOUS, suspicious)?;
    let one_sided = Evidence::ALL.map(|kind| ([kind.name()], asymmetric::sum(control, kind) as f64));
    page.add(&ONE_SIDED, one_sided)?;
    let hijack = HijackSign::ALL.map(|sign| {
        let workers = control.fleet.workers.iter();
        let count: u64 = workers.map(|worker| worker.engine.hijack[sign as usize].get()).sum();
        ([sign.name()], count as f64)
    });
    page.add(&HIJACK, hijack)?;
    page.one(&ASYMMETRIC_PREFIXES, control.asymmetric_prefixes.get() as f64)
}

fn rules(page: &Page, control: &Control) -> Done {
    let in_force = control.in_force.borrow();
    let mut rules: Vec<_> = in_force.rules().collect();
    let others = rules.split_off(rules.len().min(RULES_MAX));
    let add = |metric: &Metric, value: fn(&RuleSums) -> u64| {
        let own = rules.iter().map(|(rule, sums)| ([*rule], value(sums) as f64));
        let rest: u64 = others.iter().map(|(_, sums)| value(sums)).sum();
        // No rule can be named so.
        let rest = (!others.is_empty()).then_some((["(others)"], rest as f64));
        page.add(metric, own.chain(rest))
    };
    add(&RULE_HITS, |sums| sums.hits)?;
    add(&RULE_CUT_IDLE, |sums| sums.cut_idle)?;
    add(&RULE_SPOKE_AGAIN, |sums| sums.spoke_again)
}

fn sessions(page: &Page, control: &Control) -> Done {
    let workers = &control.fleet.workers;
    let live = ProtocolClass::ALL.into_iter().flat_map(|class| {
        let states = State::ALL.into_iter().filter(move |state| is_possible(class, *state));
        states.map(move |state| {
            let sum: u64 = workers.iter().map(|worker| worker.engine.sessions(class, state).get()).sum();
            ([class.name(), state.name()], sum as f64)
        })
    });
    page.add(&SESSIONS, live)?;
    let (syn_proxy, now) = (&control.fleet.shared.syn_proxy, control.engine_now());
    page.one(&PROXY_HANDSHAKES, f64::from(syn_proxy.handshakes()))?;
    page.one(&FLOODED, syn_proxy.flooded(now) as f64)?;
    page.one(&TRUSTED, syn_proxy.trusted(now) as f64)?;
    let opened: u64 = workers.iter().map(|worker| worker.engine.opened.get()).sum();
    page.one(&SESSIONS_OPENED, opened as f64)?;
    let [half_open, one_way] = fill::unestablished(control);
    let established = control.fleet.sessions_live().saturating_sub(half_open + one_way);
    let classes = [("half-open", half_open), ("one-way", one_way), ("established", established)];
    page.add(&TABLE_SESSIONS, classes.map(|(class, count)| ([class], count as f64)))?;
    page.one(&TABLE_ALARM, control.alarm.get().percent() as f64 / 100.0)?;
    page.one(&TABLE_ALARMS, control.alarms_raised.get() as f64)
}

fn helpers(page: &Page, control: &Control) -> Done {
    let all: Vec<_> = figures(control).collect();
    let add = |metric: &Metric, value: &dyn Fn(&Figures<'_>) -> u64| {
        page.add(metric, all.iter().map(|of| ([of.helper.name()], value(of) as f64)))
    };
    add(&HELPER_SESSIONS, &|of| of.sum(|counts| counts.following.get()))?;
    add(&HELPER_FOLLOWED, &|of| of.sum(|counts| counts.followed.get()))?;
    add(&EXPECTATIONS, &|of| of.open)?;
    add(&EXPECTATIONS_OPENED, &|of| of.sum(|counts| counts.opened.get()))?;
    add(&EXPECTATIONS_USED, &|of| of.sum(|counts| counts.used.get()))?;
    add(&EXPECTATIONS_EXPIRED, &|of| of.expired())?;
    add(&EXPECTATIONS_WITHDRAWN, &|of| of.sum(|counts| counts.withdrawn.get()))?;
    let stopped = all.iter().flat_map(|of| {
        Stop::ALL.iter().map(move |cause| {
            ([of.helper.name(), cause.name()], of.sum(|counts| counts.stopped(*cause).get()) as f64)
        })
    });
    page.add(&HELPER_NOT_FOLLOWED, stopped)?;
    let refused = all.iter().flat_map(|of| {
        Refusal::ALL.iter().map(move |cause| {
            ([of.helper.name(), cause.name()], of.sum(|counts| counts.refused(*cause).get()) as f64)
        })
    });
    page.add(&EXPECTATIONS_REFUSED, refused)
}

fn blocks(page: &Page, control: &Control) -> Done {
    let blocks = &control.fleet.shared.guards.blocks;
    let mut now = [0_u64; BlockCause::ALL.len()];
    blocks.list(control.engine_now(), |view| now[view.cause as usize] += 1);
    let add = |metric: &Metric, value: &dyn Fn(BlockCause) -> u64| {
        page.add(metric, BlockCause::ALL.map(|cause| ([cause.name()], value(cause) as f64)))
    };
    add(&BLOCKED, &|cause| now[cause as usize])?;
    add(&BLOCKS, &|cause| blocks.begun(cause))?;
    page.one(&BLOCKS_EVICTED, blocks.evicted() as f64)?;
    let sum =
        |of: fn(&Counters) -> u64| control.fleet.workers.iter().map(|worker| of(&worker.engine)).sum::<u64>();
    page.one(&SCANS_FORGED, sum(|counters| counters.scans_forged.get()) as f64)?;
    page.one(&SCANS_MISSED, sum(|counters| counters.scans_missed.get()) as f64)
}

/// Whether sessions of that protocol can be in that state.
fn is_possible(class: ProtocolClass, state: State) -> bool {
    use State::{CookieEchoed, CookieWait, Established, ShutdownAckSent, ShutdownSent};
    let of_others = matches!(state, State::Unreplied | State::Replied);
    let of_sctp = matches!(state, CookieWait | CookieEchoed | ShutdownSent | ShutdownAckSent | State::Closed);
    match class {
        ProtocolClass::Tcp => !of_others && !of_sctp && state != State::Stream,
        ProtocolClass::Udp => of_others || state == State::Stream,
        ProtocolClass::Sctp => of_sctp || state == Established,
        _ => of_others,
    }
}

fn workers(page: &Page, control: &Control) -> Done {
    let workers: Vec<(String, &WorkerShared)> =
        control.fleet.workers.iter().enumerate().map(|(number, one)| (number.to_string(), &**one)).collect();
    let add = |metric: &Metric, value: &dyn Fn(&WorkerShared) -> f64| {
        page.add(metric, workers.iter().map(|(number, one)| ([number.as_str()], value(one))))
    };
    add(&TABLE_CAPACITY, &|one| f64::from(one.capacity))?;
    add(&TABLE_FILL, &|one| one.engine.sessions_live() as f64 / f64::from(one.capacity))?;
    add(&DATAGRAMS, &|one| one.engine.datagrams.get() as f64)?;
    add(&FRAGMENTS_HELD, &|one| one.engine.fragments_held.get() as f64)?;
    add(&FRAGMENT_BYTES, &|one| one.engine.fragment_bytes.get() as f64)?;
    add(&WORKER_SECONDS, &|one| one.counters.total_nanos.get() as f64 / 1e9)?;
    add(&WORKER_BUSY_SECONDS, &|one| one.counters.busy_nanos.get() as f64 / 1e9)?;
    add(&WORKER_TURNS, &|one| one.counters.turns.get() as f64)?;
    add(&WORKER_BUSY_TURNS, &|one| one.counters.busy_turns.get() as f64)?;
    add(&WORKER_BURSTS, &|one| one.counters.bursts.get() as f64)?;
    let received =
        |one: &WorkerShared| one.counters.received.iter().map(|count| count.packets.get()).sum::<u64>();
    add(&WORKER_PACKETS, &|one| received(one) as f64)?;
    add(&HANDED_OVER, &|one| one.counters.handed_over.get() as f64)?;
    add(&HANDED_IN, &|one| one.counters.handed_in.get() as f64)?;
    add(&EVENTS_LOST, &|one| one.counters.events_lost.get() as f64)?;
    add(&OWN_FRAMES_LOST, &|one| one.counters.own_frames_lost.get() as f64)
}

fn devices(page: &Page, control: &Control) -> Done {
    let ports = &control.ports.0;
    let links: Vec<_> =
        ports.iter().filter_map(|port| Some((port.which.name(), port.device.link().ok()?))).collect();
    page.add(&LINK_UP, links.iter().map(|(port, link)| ([*port], f64::from(u8::from(link.up)))))?;
    let speeds = links.iter().filter_map(|(port, link)| {
        let speed_mbps = f64::from(link.speed_mbps?);
        Some(([*port], speed_mbps * 1e6 / 8.0))
    });
    page.add(&LINK_SPEED, speeds)?;
    let held_down = |port: &ControlledPort| f64::from(u8::from(port.held_down.get()));
    page.add(&LINK_HELD_DOWN, ports.iter().map(|port| ([port.which.name()], held_down(port))))?;

    let stats: Vec<_> =
        ports.iter().filter_map(|port| Some((port.which.name(), port.device.stats().ok()?))).collect();
    let both = |values: fn(&sekisho_dpdk::Stats) -> [u64; 2]| {
        stats.iter().flat_map(move |(port, stats)| {
            let [received, sent] = values(stats);
            [([*port, DIRECTIONS[0]], received as f64), ([*port, DIRECTIONS[1]], sent as f64)]
        })
    };
    page.add(&DEVICE_PACKETS, both(|stats| [stats.rx_packets, stats.tx_packets]))?;
    page.add(&DEVICE_BYTES, both(|stats| [stats.rx_bytes, stats.tx_bytes]))?;
    page.add(&DEVICE_ERRORS, both(|stats| [stats.rx_errors, stats.tx_errors]))?;
    page.add(&DEVICE_MISSED, stats.iter().map(|(port, stats)| ([*port], stats.rx_missed as f64)))?;
    page.add(&DEVICE_NO_BUFFER, stats.iter().map(|(port, stats)| ([*port], stats.rx_no_buffer as f64)))?;

    let figures: Vec<_> = ports
        .iter()
        .flat_map(|port| {
            let own = port.device.xstats().unwrap_or_default();
            own.into_iter().take(FIGURES_MAX).map(|figure| (port.which.name(), figure))
        })
        .collect();
    page.add(
        &DEVICE_FIGURE,
        figures.iter().map(|(port, figure)| ([*port, figure.name.as_str()], figure.value as f64)),
    )
}
