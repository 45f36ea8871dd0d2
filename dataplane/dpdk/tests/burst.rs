//! Who owns a packet: whatever is done with bursts, each packet is freed once and none is lost.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic and print, its helpers too")]

mod support;

use std::collections::VecDeque;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sekisho_dpdk::{BURST_MAX, Burst, Checksum, Eal, Mbuf, PacketPool, PoolConfig, PortConfig};
use support::{eal, open, pool};

#[derive(Clone, Debug)]
enum Step {
    Push { burst: usize, length: usize },
    Take { burst: usize, place: usize },
    PutBack { burst: usize },
    DropHeld,
    Move { from: usize, place: usize },
    MoveAll { from: usize, places: u64 },
    Compact { burst: usize },
    Clear { burst: usize },
    Send { burst: usize },
    Receive { burst: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let (burst, place) = (0..2usize, 0..BURST_MAX + 2);
    prop_oneof![
        // Many pushes and few clears, so that bursts do fill up.
        8 => (burst.clone(), 1..6000usize).prop_map(|(burst, length)| Step::Push { burst, length }),
        2 => (burst.clone(), place.clone()).prop_map(|(burst, place)| Step::Take { burst, place }),
        2 => burst.clone().prop_map(|burst| Step::PutBack { burst }),
        1 => Just(Step::DropHeld),
        4 => (burst.clone(), place).prop_map(|(from, place)| Step::Move { from, place }),
        3 => (burst.clone(), prop_oneof![any::<u64>(), Just(u64::MAX)])
            .prop_map(|(from, places)| Step::MoveAll { from, places }),
        1 => burst.clone().prop_map(|burst| Step::Compact { burst }),
        1 => burst.clone().prop_map(|burst| Step::Clear { burst }),
        2 => burst.clone().prop_map(|burst| Step::Send { burst }),
        2 => burst.prop_map(|burst| Step::Receive { burst }),
    ]
}

/// What the bursts, the held packets and the device's ring should hold: the numbers of packets, `None` for gaps.
#[derive(Default)]
struct Model {
    bursts: [Vec<Option<Vec<u8>>>; 2],
    held: VecDeque<Vec<u8>>,
    ring: VecDeque<Vec<u8>>,
}

struct Real {
    bursts: [Burst; 2],
    held: VecDeque<Mbuf>,
    rx: sekisho_dpdk::RxQueue,
    tx: sekisho_dpdk::TxQueue,
}

fn frame(number: usize, length: usize) -> Vec<u8> {
    (0..length).map(|index| (number * 31 + index).to_le_bytes()[0]).collect()
}

fn bytes(packet: sekisho_dpdk::Packet<'_>) -> Vec<u8> {
    let mut bytes = vec![0; packet.total_len()];
    assert_eq!(packet.copy_to(&mut bytes), bytes.len());
    bytes
}

fn apply(number: usize, step: &Step, model: &mut Model, real: &mut Real, pool: &PacketPool) {
    match *step {
        Step::Push { burst, length } => {
            let frame = frame(number, length);
            let pushed = real.bursts[burst].push_frame(pool, &frame);
            assert_eq!(pushed, model.bursts[burst].len() < BURST_MAX);
            if pushed {
                model.bursts[burst].push(Some(frame));
            }
        }
        Step::Take { burst, place } => {
            let taken = real.bursts[burst].take(place);
            let expected = model.bursts[burst].get_mut(place).and_then(Option::take);
            assert_eq!(taken.as_ref().map(|packet| bytes(packet.packet())), expected);
            real.held.extend(taken);
            model.held.extend(expected);
        }
        Step::PutBack { burst } => {
            let Some(packet) = real.held.pop_front() else { return };
            let frame = model.held.pop_front().unwrap();
            match real.bursts[burst].push(packet) {
                Ok(()) => model.bursts[burst].push(Some(frame)),
                Err(packet) => {
                    assert_eq!(model.bursts[burst].len(), BURST_MAX);
                    real.held.push_front(packet);
                    model.held.push_front(frame);
                }
            }
        }
        Step::DropHeld => {
            real.held.clear();
            model.held.clear();
        }
        Step::Move { from, place } => {
            let [source, target] = real.bursts.get_disjoint_mut([from, 1 - from]).unwrap();
            let moved = source.move_to(place, target);
            let room = model.bursts[1 - from].len() < BURST_MAX;
            let expected = room.then(|| model.bursts[from].get_mut(place).and_then(Option::take)).flatten();
            assert_eq!(moved, expected.is_some());
            if moved {
                model.bursts[1 - from].push(expected);
            }
        }
        Step::MoveAll { from, places } => {
            let len = model.bursts[from].len();
            // All bits: just those of the places in use, as of a burst of which nothing is dropped.
            let places = if places == u64::MAX && len > 0 { places >> (BURST_MAX - len) } else { places };
            let [source, target] = real.bursts.get_disjoint_mut([from, 1 - from]).unwrap();
            let mut expected = 0;
            for place in (0..len).filter(|place| places >> place & 1 != 0) {
                if model.bursts[1 - from].len() < BURST_MAX
                    && let Some(frame) = model.bursts[from][place].take()
                {
                    expected += frame.len() as u64;
                    model.bursts[1 - from].push(Some(frame));
                }
            }
            assert_eq!(source.move_all_to(places, target), expected);
        }
        Step::Compact { burst } => {
            real.bursts[burst].compact();
            model.bursts[burst].retain(Option::is_some);
        }
        Step::Clear { burst } => {
            real.bursts[burst].clear();
            model.bursts[burst].clear();
        }
        Step::Send { burst } => {
            // The ring holds 1023: the device takes what fits, the rest stays.
            let sent = real.tx.send(&mut real.bursts[burst]);
            model.bursts[burst].retain(Option::is_some);
            assert_eq!(sent, model.bursts[burst].len().min(1023 - model.ring.len()));
            model.ring.extend(model.bursts[burst].drain(..sent).flatten());
        }
        Step::Receive { burst } => {
            let got = real.rx.receive(&mut real.bursts[burst]);
            assert_eq!(got, (BURST_MAX - model.bursts[burst].len()).min(model.ring.len()));
            model.bursts[burst].extend(model.ring.drain(..got).map(Some));
        }
    }
}

fn agree(model: &Model, real: &Real) {
    for (model, real) in model.bursts.iter().zip(&real.bursts) {
        assert_eq!(real.len(), model.len());
        assert_eq!(real.packet_count(), model.iter().flatten().count());
        assert_eq!(real.room(), BURST_MAX - model.len());
        assert_eq!(real.has_chains(), model.iter().flatten().any(|frame| frame.len() > 2048));
        for (place, expected) in model.iter().enumerate() {
            let found = real.get(place);
            assert!(found.is_none_or(|packet| packet.is_sound()));
            assert_eq!(found.map(bytes).as_ref(), expected.as_ref(), "place {place}");
        }
        assert!(real.get(model.len()).is_none());
    }
}

#[test]
fn every_sequence_of_steps_keeps_every_packet_once() {
    let eal = eal();
    let pool = pool(&eal, &PoolConfig { size: 8191, cache: 32, ..PoolConfig::default() });
    let mut started = open(&eal, "net_ring0", &PortConfig::default(), &pool);
    let (rx, tx) = (started.rx.remove(0), started.tx.remove(0));
    let real = Real { bursts: [Burst::new(&eal), Burst::new(&eal)], held: VecDeque::new(), rx, tx };
    let real = std::cell::RefCell::new(real);
    let mut runner = TestRunner::new(Config { cases: 300, failure_persistence: None, ..Config::default() });
    let run = runner.run(&proptest::collection::vec(step(), 1..200), |steps| {
        let (mut model, real) = (Model::default(), &mut *real.borrow_mut());
        for (number, step) in steps.iter().enumerate() {
            apply(number, step, &mut model, real, &pool);
            agree(&model, real);
        }
        // All is freed: by clearing, by dropping, and out of the ring.
        real.held.clear();
        loop {
            real.bursts.iter_mut().for_each(Burst::clear);
            if real.rx.receive(&mut real.bursts[0]) == 0 {
                break;
            }
        }
        prop_assert_eq!(pool.in_use(), 0);
        Ok(())
    });
    run.unwrap();
}

fn fixture() -> (Eal, PacketPool) {
    let eal = eal();
    let pool = pool(&eal, &PoolConfig { size: 511, cache: 0, ..PoolConfig::default() });
    (eal, pool)
}

#[test]
fn a_burst_that_is_dropped_frees_what_is_in_it() {
    let (eal, pool) = fixture();
    let mut burst = Burst::new(&eal);
    for _ in 0..BURST_MAX {
        assert!(burst.push_frame(&pool, &[1; 60]));
    }
    assert!(!burst.push_frame(&pool, &[1; 60]), "full");
    let kept = burst.take(5).unwrap();
    assert_eq!(pool.in_use(), 64);
    std::thread::spawn(move || drop(burst)).join().unwrap();
    assert_eq!(pool.in_use(), 1);
    drop(kept);
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn an_empty_pool_gives_nothing_and_loses_nothing() {
    let (_eal, pool) = fixture();
    let mut packets: Vec<Mbuf> = (0..509).map(|_| pool.packet(&[0; 60]).unwrap()).collect();
    assert!(pool.packet(&[0; 6000]).is_none(), "three buffers are wanted, two are left");
    assert_eq!(pool.in_use(), 509, "and the two went back");
    packets.extend([pool.packet(&[0; 60]).unwrap(), pool.packet(&[0; 60]).unwrap()]);
    assert!(pool.packet(&[0; 1]).is_none());
    packets.clear();
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn another_packet_takes_the_buffer_of_one_that_has_room() {
    let (_eal, pool) = fixture();
    let mut packet = pool.packet(&frame(1, 60)).unwrap();
    for length in [78, 54, 1300] {
        let other = frame(2, length);
        assert!(packet.packet_mut().replace(&other));
        assert_eq!(bytes(packet.packet()), other);
        assert!(packet.packet().is_sound());
    }
    assert!(!packet.packet_mut().replace(&vec![0; 2049]), "a buffer holds 2048 bytes");
    assert_eq!(packet.packet().total_len(), 1300, "it is what it was");
    let mut long = pool.packet(&frame(3, 9000)).unwrap();
    assert!(!long.packet_mut().replace(&frame(4, 60)), "it has further segments");
    assert_eq!(long.packet().total_len(), 9000);
}

#[test]
fn a_long_packet_lies_in_segments() {
    let (eal, pool) = fixture();
    let frame = frame(3, 9000);
    let mut packet = pool.packet(&frame).unwrap();
    let view = packet.packet();
    // The first buffer keeps its headroom; the others use theirs.
    assert_eq!(view.segments().map(<[u8]>::len).collect::<Vec<_>>(), [2048, 2176, 2176, 2176, 424]);
    assert_eq!((view.segment_count(), view.total_len(), view.data().len()), (5, 9000, 2048));
    assert_eq!(view.segments().flatten().copied().collect::<Vec<_>>(), frame);
    assert!(view.is_sound());
    let mut part = [0; 2100];
    assert_eq!(view.copy_to(&mut part), 2100);
    assert_eq!(part[..], frame[..2100]);

    assert!(!packet.packet_mut().linearize(), "a buffer holds 2048 bytes");
    let other = vec![9; 9100];
    assert_eq!(packet.packet_mut().overwrite(&other), 9000);
    assert_eq!(bytes(packet.packet()), other[..9000]);

    let mut burst = Burst::new(&eal);
    burst.push(packet).unwrap();
    assert_eq!(pool.in_use(), 5);
    burst.clear();
    assert_eq!(pool.in_use(), 0, "all segments are freed");
}

#[test]
fn segments_that_fit_one_buffer_become_one() {
    let (eal, large) = fixture();
    // Buffers of 100 bytes and a first one with room to spare make a chain that fits its head.
    let small = pool(&eal, &PoolConfig { size: 255, cache: 0, data_room: 100, ..PoolConfig::default() });
    let mut packet = small.packet(&frame(1, 228)).unwrap();
    assert_eq!(packet.packet().segment_count(), 2);
    assert!(!packet.packet_mut().linearize());
    let mut one = large.packet(&frame(1, 228)).unwrap();
    assert!(one.packet_mut().linearize(), "it is linear already");
    assert_eq!(bytes(one.packet()), bytes(packet.packet()));
}

#[test]
fn a_burst_made_linear_loses_only_what_fits_no_buffer() {
    let (eal, pool) = fixture();
    let mut burst = Burst::new(&eal);
    for length in [60, 5000, 2048, 2049, 1] {
        assert!(burst.push_frame(&pool, &frame(1, length)));
    }
    drop(burst.take(0));
    assert_eq!(burst.linearize(), 2);
    assert_eq!(burst.packets().map(|(_, packet)| packet.total_len()).collect::<Vec<_>>(), [2048, 1]);
    assert_eq!(pool.in_use(), 2);
}

#[test]
fn all_packets_of_a_burst_can_be_written_at_once() {
    let (eal, pool) = fixture();
    let mut burst = Burst::new(&eal);
    for number in 0..10u8 {
        assert!(burst.push_frame(&pool, &[number; 64]));
    }
    drop(burst.take(4));
    let mut frames: Vec<(usize, &mut [u8])> =
        burst.packets_mut().map(|(place, packet)| (place, packet.into_data())).collect();
    for (place, frame) in &mut frames {
        frame[0] = 100 + u8::try_from(*place).unwrap();
    }
    assert_eq!(burst.data_mut(4), [], "a gap");
    let found: Vec<_> =
        burst.packets().map(|(place, packet)| (place, packet.data()[0], packet.data()[1])).collect();
    let expected: Vec<_> = (0..10u8).filter(|&n| n != 4).map(|n| (usize::from(n), 100 + n, n)).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_packet_of_ours_carries_no_findings_of_a_device() {
    let (_eal, pool) = fixture();
    let packet = pool.packet(&[0; 60]).unwrap();
    let view = packet.packet();
    assert_eq!(
        (view.rss_hash(), view.checksum_l3(), view.checksum_l4()),
        (None, Checksum::Unknown, Checksum::Unknown)
    );
}

#[test]
fn packets_pass_between_threads() {
    let (eal, pool) = fixture();
    let (send, receive) = std::sync::mpsc::channel::<Mbuf>();
    let there = eal.clone();
    let worker = std::thread::spawn(move || {
        let mut burst = Burst::new(&there);
        let mut sum = 0u64;
        for packet in receive {
            sum += u64::from(packet.packet().data()[0]);
            if let Err(packet) = burst.push(packet) {
                burst.clear();
                burst.push(packet).unwrap();
            }
        }
        sum
    });
    for number in 0..10_000u32 {
        let packet = loop {
            match pool.packet(&[number.to_le_bytes()[0]; 60]) {
                Some(packet) => break packet,
                None => std::thread::yield_now(),
            }
        };
        send.send(packet).unwrap();
    }
    drop(send);
    let expected: u64 = (0..10_000u32).map(|number| u64::from(number.to_le_bytes()[0])).sum();
    assert_eq!(worker.join().unwrap(), expected);
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn the_memory_that_a_pool_is_said_to_take_is_enough() {
    let config = PoolConfig { size: 65_535, cache: 512, data_room: 2048, socket: None };
    let memory_mib = config.memory_mib();
    let eal = Eal::start(&sekisho_dpdk::EalConfig { memory_mib, ..support::config() }).unwrap();
    assert_eq!(PacketPool::new(&eal, &config).unwrap().available(), 65_535);
}
