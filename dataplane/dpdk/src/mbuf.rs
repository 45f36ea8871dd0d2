//! One packet, owned; and the view of a packet that bursts give.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use sekisho_dpdk_sys as sys;

/// What the device says of a checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// It did not look, or could not tell.
    Unknown,
    /// It is right.
    Good,
    /// It is wrong.
    Bad,
    /// The data is whole, though the field in the header is not filled in.
    Absent,
}

impl Checksum {
    fn of(flags: u64, good: u32, bad: u32) -> Self {
        match (flags & u64::from(good) != 0, flags & u64::from(bad) != 0) {
            (false, false) => Self::Unknown,
            (true, false) => Self::Good,
            (false, true) => Self::Bad,
            (true, true) => Self::Absent,
        }
    }
}

/// A packet to read.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    mbuf: *mut sys::rte_mbuf,
    _owner: PhantomData<&'a sys::rte_mbuf>,
}

/// A packet to read and write.
#[derive(Debug)]
pub struct PacketMut<'a> {
    mbuf: *mut sys::rte_mbuf,
    _owner: PhantomData<&'a mut sys::rte_mbuf>,
}

/// Reads a field of an mbuf.
///
/// # Safety
/// `mbuf` is live and `offset` that of a field of type `T`.
#[inline(always)]
unsafe fn field<T: Copy>(mbuf: *const sys::rte_mbuf, offset: sys::shim_mbuf_offset) -> T {
    // SAFETY: the field lies within the mbuf at that offset, as the caller promises.
    let place = unsafe { mbuf.byte_add(offset as usize) };
    // SAFETY: it is initialised memory of that type; mbufs are aligned to cache lines, their fields by C's rules.
    unsafe { place.cast::<T>().read() }
}

/// The data of one segment.
///
/// # Safety
/// `mbuf` is live.
#[inline(always)]
unsafe fn segment(mbuf: *const sys::rte_mbuf) -> (*mut u8, usize) {
    // SAFETY: a live mbuf, as the caller promises; the offsets are those of the fields of these types.
    let (buffer, offset, length): (*mut u8, u16, u16) = unsafe {
        (
            field(mbuf, sys::SHIM_MBUF_BUF_ADDR),
            field(mbuf, sys::SHIM_MBUF_DATA_OFF),
            field(mbuf, sys::SHIM_MBUF_DATA_LEN),
        )
    };
    // SAFETY: data starts within the buffer: DPDK keeps data_off + data_len <= buf_len.
    (unsafe { buffer.add(usize::from(offset)) }, usize::from(length))
}

impl<'a> Packet<'a> {
    /// # Safety
    /// `mbuf` is a live packet that nobody writes to for the life of `'a`.
    #[inline(always)]
    pub(crate) unsafe fn of(mbuf: *mut sys::rte_mbuf) -> Self {
        Self { mbuf, _owner: PhantomData }
    }

    #[inline(always)]
    fn field<T: Copy>(self, offset: sys::shim_mbuf_offset) -> T {
        // SAFETY: the packet is live for 'a; offsets and types are paired by the callers below.
        unsafe { field(self.mbuf, offset) }
    }

