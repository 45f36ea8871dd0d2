//! What keeps the management side from becoming the way in for a flood: places for connections, and rates.
//!
//! Whoever is slow, or many, costs others nothing: admins, those who may only ask and strangers have places of their own,
//! and where all are taken a newcomer gets that of the connection which has been sitting there longest without a request.
//! So a flood of connections that say nothing cuts itself.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// A token bucket that makes whoever is too fast wait.
#[derive(Debug)]
pub(crate) struct Rate {
    /// Between two tokens.
    interval: Duration,
    /// How far a burst may run ahead.
    burst: Duration,
    /// When the next token is due.
    next: Cell<Instant>,
}

impl Rate {
    /// So many a second, and a burst of so many at once; both at least 1.
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        let interval = Duration::from_secs(1) / per_second.max(1);
        let burst = interval * burst.max(1);
        Self { interval, burst, next: Cell::new(Instant::now()) }
    }

    /// Takes a token if there is one.
    pub(crate) fn try_take(&self) -> bool {
        let now = Instant::now();
        let next = self.next.get().max(now);
        let is_there = next + self.interval <= now + self.burst;
        if is_there {
            self.next.set(next + self.interval);
        }
        is_there
    }

    /// Takes a token, now or when there is one.
    pub(crate) async fn take(&self) {
        while !self.try_take() {
            tokio::time::sleep(self.interval).await;
        }
    }
}

/// Places for connections: who only sits there gives way to a newcomer.
#[derive(Debug)]
pub(crate) struct Places {
    max: usize,
    /// In the order in which they were taken.
    taken: RefCell<VecDeque<Weak<Seat>>>,
    waiting: Cell<usize>,
}

/// A place that is taken, for as long as it lives.
#[derive(Debug, Default)]
pub(crate) struct Seat {
    /// A request is being answered.
    is_busy: Cell<bool>,
    /// When the last answer was there.
    answered: Cell<Option<Instant>>,
    /// It is to go.
    cut: Notify,
}

impl Places {
    /// Connections that wait for a place; whoever comes then is turned away.
    const WAITING_MAX: usize = 512;
    /// How long a connection may take to fetch an answer before it counts as one that only sits there.
    const FETCH: Duration = Duration::from_secs(1);
    /// How often those that wait look.
    const LOOK_EVERY: Duration = Duration::from_millis(10);

    /// So many at once.
    pub(crate) fn new(max: usize) -> Self {
        Self { max, taken: RefCell::default(), waiting: Cell::new(0) }
    }

    /// A place, now or when one is free; if none is, who has been sitting there longest without a request goes. `None`:
    /// too many wait already.
    pub(crate) async fn seat(&self) -> Option<Rc<Seat>> {
        if let Some(seat) = self.try_seat() {
            return Some(seat);
        }
        if self.waiting.get() >= Self::WAITING_MAX {
            return None;
        }
        // Whoever is cut while it waits is counted out all the same.
        let _waits = Waits::of(&self.waiting);
        loop {
            tokio::time::sleep(Self::LOOK_EVERY).await;
            if let Some(seat) = self.try_seat() {
                return Some(seat);
            }
        }
    }

    fn try_seat(&self) -> Option<Rc<Seat>> {
        let mut taken = self.taken.borrow_mut();
        taken.retain(|seat| seat.strong_count() > 0);
        if taken.len() >= self.max {
            let idle = taken.iter().position(|seat| seat.upgrade().is_none_or(|seat| seat.is_idle()))?;
            if let Some(seat) = taken.remove(idle)?.upgrade() {
                seat.cut.notify_one();
            }
        }
        let seat = Rc::new(Seat::default());
        taken.push_back(Rc::downgrade(&seat));
        Some(seat)
    }
}

impl Seat {
    /// A request is there.
    pub(crate) fn begin(&self) {
        self.is_busy.set(true);
    }

    /// Its answer is.
    pub(crate) fn end(&self) {
        self.is_busy.set(false);
        self.answered.set(Some(Instant::now()));
    }

    /// Waits until the place is given to another.
    pub(crate) async fn cut(&self) {
        self.cut.notified().await;
    }

    fn is_idle(&self) -> bool {
        let fetches = self.answered.get().is_some_and(|answered| answered.elapsed() < Places::FETCH);
        !self.is_busy.get() && !fetches
    }
}

/// Counts somebody who waits.
struct Waits<'w>(&'w Cell<usize>);

impl<'w> Waits<'w> {
    fn of(waiting: &'w Cell<usize>) -> Self {
        waiting.set(waiting.get() + 1);
        Self(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// What a door has seen.
#[derive(Debug, Default)]
pub(crate) struct DoorCounts {
    /// Connections that were taken.
    pub(crate) taken: Cell<u64>,
    /// Connections that were turned away: of strangers, or for want of a place.
    pub(crate) refused: Cell<u64>,
    /// Connections that were cut: too slow, or the oldest of too many.
    pub(crate) cut: Cell<u64>,
    /// Requests that were refused because whoever sent them may not.
    pub(crate) forbidden: Cell<u64>,
}

/// Counts one more.
pub(crate) fn count(cell: &Cell<u64>) {
    cell.set(cell.get() + 1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_and_then_the_rate_holds() {
        let rate = Rate::new(10, 5);
        assert_eq!((0..100).filter(|_| rate.try_take()).count(), 5);
        tokio::time::advance(Duration::from_millis(250)).await;
        assert_eq!((0..100).filter(|_| rate.try_take()).count(), 2);
        let before = Instant::now();
        for _ in 0..20 {
            rate.take().await;
        }
        let took = before.elapsed();
        assert!(took >= Duration::from_millis(1_900) && took <= Duration::from_millis(2_100), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_only_sits_there_gives_way_and_who_is_served_does_not() {
        let places = Places::new(2);
        let busy = places.seat().await.unwrap();
        busy.begin();
        let idle = places.seat().await.unwrap();
        let newcomer = places.seat().await.unwrap();
        idle.cut().await;
        newcomer.begin();
        // Both are served: the next one waits until one has had the time to fetch its answer.
        let before = Instant::now();
        busy.end();
        let next = places.seat().await.unwrap();
        assert!(before.elapsed() >= Places::FETCH);
        busy.cut().await;
        drop((next, newcomer));
        assert!(places.try_seat().is_some(), "they are gone");
    }

    #[tokio::test(start_paused = true)]
    async fn too_many_are_turned_away() {
        let places = Rc::new(Places::new(1));
        let only = places.seat().await.unwrap();
        only.begin();
        let tasks = tokio::task::LocalSet::new();
        let waiting: Vec<_> = (0..Places::WAITING_MAX)
            .map(|_| {
                let places = Rc::clone(&places);
                tasks.spawn_local(async move { places.seat().await.is_some() })
            })
            .collect();
        tasks
            .run_until(async {
                while places.waiting.get() < Places::WAITING_MAX {
                    tokio::task::yield_now().await;
                }
                assert!(places.seat().await.is_none());
                only.end();
                for one in waiting {
                    assert!(one.await.unwrap());
                }
            })
            .await;
        assert_eq!(places.waiting.get(), 0);
    }
}
