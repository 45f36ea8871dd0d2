//! What can be measured, and the settings of each on the command line.

use std::fs;
use std::path::PathBuf;

use clap::ValueEnum;
use sekisho_bench::hostile::{self, Flood};
use sekisho_bench::rules::sets::Version;
use sekisho_bench::rules::{self, Case, Kind};
use sekisho_bench::setup::{self, Begin, Fill};
use sekisho_bench::traffic::{self, Traffic};
use sekisho_bench::{established, expiry, memory};

use super::{Common, Run, measure, refuse};
use crate::failure::{Failure, Outcome};

/// The most sessions that addresses and ports of the traffic give.
const SESSIONS_MAX: u32 = traffic::SESSIONS_MAX;
/// The most rules.
const RULES_MAX: u32 = 1_000_000;

/// What sessions speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Protocol {
    Udp,
    Tcp,
    /// Both in equal parts
    Mixed,
}

/// How long frames are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Size {
    /// As short as can be
    #[value(name = "64")]
    Smallest,
    /// 64, 594 and 1,518 bytes, seven to four to one
    Imix,
}

/// How full the table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Table {
    Empty,
    /// Half of it holds established sessions
    Half,
    /// Half-open sessions fill it, and make room one by one
    Full,
}

/// What begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Beginning {
    /// First datagrams
    Udp,
    /// First SYNs
    Tcp,
    /// Whole TCP connections of seven packets
    Connections,
}

/// What a flood is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FloodKind {
    /// SYNs of random five-tuples from the WAN side, which open nothing
    Syn,
    /// The same from the LAN side, which open sessions
    SynOpening,
    /// First fragments of datagrams that never become whole
    Fragments,
    /// Sessions of which all have one hash under the known key of receive side scaling
    Collisions,
}

/// `sekisho bench established`.
#[derive(Debug, clap::Args)]
pub(super) struct Established {
    /// Sessions that live at once: numbers such as 65536, 64k, 10M (k: thousands)
    #[arg(long, value_name = "N,…", default_value = "1k,65536,1M,10M", value_delimiter = ',', value_parser = sessions)]
    sessions: Vec<u32>,
    /// What they speak
    #[arg(long, value_name = "P,…", default_value = "udp,tcp,mixed", value_delimiter = ',')]
    protocol: Vec<Protocol>,
    /// Versions of IP
    #[arg(long, value_name = "V,…", default_value = "4,6", value_delimiter = ',', value_parser = ["4", "6"])]
    family: Vec<String>,
    /// Lengths of frames on the wire
    #[arg(long, value_name = "S,…", default_value = "64,imix", value_delimiter = ',')]
    size: Vec<Size>,
    #[command(flatten)]
    pub(super) common: Common,
}

/// `sekisho bench setup`.
#[derive(Debug, clap::Args)]
pub(super) struct Setup {
    /// What begins
    #[arg(long, value_name = "B,…", default_value = "udp,tcp,connections", value_delimiter = ',')]
    begin: Vec<Beginning>,
    /// Rules of a firewall that each first packet is asked of
    #[arg(long, value_name = "N,…", default_value = "10,1k,10k,100k", value_delimiter = ',', value_parser = rule_count)]
    rules: Vec<u32>,
    /// How full the session table is
    #[arg(long, value_name = "T,…", default_value = "empty,half,full", value_delimiter = ',')]
    table: Vec<Table>,
    /// Versions of IP
    #[arg(long, value_name = "V,…", default_value = "4", value_delimiter = ',', value_parser = ["4", "6"])]
    family: Vec<String>,
    #[command(flatten)]
    pub(super) common: Common,
}

