//! All faults of a file at once, each with its place and its remedy; and no input ends in a panic.
//! `SEKISHO_BLESS=1` writes the expected messages anew, to be read before they are committed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use sekisho_engine::policy::RuleNames;
use sekisho_policy::{Diagnostics, appliance, load, load_str};

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

fn faults_of(text: &str) -> String {
    load_str("p", text, &data()).map(|_| ()).unwrap_err().to_string()
}

fn rule(rest: &str) -> String {
    format!("version: 1\nzones: {{a: {{port: lan}}}}\nrules:\n- {{name: r, action: allow, {rest}}}\n")
}

#[test]
fn every_fault_of_a_file_is_told_with_its_place_and_remedy() {
    let faults = load(&data().join("faults.yaml")).map(|_| ()).unwrap_err();
    assert!(faults.len() >= 20);
    let beside = format!("{}/", data().display());
    let told = faults.to_string().replace(&beside, "") + "\n";
    if std::env::var_os("SEKISHO_BLESS").is_some() {
        fs::write(data().join("faults.expected"), &told).unwrap();
    }
    let expected = fs::read_to_string(data().join("faults.expected")).unwrap();
    for (told, expected) in told.lines().zip(expected.lines()) {
        assert_eq!(told, expected);
    }
    assert_eq!(told.lines().count(), expected.lines().count());
}

#[test]
fn files_that_cannot_be_read_are_told() {
    let told = |name: &str| load(Path::new(name)).map(|_| ()).unwrap_err().to_string();
    assert!(
        told("no/such.yaml").starts_with("no/such.yaml:1:1: the file cannot be read: there is no such file")
    );
    assert!(told("/").starts_with("/:1:1: the file cannot be read"));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("latin1.yaml");
    fs::write(&path, b"version: 1\n# caf\xe9\n").unwrap();
    let told = told(path.to_str().unwrap());
    assert!(told.ends_with("latin1.yaml:2:6: this is not UTF-8; save the file as UTF-8"), "{told}");
}

#[test]
fn a_feed_must_be_a_file_of_addresses() {
    let told = faults_of("version: 1\naddresses: {a: {file: feeds}, b: {file: /dev/zero}, c: {path: x}}\n");
    assert!(told.contains("p:2:23: ") && told.contains("is not a regular file"), "{told}");
    assert!(told.contains("p:2:41: /dev/zero is not a regular file"), "{told}");
    assert!(told.contains("has no key \"path\""), "{told}");
}

#[test]
fn zones_that_claim_the_same_are_ambiguous() {
    let told = |zones: &str| faults_of(&format!("version: 1\nzones:\n{zones}"));
    let both = told("  a: {port: lan}\n  b: {port: lan, vlans: 5}\n");
    assert!(
        both.starts_with(
            "p:4:3: the zones \"b\" and \"a\" (line 3) have the same port and VLAN, and neither"
        ),
        "{both}"
    );
    let nets = told("  a: {port: lan, networks: 10.0.0.0/8}\n  b: {port: lan, networks: 10.1.0.0/16}\n");
    assert!(nets.starts_with("p:4:3: ") && nets.contains("networks in common"), "{nets}");
    for fine in [
        "  a: {port: lan}\n  b: {port: wan}\n",
        "  a: {port: lan, vlans: [0, 5]}\n  b: {port: lan, vlans: [6-9]}\n",
        "  a: {port: lan}\n  b: {port: lan, networks: 10.0.0.0/8}\n",
        "  a: {port: lan, vlans: 1, networks: 10.0.0.0/8}\n  b: {port: lan, vlans: 2, networks: 10.0.0.0/8}\n",
    ] {
        assert!(load_str("p", &format!("version: 1\nzones:\n{fine}"), Path::new("")).is_ok(), "{fine}");
    }
}

#[test]
fn circles_and_any_inside_are_refused() {
    let told = faults_of(
        "version: 1\naddresses: {a: b, b: [c], c: a, d: any}\nservices: {s: t, t: s, u: any}\nzones: {z: {port: lan, networks: any}}\n",
    );
    assert_eq!(told.matches("contain").count(), 2, "{told}");
    assert_eq!(told.matches("\"any\" stands inside").count(), 3, "{told}");
    let mut chain = String::from("version: 1\naddresses:\n  a0: 10.0.0.1\n");
    for level in 1..200 {
        chain.insert_str("version: 1\naddresses:\n".len(), &format!("  a{level}: a{}\n", level - 1));
    }
    assert!(faults_of(&chain).contains("more than 16 deep"));
}

