use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const SECRET: HashSecret = HashSecret([1, 2, 3, 4]);

fn expectation(port: u16, parent: u64, expires_ms: u64) -> Expectation {
    Expectation {
        key: FlowKey {
            addresses: Ends::V4 { lan: 0xc000_020a, wan: 0xcb00_7105 },
            lan_port: port,
            wan_port: 0,
            protocol: 6,
            vlan: VlanStack::new(20, 30),
        },
        helper: Helper::Ftp,
        rule: RuleKey::from_number(7),
        parent: SessionId::from_number(parent),
        asked: Asked { from: Port::Lan, protocol: 6, destination_port: 21 },
        generation: 3,
        expires_ms,
    }
}

fn at(ms: u64) -> Instant {
    Instant::from_millis(ms)
}

fn use_up(table: &Expectations, key: &FlowKey, now: Instant) -> Option<Expectation> {
    let claim = table.claim(key, now)?;
    let expectation = claim.expectation;
    table.use_up(claim);
    Some(expectation)
}

#[test]
fn an_expectation_is_for_one_connection() {
    let table = Expectations::new(100, SECRET);
    let one = expectation(40_000, 9, 60_000);
    assert!(table.is_empty());
    assert_eq!(table.register(&one, at(0)).map(|registered| registered.before), Some(Before::Nothing));
    for other in [
        FlowKey { lan_port: 40_001, ..one.key },
        FlowKey { lan_port: 0, wan_port: 40_000, ..one.key },
        FlowKey { protocol: 17, ..one.key },
        FlowKey { vlan: VlanStack::new(20, 31), ..one.key },
        FlowKey { addresses: Ends::V4 { lan: 0xc000_020b, wan: 0xcb00_7105 }, ..one.key },
    ] {
        assert!(table.claim(&other, at(1)).is_none(), "{other:?}");
    }
    assert_eq!(use_up(&table, &one.key, at(59_999)), Some(one));
    assert_eq!(use_up(&table, &one.key, at(59_999)), None);
    assert!(table.is_empty());
}

#[test]
fn a_claim_given_back_can_be_had_again_and_still_be_withdrawn() {
    let table = Expectations::new(100, SECRET);
    let one = expectation(40_000, 9, 60_000);
    let handle = table.register(&one, at(0)).expect("there is room").handle;
    let claim = table.claim(&one.key, at(1)).expect("it is expected");
    assert!(table.claim(&one.key, at(1)).is_none(), "it is somebody's");
    table.give_back(claim);
    assert!(table.is_open(handle, at(1)));
    assert!(table.withdraw(handle, at(1)));
    assert!(!table.withdraw(handle, at(1)) && table.is_empty());
    assert!(table.claim(&one.key, at(1)).is_none());
}

#[test]
fn one_that_is_withdrawn_while_it_is_claimed_is_not_given_back() {
    let table = Expectations::new(100, SECRET);
    let one = expectation(40_000, 9, 60_000);
    let handle = table.register(&one, at(0)).expect("there is room").handle;
    let claim = table.claim(&one.key, at(1)).expect("it is expected");
    assert!(!table.withdraw(handle, at(1)));
    table.give_back(claim);
    assert!(table.claim(&one.key, at(1)).is_none(), "its control session is gone");
    assert_eq!(table.open(at(1)), [0, 0, 0]);
}

#[test]
fn it_is_over_at_its_time_and_its_place_is_free_then() {
    let table = Expectations::new(8, SECRET);
    for port in 0..64 {
        table.register(&expectation(2000 + port, 9, 60_000), at(0));
    }
    assert!(table.register(&expectation(3000, 9, 60_000), at(59_999)).is_none(), "full");
    assert_eq!(table.open(at(59_999))[0], 16);
    assert!(table.claim(&expectation(2000, 9, 0).key, at(60_000)).is_none());
    assert_eq!(table.open(at(60_000)), [0, 0, 0]);
    assert!(table.register(&expectation(3000, 9, 120_000), at(60_000)).is_some());
}

#[test]
fn the_same_once_more_is_renewed_and_anothers_is_replaced() {
    let table = Expectations::new(100, SECRET);
    let first = table.register(&expectation(40_000, 9, 60_000), at(0)).expect("there is room");
    let again = table.register(&expectation(40_000, 9, 90_000), at(30_000)).expect("there is room");
    assert_eq!(again.before, Before::Same);
    assert!(!table.is_open(first.handle, at(30_000)) && table.is_open(again.handle, at(89_999)));
    let mut other = expectation(40_000, 10, 95_000);
    other.helper = Helper::Sip;
    assert_eq!(table.register(&other, at(35_000)).map(|now| now.before), Some(Before::Another(Helper::Ftp)));
    assert_eq!(table.open(at(35_000)), [0, 0, 1]);
    assert!(!table.withdraw(again.handle, at(35_000)), "it is another's now");
    assert_eq!(use_up(&table, &other.key, at(35_000)), Some(other));
}

#[test]
fn two_choices_fill_the_table_nearly_to_its_end() {
    let table = Expectations::new(u32::MAX, SECRET);
    let room =
        (0..60_000u16).take_while(|port| table.register(&expectation(port + 1, 1, 60_000), at(0)).is_some());
    let held = room.count() as u32;
    assert!(held > EXPECTATIONS_MAX * 8 / 10, "{held} of {EXPECTATIONS_MAX}");
}

