//! TCP: the handshake, the windows, the close.
//!
//! The state of a session is not kept but follows from what each side has sent and what the other has acknowledged
//! of it ([`state_of`]): SYN seen and acknowledged, FIN seen and acknowledged. That covers simultaneous open, split
//! handshake and simultaneous close without a cell of their own in a table.
//!
//! Windows are tracked as van Rooij has it ("Real Stateful TCP Packet Filtering in IP Filter", 2001), with four
//! bounds for each segment: its data ends no lower than one window below what its sender has sent, begins no higher
//! than the receiver has allowed, acknowledges nothing that was not sent, and nothing that its receiver would find too
//! old. [`handshake`] is how sessions begin, [`reset`] how resets end them.

mod handshake;
mod options;
mod reset;

use super::State;
use crate::packet::{Facts, Tcp, protocol, tcp_flags};
use crate::policy::TcpWindowMode;
use crate::reason::Reason;

pub(crate) use handshake::{Attempt, refuse, restart};
pub(crate) use options::SynOptions;
use options::syn_options;

/// Acknowledgements may lag behind by this much even where windows are small.
const ACK_LAG_MIN: u32 = 66_000;
/// Data that ends further back than this is not a retransmission of anything.
const OLD_DATA_MAX: u32 = 1 << 30;
/// RFC 7323 section 2.3.
const SCALE_MAX: u8 = 14;

/// What one side has sent, and what the other allows it to send. 16 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Peer {
    /// One above the highest sequence number it has sent, SYN and FIN counted.
    end: u32,
    /// One above the highest sequence number the other side's window allows.
    end_max: u32,
    /// The highest acknowledgement of its data; its initial sequence number while not even its SYN is acknowledged.
    acknowledged: u32,
    /// The largest window it has offered, unscaled.
    window_max: u16,
    /// Lower half: the shift of its windows. Upper half: the shift that its SYN offers, in force once both sides offer
    /// one.
    scales: u8,
    flags: u8,
}

const _: () = assert!(size_of::<Peer>() == 16);

impl Peer {
    const SYN: u8 = 1;
    const SYN_ACKNOWLEDGED: u8 = 2;
    const FIN: u8 = 4;
    const FIN_ACKNOWLEDGED: u8 = 8;
    const SCALES: u8 = 16;
    /// Its SYN asks for a fast open (RFC 7413).
    const FAST_OPEN: u8 = 32;
    const RESET: u8 = 64;
    /// Picked up in midstream: nobody saw its SYN, and its window scale is a guess.
    const PICKED_UP: u8 = 128;

    const fn has(self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// Its 16 bytes, for sessions of other protocols, which keep what they know in the same place.
    pub(crate) const fn words(self) -> [u32; 4] {
        let Self { end, end_max, acknowledged, window_max, scales, flags } = self;
        [end, end_max, acknowledged, window_max as u32 | (scales as u32) << 16 | (flags as u32) << 24]
    }

    /// Back from [`Self::words`].
    #[expect(clippy::cast_possible_truncation, reason = "the parts of a packed word are taken apart")]
    pub(crate) const fn of_words([end, end_max, acknowledged, rest]: [u32; 4]) -> Self {
        let (window_max, scales, flags) = (rest as u16, (rest >> 16) as u8, (rest >> 24) as u8);
        Self { end, end_max, acknowledged, window_max, scales, flags }
    }

    const fn shift(self) -> u8 {
        self.scales & 0x0f
    }

    fn window(self) -> u32 {
        u32::from(self.window_max) << self.shift()
    }

    /// Whether `number` acknowledges something of its handshake that was not acknowledged before.
    fn syn_acknowledged_by(self, number: u32) -> bool {
        self.has(Self::SYN)
            && number.wrapping_sub(self.acknowledged).wrapping_sub(1)
                < self.end.wrapping_sub(self.acknowledged)
    }

    fn acknowledge(&mut self, number: u32, window: u32) {
        if is_after(number, self.acknowledged) {
            self.acknowledged = number;
        }
        self.end_max = higher(self.end_max, number.wrapping_add(window));
        self.flags |= Self::SYN_ACKNOWLEDGED;
        if self.has(Self::FIN) && number == self.end {
            self.flags |= Self::FIN_ACKNOWLEDGED;
        }
    }
}

/// A segment, and of its options what a SYN negotiates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) tcp: Tcp,
    /// Blank if this is no SYN.
    pub(crate) options: SynOptions,
}

