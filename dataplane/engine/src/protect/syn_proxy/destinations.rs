//! Destinations of new connections: how many are half open and how many come in a second, whether that is a flood, and
//! what is known of their servers.
//!
//! One table of fixed size for all engines, of atomics: touched when a connection begins, is answered or ends, and by
//! nothing else. A destination is an address in its VLANs behind its port. Where there is no place for one, it is counted
//! together with all others that have none: a sweep over many addresses is one flood.

use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicU32, AtomicU64};

use super::options::Offer;
use crate::policy::SynFlood;
use crate::time::Instant;

/// Places in which a destination may be.
const WAYS: usize = 8;
/// Destinations that have a place of their own at the most.
const DESTINATIONS_MAX: usize = 8192;
/// Cookies stop when both figures have been under half for so long.
const CALM_MS: u64 = 10_000;
/// So long after the last cookie an acknowledgement of one is believed.
const BELIEVED_MS: u64 = 2 * 1000 * super::secret::PERIOD_SECS;
/// What is known of a server is forgotten when nobody came for so long and others want the place.
const IDLE_MS: u64 = 60_000;

/// The table.
#[derive(Debug)]
pub(super) struct Destinations {
    places: Box<[Destination]>,
    /// For all that have no place.
    others: Destination,
}

/// A destination. Times are milliseconds of the engine's clock.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Destination {
    /// Its name: a keyed hash; 0: nobody's.
    name: AtomicU64,
    half_open: AtomicU32,
    /// What its server offered last, see [`known`]; 0: nothing is known.
    server: AtomicU32,
    /// The second that is counted, in the upper half, and its new connections.
    second: AtomicU64,
    /// When either figure was at half or above.
    pressed_ms: AtomicU64,
    /// When cookies began; 0: they have not.
    active_ms: AtomicU64,
    cookie_ms: AtomicU64,
    seen_ms: AtomicU64,
    /// Who spoke first in sessions with its services, see [`Known::is_client_first`].
    speakers: AtomicU64,
}

/// What is known of a server that answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) mss: u16,
    pub(super) sack: bool,
    pub(super) has_stamps: bool,
    /// Whether it agrees to congestion marks, once it was asked.
    pub(super) ecn: Option<bool>,
    speakers: u64,
}

/// Services of a destination are told apart by the remainder of their port: the most used ones where the server speaks
/// first have others than those where the client does.
const SERVICES: u32 = 32;

impl Known {
    /// Whether clients of the service on that port speak first, as far as was seen, and its server never did.
    pub(super) const fn is_client_first(&self, port: u16) -> bool {
        self.speakers & (speaker(port, true) | speaker(port, false)) == speaker(port, true)
    }
}

/// The bit that says that the client, or the server, of the service on that port has spoken first.
const fn speaker(port: u16, is_client: bool) -> u64 {
    1 << (port as u32 % SERVICES + if is_client { 0 } else { SERVICES })
}

/// Names a place of the table: what a session keeps of its destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(pub(crate) u32);

impl Destinations {
    pub(super) fn new(sessions_max: u32) -> Self {
        let count = (sessions_max as usize).clamp(WAYS, DESTINATIONS_MAX) / WAYS * WAYS;
        Self { places: (0..count).map(|_| Destination::default()).collect(), others: Destination::default() }
    }

    /// The place of a destination, if it has one.
    fn find(&self, name: u64) -> Option<usize> {
        self.ways(name).find(|way| self.places[*way].name.load(Acquire) == name)
    }

    fn ways(&self, name: u64) -> core::ops::Range<usize> {
        let buckets = self.places.len() / WAYS;
        let bucket = usize::try_from(name % buckets as u64).unwrap_or(0);
        bucket * WAYS..(bucket + 1) * WAYS
    }

