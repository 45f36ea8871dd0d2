//! DPDK's environment: started once per process, leaves nothing behind.

use std::ffi::{CString, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use sekisho_dpdk_sys as sys;

use crate::device::{DeviceError, DeviceSpec};
use crate::errno::Errno;
use crate::host::{RuntimeFolder, SignalHandlers};
use crate::lcore::{affinity_set, cores_open};
use crate::log::{self, Listener, LogLevel, LogSink, Said};
use crate::mbuf;
use crate::memory::{Hugepages, PageSizes};
use crate::note::Note;

/// How to start the environment.
#[derive(Clone)]
pub struct EalConfig {
    /// Names what belongs to this program; the number of the process is added, so that two of them do not meet.
    /// Default: `dpdk`.
    pub file_prefix: String,
    /// Where the memory comes from. Default: `Auto`.
    pub hugepages: Hugepages,
    /// Memory for pools, queues and drivers, MiB: taken at the start in hugepages, reserved in normal pages.
    /// Default: 256.
    pub memory_mib: u32,
    /// The cores of EAL's own threads and of the caller's lcore. Default, and when empty: those that the calling
    /// thread may run on. Threads of ours enter by [`crate::Lcore::enter`] and are not listed here.
    pub main_cores: Vec<usize>,
    /// The devices that will be opened. No other PCI device is touched.
    pub devices: Vec<DeviceSpec>,
    /// Further arguments for EAL, as they stand.
    pub extra_args: Vec<String>,
    /// Where EAL's log goes. Default: warnings and errors to standard error.
    pub log: LogSink,
    /// How much EAL logs at all. Default: `Info`.
    pub log_level: LogLevel,
}

impl Default for EalConfig {
    fn default() -> Self {
        Self {
            file_prefix: "dpdk".to_owned(),
            hugepages: Hugepages::Auto,
            memory_mib: 256,
            main_cores: Vec::new(),
            devices: Vec::new(),
            extra_args: Vec::new(),
            log: log::to_stderr(),
            log_level: LogLevel::Info,
        }
    }
}

/// Why the environment did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EalError {
    /// EAL cannot start twice in one process.
    #[error("DPDK's environment was started in this process before: it starts once per process")]
    StartedBefore,
    /// Hugepages are required and too few are free.
    #[error(
        "{needed_mib} MiB in hugepages are needed and {free_mib} MiB are free ({pages}). Reserve them: \
         echo {pages_2mb} > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages (or hugepages=, hugepagesz= on \
         the kernel's command line for pages of 1 GB), or start without hugepages"
    )]
    TooFewHugepages {
        /// Asked for, MiB.
        needed_mib: u32,
        /// Free in pages of all sizes, MiB.
        free_mib: u64,
        /// Pages of 2 MB that would do, those in use by others included.
        pages_2mb: u64,
        /// All sizes with what is free.
        pages: PageSizes,
    },
    /// Hugepages are required, and the kernel refuses one although it has them.
    #[error(
        "the kernel refuses hugepages although {free_mib} MiB are free: run as root, and raise the hugetlb limit of \
         the cgroup or container if it has one"
    )]
    HugepagesRefused {
        /// Free in pages of all sizes, MiB.
        free_mib: u64,
        /// What the kernel said.
        #[source]
        source: Errno,
    },
    /// A core that this process may not use.
    #[error("core {core} cannot be used: the cores open to this process are {open:?}")]
    NoSuchCore {
        /// The core.
        core: usize,
        /// Those that may be used.
        open: Vec<usize>,
    },
    /// A device that is not there or not ready.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// An argument that C cannot take.
    #[error("the argument {0:?} for EAL holds a zero byte")]
    Argument(String),
    /// The log could not be taken over.
    #[error("DPDK's log cannot be redirected")]
    Log(#[source] Errno),
    /// EAL itself refused.
    #[error("DPDK's environment does not start with the arguments {arguments:?}. {said}")]
    Start {
        /// The arguments.
        arguments: Vec<String>,
        /// The last lines of its log.
        said: Said,
        /// Its error number.
        #[source]
        source: Errno,
    },
}

