//! SYNs that the appliance answers, and what comes back: cookies and challenges.

use super::cookie::Ecn;
use super::destinations::Place;
use super::options::{MSS_DEFAULT_V4, MSS_DEFAULT_V6, Offer};
use super::secret::period;
use crate::packet::{Facts, Tcp, tcp_flags};
use crate::pipeline::{Arrival, Engine};
use crate::policy::{Action, RuleId, SynProxyMode};
use crate::reason::Reason;
use crate::record::{Outbox, OwnFrame, Verdict};
use crate::respond;
use crate::session::State;

/// What a SYN/ACK with a cookie offers for a server that is not known: what Ethernet carries.
const MSS_V4: u16 = 1460;
const MSS_V6: u16 = 1440;
/// The window scale that a SYN/ACK with a cookie offers. Windows are told in it, whatever the server's scale is.
pub(super) const SCALE: u8 = 7;

/// What becomes of a SYN that the rules allow.
pub(crate) enum Shield {
    /// It may open a session; which counts among the half-open ones of its destination, if that has a place here.
    Passes(Option<Place>),
    /// It was answered, and goes no further.
    Answered(Reason),
}

impl Engine {
    /// Has the source of a SYN that `rule` allows prove that it is real, if the rule says so.
    #[cold]
    #[inline(never)]
    pub(crate) fn shield(&mut self, arrival: &Arrival<'_>, rule: Option<RuleId>, out: &mut Outbox) -> Shield {
        let Arrival { now, port, facts, packed, .. } = *arrival;
        if facts.tcp.flags & (tcp_flags::SYN | tcp_flags::ACK) != tcp_flags::SYN {
            return Shield::Passes(None);
        }
        match self.running.policy.syn_proxy(rule) {
            SynProxyMode::Off => Shield::Passes(None),
            SynProxyMode::Always => self.send_cookie(arrival, out),
            SynProxyMode::Auto => {
                let name = self.syn_proxy.name(packed, port.other());
                let limits = self.running.policy.ruleset.protections.syn_flood;
                let (place, is_flooded) = self.syn_proxy.destinations.arrive(name, now, limits);
                if !is_flooded {
                    return Shield::Passes(Some(place));
                }
                self.syn_proxy.destinations.ask(place, now);
                self.send_cookie(arrival, out)
            }
            SynProxyMode::Verify => {
                let name = self.syn_proxy.name(packed, port);
                if self.syn_proxy.trusted.is_trusted(name, now) {
                    return Shield::Passes(None);
                }
                self.challenge(arrival, out)
            }
        }
    }

    /// Answers a SYN with a cookie.
    ///
    /// Its window is closed: what the client would send at once could go nowhere, and would be sent again only when its
    /// timer fires. When the server has answered, the window opens.
    #[inline(never)]
    fn send_cookie(&mut self, arrival: &Arrival<'_>, out: &mut Outbox) -> Shield {
        let Arrival { now, port, facts, head, packed, .. } = *arrival;
        if !respond::may_answer(facts) {
            return Shield::Answered(Reason::GroupDestination);
        }
        let is_v4 = facts.addresses.is_v4();
        let mut offer = Offer::of(options_of(facts, head));
        if offer.mss == 0 {
            offer.mss = if is_v4 { MSS_DEFAULT_V4 } else { MSS_DEFAULT_V6 };
        }
        let known = self.syn_proxy.destinations.known(self.syn_proxy.name(packed, port.other()));
        if let Some(known) = known {
            offer.sack &= known.sack;
            offer.stamp = offer.stamp.filter(|_| known.has_stamps);
        }
        let first = facts.tcp.sequence;
        // It is kept in the time stamp.
        let ecn = offer.stamp.map_or(Ecn::Off, |_| Ecn::of(facts.tcp.flags, known.as_ref()));
        let cookie = self.syn_proxy.cookie(now, packed, port, first, &offer, ecn);
        let mss = known.map(|known| known.mss).filter(|mss| *mss > 0);
        let answer = Offer {
            mss: mss.unwrap_or(if is_v4 { MSS_V4 } else { MSS_V6 }),
            scale: offer.scale.map(|_| SCALE),
            sack: offer.sack,
            stamp: cookie.stamp,
        };
        let tcp = Tcp {
            sequence: cookie.sequence,
            acknowledgement: first.wrapping_add(1),
            flags: tcp_flags::SYN | tcp_flags::ACK | if ecn == Ecn::Promised { tcp_flags::ECE } else { 0 },
            ..Tcp::default()
        };
        let options = answer.written(offer.stamp.unwrap_or(0));
        let sent = self.send(out, |frame| {
            respond::answer(frame, (port, facts, head), &tcp, &options, Reason::SendCookie)
        });
        // A client that speaks first repairs a lost acknowledgement itself, and the ring is for those that wait.
        if let Some(frame) = sent
            && !known.is_some_and(|known| known.is_client_first(facts.destination_port))
        {
            self.shields.ring.put(now, self.syn_proxy.count_cookie(), frame);
        }
        Shield::Answered(Reason::SynCookie)
    }

