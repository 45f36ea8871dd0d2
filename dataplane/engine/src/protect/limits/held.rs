//! What each session of a worker has taken, beside the session table: found by the session's slot, given back when it
//! ends, however it ends.

use super::table::Place;
use super::{Admitted, KINDS, Kind};
use crate::policy::RuleId;
use crate::port::Port;

/// Words of a session: parts by [`Kind`], proofs of life by side, and the rule that meters.
const WORDS: usize = KINDS + 3;
const LIFE_AT: usize = KINDS;
/// The rule's index, plus one.
const METER_AT: usize = KINDS + 2;

/// The parts of a session; all zero: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held([u32; WORDS]);

const _: () = assert!(WORDS == 8, "half a line of the cache");

impl Held {
    pub(super) const fn is_empty(&self) -> bool {
        let mut at = 0;
        while at < WORDS {
            if self.0[at] != 0 {
                return false;
            }
            at += 1;
        }
        true
    }

    pub(super) const fn part(&self, kind: Kind) -> Option<Place> {
        Place::from_number(self.0[kind as usize])
    }

    pub(super) const fn set_part(&mut self, kind: Kind, place: Option<Place>) {
        self.0[kind as usize] = Place::number(place);
    }

    /// The entry that says that the end on the side of `port` lives.
    pub(super) const fn life(&self, port: Port) -> Option<Place> {
        Place::from_number(self.0[LIFE_AT + port.index()])
    }

    pub(super) const fn set_life(&mut self, port: Port, place: Place) {
        self.0[LIFE_AT + port.index()] = Place::number(Some(place));
    }

    /// The same, which is no more.
    pub(super) const fn take_life(&mut self, port: Port) -> Option<Place> {
        let place = self.life(port);
        self.0[LIFE_AT + port.index()] = 0;
        place
    }

    /// All parts and proofs.
    pub(super) fn places(&self) -> impl Iterator<Item = Place> + '_ {
        self.0[..METER_AT].iter().filter_map(|number| Place::from_number(*number))
    }

    /// The rule whose packets are metered, in the policy that the session was decided under.
    pub(super) const fn metered_by(&self) -> Option<RuleId> {
        match self.0[METER_AT].checked_sub(1) {
            Some(index) => Some(RuleId(index)),
            None => None,
        }
    }

    pub(super) fn set_metered_by(&mut self, rule: Option<RuleId>) {
        self.0[METER_AT] = rule.map_or(0, |rule| rule.0 + 1);
    }

    /// The same proofs of life, without the parts of a rule.
    pub(super) fn without_parts(mut self) -> Self {
        Kind::ALL.into_iter().for_each(|kind| self.set_part(kind, None));
        self.set_metered_by(None);
        self
    }
}

/// Those of all sessions of a worker.
#[derive(Debug)]
pub(crate) struct AllHeld {
    /// Zeros: its memory is taken from the system when a session first holds something.
    by_slot: Vec<[u32; WORDS]>,
    /// Sessions that hold something.
    holders: u32,
    /// What the session has taken that is about to begin.
    pub(super) admitted: Admitted,
}

impl AllHeld {
    /// For a table of so many slots.
    pub(crate) fn new(capacity: u32) -> Self {
        Self { by_slot: vec![[0; WORDS]; capacity as usize], holders: 0, admitted: Admitted::default() }
    }

    /// Whether no session holds anything: all that it costs where no rule has limits.
    pub(crate) const fn is_empty(&self) -> bool {
        self.holders == 0
    }

    pub(super) fn get(&self, slot: u32) -> Held {
        Held(self.by_slot[slot as usize])
    }

    pub(super) fn set(&mut self, slot: u32, held: Held) {
        let place = &mut self.by_slot[slot as usize];
        match (Held(*place).is_empty(), held.is_empty()) {
            (true, false) => self.holders += 1,
            (false, true) => self.holders -= 1,
            _ => {}
        }
        *place = held.0;
    }
}
