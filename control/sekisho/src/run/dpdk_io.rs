//! The queues of one worker on DPDK: packets move from burst to burst, and no byte is copied on their way.

use std::sync::Arc;

use crossbeam::queue::ArrayQueue;
use sekisho_dpdk::{Burst, Checksum, Clock, Eal, Mbuf, PacketPool, RxQueue, TxQueue};
use sekisho_engine::packet::DeviceChecksum;
use sekisho_engine::port::Port;
use sekisho_engine::time::Instant;
use sekisho_worker::{PacketIo, Sent, View};

/// The engine is shown this much of a frame at least, or all of it.
const HEAD_BYTES_MIN: usize = 512;
/// How often the cycle counter is compared with the kernel's clock.
const DISCIPLINE_EVERY_NANOS: u64 = 1_000_000_000;
/// Frames that wait for the worker that has the transmit queue.
pub(crate) const RELAY_FRAMES: u16 = 1024;

/// Frames on their way to the worker that has a transmit queue, from those that have none on that port.
pub(crate) type Relay = Arc<ArrayQueue<Mbuf>>;

/// How a worker sends by a port.
#[derive(Debug)]
pub(crate) enum Departure {
    /// By a queue of its own, and for those that relay to it.
    Own { queue: TxQueue, relayed: Option<Relay> },
    /// The device has fewer transmit queues than there are workers: through one that has one.
    Relayed(Relay),
}

/// One port, as one worker has it.
#[derive(Debug)]
pub(crate) struct Side {
    /// The receive queues that this worker polls; none where the device has fewer queues than there are workers.
    pub(crate) arrivals: Vec<RxQueue>,
    pub(crate) departure: Departure,
    /// The longest frame that the port can send, without FCS.
    pub(crate) frame_max: usize,
}

/// What is on its way out by one port.
#[derive(Debug)]
struct Leaving {
    burst: Burst,
    bytes: u64,
    /// What was sent before the burst was full and is not reported yet.
    sent: Sent,
}

/// All queues of one worker.
#[derive(Debug)]
pub(crate) struct DpdkIo {
    clock: Clock,
    /// The kernel's time that is the engine's zero.
    zero_nanos: u64,
    disciplined_nanos: u64,
    sides: [Side; 2],
    /// Which of its receive queues is next, by port.
    turn: [usize; 2],
    batch: Burst,
    leaving: [Leaving; 2],
    pool: PacketPool,
    scratch: Vec<u8>,
}

impl DpdkIo {
    /// The queues of one worker; LAN first.
    pub(crate) fn new(eal: &Eal, zero_nanos: u64, sides: [Side; 2], pool: PacketPool) -> Self {
        let leaving = || Leaving { burst: Burst::new(eal), bytes: 0, sent: Sent::default() };
        Self {
            clock: Clock::new(eal),
            zero_nanos,
            disciplined_nanos: 0,
            sides,
            turn: [0; 2],
            batch: Burst::new(eal),
            leaving: [leaving(), leaving()],
            pool,
            scratch: vec![0; usize::from(u16::MAX)],
        }
    }

    /// Puts the first bytes of every frame into one segment. Devices fill segments before they begin the next, so
    /// that this finds nothing to do but with rings and shared memory.
    fn join_short_heads(&mut self) {
        let mut place = 0;
        for _ in 0..self.batch.len() {
            if !self.has_short_head(place) || self.linearize(place) || !self.replace(place) {
                place += 1;
            }
        }
    }

    fn has_short_head(&self, place: usize) -> bool {
        self.batch.get(place).is_some_and(|packet| {
            packet.segment_count() > 1 && packet.data().len() < HEAD_BYTES_MIN.min(packet.total_len())
        })
    }

    fn linearize(&mut self, place: usize) -> bool {
        self.batch.get_mut(place).is_some_and(|mut packet| packet.linearize())
    }

    /// Moves a frame whose first buffer has no room for the rest into fresh ones, and to the end of the batch. Where
    /// there are none it stays as it is, and is dropped as truncated.
    fn replace(&mut self, place: usize) -> bool {
        let len = self.batch.get(place).map_or(0, |packet| packet.copy_to(&mut self.scratch));
        let Some(copy) = self.pool.packet(&self.scratch[..len]) else { return false };
        drop(self.batch.take(place));
        self.batch.compact();
        // The place of the one that was taken is free.
        drop(self.batch.push(copy));
        true
    }

    /// Hands what is leaving to the device, and reports it later.
    fn flush(&mut self, port: Port) {
        let leaving = &mut self.leaving[port.index()];
        if leaving.burst.is_empty() {
            return;
        }
        let waiting = leaving.burst.packet_count() as u64;
        match &mut self.sides[port.index()].departure {
            Departure::Own { queue, .. } => {
                let packets = queue.send(&mut leaving.burst) as u64;
                let left: u64 = leaving.burst.packets().map(|(_, packet)| packet.total_len() as u64).sum();
                leaving.sent.packets += packets;
                leaving.sent.bytes += leaving.bytes.saturating_sub(left);
                leaving.sent.dropped += waiting.saturating_sub(packets);
            }
            Departure::Relayed(relay) => {
                for place in 0..leaving.burst.len() {
                    // The worker that sends it reports it.
                    if let Some(packet) = leaving.burst.take(place)
                        && relay.push(packet).is_err()
                    {
                        leaving.sent.dropped += 1;
                    }
                }
            }
        }
        leaving.burst.clear();
        leaving.bytes = 0;
    }

