//! The flow log: JSON lines in a file, written by a thread of its own behind a bounded queue.
//!
//! When the disk is slow, lines are lost and counted; nobody ever waits for it. The file is opened again on request
//! (SIGUSR1) and when it was moved or removed, so that logrotate needs nothing else.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

use crate::run::record::Record;

/// Records that wait for the disk.
pub(crate) const QUEUE_RECORDS: usize = 65_536;
/// Bytes that are gathered before they are written.
const BUFFER_BYTES: usize = 256 << 10;
/// How often it looks whether the file was moved away, and whether a request to open it again came.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Errors of the disk are told no more often than this.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// Where the lines go: a file; in tests, a disk that is slow or full.
pub(crate) trait Sink: Send + 'static {
    /// Writes whole lines.
    fn write(&mut self, lines: &[u8]) -> io::Result<()>;
    /// Whether lines now go elsewhere than they should.
    fn was_moved(&self) -> bool;
    /// Opens it again.
    fn reopen(&mut self) -> io::Result<()>;
}

/// A file that grows.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    file: File,
}

impl LogFile {
    /// Opens the file at `path`, or makes it, and its directory if need be.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            std::fs::create_dir_all(directory)?;
        }
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        Ok(Self { path: path.to_owned(), file })
    }
}

impl Sink for LogFile {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.file.write_all(lines)
    }

    fn was_moved(&self) -> bool {
        match (self.file.metadata(), std::fs::metadata(&self.path)) {
            (Ok(own), Ok(there)) => (own.dev(), own.ino()) != (there.dev(), there.ino()),
            _ => true,
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        *self = Self::open(&self.path)?;
        Ok(())
    }
}

/// What the log has done. Writer thread and [`FlowLog::push`]: write; anyone: read.
#[derive(Debug, Default)]
pub(crate) struct LogCounters {
    /// Lines written.
    pub(crate) written: AtomicU64,
    /// Lines lost: the queue was full, or the disk refused.
    pub(crate) lost: AtomicU64,
}

/// The log, as control holds it.
#[derive(Debug)]
pub(crate) struct FlowLog {
    queue: Option<Sender<Record>>,
    reopen: Arc<AtomicBool>,
    counters: Arc<LogCounters>,
    thread: Option<JoinHandle<()>>,
}

impl FlowLog {
    /// Starts the writer.
    pub(crate) fn start(sink: impl Sink, queue_records: usize) -> io::Result<Self> {
        let (queue, records) = bounded(queue_records);
        let counters = Arc::new(LogCounters::default());
        let reopen = Arc::new(AtomicBool::new(false));
        let writer = Writer {
            sink,
            records,
            reopen: Arc::clone(&reopen),
            counters: Arc::clone(&counters),
            buffer: Vec::with_capacity(BUFFER_BYTES + 4096),
            lines: 0,
            complained: None,
        };
        let thread = std::thread::Builder::new().name("flow-log".into()).spawn(move || writer.run())?;
        Ok(Self { queue: Some(queue), reopen, counters, thread: Some(thread) })
    }

    /// Writes a record some time; never waits.
    pub(crate) fn push(&self, record: Record) {
        let Some(queue) = &self.queue else { return };
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = queue.try_send(record) {
            self.counters.lost.fetch_add(1, Relaxed);
        }
    }

    /// Asks for the file to be opened again.
    pub(crate) fn reopen(&self) {
        self.reopen.store(true, Relaxed);
    }

    /// Lines written and lines lost.
    pub(crate) fn lines(&self) -> (u64, u64) {
        (self.counters.written.load(Relaxed), self.counters.lost.load(Relaxed))
    }

    /// Writes what is left, but waits no longer than `patience`; whether all is written.
    pub(crate) fn finish(&mut self, patience: Duration) -> bool {
        self.queue = None;
        let until = Instant::now() + patience;
        let Some(thread) = self.thread.take() else { return true };
        while !thread.is_finished() {
            if Instant::now() >= until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        thread.join().is_ok()
    }
}

/// The thread that writes.
struct Writer<S> {
    sink: S,
    records: Receiver<Record>,
    reopen: Arc<AtomicBool>,
    counters: Arc<LogCounters>,
    buffer: Vec<u8>,
    /// Lines in the buffer.
    lines: u64,
    complained: Option<Instant>,
}

impl<S: Sink> Writer<S> {
    fn run(mut self) {
        let mut looked = Instant::now();
        loop {
            match self.records.recv_timeout(LOOK_EVERY) {
                Ok(record) => {
                    self.add(&record);
                    while self.buffer.len() < BUFFER_BYTES
                        && let Ok(record) = self.records.try_recv()
                    {
                        self.add(&record);
                    }
                    self.flush();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let asked = self.reopen.swap(false, Relaxed);
            if asked || looked.elapsed() >= LOOK_EVERY {
                looked = Instant::now();
                if (asked || self.sink.was_moved())
                    && let Err(error) = self.sink.reopen()
                {
                    self.complain("opened again", &error);
                }
            }
        }
    }

    fn add(&mut self, record: &Record) {
        match serde_json::to_writer(&mut self.buffer, record) {
            Ok(()) => {
                self.buffer.push(b'\n');
                self.lines += 1;
            }
            // Memory takes all that is written, and a record is always JSON.
            Err(_) => self.lose(1),
        }
    }

    fn flush(&mut self) {
        match self.sink.write(&self.buffer) {
            Ok(()) => drop(self.counters.written.fetch_add(self.lines, Relaxed)),
            Err(error) => {
                self.lose(self.lines);
                self.complain("written", &error);
            }
        }
        self.buffer.clear();
        self.lines = 0;
    }

    fn lose(&self, lines: u64) {
        self.counters.lost.fetch_add(lines, Relaxed);
    }

    fn complain(&mut self, what: &str, error: &io::Error) {
        if self.complained.is_none_or(|last| last.elapsed() >= COMPLAIN_EVERY) {
            self.complained = Some(Instant::now());
            tracing::error!("the flow log cannot be {what}: {error}; lines are lost and counted");
        }
    }
}

#[cfg(test)]
#[path = "flow_log/tests.rs"]
mod tests;
