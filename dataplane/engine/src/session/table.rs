//! The session table: fixed in size, taken at start; it never grows, never rehashes, never stalls.
//!
//! A session is four records under one slot number: [`Hot`] (64 bytes, one cache line: everything that an established
//! packet reads and writes), [`Cold`] (32 bytes, half a line: what it adds to now and then), [`Ties`] (16 bytes: its places
//! in lists) and, for IPv6, the two addresses (32 bytes). Slots are found through an index of cache-line buckets, each with [`WAYS`] tags and slot numbers: a key
//! has two buckets (cuckoo hashing with partial keys: Fan et al., "Cuckoo Filter", 2014; Pagh and Rodler, 2004). It
//! goes to the second only when the first is full, and the first then knows, so a look-up touches one line of the
//! index, found or not, or two where there was a crowd. An insertion moves at most [`MOVES_MAX`] entries to make room;
//! at eight ways and 80 % load one move is enough for all but one in twenty million, and two for the rest.
//!
//! 64 + 32 + 16 + 10 bytes: 122 bytes an IPv4 session, 154 an IPv6 one.

use wide::u16x8;

use super::wheel::{Linked, Links, NIL};
use super::{SessionId, State, tcp};
use crate::flow::{EndsHash, FlowKey, HashSecret, PackedKey};
use crate::port::Port;

mod ahead;
mod counts;
mod half_open;
mod record;
mod translated;

use counts::Spills;
use half_open::{Class, List};
pub(crate) use record::{Cold, Hot, Ties};

/// Slots of a bucket.
const WAYS: usize = 8;
/// Slots of the index for every session that the table holds, as a fraction: load is at most 0.8.
const INDEX_SLOTS: (usize, usize) = (5, 4);
/// Entries that an insertion moves at the most: it then has looked into 2 * (8 + 64) buckets.
const MOVES_MAX: u32 = 2;

#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
struct Bucket {
    /// 0: the way is free. [`Bucket::SECOND`] is set where this is the entry's second bucket.
    tags: [u16; WAYS],
    slots: [u32; WAYS],
    /// Entries whose first bucket this is, and that had to go to their second.
    elsewhere: u32,
}

impl Bucket {
    const SECOND: u16 = 1 << 15;

    fn free(&self) -> Option<usize> {
        self.ways(0).next()
    }

    /// The ways that have this tag.
    #[inline]
    fn ways(&self, tag: u16) -> impl Iterator<Item = usize> + use<> {
        let mut found = self.bits(tag);
        core::iter::from_fn(move || {
            let way = found.trailing_zeros() as usize;
            found &= found.wrapping_sub(1);
            (way < WAYS).then_some(way)
        })
    }

    /// The same as bits, the lowest for the first way: all tags are compared at once.
    #[inline]
    fn bits(&self, tag: u16) -> u32 {
        u16x8::new(self.tags).simd_eq(u16x8::splat(tag)).to_bitmask()
    }
}

/// Where a key hashes to: computed once a packet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hashed {
    /// All 64 bits, for what remembers sessions beside the table.
    pub(crate) hash: u64,
    /// What tells the addresses apart, [`EndsHash::ends`].
    ends: u64,
    /// 15 bits, not all zero.
    tag: u16,
    first: u32,
}

/// Why a session could not be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// The timer links of all slots.
pub(crate) struct Timers<'t>(pub(crate) &'t mut [Ties]);

impl Linked for Timers<'_> {
    fn links(&mut self, entry: u32) -> &mut Links {
        &mut self.0[entry as usize].timer
    }
}

/// The link header of a session's frames from the LAN to the WAN side: MAC addresses and VLAN tags, and how many
/// bytes of it count. In halves of 12 bytes: the library takes zeroed pages from the system for arrays of up to 16, and
/// writes zeros into longer ones, which would make all of them resident.
type Link = [[u8; 12]; 2];
const LINK_LEN_AT: usize = 23;

