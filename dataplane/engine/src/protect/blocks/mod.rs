//! The block list: sources that may open no session for a while, because they scanned or because an operator says so.
//!
//! One table of fixed size for all engines of an appliance, read only for packets that belong to no session, and only when
//! anybody is blocked at all. Readers look twice, as with a sequence lock, and wait for nobody; whoever writes holds the gate
//! of the bucket. An entry is over when its time is; its place is found out to be free when it is looked at.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicU64, fence};

use super::gates::{Gates, words};
use crate::flow::HashSecret;
use crate::time::{Duration, Instant};

/// Sources that can be blocked at a time.
pub const BLOCKS_MAX: usize = 65_536;
/// Entries of a bucket.
const WAYS: usize = 16;
/// Words of an entry, the sequence among them.
const WORDS: usize = 8;
const SEQUENCE: usize = 0;
const HIGH: usize = 1;
const MARKS: usize = 3;
const SINCE: usize = 4;
const UNTIL: usize = 5;
const PACKETS: usize = 6;
/// A reader that meets a writer looks again so often.
const READS_MAX: u32 = 64;
/// Buckets that are looked through for what is over whenever somebody is blocked.
const SWEPT: usize = 2;

/// Why a source is blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum BlockCause {
    /// Too many ports were refused to it (`port_scan.ports`).
    PortScan,
    /// One port of too many hosts was refused to it (`port_scan.hosts`).
    HostSweep,
    /// An operator wants it.
    Operator,
}

impl BlockCause {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::PortScan, Self::HostSweep, Self::Operator];

    /// Its name in listings, logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PortScan => "port-scan",
            Self::HostSweep => "host-sweep",
            Self::Operator => "operator",
        }
    }

    const fn of_bits(bits: u64) -> Self {
        match bits & 0xff {
            0 => Self::PortScan,
            1 => Self::HostSweep,
            _ => Self::Operator,
        }
    }
}

/// A blocked source, as listings show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockView {
    /// Who is blocked.
    pub source: IpAddr,
    /// Why.
    pub cause: BlockCause,
    /// For how long so far.
    pub age: Duration,
    /// For how long from now on.
    pub expires_in: Duration,
    /// Packets that were dropped for it.
    pub packets: u64,
}

/// The block list of an appliance.
#[derive(Debug)]
pub struct Blocks {
    secret: HashSecret,
    tags: Box<[AtomicU64]>,
    words: Box<[AtomicU64]>,
    gates: Gates,
    /// Entries, those that are over and were not found out included.
    taken: AtomicU64,
    broom: AtomicU64,
    /// How often somebody was blocked, by cause.
    begun: [AtomicU64; BlockCause::ALL.len()],
    /// Entries that made room before their time.
    evicted: AtomicU64,
}

/// An entry that is in force, for whoever just found it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) cause: BlockCause,
    index: usize,
}

impl Blocks {
    /// An empty list.
    pub fn new(secret: HashSecret) -> Self {
        Self {
            secret,
            tags: words(BLOCKS_MAX),
            words: words(BLOCKS_MAX * WORDS),
            gates: Gates::new(BLOCKS_MAX / WAYS),
            taken: AtomicU64::new(0),
            broom: AtomicU64::new(0),
            begun: Default::default(),
            evicted: AtomicU64::new(0),
        }
    }

    /// Whether nobody is blocked: what a first packet costs then.
    pub(crate) fn is_empty(&self) -> bool {
        self.taken.load(Acquire) == 0
    }

    /// How often somebody was blocked for this cause.
    pub fn begun(&self, cause: BlockCause) -> u64 {
        self.begun[cause as usize].load(Relaxed)
    }

