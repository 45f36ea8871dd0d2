//! Plain packets of no session, a burst at a time: what floods are made of, and what sessions begin with.
//!
//! What the rules say to all of them is asked at once ([`Engine::ask_for`]): nothing that happens within a burst changes it. Then
//! each is judged in its turn, as [`Engine::inspect_plain`] would: what is refused and not told of in runs
//! ([`Engine::refuse_run`]), all else one by one ([`Engine::inspect_stranger`]).

use core::net::{IpAddr, Ipv4Addr};

use super::{Arrival, Engine, Glance};
use crate::packet::{Plain, protocol};
use crate::policy::{Action, Query, RuleId, ZoneId};
use crate::port::Port;
use crate::protect::spoofing;
use crate::reason::Reason;
use crate::record::{Outbox, Verdict};
use crate::session::tcp;
use crate::time::Instant;

/// A place for a question.
const NOTHING_ASKED: Query = {
    let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    Query { from: None, to: None, source: nowhere, destination: nowhere, protocol: 0, selector: 0 }
};

/// Packets of a burst: as many as a word has bits.
const BURST_MAX: usize = u64::BITS as usize;

/// What the rules were asked about the packets of no session of the burst at hand.
#[derive(Debug)]
pub(crate) struct Strangers {
    /// Sessions that had begun when the burst came.
    begun: u64,
    queries: [Query; BURST_MAX],
    rules: [Option<RuleId>; BURST_MAX],
}

impl Default for Strangers {
    fn default() -> Self {
        Self { begun: 0, queries: [NOTHING_ASKED; BURST_MAX], rules: [None; BURST_MAX] }
    }
}

/// What a plain packet of no session can be, by itself alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// It goes the long way.
    #[default]
    Odd,
    /// A segment that opens nothing.
    Late,
    /// A first packet, if the rules allow it.
    First,
    /// The same, and the rules have been asked: the number of the question.
    Asked(u8),
}

/// Whose a plain packet is that did not pass.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owner {
    /// The session in this slot.
    Slot(u32),
    /// None.
    Nobody(Kind),
}

/// What is done, with all facts of it, about one that is not dropped at once.
#[derive(Clone, Copy, Debug)]
pub(super) enum Judgement {
    /// It is inspected, with the slot of its session.
    Inspect(Option<u32>),
    /// Its source may speak, nobody expects it, and this is what the rules say to it.
    Settle { opener: Option<ZoneId>, action: Action, rule: Option<RuleId> },
}

impl Engine {
    /// A burst begins, of which nothing was looked for yet.
    #[inline]
    pub fn begin_burst(&mut self) {
        self.strangers.begun = self.table.begun();
    }

    /// Asks the rules about those of `glances` at `places` (by bits, the lowest for place 0), which are strangers
    /// ([`Glance::is_stranger`]). Each is then for [`Engine::inspect_stranger`].
    pub fn ask_for(
        &mut self,
        now: Instant,
        glances: &mut [Glance],
        places: u64,
        port_of: impl Fn(usize) -> Port,
    ) {
        let policy = &self.running.policy;
        let (mut left, mut asked) = (places, 0);
        while left != 0 {
            let place = left.trailing_zeros() as usize;
            left &= left - 1;
            let (Some(glance), port) = (glances.get_mut(place), port_of(place)) else { break };
            glance.stranger = self.kind_of(now, port, &glance.plain);
            if glance.stranger == Kind::First {
                policy.ask_of_plain(port, &glance.plain.key, &mut self.strangers.queries[asked % BURST_MAX]);
                glance.stranger = Kind::Asked(u8::try_from(asked).unwrap_or(u8::MAX));
                asked += 1;
            }
        }
        let Strangers { queries, rules, .. } = &mut *self.strangers;
        policy.classifier.classify_burst(&queries[..asked], &mut rules[..asked]);
    }

    /// Drops the first of those at `places` as long as each is what most packets of a flood are: opens nothing, or is dropped by
    /// the rules, and nobody is to be told of it. Returns the places of the others, which are for
    /// [`Engine::inspect_stranger`] one by one; after one of them there may be more for this.
    pub fn refuse_run(&mut self, now: Instant, glances: &[Glance], places: u64, out: &mut Outbox) -> u64 {
        let policy = &self.running.policy;
        // Where none has begun since they were looked for, they have none.
        let is_calm = self.strangers.begun == self.table.begun()
            && self.guards.blocks.is_empty()
            && self.expectations.is_empty()
            && policy.detector().is_none()
            && self.notices.are_spent(now);
        if !is_calm {
            return places;
        }
        let (mut left, mut by_rule, mut by_default, mut late) = (places, 0, 0, 0);
        while left != 0 {
            let place = left.trailing_zeros() as usize;
            let Some(Glance { plain, hashed, stranger, .. }) = glances.get(place) else { break };
            match *stranger {
                Kind::Asked(number) => {
                    let rule = self.strangers.rules[usize::from(number) % BURST_MAX];
                    if policy.action_of(rule) != Action::Drop {
                        break;
                    }
                    if rule.is_some() {
                        by_rule += 1;
                        self.count_hit(rule);
                    } else if self.may_be_remembered(&plain.key, *hashed) {
                        break;
                    } else {
                        by_default += 1;
                    }
                }
                Kind::Late if !policy.proves_sources() && !self.may_be_remembered(&plain.key, *hashed) => {
                    late += 1
                }
                _ => break,
            }
            left &= left - 1;
        }
        for (reason, count) in
            [(Reason::RuleDrop, by_rule), (Reason::DefaultDrop, by_default), (Reason::TcpNoSession, late)]
        {
            self.counters.reason(reason).add(count);
        }
        out.drops_untold += by_rule + by_default + late;
        left
    }