impl Segment {
    /// The segment of a frame with these headers.
    pub(crate) fn of(facts: &Facts, head: &[u8]) -> Self {
        let tcp = facts.tcp;
        let options = if tcp.flags & tcp_flags::SYN == 0 {
            SynOptions::default()
        } else {
            let at = usize::from(facts.transport_at);
            let options = head.get(at + 20..at + usize::from(tcp.header_len));
            syn_options(options.unwrap_or_default())
        };
        Self { tcp, options }
    }

    fn is(&self, flags: u8) -> bool {
        self.tcp.flags & flags == flags
    }
}

/// Whether the segment can only be of a session that began before: no SYN, and not a reset, which ends one.
pub(crate) fn is_midstream(facts: &Facts) -> bool {
    facts.protocol == protocol::TCP && is_midstream_segment(&facts.tcp)
}

/// The same of what is known to be a segment.
pub(crate) const fn is_midstream_segment(tcp: &Tcp) -> bool {
    tcp.flags & (tcp_flags::SYN | tcp_flags::RST) == 0
}

/// Whether it is no SYN of its own accord, with which alone a session begins.
pub(crate) const fn cannot_open(tcp: &Tcp) -> bool {
    tcp.flags & (tcp_flags::SYN | tcp_flags::ACK | tcp_flags::RST) != tcp_flags::SYN
}

/// What becomes of a segment of a live session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It moves the session: forward it and start the idle timer anew.
    Accept,
    /// Forward it, but it changes nothing: an old retransmission, a challenge, what only its receiver can judge.
    Pass,
    /// The same, and remember it: the session's opener may have begun anew, and the answer will tell ([`Attempt`]).
    PassAttempt,
    /// The same, but if it answers an attempt, another session begins.
    PassAnswer,
    /// It would be dropped, but the policy says `tcp_window: log`.
    Suspect,
    /// Drop it.
    Drop(Reason),
    /// A SYN that begins a new session on the five-tuple of one that is closed.
    Reopen,
}

/// The two sides of a session that `syn`, arriving on the port of index `side`, opens.
pub(crate) fn open(side: usize, syn: &Segment) -> [Peer; 2] {
    let mut peers = [Peer::default(); 2];
    peers[side] = Peer::of_syn(syn, 0);
    peers
}

/// The two sides of a session that nobody saw begin, by the first segment of it that was seen: one with ACK, neither
/// SYN nor RST. Until the other side speaks it counts as half-open.
///
/// What is not known is taken as wide as it can be: any scale, any window.
pub(crate) fn pick_up(side: usize, segment: &Segment) -> [Peer; 2] {
    let tcp = &segment.tcp;
    let mut peers = [Peer::default(); 2];
    let end = tcp.sequence.wrapping_add(tcp.data_len).wrapping_add(u32::from(segment.is(tcp_flags::FIN)));
    peers[side] = Peer {
        end,
        end_max: end.wrapping_add(u32::from(u16::MAX) << SCALE_MAX),
        acknowledged: tcp.sequence,
        window_max: tcp.window,
        scales: SCALE_MAX,
        flags: Peer::SYN
            | Peer::SYN_ACKNOWLEDGED
            | Peer::PICKED_UP
            | if segment.is(tcp_flags::FIN) { Peer::FIN } else { 0 },
    };
    peers[1 - side] = Peer {
        end: tcp.acknowledgement,
        end_max: tcp.acknowledgement.wrapping_add(u32::from(tcp.window) << SCALE_MAX),
        acknowledged: tcp.acknowledgement,
        window_max: u16::MAX,
        scales: SCALE_MAX,
        flags: Peer::PICKED_UP,
    };
    peers
}

