//! Where DPDK's log goes: line by line to a sink, and the last lines kept, so that an error can tell what DPDK said.

use std::collections::VecDeque;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sekisho_dpdk_sys as sys;

use crate::errno::{Errno, check};

/// How grave a line of DPDK's log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Something failed.
    Error,
    /// It goes on, with less than was asked for.
    Warning,
    /// Worth a look.
    Notice,
    /// What happens anyway.
    Info,
    /// For the authors of drivers.
    Debug,
}

impl LogLevel {
    /// Of DPDK's own numbers: 1 to 4 are errors of all degrees, 8 is debug.
    fn of(level: i32) -> Self {
        match level {
            ..=4 => Self::Error,
            5 => Self::Warning,
            6 => Self::Notice,
            7 => Self::Info,
            _ => Self::Debug,
        }
    }

    /// As EAL's arguments have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }

    fn number(self) -> i32 {
        match self {
            Self::Error => 4,
            Self::Warning => 5,
            Self::Notice => 6,
            Self::Info => 7,
            Self::Debug => 8,
        }
    }
}

/// Gets every line of DPDK's log, from whatever thread writes it; must not call DPDK.
pub type LogSink = Arc<dyn Fn(LogLevel, &str) + Send + Sync>;

/// The sink that is used without another: warnings and errors, on standard error.
pub fn to_stderr() -> LogSink {
    Arc::new(|level, line| {
        if level <= LogLevel::Warning {
            // Nobody is left to tell when standard error itself is closed.
            let _ = writeln!(std::io::stderr().lock(), "dpdk: {line}");
        }
    })
}

/// Lines kept for the messages of errors.
const RECENT_MAX: usize = 64;

struct State {
    sink: Option<LogSink>,
    recent: VecDeque<(LogLevel, String)>,
    lines_total: u64,
}

static STATE: Mutex<State> = Mutex::new(State { sink: None, recent: VecDeque::new(), lines_total: 0 });

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Routes DPDK's log to `sink`, from `level` upwards.
pub(crate) fn open(sink: LogSink, level: LogLevel) -> Result<(), Errno> {
    state().sink = Some(sink);
    // SAFETY: FFI; `on_line` lives as long as the process and takes what the shim passes.
    check(unsafe { sys::shim_log_open(Some(on_line), level.number()) }).map(|_| ())
}

unsafe extern "C" fn on_line(level: i32, text: *const std::ffi::c_char, length: usize) {
    // SAFETY: the shim passes `length` bytes that stay unchanged until this function returns.
    let bytes = unsafe { std::slice::from_raw_parts(text.cast::<u8>(), length) };
    let text = String::from_utf8_lossy(bytes);
    // A panic in the sink must not unwind into C.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
            take(LogLevel::of(level), line);
        }
    }));
}

fn take(level: LogLevel, line: &str) {
    let mut state = state();
    if state.recent.len() == RECENT_MAX {
        state.recent.pop_front();
    }
    state.recent.push_back((level, line.to_owned()));
    state.lines_total += 1;
    let sink = state.sink.clone();
    // Not under the lock: a sink may take its time.
    drop(state);
    if let Some(sink) = sink {
        sink(level, line);
    }
}

/// What DPDK says from here on.
pub(crate) struct Listener {
    lines_before: u64,
}

impl Listener {
    pub(crate) fn start() -> Self {
        Self { lines_before: state().lines_total }
    }

    /// The warnings and errors since the start; failing those, whatever was said.
    pub(crate) fn said(&self) -> Said {
        let state = state();
        let new = usize::try_from(state.lines_total - self.lines_before).unwrap_or(usize::MAX);
        let new: Vec<_> = state.recent.iter().skip(state.recent.len().saturating_sub(new)).collect();
        let grave = |line: &&&(LogLevel, String)| line.0 <= LogLevel::Warning;
        let mut lines: Vec<String> = new.iter().filter(grave).map(|line| line.1.clone()).collect();
        if lines.is_empty() {
            lines = new.iter().map(|line| line.1.clone()).collect();
        }
        Said(lines)
    }
}

/// What DPDK logged about a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said(Vec<String>);

impl Said {
    /// Line by line, oldest first.
    pub fn lines(&self) -> &[String] {
        &self.0
    }
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return f.write_str("DPDK said nothing about it");
        }
        write!(f, "DPDK said: {}", self.0.join("; "))
    }
}
