//! A TCP session whose end nobody saw here, and whose ends begin another on the same five-tuple.
//!
//! A SYN in the midst of a session moves nothing: it may be anybody's. When the other end has not forgotten the
//! session it answers with a challenge ACK, the opener resets that (RFC 9293 section 3.5.1), and the session is over
//! before the SYN comes again. When it has, it answers with a SYN/ACK, or a reset, that acknowledges exactly that SYN.

use super::{State, tcp};
use crate::helper::Stop;
use crate::packet::tcp_flags;
use crate::pipeline::{Arrival, Engine};
use crate::policy::Action;
use crate::reason::Reason;
use crate::record::{Outbox, Verdict};

impl Engine {
    /// A segment that does not fit the session in `slot`: if it answers a SYN that came in the midst of it, the
    /// session is over and another begins, where the rules still allow its opener to; or none, if it refuses it. No
    /// helper follows that one: its SYN went by unread.
    #[cold]
    pub(crate) fn restart(
        &mut self,
        arrival: &Arrival<'_>,
        slot: u32,
        segment: &tcp::Segment,
        out: &mut Outbox,
    ) -> Option<Verdict> {
        let Arrival { now, port, facts, .. } = *arrival;
        const SYN_ACK: u8 = tcp_flags::SYN | tcp_flags::ACK;
        const RST_ACK: u8 = tcp_flags::RST | tcp_flags::ACK;
        let opener = self.table.hot(slot).from();
        if facts.tcp.flags & tcp_flags::ACK == 0 || port == opener {
            return None;
        }
        let attempt = self.table.attempt(slot)?;
        match facts.tcp.flags & (SYN_ACK | RST_ACK) {
            SYN_ACK => {}
            RST_ACK => {
                let session = Some(self.table.id(slot));
                let (hot, cold) = self.table.both(slot);
                if !tcp::refuse(attempt, &mut hot.peers, port.index(), segment) {
                    return None;
                }
                cold.count(port, facts.wire_len);
                self.touch(now, port, slot, State::Reset);
                return Some(Verdict { reason: Reason::Session, rule: None, session });
            }
            _ => return None,
        }
        let (old, (_, bytes)) = (self.table.hot(slot).peers, self.table.counts(slot));
        let peers = tcp::restart(attempt, port.index(), segment, &old, bytes)?;
        let query = self.original_query(&self.running.policy, slot);
        let (action, rule) = self.ask_rules(&query);
        if action != Action::Allow {
            return None;
        }
        let admission = match self.admit(arrival, rule, || query.source, Some(slot)) {
            Ok(admission) => admission,
            Err(reason) => return Some(Verdict { reason, rule, session: None }),
        };
        let translation = self.table.translation(slot).begun_anew();
        let is_translated = self.table.hot(slot).mark.is_translated();
        self.end(now, slot, Reason::EndReopened, out);
        let slot = match self.open(&Arrival { port: opener, ..*arrival }, out) {
            Ok(slot) => slot,
            Err(reason) => {
                self.give_back(admission);
                return Some(Verdict { reason, rule, session: None });
            }
        };
        self.keep(slot, admission);
        self.table.hot_mut(slot).peers = peers;
        if is_translated {
            // The SYN left with numbers that were translated.
            self.table.set_translation(slot, &translation);
            self.table.hot_mut(slot).mark.set_translated();
        }
        self.table.both(slot).1.set_rule(self.running.policy.key(rule));
        if let Some(helper) = self.running.policy.helper_for(rule, &query) {
            self.counters.helpers[helper.index()].stopped(Stop::Midstream).add(1);
        }
        self.enter(arrival, slot, rule, query.from, out);
        self.touch(now, port, slot, State::SynReceived);
        Some(Verdict { reason: Reason::SessionNew, rule, session: Some(self.table.id(slot)) })
    }
}
