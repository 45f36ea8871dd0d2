//! SYN cookies: all that a handshake has to remember, in the numbers that the client sends back.
//!
//! The sequence number of the SYN/ACK, from its lowest bit: the window scale (4 bits, 15: none), SACK (1), the MSS as one
//! of eight (3), the lowest bit of the period (1), and 23 bits of the keyed hash over all of these, the five-tuple with its
//! tags, the client's number and the period. A client with time stamps also sends back ours: its lower half is the exact MSS,
//! up to 16,383, with what was said of congestion marks ([`Ecn`]) in the upper two bits; its upper half 16 more bits of the hash.
//!
//! Who does not see the SYN/ACK has to guess: of 2^32 acknowledgements 2^9 are good without time stamps, one for each
//! that they can say and each of two periods; and of each two numbers are tried; so one in four million (RFC 4987 section 3.6).

use super::SynProxy;
use super::destinations::Known;
use super::options::{Offer, stamps_of};
use super::secret::period;
use crate::flow::PackedKey;
use crate::packet::{Tcp, tcp_flags};
use crate::port::Port;
use crate::time::Instant;

/// What the three bits of the MSS mean: the highest that is no more than what the client offers.
const SEGMENT_SIZES: [u16; 8] = [64, 536, 1220, 1360, 1400, 1440, 1460, 8960];
const NO_SCALE: u32 = 15;
/// In the time stamp: the exact MSS; above it [`Ecn`].
const EXACT_MSS: u16 = 0x3fff;
const ECN_AT: u32 = 14;
const SACK: u32 = 1 << 4;
const MSS_AT: u32 = 5;
const PERIOD: u32 = 1 << 8;
/// Those bits; the others are of the hash.
const MEANING: u32 = 0x1ff;

/// What a handshake says of explicit congestion notification (RFC 3168): both ends have to agree before either marks its
/// packets, and the client is answered before the server is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Ecn {
    /// Nobody asks for it, or the server is known not to have it.
    #[default]
    Off = 0,
    /// The client asked and was told no; whether the server has it is not known.
    Asked = 1,
    /// The client asked and was told yes: the server is known to have it.
    Promised = 2,
}

impl Ecn {
    /// Both flags of a SYN that asks for it (RFC 3168 section 6.1.1).
    pub(super) const ASKS: u8 = tcp_flags::ECE | tcp_flags::CWR;

    /// For a client whose SYN has these flags.
    pub(super) fn of(flags: u8, known: Option<&Known>) -> Self {
        match known {
            // What cannot be remembered of a server is not asked.
            Some(known) if flags & Self::ASKS == Self::ASKS => match known.ecn {
                Some(true) => Self::Promised,
                Some(false) => Self::Off,
                None => Self::Asked,
            },
            _ => Self::Off,
        }
    }

    const fn of_bits(bits: u16) -> Self {
        match bits {
            1 => Self::Asked,
            2 => Self::Promised,
            _ => Self::Off,
        }
    }
}

/// A cookie, as the SYN/ACK carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cookie {
    /// Its sequence number.
    pub(super) sequence: u32,
    /// Its time stamp, for a client that has them.
    pub(super) stamp: Option<u32>,
}

/// What an acknowledgement of a cookie tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Proof {
    /// The client's initial sequence number.
    pub(super) first: u32,
    pub(super) cookie: Cookie,
    /// What the client's SYN offered, with its latest time stamp.
    pub(super) offer: Offer,
    /// What it was told of congestion marks.
    pub(super) ecn: Ecn,
}

impl SynProxy {
    /// The cookie for a SYN of the end behind `from` with this key and number.
    pub(super) fn cookie(
        &self,
        now: Instant,
        key: &PackedKey,
        from: Port,
        first: u32,
        offer: &Offer,
        ecn: Ecn,
    ) -> Cookie {
        let size = SEGMENT_SIZES.iter().rposition(|size| *size <= offer.mss).unwrap_or(0);
        let scale = offer.scale.map_or(NO_SCALE, u32::from);
        let meaning = scale
            | if offer.sack { SACK } else { 0 }
            | u32::try_from(size).unwrap_or(0) << MSS_AT
            | if period(now) & 1 == 1 { PERIOD } else { 0 };
        let exact = offer.stamp.map(|_| offer.mss.min(EXACT_MSS) | (ecn as u16) << ECN_AT);
        let hash = self.cookie_hash(period(now), key, from, first, meaning, exact);
        let [upper, lower] = halves(hash);
        Cookie {
            sequence: upper & !MEANING | meaning,
            stamp: exact.map(|exact| lower & 0xffff_0000 | u32::from(exact)),
        }
    }