    /// Inspects one of those that the rules were asked about: what [`Engine::inspect_plain`] says of it.
    pub fn inspect_stranger(
        &mut self,
        now: Instant,
        port: Port,
        glance: &Glance,
        head: &[u8],
        out: &mut Outbox,
    ) -> Verdict {
        // Where none has begun since it was looked for, it has none.
        let found = if self.strangers.begun == self.table.begun() {
            None
        } else {
            self.table.find_packed(&glance.plain.key, glance.hashed)
        };
        let owner = found.map_or(Owner::Nobody(glance.stranger), Owner::Slot);
        self.inspect_of(now, port, glance, owner, head, out)
    }

    /// What a plain packet of no session can be.
    #[inline]
    pub(super) fn kind_of(&self, now: Instant, port: Port, plain: &Plain) -> Kind {
        if !spoofing::is_source_clean(&self.running.policy, port, &plain.key) {
            return Kind::Odd;
        }
        if plain.key.protocol() != protocol::TCP {
            return Kind::First;
        }
        if tcp::is_midstream_segment(&plain.tcp) && self.may_pick_up(now) {
            return Kind::Odd;
        }
        if tcp::cannot_open(&plain.tcp) { Kind::Late } else { Kind::First }
    }

    /// What the order of inspection comes to for a packet of no session, as far as it can be said without all facts of it; or the
    /// verdict, if it is dropped.
    #[inline(always)]
    pub(super) fn judge_stranger(
        &self,
        now: Instant,
        port: Port,
        glance: &Glance,
        kind: Kind,
    ) -> Result<Judgement, Verdict> {
        let Glance { plain, hashed, .. } = glance;
        if kind == Kind::Odd || kind != Kind::Late && !self.expectations.is_empty() {
            return Ok(Judgement::Inspect(None));
        }
        if !self.guards.blocks.is_empty() && self.is_sender_blocked(now, port, plain) {
            return Err(Verdict::of(Reason::SourceBlocked));
        }
        let policy = &self.running.policy;
        let (opener, (action, rule)) = match kind {
            // It may be the proof that its source is real.
            Kind::Late if policy.proves_sources() => return Ok(Judgement::Inspect(None)),
            Kind::Late => {
                return Err(self.unknown(port, Reason::TcpNoSession, &plain.key, *hashed));
            }
            Kind::Asked(number) => {
                let number = usize::from(number) % BURST_MAX;
                (self.strangers.queries[number].from, self.heed_rule(self.strangers.rules[number]))
            }
            _ => {
                let mut query = NOTHING_ASKED;
                policy.ask_of_plain(port, &plain.key, &mut query);
                (query.from, self.ask_rules(&query))
            }
        };
        match action {
            Action::Drop => Err(self.dropped(port, rule, &plain.key, *hashed)),
            _ => Ok(Judgement::Settle { opener, action, rule }),
        }
    }

    #[inline(never)]
    fn is_sender_blocked(&self, now: Instant, port: Port, plain: &Plain) -> bool {
        self.is_blocked(now, &plain.key.addresses(port))
    }

    /// What a plain packet of `owner` comes to that did not pass.
    pub(super) fn inspect_of(
        &mut self,
        now: Instant,
        port: Port,
        glance: &Glance,
        owner: Owner,
        head: &[u8],
        out: &mut Outbox,
    ) -> Verdict {
        let judgement = match owner {
            Owner::Slot(slot) => Ok(Judgement::Inspect(Some(slot))),
            Owner::Nobody(kind) => self.judge_stranger(now, port, glance, kind),
        };
        let judgement = match judgement {
            Ok(judgement) => judgement,
            Err(verdict) => {
                self.count(verdict, 1);
                if self.running.policy.detector().is_some() {
                    self.note_stray(now, port, glance, head, verdict, out);
                }
                if self.is_to_be_told(now, verdict, out) {
                    self.tell_of_drop(now, port, &glance.plain.facts(port, head), verdict, out);
                }
                return verdict;
            }
        };
        let packed = &glance.plain.key;
        let (facts, key) = (glance.plain.facts(port, head), packed.unpacked());
        let arrival = Arrival { now, port, facts: &facts, head, key: &key, packed, hashed: glance.hashed };
        let verdict = match judgement {
            Judgement::Settle { opener, action, rule } => {
                self.settle(&arrival, None, opener, (action, rule), out)
            }
            Judgement::Inspect(found) => match self.judge_source(now, port, &facts, out) {
                Some(verdict) => verdict,
                None => self.decide_keyed(&arrival, found, out),
            },
        };
        self.report(now, port, &facts, verdict, 1, out);
        verdict
    }

    #[inline(never)]
    fn note_stray(
        &mut self,
        now: Instant,
        port: Port,
        glance: &Glance,
        head: &[u8],
        verdict: Verdict,
        out: &mut Outbox,
    ) {
        self.note_refused(now, &glance.plain.facts(port, head), verdict.reason, out);
    }
}

#[cfg(test)]
mod tests;
