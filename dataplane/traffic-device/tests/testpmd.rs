//! The library in a program that knows nothing of it: dpdk-testpmd forwards between the two ports.
#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests, where clippy does not see a test")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const DEVICES: [&str; 2] = ["net_null0", "net_null1"];
const PATIENCE: Duration = Duration::from_secs(60);

/// The library lies where cargo puts what it builds beside this test.
fn library() -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_traffic-frames")).parent().unwrap();
    let name = "libsekisho_traffic_device.so";
    [folder.join(name), folder.join("deps").join(name)]
        .into_iter()
        .find(|path| path.is_file())
        .expect("the library is built with its tests")
}

/// dpdk-testpmd in io mode with so many queues, and the library before it.
struct Testpmd {
    child: Child,
    folder: tempfile::TempDir,
}

impl Testpmd {
    fn start(options: &str, queues: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let stats = folder.path().join("stats");
        let traffic = format!("lan={},wan={},stats={},{options}", DEVICES[0], DEVICES[1], stats.display());
        let lcores: Vec<_> = (0..=queues).map(|lcore| format!("{lcore}@0")).collect();
        let log =
            || std::fs::File::options().create(true).append(true).open(folder.path().join("log")).unwrap();
        let queues = queues.to_string();
        let child = Command::new("dpdk-testpmd")
            .args(["--lcores", &lcores.join(","), "--no-huge", "-m", "256", "--no-pci", "--no-telemetry"])
            .args(["--no-shconf", "--vdev", DEVICES[0], "--vdev", DEVICES[1], "--", "--auto-start"])
            .args(["--forward-mode=io", "--no-flush-rx", "--total-num-mbufs=8192", "--stats-period=3600"])
            .args([&format!("--nb-cores={queues}"), &format!("--rxq={queues}"), &format!("--txq={queues}")])
            .env("SEKISHO_TRAFFIC", traffic)
            .env("LD_PRELOAD", library())
            .stdin(Stdio::null())
            .stdout(log())
            .stderr(log())
            .spawn()
            .expect("dpdk-testpmd is installed (scripts/install-deps)");
        Self { child, folder }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The figures, as soon as they are what is waited for.
    fn figures(&mut self, are_there: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let text = std::fs::read_to_string(self.folder.path().join("stats")).unwrap_or_default();
            let last = text.lines().rev().find_map(|line| serde_json::from_str::<Value>(line).ok());
            if let Some(last) = last.filter(&are_there) {
                return last;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("it ended with {status}: {}", self.log());
            }
            assert!(begun.elapsed() < PATIENCE, "{text}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Testpmd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn number(figures: &Value, path: &str) -> u64 {
    figures.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("{path}: {figures}"))
}

fn is_under_load(figures: &Value) -> bool {
    figures["phase"] == "load" && number(figures, "/back/lan/established") > 20_000
}

#[test]
fn sessions_open_and_send_through_another_program() {
    for options in [
        "sessions=1000,protocol=udp",
        "sessions=5000,protocol=mixed,family=4,size=imix",
        "sessions=3000,protocol=tcp,family=6,order=sequential,checksums=off,hash=off",
    ] {
        let figures = Testpmd::start(options, 1).figures(is_under_load);
        assert_eq!(figures["opened"], figures["sessions"], "{options}");
        assert_eq!((number(&figures, "/stray"), number(&figures, "/no_buffer")), (0, 0), "{options}");
        // Both sides are asked alike; what is on its way at the moment is a few bursts.
        for (given, back) in [("lan", "wan"), ("wan", "lan")] {
            let given = number(&figures, &format!("/given/{given}/established"));
            let back = number(&figures, &format!("/back/{back}/established"));
            assert!(given.abs_diff(back) < 1024, "{options}: {given} {back}");
        }
        assert!(number(&figures, "/cycles") > 0);
    }
}

#[test]
fn two_queues_share_rate_and_sessions() {
    let options = "sessions=2000,rate=20000,latency=on,warm_up_ms=100,misplaced=0.5";
    let figures = Testpmd::start(options, 2).figures(|figures| {
        figures["phase"] == "load"
            && figures.pointer("/latency_ns/count").and_then(Value::as_u64) > Some(5000)
    });
    assert_eq!((number(&figures, "/queues"), number(&figures, "/opened")), (2, 2000));
    let at = |name: &str| figures.pointer(&format!("/latency_ns/{name}")).and_then(Value::as_f64).unwrap();
    assert!(at("p50") > 0.0 && at("p50") <= at("p99") && at("p99") <= at("max"), "{figures}");
    // Two for each session that opened, and no more than the rate since.
    let given = number(&figures, "/given/lan/established") + number(&figures, "/given/wan/established");
    let seconds = figures["seconds"].as_f64().unwrap();
    assert!(
        given as f64 <= 2.0 * 2000.0 + number(&figures, "/retries") as f64 + 20_000.0 * seconds + 64.0,
        "{figures}"
    );
}

/// Whether anybody asks how long they took or not.
#[test]
fn a_rate_is_kept_without_latencies_too() {
    let figures = Testpmd::start("sessions=100,rate=20000", 1)
        .figures(|figures| figures["phase"] == "load" && number(figures, "/given/lan/established") > 10_000);
    let given = number(&figures, "/given/lan/established") + number(&figures, "/given/wan/established");
    let seconds = figures["seconds"].as_f64().unwrap();
    let most = 200.0 + number(&figures, "/retries") as f64 + 20_000.0 * seconds + 64.0;
    assert!(given as f64 <= most, "{figures}");
}

#[test]
fn loads_and_floods_have_their_class() {
    for (options, class) in [
        ("sessions=0,load=first,protocol=tcp", "/back/wan/new"),
        ("sessions=100,load=connections", "/connections"),
        ("sessions=100,hostile=syn-flood,hostile_share=0.1", "/back/lan/hostile"),
        ("sessions=100,hostile=fragments,hostile_from=lan", "/back/wan/hostile"),
        ("sessions=100,hostile=collisions", "/back/wan/hostile"),
        ("sessions=100,hostile=server-syns", "/back/lan/hostile"),
        ("sessions=100,hostile=server-datagrams", "/back/lan/hostile"),
        ("sessions=100,hostile=icmp-errors", "/back/lan/hostile"),
    ] {
        let figures = Testpmd::start(options, 1).figures(|figures| number(figures, class) > 5000);
        assert_eq!(number(&figures, "/stray"), 0, "{options}: {figures}");
    }
}

/// Through a program that lets all pass, as through a wire, all connections open at the first try; at a rate that is more
/// than one can take, they are lost like the others.
#[test]
fn honest_clients_get_what_they_ask_for() {
    let figures = Testpmd::start("sessions=100,hostile=server-syns,honest=1000", 1)
        .figures(|figures| number(figures, "/honest/at_once") > 500);
    assert_eq!((number(&figures, "/stray"), number(&figures, "/honest/lost")), (0, 0), "{figures}");
    assert!(number(&figures, "/honest/begun") >= number(&figures, "/honest/at_once"), "{figures}");
    assert!(number(&figures, "/back/lan/new") > 0 && number(&figures, "/back/wan/new") > 0, "{figures}");
    let figures = Testpmd::start("sessions=100,honest=1000,rate=500000000", 1)
        .figures(|figures| number(figures, "/honest/lost") > 100);
    assert!(number(&figures, "/lost") > 0, "{figures}");
}

#[test]
fn options_that_are_wrong_end_the_program() {
    let mut testpmd = Testpmd::start("sessions=many", 1);
    let begun = Instant::now();
    let status = loop {
        match testpmd.child.try_wait().unwrap() {
            Some(status) => break status,
            None => assert!(begun.elapsed() < PATIENCE, "{}", testpmd.log()),
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(status.code(), Some(2));
    assert!(testpmd.log().contains("sessions: \"many\" is not understood"), "{}", testpmd.log());
}
