//! Whether two policies mean the same to a session that one of them allowed.
//!
//! A deploy that only adds, takes away or changes what rules match leaves live sessions as they are, if they are kept: their
//! packets need not be looked at again for it. Otherwise each goes the long way once, to be decided or to get its new terms,
//! which with many sessions under load takes longer than a ring of descriptors lasts.

use std::sync::Arc;

use super::{AddressSetId, OnDeploy, Policy, Rule, RuleId, RuleKey, Ruleset, SpoofingMode, Timeouts, Zone};

impl Policy {
    /// The same policy, as what follows on `before`.
    #[must_use]
    pub fn after(mut self, before: &Self) -> Self {
        if are_alike(before, &self) {
            self.alike = before.alike.saturating_add(self.generation.wrapping_sub(before.generation));
        }
        // A deploy saves no scanner.
        if let (Some(detector), Some(scan)) = (&before.detector, &self.ruleset.protections.port_scan)
            && detector.serves(scan)
        {
            self.detector = Some(Arc::clone(detector));
        }
        self
    }

    /// Whether a session that was last decided under that generation, and is still kept, has under this policy the terms that
    /// it has already: timeouts, window tracking, and addresses that may speak. Sessions know the lower 24 bits.
    #[inline(always)]
    pub(crate) const fn is_alike(&self, generation: u32) -> bool {
        self.generation.wrapping_sub(generation) & 0xff_ffff <= self.alike
    }
}

fn are_alike(before: &Policy, after: &Policy) -> bool {
    let (old, new) = (&before.ruleset, &after.ruleset);
    keeps_all(new)
        && old.inspection.tcp_window == new.inspection.tcp_window
        && addresses_checked(old) == addresses_checked(new)
        && old.zones.len() == new.zones.len()
        && old.zones.iter().zip(&new.zones).all(|(a, b)| is_same_zone((old, a), (new, b)))
        && before.keys.iter().chain(&after.keys).all(|key| terms(before, *key) == terms(after, *key))
        && terms(before, RuleKey::NONE) == terms(after, RuleKey::NONE)
}

/// How its addresses are.
fn addresses_checked(ruleset: &Ruleset) -> [SpoofingMode; 2] {
    [ruleset.protections.spoofing, ruleset.protections.bogons]
}

fn keeps_all(ruleset: &Ruleset) -> bool {
    let own = ruleset.rules.iter().filter_map(|rule: &Rule| rule.sessions_on_deploy);
    own.chain([ruleset.inspection.sessions_on_deploy]).all(|on_deploy| on_deploy == OnDeploy::Keep)
}

fn is_same_zone((old, a): (&Ruleset, &Zone), (new, b): (&Ruleset, &Zone)) -> bool {
    let set = |ruleset: &Ruleset, id: Option<AddressSetId>| {
        id.map(|AddressSetId(id)| ruleset.address_sets[id as usize].clone())
    };
    (a.port, &a.vlans, a.tcp_window) == (b.port, &b.vlans, b.tcp_window)
        && set(old, a.networks) == set(new, b.networks)
}

/// Those of a session whose rule has this key: its timeouts, and whether its packets are metered.
fn terms(policy: &Policy, key: RuleKey) -> (&Timeouts, bool) {
    let rule: Option<RuleId> = policy.by_key(key);
    (policy.timeouts(policy.timeouts_of(rule)), policy.is_metered(rule))
}

#[cfg(test)]
mod tests {
    use super::super::{Action, Limits, RuleNames, TcpWindowMode, TimeoutsId};
    use super::*;
    use crate::port::Port;

    fn ruleset() -> Ruleset {
        let zones = vec![Zone::of_port("lan", Port::Lan), Zone::of_port("wan", Port::Wan)];
        let rules = vec![Rule::of_all("a", Action::Allow), Rule::of_all("b", Action::Drop)];
        Ruleset { zones, rules, ..Ruleset::default() }
    }

    /// Whether sessions of the first policy are passed on by the last of a row of deploys, each of which is so changed.
    fn alike(changes: &[fn(&mut Ruleset)]) -> bool {
        let mut names = RuleNames::default();
        let mut policy = Policy::compile(1, ruleset(), &mut names);
        let mut ruleset = ruleset();
        for (change, generation) in changes.iter().zip(2..) {
            change(&mut ruleset);
            policy = Policy::compile(generation, ruleset.clone(), &mut names).after(&policy);
            assert!(policy.is_alike(generation), "its own sessions");
            assert!(!policy.is_alike(generation + 1));
        }
        policy.is_alike(1)
    }

    fn with_other_timeouts(ruleset: &mut Ruleset) -> TimeoutsId {
        ruleset.timeouts.push(Timeouts { udp_stream_ms: 1, ..Timeouts::default() });
        TimeoutsId(1)
    }

    #[test]
    fn what_rules_match_is_nothing_to_a_session_that_is_kept() {
        assert!(alike(&[]));
        assert!(alike(&[|_| ()]));
        assert!(alike(&[
            |ruleset| ruleset.rules.insert(0, Rule::of_all("c", Action::Reject)),
            |ruleset| ruleset.rules.retain(|rule| *rule.name != *"a"),
            |ruleset| ruleset.rules.push(Rule::of_all("a", Action::Drop)),
        ]));
    }

    #[test]
    fn what_changes_its_terms_is() {
        let changes: [fn(&mut Ruleset); 9] = [
            |ruleset| ruleset.inspection.tcp_window = TcpWindowMode::Log,
            |ruleset| ruleset.inspection.sessions_on_deploy = OnDeploy::Rematch,
            |ruleset| ruleset.rules[0].sessions_on_deploy = Some(OnDeploy::Rematch),
            |ruleset| ruleset.protections.bogons = SpoofingMode::Drop,
            |ruleset| ruleset.zones[0].tcp_window = Some(TcpWindowMode::Off),
            |ruleset| ruleset.zones[1].vlans = Some(vec![7]),
            |ruleset| ruleset.timeouts[0].tcp_established_ms += 1,
            |ruleset| ruleset.rules[0].timeouts = with_other_timeouts(ruleset),
            |ruleset| {
                let limits = Limits { packets_per_second: Some(1), ..Limits::default() };
                ruleset.rules[0].limits = Some(Box::new(limits));
            },
        ];
        for (number, change) in changes.into_iter().enumerate() {
            assert!(!alike(&[change]), "change {number}");
            assert!(!alike(&[change, |_| ()]), "change {number}, and a deploy after it");
        }
    }

    #[test]
    fn a_rule_that_comes_back_with_other_timeouts_is_another() {
        assert!(!alike(&[
            |ruleset| ruleset.rules.retain(|rule| *rule.name != *"a"),
            |ruleset| {
                let timeouts = with_other_timeouts(ruleset);
                ruleset.rules.push(Rule { timeouts, ..Rule::of_all("a", Action::Allow) });
            },
        ]));
    }
}
