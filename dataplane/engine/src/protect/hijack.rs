//! The signature of a hijacked TCP session (Joncheray, "A Simple Active Attack Against TCP", 1995): somebody who sees it
//! speaks in the name of one end, and the ends lose count of each other.
//!
//! - *What was never sent is acknowledged*: the forged data went another way than through here, and its receiver
//!   acknowledges what the end behind us never said ([`tcp::Sign::Unsent`]).
//! - *An ACK storm*: the forged data went through here. Its receiver acknowledges it; the end in whose name it was sent
//!   knows nothing of it and answers with an acknowledgement of its own, with the number that it stands at; the receiver finds
//!   that too low and answers in turn, and so on ([`tcp::Sign::Stale`], over and over without any progress).
//!
//! Neither can be had by guessing: the first counts only with the very number that its sender sends next, the second only
//! within the windows. A segment that ends below what its sender has sent goes the long way, and so does one outside of the
//! windows, so that the short way pays nothing.

use crate::pipeline::{Arrival, Engine};
use crate::policy::HijackMode;
use crate::reason::Reason;
use crate::record::{Event, Outbox, Verdict};
use crate::session::{SessionId, tcp};
use crate::steer::{self, REDIRECTION_ENTRIES};
use crate::upkeep::stamp;

/// Sessions under suspicion, for each entry of steering: what is remembered does not depend on the number of workers.
const WAYS: usize = 4;
/// Acknowledgements without any progress that are a storm, within [`STORM_MS`]: at 100 ms from end to end there are as
/// many, and no end of a sound session sends more than a few.
const STORM_ACKS: u16 = 20;
const STORM_MS: u32 = 2_000;
/// Acknowledgements of what was never sent that end a session, within [`UNSENT_MS`]; each is told.
const UNSENT_ACKS: u16 = 3;
const UNSENT_MS: u32 = 60_000;

/// What gives a hijacked session away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum HijackSign {
    /// An acknowledgement of what was never sent.
    UnsentAcknowledged,
    /// Acknowledgements back and forth without any progress.
    AckStorm,
}

impl HijackSign {
    /// How many there are.
    pub const COUNT: usize = 2;

    /// All of them, in order of their number.
    pub const ALL: [Self; Self::COUNT] = [Self::UnsentAcknowledged, Self::AckStorm];

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnsentAcknowledged => "unsent-acknowledged",
            Self::AckStorm => "ack-storm",
        }
    }
}

/// A session under suspicion.
#[derive(Clone, Copy, Debug)]
struct Suspect {
    id: SessionId,
    sign: HijackSign,
    /// When its count began: milliseconds of the engine's clock, wrapping.
    since_ms: u32,
    count: u16,
    /// It was told of.
    is_told: bool,
    /// Sequence number and acknowledgement of the last: in a storm neither moves.
    numbers: [u32; 2],
}

/// The sessions under suspicion of one worker.
#[derive(Debug)]
pub(crate) struct Suspects {
    buckets: Box<[[Option<Suspect>; WAYS]]>,
}

impl Suspects {
    pub(crate) fn new() -> Self {
        Self { buckets: vec![[None; WAYS]; usize::from(REDIRECTION_ENTRIES)].into_boxed_slice() }
    }

    /// The record of a session's sign, begun anew where there is none or it is older than `span_ms`. The one that began
    /// first makes room.
    fn of(&mut self, entry: u16, id: SessionId, sign: HijackSign, now_ms: u32, span_ms: u32) -> &mut Suspect {
        let count = self.buckets.len();
        let bucket = &mut self.buckets[usize::from(entry) % count];
        let is_it = |way: &Option<Suspect>| way.is_some_and(|known| known.id == id && known.sign == sign);
        let age = |way: &Option<Suspect>| way.map_or(u32::MAX, |known| now_ms.wrapping_sub(known.since_ms));
        let oldest = (0..WAYS).max_by_key(|way| age(&bucket[*way])).unwrap_or_default();
        let way = bucket.iter().position(is_it).unwrap_or(oldest);
        let known = bucket[way].filter(|known| known.id == id && known.sign == sign);
        let is_told = known.is_some_and(|known| known.is_told);
        let blank = Suspect { id, sign, since_ms: now_ms, count: 0, is_told, numbers: [0; 2] };
        let fresh = known.filter(|known| now_ms.wrapping_sub(known.since_ms) < span_ms);
        bucket[way].insert(fresh.unwrap_or(blank))
    }
}

impl Engine {
    /// A segment of the session in `slot` that bears a sign. `Some`: the session is ended, and this is the verdict on the
    /// segment.
    #[cold]
    pub(crate) fn suspect_hijack(
        &mut self,
        arrival: &Arrival<'_>,
        slot: u32,
        sign: tcp::Sign,
        out: &mut Outbox,
    ) -> Option<Verdict> {
        let now_ms = stamp(arrival.now);
        let (id, entry) = (self.table.id(slot), steer::entry_of_packed(arrival.packed));
        let (kind, is_certain, is_told) = match sign {
            tcp::Sign::Unsent => {
                let known = self.suspects.of(entry, id, HijackSign::UnsentAcknowledged, now_ms, UNSENT_MS);
                known.count = known.count.saturating_add(1);
                let is_told = core::mem::replace(&mut known.is_told, true);
                (HijackSign::UnsentAcknowledged, known.count >= UNSENT_ACKS, is_told)
            }
            tcp::Sign::Stale => {
                let known = self.suspects.of(entry, id, HijackSign::AckStorm, now_ms, STORM_MS);
                let segment = &arrival.facts.tcp;
                let numbers = [segment.sequence, segment.acknowledgement];
                known.count = if known.numbers == numbers { known.count.saturating_add(1) } else { 1 };
                known.numbers = numbers;
                if known.count != STORM_ACKS {
                    return None;
                }
                (HijackSign::AckStorm, true, core::mem::replace(&mut known.is_told, true))
            }
        };
        self.counters.hijack[kind as usize].add(1);
        let mode = self.running.policy.ruleset.protections.hijack;
        let rule = self.running.policy.by_key(self.table.cold(slot).rule());
        let verdict = Verdict { reason: Reason::TcpHijacked, rule, session: Some(id) };
        if mode == HijackMode::Off {
            return None;
        }
        if !is_told {
            let packet = self.record(arrival.now, arrival.port, arrival.facts, verdict);
            out.event(Event::Suspect { packet });
        }
        if mode == HijackMode::Log || !is_certain {
            return None;
        }
        self.end_hijacked(arrival, slot, out);
        Some(Verdict { rule: None, ..verdict })
    }

    /// Ends a session whose ends have lost count of each other; each is told with the number that it expects.
    fn end_hijacked(&mut self, arrival: &Arrival<'_>, slot: u32, out: &mut Outbox) {
        let Arrival { now, port, facts, head, .. } = *arrival;
        if self.table.link(slot).is_none()
            && let Some(header) = head.get(..usize::from(facts.network_at))
        {
            self.table.learn_link(slot, port, header);
        }
        self.tell(slot, Reason::SendHijackReset, out);
        self.end(now, slot, Reason::EndHijacked, out);
    }
}