    /// Takes in what other workers want sent by this one's queue.
    fn take_relayed(&mut self, port: Port) {
        let Departure::Own { relayed: Some(relay), .. } = &self.sides[port.index()].departure else { return };
        let relay = Arc::clone(relay);
        for _ in 0..RELAY_FRAMES {
            let Some(packet) = relay.pop() else { return };
            self.leave(port, packet);
        }
    }

    fn leave(&mut self, port: Port, packet: Mbuf) {
        if self.leaving[port.index()].burst.room() == 0 {
            self.flush(port);
        }
        let leaving = &mut self.leaving[port.index()];
        leaving.bytes += packet.packet().total_len() as u64;
        // Flushed above if it was full.
        drop(leaving.burst.push(packet));
    }
}

impl PacketIo for DpdkIo {
    type Packet = Mbuf;

    fn now(&mut self) -> Instant {
        let nanos = self.clock.now_ns();
        if nanos.saturating_sub(self.disciplined_nanos) >= DISCIPLINE_EVERY_NANOS {
            self.disciplined_nanos = nanos;
            self.clock.discipline();
        }
        Instant::from_nanos(nanos.saturating_sub(self.zero_nanos))
    }

    fn receive(&mut self, port: Port) -> usize {
        let arrivals = &mut self.sides[port.index()].arrivals;
        let count = arrivals.len();
        if count == 0 {
            return 0;
        }
        let turn = &mut self.turn[port.index()];
        *turn = if *turn + 1 < count { *turn + 1 } else { 0 };
        let received = arrivals[*turn].receive(&mut self.batch);
        if self.batch.has_chains() {
            self.join_short_heads();
        }
        received
    }

    fn accept(&mut self, packet: Mbuf) {
        // The loop takes no more than a burst holds.
        drop(self.batch.push(packet));
    }

    fn prefetch(&mut self, place: usize) {
        self.batch.prefetch(place);
    }

    #[inline]
    fn view(&self, place: usize) -> View<'_> {
        let Some(packet) = self.batch.get(place) else { return View::NONE };
        let checksum = match packet.checksum_l4() {
            Checksum::Good => DeviceChecksum::Good,
            Checksum::Bad => DeviceChecksum::Bad,
            // One that is not filled in must not leave like that either.
            Checksum::Unknown | Checksum::Absent => DeviceChecksum::NotChecked,
        };
        View { head: packet.data(), wire_len: packet.total_len(), checksum }
    }

    fn segments(&self, place: usize) -> impl Iterator<Item = &[u8]> {
        // Where the next segment is stands in a part of the packet's record that nothing else reads.
        let packet = self.batch.get(place);
        let more = packet.filter(|packet| packet.segment_count() > 1);
        let first = packet.map(|packet| packet.data());
        first.into_iter().chain(more.into_iter().flat_map(|packet| packet.segments().skip(1)))
    }

    fn head_mut(&mut self, place: usize) -> &mut [u8] {
        self.batch.data_mut(place)
    }

    fn replace(&mut self, place: usize, frame: &[u8]) -> bool {
        self.batch.get_mut(place).is_some_and(|mut packet| packet.replace(frame))
    }

    fn forward(&mut self, places: u64, port: Port) {
        if self.leaving[port.index()].burst.room() < self.batch.len() {
            self.flush(port);
        }
        let leaving = &mut self.leaving[port.index()];
        leaving.bytes += self.batch.move_all_to(places, &mut leaving.burst);
    }

    fn bytes_of(packet: &Mbuf) -> impl Iterator<Item = &[u8]> {
        packet.packet().segments()
    }

    fn head_of(packet: &mut Mbuf) -> &mut [u8] {
        packet.packet_mut().into_data()
    }

    fn depart(&mut self, packet: Mbuf, port: Port) {
        self.leave(port, packet);
    }

    fn take(&mut self, place: usize) -> Option<Mbuf> {
        self.batch.take(place)
    }

    fn release(&mut self) {
        self.batch.clear();
    }

    fn inject(&mut self, port: Port, frame: &[u8]) -> bool {
        let Some(packet) = self.pool.packet(frame) else { return false };
        self.leave(port, packet);
        true
    }

    fn send(&mut self, port: Port) -> Sent {
        self.take_relayed(port);
        self.flush(port);
        std::mem::take(&mut self.leaving[port.index()].sent)
    }

    fn frame_max(&self, port: Port) -> usize {
        self.sides[port.index()].frame_max
    }
}

#[cfg(test)]
#[path = "dpdk_io/tests.rs"]
mod tests;
