//! The keys of the appliance file.

use super::{PATH, VERSION, nonempty, optional, required};
use crate::diagnostic::{Fault, quoted};
use crate::shape::{List, Object, Shape, Text};
use crate::words::{Hugepages, Off, Poll, Word, names};

/// Worker threads, one a core.
pub(crate) const WORKERS_MAX: i64 = 64;
/// The highest number of a core.
pub(crate) const CORE_MAX: i64 = 1023;
/// Sessions that the table holds.
pub(crate) const CAPACITY_MIN: i64 = 64;
/// See [`CAPACITY_MIN`].
pub(crate) const CAPACITY_MAX: i64 = 200_000_000;
/// Where the management socket is, where nothing is said.
pub(crate) const SOCKET: &str = "/run/sekisho/sekisho.sock";
/// Where metrics are served, where nothing is said.
pub(crate) const METRICS: &str = "127.0.0.1:9469";

/// The appliance file.
pub(crate) static APPLIANCE: Object = Object {
    what: "the appliance file",
    nonempty: false,
    fields: &[
        required("version", Shape::Integer { min: VERSION, max: VERSION }, "The version of this language."),
        required(
            "ports",
            Shape::Object(&PORTS),
            "The two ports; a frame that arrives on one leaves by the other.",
        ),
        optional(
            "workers",
            Shape::Choice(&[
                Shape::Integer { min: 1, max: WORKERS_MAX },
                Shape::List(&List {
                    item: Shape::Integer { min: 0, max: CORE_MAX },
                    single: false,
                    empty: false,
                    count_max: 64,
                }),
            ]),
            "1",
            "How many worker threads there are, or the list of their cores.",
        ),
        optional("memory", Shape::Object(&MEMORY), "{hugepages: auto}", "Where packets and sessions lie."),
        optional(
            "sessions",
            Shape::Object(&SESSIONS),
            "{capacity: 1000000}",
            "The session table, and what of it each class of sessions may hold.",
        ),
        required("policy", PATH, "The policy file; its path is relative to this file."),
        optional("socket", PATH, SOCKET, "The Unix socket by which the appliance is spoken to."),
        optional(
            "access",
            Shape::Object(&ACCESS),
            "root, and the user that the appliance runs as",
            "Who else may speak to the appliance over its socket.",
        ),
        optional(
            "metrics",
            Shape::Choice(&[Shape::Text(&Text {
                what: "an address with a port such as 127.0.0.1:9469, or off",
                check: |text| metrics(text).map(|_| ()),
                pattern: r"^(off|[0-9.]+:[0-9]{1,5}|\[[0-9A-Fa-f:.]+\]:[0-9]{1,5})$",
            })]),
            METRICS,
            "Where Prometheus finds the metrics; port 0 lets the system choose; off serves none.",
        ),
        optional(
            "logs",
            Shape::Object(&LOGS),
            "no logs",
            "Where session starts, ends and drops are written.",
        ),
        optional(
            "eal",
            Shape::List(&List {
                item: Shape::Text(&Text { what: "an argument in quotes", check: nonempty, pattern: r"\S" }),
                single: false,
                empty: true,
                count_max: 256,
            }),
            "[]",
            "Further arguments for DPDK's environment, as they stand.",
        ),
        optional(
            "poll",
            Shape::Words(names::<Poll>),
            "busy",
            "What a worker does when nothing arrives: ask again at once (an appliance), or sleep (the lab).",
        ),
        optional(
            "link_state_propagation",
            Shape::Flag,
            "false",
            "Whether a port is taken down while the link of the other is down.",
        ),
    ],
};

static PORTS: Object = Object {
    what: "ports",
    nonempty: false,
    fields: &[
        required("lan", Shape::Object(&PORT), "The protected side."),
        required("wan", Shape::Object(&PORT), "The world."),
    ],
};

static PORT: Object = Object {
    what: "a port",
    nonempty: false,
    fields: &[
        required(
            "device",
            Shape::Text(&Text {
                what: "a PCI address such as 0000:03:00.1, or a DPDK device such as net_af_packet0,iface=eth1",
                check: device,
                pattern: r"^\S+$",
            }),
            "A PCI address, or any DPDK virtual device with its arguments.",
        ),
        optional(
            "mtu",
            Shape::Integer { min: 576, max: 9600 },
            "as the device has it",
            "The largest payload of a frame.",
        ),
        optional(
            "queues",
            Shape::Integer { min: 1, max: WORKERS_MAX },
            "as many as workers, if the device has them",
            "Receive queues, and as many transmit queues as workers need.",
        ),
        optional(
            "rx_descriptors",
            Shape::Integer { min: 64, max: 32768 },
            "1024",
            "Slots of each receive queue.",
        ),
        optional(
            "tx_descriptors",
            Shape::Integer { min: 64, max: 32768 },
            "1024",
            "Slots of each transmit queue.",
        ),
        optional(
            "promiscuous",
            Shape::Flag,
            "true",
            "Whether the port takes frames for other addresses than its own: a bump in the wire must.",
        ),
    ],
};

