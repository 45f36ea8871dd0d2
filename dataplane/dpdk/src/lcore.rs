//! Threads of ours on cores of their own, known to EAL.

use std::marker::PhantomData;
use std::path::Path;

use sekisho_dpdk_sys as sys;

use crate::eal::Eal;
use crate::errno::{Errno, check};

/// Why a thread could not take its core.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LcoreError {
    /// The core does not exist or is closed to this process.
    #[error(
        "core {core} cannot be used: the cores open to this process are {open:?}; name one of them, or widen what \
         the service manager, the container or taskset allows"
    )]
    Pin {
        /// The core.
        core: usize,
        /// Those that may be used.
        open: Vec<usize>,
        /// What the kernel said.
        #[source]
        source: Errno,
    },
    /// EAL has no place left for a thread: it knows 128.
    #[error("EAL cannot register another thread")]
    Register(#[source] Errno),
}

/// The calling thread, pinned to its core and registered with EAL: packet pools keep a cache for it.
///
/// Stays on its thread; dropping it takes the thread off EAL's list.
#[derive(Debug)]
pub struct Lcore {
    registered: bool,
    // Unregistering is for the thread that registered.
    _not_send: PhantomData<*const ()>,
    _eal: Eal,
}

impl Lcore {
    /// Pins the calling thread to `core` if one is named, and registers the thread.
    pub fn enter(eal: &Eal, core: Option<usize>) -> Result<Self, LcoreError> {
        if let Some(core) = core {
            let pin = affinity_set(&[core]);
            pin.map_err(|source| LcoreError::Pin { core, open: cores_open(), source })?;
        }
        // SAFETY: FFI; reads a thread-local integer.
        let known = unsafe { sys::shim_lcore() } >= 0;
        if !known {
            // SAFETY: FFI; EAL is started, as `eal` proves, and this thread is not registered.
            let code = unsafe { sys::rte_thread_register() };
            check(code).map_err(|_| LcoreError::Register(Errno::last_dpdk()))?;
        }
        Ok(Self { registered: !known, _not_send: PhantomData, _eal: eal.clone() })
    }

    /// The number by which EAL knows the thread.
    pub fn id(&self) -> u32 {
        // SAFETY: FFI; reads a thread-local integer.
        let id = unsafe { sys::shim_lcore() };
        u32::try_from(id).unwrap_or(u32::MAX)
    }
}

impl Drop for Lcore {
    fn drop(&mut self) {
        if self.registered {
            // SAFETY: FFI; this thread registered itself in `enter`, and the type cannot change threads.
            unsafe { sys::rte_thread_unregister() };
        }
    }
}

/// The cores that the calling thread may run on, lowest first.
pub fn cores_open() -> Vec<usize> {
    // SAFETY: an all-zero set is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: FFI; `set` is a valid place of the size passed.
    let code = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) };
    if code != 0 {
        return Vec::new();
    }
    let size = usize::try_from(libc::CPU_SETSIZE).unwrap_or(0);
    // SAFETY: every index is below CPU_SETSIZE.
    (0..size).filter(|&core| unsafe { libc::CPU_ISSET(core, &set) }).collect()
}

/// Lets the calling thread run on these cores only.
pub(crate) fn affinity_set(cores: &[usize]) -> Result<(), Errno> {
    // SAFETY: an all-zero set is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    let size = usize::try_from(libc::CPU_SETSIZE).unwrap_or(0);
    for &core in cores.iter().filter(|&&core| core < size) {
        // SAFETY: the index is below CPU_SETSIZE.
        unsafe { libc::CPU_SET(core, &mut set) };
    }
    // SAFETY: FFI; `set` is valid and of the size passed; 0 is the calling thread.
    let code = unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
    if code == 0 { Ok(()) } else { Err(Errno::last_os()) }
}

/// The memory node that a core belongs to, where the machine has more than one.
pub fn socket_of(core: usize) -> Option<u32> {
    let folder = format!("/sys/devices/system/cpu/cpu{core}");
    let nodes = std::fs::read_dir(Path::new(&folder)).ok()?;
    nodes.filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_prefix("node")?.parse().ok()).next()
}
