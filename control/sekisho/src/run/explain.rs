//! What the appliance knows of a packet: the rule that decides it now, its session, the end of it, its drops.

use crossbeam::channel::bounded;
use sekisho_api as api;
use sekisho_engine::Known;
use sekisho_engine::flow::FlowKey;
use sekisho_policy::explain::{Decider, ExplainQuery, explain_compiled};
use sekisho_worker::query::{Look, Question};

use crate::run::blocks;
use crate::run::control::Control;
use crate::run::convert;
use crate::run::sessions::{put_question, receive};
use crate::run::status::time_text;

/// Drops that are shown.
const DROPS_MAX: usize = 10;

/// Explains a packet.
pub(crate) async fn explain(
    control: &Control,
    asked: api::Explain,
) -> Result<api::LiveExplanation, api::Fault> {
    let words: Vec<_> = asked.packet.split_whitespace().collect();
    let (explanation, query) = {
        let in_force = control.in_force.borrow();
        let query = ExplainQuery::parse_for(&in_force.policy.ruleset, &asked.from, asked.vlan, &words);
        let query = query.map_err(|wrong| api::Fault::new(api::FaultKind::BadRequest, wrong.to_string()))?;
        (explain_compiled(&in_force.policy, &in_force.resolved, &query), query)
    };
    let (worker, known) = match query.key() {
        Some(key) => look(control, &key).await?,
        None => (None, Known::default()),
    };
    control.take_events();
    let (in_force, names) = (control.in_force.borrow(), control.names.borrow());
    let text = |name: std::sync::Arc<str>| name.as_ref().to_owned();
    let ended = known.ended.map(|(session, ended)| api::EndedSession {
        session: convert::session_id(session),
        time: time_text(control.ago(ended.ago)),
        ended: convert::ended(&ended, names.rule(ended.rule).map(text).as_deref()),
    });
    let rule = match &explanation.decided_by {
        Decider::Rule { name, .. } => Some(name.clone()),
        _ => None,
    };
    Ok(api::LiveExplanation {
        explanation: explanation.to_string(),
        verdict: explanation.verdict.to_owned(),
        reason: explanation.reason.to_owned(),
        rule,
        session: known.session.map(|view| convert::session(&view, &in_force.policy, &names)),
        worker,
        ended,
        blocked: blocks::of(control, query.source),
        drops: query
            .key()
            .map(|key| control.drops.borrow().of(&key.five_tuple(query.from), DROPS_MAX))
            .unwrap_or_default(),
    })
}

/// Asks all workers, of whom one owns the session.
async fn look(control: &Control, key: &FlowKey) -> Result<(Option<u16>, Known), api::Fault> {
    let mut waiting = Vec::new();
    for worker in 0..control.fleet.workers.len() {
        let (answer, receiver) = bounded(1);
        put_question(&control.fleet, worker, Question::Look(Look { key: *key, answer })).await?;
        waiting.push((worker, receiver));
    }
    let (mut owner, mut all) = (None, Known::default());
    for (worker, receiver) in waiting {
        let known = receive(worker, &receiver).await?;
        if known.session.is_some() {
            owner = u16::try_from(worker).ok();
        }
        all = Known { session: all.session.or(known.session), ended: all.ended.or(known.ended) };
    }
    Ok((owner, all))
}

#[cfg(test)]
#[path = "explain/tests.rs"]
mod tests;
