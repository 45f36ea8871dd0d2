//! What is kept of a session.

use super::counts::Fresh;
use super::half_open::Class;
use crate::flow::PackedKey;
use crate::helper::Mark;
use crate::policy::{RuleKey, TcpWindowMode, Timeouts, TimeoutsId};
use crate::port::Port;
use crate::session::room::Pressure;
use crate::session::wheel::Links;
use crate::session::{State, tcp};

/// What a packet of a live session reads and writes.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub(crate) struct Hot {
    /// What tells the addresses of both ends apart ([`crate::flow::EndsHash`]): of IPv6 the table holds them in full.
    pub(super) ends: u64,
    /// Ports, LAN side in the upper half.
    pub(super) ports: u32,
    /// VLAN tags and protocol.
    pub(super) tag: u32,
    /// TCP tracking by port of arrival, LAN first.
    pub(crate) peers: [tcp::Peer; 2],
    /// When the last packet that counts came: milliseconds of the engine's clock, wrapping.
    pub(crate) last_seen_ms: u32,
    /// Packets and bytes by port of arrival that [`Cold`] has not been told of yet.
    pub(super) fresh: [Fresh; 2],
    /// Generation of the policy it was decided under: its lower 24 bits, the lowest first.
    policy: [u8; 3],
    /// What helpers have to do with it.
    pub(crate) mark: Mark,
    /// Its timeouts in that policy; in the two bits above them how far those were shortened; in the upper two how strictly
    /// its windows are held.
    terms: u16,
    /// [`State`].
    pub(crate) state: State,
    pub(super) flags: u8,
}

impl Hot {
    const WINDOW_AT: u32 = 14;
    const PRESSURE_AT: u32 = 12;
    const PRESSURE: u16 = 3 << Self::PRESSURE_AT;

    pub(super) const LIVE: u8 = 1;
    pub(super) const V6: u8 = 2;
    const FROM_WAN: u8 = 4;
    /// Its ends were asked whether they live; how often is told by [`Table::probes`].
    pub(super) const ASKED: u8 = 8;
    /// Nothing is wrong with the source address of either end, under the policy that it was decided under.
    const CLEAN: u8 = 16;
    /// The end on the LAN side answered; twice that: the one on the WAN side.
    const ANSWERED: u8 = 32;
    const ANSWERED_BOTH: u8 = 32 | 64;
    /// Of a reset session, whose ends are never asked: its opener was never answered but by the reset, and it makes
    /// room as it did before.
    pub(super) const WAS_UNANSWERED: u8 = Self::ANSWERED;
    /// [`Table`] knows its link header.
    pub(super) const HAS_LINK: u8 = 128;

    /// Of a new session with this key, whose first packet arrived on `from`; everything else is blank.
    pub(super) fn new(ends: u64, key: &PackedKey, from: Port, state: State) -> Self {
        let PackedKey { ports, tag, .. } = *key;
        let side = if from == Port::Wan { Self::FROM_WAN } else { 0 };
        Self { ends, ports, tag, state, flags: Self::flags_of(key) | side, ..Self::default() }
    }

    /// Those of [`Self::LIVE`] and [`Self::V6`] that a live session with this key has.
    pub(super) const fn flags_of(key: &PackedKey) -> u8 {
        Self::LIVE | if key.is_v6 { Self::V6 } else { 0 }
    }

    /// The port on which its first packet arrived.
    pub(crate) const fn from(&self) -> Port {
        if self.flags & Self::FROM_WAN == 0 { Port::Lan } else { Port::Wan }
    }

    /// IP protocol number.
    pub(crate) const fn protocol(&self) -> u8 {
        (self.tag >> 24) as u8
    }

    /// Its timeouts in the policy that it was decided under.
    pub(crate) const fn timeouts(&self) -> TimeoutsId {
        TimeoutsId(self.terms & TimeoutsId::MAX)
    }

    /// How strictly that policy holds its windows.
    pub(crate) const fn tcp_window(&self) -> TcpWindowMode {
        match self.terms >> Self::WINDOW_AT {
            0 => TcpWindowMode::Strict,
            1 => TcpWindowMode::Log,
            _ => TcpWindowMode::Off,
        }
    }

    pub(crate) const fn set_terms(&mut self, timeouts: TimeoutsId, tcp_window: TcpWindowMode) {
        let window: u16 = match tcp_window {
            TcpWindowMode::Strict => 0,
            TcpWindowMode::Log => 1,
            TcpWindowMode::Off => 2,
        };
        self.terms = window << Self::WINDOW_AT | self.terms & Self::PRESSURE | timeouts.0 & TimeoutsId::MAX;
    }

    /// How full the table was when it came into its state.
    pub(crate) const fn pressure(&self) -> Pressure {
        Pressure::of_level((self.terms & Self::PRESSURE) >> Self::PRESSURE_AT)
    }

    pub(crate) const fn set_pressure(&mut self, pressure: Pressure) {
        self.terms = self.terms & !Self::PRESSURE | pressure.level() << Self::PRESSURE_AT;
    }

    /// How long it may stay in its state without a packet, in milliseconds: shortened if the table was filling when it came
    /// into that, and it is not established.
    pub(crate) const fn timeout_ms(&self, timeouts: &Timeouts) -> u32 {
        self.pressure().timeout_ms(self.state, self.protocol(), timeouts)
    }

    /// Whether its ends were asked whether they live, and have not both answered.
    pub(crate) const fn is_asked(&self) -> bool {
        self.flags & Self::ASKED != 0
    }

