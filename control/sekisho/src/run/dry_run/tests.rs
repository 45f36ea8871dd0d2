use std::rc::Rc;
use std::time::Duration;

use super::*;
use crate::run::status;
use crate::run::tests::{Appliance, OPEN, datagram, source};

async fn full(policy: &str, workers: u16, sessions: u32) -> Appliance {
    let appliance = Appliance::start(policy, workers, (0..sessions).map(datagram).collect(), None);
    appliance.until(|control| control.fleet.sessions_live() == u64::from(sessions)).await;
    appliance
}

async fn run_dry(appliance: &Appliance, policy: &str) -> api::DryRun {
    let control = Rc::clone(&appliance.control);
    let policy = source(policy);
    let tasks = tokio::task::LocalSet::new();
    tasks.run_until(async move { dry_run(&control, policy).await.unwrap() }).await
}

/// Two rules in place of one: hosts of 10.0.0.0/24, and all the others.
fn two_rules(first: &str, second: &str, on_deploy: &str) -> String {
    OPEN.replace("inspection: {", &format!("inspection: {{sessions_on_deploy: {on_deploy}, ")).replace(
        "{name: lan-out, from: lan, to: wan, action: allow}",
        &format!(
            "{{name: few, from: lan, source: 10.0.0.0/24, action: {first}}}, {{name: lan-out, from: lan, action: {second}}}"
        ),
    )
}

#[tokio::test]
async fn what_a_policy_would_end_and_what_would_outlive_it_are_told_apart_by_rule() {
    let appliance = full(&two_rules("allow", "allow", "keep"), 3, 1_000).await;
    let generation = status::status(&appliance.control).policy.generation;

    let same = run_dry(&appliance, &two_rules("allow", "allow", "rematch")).await;
    assert_eq!((same.sessions, same.ends, same.outlives, same.by_rule.len()), (1_000, 0, 0, 0));

    let gone = run_dry(&appliance, &two_rules("drop", "allow", "rematch")).await;
    assert_eq!((gone.sessions, gone.ends, gone.outlives), (1_000, 256, 0));
    let few = api::DryRunRule { rule: Some("few".into()), ends: 256, outlives: 0 };
    assert_eq!(gone.by_rule, [few]);
    assert_eq!(gone.samples.len(), usize::from(SAMPLES_OF_RULE_MAX));
    let is_of_few = |one: &api::DryRunSample| one.ends && one.session.rule.as_deref() == Some("few");
    assert!(gone.samples.iter().all(is_of_few));

    let kept = run_dry(&appliance, &two_rules("drop", "reject", "keep")).await;
    assert_eq!((kept.ends, kept.outlives), (0, 1_000));
    let by_rule: Vec<_> = kept.by_rule.iter().map(|one| (one.rule.as_deref(), one.outlives)).collect();
    assert_eq!(by_rule, [(Some("lan-out"), 744), (Some("few"), 256)]);

    // A rule's own word goes before the policy's.
    let of_rule = two_rules("drop, sessions_on_deploy: rematch", "drop", "keep");
    let mixed = run_dry(&appliance, &of_rule).await;
    assert_eq!((mixed.ends, mixed.outlives), (256, 744));

    // Nothing has changed, and no name was learnt.
    let after = status::status(&appliance.control);
    assert_eq!((after.policy.generation, after.sessions), (generation, 1_000));
    assert_eq!(appliance.control.keys.lock().unwrap().len(), 2);

    // What was foretold comes true, at the next packet or at the end of the timeout.
    appliance.control.deploy(source(&of_rule)).await.unwrap();
    let again = run_dry(&appliance, &of_rule).await;
    assert_eq!((again.ends, again.outlives), (256, 744));
}

#[tokio::test]
async fn a_wrong_policy_is_refused_as_a_deploy_refuses_it() {
    let appliance = Appliance::start(OPEN, 1, Vec::new(), None);
    let control = Rc::clone(&appliance.control);
    let wrong = source("version: 1\nrules: [{name: a, from: moon, action: allow}]\n");
    let tasks = tokio::task::LocalSet::new();
    let fault = tasks.run_until(async move { dry_run(&control, wrong).await.unwrap_err() }).await;
    assert_eq!(fault.kind, api::FaultKind::PolicyWrong);
}

/// Whoever asked may go: the question is answered all the same, so that no worker is left with the policy.
#[tokio::test]
async fn whoever_asks_may_go_away() {
    let appliance = full(OPEN, 1, 2_000).await;
    let control = Rc::clone(&appliance.control);
    let tasks = tokio::task::LocalSet::new();
    tasks
        .run_until(async {
            let asking = dry_run(&control, source(&OPEN.replace("allow", "drop")));
            assert!(tokio::time::timeout(Duration::from_nanos(1), asking).await.is_err());
            let next = dry_run(&control, source(&OPEN.replace("allow", "drop"))).await.unwrap();
            assert_eq!((next.sessions, next.outlives), (2_000, 2_000));
        })
        .await;
}