/// The running environment. Cheap to clone; everything made from it keeps it running.
///
/// When the last of them is dropped, the memory goes back to the kernel. A process that is killed leaves nothing
/// either: the memory has no file, and the folder that EAL makes is gone as soon as EAL is up.
#[derive(Clone, Debug)]
pub struct Eal {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    hugepages: bool,
    notes: Vec<Note>,
    /// Pools live as long as the environment: a packet knows its pool only by address.
    pools: Mutex<Vec<PoolAddress>>,
}

#[derive(Debug)]
struct PoolAddress(*mut sys::rte_mempool);

// SAFETY: the address is only stored here, and used once, by the thread that drops the environment.
unsafe impl Send for PoolAddress {}

static STARTED: AtomicBool = AtomicBool::new(false);

impl Eal {
    /// Starts the environment. What can be checked beforehand is; after EAL itself failed there is no second try.
    ///
    /// Signal handlers and the affinity of the calling thread are afterwards as they were.
    pub fn start(config: &EalConfig) -> Result<Self, EalError> {
        if STARTED.load(Ordering::Acquire) {
            return Err(EalError::StartedBefore);
        }
        let mut notes = Vec::new();
        let cores = main_cores(config)?;
        for device in &config.devices {
            device.check_host()?;
        }
        let hugepages = hugepages_decide(config, &mut notes)?;
        let arguments = arguments(config, &cores, hugepages);
        let argv = arguments.iter().map(|text| c_string(text)).collect::<Result<Vec<_>, _>>()?;

        if STARTED.swap(true, Ordering::AcqRel) {
            return Err(EalError::StartedBefore);
        }
        log::open(config.log.clone(), config.log_level).map_err(EalError::Log)?;
        let listener = Listener::start();
        init(argv, &cores, &config.file_prefix).map_err(|source| EalError::Start {
            arguments,
            said: listener.said(),
            source,
        })?;
        Ok(Self { inner: Arc::new(Inner { hugepages, notes, pools: Mutex::default() }) })
    }

    /// What was taken instead of what was asked for.
    pub fn notes(&self) -> &[Note] {
        &self.inner.notes
    }

    /// Whether the memory is in hugepages.
    pub fn uses_hugepages(&self) -> bool {
        self.inner.hugepages
    }

    /// The release of the library, for example `DPDK 22.11.11`.
    pub fn version() -> String {
        // SAFETY: FFI; returns a static string.
        let text = unsafe { sys::rte_version() };
        // SAFETY: as above; it ends with a zero and never changes.
        unsafe { std::ffi::CStr::from_ptr(text) }.to_string_lossy().into_owned()
    }

    /// Has the thread on which the environment serves interrupts do `work`, and waits until it is done: what Linux keeps by
    /// thread, such as capabilities, only the thread itself can change.
    pub fn on_interrupt_thread(&self, work: impl FnOnce() + Send + 'static) -> Result<(), ErrandError> {
        let (done, waiting) = mpsc::channel();
        let errand: Errand = Box::new(move || {
            work();
            // Whoever waited too long is gone.
            let _ = done.send(());
        });
        let argument = Box::into_raw(Box::new(errand)).cast();
        // SAFETY: FFI; the environment runs as long as `self`, and `run_errand` takes back what it is given.
        let code = unsafe { sys::shim_on_interrupt_thread(Some(run_errand), argument) };
        if code < 0 {
            // SAFETY: made by Box::into_raw above, and nobody was told of it.
            drop(unsafe { Box::from_raw(argument.cast::<Errand>()) });
            return Err(ErrandError::NotTaken(Errno::of(-code)));
        }
        waiting.recv_timeout(ERRAND_WAIT_MAX).map_err(|_| ErrandError::NotDone)
    }

    /// Hands a pool over: it is freed with the environment.
    pub(crate) fn adopt_pool(&self, pool: *mut sys::rte_mempool) {
        self.inner.pools.lock().unwrap_or_else(PoisonError::into_inner).push(PoolAddress(pool));
    }
}