#[test]
fn words_of_a_rule_that_allows_nothing_are_told() {
    let text = "version: 1\nrules: [{name: r, action: drop, timeout: {icmp: 5s}}]\n";
    let loaded = load_str("p", text, Path::new("")).unwrap();
    let told = loaded.all_warnings().to_string();
    assert!(told.contains("p:2:33: warning: timeout says nothing on a rule that does not allow"), "{told}");
}

#[test]
fn services_that_no_rule_decides_are_told() {
    let loaded = load_str("p", &rule("service: [icmp/unreachable, icmp/echo]"), Path::new("")).unwrap();
    let told = loaded.all_warnings().to_string();
    assert!(told.contains("p:4:38: warning: no rule decides \"icmp/unreachable\""), "{told}");
    assert!(!told.contains("icmp/echo"), "{told}");
}

#[test]
fn limits_of_number_are_kept() {
    let mut zones = String::from("version: 1\nzones:\n");
    for zone in 0..4100 {
        zones.push_str(&format!("  z{zone}: {{port: lan, networks: 'fd00:{zone:x}::/32'}}\n"));
    }
    let told = faults_of(&zones);
    assert!(told.contains("p:4099:3: there are 4100 zones; 4096 is the most"), "{told}");
    let ports: Vec<String> = (1..5000).map(|port| format!("tcp/{port}")).collect();
    assert!(faults_of(&rule(&format!("service: [{}]", ports.join(", ")))).contains("more than 4096"));
}

#[test]
fn a_flood_of_faults_is_cut() {
    let mut text = String::from("version: 1\nrules:\n");
    for _ in 0..3000 {
        text.push_str("- {nam: x}\n");
    }
    let faults = load_str("p", &text, Path::new("")).map(|_| ()).unwrap_err();
    assert_eq!(faults.as_slice().len(), 1000);
    assert!(faults.omitted() > 0 && faults.to_string().lines().last().unwrap().starts_with("and "));
}

fn places_are_in(text: &str, faults: &Diagnostics) -> bool {
    let lines = text.lines().count() + 1;
    !faults.is_empty()
        && faults.iter().all(|one| one.place.line >= 1 && one.place.line as usize <= lines.max(1))
}

/// A policy or appliance file with a few bytes changed.
fn mangled(original: String) -> impl Strategy<Value = String> {
    let edits = prop::collection::vec(
        (any::<prop::sample::Index>(), "[\\PC\n\t:,{}\\[\\]&*#'\"|>-]{0,4}", 0..6usize),
        1..6,
    );
    edits.prop_map(move |edits| {
        let mut chars: Vec<char> = original.chars().collect();
        for (index, put, cut) in edits {
            let at = index.index(chars.len() + 1);
            let end = (at + cut).min(chars.len());
            chars.splice(at..end, put.chars());
        }
        chars.into_iter().collect()
    })
}

fn original(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text: String) {
        if let Err(faults) = load_str("p", &text, Path::new("")) {
            prop_assert!(!faults.is_empty());
        }
        let _ = appliance::load_str("a", &text, Path::new(""));
    }

    #[test]
    fn mangled_policies_never_panic(text in mangled(original("../../configs/policy.yaml"))) {
        match load_str("p", &text, &data().join("../../../../configs")) {
            Ok(loaded) => {
                loaded.compile(1, &mut RuleNames::default());
                prop_assert!(!loaded.all_warnings().has_errors());
            }
            Err(faults) => prop_assert!(places_are_in(&text, &faults), "{faults}"),
        }
    }

    #[test]
    fn mangled_appliances_never_panic(text in mangled(original("tests/data/appliance.yaml"))) {
        if let Err(faults) = appliance::load_str("a", &text, Path::new("")) {
            prop_assert!(places_are_in(&text, &faults), "{faults}");
        }
    }
}
