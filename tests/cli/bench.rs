//! `sekisho bench`.

use super::Folder;

const RESULTS: &str = r#"{"machine":{"cores":"2"}}
{"workload":"memory","variant":{"family":4,"sessions":1000000},"subject":"sekisho","round":1,"figure":"bytes_per_session","value":122}
{"workload":"memory","variant":{"family":4,"sessions":10000000},"subject":"sekisho","round":1,"figure":"bytes_per_session","value":121}
"#;

#[test]
fn a_report_is_made_of_results() {
    let folder = Folder::new();
    folder.write("r.jsonl", RESULTS);
    let said = folder.run(&["bench", "report", "r.jsonl", "--out", "made/of"]).done();
    assert_eq!(said, "made/of: 3 files written\n");
    let front = folder.read("made/of/README.md");
    assert!(
        front.contains("| memory, bytes an IPv4 session | at most 128 | 122, worst of 2 | yes |"),
        "{front}"
    );
    assert!(folder.read("made/of/memory.md").contains("(memory-bytes-per-session-family-4.svg)"));
    assert!(folder.read("made/of/memory-bytes-per-session-family-4.svg").starts_with("<svg"));
}

#[test]
fn what_is_no_result_is_told_with_its_line() {
    let folder = Folder::new();
    folder.write("r.jsonl", format!("{RESULTS}{{}}"));
    let said = folder.run(&["bench", "report", "r.jsonl"]).wrong_input();
    assert!(said.starts_with("r.jsonl: line 4: missing field `workload`"), "{said}");
    let said = folder.run(&["bench", "report", "none.jsonl"]).wrong_input();
    assert!(said.contains("none.jsonl: No such file") && said.contains("name a file"), "{said}");
}

#[test]
fn a_workload_is_measured_printed_and_kept() {
    let folder = Folder::new();
    let short = ["--rounds", "2", "--span", "2", "--results", "r.jsonl"];
    let established =
        ["bench", "established", "--sessions", "1k", "--protocol", "udp", "--family", "4", "--size", "64"];
    let said = folder.run(&[&established[..], &short].concat()).done();
    assert!(said.contains("established: million packets a second"), "{said}");
    assert!(said.contains("| sekisho | none | ratio to none |"), "{said}");
    let rules = ["bench", "rules", "--set", "fw", "--rules", "100", "--family", "4"];
    folder.run(&[&rules[..], &short].concat()).done();
    // A header and samples of each run, and all of it makes a report.
    let kept = folder.read("r.jsonl");
    assert_eq!(kept.lines().filter(|line| line.starts_with("{\"machine\":")).count(), 2, "{kept}");
    assert_eq!(kept.lines().count(), 2 + 2 * (7 + 5), "{kept}");
    assert_eq!(
        folder.run(&["bench", "report", "r.jsonl", "--out", "made"]).done(),
        "made: 3 files written\n"
    );
}

#[test]
fn rules_are_exported_for_others_to_measure() {
    let folder = Folder::new();
    let said = folder.run(&["bench", "rules", "--set", "fw", "--rules", "100", "--export", "acl"]).done();
    assert_eq!(said, "");
    assert_eq!(folder.read("acl/fw-100.rules").lines().count(), 100);
    assert_eq!(folder.read("acl/fw-100.trace").lines().count(), 100_000);
}

#[test]
fn wrong_settings_are_told_with_what_would_be_right() {
    let folder = Folder::new();
    for (args, said) in [
        (&["established", "--sessions", "99M"][..], "from 2 to 16777216"),
        (&["established", "--protocol", "sctp"], "udp, tcp, mixed"),
        (&["rules", "--set", "gw"], "there are acl, fw"),
        (&["rules", "--set", "nested", "--family", "6"], "name one of them"),
        (&["setup", "--begin", "connections", "--table", "full"], "name another table"),
        (&["memory", "--core", "9999"], "name another one"),
        (&["memory", "--results", "no/such/folder/r.jsonl"], "name a file that may be written"),
    ] {
        let told = folder.run(&[&["bench"], args].concat()).wrong_input();
        assert!(told.contains(said), "{args:?}: {told}");
    }
}
