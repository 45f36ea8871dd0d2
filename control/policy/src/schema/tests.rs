//! The shipped schemas equal the code, and accept and refuse what `check` does, as far as a schema can say it.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::diagnostic::Report;
use crate::yaml::{self, Node, ScalarKind};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Compares a shipped file with what the code makes; `SEKISHO_BLESS=1` writes it anew.
fn assert_shipped(name: &str, made: &Value) {
    let path = repository().join("configs").join(name);
    let made = serde_json::to_string_pretty(made).unwrap() + "\n";
    if std::env::var_os("SEKISHO_BLESS").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let shipped = fs::read_to_string(&path).unwrap_or_default();
    assert!(shipped == made, "configs/{name} is not what the code makes: run this test with SEKISHO_BLESS=1");
}

#[test]
fn the_shipped_schemas_are_what_the_code_makes() {
    assert_shipped("policy.schema.json", &policy());
    assert_shipped("appliance.schema.json", &appliance());
}

/// Compares the reference between two marks in a document with what the code makes; `SEKISHO_BLESS=1` writes it anew.
fn assert_documented(name: &str, made: &str) {
    const BEGIN: &str = "<!-- keys: made by the tests of sekisho-policy -->\n";
    const END: &str = "<!-- end of keys -->";
    let path = repository().join("docs").join(name);
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the mark before the keys");
    let (documented, after) = rest.split_once(END).expect("the mark behind the keys");
    if std::env::var_os("SEKISHO_BLESS").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{made}{END}{after}")).unwrap();
    } else {
        assert!(
            documented == made,
            "docs/{name} is not what the code makes: run this test with SEKISHO_BLESS=1"
        );
    }
}

#[test]
fn the_documented_keys_are_those_of_the_code() {
    assert_documented("policy.md", &reference::markdown(&POLICY));
    assert_documented("appliance.md", &reference::markdown(&APPLIANCE));
}

/// What an editor makes of a YAML file.
fn to_json(node: &Node) -> Value {
    match &node.value {
        yaml::Value::Null | yaml::Value::Invalid => Value::Null,
        yaml::Value::List(items) => items.iter().map(to_json).collect(),
        yaml::Value::Mapping(entries) => {
            entries.iter().map(|entry| (entry.key.to_string(), to_json(&entry.node))).collect()
        }
        yaml::Value::Scalar(scalar) => match scalar.kind {
            ScalarKind::Flag(flag) => json!(flag),
            ScalarKind::Integer(number) => json!(number),
            ScalarKind::Float => json!(0.5),
            ScalarKind::Text => json!(&*scalar.text),
        },
    }
}

/// Whether the schema accepts a text, and what `check` says of it.
fn both(
    schema: &Value,
    text: &str,
    check: impl Fn(&str) -> Result<(), String>,
) -> (bool, Result<(), String>) {
    let node = yaml::parse(text, &mut Report::new("f")).unwrap();
    (jsonschema::validator_for(schema).unwrap().is_valid(&to_json(&node)), check(text))
}

fn check_policy(text: &str) -> Result<(), String> {
    crate::load_str("p.yaml", text, &repository().join("configs"))
        .map(|_| ())
        .map_err(|faults| faults.to_string())
}

fn check_appliance(text: &str) -> Result<(), String> {
    crate::appliance::load_str("a.yaml", text, Path::new("")).map(|_| ()).map_err(|faults| faults.to_string())
}

const GOOD: &[&str] = &[
    "version: 1",
    "version: 1\nzones: {a: {port: lan, vlans: [1, 10-19, untagged]}}\nrules: []",
    "version: 1\nzones: {a: {port: lan, vlans: 7, networks: 10.0.0.0/8}}",
    "version: 1\naddresses: {a: [10.0.0.1, b, {file: feeds/blocklist.txt}], b: 10.0.0.1 - 10.0.0.9, c: 'fe80::1'}",
    "version: 1\nservices: {a: [tcp/1-2, icmp/echo, icmpv6/128/0, gre, ip/89, 6in4], b: {ports: [a, udp], helper: sip}}",
    "version: 1\nrules: [{name: 1st, from: any, source: any, service: any, action: allow, log: false}]",
    "version: 1\nrules: [{name: a, action: allow, timeout: {established: 1d2h, udp: {stream: 1s500ms}}}]",
    "version: 1\ninspection: {non_ip: [arp, llc, 0x88cc], link_local: []}\nprotections: {syn_flood: off, bogons: log}",
    "version: 1\ninspection: {non_ip: lldp, tcp_window: off}\ndefaults: {log: all}",
];