    /// The first segment: the whole packet, unless [`Self::segment_count`] is more than 1.
    #[inline]
    pub fn data(self) -> &'a [u8] {
        // SAFETY: the packet is live.
        let (data, length) = unsafe { segment(self.mbuf) };
        // SAFETY: `length` bytes of a buffer that belongs to this packet alone, not written to for 'a.
        unsafe { std::slice::from_raw_parts(data, length) }
    }

    /// Bytes in all segments.
    #[inline]
    pub fn total_len(self) -> usize {
        self.field::<u32>(sys::SHIM_MBUF_PKT_LEN) as usize
    }

    /// Segments of the packet.
    #[inline]
    pub fn segment_count(self) -> usize {
        usize::from(self.field::<u16>(sys::SHIM_MBUF_NB_SEGS))
    }

    /// The segments in order.
    #[inline]
    pub fn segments(self) -> Segments<'a> {
        Segments { next: self.mbuf, _owner: PhantomData }
    }

    /// Copies the packet's bytes into `into` until that is full, and returns how many.
    pub fn copy_to(self, into: &mut [u8]) -> usize {
        let mut done = 0;
        for part in self.segments() {
            let length = part.len().min(into.len() - done);
            into[done..done + length].copy_from_slice(&part[..length]);
            done += length;
        }
        done
    }

    /// The hash by which the device chose the queue, if it gave one.
    #[inline]
    pub fn rss_hash(self) -> Option<u32> {
        let given = self.field::<u64>(sys::SHIM_MBUF_OL_FLAGS) & u64::from(sys::SHIM_RX_RSS_HASH) != 0;
        given.then(|| self.field::<u32>(sys::SHIM_MBUF_RSS))
    }

    /// What the device says of the checksum of the IPv4 header.
    #[inline]
    pub fn checksum_l3(self) -> Checksum {
        Checksum::of(self.field(sys::SHIM_MBUF_OL_FLAGS), sys::SHIM_RX_IP_GOOD, sys::SHIM_RX_IP_BAD)
    }

    /// What the device says of the checksum of TCP or UDP.
    #[inline]
    pub fn checksum_l4(self) -> Checksum {
        Checksum::of(self.field(sys::SHIM_MBUF_OL_FLAGS), sys::SHIM_RX_L4_GOOD, sys::SHIM_RX_L4_BAD)
    }

    /// Whether DPDK's own check of its chain of buffers finds nothing wrong; for tests.
    pub fn is_sound(self) -> bool {
        // SAFETY: FFI; the packet is live, the check only reads.
        unsafe { sys::shim_mbuf_check(self.mbuf) == 0 }
    }
}

impl<'a> PacketMut<'a> {
    /// # Safety
    /// `mbuf` is a live packet that nobody else reads or writes for the life of `'a`.
    #[inline(always)]
    pub(crate) unsafe fn of(mbuf: *mut sys::rte_mbuf) -> Self {
        Self { mbuf, _owner: PhantomData }
    }

    /// To read it.
    #[inline]
    pub fn view(&self) -> Packet<'_> {
        // SAFETY: live and ours alone; the shared borrow of `self` keeps writers out.
        unsafe { Packet::of(self.mbuf) }
    }

    /// The first segment, to write; for as long as the packet itself is borrowed.
    #[inline]
    pub fn into_data(self) -> &'a mut [u8] {
        // SAFETY: the packet is live.
        let (data, length) = unsafe { segment(self.mbuf) };
        // SAFETY: `length` bytes of a buffer that belongs to this packet alone, and `self`, consumed, was the only
        // access to it for 'a.
        unsafe { std::slice::from_raw_parts_mut(data, length) }
    }

    /// Makes the packet one segment. False when the first segment's buffer has no room for the rest.
    #[must_use]
    pub fn linearize(&mut self) -> bool {
        // SAFETY: FFI; a live packet that is ours alone.
        unsafe { sys::shim_mbuf_linearize(self.mbuf) == 0 }
    }

    /// Makes `bytes` the packet, in the same buffer; nothing of what the device said of the old one stays. False, with nothing
    /// changed, when it has more segments than one, or the buffer has no room.
    #[must_use]
    pub fn replace(&mut self, bytes: &[u8]) -> bool {
        let Ok(length) = u16::try_from(bytes.len()) else { return false };
        // SAFETY: FFI; a live packet that is ours alone, and `bytes`, another allocation, holds `length` bytes.
        unsafe { sys::shim_mbuf_replace(self.mbuf, bytes.as_ptr().cast(), length) == 0 }
    }

    /// Overwrites the packet's bytes from the start with `bytes`, across segments; its length stays. Returns how many
    /// were written: fewer than given when the packet is shorter.
    pub fn overwrite(&mut self, bytes: &[u8]) -> usize {
        let mut done = 0;
        let mut next = self.mbuf;
        while !next.is_null() && done < bytes.len() {
            // SAFETY: a segment of a live chain.
            let (data, length) = unsafe { segment(next) };
            let length = length.min(bytes.len() - done);
            // SAFETY: `length` bytes within the segment, ours alone; `bytes` is another allocation.
            unsafe { std::ptr::copy_nonoverlapping(bytes[done..].as_ptr(), data, length) };
            done += length;
            // SAFETY: as above; `next` is null in the last segment.
            next = unsafe { field(next, sys::SHIM_MBUF_NEXT) };
        }
        done
    }
}

