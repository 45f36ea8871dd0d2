//! Expectations: connections that a control session announced, and that may open without a rule.
//!
//! One table of fixed size for all engines of an appliance, because the packets of a data session are another
//! worker's, as chance has it. Nobody waits: a slot is claimed by one compare-and-exchange on its sequence word (odd
//! while it is being written, as in a sequence lock), and who does not get it looks further. An expectation is in the table
//! before the verdict on the packet that announced it is given, so it is there when the first packet of its connection
//! comes.
//!
//! The table is read only for a packet without a session, and only when something is expected at all. What has expired is
//! found out when its place is looked at.

use core::net::IpAddr;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use core::sync::atomic::{AtomicU32, AtomicU64, fence};

use super::Helper;
use crate::flow::{Ends, FlowKey, HashSecret};
use crate::packet::VlanStack;
use crate::policy::RuleKey;
use crate::port::Port;
use crate::session::SessionId;
use crate::time::{Duration, Instant};

/// Slots of a bucket; an expectation is in one of two buckets.
const WAYS: usize = 8;
/// Words of an expectation, and which of them says when it is over.
const WORDS: usize = 9;
const EXPIRES: usize = 8;
/// Expectations that the table holds at the most.
pub const EXPECTATIONS_MAX: u32 = 8192;
/// Control sessions that are followed at the most.
pub const FOLLOWERS_MAX: u32 = 4096;
/// Buckets that are looked through for what has expired whenever something is registered.
const SWEPT: u32 = 4;
/// A reader that meets a writer looks again so often.
const READS_MAX: usize = 8;

/// The table of an appliance.
#[derive(Debug)]
pub struct Expectations {
    secret: HashSecret,
    buckets: Box<[Bucket]>,
    /// Slots taken, those that expired and were not found out yet included.
    taken: AtomicU32,
    /// The bucket that is swept next.
    broom: AtomicU32,
    /// Control sessions that are followed, by all engines together.
    followed: AtomicU32,
    followers_max: u32,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Bucket {
    /// The hash of what is in each slot; 0: nothing.
    tags: [AtomicU64; WAYS],
    slots: [Slot; WAYS],
}

#[derive(Debug, Default)]
struct Slot {
    /// Odd while somebody owns the slot; two more whenever its content has changed.
    sequence: AtomicU64,
    words: [AtomicU64; WORDS],
}

/// What is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expectation {
    /// Addresses, protocol, tags and the destination's port; the port of the source is 0.
    pub(crate) key: FlowKey,
    pub(crate) helper: Helper,
    /// The rule of the control session.
    pub(crate) rule: RuleKey,
    /// The control session.
    pub(crate) parent: SessionId,
    /// What rules were asked of the control session.
    pub(crate) asked: Asked,
    /// The policy under which it was announced.
    pub(crate) generation: u32,
    /// When it is over, in milliseconds of the engine's clock.
    pub(crate) expires_ms: u64,
}

/// What rules were asked of a control session, as far as its expectations do not tell it by their own addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Where its first packet arrived.
    pub(crate) from: Port,
    pub(crate) protocol: u8,
    pub(crate) destination_port: u16,
}

impl Asked {
    pub(crate) fn bits(self) -> u32 {
        u32::from(self.destination_port) | u32::from(self.protocol) << 16 | u32::from(self.from as u8) << 24
    }

    #[expect(clippy::cast_possible_truncation, reason = "the parts of a packed word are taken apart")]
    pub(crate) const fn from_bits(bits: u32) -> Self {
        Self {
            from: if bits >> 24 & 1 == 0 { Port::Lan } else { Port::Wan },
            protocol: (bits >> 16) as u8,
            destination_port: bits as u16,
        }
    }
}

