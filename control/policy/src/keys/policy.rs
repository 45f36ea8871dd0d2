//! The keys of the policy file.

use sekisho_engine::policy::{
    Action, FragmentMode, HijackMode, Limits, LogLevel, MidstreamMode, OnDeploy, OnExpiry, PortScan,
    SequenceNumbers, SpoofingMode, SynProxyMode, TcpWindowMode, Timeouts,
};
use sekisho_engine::port::Port;

use super::{DURATION, PATH, VERSION, optional, required};
use crate::shape::{Field, List, Named, Object, Shape, Text};
use crate::text::{address, duration as duration_text, ethertype, name, service, vlan};
use crate::words::{Helper, LinkLocalProtocol, Off, names};

/// The most of each, far beyond what anybody writes and well within what the engine holds.
pub(crate) const ZONES_MAX: usize = 4096;
/// Rules of a policy.
pub(crate) const RULES_MAX: usize = 1_000_000;
/// Named addresses, and named services.
pub(crate) const OBJECTS_MAX: usize = 100_000;
/// Items of one list.
pub(crate) const ITEMS_MAX: usize = 1_000_000;

/// The policy file.
pub(crate) static POLICY: Object = Object {
    what: "the policy",
    nonempty: false,
    fields: &[
        required("version", Shape::Integer { min: VERSION, max: VERSION }, "The version of this language."),
        optional(
            "defaults",
            Shape::Object(&DEFAULTS),
            "{action: drop, log: none}",
            "What happens where no rule says otherwise.",
        ),
        optional(
            "zones",
            Shape::Named(&Named {
                what: "zones",
                name: name::object,
                pattern: name::OBJECT_PATTERN,
                value: Shape::Object(&ZONE),
                count_max: ZONES_MAX,
            }),
            "no zones",
            "Where packets come from and go to: a port, narrowed by VLANs and networks.",
        ),
        optional(
            "addresses",
            Shape::Named(&Named {
                what: "addresses",
                name: name::object,
                pattern: name::OBJECT_PATTERN,
                value: ADDRESSES,
                count_max: OBJECTS_MAX,
            }),
            "none",
            "Names for addresses, prefixes, ranges, files of them, and for several of these together.",
        ),
        optional(
            "services",
            Shape::Named(&Named {
                what: "services",
                name: service_name,
                pattern: name::OBJECT_PATTERN,
                value: SERVICES,
                count_max: OBJECTS_MAX,
            }),
            "none",
            "Names for protocols with their ports or types, and for several of these together.",
        ),
        optional(
            "rules",
            Shape::List(&List {
                item: Shape::Object(&RULE),
                single: false,
                empty: true,
                count_max: RULES_MAX,
            }),
            "no rules",
            "What is allowed, read from the top: the first rule that matches the first packet of a session decides.",
        ),
        optional(
            "timeouts",
            Shape::Object(&TIMEOUTS),
            "as its keys say",
            "How long sessions with no traffic are kept.",
        ),
        optional(
            "inspection",
            Shape::Object(&INSPECTION),
            "as its keys say",
            "How packets and sessions are inspected.",
        ),
        optional(
            "protections",
            Shape::Object(&PROTECTIONS),
            "as its keys say",
            "What is done against attacks, whatever the rules say.",
        ),
    ],
};

fn service_name(text: &str) -> Result<(), crate::diagnostic::Fault> {
    name::object(text)?;
    if crate::text::protocol::is_reserved(text) {
        return Err(crate::diagnostic::Fault::new(
            format!("the name \"{text}\" is a protocol's"),
            format!("choose another name, such as my-{text}"),
        ));
    }
    Ok(())
}

static DEFAULTS: Object = Object {
    what: "defaults",
    nonempty: true,
    fields: &[
        optional(
            "action",
            Shape::Words(names::<Action>),
            "drop",
            "What becomes of a first packet that no rule matches.",
        ),
        optional(
            "log",
            Shape::Words(names::<LogLevel>),
            "none",
            "What is logged where a rule does not say: nothing, dropped packets, start and end of sessions, or both.",
        ),
    ],
};

