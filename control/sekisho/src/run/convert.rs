//! From the engine's terms to those of the interface, and back.

use sekisho_api as api;
use sekisho_engine::Ended;
use sekisho_engine::flow::FiveTuple;
use sekisho_engine::packet::{VlanStack, protocol, tcp_flags};
use sekisho_engine::policy::{Policy, RuleKey};
use sekisho_engine::port::Port;
use sekisho_engine::session::{SessionId, SessionView, State};
use sekisho_engine::time::Duration;
use sekisho_worker::query::{Filter, Prefix, zones_of};

use crate::run::names::Names;

pub(crate) const fn port_name(port: Port) -> api::PortName {
    match port {
        Port::Lan => api::PortName::Lan,
        Port::Wan => api::PortName::Wan,
    }
}

pub(crate) const fn port_of(name: api::PortName) -> Port {
    match name {
        api::PortName::Lan => Port::Lan,
        api::PortName::Wan => Port::Wan,
    }
}

pub(crate) const fn state_name(state: State) -> api::SessionState {
    match state {
        State::SynSent => api::SessionState::SynSent,
        State::SynReceived => api::SessionState::SynReceived,
        State::Established => api::SessionState::Established,
        State::HalfClosed => api::SessionState::HalfClosed,
        State::Closing => api::SessionState::Closing,
        State::TimeWait => api::SessionState::TimeWait,
        State::Reset => api::SessionState::Reset,
        State::Unreplied => api::SessionState::Unreplied,
        State::Replied => api::SessionState::Replied,
        State::Stream => api::SessionState::Stream,
        State::CookieWait => api::SessionState::CookieWait,
        State::CookieEchoed => api::SessionState::CookieEchoed,
        State::ShutdownSent => api::SessionState::ShutdownSent,
        State::ShutdownAckSent => api::SessionState::ShutdownAckSent,
        State::Closed => api::SessionState::Closed,
    }
}

pub(crate) const fn state_of(name: api::SessionState) -> State {
    match name {
        api::SessionState::SynSent => State::SynSent,
        api::SessionState::SynReceived => State::SynReceived,
        api::SessionState::Established => State::Established,
        api::SessionState::HalfClosed => State::HalfClosed,
        api::SessionState::Closing => State::Closing,
        api::SessionState::TimeWait => State::TimeWait,
        api::SessionState::Reset => State::Reset,
        api::SessionState::Unreplied => State::Unreplied,
        api::SessionState::Replied => State::Replied,
        api::SessionState::Stream => State::Stream,
        api::SessionState::CookieWait => State::CookieWait,
        api::SessionState::CookieEchoed => State::CookieEchoed,
        api::SessionState::ShutdownSent => State::ShutdownSent,
        api::SessionState::ShutdownAckSent => State::ShutdownAckSent,
        api::SessionState::Closed => State::Closed,
    }
}

pub(crate) const fn session_id(id: SessionId) -> api::SessionId {
    api::SessionId(id.number())
}

/// Ports where the protocol has them, type and identifier where it is ICMP.
pub(crate) fn five_tuple(tuple: &FiveTuple) -> api::FiveTuple {
    let has_ports = matches!(tuple.protocol, protocol::TCP | protocol::UDP | protocol::SCTP);
    let is_icmp = matches!(
        (tuple.protocol, tuple.source.is_ipv4()),
        (protocol::ICMP, true) | (protocol::ICMPV6, false)
    );
    api::FiveTuple {
        protocol: api::Protocol(tuple.protocol),
        source: tuple.source,
        destination: tuple.destination,
        source_port: has_ports.then_some(tuple.source_port),
        destination_port: has_ports.then_some(tuple.destination_port),
        icmp_type: u8::try_from(tuple.destination_port).ok().filter(|_| is_icmp),
        icmp_id: is_icmp.then_some(tuple.source_port),
    }
}

/// How a session had ended, of which a late packet speaks.
pub(crate) fn ended(ended: &Ended, rule: Option<&str>) -> api::Ended {
    api::Ended {
        ago_seconds: seconds(ended.ago),
        reason: ended.reason.name().to_owned(),
        state: state_name(ended.state),
        idle_seconds: seconds(ended.idle),
        timeout_seconds: seconds(ended.timeout),
        rule: rule.map(str::to_owned),
    }
}