static MEMORY: Object = Object {
    what: "memory",
    nonempty: true,
    fields: &[optional(
        "hugepages",
        Shape::Words(names::<Hugepages>),
        "auto",
        "Whether huge pages are used if there are any, required, or left alone.",
    )],
};

static SESSIONS: Object = Object {
    what: "sessions",
    nonempty: true,
    fields: &[
        optional(
            "capacity",
            Shape::Integer { min: CAPACITY_MIN, max: CAPACITY_MAX },
            "1000000",
            "Sessions that the table holds, all workers together; its memory is taken at start.",
        ),
        optional(
            "half_open",
            Shape::Integer { min: 1, max: 99 },
            "what `one_way` leaves, or 50",
            "Percent of the table that handshakes which are not done may hold when room is short; what is free is lent.",
        ),
        optional(
            "one_way",
            Shape::Integer { min: 1, max: 99 },
            "what `half_open` leaves, or 50",
            "The same for packets that nobody answered.",
        ),
        optional(
            "established",
            Shape::Integer { min: 1, max: 100 },
            "100",
            "Percent of the table at which established sessions let no more begin, so that handshakes under way get done.",
        ),
        optional(
            "adaptive_timeouts",
            Shape::Flag,
            "true",
            "Whether timeouts of sessions that are not established, or are over, halve at 60, 80 and 95 percent of the table.",
        ),
    ],
};

static ACCESS: Object = Object {
    what: "access",
    nonempty: true,
    fields: &[
        optional(
            "read_group",
            GROUP,
            "nobody",
            "A group of the system whose members may ask, and change nothing.",
        ),
        optional(
            "admin_group",
            GROUP,
            "nobody",
            "A group of the system whose members may also deploy policies and end sessions.",
        ),
    ],
};

const GROUP: Shape = Shape::Text(&Text {
    what: "the name of a group",
    check: group,
    pattern: r"^[A-Za-z_][A-Za-z0-9_.-]{0,31}$",
});

static LOGS: Object = Object {
    what: "logs",
    nonempty: true,
    fields: &[
        optional(
            "file",
            PATH,
            "no file",
            "A file that gets a JSON object a line; its path is relative to this file.",
        ),
        optional(
            "syslog",
            Shape::Text(&Text {
                what: "an address with a port, or local",
                check: collector,
                pattern: r"^\S+$",
            }),
            "no syslog",
            "A syslog server. Not built yet: refused.",
        ),
        optional(
            "ipfix",
            Shape::Text(&Text { what: "an address with a port", check: collector, pattern: r"^\S+$" }),
            "no collector",
            "An IPFIX collector. Not built yet: refused.",
        ),
    ],
};

/// Where metrics are served; `None`: nowhere.
pub(crate) fn metrics(text: &str) -> Result<Option<std::net::SocketAddr>, Fault> {
    if Off::find(text).is_some() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        let remedy = "write one such as 127.0.0.1:9469 or [::1]:9469, or off";
        Fault::new(format!("{} is no address with a port", quoted(text)), remedy)
    })
}

fn device(text: &str) -> Result<(), Fault> {
    nonempty(text)?;
    if text.contains(char::is_whitespace) {
        let message = format!("the device {} has a space in it", quoted(text));
        return Err(Fault::new(
            message,
            "device and arguments are joined by commas: net_af_packet0,iface=eth1",
        ));
    }
    Ok(())
}

/// As useradd(8) takes it.
fn group(text: &str) -> Result<(), Fault> {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let is_other = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if text.len() <= 32 && text.starts_with(is_first) && text.chars().all(is_other) {
        return Ok(());
    }
    let message = format!("{} is no name of a group", quoted(text));
    Err(Fault::new(message, "write one that `getent group` lists, such as sekisho"))
}

fn collector(text: &str) -> Result<(), Fault> {
    nonempty(text)
}
