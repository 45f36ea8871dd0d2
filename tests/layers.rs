//! The arrows between the crates, and what each crate must never use. Nothing points up.
//!
//! The table here is the one of `docs/architecture.md`; a change to it is a decision, not a convenience.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};
use sekisho_tests::repo::{Source, rust_below, sources, top, words};

/// Each crate and the crates of ours that it may use.
const ARROWS: &[(&str, &[&str])] = &[
    ("sekisho-engine", &[]),
    ("sekisho-worker", &["sekisho-engine"]),
    ("sekisho-dpdk-sys", &[]),
    ("sekisho-dpdk", &["sekisho-dpdk-sys"]),
    ("sekisho-replay", &["sekisho-engine"]),
    ("sekisho-traffic", &[]),
    ("sekisho-traffic-device", &["sekisho-traffic"]),
    ("sekisho-policy", &["sekisho-engine"]),
    ("sekisho-api", &[]),
    ("sekisho-bench", &["sekisho-engine", "sekisho-worker", "sekisho-traffic"]),
    (
        "sekisho",
        &[
            "sekisho-api",
            "sekisho-bench",
            "sekisho-policy",
            "sekisho-replay",
            "sekisho-worker",
            "sekisho-dpdk",
            "sekisho-engine",
        ],
    ),
];

/// Packages from elsewhere that a crate must not name, whatever for.
const BANNED: &[(&str, &[&str])] = &[
    ("sekisho-engine", &["serde", "tracing", "log", "rand", "getrandom", "tokio", "parking_lot", "libc"]),
    ("sekisho-worker", &["serde", "tracing", "log", "prometheus", "tokio"]),
    ("sekisho-dpdk", &["serde", "prometheus", "tokio"]),
    ("sekisho-replay", &["tokio", "rayon"]),
    ("sekisho-policy", &["tokio", "hyper", "axum"]),
    ("sekisho-bench", &["tokio", "hyper", "axum", "prometheus"]),
];

/// Text that the code of a folder must not hold, and why.
const FORBIDDEN: &[(&str, &[&str], &str)] = &[
    ("dataplane/engine/src/", &["std::time", "SystemTime"], "time is an argument"),
    (
        "dataplane/engine/src/",
        &["std::fs", "std::thread", "std::process", "std::io"],
        "the engine does no I/O",
    ),
    (
        "dataplane/engine/src/",
        &["TcpStream", "UdpSocket", "TcpListener", "UnixStream"],
        "the engine does no I/O",
    ),
    ("dataplane/engine/src/", &["Mutex", "RwLock", "Condvar"], "a worker owns its shard: no lock"),
    (
        "dataplane/engine/src/",
        &["RandomState", "DefaultHashBuilder", "HashMap::new(", "HashSet::new("],
        "an unseeded random source: take the secret as an argument",
    ),
    ("dataplane/worker/src/", &["Mutex", "RwLock", "Condvar"], "no lock beside the poll loop"),
    (
        "dataplane/replay/src/",
        &["std::thread", "Instant::now", "SystemTime", "std::time"],
        "replay has no clock and no threads",
    ),
    (
        "dataplane/traffic/src/",
        &["std::time", "std::fs", "std::io", "std::thread", "std::net"],
        "frames follow from numbers and ticks",
    ),
    ("control/bench/src/", &["print!(", "println!("], "only cmd/ and main.rs print"),
    (
        "control/policy/src/",
        &["TcpStream", "UdpSocket", "TcpListener", "UnixStream"],
        "check and explain run as any user",
    ),
];

#[test]
fn every_crate_uses_only_what_its_arrows_allow() {
    let metadata = MetadataCommand::new().current_dir(top()).no_deps().exec().expect("cargo metadata");
    let allowed: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    let mut seen = BTreeSet::new();
    for package in metadata.workspace_packages() {
        let name = package.name.as_str();
        if name == "sekisho-tests" {
            continue;
        }
        let may = allowed
            .get(name)
            .unwrap_or_else(|| panic!("{name} is not in the table of arrows: say where it stands"));
        seen.insert(name.to_owned());
        for dependency in package.dependencies.iter().filter(|d| d.name.starts_with("sekisho")) {
            if dependency.kind == DependencyKind::Development {
                assert!(
                    !reaches(&dependency.name, name),
                    "{name} tests itself with {}, which uses it",
                    dependency.name
                );
            } else {
                assert!(may.contains(&dependency.name.as_str()), "{name} must not use {}", dependency.name);
            }
        }
    }
    let listed: BTreeSet<_> = ARROWS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(seen, listed, "the table of arrows and the workspace differ");
}

