//! The last drops, in a ring of fixed size, for `sekisho drops`.

use std::collections::VecDeque;

use sekisho_api as api;
use sekisho_engine::flow::FiveTuple;
use sekisho_engine::reason::Reason;

use crate::run::convert;
use crate::run::record::{Record, What};

/// The last drops, numbered from 1.
#[derive(Debug)]
pub(crate) struct DropRing {
    ring: VecDeque<Record>,
    records_max: usize,
    /// The number of the newest.
    last: u64,
}

impl DropRing {
    /// A ring for so many drops; its memory is taken at once.
    pub(crate) fn new(records_max: usize) -> Self {
        Self { ring: VecDeque::with_capacity(records_max), records_max, last: 0 }
    }

    /// Remembers a drop, and forgets the oldest if the ring is full.
    pub(crate) fn push(&mut self, record: Record) {
        if self.ring.len() == self.records_max {
            self.ring.pop_front();
        }
        self.ring.push_back(record);
        self.last += 1;
    }

    /// Drops that are remembered.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.ring.len()
    }

    /// The newest so many of this five-tuple in either direction, oldest first.
    pub(crate) fn of(&self, tuple: &FiveTuple, drops_max: usize) -> Vec<api::Drop> {
        let back = FiveTuple {
            source: tuple.destination,
            destination: tuple.source,
            source_port: tuple.destination_port,
            destination_port: tuple.source_port,
            ..*tuple
        };
        let is_it = |record: &Record| match &record.what {
            What::Drop(packet) => packet.five_tuple.is_some_and(|found| found == *tuple || found == back),
            _ => false,
        };
        let first = self.last + 1 - self.ring.len() as u64;
        let newest_first = (first..=self.last).rev().zip(self.ring.iter().rev());
        let mut drops: Vec<_> = newest_first
            .filter(|(_, record)| is_it(record))
            .filter_map(|(number, record)| drop_of(number, record, &api::DropFilter::default()))
            .take(drops_max)
            .collect();
        drops.reverse();
        drops
    }

    /// Those that fit, oldest first: the newest so many.
    pub(crate) fn list(&self, list: &api::ListDrops) -> Result<api::Drops, api::Fault> {
        let filter = &list.filter;
        if let Some(reason) = &filter.reason
            && Reason::from_name(reason).is_none_or(|reason| !reason.is_drop())
        {
            let message =
                format!("nothing is dropped for the reason {reason:?}: `sekisho reasons` lists them");
            return Err(api::Fault::new(api::FaultKind::BadRequest, message));
        }
        let first = self.last + 1 - self.ring.len() as u64;
        let after = list.page.after.unwrap_or(0);
        let limit = list.page.limit.map_or(usize::MAX, |limit| limit as usize);
        let newest_first = (first..=self.last).rev().zip(self.ring.iter().rev());
        let mut drops: Vec<_> = newest_first
            .take_while(|(number, _)| *number > after)
            .filter_map(|(number, record)| drop_of(number, record, filter))
            .take(limit)
            .collect();
        drops.reverse();
        Ok(api::Drops { drops, last: self.last })
    }
}

/// The drop as the interface shows it, if it fits.
fn drop_of(number: u64, record: &Record, filter: &api::DropFilter) -> Option<api::Drop> {
    let What::Drop(packet) = &record.what else { return None };
    let [source_zone, destination_zone] = record.zones.each_ref().map(Option::as_deref);
    let has_tuple_filter = filter.address.is_some()
        || filter.source.is_some()
        || filter.destination.is_some()
        || filter.protocol.is_some()
        || filter.port.is_some();
    let tuple_fits = match &packet.five_tuple {
        Some(tuple) => convert::tuple_matches(tuple, filter),
        None => !has_tuple_filter,
    };
    let rule_fits = match &filter.rule {
        None => true,
        Some(api::RuleName::Default) => record.rule.is_none(),
        Some(api::RuleName::Rule(name)) => record.rule.as_deref() == Some(name),
    };
    let zone_fits =
        filter.zone.as_deref().is_none_or(|zone| source_zone == Some(zone) || destination_zone == Some(zone));
    let fits = tuple_fits
        && rule_fits
        && zone_fits
        && filter.reason.as_deref().is_none_or(|reason| reason == packet.reason.name())
        && filter.vlan.is_none_or(|vlan| vlan == packet.vlan.outer())
        && filter.from.is_none_or(|from| convert::port_of(from) == packet.port);
    fits.then(|| api::Drop {
        number,
        time: format!("{:.6}", record.time),
        from: convert::port_name(packet.port),
        reason: packet.reason.name().to_owned(),
        rule: record.rule.as_deref().map(str::to_owned),
        session: packet.session.map(convert::session_id),
        five_tuple: packet.five_tuple.as_ref().map(convert::five_tuple),
        source_zone: source_zone.map(str::to_owned),
        destination_zone: destination_zone.map(str::to_owned),
        vlans: convert::vlans(packet.vlan),
        ethertype: packet.ethertype,
        tcp_flags: convert::tcp_flags_text(packet.tcp_flags),
        bytes: packet.wire_len,
        ended: packet.ended.as_ref().map(|ended| convert::ended(ended, record.ended_rule.as_deref())),
    })
}

#[cfg(test)]
#[path = "drops/tests.rs"]
mod tests;
