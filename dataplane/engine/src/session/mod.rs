//! Sessions: what they are ([`State`], [`SessionView`]), where they are kept ([`table`]), when they expire
//! ([`wheel`]), how packets move them ([`tcp`], [`sctp`], [`query`]) and by what other names packets belong to
//! them ([`kin`]).

pub(crate) mod expiry;
pub(crate) mod kin;
pub(crate) mod pairs;
pub(crate) mod paths;
pub(crate) mod query;
mod related;
mod restart;
pub mod room;
pub(crate) mod sctp;
pub mod table;
pub mod tcp;
pub(crate) mod tombstone;
pub mod wheel;

use core::fmt;

use crate::flow::FiveTuple;
use crate::helper::Helper;
use crate::packet::VlanStack;
use crate::policy::Timeouts;
use crate::port::Port;
use crate::time::Duration;

/// Names a session for as long as the process lives: worker, generation of the slot, slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u64);

impl SessionId {
    /// The session in `slot` of `worker`'s table, in the slot's `generation` (24 bits).
    pub(crate) const fn new(worker: u8, generation: u32, slot: u32) -> Self {
        Self((worker as u64) << 56 | ((generation & 0xff_ffff) as u64) << 32 | slot as u64)
    }

    /// The number as a whole, for the management interface.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// Back from [`SessionId::number`]; any number is an identifier, of a live session or not.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The worker that owns it.
    pub const fn worker(self) -> u8 {
        (self.0 >> 56) as u8
    }

    pub(crate) const fn generation(self) -> u32 {
        (self.0 >> 32) as u32 & 0xff_ffff
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lower half is the slot")]
    pub(crate) const fn slot(self) -> u32 {
        self.0 as u32
    }
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum State {
    /// TCP: a SYN without an answer.
    #[default]
    SynSent,
    /// TCP: SYNs from both sides, not both acknowledged.
    SynReceived,
    /// TCP and SCTP: the handshake is done.
    Established,
    /// TCP: one side has sent its FIN.
    HalfClosed,
    /// TCP: both sides have sent their FIN, not both are acknowledged.
    Closing,
    /// TCP: both FINs are acknowledged.
    TimeWait,
    /// TCP: a reset ended it; stragglers are still known.
    Reset,
    /// Others: no answer yet.
    Unreplied,
    /// Others: answered.
    Replied,
    /// UDP: traffic both ways for longer than [`State::STREAM_AFTER`].
    Stream,
    /// SCTP: an INIT, perhaps its INIT ACK.
    CookieWait,
    /// SCTP: the cookie was sent back, and is not acknowledged.
    CookieEchoed,
    /// SCTP: one side has sent its SHUTDOWN.
    ShutdownSent,
    /// SCTP: the other side has acknowledged that.
    ShutdownAckSent,
    /// SCTP: shut down or aborted; stragglers are still known.
    Closed,
}

impl State {
    /// How many states there are.
    pub const COUNT: usize = 15;

    /// All states in order of their number.
    pub const ALL: [Self; Self::COUNT] = [
        Self::SynSent,
        Self::SynReceived,
        Self::Established,
        Self::HalfClosed,
        Self::Closing,
        Self::TimeWait,
        Self::Reset,
        Self::Unreplied,
        Self::Replied,
        Self::Stream,
        Self::CookieWait,
        Self::CookieEchoed,
        Self::ShutdownSent,
        Self::ShutdownAckSent,
        Self::Closed,
    ];

    /// A UDP session with traffic both ways becomes a stream when it is older than this.
    pub const STREAM_AFTER: Duration = Duration::from_secs(2);

    /// Its name in listings and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SynSent => "syn-sent",
            Self::SynReceived => "syn-received",
            Self::Established => "established",
            Self::HalfClosed => "half-closed",
            Self::Closing => "closing",
            Self::TimeWait => "time-wait",
            Self::Reset => "reset",
            Self::Unreplied => "unreplied",
            Self::Replied => "replied",
            Self::Stream => "stream",
            Self::CookieWait => "cookie-wait",
            Self::CookieEchoed => "cookie-echoed",
            Self::ShutdownSent => "shutdown-sent",
            Self::ShutdownAckSent => "shutdown-ack-sent",
            Self::Closed => "closed",
        }
    }

    /// The state of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether most packets leave a session in it; in the others it opens or closes.
    pub(crate) const fn is_settled(self) -> bool {
        matches!(self, Self::Established | Self::Replied | Self::Stream)
    }

    /// Whether the session may make room for a newcomer in a full table: a handshake that is not done, or another
    /// protocol's packet that nobody answered. A SYN that was refused goes on making
    /// room.
    pub const fn is_half_open(self) -> bool {
        matches!(
            self,
            Self::SynSent | Self::SynReceived | Self::Unreplied | Self::CookieWait | Self::CookieEchoed
        )
    }

    /// How long a session of `protocol` may stay in this state without a packet, in milliseconds, while the table has
    /// room.
    pub const fn timeout_ms(self, protocol: u8, timeouts: &Timeouts) -> u32 {
        TimeoutKey::of(self, protocol).millis(timeouts)
    }
}

