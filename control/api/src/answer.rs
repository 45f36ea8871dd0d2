//! What the appliance answers. Times of day are RFC 3339 in UTC, spans are seconds.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::blocks::BlockedSource;
use crate::words::{PortName, Prefix, Protocol, SessionId, SessionState};

/// What the appliance is and how it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// Its version.
    pub version: String,
    /// The DPDK that it runs on.
    pub dpdk: String,
    /// Its process.
    pub pid: u32,
    /// When it started.
    pub started: String,
    /// Seconds since then.
    pub uptime_seconds: f64,
    /// The appliance file.
    pub appliance_file: String,
    /// Seconds for which sessions are still picked up in midstream and windows only logged because the appliance started
    /// lately (`inspection.grace`); `null` if that is over.
    pub grace_remaining_seconds: Option<f64>,
    /// The address on which metrics are served, with the real port; `null` if they are not.
    pub metrics: Option<String>,
    /// Whether packets lie in hugepages.
    pub hugepages: bool,
    /// The policy in force.
    pub policy: PolicyStatus,
    /// Live sessions.
    pub sessions: u64,
    /// Sessions that the tables can hold.
    pub sessions_capacity: u64,
    /// What attacks have come to.
    pub attacks: AttackStatus,
    /// The two ports, LAN first.
    pub ports: Vec<PortStatus>,
    /// The workers, in order of their numbers.
    pub workers: Vec<WorkerStatus>,
    /// The flow log; `null` if there is none.
    pub log: Option<LogStatus>,
}

/// What attacks have come to: what is full, flooded, kept out or suspected.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AttackStatus {
    /// The highest mark, in percent of all session tables together, that was passed and not left by five percent: 60, 80 or
    /// 95; 0: none.
    pub table_alarm_percent: u64,
    /// Sessions whose handshake is not done.
    pub sessions_half_open: u64,
    /// Sessions of which only one side has spoken.
    pub sessions_one_way: u64,
    /// Destinations whose new connections are answered with SYN cookies because they are flooded (`syn_proxy: auto`).
    pub flooded_destinations: u64,
    /// Handshakes with servers that are under way for clients which have answered a SYN cookie.
    pub syn_proxy_handshakes: u64,
    /// Sources that have shown that they are real (`syn_proxy: verify`).
    pub verified_sources: u64,
    /// Sources on the block list.
    pub blocked_sources: u64,
    /// Packets, since the start, that gave a TCP session away as hijacked (`protections.hijack`).
    pub hijack_signs: u64,
}

/// The policy in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyStatus {
    /// Rises with each deploy.
    pub generation: u32,
    /// The file, as it was named.
    pub name: String,
    /// SHA-256 of the policy file followed by its feed files, as `sekisho check --json` tells it.
    pub sha256: String,
    /// Its rules.
    pub rules: u64,
    /// When it was deployed.
    pub deployed: String,
    /// Seconds since then.
    pub age_seconds: f64,
}

/// A port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PortStatus {
    /// Which.
    pub port: PortName,
    /// Its device as the appliance opened it, with all arguments.
    pub device: String,
    /// The device's driver.
    pub driver: String,
    /// Its Ethernet address.
    pub mac: String,
    /// Its link; `null` if the device does not tell.
    pub link: Option<Link>,
    /// Whether the appliance holds it down because the other port's link is down.
    pub held_down: bool,
    /// Bytes of payload of the largest frame.
    pub mtu: u16,
    /// Receive queues.
    pub rx_queues: u16,
    /// Transmit queues.
    pub tx_queues: u16,
    /// How frames reach the worker that owns their session: by the device, or over hand-off rings.
    pub steering: String,
    /// What differs from what was asked for.
    pub notes: Vec<String>,
}

/// A link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Link {
    /// The other end is there.
    pub up: bool,
    /// Megabits per second, where known.
    pub speed_mbps: Option<u32>,
    /// Both directions at once.
    pub full_duplex: bool,
}

/// A worker.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorkerStatus {
    /// Its number.
    pub worker: u16,
    /// Its core.
    pub core: u16,
    /// Its live sessions.
    pub sessions: u64,
    /// Sessions that its table can hold.
    pub sessions_capacity: u64,
    /// The part of its time in which it had frames, 0 to 1, since the start.
    pub busy_share: f64,
    /// The generation of the policy that it runs.
    pub policy_generation: u32,
}

/// The flow log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogStatus {
    /// The file.
    pub file: String,
    /// Lines written.
    pub lines_written: u64,
    /// Lines lost because the disk was slow, full or broken.
    pub lines_lost: u64,
}

/// A deploy that is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Deployed {
    /// The generation of the policy that is now in force.
    pub generation: u32,
    /// SHA-256 of the policy file followed by its feed files.
    pub sha256: String,
    /// Its rules.
    pub rules: u64,
    /// What is odd about the policy, without being wrong.
    pub warnings: Vec<Diagnostic>,
}