/// `sekisho bench rules`.
#[derive(Debug, clap::Args)]
pub(super) struct Rules {
    /// Sets of rules: acl, fw, ipc, hard (after those of ClassBench), objects (groups and zones), feed (half a million
    /// prefixes in two rules), nested, tangled (made to hurt)
    #[arg(long, value_name = "S,…", default_value = "acl,fw,ipc,hard,objects,feed,nested,tangled", value_delimiter = ',', value_parser = kind)]
    set: Vec<Kind>,
    /// How many rules
    #[arg(long, value_name = "N,…", default_value = "1k,10k,100k", value_delimiter = ',', value_parser = rule_count)]
    rules: Vec<u32>,
    /// Versions of IP; objects, feed, nested and tangled are IPv4 alone
    #[arg(long, value_name = "V,…", default_value = "4,6", value_delimiter = ',', value_parser = ["4", "6"])]
    family: Vec<String>,
    /// Measure nothing: write the IPv4 sets and their packets to this folder, as dpdk-test-acl reads them
    #[arg(long, value_name = "FOLDER")]
    export: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// `sekisho bench expiry`.
#[derive(Debug, clap::Args)]
pub(super) struct Expiry {
    /// Sessions that die, beside 65,536 that carry the load
    #[arg(long, value_name = "N,…", default_value = "1M,10M", value_delimiter = ',', value_parser = sessions)]
    sessions: Vec<u32>,
    /// The load, in percent of the highest rate
    #[arg(long, value_name = "PERCENT,…", default_value = "50,100", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=100))]
    load: Vec<u32>,
    /// Versions of IP
    #[arg(long, value_name = "V,…", default_value = "4", value_delimiter = ',', value_parser = ["4", "6"])]
    family: Vec<String>,
    #[command(flatten)]
    pub(super) common: Common,
}

/// `sekisho bench memory`.
#[derive(Debug, clap::Args)]
pub(super) struct Memory {
    /// Sessions that live at once
    #[arg(long, value_name = "N,…", default_value = "1M,10M", value_delimiter = ',', value_parser = sessions)]
    sessions: Vec<u32>,
    /// What they speak
    #[arg(long, value_name = "P,…", default_value = "udp,tcp", value_delimiter = ',')]
    protocol: Vec<Protocol>,
    /// Versions of IP
    #[arg(long, value_name = "V,…", default_value = "4,6", value_delimiter = ',', value_parser = ["4", "6"])]
    family: Vec<String>,
    #[command(flatten)]
    pub(super) common: Common,
}

/// `sekisho bench hostile`.
#[derive(Debug, clap::Args)]
pub(super) struct Hostile {
    /// Established sessions beside the flood
    #[arg(long, value_name = "N,…", default_value = "100k", value_delimiter = ',', value_parser = sessions)]
    sessions: Vec<u32>,
    /// What they speak
    #[arg(long, value_name = "P,…", default_value = "udp,tcp", value_delimiter = ',')]
    protocol: Vec<Protocol>,
    /// What the flood is of
    #[arg(
        long,
        value_name = "F,…",
        default_value = "syn,syn-opening,fragments,collisions",
        value_delimiter = ','
    )]
    flood: Vec<FloodKind>,
    /// How much of all packets it is, in percent
    #[arg(long, value_name = "PERCENT,…", default_value = "25,50", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=50))]
    percent: Vec<u32>,
    #[command(flatten)]
    pub(super) common: Common,
}

/// `sekisho bench all`.
#[derive(Debug, clap::Args)]
pub(super) struct All {
    /// Fewer sizes and variants: minutes in place of half an hour
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    pub(super) common: Common,
}

impl Established {
    pub(super) fn run(&self, run: &mut Run) -> Outcome {
        for family in families(&self.family) {
            for (protocol, size) in pairs(&self.protocol, &self.size) {
                for sessions in self.sessions.iter().copied() {
                    let traffic = traffic_of(sessions, protocol, family, size);
                    run.variant("established", &traffic.variant(), |plan, tell| {
                        established::run(plan, &traffic, tell)
                    })?;
                }
            }
        }
        Ok(())
    }
}

impl Setup {
    pub(super) fn run(&self, run: &mut Run) -> Outcome {
        let mut measured = 0;
        for family in families(&self.family) {
            for (begin, table) in pairs(&self.begin, &self.table) {
                for rules in self.rules.iter().copied() {
                    let setup = setup::Setup { begin: begin.into(), fill: table.into(), rules, family };
                    if setup.is_possible() {
                        measured += 1;
                        run.variant("setup", &setup.variant(), |plan, tell| setup::run(plan, &setup, tell))?;
                    }
                }
            }
        }
        if measured == 0 {
            let message =
                "connections cannot be measured with a full table, which refuses them; name another table";
            return Err(Failure::Input(message.into()));
        }
        Ok(())
    }
}

