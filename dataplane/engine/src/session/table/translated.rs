//! What the table keeps of sessions that the appliance takes part in: how they are translated, the handshake that is made
//! with their server, the place of their destination. Zeros for all others, whose memory is never touched.

use super::Table;
use crate::protect::syn_proxy::destinations::Place;
use crate::protect::syn_proxy::translation::{Translation, WORDS};

const PLACE: usize = WORDS;
const HANDSHAKE: usize = WORDS + 1;

/// The words of one session.
pub(super) type Words = [u32; WORDS + 2];

impl Table {
    /// How segments of the session in `slot` are translated.
    pub(crate) fn translation(&self, slot: u32) -> Translation {
        let words = self.translated[slot as usize].first_chunk();
        words.map_or(Translation::default(), |words| Translation::of_words(*words))
    }

    pub(crate) fn set_translation(&mut self, slot: u32, translation: &Translation) {
        self.translated[slot as usize][..WORDS].copy_from_slice(&translation.words());
    }

    /// The place of its destination, where it counts as half-open.
    pub(crate) fn place(&self, slot: u32) -> Place {
        Place(self.translated[slot as usize][PLACE])
    }

    pub(crate) fn set_place(&mut self, slot: u32, place: Place) {
        self.translated[slot as usize][PLACE] = place.0;
    }

    /// The number of the handshake with its server.
    pub(crate) fn handshake(&self, slot: u32) -> u32 {
        self.translated[slot as usize][HANDSHAKE]
    }

    /// The cookie with which it began, once that handshake is over; 0 if it did not.
    pub(crate) fn cookie(&self, slot: u32) -> u32 {
        self.handshake(slot)
    }

    pub(crate) fn set_cookie(&mut self, slot: u32, sequence: u32) {
        self.set_handshake(slot, sequence);
    }

    pub(crate) fn set_handshake(&mut self, slot: u32, number: u32) {
        self.translated[slot as usize][HANDSHAKE] = number;
    }
}
