//! How sessions begin: SYN and SYN/ACK, of a handshake and in the midst of a session.

use super::{Outcome, Peer, SCALE_MAX, Segment, higher, is_old, lags};
use crate::reason::Reason;
use crate::session::State;

/// Nobody sends more data than this in a SYN.
const DATA_MAX: u32 = (1 << 11) - 1;

impl Peer {
    /// A side as its SYN, or SYN and ACK, shows it; the other side's window, if known, bounds its data.
    pub(super) fn of_syn(segment: &Segment, other_window: u32) -> Self {
        let tcp = &segment.tcp;
        let first = tcp.sequence.wrapping_add(1);
        let end = first.wrapping_add(tcp.data_len);
        let scale = segment.options.scale.map(|scale| scale.min(SCALE_MAX));
        let shift = scale.unwrap_or(0);
        Self {
            end,
            end_max: higher(end, first.wrapping_add(other_window)),
            acknowledged: tcp.sequence,
            // The window of a SYN is never scaled (RFC 7323 section 2.2).
            window_max: tcp.window.div_ceil(1 << shift),
            scales: shift << 4 | shift,
            flags: Self::SYN
                | if scale.is_some() { Self::SCALES } else { 0 }
                | if tcp.data_len > 0 || segment.options.fast_open { Self::FAST_OPEN } else { 0 },
        }
    }

    /// Its SYN came again, with the same number: it may carry data or options that the other did not.
    fn repeat(&mut self, again: Self) {
        self.end = higher(self.end, again.end);
        self.end_max = higher(self.end_max, again.end_max);
        let window = self.window().max(again.window());
        if again.has(Self::SCALES) && !self.has(Self::SCALES) {
            self.scales = again.scales;
        }
        self.set_window(window);
        self.flags |= again.flags & (Self::SCALES | Self::FAST_OPEN);
    }

    fn set_window(&mut self, window: u32) {
        self.window_max = u16::try_from(window.div_ceil(1 << self.shift())).unwrap_or(u16::MAX);
    }

    /// As an attempt that waits in the place of the side that has not answered yet.
    fn set_aside(self) -> Self {
        Self { flags: self.flags & (Self::SCALES | Self::FAST_OPEN), ..self }
    }

    /// Whether this is an attempt that was set aside.
    fn is_attempt(self) -> bool {
        !self.has(Self::SYN) && self.end != self.acknowledged
    }

    /// An attempt that was set aside, as the side that made it.
    fn taken_up(self) -> Self {
        Self { flags: self.flags | Self::SYN, ..self }
    }
}

/// A SYN that came in the midst of a session from the side that once opened it. It may be anybody's, and moves nothing
/// (RFC 5961 section 4). But if it is answered with a SYN/ACK, both ends have forgotten the session, whose end nobody
/// saw here, and begin another.
///
/// Kept in eight bytes: the sequence number, and the window, scale and data of the SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    sequence: u32,
    /// Half the window in 15 bits, the scale and one in 4, length of data in 11, fast open in 1; the top bit is 0.
    packed: u32,
}

impl Attempt {
    const FAST_OPEN: u32 = 1 << 30;

    /// The attempt that `syn` makes; `None` when it carries more data than anybody sends in a SYN.
    pub(crate) fn of(syn: &Segment) -> Option<Self> {
        let tcp = &syn.tcp;
        if tcp.data_len > DATA_MAX {
            return None;
        }
        let scale = syn.options.scale.map_or(0, |scale| u32::from(scale.min(SCALE_MAX)) + 1);
        let fast_open = if syn.options.fast_open { Self::FAST_OPEN } else { 0 };
        let packed = u32::from(tcp.window >> 1) | scale << 15 | tcp.data_len << 19 | fast_open;
        Some(Self { sequence: tcp.sequence, packed })
    }

    /// The attempt that this SYN makes after `earlier`: if it is the same SYN again, either may have carried more.
    pub(crate) fn after(self, earlier: Option<Self>) -> Self {
        const DATA: u32 = DATA_MAX << 19;
        const SCALE: u32 = 0xf << 15;
        const WINDOW: u32 = 0x7fff;
        let Some(earlier) = earlier.filter(|earlier| earlier.sequence == self.sequence) else { return self };
        let larger = |field: u32| (self.packed & field).max(earlier.packed & field);
        let packed = larger(Self::FAST_OPEN) | larger(DATA) | larger(SCALE) | larger(WINDOW);
        Self { sequence: self.sequence, packed }
    }

    /// Its two words.
    pub(crate) const fn words(self) -> (u32, u32) {
        (self.sequence, self.packed)
    }

    /// Back from [`Attempt::words`]; `None` for any two words whose second has its top bit set.
    pub(crate) const fn from_words(sequence: u32, packed: u32) -> Option<Self> {
        if packed >> 31 == 0 { Some(Self { sequence, packed }) } else { None }
    }

