//! Queues in memory behind which a generator plays both ends of all sessions.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use quanta::Clock;
use sekisho_engine::packet::DeviceChecksum;
use sekisho_engine::port::Port;
use sekisho_engine::time::Instant;
use sekisho_traffic::{FRAME_MAX, Shard, Side};
use sekisho_worker::{BURST_MAX, PacketIo, Sent, View};

/// A frame's buffer, as large as those of a device.
const BUFFER: usize = 2048;
const _: () = assert!(FRAME_MAX <= BUFFER);

/// A stage of a burst that took longer was disturbed: something else had the core. No frame takes ten thousand cycles.
const TICKS_MAX: u64 = 10_000 * BURST_MAX as u64;

/// Time since a moment, and the counter that it is read from.
#[derive(Clone, Debug)]
pub(crate) struct Timer {
    clock: Clock,
    start: u64,
}

impl Timer {
    pub(crate) fn start() -> Self {
        let clock = Clock::new();
        let start = clock.raw();
        Self { clock, start }
    }

    /// Nanoseconds since the start.
    pub(crate) fn nanos(&self) -> u64 {
        self.clock.delta_as_nanos(self.start, self.clock.raw())
    }

    /// Cycles of the time stamp counter a nanosecond, or 1 where there is none.
    pub(crate) fn cycles_per_nano(&self) -> f64 {
        let begin = self.clock.raw();
        std::thread::sleep(std::time::Duration::from_millis(5));
        let end = self.clock.raw();
        (end - begin) as f64 / (self.clock.delta_as_nanos(begin, end) as f64).max(1.0)
    }
}

/// What a worker does between two calls of its queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// A glance at all frames.
    Glance = 0,
    /// They are inspected.
    Inspect = 1,
    /// They are queued to leave.
    Leave = 2,
}

/// What the queues share with whoever drives the worker that owns them, on the same thread.
#[derive(Debug)]
pub(crate) struct Probe {
    pub(crate) shard: RefCell<Shard>,
    pub(crate) timer: Timer,
    /// Frames a turn and side, at the most: fewer than a burst is a load below the highest.
    pub(crate) allowance: Cell<usize>,
    /// Frames received from the generator.
    pub(crate) received: Cell<u64>,
    /// Frames given back to it.
    pub(crate) sent: Cell<u64>,
    /// Whether stages are told apart: two more looks at the clock a burst.
    pub(crate) is_profiling: Cell<bool>,
    /// Ticks of the time stamp counter in each [`Stage`].
    pub(crate) stages: [Cell<u64>; 3],
    stage_began: Cell<u64>,
    /// The glance ended, and inspection has not.
    has_glanced: Cell<bool>,
}

impl Probe {
    pub(crate) fn new(shard: Shard) -> Rc<Self> {
        Rc::new(Self {
            shard: RefCell::new(shard),
            timer: Timer::start(),
            allowance: Cell::new(BURST_MAX),
            received: Cell::new(0),
            sent: Cell::new(0),
            is_profiling: Cell::new(false),
            stages: Default::default(),
            stage_began: Cell::new(0),
            has_glanced: Cell::new(false),
        })
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::from_nanos(self.timer.nanos())
    }

    /// A stage ends, and the next begins.
    fn ends(&self, stage: Stage) {
        let now = self.timer.clock.raw();
        let (ticks, took) = (&self.stages[stage as usize], now - self.stage_began.replace(now));
        if took < TICKS_MAX {
            ticks.set(ticks.get() + took);
        }
    }
}

/// The queues of a worker, in memory.
#[derive(Debug)]
pub(crate) struct MadeIo {
    probe: Rc<Probe>,
    buffers: Box<[[u8; BUFFER]; BURST_MAX]>,
    lens: [u16; BURST_MAX],
    len: usize,
    /// By bits the places in which the engine's own frames stand.
    own: u64,
    /// Places that wait to leave, by port.
    leaving: [arrayvec::ArrayVec<u8, BURST_MAX>; 2],
    /// Frames that were taken out and wait to leave, by port.
    departing: [Vec<Vec<u8>>; 2],
}

impl MadeIo {
    fn head(&self, place: usize) -> &[u8] {
        match self.buffers.get(place) {
            Some(buffer) => &buffer[..usize::from(self.lens[place])],
            None => &[],
        }
    }

    pub(crate) fn new(probe: Rc<Probe>) -> Self {
        Self {
            probe,
            buffers: Box::new([[0; BUFFER]; BURST_MAX]),
            lens: [0; BURST_MAX],
            len: 0,
            own: 0,
            leaving: Default::default(),
            departing: Default::default(),
        }
    }

    /// The same turn as a worker's, without looking at a frame.
    pub(crate) fn pass(&mut self) -> usize {
        let mut found = 0;
        for port in Port::ALL {
            let received = self.receive(port);
            if received > 0 {
                found += received;
                self.forward(u64::MAX >> (u64::BITS as usize - received), port.other());
                self.release();
                for port in Port::ALL {
                    self.send(port);
                }
            }
        }
        found
    }
}

