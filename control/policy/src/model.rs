//! What a policy file says beyond what the engine's ruleset holds: where each thing stands, how it was written, and
//! what later parts of the engine will ask for.

use serde::Serialize;

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
    /// What counts as a port scan; `None`: nothing.
    pub port_scan: Option<PortScan>,
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
    /// How much one source may ask.
    pub limits: Limits,
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

/// How much one source may ask of a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Live sessions of the rule; `None`: any number.
    pub sessions_per_source: Option<u32>,
    /// New sessions a second; `None`: any number.
    pub new_sessions_per_second_per_source: Option<u32>,
}

/// What counts as a port scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PortScan {
    /// More different destination ports than this, refused to one source,
    pub ports: u16,
    /// within this many milliseconds,
    pub within_ms: u32,
    /// block it for this many milliseconds.
    pub block_for_ms: u32,
}
