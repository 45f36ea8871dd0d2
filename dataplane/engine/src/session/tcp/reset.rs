//! Resets.

use super::{Outcome, Peer, Segment, handshake, is_after, lags};
use crate::packet::tcp_flags;
use crate::policy::TcpWindowMode;
use crate::reason::Reason;
use crate::session::State;

/// RFC 5961 section 3.2: a reset counts at exactly the number that its receiver expects. One that is only inside the
/// window is for the receiver to challenge; it passes and changes nothing here.
pub(super) fn reset(
    peers: &mut [Peer; 2],
    side: usize,
    segment: &Segment,
    state: State,
    mode: TcpWindowMode,
) -> Outcome {
    let tcp = &segment.tcp;
    let has_ack = segment.is(tcp_flags::ACK);
    if has_ack && state == State::SynSent {
        handshake::choose_attempt(peers, side, tcp.acknowledgement);
    }
    let (sender, receiver) = (peers[side], peers[1 - side]);
    let answers_syn = has_ack
        && (receiver.syn_acknowledged_by(tcp.acknowledgement)
            || receiver.has(Peer::SYN_ACKNOWLEDGED) && tcp.acknowledgement == receiver.acknowledged);
    if !sender.has(Peer::SYN) {
        // The refusal of a SYN acknowledges it (RFC 9293 section 3.10.7.3); its own number may be 0. That of a segment
        // with ACK, by which the session was picked up, has the number which that one acknowledged (section 3.10.7.1).
        let refuses_pick_up = sender.has(Peer::PICKED_UP) && tcp.sequence == sender.acknowledged;
        if answers_syn && handshake::give_up_attempt(peers, side) {
            return Outcome::Accept;
        }
        if answers_syn || refuses_pick_up {
            peers[side].flags |= Peer::RESET;
            return Outcome::Accept;
        }
        return Outcome::Drop(Reason::TcpOutOfWindow);
    }
    let acknowledges_sent =
        !has_ack || !receiver.has(Peer::SYN) || lags(sender, receiver, tcp.acknowledgement);
    let is_settled = sender.has(Peer::SYN_ACKNOWLEDGED);
    let is_expected = tcp.sequence == sender.end
        || is_settled && tcp.sequence == sender.acknowledged
        || !is_settled && tcp.sequence == sender.acknowledged.wrapping_add(1);
    // One more for the number behind a probe of a closed window.
    let edge = sender.end_max.wrapping_add(1);
    let is_inside = !is_after(sender.acknowledged, tcp.sequence) && !is_after(tcp.sequence, edge);
    // A closed end answers each segment that was under way with the number that this one acknowledged, which may have
    // been overtaken. No receiver takes it.
    let is_late = lags(receiver, sender, tcp.sequence);
    let is_closing = (sender.flags | receiver.flags) & Peer::FIN != 0;
    // Who opens may refuse a stale SYN/ACK, by that one's number, whatever it is; who answers may not.
    let is_answering = receiver.has(Peer::SYN_ACKNOWLEDGED) && !is_settled;
    match state {
        State::SynSent | State::SynReceived if !is_expected && !answers_syn && !is_answering => Outcome::Pass,
        // RFC 1337: nothing cuts the time to wait short.
        State::TimeWait if is_inside || mode == TcpWindowMode::Off => Outcome::Pass,
        State::Reset if is_inside || is_expected || is_late => Outcome::Pass,
        State::Reset => Outcome::Drop(Reason::TcpClosed),
        _ if mode == TcpWindowMode::Off
            || answers_syn && state == State::SynReceived
            || acknowledges_sent && (is_expected || is_closing && is_inside && state != State::TimeWait) =>
        {
            peers[side].flags |= Peer::RESET;
            Outcome::Accept
        }
        _ if is_inside || is_closing && is_late => Outcome::Pass,
        _ if mode == TcpWindowMode::Log => Outcome::Suspect,
        _ => Outcome::Drop(Reason::TcpOutOfWindow),
    }
}
