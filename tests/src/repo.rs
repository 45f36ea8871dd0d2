//! The repository as files: what `layers` and `tidy` read.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A file of the repository: its path from the top, and its text.
#[derive(Debug, Clone)]
pub struct Source {
    /// Path from the top of the repository, with forward slashes.
    pub path: String,
    /// The whole text; files that are not UTF-8 are not listed.
    pub text: String,
}

impl Source {
    /// The lines of a Rust file that are product code: what follows a `#[cfg(test)]` module and comments are left out.
    /// Numbered from 1.
    pub fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .take_while(|line| !line.starts_with("#[cfg(test)]") && !line.starts_with("#[cfg(all(test"))
            .enumerate()
            .map(|(index, line)| (index + 1, without_comment(line)))
            .filter(|(_, line)| !line.trim().is_empty())
    }

    /// Whether the file is Rust code that only tests compile.
    #[must_use]
    pub fn is_test(&self) -> bool {
        self.path.starts_with("tests/") || self.path.ends_with("tests.rs") || self.path.contains("/tests/")
    }
}

/// The top of the repository.
#[must_use]
pub fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the crate lies in the repository")
}

/// Every text file that git tracks or would track.
#[must_use]
pub fn sources() -> Vec<Source> {
    let top = top();
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(&top)
        .output()
        .expect("git runs: the rules are checked on a clone");
    assert!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
    let names = String::from_utf8(listed.stdout).expect("file names are UTF-8");
    let sources: Vec<_> = names
        .split('\0')
        .filter(|name| !name.is_empty())
        .filter_map(|name| {
            let text = std::fs::read_to_string(top.join(name)).ok()?;
            Some(Source { path: name.to_owned(), text })
        })
        .collect();
    assert!(sources.iter().any(|source| source.path == "Cargo.toml"), "the list of files went inert");
    sources
}

/// The Rust files below `folder`, tests among them.
#[must_use]
pub fn rust_below(folder: &str) -> Vec<Source> {
    sources().into_iter().filter(|s| s.path.starts_with(folder) && s.path.ends_with(".rs")).collect()
}

/// The words of a line of code, lower case, with `snake_case` and `CamelCase` taken apart.
#[must_use]
pub fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut last_lower = false;
    for c in line.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && last_lower) {
            words.push(std::mem::take(&mut word));
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        last_lower = c.is_lowercase();
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

/// A line without its `//` comment. One inside a string literal would be cut too, which no rule here minds but URLs do:
/// `://` is kept.
fn without_comment(line: &str) -> &str {
    let start = line.match_indices("//").find(|(at, _)| !line[..*at].ends_with(':')).map(|(at, _)| at);
    start.map_or(line, |at| &line[..at])
}