    /// Answers a SYN with an acknowledgement of what was not sent: a real stack resets that, with the number that it
    /// acknowledges (RFC 9293 section 3.10.7.3), and goes on waiting.
    #[inline(never)]
    fn challenge(&mut self, arrival: &Arrival<'_>, out: &mut Outbox) -> Shield {
        let Arrival { now, port, facts, head, packed, .. } = *arrival;
        if !respond::may_answer(facts) {
            return Shield::Answered(Reason::GroupDestination);
        }
        let mut number = self.syn_proxy.challenge(period(now), packed, port);
        // By chance it may be what was sent.
        if number.wrapping_sub(facts.tcp.sequence).wrapping_sub(1) <= facts.tcp.data_len {
            number ^= OTHER_NUMBER;
        }
        let tcp = Tcp {
            sequence: !number,
            acknowledgement: number,
            flags: tcp_flags::SYN | tcp_flags::ACK,
            ..Tcp::default()
        };
        self.send(out, |frame| respond::answer(frame, (port, facts, head), &tcp, &[], Reason::SendChallenge));
        Shield::Answered(Reason::SynChallenged)
    }

    /// A segment that opens nothing by itself: perhaps it answers a cookie or a challenge. `over` is a session of the same
    /// five-tuple that goes for a new one.
    #[cold]
    #[inline(never)]
    pub(crate) fn heed_proof(
        &mut self,
        arrival: &Arrival<'_>,
        over: Option<u32>,
        out: &mut Outbox,
    ) -> Option<Verdict> {
        let Arrival { now, port, facts, head, packed, .. } = *arrival;
        const KINDS: u8 = tcp_flags::SYN | tcp_flags::ACK | tcp_flags::RST;
        if facts.tcp.flags & tcp_flags::RST != 0 {
            return self.heed_reset(arrival);
        }
        if facts.tcp.flags & KINDS != tcp_flags::ACK {
            return None;
        }
        let proof = self.syn_proxy.prove(now, packed, port, &facts.tcp, options_of(facts, head))?;
        let query = self.running.policy.query_of(port, facts)?;
        let (action, rule) = self.ask_rules(&query);
        let is_asked = match self.running.policy.syn_proxy(rule) {
            SynProxyMode::Always => true,
            SynProxyMode::Auto => {
                let name = self.syn_proxy.name(packed, port.other());
                self.syn_proxy.destinations.has_asked(name, now)
            }
            SynProxyMode::Off | SynProxyMode::Verify => false,
        };
        if action != Action::Allow || !is_asked {
            return None;
        }
        Some(self.open_proven(arrival, &proof, rule, query.from, over, out))
    }

    /// A reset without a session: the source is trusted from now on, if it has the number of a challenge.
    fn heed_reset(&self, arrival: &Arrival<'_>) -> Option<Verdict> {
        let Arrival { now, port, facts, packed, .. } = *arrival;
        let now_in = period(now);
        let is_answer = [now_in, now_in.saturating_sub(1)].into_iter().any(|period| {
            let number = self.syn_proxy.challenge(period, packed, port);
            [number, number ^ OTHER_NUMBER].contains(&facts.tcp.sequence)
        });
        if !is_answer {
            return None;
        }
        self.syn_proxy.trusted.trust(self.syn_proxy.name(packed, port), now);
        Some(Verdict::of(Reason::SynVerified))
    }

    /// The same for a packet of the session in `slot`: one that is over goes for whoever proves to be real, and so does a
    /// handshake that a client has begun anew.
    #[cold]
    #[inline(never)]
    pub(crate) fn heed_proof_over(
        &mut self,
        arrival: &Arrival<'_>,
        slot: u32,
        out: &mut Outbox,
    ) -> Option<Verdict> {
        let hot = self.table.hot(slot);
        let is_over = matches!(hot.state, State::TimeWait | State::Reset);
        let is_ack = arrival.facts.tcp.flags & (tcp_flags::SYN | tcp_flags::RST) == 0;
        // The cookie that opened it proves nothing any more: a segment that comes late has it.
        let is_used = hot.mark.is_translated()
            && self.table.cookie(slot) == arrival.facts.tcp.acknowledgement.wrapping_sub(1);
        if !is_over || !is_ack || is_used {
            return None;
        }
        self.heed_proof(arrival, Some(slot), out)
    }

    /// The session in `slot`, which counts at `place` of its destination, begins half-open.
    #[cold]
    #[inline(never)]
    pub(crate) fn count_half_open(&mut self, arrival: &Arrival<'_>, slot: u32, place: Place) {
        self.table.set_place(slot, place);
        self.table.hot_mut(slot).mark.set_counted(true);
        let limits = self.running.policy.ruleset.protections.syn_flood;
        self.syn_proxy.destinations.open(place, arrival.now, limits);
    }

    /// The session in `slot` is half-open no more.
    #[cold]
    #[inline(never)]
    pub(crate) fn uncount_half_open(&mut self, now: crate::time::Instant, slot: u32) {
        self.table.hot_mut(slot).mark.set_counted(false);
        let limits = self.running.policy.ruleset.protections.syn_flood;
        self.syn_proxy.destinations.close(self.table.place(slot), now, limits);
    }

    /// Sends a frame of the appliance's own, that `write` writes; `None` if there is no room for it.
    #[inline]
    pub(crate) fn send<'o>(
        &self,
        out: &'o mut Outbox,
        write: impl FnOnce(&mut OwnFrame) -> Option<()>,
    ) -> Option<&'o OwnFrame> {
        let sent = out.frame(write)?;
        self.counters.reason(sent.reason).add(1);
        Some(sent)
    }
}

/// What is turned in a challenge that would be right by chance.
const OTHER_NUMBER: u32 = 1 << 31;

/// The options of a segment.
pub(super) fn options_of<'h>(facts: &Facts, head: &'h [u8]) -> &'h [u8] {
    let at = usize::from(facts.transport_at);
    head.get(at + 20..at + usize::from(facts.tcp.header_len)).unwrap_or_default()
}
