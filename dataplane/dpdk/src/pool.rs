//! Pools of packet buffers.

use std::ffi::CString;
use std::sync::atomic::{AtomicU32, Ordering};

use sekisho_dpdk_sys as sys;

use crate::eal::Eal;
use crate::errno::Errno;
use crate::mbuf::Mbuf;

/// Bytes that stay free before a packet's data, so that headers can be put in front.
pub const HEADROOM: u16 = {
    assert!(sys::SHIM_HEADROOM < 1 << 16);
    #[expect(clippy::cast_possible_truncation, reason = "checked above")]
    let headroom = sys::SHIM_HEADROOM as u16;
    headroom
};

/// What a buffer takes beside headroom and data: DPDK's mbuf (two cache lines) and the pool's own header.
const OVERHEAD_BYTES: u64 = 192;

/// How a pool is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// Buffers in the pool. One less than a power of two uses memory best. Default: 8191.
    pub size: u32,
    /// Buffers that each registered thread keeps for itself, at most 512. Default: 256.
    pub cache: u32,
    /// Bytes of packet per buffer; longer packets take several. Default: 2048.
    pub data_room: u16,
    /// The memory node, that of the device best. Default: any.
    pub socket: Option<u32>,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self { size: 8191, cache: 256, data_room: 2048, socket: None }
    }
}

impl PoolConfig {
    /// The memory that such a pool takes, MiB, rounded up.
    pub fn memory_mib(&self) -> u32 {
        let each = u64::from(self.data_room) + u64::from(HEADROOM) + OVERHEAD_BYTES;
        // The ring of free buffers and the per-thread caches are small beside the buffers.
        let bytes = u64::from(self.size) * (each.next_multiple_of(64) + 16) + (1 << 20);
        u32::try_from(bytes.div_ceil(1 << 20)).unwrap_or(u32::MAX)
    }
}

/// Why there is no pool.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// A size that no pool can have.
    #[error("a pool of {size} buffers with a cache of {cache} per thread cannot be: {why}")]
    Size {
        /// Buffers.
        size: u32,
        /// Cache per thread.
        cache: u32,
        /// What is wrong.
        why: &'static str,
    },
    /// The environment has not that much memory.
    #[error(
        "no memory for {size} packet buffers of {data_room} bytes, about {needed_mib} MiB: start the environment with \
         more memory, or make the pool smaller"
    )]
    Memory {
        /// Buffers.
        size: u32,
        /// Bytes per buffer.
        data_room: u16,
        /// What it would take.
        needed_mib: u32,
        /// What DPDK said.
        #[source]
        source: Errno,
    },
    /// Anything else.
    #[error("the packet pool cannot be made")]
    Other(#[source] Errno),
}

/// A pool of packet buffers. Cheap to clone; any thread may take from it and give back.
#[derive(Clone, Debug)]
pub struct PacketPool {
    pool: *mut sys::rte_mempool,
    config: PoolConfig,
    _eal: Eal,
}

// SAFETY: DPDK's pools are made for many threads; the environment, held here, keeps the pool until all clones are gone.
unsafe impl Send for PacketPool {}
// SAFETY: as for Send: every operation on a pool is safe from any thread.
unsafe impl Sync for PacketPool {}

impl PacketPool {
    /// Makes a pool. It lives as long as the environment, because packets know their pool only by address.
    pub fn new(eal: &Eal, config: &PoolConfig) -> Result<Self, PoolError> {
        let PoolConfig { size, cache, data_room, socket } = *config;
        let refuse = |why| Err(PoolError::Size { size, cache, why });
        if size == 0 {
            return refuse("it needs at least one buffer");
        }
        if cache > 512 {
            return refuse("a cache holds 512 at most");
        }
        if u64::from(cache) * 3 > u64::from(size) * 2 {
            return refuse("the cache of one thread could swallow the pool: at most two thirds of it");
        }
        let Some(room) = data_room.checked_add(HEADROOM) else {
            return refuse("a buffer holds less than 64 KiB, headroom included");
        };
        let name = next_name();
        let socket = socket.map_or(-1, |node| i32::try_from(node).unwrap_or(-1));
        // SAFETY: FFI; EAL is started, the name ends with a zero and is copied, the numbers are checked above.
        let pool = unsafe { sys::rte_pktmbuf_pool_create(name.as_ptr(), size, cache, 0, room, socket) };
        if pool.is_null() {
            let source = Errno::last_dpdk();
            // The second: memory for some of the buffers, not for all.
            if matches!(source.code(), libc::ENOMEM | libc::ENOBUFS) {
                let needed_mib = config.memory_mib();
                return Err(PoolError::Memory { size, data_room, needed_mib, source });
            }
            return Err(PoolError::Other(source));
        }
        eal.adopt_pool(pool);
        Ok(Self { pool, config: config.clone(), _eal: eal.clone() })
    }

    /// How it was made.
    pub fn config(&self) -> &PoolConfig {
        &self.config
    }

    /// Buffers that are free now, those in the threads' caches included. A snapshot; walks all caches.
    pub fn available(&self) -> u32 {
        // SAFETY: FFI; the pool lives as long as the environment held here.
        unsafe { sys::rte_mempool_avail_count(self.pool) }
    }

    /// Buffers that hold packets now, those waiting in devices included.
    pub fn in_use(&self) -> u32 {
        self.config.size.saturating_sub(self.available())
    }

    /// A packet with a copy of `frame`, in as many buffers as it takes; `None` when the pool is empty.
    pub fn packet(&self, frame: &[u8]) -> Option<Mbuf> {
        let mbuf = self.packet_raw(frame);
        // SAFETY: a packet just made, which nobody else has.
        (!mbuf.is_null()).then(|| unsafe { Mbuf::from_raw(mbuf) })
    }

    /// As [`Self::packet`], null when the pool is empty.
    pub(crate) fn packet_raw(&self, frame: &[u8]) -> *mut sys::rte_mbuf {
        let Ok(length) = u32::try_from(frame.len()) else {
            return std::ptr::null_mut();
        };
        // SAFETY: FFI; the pool is live and `frame` holds `length` bytes.
        unsafe { sys::shim_mbuf_of_bytes(self.pool, frame.as_ptr().cast(), length) }
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::rte_mempool {
        self.pool
    }
}

/// Unique in the process, and short enough for DPDK.
fn next_name() -> CString {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    CString::new(format!("packets_{number}")).unwrap_or_default()
}
