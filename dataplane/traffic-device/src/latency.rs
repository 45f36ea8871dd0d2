//! From when a packet was due to when it came out, in ticks.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use hdrhistogram::Histogram;

/// Ticks up to ten seconds and more, to one in a thousand.
const TICKS_MAX: u64 = 1 << 36;
const DIGITS: u8 = 3;

fn histogram() -> Option<Histogram<u64>> {
    Histogram::new_with_bounds(1, TICKS_MAX, DIGITS).ok()
}

/// Two histograms that change places: one is written to by the queue, the other read.
#[derive(Debug)]
pub(crate) struct Exchange {
    wanted: AtomicBool,
    spare: Mutex<Option<Histogram<u64>>>,
}

impl Exchange {
    pub(crate) fn new() -> Self {
        Self { wanted: AtomicBool::new(false), spare: Mutex::new(histogram()) }
    }

    /// The reader's side, once in a while: adds what the queue has handed over to `sum`, and asks for the next.
    pub(crate) fn collect(&self, sum: &mut Histogram<u64>) {
        if self.wanted.load(Ordering::Acquire) {
            return;
        }
        if let Ok(mut spare) = self.spare.lock()
            && let Some(histogram) = spare.as_mut()
        {
            let _ = sum.add(&*histogram);
            histogram.reset();
        }
        self.wanted.store(true, Ordering::Release);
    }

    /// The queue's side: exchanges the histograms, if the reader wants to. Never waits.
    #[inline]
    fn offer(&self, own: &mut Histogram<u64>) {
        if !self.wanted.load(Ordering::Relaxed) {
            return;
        }
        if let Ok(mut spare) = self.spare.try_lock()
            && let Some(spare) = spare.as_mut()
        {
            core::mem::swap(spare, own);
            self.wanted.store(false, Ordering::Release);
        }
    }
}

/// The histogram of one queue of both sides.
#[derive(Debug)]
pub(crate) struct Recorder {
    histogram: Histogram<u64>,
    /// Ticks of load before latencies count, and when the load began.
    warm_up: u64,
    began: Option<u64>,
}

impl Recorder {
    pub(crate) fn new(warm_up: u64) -> Option<Self> {
        Some(Self { histogram: histogram()?, warm_up, began: None })
    }

    /// Packets that came out at `now`, due at `stamps`; only during the load.
    pub(crate) fn record(&mut self, exchange: &Exchange, now: u64, stamps: &[u64]) {
        let began = *self.began.get_or_insert(now);
        if now - began < self.warm_up {
            return;
        }
        for &stamp in stamps {
            self.histogram.saturating_record(now.saturating_sub(stamp));
        }
        exchange.offer(&mut self.histogram);
    }
}

/// What the reader begins with.
pub(crate) fn empty() -> Option<Histogram<u64>> {
    histogram()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_or_counted_twice() {
        let exchange = Exchange::new();
        let mut recorder = Recorder::new(0).unwrap();
        let mut sum = empty().unwrap();
        for now in 1000..2000 {
            recorder.record(&exchange, now, &[now - 10, now - 20]);
            if now % 7 == 0 {
                exchange.collect(&mut sum);
            }
        }
        // The last ones come with the next exchange.
        for _ in 0..2 {
            exchange.collect(&mut sum);
            recorder.record(&exchange, 2000, &[]);
        }
        exchange.collect(&mut sum);
        assert_eq!(sum.len(), 2000);
        assert_eq!((sum.min(), sum.max()), (10, 20));
    }

    #[test]
    fn the_warm_up_does_not_count() {
        let exchange = Exchange::new();
        let mut recorder = Recorder::new(100).unwrap();
        for now in 0..=100 {
            recorder.record(&exchange, 50 + now, &[49]);
        }
        assert_eq!(recorder.histogram.len(), 1);
    }
}