/// Where a session stands, by what its sides have sent and acknowledged.
pub(crate) fn state_of(peers: &[Peer; 2]) -> State {
    let [a, b] = peers;
    let (both, either) = (a.flags & b.flags, a.flags | b.flags);
    match () {
        () if either & Peer::RESET != 0 => State::Reset,
        () if both & Peer::FIN_ACKNOWLEDGED != 0 => State::TimeWait,
        () if both & Peer::FIN != 0 => State::Closing,
        () if either & Peer::FIN != 0 => State::HalfClosed,
        () if both & Peer::SYN_ACKNOWLEDGED != 0 => State::Established,
        () if both & Peer::SYN != 0 => State::SynReceived,
        () => State::SynSent,
    }
}

/// Whether nobody saw the session begin.
pub(crate) const fn was_picked_up(peers: &[Peer; 2]) -> bool {
    (peers[0].flags | peers[1].flags) & Peer::PICKED_UP != 0
}

/// Judges a segment that arrived on the port of index `side`, and remembers what it tells. The session was opened from
/// the side of index `opener`.
pub(crate) fn track(
    peers: &mut [Peer; 2],
    side: usize,
    opener: usize,
    segment: &Segment,
    mode: TcpWindowMode,
) -> Outcome {
    let state = state_of(peers);
    if segment.tcp.flags & (tcp_flags::RST | tcp_flags::SYN) == 0 {
        return ack(peers, side, segment, state, mode);
    }
    if segment.is(tcp_flags::RST) {
        return reset::reset(peers, side, segment, state, mode);
    }
    match segment.is(tcp_flags::ACK) {
        false => handshake::syn(peers, side, opener, segment, state),
        true => handshake::syn_ack(peers, side, segment, state),
    }
}

fn ack(peers: &mut [Peer; 2], side: usize, segment: &Segment, state: State, mode: TcpWindowMode) -> Outcome {
    let (sender, receiver) = (peers[side], peers[1 - side]);
    let tcp = &segment.tcp;
    let is_bare = tcp.data_len == 0 && !segment.is(tcp_flags::FIN);
    if sender.has(Peer::PICKED_UP) && !sender.has(Peer::SYN) {
        return answer_pick_up(peers, side, segment);
    }
    if receiver.has(Peer::PICKED_UP) && !receiver.has(Peer::SYN) {
        // Only the other side's answer shows that there is a session; until then nothing keeps it alive.
        let end = tcp.sequence.wrapping_add(tcp.data_len).wrapping_add(u32::from(segment.is(tcp_flags::FIN)));
        peers[side].end = higher(sender.end, end);
        if segment.is(tcp_flags::FIN) {
            peers[side].flags |= Peer::FIN;
        }
        return Outcome::Pass;
    }
    if !sender.has(Peer::SYN) {
        // An endpoint that still holds an older session challenges the SYN (RFC 5961 section 4.2); the other end
        // then resets that. With a fitting number it is the first part of a split handshake.
        handshake::choose_attempt(peers, side, tcp.acknowledgement);
        if is_bare && peers[1 - side].syn_acknowledged_by(tcp.acknowledgement) {
            peers[1 - side].acknowledge(tcp.acknowledgement, 0);
            return Outcome::Accept;
        }
        return if is_bare { Outcome::Pass } else { Outcome::Drop(Reason::TcpHandshake) };
    }
    if !receiver.has(Peer::SYN) {
        return Outcome::Drop(Reason::TcpHandshake);
    }
    if !receiver.has(Peer::SYN_ACKNOWLEDGED) && !receiver.syn_acknowledged_by(tcp.acknowledgement) {
        return Outcome::Drop(Reason::TcpHandshake);
    }
    // Before its own SYN is acknowledged only a fast open server may send data (RFC 7413 section 4.2).
    let is_fast_open = receiver.has(Peer::FAST_OPEN);
    if !sender.has(Peer::SYN_ACKNOWLEDGED) && tcp.data_len > 0 && !is_fast_open {
        return Outcome::Drop(Reason::TcpHandshake);
    }
    let end = tcp.sequence.wrapping_add(tcp.data_len).wrapping_add(u32::from(segment.is(tcp_flags::FIN)));
    let suspect = match (fits(sender, receiver, tcp, end), mode) {
        (Fit::Inside, _) => false,
        (_, TcpWindowMode::Off) => false,
        (Fit::Old, _) => return Outcome::Pass,
        (Fit::Outside, TcpWindowMode::Log) => true,
        (Fit::Outside, TcpWindowMode::Strict) => return Outcome::Drop(Reason::TcpOutOfWindow),
    };
    if is_after(end, sender.end) {
        if sender.has(Peer::FIN) {
            return Outcome::Drop(Reason::TcpState);
        }
        if sender.has(Peer::RESET) {
            // Its own reset has overtaken it.
            return Outcome::Pass;
        }
    }
    remember(peers, side, tcp, end);
    match (suspect, state) {
        (true, _) => Outcome::Suspect,
        // Stragglers do not keep a dead session.
        (false, State::Reset) => Outcome::Pass,
        (false, _) => Outcome::Accept,
    }
}

