//! `sekisho explain`.

use super::{Folder, SMALL, has_place, of_the_repository};

#[test]
fn the_deciding_rule_is_told_rule_by_rule() {
    let folder = Folder::new();
    folder.write(
        "p.yaml",
        SMALL.replace(
            "rules:\n",
            "rules:\n  - {name: no-mail, from: lan, to: wan, service: tcp/25, action: reject}\n",
        ),
    );
    let https = ["explain", "p.yaml", "--from", "lan", "tcp", "192.0.2.10:40000", "203.0.113.5:443"];
    let text = folder.run(&https).done();
    let (no_mail, lan_out) = (text.find("no-mail").unwrap(), text.find("lan-out").unwrap());
    assert!(no_mail < lan_out && text.contains("session-new"), "{text}");
    let mail = ["explain", "p.yaml", "--from", "lan", "tcp", "192.0.2.10:40000", "203.0.113.5:25"];
    let text = folder.run(&mail).done();
    assert!(
        text.contains("rule-reject") && text.contains("reject-tcp-reset") && !text.contains("lan-out"),
        "{text}"
    );
}

#[test]
fn the_example_of_the_documents_is_answered() {
    let policy = of_the_repository("configs/policy.yaml").display().to_string();
    let args = ["explain", &policy, "--from", "lan", "tcp", "192.0.2.10:40000", "203.0.113.5:443"];
    let text = Folder::new().run(&args).done();
    assert!(text.contains("browse") && text.contains("forward"), "{text}");
}

#[test]
fn every_notation_of_a_packet_is_understood() {
    let folder = Folder::new();
    folder.write("p.yaml", SMALL);
    for packet in [
        &["udp", "[2001:db8::1]:5000", "[2001:db8::2]:53"][..],
        &["icmp", "192.0.2.10", "203.0.113.5"],
        &["icmp", "192.0.2.10", "203.0.113.5", "echo"],
        &["gre", "192.0.2.10", "203.0.113.5"],
    ] {
        let args = [&["explain", "p.yaml", "--from", "lan"], packet].concat();
        assert!(folder.run(&args).done().contains("forward"), "{packet:?}");
        let args = [&["explain", "--json", "p.yaml", "--from", "wan"], packet].concat();
        let ran = folder.run(&args);
        let json = ran.json();
        assert_eq!(
            (&json["verdict"], &json["reason"]),
            (&"drop".into(), &"default-drop".into()),
            "{packet:?}"
        );
    }
}

#[test]
fn what_is_wrong_with_a_question_is_told() {
    let folder = Folder::new();
    folder.write("p.yaml", SMALL).write("bad.yaml", "version: 2\n");
    let ask = |file, from, packet: &[&str]| {
        folder.run(&[&["explain", file, "--from", from], packet].concat()).wrong_input()
    };
    assert!(ask("p.yaml", "mars", &["tcp", "192.0.2.1:1", "192.0.2.2:2"]).contains("mars"));
    assert!(ask("p.yaml", "lan", &["tcp", "192.0.2.1", "192.0.2.2:2"]).contains("192.0.2.1:443"));
    assert!(ask("p.yaml", "lan", &["tcp", "192.0.2.1:1", "[2001:db8::1]:2"]).contains("families"));
    assert!(ask("p.yaml", "lan", &["quic", "192.0.2.1:1", "192.0.2.2:2"]).contains("quic"));
    let told = ask("bad.yaml", "lan", &["tcp", "192.0.2.1:1", "192.0.2.2:2"]);
    assert!(has_place(told.lines().next().unwrap(), "bad.yaml"), "{told}");
}
