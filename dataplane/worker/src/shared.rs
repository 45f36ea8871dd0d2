//! Everything that crosses between a worker and another thread. Each field says who writes and who reads it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};

use crossbeam::queue::ArrayQueue;
use crossbeam::utils::CachePadded;
use sekisho_engine::counters::{Count, Counters};
use sekisho_engine::port::Port;
use sekisho_engine::{Event, Running};

use crate::query::Question;

/// One for all workers.
#[derive(Debug, Default)]
pub struct Switch {
    /// Generation of the policy in force. Control: write, when every worker has it at hand; worker: read once a turn.
    pub generation: CachePadded<AtomicU32>,
    /// The appliance stops. Control: write; worker: read once a turn.
    pub stop: CachePadded<AtomicBool>,
}

/// One for each worker.
#[derive(Debug)]
pub struct WorkerShared {
    /// The policy that the worker has at hand, to switch to when [`Switch::generation`] says so.
    /// Worker: write; control: read.
    pub prepared: AtomicU32,
    /// The policy that the worker runs. Worker: write; control: read.
    pub running: AtomicU32,
    /// Turns of housekeeping: it lives as long as this grows. Worker: write; control: read.
    pub heartbeat: AtomicU64,
    /// The next policy. Control: push; worker: pop in housekeeping. Holds one.
    pub policies: ArrayQueue<Running>,
    /// The policy before. Worker: push when it switches; control: pop, and free it.
    pub retired: ArrayQueue<Running>,
    /// Questions and orders about sessions. Control: push; worker: pop in housekeeping, one at a time.
    pub requests: ArrayQueue<Question>,
    /// What happened. Worker: push; control: pop. When it is full events are lost and counted.
    pub events: ArrayQueue<Event>,
    /// What its engine counts. Worker: write; anyone: read.
    pub engine: Arc<Counters>,
    /// What the loop counts. Worker: write; anyone: read.
    pub counters: CachePadded<LoopCounters>,
    /// Sessions that its table can hold.
    pub capacity: u32,
}

/// What the poll loop counts.
#[derive(Debug, Default)]
pub struct LoopCounters {
    /// By port of arrival, LAN first: frames received from the device.
    pub received: [PortCount; Port::ALL.len()],
    /// By port of departure, LAN first: frames that the device took.
    pub sent: [PortCount; Port::ALL.len()],
    /// Frames passed on to the worker that owns their session.
    pub handed_over: Count,
    /// Frames that another worker passed on to this one.
    pub handed_in: Count,
    /// Turns of the loop.
    pub turns: Count,
    /// Turns that found at least one frame.
    pub busy_turns: Count,
    /// Batches of frames that were worked through.
    pub bursts: Count,
    /// Nanoseconds in turns that found at least one frame.
    pub busy_nanos: Count,
    /// Nanoseconds in all turns, sleep included.
    pub total_nanos: Count,
    /// Events that found no room in the outbox or in [`WorkerShared::events`].
    pub events_lost: Count,
    /// Frames of the appliance's own that found no room or no buffer.
    pub own_frames_lost: Count,
}

/// Frames and bytes.
#[derive(Debug, Default)]
pub struct PortCount {
    /// Frames.
    pub packets: Count,
    /// Bytes, from the destination address to the end of the payload, without FCS.
    pub bytes: Count,
}

impl PortCount {
    pub(crate) fn add(&self, packets: u64, bytes: u64) {
        self.packets.add(packets);
        self.bytes.add(bytes);
    }
}

impl WorkerShared {
    /// What a worker with these engine counters and this capacity shares; room for `events` events.
    pub fn new(engine: Arc<Counters>, capacity: u32, events: usize) -> Self {
        Self {
            prepared: AtomicU32::default(),
            running: AtomicU32::default(),
            heartbeat: AtomicU64::default(),
            policies: ArrayQueue::new(1),
            retired: ArrayQueue::new(4),
            requests: ArrayQueue::new(16),
            events: ArrayQueue::new(events.max(1)),
            engine,
            counters: CachePadded::default(),
            capacity,
        }
    }
}

/// A frame on its way to the worker that owns its session.
#[derive(Debug)]
pub struct Handed<P> {
    /// The port it arrived on.
    pub port: Port,
    /// The frame.
    pub packet: P,
}

/// The hand-off rings: one for each worker, which alone takes from it; all the others put in.
#[derive(Debug)]
pub struct Handoff<P> {
    rings: Arc<[CachePadded<ArrayQueue<Handed<P>>>]>,
}

impl<P> Clone for Handoff<P> {
    fn clone(&self) -> Self {
        Self { rings: Arc::clone(&self.rings) }
    }
}

impl<P> Handoff<P> {
    /// Rings for so many workers, each with room for so many frames.
    pub fn new(workers: u16, frames: usize) -> Self {
        Self { rings: (0..workers).map(|_| CachePadded::new(ArrayQueue::new(frames.max(1)))).collect() }
    }

    /// How many workers there are.
    pub fn workers(&self) -> u16 {
        u16::try_from(self.rings.len()).expect("made for a u16 of workers")
    }

    /// Passes a frame on; gives it back when the ring is full.
    pub(crate) fn pass(&self, worker: u16, handed: Handed<P>) -> Result<(), Handed<P>> {
        self.rings[usize::from(worker)].push(handed)
    }

    pub(crate) fn take(&self, worker: u16) -> Option<Handed<P>> {
        self.rings[usize::from(worker)].pop()
    }
}