/// What a deploy would mean to the live sessions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DryRun {
    /// SHA-256 of the policy file followed by its feed files.
    pub sha256: String,
    /// Its rules.
    pub rules: u64,
    /// What is odd about the policy, without being wrong.
    pub warnings: Vec<Diagnostic>,
    /// Live sessions that were looked at.
    pub sessions: u64,
    /// Those that would end, each at its next packet (`sessions_on_deploy: rematch`).
    pub ends: u64,
    /// Those that would go on, though the policy would not allow them any more (`sessions_on_deploy: keep`).
    pub outlives: u64,
    /// The same by the rule that they have now, the most first; rules without such sessions are left out.
    pub by_rule: Vec<DryRunRule>,
    /// A few of these sessions of each rule.
    pub samples: Vec<DryRunSample>,
    /// How long it took to look at all sessions.
    pub seconds: f64,
}

/// Sessions of a rule that a policy would not allow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DryRunRule {
    /// The rule that allowed them; `null` for the default action.
    pub rule: Option<String>,
    /// Those that would end.
    pub ends: u64,
    /// Those that would go on.
    pub outlives: u64,
}

/// A session that a policy would not allow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DryRunSample {
    /// Whether it would end; else it would go on.
    pub ends: bool,
    /// The session.
    pub session: Session,
}

/// What the appliance knows of a packet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LiveExplanation {
    /// What would become of a first packet under the policy in force, in words, rule by rule.
    pub explanation: String,
    /// `forward` or `drop`.
    pub verdict: String,
    /// Why, one of the vocabulary in docs/reasons.md.
    pub reason: String,
    /// The rule that decides; `null` if none does.
    pub rule: Option<String>,
    /// The live session that the packet belongs to.
    pub session: Option<Session>,
    /// The worker that owns the session.
    pub worker: Option<u16>,
    /// The session of the same five-tuple that the appliance cut, as far as it is remembered.
    pub ended: Option<EndedSession>,
    /// Its source, if that is blocked: a packet that belongs to no live session is dropped, whatever the policy says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<BlockedSource>,
    /// The last drops of either direction that are remembered, oldest first.
    pub drops: Vec<Drop>,
}

/// A session that the appliance cut.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EndedSession {
    /// Its name.
    pub session: SessionId,
    /// When it ended.
    pub time: String,
    /// How.
    #[serde(flatten)]
    pub ended: Ended,
}

/// Prefixes of which only one direction of TCP comes through: where routing is asymmetric, or somebody scans.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Asymmetric {
    /// The prefixes, those with the most packets first.
    pub prefixes: Vec<AsymmetricPrefix>,
    /// All evidence since the start, that of prefixes which had to make room for others included.
    pub evidence: Vec<EvidenceCount>,
}

/// A prefix of which only one direction comes through.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AsymmetricPrefix {
    /// Whose packets come through.
    pub prefix: Prefix,
    /// The port on which they arrive.
    pub from: PortName,
    /// All evidence of it.
    pub packets: u64,
    /// By kind.
    pub evidence: Vec<EvidenceCount>,
    /// Seconds since the last of it.
    pub last_seconds_ago: f64,
}

/// How often something gave away that only one direction comes through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EvidenceCount {
    /// `syn-ack-without-syn`, `packet-without-session`, `handshake-half-seen` or `one-sided-session`.
    pub evidence: String,
    /// How often.
    pub count: u64,
}

/// A fault or an oddity of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Diagnostic {
    /// `error` or `warning`.
    pub severity: String,
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// A page of sessions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SessionPage {
    /// The sessions, in no particular order; one that lives through the whole listing is listed exactly once.
    pub sessions: Vec<Session>,
    /// The cursor of the next page; `null` on the last.
    pub next: Option<String>,
}

/// From whom to whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FiveTuple {
    /// The protocol.
    pub protocol: Protocol,
    /// Source address.
    #[schema(value_type = String, example = "192.0.2.10")]
    pub source: IpAddr,
    /// Destination address.
    #[schema(value_type = String, example = "203.0.113.80")]
    pub destination: IpAddr,
    /// Source port, of protocols that have ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_port: Option<u16>,
    /// Destination port, of protocols that have ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_port: Option<u16>,
    /// ICMP and ICMPv6: the type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp_type: Option<u8>,
    /// ICMP and ICMPv6 queries: the identifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp_id: Option<u16>,
}

