//! SCTP: the four-way handshake, the verification tags, the shutdown (RFC 9260).
//!
//! Each side chooses a tag in its INIT or INIT ACK, and every packet to it must carry that (section 8.5): who has not seen
//! the handshake cannot say anything within the association. A side that begins anew offers another tag, which counts
//! once the other has acknowledged its cookie (section 5.2); until then the tag before holds, so that an INIT alone, which
//! anybody can send, disturbs nothing.
//!
//! What a side has sent and received is not kept: a middle box cannot know which data its receiver has delivered, and
//! the tags already keep others out.

use super::{State, tcp};
use crate::packet::sctp::{Packet, chunks};
use crate::reason::Reason;

/// What one side chose: lies in the session in the place of a TCP peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Side {
    /// The tag that packets to it carry; 0 while the handshake is not done.
    tag: u32,
    /// The tag that it offered since; 0: none.
    offered: u32,
    /// It sent a COOKIE ECHO since its last offer.
    has_echoed: bool,
    /// The association ended by ABORT.
    is_aborted: bool,
}

impl Side {
    const ECHOED: u32 = 1;
    const ABORTED: u32 = 2;

    pub(crate) const fn read(peer: tcp::Peer) -> Self {
        let [tag, offered, flags, _] = peer.words();
        Self { tag, offered, has_echoed: flags & Self::ECHOED != 0, is_aborted: flags & Self::ABORTED != 0 }
    }

    pub(crate) const fn kept(self) -> tcp::Peer {
        let flags =
            if self.has_echoed { Self::ECHOED } else { 0 } | if self.is_aborted { Self::ABORTED } else { 0 };
        tcp::Peer::of_words([self.tag, self.offered, flags, 0])
    }

    /// Whether packets to it may carry `tag`, which is not 0.
    const fn knows(self, tag: u32) -> bool {
        self.tag == tag || self.offered == tag
    }

    /// The tag in use; the offered one while there is none.
    pub(crate) const fn current(self) -> u32 {
        if self.tag == 0 { self.offered } else { self.tag }
    }

    /// Whether it is the tag that the handshake settled on.
    pub(crate) const fn settled_on(self, tag: u32) -> bool {
        self.tag == tag && tag != 0
    }
}

/// What becomes of a packet of a live association.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It moves the association: forward it and start the idle timer anew.
    Accept(State),
    /// Forward it, but it changes nothing.
    Pass,
    /// Drop it.
    Drop(Reason),
    /// An INIT on the five-tuple of an association that is closed.
    Reopen,
}

/// The two sides of an association, by the INIT that opens it.
pub(crate) fn open(side: usize, init: &Packet<'_>) -> [Side; 2] {
    let mut sides = [Side::default(); 2];
    sides[side].offered = init.initiate_tag;
    sides
}

