//! What is to be reached, and whether it is.

use crate::results::{Setting, Variant};
use crate::statistics::{Summary, number};

use super::index::{Index, OURS, Subjects};

/// A setting that a goal asks for.
#[derive(Clone, Copy, Debug)]
enum Is {
    /// As many, within six percent: `64k` may be 64,000 or 65,536.
    Around(u32),
    /// That share.
    Share(f64),
    Word(&'static str),
}

/// What is compared with the limit.
#[derive(Clone, Copy, Debug)]
enum Of {
    /// The figure itself.
    Itself,
    /// As a multiple of a peer's.
    Peer(&'static str),
    /// What it is more than a peer's.
    Beyond(&'static str),
    /// As a multiple of the same with another setting.
    Other(&'static str, u32),
}

#[derive(Clone, Copy, Debug)]
enum Limit {
    AtLeast(f64),
    AtMost(f64),
}

/// A goal.
#[derive(Debug)]
pub(super) struct Goal {
    pub(super) what: &'static str,
    workload: &'static str,
    figure: &'static str,
    settings: &'static [(&'static str, Is)],
    of: Of,
    limit: Limit,
}

/// What came of a goal, in the variant that is furthest from it.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) value: Summary,
    pub(super) is_reached: bool,
    /// How many variants were measured.
    pub(super) variants: usize,
}

const UDP: (&str, Is) = ("protocol", Is::Word("udp"));
const TCP: (&str, Is) = ("protocol", Is::Word("tcp"));
const V4: (&str, Is) = ("family", Is::Around(4));
const V6: (&str, Is) = ("family", Is::Around(6));
const ONE: (&str, Is) = ("workers", Is::Around(1));
const SMALL: (&str, Is) = ("size", Is::Around(64));
const K64: (&str, Is) = ("sessions", Is::Around(65_536));
const M1: (&str, Is) = ("sessions", Is::Around(1_000_000));
const M10: (&str, Is) = ("sessions", Is::Around(10_000_000));
const FW: (&str, Is) = ("set", Is::Word("fw"));
const HARD: (&str, Is) = ("set", Is::Word("hard"));
const NESTED: (&str, Is) = ("set", Is::Word("nested"));
const TANGLED: (&str, Is) = ("set", Is::Word("tangled"));
const R10: (&str, Is) = ("rules", Is::Around(10));
const R10K: (&str, Is) = ("rules", Is::Around(10_000));
const R100K: (&str, Is) = ("rules", Is::Around(100_000));
const EMPTY: (&str, Is) = ("table", Is::Word("empty"));
const HALF: (&str, Is) = ("load", Is::Share(0.5));
const FIRST: (&str, Is) = ("packets", Is::Around(1));
const FROM_WAN: (&str, Is) = ("from", Is::Word("wan"));
const SYN_FLOOD: (&str, Is) = ("hostile", Is::Word("syn-flood"));
const FRAGMENTS: (&str, Is) = ("hostile", Is::Word("fragments"));
const MANAGEMENT: (&str, Is) = ("hostile", Is::Word("management"));

const fn goal(
    what: &'static str,
    (workload, figure): (&'static str, &'static str),
    settings: &'static [(&'static str, Is)],
    of: Of,
    limit: Limit,
) -> Goal {
    Goal { what, workload, figure, settings, of, limit }
}

use Limit::{AtLeast, AtMost};
use Of::{Beyond, Itself, Other, Peer};

const MPPS: (&str, &str) = ("established", "mpps");
const SETUP: (&str, &str) = ("setup", "sessions_per_second");
const LOOKUPS: (&str, &str) = ("rules", "lookups_per_second");
const COMPILE: (&str, &str) = ("rules", "compile_ms");
const SIZE: (&str, &str) = ("rules", "bytes");
const MEMORY: (&str, &str) = ("memory", "bytes_per_session");

