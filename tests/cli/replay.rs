//! `sekisho replay`.

use sekisho_engine::port::Port;
use sekisho_engine::reason::Reason;
use sekisho_tests::frames::{SYN, udp};
use sekisho_tests::scene::read;
use sekisho_tests::{Scene, Tcp};

use super::{Folder, SMALL, has_place};

/// The dialogue of the contract: a session, what does not belong, an hour of silence; and what must come of it.
fn dialogue() -> Scene {
    let mut scene = Scene::new(SMALL);
    let mut web = Tcp::new("192.0.2.10:40000".parse().unwrap(), "203.0.113.5:443".parse().unwrap());
    web.opens(&mut scene, 1, "lan-out");
    scene.wan(udp(web.server, web.client, b"?")).drops(Reason::DefaultDrop);
    scene.wan(Tcp::new(web.server, web.client).client(SYN)).follows(1);
    scene.ends(1, Reason::EndIdle, 1 + 7_440_000);
    scene.at_ms(8_000_000).lan(udp(web.client, web.server, b"!")).opens(2, "lan-out");
    scene
}

/// A folder with the dialogue as captures, and a policy.
fn folder() -> (Folder, Scene) {
    let (folder, scene) = (Folder::new(), dialogue());
    folder.write("p.yaml", SMALL);
    folder.write("lan.pcap", scene.capture(Port::Lan)).write("wan.pcap", scene.capture(Port::Wan));
    (folder, scene)
}

const BOTH: [&str; 7] = ["replay", "--policy", "p.yaml", "--lan", "lan.pcap", "--wan", "wan.pcap"];

#[test]
fn verdicts_and_captures_are_written_as_asked() {
    let (folder, scene) = folder();
    let expected = scene.plays();
    let outputs = ["--verdicts", "v.jsonl", "--lan-out", "lo.pcap", "--wan-out", "wo.pcap"];
    assert_eq!(
        folder.run(&[&BOTH[..], &outputs].concat()).done(),
        "",
        "nothing was asked of standard output"
    );
    assert_eq!(folder.read("v.jsonl"), expected.lines);
    let left = |name: &str| read(&std::fs::read(folder.path(name)).unwrap()).len();
    assert_eq!((left("lo.pcap"), left("wo.pcap")), (2, 3));
}

#[test]
fn any_number_of_workers_writes_the_same_again_and_again() {
    let (folder, scene) = folder();
    for workers in ["1", "2", "3", "4", "2"] {
        let files =
            ["--verdicts", "v.jsonl", "--lan-out", "lo.pcap", "--workers", workers, "--sessions-max", "1000"];
        folder.run(&[&BOTH[..], &files].concat()).done();
        assert_eq!(folder.read("v.jsonl"), scene.expected_lines());
        std::fs::copy(folder.path("lo.pcap"), folder.path(&format!("lo-{workers}.pcap"))).unwrap();
    }
    let of = |workers| std::fs::read(folder.path(&format!("lo-{workers}.pcap"))).unwrap();
    assert!(of(1) == of(2) && of(2) == of(3) && of(3) == of(4));
}

#[test]
fn verdicts_may_go_to_standard_output() {
    let (folder, scene) = folder();
    assert_eq!(folder.run(&[&BOTH[..], &["--verdicts", "-"]].concat()).done(), scene.expected_lines());
    folder.run(&[&BOTH[..], &["--verdicts", "-", "--json"]].concat()).wrong_input();
}

#[test]
fn without_a_file_to_write_the_figures_are_printed() {
    let (folder, _) = folder();
    let text = folder.run(&BOTH).done();
    assert!(text.starts_with("frames: 6 in 2h13m20s, 5 forwarded, 1 dropped"), "{text}");
    let json = folder.run(&[&BOTH[..], &["--json"]].concat()).json();
    assert_eq!(
        (&json["frames"], &json["reasons"]["default-drop"], &json["sessions_live"]),
        (&6.into(), &1.into(), &1.into())
    );
}

