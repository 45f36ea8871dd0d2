//! Which rule decides a packet, and why: zone by zone, rule by rule, aloud.
//!
//! What is said of the rules comes from the linear matcher; what becomes of the packet from the engine itself, which
//! inspects a frame made for the purpose.

mod frame;
mod limits;
mod query;
mod say;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use sekisho_engine::flow::HashSecret;
use sekisho_engine::packet;
use sekisho_engine::policy::linear::{self, Mismatch};
use sekisho_engine::policy::{Action, AddressSetId, OnDeploy, Policy, Query, RuleNames, Timeouts};
use sekisho_engine::port::Port;
use sekisho_engine::reason::Reason;
use sekisho_engine::time::{Duration, Instant};
use sekisho_engine::{Config, Engine, Outbox, Running, Verdict};
use serde::Serialize;

use crate::load::Loaded;
use crate::model::ResolvedPolicy;
use crate::text::protocol;
use crate::words::Word;
pub use limits::LimitMeans;
pub use query::{BadQuery, ExplainQuery};

/// The answer. Displayed as text for people; serialized for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The packet.
    pub packet: String,
    /// Where it comes from.
    pub from: ZoneFound,
    /// Where it goes to.
    pub to: ZoneFound,
    /// The rules that were asked, the deciding one last; none if the packet never came to the rules.
    pub rules: Vec<Step>,
    /// Who decided.
    pub decided_by: Decider,
    /// `forward` or `drop`.
    pub verdict: &'static str,
    /// Why, from the vocabulary of verdicts and logs.
    pub reason: &'static str,
    /// The reason in words.
    pub reason_text: &'static str,
    /// What the sender is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<&'static str>,
    /// What the session that it opens means.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionMeans>,
}

/// A zone, and why it is that one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ZoneFound {
    /// Its name; `None`: no zone.
    pub zone: Option<String>,
    /// The line where it is defined.
    pub line: Option<u32>,
    /// Why.
    pub why: String,
}

/// One rule that was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Its name.
    pub rule: String,
    /// The line where it begins.
    pub line: u32,
    /// The first field that the packet does not fit; `None`: it matches.
    pub differs_in: Option<&'static str>,
    /// How, in words.
    pub why: String,
}

/// Who decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "by")]
pub enum Decider {
    /// A rule.
    Rule {
        /// Its name.
        name: String,
        /// The line where it begins.
        line: u32,
        /// What it does.
        action: &'static str,
    },
    /// No rule matched.
    Default {
        /// What `defaults.action` says.
        action: &'static str,
    },
    /// The inspection, before or without any rule.
    Inspection,
}

/// What a session means for the packets that follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SessionMeans {
    /// The timeouts of its states.
    pub timeouts: Vec<StateTimeout>,
    /// What becomes of it on a deploy whose policy would not allow it: `keep` or `rematch`.
    pub on_deploy: &'static str,
    /// Whether its start and end are logged.
    pub logged: bool,
    /// How its source proves that it is real, if it has to: `auto`, `always` or `verify`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub syn_proxy: Option<&'static str>,
    /// Whose initial sequence numbers are replaced, if any are: `randomise` or `randomise-both`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence_numbers: Option<&'static str>,
    /// The helper that follows it, and opens the connections that it announces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub helper: Option<&'static str>,
    /// The limits of its rule, by their keys.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<LimitMeans>,
}

/// The idle timeout of one state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StateTimeout {
    /// The state, by the name of its timeout.
    pub state: &'static str,
    /// Milliseconds without a packet.
    pub milliseconds: u32,
}

/// Explains what becomes of a first packet.
pub fn explain(loaded: &Loaded, query: &ExplainQuery) -> Explanation {
    let policy = Arc::new(loaded.compile(1, &mut RuleNames::default()));
    explain_compiled(&policy, &loaded.policy, query)
}

