//! Sessions of clients that have proven themselves: the handshake with the server, and what follows from it.

use super::answer::{SCALE, options_of};
use super::cookie::{Ecn, Proof};
use super::handshakes::Handshake;
use super::options::{self, Offer, Options, stamps_of};
use super::translation::{Translation, renewed};
use crate::counters::ProtocolClass;
use crate::packet::{self, Facts, Tcp, protocol, tcp_flags};
use crate::pipeline::{Arrival, Engine};
use crate::policy::{RuleId, SequenceNumbers, TcpWindowMode, ZoneId};
use crate::port::Port;
use crate::reason::Reason;
use crate::record::{Outbox, Rewrite, Verdict};
use crate::respond;
use crate::session::{State, tcp};
use crate::time::Instant;

/// What follows from the offers of both ends: how the session of a client behind `client` is translated, whose server has
/// the initial number `first` and offers `theirs`.
fn agree(translation: &mut Translation, client: Port, proof: &Proof, first: u32, theirs: &Offer) {
    let server = client.other();
    let Proof { cookie, offer, .. } = proof;
    translation.offsets[server.index()] = cookie.sequence.wrapping_sub(first);
    if let (Some(ours), Some(theirs)) = (cookie.stamp, theirs.stamp) {
        translation.stamp = ours.wrapping_sub(theirs);
    }
    // The client knows the scale of the cookie; the server knows the client's, if it has one itself.
    let agreed = offer.scale.zip(theirs.scale);
    translation.shifts[client.index()] = offer.scale.unwrap_or(0);
    translation.shifts_heard[client.index()] = agreed.map_or(0, |(client, _)| client);
    translation.shifts[server.index()] = agreed.map_or(0, |(_, server)| server);
    translation.shifts_heard[server.index()] = offer.scale.map_or(0, |_| SCALE);
    translation.is_silent = true;
}

impl Engine {
    /// Opens a session for a client that has proven itself, and sends its SYN to the server.
    pub(super) fn open_proven(
        &mut self,
        arrival: &Arrival<'_>,
        proof: &Proof,
        rule: Option<RuleId>,
        opener: Option<ZoneId>,
        over: Option<u32>,
        out: &mut Outbox,
    ) -> Verdict {
        let Arrival { now, port, facts, head, .. } = *arrival;
        if !self.syn_proxy.begin_handshake() {
            return Verdict { reason: Reason::SynProxyFull, rule, session: None };
        }
        let admission = match self.admit(arrival, rule, || facts.addresses.source_or_unspecified(), over) {
            Ok(admission) => admission,
            Err(reason) => {
                self.syn_proxy.end_handshake();
                return Verdict { reason, rule, session: None };
            }
        };
        if let Some(over) = over {
            self.end(now, over, Reason::EndReopened, out);
        }
        let begun = self.take_slot(arrival, port, State::SynSent, out).and_then(|slot| {
            let (id, window) = (self.table.id(slot), facts.tcp.window);
            // There is room for as many as are counted; without it the slot would never be freed.
            let begun = self.shields.handshakes.begin(now, id, *proof, window);
            let number = begun.ok_or(Reason::SynProxyFull).inspect_err(|_| {
                self.counters.sessions(ProtocolClass::of(protocol::TCP), State::SynSent).sub(1);
                self.table.remove(slot);
            })?;
            Ok((slot, number))
        });
        let (slot, number) = match begun {
            Ok(begun) => begun,
            Err(reason) => {
                self.give_back(admission);
                self.syn_proxy.end_handshake();
                return Verdict { reason, rule, session: None };
            }
        };
        self.keep(slot, admission);
        // From here on as if its SYN had come now.
        let window = u32::from(facts.tcp.window) << proof.offer.scale.unwrap_or(0);
        let tcp = Tcp {
            sequence: proof.first,
            acknowledgement: 0,
            window: u16::try_from(window).unwrap_or(u16::MAX),
            flags: tcp_flags::SYN,
            header_len: facts.tcp.header_len,
            data_len: 0,
        };
        let syn = Facts { tcp, transport_len: u32::from(tcp.header_len), ..*facts };
        let options = tcp::SynOptions { scale: proof.offer.scale, fast_open: false };
        let policy = &self.running.policy;
        let (key, numbers) = (policy.key(rule), policy.sequence_numbers(rule));
        let (hot, cold) = self.table.both(slot);
        hot.peers = tcp::open(port.index(), &tcp::Segment { tcp, options });
        hot.mark.set_shaking_hands(true);
        cold.set_rule(key);
        let mut translation = Translation::default();
        if numbers == SequenceNumbers::RandomiseBoth {
            translation.offsets[port.index()] = self.syn_proxy.offset(now, arrival.packed, port);
        }
        self.table.set_translation(slot, &translation);
        self.table.set_handshake(slot, number);
        let begun = Arrival { facts: &syn, ..*arrival };
        self.begin_following(&begun, slot, rule, false);
        self.enter(&begun, slot, rule, opener, out);
        if let Some(header) = head.get(..usize::from(facts.network_at)) {
            self.table.learn_link(slot, port, header);
        }
        self.send_syn(slot, proof, facts.tcp.window, proof.ecn != Ecn::Off, out);
        Verdict { reason: Reason::SynProven, rule, session: Some(self.table.id(slot)) }
    }