/// Judges a packet that arrived on the port of index `from`, and remembers what it tells.
pub(crate) fn track(sides: &mut [Side; 2], state: State, from: usize, packet: &Packet<'_>) -> Outcome {
    if packet.has(chunks::INIT) {
        return init(sides, state, from, packet);
    }
    let (sender, receiver) = (sides[from], sides[1 - from]);
    let (is_opening, is_closed) =
        (matches!(state, State::CookieWait | State::CookieEchoed), state == State::Closed);
    // Sections 8.4 and 9.2: who still shuts an older association down answers an INIT with SHUTDOWN ACK, by the tags of
    // then; and is told with a reflected tag that it is complete.
    let clears_up = packet.has(chunks::SHUTDOWN_ACK) && is_opening
        || packet.has(chunks::SHUTDOWN_COMPLETE) && packet.reflects && (is_opening || is_closed);
    if clears_up {
        return Outcome::Pass;
    }
    let known_to = if packet.reflects { sender } else { receiver };
    if !known_to.knows(packet.tag) {
        return Outcome::Drop(Reason::SctpBadTag);
    }
    if is_closed {
        let is_echo = packet.has(chunks::SHUTDOWN_ACK | chunks::SHUTDOWN_COMPLETE | chunks::ABORT);
        return if is_echo { Outcome::Pass } else { Outcome::Drop(Reason::SctpState) };
    }
    if packet.has(chunks::ABORT) {
        // One by tags that are only offered refuses the offer, and not what is under way.
        if known_to.current() != packet.tag {
            return Outcome::Pass;
        }
        sides[from].is_aborted = true;
        return Outcome::Accept(State::Closed);
    }
    if packet.has(chunks::INIT_ACK) {
        return init_ack(sides, state, from, packet);
    }
    if packet.has(chunks::COOKIE_ECHO) {
        sides[from].has_echoed = true;
        return if is_opening { Outcome::Accept(State::CookieEchoed) } else { Outcome::Pass };
    }
    if packet.tag != receiver.tag && receiver.has_echoed && !packet.has(chunks::ERROR) {
        // It uses the tag that was offered to it: it has taken the cookie. Its COOKIE ACK may be lost or late.
        settle(sides, from);
        return Outcome::Accept(moved(State::Established, packet));
    }
    match state {
        // The answer to a cookie that came too late (section 5.2.6), before the next attempt.
        _ if packet.has(chunks::ERROR) && packet.tag != receiver.tag => Outcome::Pass,
        State::CookieEchoed if sender.has_echoed => Outcome::Pass,
        State::CookieWait | State::CookieEchoed => Outcome::Drop(Reason::SctpState),
        _ if packet.tag != receiver.tag => Outcome::Drop(Reason::SctpBadTag),
        _ => Outcome::Accept(moved(state, packet)),
    }
}

fn init(sides: &mut [Side; 2], state: State, from: usize, packet: &Packet<'_>) -> Outcome {
    if state == State::Closed {
        return Outcome::Reopen;
    }
    sides[from].offered = packet.initiate_tag;
    sides[from].has_echoed = false;
    // A restart, or both sides begin at once (section 5.2.1 and 5.2.2): its receiver answers, and nothing moves yet.
    if state == State::CookieWait { Outcome::Accept(state) } else { Outcome::Pass }
}

fn init_ack(sides: &mut [Side; 2], state: State, from: usize, packet: &Packet<'_>) -> Outcome {
    if packet.tag != sides[1 - from].offered {
        // A late duplicate, which its receiver discards (section 5.2.3).
        return Outcome::Pass;
    }
    sides[from].offered = packet.initiate_tag;
    if state == State::CookieWait { Outcome::Accept(state) } else { Outcome::Pass }
}

/// The side of index `from` has taken the other's cookie: the tags on offer are those in use.
fn settle(sides: &mut [Side; 2], from: usize) {
    let [taker, echoer] = [from, 1 - from];
    sides[echoer].tag = sides[echoer].offered;
    if sides[taker].offered != 0 {
        sides[taker].tag = sides[taker].offered;
    }
    for side in sides {
        side.offered = 0;
        side.has_echoed = false;
    }
}

/// The state after a packet by the right tags (section 9.2).
const fn moved(state: State, packet: &Packet<'_>) -> State {
    match state {
        State::Established | State::ShutdownSent if packet.has(chunks::SHUTDOWN_ACK) => {
            State::ShutdownAckSent
        }
        State::Established if packet.has(chunks::SHUTDOWN) => State::ShutdownSent,
        State::ShutdownAckSent if packet.has(chunks::SHUTDOWN_COMPLETE) => State::Closed,
        _ => state,
    }
}

/// Whether the association ended by ABORT.
pub(crate) fn was_aborted(peers: &[tcp::Peer; 2]) -> bool {
    peers.iter().any(|peer| Side::read(*peer).is_aborted)
}

/// Whether a packet that an error quotes may be of the side of index `sender` (RFC 9260 section 10): by its tag, or, where
/// it is an INIT and has none, by the tag that it offers, if the quote is long enough to show it.
pub(crate) fn may_have_sent(
    peers: &[tcp::Peer; 2],
    sender: usize,
    tag: u32,
    initiate_tag: Option<u32>,
) -> bool {
    let side = |index: usize| Side::read(peers[index]);
    match (tag, initiate_tag) {
        (0, Some(offered)) => offered != 0 && side(sender).knows(offered),
        (0, None) => false,
        (tag, _) => side(1 - sender).knows(tag),
    }
}

#[cfg(test)]
mod tests;