/// The same under a policy that is compiled already; `resolved` is what else its file says.
pub fn explain_compiled(
    policy: &Arc<Policy>,
    resolved: &ResolvedPolicy,
    query: &ExplainQuery,
) -> Explanation {
    let (verdict, answer) = inspect(policy, query);
    let ends = [query.source, query.destination];
    let asked = policy.query(query.from, query.vlan, ends, query.protocol, query.selector);
    let came_to_rules = came_to_rules(verdict);
    let rules = if came_to_rules { steps(resolved, policy, &asked) } else { Vec::new() };
    let decided_by = match rules.last() {
        _ if !came_to_rules => Decider::Inspection,
        Some(last) if last.differs_in.is_none() => Decider::Rule {
            name: last.rule.clone(),
            line: last.line,
            action: policy.ruleset.rules[rules.len() - 1].action.word(),
        },
        _ => Decider::Default { action: policy.ruleset.default_action.word() },
    };
    let opens = matches!(verdict.reason, Reason::SessionNew | Reason::SynCookie | Reason::SynChallenged);
    Explanation {
        packet: say::packet(query),
        from: zone_found(resolved, policy, query, query.from, query.source),
        to: zone_found(resolved, policy, query, query.from.other(), query.destination),
        rules,
        decided_by,
        verdict: if verdict.is_forward() { "forward" } else { "drop" },
        reason: verdict.reason.name(),
        reason_text: verdict.reason.text(),
        answer: answer.map(Reason::name),
        session: opens.then(|| session_means(policy, &verdict, query, &asked)),
    }
}

/// What the engine makes of the packet, and of an answer to it.
fn inspect(policy: &Arc<Policy>, query: &ExplainQuery) -> (Verdict, Option<Reason>) {
    let config =
        Config { worker: 0, capacity: 64, secret: HashSecret([1, 2, 3, 4]), report_all_sessions: false };
    let mut engine = Engine::new(config, Running::new(Arc::clone(policy)), Instant::ZERO);
    let frame = frame::frame(query);
    let facts = packet::parse(&frame, frame.len());
    let mut out = Outbox::new(4, 4);
    let verdict = engine.inspect(Instant::ZERO, query.from, &facts, &frame, &mut out);
    (verdict, out.frames.first().map(|frame| frame.reason))
}

/// Whether the rules, or the default in their place, decided.
fn came_to_rules(verdict: Verdict) -> bool {
    verdict.rule.is_some()
        || matches!(
            verdict.reason,
            Reason::DefaultDrop | Reason::DefaultReject | Reason::SessionNew | Reason::Stateless
        )
}

/// Every rule from the top to the first that matches.
fn steps(resolved: &ResolvedPolicy, policy: &Policy, asked: &Query) -> Vec<Step> {
    let mut steps = Vec::new();
    for (index, rule) in policy.ruleset.rules.iter().enumerate() {
        let info = &resolved.rules[index];
        let compared = linear::compare(&policy.ruleset, rule, asked);
        let differs_in = compared.err().map(|mismatch| match mismatch {
            Mismatch::From => "from",
            Mismatch::To => "to",
            Mismatch::Source => "source",
            Mismatch::Destination => "destination",
            Mismatch::Service => "service",
        });
        let why = match compared {
            Ok(()) => "every field fits".to_owned(),
            Err(mismatch) => say::mismatch(policy, rule, &info.written, asked, mismatch),
        };
        steps.push(Step { rule: rule.name.to_string(), line: info.place.line, differs_in, why });
        if differs_in.is_none() {
            break;
        }
    }
    steps
}

