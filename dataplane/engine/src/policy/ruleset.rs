//! The policy in the engine's own terms: names resolved to indices, addresses to sorted ranges, times to
//! milliseconds. Nothing here can be wrong any more; whoever builds it (the policy crate) has checked it.

use core::net::IpAddr;
use core::ops::RangeInclusive;

use super::limits::Limits;
use crate::helper::Helper;
use crate::port::Port;

/// Index of a zone in [`Ruleset::zones`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ZoneId(pub u16);

/// Index of an address set in [`Ruleset::address_sets`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressSetId(pub u32);

/// Index of a rule in [`Ruleset::rules`]: the first rule is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(pub u32);

/// Index of a set of timeouts in [`Ruleset::timeouts`]; 0 is the policy's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeoutsId(pub u16);

impl TimeoutsId {
    /// The highest: sessions keep it in 12 bits.
    pub const MAX: u16 = (1 << 12) - 1;
}

/// Everything a policy file says, resolved.
#[derive(Clone, Debug)]
pub struct Ruleset {
    /// What becomes of a first packet that no rule matches.
    pub default_action: Action,
    /// What is logged where a rule does not say.
    pub default_log: LogLevel,
    /// All zones, at most 4,096.
    pub zones: Vec<Zone>,
    /// All address sets that zones and rules name, each once.
    pub address_sets: Vec<AddressSet>,
    /// The rules, first match first; at most 16 million.
    pub rules: Vec<Rule>,
    /// Timeouts: `[0]` are the policy's, the others those of rules that have their own.
    pub timeouts: Vec<Timeouts>,
    /// How sessions are inspected.
    pub inspection: Inspection,
    /// Protections that speak of the whole policy.
    pub protections: Protections,
}

impl Default for Ruleset {
    /// No zones, no rules: everything is dropped, with the default timeouts and inspection, protections off.
    fn default() -> Self {
        Self {
            default_action: Action::Drop,
            default_log: LogLevel::None,
            zones: Vec::new(),
            address_sets: Vec::new(),
            rules: Vec::new(),
            timeouts: vec![Timeouts::default()],
            inspection: Inspection::default(),
            protections: Protections::default(),
        }
    }
}

/// A zone: a port, narrowed by VLANs and networks.
#[derive(Clone, Debug)]
pub struct Zone {
    /// Its name in the policy file.
    pub name: Box<str>,
    /// The port of the appliance it lies behind.
    pub port: Port,
    /// Outer VLAN identifiers (1 to 4094; 0 stands for untagged) that belong to it; `None`: tagged and untagged alike.
    pub vlans: Option<Vec<u16>>,
    /// Who lives there; `None`: everybody who is in no other zone of that port and VLAN.
    pub networks: Option<AddressSetId>,
    /// How strictly the windows of TCP sessions are held that begin here; `None`: as [`Inspection::tcp_window`].
    pub tcp_window: Option<TcpWindowMode>,
    /// What becomes of TCP packets from here of sessions that nobody saw begin; `None`: as [`Inspection::midstream`].
    pub midstream: Option<MidstreamMode>,
}

impl Zone {
    /// Everything behind `port`.
    pub fn of_port(name: &str, port: Port) -> Self {
        Self { name: name.into(), port, vlans: None, networks: None, tcp_window: None, midstream: None }
    }
}

/// A set of addresses of both families as sorted, disjoint, non-adjacent inclusive ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressSet {
    /// IPv4 ranges, host byte order.
    pub v4: Vec<RangeInclusive<u32>>,
    /// IPv6 ranges, host byte order.
    pub v6: Vec<RangeInclusive<u128>>,
}

impl AddressSet {
    /// The set of the given ranges, in any order, overlapping or not.
    pub fn new(v4: Vec<RangeInclusive<u32>>, v6: Vec<RangeInclusive<u128>>) -> Self {
        Self { v4: merge(v4, u32::checked_add), v6: merge(v6, u128::checked_add) }
    }

    /// Whether `address` is in the set; binary search.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(a) => holds(&self.v4, a.to_bits()),
            IpAddr::V6(a) => holds(&self.v6, a.to_bits()),
        }
    }

    /// Whether no address at all is in the set.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

/// Sorts the ranges and joins those that overlap or touch.
fn merge<T: Copy + Ord + From<u8>>(
    mut ranges: Vec<RangeInclusive<T>>,
    checked_add: fn(T, T) -> Option<T>,
) -> Vec<RangeInclusive<T>> {
    ranges.retain(|range| range.start() <= range.end());
    ranges.sort_unstable_by_key(|range| *range.start());
    let mut merged: Vec<RangeInclusive<T>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if checked_add(*last.end(), T::from(1)).is_none_or(|next| *range.start() <= next) => {
                if range.end() > last.end() {
                    *last = *last.start()..=*range.end();
                }
            }
            _ => merged.push(range),
        }
    }
    merged
}

