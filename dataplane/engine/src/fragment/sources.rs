//! Who holds how much of the table: the source that holds most makes room when it is full, and nobody holds more than
//! his share.

use super::datagram::Key;
use super::lists::Lists;
use super::{DATAGRAMS_MAX, DATAGRAMS_PER_SOURCE, FRAMES_PER_SOURCE};
use crate::flow::HashSecret;

const BUCKETS: usize = 2 * DATAGRAMS_MAX;
/// Sources that hold about as many frames are as good as equal.
const FRAMES_PER_RANK: usize = 16;

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
    /// By the number of their datagrams, and by that of their frames.
    by_datagrams: Lists,
    by_frames: Lists,
}

impl Sources {
    pub(super) fn new() -> Self {
        Self {
            sources: Vec::with_capacity(DATAGRAMS_MAX),
            free: Vec::with_capacity(DATAGRAMS_MAX),
            by_hash: Lists::new(BUCKETS, DATAGRAMS_MAX),
            by_datagrams: Lists::new(DATAGRAMS_PER_SOURCE + 1, DATAGRAMS_MAX),
            by_frames: Lists::new(FRAMES_PER_SOURCE / FRAMES_PER_RANK + 1, DATAGRAMS_MAX),
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
            self.by_datagrams.remove(0, at);
            self.by_frames.remove(frames_rank(source), at);
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

    /// The source with most datagrams; of several the one that has had so many for longest.
    pub(super) fn most_datagrams(&self) -> Option<u16> {
        (1..=DATAGRAMS_PER_SOURCE).rev().find_map(|rank| self.by_datagrams.first(rank))
    }

    /// The source with most frames, or nearly so.
    pub(super) fn most_frames(&self) -> Option<u16> {
        (0..=FRAMES_PER_SOURCE / FRAMES_PER_RANK).rev().find_map(|rank| self.by_frames.first(rank))
    }

    fn add(&mut self, secret: &HashSecret, key: &Key) -> Option<u16> {
        let source = Source { key: *key, bucket: bucket(secret, key), datagrams: 0, frames: 0 };
        let at = match self.free.pop() {
            Some(at) => at,
            None if self.sources.len() < DATAGRAMS_MAX => u16::try_from(self.sources.len()).ok()?,
            None => return None,
        };
        self.by_hash.push(source.bucket, at);
        self.by_datagrams.push(0, at);
        self.by_frames.push(0, at);
        match self.sources.get_mut(usize::from(at)) {
            Some(place) => *place = source,
            None => self.sources.push(source),
        }
        Some(at)
    }

    fn change(&mut self, at: u16, change: impl FnOnce(&mut Source)) {
        let source = &mut self.sources[usize::from(at)];
        let before = (source.datagrams, frames_rank(source));
        change(source);
        let after = (source.datagrams, frames_rank(source));
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

fn frames_rank(source: &Source) -> usize {
    source.frames / FRAMES_PER_RANK
}

fn bucket(secret: &HashSecret, key: &Key) -> usize {
    super::bucket_of(secret.hash(&key.flow), BUCKETS)
}