/// Remembers a segment that arrived on the port of index `side` with nothing but data and an acknowledgement, of a session
/// that is established, if it lies within the windows and does not end below what its sender has sent. Otherwise nothing
/// is changed, and [`track`] is to judge it.
#[inline]
pub(crate) fn advance(peers: &mut [Peer; 2], side: usize, tcp: &Tcp) -> bool {
    const OPEN: u8 = Peer::SYN | Peer::SYN_ACKNOWLEDGED;
    const UNCOMMON: u8 = Peer::FIN | Peer::FIN_ACKNOWLEDGED | Peer::RESET | Peer::PICKED_UP;
    let [lan, wan] = *peers;
    let (sender, receiver) = if side == 0 { (lan, wan) } else { (wan, lan) };
    let end = tcp.sequence.wrapping_add(tcp.data_len);
    let is_established = lan.flags & wan.flags & OPEN == OPEN && (lan.flags | wan.flags) & UNCOMMON == 0;
    if !is_established || is_after(sender.end, end) || !continues(sender, receiver, tcp, end) {
        return false;
    }
    remember(peers, side, tcp, end);
    true
}

/// The other side of a session that was picked up speaks for the first time: it must speak of the same numbers.
fn answer_pick_up(peers: &mut [Peer; 2], side: usize, segment: &Segment) -> Outcome {
    let (sender, receiver) = (peers[side], peers[1 - side]);
    let tcp = &segment.tcp;
    let end = tcp.sequence.wrapping_add(tcp.data_len).wrapping_add(u32::from(segment.is(tcp_flags::FIN)));
    let distance =
        tcp.sequence.wrapping_sub(sender.acknowledged).min(sender.acknowledged.wrapping_sub(tcp.sequence));
    let is_near = distance <= u32::from(u16::MAX) << SCALE_MAX;
    if !is_near || !lags(sender, receiver, tcp.acknowledgement) {
        return Outcome::Drop(Reason::TcpOutOfWindow);
    }
    peers[side].end = higher(sender.end, end);
    peers[side].window_max = tcp.window;
    peers[side].flags |= Peer::SYN | Peer::SYN_ACKNOWLEDGED;
    remember(peers, side, tcp, end);
    Outcome::Accept
}

#[inline]
fn remember(peers: &mut [Peer; 2], side: usize, tcp: &Tcp, end: u32) {
    let sender = &mut peers[side];
    sender.end = higher(sender.end, end);
    sender.window_max = sender.window_max.max(tcp.window);
    if tcp.flags & tcp_flags::FIN != 0 {
        sender.flags |= Peer::FIN;
    }
    let window = u32::from(tcp.window) << sender.shift();
    peers[1 - side].acknowledge(tcp.acknowledgement, window);
}

/// A segment without data that the side of index `side` takes for one of its peer's: the number it expects next, and
/// an acknowledgement of all that its peer has acknowledged.
///
/// Where the last that its peer sent is not acknowledged nobody can know how far it came: the number is either the one
/// given here, or the second one.
pub(crate) fn expected_by(peers: &[Peer; 2], side: usize) -> (Tcp, Option<u32>) {
    let (receiver, sender) = (peers[side], peers[1 - side]);
    let further = (sender.end != sender.acknowledged).then_some(sender.end);
    let segment = Tcp {
        sequence: sender.acknowledged,
        acknowledgement: receiver.acknowledged,
        window: sender.window_max,
        header_len: 20,
        ..Tcp::default()
    };
    (segment, further)
}

