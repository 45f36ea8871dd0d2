//! What tests of whole engines share: time that passes, and what it brings.

use crate::pipeline::Engine;
use crate::reason::Reason;
use crate::record::{Event, Outbox};
use crate::time::{Duration, Instant};

/// Lets time pass from `now` on, with every timer at its moment; returns why sessions ended.
pub(crate) fn pass(engine: &mut Engine, now: &mut Instant, millis: u64, out: &mut Outbox) -> Vec<Reason> {
    let until = *now + Duration::from_millis(millis);
    while let Some(deadline) = engine.next_deadline().filter(|deadline| *deadline <= until) {
        *now = (*now).max(deadline);
        engine.expire(*now, 16, out);
    }
    *now = until;
    ends(out)
}

/// Takes out what happened; returns why sessions ended.
pub(crate) fn ends(out: &mut Outbox) -> Vec<Reason> {
    let ends = out.events.drain(..).filter_map(|event| match event {
        Event::SessionEnd { reason, .. } => Some(reason),
        _ => None,
    });
    ends.collect()
}