/// Whole milliseconds as seconds, as short as they can be written.
pub(crate) fn seconds(span: Duration) -> f64 {
    span.as_millis() as f64 / 1000.0
}

/// Identifiers, outer first.
pub(crate) fn vlans(stack: VlanStack) -> Vec<u16> {
    [stack.outer(), stack.inner()].into_iter().filter(|vlan| *vlan != 0).collect()
}

/// Flags as tcpdump writes them, in the order of the header: `S`, `SA`, `FA`; `None` if there are none.
pub(crate) fn tcp_flags_text(flags: u8) -> Option<String> {
    const LETTERS: [(u8, char); 8] = [
        (tcp_flags::CWR, 'C'),
        (tcp_flags::ECE, 'E'),
        (tcp_flags::URG, 'U'),
        (tcp_flags::SYN, 'S'),
        (tcp_flags::FIN, 'F'),
        (tcp_flags::RST, 'R'),
        (tcp_flags::PSH, 'P'),
        (tcp_flags::ACK, 'A'),
    ];
    let text: String = LETTERS.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, letter)| letter).collect();
    (!text.is_empty()).then_some(text)
}

/// A session as listings show it; zones by `policy`, the one in force.
pub(crate) fn session(view: &SessionView, policy: &Policy, names: &Names) -> api::Session {
    let [source_zone, destination_zone] =
        zones_of(view, policy).map(|zone| names.zone(zone).map(|name| name.as_ref().to_owned()));
    let side =
        |port: Port| api::Packets { packets: view.packets[port.index()], bytes: view.bytes[port.index()] };
    api::Session {
        id: session_id(view.id),
        five_tuple: five_tuple(&view.five_tuple),
        state: state_name(view.state),
        rule: names.rule(view.rule).map(|name| name.as_ref().to_owned()),
        helper: view.helper.map(|helper| helper.name().to_owned()),
        parent: view.parent.map(session_id),
        from: port_name(view.from),
        source_zone,
        destination_zone,
        vlans: vlans(view.vlan),
        age_seconds: seconds(view.age),
        idle_seconds: seconds(view.idle),
        timeout_seconds: seconds(view.timeout),
        from_lan: side(Port::Lan),
        from_wan: side(Port::Wan),
    }
}

pub(crate) const fn prefix(prefix: api::Prefix) -> Prefix {
    Prefix { address: prefix.address, len: prefix.len }
}

/// The filter in the workers' terms; a name that means nothing is a wrong request.
pub(crate) fn filter(filter: &api::SessionFilter, names: &Names) -> Result<Filter, api::Fault> {
    Ok(Filter {
        id: filter.id.map(|id| SessionId::from_number(id.0)),
        address: filter.address.map(prefix),
        source: filter.source.map(prefix),
        destination: filter.destination.map(prefix),
        port: filter.port,
        protocol: filter.protocol.map(|protocol| protocol.0),
        zone: filter.zone.as_ref().map(|name| zone_of(name, names)).transpose()?,
        state: filter.state.map(state_of),
        rule: filter.rule.as_ref().map(|rule| rule_of(rule, names)).transpose()?,
        vlan: filter.vlan,
        from: filter.from.map(port_of),
    })
}

fn zone_of(name: &str, names: &Names) -> Result<sekisho_engine::policy::ZoneId, api::Fault> {
    names.find_zone(name).ok_or_else(|| {
        let zones: Vec<_> = names.zones().collect();
        let message = format!("the policy in force has no zone {name:?}: it has {}", zones.join(", "));
        api::Fault::new(api::FaultKind::BadRequest, message)
    })
}

/// The key of a rule that is or was in force.
pub(crate) fn rule_of(rule: &api::RuleName, names: &Names) -> Result<RuleKey, api::Fault> {
    match rule {
        api::RuleName::Default => Ok(RuleKey::NONE),
        api::RuleName::Rule(name) => names.find_rule(name).ok_or_else(|| {
            let message =
                format!("no rule {name:?} was ever in force: `sekisho counters` lists those that are");
            api::Fault::new(api::FaultKind::BadRequest, message)
        }),
    }
}