pub(super) const GOALS: &[Goal] = &[
    goal(
        "established, UDP, 64k sessions, 64 B: times OVS-DPDK",
        MPPS,
        &[UDP, V4, K64, SMALL, ONE],
        Peer("ovs"),
        AtLeast(10.0),
    ),
    goal(
        "established, UDP, 64k sessions, 64 B: of testpmd io",
        MPPS,
        &[UDP, V4, K64, SMALL, ONE],
        Peer("testpmd"),
        AtLeast(0.35),
    ),
    goal(
        "established, UDP, 64k sessions, 64 B: cycles a packet",
        ("established", "cycles_per_packet"),
        &[UDP, V4, K64, SMALL, ONE],
        Itself,
        AtMost(85.0),
    ),
    goal(
        "established, TCP, 1M sessions: times OVS-DPDK",
        MPPS,
        &[TCP, V4, M1, SMALL, ONE],
        Peer("ovs"),
        AtLeast(10.0),
    ),
    goal(
        "established, TCP, 1M sessions: of testpmd io",
        MPPS,
        &[TCP, V4, M1, SMALL, ONE],
        Peer("testpmd"),
        AtLeast(0.25),
    ),
    goal(
        "established, TCP, 10M sessions: of testpmd io",
        MPPS,
        &[TCP, V4, M10, SMALL, ONE],
        Peer("testpmd"),
        AtLeast(0.2),
    ),
    goal("established: IPv6 of IPv4", MPPS, &[V6], Other("family", 4), AtLeast(0.85)),
    goal(
        "established: two workers of one",
        MPPS,
        &[("workers", Is::Around(2))],
        Other("workers", 1),
        AtLeast(1.8),
    ),
    goal("new sessions, 10 rules, a second", SETUP, &[R10, EMPTY, FIRST, V4], Itself, AtLeast(5e6)),
    goal("new sessions, 10 rules: times OVS-DPDK", SETUP, &[R10, FIRST], Peer("ovs"), AtLeast(8.0)),
    goal("new sessions, 10k rules, a second", SETUP, &[R10K, EMPTY, FIRST, V4], Itself, AtLeast(3e6)),
    goal("memory, bytes an IPv4 session", MEMORY, &[V4], Itself, AtMost(128.0)),
    goal("memory, bytes an IPv6 session", MEMORY, &[V6], Itself, AtMost(192.0)),
    goal("rules, 10k fw: lookups, times rte_acl", LOOKUPS, &[FW, R10K, V4], Peer("rte_acl"), AtLeast(1.5)),
    goal("rules, 10k fw: milliseconds to compile", COMPILE, &[FW, R10K, V4], Itself, AtMost(100.0)),
    goal("rules, 10k fw: bytes", SIZE, &[FW, R10K, V4], Itself, AtMost(10e6)),
    goal("rules, 100k fw: lookups, times rte_acl", LOOKUPS, &[FW, R100K, V4], Peer("rte_acl"), AtLeast(3.0)),
    goal(
        "rules, 100k hard: lookups, times rte_acl",
        LOOKUPS,
        &[HARD, R100K, V4],
        Peer("rte_acl"),
        AtLeast(3.0),
    ),
    goal("rules, 100k fw: milliseconds to compile", COMPILE, &[FW, R100K, V4], Itself, AtMost(1000.0)),
    goal("rules, 100k hard: milliseconds to compile", COMPILE, &[HARD, R100K, V4], Itself, AtMost(1000.0)),
    goal(
        "rules, 100k nested: milliseconds to compile",
        COMPILE,
        &[NESTED, R100K, V4],
        Itself,
        AtMost(1000.0),
    ),
    goal(
        "rules, 100k tangled: milliseconds to compile",
        COMPILE,
        &[TANGLED, R100K, V4],
        Itself,
        AtMost(1000.0),
    ),
    goal("rules, 100k fw: bytes", SIZE, &[FW, R100K, V4], Itself, AtMost(30e6)),
    goal("rules, 100k hard: bytes", SIZE, &[HARD, R100K, V4], Itself, AtMost(30e6)),
    goal("rules, 100k nested: bytes", SIZE, &[NESTED, R100K, V4], Itself, AtMost(30e6)),
    goal("rules, 100k tangled: bytes", SIZE, &[TANGLED, R100K, V4], Itself, AtMost(30e6)),
    goal("deploy, 10k rules: milliseconds", ("deploy", "deploy_ms"), &[R10K], Itself, AtMost(150.0)),
    goal(
        "deploy, 10k rules: packets lost, beyond what is lost without",
        ("deploy", "lost"),
        &[R10K],
        Beyond("none"),
        AtMost(0.0),
    ),
    goal(
        "10M sessions expire: microseconds between bursts, beyond an empty loop's",
        ("expiry", "gap_us"),
        &[M10],
        Beyond("none"),
        AtMost(100.0),
    ),
    goal(
        "hand-off, half misplaced: of none misplaced",
        ("hand-off", "mpps"),
        &[("misplaced", Is::Share(0.5))],
        Other("misplaced", 0),
        AtLeast(0.6),
    ),
    goal(
        "a refused SYN of a flood, in established packets",
        ("hostile", "flood_cost"),
        &[FROM_WAN, SYN_FLOOD],
        Itself,
        AtMost(1.5),
    ),
    goal(
        "a first fragment of a flood, in established packets",
        ("hostile", "flood_cost"),
        &[FROM_WAN, FRAGMENTS],
        Itself,
        AtMost(1.5),
    ),
    goal(
        "SYN flood, syn_proxy: of established sessions' share of the core without it",
        ("flood", "kept_share"),
        &[SYN_FLOOD],
        Itself,
        AtLeast(0.9),
    ),
    goal(
        "floods: honest connections that open within their first retransmission",
        ("flood", "honest_opened"),
        &[],
        Itself,
        AtLeast(0.99),
    ),
    goal("floods: growth of memory, as a share", ("flood", "memory_growth"), &[], Itself, AtMost(0.01)),
    goal(
        "flood of the management side: of established sessions' share of the core in peace",
        ("flood", "kept_of_calm"),
        &[MANAGEMENT],
        Itself,
        AtLeast(0.9),
    ),
    goal(
        "latency p99.9 at half load: times testpmd's",
        ("latency", "p999_us"),
        &[HALF],
        Peer("testpmd"),
        AtMost(2.0),
    ),
];

