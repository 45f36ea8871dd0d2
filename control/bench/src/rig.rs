//! A worker over queues in memory, turned by hand; and the same loop without a worker.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use sekisho_engine::flow::HashSecret;
use sekisho_engine::policy::{Policy, RuleNames, Ruleset, Zone, ZoneId};
use sekisho_engine::port::Port;
use sekisho_engine::time::Instant;
use sekisho_engine::{Config, Engine, Running};
use sekisho_traffic::{ConfigError, Phase, Shard};
use sekisho_worker::shared::{Handoff, Switch, WorkerShared};
use sekisho_worker::{PollMode, Worker, WorkerConfig};

use crate::io::{MadeIo, Probe, Stage};
use crate::rules::sets::{self, Style, Version};
use crate::statistics::Summary;

/// As in the worker's own loop.
const HOUSEKEEPING_TURNS: u32 = 256;
/// Events that wait for a reader. There is none here: the rest is counted as lost, as under an overload.
const EVENTS: usize = 4096;
/// Slices for which there is room without asking for memory: of four seconds.
const SLICES: usize = 16_384;
/// Whoever has not opened its sessions by then never will.
const OPENING_MAX: Duration = Duration::from_secs(120);

/// Why something could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such traffic.
    #[error("no such traffic: {0}")]
    Traffic(#[from] ConfigError),
    /// The inspection did not let the sessions begin.
    #[error("{opened} of {wanted} sessions could be opened")]
    NotOpened {
        /// So many began.
        opened: u64,
        /// So many were to begin.
        wanted: u32,
    },
    /// Packets of established sessions were dropped, so their rate means nothing.
    #[error("of {received} packets of established sessions only {forwarded} were forwarded")]
    Lost {
        /// Frames that came.
        received: u64,
        /// Frames that left.
        forwarded: u64,
    },
    /// The system does not say how large this process is.
    #[error("the size of this process cannot be read from /proc/self/status")]
    NoSize,
}

/// Spans are cut into slices of so many nanoseconds.
const SLICE: u64 = 250_000;
/// A slice in which a frame took more than so many times what it took in the median one is left out of rates: something
/// else had the core.
const DISTURBED: f64 = 2.0;

/// What was done in a span of time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Driven {
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) nanos: u64,
    /// The longest turn.
    pub(crate) gap_nanos: u64,
    /// Nanoseconds a frame, of all slices that were not disturbed.
    pub(crate) nanos_each: f64,
}

impl Driven {
    /// Million packets a second, of all slices that were not disturbed.
    pub(crate) fn mpps(&self) -> f64 {
        1e3 / self.nanos_each
    }
}

/// Nanoseconds a frame of all slices, each with its frames and nanoseconds, that were not disturbed.
fn undisturbed(slices: &[(u64, u64)]) -> f64 {
    let each = |(frames, nanos): &(u64, u64)| *nanos as f64 / *frames as f64;
    let busy = || slices.iter().filter(|(frames, _)| *frames > 0);
    let Some(middle) = Summary::of(busy().map(each)) else { return f64::INFINITY };
    let kept = busy().filter(|slice| each(slice) <= middle.median * DISTURBED);
    let (frames, nanos) = kept.fold((0, 0), |sum, slice| (sum.0 + slice.0, sum.1 + slice.1));
    nanos as f64 / frames as f64
}

/// A loop that can be turned.
pub(crate) trait Loop {
    /// One turn, of which the time is told in nanoseconds; the frames found.
    fn turn(&mut self, nanos: u64) -> usize;

    fn probe(&self) -> &Probe;

    /// Turns until `enough`, asked after each turn with the time since the first.
    fn drive(&mut self, mut enough: impl FnMut(&Self, u64) -> bool) -> Driven {
        let (received, sent) = (self.probe().received.get(), self.probe().sent.get());
        let begin = self.probe().timer.nanos();
        let (mut now, mut gap_nanos) = (begin, 0);
        let mut slices: Vec<(u64, u64)> = Vec::with_capacity(SLICES);
        let mut slice = (received, begin);
        loop {
            self.turn(now);
            let after = self.probe().timer.nanos();
            gap_nanos = gap_nanos.max(after - now);
            now = after;
            let is_enough = enough(self, now - begin);
            if is_enough || now - slice.1 >= SLICE {
                let frames = self.probe().received.get();
                slices.push((frames - slice.0, now - slice.1));
                slice = (frames, now);
            }
            if is_enough {
                let probe = self.probe();
                return Driven {
                    received: probe.received.get() - received,
                    sent: probe.sent.get() - sent,
                    nanos: now - begin,
                    gap_nanos,
                    nanos_each: undisturbed(&slices),
                };
            }
        }
    }

    /// Turns for so long.
    fn drive_for(&mut self, span: Duration) -> Driven {
        let nanos = nanos(span);
        self.drive(|_, passed| passed >= nanos)
    }

    /// Turns until all sessions are open.
    fn open(&mut self) -> Result<(), Error> {
        let longest = nanos(OPENING_MAX);
        self.drive(|this, passed| this.is_open() || passed > longest);
        if self.is_open() {
            return Ok(());
        }
        let shard = self.probe().shard.borrow();
        Err(Error::NotOpened { opened: shard.counts().opened, wanted: shard.sessions() })
    }

    fn is_open(&self) -> bool {
        self.probe().shard.borrow().phase() == Phase::Load
    }
}

