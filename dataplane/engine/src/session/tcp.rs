//! TCP: the handshake, the windows, the close.
//!
//! The state of a session is not kept but follows from what each side has sent and what the other has acknowledged
//! of it ([`state_of`]): SYN seen and acknowledged, FIN seen and acknowledged. That covers simultaneous open, split
//! handshake and simultaneous close without a cell of their own in a table.
//!
//! Windows are tracked as van Rooij has it ("Real Stateful TCP Packet Filtering in IP Filter", 2001), with four
//! bounds for each segment: its data ends no lower than one window below what its sender has sent, begins no higher
//! than the receiver has allowed, acknowledges nothing that was not sent, and nothing older than one window.
//! Resets follow RFC 5961 section 3.

use super::State;
use crate::packet::{Tcp, tcp_flags};
use crate::policy::TcpWindowMode;
use crate::reason::Reason;

/// Acknowledgements may lag behind by this much even where windows are small: delayed packets, a window that shrank.
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
    scale: u8,
    flags: u8,
}

const _: () = assert!(size_of::<Peer>() == 16);

impl Peer {
    const SYN: u8 = 1;
    const SYN_ACKNOWLEDGED: u8 = 2;
    const FIN: u8 = 4;
    const FIN_ACKNOWLEDGED: u8 = 8;
    const SCALES: u8 = 16;
    const SYN_HAD_DATA: u8 = 32;
    const RESET: u8 = 64;
    /// Picked up in midstream: nobody saw its SYN, and its window scale is a guess.
    const PICKED_UP: u8 = 128;

