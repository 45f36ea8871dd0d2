//! A session table with a million sessions in it.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use sekisho_tests::{Appliance, wait};

const SESSIONS: u32 = 1_000_000;
/// What `docs/architecture.md` promises for an IPv4 session, all told.
const BYTES_A_SESSION: u64 = 128;

/// A capture of one UDP packet of each five-tuple: what `net_pcap` plays as fast as it can.
fn write_capture(path: &Path) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let header: [u32; 6] = [0xa1b2_c3d4, 4 << 16 | 2, 0, 0, 65_535, 1];
    for word in header {
        file.write_all(&word.to_ne_bytes())?;
    }
    let mut frame =
        *b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x08\0\x45\0\0\x2e\0\0\x40\0\x40\x11\0\0\x0a\0\0\0\xcb\0\x71\x05\
        \0\0\0\x35\0\x1a\0\0..................";
    let len = u32::try_from(frame.len()).expect("60 bytes");
    for number in 0..SESSIONS {
        let [_, high, middle, low] = number.to_be_bytes();
        frame[27..29].copy_from_slice(&[high, middle]);
        frame[34..36].copy_from_slice(&[4, low]);
        frame[24..26].copy_from_slice(&[0, 0]);
        let mut sum: u32 =
            frame[14..34].chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum();
        sum = (sum >> 16) + (sum & 0xffff);
        let [.., high, low] = (!((sum >> 16) + (sum & 0xffff))).to_be_bytes();
        frame[24..26].copy_from_slice(&[high, low]);
        for word in [0, 0, len, len] {
            file.write_all(&word.to_ne_bytes())?;
        }
        file.write_all(&frame)?;
    }
    file.flush()
}

#[test]
fn a_million_sessions_fit_and_are_listed_by_filter() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let capture = folder.path().join("lan.pcap");
    write_capture(&capture).expect("the capture is written");
    let policy = "version: 1\nzones: {lan: {port: lan}, wan: {port: wan}}\n\
        rules: [{name: lan-out, from: lan, to: wan, action: allow, timeout: {udp: {unreplied: 1h}}}]\n";
    let devices = [format!("net_pcap0,rx_pcap={}", capture.display()), "net_null1,no-rx=1".to_owned()];
    let appliance = Appliance::on(&devices, policy, SESSIONS);
    let live = || appliance.json(&["sessions", "--count"])["sessions"].as_u64().unwrap_or(0);
    let is_full = wait::holds_within(Duration::from_secs(60), || live() == u64::from(SESSIONS));
    assert!(is_full, "{} of {SESSIONS} sessions", live());

    let alarm = || appliance.json(&["status"])["attacks"]["table_alarm_percent"].as_u64();
    wait::until(Duration::from_secs(10), "the alarm of a full table", || alarm() == Some(95));
    let begin = Instant::now();
    let found = appliance.sessions(&["--address", "10.7.0.0/16", "--port", "1100"]);
    let took = begin.elapsed();
    assert_eq!(found.len(), 256, "one of each of 256 hosts");
    eprintln!("a filtered listing over {SESSIONS} sessions took {took:?}");

    let empty =
        Appliance::on(&["net_null0,no-rx=1".to_owned(), "net_null1,no-rx=1".to_owned()], policy, 1000);
    let taken = (appliance.resident_kib() - empty.resident_kib()) * 1024;
    let allowed = BYTES_A_SESSION * u64::from(SESSIONS);
    assert!(taken <= allowed + allowed / 50, "{taken} bytes for {SESSIONS} sessions, {allowed} allowed");
}
