use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::flow::Ends;
use crate::packet::VlanStack;
use crate::packet::protocol;
use crate::pipeline::{Arrival, Config, Engine, Running};
use crate::policy::{Policy, RuleNames, Ruleset, Timeouts};
use crate::reason::Reason;
use crate::record::Outbox;
use crate::session::room::Budgets;
use crate::time::Instant;

const SECRET: HashSecret =
    HashSecret([0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344, 0xa409_3822_299f_31d0, 7]);

fn key(number: u32, is_v6: bool) -> FlowKey {
    let addresses = if is_v6 {
        Ends::V6 { lan: 1 << 120 | u128::from(number), wan: 2 << 120 }
    } else {
        Ends::V4 { lan: number, wan: 0x0a00_0001 }
    };
    FlowKey { addresses, lan_port: 1024, wan_port: 53, protocol: protocol::UDP, vlan: VlanStack::UNTAGGED }
}

fn add(table: &mut Table, key: &FlowKey, state: State) -> Result<u32, Full> {
    let hashed = table.hash(key);
    table.insert(key, hashed, Port::Lan, state)
}

fn find(table: &Table, key: &FlowKey) -> Option<u32> {
    table.find(key, table.hash(key))
}

#[derive(Clone, Debug)]
enum Step {
    Add(u32, bool),
    Remove(u32, bool),
    Establish(u32, bool),
    Reset(u32, bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..60u32, any::<bool>()).prop_map(|(number, v6)| Step::Add(number, v6)),
        1 => (0..60u32, any::<bool>()).prop_map(|(number, v6)| Step::Remove(number, v6)),
        1 => (0..60u32, any::<bool>()).prop_map(|(number, v6)| Step::Establish(number, v6)),
        1 => (0..60u32, any::<bool>()).prop_map(|(number, v6)| Step::Reset(number, v6)),
    ]
}

proptest! {
    /// Against a map: the same sessions are found, and of the class that would hold most of its budget with a newcomer
    /// the oldest session makes room, refused or not.
    #[test]
    fn agrees_with_a_map(
        steps in prop::collection::vec(step(), 1..300),
        half_open_percent in 1..=99u8,
        established_percent in 1..=100u8,
    ) {
        let mut table = Table::new(3, 40, SECRET);
        let one_way_percent = 100 - half_open_percent;
        table.set_budgets(&Budgets {
            half_open: half_open_percent,
            one_way: one_way_percent,
            established: established_percent,
            adaptive_timeouts: false,
        });
        let mut model: HashMap<(u32, bool), (SessionId, State)> = HashMap::new();
        let mut half_open: Vec<(u32, bool)> = Vec::new();
        let first_state = |number: u32| if number.is_multiple_of(3) { State::Unreplied } else { State::SynSent };
        for step in steps {
            match step {
                Step::Add(number, v6) => {
                    if model.contains_key(&(number, v6)) {
                        continue;
                    }
                    let state = first_state(number);
                    match add(&mut table, &key(number, v6), state) {
                        Ok(slot) => {
                            prop_assert!(model.len() < 40);
                            model.insert((number, v6), (table.id(slot), state));
                            half_open.push((number, v6));
                        }
                        Err(Full) => prop_assert_eq!(model.len(), 40),
                    }
                }
                Step::Remove(number, v6) => {
                    if let Some((id, _)) = model.remove(&(number, v6)) {
                        half_open.retain(|waiting| *waiting != (number, v6));
                        let slot = table.slot(id).expect("it lives");
                        table.remove(slot);
                        prop_assert_eq!(table.slot(id), None);
                    }
                }
                Step::Establish(number, v6) => {
                    if let Some((id, state)) = model.get_mut(&(number, v6))
                        && *state != State::Reset
                    {
                        half_open.retain(|waiting| *waiting != (number, v6));
                        *state = State::Established;
                        let slot = table.slot(*id).expect("it lives");
                        table.set_state(slot, State::Established);
                    }
                }
                Step::Reset(number, v6) => {
                    if let Some((id, state)) = model.get_mut(&(number, v6))
                        && *state != State::Unreplied
                    {
                        let was_unanswered = half_open.contains(&(number, v6));
                        *state = State::Reset;
                        let slot = table.slot(*id).expect("it lives");
                        table.set_state(slot, State::Reset);
                        prop_assert_eq!(table.hot(slot).was_unanswered(), was_unanswered);
                    }
                }
            }
            prop_assert_eq!(table.len() as usize, model.len());
            let (one_way, handshakes): (Vec<_>, Vec<_>) =
                half_open.iter().partition(|(number, _)| first_state(*number) == State::Unreplied);
            let lens = [handshakes.len(), one_way.len()];
            prop_assert_eq!(table.unestablished().map(|len| len as usize), lens);
            prop_assert_eq!(
                table.is_established_full(),
                model.len() - half_open.len() >= (40 * usize::from(established_percent) / 100).max(1)
            );
            for (state, mine, others, my_percent, their_percent) in [
                (State::SynSent, &handshakes, &one_way, half_open_percent, one_way_percent),
                (State::Unreplied, &one_way, &handshakes, one_way_percent, half_open_percent),
            ] {
                let holds_most = (mine.len() + 1) * usize::from(their_percent) > others.len() * usize::from(my_percent);
                let order = if holds_most { [mine, others] } else { [others, mine] };
                let oldest = order.into_iter().find_map(|class| class.first());
                let found = table.makes_room_for(state).map(|slot| table.key(slot));
                prop_assert_eq!(found, oldest.map(|(number, v6)| key(*number, *v6)));
            }
            for number in 0..60 {
                for v6 in [false, true] {
                    let expected = model.get(&(number, v6));
                    let found = find(&table, &key(number, v6));
                    prop_assert_eq!(found.map(|slot| table.id(slot)), expected.map(|(id, _)| *id));
                    prop_assert_eq!(found.map(|slot| table.hot(slot).state), expected.map(|(_, state)| *state));
                }
            }
        }
    }
}

