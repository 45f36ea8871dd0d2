//! Programs started by a test: they end with it, however it ends.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::wait;

/// A program at work. Dropping it kills it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    name: String,
    log: PathBuf,
    _folder: tempfile::TempDir,
}

impl Running {
    /// Starts a program with its output in a file. The kernel kills it should the test be killed.
    #[must_use]
    pub fn start(command: &Command) -> Self {
        let name = format!("{command:?}");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let log = folder.path().join("output");
        let output = File::create(&log).expect("a file for the output");
        let errors = output.try_clone().expect("a second handle");
        let mut bound = Command::new("setpriv");
        bound.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
        if let Some(folder) = command.get_current_dir() {
            bound.current_dir(folder);
        }
        let child = bound.stdin(Stdio::piped()).stdout(output).stderr(errors).spawn();
        let child = child.unwrap_or_else(|fault| panic!("{name}: {fault}"));
        Self { child, name, log, _folder: folder }
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote so far, on either output.
    #[must_use]
    pub fn output(&self) -> String {
        let mut bytes = Vec::new();
        let mut file = File::open(&self.log).expect("the output is kept");
        file.read_to_end(&mut bytes).expect("the output can be read");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Writes to its standard input.
    pub fn write(&mut self, text: &str) {
        use std::io::Write;
        let input = self.child.stdin.as_mut().expect("its input is a pipe");
        input.write_all(text.as_bytes()).unwrap_or_else(|fault| panic!("{}: {fault}", self.name));
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap_or_else(|fault| panic!("{}: {fault}", self.name));
    }

    /// Whether it ended, and how.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Waits for its end: how it ended, and after how long.
    pub fn wait(&mut self, limit: Duration) -> Option<(ExitStatus, Duration)> {
        let start = Instant::now();
        let mut status = None;
        wait::holds_within(limit, || {
            status = self.ended();
            status.is_some()
        });
        status.map(|status| (status, start.elapsed()))
    }

    /// Waits for its end, which must be a success.
    pub fn succeeds(&mut self, limit: Duration) {
        let end = self.wait(limit);
        let good = end.is_some_and(|(status, _)| status.success());
        assert!(good, "{}: {end:?} within {limit:?}\n{}", self.name, self.output());
    }

    /// Waits until its output holds `text`.
    pub fn says(&mut self, limit: Duration, text: &str) {
        let said = wait::holds_within(limit, || self.output().contains(text));
        assert!(said, "{}: never said {text:?}, but:\n{}", self.name, self.output());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program to its end.
#[must_use]
pub fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap_or_else(|fault| panic!("{command:?}: {fault}"))
}

/// Runs a program that must succeed, and returns its standard output.
pub fn must(command: &mut Command) -> String {
    let output = run(command);
    let both = || format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, both());
    text(&output.stdout)
}

/// Bytes of a program's output as text.
#[must_use]
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