/// An expectation as listings show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectationView {
    /// Whose it is.
    pub helper: Helper,
    /// The control session that announced it.
    pub parent: SessionId,
    /// The rule of that session.
    pub rule: RuleKey,
    /// The port on which its first packet must arrive.
    pub from: Port,
    /// The host that may connect, from any port.
    pub source: IpAddr,
    /// The host that awaits it.
    pub destination: IpAddr,
    /// The port on which it is awaited.
    pub destination_port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// VLAN tags.
    pub vlan: VlanStack,
    /// It is over then.
    pub expires_in: Duration,
}

/// Where an expectation is, for whoever registered it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handle(u64);

impl Handle {
    /// A change is told by 32 bits of the sequence.
    const fn new(place: usize, sequence: u64) -> Self {
        Self((place as u64) << 32 | sequence >> 1 & 0xffff_ffff)
    }

    pub(crate) const fn number(self) -> u64 {
        self.0
    }

    pub(crate) const fn from_number(number: u64) -> Self {
        Self(number)
    }

    const fn place(self) -> usize {
        (self.0 >> 32) as usize
    }

    const fn is_of(self, sequence: u64) -> bool {
        (self.0 ^ sequence >> 1) & 0xffff_ffff == 0
    }
}

/// What became of an announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Registered {
    pub(crate) handle: Handle,
    /// What was in its place and expected the same.
    pub(crate) before: Before,
}

/// What was expected before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    /// Nothing that is still open.
    Nothing,
    /// The same, by the same control session: it is renewed.
    Same,
    /// The same, by another control session with this helper.
    Another(Helper),
}

/// An expectation whose connection is about to open: nobody else can have it meanwhile.
#[derive(Debug)]
#[must_use = "a claim that is neither used nor given back takes its slot for ever"]
pub(crate) struct Claim {
    pub(crate) expectation: Expectation,
    place: usize,
    sequence: u64,
}

impl Expectations {
    /// A table for an appliance whose engines hold so many sessions.
    pub fn new(sessions_max: u32, secret: HashSecret) -> Self {
        let expectations = sessions_max.clamp(1, EXPECTATIONS_MAX) as usize;
        let buckets = expectations.div_ceil(WAYS).max(2);
        Self {
            secret,
            buckets: (0..buckets).map(|_| Bucket::default()).collect(),
            taken: AtomicU32::new(0),
            broom: AtomicU32::new(0),
            followed: AtomicU32::new(0),
            followers_max: sessions_max.clamp(1, FOLLOWERS_MAX),
        }
    }

    /// Whether nothing at all is expected: what a first packet costs where no helper is at work.
    pub(crate) fn is_empty(&self) -> bool {
        self.taken.load(Acquire) == 0
    }

    /// Expectations that are open, by the number of their helper.
    pub fn open(&self, now: Instant) -> [u64; Helper::ALL.len()] {
        let mut open = [0; Helper::ALL.len()];
        self.each(now, |expectation| open[expectation.helper.index()] += 1);
        open
    }

    /// Calls `each` with every expectation that is open, in no order. Any thread may, at any time.
    pub fn list(&self, now: Instant, mut each: impl FnMut(&ExpectationView)) {
        self.each(now, |expectation| each(&expectation.view(now)));
    }

    fn each(&self, now: Instant, mut each: impl FnMut(&Expectation)) {
        if self.is_empty() {
            return;
        }
        for bucket in &self.buckets {
            for (tag, slot) in bucket.tags.iter().zip(&bucket.slots) {
                if tag.load(Acquire) != 0
                    && let Some((_, expectation)) = slot.read()
                    && expectation.expires_ms > now.as_millis()
                {
                    each(&expectation);
                }
            }
        }
    }

    /// Takes a place among the control sessions that are followed, if there is one.
    pub(crate) fn begin_following(&self) -> bool {
        let more = |followed| (followed < self.followers_max).then_some(followed + 1);
        self.followed.fetch_update(AcqRel, Relaxed, more).is_ok()
    }

    /// Gives that place back.
    pub(crate) fn end_following(&self) {
        self.followed.fetch_sub(1, AcqRel);
    }

