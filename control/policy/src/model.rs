//! What a policy file says beyond what the engine's ruleset holds: where each thing stands, and how it was written.

use crate::diagnostic::Place;

/// A policy with its names resolved. Indices are those of the ruleset made from the same file.
#[derive(Clone, Debug, Default)]
pub struct ResolvedPolicy {
    /// The file, as the user named it.
    pub file: String,
    /// Where each zone of the ruleset is defined.
    pub zones: Vec<Defined>,
    /// The named addresses, in the order of the file.
    pub addresses: Vec<Defined>,
    /// The named services, in the order of the file.
    pub services: Vec<Defined>,
    /// What the ruleset does not hold of each rule.
    pub rules: Vec<RuleInfo>,
}

/// Something that the file defines under a name.
#[derive(Clone, Debug)]
pub struct Defined {
    /// Its name.
    pub name: Box<str>,
    /// Where the name stands.
    pub place: Place,
    /// Whether anything names it.
    pub is_used: bool,
}

/// What the ruleset does not hold of a rule.
#[derive(Clone, Debug)]
pub struct RuleInfo {
    /// Where the rule begins.
    pub place: Place,
    /// Its fields as they were written, for people; `None`: left out, or `any`.
    pub written: Written,
}

/// The matching fields of a rule as they were written.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// Source addresses.
    pub source: Option<Box<str>>,
    /// Destination addresses.
    pub destination: Option<Box<str>>,
    /// Services.
    pub service: Option<Box<str>>,
}
