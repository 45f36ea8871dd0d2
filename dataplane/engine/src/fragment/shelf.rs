//! Where the frames of datagrams in progress are kept.

use super::lists::Lists;
use super::{DATAGRAMS_MAX, DatagramId, FRAMES_MAX};

/// Frames by their datagram, in the order in which they came. All memory is taken when it is made.
#[derive(Debug)]
pub struct Shelf<P> {
    frames: Vec<Option<P>>,
    free: Vec<u16>,
    by_datagram: Lists,
}

impl<P> Default for Shelf<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P> Shelf<P> {
    /// An empty shelf.
    pub fn new() -> Self {
        Self {
            frames: Vec::with_capacity(FRAMES_MAX),
            free: Vec::with_capacity(FRAMES_MAX),
            by_datagram: Lists::new(DATAGRAMS_MAX, FRAMES_MAX),
        }
    }

    /// Frames on it.
    pub fn len(&self) -> usize {
        self.frames.len() - self.free.len()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts a frame behind those of its datagram. There is room for as many as an engine holds; a frame for which there
    /// is none comes back.
    pub fn put(&mut self, datagram: DatagramId, frame: P) -> Result<(), P> {
        let place = match self.free.pop() {
            Some(place) => place,
            None if self.frames.len() < FRAMES_MAX => {
                self.frames.push(None);
                u16::try_from(self.frames.len() - 1).unwrap_or(u16::MAX)
            }
            None => return Err(frame),
        };
        self.frames[usize::from(place)] = Some(frame);
        self.by_datagram.push(datagram.index(), place);
        Ok(())
    }

    /// Takes the frames of a datagram out, first come first. Those that are left when the iterator goes, stay.
    pub fn take(&mut self, datagram: DatagramId) -> impl Iterator<Item = P> + '_ {
        core::iter::from_fn(move || {
            let place = self.by_datagram.first(datagram.index())?;
            self.by_datagram.remove(datagram.index(), place);
            self.free.push(place);
            self.frames[usize::from(place)].take()
        })
    }

    /// Drops the frames of a datagram; how many they were.
    pub fn clear(&mut self, datagram: DatagramId) -> usize {
        self.take(datagram).count()
    }
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "small numbers")]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in_and_leave_their_places() {
        let mut shelf = Shelf::new();
        for round in 0..3 {
            for frame in 0..FRAMES_MAX {
                assert_eq!(shelf.put(DatagramId((frame % 7) as u16), (round, frame)), Ok(()));
            }
            assert_eq!(shelf.put(DatagramId(0), (9, 9)), Err((9, 9)), "it is full");
            for datagram in 0..7 {
                let expected: Vec<_> =
                    (datagram..FRAMES_MAX).step_by(7).map(|frame| (round, frame)).collect();
                assert_eq!(shelf.take(DatagramId(datagram as u16)).collect::<Vec<_>>(), expected);
            }
            assert!(shelf.is_empty());
        }
    }
}
