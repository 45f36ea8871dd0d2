//! `sekisho run` as a process, on devices that need neither a NIC nor hugepages nor root: net_null receives frames of
//! zeros without end and swallows what is sent.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::io::Read as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use sekisho_api::{Client, Counters};

const POLICY: &str = "\
version: 1
zones: {lan: {port: lan}, wan: {port: wan}}
inspection: {tcp_window: off, fragments: drop}
rules: [{name: lan-out, from: lan, to: wan, action: allow}]
";

/// An appliance in a folder of its own; killed if a test gives up on it.
struct Appliance {
    child: Child,
    folder: tempfile::TempDir,
}

fn files(extra: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "version: 1\nports: {{lan: {{device: net_null0}}, wan: {{device: net_null1}}}}\n\
         memory: {{hugepages: off}}\nsessions: {{capacity: 1024}}\npolicy: policy.yaml\nsocket: s.sock\n\
         logs: {{file: log/flows.jsonl}}\n{extra}"
    );
    std::fs::write(folder.path().join("appliance.yaml"), text).unwrap();
    std::fs::write(folder.path().join("policy.yaml"), POLICY).unwrap();
    folder
}

fn run(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    command.args(["run", "--appliance"]).arg(folder.join("appliance.yaml"));
    command.env("XDG_RUNTIME_DIR", folder);
    command
}

/// Runs it on files that it must refuse.
fn refused(folder: &Path) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = run(folder).output().unwrap();
    assert!(stdout.is_empty(), "nothing but what was asked for is printed");
    (status.code(), String::from_utf8(stderr).unwrap())
}

impl Appliance {
    fn start(extra: &str) -> Self {
        let folder = files(extra);
        let child = run(folder.path()).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut appliance = Self { child, folder };
        let began = Instant::now();
        while Client::connect(&appliance.socket()).and_then(|mut client| client.status()).is_err() {
            assert!(appliance.child.try_wait().unwrap().is_none(), "{}", appliance.said());
            assert!(began.elapsed() < Duration::from_secs(60), "it does not get ready");
            std::thread::sleep(Duration::from_millis(20));
        }
        appliance
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("s.sock")
    }

    fn client(&self) -> Client {
        Client::connect(&self.socket()).unwrap()
    }

    fn said(&mut self) -> String {
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        said
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Ends it, which must take a second at most, and returns what it said.
    fn end(mut self, signal: Signal) -> String {
        let asked = Instant::now();
        self.signal(signal);
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(asked.elapsed() < Duration::from_secs(1), "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        };
        let said = self.said();
        assert!(status.success(), "{status}: {said}");
        assert!(!self.socket().exists(), "the socket is left behind");
        assert!(!said.contains(" ERROR "), "{said}");
        said
    }
}

impl Drop for Appliance {
    fn drop(&mut self) {
        // Ended already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn count(counters: &Counters, reason: &str) -> u64 {
    counters.reasons.iter().find(|one| one.reason == reason).unwrap().count
}

#[test]
fn it_inspects_deploys_and_ends_within_a_second() {
    let appliance = Appliance::start("metrics: 127.0.0.1:0\nworkers: 2\npoll: adaptive\n");
    let mut client = appliance.client();
    let status = client.status().unwrap();
    assert_eq!((status.workers.len(), status.ports.len()), (2, 2));
    assert!(!status.metrics.as_deref().unwrap().ends_with(":0"), "the real port is told");
    let before = client.counters().unwrap();
    let deploy = Command::new(env!("CARGO_BIN_EXE_sekisho"))
        .args(["deploy", "--json", "--socket"])
        .arg(appliance.socket())
        .arg(appliance.folder.path().join("policy.yaml"))
        .output()
        .unwrap();
    assert!(deploy.status.success(), "{}", String::from_utf8_lossy(&deploy.stderr));
    let deployed: serde_json::Value = serde_json::from_slice(&deploy.stdout).unwrap();
    assert_eq!((&deployed["generation"], &deployed["rules"]), (&2.into(), &1.into()));
    let after = client.counters().unwrap();
    // Zeros are a frame of length 0 to nobody.
    assert!(count(&after, "llc-denied") > count(&before, "llc-denied"));
    assert!(after.workers.iter().all(|worker| worker.received > 0), "{:?}", after.workers);
    assert_eq!(after.ports[0].sent.packets, 0);
    assert!(appliance.end(Signal::TERM).contains("SIGTERM"));
}

#[test]
fn sighup_deploys_again_and_sigint_ends() {
    let appliance = Appliance::start("metrics: off\nworkers: 1\n");
    appliance.signal(Signal::HUP);
    let began = Instant::now();
    while appliance.client().status().unwrap().policy.generation != 2 {
        assert!(began.elapsed() < Duration::from_secs(10), "nothing was deployed");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(appliance.client().status().unwrap().metrics.is_none());
    appliance.end(Signal::INT);
}

#[test]
fn two_appliances_do_not_share_a_socket() {
    let appliance = Appliance::start("metrics: off\n");
    let (code, said) = refused(appliance.folder.path());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("another appliance answers on"), "{said}");
    appliance.end(Signal::TERM);
}

#[test]
fn wrong_files_are_refused_with_the_place() {
    let folder = files("metrics: off\nworkrs: 1\n");
    let (code, said) = refused(folder.path());
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("appliance.yaml:9:1: ") && said.contains("workers"), "{said}");

    let folder = files("metrics: off\n");
    let policy = format!("{POLICY}protections: {{syn_flood: {{speed: 5000}}}}\n");
    std::fs::write(folder.path().join("policy.yaml"), policy).unwrap();
    let (code, said) = refused(folder.path());
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("policy.yaml:5:") && said.contains("speed"), "{said}");
    assert!(!folder.path().join("s.sock").exists());
}

#[test]
fn what_is_not_there_is_named_and_nothing_is_left() {
    let folder = files("metrics: off\n");
    let file = folder.path().join("appliance.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("net_null1", "net_moon1")).unwrap();
    let (code, said) = refused(folder.path());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("net_moon1") && said.contains("port wan"), "{said}");
    assert!(!folder.path().join("s.sock").exists());
}

#[test]
fn an_address_that_is_taken_is_told_before_anything_starts() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = files(&format!("metrics: {}\n", taken.local_addr().unwrap()));
    let (code, said) = refused(folder.path());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("metrics cannot be served") && !said.contains("port lan"), "{said}");
}

#[test]
fn commands_say_how_to_start_what_does_not_run() {
    for command in ["status", "sessions", "counters", "drops"] {
        let asked = Command::new(env!("CARGO_BIN_EXE_sekisho"))
            .args([command, "--json", "--socket", "/nonexistent/s.sock"])
            .output()
            .unwrap();
        assert_eq!(asked.status.code(), Some(1), "{command}");
        assert!(asked.stdout.is_empty());
        assert!(String::from_utf8_lossy(&asked.stderr).contains("sekisho run --appliance"), "{command}");
    }
}
