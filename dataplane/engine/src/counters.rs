//! Counters of one worker: written by it alone, read by anyone at any time.
//!
//! A single writer needs no atomic read-modify-write: it loads, adds and stores, which costs what plain memory
//! costs. Readers sum over the workers.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::helper::{Helper, HelperCounts};
use crate::one_sided::Evidence;
use crate::port::Port;
use crate::protect::hijack::HijackSign;
use crate::reason::Reason;
use crate::session::{State, TimeoutKey};

/// A counter or gauge with one writer.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds; only the owning worker may.
    pub fn add(&self, more: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(more), Relaxed);
    }

    /// Writes a gauge; only the owning worker may.
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// Takes away, for gauges; only the owning worker may.
    pub fn sub(&self, less: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(less), Relaxed);
    }

    /// The value as last written.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What the protocol of a session is called in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ProtocolClass {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP and ICMPv6.
    Icmp,
    /// SCTP.
    Sctp,
    /// Every other protocol.
    Other,
}

impl ProtocolClass {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Tcp, Self::Udp, Self::Icmp, Self::Sctp, Self::Other];

    /// The class of an IP protocol number.
    pub const fn of(protocol: u8) -> Self {
        match protocol {
            6 => Self::Tcp,
            17 => Self::Udp,
            1 | 58 => Self::Icmp,
            132 => Self::Sctp,
            _ => Self::Other,
        }
    }

    /// `tcp`, `udp`, `icmp`, `sctp`, `other`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
            Self::Sctp => "sctp",
            Self::Other => "other",
        }
    }
}

/// What one engine counts.
#[derive(Debug)]
#[repr(align(128))]
pub struct Counters {
    /// Frames by reason, forwarded, dropped and of the appliance's own; sessions by the reason of their end.
    reasons: [Count; Reason::COUNT],
    /// Live sessions by protocol and state.
    sessions: [[Count; State::COUNT]; ProtocolClass::ALL.len()],
    /// Live sessions whose handshake is not done, or was refused, when it was counted last.
    pub half_open: Count,
    /// Live sessions of which only one side has spoken, when they were counted last.
    pub one_way: Count,
    /// Sessions opened since the start.
    pub opened: Count,
    /// What helpers did, by their number.
    pub helpers: [HelperCounts; Helper::ALL.len()],
    /// Frames that spoofing or bogon checks set to `log` would have dropped, by port.
    pub suspicious: [Count; Port::ALL.len()],
    /// Refused packets that did not count as a scan, because somebody forges a source whose sessions live.
    pub scans_forged: Count,
    /// Refused packets that did not count because another worker was taking note of one at the same moment.
    pub scans_missed: Count,
    /// What gives away that only one direction of TCP comes through here, in the order of [`Evidence::ALL`].
    pub one_sided: [Count; Evidence::COUNT],
    /// What gave away that a session was hijacked, in the order of [`HijackSign::ALL`].
    pub hijack: [Count; HijackSign::COUNT],
    /// Datagrams of which not all fragments have come, those of which nothing passes among them.
    pub datagrams: Count,
    /// Fragments that are held until their datagram is whole.
    pub fragments_held: Count,
    /// Bytes of their frames.
    pub fragment_bytes: Count,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            reasons: core::array::from_fn(|_| Count::default()),
            sessions: core::array::from_fn(|_| core::array::from_fn(|_| Count::default())),
            half_open: Count::default(),
            one_way: Count::default(),
            opened: Count::default(),
            helpers: Default::default(),
            suspicious: core::array::from_fn(|_| Count::default()),
            scans_forged: Count::default(),
            scans_missed: Count::default(),
            one_sided: core::array::from_fn(|_| Count::default()),
            hijack: core::array::from_fn(|_| Count::default()),
            datagrams: Count::default(),
            fragments_held: Count::default(),
            fragment_bytes: Count::default(),
        }
    }
}

impl Counters {
    /// The counter of `reason`.
    pub fn reason(&self, reason: Reason) -> &Count {
        &self.reasons[reason.index()]
    }

    /// The gauge of live sessions of `protocol` in `state`.
    pub fn sessions(&self, protocol: ProtocolClass, state: State) -> &Count {
        &self.sessions[protocol as usize][state as usize]
    }

    /// All live sessions.
    pub fn sessions_live(&self) -> u64 {
        self.sessions.iter().flatten().map(Count::get).sum()
    }
}

/// What one worker counts of each rule of one policy.
#[derive(Debug)]
pub struct RuleHits {
    rules: Box<[RuleCounts]>,
}

/// What is counted of a rule.
#[derive(Debug, Default)]
pub struct RuleCounts {
    /// Packets that it decided.
    pub hits: Count,
    /// Sessions of it that were cut because they were idle.
    pub cut_idle: Count,
    /// Packets of sessions that were cut before: their ends spoke again, and the timeout may be too short.
    pub spoke_again: Count,
    /// The timeouts under which those sessions had been cut, a bit each in the order of [`TimeoutKey::ALL`].
    pub too_short: Count,
}

impl RuleCounts {
    /// Counts a packet of a session that had been cut under the timeout `key`.
    pub(crate) fn spoke_again(&self, key: TimeoutKey) {
        self.spoke_again.add(1);
        let bit = 1 << key as u32;
        if self.too_short.get() & bit == 0 {
            self.too_short.add(bit);
        }
    }
}

impl RuleHits {
    /// Zeros for a policy of `rules` rules.
    pub fn new(rules: usize) -> Self {
        Self { rules: (0..rules).map(|_| RuleCounts::default()).collect() }
    }

    /// The counts of a rule.
    pub fn rule(&self, rule: crate::policy::RuleId) -> Option<&RuleCounts> {
        self.rules.get(rule.0 as usize)
    }

    /// The counts in rule order.
    pub fn all(&self) -> impl Iterator<Item = &RuleCounts> + '_ {
        self.rules.iter()
    }
}
