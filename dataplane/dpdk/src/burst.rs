//! Packets in bulk: what a queue receives and sends at a time.

use sekisho_dpdk_sys as sys;

use crate::eal::Eal;
use crate::mbuf::{Mbuf, Packet, PacketMut};
use crate::pool::PacketPool;

/// Packets that a burst holds.
pub const BURST_MAX: usize = 64;

/// Owns up to [`BURST_MAX`] packets, and frees in bulk what is left in it. Made once and used again.
///
/// Packets have places, `0..len()`. A packet that is moved out of its place leaves a gap there, so that places stay
/// what they are while a burst is worked through: [`Burst::clear`] frees what is left and starts afresh,
/// [`Burst::compact`] closes the gaps.
#[derive(Debug)]
pub struct Burst {
    /// `..len` are packets of ours, or null: gaps.
    mbufs: [*mut sys::rte_mbuf; BURST_MAX],
    len: usize,
    gaps: usize,
    _eal: Eal,
}

// SAFETY: packets belong to the burst alone, and DPDK handles them from any thread.
unsafe impl Send for Burst {}

impl Burst {
    /// An empty burst.
    pub fn new(eal: &Eal) -> Self {
        Self { mbufs: [std::ptr::null_mut(); BURST_MAX], len: 0, gaps: 0, _eal: eal.clone() }
    }

    /// Places in use, gaps included.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Packets in it.
    #[inline]
    pub fn packet_count(&self) -> usize {
        self.len - self.gaps
    }

    /// Whether no place is in use.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Places that are still free.
    #[inline]
    pub fn room(&self) -> usize {
        BURST_MAX - self.len
    }

