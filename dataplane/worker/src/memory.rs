//! Queues in memory, for tests of the loop without a device.

use std::collections::VecDeque;

use arrayvec::ArrayVec;
use sekisho_engine::packet::DeviceChecksum;
use sekisho_engine::port::Port;
use sekisho_engine::time::Instant;

use crate::BURST_MAX;
use crate::io::{PacketIo, Sent, View};

/// Frames in vectors: what a test puts into `arriving` is received, what is sent is found in `sent`.
#[derive(Debug)]
pub struct MemoryIo {
    /// The time that the worker sees.
    pub now: Instant,
    /// Frames that wait to be received, by port.
    pub arriving: [VecDeque<Vec<u8>>; 2],
    /// Frames that were sent, by port.
    pub sent: [Vec<Vec<u8>>; 2],
    /// Frames that a send takes at the most.
    pub send_max: usize,
    /// The longest frame that can be sent.
    pub frame_max: usize,
    /// The longest frame that a buffer holds.
    pub buffer_max: usize,
    /// Frames that were made, not received.
    pub injected: usize,
    /// What the device says of every checksum.
    pub checksum: DeviceChecksum,
    batch: ArrayVec<Option<Vec<u8>>, BURST_MAX>,
    leaving: [Vec<Vec<u8>>; 2],
}

impl Default for MemoryIo {
    fn default() -> Self {
        Self {
            now: Instant::ZERO,
            arriving: Default::default(),
            sent: Default::default(),
            send_max: usize::MAX,
            frame_max: 1518,
            buffer_max: 2048,
            injected: 0,
            checksum: DeviceChecksum::NotChecked,
            batch: ArrayVec::new(),
            leaving: Default::default(),
        }
    }
}

impl PacketIo for MemoryIo {
    type Packet = Vec<u8>;

    fn now(&mut self) -> Instant {
        self.now
    }

    fn receive(&mut self, port: Port) -> usize {
        let queue = &mut self.arriving[port.index()];
        self.batch = queue.drain(..queue.len().min(BURST_MAX)).map(Some).collect();
        self.batch.len()
    }

    fn accept(&mut self, packet: Vec<u8>) {
        self.batch.push(Some(packet));
    }

    fn prefetch(&mut self, _place: usize) {}

    fn view(&self, place: usize) -> View<'_> {
        self.batch[place].as_ref().map_or(View::NONE, |frame| View {
            head: frame,
            wire_len: frame.len(),
            checksum: self.checksum,
        })
    }

    fn segments(&self, place: usize) -> impl Iterator<Item = &[u8]> {
        core::iter::once(self.view(place).head)
    }

    fn head_mut(&mut self, place: usize) -> &mut [u8] {
        self.batch[place].as_mut().map_or(&mut [], |frame| &mut frame[..])
    }

    fn replace(&mut self, place: usize, frame: &[u8]) -> bool {
        let old = self.batch[place].as_mut().filter(|_| frame.len() <= self.buffer_max);
        old.map(|old| *old = frame.to_vec()).is_some()
    }

    fn forward(&mut self, places: u64, port: Port) {
        for (place, frame) in self.batch.iter_mut().enumerate() {
            if places >> place & 1 == 1 {
                self.leaving[port.index()].extend(frame.take());
            }
        }
    }

    fn bytes_of(packet: &Vec<u8>) -> impl Iterator<Item = &[u8]> {
        core::iter::once(&packet[..])
    }

    fn head_of(packet: &mut Vec<u8>) -> &mut [u8] {
        packet
    }

    fn depart(&mut self, packet: Vec<u8>, port: Port) {
        self.leaving[port.index()].push(packet);
    }

    fn take(&mut self, place: usize) -> Option<Vec<u8>> {
        self.batch[place].take()
    }

    fn release(&mut self) {
        self.batch.clear();
    }

    fn inject(&mut self, port: Port, frame: &[u8]) -> bool {
        self.injected += 1;
        self.leaving[port.index()].push(frame.to_vec());
        true
    }

    fn send(&mut self, port: Port) -> Sent {
        let mut leaving = std::mem::take(&mut self.leaving[port.index()]);
        let dropped = leaving.split_off(leaving.len().min(self.send_max)).len() as u64;
        let bytes = leaving.iter().map(|frame| frame.len() as u64).sum();
        let packets = leaving.len() as u64;
        self.sent[port.index()].append(&mut leaving);
        Sent { packets, bytes, dropped }
    }

    fn frame_max(&self, _port: Port) -> usize {
        self.frame_max
    }
}
