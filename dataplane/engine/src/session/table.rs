//! The session table: fixed in size, taken at start; it never grows, never rehashes, never stalls.
//!
//! A session is four records under one slot number: [`Hot`] (64 bytes, one cache line: the key and everything that
//! an established packet reads), [`Cold`] (32 bytes, half a line: what it adds to), [`Ties`] (16 bytes: its places in
//! lists) and, for IPv6, the two addresses (32 bytes). Slots are found through an index of cache-line buckets, each with [`WAYS`] tags and slot numbers: a key
//! has two buckets (cuckoo hashing with partial keys: Fan et al., "Cuckoo Filter", 2014; Pagh and Rodler, 2004). It
//! goes to the second only when the first is full, and the first then knows, so a look-up touches one line of the
//! index, found or not, or two where there was a crowd. An insertion moves at most [`MOVES_MAX`] entries to make room;
//! at eight ways and 80 % load one move is enough for all but one in twenty million, and two for the rest.
//!
//! 64 + 32 + 16 + 10 bytes: 122 bytes an IPv4 session, 154 an IPv6 one.

use wide::u16x8;

use super::room::Pressure;
use super::wheel::{Linked, Links, NIL};
use super::{SessionId, State, tcp};
use crate::flow::{FlowKey, HashSecret, PackedKey};
use crate::helper::Mark;
use crate::policy::{RuleKey, TcpWindowMode, Timeouts, TimeoutsId};
use crate::port::Port;

mod ahead;
mod half_open;
mod translated;

use half_open::{Class, List};

/// Slots of a bucket.
const WAYS: usize = 8;
/// Slots of the index for every session that the table holds, as a fraction: load is at most 0.8.
const INDEX_SLOTS: (usize, usize) = (5, 4);
/// Entries that an insertion moves at the most: it then has looked into 2 * (8 + 64) buckets.
const MOVES_MAX: u32 = 2;

/// What a packet of a live session reads and writes.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub(crate) struct Hot {
    /// Addresses: themselves for IPv4; folded to 32 bits for IPv6, where [`Table`] holds them in full.
    lan: u32,
    wan: u32,
    /// Ports, LAN side in the upper half.
    ports: u32,
    /// VLAN tags and protocol.
    tag: u32,
    /// TCP tracking by port of arrival, LAN first.
    pub(crate) peers: [tcp::Peer; 2],
    /// When the last packet that counts came: milliseconds of the engine's clock, wrapping.
    pub(crate) last_seen_ms: u32,
    /// Generation of the policy it was decided under.
    pub(crate) policy: u32,
    /// Generation of the slot, counts its sessions: 24 bits, the lowest first.
    generation: [u8; 3],
    /// What helpers have to do with it.
    pub(crate) mark: Mark,
    /// Its timeouts in that policy; in the two bits above them how far those were shortened; in the upper two how strictly
    /// its windows are held.
    terms: u16,
    /// [`State`].
    pub(crate) state: State,
    flags: u8,
}

impl Hot {
    const WINDOW_AT: u32 = 14;
    const PRESSURE_AT: u32 = 12;
    const PRESSURE: u16 = 3 << Self::PRESSURE_AT;

    const LIVE: u8 = 1;
    const V6: u8 = 2;
    const FROM_WAN: u8 = 4;
    /// Its ends were asked whether they live; how often is told by [`Table::probes`].
    const ASKED: u8 = 8;
    /// Nothing is wrong with the source address of either end, under the policy that it was decided under.
    const CLEAN: u8 = 16;
    /// The end on the LAN side answered; twice that: the one on the WAN side.
    const ANSWERED: u8 = 32;
    const ANSWERED_BOTH: u8 = 32 | 64;
    /// Of a reset session, whose ends are never asked: its opener was never answered but by the reset, and it makes
    /// room as it did before.
    const WAS_UNANSWERED: u8 = Self::ANSWERED;
    /// [`Table`] knows its link header.
    const HAS_LINK: u8 = 128;

    /// Those of [`Self::LIVE`] and [`Self::V6`] that a live session with this key has.
    const fn flags_of(key: &PackedKey) -> u8 {
        Self::LIVE | if key.is_v6 { Self::V6 } else { 0 }
    }

    /// The port on which its first packet arrived.
    pub(crate) const fn from(&self) -> Port {
        if self.flags & Self::FROM_WAN == 0 { Port::Lan } else { Port::Wan }
    }

    /// IP protocol number.
    pub(crate) const fn protocol(&self) -> u8 {
        (self.tag >> 24) as u8
    }

