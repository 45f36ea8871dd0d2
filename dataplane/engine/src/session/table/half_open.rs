//! The sessions that make room in a full table, oldest first; and what is kept of others in the links that they do not
//! need.

use super::{Hot, Links, NIL, State, Table, tcp};
use crate::policy::Timeouts;
use crate::session::room::Budgets;

/// In the second word of what is kept beside the list of half-open sessions: how often the ends were asked, above the
/// words of [`tcp::Attempt`].
const PROBES_AT: u32 = tcp::Attempt::BITS;
const PROBES_MAX: u32 = 0x1f;
/// There is no attempt.
const NO_ATTEMPT: u32 = 1 << 31;

const _: () = assert!(Timeouts::PROBE_RETRIES_MAX as u32 <= PROBES_MAX && PROBES_AT + 5 <= 31);

/// As what a session makes room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// A handshake that is not done, or was refused.
    HalfOpen,
    /// A packet that nobody answered.
    OneWay,
}

impl Class {
    pub(super) const COUNT: usize = 2;

    const fn other(self) -> Self {
        match self {
            Self::HalfOpen => Self::OneWay,
            Self::OneWay => Self::HalfOpen,
        }
    }
}

/// A list through [`super::Ties::half_open`], and what of the table it may hold when room is short.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    oldest: u32,
    newest: u32,
    len: u32,
    budget_percent: u8,
}

impl List {
    pub(super) const EMPTY: Self = Self { oldest: NIL, newest: NIL, len: 0, budget_percent: 50 };
}

impl Table {
    /// Moves a session to another state, and in or out of the list of half-open ones.
    pub(crate) fn set_state(&mut self, slot: u32, state: State) {
        let hot = &mut self.hot[slot as usize];
        let was = hot.class();
        if hot.state == State::SynSent && state == State::Reset {
            hot.flags |= Hot::WAS_UNANSWERED;
        }
        hot.state = state;
        let is = hot.class();
        if was == is {
            return;
        }
        if let Some(class) = was {
            self.leave(class, slot);
        }
        if let Some(class) = is {
            self.join(class, slot);
        }
    }

    /// How often the ends of a session that is not half-open were asked whether they live, since they last spoke.
    pub(crate) fn probes(&self, slot: u32) -> u32 {
        let probes = self.ties[slot as usize].half_open.next() >> PROBES_AT & PROBES_MAX;
        if self.hot[slot as usize].is_asked() { probes } else { 0 }
    }

    /// Counts a question to the ends of a session that does not make room.
    pub(crate) fn count_probe(&mut self, slot: u32) {
        debug_assert!(self.hot[slot as usize].class().is_none(), "its links are those of the list");
        let probes = (self.probes(slot) + 1).min(PROBES_MAX);
        self.hot[slot as usize].flags |= Hot::ASKED;
        let links = &mut self.ties[slot as usize].half_open;
        links.set_next(links.next() & !(PROBES_MAX << PROBES_AT) | probes << PROBES_AT);
    }

    /// Remembers a SYN in the midst of a session; not of one that makes room, whose links are in use.
    pub(crate) fn set_attempt(&mut self, slot: u32, attempt: Option<tcp::Attempt>) {
        if self.hot[slot as usize].class().is_some() {
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
        let is_told = self.hot[slot as usize].class().is_none() && links.next() & NO_ATTEMPT == 0;
        is_told.then(|| tcp::Attempt::from_words(links.previous(), links.next()))
    }

    /// What each class may hold from now on.
    pub(crate) fn set_budgets(&mut self, budgets: &Budgets) {
        for (list, percent) in self.unestablished.iter_mut().zip([budgets.half_open, budgets.one_way]) {
            list.budget_percent = percent.clamp(1, 99);
        }
        let share = u64::from(self.capacity()) * u64::from(budgets.established.clamp(1, 100)) / 100;
        self.established_max = u32::try_from(share).unwrap_or(u32::MAX).max(1);
    }

    /// How many sessions are half-open, and how many one-way.
    pub(crate) fn unestablished(&self) -> [u32; Class::COUNT] {
        self.unestablished.map(|list| list.len)
    }

    /// Whether established sessions hold all that they may.
    pub(crate) fn is_established_full(&self) -> bool {
        let [half_open, one_way] = self.unestablished();
        self.len() - half_open - one_way >= self.established_max
    }

    /// The session that makes room in a full table for a newcomer in `state`: of the class that would hold most with it,
    /// measured by its budget, the one that has been waiting longest.
    pub(crate) fn makes_room_for(&self, state: State) -> Option<u32> {
        let own = if state == State::Unreplied { Class::OneWay } else { Class::HalfOpen };
        let [mine, others] = [own, own.other()].map(|class| self.unestablished[class as usize]);
        let weight = |len: u64, of: List| len * u64::from(of.budget_percent);
        let mine_is_over = weight(u64::from(mine.len) + 1, others) > weight(others.len.into(), mine);
        let [first, second] = if mine_is_over { [mine, others] } else { [others, mine] };
        [first, second].into_iter().map(|list| list.oldest).find(|oldest| *oldest != NIL)
    }

    /// The session that makes room after the one in `slot`, of the same class.
    pub(crate) fn waits_after(&self, slot: u32) -> Option<u32> {
        let next = self.ties[slot as usize].half_open.next();
        (next != NIL).then_some(next)
    }

    pub(super) fn join(&mut self, class: Class, slot: u32) {
        let list = &mut self.unestablished[class as usize];
        let newest = list.newest;
        list.newest = slot;
        list.len += 1;
        self.ties[slot as usize].half_open = Links::between(newest, NIL);
        match newest {
            NIL => list.oldest = slot,
            _ => self.ties[newest as usize].half_open.set_next(slot),
        }
    }

    pub(super) fn leave(&mut self, class: Class, slot: u32) {
        let list = &mut self.unestablished[class as usize];
        let links = core::mem::take(&mut self.ties[slot as usize].half_open);
        list.len -= 1;
        match links.previous() {
            NIL => list.oldest = links.next(),
            previous => self.ties[previous as usize].half_open.set_next(links.next()),
        }
        match links.next() {
            NIL => list.newest = links.previous(),
            next => self.ties[next as usize].half_open.set_previous(links.previous()),
        }
    }
}