impl Goal {
    /// The limit, as the report prints it.
    pub(super) fn limit(&self) -> String {
        match self.limit {
            AtLeast(limit) => format!("at least {}", number(limit)),
            AtMost(limit) => format!("at most {}", number(limit)),
        }
    }

    /// Whether it was reached; `None` if it was not measured.
    pub(super) fn outcome(&self, index: &Index) -> Option<Outcome> {
        let variants = index.variants(self.workload, self.figure)?;
        let values: Vec<Summary> = variants
            .iter()
            .filter(|(variant, _)| self.asks_for(variant))
            .filter_map(|(variant, subjects)| {
                let ours = subjects.get(OURS)?;
                match self.of {
                    Itself => ours.summary(),
                    Peer(peer) => ours.ratio(subjects.get(peer)?),
                    Beyond(peer) => ours.beside(subjects.get(peer)?, |ours, theirs| ours - theirs),
                    Other(name, value) => {
                        ours.ratio(variants.get(&variant.clone().with(name, value))?.get(OURS)?)
                    }
                }
            })
            .collect();
        let by_median = |a: &&Summary, b: &&Summary| a.median.total_cmp(&b.median);
        let value = match self.limit {
            AtLeast(_) => *values.iter().min_by(by_median)?,
            AtMost(_) => *values.iter().max_by(by_median)?,
        };
        let is_reached = match self.limit {
            AtLeast(limit) => value.median >= limit,
            AtMost(limit) => value.median <= limit,
        };
        Some(Outcome { value, is_reached, variants: values.len() })
    }

    /// Where it lies in a plot of that figure: what has to be reached in this variant, by these subjects.
    pub(super) fn mark(
        &self,
        workload: &str,
        figure: &str,
        variant: &Variant,
        subjects: &Subjects,
    ) -> Option<f64> {
        if (workload, figure) != (self.workload, self.figure) || !self.asks_for(variant) {
            return None;
        }
        let (AtLeast(limit) | AtMost(limit)) = self.limit;
        match self.of {
            Itself => Some(limit),
            Peer(peer) => Some(limit * subjects.get(peer)?.summary()?.median),
            Beyond(peer) => Some(limit + subjects.get(peer)?.summary()?.median),
            Other(..) => None,
        }
    }

    /// Whether it is about this variant; a setting that the variant does not have is not asked for.
    fn asks_for(&self, variant: &Variant) -> bool {
        self.settings.iter().all(|(name, is)| match (is, variant.get(name)) {
            (Is::Around(wanted), Some(_)) => {
                let wanted = f64::from(*wanted);
                variant.number(name).is_some_and(|number| (number - wanted).abs() <= 0.06 * wanted)
            }
            (Is::Share(wanted), Some(_)) => {
                variant.number(name).is_some_and(|share| (share - wanted).abs() < 1e-3)
            }
            (Is::Word(wanted), Some(Setting::Word(word))) => wanted == word,
            (_, Some(_)) => false,
            (_, None) => *name != "sessions" && *name != "rules",
        })
    }
}
