//! Frames that are in memory before the counting begins.

use std::ops::Range;
use std::sync::Arc;

use arrayvec::ArrayVec;
use sekisho_engine::packet::DeviceChecksum;
use sekisho_engine::port::Port;
use sekisho_engine::time::Instant;
use sekisho_worker::{BURST_MAX, PacketIo, Sent, View};

/// A frame's buffer.
const BUFFER: usize = 2048;

/// What arrives, turn by turn.
#[derive(Debug)]
pub struct Script {
    frames: Vec<&'static [u8]>,
    /// By port, for each turn.
    bursts: [Vec<Range<usize>>; Port::ALL.len()],
    /// What the device says of every checksum.
    checksum: DeviceChecksum,
}

impl Script {
    /// Nothing yet; of whose checksums the device will say this.
    pub fn new(checksum: DeviceChecksum) -> Self {
        Self { frames: Vec::new(), bursts: Default::default(), checksum }
    }

    /// Adds a turn in which these frames arrive. They are kept until the process ends.
    pub fn turn(&mut self, lan: Vec<Vec<u8>>, wan: Vec<Vec<u8>>) {
        for (bursts, frames) in self.bursts.iter_mut().zip([lan, wan]) {
            assert!(frames.len() <= BURST_MAX, "no more are received at a time");
            let begin = self.frames.len();
            self.frames.extend(frames.into_iter().map(|frame| &*frame.leak()));
            bursts.push(begin..self.frames.len());
        }
    }

    /// Turns so far.
    pub fn turns(&self) -> usize {
        self.bursts[0].len()
    }
}

/// Queues that play a script. What a device or its driver would do costs next to nothing here, so that the engine and
/// the loop are what is counted.
#[derive(Debug)]
pub struct ScriptIo {
    script: Arc<Script>,
    /// By port, the next turn.
    next: [usize; Port::ALL.len()],
    batch: ArrayVec<&'static [u8], BURST_MAX>,
    /// Frames that took the places of others, which are not written to.
    replaced: Box<[[u8; BUFFER]; BURST_MAX]>,
    leaving: [Sent; Port::ALL.len()],
}

impl ScriptIo {
    /// Plays `script` from its first turn on.
    pub fn new(script: Script) -> Self {
        Self {
            script: Arc::new(script),
            next: Default::default(),
            batch: ArrayVec::new(),
            replaced: Box::new([[0; BUFFER]; BURST_MAX]),
            leaving: Default::default(),
        }
    }

    fn leave(&mut self, port: Port, len: usize) {
        let sent = &mut self.leaving[port.index()];
        sent.packets += 1;
        sent.bytes += len as u64;
    }
}

impl PacketIo for ScriptIo {
    type Packet = &'static [u8];

    fn now(&mut self) -> Instant {
        Instant::ZERO
    }

    fn receive(&mut self, port: Port) -> usize {
        let next = &mut self.next[port.index()];
        let Some(burst) = self.script.bursts[port.index()].get(*next) else { return 0 };
        *next += 1;
        self.batch.clear();
        self.batch.extend(self.script.frames[burst.clone()].iter().copied());
        self.batch.len()
    }

    fn accept(&mut self, packet: &'static [u8]) {
        self.batch.push(packet);
    }

    fn prefetch(&mut self, _place: usize) {}

    fn view(&self, place: usize) -> View<'_> {
        let head = self.batch[place];
        View { head, wire_len: head.len(), checksum: self.script.checksum }
    }

    fn segments(&self, place: usize) -> impl Iterator<Item = &[u8]> {
        core::iter::once(self.batch[place])
    }

    /// Scenes rewrite nothing.
    fn head_mut(&mut self, _place: usize) -> &mut [u8] {
        &mut []
    }

    fn replace(&mut self, place: usize, frame: &[u8]) -> bool {
        self.replaced[place][..frame.len()].copy_from_slice(frame);
        true
    }

    fn forward(&mut self, places: u64, port: Port) {
        let mut left = places;
        while left != 0 {
            let place = left.trailing_zeros() as usize;
            left &= left - 1;
            self.leave(port, self.batch[place].len());
        }
    }

    fn bytes_of<'a>(packet: &'a &'static [u8]) -> impl Iterator<Item = &'a [u8]> {
        core::iter::once(*packet)
    }

    fn head_of<'a>(_packet: &'a mut &'static [u8]) -> &'a mut [u8] {
        &mut []
    }

    fn depart(&mut self, packet: &'static [u8], port: Port) {
        self.leave(port, packet.len());
    }

    fn take(&mut self, place: usize) -> Option<&'static [u8]> {
        self.batch.get(place).copied()
    }

    fn release(&mut self) {
        self.batch.clear();
    }

    fn inject(&mut self, port: Port, frame: &[u8]) -> bool {
        self.leave(port, frame.len());
        true
    }

    fn send(&mut self, port: Port) -> Sent {
        std::mem::take(&mut self.leaving[port.index()])
    }

    fn frame_max(&self, _port: Port) -> usize {
        1514
    }
}
