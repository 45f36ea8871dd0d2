//! Virtual time: what happens first at one moment, and captures of every kind.

use std::num::NonZeroU8;

use sekisho_engine::port::Port;
use sekisho_engine::time::Duration;
use sekisho_replay::{Capture, Deploy, Job, Outputs, pcap};
use sekisho_tests::frames::{SYN, udp};
use sekisho_tests::scene::{EPOCH_NS, play, ruleset};

use super::*;

const CLOSED: &str = "version: 1\nzones: {lan: {port: lan}, wan: {port: wan}}\nrules: []\n";

fn ask() -> frames::Packet {
    udp(at(LAN, 5000), at(WAN, 53), b"?")
}

fn job<'a>(lan: &'a [u8], wan: Option<&'a [u8]>) -> Job<'a> {
    Job {
        ruleset: ruleset(LAN_OUT),
        captures: [Some(Capture::new("lan", lan).unwrap()), wan.map(|wan| Capture::new("wan", wan).unwrap())],
        deploys: Vec::new(),
        workers: NonZeroU8::MIN,
        sessions_max: 100,
        budgets: Budgets::default(),
        started: None,
    }
}

/// A capture of these frames with their time stamps.
fn capture(frames: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut writer = pcap::Writer::new(&mut file).unwrap();
    for (time_ns, frame) in frames {
        writer.write(*time_ns, frame, frame.len()).unwrap();
    }
    file
}

#[test]
fn at_one_moment_timers_come_before_deploys_and_deploys_before_frames() {
    let mut scene = lan_out();
    scene.lan(ask()).opens(1, "lan-out");
    scene.ends(1, Reason::EndIdle, 30_000);
    scene.at_ms(30_000).deploys(CLOSED);
    scene.lan(ask()).drops(Reason::DefaultDrop);
    scene.plays();
}

#[test]
fn a_deploy_at_zero_comes_before_the_first_frame() {
    let mut scene = lan_out();
    scene.deploys(CLOSED);
    scene.lan(ask()).drops(Reason::DefaultDrop);
    scene.plays();
}

#[test]
fn deploys_of_one_moment_come_in_their_order() {
    let mut scene = lan_out();
    scene.lan(ask()).opens(1, "lan-out");
    scene.at_ms(10).deploys(CLOSED).deploys(LAN_OUT);
    scene.lan(udp(at(LAN, 5001), at(WAN, 53), b"?")).opens(2, "lan-out");
    scene.at_ms(20).deploys(LAN_OUT).deploys(CLOSED);
    scene.lan(udp(at(LAN, 5002), at(WAN, 53), b"?")).drops(Reason::DefaultDrop);
    scene.plays();
}

#[test]
fn after_the_last_frame_time_stops() {
    let lan = capture(&[(EPOCH_NS, ask().frame())]);
    let mut job = job(&lan, None);
    job.deploys = vec![Deploy { at: Duration::from_nanos(1), name: "late".into(), ruleset: ruleset(CLOSED) }];
    let output = play(job);
    assert_eq!(output.lines.lines().count(), 1);
    assert_eq!((output.summary.deploys, output.summary.sessions_live), (0, 1));
}

#[test]
fn nothing_comes_of_nothing() {
    let empty = capture(&[]);
    let output = play(job(&empty, Some(&empty)));
    assert_eq!((output.lines.as_str(), output.summary.frames), ("", 0));
    assert_eq!(output.captures, [empty.clone(), empty], "a capture of no frames is one");
}

#[test]
fn either_port_may_be_left_out() {
    let lan = capture(&[(EPOCH_NS, ask().frame())]);
    let output = play(job(&lan, None));
    assert!(output.lines.contains(r#""port":"lan","verdict":"forward","reason":"session-new""#));
}

#[test]
fn the_lan_comes_first_on_a_tie() {
    let answer = udp(at(WAN, 53), at(LAN, 5000), b"!").frame();
    let (lan, wan) = (capture(&[(EPOCH_NS, ask().frame())]), capture(&[(EPOCH_NS, answer)]));
    let output = play(job(&lan, Some(&wan)));
    let reasons: Vec<_> = output.lines.lines().map(|line| line.contains("session")).collect();
    assert_eq!(reasons, [true, true]);
    assert!(output.lines.lines().nth(1).unwrap().contains(r#""port":"wan","verdict":"forward""#));
}

#[test]
fn time_that_goes_back_stands_still() {
    let second = 1_000_000_000;
    let lan = capture(&[
        (EPOCH_NS, ask().frame()),
        (EPOCH_NS + 5 * second, ask().frame()),
        (EPOCH_NS + 3 * second, ask().frame()),
        (EPOCH_NS + 6 * second, ask().frame()),
    ]);
    let output = play(job(&lan, None));
    let times: Vec<_> =
        output.lines.lines().map(|line| line.split(r#""time":"#).nth(1).unwrap()[..1].to_owned()).collect();
    assert_eq!(times, ["0", "5", "5", "6"]);
    assert_eq!(output.summary.went_back, [1, 0]);
    let left = sekisho_tests::scene::read(&output.captures[1]);
    assert_eq!(
        left.iter().map(|frame| (frame.time_ns - EPOCH_NS) / second).collect::<Vec<_>>(),
        [0, 5, 5, 6]
    );
}

#[test]
fn a_frame_cut_by_a_snap_length_is_judged_by_what_is_there() {
    let long = udp(at(LAN, 5000), at(WAN, 53), &[7; 1000]).frame();
    let mut scene = lan_out();
    scene.cut(Port::Lan, &long[..64], long.len()).opens(1, "lan-out");
    scene.cut(Port::Lan, &long[..42], long.len()).follows(1);
    // The UDP header is not there: nobody can say what it is.
    scene.cut(Port::Lan, &long[..40], long.len()).drops(Reason::TransportTruncated);
    scene.cut(Port::Lan, &long[..20], long.len()).drops(Reason::IpTruncated);
    // Not cut by the capture, but on the wire.
    scene.lan(long[..64].to_vec()).drops(Reason::IpTruncated);
    scene.plays();
}

#[test]
fn a_capture_that_breaks_off_leaves_what_came_before() {
    let mut lan = capture(&[(EPOCH_NS, ask().frame()), (EPOCH_NS + 1, ask().frame())]);
    let wan = capture(&[(EPOCH_NS + 2, stray())]);
    lan.pop();
    let mut lines = Vec::new();
    let outputs = Outputs { verdicts: Some(Box::new(&mut lines)), ..Outputs::default() };
    let error = sekisho_replay::run(job(&lan, Some(&wan)), outputs).unwrap_err();
    assert!(error.to_string().starts_with("lan: packet 2, at byte 100:"), "{error}");
    assert_eq!(String::from_utf8(lines).unwrap().lines().count(), 1);
}

#[test]
fn days_pass_in_a_blink() {
    let mut scene = lan_out();
    for day in 0..400u64 {
        let mut web = Tcp::new(at(LAN, 40_000), at(WAN, 443));
        scene.at_ms(day * 86_400_000).lan(web.client(SYN)).opens(day + 1, "lan-out");
        scene.ends(day + 1, Reason::EndHandshake, day * 86_400_000 + 30_000);
    }
    tick(&mut scene, 400 * 86_400_000);
    scene.plays();
}