    /// Entries that made room for others before their time.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Relaxed)
    }

    /// Whether `source` is blocked at `now`.
    pub(crate) fn find(&self, source: IpAddr, now: Instant) -> Option<Found> {
        let (tag, bucket) = self.place_of(source);
        let index = self.index_of(bucket, tag, source)?;
        let [_, _, marks, _, until] = self.read(index)?;
        (until > now.as_nanos()).then(|| Found { cause: BlockCause::of_bits(marks), index })
    }

    /// Counts a packet that was dropped for an entry.
    pub(crate) fn count(&self, found: Found) {
        self.words[found.index * WORDS + PACKETS].fetch_add(1, Relaxed);
    }

    /// Blocks `source` for `span` from `now` on. Who is blocked already is so until the later of both moments; an operator's
    /// order stands above a scan. `false`: so many others keep at it that nothing happened.
    pub fn block(&self, source: IpAddr, cause: BlockCause, now: Instant, span: Duration) -> bool {
        self.sweep(now);
        let until = now.as_nanos().saturating_add(span.as_nanos());
        let (tag, bucket) = self.place_of(source);
        let is_done = self.gates.pass(bucket, || {
            let known = self.index_of(bucket, tag, source);
            let index = known.unwrap_or_else(|| self.make_room(bucket, now));
            let old = self.word(index, UNTIL).load(Relaxed);
            let is_in_force = known.is_some() && old > now.as_nanos();
            let (until, cause, since, packets) = if is_in_force {
                let before = BlockCause::of_bits(self.word(index, MARKS).load(Relaxed));
                let since = self.word(index, SINCE).load(Relaxed);
                (until.max(old), before.max(cause), since, self.word(index, PACKETS).load(Relaxed))
            } else {
                self.begun[cause as usize].fetch_add(1, Relaxed);
                (until, cause, now.as_nanos(), 0)
            };
            if known.is_none() {
                self.taken.fetch_add(1, AcqRel);
            }
            let (family, bits) = bits_of(source);
            let marks = family << 8 | cause as u64;
            let (high, low) = (high64(bits), low64(bits));
            self.write(index, [high, low, marks, since, until, packets]);
            self.tags[index].store(tag, Release);
        });
        is_done.is_some()
    }

    /// Lets `source` be blocked until `span` from `now` on, no shorter and no longer; whether it is blocked at all.
    pub fn extend(&self, source: IpAddr, now: Instant, span: Duration) -> bool {
        let until = now.as_nanos().saturating_add(span.as_nanos());
        let changed = self.change(source, now, |index| {
            self.word(index, UNTIL).store(until, Release);
        });
        changed.is_some()
    }

    /// Lets `source` go; whether it was blocked.
    pub fn release(&self, source: IpAddr, now: Instant) -> bool {
        self.change(source, now, |index| self.clear(index)).is_some()
    }

    fn change<T>(&self, source: IpAddr, now: Instant, work: impl FnOnce(usize) -> T) -> Option<T> {
        let (tag, bucket) = self.place_of(source);
        self.gates.pass(bucket, || {
            let index = self.index_of(bucket, tag, source)?;
            (self.word(index, UNTIL).load(Relaxed) > now.as_nanos()).then(|| work(index))
        })?
    }

    /// Calls `each` with everybody who is blocked at `now`, in no order. Any thread may, at any time.
    pub fn list(&self, now: Instant, mut each: impl FnMut(&BlockView)) {
        if self.is_empty() {
            return;
        }
        for index in (0..BLOCKS_MAX).filter(|index| self.tags[*index].load(Acquire) != 0) {
            let Some([high, low, marks, since, until]) = self.read(index) else { continue };
            if until > now.as_nanos() {
                each(&BlockView {
                    source: address_of(marks >> 8, u128::from(high) << 64 | u128::from(low)),
                    cause: BlockCause::of_bits(marks),
                    age: now.since(Instant::from_nanos(since)),
                    expires_in: Duration::from_nanos(until - now.as_nanos()),
                    packets: self.word(index, PACKETS).load(Relaxed),
                });
            }
        }
    }

    /// How many are blocked at `now`.
    pub fn len(&self, now: Instant) -> u64 {
        let mut len = 0;
        self.list(now, |_| len += 1);
        len
    }

    /// A free entry of a bucket, or one that is over; else that of a scan, then of an operator, that would be over soonest.
    /// Only behind the gate.
    fn make_room(&self, bucket: usize, now: Instant) -> usize {
        let rank = |index: &usize| {
            if self.tags[*index].load(Relaxed) == 0 {
                return (0, 0);
            }
            let until = self.word(*index, UNTIL).load(Relaxed);
            let is_scan = BlockCause::of_bits(self.word(*index, MARKS).load(Relaxed)) != BlockCause::Operator;
            match (until <= now.as_nanos(), is_scan) {
                (true, _) => (1, until),
                (false, true) => (2, until),
                (false, false) => (3, until),
            }
        };
        let first = bucket * WAYS;
        let index = (first..first + WAYS).min_by_key(rank).unwrap_or(first);
        match rank(&index).0 {
            0 => {}
            1 => self.clear(index),
            _ => {
                self.evicted.fetch_add(1, Relaxed);
                self.clear(index);
            }
        }
        index
    }

    /// Only behind the gate.
    fn clear(&self, index: usize) {
        self.tags[index].store(0, Release);
        self.write(index, [0; WORDS - 2]);
        self.taken.fetch_sub(1, AcqRel);
    }

    fn sweep(&self, now: Instant) {
        if self.is_empty() {
            return;
        }
        let buckets = BLOCKS_MAX / WAYS;
        let from = usize::try_from(self.broom.fetch_add(SWEPT as u64, Relaxed)).unwrap_or(0);
        for bucket in (from..from + SWEPT).map(|number| number % buckets) {
            self.gates.try_pass(bucket, || {
                for index in bucket * WAYS..(bucket + 1) * WAYS {
                    let is_taken = self.tags[index].load(Acquire) != 0;
                    if is_taken && self.word(index, UNTIL).load(Relaxed) <= now.as_nanos() {
                        self.clear(index);
                    }
                }
            });
        }
    }

    fn word(&self, index: usize, word: usize) -> &AtomicU64 {
        &self.words[index * WORDS + word]
    }

    /// Writes all words of an entry but the sequence; only behind the gate.
    fn write(&self, index: usize, values: [u64; WORDS - 2]) {
        let sequence = self.word(index, SEQUENCE);
        let before = sequence.load(Relaxed);
        sequence.store(before + 1, Relaxed);
        fence(Release);
        for (at, value) in (HIGH..).zip(values) {
            self.word(index, at).store(value, Relaxed);
        }
        sequence.store(before + 2, Release);
    }

    /// Address, marks, since and until of an entry; `None` if others keep writing.
    fn read(&self, index: usize) -> Option<[u64; 5]> {
        for _ in 0..READS_MAX {
            let sequence = self.word(index, SEQUENCE).load(Acquire);
            let words = core::array::from_fn(|at| self.word(index, HIGH + at).load(Relaxed));
            fence(Acquire);
            if sequence & 1 == 0 && self.word(index, SEQUENCE).load(Relaxed) == sequence {
                return Some(words);
            }
            core::hint::spin_loop();
        }
        None
    }

    fn index_of(&self, bucket: usize, tag: u64, source: IpAddr) -> Option<usize> {
        let (family, bits) = bits_of(source);
        (bucket * WAYS..(bucket + 1) * WAYS).find(|index| {
            self.tags[*index].load(Acquire) == tag
                && self.read(*index).is_some_and(|[high, low, marks, ..]| {
                    (high, low, marks >> 8) == (high64(bits), low64(bits), family)
                })
        })
    }

    fn place_of(&self, source: IpAddr) -> (u64, usize) {
        let (family, bits) = bits_of(source);
        let hash = self.secret.hash_words(bits, family << 8 | 0xb1);
        let bucket = usize::try_from(hash >> 32).unwrap_or(0) % (BLOCKS_MAX / WAYS);
        (hash | 1, bucket)
    }
}

fn bits_of(address: IpAddr) -> (u64, u128) {
    match address {
        IpAddr::V4(address) => (4, u128::from(address.to_bits())),
        IpAddr::V6(address) => (6, address.to_bits()),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "an IPv4 address has 32 bits")]
fn address_of(family: u64, bits: u128) -> IpAddr {
    if family == 4 { Ipv4Addr::from_bits(bits as u32).into() } else { Ipv6Addr::from_bits(bits).into() }
}

const fn high64(bits: u128) -> u64 {
    low64(bits >> 64)
}

#[expect(clippy::cast_possible_truncation, reason = "the half is what is wanted")]
const fn low64(bits: u128) -> u64 {
    bits as u64
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "small numbers")]
mod tests;