    /// Control sessions that can be followed.
    pub(crate) const fn followers_max(&self) -> u32 {
        self.followers_max
    }

    /// Expects a connection from now on; `None` if the table is full.
    pub(crate) fn register(&self, expectation: &Expectation, now: Instant) -> Option<Registered> {
        let now_ms = now.as_millis();
        self.sweep(now_ms);
        let (tag, buckets) = self.place_of(&expectation.key);
        let registered = self
            .renew(expectation, now_ms, tag, buckets)
            .or_else(|| self.add(expectation, now_ms, tag, buckets));
        // What is written is seen by all before the packet that announced it goes on its way.
        fence(SeqCst);
        registered
    }

    /// Writes over what expects the same.
    fn renew(&self, new: &Expectation, now_ms: u64, tag: u64, buckets: [usize; 2]) -> Option<Registered> {
        for (place, slot) in self.tagged(tag, buckets) {
            let Some((sequence, old)) = slot.read() else { continue };
            if old.key != new.key || !self.claim_full(place, sequence) {
                continue;
            }
            slot.write(new);
            let sequence = slot.settle(sequence);
            let before = match () {
                () if old.expires_ms <= now_ms => Before::Nothing,
                () if old.parent == new.parent => Before::Same,
                () => Before::Another(old.helper),
            };
            return Some(Registered { handle: Handle::new(place, sequence), before });
        }
        None
    }

    fn add(&self, new: &Expectation, now_ms: u64, tag: u64, buckets: [usize; 2]) -> Option<Registered> {
        for number in buckets {
            for way in 0..WAYS {
                self.reclaim(number, way, now_ms);
            }
        }
        // The emptier bucket first: two choices keep both far from full.
        let vacant =
            |number: usize| self.buckets[number].tags.iter().filter(|tag| tag.load(Relaxed) == 0).count();
        let [first, second] = buckets;
        let order = if vacant(second) > vacant(first) { [second, first] } else { [first, second] };
        for number in order {
            let bucket = &self.buckets[number];
            for way in 0..WAYS {
                let slot = &bucket.slots[way];
                let sequence = slot.sequence.load(Acquire);
                if bucket.tags[way].load(Acquire) != 0 || sequence & 1 != 0 || !slot.claim(sequence) {
                    continue;
                }
                if bucket.tags[way].load(Acquire) != 0 {
                    slot.give_back(sequence);
                    continue;
                }
                slot.write(new);
                self.taken.fetch_add(1, AcqRel);
                bucket.tags[way].store(tag, Release);
                let sequence = slot.settle(sequence);
                let handle = Handle::new(number * WAYS + way, sequence);
                return Some(Registered { handle, before: Before::Nothing });
            }
        }
        None
    }

    /// The expectation that a first packet with this key (source port 0) fits, claimed for it.
    pub(crate) fn claim(&self, key: &FlowKey, now: Instant) -> Option<Claim> {
        let (tag, buckets) = self.place_of(key);
        for (place, slot) in self.tagged(tag, buckets) {
            let Some((sequence, expectation)) = slot.read() else { continue };
            if expectation.key == *key
                && expectation.expires_ms > now.as_millis()
                && self.claim_full(place, sequence)
            {
                return Some(Claim { expectation, place, sequence });
            }
        }
        None
    }

    /// Its connection has opened: it is used up.
    pub(crate) fn use_up(&self, claim: Claim) {
        self.clear(claim.place, claim.sequence);
    }

    /// Its connection did not open: it goes on waiting.
    pub(crate) fn give_back(&self, claim: Claim) {
        self.slot(claim.place).give_back(claim.sequence);
    }

