//! Where frames come from and go to.

use sekisho_engine::packet::DeviceChecksum;
use sekisho_engine::port::Port;
use sekisho_engine::time::Instant;

/// What became of the frames that waited to be sent by a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Frames that the device took.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Frames that it had no room for; they are gone.
    pub dropped: u64,
}

/// A frame of the batch.
#[derive(Clone, Copy, Debug)]
pub struct View<'f> {
    /// Its bytes: all of them, or its first segment with at least 512 bytes.
    pub head: &'f [u8],
    /// Its whole length on the wire, without FCS.
    pub wire_len: usize,
    /// What the device found of the checksum of its TCP segment or UDP datagram.
    pub checksum: DeviceChecksum,
}

impl View<'_> {
    /// No frame.
    pub const NONE: Self = Self { head: &[], wire_len: 0, checksum: DeviceChecksum::NotChecked };
}

/// The queues of one worker: DPDK in the appliance, memory in tests.
///
/// There is one batch of frames at a time, in places `0..len`; the worker reads each frame and then forwards it,
/// takes it out, or leaves it to be freed by [`PacketIo::release`].
pub trait PacketIo {
    /// An owned frame that can go to another worker.
    type Packet: Send + 'static;

    /// The time.
    fn now(&mut self) -> Instant;

    /// Receives up to [`crate::BURST_MAX`] frames from `port` into the batch, which is empty; returns how many.
    fn receive(&mut self, port: Port) -> usize;

    /// Puts a frame that another worker received into the next place of the batch.
    fn accept(&mut self, packet: Self::Packet);

    /// Hints that the frame at `place` is looked at soon.
    fn prefetch(&mut self, place: usize);

    /// The frame at `place`; nothing where there is none any more.
    fn view(&self, place: usize) -> View<'_>;

    /// All bytes of the frame at `place`, in order; the first part is its head.
    fn segments(&self, place: usize) -> impl Iterator<Item = &[u8]>;

    /// The first bytes of the frame at `place`, to write: those that [`PacketIo::view`] shows.
    fn head_mut(&mut self, place: usize) -> &mut [u8];

    /// Makes the frame at `place` another one, in the same buffer; `false` if there is none any more, or `frame` does not fit
    /// into it: nothing has happened then.
    fn replace(&mut self, place: usize, frame: &[u8]) -> bool;

    /// Queues frames of the batch to leave by `port`, in order: those whose places' bits are set, the lowest for place 0.
    fn forward(&mut self, places: u64, port: Port);

    /// All bytes of a frame that was taken out, in order.
    fn bytes_of(packet: &Self::Packet) -> impl Iterator<Item = &[u8]>;

    /// The first bytes of a frame that was taken out, to write.
    fn head_of(packet: &mut Self::Packet) -> &mut [u8];

    /// Queues a frame that was taken out to leave by `port`.
    fn depart(&mut self, packet: Self::Packet, port: Port);

    /// Takes the frame at `place` out of the batch.
    fn take(&mut self, place: usize) -> Option<Self::Packet>;

    /// Frees what is left of the batch.
    fn release(&mut self);

    /// Queues a copy of `frame` to leave by `port`; whether there was a buffer for it.
    fn inject(&mut self, port: Port, frame: &[u8]) -> bool;

    /// Sends what waits to leave by `port`.
    fn send(&mut self, port: Port) -> Sent;

    /// The longest frame that `port` can send, without FCS.
    fn frame_max(&self, port: Port) -> usize;
}