    /// The side that made it.
    fn peer(self) -> Peer {
        let first = self.sequence.wrapping_add(1);
        let (data_len, scale) = (self.packed >> 19 & DATA_MAX, self.packed >> 15 & 0xf);
        let end = first.wrapping_add(data_len);
        let window = (self.packed & 0x7fff) << 1 | 1;
        let shift = u8::try_from(scale.saturating_sub(1)).unwrap_or(0);
        let is_fast_open = data_len > 0 || self.packed & Self::FAST_OPEN != 0;
        let mut peer = Peer {
            end,
            end_max: end,
            acknowledged: self.sequence,
            window_max: 0,
            scales: shift << 4 | shift,
            flags: Peer::SYN
                | if scale > 0 { Peer::SCALES } else { 0 }
                | if is_fast_open { Peer::FAST_OPEN } else { 0 },
        };
        peer.set_window(window);
        peer
    }
}

/// Whether `reset`, arriving on the port of index `side`, refuses `attempt`: then the session is over, of which it came in
/// the midst, and so is everything on its five-tuple.
pub(crate) fn refuse(attempt: Attempt, peers: &mut [Peer; 2], side: usize, reset: &Segment) -> bool {
    let refuses = attempt.peer().syn_acknowledged_by(reset.tcp.acknowledgement);
    if refuses {
        peers[side].flags |= Peer::RESET;
    }
    refuses
}

/// The two sides of the session that begins when `syn_ack`, arriving on the port of index `side`, answers `attempt`;
/// `None` when it does not.
///
/// Both may be late duplicates of what began the session in whose midst they come, whose sides are `old`. Its first
/// numbers are not kept, but they lie no further below what was acknowledged than the `bytes` that each side was seen
/// to send, its SYN aside. That a session of its own has both its numbers there is one chance in (2^32 / `bytes`)^2.
pub(crate) fn restart(
    attempt: Attempt,
    side: usize,
    syn_ack: &Segment,
    old: &[Peer; 2],
    bytes: [u64; 2],
) -> Option<[Peer; 2]> {
    let may_be_first = |side: usize, number: u32| {
        let seen = bytes[side] + u64::from(DATA_MAX) + 1;
        u64::from(old[side].acknowledged.wrapping_sub(number)) <= seen
    };
    if may_be_first(1 - side, attempt.sequence) && may_be_first(side, syn_ack.tcp.sequence) {
        return None;
    }
    let mut peers = [Peer::default(); 2];
    peers[1 - side] = attempt.peer();
    if !peers[1 - side].syn_acknowledged_by(syn_ack.tcp.acknowledgement) {
        return None;
    }
    answer(&mut peers, side, syn_ack);
    Some(peers)
}

pub(super) fn syn(
    peers: &mut [Peer; 2],
    side: usize,
    opener: usize,
    segment: &Segment,
    state: State,
) -> Outcome {
    let (sender, receiver) = (peers[side], peers[1 - side]);
    let is_opening = matches!(state, State::SynSent | State::SynReceived);
    let is_same = sender.has(Peer::SYN)
        && !sender.has(Peer::SYN_ACKNOWLEDGED)
        && segment.tcp.sequence == sender.acknowledged;
    match state {
        // RFC 1122 section 4.2.2.13: a number above all that were used opens anew. One below may be a late duplicate of
        // the SYN that opened the session, or be taken for its time stamp (RFC 6191): the answer tells.
        State::TimeWait | State::Reset if is_old(sender, segment.tcp.sequence.wrapping_add(1)) => {
            in_the_midst(side == opener)
        }
        State::TimeWait | State::Reset => Outcome::Reopen,
        _ if is_opening && !sender.has(Peer::SYN) && !receiver.has(Peer::PICKED_UP) => {
            // Simultaneous open (RFC 9293 section 3.5), or the second half of a split handshake.
            peers[side] = Peer::of_syn(segment, receiver.window());
            settle_scales(peers);
            // Its window allows data as soon as it is acknowledged.
            let unsent = u32::from(!receiver.has(Peer::SYN_ACKNOWLEDGED));
            let edge = receiver.acknowledged.wrapping_add(unsent).wrapping_add(u32::from(segment.tcp.window));
            peers[1 - side].end_max = higher(receiver.end_max, edge);
            Outcome::Accept
        }
        _ if is_opening && is_same => {
            // An attempt that waits in the other side's place has no window to give.
            let window = if receiver.has(Peer::SYN) { receiver.window() } else { 0 };
            let again = Peer::of_syn(segment, window);
            peers[side].repeat(again);
            settle_scales(peers);
            Outcome::Accept
        }
        // The other side acknowledged it, and what it carried, before its own SYN came through.
        State::SynSent
            if sender.has(Peer::SYN_ACKNOWLEDGED)
                && sender.acknowledged.wrapping_sub(segment.tcp.sequence).wrapping_sub(1) <= DATA_MAX =>
        {
            Outcome::Pass
        }
        State::SynSent if !receiver.has(Peer::SYN) => {
            // Another attempt with a number of its own, or a duplicate of an older one (RFC 9293 section 3.5,
            // figure 8): the answer tells.
            peers[side] = Peer::of_syn(segment, 0);
            peers[1 - side] = sender.set_aside();
            Outcome::Accept
        }
        State::SynSent | State::SynReceived => Outcome::Pass,
        // RFC 5961 section 4: the receiver answers with a challenge ACK, whatever the number; nothing moves.
        _ => in_the_midst(side == opener),
    }
}

