//! What the ends of an idle TCP session are told when its timeout has passed (`on_expiry`): nothing, a reset that they
//! accept, or first the question whether they still live.
//!
//! A question is a keepalive as RFC 9293 section 3.8.4 has it: no data, one below the number that its receiver expects
//! next. An end that lives answers with an acknowledgement, which also reaches the other end and does no harm there.

use super::room::Pressure;
use super::{State, sctp, tcp};
use crate::packet::{protocol, tcp_flags};
use crate::pipeline::Engine;
use crate::policy::OnExpiry;
use crate::port::Port;
use crate::reason::Reason;
use crate::record::Outbox;
use crate::respond;

/// What becomes of a session whose timeout has passed.
pub(crate) enum Fate {
    /// Its ends were asked; it waits for their answers.
    Asked,
    /// It ends for this reason.
    Ends(Reason),
}

impl Engine {
    /// Tells or asks the ends of the session in `slot`, whose timeout has passed, as its policy says.
    pub(crate) fn on_expiry(&mut self, slot: u32, out: &mut Outbox) -> Fate {
        let hot = self.table.hot(slot);
        let is_pressed = hot.state.is_half_open() && hot.pressure() != Pressure::default();
        let reason = match hot.state {
            _ if is_pressed => Reason::EndPressed,
            State::SynSent | State::SynReceived | State::CookieWait | State::CookieEchoed => {
                Reason::EndHandshake
            }
            State::Closed if sctp::was_aborted(&hot.peers) => Reason::EndAborted,
            State::ShutdownSent | State::ShutdownAckSent | State::Closed => Reason::EndShutDown,
            State::Closing | State::TimeWait => Reason::EndClosed,
            State::Reset => Reason::EndReset,
            _ => Reason::EndIdle,
        };
        let has_ends_that_wait =
            hot.protocol() == protocol::TCP && matches!(hot.state, State::Established | State::HalfClosed);
        let timeouts = self.timeouts_of(slot);
        let mode = if has_ends_that_wait { timeouts.on_expiry } else { OnExpiry::Silent };
        let retries = u32::from(timeouts.probe_retries);
        match mode {
            OnExpiry::Silent => Fate::Ends(reason),
            OnExpiry::Reset => {
                self.tell(slot, Reason::SendExpiryReset, out);
                Fate::Ends(reason)
            }
            // Sessions whose link header is not known yet cannot be asked; they were there before the policy.
            OnExpiry::Probe if self.table.link(slot).is_none() => Fate::Ends(reason),
            OnExpiry::Probe if self.table.probes(slot) < retries => {
                self.tell(slot, Reason::SendProbe, out);
                self.table.count_probe(slot);
                Fate::Asked
            }
            OnExpiry::Probe => {
                self.tell(slot, Reason::SendExpiryReset, out);
                Fate::Ends(Reason::EndUnanswered)
            }
        }
    }

    /// Sends both ends a reset or a keepalive, each with the numbers that it expects.
    ///
    /// Where it is not known how far an end came it gets two resets, the lower number first: an end that stands at the
    /// higher one throws that away (RFC 5961 section 3.2), and one that stands at the lower is closed before the second
    /// comes, which it would have challenged.
    pub(crate) fn tell(&mut self, slot: u32, reason: Reason, out: &mut Outbox) {
        let Some(link) = self.table.link(slot) else { return };
        let key = self.table.key(slot);
        let is_reset = reason != Reason::SendProbe;
        let is_translated = self.table.hot(slot).mark.is_translated();
        for to in Port::ALL {
            let (mut segment, further) = tcp::expected_by(&self.table.hot(slot).peers, to.index());
            let mut sequences = [Some(segment.sequence), None];
            if is_reset {
                segment.flags = tcp_flags::RST | tcp_flags::ACK;
                segment.window = 0;
                sequences[1] = further;
            } else {
                segment.flags = tcp_flags::ACK;
                sequences[0] = Some(segment.sequence.wrapping_sub(1));
            }
            let translation = self.table.translation(slot);
            for sequence in sequences.into_iter().flatten() {
                segment.sequence =
                    if is_translated { translation.heard(to.other(), sequence) } else { sequence };
                self.send(out, |frame| respond::segment(frame, to, (link, &key), &segment, &[], reason));
            }
        }
    }
}
