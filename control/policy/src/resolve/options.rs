//! Everything that is said once for the whole policy.

use sekisho_engine::policy::{
    Action, Inspection, LogLevel, PortScan, Protections, SpoofingMode, SynFlood, Timeouts,
};

use super::addresses::{AddressBook, Field};
use crate::diagnostic::Report;
use crate::text::{duration, ethertype};
use crate::words::{LinkLocalProtocol, Word};
use crate::yaml::Node;

/// The whole policy's options, defaults filled in.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) default_action: Action,
    pub(super) default_log: LogLevel,
    pub(super) timeouts: Timeouts,
    pub(super) inspection: Inspection,
    pub(super) protections: Protections,
}

/// Reads them. Their shape was checked, so what cannot be read was reported.
pub(super) fn options(
    root: &Node,
    zones_have_networks: bool,
    book: &mut AddressBook<'_>,
    report: &mut Report,
) -> Options {
    let defaults = root.get("defaults");
    let protections = root.get("protections");
    let spoofing = if zones_have_networks { SpoofingMode::Drop } else { SpoofingMode::Off };
    Options {
        default_action: word(defaults, "action").unwrap_or(Action::Drop),
        default_log: word(defaults, "log").unwrap_or(LogLevel::None),
        timeouts: timeouts(root.get("timeouts")),
        inspection: inspection(root.get("inspection"), report),
        protections: Protections {
            spoofing: word(protections, "spoofing").unwrap_or(spoofing),
            bogons: word(protections, "bogons").unwrap_or(SpoofingMode::Off),
            hijack: word(protections, "hijack").unwrap_or_default(),
            syn_flood: object(protections, "syn_flood").map_or(SynFlood::default(), |node| SynFlood {
                half_open: count(node, "half_open"),
                rate: count(node, "rate"),
            }),
            port_scan: object(protections, "port_scan").map(|node| port_scan(node, book, report)),
        },
    }
}

fn port_scan(node: &Node, book: &mut AddressBook<'_>, report: &mut Report) -> PortScan {
    let things = |key| count(node, key).and_then(|count| u16::try_from(count).ok());
    let allow = node.get("allow").map(|node| book.field(node, "allow", false, report));
    PortScan {
        ports: things("ports").unwrap_or(PortScan::THINGS_MAX).min(PortScan::THINGS_MAX),
        hosts: things("hosts").map(|hosts| hosts.min(PortScan::THINGS_MAX)),
        within_ms: millis(node, "within").unwrap_or(1),
        block_for_ms: millis(node, "block_for").unwrap_or(1),
        allow: match allow {
            Some(Field::Set(set)) => Some(set),
            _ => None,
        },
    }
}

/// The timeouts of a rule: those of the policy, with its own in their place.
pub(super) fn rule_timeouts(node: &Node, policy: &Timeouts) -> Timeouts {
    let mut timeouts = policy.clone();
    tcp(Some(node), &mut timeouts);
    udp_and_others(Some(node), &mut timeouts);
    timeouts
}

/// A small number.
pub(super) fn count(node: &Node, key: &str) -> Option<u32> {
    u32::try_from(node.get(key)?.integer()?).ok()
}

/// The value of a word.
pub(super) fn word<T: Word>(node: Option<&Node>, key: &str) -> Option<T> {
    T::find(node?.get(key)?.text()?)
}

fn object<'a>(node: Option<&'a Node>, key: &str) -> Option<&'a Node> {
    node?.get(key).filter(|node| !node.entries().is_empty())
}

fn millis(node: &Node, key: &str) -> Option<u32> {
    duration::parse(node.get(key)?.text()?, Timeouts::MAX_MS).ok()
}

fn timeouts(node: Option<&Node>) -> Timeouts {
    let mut timeouts = Timeouts::default();
    tcp(node.and_then(|node| node.get("tcp")), &mut timeouts);
    udp_and_others(node, &mut timeouts);
    set(node, "fragments", &mut timeouts.fragments_ms);
    timeouts
}

