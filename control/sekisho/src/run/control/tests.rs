use sekisho_api::{Deploy, ListDrops, ListSessions, Request, SessionFilter};

use super::*;
use crate::run::flow_log::{LogFile, QUEUE_RECORDS};
use crate::run::tests::{Appliance, OPEN, datagram, source, stray};

fn hits(control: &Control) -> Vec<(String, u64)> {
    status::counters(control).rules.into_iter().map(|rule| (rule.rule, rule.hits)).collect()
}

#[tokio::test]
async fn a_deploy_switches_keeps_the_counts_of_a_rule_and_says_what_it_did() {
    let appliance = Appliance::start(OPEN, 2, vec![datagram(1), datagram(2)], None);
    appliance.until(|control| control.fleet.sessions_live() == 2).await;
    let control = &appliance.control;
    let two = OPEN.replace("rules: [", "rules: [{name: first, from: wan, to: lan, action: drop}, ");
    let deploy = Deploy { name: "two.yaml".into(), text: two, directory: None };
    let Ok(Answer::Deployed(deployed)) = control.answer(Request::Deploy(deploy)).await else {
        panic!("it was refused")
    };
    assert_eq!((deployed.generation, deployed.rules), (2, 2));
    assert_eq!(hits(control), [("first".into(), 0), ("lan-out".into(), 2)]);
    let status = status::status(control);
    assert_eq!((status.policy.name.as_str(), status.policy.generation), ("two.yaml", 2));
    assert!(status.workers.iter().all(|worker| worker.policy_generation == 2));

    // A rule that went and came back has its counts.
    let empty = OPEN.replace("{name: lan-out, from: lan, to: wan, action: allow}", "");
    control.deploy(source(&empty)).await.unwrap();
    assert_eq!(hits(control), []);
    control.deploy(source(OPEN)).await.unwrap();
    assert_eq!(hits(control), [("lan-out".into(), 2)]);
}

#[tokio::test]
async fn a_wrong_policy_changes_nothing_and_every_fault_is_told() {
    let appliance = Appliance::start(OPEN, 1, Vec::new(), None);
    let wrong = "version: 1\nzones: {lan: {port: lan}, wan: {port: sea}}\nrules: [{name: a, from: moon, action: allow}]\n";
    let fault = appliance.control.deploy(source(wrong)).await.unwrap_err();
    assert_eq!(fault.kind, api::FaultKind::PolicyWrong);
    let places: Vec<_> = fault.diagnostics.iter().map(|one| (one.line, one.message.clone())).collect();
    assert!(places.iter().any(|(line, text)| *line == 2 && text.contains("sea")), "{places:?}");
    assert!(places.iter().any(|(line, text)| *line == 3 && text.contains("moon")), "{places:?}");
    let status = status::status(&appliance.control);
    assert_eq!(status.policy.generation, 1);
    // A generation is only used up by a policy that is offered to the workers.
    assert_eq!(appliance.control.deploy(source(OPEN)).await.unwrap().generation, 2);
}

#[tokio::test]
async fn a_relative_directory_of_feeds_is_refused() {
    let appliance = Appliance::start(OPEN, 1, Vec::new(), None);
    let deploy = Deploy { name: "p".into(), text: OPEN.into(), directory: Some("feeds".into()) };
    let fault = appliance.control.answer(Request::Deploy(deploy)).await.unwrap_err();
    assert_eq!(fault.kind, api::FaultKind::BadRequest);
}

#[tokio::test]
async fn drops_are_remembered_and_logged_with_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flows.jsonl");
    let log = FlowLog::start(LogFile::open(&path).unwrap(), QUEUE_RECORDS).unwrap();
    let appliance = Appliance::start(OPEN, 1, vec![datagram(1), stray()], Some(log));
    appliance
        .until(|control| {
            control.fleet.workers[0].engine.reason(sekisho_engine::reason::Reason::TcpNoSession).get() == 1
        })
        .await;
    let Ok(Answer::Drops(drops)) = appliance.control.answer(Request::ListDrops(ListDrops::default())).await
    else {
        panic!("no drops")
    };
    assert_eq!((drops.drops.len(), drops.last), (1, 1));
    let drop = &drops.drops[0];
    assert_eq!((drop.reason.as_str(), drop.source_zone.as_deref()), ("tcp-no-session", Some("lan")));
    assert_eq!(drop.tcp_flags.as_deref(), Some("A"));
    appliance.until(|control| control.log.as_ref().unwrap().lines().0 == 2).await;
    let lines: Vec<serde_json::Value> = std::fs::read_to_string(&path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let events: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["session-start", "drop"]);
    assert_eq!((&lines[0]["rule"], &lines[0]["source"]), (&"lan-out".into(), &"10.0.0.1".into()));
}

#[tokio::test]
async fn an_ended_session_is_logged_with_what_it_carried() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flows.jsonl");
    let log = FlowLog::start(LogFile::open(&path).unwrap(), QUEUE_RECORDS).unwrap();
    let appliance = Appliance::start(OPEN, 1, vec![datagram(1), datagram(1)], Some(log));
    let forwarded = |control: &Control| control.fleet.workers[0].counters.sent[1].packets.get();
    appliance.until(|control| forwarded(control) == 2).await;
    let ended = appliance.control.answer(Request::EndSessions(SessionFilter::default())).await;
    assert!(matches!(ended, Ok(Answer::Count(api::SessionCount { sessions: 1 }))));
    appliance.control.take_events();
    appliance.until(|control| control.log.as_ref().unwrap().lines().0 == 2).await;
    let text = std::fs::read_to_string(&path).unwrap();
    let end: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((&end["event"], &end["reason"]), (&"session-end".into(), &"operator-ended".into()));
    assert_eq!((&end["from_lan"]["packets"], &end["from_wan"]["packets"]), (&2.into(), &0.into()));
    assert!(end["duration_seconds"].is_number() && end["rule"] == "lan-out");
}

#[tokio::test]
async fn nothing_is_remembered_of_a_session_outside_the_table() {
    let appliance = Appliance::start(OPEN, 1, (0..2_000).map(datagram).collect(), None);
    appliance.until(|control| control.fleet.sessions_live() == 2_000).await;
    while appliance.control.take_events() {}
    let listed = appliance.control.answer(Request::ListSessions(ListSessions::default())).await;
    assert!(matches!(listed, Ok(Answer::Sessions(page)) if page.sessions.len() == 1_000));
    assert_eq!(appliance.control.drops.borrow().len(), 0);
}
