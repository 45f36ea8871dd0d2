//! The datagrams in progress of one worker: a fixed number of places, none for ever, shared out among sources.

use super::datagram::{Datagram, Fit, Key};
use super::gate::Gate;
use super::lists::Lists;
use super::sources::Sources;
use super::{
    Carried, DATAGRAMS_MAX, DATAGRAMS_PER_SOURCE, DatagramId, FRAMES_MAX, FRAMES_PER_SOURCE, Whole, bucket_of,
};
use crate::flow::{HashSecret, PackedKey};
use crate::packet::{Facts, Fragment, PieceSum};
use crate::port::Port;
use crate::reason::Reason;
use crate::time::Instant;

const BUCKETS: usize = 2 * DATAGRAMS_MAX;
/// The one list of all datagrams by age.
const ALL: usize = 0;

/// What becomes of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sorted {
    Refused(Reason),
    Held(DatagramId),
    Whole(DatagramId),
}

/// A datagram whose frames go, and why.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dropped {
    pub(super) datagram: DatagramId,
    pub(super) port: Port,
    /// Of its first fragment if that had come; the length is that of all its frames.
    pub(super) facts: Facts,
    pub(super) frames: u64,
    pub(super) reason: Reason,
}

#[derive(Debug)]
pub(crate) struct Fragments {
    secret: HashSecret,
    datagrams: Vec<Datagram>,
    /// The upper half of their hashes: where each is among those by hash, and what tells most others from it.
    hashes: Vec<u32>,
    free: Vec<u16>,
    sources: Sources,
    by_hash: Lists,
    /// Oldest first: all have the same timeout, so that the first is the next to expire.
    by_age: Lists,
    /// The datagrams of each source, oldest first.
    by_source: Lists,
    gate: Gate,
    frames: usize,
    /// Of the held frames, on the wire.
    bytes: u64,
}

impl Fragments {
    pub(crate) fn new(secret: HashSecret) -> Self {
        Self {
            secret,
            datagrams: Vec::with_capacity(DATAGRAMS_MAX),
            hashes: Vec::with_capacity(DATAGRAMS_MAX),
            free: Vec::with_capacity(DATAGRAMS_MAX),
            sources: Sources::new(),
            by_hash: Lists::new(BUCKETS, DATAGRAMS_MAX),
            by_age: Lists::new(1, DATAGRAMS_MAX),
            by_source: Lists::new(DATAGRAMS_MAX, DATAGRAMS_MAX),
            gate: Gate::new(),
            frames: 0,
            bytes: 0,
        }
    }

    /// Datagrams in progress, those of which nothing passes among them.
    pub(crate) fn datagrams(&self) -> usize {
        self.datagrams.len() - self.free.len()
    }

    /// Frames that are held.
    pub(crate) fn frames(&self) -> usize {
        self.frames
    }

