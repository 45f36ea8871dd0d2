//! What traffic is wanted.

use core::fmt;

/// Sessions of all shards together, at the most.
pub const SESSIONS_MAX: u32 = 16 << 20;
/// Queues, at the most: entries of the redirection table that make a difference.
const QUEUES_MAX: u16 = 128;
/// Sessions that may be under way, at the most.
const WINDOW_MAX: u32 = 1 << 20;
/// Honest clients of a shard that are remembered at once.
pub(crate) const CLIENTS_MAX: usize = 1 << 14;

/// A side of the device under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Where the clients are.
    Lan = 0,
    /// Where the servers are.
    Wan = 1,
}

impl Side {
    /// Both sides, LAN first.
    pub const ALL: [Self; 2] = [Self::Lan, Self::Wan];

    /// The side on which a frame comes out that was given in on this one.
    pub const fn other(self) -> Self {
        match self {
            Self::Lan => Self::Wan,
            Self::Wan => Self::Lan,
        }
    }

    /// 0 for LAN, 1 for WAN.
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// What the sessions speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// UDP alone.
    Udp,
    /// TCP alone.
    Tcp,
    /// Sessions with an even number UDP, with an odd one TCP; their frames in turn.
    Mixed,
}

/// The version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// How long data frames are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameSize {
    /// 64 bytes on the wire, 60 without the frame check sequence; for IPv6 its headers (62 for UDP, 74 for TCP).
    Smallest,
    /// Of twelve frames seven of 64, four of 594 and one of 1,518 bytes, frame check sequence included.
    Imix,
}

/// In which order sessions send data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Any of them next, all equally likely.
    Random,
    /// One after the other.
    Sequential,
}

/// What comes when all sessions are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Data of the open sessions in both directions, for ever.
    Data,
    /// From the LAN side the first packet of ever new sessions: a datagram or a SYN.
    FirstPackets,
    /// Ever new TCP connections of seven packets: the handshake, a request, an answer that closes, and what closes the
    /// other direction. Each next packet waits until the previous one came through.
    Connections,
}

/// Frames of somebody who means harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostileKind {
    /// SYNs of random five-tuples.
    SynFlood,
    /// First fragments of datagrams that never become whole.
    Fragments,
    /// Datagrams of 65,536 sessions that all have one hash under the known RSS key.
    Collisions,
    /// SYNs of random sources to the published server.
    ServerSyns,
    /// Datagrams of random sources to the published server, which answers none of them.
    ServerDatagrams,
    /// ICMP errors of random routers about what the LAN side sent: one half quotes packets of the open sessions, the other
    /// five-tuples that nobody has.
    IcmpErrors,
}

impl HostileKind {
    /// All kinds.
    pub const ALL: [Self; 6] = [
        Self::SynFlood,
        Self::Fragments,
        Self::Collisions,
        Self::ServerSyns,
        Self::ServerDatagrams,
        Self::IcmpErrors,
    ];

    /// Its name in options and results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SynFlood => "syn-flood",
            Self::Fragments => "fragments",
            Self::Collisions => "collisions",
            Self::ServerSyns => "server-syns",
            Self::ServerDatagrams => "server-datagrams",
            Self::IcmpErrors => "icmp-errors",
        }
    }

    /// The side that it has to come from: where sessions can be opened, or where the published server is not.
    pub const fn only_from(self) -> Option<Side> {
        match self {
            Self::SynFlood | Self::Fragments => None,
            Self::Collisions => Some(Side::Lan),
            Self::ServerSyns | Self::ServerDatagrams | Self::IcmpErrors => Some(Side::Wan),
        }
    }
}

/// Hostile frames among the data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hostile {
    /// What they are.
    pub kind: HostileKind,
    /// The side that they come from; some kinds have one ([`HostileKind::only_from`]).
    pub from: Side,
    /// Which share of all frames they are, 0 to 0.5: as they come from one side alone, they are twice that share of its
    /// frames.
    pub share: f64,
}

