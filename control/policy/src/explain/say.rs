//! Explanations in words.

use std::fmt;

use sekisho_engine::policy::linear::Mismatch;
use sekisho_engine::policy::{Policy, Query, Rule, ZoneId};

use super::query::ExplainQuery;
use super::{Decider, Explanation, ZoneFound, passes};
use crate::model::Written;
use crate::text::{icmp, protocol};

/// The packet in the notation of the command line.
pub(super) fn packet(query: &ExplainQuery) -> String {
    let what = service(query.protocol, query.selector, query.source.is_ipv4());
    let ends = if protocol::WITH_PORTS.iter().any(|(_, number)| *number == query.protocol) {
        let source = std::net::SocketAddr::new(query.source, query.source_port);
        let destination = std::net::SocketAddr::new(query.destination, query.selector);
        format!("{source} to {destination}")
    } else {
        format!("{} to {}", query.source, query.destination)
    };
    let name = what.split('/').next().unwrap_or(&what);
    let what = if matches!(query.protocol, protocol::ICMP | protocol::ICMPV6) { &what } else { name };
    format!("{what} from {ends}, arriving on {}, {}", query.from, vlan(query.vlan))
}

/// A VLAN in words.
pub(super) fn vlan(vlan: u16) -> String {
    if vlan == 0 { "untagged".to_owned() } else { format!("VLAN {vlan}") }
}

/// What a rule would have to name to match.
fn service(number: u8, selector: u16, is_v4: bool) -> String {
    let name = protocol::name(number);
    match number {
        protocol::TCP | protocol::UDP | protocol::SCTP => format!("{name}/{selector}"),
        protocol::ICMP | protocol::ICMPV6 => {
            let known = icmp::NAMES.iter().find(|named| {
                let ranges = if is_v4 { named.v4 } else { named.v6 };
                ranges.iter().any(|range| range.contains(&selector))
            });
            match known {
                Some(named) => format!("{name}/{}", named.name),
                None => format!("{name}/{}/{}", selector >> 8, selector & 0xff),
            }
        }
        _ => name,
    }
}

/// Why a rule does not match.
pub(super) fn mismatch(
    policy: &Policy,
    rule: &Rule,
    written: &Written,
    asked: &Query,
    mismatch: Mismatch,
) -> String {
    let name = |id: &ZoneId| policy.ruleset.zones[usize::from(id.0)].name.to_string();
    let zones = |zones: &Option<Vec<ZoneId>>| {
        zones.as_deref().unwrap_or_default().iter().map(name).collect::<Vec<_>>().join(", ")
    };
    let zone = |id: Option<ZoneId>| id.as_ref().map_or_else(|| "no zone".to_owned(), name);
    let of = |written: &Option<Box<str>>| written.as_deref().unwrap_or("any").to_owned();
    match mismatch {
        Mismatch::From => format!("it comes from {}, not from {}", zone(asked.from), zones(&rule.from)),
        Mismatch::To => format!("it goes to {}, not to {}", zone(asked.to), zones(&rule.to)),
        Mismatch::Source => format!("{} is not in {}", asked.source, of(&written.source)),
        Mismatch::Destination => format!("{} is not in {}", asked.destination, of(&written.destination)),
        Mismatch::Service => {
            let service = service(asked.protocol, asked.selector, asked.source.is_ipv4());
            format!("{service} is not in {}", of(&written.service))
        }
    }
}

/// How the source proves that it is real.
fn syn_proxy(mode: &str) -> Option<&'static str> {
    match mode {
        "auto" => Some("under a flood of its destination its source first has to answer a SYN cookie"),
        "always" => Some("its source first has to answer a SYN cookie; then the server hears of it"),
        "verify" => {
            Some("a source that is not known first has to answer a challenge, and its SYN comes again")
        }
        _ => None,
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "packet   {}", self.packet)?;
        writeln!(f, "from     {}", self.from)?;
        writeln!(f, "to       {}", self.to)?;
        for step in &self.rules {
            let sign = if step.differs_in.is_some() { "no " } else { "YES" };
            writeln!(f, "rule     {sign} {} (line {}): {}", step.rule, step.line, step.why)?;
        }
        self.say_decision(f)?;
        if let Some(session) = &self.session {
            let timeouts: Vec<_> = session.timeouts.iter().map(super::StateTimeout::text).collect();
            writeln!(f, "session  it opens one: what belongs to it is forwarded both ways, without a rule")?;
            writeln!(f, "         idle timeouts: {}", timeouts.join(", "))?;
            let logged = if session.logged { "logged" } else { "not logged" };
            writeln!(f, "         {}; its start and end are {logged}", session.deploy_text())?;
            if let Some(means) = session.syn_proxy.and_then(syn_proxy) {
                writeln!(f, "         {means}")?;
            }
            if let Some(whose) = session.sequence_numbers {
                let whose = if whose == "randomise" { "of the end that answers" } else { "of both ends" };
                writeln!(f, "         the initial sequence numbers {whose} are replaced")?;
            }
            if let Some(helper) = session.helper {
                writeln!(
                    f,
                    "         the helper {helper} follows it: what it announces may open without a rule"
                )?;
            }
        }
        if let Some(session) = self.session.as_ref().filter(|session| !session.limits.is_empty()) {
            let limits: Vec<_> = session.limits.iter().map(super::LimitMeans::text).collect();
            writeln!(f, "         limits of the rule: {}", limits.join(", "))?;
        }
        Ok(())
    }
}

impl Explanation {
    fn say_decision(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (who, action) = match &self.decided_by {
            Decider::Rule { name, line, action } => {
                (format!("the rule {name} (line {line}): {action}"), *action)
            }
            Decider::Default { action } => (format!("no rule matches; the default: {action}"), *action),
            Decider::Inspection => ("the inspection, before any rule".to_owned(), ""),
        };
        writeln!(f, "decision {who}")?;
        writeln!(f, "verdict  {}, {}: {}", self.verdict, self.reason, self.reason_text)?;
        match self.answer {
            Some(answer) => writeln!(f, "         the sender is told: {answer}"),
            None if self.verdict == "drop" && !passes(action) => {
                writeln!(f, "         the sender is told nothing")
            }
            None => Ok(()),
        }
    }
}

impl fmt::Display for ZoneFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.zone, self.line) {
            (Some(zone), Some(line)) => write!(f, "{zone} (line {line}): {}", self.why),
            _ => write!(f, "no zone: {}", self.why),
        }
    }
}