/// How long the interrupt thread may take for an errand. It needs microseconds.
const ERRAND_WAIT_MAX: Duration = Duration::from_secs(1);

type Errand = Box<dyn FnOnce() + Send>;

unsafe extern "C" fn run_errand(argument: *mut c_void) {
    // SAFETY: made by Box::into_raw in `on_interrupt_thread`; an alarm goes off once.
    let errand = unsafe { Box::from_raw(argument.cast::<Errand>()) };
    // A panic must not unwind into C; whoever waits learns that nothing was done.
    let _ = catch_unwind(AssertUnwindSafe(errand));
}

/// Why the thread that serves interrupts did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum ErrandError {
    /// The environment has no alarm for it.
    #[error("DPDK's interrupt thread takes no errand")]
    NotTaken(#[source] Errno),
    /// It panicked, or took too long.
    #[error("DPDK's interrupt thread did not do its errand within {} s", ERRAND_WAIT_MAX.as_secs())]
    NotDone,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Queues, ports, bursts and pools hold the environment, so they are gone. A packet that is out by itself (in
        // a ring nobody emptied) does not: then the memory must stay, until the process ends.
        if mbuf::any_loose() {
            return;
        }
        for pool in self.pools.get_mut().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // SAFETY: FFI; made by rte_pktmbuf_pool_create, freed once, and no packet of it is left.
            unsafe { sys::rte_mempool_free(pool.0) };
        }
        // SAFETY: FFI; started once and cleaned up once, with no user left, as argued above.
        unsafe { sys::rte_eal_cleanup() };
    }
}

fn main_cores(config: &EalConfig) -> Result<Vec<usize>, EalError> {
    let open = cores_open();
    if config.main_cores.is_empty() {
        return Ok(open);
    }
    let closed = |core: &&usize| affinity_allows(**core).is_err();
    match config.main_cores.iter().find(closed) {
        Some(&core) => Err(EalError::NoSuchCore { core, open }),
        None => Ok(config.main_cores.clone()),
    }
}

/// A core may be open to the process though not to this thread: only trying tells.
fn affinity_allows(core: usize) -> Result<(), Errno> {
    let before = cores_open();
    let tried = affinity_set(&[core]);
    affinity_set(&before)?;
    tried
}

fn hugepages_decide(config: &EalConfig, notes: &mut Vec<Note>) -> Result<bool, EalError> {
    if config.hugepages == Hugepages::Off {
        return Ok(false);
    }
    let pages = PageSizes::now();
    let (needed_mib, free_mib) = (config.memory_mib, pages.free_mib());
    let enough = free_mib >= u64::from(needed_mib);
    let given = if enough { pages.try_one() } else { Ok(()) };
    match (enough, given, config.hugepages) {
        (true, Ok(()), _) => Ok(true),
        (false, _, Hugepages::Auto) => {
            notes.push(Note::WithoutHugepages { needed_mib, free_mib });
            Ok(false)
        }
        (true, Err(errno), Hugepages::Auto) => {
            notes.push(Note::HugepagesRefused(errno));
            Ok(false)
        }
        (true, Err(source), _) => Err(EalError::HugepagesRefused { free_mib, source }),
        (false, ..) => {
            let pages_2mb = pages.to_reserve(needed_mib);
            Err(EalError::TooFewHugepages { needed_mib, free_mib, pages_2mb, pages })
        }
    }
}

/// A packet buffer does not cross a page, so that in pages of 4 KiB up to half is waste. What is not used is only
/// reserved: the kernel gives normal pages when they are touched.
const NORMAL_PAGES_FACTOR: u32 = 2;

