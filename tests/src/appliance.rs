//! The appliance at work in a lab.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::lab::Lab;
use crate::process::{Running, must, run, text};
use crate::{program, wait};

/// LAN hosts may speak to the world, the world may not start anything; drops are logged.
pub const LAN_OUT: &str = "\
version: 1
defaults: {log: all}
zones:
  lan: {port: lan}
  wan: {port: wan}
rules:
  - {name: lan-out, from: lan, to: wan, action: allow}
";

/// The longest that an orderly stop may take.
pub const STOP_LIMIT: Duration = Duration::from_secs(1);

/// What a test wants of its appliance.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The text of the policy.
    pub policy: String,
    /// Worker cores.
    pub workers: u8,
    /// Places in the session table.
    pub sessions_max: u32,
    /// More lines of the appliance file.
    pub more: String,
    /// The program that starts it, with its arguments; none: it is started as it is.
    pub under: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            policy: LAN_OUT.to_owned(),
            workers: 1,
            sessions_max: 10_000,
            more: String::new(),
            under: Vec::new(),
        }
    }
}

/// `sekisho run` between the two namespaces of a lab. Dropping it stops it, which must take a second at most.
#[derive(Debug)]
pub struct Appliance {
    process: Running,
    folder: tempfile::TempDir,
    metrics: String,
    under: Vec<String>,
    /// Whether the drop still has to stop it.
    armed: bool,
}

impl Appliance {
    /// Starts an appliance with this policy, and one worker.
    #[must_use]
    pub fn start(lab: &Lab, policy: &str) -> Self {
        Self::with(lab, &Settings { policy: policy.to_owned(), ..Settings::default() })
    }

    /// Starts an appliance and waits until it answers.
    #[must_use]
    pub fn with(lab: &Lab, settings: &Settings) -> Self {
        Self::between(&[lab.device("lan"), lab.device("wan")], settings)
    }

    /// Starts an appliance on any two devices, LAN first, with one worker.
    #[must_use]
    pub fn on(devices: &[String; 2], policy: &str, sessions_max: u32) -> Self {
        let settings = Settings { policy: policy.to_owned(), sessions_max, ..Settings::default() };
        Self::between(devices, &settings)
    }

