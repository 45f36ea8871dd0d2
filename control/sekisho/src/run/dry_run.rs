//! What a deploy would mean to the live sessions: asked of all workers at once, who look at a few sessions a turn. Nothing
//! changes.

use std::rc::Rc;
use std::sync::Arc;

use crossbeam::channel::bounded;
use sekisho_api as api;
use sekisho_engine::Prospect;
use sekisho_engine::policy::Policy;
use sekisho_worker::query::{Question, Tally, Weighing};
use tokio::time::Instant;

use crate::run::control::{Control, not_compiled, wrong_policy};
use crate::run::convert;
use crate::run::policy::{self, Keys, Ready, Source};
use crate::run::sessions::{put_question, receive};

/// Sessions that are shown, of each rule and of all.
const SAMPLES_OF_RULE_MAX: u8 = 5;
const SAMPLES_MAX: usize = 200;

/// Weighs the live sessions against the policy from `source`.
pub(crate) async fn dry_run(control: &Rc<Control>, source: Source) -> Result<api::DryRun, api::Fault> {
    // A task of its own: whoever asked may go, and the policy must not be freed by a worker then.
    let control = Rc::clone(control);
    let weighing = tokio::task::spawn_local(async move { run(&control, source).await });
    weighing.await.map_err(|error| not_compiled(&error))?
}

async fn run(control: &Control, source: Source) -> Result<api::DryRun, api::Fault> {
    // A deploy meanwhile would give sessions rules that this does not know.
    let _one_at_a_time = control.deploying.lock().await;
    let keys = Keys::clone(&control.keys);
    let preparing = tokio::task::spawn_blocking(move || policy::prepare_dry(&source, &keys));
    let (ready, names) =
        preparing.await.map_err(|error| not_compiled(&error))?.map_err(|found| wrong_policy(&found))?;
    let began = Instant::now();
    let tally = weigh(control, &ready.policy, names + 1).await?;
    Ok(answer(control, &ready, &tally, began.elapsed().as_secs_f64()))
}

/// Asks all workers, and adds up what they say; `rules` is one more than the highest key.
async fn weigh(control: &Control, candidate: &Arc<Policy>, rules: usize) -> Result<Tally, api::Fault> {
    let mut waiting = Vec::new();
    for worker in 0..control.fleet.workers.len() {
        let (answer, receiver) = bounded(1);
        let tally = Tally::new(rules, SAMPLES_MAX, SAMPLES_OF_RULE_MAX);
        let weighing = Weighing { candidate: Arc::clone(candidate), cursor: 0, tally, answer };
        put_question(&control.fleet, worker, Question::Weigh(weighing)).await?;
        waiting.push((worker, receiver));
    }
    let mut sum = Tally::new(rules, SAMPLES_MAX, SAMPLES_OF_RULE_MAX);
    for (worker, receiver) in waiting {
        sum.add(&receive(worker, &receiver).await?.tally);
    }
    Ok(sum)
}

fn answer(control: &Control, ready: &Ready, tally: &Tally, seconds: f64) -> api::DryRun {
    let (in_force, names) = (control.in_force.borrow(), control.names.borrow());
    let touched = tally.rules.iter().enumerate().filter(|(_, rule)| rule.ends + rule.outlives > 0);
    let mut by_rule: Vec<_> = touched
        .map(|(key, rule)| api::DryRunRule {
            rule: names.rule_numbered(key).map(|name| name.as_ref().to_owned()),
            ends: rule.ends,
            outlives: rule.outlives,
        })
        .collect();
    by_rule.sort_by_key(|rule| std::cmp::Reverse((rule.ends, rule.outlives)));
    let samples = tally.samples.iter().map(|(session, prospect)| api::DryRunSample {
        ends: *prospect == Prospect::Ends,
        session: convert::session(session, &in_force.policy, &names),
    });
    api::DryRun {
        sha256: ready.sha256.clone(),
        rules: ready.policy.ruleset.rules.len() as u64,
        warnings: convert::diagnostics(&ready.warnings),
        sessions: tally.sessions,
        ends: by_rule.iter().map(|rule| rule.ends).sum(),
        outlives: by_rule.iter().map(|rule| rule.outlives).sum(),
        by_rule,
        samples: samples.collect(),
        seconds,
    }
}

#[cfg(test)]
#[path = "dry_run/tests.rs"]
mod tests;