    /// The place of a destination, which it is given if there is one: a free one, else the one that was seen least
    /// lately of those where nothing is half open, no flood is on and nobody came for a while.
    fn take(&self, name: u64, now_ms: u64) -> Option<usize> {
        if let Some(found) = self.find(name) {
            return Some(found);
        }
        let is_over = |place: &Destination| {
            place.half_open.load(Acquire) == 0
                && place.active_ms.load(Relaxed) == 0
                && place.cookie_ms.load(Relaxed) + BELIEVED_MS < now_ms
                && place.seen_ms.load(Relaxed) + IDLE_MS < now_ms
        };
        let free = self.ways(name).find(|way| self.places[*way].name.load(Relaxed) == 0);
        let oldest = || {
            let over = self.ways(name).filter(|way| is_over(&self.places[*way]));
            over.min_by_key(|way| self.places[*way].seen_ms.load(Relaxed))
        };
        let found = free.or_else(oldest)?;
        let place = &self.places[found];
        let old = place.name.load(Relaxed);
        // Whoever comes second counts with the others this once.
        place.name.compare_exchange(old, name, AcqRel, Relaxed).ok()?;
        for word in [&place.pressed_ms, &place.active_ms, &place.cookie_ms, &place.second, &place.speakers] {
            word.store(0, Relaxed);
        }
        place.server.store(0, Relaxed);
        place.seen_ms.store(now_ms, Release);
        Some(found)
    }

    fn at(&self, place: Place) -> &Destination {
        self.places.get(place.0 as usize).unwrap_or(&self.others)
    }

    fn number(&self, found: Option<usize>) -> Place {
        Place(found.and_then(|found| u32::try_from(found).ok()).unwrap_or(u32::MAX))
    }

    /// Counts a new connection to a destination: its place, and whether it is to be answered with a cookie.
    pub(super) fn arrive(&self, name: u64, now: Instant, limits: SynFlood) -> (Place, bool) {
        let number = self.number(self.take(name, now.as_millis()));
        (number, self.at(number).arrive(now.as_millis(), limits))
    }

    /// One more connection to that place is half open.
    pub(super) fn open(&self, place: Place, now: Instant, limits: SynFlood) {
        let destination = self.at(place);
        let half_open = destination.half_open.fetch_add(1, AcqRel) + 1;
        if is_pressing(half_open, limits.half_open) {
            destination.pressed_ms.store(now.as_millis(), Release);
        }
        if is_passed(half_open, limits.half_open) {
            destination.begin(now.as_millis());
        }
    }

    /// One less.
    pub(super) fn close(&self, place: Place, now: Instant, limits: SynFlood) {
        let destination = self.at(place);
        let less = |half_open: u32| half_open.checked_sub(1);
        let before = destination.half_open.fetch_update(AcqRel, Acquire, less).unwrap_or(0);
        if is_pressing(before, limits.half_open) {
            destination.pressed_ms.store(now.as_millis(), Release);
        }
    }

    /// A cookie was sent for that destination.
    pub(super) fn ask(&self, place: Place, now: Instant) {
        self.at(place).cookie_ms.store(now.as_millis(), Release);
    }

    /// Whether an acknowledgement of a cookie for that destination can be true.
    pub(super) fn has_asked(&self, name: u64, now: Instant) -> bool {
        let destination = self.at(self.number(self.find(name)));
        let asked_ms = destination.cookie_ms.load(Acquire);
        asked_ms != 0 && now.as_millis().saturating_sub(asked_ms) <= BELIEVED_MS
    }

    /// Remembers what the server of a destination offers, and whether it agrees to congestion marks if it was asked.
    pub(super) fn learn(&self, name: u64, now: Instant, offer: &Offer, ecn: Option<bool>) {
        if let Some(found) = self.take(name, now.as_millis()) {
            let place = &self.places[found];
            place.seen_ms.store(now.as_millis(), Relaxed);
            let ecn = match ecn {
                Some(true) => KNOWN_ECN,
                Some(false) => KNOWN_NO_ECN,
                None => place.server.load(Acquire) & (KNOWN_ECN | KNOWN_NO_ECN),
            };
            let known = KNOWN
                | ecn
                | u32::from(offer.mss)
                | if offer.sack { KNOWN_SACK } else { 0 }
                | if offer.stamp.is_some() { KNOWN_STAMPS } else { 0 };
            place.server.store(known, Release);
        }
    }

    /// Remembers who spoke first in a session with the service on that port of a destination. That its server did is not
    /// forgotten for as long as the destination has its place: clients can speak too early, servers have no reason to.
    pub(super) fn hear(&self, name: u64, port: u16, is_client: bool) {
        if let Some(found) = self.find(name) {
            self.places[found].speakers.fetch_or(speaker(port, is_client), Relaxed);
        }
    }