fn arguments(config: &EalConfig, cores: &[usize], hugepages: bool) -> Vec<String> {
    let cores: Vec<String> = cores.iter().map(usize::to_string).collect();
    let mut arguments: Vec<String> = vec![
        config.file_prefix.clone(),
        "--file-prefix".into(),
        prefix_of_process(&config.file_prefix, std::process::id()),
        "--no-telemetry".into(),
        "--log-level".into(),
        format!("*:{}", config.log_level.name()),
        // One lcore that floats over the main cores: the calling thread. Its number is not that of a core.
        "--lcores".into(),
        format!("0@({})", cores.join(",")),
        "-m".into(),
        if hugepages { config.memory_mib } else { config.memory_mib.saturating_mul(NORMAL_PAGES_FACTOR) }
            .to_string(),
    ];
    // Both leave no file. EAL does not take --in-memory together with --no-huge in every release.
    let memory: &[&str] = if hugepages { &["--in-memory"] } else { &["--no-huge", "--no-shconf"] };
    arguments.extend(memory.iter().map(|&text| text.to_owned()));
    let mut pci = config.devices.iter().filter(|device| device.is_pci()).peekable();
    if pci.peek().is_none() {
        arguments.push("--no-pci".into());
    }
    for device in pci {
        arguments.extend(["-a".into(), device.to_string()]);
    }
    arguments.extend(config.extra_args.iter().cloned());
    arguments
}

fn prefix_of_process(prefix: &str, process: u32) -> String {
    format!("{prefix}-{process}")
}

fn c_string(text: &str) -> Result<CString, EalError> {
    CString::new(text).map_err(|_| EalError::Argument(text.to_owned()))
}

/// Calls `rte_eal_init`, and puts back what it changes beside its own state.
fn init(argv: Vec<CString>, cores: &[usize], prefix: &str) -> Result<(), Errno> {
    let runtime = RuntimeFolder::before_start(prefix);
    let handlers = SignalHandlers::save();
    let cores_before = cores_open();
    // EAL gives its helper threads the cores that the caller may use.
    affinity_set(cores)?;

    let count = i32::try_from(argv.len()).map_err(|_| Errno::of(libc::E2BIG))?;
    // EAL keeps pointers into its arguments: they stay for the life of the process.
    let argv: Vec<*mut c_char> =
        argv.into_iter().map(CString::into_raw).chain([std::ptr::null_mut()]).collect();
    let argv = Vec::leak(argv);
    // SAFETY: FFI; `argv` holds `count` strings and a null, none of which is ever freed, and this is the first call
    // in this process, which STARTED ensures.
    let code = unsafe { sys::shim_eal_init(count, argv.as_mut_ptr()) };
    let errno = Errno::last_dpdk();

    affinity_set(&cores_before)?;
    handlers.restore();
    runtime.remove(runtime_folder_of_eal().as_deref().map(Path::new));
    if code < 0 { Err(errno) } else { Ok(()) }
}

fn runtime_folder_of_eal() -> Option<String> {
    // SAFETY: FFI; returns a static buffer, empty before EAL has decided.
    let text = unsafe { sys::rte_eal_get_runtime_dir() };
    if text.is_null() {
        return None;
    }
    // SAFETY: the buffer ends with a zero and is only written by rte_eal_init, which has returned.
    let text = unsafe { std::ffi::CStr::from_ptr(text) }.to_string_lossy();
    (!text.is_empty()).then(|| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(config: &EalConfig, hugepages: bool) -> String {
        arguments(config, &[0, 2], hugepages).join(" ")
    }

    #[test]
    fn without_pci_devices_the_bus_is_left_alone() {
        let text = lines(&EalConfig::default(), true);
        assert!(text.contains("--no-pci") && text.contains("--in-memory"), "{text}");
        assert!(text.contains("--lcores 0@(0,2)") && !text.contains("--no-huge"), "{text}");
    }

    #[test]
    fn only_the_named_pci_devices_are_allowed() {
        let devices = vec!["0000:03:00.1".parse().unwrap(), "net_null0".parse().unwrap()];
        let text = lines(&EalConfig { devices, ..EalConfig::default() }, false);
        assert!(text.contains("-a 0000:03:00.1") && !text.contains("--no-pci"), "{text}");
        assert!(!text.contains("net_null0") && text.contains("--no-huge"), "{text}");
    }

    #[test]
    fn two_processes_have_two_prefixes() {
        assert_ne!(prefix_of_process("x", 7), prefix_of_process("x", 8));
    }
}
