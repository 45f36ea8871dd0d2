use super::*;
use crate::run::tests::{Appliance, OPEN, datagram, stray};

async fn asked(appliance: &Appliance, from: &str, packet: &str) -> Result<api::LiveExplanation, api::Fault> {
    let asked = api::Explain { from: from.into(), vlan: None, packet: packet.into() };
    explain(&appliance.control, asked).await
}

#[tokio::test]
async fn a_live_session_is_told_from_either_side_with_its_worker() {
    let appliance = Appliance::start(OPEN, 3, (0..50).map(datagram).collect(), None);
    appliance.until(|control| control.fleet.sessions_live() == 50).await;
    let told = asked(&appliance, "lan", "udp 10.0.0.7:4000 203.0.113.53:53").await.unwrap();
    assert_eq!((told.verdict.as_str(), told.rule.as_deref()), ("forward", Some("lan-out")));
    assert!(told.explanation.contains("lan-out (line 5)"), "{}", told.explanation);
    let session = told.session.unwrap();
    assert_eq!((session.rule.as_deref(), session.timeout_seconds), (Some("lan-out"), 30.0));
    assert!(told.worker.is_some() && told.ended.is_none() && told.drops.is_empty());
    let back = asked(&appliance, "wan", "udp 203.0.113.53:53 10.0.0.7:4000").await.unwrap();
    assert_eq!((back.verdict.as_str(), back.rule), ("drop", None));
    assert_eq!(back.session.map(|session| session.id), Some(session.id));
    let other = asked(&appliance, "lan", "udp 10.0.0.7:4001 203.0.113.53:53").await.unwrap();
    assert_eq!((other.session, other.worker), (None, None));
}

#[tokio::test]
async fn a_session_that_was_cut_is_told_with_its_reason() {
    let appliance = Appliance::start(OPEN, 2, vec![datagram(1), datagram(2)], None);
    appliance.until(|control| control.fleet.sessions_live() == 2).await;
    let filter = api::SessionFilter { source: Some("10.0.0.1".parse().unwrap()), ..Default::default() };
    crate::run::sessions::end(&appliance.control, filter).await.unwrap();
    let told = asked(&appliance, "lan", "udp 10.0.0.1:4000 203.0.113.53:53").await.unwrap();
    let cut = told.ended.unwrap();
    assert_eq!((told.session, cut.ended.reason.as_str()), (None, "operator-ended"));
    assert_eq!((cut.ended.rule.as_deref(), cut.ended.timeout_seconds), (Some("lan-out"), 30.0));
    assert!(cut.time.ends_with('Z'), "{}", cut.time);
}

#[tokio::test]
async fn its_drops_are_told() {
    let appliance = Appliance::start(OPEN, 1, vec![stray(), datagram(1), stray()], None);
    appliance
        .until(|control| {
            control.fleet.workers[0].engine.reason(sekisho_engine::reason::Reason::TcpNoSession).get() == 2
        })
        .await;
    let told = asked(&appliance, "lan", "tcp 10.0.0.1:40000 203.0.113.80:443").await.unwrap();
    let reasons: Vec<_> = told.drops.iter().map(|drop| (drop.number, drop.reason.as_str())).collect();
    assert_eq!(reasons, [(1, "tcp-no-session"), (2, "tcp-no-session")]);
    let told = asked(&appliance, "wan", "tcp 203.0.113.80:443 10.0.0.1:40000").await.unwrap();
    assert_eq!(told.drops.len(), 2, "of either direction");
    let told = asked(&appliance, "lan", "tcp 10.0.0.1:40001 203.0.113.80:443").await.unwrap();
    assert_eq!(told.drops.len(), 0);
}

#[tokio::test]
async fn what_is_no_packet_is_refused() {
    let appliance = Appliance::start(OPEN, 1, Vec::new(), None);
    for (from, packet) in [("mars", "gre 10.0.0.1 10.0.0.2"), ("lan", "tcp 10.0.0.1"), ("lan", "")] {
        let fault = asked(&appliance, from, packet).await.unwrap_err();
        assert_eq!(fault.kind, api::FaultKind::BadRequest, "{packet}");
    }
}
