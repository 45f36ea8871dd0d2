//! The two ports, from their configuration to their start.

use core::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use sekisho_traffic::{FRAME_MAX, Family, Shard, Side};
use thiserror::Error;

use crate::complain;
use crate::latency::Recorder;
use crate::options::{Options, OptionsError, VARIABLE};
use crate::pace::Pace;
use crate::queue::{End, Queue, State, receive, send};
use crate::stats;
use crate::sys::{self, MARK_CHECKSUMS, MARK_HASH, MARK_V6};

/// Longer than any name of a port.
const NAME_MAX: usize = 128;

/// Why a port cannot be started.
#[derive(Debug, Error)]
pub(crate) enum StartError {
    #[error("{0}")]
    Options(#[from] OptionsError),
    #[error("both ports need as many receive queues: {first} and {second}")]
    Queues { first: usize, second: usize },
    #[error("port {0} is started without having been configured, or without its receive queues")]
    NotConfigured(u16),
    #[error("the pool's buffers hold frames of {0} bytes; {FRAME_MAX} are needed")]
    Room(u16),
    #[error("mbufs have no place for a stamp (error {0})")]
    Stamp(c_int),
    #[error("a histogram cannot be made")]
    Histogram,
}

/// A port as it was configured.
#[derive(Clone, Debug, Default)]
struct Setup {
    tx: u16,
    /// A pool for each receive queue, as an address.
    pools: Vec<usize>,
    started: bool,
}

/// The two ports.
#[derive(Debug)]
pub(crate) struct Device {
    options: Options,
    setups: Mutex<[Setup; 2]>,
    queues: OnceLock<&'static [Queue]>,
    begun: AtomicBool,
}

/// What the environment asks for; `None` if it does not.
pub(crate) fn device() -> Option<&'static Device> {
    static DEVICE: OnceLock<Option<Device>> = OnceLock::new();
    let device = DEVICE.get_or_init(|| {
        let text = std::env::var(VARIABLE).ok()?;
        match Options::parse(&text) {
            Ok(options) => Some(Device {
                options,
                setups: Mutex::default(),
                queues: OnceLock::new(),
                begun: AtomicBool::new(false),
            }),
            Err(error) => {
                // To go on would measure something else than what was asked for.
                complain(&error);
                std::process::exit(2);
            }
        }
    });
    device.as_ref()
}

impl Device {
    /// The side that a port is, by its name.
    pub(crate) fn side_of(&self, port: u16) -> Option<Side> {
        let mut name: [c_char; NAME_MAX] = [0; NAME_MAX];
        // SAFETY: NAME_MAX bytes to write; what is written ends with a zero.
        let code = unsafe { sys::shim_port_name(port, name.as_mut_ptr(), 128) };
        if code != 0 {
            return None;
        }
        // SAFETY: zeroed above, so it ends within the array.
        let name = unsafe { CStr::from_ptr(name.as_ptr()) };
        let at = self.options.names.iter().position(|known| known.as_bytes() == name.to_bytes())?;
        Side::ALL.get(at).copied()
    }

    /// What received packets are marked with.
    pub(crate) fn marks(&self) -> c_uint {
        let mark = |wanted, mark| if wanted { mark } else { 0 };
        mark(self.options.checksums, MARK_CHECKSUMS) | mark(self.options.hash, MARK_HASH)
    }

    fn setups(&self) -> MutexGuard<'_, [Setup; 2]> {
        self.setups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn configured(&self, port: u16, rx: u16, tx: u16) {
        if let Some(side) = self.side_of(port) {
            self.setups()[side.index()] = Setup { tx, pools: vec![0; usize::from(rx)], started: false };
        }
    }

    pub(crate) fn queue_set_up(&self, port: u16, queue: u16, pool: *mut c_void) {
        if let Some(side) = self.side_of(port)
            && let Some(place) = self.setups()[side.index()].pools.get_mut(usize::from(queue))
        {
            *place = pool.expose_provenance();
        }
    }

