//! Helpers: they follow control sessions of protocols that agree on the ports of further connections (FTP, TFTP,
//! SIP), and open exactly what the two ends of such a session announce to each other.
//!
//! A rule's service gives a session its helper; its port never does. What an end announces becomes an *expectation*
//! ([`expectation`]): for one connection between the two hosts of the control session, for at most [`LIFETIME_MS`], and
//! never longer than that session lives. A helper only reads. A command that it does not understand opens nothing and
//! is forwarded; a session that it cannot follow any more is counted ([`Stop`]) and opens nothing from there on.

pub mod expectation;
mod follow;
mod ftp;
mod line;
mod open;
mod sdp;
mod sip;
mod stream;
mod tftp;

use core::net::IpAddr;

use crate::counters::Count;
use crate::packet::protocol;
use crate::port::Port;

pub(crate) use expectation::Asked;
pub use expectation::{ExpectationView, Expectations};
pub(crate) use follow::Followers;

/// How long an expectation waits for its connection, in milliseconds.
pub const LIFETIME_MS: u64 = 60_000;
/// Expectations that one control session can have open.
pub const OPENINGS_MAX: usize = 64;
/// Ports below this are those of services that have nothing to do with any announcement: none is opened.
pub const ANNOUNCED_PORT_MIN: u16 = 1024;

/// Who follows a protocol that names the ports of further connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Helper {
    /// File transfer, RFC 959 and 2428.
    Ftp,
    /// Trivial file transfer, RFC 1350.
    Tftp,
    /// Session initiation, RFC 3261, with the RTP and RTCP streams of RFC 3550.
    Sip,
}

impl Helper {
    /// All of them, in order of their number.
    pub const ALL: [Self; 3] = [Self::Ftp, Self::Tftp, Self::Sip];

    /// Its name in policies, listings and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ftp => "ftp",
            Self::Tftp => "tftp",
            Self::Sip => "sip",
        }
    }

    /// Whether it can follow sessions of this IP protocol.
    pub const fn speaks(self, protocol: u8) -> bool {
        match self {
            Self::Ftp => protocol == protocol::TCP,
            Self::Tftp => protocol == protocol::UDP,
            Self::Sip => matches!(protocol, protocol::TCP | protocol::UDP),
        }
    }

    /// Its number, an index into arrays of as many as there are helpers.
    pub const fn index(self) -> usize {
        self as usize
    }

    const fn of_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::Ftp,
            1 => Self::Tftp,
            _ => Self::Sip,
        }
    }
}

