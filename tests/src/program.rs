//! Where the program under test is.

use std::path::PathBuf;
use std::process::Command;

/// The `sekisho` program: `SEKISHO_BIN`, or the one that cargo built beside this test.
#[must_use]
pub fn sekisho() -> PathBuf {
    if let Some(named) = std::env::var_os("SEKISHO_BIN") {
        let path = PathBuf::from(named);
        assert!(path.is_file(), "SEKISHO_BIN: there is no {}", path.display());
        return path;
    }
    let test = std::env::current_exe().expect("a process knows its file");
    let built = test.parent().and_then(|deps| deps.parent()).expect("tests lie in target/PROFILE/deps");
    let path = built.join("sekisho");
    assert!(
        path.is_file(),
        "there is no {}: run `cargo build --profile test --package sekisho` first",
        path.display()
    );
    path
}

/// A command of the program under test.
#[must_use]
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(sekisho());
    command.args(args);
    command
}