fn holds<T: Copy + Ord>(ranges: &[RangeInclusive<T>], value: T) -> bool {
    let after = ranges.partition_point(|range| *range.start() <= value);
    after > 0 && ranges[after - 1].contains(&value)
}

/// One rule. A field that is `None` matches everything.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name: unique in the policy, what verdicts, logs and counters carry.
    pub name: Box<str>,
    /// Source zones, any of them.
    pub from: Option<Vec<ZoneId>>,
    /// Destination zones, any of them. Only `None` matches a destination that is in no zone.
    pub to: Option<Vec<ZoneId>>,
    /// Source addresses.
    pub source: Option<AddressSetId>,
    /// Destination addresses.
    pub destination: Option<AddressSetId>,
    /// Services, any of them.
    pub services: Option<Vec<ServiceMatch>>,
    /// What becomes of the packet, and of the session it would open.
    pub action: Action,
    /// `Some(true)`: log what this rule decides; `Some(false)`: never; `None`: as the defaults say.
    pub log: Option<bool>,
    /// The timeouts of the sessions it opens.
    pub timeouts: TimeoutsId,
    /// What becomes of its sessions on a deploy whose policy would not allow them; `None`: as the policy says.
    pub sessions_on_deploy: Option<OnDeploy>,
    /// Helpers, each with the services whose sessions it follows; the first that has a session follows it.
    pub helpers: Vec<(Helper, Vec<ServiceMatch>)>,
    /// Whether TCP connections have to prove that their source is real before the server hears of them.
    pub syn_proxy: SynProxyMode,
    /// Whether the initial sequence numbers of its TCP sessions are replaced.
    pub sequence_numbers: SequenceNumbers,
    /// How much may be asked of it.
    pub limits: Option<Box<Limits>>,
}

impl Rule {
    /// A rule that matches everything.
    pub fn of_all(name: &str, action: Action) -> Self {
        Self {
            name: name.into(),
            from: None,
            to: None,
            source: None,
            destination: None,
            services: None,
            action,
            log: None,
            timeouts: TimeoutsId(0),
            sessions_on_deploy: None,
            helpers: Vec::new(),
            syn_proxy: SynProxyMode::Off,
            sequence_numbers: SequenceNumbers::Keep,
            limits: None,
        }
    }
}

/// Whether, and how, the source of a TCP connection has to prove that it is real.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SynProxyMode {
    /// It has not.
    #[default]
    Off,
    /// By a SYN cookie, while its destination is flooded ([`SynFlood`]).
    Auto,
    /// By a SYN cookie, always.
    Always,
    /// By the reset that a real stack sends in answer to a wrong SYN/ACK; the source is then trusted for a while.
    Verify,
}

/// Whether the initial sequence numbers of TCP sessions are replaced by ones that nobody can guess.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SequenceNumbers {
    /// They are not.
    #[default]
    Keep,
    /// Those of the end that answers.
    Randomise,
    /// Those of both ends.
    RandomiseBoth,
}

/// Which IP versions a service speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocols {
    /// IPv4 and IPv6.
    Both,
    /// IPv4 only (an ICMP type).
    V4,
    /// IPv6 only (an ICMPv6 type).
    V6,
}

/// A protocol and a range of its selector: the destination port of TCP, UDP and SCTP; `type * 256 + code` of ICMP
/// and ICMPv6; for any other protocol the selector is 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServiceMatch {
    /// IP versions it speaks of.
    pub family: Protocols,
    /// IP protocol number; `None`: every protocol.
    pub protocol: Option<u8>,
    /// Selectors that match, inclusive.
    pub selector: RangeInclusive<u16>,
}

impl ServiceMatch {
    /// Whether a packet of `protocol` with `selector`, of IPv4 if `is_v4`, is of this service.
    pub fn matches(&self, is_v4: bool, protocol: u8, selector: u16) -> bool {
        let family = match self.family {
            Protocols::Both => true,
            Protocols::V4 => is_v4,
            Protocols::V6 => !is_v4,
        };
        family && self.protocol.is_none_or(|wanted| wanted == protocol) && self.selector.contains(&selector)
    }
}

/// What rules are asked about the first packet of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// Source zone; `None`: the source is in no zone.
    pub from: Option<ZoneId>,
    /// Destination zone; `None`: the destination is in no zone, and only rules with `to: any` match.
    pub to: Option<ZoneId>,
    /// Source address.
    pub source: IpAddr,
    /// Destination address, of the same family.
    pub destination: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Destination port, or `type * 256 + code` of ICMP, or 0.
    pub selector: u16,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Forward, and open a session for the way back.
    Allow,
    /// Drop in silence.
    Drop,
    /// Drop, and tell the sender: a TCP reset, or ICMP administratively prohibited.
    Reject,
}

