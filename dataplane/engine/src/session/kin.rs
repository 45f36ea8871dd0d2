//! Packets that belong to a session by another name than its key: the other direction of ESP, AH and enhanced GRE
//! ([`super::pairs`]), and further paths of an SCTP association ([`super::paths`]).

use super::sctp::{self, Side};
use super::{State, pairs};
use crate::flow::FlowKey;
use crate::packet::{Facts, protocol, sctp as wire};
use crate::pipeline::{Arrival, Engine};
use crate::policy::Action;
use crate::port::Port;
use crate::reason::Reason;
use crate::record::{Outbox, Verdict};

/// Whether a packet that no session has the key of may belong to one by another name.
pub(crate) fn is_possible(key: &FlowKey) -> bool {
    key.protocol == protocol::SCTP || key.has_one_way_number()
}

impl Engine {
    /// A packet whose key no session has, of a protocol whose sessions have further names.
    pub(crate) fn kin(&mut self, arrival: &Arrival<'_>, out: &mut Outbox) -> Verdict {
        let Arrival { now, port, key, .. } = *arrival;
        if key.protocol == protocol::SCTP {
            return self.path(arrival, out);
        }
        if let Some(slot) = self.pairs.find(&self.table, key) {
            return self.follow(arrival, slot, out);
        }
        if let Some(slot) = self.pairs.waiting(&self.table, key, port) {
            if self.pairs.pair(&mut self.table, slot, key).is_err() {
                return Verdict::of(Reason::PairsFull);
            }
            return self.follow(arrival, slot, out);
        }
        if !self.pairs.has_room(&self.table, key) {
            return Verdict::of(Reason::PairsFull);
        }
        let parent = self.pairs.paired(&self.table, key).filter(|slot| self.table.hot(*slot).from() != port);
        let verdict = match parent {
            Some(parent) => {
                let from = self.table.hot(parent).from();
                self.join(arrival, from, State::Unreplied, out)
            }
            None => self.first(arrival, None, out),
        };
        if verdict.reason == Reason::SessionNew
            && let Some(slot) = verdict.session.and_then(|id| self.table.slot(id))
        {
            pairs::begin(self.table.hot_mut(slot), port, parent.is_some());
            // There was room a moment ago.
            if let Ok(Some(oldest)) = self.pairs.begin(&self.table, slot)
                && let Some(oldest) = self.table.slot(oldest)
            {
                self.end(now, oldest, Reason::EndEvicted, out);
            }
        }
        verdict
    }

    /// An SCTP packet between two addresses that have no session: by an association that lists both, or an INIT.
    fn path(&mut self, arrival: &Arrival<'_>, out: &mut Outbox) -> Verdict {
        let Arrival { port, facts, head, key, .. } = *arrival;
        let packet = wire::Packet::of(facts, head);
        let Some(parent) = self.parent_of_path(port, key, &packet) else {
            let verdict = self.first(arrival, None, out);
            if verdict.reason == Reason::SessionNew
                && let Some(session) = verdict.session
            {
                let table = &self.table;
                self.paths.learn(|key| table.hash(key).hash, session, port, key, &packet);
            }
            return verdict;
        };
        let (from, peers) = (self.table.hot(parent).from(), self.table.hot(parent).peers);
        let verdict = self.join(arrival, from, State::Established, out);
        if verdict.reason == Reason::SessionNew
            && let Some(slot) = verdict.session.and_then(|id| self.table.slot(id))
        {
            self.table.hot_mut(slot).peers = peers;
        }
        verdict
    }

    /// The session of the association that a packet on another path belongs to: one whose handshake is done, and whose
    /// receiver's tag it carries.
    fn parent_of_path(&self, port: Port, key: &FlowKey, packet: &wire::Packet<'_>) -> Option<u32> {
        if packet.tag == 0 || packet.reflects {
            return None;
        }
        let table = &self.table;
        let parent = table.slot(self.paths.find(|key| table.hash(key).hash, port, key, packet.tag)?)?;
        let hot = table.hot(parent);
        let is_open = matches!(hot.state, State::Established | State::ShutdownSent | State::ShutdownAckSent);
        let receiver = Side::read(hot.peers[port.other().index()]);
        (hot.protocol() == protocol::SCTP && is_open && receiver.settled_on(packet.tag)).then_some(parent)
    }

    /// Follows an SCTP packet of the session in `slot`, whose state moves to what is returned; `None`: nothing moves.
    pub(crate) fn follow_sctp(
        &mut self,
        port: Port,
        facts: &Facts,
        head: &[u8],
        slot: u32,
        key: &FlowKey,
    ) -> sctp::Outcome {
        let packet = wire::Packet::of(facts, head);
        let hot = self.table.hot_mut(slot);
        let mut sides = hot.peers.map(Side::read);
        let outcome = sctp::track(&mut sides, hot.state, port.index(), &packet);
        hot.peers = sides.map(Side::kept);
        let is_offer = packet.has(wire::chunks::INIT | wire::chunks::INIT_ACK);
        if is_offer && matches!(outcome, sctp::Outcome::Accept(_) | sctp::Outcome::Pass) {
            let (table, id) = (&self.table, self.table.id(slot));
            self.paths.learn(|key| table.hash(key).hash, id, port, key, &packet);
        }
        outcome
    }

    /// Opens a session beside another one of the same ends, as opened by the end behind `from`, if the rules allow that
    /// end's packets.
    fn join(&mut self, arrival: &Arrival<'_>, from: Port, state: State, out: &mut Outbox) -> Verdict {
        let Arrival { port, facts, head, key, .. } = *arrival;
        let query = self.running.policy.query_from(key, from);
        let (action, rule) = self.ask_rules(&query);
        if action != Action::Allow {
            return self.refuse(port, facts, head, action, rule, out);
        }
        let admission = match self.admit(arrival, rule, || query.source, None) {
            Ok(admission) => admission,
            Err(reason) => return Verdict { reason, rule, session: None },
        };
        let slot = match self.take_slot(arrival, from, state, out) {
            Ok(slot) => slot,
            Err(reason) => {
                self.give_back(admission);
                return Verdict { reason, rule, session: None };
            }
        };
        self.keep(slot, admission);
        self.table.both(slot).1.set_rule(self.running.policy.key(rule));
        self.enter(arrival, slot, rule, query.from, out);
        Verdict { reason: Reason::SessionNew, rule, session: Some(self.table.id(slot)) }
    }
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "small numbers")]
mod tests;
