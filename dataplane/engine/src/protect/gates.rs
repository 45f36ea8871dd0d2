//! Whose turn it is to change a bucket of a table that all workers share.

use core::hint;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// A worker that finds another one at a bucket, and needs the change, looks again so often: from three microseconds to fifty,
/// as long as a processor takes for its pause. Then it goes on without.
const LOOKS_MAX: u32 = 1024;

/// One gate for each bucket. Whoever is behind it is there for less than a microsecond; nobody sleeps. What can do without a
/// change goes on at once ([`Gates::try_pass`]); what cannot waits for [`LOOKS_MAX`] looks at the most ([`Gates::pass`]).
#[derive(Debug)]
pub(super) struct Gates(Box<[AtomicU64]>);

impl Gates {
    /// Gates for so many buckets.
    pub(super) fn new(buckets: usize) -> Self {
        Self(words(buckets))
    }

    /// Lets `work` change a bucket, alone; `None` if others keep at it.
    pub(super) fn pass<T>(&self, bucket: usize, work: impl FnOnce() -> T) -> Option<T> {
        let mut looks = 0;
        while !self.enter(bucket) {
            looks += 1;
            if looks == LOOKS_MAX {
                return None;
            }
            hint::spin_loop();
        }
        Some(self.leave_after(bucket, work))
    }

    /// The same without waiting; `None` if another one is at it right now.
    pub(super) fn try_pass<T>(&self, bucket: usize, work: impl FnOnce() -> T) -> Option<T> {
        self.enter(bucket).then(|| self.leave_after(bucket, work))
    }

    fn enter(&self, bucket: usize) -> bool {
        let gate = &self.0[bucket];
        gate.load(Relaxed) == 0 && gate.compare_exchange(0, 1, Acquire, Relaxed).is_ok()
    }

    fn leave_after<T>(&self, bucket: usize, work: impl FnOnce() -> T) -> T {
        let result = work();
        self.0[bucket].store(0, Release);
        result
    }
}

/// Words of zero. Their memory is taken from the system when they are first written.
pub(super) fn words(count: usize) -> Box<[AtomicU64]> {
    bytemuck::allocation::zeroed_slice_box(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_changed_by_one_at_a_time_and_nobody_waits_for_ever() {
        let gates = Gates::new(2);
        let inside = gates.pass(0, || {
            assert_eq!(gates.try_pass(0, || ()), None);
            assert_eq!(gates.pass(0, || ()), None, "it gives up");
            gates.try_pass(1, || 7)
        });
        assert_eq!(inside, Some(Some(7)), "another bucket is another matter");
        assert_eq!(gates.try_pass(0, || 8), Some(8), "it is free again");
    }

    #[test]
    fn no_change_is_lost_of_those_that_were_let_in() {
        let (gates, word) = (Gates::new(1), AtomicU64::new(0));
        let done: u64 = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|number| {
                    let (gates, word) = (&gates, &word);
                    let change = move || word.store(word.load(Relaxed) + 1, Relaxed);
                    scope.spawn(move || {
                        let passed = |_: &u32| match number % 2 {
                            0 => gates.pass(0, change).is_some(),
                            _ => gates.try_pass(0, change).is_some(),
                        };
                        (0..50_000).filter(passed).count() as u64
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("it ends")).sum()
        });
        assert_eq!(word.load(Relaxed), done);
    }
}