fn tcp(node: Option<&Node>, timeouts: &mut Timeouts) {
    set(node, "syn_sent", &mut timeouts.tcp_syn_sent_ms);
    set(node, "syn_received", &mut timeouts.tcp_syn_received_ms);
    set(node, "established", &mut timeouts.tcp_established_ms);
    set(node, "half_closed", &mut timeouts.tcp_half_closed_ms);
    set(node, "closing", &mut timeouts.tcp_closing_ms);
    set(node, "time_wait", &mut timeouts.tcp_time_wait_ms);
    set(node, "reset", &mut timeouts.tcp_reset_ms);
}

/// What `timeouts` and a rule's `timeout` have in common.
fn udp_and_others(node: Option<&Node>, timeouts: &mut Timeouts) {
    let udp = node.and_then(|node| node.get("udp"));
    set(udp, "unreplied", &mut timeouts.udp_unreplied_ms);
    set(udp, "replied", &mut timeouts.udp_replied_ms);
    set(udp, "stream", &mut timeouts.udp_stream_ms);
    set(node, "icmp", &mut timeouts.icmp_ms);
    let other = node.and_then(|node| node.get("other"));
    set(other, "unreplied", &mut timeouts.other_unreplied_ms);
    set(other, "replied", &mut timeouts.other_replied_ms);
    if let Some(on_expiry) = word(node, "on_expiry") {
        timeouts.on_expiry = on_expiry;
    }
    if let Some(probe) = object(node, "probe") {
        if let Some(retries) = count(probe, "retries").and_then(|retries| u8::try_from(retries).ok()) {
            timeouts.probe_retries = retries;
        }
        set(Some(probe), "interval", &mut timeouts.probe_interval_ms);
    }
}

fn set(node: Option<&Node>, key: &str, place: &mut u32) {
    if let Some(millis) = node.and_then(|node| millis(node, key)) {
        *place = millis;
    }
}

fn inspection(node: Option<&Node>, report: &mut Report) -> Inspection {
    let default = Inspection::default();
    let mut inspection = Inspection {
        tcp_window: word(node, "tcp_window").unwrap_or(default.tcp_window),
        midstream: word(node, "midstream").unwrap_or(default.midstream),
        grace_ms: node.and_then(|node| millis(node, "grace")).unwrap_or(default.grace_ms),
        fragments: word(node, "fragments").unwrap_or(default.fragments),
        sessions_on_deploy: word(node, "sessions_on_deploy").unwrap_or(default.sessions_on_deploy),
        ..default
    };
    if let Some(non_ip) = node.and_then(|node| node.get("non_ip")) {
        inspection.non_ip.clear();
        for item in non_ip.items() {
            let Some(number) = ether_type(item) else { continue };
            match ethertype::check(number) {
                Ok(()) => inspection.non_ip.push(number),
                Err(fault) => report.fault(item.place, fault),
            }
        }
        inspection.non_ip.sort_unstable();
        inspection.non_ip.dedup();
        inspection.llc = non_ip.items().iter().any(|item| item.text() == Some(ethertype::LLC));
    }
    if let Some(link_local) = node.and_then(|node| node.get("link_local")) {
        for protocol in link_local.items().iter().filter_map(|item| LinkLocalProtocol::find(item.text()?)) {
            match protocol {
                LinkLocalProtocol::Stp => inspection.link_local.stp = true,
                LinkLocalProtocol::Pause => inspection.link_local.pause = true,
                LinkLocalProtocol::Lacp => inspection.link_local.lacp = true,
                LinkLocalProtocol::Dot1x => inspection.link_local.dot1x = true,
                LinkLocalProtocol::Lldp => inspection.link_local.lldp = true,
            }
        }
    }
    inspection
}

/// The number of an EtherType given by name or number.
fn ether_type(item: &Node) -> Option<u16> {
    if let Some(number) = item.integer() {
        return u16::try_from(number).ok();
    }
    let text = item.text()?;
    ethertype::NAMES.iter().find(|(name, _)| *name == text).map(|(_, number)| *number)
}