/// The table of one worker.
#[derive(Debug)]
pub struct Table {
    worker: u8,
    secret: HashSecret,
    ends: EndsHash,
    buckets: Vec<Bucket>,
    hot: Vec<Hot>,
    cold: Vec<Cold>,
    spills: Spills,
    ties: Vec<Ties>,
    /// IPv6 addresses, LAN side first. Its pages are taken from the system when IPv6 sessions first need them.
    wide: Vec<[u128; 2]>,
    /// Link headers of sessions whose ends are told when they expire; memory as with `wide`.
    links: Vec<Link>,
    /// Of a session that a helper follows: the number of its entry there. Of one that a helper expected: its control
    /// session, and what rules were asked of that. Memory as with `wide`.
    beside: Vec<[u64; 2]>,
    /// Of sessions that the appliance takes part in; memory as with `wide`.
    translated: Vec<translated::Words>,
    /// First free slot among those that were used before.
    free: u32,
    /// Slots from here on were never used.
    untouched: u32,
    live: u32,
    /// Sessions that have begun.
    begun: u64,
    /// Sessions that make room, by [`Class`], oldest first.
    unestablished: [List; Class::COUNT],
    /// When all others are so many, no session begins.
    established_max: u32,
}

impl Table {
    /// A table for `capacity` sessions (1 to 2^31 - 2) of worker `worker`.
    pub fn new(worker: u8, capacity: u32, secret: HashSecret) -> Self {
        assert!(capacity >= 1, "a session table holds at least one session");
        assert!(capacity < u32::MAX / 2, "slot numbers have 31 bits");
        let capacity = capacity as usize;
        let buckets = (capacity * INDEX_SLOTS.0 / INDEX_SLOTS.1).div_ceil(WAYS).max(2);
        Self {
            worker,
            secret,
            ends: EndsHash::new(&secret),
            buckets: vec![Bucket::default(); buckets],
            hot: vec![Hot::default(); capacity],
            cold: vec![Cold::default(); capacity],
            spills: Spills::default(),
            ties: vec![Ties::default(); capacity],
            wide: vec![[0; 2]; capacity],
            links: vec![[[0; 12]; 2]; capacity],
            beside: vec![[0; 2]; capacity],
            translated: vec![[0; 6]; capacity],
            free: NIL,
            untouched: 0,
            live: 0,
            begun: 0,
            unestablished: [List::EMPTY; Class::COUNT],
            established_max: u32::MAX,
        }
    }

    /// How many sessions it holds at the most.
    pub fn capacity(&self) -> u32 {
        u32::try_from(self.hot.len()).expect("checked when it was made")
    }

    /// How many sessions it holds.
    pub fn len(&self) -> u32 {
        self.live
    }

    /// How many have begun in it: as long as none has, a key that is not in it is not in it.
    #[inline]
    pub(crate) fn begun(&self) -> u64 {
        self.begun
    }