    /// Sends the server the SYN of the client, who has this window in its own scale. It may ask for congestion marks.
    fn send_syn(&self, slot: u32, proof: &Proof, window: u16, asks: bool, out: &mut Outbox) {
        let window = u32::from(window) << proof.offer.scale.unwrap_or(0);
        let syn = Tcp {
            sequence: proof.first,
            window: u16::try_from(window).unwrap_or(u16::MAX),
            flags: tcp_flags::SYN | if asks { Ecn::ASKS } else { 0 },
            ..Tcp::default()
        };
        let server = self.table.hot(slot).from().other();
        self.say(slot, server, &syn, &proof.offer.written(0), Reason::SendProxySyn, out);
    }

    /// Sends the end behind `to` a segment on behalf of the other, with that one's own numbers.
    fn say(&self, slot: u32, to: Port, tcp: &Tcp, options: &[u8], reason: Reason, out: &mut Outbox) {
        let translation = self.table.translation(slot);
        let tcp = Tcp { sequence: translation.heard(to.other(), tcp.sequence), ..*tcp };
        let Some(link) = self.table.link(slot) else { return };
        let key = self.table.key(slot);
        self.send(out, |frame| respond::segment(frame, to, (link, &key), &tcp, options, reason));
    }

    /// A packet of a session whose numbers are translated, or with whose server the appliance shakes hands.
    #[cold]
    #[inline(never)]
    pub(crate) fn follow_translated(
        &mut self,
        arrival: &Arrival<'_>,
        slot: u32,
        out: &mut Outbox,
    ) -> Verdict {
        let Arrival { port, facts, .. } = *arrival;
        let hot = self.table.hot(slot);
        let (mark, opener) = (hot.mark, hot.from());
        let translation = self.table.translation(slot);
        let tracked = translation.tracked(port, opener, &facts.tcp);
        let own = Facts { tcp: tracked, ..*facts };
        let translated = Arrival { facts: &own, ..*arrival };
        let verdict = if mark.is_shaking_hands() {
            self.shake_hands(arrival, &translated, slot, out)
        } else {
            self.follow_as_it_is(&translated, slot, out)
        };
        if verdict.is_forward()
            && let Some(slot) = verdict.session.and_then(|session| self.table.slot(session))
        {
            if translation.is_silent && facts.tcp.data_len > 0 {
                self.hear_first_words(arrival, slot);
            }
            self.translate(arrival, slot, out);
        }
        verdict
    }

    /// An end of the session in `slot` is the first to say something.
    #[cold]
    #[inline(never)]
    fn hear_first_words(&mut self, arrival: &Arrival<'_>, slot: u32) {
        let Arrival { port, facts, packed, .. } = *arrival;
        let opener = self.table.hot(slot).from();
        let is_client = port == opener;
        let service = if is_client { facts.destination_port } else { facts.source_port };
        let name = self.syn_proxy.name(packed, opener.other());
        self.syn_proxy.destinations.hear(name, service, is_client);
        let spoken = Translation { is_silent: false, ..self.table.translation(slot) };
        self.table.set_translation(slot, &spoken);
    }

    /// Translates a segment that leaves.
    fn translate(&self, arrival: &Arrival<'_>, slot: u32, out: &mut Outbox) {
        let hot = self.table.hot(slot);
        if hot.mark.is_translated() {
            let Arrival { port, facts, head, .. } = *arrival;
            out.rewrite = self.table.translation(slot).rewrite(port, hot.from(), facts, head);
        }
    }

    /// A segment while the appliance shakes hands with the server; `translated` is the same in numbers of the ends' own.
    fn shake_hands(
        &mut self,
        arrival: &Arrival<'_>,
        translated: &Arrival<'_>,
        slot: u32,
        out: &mut Outbox,
    ) -> Verdict {
        let session = Some(self.table.id(slot));
        if !self.is_current(arrival.now, slot, out) {
            return Verdict { reason: Reason::PolicyChanged, rule: None, session };
        }
        let Some(handshake) = self.shields.handshakes.get(self.table.handshake(slot)).copied() else {
            return Verdict { reason: Reason::TcpHandshake, rule: None, session };
        };
        if arrival.port == self.table.hot(slot).from() {
            self.hear_client(arrival, translated, slot, &handshake, out)
        } else {
            self.hear_server(translated, slot, &handshake, out)
        }
    }