/// What is logged where a rule does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogLevel {
    /// Nothing.
    None,
    /// Dropped packets.
    Drops,
    /// Start and end of sessions.
    Sessions,
    /// Both.
    All,
}

/// Idle timeouts by state, all in milliseconds, each from 1 to [`Timeouts::MAX_MS`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Timeouts {
    /// TCP: a SYN without an answer.
    pub tcp_syn_sent_ms: u32,
    /// TCP: a SYN/ACK without the ACK that ends the handshake.
    pub tcp_syn_received_ms: u32,
    /// TCP: established. RFC 5382 REQ-5 asks for at least 2 h 4 min.
    pub tcp_established_ms: u32,
    /// TCP: one side has sent its FIN.
    pub tcp_half_closed_ms: u32,
    /// TCP: both sides have sent their FIN, not both are acknowledged.
    pub tcp_closing_ms: u32,
    /// TCP: both FINs are acknowledged.
    pub tcp_time_wait_ms: u32,
    /// TCP: after a reset.
    pub tcp_reset_ms: u32,
    /// UDP: no answer yet.
    pub udp_unreplied_ms: u32,
    /// UDP: answered.
    pub udp_replied_ms: u32,
    /// UDP: traffic both ways for longer than 2 s.
    pub udp_stream_ms: u32,
    /// ICMP and ICMPv6 queries. RFC 5508 REQ-2 asks for at least 60 s.
    pub icmp_ms: u32,
    /// Other protocols: no answer yet.
    pub other_unreplied_ms: u32,
    /// Other protocols: answered.
    pub other_replied_ms: u32,
    /// Fragments of a datagram that is not whole.
    pub fragments_ms: u32,
    /// What the ends of a TCP session are told when it expires.
    pub on_expiry: OnExpiry,
    /// `probe`: how often the ends are asked before the session ends, from 1 to [`Timeouts::PROBE_RETRIES_MAX`].
    pub probe_retries: u8,
    /// `probe`: time from one question to the next, from 1 to [`Timeouts::PROBE_INTERVAL_MAX_MS`].
    pub probe_interval_ms: u32,
}

impl Timeouts {
    /// The longest timeout: 20 days. The engine's 32-bit millisecond stamps wrap at 49 days, and half of that must
    /// stay free for comparisons.
    pub const MAX_MS: u32 = 20 * 24 * 3600 * 1000;
    /// The most questions.
    pub const PROBE_RETRIES_MAX: u8 = 20;
    /// The longest wait for an answer: with all questions it stays well below what stamps can compare.
    pub const PROBE_INTERVAL_MAX_MS: u32 = 3600 * 1000;
}

const _: () = {
    let probing_ms = Timeouts::PROBE_INTERVAL_MAX_MS as u64 * Timeouts::PROBE_RETRIES_MAX as u64;
    assert!(Timeouts::MAX_MS as u64 + probing_ms < 1 << 31, "spans are told apart in 31 bits");
};

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            tcp_syn_sent_ms: 30_000,
            tcp_syn_received_ms: 30_000,
            tcp_established_ms: 7_440_000,
            tcp_half_closed_ms: 900_000,
            tcp_closing_ms: 120_000,
            tcp_time_wait_ms: 30_000,
            tcp_reset_ms: 10_000,
            udp_unreplied_ms: 30_000,
            udp_replied_ms: 120_000,
            udp_stream_ms: 300_000,
            icmp_ms: 60_000,
            other_unreplied_ms: 60_000,
            other_replied_ms: 600_000,
            fragments_ms: 30_000,
            on_expiry: OnExpiry::Silent,
            probe_retries: 3,
            probe_interval_ms: 10_000,
        }
    }
}

/// What the ends of an idle TCP session are told when it expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnExpiry {
    /// Nothing.
    Silent,
    /// Each gets a reset that it accepts.
    Reset,
    /// Each is asked with a keepalive whether it lives.
    Probe,
}

/// What becomes of live sessions that a new policy would not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnDeploy {
    /// They go on until they end by themselves.
    Keep,
    /// They are decided again on their next packet.
    Rematch,
}

/// How strictly TCP sequence numbers are held to the windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TcpWindowMode {
    /// Out-of-window packets are dropped.
    Strict,
    /// They are counted and logged, and pass.
    Log,
    /// They are not looked for.
    Off,
}

/// What becomes of a TCP packet of a session that nobody saw begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MidstreamMode {
    /// It is dropped.
    Drop,
    /// It may open a session, if the rules allow it.
    Pickup,
}

