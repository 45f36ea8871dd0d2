//! What it costs to verify a checksum where no device did: nanoseconds a frame, for the parser alone, with the sum, and for
//! SCTP's CRC32c. Frames lie in the cache, as they do behind a device that writes into it, or far apart in memory.
//! `cargo bench -p sekisho-engine --bench checksum`

#![allow(clippy::print_stdout, missing_docs, reason = "a benchmark prints what it measures")]

use std::hint::black_box;
use std::time::Instant;

use etherparse::PacketBuilder;
use sekisho_engine::packet::checksum::Crc32c;
use sekisho_engine::packet::{DeviceChecksum, parse, verify};

/// Frames that are gone through in turn: few fit the first cache, many fit none.
const FEW: usize = 8;
const MANY: usize = 65_536;
const LOOKS: usize = 2_000_000;
const ROUNDS: usize = 7;

/// A TCP segment in a frame of `len` bytes.
fn frame(len: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([192, 0, 2, 10], [203, 0, 113, 5], 64);
    let data: Vec<u8> = (0..len - 54).map(|at| u8::try_from(at % 251).unwrap_or(0)).collect();
    builder.tcp(40_000, 443, 1, 8192).ack(1).write(&mut frame, &data).expect("writing to memory");
    frame
}

/// The best of several rounds: nanoseconds a frame.
fn measure(frames: &[Vec<u8>], look: impl Fn(&[u8]) -> bool) -> f64 {
    let looks = if frames.len() == FEW { LOOKS } else { frames.len() };
    let round = || {
        let begin = Instant::now();
        for place in 0..looks {
            black_box(look(black_box(&frames[place % frames.len()])));
        }
        begin.elapsed().as_nanos() as f64 / looks as f64
    };
    (0..ROUNDS).map(|_| round()).fold(f64::INFINITY, f64::min)
}

fn main() {
    println!("{:>6} {:>9} {:>8} {:>12} {:>8}", "bytes", "frames", "parse", "and verify", "CRC32c");
    for (len, count) in [(64, FEW), (590, FEW), (1514, FEW), (64, MANY), (1514, MANY)] {
        let frames = vec![frame(len); count];
        let parsed = measure(&frames, |frame| parse(frame, frame.len()).fault.is_none());
        let verified = measure(&frames, |frame| {
            let mut facts = parse(frame, frame.len());
            verify(&mut facts, DeviceChecksum::NotChecked, [frame]);
            assert!(facts.fault.is_none());
            true
        });
        let crc = measure(&frames, |frame| {
            let mut crc = Crc32c::default();
            crc.add(&frame[34..]);
            crc.value() == 0
        });
        println!("{len:>6} {count:>9} {parsed:>8.1} {verified:>12.1} {crc:>8.1}");
    }
}