    fn hear_client(
        &mut self,
        arrival: &Arrival<'_>,
        translated: &Arrival<'_>,
        slot: u32,
        handshake: &Handshake,
        out: &mut Outbox,
    ) -> Verdict {
        let tcp = &arrival.facts.tcp;
        let drop = |reason| Verdict { reason, rule: None, session: Some(handshake.session) };
        let Proof { first, cookie, .. } = handshake.proof;
        let has = |flags: u8| tcp.flags & flags != 0;
        match () {
            () if has(tcp_flags::RST) && tcp.sequence == first.wrapping_add(1) => {
                // The server hears of it, whether it has answered or not.
                self.finish_handshake(slot);
                self.follow_as_it_is(translated, slot, out)
            }
            () if has(tcp_flags::RST) => drop(Reason::TcpOutOfWindow),
            () if has(tcp_flags::SYN) && tcp.sequence == first => drop(Reason::SynProxied),
            () if has(tcp_flags::SYN) && !has(tcp_flags::ACK) => self.first(arrival, Some(slot), out),
            () if tcp.acknowledgement == cookie.sequence.wrapping_add(1) => {
                let stamps = stamps_of(options_of(arrival.facts, arrival.head));
                if let Some(handshake) = self.shields.handshakes.get(self.table.handshake(slot)) {
                    handshake.window = tcp.window;
                    let stamp = &mut handshake.proof.offer.stamp;
                    *stamp = stamp.map(|old| stamps.map_or(old, |(value, _)| value));
                }
                drop(Reason::SynProxied)
            }
            // It has begun anew, and proven itself again.
            () => self.heed_proof(arrival, Some(slot), out).unwrap_or(drop(Reason::TcpHandshake)),
        }
    }

    fn hear_server(
        &mut self,
        translated: &Arrival<'_>,
        slot: u32,
        handshake: &Handshake,
        out: &mut Outbox,
    ) -> Verdict {
        let Arrival { port, facts, .. } = *translated;
        let tcp = &facts.tcp;
        let drop = |reason| Verdict { reason, rule: None, session: Some(handshake.session) };
        let Proof { first, cookie, .. } = handshake.proof;
        const KINDS: u8 = tcp_flags::SYN | tcp_flags::ACK | tcp_flags::RST;
        const SYN_ACK: u8 = tcp_flags::SYN | tcp_flags::ACK;
        const RST_ACK: u8 = tcp_flags::RST | tcp_flags::ACK;
        let is_answer = tcp.acknowledgement == first.wrapping_add(1);
        match tcp.flags & KINDS {
            SYN_ACK if is_answer && handshake.refused == Some(tcp.sequence) => drop(Reason::SynProxied),
            SYN_ACK if is_answer => self.hear_answer(translated, slot, handshake, out),
            RST_ACK if is_answer => {
                // It refuses: the client hears that at the number that it expects.
                let mut translation = self.table.translation(slot);
                let expected = cookie.sequence.wrapping_add(1);
                translation.offsets[port.index()] = expected.wrapping_sub(tcp.sequence);
                self.table.set_translation(slot, &translation);
                self.finish_handshake(slot);
                self.follow_as_it_is(translated, slot, out)
            }
            tcp_flags::ACK | SYN_ACK => {
                // It speaks of a connection of before; as the client would (RFC 9293 section 3.10.7.3), so that the next
                // SYN finds it free.
                let reset = Tcp { sequence: tcp.acknowledgement, flags: tcp_flags::RST, ..Tcp::default() };
                self.say(slot, port, &reset, &Options::new(), Reason::SendProxyReset, out);
                drop(Reason::SynProxied)
            }
            _ => drop(Reason::TcpHandshake),
        }
    }