/// The segments of a packet.
#[derive(Debug)]
pub struct Segments<'a> {
    next: *mut sys::rte_mbuf,
    _owner: PhantomData<&'a sys::rte_mbuf>,
}

impl<'a> Iterator for Segments<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.next.is_null() {
            return None;
        }
        // SAFETY: a segment of a chain that is live for 'a.
        let (data, length) = unsafe { segment(self.next) };
        // SAFETY: as above; null after the last.
        self.next = unsafe { field(self.next, sys::SHIM_MBUF_NEXT) };
        // SAFETY: `length` bytes of this packet's own buffer, not written to for 'a.
        Some(unsafe { std::slice::from_raw_parts(data, length) })
    }
}

/// A packet by itself: to pass through a ring, to hold back, to build. Freed when dropped.
///
/// It does not hold the environment (that would be a shared count per packet); one that outlives it keeps the
/// memory of the environment mapped until the process ends.
#[derive(Debug)]
pub struct Mbuf {
    mbuf: NonNull<sys::rte_mbuf>,
}

// SAFETY: a packet belongs to whoever owns this value, and DPDK frees from any thread.
unsafe impl Send for Mbuf {}

impl Mbuf {
    /// # Safety
    /// `mbuf` is not null, a live packet, and from now on this value's alone.
    #[inline]
    pub(crate) unsafe fn from_raw(mbuf: *mut sys::rte_mbuf) -> Self {
        loose_add(1);
        // SAFETY: not null, as the caller promises.
        Self { mbuf: unsafe { NonNull::new_unchecked(mbuf) } }
    }

    /// The packet, from now on the caller's.
    #[inline]
    pub(crate) fn into_raw(self) -> *mut sys::rte_mbuf {
        loose_add(-1);
        std::mem::ManuallyDrop::new(self).mbuf.as_ptr()
    }

    /// To read it.
    #[inline]
    pub fn packet(&self) -> Packet<'_> {
        // SAFETY: live and owned; the borrow keeps writers out.
        unsafe { Packet::of(self.mbuf.as_ptr()) }
    }

    /// To read and write it.
    #[inline]
    pub fn packet_mut(&mut self) -> PacketMut<'_> {
        // SAFETY: live and owned; the borrow is exclusive.
        unsafe { PacketMut::of(self.mbuf.as_ptr()) }
    }
}

impl Drop for Mbuf {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: FFI; a live packet, owned by this value, freed once.
        unsafe { sys::shim_mbuf_free(self.mbuf.as_ptr()) };
        loose_add(-1);
    }
}

/// Packets that are out by themselves, counted per thread: each counter has one writer and a cache line of its own.
/// A packet made on one thread and dropped on another leaves +1 here and -1 there; only the sum means something.
#[repr(align(128))]
struct LooseCount(AtomicI64);

static LOOSE: Mutex<Vec<&'static LooseCount>> = Mutex::new(Vec::new());

thread_local! {
    static LOOSE_HERE: Cell<Option<&'static LooseCount>> = const { Cell::new(None) };
}

#[inline]
fn loose_add(change: i64) {
    let count = LOOSE_HERE.get().unwrap_or_else(loose_register);
    count.0.store(count.0.load(Ordering::Relaxed) + change, Ordering::Relaxed);
}

#[cold]
fn loose_register() -> &'static LooseCount {
    // Stays for the life of the process, like the thread's part of the sum.
    let count: &'static LooseCount = Box::leak(Box::new(LooseCount(AtomicI64::new(0))));
    LOOSE.lock().unwrap_or_else(PoisonError::into_inner).push(count);
    LOOSE_HERE.set(Some(count));
    count
}

/// Whether some packet may be out by itself. Called when nothing is left that could make one: every +1 happened
/// before the last holder of the environment went, so it is seen; a -1 that is not yet seen errs on the safe side.
pub(crate) fn any_loose() -> bool {
    let counts = LOOSE.lock().unwrap_or_else(PoisonError::into_inner);
    counts.iter().map(|count| count.0.load(Ordering::Acquire)).sum::<i64>() > 0
}