static ZONE: Object = Object {
    what: "a zone",
    nonempty: false,
    fields: &[
        required("port", Shape::Words(names::<Port>), "The port of the appliance that the zone lies behind."),
        optional(
            "vlans",
            Shape::List(&List {
                item: Shape::Choice(&[
                    Shape::Integer { min: 0, max: vlan::MAX as i64 },
                    Shape::Text(&Text {
                        what: "a range such as 100-199, or untagged",
                        check: |text| vlan::parse(text).map(|_| ()),
                        pattern: vlan::PATTERN,
                    }),
                ]),
                single: true,
                empty: false,
                count_max: ITEMS_MAX,
            }),
            "tagged and untagged frames alike",
            "VLANs that belong to the zone, by the outer tag; 0 or untagged stands for frames without a tag.",
        ),
        optional(
            "networks",
            ADDRESSES,
            "everything that is in no other zone of that port and VLAN",
            "Who lives there: another source that arrives from there is spoofed, and so is one of these that arrives \
             from elsewhere.",
        ),
        optional(
            "tcp_window",
            Shape::Words(names::<TcpWindowMode>),
            "inspection.tcp_window",
            "How strictly the windows of TCP sessions are held that begin in the zone.",
        ),
        optional(
            "midstream",
            Shape::Words(names::<MidstreamMode>),
            "inspection.midstream",
            "What becomes of a TCP packet from the zone of a session that nobody saw begin.",
        ),
    ],
};

/// What stands behind a name of addresses, and behind a zone's networks.
const ADDRESSES: Shape = Shape::List(&List {
    item: Shape::Choice(&[ADDRESS_TEXT, Shape::Object(&ADDRESS_FILE)]),
    single: true,
    empty: false,
    count_max: ITEMS_MAX,
});

const ADDRESS_TEXT: Shape = Shape::Text(&Text {
    what: "an address, a prefix, a range or the name of addresses",
    check: |text| address::reference(text).map(|_| ()),
    pattern: address::PATTERN,
});

static ADDRESS_FILE: Object = Object {
    what: "a file of addresses",
    nonempty: false,
    fields: &[required(
        "file",
        PATH,
        "A file with an address, a prefix or a range a line and # comments; its path is relative to the policy file.",
    )],
};

/// What stands behind a name of services.
const SERVICES: Shape = Shape::List(&List {
    item: Shape::Choice(&[SERVICE_TEXT, Shape::Object(&SERVICE_OBJECT)]),
    single: true,
    empty: false,
    count_max: ITEMS_MAX,
});

const SERVICE_TEXT: Shape = Shape::Text(&Text {
    what: "a service such as tcp/443 or icmp/echo, or the name of one",
    check: |text| service::reference(text).map(|_| ()),
    pattern: service::PATTERN,
});

static SERVICE_OBJECT: Object = Object {
    what: "a service",
    nonempty: false,
    fields: &[
        required(
            "ports",
            Shape::List(&List { item: SERVICE_TEXT, single: true, empty: false, count_max: ITEMS_MAX }),
            "The protocol and ports of its control sessions.",
        ),
        optional(
            "helper",
            Shape::Words(names::<Helper>),
            "none",
            "Who follows the protocol and opens the connections it announces.",
        ),
    ],
};

/// `any`, a name, or several.
const ZONES_OF_RULE: Shape = Shape::List(&List {
    item: Shape::Text(&Text {
        what: "the name of a zone, or any",
        check: |text| if text == "any" { Ok(()) } else { name::object(text) },
        pattern: name::OBJECT_PATTERN,
    }),
    single: true,
    empty: false,
    count_max: ZONES_MAX,
});

