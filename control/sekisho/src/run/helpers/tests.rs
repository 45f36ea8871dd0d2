use etherparse::PacketBuilder;

use super::*;
use crate::run::tests::Appliance;

const TFTP: &str = "\
version: 1
inspection: {tcp_window: off, fragments: drop}
zones: {lan: {port: lan}, wan: {port: wan}}
services: {tftp: {ports: udp/69, helper: tftp}}
rules: [{name: files, from: lan, to: wan, service: tftp, action: allow}]
";

/// A read request of host `host`, from its port 2000.
fn request(host: u8, datagram: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv4([10, 0, 0, host], [203, 0, 113, 53], 64)
        .udp(2000, 69)
        .write(&mut frame, datagram)
        .unwrap();
    frame
}

#[tokio::test]
async fn expectations_are_listed_filtered_and_counted() {
    let read = b"\0\x01file\0octet\0";
    let frames = vec![request(1, read), request(2, read), request(3, b"\0\x01")];
    let appliance = Appliance::start(TFTP, 2, frames, None);
    appliance.until(|control| control.fleet.sessions_live() == 3).await;
    let list =
        |filter: &api::ExpectationFilter| expectations(&appliance.control, filter).unwrap().expectations;
    let all = list(&api::ExpectationFilter::default());
    assert_eq!(all.len(), 2);
    let filter = api::ExpectationFilter {
        address: Some("10.0.0.2".parse().unwrap()),
        port: Some(2000),
        rule: Some("files".parse().unwrap()),
        from: Some(api::PortName::Wan),
        ..api::ExpectationFilter::default()
    };
    let [one] = &list(&filter)[..] else { panic!("{all:?}") };
    assert_eq!(
        (one.helper.as_str(), one.rule.as_deref(), one.from),
        ("tftp", Some("files"), api::PortName::Wan)
    );
    assert_eq!((one.five_tuple.source_port, one.five_tuple.destination_port), (None, Some(2000)));
    assert!(one.expires_in_seconds > 50.0 && one.expires_in_seconds <= 60.0);
    for other in [
        api::ExpectationFilter { port: Some(69), ..filter.clone() },
        api::ExpectationFilter { source: Some("10.0.0.2".parse().unwrap()), ..filter.clone() },
        api::ExpectationFilter { parent: Some("1".parse().unwrap()), ..filter.clone() },
        api::ExpectationFilter { from: Some(api::PortName::Lan), ..filter.clone() },
        api::ExpectationFilter { protocol: Some(api::Protocol(6)), ..filter.clone() },
        api::ExpectationFilter { vlan: Some(20), ..filter.clone() },
    ] {
        assert_eq!(list(&other), [], "{other:?}");
    }
    let unknown = api::ExpectationFilter { rule: Some("x".parse().unwrap()), ..filter };
    assert!(expectations(&appliance.control, &unknown).is_err());

    let counted = counters(&appliance.control).find(|one| one.helper == "tftp").unwrap();
    assert_eq!((counted.following, counted.followed), (3, 3));
    assert_eq!(
        (counted.open, counted.opened, counted.used, counted.expired, counted.withdrawn),
        (2, 2, 0, 0, 0)
    );
    let refused: Vec<_> = counted.refused.iter().filter(|one| one.count > 0).collect();
    assert_eq!(refused, [&api::CauseCount { cause: "malformed".into(), count: 1 }]);
}
