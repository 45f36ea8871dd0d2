//! Packets and bytes of sessions, counted where they cost least.
//!
//! A packet of an established session adds to what its session's line has room for, 15 packets or 4,095 bytes a side; only
//! what is more goes to the session's counters, which are a line of their own. That line is asked for then, and written to
//! some such overflows later: nothing waits for it. What is told of a session is always the sum of all three places.

use super::Table;
use crate::port::Port;
use crate::prefetch::prefetch;

/// Overflows that wait for their lines. Frames that are longer than a session's line has room for overflow each time, and so
/// many of them come by until a line is there.
const SPILLS: usize = 8;

/// Packets in the upper four bits, bytes in the others.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fresh(u16);

impl Fresh {
    const PACKET: u16 = 1 << 12;
    const BYTES_MAX: u32 = Self::PACKET as u32 - 1;

    const fn packets(self) -> u32 {
        (self.0 / Self::PACKET) as u32
    }

    const fn bytes(self) -> u32 {
        (self.0 % Self::PACKET) as u32
    }

    /// Counts a frame, if there is room for it.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "there is room for them")]
    const fn add(&mut self, bytes: u32) -> bool {
        let has_room = self.0 <= u16::MAX - Self::PACKET && bytes <= Self::BYTES_MAX - self.bytes();
        if has_room {
            self.0 += Self::PACKET + bytes as u16;
        }
        has_room
    }
}

/// What a session's counters are to be told of.
#[derive(Clone, Copy, Debug, Default)]
struct Spill {
    slot: u32,
    side: u32,
    /// 0: nothing.
    packets: u32,
    bytes: u32,
}

/// What waits, the oldest at `next`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spills {
    waiting: [Spill; SPILLS],
    next: usize,
}

impl Spills {
    /// The session in `slot` is over.
    pub(super) fn forget(&mut self, slot: u32) {
        for spill in self.waiting.iter_mut().filter(|spill| spill.slot == slot) {
            spill.packets = 0;
        }
    }
}

impl Table {
    /// Counts a frame of an established session that arrived on `port`.
    #[inline(always)]
    pub(crate) fn count(&mut self, slot: u32, port: Port, bytes: u32) {
        if !self.hot[slot as usize].fresh[port.index()].add(bytes) {
            self.spill(slot, port, bytes);
        }
    }

    #[inline(never)]
    fn spill(&mut self, slot: u32, port: Port, bytes: u32) {
        prefetch(&self.cold[slot as usize]);
        let side = port.index();
        let fresh = core::mem::take(&mut self.hot[slot as usize].fresh[side]);
        let spill = Spill {
            slot,
            side: u32::from(port == Port::Wan),
            packets: fresh.packets() + 1,
            bytes: bytes.saturating_add(fresh.bytes()),
        };
        let next = self.spills.next % SPILLS;
        let ready = core::mem::replace(&mut self.spills.waiting[next], spill);
        self.spills.next = next + 1;
        if ready.packets != 0 {
            self.cold[ready.slot as usize].add(ready.side as usize, ready.packets, ready.bytes);
        }
    }

    /// Packets and bytes of the session in `slot`, by port of arrival.
    pub(crate) fn counts(&self, slot: u32) -> ([u64; 2], [u64; 2]) {
        let (hot, cold) = (&self.hot[slot as usize], &self.cold[slot as usize]);
        let (mut packets, mut bytes) = (cold.packets(), cold.bytes());
        for (side, fresh) in hot.fresh.iter().enumerate() {
            packets[side] += u64::from(fresh.packets());
            bytes[side] += u64::from(fresh.bytes());
        }
        for spill in self.spills.waiting.iter().filter(|spill| spill.slot == slot) {
            let told = u64::from(spill.packets != 0);
            packets[spill.side as usize] += u64::from(spill.packets);
            bytes[spill.side as usize] += told * u64::from(spill.bytes);
        }
        (packets, bytes)
    }
}
