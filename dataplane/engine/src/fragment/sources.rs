//! Who holds how much of the table: when it is full, the source that holds most of those behind the port that holds most
//! makes room; and nobody holds more than his share.

use super::datagram::Key;
use super::lists::Lists;
use super::{DATAGRAMS_MAX, DATAGRAMS_PER_SOURCE, FRAMES_PER_SOURCE};
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
    /// Of its key.
    hash: u64,
    datagrams: usize,
    frames: usize,
}

/// The sources of all datagrams in progress; there are no more of them than datagrams.
#[derive(Debug)]
pub(super) struct Sources {
    sources: Vec<Source>,
    free: Vec<u16>,
    by_hash: Lists,
    by_datagrams: Ranked,
    by_frames: Ranked,
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
            by_datagrams: Ranked::new(DATAGRAM_RANKS),
            by_frames: Ranked::new(FRAME_RANKS),
            datagrams: [0; Port::ALL.len()],
            frames: [0; Port::ALL.len()],
        }
    }

    /// The source of that key, with that hash, if it has a datagram.
    pub(super) fn find(&self, hash: u64, key: &Key) -> Option<u16> {
        self.by_hash.entries(bucket(hash)).find(|at| {
            let source = &self.sources[usize::from(*at)];
            source.hash == hash && source.key == *key
        })
    }

    /// Of its key.
    pub(super) fn hash(&self, at: u16) -> u64 {
        self.sources[usize::from(at)].hash
    }

    /// A datagram begins of the source `known`, or else of `key`, which has none yet. `None` if there are as many sources as
    /// there can be.
    pub(super) fn begin(&mut self, known: Option<u16>, hash: u64, key: &Key) -> Option<u16> {
        let at = match known {
            Some(at) => at,
            None => self.add(hash, key)?,
        };
        self.change(at, |source| source.datagrams += 1);
        Some(at)
    }

    /// A datagram of the source is over, which holds no frames any more.
    pub(super) fn end(&mut self, at: u16) {
        self.change(at, |source| source.datagrams = source.datagrams.saturating_sub(1));
        let source = &self.sources[usize::from(at)];
        if source.datagrams == 0 {
            self.by_datagrams.remove(source.key.port, source.datagram_rank(), at);
            self.by_frames.remove(source.key.port, source.frame_rank(), at);
            self.by_hash.remove(bucket(source.hash), at);
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
        self.by_datagrams.first_of_highest(port_with_most(self.datagrams))
    }

    /// The source with most frames behind the port with most, or nearly so.
    pub(super) fn most_frames(&self) -> Option<u16> {
        self.by_frames.first_of_highest(port_with_most(self.frames))
    }

    fn add(&mut self, hash: u64, key: &Key) -> Option<u16> {
        let source = Source { key: *key, hash, datagrams: 0, frames: 0 };
        let at = match self.free.pop() {
            Some(at) => at,
            None if self.sources.len() < DATAGRAMS_MAX => u16::try_from(self.sources.len()).ok()?,
            None => return None,
        };
        self.by_hash.push(bucket(source.hash), at);
        self.by_datagrams.push(key.port, source.datagram_rank(), at);
        self.by_frames.push(key.port, source.frame_rank(), at);
        match self.sources.get_mut(usize::from(at)) {
            Some(place) => *place = source,
            None => self.sources.push(source),
        }
        Some(at)
    }

    fn change(&mut self, at: u16, change: impl FnOnce(&mut Source)) {
        let source = &mut self.sources[usize::from(at)];
        let port = source.key.port;
        self.datagrams[port.index()] -= source.datagrams;
        self.frames[port.index()] -= source.frames;
        let before = (source.datagram_rank(), source.frame_rank());
        change(source);
        let after = (source.datagram_rank(), source.frame_rank());
        self.datagrams[port.index()] += source.datagrams;
        self.frames[port.index()] += source.frames;
        if before.0 != after.0 {
            self.by_datagrams.remove(port, before.0, at);
            self.by_datagrams.push(port, after.0, at);
        }
        if before.1 != after.1 {
            self.by_frames.remove(port, before.1, at);
            self.by_frames.push(port, after.1, at);
        }
    }
}

impl Source {
    fn datagram_rank(&self) -> usize {
        self.datagrams
    }

    fn frame_rank(&self) -> usize {
        self.frames / FRAMES_PER_RANK
    }
}

/// Sources by port and rank, in each the one first that has had it for longest.
#[derive(Debug)]
struct Ranked {
    lists: Lists,
    ranks: usize,
    /// By bits the ranks of each port that have any.
    taken: [u128; Port::ALL.len()],
}

const _: () = assert!(DATAGRAM_RANKS <= 128 && FRAME_RANKS <= 128, "a bit for each");

impl Ranked {
    fn new(ranks: usize) -> Self {
        let lists = Lists::new(Port::ALL.len() * ranks, DATAGRAMS_MAX);
        Self { lists, ranks, taken: [0; Port::ALL.len()] }
    }

    fn push(&mut self, port: Port, rank: usize, source: u16) {
        self.lists.push(self.list(port, rank), source);
        self.taken[port.index()] |= 1 << rank;
    }

    fn remove(&mut self, port: Port, rank: usize, source: u16) {
        let list = self.list(port, rank);
        self.lists.remove(list, source);
        if self.lists.first(list).is_none() {
            self.taken[port.index()] &= !(1 << rank);
        }
    }

    /// The first of the highest rank that has any.
    fn first_of_highest(&self, port: Port) -> Option<u16> {
        let rank = self.taken[port.index()].checked_ilog2()?;
        self.lists.first(self.list(port, rank as usize))
    }

    fn list(&self, port: Port, rank: usize) -> usize {
        port.index() * self.ranks + rank
    }
}

/// The list of those with that hash.
const fn bucket(hash: u64) -> usize {
    super::bucket_of(hash, BUCKETS)
}

fn port_with_most([lan, wan]: [usize; Port::ALL.len()]) -> Port {
    if lan >= wan { Port::Lan } else { Port::Wan }
}