#[test]
fn holds_as_many_sessions_as_it_says() {
    for capacity in [1, 2, 7, 64, 1_000, 100_000] {
        let mut table = Table::new(0, capacity, SECRET);
        for number in 0..capacity {
            add(&mut table, &key(number, number % 3 == 0), State::Established).expect("below its capacity");
        }
        assert_eq!(add(&mut table, &key(capacity, false), State::Established), Err(Full));
        for number in 0..capacity {
            assert!(find(&table, &key(number, number % 3 == 0)).is_some());
        }
    }
}

/// With one move an insertion the table of the first secret finds no room for one of its sessions.
#[test]
fn is_full_only_at_its_capacity_whatever_the_secret() {
    const CAPACITY: u32 = 1_000_000;
    for factor in [31, 33, 35] {
        let secret = HashSecret(SECRET.0.map(|word| word.wrapping_mul(factor)));
        let mut table = Table::new(0, CAPACITY, secret);
        let kept =
            (0..CAPACITY).filter(|number| add(&mut table, &key(*number, false), State::Unreplied).is_ok());
        assert_eq!(kept.count(), CAPACITY as usize, "factor {factor}");
        assert!((0..CAPACITY).all(|number| find(&table, &key(number, false)).is_some()));
    }
}

/// `docs/architecture.md` promises at most 128 bytes an IPv4 session and 192 an IPv6 one.
#[test]
fn a_session_takes_at_most_128_bytes_and_192_for_ipv6() {
    let table = Table::new(0, 1_000_000, SECRET);
    let bytes = table.memory_bytes() as f64 / 1e6;
    assert!(bytes <= 128.0, "{bytes} bytes an IPv4 session");
    let wide = size_of_val(&*table.wide) as f64 / 1e6;
    assert!(bytes + wide <= 192.0, "{} bytes an IPv6 session", bytes + wide);
}

#[test]
fn the_same_five_tuple_differs_by_family_vlan_and_protocol() {
    let mut table = Table::new(0, 16, SECRET);
    let plain = key(7, false);
    add(&mut table, &plain, State::Unreplied).expect("there is room");
    let others = [
        key(7, true),
        FlowKey { vlan: VlanStack::new(20, 0), ..plain },
        FlowKey { vlan: VlanStack::new(20, 7), ..plain },
        FlowKey { protocol: protocol::TCP, ..plain },
        FlowKey { lan_port: 53, wan_port: 1024, ..plain },
    ];
    for other in others {
        assert_eq!(find(&table, &other), None, "{other:?}");
    }
}

#[test]
fn counters_carry() {
    let mut cold = Cold::default();
    for _ in 0..3 {
        cold.count(Port::Wan, u32::MAX);
    }
    cold.add(0, u32::MAX, 1);
    cold.count(Port::Lan, 0);
    assert_eq!(cold.packets(), [1 << 32, 3]);
    assert_eq!(cold.bytes(), [1, 3 * u64::from(u32::MAX)]);
}

/// Sixteen sessions whose entries share two buckets fill both, and the table: a seventeenth of that kind has no place,
/// whoever goes.
#[test]
fn nobody_is_evicted_for_a_key_without_a_place() {
    let policy = Policy::compile(1, Ruleset::default(), &mut RuleNames::default());
    let config = Config { worker: 0, capacity: 16, secret: SECRET, report_all_sessions: true };
    let mut engine = Engine::new(config, Running::new(std::sync::Arc::new(policy)), Instant::ZERO);
    let buckets = |table: &Table, number| {
        let hashed = table.hash(&key(number, false));
        let mut pair = [hashed.first, table.partner(hashed.first, hashed.tag)];
        pair.sort_unstable();
        pair
    };
    let (crowd, others): (Vec<u32>, Vec<u32>) =
        (0..1000).partition(|number| buckets(&engine.table, *number) == [0, 1]);
    let mut out = Outbox::new(64, 64);
    let mut take = |engine: &mut Engine, number| {
        let (key, now) = (key(number, false), Instant::ZERO);
        let packed = PackedKey::of(&key);
        let (hashed, facts) = (engine.table.hash(&key), crate::packet::parse(&[], 0));
        let arrival =
            Arrival { now, port: Port::Lan, facts: &facts, head: &[], key: &key, packed: &packed, hashed };
        let slot = engine.take_slot(&arrival, Port::Lan, State::Unreplied, &mut out).ok()?;
        engine.file(now, slot);
        Some(slot)
    };
    for number in &crowd[..16] {
        assert!(take(&mut engine, *number).is_some());
    }
    assert_eq!((take(&mut engine, crowd[16]), engine.table.len()), (None, 16));
    assert_eq!(engine.counters.reason(Reason::EndEvicted).get(), 0);
    // Whose entry may lie in the third bucket has a place, and the oldest goes.
    let other = others.iter().find(|number| buckets(&engine.table, **number)[1] == 2).unwrap();
    assert!(take(&mut engine, *other).is_some());
    assert_eq!((engine.counters.reason(Reason::EndEvicted).get(), engine.table.len()), (1, 16));
    assert_eq!(find(&engine.table, &key(crowd[0], false)), None, "the oldest");
}

