//! The sessions that make room in a full table, oldest first; and what is kept of others in the links that they do not
//! need.

use super::{Hot, Links, NIL, State, Table, tcp};
use crate::policy::Timeouts;

/// In the second word of what is kept beside the list of half-open sessions: how often the ends were asked, above the
/// words of [`tcp::Attempt`].
const PROBES_AT: u32 = tcp::Attempt::BITS;
const PROBES_MAX: u32 = 0x1f;
/// There is no attempt.
const NO_ATTEMPT: u32 = 1 << 31;

const _: () = assert!(Timeouts::PROBE_RETRIES_MAX as u32 <= PROBES_MAX && PROBES_AT + 5 <= 31);

/// A list through [`super::Ties::half_open`].
#[derive(Debug)]
pub(super) struct List {
    pub(super) oldest: u32,
    pub(super) newest: u32,
}

impl Table {
    /// Moves a session to another state, and in or out of the list of half-open ones.
    pub(crate) fn set_state(&mut self, slot: u32, state: State) {
        let hot = &mut self.hot[slot as usize];
        let made_room = hot.makes_room();
        if hot.state == State::SynSent && state == State::Reset {
            hot.flags |= Hot::WAS_UNANSWERED;
        }
        hot.state = state;
        match (made_room, hot.makes_room()) {
            (true, false) => self.leave_half_open(slot),
            (false, true) => self.join_half_open(slot),
            _ => {}
        }
    }

    /// How often the ends of a session that is not half-open were asked whether they live, since they last spoke.
    pub(crate) fn probes(&self, slot: u32) -> u32 {
        let probes = self.ties[slot as usize].half_open.next() >> PROBES_AT & PROBES_MAX;
        if self.hot[slot as usize].is_asked() { probes } else { 0 }
    }

    /// Counts a question to the ends of a session that does not make room.
    pub(crate) fn count_probe(&mut self, slot: u32) {
        debug_assert!(!self.hot[slot as usize].makes_room(), "its links are those of the list");
        let probes = (self.probes(slot) + 1).min(PROBES_MAX);
        self.hot[slot as usize].flags |= Hot::ASKED;
        let links = &mut self.ties[slot as usize].half_open;
        links.set_next(links.next() & !(PROBES_MAX << PROBES_AT) | probes << PROBES_AT);
    }

    /// Remembers a SYN in the midst of a session; not of one that makes room, whose links are in use.
    pub(crate) fn set_attempt(&mut self, slot: u32, attempt: Option<tcp::Attempt>) {
        if self.hot[slot as usize].makes_room() {
            return;
        }
        let words = attempt.map(|attempt| attempt.after(self.attempt(slot)).words());
        let (first, second) = words.unwrap_or((0, NO_ATTEMPT));
        let links = &mut self.ties[slot as usize].half_open;
        let probes = links.next() & PROBES_MAX << PROBES_AT;
        *links = Links::between(first, second | probes);
    }

    /// The last SYN that came in the midst of a session.
    pub(crate) fn attempt(&self, slot: u32) -> Option<tcp::Attempt> {
        let links = self.ties[slot as usize].half_open;
        let is_told = !self.hot[slot as usize].makes_room() && links.next() & NO_ATTEMPT == 0;
        is_told.then(|| tcp::Attempt::from_words(links.previous(), links.next()))
    }

    /// The session that has been half-open longest, refused since or not.
    pub(crate) fn oldest_half_open(&self) -> Option<u32> {
        (self.half_open.oldest != NIL).then_some(self.half_open.oldest)
    }

    pub(super) fn join_half_open(&mut self, slot: u32) {
        let newest = self.half_open.newest;
        self.ties[slot as usize].half_open = Links::between(newest, NIL);
        match newest {
            NIL => self.half_open.oldest = slot,
            _ => self.ties[newest as usize].half_open.set_next(slot),
        }
        self.half_open.newest = slot;
    }

    pub(super) fn leave_half_open(&mut self, slot: u32) {
        let links = core::mem::take(&mut self.ties[slot as usize].half_open);
        match links.previous() {
            NIL => self.half_open.oldest = links.next(),
            previous => self.ties[previous as usize].half_open.set_next(links.next()),
        }
        match links.next() {
            NIL => self.half_open.newest = links.previous(),
            next => self.ties[next as usize].half_open.set_previous(links.previous()),
        }
    }
}