    /// The server has answered: the handshake ends, and the window of the client opens.
    fn hear_answer(
        &mut self,
        translated: &Arrival<'_>,
        slot: u32,
        handshake: &Handshake,
        out: &mut Outbox,
    ) -> Verdict {
        let Arrival { now, port, facts, head, packed, .. } = *translated;
        let verdict = Verdict { reason: Reason::SynProxied, rule: None, session: Some(handshake.session) };
        let (client, server) = (port.other(), port);
        let Proof { first, cookie, offer, ecn } = handshake.proof;
        let theirs = Offer::of(options_of(facts, head));
        // Whoever sends the flags of the SYN back as they were has nothing understood (RFC 3168 section 6.1.1.1).
        let agrees = facts.tcp.flags & Ecn::ASKS == tcp_flags::ECE;
        let was_asked = ecn == Ecn::Promised || ecn == Ecn::Asked && (agrees || handshake.sent == 1);
        let name = self.syn_proxy.name(packed, server);
        self.syn_proxy.destinations.learn(name, now, &theirs, was_asked.then_some(agrees));
        let next = first.wrapping_add(1);
        if ecn == Ecn::Asked && agrees {
            self.ask_without_ecn(slot, facts.tcp.sequence, out);
            return verdict;
        }
        if offer.stamp.is_some() && theirs.stamp.is_none() || ecn == Ecn::Promised && !agrees {
            // The client was promised time stamps and may not go without (RFC 7323 section 3.2), or it would mark packets for a
            // server that does not heed it. Now that the server is known nobody is promised that any more.
            self.reset_server(slot, first, out);
            self.end(now, slot, Reason::EndReset, out);
            return verdict;
        }
        let mut translation = self.table.translation(slot);
        agree(&mut translation, client, &handshake.proof, facts.tcp.sequence, &theirs);
        let heard = Tcp { window: handshake.window, ..Tcp::default() };
        let ack = Tcp {
            sequence: next,
            acknowledgement: facts.tcp.sequence.wrapping_add(1),
            window: translation.tracked(client, client, &heard).window,
            flags: tcp_flags::ACK,
            header_len: 20,
            data_len: 0,
        };
        let answer = tcp::Segment::of(facts, head);
        let plain = tcp::Segment { tcp: ack, options: tcp::SynOptions::default() };
        let (hot, cold) = self.table.both(slot);
        let (peers, opener, mode) = (&mut hot.peers, client.index(), TcpWindowMode::Strict);
        let is_sound = tcp::track(peers, server.index(), opener, &answer, mode) == tcp::Outcome::Accept
            && tcp::track(peers, opener, opener, &plain, mode) == tcp::Outcome::Accept;
        if !is_sound {
            return Verdict { reason: Reason::TcpHandshake, ..verdict };
        }
        let (state, is_read) = (tcp::state_of(&hot.peers), hot.mark.is_read());
        cold.count(port, facts.wire_len);
        self.table.set_translation(slot, &translation);
        self.finish_handshake(slot);
        self.touch(now, port, slot, state);
        if is_read {
            self.heed(now, port, facts, head, slot);
        }
        let window = translation.window_heard(server, u32::from(facts.tcp.window));
        let opened = Tcp { sequence: ack.acknowledgement, acknowledgement: next, window, ..ack };
        let stamps = offer.stamp.zip(theirs.stamp);
        let mut acknowledge = |to: Port, tcp: &Tcp, stamps: Option<[u8; 12]>| {
            let options = stamps.as_ref().map_or(&[][..], |options| options);
            self.say(slot, to, tcp, options, Reason::SendProxyAck, out);
        };
        acknowledge(server, &ack, stamps.map(|(client, server)| options::stamps(client, server)));
        let own = cookie.stamp.unwrap_or(0);
        acknowledge(client, &opened, stamps.map(|(client, _)| options::stamps(own, client)));
        verdict
    }

    /// The server agreed to congestion marks, which the client was not promised: it would heed none. The server is reset, and
    /// asked again without. That is once for a destination: from now on it is known.
    #[cold]
    #[inline(never)]
    fn ask_without_ecn(&mut self, slot: u32, refused: u32, out: &mut Outbox) {
        let Some(handshake) = self.shields.handshakes.get(self.table.handshake(slot)) else { return };
        handshake.proof.ecn = Ecn::Off;
        handshake.refused = Some(refused);
        let Handshake { proof, window, .. } = *handshake;
        self.reset_server(slot, proof.first, out);
        self.send_syn(slot, &proof, window, false, out);
    }

    /// Resets what the server has of a handshake.
    fn reset_server(&self, slot: u32, first: u32, out: &mut Outbox) {
        let server = self.table.hot(slot).from().other();
        let reset = Tcp { sequence: first.wrapping_add(1), flags: tcp_flags::RST, ..Tcp::default() };
        self.say(slot, server, &reset, &Options::new(), Reason::SendProxyReset, out);
    }

