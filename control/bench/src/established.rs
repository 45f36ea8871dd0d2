//! Packets of sessions that live.

use crate::plan::{Plan, Tell};
use crate::rig::{Bare, Driven, Error, Loop, Rig, firewall, policy};
use crate::traffic::{Traffic, version};

/// Rules of the policy: established packets do not ask them.
const RULES: u32 = 10;

/// Measures the rate at which packets of such sessions pass, in cycles by stage, beside the loop without inspection.
pub fn run(plan: &Plan, traffic: &Traffic, tell: &mut Tell<'_>) -> Result<(), Error> {
    let variant = traffic.variant();
    let (mut rig, mut bare) = (rig(traffic)?, Bare::new(&traffic.config())?);
    rig.open()?;
    bare.open()?;
    let cycles = rig.probe().timer.cycles_per_nano();
    // A first round, untold: caches, pages and branch predictors come to know the load.
    rig.drive_for(plan.span / 2);
    for round in 1..=plan.rounds {
        let (with, without) = both(plan, round, &mut rig, &mut bare)?;
        let [glance, inspect, leave] = rig.profile(plan.span / 2);
        let mut tell = |subject: &str, figure: &str, value: f64| {
            tell(plan.sample("established", &variant, subject, round, figure, value));
        };
        tell("sekisho", "mpps", with.mpps());
        tell("none", "mpps", without.mpps());
        tell("sekisho", "cycles_per_packet", (with.nanos_each - without.nanos_each) * cycles);
        tell("none", "cycles_io", without.nanos_each * cycles);
        tell("sekisho", "cycles_glance", glance);
        tell("sekisho", "cycles_leave", leave);
        tell("sekisho", "cycles_inspect", inspect);
    }
    Ok(())
}

/// A worker whose table has room for a quarter more.
pub(crate) fn rig(traffic: &Traffic) -> Result<Rig, Error> {
    let policy = policy(firewall(RULES, version(traffic.family)));
    Rig::new(&traffic.config(), &policy, traffic.sessions + traffic.sessions / 4 + 64)
}

/// One round of both, in an order that changes from round to round.
fn both(plan: &Plan, round: u32, rig: &mut Rig, bare: &mut Bare) -> Result<(Driven, Driven), Error> {
    let early = round.is_multiple_of(2).then(|| rig.drive_for(plan.span));
    let without = bare.drive_for(plan.span);
    let with = early.unwrap_or_else(|| rig.drive_for(plan.span));
    if with.sent < with.received {
        return Err(Error::Lost { received: with.received, forwarded: with.sent });
    }
    Ok((with, without))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sekisho_traffic::{Family, FrameSize, Protocol};

    use super::*;
    use crate::results::Sample;

    #[test]
    fn every_traffic_passes_and_every_figure_is_one() {
        let plan = Plan { rounds: 2, span: Duration::from_millis(2) };
        for protocol in [Protocol::Udp, Protocol::Tcp, Protocol::Mixed] {
            for family in [Family::V4, Family::V6] {
                for size in [FrameSize::Smallest, FrameSize::Imix] {
                    let traffic = Traffic { sessions: 1000, protocol, family, size };
                    let mut samples: Vec<Sample> = Vec::new();
                    run(&plan, &traffic, &mut |sample| samples.push(sample)).expect("everything passes");
                    assert_eq!(samples.len(), 2 * 7);
                    assert!(samples.iter().all(|sample| sample.value.is_finite()), "{samples:?}");
                    let stages = samples.iter().filter(|sample| {
                        sample.figure.starts_with("cycles_") && sample.figure != "cycles_per_packet"
                    });
                    assert!(stages.clone().all(|sample| sample.value >= 0.0), "{samples:?}");
                }
            }
        }
    }

    #[test]
    fn what_the_loop_counts_is_what_the_worker_counts() {
        let traffic =
            Traffic { sessions: 100, protocol: Protocol::Tcp, family: Family::V4, size: FrameSize::Smallest };
        let mut rig = rig(&traffic).expect("such traffic");
        rig.open().expect("all sessions open");
        let received =
            |rig: &Rig| -> u64 { rig.shared.counters.received.iter().map(|count| count.packets.get()).sum() };
        let before = received(&rig);
        let driven = rig.drive(|rig, _| received(rig) - before >= 3_000);
        assert_eq!(driven.received, received(&rig) - before);
        assert_eq!(driven.sent, driven.received);
    }
}
