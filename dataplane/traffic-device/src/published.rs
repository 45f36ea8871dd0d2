//! What a queue lets the writer of the figures see: one writer, any reader, no lock.

use std::sync::atomic::{AtomicU64, Ordering};

use sekisho_traffic::{Counts, HonestCounts};

const CLASSES: usize = 3;

/// Figures of one queue of both sides since its start.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Published {
    given: [[AtomicU64; CLASSES]; 2],
    back: [[AtomicU64; CLASSES]; 2],
    opened: AtomicU64,
    connections: AtomicU64,
    retries: AtomicU64,
    stray: AtomicU64,
    honest: [AtomicU64; 5],
    loading: AtomicU64,
    cycles: AtomicU64,
    lost: AtomicU64,
    no_buffer: AtomicU64,
}

/// The same, read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) counts: Counts,
    /// Whether the sessions are open and the load is on.
    pub(crate) loading: bool,
    /// Ticks within this library's own functions.
    pub(crate) cycles: u64,
    /// Packets that were due and were not taken in time.
    pub(crate) lost: u64,
    /// Bursts for which the pool had no buffers.
    pub(crate) no_buffer: u64,
}

fn set(place: &AtomicU64, value: u64) {
    place.store(value, Ordering::Relaxed);
}

fn get(place: &AtomicU64) -> u64 {
    place.load(Ordering::Relaxed)
}

impl Published {
    pub(crate) fn write(&self, figures: &Figures) {
        let counts = &figures.counts;
        for side in 0..2 {
            for class in 0..CLASSES {
                set(&self.given[side][class], counts.given[side][class]);
                set(&self.back[side][class], counts.back[side][class]);
            }
        }
        set(&self.opened, counts.opened);
        set(&self.connections, counts.connections);
        set(&self.retries, counts.retries);
        set(&self.stray, counts.stray);
        let HonestCounts { begun, at_once, retransmitted, failed, lost } = counts.honest;
        for (place, value) in self.honest.iter().zip([begun, at_once, retransmitted, failed, lost]) {
            set(place, value);
        }
        set(&self.loading, figures.loading.into());
        set(&self.cycles, figures.cycles);
        set(&self.lost, figures.lost);
        set(&self.no_buffer, figures.no_buffer);
    }

    /// Whether the sessions are open.
    pub(crate) fn is_loading(&self) -> bool {
        get(&self.loading) != 0
    }

    pub(crate) fn read(&self) -> Figures {
        let table = |places: &[[AtomicU64; CLASSES]; 2]| {
            core::array::from_fn(|side| core::array::from_fn(|class| get(&places[side][class])))
        };
        let [begun, at_once, retransmitted, failed, lost] = self.honest.each_ref().map(get);
        Figures {
            counts: Counts {
                given: table(&self.given),
                back: table(&self.back),
                opened: get(&self.opened),
                connections: get(&self.connections),
                retries: get(&self.retries),
                stray: get(&self.stray),
                honest: HonestCounts { begun, at_once, retransmitted, failed, lost },
            },
            loading: get(&self.loading) != 0,
            cycles: get(&self.cycles),
            lost: get(&self.lost),
            no_buffer: get(&self.no_buffer),
        }
    }
}
