use std::sync::Mutex;
use std::sync::mpsc;

use jiff::Timestamp;
use sekisho_engine::PacketRecord;
use sekisho_engine::packet::VlanStack;
use sekisho_engine::policy::RuleKey;
use sekisho_engine::port::Port;
use sekisho_engine::reason::Reason;
use sekisho_engine::time::Instant as EngineInstant;

use super::*;
use crate::run::record::What;

fn record() -> Record {
    let packet = PacketRecord {
        time: EngineInstant::ZERO,
        port: Port::Lan,
        vlan: VlanStack::UNTAGGED,
        ethertype: 0x0842,
        five_tuple: None,
        tcp_flags: 0,
        wire_len: 60,
        reason: Reason::NonIpDenied,
        rule: RuleKey::NONE,
        session: None,
        ended: None,
    };
    let time = Timestamp::UNIX_EPOCH;
    Record { time, what: What::Drop(packet), rule: None, zones: [None, None], ended_rule: None }
}

/// A disk that writes when it is told to.
struct SlowDisk {
    writing: mpsc::Sender<()>,
    go_on: mpsc::Receiver<()>,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Sink for SlowDisk {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let _ = self.writing.send(());
        let _ = self.go_on.recv();
        self.written.lock().unwrap().extend_from_slice(lines);
        Ok(())
    }

    fn was_moved(&self) -> bool {
        false
    }

    fn reopen(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_slow_disk_loses_lines_counts_them_and_holds_nobody_up() {
    let ((writing, is_writing), (go, go_on)) = (mpsc::channel(), mpsc::channel());
    let written = Arc::new(Mutex::new(Vec::new()));
    let disk = SlowDisk { writing, go_on, written: Arc::clone(&written) };
    let mut log = FlowLog::start(disk, 100).unwrap();
    log.push(record());
    is_writing.recv().unwrap();
    // The disk hangs on the first line: a hundred wait, the others are lost, and nobody waited.
    for _ in 0..1_000 {
        log.push(record());
    }
    assert_eq!(log.lines(), (0, 900));
    assert!(!log.finish(Duration::from_millis(20)), "it cannot finish, and does not wait for ever");
    drop(go);
    while Arc::strong_count(&written) > 1 {
        std::thread::yield_now();
    }
    assert_eq!(written.lock().unwrap().iter().filter(|byte| **byte == b'\n').count(), 101);
    assert_eq!(log.lines(), (101, 900));
}

/// A disk that refuses.
struct FullDisk;

impl Sink for FullDisk {
    fn write(&mut self, _lines: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn was_moved(&self) -> bool {
        false
    }

    fn reopen(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn lines_that_the_disk_refuses_are_counted() {
    let mut log = FlowLog::start(FullDisk, 100).unwrap();
    (0..50).for_each(|_| log.push(record()));
    assert!(log.finish(Duration::from_secs(10)));
    assert_eq!(log.lines(), (0, 50));
}

fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).unwrap_or_default().lines().count()
}

fn until(what: &str, done: impl Fn() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_file_that_was_moved_away_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let (path, old) = (folder.path().join("new/flows.jsonl"), folder.path().join("flows.1"));
    let mut log = FlowLog::start(LogFile::open(&path).unwrap(), 100).unwrap();
    log.push(record());
    until("the first line is written", || lines(&path) == 1);
    std::fs::rename(&path, &old).unwrap();
    until("the file is there again", || path.exists());
    log.push(record());
    until("the second line is in the new file", || lines(&path) == 1);
    assert_eq!(lines(&old), 1);
    // On request as well, at once.
    std::fs::rename(&path, &old).unwrap();
    log.reopen();
    log.push(record());
    assert!(log.finish(Duration::from_secs(10)));
    assert_eq!(lines(&path) + lines(&old), 2);
    assert_eq!(log.lines(), (3, 0));
}

#[test]
fn a_line_is_an_object_with_the_names_of_the_interface() {
    let line = serde_json::to_string(&record()).unwrap();
    assert_eq!(
        line,
        "{\"time\":\"1970-01-01T00:00:00.000000Z\",\"event\":\"drop\",\"reason\":\"non-ip-denied\",\"rule\":null,\
         \"from\":\"lan\",\"source_zone\":null,\"destination_zone\":null,\"vlans\":[],\"ethertype\":2114,\"bytes\":60}"
    );
}