    /// Their bytes on the wire.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// When the oldest datagram began.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.by_age.first(ALL).map(|at| self.datagrams[usize::from(at)].began)
    }

    /// Sorts in a fragment, for which others may have to make room.
    pub(super) fn sort_in(
        &mut self,
        now: Instant,
        (key, fragment): (&Key, &Fragment),
        facts: &Facts,
        head: &[u8],
        carried: Carried<impl FnOnce() -> Option<PieceSum>>,
        dropped: &mut dyn FnMut(Dropped),
    ) -> Sorted {
        let Some(at) = self.find_or_begin(now, key, facts, dropped) else {
            return Sorted::Refused(Reason::FragmentEvicted);
        };
        let datagram = &self.datagrams[usize::from(at)];
        if let Some(reason) = datagram.poison {
            return Sorted::Refused(reason);
        }
        let carried = Carried { sum: (carried.sum)(), fits: carried.fits };
        let fit = datagram.fit(fragment, carried);
        match fit {
            Fit::Duplicate => return Sorted::Refused(Reason::FragmentDuplicate),
            Fit::Never(reason) => {
                self.poison_at(at, reason, dropped);
                return Sorted::Refused(reason);
            }
            Fit::Held | Fit::Whole => {}
        }
        if !self.make_room(at, dropped) {
            return Sorted::Refused(Reason::FragmentEvicted);
        }
        let datagram = &mut self.datagrams[usize::from(at)];
        datagram.add(facts, fragment, head, carried);
        self.sources.add_frame(datagram.source);
        self.frames += 1;
        self.bytes += u64::from(facts.wire_len);
        if fit == Fit::Whole { Sorted::Whole(DatagramId(at)) } else { Sorted::Held(DatagramId(at)) }
    }

    /// Whether the fragment of that datagram would find no room, and nothing would change: where [`Self::sort_in`] refuses it as
    /// [`Reason::FragmentEvicted`] before it looks at it.
    pub(super) fn turns_away(&self, now: Instant, key: &PackedKey, port: Port) -> bool {
        let datagram = || Key { flow: key.unpacked(), port };
        self.datagrams() >= DATAGRAMS_MAX
            && self.gate.is_shut(now, port, datagram().source_hash(&self.secret))
            && self.find(high(self.secret.hash_packed(key)), |key| *key == datagram()).is_none()
    }

    /// The datagram whose key hashes to that, and is it.
    #[inline]
    fn find(&self, hash: u32, is_it: impl Fn(&Key) -> bool) -> Option<u16> {
        self.by_hash.entries(bucket(hash)).find(|at| {
            let at = usize::from(*at);
            self.hashes[at] == hash && is_it(&self.datagrams[at].key)
        })
    }

    /// Nothing of the fragment's datagram passes, for this reason or the one it already had, until it times out.
    pub(super) fn poison(
        &mut self,
        now: Instant,
        key: &Key,
        facts: &Facts,
        reason: Reason,
        dropped: &mut dyn FnMut(Dropped),
    ) {
        if let Some(at) = self.find_or_begin(now, key, facts, dropped)
            && self.datagrams[usize::from(at)].poison.is_none()
        {
            self.poison_at(at, reason, dropped);
        }
    }

    /// Takes out a datagram that is whole.
    pub(super) fn take(&mut self, DatagramId(at): DatagramId, whole: &mut Whole) {
        let datagram = &self.datagrams[usize::from(at)];
        datagram.tell(whole);
        self.gate.know(self.sources.hash(datagram.source));
        self.let_go(at);
        self.free_place(at);
    }

    /// Takes out the oldest datagram.
    pub(super) fn drop_oldest(&mut self, reason: Reason, dropped: &mut dyn FnMut(Dropped)) {
        if let Some(at) = self.by_age.first(ALL) {
            self.evict(at, reason, dropped);
        }
    }

    fn find_or_begin(
        &mut self,
        now: Instant,
        key: &Key,
        facts: &Facts,
        dropped: &mut dyn FnMut(Dropped),
    ) -> Option<u16> {
        let hash = high(self.secret.hash(&key.flow));
        let found = self.find(hash, |other| other == key);
        if found.is_some() {
            return found;
        }
        let source_hash = key.source_hash(&self.secret);
        let is_full = self.datagrams() >= DATAGRAMS_MAX;
        if is_full && !self.gate.lets_in(now, key.port, source_hash) {
            return None;
        }
        let source = key.source();
        let mut known = self.sources.find(source_hash, &source);
        if let Some(own) = known
            && self.sources.datagrams(own) >= DATAGRAMS_PER_SOURCE
        {
            if !is_full && !self.gate.lets_in(now, key.port, source_hash) {
                return None;
            }
            self.evict_oldest_of(own, dropped);
        }
        if self.datagrams() >= DATAGRAMS_MAX {
            let most = self.sources.most_datagrams()?;
            if known == Some(most) && self.sources.datagrams(most) == 1 {
                known = None;
            }
            self.evict_oldest_of(most, dropped);
        }
        let source = self.sources.begin(known, source_hash, &source)?;
        let at = match self.free.pop() {
            Some(at) => {
                self.datagrams[usize::from(at)].begin(*key, source, now, *facts);
                at
            }
            None => {
                let at = u16::try_from(self.datagrams.len()).ok()?;
                self.datagrams.push(Datagram::new(*key, source, now, *facts));
                self.hashes.push(0);
                at
            }
        };
        self.hashes[usize::from(at)] = hash;
        self.by_hash.push(bucket(hash), at);
        self.by_age.push(ALL, at);
        self.by_source.push(usize::from(source), at);
        self.look_ahead();
        Some(at)
    }

    /// In a full table the next to make room is known before it is asked to: its lines are sent for.
    fn look_ahead(&self) {
        if self.datagrams() >= DATAGRAMS_MAX
            && let Some(most) = self.sources.most_datagrams()
            && let Some(oldest) = self.by_source.first(usize::from(most))
        {
            self.datagrams[usize::from(oldest)].prefetch();
        }
    }

    /// Room for one more frame of the datagram `at`; others make it, oldest first: of its own source if that has its
    /// share, of the source that holds most if there is none left at all.
    fn make_room(&mut self, at: u16, dropped: &mut dyn FnMut(Dropped)) -> bool {
        let own = self.datagrams[usize::from(at)].source;
        if self.sources.frames(own) >= FRAMES_PER_SOURCE && !self.evict_frames_of(own, at, dropped) {
            return false;
        }
        if self.frames < FRAMES_MAX {
            return true;
        }
        if let Some(most) = self.sources.most_frames()
            && self.evict_frames_of(most, at, dropped)
        {
            return true;
        }
        let oldest = self.by_age.entries(ALL).find(|other| self.can_make_room(*other, at));
        if let Some(oldest) = oldest {
            self.evict(oldest, Reason::FragmentEvicted, dropped);
        }
        oldest.is_some()
    }

    fn evict_frames_of(&mut self, source: u16, except: u16, dropped: &mut dyn FnMut(Dropped)) -> bool {
        let own = usize::from(source);
        let oldest = self.by_source.entries(own).find(|other| self.can_make_room(*other, except));
        if let Some(oldest) = oldest {
            self.evict(oldest, Reason::FragmentEvicted, dropped);
        }
        oldest.is_some()
    }

    fn can_make_room(&self, at: u16, except: u16) -> bool {
        at != except && self.datagrams[usize::from(at)].frames() > 0
    }

    fn evict_oldest_of(&mut self, source: u16, dropped: &mut dyn FnMut(Dropped)) {
        if let Some(oldest) = self.by_source.first(usize::from(source)) {
            self.evict(oldest, Reason::FragmentEvicted, dropped);
        }
    }

    fn evict(&mut self, at: u16, reason: Reason, dropped: &mut dyn FnMut(Dropped)) {
        self.drop_frames(at, reason, dropped);
        self.free_place(at);
    }

    fn poison_at(&mut self, at: u16, reason: Reason, dropped: &mut dyn FnMut(Dropped)) {
        self.drop_frames(at, reason, dropped);
        self.datagrams[usize::from(at)].poison(reason);
    }

    /// Tells of the frames of a datagram that they go, if it has any.
    fn drop_frames(&mut self, at: u16, reason: Reason, dropped: &mut dyn FnMut(Dropped)) {
        let frames = self.let_go(at);
        let datagram = &self.datagrams[usize::from(at)];
        if frames > 0 {
            let facts = Facts { wire_len: datagram.wire_bytes, ..datagram.facts };
            let (datagram, port) = (DatagramId(at), datagram.key.port);
            dropped(Dropped { datagram, port, facts, frames: frames as u64, reason });
        }
    }

    /// The frames of a datagram are held no more; how many there were.
    fn let_go(&mut self, at: u16) -> usize {
        let datagram = &self.datagrams[usize::from(at)];
        let frames = datagram.frames();
        self.sources.remove_frames(datagram.source, frames);
        self.frames -= frames;
        self.bytes -= u64::from(datagram.wire_bytes);
        frames
    }

    /// Frees the place of a datagram whose frames are gone.
    fn free_place(&mut self, at: u16) {
        let datagram = &self.datagrams[usize::from(at)];
        let source = datagram.source;
        self.by_hash.remove(bucket(self.hashes[usize::from(at)]), at);
        self.by_age.remove(ALL, at);
        self.by_source.remove(usize::from(source), at);
        self.sources.end(source);
        self.free.push(at);
    }
}

/// The upper half of a hash.
const fn high(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// The list of those whose hashes have this upper half.
const fn bucket(high: u32) -> usize {
    bucket_of((high as u64) << 32, BUCKETS)
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "small numbers")]
#[path = "table/tests.rs"]
mod tests;
