//! What a frame costs to make: nanoseconds, into buffers that lie in the cache. `cargo bench -p sekisho-traffic`

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    missing_docs,
    reason = "a benchmark prints what it measures"
)]

use std::hint::black_box;
use std::time::Instant;

use sekisho_traffic::{Config, FRAME_MAX, Family, FrameSize, Made, Phase, Protocol, Shard, Side};

const BURST: usize = 32;
const BURSTS: usize = 100_000;
const ROUNDS: usize = 7;

fn open(shard: &mut Shard, buffer: &mut [u8]) {
    while shard.phase() == Phase::Opening {
        for side in Side::ALL {
            for _ in 0..shard.ready(side, 0, BURST) {
                let made = shard.make(side, 0, buffer);
                shard.sink(side.other(), &buffer[..usize::from(made.len)]);
            }
        }
    }
}

/// The best of several rounds.
fn measure(config: &Config) -> f64 {
    let mut shard = Shard::new(config, 0).unwrap();
    let mut buffers = vec![[0; FRAME_MAX]; BURST];
    let mut made = [Made::default(); BURST];
    open(&mut shard, &mut buffers[0]);
    let mut round = || {
        let begin = Instant::now();
        for turn in 0..BURSTS {
            let side = Side::ALL[turn % 2];
            let count = shard.ready(side, 0, BURST);
            let places = buffers.iter_mut().map(|buffer| buffer.as_mut_slice()).zip(&mut made).take(count);
            black_box(shard.make_all(side, 0, places));
            black_box(&made);
        }
        begin.elapsed().as_nanos() as f64 / (BURSTS * BURST) as f64
    };
    (0..ROUNDS).map(|_| round()).fold(f64::INFINITY, f64::min)
}

fn main() {
    for family in [Family::V4, Family::V6] {
        for protocol in [Protocol::Udp, Protocol::Tcp, Protocol::Mixed] {
            for size in [FrameSize::Smallest, FrameSize::Imix] {
                let config = Config { sessions: 65_536, family, protocol, size, ..Config::default() };
                println!("{family:?} {protocol:?} {size:?}: {:.1} ns", measure(&config));
            }
        }
    }
}
