//! Sessions that a control session has announced: their first packet needs no rule.

use super::Mark;
use super::expectation::{Asked, Claim, Expectation};
use crate::flow::FlowKey;
use crate::pipeline::{Arrival, Engine};
use crate::policy::{Action, OnDeploy, Policy, Query, RuleId};
use crate::port::Port;
use crate::reason::Reason;
use crate::record::{Outbox, Verdict};
use crate::session::SessionId;
use crate::time::Instant;

/// A first packet that is expected, and the rule of the session that announced it.
#[derive(Debug)]
pub(crate) struct Expected {
    claim: Claim,
    rule: Option<RuleId>,
}

impl Engine {
    /// Whether the first packet with this key, which arrived on `port`, was announced.
    pub(crate) fn expected(&self, now: Instant, port: Port, key: &FlowKey) -> Option<Expected> {
        if self.expectations.is_empty() {
            return None;
        }
        let key = match port {
            Port::Lan => FlowKey { lan_port: 0, ..*key },
            Port::Wan => FlowKey { wan_port: 0, ..*key },
        };
        let claim = self.expectations.claim(&key, now)?;
        match self.rule_of_expected(&claim.expectation) {
            Some(rule) => Some(Expected { claim, rule }),
            None => {
                self.expectations.give_back(claim);
                None
            }
        }
    }

    /// A first packet that a helper expected: it opens its session without a rule, under that of the control session.
    pub(crate) fn open_expected(
        &mut self,
        arrival: &Arrival<'_>,
        over: Option<u32>,
        expected: Expected,
        out: &mut Outbox,
    ) -> Verdict {
        let Arrival { now, port, facts, key, .. } = *arrival;
        let rule = expected.rule;
        // Whoever opened the control session is who asks for this one.
        let source = || key.five_tuple(expected.claim.expectation.asked.from).source;
        let admission = match self.admit(arrival, rule, source, over) {
            Ok(admission) => admission,
            Err(reason) => {
                self.expectations.give_back(expected.claim);
                return Verdict { reason, rule, session: None };
            }
        };
        if let Some(over) = over {
            self.end(now, over, Reason::EndReopened, out);
        }
        let slot = match self.open(arrival, out) {
            Ok(slot) => slot,
            Err(reason) => {
                self.give_back(admission);
                self.expectations.give_back(expected.claim);
                return Verdict { reason, rule, session: None };
            }
        };
        self.keep(slot, admission);
        self.settle_expected(slot, expected);
        let opener = self.zone_of_source(port, facts);
        self.enter(arrival, slot, rule, opener, out);
        Verdict { reason: Reason::SessionExpected, rule, session: Some(self.table.id(slot)) }
    }

    /// The rule of the session that announced it, in the policy in force; `None` if that policy would not have it.
    fn rule_of_expected(&self, expectation: &Expectation) -> Option<Option<RuleId>> {
        let policy = &self.running.policy;
        let by_name = policy.by_key(expectation.rule);
        if expectation.generation == policy.generation || policy.on_deploy_of(by_name) == OnDeploy::Keep {
            return Some(by_name);
        }
        self.ask_for_parent(&expectation.key, expectation.asked, expectation.helper)
    }

    /// Asks the rules in force whether they would allow a control session between the hosts of `key`, and have it
    /// followed by `helper`.
    fn ask_for_parent(&self, key: &FlowKey, asked: Asked, helper: super::Helper) -> Option<Option<RuleId>> {
        let query = query_of_parent(&self.running.policy, key, asked);
        let (action, rule) = self.ask_rules(&query);
        let is_followed = self.running.policy.helper_for(rule, &query) == Some(helper);
        (action == Action::Allow && is_followed).then_some(rule)
    }

    /// Whether `candidate` would allow the control session of the one in `slot`, which an expectation opened.
    pub(crate) fn allows_parent(&self, candidate: &Policy, slot: u32) -> bool {
        let asked = Asked::from_bits(self.table.bits_beside(slot));
        let query = query_of_parent(candidate, &self.table.key(slot), asked);
        let (action, rule) = candidate.decide(&query);
        action == Action::Allow
            && candidate.helper_for(rule, &query) == Some(self.table.hot(slot).mark.kind())
    }

    /// The session in `slot`, which an expectation opened, decided again after a deploy: as its control session would be.
    pub(crate) fn rematch_expected(&self, slot: u32) -> Option<Option<RuleId>> {
        let asked = Asked::from_bits(self.table.bits_beside(slot));
        self.ask_for_parent(&self.table.key(slot), asked, self.table.hot(slot).mark.kind())
    }

    /// The session in `slot` is the one that was expected.
    fn settle_expected(&mut self, slot: u32, expected: Expected) {
        let Expectation { helper, parent, asked, rule, .. } = expected.claim.expectation;
        self.table.put_beside(slot, [parent.number(), u64::from(asked.bits())]);
        let (hot, cold) = self.table.both(slot);
        hot.mark = Mark::expected(helper).beside(hot.mark);
        // By name, though the policy in force may have no such rule any more.
        cold.set_rule(expected.rule.map_or(rule, |rule| self.running.policy.key(Some(rule))));
        // Counted first, lest it passes for expired meanwhile.
        self.counters.helpers[helper.index()].used.add(1);
        self.expectations.use_up(expected.claim);
    }

    /// The control session that announced the session in `slot`.
    pub(crate) fn parent_of(&self, slot: u32) -> Option<SessionId> {
        let is_expected = self.table.hot(slot).mark.is_expected();
        is_expected.then(|| SessionId::from_number(self.table.parent_beside(slot)))
    }
}

/// What the rules of `policy` are asked about a control session between the hosts of `key`.
fn query_of_parent(policy: &Policy, key: &FlowKey, asked: Asked) -> Query {
    let tuple = key.five_tuple(asked.from);
    let ends = [tuple.source, tuple.destination];
    policy.query(asked.from, key.vlan.outer(), ends, asked.protocol, asked.destination_port)
}