    /// What a segment of the end behind `from` proves, if it acknowledges a cookie that is still good. `options` are
    /// those of the segment.
    pub(super) fn prove(
        &self,
        now: Instant,
        key: &PackedKey,
        from: Port,
        tcp: &Tcp,
        options: &[u8],
    ) -> Option<Proof> {
        let sequence = tcp.acknowledgement.wrapping_sub(1);
        let meaning = sequence & MEANING;
        let is_odd = u64::from(meaning & PERIOD != 0);
        let made = period(now).checked_sub((period(now) & 1) ^ is_odd)?;
        let stamps = stamps_of(options);
        let exact = stamps.map(|(_, echo)| low16(echo));
        // A probe of a closed window may have the number before the next one (RFC 9293 section 3.8.6.1 leaves it open).
        let firsts = [tcp.sequence.wrapping_sub(1), tcp.sequence];
        let firsts = &firsts[..if tcp.data_len == 0 { 2 } else { 1 }];
        let first = *firsts.iter().find(|first| {
            let [upper, lower] = halves(self.cookie_hash(made, key, from, **first, meaning, exact));
            let is_stamped = stamps.is_none_or(|(_, echo)| (echo ^ lower) & 0xffff_0000 == 0);
            (upper ^ sequence) & !MEANING == 0 && is_stamped
        })?;
        let size = SEGMENT_SIZES[(meaning >> MSS_AT & 7) as usize];
        let scale = u8::try_from(meaning & 0xf).ok().filter(|scale| u32::from(*scale) != NO_SCALE);
        let offer = Offer {
            mss: exact.map_or(size, |exact| exact & EXACT_MSS),
            scale,
            sack: meaning & SACK != 0,
            stamp: stamps.map(|(value, _)| value),
        };
        let ecn = exact.map_or(Ecn::Off, |exact| Ecn::of_bits(exact >> ECN_AT));
        Some(Proof { first, cookie: Cookie { sequence, stamp: stamps.map(|(_, echo)| echo) }, offer, ecn })
    }

    fn cookie_hash(
        &self,
        period: u64,
        key: &PackedKey,
        from: Port,
        first: u32,
        meaning: u32,
        exact: Option<u16>,
    ) -> u64 {
        let exact = exact.map_or(0, |exact| 1 << 16 | u64::from(exact));
        let more = [u64::from(first) << 32 | u64::from(meaning), exact << 8 | from.index() as u64, period];
        self.hash_of(period, key, more)
    }

    /// The number that a challenge to a SYN acknowledges: the sequence number of the reset that answers it.
    pub(super) fn challenge(&self, period: u64, key: &PackedKey, from: Port) -> u32 {
        const CHALLENGE: u64 = 1 << 40;
        halves(self.hash_of(period, key, [CHALLENGE, from.index() as u64, period]))[0]
    }

    /// What is added to the numbers of an end of a session.
    pub(super) fn offset(&self, now: Instant, key: &PackedKey, end: Port) -> u32 {
        const OFFSET: u64 = 2 << 40;
        // 0 would be no offset, which is as likely as any other.
        halves(self.hash_of(period(now), key, [OFFSET, end.index() as u64, 0]))[0]
    }

    fn hash_of(&self, period: u64, key: &PackedKey, more: [u64; 3]) -> u64 {
        let secret = self.secret.of(period);
        let addresses = u64::from(key.lan) << 32 | u64::from(key.wan);
        let rest = u64::from(key.ports) << 32 | u64::from(key.tag);
        if !key.is_v6 {
            return crate::siphash::siphash(secret, &[addresses, rest, more[0], more[1], more[2]]);
        }
        let [lan, wan] = key.wide;
        let words = [high64(lan), low64(lan), high64(wan), low64(wan), rest, more[0], more[1], more[2]];
        crate::siphash::siphash(secret, &words)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a word is taken apart")]
const fn halves(hash: u64) -> [u32; 2] {
    [(hash >> 32) as u32, hash as u32]
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
const fn low16(word: u32) -> u16 {
    word as u16
}

#[expect(clippy::cast_possible_truncation, reason = "an address is taken apart")]
const fn low64(address: u128) -> u64 {
    address as u64
}

const fn high64(address: u128) -> u64 {
    low64(address >> 64)
}
