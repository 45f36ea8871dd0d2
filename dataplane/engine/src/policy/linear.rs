//! Rule by rule, from the top: slow, and beyond doubt. The oracle of the classifier's tests, and what `explain` shows.

use super::ruleset::{Query, Rule, RuleId, Ruleset};

/// Why a rule does not match: the first of its fields that the packet does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// The source zone.
    From,
    /// The destination zone.
    To,
    /// The source address.
    Source,
    /// The destination address.
    Destination,
    /// The protocol, port, or ICMP type.
    Service,
}

/// Whether `rule` matches; if not, the first field that does not.
pub fn compare(ruleset: &Ruleset, rule: &Rule, query: &Query) -> Result<(), Mismatch> {
    let in_zone = |zones: &Option<Vec<_>>, zone| match (zones, zone) {
        (None, _) => true,
        (Some(zones), Some(zone)) => zones.contains(&zone),
        (Some(_), None) => false,
    };
    let in_set = |set: Option<super::AddressSetId>, address| {
        set.is_none_or(|id| ruleset.address_sets[id.0 as usize].contains(address))
    };
    if !in_zone(&rule.from, query.from) {
        return Err(Mismatch::From);
    }
    if !in_zone(&rule.to, query.to) {
        return Err(Mismatch::To);
    }
    if !in_set(rule.source, query.source) {
        return Err(Mismatch::Source);
    }
    if !in_set(rule.destination, query.destination) {
        return Err(Mismatch::Destination);
    }
    let is_v4 = query.source.is_ipv4();
    let service = rule.services.as_ref().is_none_or(|services| {
        services.iter().any(|service| service.matches(is_v4, query.protocol, query.selector))
    });
    if service { Ok(()) } else { Err(Mismatch::Service) }
}

/// The first rule that matches.
pub fn first_match(ruleset: &Ruleset, query: &Query) -> Option<RuleId> {
    let found = ruleset.rules.iter().position(|rule| compare(ruleset, rule, query).is_ok())?;
    u32::try_from(found).ok().map(RuleId)
}
