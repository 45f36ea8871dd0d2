//! Linux as a second opinion: the same conversations through a router with nftables, and through the replay under the
//! same policy. Where the two differ stands in a table with the reason, here and in docs/against-linux.md; anything else
//! fails.

mod router;
mod talks;

use std::num::NonZeroU8;

use sekisho_engine::port::Port;
use sekisho_engine::session::room::Budgets;
use sekisho_replay::{Capture, Job, pcap};
use sekisho_tests::repo;
use sekisho_tests::scene::{EPOCH_NS, LAN_OUT, play, ruleset};

use router::Router;
use talks::{Talk, talks};

/// Where Linux (as it comes, but for `nf_conntrack_tcp_loose=0`) and sekisho differ: the conversation, the number of its
/// frame, whether Linux forwards it (sekisho does the opposite), and why.
const DIFFERENCES: &[(&str, usize, bool, &str)] = &[
    (
        "data too early",
        2,
        true,
        "A bare ACK here may be a challenge and passes; data cannot be one, and nobody would take it (RFC 9293 section 3.10.7.3).",
    ),
    (
        "data too early",
        4,
        true,
        "Only a fast open server may speak before its SYN is acknowledged (RFC 7413), and no fast open was asked for.",
    ),
    (
        "SYN of the server in an established session",
        3,
        false,
        "Its receiver challenges it, whatever its number (RFC 5961 section 4): it passes, and moves nothing.",
    ),
    (
        "numbers outside the windows",
        4,
        true,
        "Linux allows for senders that overshoot by up to a window; the bound here is what the receiver has allowed.",
    ),
    (
        "numbers outside the windows",
        8,
        true,
        "Linux forwards any acknowledgement that is too old and ignores it; its receiver would (RFC 5961 section 5.2).",
    ),
    (
        "a SYN refused",
        1,
        true,
        "A refusal must acknowledge the SYN (RFC 9293 section 3.10.7.3). Linux takes it, and the session is over for it.",
    ),
    ("a SYN refused", 3, false, "Follows from the difference before: for Linux the session is over."),
    ("half-closed", 5, true, "Nothing new comes after a FIN."),
    (
        "a lower number on what waits",
        10,
        false,
        "Linux forwards the SYN and the SYN/ACK but stays with the old session, so the new one never opens (RFC 6191 allows it).",
    ),
];

#[test]
fn linux_and_sekisho_differ_where_the_table_says_so() {
    let Some(router) = Router::up() else {
        eprintln!("SKIPPED: this kernel has no conntrack for nftables; nothing was compared with Linux");
        return;
    };
    let (mut differences, mut frames) = (Vec::new(), 0);
    let talks = talks();
    for talk in &talks {
        let (linux, sekisho) = (through_linux(&router, talk), through_sekisho(talk));
        frames += linux.len();
        for (at, (linux, sekisho)) in linux.into_iter().zip(sekisho).enumerate() {
            if linux != sekisho {
                differences.push((talk.name, at, linux));
            }
        }
    }
    let wanted: Vec<_> = DIFFERENCES.iter().map(|(talk, at, linux, _)| (*talk, *at, *linux)).collect();
    let text = |list: &[(&str, usize, bool)]| {
        let line = |(talk, at, linux): &(&str, usize, bool)| {
            let frame = talks.iter().find(|t| t.name == *talk).map_or("?", |t| &t.frames[*at].2);
            format!("{talk}, frame {at} ({frame}): Linux {}\n", if *linux { "forwards" } else { "drops" })
        };
        list.iter().map(line).collect::<String>()
    };
    eprintln!("{} conversations, {frames} frames, {} differences", talks.len(), differences.len());
    assert!(
        differences == wanted,
        "they differ in\n{}and should, by the table, in\n{}",
        text(&differences),
        text(&wanted)
    );
}

#[test]
fn the_document_shows_every_difference_from_linux() {
    let document = std::fs::read_to_string(repo::top().join("docs/against-linux.md")).expect("it is there");
    let talks = talks();
    for (talk, at, linux, why) in DIFFERENCES {
        let frame = &talks.iter().find(|t| t.name == *talk).expect("a conversation").frames[*at].2;
        let (linux, sekisho) = if *linux { ("forwards", "drops") } else { ("drops", "forwards") };
        let row = format!("| {talk} | {frame} | {linux} | {sekisho} | {why} |");
        assert!(document.contains(&row), "docs/against-linux.md lacks:\n{row}");
    }
}

/// Whether each frame comes out at the other end of a Linux router.
fn through_linux(router: &Router, talk: &Talk) -> Vec<bool> {
    talk.frames.iter().map(|(port, packet, what)| router.forwards(*port, packet, talk.name, what)).collect()
}

/// Whether the replay forwards each frame.
fn through_sekisho(talk: &Talk) -> Vec<bool> {
    let captures = Port::ALL.map(|port| {
        let mut file = Vec::new();
        let mut writer = pcap::Writer::new(&mut file).expect("a capture in memory");
        let mut time_ns = EPOCH_NS;
        for (on, packet, _) in &talk.frames {
            time_ns += 10_000_000;
            if *on == port {
                let frame = packet.frame();
                writer.write(time_ns, &frame, frame.len()).expect("a capture in memory");
            }
        }
        file
    });
    let output = play(Job {
        ruleset: ruleset(LAN_OUT),
        captures: [0, 1].map(|side| Some(Capture::new("capture", &captures[side][..]).expect("a capture"))),
        deploys: Vec::new(),
        workers: NonZeroU8::MIN,
        sessions_max: 100,
        budgets: Budgets::default(),
        started: None,
    });
    let verdicts = output.lines.lines().filter(|line| line.starts_with(r#"{"index""#));
    let verdicts: Vec<_> = verdicts.map(|line| line.contains(r#""verdict":"forward""#)).collect();
    assert_eq!(verdicts.len(), talk.frames.len(), "{}", talk.name);
    verdicts
}
