//! Which drops are told of one by one.

use crate::time::Instant;

/// Drops that are looked at more closely and told of, in each millisecond: what is more is a flood, of which these are
/// enough, and whose every packet would cost several of those that pass. All are counted.
const NOTICES_PER_MS: u32 = 128;

/// How many of them are left.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Notices {
    millis: u64,
    taken: u32,
}

impl Notices {
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let millis = now.as_millis();
        if self.millis != millis {
            (self.millis, self.taken) = (millis, 0);
        }
        self.taken += 1;
        self.taken <= NOTICES_PER_MS
    }

    /// Whether there are none left in the millisecond at hand.
    pub(crate) fn are_spent(&self, now: Instant) -> bool {
        self.millis == now.as_millis() && self.taken >= NOTICES_PER_MS
    }
}
