//! New sessions without end.

use std::sync::Arc;
use std::time::Duration;

use sekisho_engine::policy::Policy;
use sekisho_engine::reason::Reason;
use sekisho_traffic::{Config, Family, Load, Protocol};

use crate::plan::{Plan, Tell};
use crate::results::Variant;
use crate::rig::{Bare, Error, Loop, Rig, firewall, nanos, policy};
use crate::traffic::{protocol_name, version};

/// Sessions of an empty or half full table, of which a round opens a quarter at the most.
const ROOM: u32 = 1 << 22;
/// Sessions of one that is full.
const FULL: u32 = 1 << 20;
/// A packet that was refused comes again after so many nanoseconds.
const RETRY: u64 = 20_000_000;

/// How full the table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// No session.
    Empty,
    /// Half of all it can hold, established.
    Half,
    /// Full of half-open sessions: each new one takes the place of the oldest.
    Full,
}

/// What begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// The first packet of ever new sessions, which nobody answers.
    First(Protocol),
    /// Whole TCP connections of seven packets, handshake to end.
    Connection,
}

/// New sessions of some kind, against so many rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// What begins.
    pub begin: Begin,
    /// How full the table is.
    pub fill: Fill,
    /// Rules of a firewall; the last one, at least, allows the session.
    pub rules: u32,
    /// The version of IP.
    pub family: Family,
}

impl Fill {
    /// Its name on the command line and in results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Half => "half",
            Self::Full => "full",
        }
    }
}

impl Setup {
    /// Its settings, in results.
    pub fn variant(&self) -> Variant {
        let (protocol, packets) = match self.begin {
            Begin::First(protocol) => (protocol_name(protocol), 1_u32),
            Begin::Connection => ("tcp", 7),
        };
        Variant::default()
            .with("io", "memory")
            .with("protocol", protocol)
            .with("packets", packets)
            .with("table", self.fill.name())
            .with("rules", self.rules)
            .with("family", version(self.family).number())
    }

    /// Whether it can be measured: what has ended keeps its place for a while, so connections would be refused by a full
    /// table.
    pub fn is_possible(&self) -> bool {
        (self.begin, self.fill) != (Begin::Connection, Fill::Full)
    }

    fn capacity(&self) -> u32 {
        if self.fill == Fill::Full { FULL } else { ROOM }
    }

    fn config(&self) -> Config {
        let sessions = if self.fill == Fill::Half { ROOM / 2 } else { 0 };
        let (protocol, load) = match self.begin {
            Begin::First(protocol) => (protocol, Load::FirstPackets),
            Begin::Connection => (Protocol::Udp, Load::Connections),
        };
        Config { sessions, protocol, load, family: self.family, retry: RETRY, ..Config::default() }
    }
}

/// Measures how many sessions begin in a second. Each round has a table of its own.
pub fn run(plan: &Plan, setup: &Setup, tell: &mut Tell<'_>) -> Result<(), Error> {
    let (variant, policy) = (setup.variant(), policy(firewall(setup.rules, version(setup.family))));
    let mut bare = Bare::new(&setup.config())?;
    bare.open()?;
    let cycles = bare.probe().timer.cycles_per_nano();
    for round in 1..=plan.rounds {
        let mut rig = filled(setup, &policy)?;
        let without = begun_without(setup, &mut bare, plan.span);
        let with = begun(setup, &mut rig, plan.span);
        let mut tell = |subject: &str, figure: &str, value: f64| {
            tell(plan.sample("setup", &variant, subject, round, figure, value));
        };
        tell("sekisho", "sessions_per_second", with);
        tell("none", "sessions_per_second", without);
        tell("sekisho", "cycles_per_session", (1e9 / with - 1e9 / without) * cycles);
    }
    Ok(())
}

/// A worker whose table is as full as it should be.
fn filled(setup: &Setup, policy: &Arc<Policy>) -> Result<Rig, Error> {
    let mut rig = Rig::new(&setup.config(), policy, setup.capacity())?;
    rig.open()?;
    if setup.fill == Fill::Full {
        let full = u64::from(setup.capacity());
        rig.drive(|rig, passed| new_sessions(rig) > full || passed > nanos(Duration::from_secs(60)));
    }
    Ok(rig)
}

fn new_sessions(rig: &Rig) -> u64 {
    rig.shared.engine.reason(Reason::SessionNew).get()
}

/// Sessions that began in a second.
fn begun(setup: &Setup, rig: &mut Rig, span: Duration) -> f64 {
    let count = |rig: &Rig| match setup.begin {
        Begin::First(_) => new_sessions(rig),
        Begin::Connection => rig.probe().shard.borrow().counts().connections,
    };
    let (before, most, span) = (count(rig), u64::from(setup.capacity() / 4), nanos(span));
    let driven = rig.drive(|rig, passed| {
        let came = count(rig) - before;
        (passed >= span && came > 0) || came >= most
    });
    (count(rig) - before) as f64 / driven.received.max(1) as f64 * driven.mpps() * 1e6
}

/// The same where nobody looks at the packets.
fn begun_without(setup: &Setup, bare: &mut Bare, span: Duration) -> f64 {
    let connections = |bare: &Bare| bare.probe().shard.borrow().counts().connections;
    let before = connections(bare);
    let is_first = setup.begin != Begin::Connection;
    let driven = bare.drive(|bare, passed| passed >= nanos(span) && (is_first || connections(bare) > before));
    let begun = if is_first { driven.received } else { connections(bare) - before };
    begun as f64 / driven.received.max(1) as f64 * driven.mpps() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Sample;

    #[test]
    fn sessions_begin_whatever_begins() {
        let plan = Plan { rounds: 1, span: Duration::from_millis(2) };
        for begin in [Begin::First(Protocol::Udp), Begin::First(Protocol::Tcp), Begin::Connection] {
            for family in [Family::V4, Family::V6] {
                let setup = Setup { begin, fill: Fill::Empty, rules: 10, family };
                let mut samples: Vec<Sample> = Vec::new();
                run(&plan, &setup, &mut |sample| samples.push(sample)).expect("sessions begin");
                assert_eq!(samples.len(), 3);
                assert!(samples.iter().all(|sample| sample.value.is_finite()), "{samples:?}");
            }
        }
    }

    #[test]
    fn connections_end_and_none_is_lost() {
        let setup = Setup { begin: Begin::Connection, fill: Fill::Empty, rules: 10, family: Family::V4 };
        let mut rig = filled(&setup, &policy(firewall(10, version(setup.family)))).expect("nothing to open");
        let connections = |rig: &Rig| rig.probe().shard.borrow().counts().connections;
        let driven = rig.drive(|rig, _| connections(rig) >= 2_000);
        let counts = rig.probe().shard.borrow().counts();
        assert_eq!((driven.sent, counts.retries, counts.stray), (driven.received, 0, 0));
        assert!(driven.received >= 7 * 2_000);
    }

    #[test]
    fn a_full_table_evicts_for_each_newcomer() {
        let setup =
            Setup { begin: Begin::First(Protocol::Udp), fill: Fill::Full, rules: 10, family: Family::V4 };
        let mut rig =
            Rig::new(&setup.config(), &policy(firewall(10, Version::V4)), 1_000).expect("such traffic");
        rig.drive(|rig, _| new_sessions(rig) >= 3_000);
        let evicted = rig.shared.engine.reason(Reason::EndEvicted).get();
        assert!(evicted + 1_000 >= new_sessions(&rig), "{evicted}");
    }

    use crate::rules::sets::Version;
}