    /// The packet at a place; `None` in a gap and beyond the end.
    #[inline]
    pub fn get(&self, place: usize) -> Option<Packet<'_>> {
        let mbuf = *self.mbufs[..self.len].get(place)?;
        // SAFETY: a packet of ours; the borrow keeps writers out.
        (!mbuf.is_null()).then(|| unsafe { Packet::of(mbuf) })
    }

    /// The packet at a place, to write.
    #[inline]
    pub fn get_mut(&mut self, place: usize) -> Option<PacketMut<'_>> {
        let mbuf = *self.mbufs[..self.len].get(place)?;
        // SAFETY: a packet of ours alone; the borrow is exclusive.
        (!mbuf.is_null()).then(|| unsafe { PacketMut::of(mbuf) })
    }

    /// The first segment of the packet at a place, empty in a gap.
    #[inline]
    pub fn data(&self, place: usize) -> &[u8] {
        self.get(place).map_or(&[], Packet::data)
    }

    /// The first segment of the packet at a place, to write; empty in a gap.
    #[inline]
    pub fn data_mut(&mut self, place: usize) -> &mut [u8] {
        self.get_mut(place).map_or(&mut [], PacketMut::into_data)
    }

    /// All packets with their places, in order.
    #[inline]
    pub fn packets(&self) -> impl Iterator<Item = (usize, Packet<'_>)> {
        let present = self.mbufs[..self.len].iter().enumerate().filter(|(_, mbuf)| !mbuf.is_null());
        // SAFETY: packets of ours; the borrow of the burst keeps writers out.
        present.map(|(place, &mbuf)| (place, unsafe { Packet::of(mbuf) }))
    }

    /// All packets with their places, to write: each is its own borrow, so that all can be at hand at once.
    #[inline]
    pub fn packets_mut(&mut self) -> impl Iterator<Item = (usize, PacketMut<'_>)> {
        let present = self.mbufs[..self.len].iter().enumerate().filter(|(_, mbuf)| !mbuf.is_null());
        // SAFETY: packets of ours alone, no two places hold the same one, and the borrow of the burst is exclusive.
        present.map(|(place, &mbuf)| (place, unsafe { PacketMut::of(mbuf) }))
    }

    /// Whether any packet is made of more segments than one.
    #[inline]
    pub fn has_chains(&self) -> bool {
        self.packets().any(|(_, packet)| packet.segment_count() > 1)
    }

    /// Asks the processor to fetch the first bytes of the packet at a place.
    #[inline]
    pub fn prefetch(&self, place: usize) {
        if let Some(packet) = self.get(place) {
            prefetch(packet.data().as_ptr());
        }
    }

    /// Adds a packet at the end; gives it back when there is no room. Its record, which another core may have written, is
    /// fetched meanwhile.
    #[inline]
    pub fn push(&mut self, packet: Mbuf) -> Result<(), Mbuf> {
        if self.room() == 0 {
            return Err(packet);
        }
        let mbuf = packet.into_raw();
        prefetch(mbuf.cast_const().cast());
        self.put(mbuf);
        Ok(())
    }

    /// Adds a packet with a copy of `frame`. False when there is no room or the pool is empty.
    #[must_use]
    pub fn push_frame(&mut self, pool: &PacketPool, frame: &[u8]) -> bool {
        if self.room() == 0 {
            return false;
        }
        let mbuf = pool.packet_raw(frame);
        if mbuf.is_null() {
            return false;
        }
        self.put(mbuf);
        true
    }

    /// Moves the packet at a place to the end of another burst. False in a gap and when there is no room.
    #[inline]
    pub fn move_to(&mut self, place: usize, other: &mut Burst) -> bool {
        if other.room() == 0 {
            return false;
        }
        match self.take_raw(place) {
            Some(mbuf) => {
                other.put(mbuf);
                true
            }
            None => false,
        }
    }

    /// Moves packets to the end of another burst, in order: those at the places whose bits are set, the lowest for place
    /// 0. Returns their bytes, all segments counted. What finds no room there stays.
    #[inline]
    pub fn move_all_to(&mut self, places: u64, other: &mut Burst) -> u64 {
        let has_all = self.gaps == 0 && self.len > 0 && places == u64::MAX >> (BURST_MAX - self.len);
        if has_all && self.len <= other.room() {
            return self.move_whole_to(other);
        }
        let (mut left, mut bytes) = (places, 0);
        while left != 0 {
            let place = left.trailing_zeros() as usize;
            left &= left - 1;
            let len = self.get(place).map_or(0, Packet::total_len);
            if self.move_to(place, other) {
                bytes += len as u64;
            }
        }
        bytes
    }

    /// Moves all packets, of which none is missing and for which there is room.
    #[inline]
    fn move_whole_to(&mut self, other: &mut Burst) -> u64 {
        let bytes = self.packets().map(|(_, packet)| packet.total_len() as u64).sum();
        let own = &mut self.mbufs[..self.len];
        other.mbufs[other.len..][..own.len()].copy_from_slice(own);
        own.fill(std::ptr::null_mut());
        other.len += own.len();
        self.gaps = self.len;
        bytes
    }

    /// Takes the packet at a place out, to pass it on by itself.
    #[inline]
    pub fn take(&mut self, place: usize) -> Option<Mbuf> {
        // SAFETY: just taken out of the burst: not null, live, and nobody else's.
        self.take_raw(place).map(|mbuf| unsafe { Mbuf::from_raw(mbuf) })
    }

    /// Frees what is left, in bulk.
    #[inline]
    pub fn clear(&mut self) {
        if self.packet_count() > 0 {
            self.compact();
            free_bulk(&mut self.mbufs[..self.len]);
        }
        self.len = 0;
        self.gaps = 0;
    }

    /// Closes the gaps; the order of packets stays.
    #[inline]
    pub fn compact(&mut self) {
        if self.gaps == 0 {
            return;
        }
        let mut kept = 0;
        for place in 0..self.len {
            let mbuf = self.mbufs[place];
            if !mbuf.is_null() {
                self.mbufs[kept] = mbuf;
                kept += 1;
            }
        }
        self.len = kept;
        self.gaps = 0;
    }

    #[inline]
    fn put(&mut self, mbuf: *mut sys::rte_mbuf) {
        self.mbufs[self.len] = mbuf;
        self.len += 1;
    }

    #[inline]
    fn take_raw(&mut self, place: usize) -> Option<*mut sys::rte_mbuf> {
        let slot = self.mbufs[..self.len].get_mut(place)?;
        let mbuf = std::mem::replace(slot, std::ptr::null_mut());
        if mbuf.is_null() {
            return None;
        }
        self.gaps += 1;
        Some(mbuf)
    }

    /// Lets `receive` fill the free places, and takes as many as it says.
    #[inline]
    pub(crate) fn fill(&mut self, receive: impl FnOnce(*mut *mut sys::rte_mbuf, u16) -> u16) -> usize {
        let room = u16::try_from(self.room()).unwrap_or(u16::MAX);
        let got = receive(self.mbufs[self.len..].as_mut_ptr(), room);
        assert!(got <= room, "a driver returned {got} packets where {room} had room");
        self.len += usize::from(got);
        usize::from(got)
    }

    /// Makes each packet one segment, frees those that fit no single buffer, and returns how many these were.
    pub fn linearize(&mut self) -> usize {
        self.compact();
        let count = u16::try_from(self.len).unwrap_or(u16::MAX);
        // SAFETY: FFI; `count` live packets of ours; those it frees are no longer among the first ones it returns.
        let left = unsafe { sys::shim_burst_linearize(self.mbufs.as_mut_ptr(), count) };
        let freed = self.len - usize::from(left);
        self.len = usize::from(left);
        freed
    }

    /// Lets `send` take packets from the front, and forgets as many as it says.
    #[inline]
    pub(crate) fn hand_over(&mut self, send: impl FnOnce(*mut *mut sys::rte_mbuf, u16) -> u16) -> usize {
        self.compact();
        let count = u16::try_from(self.len).unwrap_or(u16::MAX);
        let sent = send(self.mbufs.as_mut_ptr(), count);
        assert!(sent <= count, "a driver took {sent} packets of {count}");
        let sent = usize::from(sent);
        self.mbufs.copy_within(sent..self.len, 0);
        self.len -= sent;
        sent
    }
}

impl Drop for Burst {
    fn drop(&mut self) {
        self.clear();
    }
}

fn free_bulk(mbufs: &mut [*mut sys::rte_mbuf]) {
    let count = u32::try_from(mbufs.len()).unwrap_or(u32::MAX);
    // SAFETY: FFI; `count` live packets of the caller's, who forgets them.
    unsafe { sys::rte_pktmbuf_free_bulk(mbufs.as_mut_ptr(), count) };
}

#[inline(always)]
fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch is a hint and cannot fault, whatever the address.
    unsafe {
        std::arch::x86_64::_mm_prefetch(address.cast(), std::arch::x86_64::_MM_HINT_T0);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
