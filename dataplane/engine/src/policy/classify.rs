//! From a packet to the first rule that matches it.

use super::linear;
use super::ruleset::{Query, RuleId, Ruleset};

/// Finds the first matching rule.
#[derive(Debug)]
pub struct Classifier {
    ruleset: Ruleset,
}

impl Classifier {
    /// Compiles the rules.
    pub fn build(ruleset: &Ruleset) -> Self {
        Self { ruleset: ruleset.clone() }
    }

    /// The first rule that matches `query`.
    pub fn classify(&self, query: &Query) -> Option<RuleId> {
        linear::first_match(&self.ruleset, query)
    }
}
