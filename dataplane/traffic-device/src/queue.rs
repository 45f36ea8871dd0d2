//! One queue of both sides: what the program's bursts meet.

use core::ffi::{c_int, c_uint, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError};

use sekisho_traffic::{Made, Phase, Shard, Side};

use crate::latency::{Exchange, Recorder};
use crate::pace::Pace;
use crate::published::{Figures, Published};
use crate::sys::{self, BURST, Mbuf, tsc};

/// One queue of both sides.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    pub(crate) published: Published,
    pub(crate) exchange: Exchange,
}

/// What its frames are made of, and what came of them.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) shard: Shard,
    pub(crate) paces: [Option<Pace>; 2],
    pub(crate) recorder: Option<Recorder>,
    pub(crate) marks: c_uint,
    /// Where stamps lie in an mbuf.
    pub(crate) stamp_field: c_int,
    /// Whether the sessions of all queues have been seen to be open.
    all_open: bool,
    cycles: u64,
    no_buffer: u64,
    frames: [Made; BURST],
    stamps: [u64; BURST],
}

/// One side of a queue, as a port hands it to its burst functions.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) queue: &'static Queue,
    pub(crate) side: Side,
    pub(crate) port: u16,
    /// For received frames; null where there is only a transmit queue.
    pub(crate) pool: *mut c_void,
    /// Bytes of a frame in one of its buffers.
    pub(crate) room: usize,
    /// Whether both ports have been started.
    pub(crate) begun: &'static AtomicBool,
    /// All queues of the device.
    pub(crate) all: &'static [Queue],
}

impl State {
    pub(crate) fn new(
        shard: Shard,
        paces: [Option<Pace>; 2],
        recorder: Option<Recorder>,
        marks: c_uint,
        stamp_field: c_int,
    ) -> Self {
        Self {
            shard,
            paces,
            recorder,
            marks,
            stamp_field,
            all_open: false,
            cycles: 0,
            no_buffer: 0,
            frames: [Made::default(); BURST],
            stamps: [0; BURST],
        }
    }

    fn receive(&mut self, end: &End, now: u64, mbufs: &mut [Mbuf]) -> u16 {
        let side = end.side;
        let mut count = self.shard.ready(side, now, mbufs.len());
        let loading = self.shard.phase() == Phase::Load;
        if loading && !self.all_open && end.all.iter().all(|queue| queue.published.is_loading()) {
            self.all_open = true;
            self.shard.misplace();
        }
        if count > 0
            && loading
            && let Some(pace) = &mut self.paces[side.index()]
        {
            let lost_before = pace.lost;
            count = count.min(pace.due(now));
            self.shard.overload(side, pace.lost - lost_before, count as u64);
        }
        let mbufs = &mut mbufs[..count];
        let mut data = [core::ptr::null_mut(); BURST];
        let Ok(length) = u16::try_from(count) else { return 0 };
        if count == 0 {
            return 0;
        }
        // SAFETY: `count` places for mbufs and for pointers, and the pool of this queue.
        if unsafe { sys::shim_take(end.pool, mbufs.as_mut_ptr(), length, data.as_mut_ptr()) } != 0 {
            self.no_buffer += 1;
            return 0;
        }
        // SAFETY: the buffer of an mbuf that was taken above and is nobody else's has that room behind its headroom.
        let rooms =
            data[..count].iter().map(|&data| unsafe { core::slice::from_raw_parts_mut(data, end.room) });
        let made = self.shard.make_all(side, now, rooms.zip(&mut self.frames));
        let made = u16::try_from(made).unwrap_or(0);
        let (ours, rest) = mbufs.split_at_mut(usize::from(made));
        // SAFETY: mbufs of ours, and a description of each.
        unsafe { sys::shim_describe(ours.as_mut_ptr(), made, end.port, self.frames.as_ptr(), self.marks) };
        self.stamp(ours, side, now, loading);
        if !rest.is_empty() {
            let rest_count = length - made;
            self.frames[..rest.len()].fill(Made::default());
            // SAFETY: mbufs that were taken and that nobody else has seen; described first, so that they can be freed.
            unsafe {
                sys::shim_describe(rest.as_mut_ptr(), rest_count, end.port, self.frames.as_ptr(), self.marks);
                sys::shim_free(rest.as_mut_ptr(), rest_count);
            }
        }
        made
    }

