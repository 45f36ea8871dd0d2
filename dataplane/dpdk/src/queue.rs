//! The queues of a port, each for one thread.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::Arc;

use sekisho_dpdk_sys as sys;

use crate::burst::Burst;
use crate::port::Running;

/// A receive queue. Moves into the thread that polls it, and keeps its port running.
#[derive(Debug)]
pub struct RxQueue {
    port: u16,
    queue: u16,
    _running: Arc<Running>,
    // DPDK does not lock queues: Send, not Sync, and `&mut` on every call.
    _not_sync: PhantomData<Cell<()>>,
}

/// A transmit queue. Moves into the thread that feeds it, and keeps its port running.
#[derive(Debug)]
pub struct TxQueue {
    port: u16,
    queue: u16,
    single_segment: bool,
    too_long: u64,
    _running: Arc<Running>,
    _not_sync: PhantomData<Cell<()>>,
}

impl RxQueue {
    pub(crate) fn new(running: &Arc<Running>, queue: u16) -> Self {
        Self { port: running.port_id(), queue, _running: running.clone(), _not_sync: PhantomData }
    }

    /// Its number within the port.
    pub fn index(&self) -> u16 {
        self.queue
    }

    /// Adds what has arrived to the free places of the burst, and returns how many. Never waits. An empty burst is
    /// best: some drivers only fill in fours or eights.
    #[inline]
    pub fn receive(&mut self, burst: &mut Burst) -> usize {
        burst.fill(|places, room| {
            // SAFETY: FFI; the port runs as long as this queue, no other thread has the queue, and `room` places are
            // free.
            unsafe { sys::shim_rx_burst(self.port, self.queue, places, room) }
        })
    }
}

impl TxQueue {
    pub(crate) fn new(running: &Arc<Running>, queue: u16, single_segment: bool) -> Self {
        let port = running.port_id();
        Self { port, queue, single_segment, too_long: 0, _running: running.clone(), _not_sync: PhantomData }
    }

    /// Its number within the port.
    pub fn index(&self) -> u16 {
        self.queue
    }

    /// Packets freed because the device sends single segments only and they did not fit one buffer.
    pub fn too_long(&self) -> u64 {
        self.too_long
    }

    /// Hands packets to the device, from the front, and returns how many it took. The rest stays in the burst, still
    /// owned: to try again or to [`Burst::clear`]. Never waits. Gaps in the burst are closed.
    #[inline]
    pub fn send(&mut self, burst: &mut Burst) -> usize {
        if burst.is_empty() {
            return 0;
        }
        if self.single_segment {
            self.too_long += burst.linearize() as u64;
        }
        burst.hand_over(|packets, count| {
            // SAFETY: FFI; the port runs as long as this queue, no other thread has the queue, and these are `count`
            // live packets, of which the device owns those it takes.
            unsafe { sys::shim_tx_burst(self.port, self.queue, packets, count) }
        })
    }
}