/// Whether a five-tuple fits the addresses, ports and protocol of a filter of drops.
pub(crate) fn tuple_matches(tuple: &FiveTuple, filter: &api::DropFilter) -> bool {
    let holds = |wanted: Option<api::Prefix>, address| wanted.is_none_or(|one| prefix(one).contains(address));
    let has_ports = matches!(tuple.protocol, protocol::TCP | protocol::UDP | protocol::SCTP);
    holds(filter.source, tuple.source)
        && holds(filter.destination, tuple.destination)
        && (holds(filter.address, tuple.source) || holds(filter.address, tuple.destination))
        && filter.protocol.is_none_or(|protocol| protocol.0 == tuple.protocol)
        && filter
            .port
            .is_none_or(|port| has_ports && (port == tuple.source_port || port == tuple.destination_port))
}

/// What the policy crate found, for the interface.
pub(crate) fn diagnostics(found: &sekisho_policy::Diagnostics) -> Vec<api::Diagnostic> {
    let convert = |one: &sekisho_policy::Diagnostic| api::Diagnostic {
        severity: match one.severity {
            sekisho_policy::Severity::Error => "error".to_owned(),
            sekisho_policy::Severity::Warning => "warning".to_owned(),
        },
        file: one.file.clone(),
        line: one.place.line,
        column: one.place.column,
        message: one.message.clone(),
        remedy: one.remedy.clone(),
    };
    found.iter().map(convert).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_and_ports_have_one_name_on_both_sides() {
        for state in State::ALL {
            assert_eq!(state_of(state_name(state)), state);
            assert_eq!(state_name(state).word(), state.name());
        }
        assert_eq!(api::SessionState::ALL.len(), State::COUNT);
        for port in Port::ALL {
            assert_eq!(port_of(port_name(port)), port);
            assert_eq!(port_name(port).word(), port.name());
        }
    }

    fn tuple(protocol: u8, source_port: u16, destination_port: u16) -> FiveTuple {
        let (source, destination) = ([192, 0, 2, 1].into(), [203, 0, 113, 5].into());
        FiveTuple { source, destination, source_port, destination_port, protocol }
    }

    #[test]
    fn ports_are_shown_where_there_are_ports() {
        let tcp = five_tuple(&tuple(protocol::TCP, 40_000, 443));
        assert_eq!((tcp.source_port, tcp.destination_port, tcp.icmp_id), (Some(40_000), Some(443), None));
        let echo = five_tuple(&tuple(protocol::ICMP, 77, 8));
        assert_eq!((echo.source_port, echo.icmp_type, echo.icmp_id), (None, Some(8), Some(77)));
        let esp = five_tuple(&tuple(protocol::ESP, 0, 0));
        assert_eq!((esp.source_port, esp.icmp_type), (None, None));
    }

    #[test]
    fn flags_are_written_as_tcpdump_does() {
        assert_eq!(tcp_flags_text(tcp_flags::SYN | tcp_flags::ACK).as_deref(), Some("SA"));
        assert_eq!(tcp_flags_text(0), None);
    }

    #[test]
    fn drops_are_found_by_either_end() {
        let filter = |text: &str| api::DropFilter {
            address: Some(text.parse().unwrap()),
            port: Some(443),
            ..api::DropFilter::default()
        };
        assert!(tuple_matches(&tuple(protocol::TCP, 40_000, 443), &filter("203.0.113.0/24")));
        assert!(tuple_matches(&tuple(protocol::TCP, 443, 9), &filter("192.0.2.1")));
        assert!(!tuple_matches(&tuple(protocol::TCP, 40_000, 80), &filter("192.0.2.1")));
        assert!(
            !tuple_matches(&tuple(protocol::ICMP, 443, 8), &filter("192.0.2.1")),
            "no port, an identifier"
        );
    }

    #[test]
    fn a_name_that_means_nothing_is_refused() {
        let wanted = api::SessionFilter { zone: Some("moon".into()), ..api::SessionFilter::default() };
        assert!(filter(&wanted, &Names::default()).unwrap_err().message.contains("moon"));
        let wanted = api::SessionFilter { rule: Some("x".parse().unwrap()), ..api::SessionFilter::default() };
        assert!(filter(&wanted, &Names::default()).unwrap_err().message.contains("counters"));
        let wanted = api::SessionFilter { rule: Some("-".parse().unwrap()), ..api::SessionFilter::default() };
        assert_eq!(filter(&wanted, &Names::default()).unwrap().rule, Some(RuleKey::NONE));
    }
}