const BAD: &[&str] = &[
    "version: 2",
    "version: \"1\"",
    "[]",
    "version: 1\nzone: {}",
    "version: 1\nzones:",
    "version: 1\nzones: {any: {port: lan}}",
    "version: 1\nzones: {a b: {port: lan}}",
    "version: 1\nzones: {a: {}}",
    "version: 1\nzones: {a: {port: dmz}}",
    "version: 1\nzones: {a: {port: lan, vlans: 4095}}",
    "version: 1\nzones: {a: {port: lan, vlans: []}}",
    "version: 1\nzones: {a: {port: lan, networks: []}}",
    "version: 1\naddresses: {a: 5}",
    "version: 1\naddresses: {a: {path: x}}",
    "version: 1\nservices: {a: 80}",
    "version: 1\nservices: {a: {helper: ftp}}",
    "version: 1\nservices: {a: TCP/80/}",
    "version: 1\nrules: {}",
    "version: 1\nrules: [{name: a}]",
    "version: 1\nrules: [{action: allow}]",
    "version: 1\nrules: [{name: 5, action: allow}]",
    "version: 1\nrules: [{name: a, action: allow, log: yes}]",
    "version: 1\nrules: [{name: a, action: allow, from: []}]",
    "version: 1\nrules: [{name: a, action: allow, limits: {}}]",
    "version: 1\nrules: [{name: a, action: allow, limits: {sessions_per_source: 0}}]",
    "version: 1\nrules: [{name: a, action: allow, timeout: {established: 30}}]",
    "version: 1\nrules: [{name: a, action: allow, timeout: {fragments: 30s}}]",
    "version: 1\ntimeouts: {icmp: 5 min}",
    "version: 1\ninspection: {non_ip: [ipv4]}",
    "version: 1\ninspection: {non_ip: [5]}",
    "version: 1\ninspection: {link_local: [vtp]}",
    "version: 1\nprotections: {port_scan: {ports: 5}}",
    "version: 1\nprotections: {syn_flood: on}",
    "version: 1\nprotections: {syn_flood: {}}",
];

#[test]
fn schema_and_check_agree_on_policies() {
    let schema = policy();
    let shipped = ["policy.yaml", "small.yaml"]
        .map(|name| fs::read_to_string(repository().join("configs").join(name)).unwrap());
    for text in GOOD.iter().copied().chain(shipped.iter().map(String::as_str)) {
        assert_eq!(both(&schema, text, check_policy), (true, Ok(())), "{text}");
    }
    for text in BAD {
        let (valid, checked) = both(&schema, text, check_policy);
        assert!(!valid && checked.is_err(), "schema accepts: {valid}, check: {checked:?}\n{text}");
    }
}

#[test]
fn schema_and_check_agree_on_appliances() {
    let schema = appliance();
    let rest = "policy: p\nports: {lan: {device: a}, wan: {device: b}}\n";
    let shipped =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/appliance.yaml")).unwrap();
    assert_eq!(both(&schema, &shipped, check_appliance), (true, Ok(())));
    for good in [
        "workers: 2",
        "workers: [1, 2]",
        "metrics: off",
        "metrics: '[::1]:0'",
        "eal: ['-d', x]",
        "poll: busy",
    ] {
        let text = format!("version: 1\n{good}\n{rest}");
        assert_eq!(both(&schema, &text, check_appliance), (true, Ok(())), "{text}");
    }
    for bad in [
        "workers: 0",
        "workers: []",
        "metrics: x",
        "eal: [1]",
        "poll: fast",
        "wokers: 1",
        "memory: {}",
        "logs: {file: ''}",
    ] {
        let text = format!("version: 1\n{bad}\n{rest}");
        let (valid, checked) = both(&schema, &text, check_appliance);
        assert!(!valid && checked.is_err(), "schema accepts: {valid}, check: {checked:?}\n{text}");
    }
}