    /// What is known of the server of a destination.
    pub(super) fn known(&self, name: u64) -> Option<Known> {
        let place = &self.places[self.find(name)?];
        known(place.server.load(Acquire), place.speakers.load(Relaxed))
    }

    /// Destinations that are flooded.
    pub(super) fn flooded(&self, now: Instant) -> usize {
        let all = self.places.iter().chain([&self.others]);
        all.filter(|one| one.is_active(now.as_millis())).count()
    }
}

impl Destination {
    fn arrive(&self, now_ms: u64, limits: SynFlood) -> bool {
        self.seen_ms.store(now_ms, Relaxed);
        let rate = self.count(now_ms, limits);
        let half_open = self.half_open.load(Acquire);
        if is_pressing(rate, limits.rate) || is_pressing(half_open, limits.half_open) {
            self.pressed_ms.store(now_ms, Release);
        }
        // What comes now would be one more.
        if is_passed(rate, limits.rate) || is_passed(half_open.saturating_add(1), limits.half_open) {
            self.begin(now_ms);
        }
        let is_active = self.is_active(now_ms);
        if !is_active {
            self.active_ms.store(0, Release);
        }
        is_active
    }

    fn begin(&self, now_ms: u64) {
        // 0 says that there is none.
        let _ = self.active_ms.compare_exchange(0, now_ms.max(1), AcqRel, Relaxed);
        self.pressed_ms.store(now_ms, Release);
    }

    fn is_active(&self, now_ms: u64) -> bool {
        self.active_ms.load(Acquire) != 0 && now_ms.saturating_sub(self.pressed_ms.load(Acquire)) < CALM_MS
    }

    /// Counts a new connection; how many there were in this second.
    fn count(&self, now_ms: u64, limits: SynFlood) -> u32 {
        let now_second = (now_ms / 1000) & 0xffff_ffff;
        let count = |word: u64| match word >> 32 == now_second {
            true => Some(word + u64::from(word & 0xffff_ffff < 0xffff_ffff)),
            false => Some(now_second << 32 | 1),
        };
        let before = self.second.fetch_update(AcqRel, Acquire, count).unwrap_or(0);
        let (second, had) = (before >> 32, u32::try_from(before & 0xffff_ffff).unwrap_or(u32::MAX));
        if second == now_second {
            return had.saturating_add(1);
        }
        // The second before was over at its end, not when somebody came again.
        let ended_ms =
            (now_ms / 1000).saturating_sub(now_second.wrapping_sub(second) & 0xffff_ffff) * 1000 + 1000;
        if is_pressing(had, limits.rate) {
            self.pressed_ms.fetch_max(ended_ms.min(now_ms), AcqRel);
        }
        1
    }
}

const KNOWN: u32 = 1 << 31;
const KNOWN_SACK: u32 = 1 << 16;
const KNOWN_STAMPS: u32 = 1 << 17;
const KNOWN_ECN: u32 = 1 << 18;
const KNOWN_NO_ECN: u32 = 1 << 19;

fn known(word: u32, speakers: u64) -> Option<Known> {
    (word & KNOWN != 0).then(|| Known {
        mss: u16::try_from(word & 0xffff).unwrap_or(0),
        sack: word & KNOWN_SACK != 0,
        has_stamps: word & KNOWN_STAMPS != 0,
        ecn: (word & (KNOWN_ECN | KNOWN_NO_ECN) != 0).then_some(word & KNOWN_ECN != 0),
        speakers,
    })
}

fn is_passed(figure: u32, limit: Option<u32>) -> bool {
    limit.is_some_and(|limit| figure > limit)
}