    /// Withdraws an expectation; whether it was still open.
    pub(crate) fn withdraw(&self, handle: Handle, now: Instant) -> bool {
        let slot = self.slot(handle.place());
        let Some((sequence, expectation)) = slot.read() else {
            // Its connection is about to open elsewhere. Should that fail, nobody else finds it open any more.
            if handle.is_of(slot.sequence.load(Acquire)) {
                slot.expire();
            }
            return false;
        };
        if !handle.is_of(sequence) || !self.claim_full(handle.place(), sequence) {
            return false;
        }
        self.clear(handle.place(), sequence);
        expectation.expires_ms > now.as_millis()
    }

    /// Whether an expectation is still open.
    pub(crate) fn is_open(&self, handle: Handle, now: Instant) -> bool {
        let read = self.slot(handle.place()).read();
        read.is_some_and(|(sequence, expectation)| {
            handle.is_of(sequence) && expectation.expires_ms > now.as_millis()
        })
    }

    /// Takes a slot in which there is something, if nothing has changed in it since `sequence`. Its tag is looked at once it
    /// is taken: one that was emptied after somebody saw its tag, and before its sequence was read, is free, and whoever
    /// took it for full would empty it twice or write where nobody looks.
    fn claim_full(&self, place: usize, sequence: u64) -> bool {
        let slot = self.slot(place);
        if !slot.claim(sequence) {
            return false;
        }
        let is_full = self.buckets[place / WAYS].tags[place % WAYS].load(Acquire) != 0;
        if !is_full {
            slot.give_back(sequence);
        }
        is_full
    }

    fn slot(&self, place: usize) -> &Slot {
        &self.buckets[place / WAYS].slots[place % WAYS]
    }

    /// Empties a slot that is claimed.
    fn clear(&self, place: usize, sequence: u64) {
        self.buckets[place / WAYS].tags[place % WAYS].store(0, Release);
        // Whoever saw the tag before finds nothing open.
        self.slot(place).expire();
        self.slot(place).settle(sequence);
        self.taken.fetch_sub(1, AcqRel);
    }

    fn reclaim(&self, number: usize, way: usize, now_ms: u64) {
        let bucket = &self.buckets[number];
        if bucket.tags[way].load(Acquire) != 0
            && let Some((sequence, expectation)) = bucket.slots[way].read()
            && expectation.expires_ms <= now_ms
            && self.claim_full(number * WAYS + way, sequence)
        {
            self.clear(number * WAYS + way, sequence);
        }
    }

    fn sweep(&self, now_ms: u64) {
        let first = self.broom.fetch_add(SWEPT, Relaxed);
        for step in 0..SWEPT {
            let number = first.wrapping_add(step) as usize % self.buckets.len();
            for way in 0..WAYS {
                self.reclaim(number, way, now_ms);
            }
        }
    }

    /// The tag of a key, and its two buckets.
    fn place_of(&self, key: &FlowKey) -> (u64, [usize; 2]) {
        let hash = self.secret.hash(key);
        let count = self.buckets.len() as u64;
        let scaled = |bits: u64| usize::try_from(((bits & 0xffff_ffff) * count) >> 32).unwrap_or(0);
        (hash | 1, [scaled(hash), scaled(hash >> 32)])
    }

    /// The slots that have this tag.
    fn tagged(&self, tag: u64, buckets: [usize; 2]) -> impl Iterator<Item = (usize, &Slot)> {
        let places = buckets.into_iter().flat_map(|number| (0..WAYS).map(move |way| (number, way)));
        places
            .filter(move |(number, way)| self.buckets[*number].tags[*way].load(Acquire) == tag)
            .map(|(number, way)| (number * WAYS + way, &self.buckets[number].slots[way]))
    }
}

impl Slot {
    /// What is in it, and under which sequence; `None` if others keep writing.
    fn read(&self) -> Option<(u64, Expectation)> {
        for _ in 0..READS_MAX {
            let sequence = self.sequence.load(Acquire);
            let words = core::array::from_fn(|place| self.words[place].load(Relaxed));
            fence(Acquire);
            if sequence & 1 == 0 && self.sequence.load(Relaxed) == sequence {
                return Some((sequence, Expectation::of_words(words)));
            }
            core::hint::spin_loop();
        }
        None
    }

