//! What the appliance can be asked.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::blocks::{Block, BlockFilter};
use crate::words::{PortName, Prefix, Protocol, RuleName, SessionId, SessionState};

/// A request: the whole interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// What the appliance is and how it is; answered with [`crate::Status`].
    Status,
    /// Run another policy: all workers switch to it or none does; answered with [`crate::Deployed`].
    Deploy(Deploy),
    /// What a deploy would mean to the live sessions, without doing it; answered with [`crate::DryRun`].
    DryRun(Deploy),
    /// What the appliance knows of a packet: the rule that decides it now, its session, its end, its drops; answered
    /// with [`crate::LiveExplanation`].
    Explain(Explain),
    /// Prefixes of which only one direction of TCP comes through; answered with [`crate::Asymmetric`].
    Asymmetric,
    /// A page of the live sessions; answered with [`crate::SessionPage`].
    ListSessions(ListSessions),
    /// How many live sessions there are; answered with [`crate::SessionCount`].
    CountSessions(SessionFilter),
    /// End live sessions; answered with [`crate::SessionCount`], of those that were ended.
    EndSessions(SessionFilter),
    /// What control sessions have announced; answered with [`crate::Expectations`].
    ListExpectations(ExpectationFilter),
    /// Sources that may open no session; answered with [`crate::Blocks`].
    ListBlocks(BlockFilter),
    /// Block a source, or change until when it is blocked; answered with [`crate::BlockCount`], 0 if that was not so.
    Block(Block),
    /// Let blocked sources go; answered with [`crate::BlockCount`], of those that were.
    ReleaseBlocks(BlockFilter),
    /// All counters; answered with [`crate::Counters`].
    Counters,
    /// The last drops; answered with [`crate::Drops`].
    ListDrops(ListDrops),
}

/// A policy to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Deploy {
    /// Stands for the file in messages.
    #[schema(example = "policy.yaml")]
    pub name: String,
    /// The text of the policy file.
    pub text: String,
    /// The directory, on the appliance, where feed files are looked for: absolute. Left out: that of the policy file
    /// that the appliance started with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
}

/// A packet to explain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Explain {
    /// Where it comes from: lan, wan, or a zone of the policy in force.
    pub from: String,
    /// The VLAN of its frame; left out: that of the zone, or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(maximum = 4094)]
    pub vlan: Option<u16>,
    /// The packet, as `sekisho explain` takes it: tcp 192.0.2.10:40000 203.0.113.5:443
    pub packet: String,
}

/// Which sessions: those that fit every field that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct SessionFilter {
    /// The session of that name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<SessionId>,
    /// The address of one end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Prefix>,
    /// The address of the end that opened it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Prefix>,
    /// The address of the other end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<Prefix>,
    /// The port of one end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// The zone of one end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Where it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<SessionState>,
    /// The rule that allowed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleName>,
    /// The outer VLAN; 0 for untagged.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(maximum = 4094)]
    pub vlan: Option<u16>,
    /// The port of the appliance on which its first packet arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<PortName>,
}

/// Which expectations: those that fit every field that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct ExpectationFilter {
    /// The address of one end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Prefix>,
    /// The address of the end that is to open it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Prefix>,
    /// The address of the end that awaits it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<Prefix>,
    /// The port on which it is awaited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// The rule of the control session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleName>,
    /// The outer VLAN; 0 for untagged.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(maximum = 4094)]
    pub vlan: Option<u16>,
    /// The port of the appliance on which its first packet must arrive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<PortName>,
    /// The control session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<SessionId>,
}

/// A page of sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListSessions {
    /// Which sessions.
    pub filter: SessionFilter,
    /// Where on the page.
    pub page: SessionPageQuery,
}

/// Which page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct SessionPageQuery {
    /// Sessions on the page at most; it may have fewer though more follow. 1000 if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 10000)]
    pub limit: Option<u32>,
    /// `next` of the page before; left out for the first page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// The last drops.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListDrops {
    /// Which drops.
    pub filter: DropFilter,
    /// Which of those.
    pub page: DropPageQuery,
}

/// Which drops: those that fit every field that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct DropFilter {
    /// The source or the destination address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Prefix>,
    /// The source address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Prefix>,
    /// The destination address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<Prefix>,
    /// The source or the destination port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// Source or destination zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Why it was dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The rule that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleName>,
    /// The outer VLAN; 0 for untagged.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(maximum = 4094)]
    pub vlan: Option<u16>,
    /// The port of the appliance on which it arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<PortName>,
}

/// Which of the drops that fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct DropPageQuery {
    /// The newest so many; all that are remembered if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 4096)]
    pub limit: Option<u32>,
    /// Only those after this number: `last` of an earlier answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}