static RULE: Object = Object {
    what: "a rule",
    nonempty: false,
    fields: &[
        required(
            "name",
            Shape::Text(&Text { what: "a name", check: name::rule, pattern: name::RULE_PATTERN }),
            "Its name, unique in the policy: verdicts, logs and counters carry it.",
        ),
        optional("from", ZONES_OF_RULE, "any", "Source zones."),
        optional(
            "to",
            ZONES_OF_RULE,
            "any",
            "Destination zones. Only any matches a destination that is in no zone.",
        ),
        optional("source", ADDRESSES, "any", "Source addresses."),
        optional("destination", ADDRESSES, "any", "Destination addresses."),
        optional("service", SERVICES, "any", "Protocols, with their destination ports or types."),
        required(
            "action",
            Shape::Words(names::<Action>),
            "allow opens a session, drop is silent, reject tells the sender: a TCP reset, or ICMP administratively \
             prohibited.",
        ),
        optional("log", Shape::Flag, "as defaults.log says", "Whether what this rule decides is logged."),
        optional(
            "timeout",
            Shape::Object(&RULE_TIMEOUT),
            "as timeouts says",
            "Timeouts of the sessions that this rule allows.",
        ),
        optional(
            "sessions_on_deploy",
            Shape::Words(names::<OnDeploy>),
            "as inspection.sessions_on_deploy says",
            "What becomes of this rule's sessions on a deploy whose policy would not allow them.",
        ),
        optional(
            "syn_proxy",
            Shape::Words(names::<SynProxyMode>),
            "off",
            "Whether the source of a TCP connection has to prove that it is real: never; by a SYN cookie, under a flood \
             or always; or by the reset that answers a challenge.",
        ),
        optional(
            "sequence_numbers",
            Shape::Words(names::<SequenceNumbers>),
            "keep",
            "Whether the initial sequence numbers of TCP connections are replaced by ones that nobody can guess: not; \
             those of the end that answers; or those of both ends.",
        ),
        optional("limits", Shape::Object(&LIMITS), "no limits", "How much may be asked of this rule."),
    ],
};

const fn duration(key: &'static str, default: &'static str, doc: &'static str) -> Field {
    optional(key, DURATION, default, doc)
}

static RULE_TIMEOUT: Object = Object {
    what: "a rule's timeout",
    nonempty: true,
    fields: &[
        duration("syn_sent", "timeouts.tcp.syn_sent", "TCP: a SYN without an answer."),
        duration(
            "syn_received",
            "timeouts.tcp.syn_received",
            "TCP: a SYN/ACK without the ACK that ends the handshake.",
        ),
        duration("established", "timeouts.tcp.established", "TCP: established."),
        duration("half_closed", "timeouts.tcp.half_closed", "TCP: one side has sent its FIN."),
        duration("closing", "timeouts.tcp.closing", "TCP: both sides have sent their FIN."),
        duration("time_wait", "timeouts.tcp.time_wait", "TCP: both FINs are acknowledged."),
        duration("reset", "timeouts.tcp.reset", "TCP: after a reset."),
        optional("udp", Shape::Object(&RULE_UDP), "timeouts.udp", "UDP."),
        duration("icmp", "timeouts.icmp", "Queries of ICMP and ICMPv6."),
        optional("other", Shape::Object(&RULE_OTHER), "timeouts.other", "Other protocols."),
        optional(
            "on_expiry",
            Shape::Words(names::<OnExpiry>),
            "timeouts.on_expiry",
            "What the ends of a TCP session are told when it expires: nothing, a reset, or a probe whether they live.",
        ),
        optional("probe", Shape::Object(&PROBE), "timeouts.probe", "How the ends are probed."),
    ],
};

static RULE_UDP: Object = Object {
    what: "timeouts of udp",
    nonempty: true,
    fields: &[
        duration("unreplied", "timeouts.udp.unreplied", "No answer yet."),
        duration("replied", "timeouts.udp.replied", "Answered."),
        duration("stream", "timeouts.udp.stream", "Traffic both ways for longer than 2 s."),
    ],
};

static RULE_OTHER: Object = Object {
    what: "timeouts of other protocols",
    nonempty: true,
    fields: &[
        duration("unreplied", "timeouts.other.unreplied", "No answer yet."),
        duration("replied", "timeouts.other.replied", "Answered."),
    ],
};

/// New sessions a second.
const RATE: Shape = Shape::Integer { min: 1, max: Limits::NEW_PER_SECOND_MAX as i64 };

static LIMITS_PREFIX: Object = Object {
    what: "prefix",
    nonempty: true,
    fields: &[
        optional("ipv4", Shape::Integer { min: 1, max: 32 }, "24", "Leading bits of an IPv4 address."),
        optional("ipv6", Shape::Integer { min: 1, max: 128 }, "56", "Leading bits of an IPv6 address."),
    ],
};