/// A live session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// Its name.
    pub id: SessionId,
    /// The five-tuple of its first packet.
    #[serde(flatten)]
    pub five_tuple: FiveTuple,
    /// Where it stands.
    pub state: SessionState,
    /// The rule that allowed it; `null` for the default action.
    pub rule: Option<String>,
    /// The helper that follows it, or by which it was expected: `ftp`, `tftp` or `sip`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub helper: Option<String>,
    /// The control session that announced it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<SessionId>,
    /// The port of the appliance on which its first packet arrived.
    pub from: PortName,
    /// The zone of the end that opened it, by the policy in force.
    pub source_zone: Option<String>,
    /// The zone of the other end.
    pub destination_zone: Option<String>,
    /// Its VLAN identifiers, outer first; empty if untagged.
    pub vlans: Vec<u16>,
    /// Seconds since its first packet.
    pub age_seconds: f64,
    /// Seconds since its last packet.
    pub idle_seconds: f64,
    /// It ends when idle for this long.
    pub timeout_seconds: f64,
    /// Frames that arrived on the LAN port.
    pub from_lan: Packets,
    /// Frames that arrived on the WAN port.
    pub from_wan: Packets,
}

/// What is expected: connections that control sessions have announced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Expectations {
    /// Those that fit, by control session.
    pub expectations: Vec<Expectation>,
}

/// A connection that a control session has announced, and that may open without a rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Expectation {
    /// The helper that follows the control session: `ftp`, `tftp` or `sip`.
    pub helper: String,
    /// The control session.
    pub parent: SessionId,
    /// From whom to whom; it may come from any source port.
    #[serde(flatten)]
    pub five_tuple: FiveTuple,
    /// The rule of the control session, which will be that of the connection; `null` for the default action.
    pub rule: Option<String>,
    /// The port of the appliance on which its first packet must arrive.
    pub from: PortName,
    /// Its VLAN identifiers, outer first; empty if untagged.
    pub vlans: Vec<u16>,
    /// Seconds that it will wait.
    pub expires_in_seconds: f64,
}

/// Packets and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Packets {
    /// Packets.
    pub packets: u64,
    /// Bytes of their frames, without FCS.
    pub bytes: u64,
}

/// A number of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionCount {
    /// How many.
    pub sessions: u64,
}

/// All counters, since the start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Counters {
    /// By port, LAN first.
    pub ports: Vec<CountersOfPort>,
    /// By reason, those that never happened included.
    pub reasons: Vec<ReasonCount>,
    /// Of each rule of the policy in force, in the order of the rules; kept over deploys by name.
    pub rules: Vec<RuleCount>,
    /// What gave away that only one direction of TCP comes through (asymmetric routing), by kind.
    pub one_sided: Vec<EvidenceCount>,
    /// Live sessions by protocol and state, where there are any.
    pub sessions: Vec<SessionsByState>,
    /// Sessions opened.
    pub sessions_opened: u64,
    /// What helpers did.
    pub helpers: Vec<CountersOfHelper>,
    /// By worker.
    pub workers: Vec<CountersOfWorker>,
    /// Lines of the flow log written.
    pub log_lines_written: u64,
    /// Lines of the flow log lost.
    pub log_lines_lost: u64,
}

/// The counters of a port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CountersOfPort {
    /// Which.
    pub port: PortName,
    /// Frames that workers received from the device.
    pub received: Packets,
    /// Frames that the device took for sending.
    pub sent: Packets,
    /// Frames that checks set to `log` would have dropped, by port of arrival.
    pub suspicious: u64,
    /// Frames that the device lost because they were not fetched in time; `null` if it does not tell.
    pub device_missed: Option<u64>,
    /// Frames that arrived broken.
    pub device_receive_errors: Option<u64>,
    /// Frames that the device could not send.
    pub device_transmit_errors: Option<u64>,
    /// Frames lost because there was no buffer for them.
    pub device_no_buffer: Option<u64>,
}

/// How often something happened for a reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReasonCount {
    /// The reason, one of the vocabulary in docs/reasons.md.
    pub reason: String,
    /// `forward`, `drop`, `end` or `send`.
    pub kind: String,
    /// How often.
    pub count: u64,
}

/// What is counted of a rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RuleCount {
    /// Its name.
    pub rule: String,
    /// Packets that it decided.
    pub hits: u64,
    /// Sessions of it that were cut because they were idle.
    pub cut_idle: u64,
    /// Packets of sessions that had been cut before: their ends spoke again, and the timeout may be too short.
    pub spoke_again: u64,
    /// The timeouts under which those sessions had been cut: the ones to raise.
    pub timeouts_too_short: Vec<TimeoutOfRule>,
}

/// A timeout of a rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TimeoutOfRule {
    /// Its name below `timeouts` in the policy file: `tcp.established`.
    pub timeout: String,
    /// What it is now.
    pub seconds: f64,
}

