//! The session table's index against `hashbrown::HashTable`, side by side in one run: look-ups of random live
//! sessions, look-ups that find nothing, and a full turnover (remove one, insert one). Both index the same kind of
//! slab by slot number. `cargo bench -p sekisho-engine --bench table [SESSIONS…]`

#![allow(clippy::print_stdout, missing_docs, reason = "a benchmark prints what it measures")]

use std::hint::black_box;
use std::time::Instant;

use hashbrown::HashTable;
use sekisho_engine::flow::{Ends, FlowKey, HashSecret};
use sekisho_engine::packet::VlanStack;
use sekisho_engine::port::Port;
use sekisho_engine::session::State;
use sekisho_engine::session::table::Table;

const SECRET: HashSecret =
    HashSecret([0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb, 3]);
const ROUNDS: usize = 5;
const LOOKUPS: usize = 2_000_000;

fn key(number: u32) -> FlowKey {
    let addresses = Ends::V4 { lan: 0x0a00_0000 | number & 0xff_ffff, wan: 0xc000_0201 };
    let lan_port = 1024 + u16::try_from(number >> 24).expect("eight bits");
    FlowKey { addresses, lan_port, wan_port: 443, protocol: 6, vlan: VlanStack::UNTAGGED }
}

/// The slab that an index points into: the key and as much again, one cache line a session.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Entry(FlowKey);

struct Map {
    index: HashTable<u32>,
    slab: Vec<Entry>,
}

impl Map {
    fn new(sessions: u32) -> Self {
        Self {
            index: HashTable::with_capacity(sessions as usize),
            slab: vec![Entry(key(0)); sessions as usize],
        }
    }

    fn find(&self, key: &FlowKey) -> Option<u32> {
        self.index.find(SECRET.hash(key), |slot| self.slab[*slot as usize].0 == *key).copied()
    }

    fn insert(&mut self, key: &FlowKey, slot: u32) {
        self.slab[slot as usize] = Entry(*key);
        let slab = &self.slab;
        self.index.insert_unique(SECRET.hash(key), slot, |slot| SECRET.hash(&slab[*slot as usize].0));
    }

    fn remove(&mut self, key: &FlowKey) -> Option<u32> {
        let slab = &self.slab;
        let found = self.index.find_entry(SECRET.hash(key), |slot| slab[*slot as usize].0 == *key).ok()?;
        Some(found.remove().0)
    }
}

/// Nanoseconds of each of `count` calls, and the longest single one.
fn measure<T>(count: usize, mut call: impl FnMut(usize) -> T) -> f64 {
    let begin = Instant::now();
    for number in 0..count {
        black_box(call(number));
    }
    begin.elapsed().as_nanos() as f64 / count as f64
}

fn longest(count: usize, mut call: impl FnMut(usize)) -> f64 {
    let mut worst = 0;
    for number in 0..count {
        let begin = Instant::now();
        call(number);
        worst = worst.max(begin.elapsed().as_nanos());
    }
    worst as f64 / 1000.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let asked: Vec<u32> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let sizes = if asked.is_empty() { vec![1_000, 65_536, 1_000_000] } else { asked };
    println!("{:>9} {:>9} {:>14} {:>14} {:>7}", "sessions", "", "fixed buckets", "hashbrown", "ratio");
    for sessions in sizes {
        let mut table = Table::new(0, sessions, SECRET);
        let mut map = Map::new(sessions);
        for number in 0..sessions {
            let key = key(number);
            table.insert(&key, table.hash(&key), Port::Lan, State::Established).expect("below capacity");
            map.insert(&key, number);
        }
        let order: Vec<u32> = {
            let mut seed = 88_172_645_463_325_252u64;
            let mut next = || {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                u32::try_from(seed % u64::from(sessions)).expect("below sessions")
            };
            (0..LOOKUPS).map(|_| next()).collect()
        };
        let mut results: [Vec<[f64; 2]>; 4] = Default::default();
        for round in 0..u32::try_from(ROUNDS).expect("few") {
            let hit = |at: usize| key(round * sessions + order[at]);
            let miss = |at: usize| key((round + 1) * sessions + order[at]);
            results[0].push([
                measure(LOOKUPS, |at| table.find(&hit(at), table.hash(&hit(at)))),
                measure(LOOKUPS, |at| map.find(&hit(at))),
            ]);
            results[1].push([
                measure(LOOKUPS, |at| table.find(&miss(at), table.hash(&miss(at)))),
                measure(LOOKUPS, |at| map.find(&miss(at))),
            ]);
            let count = sessions as usize;
            // In each round the sessions of the last one make room for new ones: the tables are full throughout.
            let old = |at: usize| key(round * sessions + u32::try_from(at).expect("below sessions"));
            let new = |at: usize| key((round + 1) * sessions + u32::try_from(at).expect("below sessions"));
            let mut turn_table = |at: usize| {
                let (old, new) = (old(at), new(at));
                let slot = table.find(&old, table.hash(&old)).expect("it lives");
                table.remove(slot);
                table.insert(&new, table.hash(&new), Port::Lan, State::Established).expect("one was removed");
            };
            let table_turn =
                [measure(count / 2, &mut turn_table), longest(count / 2, |at| turn_table(count / 2 + at))];
            let mut turn_map = |at: usize| {
                let slot = map.remove(&old(at)).expect("it lives");
                map.insert(&new(at), slot);
            };
            let map_turn =
                [measure(count / 2, &mut turn_map), longest(count / 2, |at| turn_map(count / 2 + at))];
            results[2].push([table_turn[0], map_turn[0]]);
            results[3].push([table_turn[1], map_turn[1]]);
        }
        for (name, pairs) in ["hit ns", "miss ns", "turn ns", "worst us"].iter().zip(&results) {
            let fixed = median(pairs.iter().map(|pair| pair[0]).collect());
            let brown = median(pairs.iter().map(|pair| pair[1]).collect());
            println!("{sessions:>9} {name:>9} {fixed:>14.1} {brown:>14.1} {:>7.2}", fixed / brown);
        }
    }
}
