//! Everything that crosses between a worker and another thread. Each field says who writes and who reads it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, AtomicU64, AtomicUsize};

use arrayvec::ArrayVec;
use crossbeam::queue::ArrayQueue;
use crossbeam::utils::CachePadded;
use sekisho_engine::counters::{Count, Counters};
use sekisho_engine::fragment::{FRAGMENTS_MAX, Whole};
use sekisho_engine::port::Port;
use sekisho_engine::{Event, Running};

use crate::query::Question;

/// One for all workers.
#[derive(Debug, Default)]
pub struct Switch {
    /// Generation of the policy in force. Control: write, when every worker has it at hand; worker: read once a turn.
    pub generation: CachePadded<AtomicU32>,
    /// How full the tables of all workers are together: a level of [`sekisho_engine::session::room::Pressure`].
    /// Control: write; worker: read in housekeeping.
    pub pressure: CachePadded<AtomicU16>,
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
    /// Events that found no room in the outbox or in [`WorkerShared::events`], and drops that came too many at once to be
    /// told of one by one.
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

/// A whole datagram that came in fragments, on its way to the worker that owns its session.
#[derive(Debug)]
pub(crate) struct Bundle<P> {
    pub(crate) whole: Whole,
    /// In the order in which they came.
    pub(crate) frames: ArrayVec<P, FRAGMENTS_MAX>,
}

impl<P> Default for Bundle<P> {
    fn default() -> Self {
        Self { whole: Whole::default(), frames: ArrayVec::new() }
    }
}

/// The hand-off rings: of each kind one for each worker, which alone takes from it; all the others put in.
#[derive(Debug)]
pub struct Handoff<P> {
    rings: Arc<[CachePadded<ArrayQueue<Handed<P>>>]>,
    bundles: Arc<[CachePadded<Bundles<P>>]>,
    /// Frames in the bundles that wait for each worker. Who puts them in adds them, who takes them out takes them off.
    bundled: Arc<[CachePadded<AtomicUsize>]>,
    /// So many at the most.
    bundled_max: usize,
    /// Bundles that are empty. All are made at the start and come back here. Any worker: push and pop.
    spare: Arc<Bundles<P>>,
}

/// In boxes, so that no frame moves when a bundle does.
type Bundles<P> = ArrayQueue<Box<Bundle<P>>>;
/// Datagrams that wait for one worker at the most.
const BUNDLES_MAX: usize = 64;

impl<P> Clone for Handoff<P> {
    fn clone(&self) -> Self {
        Self {
            rings: Arc::clone(&self.rings),
            bundles: Arc::clone(&self.bundles),
            bundled: Arc::clone(&self.bundled),
            bundled_max: self.bundled_max,
            spare: Arc::clone(&self.spare),
        }
    }
}

impl<P> Handoff<P> {
    /// Rings for so many workers, each with room for so many frames, and for as many again in whole datagrams that came
    /// in fragments.
    pub fn new(workers: u16, frames: usize) -> Self {
        let frames = frames.max(1);
        let bundles = frames.min(BUNDLES_MAX);
        let spares = if workers > 1 { usize::from(workers) * bundles } else { 0 };
        let spare = ArrayQueue::new(spares.max(1));
        for _ in 0..spares {
            // There is room for all of them.
            let _ = spare.push(Box::default());
        }
        Self {
            rings: (0..workers).map(|_| CachePadded::new(ArrayQueue::new(frames))).collect(),
            bundles: (0..workers).map(|_| CachePadded::new(ArrayQueue::new(bundles))).collect(),
            bundled: (0..workers).map(|_| CachePadded::default()).collect(),
            // An empty ring takes the longest datagram.
            bundled_max: frames.max(FRAGMENTS_MAX),
            spare: Arc::new(spare),
        }
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

    /// Passes a datagram on, and puts an empty bundle in its place. `false` when the ring is full, or all bundles are on
    /// their way: then nothing happens.
    pub(crate) fn pass_bundle(&self, worker: u16, bundle: &mut Box<Bundle<P>>) -> bool {
        let Some(spare) = self.spare.pop() else { return false };
        let (frames, bundled) = (bundle.frames.len(), &self.bundled[usize::from(worker)]);
        let passed = std::mem::replace(bundle, spare);
        let refused = if bundled.fetch_add(frames, Relaxed) + frames > self.bundled_max {
            passed
        } else {
            let Err(refused) = self.bundles[usize::from(worker)].push(passed) else { return true };
            refused
        };
        bundled.fetch_sub(frames, Relaxed);
        self.give_back(std::mem::replace(bundle, refused));
        false
    }

    pub(crate) fn take_bundle(&self, worker: u16) -> Option<Box<Bundle<P>>> {
        let bundle = self.bundles[usize::from(worker)].pop()?;
        self.bundled[usize::from(worker)].fetch_sub(bundle.frames.len(), Relaxed);
        Some(bundle)
    }

    /// Gives an empty bundle back.
    pub(crate) fn give_back(&self, bundle: Box<Bundle<P>>) {
        // There is room for all of them.
        let _ = self.spare.push(bundle);
    }
}
