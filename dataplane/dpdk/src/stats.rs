//! The device's own figures.

use std::ffi::CStr;

use sekisho_dpdk_sys as sys;

use crate::errno::{Errno, check};

/// Counters that every device has, since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Packets received.
    pub rx_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets dropped by the device because nobody fetched them in time.
    pub rx_missed: u64,
    /// Packets that arrived broken.
    pub rx_errors: u64,
    /// Packets that could not be sent.
    pub tx_errors: u64,
    /// Packets dropped because the pool was empty.
    pub rx_no_buffer: u64,
}

/// One of the device's own counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Xstat {
    /// Its name, of the driver's choice.
    pub name: String,
    /// Its value.
    pub value: u64,
}

pub(crate) fn basic(port: u16) -> Result<Stats, Errno> {
    let mut stats = sys::shim_stats::default();
    // SAFETY: FFI; a valid place; an unknown port is an error, not undefined.
    check(unsafe { sys::shim_stats_get(port, &raw mut stats) })?;
    Ok(Stats {
        rx_packets: stats.rx_packets,
        tx_packets: stats.tx_packets,
        rx_bytes: stats.rx_bytes,
        tx_bytes: stats.tx_bytes,
        rx_missed: stats.rx_missed,
        rx_errors: stats.rx_errors,
        tx_errors: stats.tx_errors,
        rx_no_buffer: stats.rx_no_mbuf,
    })
}

pub(crate) fn extended(port: u16) -> Result<Vec<Xstat>, Errno> {
    // SAFETY: FFI; with size 0 nothing is written.
    let count = check(unsafe { sys::shim_xstats_get(port, std::ptr::null_mut(), 0) })?;
    let empty = sys::shim_xstat { name: [0; sys::SHIM_XSTAT_NAME_MAX as usize], value: 0 };
    let mut stats = vec![empty; count as usize];
    // SAFETY: FFI; `count` places to write.
    let got = check(unsafe { sys::shim_xstats_get(port, stats.as_mut_ptr(), count) })?;
    // A device that has more by now than a moment ago says so and writes nothing.
    stats.truncate(if got > count { 0 } else { got as usize });
    let named = stats.iter().map(|stat| {
        // SAFETY: the shim ends each name with a zero within its array.
        let name = unsafe { CStr::from_ptr(stat.name.as_ptr()) };
        Xstat { name: name.to_string_lossy().into_owned(), value: stat.value }
    });
    Ok(named.collect())
}
