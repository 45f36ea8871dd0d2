//! Connections whose source has to prove that it is real before the server hears of it (`syn_proxy`), and numbers that
//! nobody can guess (`sequence_numbers`).
//!
//! With *cookies* the appliance answers a SYN itself and remembers nothing of it: all that there is to know is in the
//! numbers of the SYN/ACK ([`cookie`]). A segment that acknowledges them opens the session; the appliance then shakes hands
//! with the server on behalf of the client ([`handshake`]), and from there on each end's numbers are put into the other's
//! ([`translation`]). With *verification* the first SYN of a source is answered with a SYN/ACK that a real stack refuses
//! with a reset of the right number; the source is then [`trusted`] for a while, and its SYN, sent again, passes untouched.
//!
//! What all engines share is in [`SynProxy`]: the secret, who is flooded ([`destinations`]), who is trusted, and counts.
//! What is an engine's own is in [`Own`]: its handshakes and the newest of its cookies ([`ring`]).

mod answer;
mod cookie;
pub(crate) mod destinations;
mod handshake;
mod handshakes;
mod options;
mod ring;
mod secret;
#[cfg(test)]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers")]
mod tests;
pub(crate) mod translation;
mod trusted;

use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use core::sync::atomic::{AtomicU32, AtomicU64};

use crate::flow::{HashSecret, PackedKey};
use crate::packet::Addresses;
use crate::port::Port;
use crate::siphash::siphash;
use crate::time::Instant;
pub(crate) use answer::Shield;
use destinations::Destinations;
use handshakes::Handshakes;
use ring::Ring;
use secret::Secret;
use trusted::Trusted;

/// Handshakes with servers that are under way at the most, of all engines together.
const HANDSHAKES_MAX: u32 = 16_384;

/// What all engines of an appliance share.
#[derive(Debug)]
pub struct SynProxy {
    secret: Secret,
    /// For names of hosts in tables: they outlive the other secret.
    names: [u64; 2],
    destinations: Destinations,
    trusted: Trusted,
    cookies_sent: AtomicU64,
    cookies_max: usize,
    handshakes: AtomicU32,
    handshakes_max: u32,
}

impl SynProxy {
    /// For an appliance whose engines hold so many sessions together.
    pub fn new(sessions_max: u32, secret: HashSecret) -> Self {
        let HashSecret([a, b, c, d]) = secret;
        // Two secrets of one, neither of which tells anything of the other or of the one of the session tables.
        let half =
            |number: u64| [0, 1].map(|part| siphash([a ^ c, b ^ d], &[a, b, c, d, number << 1 | part]));
        Self {
            secret: Secret::new(half(1)),
            names: half(2),
            destinations: Destinations::new(sessions_max),
            trusted: Trusted::new(sessions_max),
            cookies_sent: AtomicU64::new(0),
            cookies_max: (sessions_max as usize).clamp(1, ring::COOKIES_MAX),
            handshakes: AtomicU32::new(0),
            handshakes_max: sessions_max.clamp(1, HANDSHAKES_MAX),
        }
    }

    /// Replaces the secret of cookies, challenges and sequence numbers. What was made with the old one stays good for as long
    /// as ever: one or two minutes for cookies, to its end for a session. Not more than once in [`SynProxy::ROTATION_SECS_MIN`].
    pub fn rotate(&self, now: Instant, key: [u64; 2]) {
        self.secret.rotate(now, key);
    }

    /// The shortest time between two rotations, in seconds.
    pub const ROTATION_SECS_MIN: u64 = 3 * secret::PERIOD_SECS;

    /// Handshakes with servers that are under way.
    pub fn handshakes(&self) -> u32 {
        self.handshakes.load(Relaxed)
    }

    /// Destinations that are flooded; those that have no place in the table count as one.
    pub fn flooded(&self, now: Instant) -> usize {
        self.destinations.flooded(now)
    }

    /// Sources that are trusted (`syn_proxy: verify`).
    pub fn trusted(&self, now: Instant) -> usize {
        self.trusted.count(now)
    }

    fn begin_handshake(&self) -> bool {
        let more = |under_way| (under_way < self.handshakes_max).then_some(under_way + 1);
        self.handshakes.fetch_update(AcqRel, Acquire, more).is_ok()
    }

    fn end_handshake(&self) {
        self.handshakes.fetch_sub(1, AcqRel);
    }

    /// Counts a cookie; its number.
    fn count_cookie(&self) -> u64 {
        self.cookies_sent.fetch_add(1, AcqRel) + 1
    }

    fn cookies_sent(&self) -> u64 {
        self.cookies_sent.load(Acquire)
    }

    /// The name of the host at the end behind `port` of a session with this key, in its VLANs; never 0.
    fn name(&self, key: &PackedKey, port: Port) -> u64 {
        let place = u64::from(key.tag & 0xff_ffff) << 1 | port.index() as u64;
        let name = match key.addresses(port) {
            Addresses::V4 { source, .. } => siphash(self.names, &[place, u64::from(source)]),
            Addresses::V6 { source, .. } => {
                let [high, low] =
                    [64, 0].map(|at| u64::try_from(source >> at & u128::from(u64::MAX)).unwrap_or(0));
                siphash(self.names, &[place, high, low])
            }
            Addresses::None => 0,
        };
        name.max(1)
    }
}

/// What an engine has of its own.
#[derive(Debug)]
pub(crate) struct Own {
    handshakes: Handshakes,
    ring: Ring,
}

impl Own {
    pub(crate) fn new(shared: &SynProxy, now: Instant) -> Self {
        Self { handshakes: Handshakes::new(shared.handshakes_max, now), ring: Ring::new(shared.cookies_max) }
    }

    /// When something may be to do next, in milliseconds of the engine's clock.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        [self.handshakes.next_ms(), self.ring.next_ms()].into_iter().flatten().min()
    }
}
