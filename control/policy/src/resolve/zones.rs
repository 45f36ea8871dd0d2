//! Zones, and whether each address has one zone at most.

use sekisho_engine::policy::{Zone, ZoneId};
use sekisho_engine::port::Port;

use super::addresses::{AddressBook, Field};
use super::options::word;
use crate::diagnostic::{Report, quoted};
use crate::model::Defined;
use crate::ranges::{lists_meet, sets_meet};
use crate::text::vlan;
use crate::words::Word;
use crate::yaml::Node;

/// The zones and where they are defined.
pub(super) fn zones(
    section: Option<&Node>,
    book: &mut AddressBook<'_>,
    report: &mut Report,
) -> (Vec<Zone>, Vec<Defined>) {
    let (mut zones, mut defined) = (Vec::new(), Vec::new());
    let mut comparable = Vec::new();
    for entry in section.map_or(&[][..], Node::entries) {
        let port = entry.node.get("port").and_then(Node::text).and_then(Port::find);
        let vlans = entry.node.get("vlans").map(|node| vlans(node, report));
        let networks = entry.node.get("networks").map(|node| book.field(node, "networks", false, report));
        comparable.push(port.is_some() && networks != Some(Field::Refused));
        let networks = match networks {
            Some(Field::Set(id)) => Some(id),
            _ => None,
        };
        zones.push(Zone {
            name: entry.key.clone(),
            port: port.unwrap_or(Port::Lan),
            vlans,
            networks,
            tcp_window: word(Some(&entry.node), "tcp_window"),
            midstream: word(Some(&entry.node), "midstream"),
        });
        defined.push(Defined { name: entry.key.clone(), place: entry.place, is_used: false });
    }
    for later in 0..zones.len() {
        for earlier in (0..later).filter(|earlier| comparable[later] && comparable[*earlier]) {
            refuse_ambiguous(
                (&zones[earlier], &defined[earlier]),
                (&zones[later], &defined[later]),
                book,
                report,
            );
        }
    }
    (zones, defined)
}

/// The index of a zone.
pub(super) fn id(index: usize) -> ZoneId {
    ZoneId(u16::try_from(index).unwrap_or(u16::MAX))
}

fn vlans(node: &Node, report: &mut Report) -> Vec<u16> {
    let mut vlans = Vec::new();
    for item in node.items() {
        match (item.integer(), item.text().map(vlan::parse)) {
            (Some(number), _) => vlans.extend(u16::try_from(number).ok().filter(|vlan| *vlan <= vlan::MAX)),
            (None, Some(Ok(range))) => vlans.extend(range),
            (None, Some(Err(fault))) => report.fault(item.place, fault),
            (None, None) => {}
        }
    }
    vlans.sort_unstable();
    vlans.dedup();
    vlans
}

/// Refuses two zones of the same port and VLAN that claim the same addresses.
fn refuse_ambiguous(
    (earlier, first): (&Zone, &Defined),
    (later, second): (&Zone, &Defined),
    book: &AddressBook<'_>,
    report: &mut Report,
) {
    let share_vlan = match (&earlier.vlans, &later.vlans) {
        (Some(a), Some(b)) => lists_meet(a, b),
        _ => true,
    };
    if earlier.port != later.port || !share_vlan {
        return;
    }
    let (name, other, line) = (quoted(&later.name), quoted(&earlier.name), first.place.line);
    match (earlier.networks, later.networks) {
        (None, None) => {
            let message = format!(
                "the zones {name} and {other} (line {line}) have the same port and VLAN, and neither has networks"
            );
            report.error(second.place, message, "give one of them networks, or each its own vlans");
        }
        (Some(a), Some(b)) if sets_meet(book.set(a), book.set(b)) => {
            let message = format!(
                "the zones {name} and {other} (line {line}) have the same port and VLAN, and networks in common"
            );
            report.error(
                second.place,
                message,
                "give each address to one of them, or each zone its own vlans",
            );
        }
        _ => {}
    }
}