#[test]
fn policies_are_deployed_on_the_way() {
    let (folder, _) = folder();
    folder.write("closed.yaml", SMALL.replace("action: allow", "action: drop"));
    let args = ["--deploy", "0.00001=closed.yaml", "--deploy", "7999.5=closed.yaml", "--verdicts", "v.jsonl"];
    folder.run(&[&BOTH[..], &args].concat()).done();
    let lines = folder.read("v.jsonl");
    let deploys: Vec<_> = lines.lines().filter(|line| line.contains("deploy")).collect();
    assert_eq!(
        deploys,
        [
            r#"{"event":"deploy","time":0.000010000,"policy":"closed.yaml"}"#,
            r#"{"event":"deploy","time":7999.500000000,"policy":"closed.yaml"}"#,
        ]
    );
    assert!(
        lines.lines().last().unwrap().contains(r#""verdict":"drop","reason":"rule-drop","rule":"lan-out"}"#),
        "{lines}"
    );

    let ran = folder.run(&[&BOTH[..], &["--deploy", "9000=closed.yaml", "--verdicts", "v.jsonl"]].concat());
    assert_eq!(ran.status, 0);
    assert!(ran.stderr.contains("after the last frame"), "{}", ran.stderr);
}

#[test]
fn wrong_deploys_are_refused() {
    let (folder, _) = folder();
    folder.write("bad.yaml", "version: 2\n");
    for wrong in ["closed.yaml", "x=p.yaml", "-1=p.yaml", "1e3=p.yaml", "1=", "1.0000000001=p.yaml"] {
        let told = folder.run(&[&BOTH[..], &[&format!("--deploy={wrong}")]].concat()).wrong_input();
        assert!(told.contains("--deploy"), "{wrong}: {told}");
    }
    let told = folder.run(&[&BOTH[..], &["--deploy", "1=bad.yaml"]].concat()).wrong_input();
    assert!(has_place(told.lines().next().unwrap(), "bad.yaml"), "{told}");
    folder.run(&[&BOTH[..], &["--deploy", "1=missing.yaml"]].concat()).wrong_input();
}

#[test]
fn either_capture_may_be_left_out_but_not_both() {
    let (folder, _) = folder();
    folder.run(&["replay", "--policy", "p.yaml", "--lan", "lan.pcap"]).done();
    folder.run(&["replay", "--policy", "p.yaml", "--wan", "wan.pcap"]).done();
    assert!(folder.run(&["replay", "--policy", "p.yaml"]).wrong_input().contains("--lan"));
    assert!(folder.run(&["replay", "--lan", "lan.pcap"]).wrong_input().contains("--policy"));
}

#[test]
fn damaged_captures_are_refused_with_their_place() {
    let (folder, _) = folder();
    let whole = std::fs::read(folder.path("lan.pcap")).unwrap();
    let raw_ip = {
        let mut file = whole.clone();
        file[20] = 101;
        file
    };
    folder
        .write("cut.pcap", &whole[..whole.len() - 1])
        .write("raw.pcap", raw_ip)
        .write("text.pcap", SMALL)
        .write("empty.pcap", "");
    let with = |file: &str| {
        folder.run(&["replay", "--policy", "p.yaml", "--lan", file, "--verdicts", "v.jsonl"]).wrong_input()
    };
    assert!(
        with("cut.pcap").starts_with("cut.pcap: packet 3, at byte 176: the file ends in the middle"),
        "{}",
        with("cut.pcap")
    );
    assert_eq!(folder.read("v.jsonl").lines().count(), 2, "what came before the damage is there");
    assert!(with("raw.pcap").starts_with("raw.pcap: packet 1, at byte 0: the link type is 101"));
    assert!(with("text.pcap").starts_with("text.pcap: this is neither pcap nor pcapng"));
    assert!(with("empty.pcap").starts_with("empty.pcap: this is neither"));
    assert!(with("missing.pcap").starts_with("missing.pcap: No such file"));
    assert!(with(".").starts_with(".: the file cannot be read: Is a directory"));
}

#[test]
fn wrong_policies_are_refused_with_their_places() {
    let (folder, _) = folder();
    folder.write("bad.yaml", SMALL.replace("lan-out, from: lan", "lan-out, from: mars"));
    let told = folder.run(&["replay", "--policy", "bad.yaml", "--lan", "lan.pcap"]).wrong_input();
    assert!(has_place(told.trim_end(), "bad.yaml") && told.contains("mars"), "{told}");
}

#[test]
fn inputs_are_never_written_over() {
    let (folder, _) = folder();
    let before = std::fs::read(folder.path("lan.pcap")).unwrap();
    for args in [["--lan-out", "lan.pcap"], ["--wan-out", "./wan.pcap"], ["--verdicts", "p.yaml"]] {
        assert!(folder.run(&[&BOTH[..], &args].concat()).wrong_input().contains("the same file as"));
    }
    assert!(
        folder
            .run(&[&BOTH[..], &["--lan-out", "x", "--wan-out", "x"]].concat())
            .wrong_input()
            .contains("the same file")
    );
    assert_eq!(std::fs::read(folder.path("lan.pcap")).unwrap(), before);
    assert!(!folder.path("x").exists());
    folder.run(&[&BOTH[..], &["--lan-out", "/dev/null", "--wan-out", "/dev/null"]].concat()).done();
}

#[test]
fn what_cannot_be_written_is_told() {
    let (folder, _) = folder();
    let told = folder.run(&[&BOTH[..], &["--verdicts", "no/such/folder"]].concat()).wrong_input();
    assert!(told.starts_with("no/such/folder: "), "{told}");
    let ran = folder.run(&[&BOTH[..], &["--verdicts", "/dev/full"]].concat());
    assert_eq!(ran.status, 1, "a full disk is no fault of the input");
    assert!(ran.stderr.contains("No space left"), "{}", ran.stderr);
}

#[test]
fn numbers_out_of_range_are_refused() {
    let (folder, _) = folder();
    for args in [["--workers", "0"], ["--workers", "129"], ["--workers", "two"], ["--sessions-max", "0"]] {
        assert!(folder.run(&[&BOTH[..], &args].concat()).wrong_input().contains(args[0]), "{args:?}");
    }
}

#[test]
fn tcpdump_reads_what_is_written() {
    let (folder, _) = folder();
    folder.run(&[&BOTH[..], &["--wan-out", "wo.pcap"]].concat()).done();
    let path = folder.path("wo.pcap").display().to_string();
    let output = std::process::Command::new("tcpdump")
        .args(["-tt", "-n", "-r", &path])
        .output()
        .expect("tcpdump is installed");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.starts_with("1780000000.123456 IP 192.0.2.10.40000 > 203.0.113.5.443: Flags [S]"), "{text}");
}
