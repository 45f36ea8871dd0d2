//! Floods beside established sessions.

use std::time::Duration;

use sekisho_traffic::{Class, Config, Hostile, HostileKind, Side};

use crate::plan::{Plan, Tell};
use crate::results::Variant;
use crate::rig::{Bare, Error, Loop, Rig, firewall, policy};
use crate::traffic::{Traffic, version};

/// Sessions that the table can hold for each established one: room for those that the flood opens.
const ROOM: u32 = 4;

/// A flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flood {
    /// What it is of.
    pub kind: HostileKind,
    /// Where it comes from: from the LAN side it opens sessions.
    pub from: Side,
    /// How much of all packets it is, in percent, 1 to 50.
    pub percent: u32,
}

impl Flood {
    fn share(&self) -> f64 {
        f64::from(self.percent) / 100.0
    }

    /// Its settings, in results.
    pub fn variant(&self, traffic: &Traffic) -> Variant {
        let from = match self.from {
            Side::Lan => "lan",
            Side::Wan => "wan",
        };
        traffic.variant().with("hostile", self.kind.name()).with("from", from).with("share", self.share())
    }
}

/// Frames of established sessions that came out, million a second, and nanoseconds a frame of any kind.
#[derive(Clone, Copy, Debug)]
struct Rate {
    established: f64,
    nanos_each: f64,
}

/// Measures how much of the established sessions' rate is kept, and what a packet of the flood costs.
pub fn run(plan: &Plan, traffic: &Traffic, flood: &Flood, tell: &mut Tell<'_>) -> Result<(), Error> {
    let variant = flood.variant(traffic);
    let share = flood.share();
    let calm = traffic.config();
    let hostile = Hostile { kind: flood.kind, from: flood.from, share };
    let under = Config { hostile: Some(hostile), ..calm };
    let policy = policy(firewall(10, version(traffic.family)));
    let capacity = traffic.sessions.saturating_mul(ROOM);
    let mut rigs = [Rig::new(&calm, &policy, capacity)?, Rig::new(&under, &policy, capacity)?];
    let mut bares = [Bare::new(&calm)?, Bare::new(&under)?];
    for rig in &mut rigs {
        rig.open()?;
    }
    for bare in &mut bares {
        bare.open()?;
    }
    // Until the flood has what it takes from the tables.
    rigs[1].drive_for(plan.span);
    for round in 1..=plan.rounds {
        let [calm, under] = rigs.each_mut().map(|rig| rate(rig, plan.span));
        let [calm_bare, under_bare] = bares.each_mut().map(|bare| rate(bare, plan.span));
        let established = calm.nanos_each - calm_bare.nanos_each;
        let any = under.nanos_each - under_bare.nanos_each;
        let each = (any - (1.0 - share) * established) / share;
        let mut tell = |subject: &str, figure: &str, value: f64| {
            tell(plan.sample("hostile", &variant, subject, round, figure, value));
        };
        tell("sekisho", "kept_share", under.established / calm.established);
        tell("none", "kept_share", under_bare.established / calm_bare.established);
        tell("sekisho", "flood_cost", each / established);
    }
    Ok(())
}

fn rate(driven: &mut impl Loop, span: Duration) -> Rate {
    let before = established(driven);
    let done = driven.drive_for(span);
    let came = established(driven) - before;
    let share = came as f64 / done.received.max(1) as f64;
    Rate { established: share * done.mpps(), nanos_each: done.nanos_each }
}

/// Frames of established sessions that came out so far.
fn established(driven: &impl Loop) -> u64 {
    let counts = driven.probe().shard.borrow().counts();
    counts.back.iter().map(|classes| classes[Class::Established.index()]).sum()
}

#[cfg(test)]
mod tests {
    use sekisho_traffic::{Family, FrameSize, Protocol};

    use super::*;
    use crate::results::Sample;

    #[test]
    fn every_flood_leaves_something_and_costs_something() {
        let plan = Plan { rounds: 2, span: Duration::from_millis(4) };
        let traffic = Traffic {
            sessions: 1000,
            protocol: Protocol::Udp,
            family: Family::V4,
            size: FrameSize::Smallest,
        };
        for (kind, from) in [
            (HostileKind::SynFlood, Side::Wan),
            (HostileKind::SynFlood, Side::Lan),
            (HostileKind::Fragments, Side::Wan),
            (HostileKind::Collisions, Side::Lan),
        ] {
            let mut samples: Vec<Sample> = Vec::new();
            let flood = Flood { kind, from, percent: 50 };
            run(&plan, &traffic, &flood, &mut |sample| samples.push(sample)).expect("sessions open");
            assert_eq!(samples.len(), 2 * 3);
            assert!(samples.iter().all(|sample| sample.value.is_finite()), "{samples:?}");
            assert!(
                samples.iter().filter(|s| s.figure == "kept_share").all(|s| s.value > 0.0),
                "{samples:?}"
            );
        }
    }
}