static LIMITS: Object = Object {
    what: "limits",
    nonempty: true,
    fields: &[
        optional(
            "sessions_per_source",
            Shape::Integer { min: 1, max: 100_000_000 },
            "no limit",
            "Live sessions of this rule that one source address may have.",
        ),
        optional(
            "new_sessions_per_second_per_source",
            RATE,
            "no limit",
            "New sessions of this rule that one source address may open in a second.",
        ),
        optional(
            "sessions_per_prefix",
            Shape::Integer { min: 1, max: 100_000_000 },
            "no limit",
            "Live sessions of this rule that all source addresses of one prefix may have together.",
        ),
        optional(
            "new_sessions_per_second_per_prefix",
            RATE,
            "no limit",
            "New sessions of this rule that all source addresses of one prefix may open in a second.",
        ),
        optional(
            "prefix",
            Shape::Object(&LIMITS_PREFIX),
            "{ipv4: 24, ipv6: 56}",
            "The length of the prefixes that the limits per prefix count by.",
        ),
        optional(
            "sessions",
            Shape::Integer { min: 1, max: 100_000_000 },
            "no limit",
            "Live sessions of this rule.",
        ),
        optional("new_sessions_per_second", RATE, "no limit", "New sessions of this rule in a second."),
        optional(
            "packets_per_second",
            Shape::Integer { min: 1, max: Limits::PACKETS_PER_SECOND_MAX as i64 },
            "no limit",
            "Packets of all sessions of this rule in a second, both ways together.",
        ),
        optional(
            "bits_per_second",
            Shape::Integer {
                min: Limits::BITS_PER_SECOND_MIN as i64,
                max: Limits::BITS_PER_SECOND_MAX as i64,
            },
            "no limit",
            "Bits of the frames of all sessions of this rule in a second, both ways together.",
        ),
    ],
};

static TIMEOUTS: Object = Object {
    what: "timeouts",
    nonempty: true,
    fields: &[
        optional("tcp", Shape::Object(&TCP), "as its keys say", "TCP, by state."),
        optional("udp", Shape::Object(&UDP), "as its keys say", "UDP."),
        duration("icmp", "60s", "Queries of ICMP and ICMPv6."),
        optional("other", Shape::Object(&OTHER), "as its keys say", "Other protocols."),
        duration("fragments", "30s", "Fragments of a datagram that is not whole."),
        optional(
            "on_expiry",
            Shape::Words(names::<OnExpiry>),
            "silent",
            "What the ends of a TCP session are told when it expires, where the rule does not say.",
        ),
        optional("probe", Shape::Object(&PROBE), "{retries: 3, interval: 10s}", "How the ends are probed."),
    ],
};

static PROBE: Object = Object {
    what: "probe",
    nonempty: true,
    fields: &[
        optional(
            "retries",
            Shape::Integer { min: 1, max: Timeouts::PROBE_RETRIES_MAX as i64 },
            "3",
            "How often both ends are asked before the session ends.",
        ),
        optional("interval", PROBE_INTERVAL, "10s", "Time from one question to the next."),
    ],
};

const PROBE_INTERVAL: Shape = Shape::Text(&Text {
    what: "a duration from 1ms to 1h, such as 10s",
    check: |text| duration_text::parse(text, Timeouts::PROBE_INTERVAL_MAX_MS).map(|_| ()),
    pattern: duration_text::PATTERN,
});

static TCP: Object = Object {
    what: "timeouts of tcp",
    nonempty: true,
    fields: &[
        duration("syn_sent", "30s", "A SYN without an answer."),
        duration("syn_received", "30s", "A SYN/ACK without the ACK that ends the handshake."),
        duration("established", "2h4m", "Established."),
        duration("half_closed", "15m", "One side has sent its FIN."),
        duration("closing", "2m", "Both sides have sent their FIN, not both are acknowledged."),
        duration("time_wait", "30s", "Both FINs are acknowledged."),
        duration("reset", "10s", "After a reset."),
    ],
};

static UDP: Object = Object {
    what: "timeouts of udp",
    nonempty: true,
    fields: &[
        duration("unreplied", "30s", "No answer yet."),
        duration("replied", "2m", "Answered."),
        duration("stream", "5m", "Traffic both ways for longer than 2 s."),
    ],
};

static OTHER: Object = Object {
    what: "timeouts of other protocols",
    nonempty: true,
    fields: &[duration("unreplied", "1m", "No answer yet."), duration("replied", "10m", "Answered.")],
};

