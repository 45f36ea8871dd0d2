//! The functions of the shim. Structures of DPDK stay closed here: pointers to them only pass through.

use core::ffi::{c_char, c_int, c_uint, c_void};

use sekisho_traffic::Made;

/// Frames in one call, at the most.
pub(crate) const BURST: usize = 64;

pub(crate) const MARK_CHECKSUMS: c_uint = 1;
pub(crate) const MARK_HASH: c_uint = 2;
/// Frames are of IPv6: no mark of the packet, but of its type.
pub(crate) const MARK_V6: c_uint = 4;

/// An mbuf, as the program knows it.
pub(crate) type Mbuf = *mut c_void;

// As `struct shim_frame` is.
const _: () = assert!(size_of::<Made>() == 8);
const _: () = assert!(core::mem::offset_of!(Made, len) == 4 && core::mem::offset_of!(Made, l4) == 6);

/// A receive or transmit function of a port.
pub(crate) type Burst = unsafe extern "C" fn(*mut c_void, *mut Mbuf, u16) -> u16;

unsafe extern "C" {
    pub(crate) fn shim_real_info_get(port: u16, info: *mut c_void) -> c_int;
    pub(crate) fn shim_real_configure(
        port: u16,
        rx: u16,
        tx: u16,
        conf: *const c_void,
        marks: c_uint,
    ) -> c_int;
    pub(crate) fn shim_real_rx_queue_setup(
        port: u16,
        queue: u16,
        descriptors: u16,
        socket: c_uint,
        conf: *const c_void,
        pool: *mut c_void,
        marks: c_uint,
    ) -> c_int;
    pub(crate) fn shim_real_start(port: u16) -> c_int;

    pub(crate) fn shim_info_add(info: *mut c_void, marks: c_uint);
    pub(crate) fn shim_port_name(port: u16, name: *mut c_char, size: u32) -> c_int;
    pub(crate) fn shim_port_take(
        port: u16,
        rx: Burst,
        rx_queues: *mut *mut c_void,
        tx: Burst,
        tx_queues: *mut *mut c_void,
    );

    pub(crate) fn shim_tsc() -> u64;
    pub(crate) fn shim_tsc_hz() -> u64;
    pub(crate) fn shim_stamp_register() -> c_int;

    pub(crate) fn shim_room(pool: *mut c_void) -> u16;
    pub(crate) fn shim_take(pool: *mut c_void, mbufs: *mut Mbuf, count: u16, data: *mut *mut u8) -> c_int;
    pub(crate) fn shim_describe(mbufs: *mut Mbuf, count: u16, port: u16, frames: *const Made, marks: c_uint);
    pub(crate) fn shim_stamp(mbufs: *mut Mbuf, count: u16, field: c_int, stamps: *const u64);
    pub(crate) fn shim_stamps(mbufs: *mut Mbuf, count: u16, field: c_int, stamps: *mut u64);
    pub(crate) fn shim_look(mbufs: *mut Mbuf, count: u16, data: *mut *const u8, len: *mut u16);
    pub(crate) fn shim_free(mbufs: *mut Mbuf, count: u16);
}

/// The processor's time stamp counter.
#[inline]
pub(crate) fn tsc() -> u64 {
    // SAFETY: reads a register.
    unsafe { shim_tsc() }
}
