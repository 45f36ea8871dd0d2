//! `sekisho check`.

use super::{Folder, SMALL, has_place, of_the_repository};

#[test]
fn a_valid_policy_is_said_to_be() {
    let folder = Folder::new();
    folder.write("p.yaml", SMALL);
    assert_eq!(folder.run(&["check", "p.yaml"]).done(), "p.yaml: valid, 1 rule\n");
}

#[test]
fn the_policies_of_the_repository_are_valid() {
    let folder = Folder::new();
    for file in ["configs/policy.yaml", "configs/small.yaml", "configs/lab/policy.yaml"] {
        let ran = folder.run(&["check", &of_the_repository(file).display().to_string()]);
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        assert!(ran.stdout.contains(": valid, "), "{}", ran.stdout);
    }
}

#[test]
fn warnings_go_to_standard_error_and_change_no_exit_status() {
    let folder = Folder::new();
    let shadowed = format!(
        "{SMALL}  - {{name: never, from: lan, to: wan, service: tcp/80, action: drop}}\naddresses: {{unused: 10.0.0.0/8}}\n"
    );
    folder.write("p.yaml", shadowed);
    let ran = folder.run(&["check", "p.yaml"]);
    assert_eq!((ran.status, ran.stdout.as_str()), (0, "p.yaml: valid, 2 rules, 2 warnings\n"));
    let lines: Vec<_> = ran.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{}", ran.stderr);
    assert!(
        lines.iter().all(|line| has_place(line, "p.yaml") && line.contains(": warning: ")),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("never") && ran.stderr.contains("unused"));
}

/// One fault in each of these lines, and what its message must speak of.
const FAULTS: [(&str, &str); 21] = [
    ("version: 2", "version"),
    ("defaults: {action: permit}", "permit"),
    ("default: {}", "default"),
    ("zones:", ""),
    ("  lan: {port: lan, networks: [192.0.2.1/24]}", "192.0.2.1/24"),
    ("  dmz: {port: dmz}", "dmz"),
    ("  guests: {port: lan, vlans: [5000]}", "5000"),
    ("  wan: {port: wan}", ""),
    ("addresses:", ""),
    ("  office: 192.0.2.300", "192.0.2.300"),
    ("  printers: 192.0.2.220-192.0.2.200", "192.0.2.220"),
    ("  feed: {file: no-such-file.txt}", "no-such-file.txt"),
    ("  nobody: []", "nobody"),
    ("services: {web: tcp/99999, odd: tcp/90-80, dns: udq/53}", "99999"),
    ("rules:", ""),
    ("  - {name: one, from: lan, to: mars, action: allow}", "mars"),
    ("  - {name: one, from: lan, to: wan, action: drop}", "one"),
    ("  - {name: two, from: lan, to: wan, source: nowhere, action: allow}", "nowhere"),
    (
        "  - {name: three, from: lan, to: wan, service: gopher, action: allow, timeout: {established: soon}}",
        "gopher",
    ),
    ("  - {name: four, from: lan, to: wan, action: alow, logg: true}", "alow"),
    ("timeouts: {udp: {stream: -5s}}", "-5s"),
];

#[test]
fn twenty_faults_get_twenty_messages_at_once() {
    let folder = Folder::new();
    folder.write("p.yaml", FAULTS.map(|(line, _)| line).join("\n"));
    let told = folder.run(&["check", "p.yaml"]).wrong_input();
    let lines: Vec<_> = told.lines().collect();
    assert!(lines.len() >= 20, "{} messages:\n{told}", lines.len());
    assert!(lines.iter().all(|line| has_place(line, "p.yaml")), "{told}");
    for (number, (text, word)) in (1..).zip(FAULTS).filter(|(_, (_, word))| !word.is_empty()) {
        let place = format!("p.yaml:{number}:");
        assert!(
            lines.iter().any(|line| line.starts_with(&place) && line.contains(word)),
            "{text:?} has no message:\n{told}"
        );
    }
}

#[test]
fn every_file_is_checked_and_one_that_is_wrong_fails_all() {
    let folder = Folder::new();
    folder.write("good.yaml", SMALL).write("bad.yaml", "version: 2\n").write("ugly.yaml", "\u{0}{[");
    let ran = folder.run(&["check", "bad.yaml", "good.yaml", "ugly.yaml", "missing.yaml"]);
    assert_eq!((ran.status, ran.stdout.as_str()), (2, "good.yaml: valid, 1 rule\n"));
    for file in ["bad.yaml", "ugly.yaml", "missing.yaml"] {
        assert!(ran.stderr.lines().any(|line| has_place(line, file)), "{file}: {}", ran.stderr);
    }
}

#[test]
fn json_tells_the_same_for_programs() {
    let folder = Folder::new();
    folder.write("good.yaml", SMALL).write("bad.yaml", SMALL.replace("action: allow", "action: alow"));
    let ran = folder.run(&["check", "--json", "good.yaml", "bad.yaml"]);
    assert_eq!(ran.status, 2);
    let json = ran.json();
    assert_eq!((&json[0]["valid"], &json[0]["rules"]), (&true.into(), &1.into()));
    assert_eq!(json[0]["sha256"].as_str().map(str::len), Some(64));
    assert_eq!(json[1]["valid"], false);
    let fault = &json[1]["diagnostics"][0];
    assert_eq!(
        (&fault["file"], &fault["line"], &fault["severity"]),
        (&"bad.yaml".into(), &6.into(), &"error".into())
    );
    assert!(ran.stderr.starts_with("bad.yaml:6:"));
}