    /// Its timeouts in the policy that it was decided under.
    pub(crate) const fn timeouts(&self) -> TimeoutsId {
        TimeoutsId(self.terms & TimeoutsId::MAX)
    }

    /// How strictly that policy holds its windows.
    pub(crate) const fn tcp_window(&self) -> TcpWindowMode {
        match self.terms >> Self::WINDOW_AT {
            0 => TcpWindowMode::Strict,
            1 => TcpWindowMode::Log,
            _ => TcpWindowMode::Off,
        }
    }

    pub(crate) const fn set_terms(&mut self, timeouts: TimeoutsId, tcp_window: TcpWindowMode) {
        let window: u16 = match tcp_window {
            TcpWindowMode::Strict => 0,
            TcpWindowMode::Log => 1,
            TcpWindowMode::Off => 2,
        };
        self.terms = window << Self::WINDOW_AT | self.terms & Self::PRESSURE | timeouts.0 & TimeoutsId::MAX;
    }

    /// How full the table was when it came into its state.
    pub(crate) const fn pressure(&self) -> Pressure {
        Pressure::of_level((self.terms & Self::PRESSURE) >> Self::PRESSURE_AT)
    }

    pub(crate) const fn set_pressure(&mut self, pressure: Pressure) {
        self.terms = self.terms & !Self::PRESSURE | pressure.level() << Self::PRESSURE_AT;
    }

    /// How long it may stay in its state without a packet, in milliseconds: shortened if the table was filling when it came
    /// into that, and it is not established.
    pub(crate) const fn timeout_ms(&self, timeouts: &Timeouts) -> u32 {
        self.pressure().timeout_ms(self.state, self.protocol(), timeouts)
    }

    /// Whether its ends were asked whether they live, and have not both answered.
    pub(crate) const fn is_asked(&self) -> bool {
        self.flags & Self::ASKED != 0
    }

    /// The end behind `port` spoke while both are asked; whether both have.
    pub(crate) const fn answer(&mut self, port: Port) -> bool {
        self.flags |= Self::ANSWERED << port.index();
        self.flags & Self::ANSWERED_BOTH == Self::ANSWERED_BOTH
    }

    /// Both ends live: nobody is asked any more.
    pub(crate) const fn settle(&mut self) {
        self.flags &= !(Self::ASKED | Self::ANSWERED_BOTH);
    }

    /// Whether nothing is wrong with the source address of either end, under the policy that it was decided under.
    pub(crate) const fn set_clean(&mut self, is_clean: bool) {
        self.flags = self.flags & !Self::CLEAN | if is_clean { Self::CLEAN } else { 0 };
    }

    /// Whether a packet of it may pass with nothing but its state machine to ask: its ends' addresses are right, nobody
    /// asked whether they live, no helper reads, no number is translated.
    pub(crate) const fn is_smooth(&self) -> bool {
        self.flags & (Self::CLEAN | Self::ASKED) == Self::CLEAN && self.mark.is_smooth()
    }

    /// As what it makes room for a newcomer in a full table; `None`: it never does.
    fn class(&self) -> Option<Class> {
        match self.state {
            State::Unreplied => Some(Class::OneWay),
            state if state.is_half_open() || self.was_unanswered() => Some(Class::HalfOpen),
            _ => None,
        }
    }

    /// Whether a reset ended it before its opener was answered: neither end ever took it for established.
    pub(crate) fn was_unanswered(&self) -> bool {
        self.state == State::Reset && self.flags & Self::WAS_UNANSWERED != 0
    }

    const fn is_live(&self) -> bool {
        self.flags & Self::LIVE != 0
    }

    const fn generation(&self) -> u32 {
        let [low, middle, high] = self.generation;
        u32::from_le_bytes([low, middle, high, 0])
    }
}

/// What a packet only adds to.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(32))]
pub(crate) struct Cold {
    packets_low: [u32; 2],
    bytes_low: [u32; 2],
    packets_high: [u16; 2],
    bytes_high: [u16; 2],
    /// When its first packet came: milliseconds of the engine's clock, wrapping.
    pub(crate) created_ms: u32,
    pub(crate) rule: RuleKey,
}

/// Where a session is in lists.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct Ties {
    timer: Links,
    /// Neighbours in the list of its class of sessions that make room; of a free slot: the next free one; of any other session: the
    /// words of [`tcp::Attempt`], or none, and above them how often its ends were asked whether they live.
    half_open: Links,
}