const fn side(port: Port) -> Side {
    match port {
        Port::Lan => Side::Lan,
        Port::Wan => Side::Wan,
    }
}

impl PacketIo for MadeIo {
    type Packet = Vec<u8>;

    fn now(&mut self) -> Instant {
        self.probe.now()
    }

    fn receive(&mut self, port: Port) -> usize {
        let mut shard = self.probe.shard.borrow_mut();
        let now = self.probe.timer.nanos();
        let wanted = shard.ready(side(port), now, self.probe.allowance.get());
        self.len = 0;
        for (buffer, len) in self.buffers.iter_mut().zip(&mut self.lens).take(wanted) {
            *len = shard.make(side(port), now, buffer).len;
            if *len == 0 {
                break;
            }
            self.len += 1;
        }
        self.probe.received.set(self.probe.received.get() + self.len as u64);
        if self.probe.is_profiling.get() {
            self.probe.stage_began.set(self.probe.timer.clock.raw());
        }
        self.len
    }

    fn accept(&mut self, packet: Vec<u8>) {
        let len = packet.len().min(BUFFER);
        if let (Some(buffer), Ok(short)) = (self.buffers.get_mut(self.len), u16::try_from(len)) {
            buffer[..len].copy_from_slice(&packet[..len]);
            self.lens[self.len] = short;
            self.len += 1;
        }
    }

    fn prefetch(&mut self, _place: usize) {}

    /// Checksums are as of devices that look.
    #[inline]
    fn view(&self, place: usize) -> View<'_> {
        if place + 1 == self.len && self.probe.is_profiling.get() && !self.probe.has_glanced.replace(true) {
            self.probe.ends(Stage::Glance);
        }
        let head = self.head(place);
        View { head, wire_len: head.len(), checksum: DeviceChecksum::Good }
    }

    fn segments(&self, place: usize) -> impl Iterator<Item = &[u8]> {
        core::iter::once(self.head(place))
    }

    fn head_mut(&mut self, place: usize) -> &mut [u8] {
        match self.buffers.get_mut(place) {
            Some(buffer) => &mut buffer[..usize::from(self.lens[place])],
            None => &mut [],
        }
    }

    fn replace(&mut self, place: usize, frame: &[u8]) -> bool {
        let Some(room) = self.buffers.get_mut(place).and_then(|buffer| buffer.get_mut(..frame.len())) else {
            return false;
        };
        room.copy_from_slice(frame);
        self.own |= 1 << place;
        true
    }

    #[inline]
    fn forward(&mut self, places: u64, port: Port) {
        if self.probe.has_glanced.replace(false) {
            self.probe.ends(Stage::Inspect);
        }
        // The engine's own frames are none of the generator's.
        let mut left = places & !self.own;
        while left != 0 {
            if let Ok(place) = u8::try_from(left.trailing_zeros()) {
                // There are as many places as in a batch.
                let _ = self.leaving[port.index()].try_push(place);
            }
            left &= left - 1;
        }
    }

    fn bytes_of(packet: &Vec<u8>) -> impl Iterator<Item = &[u8]> {
        core::iter::once(&packet[..])
    }

    fn head_of(packet: &mut Vec<u8>) -> &mut [u8] {
        packet
    }

    fn depart(&mut self, packet: Vec<u8>, port: Port) {
        self.departing[port.index()].push(packet);
    }

    /// A copy, where a device would hand over the buffer.
    fn take(&mut self, place: usize) -> Option<Vec<u8>> {
        Some(self.head(place).to_vec())
    }

    fn release(&mut self) {
        self.len = 0;
        self.own = 0;
        if self.probe.is_profiling.get() {
            self.probe.has_glanced.set(false);
            self.probe.ends(Stage::Leave);
        }
    }

    /// The engine's own frames are none of the generator's.
    fn inject(&mut self, _port: Port, _frame: &[u8]) -> bool {
        true
    }

    fn send(&mut self, port: Port) -> Sent {
        let leaving = &mut self.leaving[port.index()];
        let departing = &mut self.departing[port.index()];
        if leaving.is_empty() && departing.is_empty() {
            return Sent::default();
        }
        let mut shard = self.probe.shard.borrow_mut();
        let packets = (leaving.len() + departing.len()) as u64;
        let mut bytes = 0;
        let looks = shard.looks_at_what_comes_out();
        for place in leaving.drain(..).map(usize::from) {
            let len = usize::from(self.lens[place]);
            bytes += len as u64;
            if looks {
                shard.sink(side(port), &self.buffers[place][..len]);
            }
        }
        for frame in departing.drain(..) {
            bytes += frame.len() as u64;
            shard.sink(side(port), &frame);
        }
        if !looks {
            shard.sink_count(side(port), packets);
        }
        self.probe.sent.set(self.probe.sent.get() + packets);
        Sent { packets, bytes, dropped: 0 }
    }

    fn frame_max(&self, _port: Port) -> usize {
        1518
    }
}