macro_rules! causes {
    ($(#[$doc:meta])* $name:ident { $($variant:ident, $word:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $(#[doc = $text] $variant,)*
        }

        impl $name {
            /// All of them, in order of their number.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name in listings and metrics.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// What it means, in a sentence for an operator.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

causes! {
    /// Why a helper does not follow a session, or stopped following it.
    Stop {
        Lost, "lost", "Bytes of the control session were never seen, or it does not speak the protocol.";
        Encrypted, "encrypted", "The two ends agreed on TLS (FTP: AUTH, reply 234).";
        Midstream, "midstream", "Nobody saw the session begin: it was picked up.";
        Full, "table-full", "As many control sessions as there is room for are followed already.";
    }
}

causes! {
    /// Why an announcement opens nothing.
    Refusal {
        ThirdParty, "third-party", "It names the address of another host than the one that sends it.";
        PrivilegedPort, "privileged-port", "It names a port below 1024.";
        Malformed, "malformed", "It is not what the protocol says it must be.";
        Unasked, "unasked", "FTP: a reply 227 or 229 that nobody asked for.";
        EpsvAll, "epsv-all", "FTP: PORT, EPRT or PASV after EPSV ALL (RFC 2428 section 4).";
        Truncated, "truncated", "Not all of the datagram could be looked at.";
        SessionFull, "session-full", "The control session has as many expectations open as one can have.";
        TableFull, "table-full", "The table of expectations is full.";
    }
}

const _: () = assert!(Stop::ALL.len() == 4);
const _: () = assert!(Refusal::ALL.len() == 8);

/// What one engine counts of a helper.
#[derive(Debug, Default)]
pub struct HelperCounts {
    /// Control sessions that it follows.
    pub following: Count,
    /// Control sessions that it began to follow.
    pub followed: Count,
    /// Control sessions that it does not follow, by the number of the [`Stop`].
    stopped: [Count; 4],
    /// Expectations opened.
    pub opened: Count,
    /// Expectations whose connection came.
    pub used: Count,
    /// Expectations that ended with their control session, or were replaced by another's.
    pub withdrawn: Count,
    /// Announcements that opened nothing, by the number of the [`Refusal`].
    refused: [Count; 8],
}

impl HelperCounts {
    /// Control sessions that it does not follow, for this cause.
    pub const fn stopped(&self, cause: Stop) -> &Count {
        &self.stopped[cause as usize]
    }

    /// Expectations whose connection did not come in time, by what all engines that share a table count of a helper, and
    /// how many of its expectations are `open` there, which is asked last: while engines run, it tells too few rather
    /// than too many.
    pub fn expired<'c>(of_all: impl Iterator<Item = &'c Self> + Clone, open: impl FnOnce() -> u64) -> u64 {
        let opened: u64 = of_all.clone().map(|counts| counts.opened.get()).sum();
        let over: u64 = of_all.map(|counts| counts.used.get() + counts.withdrawn.get()).sum();
        opened.saturating_sub(over + open())
    }

    /// Announcements that opened nothing, for this cause.
    pub const fn refused(&self, cause: Refusal) -> &Count {
        &self.refused[cause as usize]
    }
}

/// What helpers have to do with a session: nothing, for almost all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark(u8);

impl Mark {
    /// A helper reads its packets.
    const READ: u8 = 1;
    /// [`Followers`] has an entry for it.
    const FOLLOWED: u8 = 2;
    /// An expectation opened it.
    const EXPECTED: u8 = 4;
    /// The number of the helper, from here on: two bits.
    const HELPER: u8 = 3;
    /// Numbers of its segments are translated ([`crate::protect::syn_proxy`]).
    const TRANSLATED: u8 = 32;
    /// The appliance shakes hands with the server in place of the client.
    const HANDSHAKE: u8 = 64;
    /// It is one of the half-open sessions of its destination that are counted.
    const COUNTED: u8 = 128;

    const fn followed(helper: Helper) -> Self {
        Self(Self::READ | Self::FOLLOWED | (helper as u8) << Self::HELPER)
    }

    const fn expected(helper: Helper) -> Self {
        Self(Self::EXPECTED | (helper as u8) << Self::HELPER)
    }

    /// The same for helpers, and for all else what `other` says.
    pub(crate) const fn beside(self, other: Self) -> Self {
        const ELSE: u8 = Mark::TRANSLATED | Mark::HANDSHAKE | Mark::COUNTED;
        Self(self.0 & !ELSE | other.0 & ELSE)
    }

    /// Whether nobody but the state machine has anything to do with its packets.
    #[inline]
    pub(crate) const fn is_smooth(self) -> bool {
        self.0 & (Self::READ | Self::TRANSLATED | Self::HANDSHAKE) == 0
    }

    /// Whether its segments are translated, or answered by the appliance.
    pub(crate) const fn is_translated(self) -> bool {
        self.0 & (Self::TRANSLATED | Self::HANDSHAKE) != 0
    }

    pub(crate) const fn set_translated(&mut self) {
        self.0 |= Self::TRANSLATED;
    }

    /// Whether the appliance shakes hands with the server in place of the client.
    pub(crate) const fn is_shaking_hands(self) -> bool {
        self.0 & Self::HANDSHAKE != 0
    }

    pub(crate) const fn set_shaking_hands(&mut self, is_shaking: bool) {
        self.0 = self.0 & !Self::HANDSHAKE | if is_shaking { Self::HANDSHAKE } else { 0 };
    }

    /// Whether it is one of the half-open sessions of its destination that are counted.
    pub(crate) const fn is_counted(self) -> bool {
        self.0 & Self::COUNTED != 0
    }

    pub(crate) const fn set_counted(&mut self, is_counted: bool) {
        self.0 = self.0 & !Self::COUNTED | if is_counted { Self::COUNTED } else { 0 };
    }

    /// The same session, which the helper reads no more.
    const fn stopped(self) -> Self {
        Self(self.0 & !Self::READ)
    }

    /// Whether a helper reads its packets.
    pub(crate) const fn is_read(self) -> bool {
        self.0 & Self::READ != 0
    }

    /// Whether a helper reads its packets, or did.
    pub(crate) const fn is_followed(self) -> bool {
        self.0 & Self::FOLLOWED != 0
    }

    /// Whether an expectation opened it.
    pub(crate) const fn is_expected(self) -> bool {
        self.0 & Self::EXPECTED != 0
    }

    /// The helper that reads it, or whose expectation opened it.
    pub(crate) const fn helper(self) -> Option<Helper> {
        if self.is_read() || self.is_expected() { Some(self.kind()) } else { None }
    }

    pub(crate) const fn kind(self) -> Helper {
        Helper::of_bits(self.0 >> Self::HELPER)
    }
}

/// Who speaks in a control session.
#[derive(Clone, Copy, Debug)]
struct Speaker {
    address: IpAddr,
    /// The port of the appliance behind which it is.
    side: Port,
}

/// What a helper finds in what an end says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    /// The end behind `side` awaits a connection of the other.
    Open { side: Port, protocol: u8, port: u16 },
    /// Something was announced that opens nothing.
    Refused(Refusal),
    /// Nothing can be found in this session any more.
    Stopped(Stop),
}

/// An announced address and port, held to what may be announced.
fn announced(speaker: Speaker, address: IpAddr, protocol: u8, port: u16) -> Finding {
    if address != speaker.address {
        return Finding::Refused(Refusal::ThirdParty);
    }
    announced_port(speaker, protocol, port)
}

/// An announced port of the speaker's own.
fn announced_port(speaker: Speaker, protocol: u8, port: u16) -> Finding {
    match port {
        0 => Finding::Refused(Refusal::Malformed),
        1..ANNOUNCED_PORT_MIN => Finding::Refused(Refusal::PrivilegedPort),
        port => Finding::Open { side: speaker.side, protocol, port },
    }
}

/// A decimal number of at most `digits_max` digits and no sign, which begins `text`; and what follows it.
fn number(text: &[u8], digits_max: usize) -> Option<(u32, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 || digits > digits_max.min(9) {
        return None;
    }
    let (digits, rest) = text.split_at(digits);
    Some((digits.iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0')), rest))
}

/// A decimal port number that begins `text`; and what follows it.
fn port_number(text: &[u8]) -> Option<(u16, &[u8])> {
    let (value, rest) = number(text, 5)?;
    Some((u16::try_from(value).ok()?, rest))
}

/// An address in its text form, the whole of `text`.
fn address(text: &[u8]) -> Option<IpAddr> {
    core::str::from_utf8(text).ok()?.parse().ok()
}