const _: () = assert!(size_of::<Hot>() == 64);
const _: () = assert!(size_of::<Cold>() == 32);
const _: () = assert!(size_of::<Ties>() == 16);
const _: () = assert!(size_of::<Bucket>() == 64);

impl Cold {
    /// Counts a frame of `bytes` that arrived on `port`; 48 bits each.
    #[inline]
    pub(crate) fn count(&mut self, port: Port, bytes: u32) {
        let side = port.index();
        add48(&mut self.packets_low[side], &mut self.packets_high[side], 1);
        add48(&mut self.bytes_low[side], &mut self.bytes_high[side], bytes);
    }

    pub(crate) fn packets(&self) -> [u64; 2] {
        [0, 1].map(|side| u64::from(self.packets_high[side]) << 32 | u64::from(self.packets_low[side]))
    }

    pub(crate) fn bytes(&self) -> [u64; 2] {
        [0, 1].map(|side| u64::from(self.bytes_high[side]) << 32 | u64::from(self.bytes_low[side]))
    }
}

#[inline]
fn add48(low: &mut u32, high: &mut u16, more: u32) {
    let (sum, carry) = low.overflowing_add(more);
    *low = sum;
    // Once in four billion: foretold, where an addition each time would be one more read and write.
    if carry {
        *high = high.wrapping_add(1);
    }
}

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
    buckets: Vec<Bucket>,
    hot: Vec<Hot>,
    cold: Vec<Cold>,
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
            buckets: vec![Bucket::default(); buckets],
            hot: vec![Hot::default(); capacity],
            cold: vec![Cold::default(); capacity],
            ties: vec![Ties::default(); capacity],
            wide: vec![[0; 2]; capacity],
            links: vec![[[0; 12]; 2]; capacity],
            beside: vec![[0; 2]; capacity],
            translated: vec![[0; 6]; capacity],
            free: NIL,
            untouched: 0,
            live: 0,
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
        Hashed { hash, tag, first: scale(high32(hash), self.buckets.len()) }
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
        let is_it = |slot: &u32| self.is(*slot, key);
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

    /// Whether the live session in `slot` has this key.
    #[inline]
    pub(crate) fn is(&self, slot: u32, key: &PackedKey) -> bool {
        let hot = &self.hot[slot as usize];
        // All words at once, and one branch: the usual answer is yes.
        let differ = (hot.lan ^ key.lan)
            | (hot.wan ^ key.wan)
            | (hot.ports ^ key.ports)
            | (hot.tag ^ key.tag)
            | u32::from(hot.flags & (Hot::LIVE | Hot::V6) ^ Hot::flags_of(key));
        differ == 0 && (!key.is_v6 || self.wide[slot as usize] == key.wide)
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
        let mut flags = Hot::flags_of(key);
        if key.is_v6 {
            self.wide[index] = key.wide;
        }
        if from == Port::Wan {
            flags |= Hot::FROM_WAN;
        }
        let [low, middle, high, _] = self.hot[index].generation().wrapping_add(1).to_le_bytes();
        let generation = [low, middle, high];
        let PackedKey { lan, wan, ports, tag, .. } = *key;
        self.hot[index] = Hot { lan, wan, ports, tag, generation, state, flags, ..Hot::default() };
        self.cold[index] = Cold::default();
        self.ties[index] = Ties::default();
        let first = hashed.first as usize;
        self.buckets[first].elsewhere += u32::from(bucket != first);
        let mark = if bucket == first { 0 } else { Bucket::SECOND };
        self.buckets[bucket].tags[way] = hashed.tag | mark;
        self.buckets[bucket].slots[way] = slot;
        self.live += 1;
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

    /// Both parts of a session.
    #[inline]
    pub(crate) fn both(&mut self, slot: u32) -> (&mut Hot, &mut Cold) {
        (&mut self.hot[slot as usize], &mut self.cold[slot as usize])
    }

    /// The part of a session that packets only add to.
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
        SessionId::new(self.worker, self.hot[slot as usize].generation(), slot)
    }

    /// The slot of the live session of that name.
    pub(crate) fn slot(&self, id: SessionId) -> Option<u32> {
        let hot = self.hot.get(id.slot() as usize)?;
        let same = hot.is_live() && hot.generation() == id.generation() && id.worker() == self.worker;
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
        let Hot { lan, wan, ports, tag, flags, .. } = self.hot[slot as usize];
        let wide = if flags & Hot::V6 == 0 { [0; 2] } else { self.wide[slot as usize] };
        PackedKey { lan, wan, ports, tag, is_v6: flags & Hot::V6 != 0, wide }
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
