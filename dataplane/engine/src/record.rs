//! What the engine gives back beside its verdicts: frames of its own, and records for logs.

use core::net::IpAddr;

use arrayvec::ArrayVec;

use crate::flow::FiveTuple;
use crate::fragment::{DATAGRAMS_MAX, Released};
use crate::packet::VlanStack;
use crate::policy::{RuleId, RuleKey};
use crate::port::Port;
use crate::protect::blocks::BlockCause;
use crate::reason::{Kind, Reason};
use crate::session::{SessionId, SessionView, State};
use crate::time::{Duration, Instant};

/// What becomes of a frame, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Why; its kind says whether the frame is forwarded or dropped.
    pub reason: Reason,
    /// The rule that decided, in the policy in force.
    pub rule: Option<RuleId>,
    /// The session it belongs to.
    pub session: Option<SessionId>,
}

impl Verdict {
    /// A verdict that no rule and no session has a part in.
    pub const fn of(reason: Reason) -> Self {
        Self { reason, rule: None, session: None }
    }

    /// Whether the frame leaves by the other port.
    pub const fn is_forward(&self) -> bool {
        matches!(self.reason.kind(), Kind::Forward)
    }
}

/// Room for a frame of the appliance's own: an ICMPv6 error of 1,280 bytes with Ethernet and two VLAN tags.
pub const OWN_FRAME_MAX: usize = 1280 + 14 + 8;

/// A frame that the appliance itself sends.
#[derive(Clone, Debug)]
pub struct OwnFrame {
    /// The port by which it leaves.
    pub port: Port,
    /// Why it is sent.
    pub reason: Reason,
    len: usize,
    bytes: [u8; OWN_FRAME_MAX],
}

impl OwnFrame {
    const EMPTY: Self =
        Self { port: Port::Lan, reason: Reason::SendReset, len: 0, bytes: [0; OWN_FRAME_MAX] };

    /// The frame, from its destination address on.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Those that are written already, to write over.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }

    /// Becomes one without a byte.
    pub(crate) fn begin(&mut self, port: Port, reason: Reason) {
        (self.port, self.reason, self.len) = (port, reason, 0);
    }

    /// Writes on; `None` if it would be too long.
    #[inline]
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Option<()> {
        self.bytes.get_mut(self.len..self.len + bytes.len())?.copy_from_slice(bytes);
        self.len += bytes.len();
        Some(())
    }
}

/// Frames that the appliance itself sends, in places that are used again: a frame is written where it is read from.
#[derive(Debug)]
pub struct OwnFrames {
    places: Vec<OwnFrame>,
    len: usize,
    frames_max: usize,
}

impl OwnFrames {
    fn new(frames_max: usize) -> Self {
        Self { places: Vec::with_capacity(frames_max), len: 0, frames_max }
    }

    /// Forgets all.
    #[inline]
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Takes all out, as copies.
    pub fn take(&mut self) -> Vec<OwnFrame> {
        let all = self.to_vec();
        self.clear();
        all
    }

    /// The place of one more; `None` if there is no room.
    fn next(&mut self) -> Option<&mut OwnFrame> {
        if self.len == self.places.len() && self.len < self.frames_max {
            self.places.push(OwnFrame::EMPTY);
        }
        self.places.get_mut(self.len)
    }
}

impl core::ops::Deref for OwnFrames {
    type Target = [OwnFrame];

    #[inline]
    fn deref(&self) -> &[OwnFrame] {
        &self.places[..self.len]
    }
}

/// Bytes of a frame that leaves which are not as they came: the header of a TCP segment whose numbers are translated, or
/// the number that an ICMP error quotes, and its checksum. They lie in the head of the frame; of a datagram in fragments,
/// in that of the first fragment's frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    spans: ArrayVec<(u16, ArrayVec<u8, SPAN_MAX>), 2>,
}

/// A TCP header has no more bytes.
const SPAN_MAX: usize = 60;

impl Rewrite {
    /// `bytes` from `at` on, an offset in the frame.
    pub(crate) fn of(at: u16, bytes: &[u8]) -> Option<Self> {
        let mut spans = ArrayVec::new();
        spans.push((at, ArrayVec::try_from(bytes).ok()?));
        Some(Self { spans })
    }

    /// And these.
    pub(crate) fn also(&mut self, at: u16, bytes: &[u8]) {
        if let Ok(bytes) = ArrayVec::try_from(bytes) {
            drop(self.spans.try_push((at, bytes)));
        }
    }

    /// Where bytes go, as an offset in the frame, and which.
    pub fn spans(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.spans.iter().map(|(at, bytes)| (usize::from(*at), &bytes[..]))
    }