fn in_the_midst(is_of_opener: bool) -> Outcome {
    if is_of_opener { Outcome::PassAttempt } else { Outcome::Pass }
}

/// While a SYN is unanswered: if `acknowledgement`, of the side of index `side`, speaks of the attempt that was set
/// aside, that one is taken up and the other set aside.
pub(super) fn choose_attempt(peers: &mut [Peer; 2], side: usize, acknowledgement: u32) {
    let (aside, current) = (peers[side], peers[1 - side]);
    if aside.is_attempt()
        && current.has(Peer::SYN)
        && !current.syn_acknowledged_by(acknowledgement)
        && aside.taken_up().syn_acknowledged_by(acknowledgement)
    {
        peers[1 - side] = aside.taken_up();
        peers[side] = current.set_aside();
    }
}

/// The side of index `side` has refused the attempt that is taken up. If another was set aside, that one goes on: it may
/// be the later one, whose answer is under way.
pub(super) fn give_up_attempt(peers: &mut [Peer; 2], side: usize) -> bool {
    let aside = peers[side];
    if aside.is_attempt() {
        peers[1 - side] = aside.taken_up();
        peers[side] = Peer::default();
    }
    aside.is_attempt()
}

pub(super) fn syn_ack(peers: &mut [Peer; 2], side: usize, segment: &Segment, state: State) -> Outcome {
    let tcp = &segment.tcp;
    if state == State::SynSent {
        choose_attempt(peers, side, tcp.acknowledgement);
    }
    let (sender, receiver) = (peers[side], peers[1 - side]);
    if !receiver.has(Peer::SYN) {
        return Outcome::Drop(Reason::TcpHandshake);
    }
    let is_retransmission = sender.has(Peer::SYN)
        && is_old(sender, tcp.sequence.wrapping_add(1))
        && lags(sender, receiver, tcp.acknowledgement);
    match state {
        State::SynSent | State::SynReceived => {
            let answers = receiver.syn_acknowledged_by(tcp.acknowledgement)
                || receiver.has(Peer::SYN_ACKNOWLEDGED) && tcp.acknowledgement == receiver.acknowledged;
            let is_settled = sender.has(Peer::SYN_ACKNOWLEDGED);
            if !answers || is_settled && !is_retransmission {
                // Its receiver refuses it with a reset (RFC 9293 section 3.5.1); here it moves nothing.
                return Outcome::Pass;
            }
            answer(peers, side, segment);
            Outcome::Accept
        }
        // A fast open server that has closed already, and whose SYN/ACK nobody has acknowledged yet.
        State::HalfClosed | State::Closing
            if is_retransmission
                && !sender.has(Peer::SYN_ACKNOWLEDGED)
                && tcp.sequence == sender.acknowledged =>
        {
            answer(peers, side, segment);
            Outcome::Accept
        }
        // Retransmitted because the ACK that ends the handshake got lost behind us; or the answer to a SYN that begins
        // anew, whose number happens to lie below the old ones.
        _ if is_retransmission => Outcome::PassAnswer,
        State::Reset => Outcome::Drop(Reason::TcpClosed),
        _ => Outcome::Drop(Reason::TcpState),
    }
}

/// A SYN/ACK that acknowledges the other side's SYN.
fn answer(peers: &mut [Peer; 2], side: usize, segment: &Segment) {
    let (sender, receiver) = (peers[side], peers[1 - side]);
    if !sender.has(Peer::SYN_ACKNOWLEDGED) {
        let peer = Peer::of_syn(segment, receiver.window());
        match sender.has(Peer::SYN) && segment.tcp.sequence == sender.acknowledged {
            true => peers[side].repeat(peer),
            // The first answer, or one of another number, that of a server which has forgotten the first. Also where a
            // SYN came before from this side: that one has proved nothing.
            false => peers[side] = peer,
        }
        settle_scales(peers);
        // The SYN may have carried more than the window takes: that much is under way, whatever the window says.
        let counted = u32::from(!receiver.has(Peer::SYN_ACKNOWLEDGED));
        let carried = receiver.end.wrapping_sub(receiver.acknowledged).wrapping_sub(counted);
        let window = peers[side].window().max(carried);
        peers[side].set_window(window);
    }
    peers[1 - side].acknowledge(segment.tcp.acknowledgement, u32::from(segment.tcp.window));
}

/// RFC 7323 section 1.3: windows are scaled only if both sides offer it.
fn settle_scales(peers: &mut [Peer; 2]) {
    let [a, b] = *peers;
    if a.has(Peer::SYN) && b.has(Peer::SYN) {
        let is_agreed = a.has(Peer::SCALES) && b.has(Peer::SCALES);
        for peer in peers {
            let window = peer.window();
            let offered = peer.scales >> 4;
            peer.scales = offered << 4 | if is_agreed { offered } else { 0 };
            peer.set_window(window);
        }
    }
}