impl Rules {
    /// Measures, or exports.
    pub(super) fn run(&self) -> Outcome {
        match &self.export {
            Some(folder) => self.export(folder),
            None => measure(&self.common, |run| self.measure(run)),
        }
    }

    fn cases(&self) -> Vec<Case> {
        let mut cases = Vec::new();
        for (kind, family) in pairs(&self.set, &families(&self.family)) {
            let version = traffic::version(family);
            if kind.is_for(version) {
                cases.extend(self.rules.iter().map(|count| Case { kind, count: *count, version }));
            }
        }
        cases
    }

    fn measure(&self, run: &mut Run) -> Outcome {
        let cases = self.cases();
        if cases.is_empty() {
            let message = "of IPv6 there are the sets acl, fw, ipc and hard; name one of them, or --family 4";
            return Err(Failure::Input(message.into()));
        }
        for case in cases {
            run.variant("rules", &case.variant(), |plan, tell| {
                rules::run(plan, &case, tell);
                Ok(())
            })?;
        }
        Ok(())
    }

    fn export(&self, folder: &PathBuf) -> Outcome {
        let cannot_write = |error| refuse(folder, &error, "name a folder that may be written");
        fs::create_dir_all(folder).map_err(cannot_write)?;
        for case in self.cases().iter().filter(|case| case.version == Version::V4) {
            if !rules::export::write(folder, case).map_err(cannot_write)? {
                super::super::warn(&format!(
                    "warning: {}: dpdk-test-acl has no such rules",
                    case.kind.name()
                ));
            }
        }
        Ok(())
    }
}

impl Expiry {
    pub(super) fn run(&self, run: &mut Run) -> Outcome {
        for family in families(&self.family) {
            for (sessions, load) in pairs(&self.sessions, &self.load) {
                let expiry = expiry::Expiry { sessions, load, family };
                run.variant("expiry", &expiry.variant(), |plan, tell| expiry::run(plan, &expiry, tell))?;
            }
        }
        Ok(())
    }
}

impl Memory {
    pub(super) fn run(&self, run: &mut Run) -> Outcome {
        for family in families(&self.family) {
            for (protocol, sessions) in pairs(&self.protocol, &self.sessions) {
                let traffic = traffic_of(sessions, protocol, family, Size::Smallest);
                let variant = memory::variant(&traffic);
                run.variant("memory", &variant, |plan, tell| memory::run(plan, &traffic, tell))?;
            }
        }
        Ok(())
    }
}

impl Hostile {
    pub(super) fn run(&self, run: &mut Run) -> Outcome {
        for (sessions, protocol) in pairs(&self.sessions, &self.protocol) {
            let traffic = traffic_of(sessions, protocol, traffic::Family::V4, Size::Smallest);
            for (kind, percent) in pairs(&self.flood, &self.percent) {
                let flood = flood_of(kind, percent);
                run.variant("hostile", &flood.variant(&traffic), |plan, tell| {
                    hostile::run(plan, &traffic, &flood, tell)
                })?;
            }
        }
        Ok(())
    }
}

impl All {
    pub(super) fn run(&self, run: &mut Run) -> Outcome {
        let quick = |line: &'static [&'static str]| if self.quick { line } else { &[][..] };
        defaults::<Established>(quick(&["--sessions=1k,65536,1M,10M", "--protocol=udp,tcp", "--size=64"]))?
            .run(run)?;
        defaults::<Setup>(quick(&["--begin=udp,connections"]))?.run(run)?;
        defaults::<Rules>(quick(&["--set=fw,hard,objects,nested", "--family=4"]))?.measure(run)?;
        defaults::<Expiry>(quick(&["--sessions=1M"]))?.run(run)?;
        defaults::<Memory>(quick(&["--protocol=udp"]))?.run(run)?;
        defaults::<Hostile>(quick(&["--protocol=udp", "--percent=50"]))?.run(run)
    }
}

