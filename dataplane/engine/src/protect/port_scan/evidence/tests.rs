use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

const WITHIN: Duration = Duration::from_secs(10);

fn at(millis: u64) -> Instant {
    Instant::from_millis(1_000_000 + millis)
}

#[test]
fn one_thing_more_than_may_be_is_too_many_and_begins_anew() {
    let table = Evidence::new(3, WITHIN);
    for thing in 0..3 {
        assert_eq!(table.weigh(7, thing, at(0)), Weight::Counted);
    }
    for _ in 0..10 {
        assert_eq!(table.weigh(7, 2, at(1)), Weight::Counted, "the same again");
    }
    assert_eq!(table.weigh(9, 3, at(1)), Weight::Counted, "another suspect");
    assert_eq!(table.weigh(7, 3, at(1)), Weight::TooMany);
    assert_eq!(table.weigh(7, 4, at(1)), Weight::Counted);
}

#[test]
fn what_is_older_than_the_time_does_not_count() {
    let table = Evidence::new(2, WITHIN);
    table.weigh(7, 1, at(0));
    table.weigh(7, 2, at(9_000));
    assert_eq!(table.weigh(7, 3, at(10_001)), Weight::Counted);
    assert_eq!(table.weigh(7, 4, at(19_000)), Weight::TooMany);
    // What is refused again is as new as that.
    table.weigh(8, 1, at(0));
    table.weigh(8, 2, at(0));
    table.weigh(8, 1, at(9_000));
    assert_eq!(table.weigh(8, 3, at(15_000)), Weight::Counted);
    assert_eq!(table.weigh(8, 4, at(16_000)), Weight::TooMany);
}

#[test]
fn nothing_counts_while_somebody_forges() {
    let table = Evidence::new(1, WITHIN);
    table.weigh(7, 1, at(0));
    table.void(7, at(1));
    assert_eq!(table.weigh(7, 2, at(10_000)), Weight::Void);
    assert_eq!(table.weigh(7, 2, at(10_001)), Weight::Counted);
    assert_eq!(table.weigh(7, 3, at(10_002)), Weight::TooMany);
}

#[test]
fn nobody_waits_for_another_worker_at_the_same_suspect() {
    let table = Evidence::new(1, WITHIN);
    assert_eq!(table.weigh(7, 1, at(0)), Weight::Counted);
    table.gates.pass(table.bucket_of(7), || {
        assert_eq!(table.weigh(7, 2, at(1)), Weight::Missed);
        assert_eq!(table.void(7, at(1)), Weight::Missed);
    });
    assert_eq!(table.weigh(7, 2, at(2)), Weight::TooMany, "neither has left a trace");
}

#[test]
fn a_flood_of_single_refusals_does_not_push_out_a_scanner() {
    let table = Evidence::new(20, WITHIN);
    for thing in 0..20 {
        assert_eq!(table.weigh(7, thing, at(0)), Weight::Counted);
    }
    let secret = crate::flow::HashSecret([1, 2, 3, 4]);
    for source in 0..4 * table.capacity() as u64 {
        table.weigh(secret.hash_words(source.into(), 4), 5, at(1));
    }
    assert_eq!(table.weigh(7, 20, at(2)), Weight::TooMany);
}

#[test]
fn the_table_holds_as_many_as_the_docs_say() {
    // docs/policy.md and docs/threats.md name these.
    assert_eq!(Evidence::new(20, WITHIN).capacity(), 43_688);
    assert_eq!(Evidence::new(100, WITHIN).capacity(), 10_080);
    assert_eq!(Evidence::new(4096, WITHIN).capacity(), 252);
}

proptest! {
    #[test]
    fn counts_as_a_list_of_all_refusals_does(
        things_max in 1_u16..6,
        refusals in prop::collection::vec((0_u64..3, 0_u32..8, 0_u64..6_000), 1..300),
    ) {
        let table = Evidence::new(things_max, WITHIN);
        let mut known: HashMap<u64, Vec<(u32, u64)>> = HashMap::new();
        let mut now = 0;
        for (who, thing, gap) in refusals {
            now += gap;
            let list = known.entry(who).or_default();
            list.retain(|(other, _)| *other != thing);
            list.push((thing, now));
            let recent = |list: &[(u32, u64)]| list.iter().filter(|(_, then)| now - then <= 10_000).count();
            let is_too_many = recent(list) > usize::from(things_max);
            let weight = table.weigh(who << 33, thing, at(now));
            prop_assert_eq!(weight == Weight::TooMany, is_too_many, "{:?}", list);
            if is_too_many {
                list.clear();
            }
        }
    }
}

#[test]
fn a_long_time_is_told_in_longer_units() {
    let days = |days: u64| Duration::from_secs(days * 86_400);
    let table = Evidence::new(1, days(20));
    let at = |days: u64| Instant::from_secs(1_000_000 + days * 86_400);
    assert_eq!(table.weigh(7, 1, at(0)), Weight::Counted);
    assert_eq!(table.weigh(7, 2, at(21)), Weight::Counted);
    assert_eq!(table.weigh(7, 3, at(41)), Weight::TooMany);
}
