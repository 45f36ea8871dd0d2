//! A datagram of which all fragments have come.

use arrayvec::ArrayVec;

use super::{FRAGMENTS_MAX, HEAD_MAX};
use crate::packet::{self, Facts, protocol};
use crate::port::Port;

/// Bytes of it that are put together: long enough for the messages of helpers that come in datagrams.
pub const WHOLE_MAX: usize = 4096;
const _: () = assert!(HEAD_MAX <= WHOLE_MAX);

/// Where what a frame carries belongs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Offset in the frame.
    pub(super) at: u16,
    /// Offset in the datagram.
    pub(super) offset: u16,
    pub(super) len: u16,
}

/// What there is to know of a datagram whose fragments are all there to judge it, on whichever worker.
#[derive(Clone, Debug)]
pub struct Whole {
    /// The port on which its fragments arrived.
    pub port: Port,
    /// As of a packet in one piece; the length of the frame is that of all frames.
    pub facts: Facts,
    /// Its first bytes, behind the headers of the first fragment's frame: of that one alone, until they are
    /// [put together](Whole::put_together).
    pub head: ArrayVec<u8, WHOLE_MAX>,
    /// Fragments.
    pub frames: u16,
    /// Of the fragments, in the order in which they came.
    pub(super) places: ArrayVec<Place, FRAGMENTS_MAX>,
    /// Where the datagram begins in the first fragment's frame.
    pub(super) at: u16,
}

impl Default for Whole {
    /// Nothing yet.
    fn default() -> Self {
        Self {
            port: Port::Lan,
            facts: packet::parse(&[], 0),
            head: ArrayVec::new(),
            frames: 0,
            places: ArrayVec::new(),
            at: 0,
        }
    }
}

impl Whole {
    /// Which of its frames, in the order in which they came, has its headers.
    pub fn first_frame(&self) -> Option<usize> {
        self.places.iter().position(|place| place.offset == 0)
    }

    /// Puts the first bytes of the datagram together, for whoever reads more than headers: its helper, or SCTP. `frames`
    /// are its frames, in the order in which they came, each as its segments.
    pub fn put_together<'f, S: IntoIterator<Item = &'f [u8]>>(
        &mut self,
        frames: impl IntoIterator<Item = S>,
    ) {
        let is_read = matches!(self.facts.protocol, protocol::TCP | protocol::UDP | protocol::SCTP);
        if !is_read || self.facts.fault.is_some() {
            return;
        }
        let start = usize::from(self.at);
        let end = usize::from(self.facts.transport_at) + self.facts.transport_len as usize;
        let (had, len) = (self.head.len(), end.min(WHOLE_MAX));
        if had < start || len <= had {
            return;
        }
        self.head.extend(core::iter::repeat_n(0, len - had));
        // A frame of which less is at hand than its length says leaves a hole: what comes behind it is not used.
        let mut whole_until = len;
        for (place, segments) in self.places.iter().zip(frames) {
            let from = start + usize::from(place.offset);
            let room = usize::from(place.len).min(len.saturating_sub(from));
            let Some(into) = self.head.get_mut(from..from + room) else { continue };
            let copied = copy(usize::from(place.at), segments, into);
            if copied < room {
                whole_until = whole_until.min(from + copied);
            }
        }
        self.head.truncate(whole_until);
    }
}

/// Fills `into` with the bytes of a frame from `at` on; how many there were.
fn copy<'f>(at: usize, segments: impl IntoIterator<Item = &'f [u8]>, into: &mut [u8]) -> usize {
    let (mut skip, mut copied) = (at, 0);
    for segment in segments {
        let part = segment.get(skip..).unwrap_or_default();
        skip = skip.saturating_sub(segment.len());
        let part = &part[..part.len().min(into.len() - copied)];
        into[copied..copied + part.len()].copy_from_slice(part);
        copied += part.len();
        if copied == into.len() {
            break;
        }
    }
    copied
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(len: u32) -> Whole {
        let mut whole = Whole { at: 2, frames: 3, ..Whole::default() };
        whole.facts = Facts {
            fault: None,
            protocol: protocol::UDP,
            transport_at: 2,
            transport_len: len,
            ..whole.facts
        };
        whole.head.extend([9, 9, 1, 2, 3]);
        whole
    }

    #[test]
    fn parts_come_to_their_places_from_whatever_segments() {
        let mut whole = whole(12);
        for (at, offset, len) in [(3, 8, 4), (2, 0, 5), (1, 5, 3)] {
            whole.places.push(Place { at, offset, len });
        }
        let frames: [&[&[u8]]; 3] =
            [&[&[0, 0], &[0, 9, 10], &[11, 12, 77]], &[&[9, 9, 1, 2, 3, 4, 5]], &[&[0], &[6, 7, 8]]];
        whole.put_together(frames.map(|segments| segments.iter().copied()));
        assert_eq!(whole.head[..], [9, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    }

    #[test]
    fn what_is_behind_a_hole_is_not_used() {
        let mut whole = whole(12);
        for (at, offset, len) in [(0, 8, 4), (2, 0, 5), (0, 5, 3)] {
            whole.places.push(Place { at, offset, len });
        }
        let frames: [&[&[u8]]; 3] = [&[&[9, 10, 11, 12]], &[&[9, 9, 1, 2, 3, 4, 5]], &[&[6]]];
        whole.put_together(frames.map(|segments| segments.iter().copied()));
        assert_eq!(whole.head[..], [9, 9, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn no_more_is_put_together_than_there_is_room_for() {
        let mut whole = whole(60_000);
        whole.places.push(Place { at: 2, offset: 0, len: 40_000 });
        whole.places.push(Place { at: 0, offset: 40_000, len: 20_000 });
        let (first, second) = (vec![7; 40_002], vec![8; 20_000]);
        whole.put_together([[&first[..]], [&second[..]]]);
        assert_eq!(whole.head.len(), WHOLE_MAX);
        assert!(whole.head[5..].iter().all(|byte| *byte == 7));
    }
}
