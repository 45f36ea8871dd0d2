//! From a port, a VLAN and an address to a zone (contract, "Zones").

use core::net::IpAddr;

use super::ruleset::{AddressSet, Ruleset, ZoneId};
use crate::port::Port;

/// Where an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this zone.
    In(ZoneId),
    /// In none: a spoofed source; a destination that only a rule with `to: any` matches.
    Nowhere,
}

impl Place {
    /// The zone, if there is one.
    pub fn zone(self) -> Option<ZoneId> {
        match self {
            Self::In(zone) => Some(zone),
            Self::Nowhere => None,
        }
    }
}

/// The zones, by port and VLAN.
#[derive(Debug)]
pub struct ZoneTable {
    /// `spots[port][vlan]` tells which zones have that port and VLAN.
    spots: [Vec<Spot>; 2],
    /// Distinct groups of several candidate zones.
    candidates: Vec<Group>,
    /// Networks of all zones by zone, for the spoofing check.
    networks: Vec<Option<AddressSet>>,
    /// Whether there are any.
    knows_networks: bool,
    /// Ports of all zones.
    ports: Vec<Port>,
}

/// The zones of a port and a VLAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spot {
    Empty,
    /// Whatever the address.
    Only(ZoneId),
    /// By the address: an index into [`ZoneTable::candidates`].
    Several(u16),
}

/// Zones that share a port and a VLAN.
#[derive(Debug, PartialEq, Eq)]
struct Group {
    zones: Vec<ZoneId>,
    /// The one without networks, if there is one: it takes what no other claims.
    rest: Option<ZoneId>,
}

/// VLAN identifiers have 12 bits; 0 stands for untagged.
const VLANS: u16 = 4096;

impl ZoneTable {
    /// Compiles the zones of `ruleset`.
    pub fn build(ruleset: &Ruleset) -> Self {
        let set = |id: super::AddressSetId| ruleset.address_sets[id.0 as usize].clone();
        let networks: Vec<_> = ruleset.zones.iter().map(|zone| zone.networks.map(set)).collect();
        let ports = ruleset.zones.iter().map(|zone| zone.port).collect();
        let mut candidates: Vec<Group> = Vec::new();
        let spots = Port::ALL.map(|port| {
            (0..VLANS)
                .map(|vlan| {
                    let group = group(ruleset, port, vlan);
                    match group.zones[..] {
                        [] => return Spot::Empty,
                        [only] => return Spot::Only(only),
                        _ => {}
                    }
                    let found = candidates.iter().position(|known| *known == group).unwrap_or_else(|| {
                        candidates.push(group);
                        candidates.len() - 1
                    });
                    let found =
                        u16::try_from(found).expect("at most one group a port and VLAN, 8,192 in all");
                    Spot::Several(found)
                })
                .collect()
        });
        let knows_networks = networks.iter().any(Option::is_some);
        Self { spots, candidates, networks, knows_networks, ports }
    }

    /// The zone of `address` as seen on `port` with the outer VLAN `vlan` (0: untagged).
    ///
    /// One zone with that port and VLAN: it is that one, whatever its networks. Several: the one whose networks hold
    /// the address, else the one without networks, else none.
    #[inline]
    pub fn place(&self, port: Port, vlan: u16, address: IpAddr) -> Place {
        match self.spot(port, vlan) {
            Spot::Empty => Place::Nowhere,
            Spot::Only(only) => Place::In(only),
            Spot::Several(group) => self.place_among(group, address),
        }
    }

    #[inline]
    fn spot(&self, port: Port, vlan: u16) -> Spot {
        self.spots[port.index()][usize::from(vlan % VLANS)]
    }

    fn place_among(&self, group: u16, address: IpAddr) -> Place {
        let group = &self.candidates[usize::from(group)];
        let own = group.zones.iter().copied().find(|zone| self.lives_in(*zone, address));
        own.or(group.rest).map_or(Place::Nowhere, Place::In)
    }

    /// Whether `source`, arriving on `port` with the outer VLAN `vlan`, is where it cannot be: in a zone whose
    /// networks do not hold it, in no zone of several, or in the networks of a zone that lies elsewhere.
    pub fn is_spoofed(&self, port: Port, vlan: u16, source: IpAddr) -> bool {
        let Place::In(zone) = self.place(port, vlan, source) else {
            return self.spot(port, vlan) != Spot::Empty;
        };
        match &self.networks[usize::from(zone.0)] {
            Some(own) => !own.contains(source),
            None => self.networks.iter().flatten().any(|elsewhere| elsewhere.contains(source)),
        }
    }

    /// Whether any zone names its networks, so that there is something to check.
    pub fn knows_networks(&self) -> bool {
        self.knows_networks
    }

    /// The port behind which `zone` lies.
    pub fn port(&self, zone: ZoneId) -> Port {
        self.ports[usize::from(zone.0)]
    }

    fn lives_in(&self, zone: ZoneId, address: IpAddr) -> bool {
        self.networks[usize::from(zone.0)].as_ref().is_some_and(|own| own.contains(address))
    }
}

fn group(ruleset: &Ruleset, port: Port, vlan: u16) -> Group {
    let mut zones = Vec::new();
    let mut rest = None;
    for (index, zone) in (0u16..).zip(&ruleset.zones) {
        if zone.port == port && zone.vlans.as_ref().is_none_or(|vlans| vlans.contains(&vlan)) {
            zones.push(ZoneId(index));
            if zone.networks.is_none() {
                rest = rest.or(Some(ZoneId(index)));
            }
        }
    }
    Group { zones, rest }
}