    /// Writes them into the head of a frame.
    pub fn apply(&self, head: &mut [u8]) {
        for (at, bytes) in self.spans() {
            if let Some(place) = head.get_mut(at..at + bytes.len()) {
                place.copy_from_slice(bytes);
            }
        }
    }
}

/// A packet that was dropped, or would have been if the policy did not say `log`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketRecord {
    /// When.
    pub time: Instant,
    /// Where it arrived.
    pub port: Port,
    /// Its VLAN tags.
    pub vlan: VlanStack,
    /// Its EtherType.
    pub ethertype: u16,
    /// Its five-tuple, as far as it could be told.
    pub five_tuple: Option<FiveTuple>,
    /// TCP flags; 0 for other protocols.
    pub tcp_flags: u8,
    /// Its length on the wire.
    pub wire_len: u32,
    /// Why.
    pub reason: Reason,
    /// The rule that decided, or [`RuleKey::NONE`].
    pub rule: RuleKey,
    /// The session it spoke of.
    pub session: Option<SessionId>,
    /// With [`Reason::SessionExpired`]: how that session ended.
    pub ended: Option<Ended>,
}

/// How a session ended that a late packet speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Time since then.
    pub ago: Duration,
    /// Why it ended.
    pub reason: Reason,
    /// The state it was in, whose timeout it was.
    pub state: State,
    /// How long it had been idle.
    pub idle: Duration,
    /// The timeout of that state.
    pub timeout: Duration,
    /// The rule that had allowed it.
    pub rule: RuleKey,
}

/// What happened. `log` says whether the policy wants it in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A session began.
    SessionStart {
        /// When.
        time: Instant,
        /// The session.
        session: SessionView,
        /// Whether the policy wants it logged.
        log: bool,
    },
    /// A session ended.
    SessionEnd {
        /// When.
        time: Instant,
        /// The session as it was at its end.
        session: SessionView,
        /// Why.
        reason: Reason,
        /// Whether the policy wants it logged.
        log: bool,
    },
    /// A packet was dropped.
    Drop {
        /// The packet.
        packet: PacketRecord,
        /// Whether the policy wants it logged.
        log: bool,
    },
    /// A packet passed that `log` in the policy kept from being dropped.
    Suspect {
        /// The packet, with the reason for which it would have been dropped.
        packet: PacketRecord,
    },
    /// A source was put on the block list.
    Block {
        /// When.
        time: Instant,
        /// Who.
        source: IpAddr,
        /// Why.
        cause: BlockCause,
        /// For how long.
        span: Duration,
    },
}

/// Where the engine leaves frames and events for its caller, who empties it after each burst. Bounded: what finds no
/// room is lost and counted.
#[derive(Debug)]
pub struct Outbox {
    /// Frames to send.
    pub frames: OwnFrames,
    /// Events to report.
    pub events: Vec<Event>,
    /// Datagrams whose frames are dropped. To be emptied after each call, before the next one names a datagram.
    pub released: Vec<Released>,
    /// What changes in the frame at hand, if its verdict lets it leave. To be taken after each call.
    pub rewrite: Option<Rewrite>,
    /// Frames that found no room.
    pub frames_lost: u64,
    /// Events that found no room.
    pub events_lost: u64,
    /// Drops that no event tells of, because too many come at once; each is counted under its reason.
    pub drops_untold: u64,
    events_max: usize,
}

impl Outbox {
    /// An outbox with room for so many frames and events.
    pub fn new(frames_max: usize, events_max: usize) -> Self {
        Self {
            frames: OwnFrames::new(frames_max),
            events: Vec::with_capacity(events_max),
            released: Vec::with_capacity(DATAGRAMS_MAX),
            rewrite: None,
            frames_lost: 0,
            events_lost: 0,
            drops_untold: 0,
            events_max,
        }
    }

    pub(crate) fn event(&mut self, event: Event) {
        if self.events.len() < self.events_max {
            self.events.push(event);
        } else {
            self.events_lost += 1;
        }
    }

    pub(crate) fn has_room_to_release(&self) -> bool {
        self.released.len() < DATAGRAMS_MAX
    }

    pub(crate) fn release(&mut self, released: Released) {
        self.released.push(released);
    }

    /// Has `write` write one more frame where it is sent from; it comes back if there is room for it, and it was written to its
    /// end.
    #[inline]
    pub(crate) fn frame(&mut self, write: impl FnOnce(&mut OwnFrame) -> Option<()>) -> Option<&OwnFrame> {
        let Some(place) = self.frames.next() else {
            self.frames_lost += 1;
            return None;
        };
        write(place)?;
        self.frames.len += 1;
        self.frames.last()
    }
}
