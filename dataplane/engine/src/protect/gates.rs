//! Whose turn it is to change a bucket of a table that all workers share.

use core::hint;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// A worker that finds another one at a bucket looks again so often, some microseconds in all, and then goes on without.
const LOOKS_MAX: u32 = 4096;

/// One gate for each bucket. Whoever is behind it makes a few dozen accesses and leaves; nobody sleeps, and nobody waits
/// for longer than [`LOOKS_MAX`] looks.
#[derive(Debug)]
pub(super) struct Gates(Box<[AtomicU64]>);

impl Gates {
    /// Gates for so many buckets.
    pub(super) fn new(buckets: usize) -> Self {
        Self(words(buckets))
    }

    /// Lets `work` change a bucket, alone; `None` if others keep at it.
    pub(super) fn pass<T>(&self, bucket: usize, work: impl FnOnce() -> T) -> Option<T> {
        let gate = &self.0[bucket];
        for _ in 0..LOOKS_MAX {
            if gate.load(Relaxed) == 0 && gate.compare_exchange(0, 1, Acquire, Relaxed).is_ok() {
                let result = work();
                gate.store(0, Release);
                return Some(result);
            }
            hint::spin_loop();
        }
        None
    }
}

/// Words of zero. Their memory is taken from the system when they are first written.
pub(super) fn words(count: usize) -> Box<[AtomicU64]> {
    bytemuck::allocation::zeroed_slice_box(count)
}