    /// Takes the slot, if nothing has changed in it since `sequence`.
    fn claim(&self, sequence: u64) -> bool {
        let claimed = self.sequence.compare_exchange(sequence, sequence + 1, AcqRel, Relaxed).is_ok();
        fence(Release);
        claimed
    }

    /// Writes into a slot that is claimed.
    fn write(&self, expectation: &Expectation) {
        for (word, value) in self.words.iter().zip(expectation.words()) {
            word.store(value, Relaxed);
        }
    }

    /// What is in it is over.
    fn expire(&self) {
        self.words[EXPIRES].store(0, Relaxed);
    }

    /// Ends a claim that changed the slot; its new sequence.
    fn settle(&self, sequence: u64) -> u64 {
        self.sequence.store(sequence + 2, Release);
        sequence + 2
    }

    /// Ends a claim that changed nothing.
    fn give_back(&self, sequence: u64) {
        self.sequence.store(sequence, Release);
    }
}

impl Expectation {
    const V6: u64 = 1;

    #[expect(clippy::cast_possible_truncation, reason = "the halves are what is wanted")]
    fn words(&self) -> [u64; WORDS] {
        let key = &self.key;
        let (lan, wan, family) = match key.addresses {
            Ends::V4 { lan, wan } => (u128::from(lan), u128::from(wan), 0),
            Ends::V6 { lan, wan } => (lan, wan, Self::V6),
        };
        [
            (lan >> 64) as u64,
            lan as u64,
            (wan >> 64) as u64,
            wan as u64,
            u64::from(key.port_bits()) << 32 | u64::from(key.tag_bits()),
            u64::from(self.rule.number()) << 32 | u64::from(self.helper as u8) << 8 | family,
            self.parent.number(),
            u64::from(self.generation) << 32 | u64::from(self.asked.bits()),
            self.expires_ms,
        ]
    }

    #[expect(clippy::cast_possible_truncation, reason = "the parts of packed words are taken apart")]
    fn of_words(words: [u64; WORDS]) -> Self {
        let [lan_high, lan_low, wan_high, wan_low, key, marks, parent, asked, expires_ms] = words;
        let wide = |high: u64, low: u64| u128::from(high) << 64 | u128::from(low);
        let addresses = if marks & Self::V6 == 0 {
            Ends::V4 { lan: lan_low as u32, wan: wan_low as u32 }
        } else {
            Ends::V6 { lan: wide(lan_high, lan_low), wan: wide(wan_high, wan_low) }
        };
        Self {
            key: FlowKey {
                addresses,
                lan_port: (key >> 48) as u16,
                wan_port: (key >> 32) as u16,
                protocol: (key >> 24) as u8,
                vlan: VlanStack::from_bits(key as u32),
            },
            helper: Helper::of_bits((marks >> 8) as u8),
            rule: RuleKey::from_number((marks >> 32) as u32),
            parent: SessionId::from_number(parent),
            asked: Asked::from_bits(asked as u32),
            generation: (asked >> 32) as u32,
            expires_ms,
        }
    }

    /// The port on which its first packet arrives: that of the side whose port is not known.
    pub(crate) const fn from(&self) -> Port {
        if self.key.lan_port == 0 { Port::Lan } else { Port::Wan }
    }

    fn view(&self, now: Instant) -> ExpectationView {
        let tuple = self.key.five_tuple(self.from());
        ExpectationView {
            helper: self.helper,
            parent: self.parent,
            rule: self.rule,
            from: self.from(),
            source: tuple.source,
            destination: tuple.destination,
            destination_port: tuple.destination_port,
            protocol: tuple.protocol,
            vlan: self.key.vlan,
            expires_in: Duration::from_millis(self.expires_ms.saturating_sub(now.as_millis())),
        }
    }
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "small numbers")]
mod tests;
