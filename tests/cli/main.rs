//! The program as it is called from a shell: exit status, messages with their places, nothing but what was asked for on
//! standard output.
#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests, where clippy does not see a test")]

mod bench;
mod check;
mod explain;
mod reasons;
mod replay;

use std::path::{Path, PathBuf};

use sekisho_tests::program;

/// What a call of the program came to.
struct Ran {
    status: i32,
    stdout: String,
    stderr: String,
}

/// A folder with files for the program to read.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> &Self {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, contents).unwrap();
        self
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Calls the program in this folder.
    fn run(&self, args: &[&str]) -> Ran {
        let output = program::command(args).current_dir(self.0.path()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran {
            status: output.status.code().expect("the program ends by itself"),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

impl Ran {
    /// It did what it was asked, and had nothing to say beside.
    #[track_caller]
    fn done(self) -> String {
        assert_eq!((self.status, self.stderr.as_str()), (0, ""));
        self.stdout
    }

    /// The input was wrong: nothing on standard output, and these messages.
    #[track_caller]
    fn wrong_input(self) -> String {
        assert_eq!((self.status, self.stdout.as_str()), (2, ""), "{}", self.stderr);
        assert!(!self.stderr.is_empty());
        self.stderr
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|fault| panic!("{fault}: {}", self.stdout))
    }
}

/// The smallest useful policy.
const SMALL: &str = "\
version: 1
zones:
  lan: {port: lan}
  wan: {port: wan}
rules:
  - {name: lan-out, from: lan, to: wan, action: allow}
";

/// Whether `line` begins with a file of that name, a line and a column.
fn has_place(line: &str, file: &str) -> bool {
    let Some(rest) = line.strip_prefix(file).and_then(|rest| rest.strip_prefix(':')) else { return false };
    let mut parts = rest.splitn(3, ':');
    let is_number =
        |part: Option<&str>| part.is_some_and(|part| part.parse::<u32>().is_ok_and(|number| number > 0));
    is_number(parts.next())
        && is_number(parts.next())
        && parts.next().is_some_and(|message| message.len() > 5)
}

/// A policy of the repository's own.
fn of_the_repository(path: &str) -> PathBuf {
    sekisho_tests::repo::top().join(Path::new(path))
}

#[test]
fn help_and_version_are_asked_for_and_go_to_standard_output() {
    let folder = Folder::new();
    let help = folder.run(&["--help"]).done();
    for command in ["check", "explain", "replay", "reasons"] {
        assert!(help.contains(command), "{help}");
        assert!(folder.run(&[command, "--help"]).done().contains("Usage: sekisho"));
    }
    assert!(folder.run(&["--version"]).done().starts_with("sekisho "));
}

#[test]
fn a_wrong_command_line_is_wrong_input() {
    let folder = Folder::new();
    for args in [&["frobnicate"][..], &["check"], &["replay"], &["explain", "p.yaml"], &["--frobnicate"], &[]]
    {
        let told = folder.run(args).wrong_input();
        assert!(told.contains("Usage") || told.contains("--help"), "{args:?}: {told}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    use std::process::Stdio;
    let mut child =
        program::command(&["reasons"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}