    /// Slots from here on were never used.
    pub(crate) fn used(&self) -> u32 {
        self.untouched
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Bytes of memory it has taken, IPv6 addresses and link headers apart.
    pub fn memory_bytes(&self) -> usize {
        size_of_val(&*self.buckets)
            + size_of_val(&*self.hot)
            + size_of_val(&*self.cold)
            + size_of_val(&*self.ties)
    }

    /// Where `key` hashes to.
    #[inline]
    pub fn hash(&self, key: &FlowKey) -> Hashed {
        self.hash_packed(&PackedKey::of(key))
    }

    /// The same of a key in words.
    #[inline]
    pub(crate) fn hash_packed(&self, key: &PackedKey) -> Hashed {
        let hash = self.secret.hash_packed(key);
        let tag = (low16(hash) & !Bucket::SECOND).max(1);
        let first = scale(high32(hash), self.buckets.len());
        Hashed { hash, ends: self.ends.ends(key), tag, first }
    }

    /// The other bucket of an entry: an involution, so that an entry can move without its key at hand.
    fn partner(&self, bucket: u32, tag: u16) -> u32 {
        let spread = u32::from(tag).wrapping_mul(0x9e37_79b1) ^ low32(self.secret.0[0]);
        let centre = scale(spread.wrapping_mul(0x85eb_ca6b), self.buckets.len());
        let count = u32::try_from(self.buckets.len()).expect("fewer buckets than slots");
        if centre >= bucket { centre - bucket } else { centre + (count - bucket) }
    }

    /// The slot of the live session with this key.
    pub fn find(&self, key: &FlowKey, hashed: Hashed) -> Option<u32> {
        self.find_packed(&PackedKey::of(key), hashed)
    }

    /// The same of a key in words.
    #[inline]
    pub(crate) fn find_packed(&self, key: &PackedKey, hashed: Hashed) -> Option<u32> {
        let is_it =
            |slot: &u32| self.is(*slot, key, hashed) && (!key.is_v6 || self.wide[*slot as usize] == key.wide);
        let first = &self.buckets[hashed.first as usize];
        if first.bits(hashed.tag) == 0 && first.elsewhere == 0 {
            return None;
        }
        let found = first.ways(hashed.tag).map(|way| first.slots[way]).find(is_it);
        if found.is_some() || first.elsewhere == 0 {
            return found;
        }
        let second = &self.buckets[self.partner(hashed.first, hashed.tag) as usize];
        second.ways(hashed.tag | Bucket::SECOND).map(|way| second.slots[way]).find(is_it)
    }

    /// Whether the live session in `slot` has this key, which hashes to that. Of IPv6 addresses only the hash is compared,
    /// which is as good as certain ([`EndsHash`]); [`Table::find`] compares all of them.
    #[inline]
    pub(crate) fn is(&self, slot: u32, key: &PackedKey, hashed: Hashed) -> bool {
        let hot = &self.hot[slot as usize];
        // All words at once, and one branch: the usual answer is yes.
        let differ = (hot.ends ^ hashed.ends)
            | u64::from(hot.ports ^ key.ports)
            | u64::from(hot.tag ^ key.tag)
            | u64::from(hot.flags & (Hot::LIVE | Hot::V6) ^ Hot::flags_of(key));
        differ == 0
    }

    /// Takes a slot for a new session with `key`, which is not in the table, in `state`; everything else is blank.
    pub fn insert(&mut self, key: &FlowKey, hashed: Hashed, from: Port, state: State) -> Result<u32, Full> {
        self.insert_packed(&PackedKey::of(key), hashed, from, state)
    }

    /// The same of a key in words.
    pub(crate) fn insert_packed(
        &mut self,
        key: &PackedKey,
        hashed: Hashed,
        from: Port,
        state: State,
    ) -> Result<u32, Full> {
        if self.free == NIL && self.untouched as usize >= self.hot.len() {
            return Err(Full);
        }
        let (bucket, way) = self.way_for(hashed).ok_or(Full)?;
        let slot = if self.free == NIL {
            self.untouched += 1;
            self.untouched - 1
        } else {
            let slot = self.free;
            self.free = self.ties[slot as usize].half_open.next();
            slot
        };
        let index = slot as usize;
        if key.is_v6 {
            self.wide[index] = key.wide;
        }
        self.hot[index] = Hot::new(hashed.ends, key, from, state);
        self.cold[index] = Cold::of_next(&self.cold[index]);
        self.ties[index] = Ties::default();
        let first = hashed.first as usize;
        self.buckets[first].elsewhere += u32::from(bucket != first);
        let mark = if bucket == first { 0 } else { Bucket::SECOND };
        self.buckets[bucket].tags[way] = hashed.tag | mark;
        self.buckets[bucket].slots[way] = slot;
        self.live += 1;
        self.begun += 1;
        if let Some(class) = self.hot[index].class() {
            self.join(class, slot);
        }
        Ok(slot)
    }

    /// Whether the index has a place for a key, or can make one.
    pub(crate) fn has_way(&mut self, hashed: Hashed) -> bool {
        self.way_for(hashed).is_some()
    }

    /// A free way in one of the two buckets; moves entries to their other buckets if both are full.
    fn way_for(&mut self, hashed: Hashed) -> Option<(usize, usize)> {
        let first = hashed.first as usize;
        if let Some(way) = self.buckets[first].free() {
            return Some((first, way));
        }
        let second = self.partner(hashed.first, hashed.tag) as usize;
        if let Some(way) = self.buckets[second].free() {
            return Some((second, way));
        }
        (0..MOVES_MAX).find_map(|deeper| {
            [first, second].into_iter().find_map(|bucket| Some((bucket, self.make_way(bucket, deeper)?)))
        })
    }

    /// Frees a way of a full bucket by moving one of its entries to its other bucket, which is full as well where
    /// `deeper` is not 0: so many moves make a way there first.
    fn make_way(&mut self, bucket: usize, deeper: u32) -> Option<usize> {
        let number = u32::try_from(bucket).expect("bucket numbers have 32 bits");
        for way in 0..WAYS {
            let Bucket { tags, slots, .. } = self.buckets[bucket];
            let (tag, slot) = (tags[way], slots[way]);
            let other = self.partner(number, tag & !Bucket::SECOND) as usize;
            let free = match deeper {
                0 => self.buckets[other].free(),
                _ => self.make_way(other, deeper - 1),
            };
            let Some(free) = free else { continue };
            if tag & Bucket::SECOND == 0 {
                self.buckets[bucket].elsewhere += 1;
            } else {
                self.buckets[other].elsewhere -= 1;
            }
            self.buckets[other].tags[free] = tag ^ Bucket::SECOND;
            self.buckets[other].slots[free] = slot;
            self.buckets[bucket].tags[way] = 0;
            return Some(way);
        }
        None
    }

    /// Frees the slot of a live session whose timer is in no list.
    pub fn remove(&mut self, slot: u32) {
        self.remove_hashed(slot, self.hash_packed(&self.packed(slot)));
    }

    /// The same of a session whose key hashes to that.
    pub(crate) fn remove_hashed(&mut self, slot: u32, hashed: Hashed) {
        self.forget(slot, hashed);
        if let Some(class) = self.hot[slot as usize].class() {
            self.leave(class, slot);
        }
        self.hot[slot as usize].flags = 0;
        self.spills.forget(slot);
        self.ties[slot as usize].half_open = Links::to(self.free);
        self.free = slot;
        self.live -= 1;
    }

    /// Takes a slot out of the index.
    fn forget(&mut self, slot: u32, hashed: Hashed) {
        let first = &mut self.buckets[hashed.first as usize];
        if let Some(way) = first.ways(hashed.tag).find(|way| first.slots[*way] == slot) {
            first.tags[way] = 0;
            return;
        }
        first.elsewhere -= 1;
        let second = self.partner(hashed.first, hashed.tag) as usize;
        let second = &mut self.buckets[second];
        let way = second.ways(hashed.tag | Bucket::SECOND).find(|way| second.slots[*way] == slot);
        second.tags[way.expect("a live session is in one of its buckets")] = 0;
    }

    /// The part of a session that packets read.
    pub(crate) fn hot(&self, slot: u32) -> &Hot {
        &self.hot[slot as usize]
    }

    /// The same, to write.
    #[inline]
    pub(crate) fn hot_mut(&mut self, slot: u32) -> &mut Hot {
        &mut self.hot[slot as usize]
    }

    /// Both parts of a session.
    #[inline]
    pub(crate) fn both(&mut self, slot: u32) -> (&mut Hot, &mut Cold) {
        (&mut self.hot[slot as usize], &mut self.cold[slot as usize])
    }

    /// The part of a session that packets only add to; how much they did is told by [`Table::counts`].
    pub(crate) fn cold(&self, slot: u32) -> &Cold {
        &self.cold[slot as usize]
    }

    /// Remembers the link header of a frame of the session in `slot` that arrived on `port`.
    pub(crate) fn learn_link(&mut self, slot: u32, port: Port, header: &[u8]) {
        // Without the EtherType: 12 bytes of addresses, and up to two tags.
        let Some(header) = header.len().checked_sub(2).and_then(|len| header.get(..len)) else { return };
        let link = self.links[slot as usize].as_flattened_mut();
        let (Ok(len), Some(room)) = (u8::try_from(header.len()), link.get_mut(..header.len())) else {
            return;
        };
        room.copy_from_slice(header);
        if port == Port::Wan {
            let (destination, source) = link.split_at_mut(6);
            destination.swap_with_slice(&mut source[..6]);
        }
        link[LINK_LEN_AT] = len;
        self.hot[slot as usize].flags |= Hot::HAS_LINK;
    }

    /// The link header of the session's frames from the LAN to the WAN side, without the EtherType, if it is known.
    pub(crate) fn link(&self, slot: u32) -> Option<&[u8]> {
        let link = self.links[slot as usize].as_flattened();
        (self.hot[slot as usize].flags & Hot::HAS_LINK != 0)
            .then(|| link.get(..usize::from(link[LINK_LEN_AT])))?
    }

    /// Remembers what helpers know of the session in `slot`.
    pub(crate) fn put_beside(&mut self, slot: u32, words: [u64; 2]) {
        self.beside[slot as usize] = words;
    }

    /// The number that a followed session has with the helpers.
    #[expect(clippy::cast_possible_truncation, reason = "it was put there as 32 bits")]
    pub(crate) fn number_beside(&self, slot: u32) -> u32 {
        self.beside[slot as usize][0] as u32
    }

    /// The control session of one that was expected.
    pub(crate) fn parent_beside(&self, slot: u32) -> u64 {
        self.beside[slot as usize][0]
    }

    /// What rules were asked of that control session.
    #[expect(clippy::cast_possible_truncation, reason = "it was put there as 32 bits")]
    pub(crate) fn bits_beside(&self, slot: u32) -> u32 {
        self.beside[slot as usize][1] as u32
    }

    /// The timer links of all sessions.
    pub(crate) fn timers(&mut self) -> Timers<'_> {
        Timers(&mut self.ties)
    }