/// Nanoseconds, as the clock counts them.
pub(crate) fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// The loop without inspection.
pub(crate) struct Bare {
    io: MadeIo,
    probe: Rc<Probe>,
}

impl Bare {
    pub(crate) fn new(traffic: &sekisho_traffic::Config) -> Result<Self, Error> {
        let probe = Probe::new(Shard::new(traffic, 0)?);
        Ok(Self { io: MadeIo::new(Rc::clone(&probe)), probe })
    }
}

impl Loop for Bare {
    fn turn(&mut self, _nanos: u64) -> usize {
        self.io.pass()
    }

    fn probe(&self) -> &Probe {
        &self.probe
    }
}

/// A worker.
pub(crate) struct Rig {
    worker: Worker<MadeIo>,
    probe: Rc<Probe>,
    pub(crate) shared: Arc<WorkerShared>,
    since_housekeeping: u32,
    /// Bytes of its session table.
    pub(crate) table_bytes: usize,
    /// What its time is ahead of the clock's, and how many times slower it passes.
    ahead_nanos: i64,
    slowness: u64,
}

impl Rig {
    pub(crate) fn new(
        traffic: &sekisho_traffic::Config,
        policy: &Arc<Policy>,
        capacity: u32,
    ) -> Result<Self, Error> {
        let probe = Probe::new(Shard::new(traffic, 0)?);
        let config = Config {
            worker: 0,
            capacity,
            secret: HashSecret([
                0x243f_6a88_85a3_08d3,
                0x1319_8a2e_0370_7344,
                0xa409_3822_299f_31d0,
                0x082e_fa98_ec4e_6c89,
            ]),
            report_all_sessions: false,
        };
        let engine = Engine::new(config, Running::new(Arc::clone(policy)), Instant::ZERO);
        let table_bytes = engine.table().memory_bytes();
        let shared = Arc::new(WorkerShared::new(engine.counters(), capacity, EVENTS));
        let worker = Worker::new(
            WorkerConfig { worker: 0, poll: PollMode::Busy },
            MadeIo::new(Rc::clone(&probe)),
            engine,
            Arc::new(Switch::default()),
            Arc::clone(&shared),
            Handoff::new(1, 1),
        );
        Ok(Self { worker, probe, shared, since_housekeeping: 0, table_bytes, ahead_nanos: 0, slowness: 1 })
    }

    /// The worker's time when the clock shows `nanos`.
    fn worker_nanos(&self, nanos: u64) -> u64 {
        (nanos / self.slowness).saturating_add_signed(self.ahead_nanos)
    }

    /// From now on the worker's time passes so many times slower than the clock's.
    pub(crate) fn slow_down(&mut self, slowness: u64) {
        let now = self.probe.timer.nanos();
        let worker = self.worker_nanos(now);
        self.slowness = slowness.max(1);
        self.ahead_nanos = worker.cast_signed() - (now / self.slowness).cast_signed();
    }

    /// The worker's time jumps to so long after its epoch, unless that has passed.
    pub(crate) fn jump_to(&mut self, moment: Duration) {
        let ahead = nanos(moment).saturating_sub(self.worker_nanos(self.probe.timer.nanos()));
        self.ahead_nanos += ahead.cast_signed();
    }

    /// Cycles of each stage a packet, while it turns for so long.
    pub(crate) fn profile(&mut self, span: Duration) -> [f64; 3] {
        self.probe.stages.iter().for_each(|ticks| ticks.set(0));
        self.probe.is_profiling.set(true);
        let driven = self.drive_for(span);
        self.probe.is_profiling.set(false);
        [Stage::Glance, Stage::Inspect, Stage::Leave]
            .map(|stage| self.probe.stages[stage as usize].get() as f64 / driven.received.max(1) as f64)
    }
}

impl Loop for Rig {
    fn turn(&mut self, nanos: u64) -> usize {
        let now = Instant::from_nanos(self.worker_nanos(nanos));
        let found = self.worker.turn(now);
        self.since_housekeeping += 1;
        if found == 0 || self.since_housekeeping >= HOUSEKEEPING_TURNS {
            self.since_housekeeping = 0;
            self.worker.keep_house(now);
        }
        found
    }

    fn probe(&self) -> &Probe {
        &self.probe
    }
}

/// A firewall of so many rules, each of which allows what the LAN side opens and the last of which matches all of it.
pub(crate) fn firewall(rules: u32, version: Version) -> Ruleset {
    let (mut ruleset, _) = sets::classbench(Style::Fw, version, rules as usize, 0, 1);
    ruleset.zones = vec![Zone::of_port("lan", Port::Lan), Zone::of_port("wan", Port::Wan)];
    for rule in &mut ruleset.rules {
        rule.from = Some(vec![ZoneId(0)]);
    }
    ruleset
}

/// The same, compiled.
pub(crate) fn policy(ruleset: Ruleset) -> Arc<Policy> {
    Arc::new(Policy::compile(1, ruleset, &mut RuleNames::default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disturbed_slices_are_left_out() {
        assert!(undisturbed(&[]).is_infinite());
        assert_eq!(undisturbed(&[(10, 100), (20, 300), (0, 500)]), 400.0 / 30.0);
        assert_eq!(undisturbed(&[(10, 100), (10, 120), (10, 110), (10, 5_000)]), 11.0);
    }
}
