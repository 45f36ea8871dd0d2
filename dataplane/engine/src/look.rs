//! Questions about what is and what would be: one five-tuple looked up, sessions weighed against another policy. Nothing
//! here changes anything.

use crate::flow::FlowKey;
use crate::pipeline::Engine;
use crate::policy::{Action, OnDeploy, Policy};
use crate::record::Ended;
use crate::session::tombstone::Plot;
use crate::session::{SessionId, SessionView};
use crate::steer;
use crate::time::Instant;
use crate::upkeep::told;

/// What is known of a five-tuple.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Its live session.
    pub session: Option<SessionView>,
    /// The session of it that was cut last, if that is still remembered.
    pub ended: Option<(SessionId, Ended)>,
}

/// What a deploy of another policy would mean to a live session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prospect {
    /// That policy allows it, too.
    Allowed,
    /// That policy would not allow it, but lets it go on (`keep`).
    Outlives,
    /// It would end at its next packet (`rematch`).
    Ends,
}

impl Engine {
    /// What is known of `key`.
    pub fn look(&self, now: Instant, key: &FlowKey) -> Known {
        let hashed = self.table.hash(key);
        let slot = self.table.find(key, hashed);
        let plot = Plot { hash: hashed.hash, entry: steer::entry_of(key) };
        let tombstone = self.tombstones.find(plot);
        Known {
            session: slot.map(|slot| self.view(now, slot)),
            ended: tombstone.map(|tombstone| (tombstone.id, told(tombstone, now))),
        }
    }

    /// Calls `each` with the live sessions in up to `budget` slots from `cursor` on, and with what a deploy of
    /// `candidate` would mean to them; returns where to go on, as [`Engine::scan`] does. The keys of `candidate`'s rules
    /// must be those of the policy in force.
    pub fn weigh(
        &self,
        now: Instant,
        candidate: &Policy,
        cursor: u32,
        budget: u32,
        mut each: impl FnMut(&SessionView, Prospect),
    ) -> Option<u32> {
        let end = cursor.saturating_add(budget).min(self.table.used());
        for slot in cursor..end {
            if self.table.is_live(slot) {
                each(&self.view(now, slot), self.prospect(candidate, slot));
            }
        }
        (end < self.table.used()).then_some(end)
    }

    /// What [`Engine::set_policy`] with `candidate` would mean to the session in `slot`.
    fn prospect(&self, candidate: &Policy, slot: u32) -> Prospect {
        let is_allowed = if self.table.hot(slot).mark.is_expected() {
            self.allows_parent(candidate, slot)
        } else {
            candidate.decide(&self.original_query(candidate, slot)).0 == Action::Allow
        };
        let by_name = candidate.by_key(self.table.cold(slot).rule());
        match candidate.on_deploy_of(by_name) {
            _ if is_allowed => Prospect::Allowed,
            OnDeploy::Keep => Prospect::Outlives,
            OnDeploy::Rematch => Prospect::Ends,
        }
    }
}