    /// Takes what was made from the rate, and leaves in each mbuf when it was due, where anybody asks: at its time where
    /// there is a rate, or else when it was asked for.
    fn stamp(&mut self, mbufs: &mut [Mbuf], side: Side, now: u64, loading: bool) {
        let pace = self.paces[side.index()].as_mut().filter(|_| loading);
        match pace {
            Some(pace) => self.stamps[..mbufs.len()].iter_mut().for_each(|stamp| *stamp = pace.take()),
            None if self.recorder.is_some() => self.stamps[..mbufs.len()].fill(now),
            None => {}
        }
        if self.recorder.is_none() {
            return;
        }
        let count = u16::try_from(mbufs.len()).unwrap_or(0);
        // SAFETY: mbufs of ours, a registered field and a stamp for each.
        unsafe { sys::shim_stamp(mbufs.as_mut_ptr(), count, self.stamp_field, self.stamps.as_ptr()) };
    }

    fn send(&mut self, side: Side, exchange: &Exchange, mbufs: &mut [Mbuf]) {
        let count = u16::try_from(mbufs.len()).unwrap_or(0);
        let loading = self.shard.phase() == Phase::Load;
        if self.shard.looks_at_what_comes_out() {
            let (mut data, mut lengths) = ([core::ptr::null(); BURST], [0; BURST]);
            // SAFETY: mbufs that the program has given away, and places for what is read of them.
            unsafe {
                sys::shim_look(mbufs.as_mut_ptr(), count, data.as_mut_ptr(), lengths.as_mut_ptr());
            }
            for (&data, &length) in data.iter().zip(&lengths).take(mbufs.len()) {
                // SAFETY: the first segment of an mbuf that is ours until it is freed below.
                let frame = unsafe { core::slice::from_raw_parts(data, usize::from(length)) };
                self.shard.sink(side, frame);
            }
        } else {
            self.shard.sink_count(side, u64::from(count));
        }
        if loading && let Some(recorder) = &mut self.recorder {
            // SAFETY: as above; the field is registered where there is a recorder.
            unsafe {
                sys::shim_stamps(mbufs.as_mut_ptr(), count, self.stamp_field, self.stamps.as_mut_ptr());
            };
            recorder.record(exchange, tsc(), &self.stamps[..mbufs.len()]);
        }
        // SAFETY: the program has given them away.
        unsafe { sys::shim_free(mbufs.as_mut_ptr(), count) };
    }

    fn figures(&self) -> Figures {
        Figures {
            counts: self.shard.counts(),
            loading: self.shard.phase() == Phase::Load,
            cycles: self.cycles,
            lost: self.paces.iter().flatten().map(|pace| pace.lost).sum(),
            no_buffer: self.no_buffer,
        }
    }
}

impl Queue {
    pub(crate) fn new(state: State) -> Self {
        Self { state: Mutex::new(state), published: Published::default(), exchange: Exchange::new() }
    }

    /// Two threads meet here only where a program sends on one queue from several: then one spins for a burst's time.
    fn lock(&self) -> MutexGuard<'_, State> {
        loop {
            match self.state.try_lock() {
                Ok(state) => return state,
                Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => core::hint::spin_loop(),
            }
        }
    }

    fn leave(&self, mut state: MutexGuard<'_, State>, since: u64) {
        state.cycles += tsc().wrapping_sub(since);
        self.published.write(&state.figures());
    }
}

/// The receive function of the ports.
///
/// # Safety
/// `end` is an [`End`] that lives for ever, with a pool; `mbufs` has room for `count`.
pub(crate) unsafe extern "C" fn receive(end: *mut c_void, mbufs: *mut Mbuf, count: u16) -> u16 {
    let since = tsc();
    // SAFETY: the caller's promise; it is never changed.
    let end = unsafe { &*end.cast_const().cast::<End>() };
    if !end.begun.load(Ordering::Relaxed) {
        return 0;
    }
    // SAFETY: the caller's promise.
    let mbufs = unsafe { core::slice::from_raw_parts_mut(mbufs, usize::from(count).min(BURST)) };
    let mut state = end.queue.lock();
    let made = state.receive(end, since, mbufs);
    end.queue.leave(state, since);
    made
}

/// The transmit function of the ports. Takes all there is.
///
/// # Safety
/// `end` is an [`End`] that lives for ever; `mbufs` are `count` mbufs that the caller gives away.
pub(crate) unsafe extern "C" fn send(end: *mut c_void, mbufs: *mut Mbuf, count: u16) -> u16 {
    if count == 0 {
        return 0;
    }
    let since = tsc();
    // SAFETY: the caller's promise; it is never changed.
    let end = unsafe { &*end.cast_const().cast::<End>() };
    // SAFETY: the caller's promise.
    let mbufs = unsafe { core::slice::from_raw_parts_mut(mbufs, usize::from(count)) };
    let mut state = end.queue.lock();
    for mbufs in mbufs.chunks_mut(BURST) {
        state.send(end.side, &end.queue.exchange, mbufs);
    }
    end.queue.leave(state, since);
    count
}