/// Live sessions of a protocol in a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionsByState {
    /// `tcp`, `udp`, `icmp`, `sctp` or `other`.
    pub protocol: String,
    /// The state.
    pub state: SessionState,
    /// How many.
    pub sessions: u64,
}

/// The counters of a helper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CountersOfHelper {
    /// `ftp`, `tftp` or `sip`.
    pub helper: String,
    /// Control sessions that it follows.
    pub following: u64,
    /// Control sessions that it began to follow.
    pub followed: u64,
    /// Control sessions that it did not follow, or not to their end.
    pub not_followed: Vec<CauseCount>,
    /// Expectations that are open.
    pub open: u64,
    /// Expectations opened.
    pub opened: u64,
    /// Expectations whose connection came.
    pub used: u64,
    /// Expectations whose connection did not come in time.
    pub expired: u64,
    /// Expectations that ended with their control session, or were replaced by another's.
    pub withdrawn: u64,
    /// Announcements that opened nothing.
    pub refused: Vec<CauseCount>,
}

/// How often something happened for a cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CauseCount {
    /// The cause: a word of docs/policy.md.
    pub cause: String,
    /// How often.
    pub count: u64,
}

/// The counters of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CountersOfWorker {
    /// Its number.
    pub worker: u16,
    /// Its live sessions.
    pub sessions: u64,
    /// Turns of its loop.
    pub turns: u64,
    /// Turns that found frames.
    pub busy_turns: u64,
    /// Batches of frames that it worked through.
    pub bursts: u64,
    /// Frames that it received from devices.
    pub received: u64,
    /// Seconds in turns that found frames.
    pub busy_seconds: f64,
    /// Seconds in all turns.
    pub total_seconds: f64,
    /// Frames handed over to the worker that owns their session.
    pub handed_over: u64,
    /// Frames that others handed over to this worker.
    pub handed_in: u64,
    /// Events that were not reported for want of room.
    pub events_lost: u64,
    /// Frames of the appliance's own that were not sent for want of room.
    pub own_frames_lost: u64,
}

/// The last drops.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Drops {
    /// Those that fit, oldest first.
    pub drops: Vec<Drop>,
    /// The number of the newest drop of all: `after` of the next question.
    pub last: u64,
}

/// A frame that was dropped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Drop {
    /// Its number: drops are counted from 1.
    pub number: u64,
    /// When.
    pub time: String,
    /// The port on which it arrived.
    pub from: PortName,
    /// Why, one of the vocabulary in docs/reasons.md.
    pub reason: String,
    /// The rule that decided, where one did.
    pub rule: Option<String>,
    /// The session it spoke of.
    pub session: Option<SessionId>,
    /// From whom to whom, as far as it could be told.
    pub five_tuple: Option<FiveTuple>,
    /// The zone of the source.
    pub source_zone: Option<String>,
    /// The zone of the destination.
    pub destination_zone: Option<String>,
    /// Its VLAN identifiers, outer first; empty if untagged.
    pub vlans: Vec<u16>,
    /// Its EtherType.
    pub ethertype: u16,
    /// TCP: its flags, such as `SA` for SYN and ACK.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp_flags: Option<String>,
    /// Its length, without FCS.
    pub bytes: u32,
    /// With the reason `session-expired`: how that session had ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
}

/// How a session ended that a late packet speaks of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Ended {
    /// Seconds since then.
    pub ago_seconds: f64,
    /// Why it ended.
    pub reason: String,
    /// The state it was in, whose timeout it was.
    pub state: SessionState,
    /// Seconds that it had been idle.
    pub idle_seconds: f64,
    /// The timeout of that state.
    pub timeout_seconds: f64,
    /// The rule that had allowed it; `null` for the default action.
    pub rule: Option<String>,
}

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Fault {
    /// What kind of fault it is.
    pub kind: FaultKind,
    /// What is wrong, in a sentence.
    pub message: String,
    /// What is wrong with the policy; empty for other faults.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<Diagnostic>,
    /// How many diagnostics were left out because there were too many.
    #[serde(default)]
    pub diagnostics_omitted: u64,
}

/// What kind of fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// The request is wrong (400).
    BadRequest,
    /// Whoever asks may not (403): the message says who may.
    Forbidden,
    /// There is no such path (404).
    NotFound,
    /// The path is there, and the method is not of it (405).
    MethodNotAllowed,
    /// The request is too large (413).
    TooLarge,
    /// The policy is wrong (422): the diagnostics say where.
    PolicyWrong,
    /// The appliance could not do it (503).
    Failed,
}

impl FaultKind {
    /// The HTTP status it travels with.
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::TooLarge => 413,
            Self::PolicyWrong => 422,
            Self::Failed => 503,
        }
    }
}

impl Fault {
    /// A fault without diagnostics.
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), diagnostics: Vec::new(), diagnostics_omitted: 0 }
    }
}