    fn between(devices: &[String; 2], settings: &Settings) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let metrics = free_address();
        std::fs::write(folder.path().join("policy.yaml"), &settings.policy).expect("the policy is written");
        let file = folder.path().join("appliance.yaml");
        std::fs::write(&file, appliance_file(devices, settings, folder.path(), &metrics))
            .expect("the file is written");
        Self::run(folder, metrics, settings.under.clone())
    }

    /// Starts `sekisho run` on the files that are already in `folder`.
    fn run(folder: tempfile::TempDir, metrics: String, under: Vec<String>) -> Self {
        let mut command = match under.split_first() {
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(program::sekisho()).args(["run", "--appliance"]);
                command
            }
            None => program::command(&["run", "--appliance"]),
        };
        command.arg(folder.path().join("appliance.yaml"));
        let process = Running::start(&command);
        let mut appliance = Self { process, folder, metrics, under, armed: true };
        let ready = wait::holds_within(Duration::from_secs(30), || {
            appliance.process.ended().is_some() || appliance.command(&["status"]).status.success()
        });
        let alive = appliance.process.ended().is_none();
        appliance.armed = alive;
        assert!(ready && alive, "sekisho run did not get ready:\n{}", appliance.process.output());
        appliance
    }

    /// Kills it as the kernel would, and starts it again on the same files.
    #[must_use]
    pub fn kill_and_restart(mut self) -> Self {
        self.kill();
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().expect("a temporary folder"));
        Self::run(folder, self.metrics.clone(), self.under.clone())
    }

    /// Kills it as the kernel would.
    pub fn kill(&mut self) {
        self.process.signal(Signal::KILL);
        assert!(self.process.wait(Duration::from_secs(5)).is_some(), "it outlived SIGKILL");
        self.armed = false;
    }

    /// Asks it to stop with a signal, which it must do in time and with success.
    pub fn stop(&mut self, signal: Signal) {
        self.armed = false;
        self.process.signal(signal);
        let end = self.process.wait(STOP_LIMIT * 5);
        let good = end.is_some_and(|(status, took)| status.success() && took <= STOP_LIMIT);
        assert!(good, "{signal:?}: {end:?}, {STOP_LIMIT:?} allowed\n{}", self.process.output());
        assert!(!self.socket().exists(), "its socket is left behind");
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// What it wrote on standard error.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.output()
    }

    /// Runs a command of the program against this appliance.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Output {
        run(&mut self.client(args))
    }

    /// Runs a listing of the program against this appliance, as JSON.
    #[must_use]
    pub fn json(&self, args: &[&str]) -> Value {
        let printed = must(self.client(args).arg("--json"));
        serde_json::from_str(&printed).unwrap_or_else(|fault| panic!("{args:?}: {fault} in\n{printed}"))
    }

    fn client(&self, args: &[&str]) -> Command {
        let mut command = program::command(args);
        command.arg("--socket").arg(self.socket());
        command
    }

    /// Deploys a policy, whatever comes of it.
    #[must_use]
    pub fn try_deploy(&self, policy: &str) -> Output {
        let file = self.folder.path().join("next.yaml");
        std::fs::write(&file, policy).expect("the policy is written");
        let mut command = self.client(&["deploy"]);
        run(command.arg(file))
    }

    /// Deploys a policy, which must succeed.
    pub fn deploy(&self, policy: &str) {
        let output = self.try_deploy(policy);
        assert!(output.status.success(), "deploy: {}\n{}", output.status, text(&output.stderr));
    }

    /// Writes a policy into the file that the appliance file names; nothing is deployed by it.
    pub fn write_policy_file(&self, policy: &str) {
        std::fs::write(self.folder.path().join("policy.yaml"), policy).expect("the policy is written");
    }

    /// The flow log so far, line by line.
    #[must_use]
    pub fn flow_log(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join("flows.jsonl")).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|f| panic!("{f}: {line}")))
            .collect()
    }

    /// The address of the metrics.
    #[must_use]
    pub fn metrics_address(&self) -> &str {
        &self.metrics
    }

    /// The metrics, as Prometheus would get them.
    #[must_use]
    pub fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(&self.metrics).expect("the metrics are served");
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.metrics);
        stream.write_all(request.as_bytes()).expect("a request is sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer is read");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        body.to_owned()
    }

    /// How often something happened for a reason.
    #[must_use]
    pub fn count(&self, reason: &str) -> u64 {
        sum_of(&self.json(&["counters"])["reasons"], Some(("reason", reason)), "count")
    }

    /// How many packets a rule decided.
    #[must_use]
    pub fn rule_hits(&self, rule: &str) -> u64 {
        sum_of(&self.json(&["counters"])["rules"], Some(("rule", rule)), "hits")
    }

    /// Frames that workers handed over to each other.
    #[must_use]
    pub fn handed_over(&self) -> u64 {
        sum_of(&self.json(&["counters"])["workers"], None, "handed_over")
    }

    /// The generation of the policy in force.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.json(&["status"])["policy"]["generation"].as_u64().expect("a number")
    }

    /// The last drops.
    #[must_use]
    pub fn drops(&self) -> Vec<Value> {
        self.json(&["drops"])["drops"].as_array().expect("a list").clone()
    }

    /// The live sessions that fit the filter, given as options of the command.
    #[must_use]
    pub fn sessions(&self, filter: &[&str]) -> Vec<Value> {
        self.json(&[&["sessions"], filter].concat())["sessions"].as_array().expect("a list").clone()
    }

    /// The folder of its files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its resident memory.
    #[must_use]
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("the kernel tells");
        line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a number of KiB")
    }

    /// Where it is spoken to.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("sekisho.sock")
    }
}

impl Drop for Appliance {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- sekisho run said:\n{}", self.process.output());
            if self.armed && self.process.ended().is_none() {
                eprintln!("--- sekisho drops:\n{}", text(&self.command(&["drops"]).stdout));
            }
        } else if self.armed {
            self.stop(Signal::TERM);
        }
    }
}

fn appliance_file(devices: &[String; 2], settings: &Settings, folder: &Path, metrics: &str) -> String {
    let folder = folder.display();
    format!(
        "version: 1
ports:
  lan: {{device: \"{lan}\"}}
  wan: {{device: \"{wan}\"}}
workers: {workers}
memory: {{hugepages: auto}}
sessions: {{capacity: {sessions_max}}}
policy: policy.yaml
socket: {folder}/sekisho.sock
metrics: {metrics}
logs: {{file: {folder}/flows.jsonl}}
poll: adaptive
{more}",
        more = settings.more,
        lan = devices[0],
        wan = devices[1],
        workers = settings.workers,
        sessions_max = settings.sessions_max,
    )
}

/// The sum of a field over the entries of a list: all, or those whose `key` is `value`.
fn sum_of(list: &Value, only: Option<(&str, &str)>, field: &str) -> u64 {
    let entries = list.as_array().unwrap_or_else(|| panic!("not a list: {list}")).iter();
    let fits = |entry: &&Value| only.is_none_or(|(key, value)| entry[key] == value);
    entries
        .filter(fits)
        .map(|entry| entry[field].as_u64().unwrap_or_else(|| panic!("{field}: {entry}")))
        .sum()
}

/// An address of this machine that nobody listens on.
#[must_use]
pub fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has a free port");
    listener.local_addr().expect("a bound socket has an address").to_string()
}