#[test]
fn listings_show_all_of_it() {
    let table = Expectations::new(100, SECRET);
    let mut v6 = expectation(0, 5, 61_000);
    v6.key.addresses = Ends::V6 { lan: 0x2001_0db8 << 96 | 1, wan: 0x2001_0db8 << 96 | 2 };
    v6.key.wan_port = 5000;
    table.register(&v6, at(1000)).expect("there is room");
    let mut listed = Vec::new();
    table.list(at(2000), |view| listed.push(*view));
    let [view] = listed[..] else { panic!("{listed:?}") };
    assert_eq!((view.from, view.destination_port, view.parent), (Port::Lan, 5000, SessionId::from_number(5)));
    assert_eq!(
        (view.source.to_string(), view.destination.to_string()),
        ("2001:db8::1".into(), "2001:db8::2".into())
    );
    assert_eq!((view.expires_in, view.vlan), (Duration::from_secs(59), VlanStack::new(20, 30)));
}

#[test]
fn the_number_of_followed_sessions_is_bounded() {
    let table = Expectations::new(2, SECRET);
    assert!(table.begin_following() && table.begin_following() && !table.begin_following());
    table.end_following();
    assert!(table.begin_following());
}

proptest! {
    #[test]
    fn words_keep_everything(
        lan: u128, wan: u128, is_v6: bool, port: u16, numbers: [u32; 2], parent: u64, expires_ms: u64, bits: [u16; 3],
        to_lan: bool,
    ) {
        let addresses = match is_v6 {
            true => Ends::V6 { lan, wan },
            false => Ends::V4 { lan: lan as u32, wan: wan as u32 },
        };
        let from = if to_lan { Port::Wan } else { Port::Lan };
        let one = Expectation {
            key: FlowKey {
                addresses,
                lan_port: if to_lan { port } else { 0 },
                wan_port: if to_lan { 0 } else { port },
                protocol: bits[0] as u8,
                vlan: VlanStack::new(bits[0], bits[1]),
            },
            helper: Helper::ALL[usize::from(bits[2] % 3)],
            rule: RuleKey::from_number(numbers[0]),
            parent: SessionId::from_number(parent),
            asked: Asked { from, protocol: bits[1] as u8, destination_port: bits[2] },
            generation: numbers[1],
            expires_ms,
        };
        prop_assert_eq!(Expectation::of_words(one.words()), one);
    }

    /// Against a map, while there is room.
    #[test]
    fn agrees_with_a_map(steps in prop::collection::vec((0u8..4, 1u16..24, 0u64..3, 0u64..20_000), 1..200)) {
        let table = Expectations::new(1000, SECRET);
        let (mut map, mut now) = (HashMap::<u16, (Handle, Expectation)>::new(), 0);
        for (what, port, parent, pass) in steps {
            now += pass;
            map.retain(|_, (_, one)| one.expires_ms > now);
            match what {
                0 | 1 => {
                    let one = expectation(port, parent, now + 60_000);
                    let registered = table.register(&one, at(now)).expect("there is room");
                    let before = match map.get(&port) {
                        None => Before::Nothing,
                        Some((_, old)) if old.parent == one.parent => Before::Same,
                        Some(_) => Before::Another(Helper::Ftp),
                    };
                    prop_assert_eq!(registered.before, before);
                    map.insert(port, (registered.handle, one));
                }
                2 => {
                    let wanted = map.remove(&port).map(|(_, one)| one);
                    prop_assert_eq!(use_up(&table, &expectation(port, 0, 0).key, at(now)), wanted);
                }
                _ => {
                    if let Some((handle, _)) = map.remove(&port) {
                        prop_assert!(table.withdraw(handle, at(now)));
                        prop_assert!(!table.withdraw(handle, at(now)));
                    }
                }
            }
            prop_assert_eq!(table.open(at(now))[0], map.len() as u64);
        }
    }
}

/// One thread announces, and sweeps as it does, while another uses up: nothing is lost, and what is taken is counted
/// right, or first packets are not asked about any more.
#[test]
fn a_slot_that_is_used_up_under_a_sweep_is_emptied_once() {
    const ANNOUNCED: u16 = 60_000;
    // Two buckets: every announcement sweeps both.
    let table = Expectations::new(16, SECRET);
    let (announced, seen) = (AtomicU32::new(0), AtomicU32::new(0));
    let (mut kept, mut used) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..ANNOUNCED {
                while u32::from(number) >= seen.load(SeqCst) + 4 {
                    std::thread::yield_now();
                }
                let registered = table.register(&expectation(1024 + number, 9, 60_000), at(0));
                kept += u32::from(registered.is_some());
                announced.fetch_add(1, SeqCst);
            }
        });
        scope.spawn(|| {
            for number in 0..ANNOUNCED {
                while announced.load(SeqCst) <= u32::from(number) {
                    std::thread::yield_now();
                }
                let key = expectation(1024 + number, 9, 60_000).key;
                used += u32::from(use_up(&table, &key, at(1)).is_some());
                seen.fetch_add(1, SeqCst);
            }
        });
    });
    assert_eq!((kept, used), (u32::from(ANNOUNCED), u32::from(ANNOUNCED)));
    assert_eq!(table.taken.load(SeqCst), 0);
}