    const fn has(self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// Its 16 bytes, for sessions of other protocols, which keep what they know in the same place.
    pub(crate) const fn words(self) -> [u32; 4] {
        let Self { end, end_max, acknowledged, window_max, scale, flags } = self;
        [end, end_max, acknowledged, window_max as u32 | (scale as u32) << 16 | (flags as u32) << 24]
    }

    /// Back from [`Self::words`].
    #[expect(clippy::cast_possible_truncation, reason = "the parts of a packed word are taken apart")]
    pub(crate) const fn of_words([end, end_max, acknowledged, rest]: [u32; 4]) -> Self {
        let (window_max, scale, flags) = (rest as u16, (rest >> 16) as u8, (rest >> 24) as u8);
        Self { end, end_max, acknowledged, window_max, scale, flags }
    }

    /// A side as its SYN, or SYN and ACK, shows it; the other side's window, if known, bounds its data.
    fn of_syn(segment: &Segment, other_window: u32) -> Self {
        let tcp = &segment.tcp;
        let end = tcp.sequence.wrapping_add(1).wrapping_add(tcp.data_len);
        let scale = segment.scale.map(|scale| scale.min(SCALE_MAX));
        Self {
            end,
            end_max: higher(end, tcp.sequence.wrapping_add(1).wrapping_add(other_window)),
            acknowledged: tcp.sequence,
            // The window of a SYN is never scaled (RFC 7323 section 2.2).
            window_max: tcp.window.div_ceil(1 << scale.unwrap_or(0)),
            scale: scale.unwrap_or(0),
            flags: Self::SYN
                | if scale.is_some() { Self::SCALES } else { 0 }
                | if tcp.data_len > 0 { Self::SYN_HAD_DATA } else { 0 },
        }
    }

    fn window(self) -> u32 {
        u32::from(self.window_max) << self.scale
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
    /// Window scale option, if this is a SYN that has one.
    pub(crate) scale: Option<u8>,
}

impl Segment {
    fn is(&self, flags: u8) -> bool {
        self.tcp.flags & flags == flags
    }
}

/// What becomes of a segment of a live session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It moves the session: forward it and start the idle timer anew.
    Accept,
    /// Forward it, but it changes nothing: an old retransmission, a challenge, what only its receiver can judge.
    Pass,
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
        scale: SCALE_MAX,
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
        scale: SCALE_MAX,
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

/// Judges a segment that arrived on the port of index `side`, and remembers what it tells.
pub(crate) fn track(peers: &mut [Peer; 2], side: usize, segment: &Segment, mode: TcpWindowMode) -> Outcome {
    let state = state_of(peers);
    if segment.is(tcp_flags::RST) {
        return reset(peers, side, segment, state, mode);
    }
    match (segment.is(tcp_flags::SYN), segment.is(tcp_flags::ACK)) {
        (true, false) => syn(peers, side, segment, state),
        (true, true) => syn_ack(peers, side, segment, state),
        _ => ack(peers, side, segment, state, mode),
    }
}

fn syn(peers: &mut [Peer; 2], side: usize, segment: &Segment, state: State) -> Outcome {
    let (sender, receiver) = (peers[side], peers[1 - side]);
    match state {
        State::TimeWait | State::Reset => Outcome::Reopen,
        State::SynSent | State::SynReceived if !sender.has(Peer::SYN) => {
            // Simultaneous open (RFC 9293 section 3.5), or the second half of a split handshake.
            peers[side] = Peer::of_syn(segment, receiver.window());
            settle_scales(peers);
            Outcome::Accept
        }
        State::SynSent | State::SynReceived if segment.tcp.sequence == sender.acknowledged => Outcome::Accept,
        State::SynSent if !receiver.has(Peer::SYN) => {
            // Another attempt with a number of its own.
            *peers = open(side, segment);
            Outcome::Accept
        }
        // RFC 5961 section 4: the receiver answers with a challenge ACK, whatever the number; nothing moves.
        _ => Outcome::Pass,
    }
}

fn syn_ack(peers: &mut [Peer; 2], side: usize, segment: &Segment, state: State) -> Outcome {
    let (sender, receiver) = (peers[side], peers[1 - side]);
    let tcp = &segment.tcp;
    if !receiver.has(Peer::SYN) {
        return Outcome::Drop(Reason::TcpHandshake);
    }
    match state {
        State::SynSent | State::SynReceived => {
            let repeats = sender.has(Peer::SYN);
            let answers = receiver.syn_acknowledged_by(tcp.acknowledgement)
                || repeats && tcp.acknowledgement == receiver.acknowledged;
            if !answers
                || repeats && tcp.sequence != sender.acknowledged && !sender.has(Peer::SYN_ACKNOWLEDGED)
            {
                // Its receiver refuses it with a reset (RFC 9293 section 3.5.1); here it moves nothing.
                return Outcome::Pass;
            }
            if !repeats {
                peers[side] = Peer::of_syn(segment, receiver.window());
                settle_scales(peers);
            }
            peers[1 - side].acknowledge(tcp.acknowledgement, u32::from(tcp.window));
            Outcome::Accept
        }
        State::Reset => Outcome::Drop(Reason::TcpClosed),
        // Retransmitted because the ACK that ends the handshake got lost behind us.
        _ if is_old(sender, tcp.sequence.wrapping_add(1)) && lags(sender, receiver, tcp.acknowledgement) => {
            Outcome::Pass
        }
        _ => Outcome::Drop(Reason::TcpState),
    }
}

/// RFC 7323 section 1.3: windows are scaled only if both sides offer it.
fn settle_scales(peers: &mut [Peer; 2]) {
    let [a, b] = peers;
    if a.has(Peer::SYN) && b.has(Peer::SYN) && !(a.has(Peer::SCALES) && b.has(Peer::SCALES)) {
        for peer in peers {
            peer.window_max = u16::try_from(peer.window()).unwrap_or(u16::MAX);
            peer.scale = 0;
        }
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
        let end = tcp.sequence.wrapping_add(tcp.data_len);
        peers[side].end = higher(sender.end, end);
        return Outcome::Pass;
    }
    if !sender.has(Peer::SYN) {
        // An endpoint that still holds an older session challenges the SYN (RFC 5961 section 4.2); the other end
        // then resets that. With a fitting number it is the first part of a split handshake.
        if is_bare && receiver.syn_acknowledged_by(tcp.acknowledgement) {
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
    let is_fast_open = receiver.has(Peer::SYN_HAD_DATA);
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
    if sender.flags & (Peer::FIN | Peer::RESET) != 0 && is_after(end, sender.end) {
        // Nothing new comes after a FIN or a reset; the other side's segments may still be under way.
        let was_reset = sender.has(Peer::RESET);
        return Outcome::Drop(if was_reset { Reason::TcpClosed } else { Reason::TcpState });
    }
    remember(peers, side, segment, end);
    match (suspect, state) {
        (true, _) => Outcome::Suspect,
        // Stragglers do not keep a dead session.
        (false, State::Reset) => Outcome::Pass,
        (false, _) => Outcome::Accept,
    }
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
    remember(peers, side, segment, end);
    Outcome::Accept
}

fn remember(peers: &mut [Peer; 2], side: usize, segment: &Segment, end: u32) {
    let tcp = &segment.tcp;
    let sender = &mut peers[side];
    sender.end = higher(sender.end, end);
    sender.window_max = sender.window_max.max(tcp.window);
    if segment.is(tcp_flags::FIN) {
        sender.flags |= Peer::FIN;
    }
    let window = u32::from(tcp.window) << sender.scale;
    peers[1 - side].acknowledge(tcp.acknowledgement, window);
}

/// A segment without data that the side of index `side` takes for one of its peer's: the number it expects next, and
/// an acknowledgement of all that its peer has acknowledged.
pub(crate) fn expected_by(peers: &[Peer; 2], side: usize) -> Tcp {
    let (receiver, sender) = (peers[side], peers[1 - side]);
    Tcp {
        sequence: sender.acknowledged,
        acknowledgement: receiver.acknowledged,
        window: sender.window_max,
        header_len: 20,
        ..Tcp::default()
    }
}

/// Whether the side of index `side` may have sent a segment that begins at `sequence` lately: nothing that it has not
/// sent yet, and nothing that was acknowledged long ago (RFC 5927 section 4.1).
pub(crate) fn may_have_sent(peers: &[Peer; 2], side: usize, sequence: u32) -> bool {
    let sender = peers[side];
    let in_flight = sender.end.wrapping_sub(sender.acknowledged);
    sender.has(Peer::SYN) && sender.end.wrapping_sub(sequence) <= in_flight.saturating_add(ACK_LAG_MIN)
}

enum Fit {
    Inside,
    /// Data that was acknowledged long ago: harmless, and its sender may have missed the acknowledgement.
    Old,
    Outside,
}

/// The four bounds.
fn fits(sender: Peer, receiver: Peer, tcp: &Tcp, end: u32) -> Fit {
    let begins_too_high = is_after(tcp.sequence, sender.end_max);
    if begins_too_high || !lags(sender, receiver, tcp.acknowledgement) {
        return Fit::Outside;
    }
    let data_floor = sender.end.wrapping_sub(receiver.window()).wrapping_sub(1);
    match (is_after(data_floor, end), is_old(sender, end)) {
        (false, _) => Fit::Inside,
        (true, true) => Fit::Old,
        (true, false) => Fit::Outside,
    }
}

/// Whether `sender` may acknowledge the receiver's data up to `number`: nothing that was not sent, and no more than
/// one window behind.
fn lags(sender: Peer, receiver: Peer, number: u32) -> bool {
    receiver.end.wrapping_sub(number) <= sender.window().max(ACK_LAG_MIN) + 1
}

fn is_old(sender: Peer, end: u32) -> bool {
    sender.end.wrapping_sub(end) <= OLD_DATA_MAX
}

/// RFC 5961 section 3.2: a reset counts at exactly the number that its receiver expects. One that is only inside the
/// window is for the receiver to challenge; it passes and changes nothing here.
fn reset(
    peers: &mut [Peer; 2],
    side: usize,
    segment: &Segment,
    state: State,
    mode: TcpWindowMode,
) -> Outcome {
    let (sender, receiver) = (peers[side], peers[1 - side]);
    let tcp = &segment.tcp;
    let has_ack = segment.is(tcp_flags::ACK);
    let answers_syn = has_ack
        && (receiver.syn_acknowledged_by(tcp.acknowledgement)
            || receiver.has(Peer::SYN_ACKNOWLEDGED) && tcp.acknowledgement == receiver.acknowledged);
    if !sender.has(Peer::SYN) {
        // The refusal of a SYN acknowledges it (RFC 9293 section 3.10.7.3); its own number may be 0.
        if answers_syn {
            peers[side].flags |= Peer::RESET;
            return Outcome::Accept;
        }
        return Outcome::Drop(Reason::TcpOutOfWindow);
    }
    let acknowledges_sent =
        !has_ack || !receiver.has(Peer::SYN) || lags(sender, receiver, tcp.acknowledgement);
    let is_expected = tcp.sequence == sender.end
        || tcp.sequence == sender.acknowledged && sender.has(Peer::SYN_ACKNOWLEDGED)
        || tcp.sequence == sender.acknowledged.wrapping_add(1) && !sender.has(Peer::SYN_ACKNOWLEDGED);
    let is_inside = !is_after(sender.acknowledged, tcp.sequence) && !is_after(tcp.sequence, sender.end_max);
    let is_closing = (sender.flags | receiver.flags) & Peer::FIN != 0;
    match state {
        // What refuses a stale SYN/ACK carries that one's number.
        State::SynSent | State::SynReceived if !is_expected && !answers_syn => Outcome::Pass,
        // RFC 1337: nothing cuts the time to wait short.
        State::TimeWait if is_inside => Outcome::Pass,
        State::Reset if is_inside || is_expected => Outcome::Pass,
        State::Reset => Outcome::Drop(Reason::TcpClosed),
        _ if mode == TcpWindowMode::Off
            || answers_syn && state == State::SynReceived
            || acknowledges_sent && (is_expected || is_closing && is_inside && state != State::TimeWait) =>
        {
            peers[side].flags |= Peer::RESET;
            Outcome::Accept
        }
        _ if is_inside => Outcome::Pass,
        _ if mode == TcpWindowMode::Log => Outcome::Suspect,
        _ => Outcome::Drop(Reason::TcpOutOfWindow),
    }
}

/// Whether `a` is after `b` in sequence space (RFC 9293 section 3.4: arithmetic modulo 2^32).
fn is_after(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).wrapping_sub(1) < 1 << 31
}

fn higher(a: u32, b: u32) -> u32 {
    if is_after(a, b) { a } else { b }
}

/// The window scale option of a TCP header's options, if there is one (RFC 7323 section 2.2).
pub(crate) fn window_scale(mut options: &[u8]) -> Option<u8> {
    const END: u8 = 0;
    const NOP: u8 = 1;
    const WINDOW_SCALE: u8 = 3;
    while let Some((&kind, after)) = options.split_first() {
        match kind {
            END => return None,
            NOP => options = after,
            WINDOW_SCALE if after.first() == Some(&3) => return after.get(1).copied(),
            _ => options = options.get(usize::from(*after.first()?).max(2)..)?,
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers")]
mod tests;
