//! The workers, as control sees them: what is shared with each, and how all of them get a policy at once.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Duration;

use sekisho_engine::counters::RuleHits;
use sekisho_engine::policy::Policy;
use sekisho_engine::{Event, Running, Shared};
use sekisho_worker::shared::{Switch, WorkerShared};
use tokio::time::Instant;

/// How long workers may take to have a policy at hand, and again to switch to it. They need microseconds.
pub(crate) const SWITCH_WAIT_MAX: Duration = Duration::from_secs(2);
/// How often control looks while it waits for workers.
pub(crate) const WAIT_STEP: Duration = Duration::from_micros(500);

/// All workers.
#[derive(Clone, Debug)]
pub(crate) struct Fleet {
    pub(crate) switch: Arc<Switch>,
    /// What all engines share. Workers: write; control: read, write the block list, and rotate the secret of cookies.
    pub(crate) shared: Shared,
    pub(crate) workers: Vec<Arc<WorkerShared>>,
}

/// A policy that is in force.
#[derive(Debug)]
pub(crate) struct Switched {
    /// The hits of its rules, by worker.
    pub(crate) hits: Vec<Arc<RuleHits>>,
    /// A worker that has not followed, though all had said that they would.
    pub(crate) late: Option<NotFollowed>,
}

/// Nothing has changed: a worker did not take the policy.
#[derive(Debug, thiserror::Error)]
#[error(
    "worker {worker} did not take the policy within {} s: no worker has switched, and the policy before goes on",
    SWITCH_WAIT_MAX.as_secs()
)]
pub(crate) struct NotTaken {
    /// The first of those that did not.
    worker: usize,
}

/// The policy is in force, and a worker has not followed.
#[derive(Debug, thiserror::Error)]
#[error(
    "worker {worker} did not switch within {} s, though the others have: it hangs, and the appliance is to be \
     started again",
    SWITCH_WAIT_MAX.as_secs()
)]
pub(crate) struct NotFollowed {
    /// The first of those that did not.
    worker: usize,
}

impl Fleet {
    /// Hands `policy` to every worker, and raises the generation when each has it at hand: all switch, or none.
    pub(crate) async fn switch_to(&self, policy: &Arc<Policy>) -> Result<Switched, NotTaken> {
        let generation = policy.generation;
        self.free_retired();
        let hits: Vec<_> = self
            .workers
            .iter()
            .map(|worker| {
                let running = Running::new(Arc::clone(policy));
                let hits = Arc::clone(&running.hits);
                // Takes the place of one that was given up and never fetched.
                drop(worker.policies.force_push(running));
                hits
            })
            .collect();
        let prepared = |worker: &WorkerShared| worker.prepared.load(Acquire) == generation;
        if let Err(worker) = self.wait(prepared).await {
            // A worker that has it at hand keeps it until the next one comes: its generation is never raised.
            self.workers.iter().for_each(|worker| drop(worker.policies.pop()));
            return Err(NotTaken { worker });
        }
        self.switch.generation.store(generation, Release);
        let running = |worker: &WorkerShared| worker.running.load(Acquire) == generation;
        let followed = self.wait(running).await;
        Ok(Switched { hits, late: followed.err().map(|worker| NotFollowed { worker }) })
    }

    /// Waits until all workers are `ready`; else the first that is not.
    async fn wait(&self, ready: impl Fn(&WorkerShared) -> bool) -> Result<(), usize> {
        let until = Instant::now() + SWITCH_WAIT_MAX;
        loop {
            let late = self.workers.iter().position(|worker| !ready(worker));
            match late {
                None => return Ok(()),
                Some(worker) if Instant::now() >= until => return Err(worker),
                Some(_) => tokio::time::sleep(WAIT_STEP).await,
            }
        }
    }

    /// Frees the policies that workers gave back: here, and after a switch, because that takes time.
    pub(crate) fn free_retired(&self) {
        for worker in &self.workers {
            while let Some(retired) = worker.retired.pop() {
                drop(retired);
            }
        }
    }

    /// Takes up to `max` events from each worker; whether any worker may have more.
    pub(crate) fn take_events(&self, max: usize, mut each: impl FnMut(Event)) -> bool {
        let mut may_have_more = false;
        for worker in &self.workers {
            let mut taken = 0;
            while taken < max
                && let Some(event) = worker.events.pop()
            {
                each(event);
                taken += 1;
            }
            may_have_more |= taken == max;
        }
        may_have_more
    }

    /// Tells all workers to stop.
    pub(crate) fn stop(&self) {
        self.switch.stop.store(true, Relaxed);
    }

    /// Sessions that the tables can hold.
    pub(crate) fn capacity(&self) -> u64 {
        self.workers.iter().map(|worker| u64::from(worker.capacity)).sum()
    }

    /// Live sessions.
    pub(crate) fn sessions_live(&self) -> u64 {
        self.workers.iter().map(|worker| worker.engine.sessions_live()).sum()
    }
}

#[cfg(test)]
#[path = "fleet/tests.rs"]
mod tests;
