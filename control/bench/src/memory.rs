//! What a session takes.

use crate::plan::{Plan, Tell};
use crate::results::Variant;
use crate::rig::{Error, Loop, Rig, firewall, policy};
use crate::traffic::{Traffic, version};

/// The settings of such sessions, in results.
pub fn variant(traffic: &Traffic) -> Variant {
    traffic.variant().without("size").without("workers")
}

/// Measures by how much this process grows, from before there is a table until all sessions are open; a session each.
pub fn run(plan: &Plan, traffic: &Traffic, tell: &mut Tell<'_>) -> Result<(), Error> {
    let variant = variant(traffic);
    let policy = policy(firewall(10, version(traffic.family)));
    for round in 1..=plan.rounds {
        let before = resident()?;
        let mut rig = Rig::new(&traffic.config(), &policy, traffic.sessions)?;
        rig.open()?;
        let grown = resident()?.saturating_sub(before);
        let each = grown as f64 / f64::from(traffic.sessions);
        tell(plan.sample("memory", &variant, "sekisho", round, "bytes_per_session", each));
        let table = rig.table_bytes as f64 / f64::from(traffic.sessions);
        tell(plan.sample("memory", &variant, "sekisho", round, "table_bytes_per_session", table));
    }
    Ok(())
}

/// Bytes of this process in memory (proc(5), `VmRSS`).
fn resident() -> Result<u64, Error> {
    let text = std::fs::read_to_string("/proc/self/status").map_err(|_| Error::NoSize)?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or(Error::NoSize)?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().map_err(|_| Error::NoSize)?;
    Ok(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use sekisho_traffic::{Family, FrameSize, Protocol};

    use super::*;
    use crate::results::Sample;

    #[test]
    fn sessions_take_memory() {
        let plan = Plan { rounds: 1, ..Plan::default() };
        let traffic = Traffic {
            sessions: 100_000,
            protocol: Protocol::Udp,
            family: Family::V4,
            size: FrameSize::Smallest,
        };
        let mut samples: Vec<Sample> = Vec::new();
        run(&plan, &traffic, &mut |sample| samples.push(sample)).expect("sessions open");
        let value =
            |figure: &str| samples.iter().find(|s| s.figure == figure).map(|s| s.value).expect("measured");
        let (grown, table) = (value("bytes_per_session"), value("table_bytes_per_session"));
        assert!(grown > 60.0 && grown < 2_000.0, "{grown}");
        assert!(table > 60.0 && table < 1_000.0, "{table}");
    }
}
