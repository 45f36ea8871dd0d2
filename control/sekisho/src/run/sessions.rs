//! Listing, counting and ending sessions: asked of the workers, who answer a few slots a turn.

use std::time::Duration;

use crossbeam::channel::{Receiver, bounded};
use sekisho_api as api;
use sekisho_engine::reason::Reason;
use sekisho_worker::query::{Answer, Filter, Order, Question, Request};
use sekisho_worker::shared::WorkerShared;
use tokio::time::Instant;

use crate::run::control::Control;
use crate::run::convert;
use crate::run::fleet::{Fleet, WAIT_STEP};

/// How long a worker may need for one question: it answers between bursts, the largest table in some seconds.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(60);

/// Where a page begins: a worker, and a slot of its table. Written `worker:slot`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cursor {
    worker: usize,
    slot: u32,
}

impl Cursor {
    fn read(text: &str) -> Option<Self> {
        let (worker, slot) = text.split_once(':')?;
        Some(Self { worker: worker.parse().ok()?, slot: slot.parse().ok()? })
    }

    fn write(self) -> String {
        format!("{}:{}", self.worker, self.slot)
    }
}

/// A page of sessions: of one worker after the other, until it is full.
pub(crate) async fn list(control: &Control, list: api::ListSessions) -> Result<api::SessionPage, api::Fault> {
    let filter = convert::filter(&list.filter, &control.names.borrow())?;
    let cursor = list.page.cursor.as_deref().map_or(Some(Cursor::default()), Cursor::read);
    let cursor = cursor.filter(|cursor| cursor.worker < control.fleet.workers.len());
    let Some(mut cursor) = cursor else {
        let message = "the cursor is none that a page ended with";
        return Err(api::Fault::new(api::FaultKind::BadRequest, message));
    };
    let limit = list.page.limit.unwrap_or(api::PAGE_DEFAULT) as usize;
    let mut sessions = Vec::new();
    loop {
        let room = limit - sessions.len();
        let answer = ask(&control.fleet, cursor.worker, &filter, Order::List, cursor.slot, room).await?;
        let (in_force, names) = (control.in_force.borrow(), control.names.borrow());
        sessions.extend(answer.page.iter().map(|view| convert::session(view, &in_force.policy, &names)));
        cursor = match answer.next {
            Some(slot) => Cursor { slot, ..cursor },
            None => Cursor { worker: cursor.worker + 1, slot: 0 },
        };
        let is_last = cursor.worker == control.fleet.workers.len();
        if is_last || sessions.len() == limit {
            return Ok(api::SessionPage { sessions, next: (!is_last).then(|| cursor.write()) });
        }
    }
}

/// How many sessions fit.
pub(crate) async fn count(
    control: &Control,
    filter: api::SessionFilter,
) -> Result<api::SessionCount, api::Fault> {
    all(control, &filter, Order::Count).await
}

/// Ends the sessions that fit.
pub(crate) async fn end(
    control: &Control,
    filter: api::SessionFilter,
) -> Result<api::SessionCount, api::Fault> {
    let ended = all(control, &filter, Order::End(Reason::EndOperator)).await?;
    let asked = api::Request::EndSessions(filter).encode();
    tracing::info!("an operator ended {} sessions: {} {}", ended.sessions, asked.method, asked.path);
    Ok(ended)
}

/// One question to all workers at once.
async fn all(
    control: &Control,
    filter: &api::SessionFilter,
    order: Order,
) -> Result<api::SessionCount, api::Fault> {
    let filter = convert::filter(filter, &control.names.borrow())?;
    let mut waiting = Vec::new();
    for worker in 0..control.fleet.workers.len() {
        waiting.push((worker, put(&control.fleet, worker, &filter, order, 0, 0).await?));
    }
    let mut sessions = 0;
    for (worker, answer) in waiting {
        sessions += receive(worker, &answer).await?.matched;
    }
    Ok(api::SessionCount { sessions })
}

/// One question to one worker.
async fn ask(
    fleet: &Fleet,
    worker: usize,
    filter: &Filter,
    order: Order,
    cursor: u32,
    room: usize,
) -> Result<Answer, api::Fault> {
    let answer = put(fleet, worker, filter, order, cursor, room).await?;
    receive(worker, &answer).await
}

/// Puts a question about sessions into a worker's queue.
async fn put(
    fleet: &Fleet,
    worker: usize,
    filter: &Filter,
    order: Order,
    cursor: u32,
    room: usize,
) -> Result<Receiver<Answer>, api::Fault> {
    let (answer, receiver) = bounded(1);
    let page = Vec::with_capacity(room);
    let request = Request { filter: filter.clone(), order, cursor, page, answer };
    put_question(fleet, worker, Question::Sessions(request)).await?;
    Ok(receiver)
}

/// Puts any question into a worker's queue, which others may have filled.
pub(crate) async fn put_question(
    fleet: &Fleet,
    worker: usize,
    mut question: Question,
) -> Result<(), api::Fault> {
    let shared: &WorkerShared = &fleet.workers[worker];
    let until = Instant::now() + ANSWER_WAIT_MAX;
    loop {
        match shared.requests.push(question) {
            Ok(()) => return Ok(()),
            Err(_) if Instant::now() >= until => return Err(silent(worker)),
            Err(back) => question = back,
        }
        tokio::time::sleep(WAIT_STEP).await;
    }
}

/// Waits for a worker's answer.
pub(crate) async fn receive<T>(worker: usize, answer: &Receiver<T>) -> Result<T, api::Fault> {
    let until = Instant::now() + ANSWER_WAIT_MAX;
    loop {
        match answer.try_recv() {
            Ok(answer) => return Ok(answer),
            Err(_) if Instant::now() >= until => return Err(silent(worker)),
            Err(_) => tokio::time::sleep(WAIT_STEP).await,
        }
    }
}

fn silent(worker: usize) -> api::Fault {
    let message = format!("worker {worker} does not answer");
    api::Fault::new(api::FaultKind::Failed, message)
}

#[cfg(test)]
#[path = "sessions/tests.rs"]
mod tests;