/// Both are kept in the same words.
#[test]
fn questions_to_the_ends_and_a_syn_in_the_midst_leave_each_other_alone() {
    let mut table = Table::new(0, 4, SECRET);
    let slot = add(&mut table, &key(1, false), State::Established).expect("room");
    let attempts = [
        tcp::Attempt::from_words(u32::MAX, u32::MAX),
        tcp::Attempt::from_words(7, 0),
        tcp::Attempt::from_words(0, 0x0155_5555),
    ];
    assert_eq!((table.probes(slot), table.attempt(slot)), (0, None));
    for round in 1..=u32::from(Timeouts::PROBE_RETRIES_MAX) {
        let attempt = attempts.get(round as usize % 4).copied();
        table.set_attempt(slot, attempt);
        assert_eq!((table.probes(slot), table.attempt(slot)), (round - 1, attempt));
        table.count_probe(slot);
        assert_eq!((table.probes(slot), table.attempt(slot)), (round, attempt));
    }
    table.hot_mut(slot).settle();
    assert_eq!(table.probes(slot), 0);
    table.count_probe(slot);
    assert_eq!(table.probes(slot), 1);
}

#[test]
fn a_candidate_is_the_session_of_the_key_or_is_found_out() {
    let mut table = Table::new(0, 64, SECRET);
    for number in 0..64 {
        add(&mut table, &key(number, number % 3 == 0), State::Established).expect("room");
    }
    let mut found_at_once = 0;
    for number in 0..200 {
        let key = key(number, number % 3 == 0);
        let hashed = table.hash(&key);
        table.prefetch_bucket(hashed);
        let candidate = table.candidate(hashed);
        if candidate != NIL && table.is(candidate, &PackedKey::of(&key), hashed) {
            assert_eq!(table.find(&key, hashed), Some(candidate));
            found_at_once += 1;
        }
    }
    assert!(found_at_once > 48, "few had to go to their second bucket: {found_at_once}");
    table.remove(7);
    let key = key(7, false);
    assert!(!table.is(7, &PackedKey::of(&key), table.hash(&key)), "a slot that is free has no key");
}

proptest! {
    /// Whatever frames come, long and short, of whichever sessions, some of which end and begin anew: what is told of a session
    /// is what came of it.
    #[test]
    fn every_frame_is_counted_once(frames in prop::collection::vec((0..6u32, any::<bool>(), frame_len(), 0..40u32), 1..400)) {
        let mut table = Table::new(0, 6, SECRET);
        let slots: Vec<u32> =
            (0..6).map(|number| add(&mut table, &key(number, false), State::Established).expect("room")).collect();
        let mut told = [([0u64; 2], [0u64; 2]); 6];
        for (number, is_wan, len, fate) in frames {
            let (slot, port) = (slots[number as usize], if is_wan { Port::Wan } else { Port::Lan });
            let (packets, bytes) = &mut told[number as usize];
            packets[port.index()] += 1;
            bytes[port.index()] += u64::from(len);
            match fate {
                0 => {
                    table.remove(slot);
                    prop_assert_eq!(add(&mut table, &key(number, false), State::Established), Ok(slot));
                    told[number as usize] = Default::default();
                }
                1..10 => table.both(slot).1.count(port, len),
                _ => table.count(slot, port, len),
            }
            for (number, slot) in slots.iter().enumerate() {
                prop_assert_eq!(table.counts(*slot), told[number]);
            }
        }
    }
}

fn frame_len() -> impl Strategy<Value = u32> {
    prop_oneof![6 => 60..90u32, 3 => 60..1600u32, 1 => 3000..70_000u32]
}

/// A hash of addresses is no proof: the long way compares them, whatever the hash says.
#[test]
fn addresses_of_the_same_hash_are_told_apart() {
    let mut table = Table::new(0, 16, SECRET);
    let (one, other) = (key(1, true), key(2, true));
    let hashed = table.hash(&one);
    let slot = table.insert(&one, hashed, Port::Lan, State::Established).expect("room");
    assert!(table.is(slot, &PackedKey::of(&one), hashed));
    assert_eq!(table.find(&one, hashed), Some(slot));
    assert_eq!(table.find(&FlowKey { addresses: other.addresses, ..one }, hashed), None);
}