    /// The name of the session in `slot`.
    #[inline]
    pub(crate) fn id(&self, slot: u32) -> SessionId {
        SessionId::new(self.worker, self.cold[slot as usize].generation(), slot)
    }

    /// The slot of the live session of that name.
    pub(crate) fn slot(&self, id: SessionId) -> Option<u32> {
        let (hot, cold) = (self.hot.get(id.slot() as usize)?, self.cold.get(id.slot() as usize)?);
        let same = hot.is_live() && cold.generation() == id.generation() && id.worker() == self.worker;
        same.then(|| id.slot())
    }

    /// Whether a live session is in `slot`.
    pub(crate) fn is_live(&self, slot: u32) -> bool {
        self.hot[slot as usize].is_live()
    }

    /// The key of the session in `slot`.
    pub(crate) fn key(&self, slot: u32) -> FlowKey {
        self.packed(slot).unpacked()
    }

    /// The same in words.
    pub(crate) fn packed(&self, slot: u32) -> PackedKey {
        let Hot { ends, ports, tag, flags, .. } = self.hot[slot as usize];
        let mut key = PackedKey { ports, tag, ..PackedKey::default() };
        if flags & Hot::V6 == 0 {
            key.set_v4(high32(ends), low32(ends));
        } else {
            let [lan, wan] = self.wide[slot as usize];
            key.set_v6(lan, wan);
        }
        key
    }
}

/// `of` parts of 2^32, rounded down: a uniform 32-bit number made an index without a division.
const fn scale(uniform: u32, of: usize) -> u32 {
    ((uniform as u64 * of as u64) >> 32) as u32
}

#[expect(clippy::cast_possible_truncation, reason = "the lower bits are what is wanted")]
const fn low16(hash: u64) -> u16 {
    hash as u16
}

#[expect(clippy::cast_possible_truncation, reason = "the lower bits are what is wanted")]
const fn low32(hash: u64) -> u32 {
    hash as u32
}

const fn high32(hash: u64) -> u32 {
    low32(hash >> 32)
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers")]
mod tests;
