//! Who holds how much of the table: when it is full, the source that holds most of those behind the port that holds most
//! makes room; and nobody holds more than his share.

use core::ops::Range;

use super::datagram::Key;
use super::lists::Lists;
use super::{DATAGRAMS_MAX, DATAGRAMS_PER_SOURCE, FRAMES_PER_SOURCE};
use crate::flow::HashSecret;
use crate::port::Port;

const BUCKETS: usize = 2 * DATAGRAMS_MAX;
/// Sources that hold about as many frames are as good as equal.
const FRAMES_PER_RANK: usize = 16;
/// By the number of datagrams, and by that of frames; for each port.
const DATAGRAM_RANKS: usize = DATAGRAMS_PER_SOURCE + 1;
const FRAME_RANKS: usize = FRAMES_PER_SOURCE / FRAMES_PER_RANK + 1;

#[derive(Debug)]
struct Source {
    key: Key,
    bucket: usize,
    datagrams: usize,
    frames: usize,
}

/// The sources of all datagrams in progress; there are no more of them than datagrams.
#[derive(Debug)]
pub(super) struct Sources {
    sources: Vec<Source>,
    free: Vec<u16>,
    by_hash: Lists,
    /// By port and rank.
    by_datagrams: Lists,
    by_frames: Lists,
    /// Datagrams and frames of all sources behind each port, LAN first.
    datagrams: [usize; Port::ALL.len()],
    frames: [usize; Port::ALL.len()],
}

impl Sources {
    pub(super) fn new() -> Self {
        Self {
            sources: Vec::with_capacity(DATAGRAMS_MAX),
            free: Vec::with_capacity(DATAGRAMS_MAX),
            by_hash: Lists::new(BUCKETS, DATAGRAMS_MAX),
            by_datagrams: Lists::new(Port::ALL.len() * DATAGRAM_RANKS, DATAGRAMS_MAX),
            by_frames: Lists::new(Port::ALL.len() * FRAME_RANKS, DATAGRAMS_MAX),
            datagrams: [0; Port::ALL.len()],
            frames: [0; Port::ALL.len()],
        }
    }

    /// The source of that key, if it has a datagram.
    pub(super) fn find(&self, secret: &HashSecret, key: &Key) -> Option<u16> {
        self.by_hash.entries(bucket(secret, key)).find(|at| self.sources[usize::from(*at)].key == *key)
    }

    /// A datagram of `key` begins. `None` if there are as many sources as there can be.
    pub(super) fn begin(&mut self, secret: &HashSecret, key: &Key) -> Option<u16> {
        let at = match self.find(secret, key) {
            Some(at) => at,
            None => self.add(secret, key)?,
        };
        self.change(at, |source| source.datagrams += 1);
        Some(at)
    }

    /// A datagram of the source is over, which holds no frames any more.
    pub(super) fn end(&mut self, at: u16) {
        self.change(at, |source| source.datagrams = source.datagrams.saturating_sub(1));
        let source = &self.sources[usize::from(at)];
        if source.datagrams == 0 {
            self.by_datagrams.remove(source.datagram_rank(), at);
            self.by_frames.remove(source.frame_rank(), at);
            self.by_hash.remove(source.bucket, at);
            self.free.push(at);
        }
    }

    pub(super) fn add_frame(&mut self, at: u16) {
        self.change(at, |source| source.frames += 1);
    }

    pub(super) fn remove_frames(&mut self, at: u16, frames: usize) {
        self.change(at, |source| source.frames = source.frames.saturating_sub(frames));
    }

    pub(super) fn datagrams(&self, at: u16) -> usize {
        self.sources[usize::from(at)].datagrams
    }

    pub(super) fn frames(&self, at: u16) -> usize {
        self.sources[usize::from(at)].frames
    }

    /// The source with most datagrams behind the port with most; of several the one that has had so many for longest.
    pub(super) fn most_datagrams(&self) -> Option<u16> {
        first_of(&self.by_datagrams, ranks(self.datagrams, DATAGRAM_RANKS))
    }

    /// The source with most frames behind the port with most, or nearly so.
    pub(super) fn most_frames(&self) -> Option<u16> {
        first_of(&self.by_frames, ranks(self.frames, FRAME_RANKS))
    }

    fn add(&mut self, secret: &HashSecret, key: &Key) -> Option<u16> {
        let source = Source { key: *key, bucket: bucket(secret, key), datagrams: 0, frames: 0 };
        let at = match self.free.pop() {
            Some(at) => at,
            None if self.sources.len() < DATAGRAMS_MAX => u16::try_from(self.sources.len()).ok()?,
            None => return None,
        };
        self.by_hash.push(source.bucket, at);
        self.by_datagrams.push(source.datagram_rank(), at);
        self.by_frames.push(source.frame_rank(), at);
        match self.sources.get_mut(usize::from(at)) {
            Some(place) => *place = source,
            None => self.sources.push(source),
        }
        Some(at)
    }

    fn change(&mut self, at: u16, change: impl FnOnce(&mut Source)) {
        let source = &mut self.sources[usize::from(at)];
        let port = source.key.port.index();
        self.datagrams[port] -= source.datagrams;
        self.frames[port] -= source.frames;
        let before = (source.datagram_rank(), source.frame_rank());
        change(source);
        let after = (source.datagram_rank(), source.frame_rank());
        self.datagrams[port] += source.datagrams;
        self.frames[port] += source.frames;
        if before.0 != after.0 {
            self.by_datagrams.remove(before.0, at);
            self.by_datagrams.push(after.0, at);
        }
        if before.1 != after.1 {
            self.by_frames.remove(before.1, at);
            self.by_frames.push(after.1, at);
        }
    }
}

impl Source {
    /// Its list among those by datagrams.
    fn datagram_rank(&self) -> usize {
        self.key.port.index() * DATAGRAM_RANKS + self.datagrams
    }

    /// Its list among those by frames.
    fn frame_rank(&self) -> usize {
        self.key.port.index() * FRAME_RANKS + self.frames / FRAMES_PER_RANK
    }
}

/// The ranks of the port that holds most.
fn ranks([lan, wan]: [usize; 2], per_port: usize) -> Range<usize> {
    let port = if lan >= wan { Port::Lan } else { Port::Wan };
    let first = port.index() * per_port;
    first..first + per_port
}

/// The source that is first in the highest list that has one.
fn first_of(lists: &Lists, ranks: Range<usize>) -> Option<u16> {
    ranks.rev().find_map(|rank| lists.first(rank))
}

fn bucket(secret: &HashSecret, key: &Key) -> usize {
    super::bucket_of(secret.hash(&key.flow), BUCKETS)
}
