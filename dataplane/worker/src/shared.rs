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

/// Frames that go to one worker together. What crosses between cores costs by the line of memory, and so it is crossed for some
/// frames at once.
pub(crate) type Parcel<P> = ArrayVec<Handed<P>, PARCEL_MAX>;
/// Frames in a parcel at the most: a burst of which half are for one other worker makes two.
pub(crate) const PARCEL_MAX: usize = 16;

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
    rings: Arc<[CachePadded<ArrayQueue<Parcel<P>>>]>,
    /// Frames in the parcels that wait for each worker.
    waiting: Arc<[Waiting]>,
    bundles: Arc<[CachePadded<Bundles<P>>]>,
    /// Frames in the bundles that wait for each worker.
    bundled: Arc<[Waiting]>,
    /// Bundles that are empty. All are made at the start and come back here. Any worker: push and pop.
    spare: Arc<Bundles<P>>,
}

/// Frames that wait for a worker. Who puts them in adds them, who takes them out takes them off.
#[derive(Debug)]
struct Waiting {
    frames: CachePadded<AtomicUsize>,
    max: usize,
}

impl Waiting {
    fn at_most(max: usize) -> Self {
        Self { frames: CachePadded::default(), max }
    }

    /// Adds so many, if there is room for them.
    fn add(&self, frames: usize) -> bool {
        let has_room = self.frames.fetch_add(frames, Relaxed) + frames <= self.max;
        if !has_room {
            self.take_off(frames);
        }
        has_room
    }

    fn take_off(&self, frames: usize) {
        self.frames.fetch_sub(frames, Relaxed);
    }
}

/// In boxes, so that no frame moves when a bundle does.
type Bundles<P> = ArrayQueue<Box<Bundle<P>>>;
/// Datagrams that wait for one worker at the most.
const BUNDLES_MAX: usize = 64;

impl<P> Clone for Handoff<P> {
    fn clone(&self) -> Self {
        Self {
            rings: Arc::clone(&self.rings),
            waiting: Arc::clone(&self.waiting),
            bundles: Arc::clone(&self.bundles),
            bundled: Arc::clone(&self.bundled),
            spare: Arc::clone(&self.spare),
        }
    }
}

impl<P> Handoff<P> {
    /// Rings for so many workers, each with room for so many frames (at least [`PARCEL_MAX`]) in a fourth as many parcels, and for as many again in whole
    /// datagrams that came in fragments.
    pub fn new(workers: u16, frames: usize) -> Self {
        let bundles = frames.clamp(1, BUNDLES_MAX);
        let frames = frames.max(PARCEL_MAX);
        let spares = if workers > 1 { usize::from(workers) * bundles } else { 0 };
        let spare = ArrayQueue::new(spares.max(1));
        for _ in 0..spares {
            // There is room for all of them.
            let _ = spare.push(Box::default());
        }
        Self {
            // A parcel holds four frames wherever there is load enough to fill a ring; in a ring of as many parcels as frames
            // most of the cache would go to empty room.
            rings: (0..workers).map(|_| CachePadded::new(ArrayQueue::new(frames / 4))).collect(),
            waiting: (0..workers).map(|_| Waiting::at_most(frames)).collect(),
            bundles: (0..workers).map(|_| CachePadded::new(ArrayQueue::new(bundles))).collect(),
            // An empty ring takes the longest datagram.
            bundled: (0..workers).map(|_| Waiting::at_most(frames.max(FRAGMENTS_MAX))).collect(),
            spare: Arc::new(spare),
        }
    }

    /// How many workers there are.
    pub fn workers(&self) -> u16 {
        u16::try_from(self.rings.len()).expect("made for a u16 of workers")
    }

    /// Passes frames on; gives them back when the ring is full.
    pub(crate) fn pass(&self, worker: u16, parcel: Parcel<P>) -> Result<(), Parcel<P>> {
        let (frames, waiting) = (parcel.len(), &self.waiting[usize::from(worker)]);
        if !waiting.add(frames) {
            return Err(parcel);
        }
        let passed = self.rings[usize::from(worker)].push(parcel);
        if passed.is_err() {
            waiting.take_off(frames);
        }
        passed
    }

    pub(crate) fn take(&self, worker: u16) -> Option<Parcel<P>> {
        let parcel = self.rings[usize::from(worker)].pop()?;
        self.waiting[usize::from(worker)].take_off(parcel.len());
        Some(parcel)
    }

    /// Passes a datagram on, and puts an empty bundle in its place. `false` when the ring is full, or all bundles are on
    /// their way: then nothing happens.
    pub(crate) fn pass_bundle(&self, worker: u16, bundle: &mut Box<Bundle<P>>) -> bool {
        let Some(spare) = self.spare.pop() else { return false };
        let (frames, bundled) = (bundle.frames.len(), &self.bundled[usize::from(worker)]);
        let passed = std::mem::replace(bundle, spare);
        let refused = if bundled.add(frames) {
            let Err(refused) = self.bundles[usize::from(worker)].push(passed) else { return true };
            bundled.take_off(frames);
            refused
        } else {
            passed
        };
        self.give_back(std::mem::replace(bundle, refused));
        false
    }

    pub(crate) fn take_bundle(&self, worker: u16) -> Option<Box<Bundle<P>>> {
        let bundle = self.bundles[usize::from(worker)].pop()?;
        self.bundled[usize::from(worker)].take_off(bundle.frames.len());
        Some(bundle)
    }

    /// Gives an empty bundle back.
    pub(crate) fn give_back(&self, bundle: Box<Bundle<P>>) {
        // There is room for all of them.
        let _ = self.spare.push(bundle);
    }
}