/// Whether the side of index `side` may have sent a segment that begins at `sequence` lately: nothing that it has not
/// sent yet, and nothing that was acknowledged long ago (RFC 5927 section 4.1).
pub(crate) fn may_have_sent(peers: &[Peer; 2], side: usize, sequence: u32) -> bool {
    let sender = peers[side];
    let in_flight = sender.end.wrapping_sub(sender.acknowledged);
    sender.has(Peer::SYN) && sender.end.wrapping_sub(sequence) <= in_flight.saturating_add(ACK_LAG_MIN)
}

/// What a segment of a session may give away of it: [`crate::protect::hijack`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// It acknowledges what the other end never sent, and has the very number that its sender sends next.
    Unsent,
    /// It has no data, and a number below what came in its sender's name.
    Stale,
}

/// The sign that a segment bears which arrived on the port of index `side`, before it is tracked.
pub(crate) fn sign_of(peers: &[Peer; 2], side: usize, tcp: &Tcp) -> Option<Sign> {
    let (sender, receiver) = (peers[side], peers[1 - side]);
    let is_plain = tcp.flags & (tcp_flags::SYN | tcp_flags::FIN | tcp_flags::RST) == 0 && tcp.data_len == 0;
    if !is_plain || was_picked_up(peers) || state_of(peers) != State::Established {
        return None;
    }
    match sender.end.wrapping_sub(tcp.sequence) {
        0 => is_after(tcp.acknowledgement, receiver.end).then_some(Sign::Unsent),
        // A keepalive has the number one below (RFC 9293 section 3.8.4).
        behind => (behind > 1 && behind < 1 << 31).then_some(Sign::Stale),
    }
}

enum Fit {
    Inside,
    /// Data that was acknowledged long ago: harmless, and its sender may have missed the acknowledgement.
    Old,
    Outside,
}

/// The two bounds that matter for what does not end below the highest that its sender has sent.
#[inline]
fn continues(sender: Peer, receiver: Peer, tcp: &Tcp, end: u32) -> bool {
    // A probe of a closed window is the byte beyond it, and the next acknowledgement has the number behind that.
    let edge = sender.end_max.wrapping_add(u32::from(end == tcp.sequence));
    let begins_too_high = is_after(tcp.sequence, edge) && is_after(end, sender.end);
    !begins_too_high && lags(sender, receiver, tcp.acknowledgement)
}

/// The four bounds.
#[inline]
fn fits(sender: Peer, receiver: Peer, tcp: &Tcp, end: u32) -> Fit {
    if !continues(sender, receiver, tcp, end) {
        return Fit::Outside;
    }
    let data_floor = sender.end.wrapping_sub(receiver.window()).wrapping_sub(1);
    match (is_after(data_floor, end), is_old(sender, end)) {
        (false, _) => Fit::Inside,
        (true, true) => Fit::Old,
        (true, false) => Fit::Outside,
    }
}

/// Whether `sender` may acknowledge the receiver's data up to `number`: nothing that was not sent, and nothing so old
/// that the receiver would not take it.
///
/// It takes what lies no more than one window (the largest that it was ever offered) below what it knows to be
/// acknowledged (RFC 5961 section 5.2), and it has sent no more than one window above that: so two windows below what
/// it has sent, wherever an acknowledgement got lost. One window alone would drop every acknowledgement that was
/// overtaken by another while the window was full.
fn lags(sender: Peer, receiver: Peer, number: u32) -> bool {
    // A window that nobody negotiated here is wide enough as it is.
    let windows = if sender.has(Peer::PICKED_UP) { 1 } else { 2 };
    receiver.end.wrapping_sub(number) <= (windows * sender.window()).max(ACK_LAG_MIN) + 1
}

fn is_old(sender: Peer, end: u32) -> bool {
    sender.end.wrapping_sub(end) <= OLD_DATA_MAX
}

/// Whether `a` is after `b` in sequence space (RFC 9293 section 3.4: arithmetic modulo 2^32).
fn is_after(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).wrapping_sub(1) < 1 << 31
}

fn higher(a: u32, b: u32) -> u32 {
    if is_after(a, b) { a } else { b }
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers")]
pub(crate) mod tests;
