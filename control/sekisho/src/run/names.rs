//! Names of rules and zones, as listings and logs show them.

use std::collections::HashMap;
use std::sync::Arc;

use sekisho_engine::policy::{Policy, RuleId, RuleKey, ZoneId};

/// The names behind the numbers that engines use: of every rule that was ever deployed, and of the zones in force.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// By the rule's key, which begins at 1.
    rules: Vec<Arc<str>>,
    keys: HashMap<Arc<str>, RuleKey>,
    zones: Vec<Arc<str>>,
}

impl Names {
    /// Learns the names of the rules of `policy`, before workers report under it.
    pub(crate) fn learn_rules(&mut self, policy: &Policy) {
        for (number, rule) in (0..).zip(&policy.ruleset.rules) {
            let key = policy.key(Some(RuleId(number)));
            if self.rule(key).is_some() {
                continue;
            }
            let name: Arc<str> = rule.name.as_ref().into();
            let place = key.number() as usize;
            if self.rules.len() < place {
                self.rules.resize(place, Arc::from(""));
            }
            self.rules[place - 1] = Arc::clone(&name);
            self.keys.insert(name, key);
        }
    }

    /// Learns the names of the zones of `policy`, which is from now on in force.
    pub(crate) fn learn_zones(&mut self, policy: &Policy) {
        self.zones = policy.ruleset.zones.iter().map(|zone| zone.name.as_ref().into()).collect();
    }

    /// The name behind a key; `None` for the default action.
    pub(crate) fn rule(&self, key: RuleKey) -> Option<Arc<str>> {
        self.rule_numbered(key.number() as usize)
    }

    /// The name behind the key of that number; `None` for the default action.
    pub(crate) fn rule_numbered(&self, number: usize) -> Option<Arc<str>> {
        self.rules.get(number.checked_sub(1)?).filter(|name| !name.is_empty()).cloned()
    }

    /// The key of a rule that is or was in force.
    pub(crate) fn find_rule(&self, name: &str) -> Option<RuleKey> {
        self.keys.get(name).copied()
    }

    /// The name of a zone in force.
    pub(crate) fn zone(&self, zone: Option<ZoneId>) -> Option<Arc<str>> {
        self.zones.get(usize::from(zone?.0)).cloned()
    }

    /// The zone of that name in force.
    pub(crate) fn find_zone(&self, name: &str) -> Option<ZoneId> {
        let place = self.zones.iter().position(|zone| **zone == *name)?;
        u16::try_from(place).ok().map(ZoneId)
    }

    /// The names of the zones in force.
    pub(crate) fn zones(&self) -> impl Iterator<Item = &str> {
        self.zones.iter().map(AsRef::as_ref)
    }
}