    /// Takes over the bursts of a port that was started.
    pub(crate) fn start(&'static self, port: u16) -> Result<(), StartError> {
        let side = self.side_of(port).ok_or(StartError::NotConfigured(port))?;
        let mut setups = self.setups();
        let setup = &mut setups[side.index()];
        if setup.pools.is_empty() || setup.pools.contains(&0) {
            return Err(StartError::NotConfigured(port));
        }
        let queues = match self.queues.get() {
            Some(queues) => queues,
            None => {
                let queues = self.queues(setup.pools.len())?;
                self.queues.get_or_init(|| queues)
            }
        };
        if queues.len() != setup.pools.len() {
            return Err(StartError::Queues { first: queues.len(), second: setup.pools.len() });
        }
        let end = |number: usize, pool: *mut c_void| -> Result<*mut c_void, StartError> {
            let room = if pool.is_null() {
                0
            } else {
                // SAFETY: the pool of a queue that was set up.
                unsafe { sys::shim_room(pool) }
            };
            if !pool.is_null() && usize::from(room) < FRAME_MAX {
                return Err(StartError::Room(room));
            }
            let queue = &queues[number % queues.len()];
            let end = End { queue, side, port, pool, room: room.into(), begun: &self.begun, all: queues };
            Ok(core::ptr::from_mut(Box::leak(Box::new(end))).cast())
        };
        let pools = setup.pools.iter().map(|&pool| core::ptr::with_exposed_provenance_mut(pool));
        let receiving = pools.enumerate().map(|(at, pool)| end(at, pool)).collect::<Result<Vec<_>, _>>()?;
        let sending = (0..usize::from(setup.tx))
            .map(|at| end(at, core::ptr::null_mut()))
            .collect::<Result<Vec<_>, _>>()?;
        // What a running program may look at is never freed. A port is started a few times at the most.
        let (receiving, sending) = (receiving.leak(), sending.leak());
        // SAFETY: a started port; both arrays and all they lead to live for ever, and fit the functions.
        unsafe { sys::shim_port_take(port, receive, receiving.as_mut_ptr(), send, sending.as_mut_ptr()) };
        setup.started = true;
        if setups.iter().all(|setup| setup.started) && !self.begun.swap(true, Ordering::AcqRel) {
            // SAFETY: the environment is up: ports are being started.
            let ticks_hz = unsafe { sys::shim_tsc_hz() };
            stats::start(queues, &self.options, ticks_hz);
        }
        Ok(())
    }

    fn queues(&self, count: usize) -> Result<&'static [Queue], StartError> {
        let options = &self.options;
        // SAFETY: the environment is up: ports are being started.
        let ticks_hz = unsafe { sys::shim_tsc_hz() };
        let ticks = |span: core::time::Duration| {
            u64::try_from(span.as_nanos() * u128::from(ticks_hz) / 1_000_000_000).unwrap_or(u64::MAX)
        };
        let queues = u16::try_from(count).unwrap_or(u16::MAX);
        let config = options.config_for(queues, ticks_hz);
        let mut stamp_field = 0;
        if options.latency {
            // SAFETY: FFI, without arguments.
            stamp_field = unsafe { sys::shim_stamp_register() };
            if stamp_field < 0 {
                return Err(StartError::Stamp(-stamp_field));
            }
        }
        // Both sides of all queues share the rate.
        let pace = Pace::new(options.rate / f64::from(queues) / 2.0, ticks_hz);
        let made: Result<Vec<_>, StartError> = (0..queues)
            .map(|queue| {
                let shard = Shard::new(&config, queue).map_err(OptionsError::from)?;
                let recorder = match options.latency {
                    true => Some(Recorder::new(ticks(options.warm_up)).ok_or(StartError::Histogram)?),
                    false => None,
                };
                Ok(Queue::new(State::new(
                    shard,
                    [pace, pace],
                    recorder,
                    self.marks() | if config.family == Family::V6 { MARK_V6 } else { 0 },
                    stamp_field,
                )))
            })
            .collect();
        Ok(made?.leak())
    }
}