/// The settings of a workload when nothing, or this, is said of them.
fn defaults<A: clap::Args>(line: &[&str]) -> Result<A, Failure> {
    let command = A::augment_args(clap::Command::new("bench").no_binary_name(true));
    let matches = command.try_get_matches_from(line).map_err(anyhow::Error::new)?;
    Ok(A::from_arg_matches(&matches).map_err(anyhow::Error::new)?)
}

fn traffic_of(sessions: u32, protocol: Protocol, family: traffic::Family, size: Size) -> Traffic {
    let size = match size {
        Size::Smallest => traffic::FrameSize::Smallest,
        Size::Imix => traffic::FrameSize::Imix,
    };
    Traffic { sessions, protocol: protocol.into(), family, size }
}

fn flood_of(kind: FloodKind, percent: u32) -> Flood {
    use sekisho_bench::traffic::{HostileKind, Side};
    let (kind, from) = match kind {
        FloodKind::Syn => (HostileKind::SynFlood, Side::Wan),
        FloodKind::SynOpening => (HostileKind::SynFlood, Side::Lan),
        FloodKind::Fragments => (HostileKind::Fragments, Side::Wan),
        FloodKind::Collisions => (HostileKind::Collisions, Side::Lan),
    };
    Flood { kind, from, percent }
}

impl From<Protocol> for traffic::Protocol {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Udp => Self::Udp,
            Protocol::Tcp => Self::Tcp,
            Protocol::Mixed => Self::Mixed,
        }
    }
}

impl From<Table> for Fill {
    fn from(table: Table) -> Self {
        match table {
            Table::Empty => Self::Empty,
            Table::Half => Self::Half,
            Table::Full => Self::Full,
        }
    }
}

impl From<Beginning> for Begin {
    fn from(begin: Beginning) -> Self {
        match begin {
            Beginning::Udp => Self::First(traffic::Protocol::Udp),
            Beginning::Tcp => Self::First(traffic::Protocol::Tcp),
            Beginning::Connections => Self::Connection,
        }
    }
}

fn families(names: &[String]) -> Vec<traffic::Family> {
    let family = |name: &String| if name == "6" { traffic::Family::V6 } else { traffic::Family::V4 };
    names.iter().map(family).collect()
}

/// Each of `a` with each of `b`.
fn pairs<A: Copy, B: Copy>(a: &[A], b: &[B]) -> Vec<(A, B)> {
    a.iter().flat_map(|a| b.iter().map(|b| (*a, *b))).collect()
}

fn kind(name: &str) -> Result<Kind, String> {
    let names = || Kind::ALL.map(Kind::name).join(", ");
    Kind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| format!("there are {}", names()))
}

fn sessions(text: &str) -> Result<u32, String> {
    amount(text, 2, SESSIONS_MAX)
}

fn rule_count(text: &str) -> Result<u32, String> {
    amount(text, 2, RULES_MAX)
}

/// Reads `65536`, `10k`, `1M`.
fn amount(text: &str, min: u32, max: u32) -> Result<u32, String> {
    let (digits, unit) = match text.strip_suffix('k') {
        Some(digits) => (digits, 1_000),
        None => text.strip_suffix('M').map_or((text, 1), |digits| (digits, 1_000_000)),
    };
    let number = digits.parse::<u32>().ok().and_then(|number| number.checked_mul(unit));
    number
        .filter(|number| (min..=max).contains(number))
        .ok_or_else(|| format!("write a number from {min} to {max}, such as 65536, 10k (thousands) or 1M"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_may_have_a_unit() {
        let read = ["2", "65536", "64k", "10M"].map(|text| amount(text, 2, 10_000_000));
        assert_eq!(read, [Ok(2), Ok(65_536), Ok(64_000), Ok(10_000_000)]);
        for wrong in ["", "k", "1", "-5", "1.5k", "10G", "11M", "99999999999", "5000M"] {
            assert!(amount(wrong, 2, 10_000_000).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn everything_in_all_can_be_said() {
        defaults::<Established>(&["--sessions=1k", "--size=imix,64"]).unwrap();
        let rules = defaults::<Rules>(&["--set=fw,nested"]).unwrap();
        // Nested rules are of IPv4 alone.
        assert_eq!(rules.cases().len(), 3 * 2 + 3);
    }
}