/// The zone of an address, by the same table as the engine's; and why.
fn zone_found(
    resolved: &ResolvedPolicy,
    policy: &Policy,
    query: &ExplainQuery,
    port: Port,
    address: IpAddr,
) -> ZoneFound {
    let zones = &policy.ruleset.zones;
    let fits = |index: &usize| {
        let zone = &zones[*index];
        zone.port == port && zone.vlans.as_ref().is_none_or(|vlans| vlans.contains(&query.vlan))
    };
    let candidates: Vec<usize> = (0..zones.len()).filter(fits).collect();
    let found = policy.zones.place(port, query.vlan, address).zone().map(|id| usize::from(id.0));
    let whose = format!("port {port}, {}", say::vlan(query.vlan));
    let why = match (found, candidates.len()) {
        (None, 0) => format!("no zone has {whose}"),
        (None, count) => format!("{count} zones have {whose}, the networks of none hold {address}"),
        (Some(_), 1) => format!("the only zone with {whose}"),
        (Some(index), _) if zones[index].networks.is_some() => {
            format!("of the zones with {whose}, its networks hold {address}")
        }
        (Some(_), _) => format!("of the zones with {whose}, no other's networks hold {address}"),
    };
    let elsewhere = zones.iter().find(|zone| {
        let holds = |set: AddressSetId| policy.ruleset.address_sets[set.0 as usize].contains(address);
        let is_found = found.is_some_and(|index| zones[index].name == zone.name);
        zone.port == port && !is_found && zone.networks.is_some_and(holds)
    });
    let why = match elsewhere.and_then(|zone| Some((zone, zone.vlans.as_deref()?))) {
        Some((zone, vlans)) => {
            format!("{why} ({} holds {address}, with VLAN {})", zone.name, query::numbers(vlans))
        }
        None => why,
    };
    ZoneFound {
        zone: found.map(|index| zones[index].name.to_string()),
        line: found.map(|index| resolved.zones[index].place.line),
        why,
    }
}

fn session_means(policy: &Policy, verdict: &Verdict, query: &ExplainQuery, asked: &Query) -> SessionMeans {
    let rule = verdict.rule.map(|id| policy.rule(id));
    let is_tcp = query.protocol == protocol::TCP;
    let on_deploy =
        rule.and_then(|rule| rule.sessions_on_deploy).unwrap_or(policy.ruleset.inspection.sessions_on_deploy);
    SessionMeans {
        timeouts: timeouts(policy.timeouts(policy.timeouts_of(verdict.rule)), query),
        on_deploy: on_deploy.word(),
        logged: policy.logs_sessions(verdict.rule),
        syn_proxy: rule.filter(|_| is_tcp).map(|rule| rule.syn_proxy.word()).filter(|word| *word != "off"),
        sequence_numbers: rule
            .filter(|_| is_tcp)
            .map(|rule| rule.sequence_numbers.word())
            .filter(|word| *word != "keep"),
        helper: policy.helper_for(verdict.rule, asked).map(Word::word),
        limits: rule
            .and_then(|rule| rule.limits.as_deref())
            .map_or_else(Vec::new, |limits| limits::means(limits, asked.source)),
    }
}

/// The timeouts that sessions of the packet's protocol have.
fn timeouts(timeouts: &Timeouts, query: &ExplainQuery) -> Vec<StateTimeout> {
    let states: Vec<(&'static str, u32)> = match query.protocol {
        protocol::TCP => vec![
            ("syn_sent", timeouts.tcp_syn_sent_ms),
            ("syn_received", timeouts.tcp_syn_received_ms),
            ("established", timeouts.tcp_established_ms),
            ("half_closed", timeouts.tcp_half_closed_ms),
            ("closing", timeouts.tcp_closing_ms),
            ("time_wait", timeouts.tcp_time_wait_ms),
            ("reset", timeouts.tcp_reset_ms),
        ],
        protocol::UDP => vec![
            ("unreplied", timeouts.udp_unreplied_ms),
            ("replied", timeouts.udp_replied_ms),
            ("stream", timeouts.udp_stream_ms),
        ],
        protocol::ICMP | protocol::ICMPV6 => vec![("icmp", timeouts.icmp_ms)],
        _ => vec![("unreplied", timeouts.other_unreplied_ms), ("replied", timeouts.other_replied_ms)],
    };
    states.into_iter().map(|(state, milliseconds)| StateTimeout { state, milliseconds }).collect()
}

impl StateTimeout {
    /// The timeout as an operator writes it.
    fn text(&self) -> String {
        format!("{} {}", self.state, Duration::from_millis(u64::from(self.milliseconds)))
    }
}

impl SessionMeans {
    /// What becomes of the session on a deploy, in words.
    fn deploy_text(&self) -> &'static str {
        match OnDeploy::find(self.on_deploy) {
            Some(OnDeploy::Rematch) => "a deploy whose policy would not allow it ends it at its next packet",
            _ => "it outlives a deploy whose policy would not allow it",
        }
    }
}

/// Whether an action lets the packet pass.
fn passes(action: &str) -> bool {
    Action::find(action) == Some(Action::Allow)
}
