//! Handshakes with servers that are under way: a table of fixed size, and their timers.

use super::cookie::Proof;
use crate::session::SessionId;
use crate::session::wheel::{Linked, Links, Wheel};
use crate::time::Instant;

/// The SYN is sent again after a second, and then each time after twice as long (RFC 6298 section 2), until the session's
/// timeout ends it.
const FIRST_WAIT_MS: u64 = 1000;

/// What a handshake has to remember.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handshake {
    pub(super) session: SessionId,
    pub(super) proof: Proof,
    /// The window of the client's last segment, as it came.
    pub(super) window: u16,
    /// How often the SYN was sent.
    pub(super) sent: u32,
    /// The initial number of an answer that was refused: the server agreed to what the client was not promised.
    pub(super) refused: Option<u32>,
    due_ms: u64,
}

/// The table of one engine.
#[derive(Debug)]
pub(super) struct Handshakes {
    wheel: Wheel,
    links: Vec<Links>,
    entries: Vec<Option<Handshake>>,
    free: Vec<u32>,
    max: u32,
}

struct Timers<'t>(&'t mut [Links]);

impl Linked for Timers<'_> {
    fn links(&mut self, entry: u32) -> &mut Links {
        &mut self.0[entry as usize]
    }
}

impl Handshakes {
    pub(super) fn new(max: u32, now: Instant) -> Self {
        let room = max as usize;
        Self {
            wheel: Wheel::new(now.as_millis()),
            links: Vec::with_capacity(room),
            entries: Vec::with_capacity(room),
            free: Vec::with_capacity(room),
            max,
        }
    }

    /// Begins one, whose SYN is sent for the first time now; its number, if there is room.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        session: SessionId,
        proof: Proof,
        window: u16,
    ) -> Option<u32> {
        let due_ms = now.as_millis_up() + FIRST_WAIT_MS;
        let handshake = Handshake { session, proof, window, sent: 1, refused: None, due_ms };
        let number = match self.free.pop() {
            Some(number) => number,
            None => {
                let number = u32::try_from(self.entries.len()).ok().filter(|number| *number < self.max)?;
                self.entries.push(None);
                self.links.push(Links::default());
                number
            }
        };
        self.entries[number as usize] = Some(handshake);
        self.wheel.insert(&mut Timers(&mut self.links), number, due_ms);
        Some(number)
    }

    pub(super) fn get(&mut self, number: u32) -> Option<&mut Handshake> {
        self.entries.get_mut(number as usize)?.as_mut()
    }

    /// Ends one.
    pub(super) fn end(&mut self, number: u32) -> Option<Handshake> {
        let handshake = self.entries.get_mut(number as usize)?.take()?;
        self.wheel.remove(&mut Timers(&mut self.links), number);
        self.free.push(number);
        Some(handshake)
    }

    pub(super) fn next_ms(&self) -> Option<u64> {
        if self.free.len() == self.entries.len() {
            return None;
        }
        self.wheel.next_ms()
    }

    /// Looks at one timer that may be due; `None`: there is none. The handshake whose SYN is to be sent again, if it is.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Option<Handshake>> {
        let number = self.wheel.pop(&mut Timers(&mut self.links), now.as_millis())?;
        let handshake = self.entries.get_mut(number as usize)?.as_mut()?;
        let is_due = handshake.due_ms <= now.as_millis();
        if is_due {
            handshake.due_ms = now.as_millis_up() + (FIRST_WAIT_MS << handshake.sent.min(8));
            handshake.sent += 1;
        }
        let copy = *handshake;
        self.wheel.insert(&mut Timers(&mut self.links), number, copy.due_ms);
        Some(is_due.then_some(copy))
    }
}
