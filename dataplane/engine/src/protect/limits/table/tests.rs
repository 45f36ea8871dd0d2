use std::sync::Arc;
use std::thread;

use super::*;
use proptest::prelude::*;

const NOW: Instant = Instant::from_secs(100);
const SECOND: u64 = TICKS_PER_SECOND;

fn id(number: u64) -> u64 {
    crate::flow::HashSecret([1, 2, 3, 4]).hash_words(number.into(), 7)
}

#[test]
fn an_entry_takes_as_many_as_may_and_forgets_those_that_left() {
    let table = LimitTable::new(64);
    let places: Vec<_> = (0..3).map(|_| table.take(id(1), 3, NOW).unwrap()).collect();
    assert_eq!(table.take(id(1), 3, NOW), Err(Refused::Reached));
    assert_eq!(table.look(id(1)), Some((3, 0)));
    assert!(table.is(places[0], id(1)) && !table.is(places[0], id(2)));
    table.give_back(places[2]);
    let again = table.take(id(1), 3, NOW).unwrap();
    assert_eq!(again, places[2]);
    assert_eq!(table.totals(), (3, 1));
}

#[test]
fn a_bucket_gives_its_depth_and_then_what_flows_in() {
    let table = LimitTable::new(64);
    let place = table.take(id(1), 9, NOW).unwrap();
    let (cost, depth) = (SECOND / 4, SECOND);
    for _ in 0..4 {
        assert!(!table.is_spent(id(1), cost, depth, NOW));
        assert!(table.spend(place, cost, depth, NOW));
    }
    assert!(table.is_spent(id(1), cost, depth, NOW) && !table.spend(place, cost, depth, NOW));
    let later = |nanos| Instant::from_nanos(NOW.as_nanos() + nanos);
    assert!(!table.spend(place, cost, depth, later(249_999_999)));
    assert!(table.spend(place, cost, depth, later(250_000_000)));
    assert!(!table.spend(place, cost, depth, later(250_000_000)));
    table.refund(place, cost);
    assert!(table.spend(place, cost, depth, later(250_000_000)));
}

#[test]
fn who_left_is_forgotten_only_when_its_bucket_is_full_again() {
    // Four buckets of sixteen.
    let table = LimitTable::new(1);
    let place = table.take(id(0), 9, NOW).unwrap();
    assert!(table.spend(place, SECOND, SECOND, NOW));
    table.give_back(place);
    let mut taken = 1;
    let mut number = 1;
    while taken < table.capacity() as u64 {
        taken += u64::from(table.take(id(number), 1, NOW).is_ok());
        number += 1;
    }
    assert!(table.is_spent(id(0), SECOND, SECOND, NOW), "it is remembered in a full table");
    let full = (number..).find(|number| table.bucket_of(id(*number)) == table.bucket_of(id(0))).unwrap();
    assert_eq!(table.take(id(full), 1, NOW), Err(Refused::Full));
    let later = Instant::from_secs(101);
    assert!(table.take(id(full), 1, later).is_ok(), "its bucket is full, and it makes room");
    assert_eq!(table.look(id(0)), None);
}

#[test]
fn threads_that_take_and_leave_never_exceed_a_limit_and_leave_nothing() {
    const LIVE_MAX: u32 = 5;
    let table = Arc::new(LimitTable::new(64));
    let live: Arc<Vec<AtomicU64>> = Arc::new((0..8).map(|_| AtomicU64::new(0)).collect());
    let threads: Vec<_> = (0..4_u64)
        .map(|thread| {
            let (table, live) = (Arc::clone(&table), Arc::clone(&live));
            thread::spawn(move || {
                let mut seed = thread + 1;
                let mut held = Vec::new();
                for _ in 0..30_000 {
                    seed =
                        seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let number = seed >> 61;
                    if seed >> 40 & 1 == 0 {
                        if let Ok(place) = table.take(id(number), LIVE_MAX, NOW) {
                            let now = live[number as usize].fetch_add(1, AcqRel) + 1;
                            assert!(now <= u64::from(LIVE_MAX), "{now} of entry {number} live");
                            held.push((number, place));
                        }
                    } else if !held.is_empty() {
                        let (number, place) = held.swap_remove(seed as usize % held.len());
                        live[number as usize].fetch_sub(1, AcqRel);
                        table.give_back(place);
                    }
                }
                for (number, place) in held {
                    live[number as usize].fetch_sub(1, AcqRel);
                    table.give_back(place);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(table.totals().0, 0);
    // All can be had again, and no entry is there twice.
    for number in 0..8 {
        let places: Vec<_> = (0..LIVE_MAX).map(|_| table.take(id(number), LIVE_MAX, NOW).unwrap()).collect();
        assert_eq!(table.take(id(number), LIVE_MAX, NOW), Err(Refused::Reached));
        assert!(places.iter().all(|place| *place == places[0]));
    }
}

#[test]
fn threads_that_make_and_take_away_entries_agree_on_each() {
    // So small that entries are made and taken away all the time.
    let table = Arc::new(LimitTable::new(1));
    let threads: Vec<_> = (0..4_u64)
        .map(|thread| {
            let table = Arc::clone(&table);
            thread::spawn(move || {
                let mut refused = 0_u64;
                for round in 0..40_000_u64 {
                    let number = (round * 7 + thread) % 150;
                    match table.take(id(number), 1, NOW) {
                        Ok(place) => {
                            assert!(table.is(place, id(number)));
                            assert_eq!(table.look(id(number)), Some((1, 0)), "alone in it");
                            table.give_back(place);
                        }
                        Err(Refused::Reached | Refused::Full) => refused += 1,
                    }
                }
                refused
            })
        })
        .collect();
    let refused: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert_eq!(table.totals().0, 0);
    assert!(refused.iter().all(|refused| *refused < 40_000));
}

#[test]
fn threads_share_a_bucket_to_the_token() {
    const TOKENS: u64 = 1000;
    let table = Arc::new(LimitTable::new(64));
    let place = table.take(id(1), 9, NOW).unwrap();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let table = Arc::clone(&table);
            thread::spawn(move || {
                let got = |_: &u64| table.spend(place, SECOND / TOKENS, SECOND, NOW);
                (0..TOKENS).filter(got).count() as u64
            })
        })
        .collect();
    let got: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(got, TOKENS);
}

proptest! {
    /// Against a bucket that counts in exact fractions.
    #[test]
    fn a_bucket_is_a_token_bucket(rate in 1_u64..2000, gaps in prop::collection::vec(0_u64..40_000_000, 1..200)) {
        let table = LimitTable::new(64);
        let place = table.take(id(1), 9, NOW).unwrap();
        let cost = SECOND / rate;
        let (mut level, mut at) = (rate as u128 * u128::from(SECOND), NOW.as_nanos());
        for gap in gaps {
            at += gap;
            let full = rate as u128 * u128::from(SECOND);
            level = (level + u128::from(gap * TICKS_PER_NANO) * rate as u128).min(full);
            // Rounding one token's cost down lets it come early, by less than a nanosecond for each token.
            let early = rate as u128 * rate as u128;
            let passes = table.spend(place, cost, cost * rate, Instant::from_nanos(at));
            let may = level + early >= u128::from(SECOND);
            let must = level >= u128::from(SECOND);
            prop_assert!(passes || !must, "a token that is there is given");
            prop_assert!(!passes || may, "no token is given that is not there");
            if passes {
                level = level.saturating_sub(u128::from(SECOND));
            }
        }
    }
}
