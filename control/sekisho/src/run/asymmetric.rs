//! Prefixes of which only one direction of TCP comes through: listed on request, and told in the log once each when there
//! is much of it.

use std::collections::HashSet;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use crossbeam::channel::bounded;
use sekisho_api as api;
use sekisho_engine::port::Port;
use sekisho_engine::{Engine, Evidence, OneSidedPrefix};
use sekisho_worker::query::{OneSidedList, Question};

use crate::run::control::Control;
use crate::run::convert;
use crate::run::sessions::{put_question, receive};

/// How often the log looks.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Packets of a prefix from which on the log tells of it.
const PACKETS_TOLD: u64 = 100;
/// Lines of the log at a time, and prefixes that are remembered as told.
const TOLD_AT_A_TIME: usize = 5;
const TOLD_MAX: usize = 1000;

/// A prefix, with what all workers saw of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) prefix: OneSidedPrefix,
    /// Time since the last packet of it.
    age: sekisho_engine::time::Duration,
}

/// All prefixes, those with the most packets first.
pub(crate) async fn seen(control: &Control) -> Result<Vec<Seen>, api::Fault> {
    let mut waiting = Vec::new();
    for worker in 0..control.fleet.workers.len() {
        let (answer, receiver) = bounded(1);
        let prefixes = Vec::with_capacity(Engine::ONE_SIDED_MAX);
        let list = OneSidedList { prefixes, answer };
        put_question(&control.fleet, worker, Question::OneSided(list)).await?;
        waiting.push((worker, receiver));
    }
    let mut all: Vec<Seen> = Vec::new();
    for (worker, receiver) in waiting {
        let prefixes = receive(worker, &receiver).await?;
        all.extend(prefixes.into_iter().map(|(prefix, age)| Seen { prefix, age }));
    }
    Ok(merged(all))
}

/// One entry a prefix and port.
fn merged(mut all: Vec<Seen>) -> Vec<Seen> {
    let place = |one: &Seen| (one.prefix.port.index(), one.prefix.address);
    all.sort_by_key(place);
    all.dedup_by(|other, one| {
        if place(other) != place(one) {
            return false;
        }
        one.age = one.age.min(other.age);
        for (sum, more) in one.prefix.counts.iter_mut().zip(other.prefix.counts) {
            *sum += more;
        }
        true
    });
    all.sort_by_key(|one| std::cmp::Reverse(one.prefix.total()));
    all
}

/// The listing.
pub(crate) async fn list(control: &Control) -> Result<api::Asymmetric, api::Fault> {
    let prefixes = seen(control).await?.into_iter().map(|Seen { prefix, age }| api::AsymmetricPrefix {
        prefix: api::Prefix { address: prefix.address, len: prefix.len },
        from: convert::port_name(prefix.port),
        packets: prefix.total(),
        evidence: counts(prefix.counts),
        last_seconds_ago: convert::seconds(age),
    });
    Ok(api::Asymmetric { prefixes: prefixes.collect(), evidence: evidence(control) })
}

/// All evidence since the start, by kind.
pub(crate) fn evidence(control: &Control) -> Vec<api::EvidenceCount> {
    counts(Evidence::ALL.map(|kind| sum(control, kind)))
}

/// How often this kind of evidence was seen.
pub(crate) fn sum(control: &Control, kind: Evidence) -> u64 {
    control.fleet.workers.iter().map(|worker| worker.engine.one_sided[kind as usize].get()).sum()
}

fn counts(counts: [u64; Evidence::COUNT]) -> Vec<api::EvidenceCount> {
    let named = Evidence::ALL.into_iter().zip(counts);
    named.map(|(kind, count)| api::EvidenceCount { evidence: kind.name().to_owned(), count }).collect()
}

/// Tells the log of prefixes with much one-sided traffic, each once, for as long as the task lives.
pub(crate) async fn watch(control: Rc<Control>) {
    let (mut told, mut evidence_before) = (HashSet::new(), 0);
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let evidence: u64 = Evidence::ALL.into_iter().map(|kind| sum(&control, kind)).sum();
        if evidence == std::mem::replace(&mut evidence_before, evidence) {
            continue;
        }
        let Ok(seen) = seen(&control).await else { continue };
        control.asymmetric_prefixes.set(seen.iter().filter(|one| is_much(one)).count());
        for one in new_ones(&seen, &mut told) {
            let OneSidedPrefix { address, len, port, .. } = one.prefix;
            tracing::warn!(
                "TCP from {address}/{len}, arriving on {port}, comes through in one direction only ({} packets): its \
                 routing is asymmetric, or it scans; see sekisho asymmetric",
                one.prefix.total()
            );
        }
    }
}

fn is_much(one: &Seen) -> bool {
    one.prefix.total() >= PACKETS_TOLD
}

/// Those that are to be told now.
fn new_ones(seen: &[Seen], told: &mut HashSet<(Port, IpAddr)>) -> Vec<Seen> {
    let mut new = Vec::new();
    for one in seen.iter().filter(|one| is_much(one)) {
        if new.len() == TOLD_AT_A_TIME || told.len() >= TOLD_MAX {
            break;
        }
        if told.insert((one.prefix.port, one.prefix.address)) {
            new.push(*one);
        }
    }
    new
}

#[cfg(test)]
#[path = "asymmetric/tests.rs"]
mod tests;
