//! The rules of the repository that no compiler holds.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use sekisho_tests::repo::{Source, sources, top};

const LINES_MAX: usize = 700;

/// Words that stand for work not done, in two halves so that this file does not hold them.
const UNFINISHED: &[(&str, &str)] =
    &[("todo", "!("), ("unimplemented", "!("), ("FIX", "ME"), ("XX", "X:"), ("#[ign", "ore"), ("dbg", "!(")];

/// Where the files of one machine lie: nothing of ours may name such a place.
const OF_ONE_MACHINE: &[(&str, &str)] =
    &[("/wo", "rk/"), ("/fa", "rm/"), ("/ho", "me/"), ("/Us", "ers/"), ("/ro", "ot/")];

#[test]
fn no_rust_file_is_over_the_line_limit() {
    let long: Vec<_> = rust()
        .iter()
        .map(|file| (code_lines(file), &file.path))
        .filter(|(lines, _)| *lines > LINES_MAX)
        .map(|(lines, path)| format!("{path}: {lines} lines without its tests, {LINES_MAX} at most"))
        .collect();
    assert!(long.is_empty(), "\n{}", long.join("\n"));
}

/// The lines of a file, without the test module at its end.
fn code_lines(file: &Source) -> usize {
    file.text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count()
}

#[test]
fn nothing_is_left_unfinished() {
    let found = holding(&rust(), UNFINISHED, |_| true);
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn nothing_names_a_place_on_one_machine() {
    // The path must begin there: "framework/" is fine.
    let begins = |before: &str| !before.ends_with(|c: char| c.is_alphanumeric() || "_-.}~".contains(c));
    let files: Vec<_> = sources().into_iter().filter(|file| !file.path.ends_with(".lock")).collect();
    let found = holding(&files, OF_ONE_MACHINE, begins);
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// The places in `files` that hold one of `needles`, where `fits` agrees with what stands before it on the line.
fn holding(files: &[Source], needles: &[(&str, &str)], fits: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        for (number, line) in file.text.lines().enumerate() {
            for needle in needles.iter().map(|(a, b)| format!("{a}{b}")) {
                if line.match_indices(&needle).any(|(at, _)| fits(&line[..at])) {
                    found.push(format!("{}:{}: {needle}", file.path, number + 1));
                }
            }
        }
    }
    found
}

#[test]
fn every_crate_takes_lints_and_versions_from_the_workspace() {
    let mut found = Vec::new();
    for file in sources().iter().filter(|f| f.path.ends_with("/Cargo.toml") && !f.path.contains("/fuzz/")) {
        if !file.text.contains("[lints]\nworkspace = true") {
            found.push(format!("{}: no [lints] workspace = true", file.path));
        }
        let mut in_dependencies = false;
        for (number, line) in file.text.lines().enumerate() {
            if line.starts_with('[') {
                in_dependencies = line.contains("dependencies");
            } else if in_dependencies && line.contains('=') && !line.contains("workspace") {
                found.push(format!(
                    "{}:{}: the version belongs into the root manifest",
                    file.path,
                    number + 1
                ));
            }
        }
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn every_crate_root_tells_its_story() {
    for file in rust().iter().filter(|f| f.path.ends_with("src/lib.rs") || f.path.ends_with("src/main.rs")) {
        assert!(
            file.text.starts_with("//!"),
            "{}: begin with what the crate is and what it is not",
            file.path
        );
    }
}

#[test]
fn scripts_stop_at_the_first_fault_and_parse() {
    let scripts: Vec<_> = sources().into_iter().filter(|file| file.text.starts_with("#!/")).collect();
    assert!(scripts.iter().any(|file| file.path == "scripts/test"), "scripts/test is missing");
    for file in &scripts {
        assert!(file.text.starts_with("#!/usr/bin/env bash\n"), "{}: scripts are bash", file.path);
        let stops = file.text.lines().any(|line| line == "set -euo pipefail");
        assert!(stops, "{}: set -euo pipefail is missing", file.path);
        let parsed = Command::new("bash").arg("-n").arg(top().join(&file.path)).output().expect("bash runs");
        assert!(parsed.status.success(), "{}", String::from_utf8_lossy(&parsed.stderr));
        assert!(is_executable(&top().join(&file.path)), "{}: not executable", file.path);
    }
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o111 != 0)
}

#[test]
fn the_top_level_holds_what_it_should_and_no_more() {
    let allowed = [
        "Cargo.toml",
        "Cargo.lock",
        "README.md",
        "LICENSE",
        "clippy.toml",
        "rustfmt.toml",
        "deny.toml",
        "dataplane",
        "control",
        "configs",
        "scripts",
        "tests",
        "docs",
    ];
    let names: BTreeSet<_> =
        sources().iter().map(|file| file.path.split('/').next().unwrap_or_default().to_owned()).collect();
    let odd: Vec<_> =
        names.iter().filter(|n| !n.starts_with('.') && !allowed.contains(&n.as_str())).collect();
    assert!(odd.is_empty(), "at the top, but not agreed: {odd:?}");
    let license = std::fs::read_to_string(top().join("LICENSE")).expect("LICENSE is there");
    assert!(license.contains("Apache License"), "the licence is Apache-2.0");
}

#[test]
fn every_link_of_the_documents_leads_somewhere() {
    let mut broken = Vec::new();
    for file in sources().iter().filter(|file| file.path.ends_with(".md")) {
        let folder = top().join(&file.path).parent().map(Path::to_path_buf).unwrap_or_default();
        for target in links(&file.text) {
            let path = target.split('#').next().unwrap_or_default();
            if !path.is_empty() && !path.contains("://") && !folder.join(path).exists() {
                broken.push(format!("{}: {target}", file.path));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn the_documents_that_hold_a_vocabulary_are_there() {
    for name in ["docs/architecture.md", "docs/reasons.md", "docs/metrics.md", "README.md"] {
        assert!(top().join(name).is_file(), "{name} is missing");
    }
}

#[test]
fn every_decision_record_is_linked() {
    let files = sources();
    let linked: String =
        files.iter().filter(|file| file.path.ends_with(".md")).flat_map(|file| links(&file.text)).collect();
    let mut numbers = BTreeSet::new();
    for file in files.iter().filter(|file| file.path.starts_with("docs/decisions/")) {
        let name = file.path.trim_start_matches("docs/decisions/");
        if name == "README.md" {
            continue;
        }
        let number = name.split('-').next().unwrap_or_default();
        assert!(number.len() == 4 && number.parse::<u16>().is_ok(), "{}: NNNN-title.md", file.path);
        assert!(numbers.insert(number.to_owned()), "{}: the number is taken", file.path);
        assert!(linked.contains(name), "{}: no document links it", file.path);
    }
}

/// The targets of the inline links of a Markdown text.
fn links(text: &str) -> Vec<String> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.to_owned())
        .collect()
}

fn rust() -> Vec<Source> {
    sources().into_iter().filter(|file| file.path.ends_with(".rs")).collect()
}
