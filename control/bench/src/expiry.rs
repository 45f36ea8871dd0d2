//! All sessions die within one second, while others are under load.

use std::time::Duration;

use sekisho_engine::reason::Reason;
use sekisho_traffic::{Config, Family, FrameSize, Protocol, Shard};

use crate::plan::{Plan, Tell};
use crate::results::Variant;
use crate::rig::{Driven, Error, Loop, Rig, firewall, nanos, policy};
use crate::traffic::{Traffic, version};
use sekisho_worker::BURST_MAX;

/// Sessions that go on, and carry the load.
const BUSY: u32 = 1 << 16;
/// The worker's time when the last of them have about that long to live: an answered UDP session that nobody uses lives for
/// two minutes by default, and the busy ones are to be seen once more before.
const EVE: Duration = Duration::from_millis(119_800);
const EVENING: Duration = Duration::from_millis(100);
/// While sessions are opened the worker's time passes so many times slower, so that all of them begin, and so end, within
/// a second.
const SLOWNESS: u64 = 128;
/// No round takes longer, whatever is left to expire.
const ROUND_MAX: Duration = Duration::from_secs(8);

/// Sessions that die at once, and the load beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// How many die.
    pub sessions: u32,
    /// The load in percent of the highest rate, 1 to 100.
    pub load: u32,
    /// The version of IP.
    pub family: Family,
}

impl Expiry {
    /// Its settings, in results.
    pub fn variant(&self) -> Variant {
        Variant::default()
            .with("io", "memory")
            .with("sessions", self.sessions)
            .with("load", f64::from(self.load) / 100.0)
            .with("family", version(self.family).number())
    }

    fn config(&self, sessions: u32) -> Config {
        let traffic =
            Traffic { sessions, protocol: Protocol::Udp, family: self.family, size: FrameSize::Smallest };
        traffic.config()
    }
}

/// Measures the longest time from one burst to the next while they die, and for as long when none does. Each round has a table of its own.
pub fn run(plan: &Plan, expiry: &Expiry, tell: &mut Tell<'_>) -> Result<(), Error> {
    let variant = expiry.variant();
    let policy = policy(firewall(10, version(expiry.family)));
    for round in 1..=plan.rounds {
        let mut rig = Rig::new(&expiry.config(expiry.sessions), &policy, expiry.sessions + BUSY)?;
        rig.slow_down(SLOWNESS);
        rig.open()?;
        rig.slow_down(1);
        // The same numbers again: these are sessions that live already, and go on while the others are silent.
        *rig.probe().shard.borrow_mut() = Shard::new(&expiry.config(BUSY), 0)?;
        rig.open()?;
        let highest = rig.drive_for(plan.span / 2).mpps();
        let load = (expiry.load < 100).then(|| highest * f64::from(expiry.load) / 100.0);
        rig.jump_to(EVE);
        at_load(&mut rig, load, EVENING, |_| false);
        let ended = |rig: &Rig| rig.shared.engine.reason(Reason::EndIdle).get();
        let (due, before) = (u64::from(expiry.sessions.saturating_sub(BUSY)), ended(&rig));
        let dying = at_load(&mut rig, load, ROUND_MAX, |rig| ended(rig) - before >= due);
        // For as long: what the machine does to a loop now and then is in both.
        let as_long = Duration::from_nanos(dying.nanos).max(plan.span);
        let calm = at_load(&mut rig, load, as_long, |_| false);
        let mut tell = |subject: &str, figure: &str, value: f64| {
            tell(plan.sample("expiry", &variant, subject, round, figure, value));
        };
        tell("sekisho", "gap_us", dying.gap_nanos as f64 / 1e3);
        tell("none", "gap_us", calm.gap_nanos as f64 / 1e3);
        tell("sekisho", "mpps", rate(&dying));
        tell("none", "mpps", rate(&calm));
        let ends = (ended(&rig) - before) as f64 * 1e9 / dying.nanos.max(1) as f64;
        tell("sekisho", "expired_per_second", ends);
    }
    Ok(())
}

/// Million packets a second, of all the time: the load may be below the highest.
fn rate(driven: &Driven) -> f64 {
    driven.received as f64 * 1e3 / driven.nanos.max(1) as f64
}

/// Turns at that load, in million packets a second; `None`: at the highest.
fn at_load(rig: &mut Rig, load: Option<f64>, span: Duration, mut enough: impl FnMut(&Rig) -> bool) -> Driven {
    let begin = rig.probe().received.get();
    let span = nanos(span);
    let driven = rig.drive(|rig, passed| {
        if let Some(mpps) = load {
            let due = passed as f64 * mpps / 1e3;
            // In bursts, as a device that is polled has them.
            let is_due = (rig.probe().received.get() - begin) as f64 + (2 * BURST_MAX) as f64 <= due;
            rig.probe().allowance.set(if is_due { BURST_MAX } else { 0 });
        }
        passed >= span || enough(rig)
    });
    rig.probe().allowance.set(BURST_MAX);
    driven
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Sample;

    #[test]
    fn all_but_the_busy_ones_die() {
        let plan = Plan { rounds: 1, span: Duration::from_millis(10) };
        for load in [50, 100] {
            let expiry = Expiry { sessions: BUSY + 5_000, load, family: Family::V4 };
            let mut samples: Vec<Sample> = Vec::new();
            run(&plan, &expiry, &mut |sample| samples.push(sample)).expect("sessions open");
            let value = |subject: &str, figure: &str| {
                let is = |sample: &&Sample| sample.subject == subject && sample.figure == figure;
                samples.iter().find(is).map(|sample| sample.value).expect("measured")
            };
            assert!(value("sekisho", "expired_per_second") > 0.0, "{samples:?}");
            assert!(value("sekisho", "gap_us") > 0.0 && value("none", "gap_us") > 0.0);
            assert!(value("sekisho", "mpps") > 0.0 && value("none", "mpps") > 0.0);
        }
    }
}
