//! The policy as workers run it: what the rules are ([`ruleset`]), how a packet finds its rule quickly
//! ([`classify`]) and slowly but surely ([`linear`], the oracle of the tests and the voice of `explain`).

pub mod classify;
pub mod linear;
pub mod ruleset;
pub mod zones;

pub use classify::Classifier;
pub use ruleset::{
    Action, AddressSet, AddressSetId, FragmentMode, Inspection, LogLevel, MidstreamMode, OnDeploy, OnExpiry,
    Protections, Protocols, Query, Rule, RuleId, Ruleset, ServiceMatch, SpoofingMode, TcpWindowMode,
    Timeouts, TimeoutsId, Zone, ZoneId,
};

/// A whole policy, immutable, ready for the workers.
#[derive(Debug)]
pub struct Policy {
    /// Counts up by one with each deploy; sessions remember the generation they were decided under.
    pub generation: u32,
    /// What was compiled.
    pub ruleset: Ruleset,
    /// The quick way from a packet to its rule.
    pub classifier: Classifier,
    /// The quick way from a frame's port, VLAN and address to its zone.
    pub zones: zones::ZoneTable,
}

impl Policy {
    /// Compiles `ruleset`. This allocates and may take milliseconds: it belongs on the control thread.
    pub fn compile(generation: u32, ruleset: Ruleset) -> Self {
        let classifier = Classifier::build(&ruleset);
        let zones = zones::ZoneTable::build(&ruleset);
        Self { generation, ruleset, classifier, zones }
    }
}
