use sekisho_engine::protect::blocks::BlockCause;
use sekisho_engine::time::Duration;

use super::*;
use crate::run::tests::Appliance;

const POLICY: &str = "version: 1
zones: {lan: {port: lan}, wan: {port: wan}}
rules: []
protections: {port_scan: {ports: 20, within: 10s, block_for: 5m, allow: [192.0.2.0/24]}}
";

fn order(source: &str, seconds: u32, extend: bool) -> api::Block {
    api::Block { source: source.parse().unwrap(), seconds, extend }
}

fn filter(source: &str) -> api::BlockFilter {
    api::BlockFilter { source: Some(source.parse().unwrap()), cause: None }
}

#[tokio::test]
async fn sources_are_listed_extended_and_let_go() {
    let appliance = Appliance::start(POLICY, 1, Vec::new(), None);
    let control = &appliance.control;
    let blocks = &control.fleet.shared.guards.blocks;
    let scanner = "198.51.100.7".parse().unwrap();
    assert!(blocks.block(scanner, BlockCause::PortScan, control.engine_now(), Duration::from_secs(300)));
    assert_eq!(block(control, &order("2001:db8::7", 60, false)).unwrap().blocks, 1);

    let all = list(control, &api::BlockFilter::default()).unwrap().blocks;
    assert_eq!(all.iter().map(|one| one.cause.as_str()).collect::<Vec<_>>(), ["port-scan", "operator"]);
    assert!(all.iter().all(|one| one.in_force));
    assert!(all[1].expires_in_seconds <= 60.0 && all[1].expires_in_seconds > 50.0);
    let scans = api::BlockFilter { source: None, cause: Some("port-scan".into()) };
    assert_eq!(list(control, &scans).unwrap().blocks.len(), 1);
    assert_eq!(list(control, &filter("2001:db8::/32")).unwrap().blocks[0].source.to_string(), "2001:db8::7");

    assert_eq!(block(control, &order("198.51.100.7", 3600, true)).unwrap().blocks, 1);
    assert!(of(control, scanner).unwrap().expires_in_seconds > 3000.0);
    assert_eq!(block(control, &order("198.51.100.8", 60, true)).unwrap().blocks, 0, "only if it is blocked");
    assert_eq!(release(control, &filter("198.51.100.0/24")).unwrap().blocks, 1);
    assert!(of(control, scanner).is_none());
    assert_eq!(release(control, &api::BlockFilter::default()).unwrap().blocks, 1);
    assert!(list(control, &api::BlockFilter::default()).unwrap().blocks.is_empty());
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_by_name() {
    let appliance = Appliance::start(POLICY, 1, Vec::new(), None);
    let control = &appliance.control;
    let fault = block(control, &order("192.0.2.9", 60, false)).unwrap_err();
    assert!(fault.message.contains("protections.port_scan.allow"), "{}", fault.message);
    let wrong = api::BlockFilter { source: None, cause: Some("whim".into()) };
    assert!(list(control, &wrong).unwrap_err().message.contains("host-sweep"));
    // A block of before, under a policy that never blocks the source: shown, and not in force.
    let source = "192.0.2.9".parse().unwrap();
    control.fleet.shared.guards.blocks.block(
        source,
        BlockCause::PortScan,
        control.engine_now(),
        Duration::from_secs(9),
    );
    assert!(!of(control, source).unwrap().in_force);
}
