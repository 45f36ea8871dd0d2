use std::collections::HashMap;
use std::sync::Arc;
use std::thread;

use super::*;

const SECRET: HashSecret = HashSecret([1, 2, 3, 4]);

fn at(seconds: u64) -> Instant {
    Instant::from_secs(1000 + seconds)
}

fn source(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(0xcb00_0000 | number).into()
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

fn causes(blocks: &Blocks, now: Instant) -> HashMap<IpAddr, (BlockCause, u64)> {
    let mut found = HashMap::new();
    blocks.list(now, |view| {
        let left = view.expires_in.as_nanos() / 1_000_000_000;
        assert!(found.insert(view.source, (view.cause, left)).is_none(), "{} is there twice", view.source);
    });
    found
}

#[test]
fn a_block_begins_holds_and_ends_by_itself() {
    let blocks = Blocks::new(SECRET);
    assert!(blocks.is_empty() && blocks.find(source(1), at(0)).is_none());
    assert!(blocks.block(source(1), BlockCause::PortScan, at(0), minutes(5)));
    let found = blocks.find(source(1), at(299)).unwrap();
    assert_eq!(found.cause, BlockCause::PortScan);
    blocks.count(found);
    blocks.list(at(10), |view| {
        assert_eq!((view.packets, view.age), (1, Duration::from_secs(10)));
    });
    assert!(blocks.find(source(2), at(0)).is_none());
    assert!(blocks.find(source(1), at(300)).is_none());
    assert_eq!((blocks.len(at(299)), blocks.len(at(300))), (1, 0));
    assert_eq!(blocks.begun(BlockCause::PortScan), 1);
}

#[test]
fn addresses_of_both_families_are_told_apart() {
    let blocks = Blocks::new(SECRET);
    let v6: IpAddr = Ipv6Addr::from_bits(0xcb00_0001).into();
    blocks.block(source(1), BlockCause::HostSweep, at(0), minutes(1));
    assert!(blocks.find(v6, at(0)).is_none());
    blocks.block(v6, BlockCause::Operator, at(0), minutes(2));
    let expected = [(source(1), (BlockCause::HostSweep, 60)), (v6, (BlockCause::Operator, 120))];
    assert_eq!(causes(&blocks, at(0)), HashMap::from(expected));
}

#[test]
fn operators_extend_and_release() {
    let blocks = Blocks::new(SECRET);
    assert!(!blocks.extend(source(1), at(0), minutes(9)) && !blocks.release(source(1), at(0)));
    blocks.block(source(1), BlockCause::PortScan, at(0), minutes(5));
    assert!(blocks.extend(source(1), at(1), minutes(60)));
    assert!(blocks.find(source(1), at(3600)).is_some());
    assert!(blocks.release(source(1), at(3600)));
    assert!(blocks.find(source(1), at(3600)).is_none() && blocks.is_empty());
    assert!(!blocks.release(source(1), at(3600)));
}

#[test]
fn a_second_block_holds_until_the_later_end_and_an_order_stands_above_a_scan() {
    let blocks = Blocks::new(SECRET);
    blocks.block(source(1), BlockCause::Operator, at(0), minutes(60));
    blocks.block(source(1), BlockCause::PortScan, at(0), minutes(5));
    assert_eq!(causes(&blocks, at(0))[&source(1)], (BlockCause::Operator, 3600));
    assert_eq!(blocks.begun(BlockCause::PortScan), 0);
    // What is over begins anew.
    blocks.block(source(1), BlockCause::HostSweep, at(4000), minutes(5));
    assert_eq!(causes(&blocks, at(4000))[&source(1)], (BlockCause::HostSweep, 300));
}

#[test]
fn a_full_list_keeps_operators_orders_and_says_what_it_lost() {
    let blocks = Blocks::new(SECRET);
    for number in 0..100 {
        blocks.block(source(number), BlockCause::Operator, at(0), minutes(1));
    }
    let scanners = 3 * BLOCKS_MAX as u32;
    for number in 1000..1000 + scanners {
        assert!(blocks.block(source(number), BlockCause::PortScan, at(0), minutes(5)));
    }
    assert!((0..100).all(|number| blocks.find(source(number), at(1)).is_some()));
    assert!(blocks.len(at(1)) <= BLOCKS_MAX as u64);
    assert_eq!(blocks.len(at(1)) + blocks.evicted(), u64::from(scanners) + 100);
    // All are over, and found out bit by bit.
    for number in 0..BLOCKS_MAX as u32 / (WAYS * SWEPT) as u32 {
        blocks.block(source(number), BlockCause::PortScan, at(1000), Duration::ZERO);
    }
    assert!(blocks.taken.load(Acquire) < 1000 + BLOCKS_MAX as u64 / 8);
}

#[test]
fn readers_see_whole_entries_while_others_write() {
    let blocks = Arc::new(Blocks::new(SECRET));
    let writers: Vec<_> = (0..2_u32)
        .map(|writer| {
            let blocks = Arc::clone(&blocks);
            thread::spawn(move || {
                for round in 0..20_000 {
                    let who = source(writer * 8 + round % 8);
                    blocks.block(who, BlockCause::PortScan, at(0), minutes(5));
                    if round % 3 == 0 {
                        blocks.release(who, at(0));
                    }
                }
            })
        })
        .collect();
    while writers.iter().any(|writer| !writer.is_finished()) {
        causes(&blocks, at(1)).values().for_each(|known| assert_eq!(*known, (BlockCause::PortScan, 299)));
        for number in 0..16 {
            if let Some(found) = blocks.find(source(number), at(1)) {
                assert_eq!(found.cause, BlockCause::PortScan);
            }
        }
    }
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    assert_eq!(blocks.taken.load(Acquire), blocks.len(at(1)));
}