static INSPECTION: Object = Object {
    what: "inspection",
    nonempty: true,
    fields: &[
        optional(
            "tcp_window",
            Shape::Words(names::<TcpWindowMode>),
            "strict",
            "Whether TCP packets outside the windows are dropped, only logged, or not looked for.",
        ),
        optional(
            "midstream",
            Shape::Words(names::<MidstreamMode>),
            "drop",
            "What becomes of a TCP packet of a session that nobody saw begin.",
        ),
        optional(
            "grace",
            DURATION,
            "none",
            "For so long after the appliance started, every zone has midstream: pickup, and tcp_window: log where it is \
             strict.",
        ),
        optional(
            "fragments",
            Shape::Words(names::<FragmentMode>),
            "reassemble",
            "Whether fragments are put together for inspection and forwarded as they came, or dropped.",
        ),
        optional(
            "sessions_on_deploy",
            Shape::Words(names::<OnDeploy>),
            "keep",
            "What becomes of sessions that a new policy would not allow: they go on, or are decided again.",
        ),
        optional(
            "non_ip",
            Shape::List(&List {
                item: Shape::Choice(&[
                    Shape::Integer { min: ethertype::MIN as i64, max: 0xffff },
                    Shape::Words(ethertype_words),
                ]),
                single: true,
                empty: true,
                count_max: ITEMS_MAX,
            }),
            "[arp]",
            "EtherTypes that pass unseen, by name or number; llc stands for frames with a length instead of one.",
        ),
        optional(
            "link_local",
            Shape::List(&List {
                item: Shape::Words(names::<LinkLocalProtocol>),
                single: true,
                empty: true,
                count_max: ITEMS_MAX,
            }),
            "[]",
            "Frames to 01-80-C2-00-00-0x that pass.",
        ),
    ],
};

fn ethertype_words() -> Vec<&'static str> {
    ethertype::NAMES.iter().map(|(name, _)| *name).chain([ethertype::LLC]).collect()
}

static PROTECTIONS: Object = Object {
    what: "protections",
    nonempty: true,
    fields: &[
        optional(
            "spoofing",
            Shape::Words(names::<SpoofingMode>),
            "drop once a zone names its networks, else off",
            "Sources that the zones' networks say live elsewhere.",
        ),
        optional(
            "bogons",
            Shape::Words(names::<SpoofingMode>),
            "off",
            "Sources that nobody may have: unspecified, loopback, multicast, broadcast, class E, v4-mapped.",
        ),
        optional(
            "hijack",
            Shape::Words(names::<HijackMode>),
            "off",
            "TCP sessions whose ends lose count of each other as when somebody speaks in the name of one: logged, or ended.",
        ),
        optional(
            "syn_flood",
            Shape::Choice(&[Shape::Words(names::<Off>), Shape::Object(&SYN_FLOOD)]),
            "off",
            "When the SYN cookies of rules with syn_proxy: auto begin for a destination; either figure starts them.",
        ),
        optional(
            "port_scan",
            Shape::Choice(&[Shape::Words(names::<Off>), Shape::Object(&PORT_SCAN)]),
            "off",
            "A source to which more than ports different destination ports were refused within a time is blocked.",
        ),
    ],
};

static SYN_FLOOD: Object = Object {
    what: "syn_flood",
    nonempty: true,
    fields: &[
        optional(
            "half_open",
            Shape::Integer { min: 1, max: 100_000_000 },
            "not looked at",
            "Connections to one destination half open at once.",
        ),
        optional(
            "rate",
            Shape::Integer { min: 1, max: 100_000_000 },
            "not looked at",
            "New connections to one destination a second.",
        ),
    ],
};

/// Ports, or hosts, that may be refused to one source.
const THINGS: Shape = Shape::Integer { min: 1, max: PortScan::THINGS_MAX as i64 };

static PORT_SCAN: Object = Object {
    what: "port_scan",
    nonempty: false,
    fields: &[
        required("ports", THINGS, "Different destination ports."),
        required("within", DURATION, "Within this time."),
        required("block_for", DURATION, "How long the source is blocked."),
        optional(
            "hosts",
            THINGS,
            "not looked at",
            "Different hosts: more of them refused to one source on one port, within the time, block it as well.",
        ),
        optional("allow", ADDRESSES, "nobody", "Sources that are never blocked."),
    ],
};
