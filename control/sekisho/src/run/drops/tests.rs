use std::sync::Arc;

use jiff::Timestamp;
use sekisho_api::{DropFilter, DropPageQuery, ListDrops};
use sekisho_engine::PacketRecord;
use sekisho_engine::flow::FiveTuple;
use sekisho_engine::packet::VlanStack;
use sekisho_engine::policy::RuleKey;
use sekisho_engine::port::Port;
use sekisho_engine::time::Instant;

use super::*;

fn record(source_port: u16, rule: Option<&str>) -> Record {
    let packet = PacketRecord {
        time: Instant::ZERO,
        port: Port::Wan,
        vlan: VlanStack::new(20, 0),
        ethertype: 0x800,
        five_tuple: Some(FiveTuple {
            source: [203, 0, 113, 5].into(),
            destination: [192, 0, 2, 10].into(),
            source_port,
            destination_port: 22,
            protocol: 6,
        }),
        tcp_flags: 2,
        wire_len: 60,
        reason: Reason::RuleDrop,
        rule: RuleKey::NONE,
        session: None,
        ended: None,
    };
    Record {
        time: Timestamp::UNIX_EPOCH,
        what: What::Drop(packet),
        rule: rule.map(Arc::from),
        zones: [Some("wan".into()), Some("dmz".into())],
        ended_rule: None,
    }
}

fn ring() -> DropRing {
    let mut ring = DropRing::new(4);
    (1..=10).for_each(|port| ring.push(record(port, Some(if port % 2 == 0 { "even" } else { "odd" }))));
    ring
}

fn numbers(ring: &DropRing, filter: DropFilter, page: DropPageQuery) -> Vec<u64> {
    let drops = ring.list(&ListDrops { filter, page }).unwrap();
    assert_eq!(drops.last, ring.last);
    drops.drops.iter().map(|drop| drop.number).collect()
}

#[test]
fn the_last_ones_are_remembered_in_order_and_no_more() {
    let ring = ring();
    assert_eq!(ring.len(), 4);
    let all = numbers(&ring, DropFilter::default(), DropPageQuery::default());
    assert_eq!(all, [7, 8, 9, 10]);
    let newest = DropPageQuery { limit: Some(2), after: None };
    assert_eq!(numbers(&ring, DropFilter::default(), newest), [9, 10]);
    let later = DropPageQuery { limit: None, after: Some(8) };
    assert_eq!(numbers(&ring, DropFilter::default(), later), [9, 10]);
    let nothing_new = DropPageQuery { limit: None, after: Some(10) };
    assert_eq!(numbers(&ring, DropFilter::default(), nothing_new), [0; 0]);
    assert_eq!(numbers(&DropRing::new(4), DropFilter::default(), DropPageQuery::default()), [0; 0]);
}

#[test]
fn filters_choose() {
    let ring = ring();
    let fits = |filter| numbers(&ring, filter, DropPageQuery::default()).len();
    let all = DropFilter::default;
    assert_eq!(fits(DropFilter { rule: Some("even".parse().unwrap()), ..all() }), 2);
    assert_eq!(fits(DropFilter { rule: Some("-".parse().unwrap()), ..all() }), 0);
    assert_eq!(fits(DropFilter { port: Some(22), ..all() }), 4);
    assert_eq!(fits(DropFilter { port: Some(9), ..all() }), 1);
    assert_eq!(fits(DropFilter { zone: Some("dmz".into()), vlan: Some(20), ..all() }), 4);
    assert_eq!(fits(DropFilter { from: Some(api::PortName::Lan), ..all() }), 0);
    assert_eq!(fits(DropFilter { reason: Some("rule-drop".into()), ..all() }), 4);
    assert_eq!(fits(DropFilter { source: Some("203.0.113.0/24".parse().unwrap()), ..all() }), 4);
    assert_eq!(fits(DropFilter { source: Some("192.0.2.10".parse().unwrap()), ..all() }), 0);
    let typo = ListDrops {
        filter: DropFilter { reason: Some("rule-dorp".into()), ..all() },
        ..ListDrops::default()
    };
    assert!(ring.list(&typo).unwrap_err().message.contains("rule-dorp"));
}
