//! A bad network between two wires: it loses, repeats, delays and reorders what passes, either way.
//!
//! What `tc netem` does, for kernels that are built without it; in user space, for some tens of megabits a second.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::traffic::Seeded;
use crate::wire::Wire;

/// How bad it is.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// Frames lost, of a thousand. Of two that follow each other one comes through, so that who waits alone, and longer
    /// each time, does not wait for luck.
    pub lost: u64,
    /// Frames that come twice, of a thousand.
    pub repeated: u64,
    /// Frames that others overtake, of a thousand.
    pub held_back: u64,
    /// How long every frame takes.
    pub delay: Duration,
    /// How much longer those that are held back take, at the most.
    pub jitter: Duration,
}

/// The network. Dropping it takes it down.
#[derive(Debug)]
pub struct Impairment {
    stop: Arc<AtomicBool>,
    counts: Arc<Counts>,
    ways: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Counts {
    lost: AtomicU64,
    repeated: AtomicU64,
    held_back: AtomicU64,
}

impl Impairment {
    /// Puts it between `a` and `b`.
    #[must_use]
    pub fn between(a: Wire, b: Wire, weather: Weather, seed: u64) -> Self {
        let wires = [Arc::new(a), Arc::new(b)];
        let (stop, counts) = (Arc::new(AtomicBool::new(false)), Arc::new(Counts::default()));
        let way = |from: usize| {
            let (from, to) = (Arc::clone(&wires[from]), Arc::clone(&wires[1 - from]));
            let (stop, counts) = (Arc::clone(&stop), Arc::clone(&counts));
            let dice = Seeded(seed.wrapping_mul(2).wrapping_add(u64::from(Arc::ptr_eq(&from, &wires[0]))));
            std::thread::spawn(move || carry(&from, &to, weather, dice, &stop, &counts))
        };
        let ways = vec![way(0), way(1)];
        Self { stop, counts, ways }
    }

    /// Frames that were lost, that came twice, and that were held back.
    #[must_use]
    pub fn counts(&self) -> [u64; 3] {
        let Counts { lost, repeated, held_back } = &*self.counts;
        [lost, repeated, held_back].map(|count| count.load(Ordering::Relaxed))
    }
}

impl Drop for Impairment {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for way in self.ways.drain(..) {
            // It has told why, if it panicked.
            let _ = way.join();
        }
    }
}

fn carry(from: &Wire, to: &Wire, weather: Weather, mut dice: Seeded, stop: &AtomicBool, counts: &Counts) {
    let mut flying: BinaryHeap<Reverse<(Instant, u64, Vec<u8>)>> = BinaryHeap::new();
    let mut number = 0;
    let mut was_lost = false;
    let is_one_of = |of_thousand: u64, count: &AtomicU64, dice: &mut Seeded| {
        let is = dice.number() % 1000 < of_thousand;
        count.fetch_add(u64::from(is), Ordering::Relaxed);
        is
    };
    while !stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        while flying.peek().is_some_and(|Reverse((due, ..))| *due <= now) {
            if let Some(Reverse((.., frame))) = flying.pop() {
                to.send(&frame);
            }
        }
        let due =
            flying.peek().map_or(Duration::from_millis(50), |Reverse((due, ..))| due.duration_since(now));
        let Some(frame) = from.receive(due.max(Duration::from_micros(50))) else { continue };
        if !was_lost && is_one_of(weather.lost, &counts.lost, &mut dice) {
            was_lost = true;
            continue;
        }
        was_lost = false;
        let copies = 1 + u64::from(is_one_of(weather.repeated, &counts.repeated, &mut dice));
        for _ in 0..copies {
            let mut due = Instant::now() + weather.delay;
            if is_one_of(weather.held_back, &counts.held_back, &mut dice) {
                due += weather.jitter * u32::try_from(dice.number() % 1000).unwrap_or(0) / 1000;
            }
            number += 1;
            flying.push(Reverse((due, number, frame.clone())));
        }
    }
}