    /// The end behind `port` spoke while both are asked; whether both have.
    pub(crate) const fn answer(&mut self, port: Port) -> bool {
        self.flags |= Self::ANSWERED << port.index();
        self.flags & Self::ANSWERED_BOTH == Self::ANSWERED_BOTH
    }

    /// Both ends live: nobody is asked any more.
    pub(crate) const fn settle(&mut self) {
        self.flags &= !(Self::ASKED | Self::ANSWERED_BOTH);
    }

    /// Whether nothing is wrong with the source address of either end, under the policy that it was decided under.
    pub(crate) const fn set_clean(&mut self, is_clean: bool) {
        self.flags = self.flags & !Self::CLEAN | if is_clean { Self::CLEAN } else { 0 };
    }

    /// Whether a packet of it may pass with nothing but its state machine to ask: its ends' addresses are right, nobody
    /// asked whether they live, no helper reads, no number is translated.
    pub(crate) const fn is_smooth(&self) -> bool {
        self.flags & (Self::CLEAN | Self::ASKED) == Self::CLEAN && self.mark.is_smooth()
    }

    /// As what it makes room for a newcomer in a full table; `None`: it never does.
    pub(super) fn class(&self) -> Option<Class> {
        match self.state {
            State::Unreplied => Some(Class::OneWay),
            state if state.is_half_open() || self.was_unanswered() => Some(Class::HalfOpen),
            _ => None,
        }
    }

    /// Whether a reset ended it before its opener was answered: neither end ever took it for established.
    pub(crate) fn was_unanswered(&self) -> bool {
        self.state == State::Reset && self.flags & Self::WAS_UNANSWERED != 0
    }

    pub(super) const fn is_live(&self) -> bool {
        self.flags & Self::LIVE != 0
    }

    /// Under which policy it was decided: the lower 24 bits of its generation.
    #[inline(always)]
    pub(crate) const fn policy(&self) -> u32 {
        let [low, middle, high] = self.policy;
        u32::from_le_bytes([low, middle, high, 0])
    }

    /// Whether it was decided under the policy of that generation. A session that no packet came of for 2^24 deploys, to the
    /// last one, would be taken for one of today's.
    pub(crate) const fn is_of(&self, policy: u32) -> bool {
        self.policy() == policy & 0xff_ffff
    }

    /// It was decided under the policy of that generation.
    pub(crate) const fn set_policy(&mut self, policy: u32) {
        let [low, middle, high, _] = policy.to_le_bytes();
        self.policy = [low, middle, high];
    }
}

/// What packets only add to, several at a time: see [`super::counts`].
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(32))]
pub(crate) struct Cold {
    packets_low: [u32; 2],
    bytes_low: [u32; 2],
    bytes_high: [u16; 2],
    packets_high: [u8; 2],
    /// [`RuleKey`], the lowest byte first.
    rule: [u8; 3],
    /// Generation of the slot, counts its sessions: 24 bits, the lowest first.
    generation: [u8; 3],
    /// When its first packet came: milliseconds of the engine's clock, wrapping.
    pub(crate) created_ms: u32,
}

/// Where a session is in lists.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct Ties {
    pub(super) timer: Links,
    /// Neighbours in the list of its class of sessions that make room; of a free slot: the next free one; of any other session: the
    /// words of [`tcp::Attempt`], or none, and above them how often its ends were asked whether they live.
    pub(super) half_open: Links,
}

const _: () = assert!(size_of::<Hot>() == 64);
const _: () = assert!(size_of::<Cold>() == 32);
const _: () = assert!(size_of::<Ties>() == 16);

impl Cold {
    /// Of the next session of a slot that had this.
    pub(super) fn of_next(before: &Self) -> Self {
        let [low, middle, high, _] = before.generation().wrapping_add(1).to_le_bytes();
        Self { generation: [low, middle, high], ..Self::default() }
    }

    /// Counts a frame of `bytes` that arrived on `port`.
    #[inline]
    pub(crate) fn count(&mut self, port: Port, bytes: u32) {
        self.add(port.index(), 1, bytes);
    }

    /// Counts so many frames of so many bytes: 40 and 48 bits a side.
    #[inline]
    pub(super) fn add(&mut self, side: usize, packets: u32, bytes: u32) {
        // Carried once in four billion: foretold, where an addition each time would be one more read and write.
        let (low, carry) = self.packets_low[side].overflowing_add(packets);
        self.packets_low[side] = low;
        if carry {
            self.packets_high[side] = self.packets_high[side].wrapping_add(1);
        }
        let (low, carry) = self.bytes_low[side].overflowing_add(bytes);
        self.bytes_low[side] = low;
        if carry {
            self.bytes_high[side] = self.bytes_high[side].wrapping_add(1);
        }
    }

    /// The rule that allowed it.
    pub(crate) const fn rule(&self) -> RuleKey {
        let [low, middle, high] = self.rule;
        RuleKey::from_number(u32::from_le_bytes([low, middle, high, 0]))
    }

    /// That rule allowed it.
    pub(crate) const fn set_rule(&mut self, rule: RuleKey) {
        let [low, middle, high, _] = rule.number().to_le_bytes();
        self.rule = [low, middle, high];
    }

    pub(super) const fn generation(&self) -> u32 {
        let [low, middle, high] = self.generation;
        u32::from_le_bytes([low, middle, high, 0])
    }

    pub(super) fn packets(&self) -> [u64; 2] {
        [0, 1].map(|side| u64::from(self.packets_high[side]) << 32 | u64::from(self.packets_low[side]))
    }

    pub(super) fn bytes(&self) -> [u64; 2] {
        [0, 1].map(|side| u64::from(self.bytes_high[side]) << 32 | u64::from(self.bytes_low[side]))
    }
}