/// A timeout of the policy that a session can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum TimeoutKey {
    /// `tcp.syn_sent`
    TcpSynSent,
    /// `tcp.syn_received`
    TcpSynReceived,
    /// `tcp.established`
    TcpEstablished,
    /// `tcp.half_closed`
    TcpHalfClosed,
    /// `tcp.closing`
    TcpClosing,
    /// `tcp.time_wait`
    TcpTimeWait,
    /// `tcp.reset`
    TcpReset,
    /// `udp.unreplied`
    UdpUnreplied,
    /// `udp.replied`
    UdpReplied,
    /// `udp.stream`
    UdpStream,
    /// `icmp`
    Icmp,
    /// `other.unreplied`
    OtherUnreplied,
    /// `other.replied`
    OtherReplied,
}

impl TimeoutKey {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::TcpSynSent,
        Self::TcpSynReceived,
        Self::TcpEstablished,
        Self::TcpHalfClosed,
        Self::TcpClosing,
        Self::TcpTimeWait,
        Self::TcpReset,
        Self::UdpUnreplied,
        Self::UdpReplied,
        Self::UdpStream,
        Self::Icmp,
        Self::OtherUnreplied,
        Self::OtherReplied,
    ];

    /// The timeout of a session of `protocol` in `state`.
    pub const fn of(state: State, protocol: u8) -> Self {
        use crate::packet::protocol::{ICMP, ICMPV6, SCTP, UDP};
        match (state, protocol) {
            (State::SynSent, _) => Self::TcpSynSent,
            (State::SynReceived, _) => Self::TcpSynReceived,
            (State::Established, SCTP) => Self::OtherReplied,
            (State::Established, _) => Self::TcpEstablished,
            (State::HalfClosed, _) => Self::TcpHalfClosed,
            (State::Closing, _) => Self::TcpClosing,
            (State::TimeWait, _) => Self::TcpTimeWait,
            (State::Reset, _) => Self::TcpReset,
            (_, ICMP | ICMPV6) => Self::Icmp,
            (State::Unreplied, UDP) => Self::UdpUnreplied,
            (State::Replied, UDP) => Self::UdpReplied,
            (
                State::Unreplied
                | State::CookieWait
                | State::CookieEchoed
                | State::ShutdownSent
                | State::ShutdownAckSent
                | State::Closed,
                _,
            ) => Self::OtherUnreplied,
            (State::Replied, _) => Self::OtherReplied,
            (State::Stream, _) => Self::UdpStream,
        }
    }

    /// Its name below `timeouts` in the policy file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TcpSynSent => "tcp.syn_sent",
            Self::TcpSynReceived => "tcp.syn_received",
            Self::TcpEstablished => "tcp.established",
            Self::TcpHalfClosed => "tcp.half_closed",
            Self::TcpClosing => "tcp.closing",
            Self::TcpTimeWait => "tcp.time_wait",
            Self::TcpReset => "tcp.reset",
            Self::UdpUnreplied => "udp.unreplied",
            Self::UdpReplied => "udp.replied",
            Self::UdpStream => "udp.stream",
            Self::Icmp => "icmp",
            Self::OtherUnreplied => "other.unreplied",
            Self::OtherReplied => "other.replied",
        }
    }

    /// What `timeouts` say of it, in milliseconds.
    pub const fn millis(self, timeouts: &Timeouts) -> u32 {
        match self {
            Self::TcpSynSent => timeouts.tcp_syn_sent_ms,
            Self::TcpSynReceived => timeouts.tcp_syn_received_ms,
            Self::TcpEstablished => timeouts.tcp_established_ms,
            Self::TcpHalfClosed => timeouts.tcp_half_closed_ms,
            Self::TcpClosing => timeouts.tcp_closing_ms,
            Self::TcpTimeWait => timeouts.tcp_time_wait_ms,
            Self::TcpReset => timeouts.tcp_reset_ms,
            Self::UdpUnreplied => timeouts.udp_unreplied_ms,
            Self::UdpReplied => timeouts.udp_replied_ms,
            Self::UdpStream => timeouts.udp_stream_ms,
            Self::Icmp => timeouts.icmp_ms,
            Self::OtherUnreplied => timeouts.other_unreplied_ms,
            Self::OtherReplied => timeouts.other_replied_ms,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A session as listings and logs show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionView {
    /// Its name.
    pub id: SessionId,
    /// The port on which its first packet arrived.
    pub from: Port,
    /// The five-tuple of its first packet.
    pub five_tuple: FiveTuple,
    /// Its VLAN tags.
    pub vlan: VlanStack,
    /// Where it stands.
    pub state: State,
    /// The rule that allowed it, by its key ([`crate::policy::RuleNames`]).
    pub rule: crate::policy::RuleKey,
    /// The helper that follows it, or by which it was expected.
    pub helper: Option<Helper>,
    /// The control session that announced it, if it was expected.
    pub parent: Option<SessionId>,
    /// Time since its first packet.
    pub age: Duration,
    /// Time since its last packet.
    pub idle: Duration,
    /// The timeout of its state: it ends when idle for this long.
    pub timeout: Duration,
    /// Packets by port of arrival, LAN first.
    pub packets: [u64; 2],
    /// Bytes of frames by port of arrival, LAN first.
    pub bytes: [u64; 2],
}