/// At half of the limit or above.
fn is_pressing(figure: u32, limit: Option<u32>) -> bool {
    limit.is_some_and(|limit| u64::from(figure) * 2 >= u64::from(limit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;

    const RATE: SynFlood = SynFlood { half_open: None, rate: Some(10) };
    const HALF_OPEN: SynFlood = SynFlood { half_open: Some(4), rate: None };
    const START: Instant = Instant::from_secs(1000);

    fn after(millis: u64) -> Instant {
        START + Duration::from_millis(millis)
    }

    #[test]
    fn cookies_begin_when_the_rate_is_passed_and_stop_when_it_was_under_half_for_ten_seconds() {
        let table = Destinations::new(1000);
        let asks: Vec<bool> = (0..12).map(|number| table.arrive(7, after(number), RATE).1).collect();
        assert_eq!(asks.iter().position(|asks| *asks), Some(10), "ten in a second are in order");
        assert!(!table.arrive(8, after(20), RATE).1, "another destination is another matter");
        // Six a second are more than half: it goes on.
        for second in 1..20 {
            assert!((0..6).all(|number| table.arrive(7, after(second * 1000 + number), RATE).1));
        }
        // Three a second are less. The last time that it was pressed was in second 19.
        for second in 20..29 {
            assert!(table.arrive(7, after(second * 1000), RATE).1, "second {second}");
        }
        assert!(!table.arrive(7, after(30_100), RATE).1);
        assert_eq!(table.flooded(after(30_100)), 0);
    }

    #[test]
    fn cookies_begin_when_too_many_are_half_open() {
        let table = Destinations::new(1000);
        for number in 0..4 {
            let (place, asks) = table.arrive(7, after(number), HALF_OPEN);
            assert!(!asks);
            table.open(place, after(number), HALF_OPEN);
        }
        let (place, asks) = table.arrive(7, after(10), HALF_OPEN);
        assert!(asks);
        assert_eq!(table.flooded(after(10)), 1);
        for number in 0..3 {
            table.close(place, after(1000 + number), HALF_OPEN);
        }
        assert!(table.arrive(7, after(10_000), HALF_OPEN).1);
        assert!(!table.arrive(7, after(11_002), HALF_OPEN).1, "one is left: under half since 1,002 ms");
    }

    #[test]
    fn destinations_without_a_place_are_counted_together() {
        let table = Destinations::new(8);
        let limits = SynFlood { half_open: None, rate: Some(20) };
        let flooded = (1..100).filter(|name| table.arrive(*name, START, limits).1).count();
        assert_eq!(flooded, 99 - 8 - 20);
        let (place, _) = table.arrive(3, START, limits);
        assert!(place.0 < 8, "those that have a place keep it");
    }

    #[test]
    fn a_place_where_nobody_came_for_long_is_given_to_another() {
        let table = Destinations::new(8);
        assert!((1..=8).all(|name| !table.arrive(name, START, RATE).1));
        assert_eq!(table.arrive(9, after(60_000), RATE).0, Place(u32::MAX));
        let (place, _) = table.arrive(9, after(200_000), RATE);
        assert_ne!(place, Place(u32::MAX));
    }

    #[test]
    fn what_a_server_offers_is_known() {
        let table = Destinations::new(64);
        assert_eq!(table.known(5), None);
        let offer = Offer { mss: 1400, scale: Some(7), sack: true, stamp: None };
        for (learnt, ecn) in
            [(None, None), (Some(true), Some(true)), (None, Some(true)), (Some(false), Some(false))]
        {
            table.learn(5, START, &offer, learnt);
            let known = Known { mss: 1400, sack: true, has_stamps: false, ecn, speakers: 0 };
            assert_eq!(table.known(5), Some(known));
        }
    }

    #[test]
    fn who_speaks_first_is_known_by_service() {
        let table = Destinations::new(64);
        table.learn(5, START, &Offer::default(), None);
        let is_client_first = |port| table.known(5).expect("it answered").is_client_first(port);
        assert!(!is_client_first(80), "nobody has spoken");
        table.hear(5, 80, true);
        table.hear(5, 25, false);
        assert!(is_client_first(80) && !is_client_first(25) && !is_client_first(22));
        table.hear(5, 25, true);
        assert!(!is_client_first(25), "a client that speaks too early teaches nothing");
        let servers_speak = [21, 22, 25, 110, 143, 587, 3306];
        let clients_speak = [80, 443, 465, 993, 995, 5432, 8080, 8443];
        let is_apart = |a: u16| clients_speak.iter().all(|b| speaker(a, true) != speaker(*b, true));
        assert!(servers_speak.into_iter().all(is_apart));
    }
}