/// What becomes of fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FragmentMode {
    /// They are put together for inspection and forwarded as they came, all or none.
    Reassemble,
    /// They are dropped.
    Drop,
}

/// How frames and sessions are inspected.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// TCP window tracking.
    pub tcp_window: TcpWindowMode,
    /// TCP sessions that nobody saw begin.
    pub midstream: MidstreamMode,
    /// For so many milliseconds after the appliance started every zone picks up sessions in midstream, and windows are
    /// logged where they are strict.
    pub grace_ms: u32,
    /// Fragments.
    pub fragments: FragmentMode,
    /// Live sessions on a deploy.
    pub sessions_on_deploy: OnDeploy,
    /// EtherTypes, other than those of IPv4 and IPv6, that pass unseen; sorted.
    pub non_ip: Vec<u16>,
    /// Whether frames with a length in place of an EtherType (IEEE 802.2 LLC) pass.
    pub llc: bool,
    /// Frames to 01-80-C2-00-00-0x that pass.
    pub link_local: LinkLocal,
}

/// Link-local protocols (IEEE 802.1Q table 8-1) that pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkLocal {
    /// Spanning tree, 01-80-C2-00-00-00, LLC frames.
    pub stp: bool,
    /// MAC control (PAUSE), 01-80-C2-00-00-01, EtherType 0x8808.
    pub pause: bool,
    /// Slow protocols (LACP), 01-80-C2-00-00-02, EtherType 0x8809.
    pub lacp: bool,
    /// Port authentication, 01-80-C2-00-00-03, EtherType 0x888e.
    pub dot1x: bool,
    /// Link layer discovery, 01-80-C2-00-00-0e (also -03 and -00), EtherType 0x88cc.
    pub lldp: bool,
}

/// What is done about a source address that cannot be where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SpoofingMode {
    /// Dropped.
    Drop,
    /// Counted and logged; the packet goes on.
    Log,
    /// Not looked for.
    Off,
}

/// What becomes of a TCP session that bears the signature of a hijacked one. It is counted in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HijackMode {
    /// Nothing.
    #[default]
    Off,
    /// It is logged, once.
    Log,
    /// It is logged, and ended when that is certain.
    End,
}

/// What counts as a port scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortScan {
    /// A source is blocked when more different destination ports than this, from 1 to [`PortScan::THINGS_MAX`], are refused
    /// to it within the time.
    pub ports: u16,
    /// The same of different hosts on one port, or of one kind of ICMP query; `None`: not looked at.
    pub hosts: Option<u16>,
    /// The time, in milliseconds, from 1 to [`Timeouts::MAX_MS`].
    pub within_ms: u32,
    /// For how long, in milliseconds, from 1 to [`Timeouts::MAX_MS`].
    pub block_for_ms: u32,
    /// Sources that are never blocked.
    pub allow: Option<AddressSetId>,
}

impl PortScan {
    /// The most ports or hosts: what is remembered of a suspect is that many words.
    pub const THINGS_MAX: u16 = 4096;
}

/// Protections of the whole policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protections {
    /// Sources that the zones' networks say live elsewhere.
    pub spoofing: SpoofingMode,
    /// Sources that no one may have: unspecified, loopback, multicast, broadcast, class E, v4-mapped.
    pub bogons: SpoofingMode,
    /// What becomes of a TCP session that bears the signature of a hijacked one.
    pub hijack: HijackMode,
    /// When SYN cookies begin for rules with [`SynProxyMode::Auto`].
    pub syn_flood: SynFlood,
    /// Port scans; `None`: not looked for.
    pub port_scan: Option<PortScan>,
}

impl Default for Protections {
    /// All off.
    fn default() -> Self {
        Self {
            spoofing: SpoofingMode::Off,
            bogons: SpoofingMode::Off,
            hijack: HijackMode::Off,
            syn_flood: SynFlood::default(),
            port_scan: None,
        }
    }
}

/// When the SYN cookies of a destination begin: when either figure is passed. They stop when both have been under half
/// for 10 s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SynFlood {
    /// Connections to one destination that are half open at once; `None`: not looked at.
    pub half_open: Option<u32>,
    /// New connections a second to one destination; `None`: not looked at.
    pub rate: Option<u32>,
}

impl Default for Inspection {
    fn default() -> Self {
        Self {
            tcp_window: TcpWindowMode::Strict,
            midstream: MidstreamMode::Drop,
            grace_ms: 0,
            fragments: FragmentMode::Reassemble,
            sessions_on_deploy: OnDeploy::Keep,
            non_ip: vec![0x0806],
            llc: false,
            link_local: LinkLocal::default(),
        }
    }
}
