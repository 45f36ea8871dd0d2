//! The workloads and figures that the report knows by name: what they are called, and what they grow with. Others are
//! reported under the names that they have.

/// What the report says of a workload.
pub(super) struct Workload {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// The setting that plots have along their lower edge: a number, or a share, of which there are percent.
    pub(super) axis: &'static str,
}

/// What the report says of a figure.
pub(super) struct Figure {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) is_plotted: bool,
}

pub(super) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "established",
        about: "Packets of sessions that live, in random order, both ways.",
        axis: "sessions",
    },
    Workload {
        name: "setup",
        about: "New sessions without end, against rules of a firewall; whole short connections.",
        axis: "rules",
    },
    Workload {
        name: "rules",
        about: "First match among many rules, and what compiling them takes.",
        axis: "rules",
    },
    Workload {
        name: "deploy",
        about: "A new policy while packets pass: from the request to the last worker.",
        axis: "rules",
    },
    Workload {
        name: "expiry",
        about: "All sessions die within one second, while others are under load.",
        axis: "sessions",
    },
    Workload { name: "memory", about: "What a session takes, all told.", axis: "sessions" },
    Workload { name: "latency", about: "From the frame's arrival to its departure.", axis: "load" },
    Workload {
        name: "hand-off",
        about: "Frames that arrive on another worker than their session's.",
        axis: "misplaced",
    },
    Workload {
        name: "peers",
        about: "Others under the same traffic, on the same devices.",
        axis: "sessions",
    },
    Workload { name: "hostile", about: "Floods beside established sessions.", axis: "share" },
    Workload {
        name: "flood",
        about: "Floods at the highest rate that the core takes, beside established sessions and honest new ones: what each \
            keeps. `kept_share` is beside the same flood without `syn_proxy`, `kept_of_calm` beside none.",
        axis: "share",
    },
];

const fn figure(name: &'static str, title: &'static str) -> Figure {
    Figure { name, title, is_plotted: false }
}

const fn plotted(name: &'static str, title: &'static str) -> Figure {
    Figure { name, title, is_plotted: true }
}

/// In the order in which pages have them.
pub(super) const FIGURES: &[Figure] = &[
    plotted("mpps", "million packets a second (higher is better)"),
    plotted("cycles_per_packet", "cycles a packet, without those of making it (lower is better)"),
    figure("cycles_io", "cycles a packet to make and sink it"),
    figure("cycles_glance", "cycles a packet for a glance at its headers (lower is better)"),
    figure("cycles_inspect", "cycles a packet to find its session and inspect it (lower is better)"),
    figure("cycles_leave", "cycles a packet to queue it (lower is better)"),
    plotted("sessions_per_second", "new sessions a second (higher is better)"),
    figure("cycles_per_session", "cycles a session, without those of making its packets (lower is better)"),
    plotted("lookups_per_second", "lookups a second (higher is better)"),
    figure("single_lookups_per_second", "lookups a second, one by one (higher is better)"),
    plotted("compile_ms", "milliseconds to compile (lower is better)"),
    plotted("bytes", "bytes of the compiled rules (lower is better)"),
    plotted("deploy_ms", "milliseconds from the request to the last worker (lower is better)"),
    plotted("gap_us", "longest time between two bursts, microseconds (lower is better)"),
    figure("expired_per_second", "sessions that ended a second"),
    plotted("bytes_per_session", "bytes a session, all told (lower is better)"),
    figure("table_bytes_per_session", "bytes a session in the table alone (lower is better)"),
    plotted("p50_us", "latency, median, microseconds (lower is better)"),
    plotted("p99_us", "latency, 99th percentile, microseconds (lower is better)"),
    plotted("p999_us", "latency, 99.9th percentile, microseconds (lower is better)"),
    figure("max_us", "latency, the longest, microseconds (lower is better)"),
    figure("lost", "packets lost (lower is better)"),
    figure("drops", "packets dropped (lower is better)"),
    plotted("kept_share", "share of the established rate that is kept (higher is better)"),
    figure("cycles_given", "cycles a frame that was given, dropped ones as well (lower is better)"),
    figure("flood_cost", "cost of a flood packet, in established packets (lower is better)"),
    figure(
        "kept_of_calm",
        "share of the core that established sessions keep, of that in peace (higher is better)",
    ),
    figure("flood_mpps", "million hostile packets a second"),
    figure(
        "honest_opened",
        "share of honest connections that open within their first retransmission (higher is better)",
    ),
    figure("honest_at_once", "share of honest connections that open without one (higher is better)"),
    figure("memory_growth", "growth of the process's memory, as a share (lower is better)"),
    figure("memory_bytes", "bytes of the process at the end, without hugepages"),
    figure("connections_per_second", "connections to the socket and the metrics, a second"),
    figure("answer_ms", "the longest that an operator waits for the status, milliseconds (lower is better)"),
    figure("lost_share", "share of frames lost before the appliance"),
    figure(
        "overload_opened",
        "share of honest connections that open where frames are lost before the appliance",
    ),
];

/// What is known of a workload.
pub(super) fn workload(name: &str) -> Option<&'static Workload> {
    WORKLOADS.iter().find(|workload| workload.name == name)
}

/// What is known of a figure.
pub(super) fn figure_of(name: &str) -> Option<&'static Figure> {
    FIGURES.iter().find(|figure| figure.name == name)
}

/// Where a figure stands on its page: known ones first.
pub(super) fn rank(name: &str) -> usize {
    FIGURES.iter().position(|figure| figure.name == name).unwrap_or(FIGURES.len())
}

/// Settings that are shares, and so are drawn as percent.
pub(super) fn is_share(setting: &str) -> bool {
    matches!(setting, "load" | "misplaced" | "share")
}