/// Clients on the WAN side that open ever new TCP connections to the published server on the LAN side, in numbers of their
/// own, whatever else there is: each asks for something and closes when it has it. A client whose first packets came to
/// nothing sends once more, and gives up when it would have to for the second time, three times that span after it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Honest {
    /// Ticks of the caller's clock from one connection to the next, of all queues together.
    pub interval: u64,
    /// Ticks after which a client sends again: a second of them, as RFC 6298 has it.
    pub retransmit: u64,
}

/// What traffic is wanted; [`Config::default`] is data of one thousand UDP sessions over IPv4.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// Sessions that are opened before the load begins, of all queues together; at most [`SESSIONS_MAX`].
    pub sessions: u32,
    /// What they speak. New sessions of [`Load::FirstPackets`] speak the same.
    pub protocol: Protocol,
    /// The version of IP.
    pub family: Family,
    /// How long data frames are.
    pub size: FrameSize,
    /// In which order sessions send.
    pub order: Order,
    /// What comes when all sessions are open.
    pub load: Load,
    /// Hostile frames among the data of [`Load::Data`].
    pub hostile: Option<Hostile>,
    /// Honest connections beside the data of [`Load::Data`].
    pub honest: Option<Honest>,
    /// Queues of each side, 1 to 128; each has a shard.
    pub queues: u16,
    /// The share of data frames, 0 to 1, that come on another queue than receive side scaling would bring them to, from
    /// [`crate::Shard::misplace`] on.
    pub misplaced: f64,
    /// Sessions of a shard that are under way at once while they are opened.
    pub window: u32,
    /// Ticks of the caller's clock after which a packet that did not come through is sent again.
    pub retry: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sessions: 1000,
            protocol: Protocol::Udp,
            family: Family::V4,
            size: FrameSize::Smallest,
            order: Order::Random,
            load: Load::Data,
            hostile: None,
            honest: None,
            queues: 1,
            misplaced: 0.0,
            window: 1024,
            retry: 2_000_000_000,
        }
    }
}

/// What is wrong with a [`Config`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigError(&'static str);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl core::error::Error for ConfigError {}

impl Config {
    /// Whether shards can be made of it.
    pub fn check(&self) -> Result<(), ConfigError> {
        let holds = |holds: bool, why| if holds { Ok(()) } else { Err(ConfigError(why)) };
        holds(self.sessions <= SESSIONS_MAX, "at most 16,777,216 sessions")?;
        holds((1..=QUEUES_MAX).contains(&self.queues), "1 to 128 queues")?;
        // Of mixed sessions both kinds are there; a queue without sessions has nothing to send.
        let sessions_min = if self.load == Load::Data { 2 * u32::from(self.queues) } else { 0 };
        holds(self.sessions >= sessions_min, "at least two sessions a queue, where only they send")?;
        holds((0.0..=1.0).contains(&self.misplaced), "the misplaced share is 0 to 1")?;
        holds(self.misplaced == 0.0 || self.queues > 1, "with one queue nothing can be misplaced")?;
        holds((1..=WINDOW_MAX).contains(&self.window), "1 to 1,048,576 sessions under way")?;
        if let Some(honest) = self.honest {
            holds(self.load == Load::Data, "honest connections come beside data")?;
            holds(honest.retransmit >= 1000, "a second of at least a thousand ticks")?;
            // Clients are remembered for three times that span; an interval is rounded down.
            let room = honest.interval.saturating_add(1).saturating_mul(CLIENTS_MAX as u64 / 4);
            holds(room > honest.retransmit, "at most 4,096 honest connections a second")?;
        }
        let Some(hostile) = self.hostile else { return Ok(()) };
        holds(self.load == Load::Data, "hostile frames come among data")?;
        holds((0.0..=0.5).contains(&hostile.share), "the hostile share is 0 to 0.5")?;
        let is_right = hostile.kind.only_from().is_none_or(|side| side == hostile.from);
        holds(
            is_right,
            "collisions come from the LAN side; what is for the server, and ICMP errors, from the WAN side",
        )
    }
}