    /// The handshake of the session in `slot` is over; its numbers stay translated.
    fn finish_handshake(&mut self, slot: u32) -> Option<Handshake> {
        let ended = self.shields.handshakes.end(self.table.handshake(slot));
        if ended.is_some() {
            self.syn_proxy.end_handshake();
        }
        if let Some(handshake) = &ended {
            self.table.set_cookie(slot, handshake.proof.cookie.sequence);
        }
        let hot = self.table.hot_mut(slot);
        hot.mark.set_shaking_hands(false);
        hot.mark.set_translated();
        ended
    }

    /// The session in `slot` ends while the appliance shakes hands with the server: the client, who believes in it, is told.
    #[cold]
    #[inline(never)]
    pub(crate) fn give_handshake_up(&mut self, slot: u32, out: &mut Outbox) {
        let client = self.table.hot(slot).from();
        let Some(handshake) = self.finish_handshake(slot) else { return };
        let Proof { first, cookie, .. } = handshake.proof;
        // The server has no numbers yet: those of the cookie are what the client knows.
        let reset = Tcp {
            sequence: cookie.sequence.wrapping_add(1),
            acknowledgement: first.wrapping_add(1),
            flags: tcp_flags::RST | tcp_flags::ACK,
            ..Tcp::default()
        };
        self.say(slot, client, &reset, &Options::new(), Reason::SendProxyReset, out);
    }

    /// Sends again what nobody answered: SYNs to servers, and the newest cookies. Looks at `budget` timers at the most;
    /// returns whether more may be due.
    #[inline(never)]
    pub(crate) fn expire_handshakes(&mut self, now: Instant, budget: u32, out: &mut Outbox) -> bool {
        for _ in 0..budget {
            if let Some(due) = self.shields.handshakes.pop(now) {
                if let Some(handshake) = due
                    && let Some(slot) = self.table.slot(handshake.session)
                {
                    // The reset may have been lost, and then it answers as before.
                    if handshake.refused.is_some() {
                        self.reset_server(slot, handshake.proof.first, out);
                    }
                    // A SYN that only asks may be what somebody on the way throws away (RFC 3168 section 6.1.1.1).
                    let asks = handshake.proof.ecn == Ecn::Promised;
                    self.send_syn(slot, &handshake.proof, handshake.window, asks, out);
                }
                continue;
            }
            let Some(due) = self.shields.ring.pop(now, &self.syn_proxy) else { return false };
            if let Some(sent) = due {
                let facts = packet::parse(sent.bytes(), sent.bytes().len());
                let key = crate::flow::FlowKey::of(&facts, sent.port.other());
                let is_known = key.is_none_or(|key| self.table.find(&key, self.table.hash(&key)).is_some());
                if !is_known {
                    self.send(out, |frame| {
                        frame.begin(sent.port, Reason::SendCookie);
                        frame.put(sent.bytes())
                    });
                }
            }
        }
        true
    }

    /// Replaces the numbers of a session that begins in `slot`, if its rule says so.
    #[cold]
    #[inline(never)]
    pub(crate) fn randomise(
        &mut self,
        arrival: &Arrival<'_>,
        slot: u32,
        rule: Option<RuleId>,
        out: &mut Outbox,
    ) {
        let Arrival { now, port, packed, .. } = *arrival;
        let mut translation = Translation::default();
        translation.offsets[port.other().index()] = self.syn_proxy.offset(now, packed, port.other());
        match self.running.policy.sequence_numbers(rule) {
            SequenceNumbers::Keep => return,
            SequenceNumbers::Randomise => {}
            SequenceNumbers::RandomiseBoth => {
                translation.offsets[port.index()] = self.syn_proxy.offset(now, packed, port);
            }
        }
        self.table.set_translation(slot, &translation);
        self.table.set_cookie(slot, 0);
        self.table.hot_mut(slot).mark.set_translated();
        self.translate(arrival, slot, out);
    }

    /// An error about a packet of a session whose numbers are translated: its quote has the number that its receiver knows.
    #[cold]
    #[inline(never)]
    pub(crate) fn rewrite_error(&self, slot: u32, port: Port, error: &Facts, head: &[u8]) -> Option<Rewrite> {
        let quoted = packet::quoted(head, error)?;
        let sequence = self.table.translation(slot).own(port.other(), quoted.tcp.sequence);
        let at = usize::from(quoted.transport_at) + 4;
        let message_at = usize::from(error.transport_at);
        let old = u16::from_be_bytes(*head.get(message_at + 2..)?.first_chunk()?);
        let checksum = renewed(old, head.get(at..at + 4)?, &sequence.to_be_bytes());
        let mut rewrite = Rewrite::of(error.transport_at + 2, &checksum.to_be_bytes())?;
        rewrite.also(u16::try_from(at).ok()?, &sequence.to_be_bytes());
        Some(rewrite)
    }
}
