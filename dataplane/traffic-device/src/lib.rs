//! Makes two ports of any DPDK program into sources and sinks of numbered sessions, so that programs can be compared with
//! the same packets, in one process, on one core.
//!
//! The library is loaded before the program's own (`LD_PRELOAD`) and stands before four functions of DPDK. Where a port
//! is one of the two that [`VARIABLE`] names, it tells what a NIC could do, and after the start of the port puts its own
//! burst functions into DPDK's public table. Receiving makes frames ([`sekisho_traffic::Shard`]); sending looks at
//! what came out, counts and frees it. Once in 100 ms a line of figures is written to a file.
//!
//! `SEKISHO_TRAFFIC=lan=net_null0,wan=net_null1,sessions=65536,stats=/tmp/stats LD_PRELOAD=libsekisho_traffic_device.so
//! dpdk-testpmd --no-pci --vdev net_null0 --vdev net_null1 ...`

mod device;
mod latency;
mod options;
mod pace;
mod published;
mod queue;
mod stats;
mod sys;

use core::ffi::{c_int, c_uint, c_void};

pub use options::VARIABLE;

use crate::device::device;

const INVALID: c_int = -libc::EINVAL;

/// What the port can do, with what this library does in its place.
///
/// # Safety
/// As for DPDK's function of this name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rte_eth_dev_info_get(port: u16, info: *mut c_void) -> c_int {
    // SAFETY: the caller's arguments, as they came.
    let code = unsafe { sys::shim_real_info_get(port, info) };
    if code == 0
        && let Some(device) = device().filter(|device| device.side_of(port).is_some())
    {
        // SAFETY: the real function has filled it.
        unsafe { sys::shim_info_add(info, device.marks()) };
    }
    code
}

/// Configures the port without what only this library does, and remembers its queues.
///
/// # Safety
/// As for DPDK's function of this name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rte_eth_dev_configure(port: u16, rx: u16, tx: u16, conf: *const c_void) -> c_int {
    let ours = device().filter(|device| device.side_of(port).is_some());
    let marks = ours.map_or(0, |device| device.marks());
    // SAFETY: the caller's arguments, as they came.
    let code = unsafe { sys::shim_real_configure(port, rx, tx, conf, marks) };
    if code == 0
        && let Some(device) = ours
    {
        device.configured(port, rx, tx);
    }
    code
}

/// Sets a receive queue up, and remembers its pool.
///
/// # Safety
/// As for DPDK's function of this name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rte_eth_rx_queue_setup(
    port: u16,
    queue: u16,
    descriptors: u16,
    socket: c_uint,
    conf: *const c_void,
    pool: *mut c_void,
) -> c_int {
    let ours = device().filter(|device| device.side_of(port).is_some());
    let marks = ours.map_or(0, |device| device.marks());
    // SAFETY: the caller's arguments, as they came.
    let code = unsafe { sys::shim_real_rx_queue_setup(port, queue, descriptors, socket, conf, pool, marks) };
    if code == 0
        && let Some(device) = ours
    {
        device.queue_set_up(port, queue, pool);
    }
    code
}

/// Starts the port, and takes its bursts over.
///
/// # Safety
/// As for DPDK's function of this name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rte_eth_dev_start(port: u16) -> c_int {
    // SAFETY: the caller's argument, as it came.
    let code = unsafe { sys::shim_real_start(port) };
    match device().filter(|device| device.side_of(port).is_some()) {
        Some(device) if code == 0 => match device.start(port) {
            Ok(()) => 0,
            Err(error) => {
                complain(&error);
                INVALID
            }
        },
        _ => code,
    }
}

/// To the program's standard error: there is nobody else to tell.
fn complain(error: &dyn core::error::Error) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "sekisho-traffic-device: {error}");
}