/// Whether `from` uses `to`, by any number of arrows.
fn reaches(from: &str, to: &str) -> bool {
    let next = ARROWS.iter().find(|(name, _)| *name == from).map_or(&[][..], |(_, uses)| uses);
    from == to || next.iter().any(|name| reaches(name, to))
}

#[test]
fn the_arrows_have_no_cycle() {
    for (name, uses) in ARROWS {
        assert!(!uses.iter().any(|used| reaches(used, name)), "{name} uses itself");
    }
}

#[test]
fn no_crate_names_a_banned_package() {
    let metadata = MetadataCommand::new().current_dir(top()).no_deps().exec().expect("cargo metadata");
    for (name, banned) in BANNED {
        let package = metadata.packages.iter().find(|p| p.name.as_str() == *name).expect("listed above");
        let found = package
            .dependencies
            .iter()
            .find(|d| d.kind != DependencyKind::Development && banned.contains(&d.name.as_str()));
        assert!(found.is_none(), "{name} must not use {:?}", found.map(|d| &d.name));
    }
}

#[test]
fn no_code_holds_what_its_crate_forbids() {
    let mut found = Vec::new();
    for (folder, needles, why) in FORBIDDEN {
        let files = rust_below(folder);
        assert!(!files.is_empty(), "no code below {folder}: the rule went inert");
        for file in files.iter().filter(|file| !file.is_test()) {
            found.extend(hits(file, needles, why));
        }
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn the_dpdk_crate_knows_no_term_of_the_product() {
    let mut found = Vec::new();
    for file in rust_below("dataplane/dpdk/src/").iter().filter(|file| !file.is_test()) {
        for (number, line) in file.code() {
            let term = words(line).into_iter().find(|word| {
                matches!(
                    word.as_str(),
                    "zone" | "zones" | "session" | "sessions" | "rule" | "rules" | "policy"
                )
            });
            found.extend(
                term.map(|term| format!("{}:{number}: {term:?} is a term of the product", file.path)),
            );
        }
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn unsafe_and_extern_c_live_in_the_dpdk_crates_only() {
    let mut found = Vec::new();
    for file in sources().iter().filter(|file| file.path.ends_with(".rs")) {
        // The traffic device stands before DPDK's own functions in programs that are measured: no part of the appliance.
        let speaks_c = ["dataplane/dpdk", "dataplane/traffic-device/"];
        if speaks_c.iter().any(|folder| file.path.starts_with(folder)) || file.path == "tests/layers.rs" {
            continue;
        }
        for (number, line) in file.code() {
            let unsafe_block =
                line.contains("unsafe {") || line.contains("unsafe fn") || line.contains("unsafe impl");
            // The engine may allow one tiny module (prefetch), where a benchmark earned it.
            let allowed = file.path == "dataplane/engine/src/prefetch.rs";
            if (unsafe_block && !allowed) || line.contains("extern \"C\"") {
                found.push(format!("{}:{number}: {line}", file.path));
            }
        }
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn the_binary_keeps_its_rooms_apart() {
    let mut found = Vec::new();
    for file in rust_below("control/sekisho/src/").iter().filter(|file| !file.is_test()) {
        let name = file.path.trim_start_matches("control/sekisho/src/");
        if !name.starts_with("run/") {
            found.extend(hits(file, &["sekisho_dpdk"], "only run/ names dpdk"));
        }
        if name != "run/metrics.rs" {
            found.extend(hits(file, &["prometheus::"], "only run/metrics.rs names prometheus"));
        }
        if !name.starts_with("cmd/") && name != "main.rs" {
            found.extend(hits(file, &["print!(", "println!("], "only cmd/ and main.rs print"));
        }
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// The places in the code of `file` that hold one of `needles`.
fn hits(file: &Source, needles: &[&str], why: &str) -> Vec<String> {
    let bad = |line: &str| needles.iter().find(|needle| line.contains(**needle)).copied();
    file.code()
        .filter_map(|(number, line)| Some((number, bad(line)?)))
        .map(|(number, needle)| format!("{}:{number}: {needle}: {why}", file.path))
        .collect()
}
