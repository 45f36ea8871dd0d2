//! Rules whose own fields contradict each other: no packet can be in both zones, or at such an address in them.

use sekisho_engine::policy::{AddressSet, Rule, Ruleset, SpoofingMode, Zone, ZoneId};

use super::space::Cube;
use crate::diagnostic::quoted;
use crate::ranges::{covers, lists_meet, sets_meet};

/// What the zones of a policy allow.
#[derive(Debug)]
pub(super) struct Feasibility<'a> {
    ruleset: &'a Ruleset,
    /// The networks of all zones: a source among them that arrives in a zone without networks is spoofed.
    lived_in: AddressSet,
    /// Sources that no spoofing check looks at: link-local ones, and those of hosts that have no address yet.
    lives_anywhere: AddressSet,
    /// Zones that share each of their VLANs with another: there the destination's address decides.
    is_shared: Vec<bool>,
}

impl<'a> Feasibility<'a> {
    pub(super) fn new(ruleset: &'a Ruleset) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for set in ruleset.zones.iter().filter_map(|zone| zone.networks) {
            let set = &ruleset.address_sets[set.0 as usize];
            v4.extend_from_slice(&set.v4);
            v6.extend_from_slice(&set.v6);
        }
        let is_shared = (0..ruleset.zones.len()).map(|index| is_shared(&ruleset.zones, index)).collect();
        let lives_anywhere = AddressSet::new(vec![0..=0], vec![0..=0, 0xfe80 << 112..=(0xfec0 << 112) - 1]);
        Self { ruleset, lived_in: AddressSet::new(v4, v6), lives_anywhere, is_shared }
    }

    /// Why no packet can match `rule`, if none can.
    pub(super) fn refute(&self, rule: &Rule, cubes: &[Cube]) -> Option<String> {
        if cubes.is_empty() {
            return Some(self.empty(rule));
        }
        if let (Some(from), Some(to)) = (&rule.from, &rule.to)
            && let Some(why) = self.no_way(from, to)
        {
            return Some(why);
        }
        self.no_source(rule).or_else(|| self.no_destination(rule))
    }

    /// Why a rule matches no address family.
    fn empty(&self, rule: &Rule) -> String {
        let set = |id: Option<sekisho_engine::policy::AddressSetId>| {
            id.map(|id| &self.ruleset.address_sets[id.0 as usize])
        };
        for (label, set) in [("source", set(rule.source)), ("destination", set(rule.destination))] {
            if set.is_some_and(AddressSet::is_empty) {
                return format!("its {label} holds no address");
            }
        }
        "its source, destination and service have no family, IPv4 or IPv6, in common".to_owned()
    }

    /// Why no frame goes from one of `from` to one of `to`.
    fn no_way(&self, from: &[ZoneId], to: &[ZoneId]) -> Option<String> {
        let zone = |id: &ZoneId| &self.ruleset.zones[usize::from(id.0)];
        let mut same_port = None;
        let mut same_vlan = None;
        for (from, to) in from.iter().flat_map(|from| to.iter().map(move |to| (zone(from), zone(to)))) {
            let share_vlan = match (&from.vlans, &to.vlans) {
                (Some(a), Some(b)) => lists_meet(a, b),
                _ => true,
            };
            match (from.port != to.port, share_vlan) {
                (true, true) => return None,
                (true, false) => same_vlan = Some((from, to)),
                (false, _) => same_port = Some((from, to)),
            }
        }
        let names = |(from, to): (&Zone, &Zone)| (quoted(&from.name), quoted(&to.name));
        if let Some((from, to)) = same_vlan.map(names) {
            return Some(format!("{from} and {to} have no VLAN in common, and a frame keeps its tag"));
        }
        let port = same_port?.0.port;
        let (from, to) = names(same_port?);
        Some(format!("{from} and {to} lie behind the same port, {port}, and a frame leaves by the other"))
    }

    /// Why no source of the rule can be in its source zones.
    fn no_source(&self, rule: &Rule) -> Option<String> {
        if self.ruleset.protections.spoofing != SpoofingMode::Drop {
            return None;
        }
        let source = &self.ruleset.address_sets[rule.source?.0 as usize];
        let from = rule.from.as_ref()?;
        if sets_meet(&self.lives_anywhere, source) {
            return None;
        }
        let possible = from.iter().any(|id| match self.ruleset.zones[usize::from(id.0)].networks {
            Some(networks) => sets_meet(&self.ruleset.address_sets[networks.0 as usize], source),
            None => !(covers(&self.lived_in.v4, &source.v4) && covers(&self.lived_in.v6, &source.v6)),
        });
        let whose = self.names(from);
        (!possible).then(|| format!("none of its source addresses lives in {whose}; they would be spoofed"))
    }

    /// Why no destination of the rule can be in its destination zones.
    fn no_destination(&self, rule: &Rule) -> Option<String> {
        let destination = &self.ruleset.address_sets[rule.destination?.0 as usize];
        let to = rule.to.as_ref()?;
        let possible = to.iter().any(|id| {
            let index = usize::from(id.0);
            match self.ruleset.zones[index].networks {
                Some(networks) if self.is_shared[index] => {
                    sets_meet(&self.ruleset.address_sets[networks.0 as usize], destination)
                }
                _ => true,
            }
        });
        let whose = self.names(to);
        (!possible).then(|| format!("none of its destination addresses lives in {whose}"))
    }

    fn names(&self, zones: &[ZoneId]) -> String {
        let names: Vec<_> =
            zones.iter().map(|id| quoted(&self.ruleset.zones[usize::from(id.0)].name)).collect();
        names.join(" or ")
    }
}

/// Whether every VLAN of a zone belongs to another zone of its port too.
fn is_shared(zones: &[Zone], index: usize) -> bool {
    let zone = &zones[index];
    let mut others = zones
        .iter()
        .enumerate()
        .filter(|(other, candidate)| *other != index && candidate.port == zone.port)
        .map(|(_, candidate)| candidate);
    match &zone.vlans {
        None => others.any(|other| other.vlans.is_none()),
        Some(vlans) => {
            let others: Vec<_> = others.collect();
            vlans.iter().all(|vlan| {
                others
                    .iter()
                    .any(|other| other.vlans.as_ref().is_none_or(|vlans| vlans.binary_search(vlan).is_ok()))
            })
        }
    }
}
