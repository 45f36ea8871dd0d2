//! Real programs whose further connections only their helper lets pass: FTP in its four modes, TFTP, a SIP call.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use sekisho_tests::appliance::Settings;
use sekisho_tests::lab::{LAN, LAN6, WAN, WAN6};
use sekisho_tests::process::{must, run, text};
use sekisho_tests::{Appliance, Lab, Namespace, Running, wait};
use serde_json::Value;

use crate::LIMIT;

/// Only control sessions, each with its helper.
const POLICY: &str = "\
version: 1
defaults: {log: all}
zones: {lan: {port: lan}, wan: {port: wan}}
services:
  ftp: {ports: tcp/21, helper: ftp}
  tftp: {ports: udp/69, helper: tftp}
  sip: {ports: [udp/5060, tcp/5060], helper: sip}
rules:
  - {name: files, from: lan, to: wan, service: [ftp, tftp], action: allow}
  - {name: calls, from: lan, to: wan, service: sip, action: allow}
";

/// A file of one megabyte that is nothing but itself.
fn content() -> Vec<u8> {
    (0..1u32 << 18).flat_map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()).collect()
}

/// A folder that servers without rights can read, with a file `file` in it and a folder `in` that all may write to.
fn shared() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mode =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
    fs::write(folder.path().join("file"), content()).expect("a file is written");
    fs::create_dir(folder.path().join("in")).expect("a folder is made");
    mode(&folder.path().join("in"), 0o777);
    mode(folder.path(), 0o755);
    folder
}

pub(crate) struct Ftp {
    _process: Running,
    folder: tempfile::TempDir,
    _config: tempfile::TempDir,
}

/// vsftpd on port 21 of the address, which gives `file` to anybody and takes files in `in`.
pub(crate) fn vsftpd(namespace: &Namespace, address: &str) -> Ftp {
    let (folder, config) = (shared(), tempfile::tempdir().expect("a temporary folder"));
    let empty = config.path().join("empty");
    fs::create_dir(&empty).expect("a folder is made");
    let listen = if address.contains(':') {
        format!("listen=NO\nlisten_ipv6=YES\nlisten_address6={address}")
    } else {
        format!("listen=YES\nlisten_address={address}")
    };
    let lines = format!(
        "{listen}\nbackground=NO\nanonymous_enable=YES\nno_anon_password=YES\nlocal_enable=NO\nanon_root={}\n\
         secure_chroot_dir={}\nwrite_enable=YES\nanon_upload_enable=YES\nconnect_from_port_20=YES\n\
         seccomp_sandbox=NO\nport_enable=YES\npasv_enable=YES\n",
        folder.path().display(),
        empty.display()
    );
    let file = config.path().join("vsftpd.conf");
    fs::write(&file, lines).expect("a configuration is written");
    let process = namespace.serve(&format!("vsftpd {}", file.display()), "tcp", 21);
    Ftp { _process: process, folder, _config: config }
}

/// Fetches `file` of the URL and brings it back as `in/NAME`, with these options of curl.
fn curl(lab: &Lab, server: &Path, url: &str, name: &str, options: &[&str]) {
    let own = tempfile::tempdir().expect("a temporary folder");
    let local = own.path().join("got").display().to_string();
    let all = ["curl", "-sS", "-g", "--max-time", "20", "--connect-timeout", "5"];
    let (from, to) = (format!("{url}/file"), format!("{url}/in/{name}"));
    let fetch = [&all[..], options, &["-o", &local, &from]].concat();
    must(&mut lab.lan.command_of(fetch));
    assert!(
        fs::read(&local).expect("it was fetched") == content(),
        "{options:?}: what came is not what was there"
    );
    let bring = [&all[..], options, &["-T", &local, &to]].concat();
    must(&mut lab.lan.command_of(bring));
    let there = server.join("in").join(name);
    wait::until(LIMIT, "what was brought is there", || {
        fs::read(&there).is_ok_and(|there| there == content())
    });
}

fn helper(appliance: &Appliance, name: &str) -> Value {
    let all = appliance.json(&["counters"])["helpers"].clone();
    all.as_array()
        .and_then(|all| all.iter().find(|one| one["helper"] == name))
        .expect("it is counted")
        .clone()
}

fn with_workers(lab: &Lab, policy: &str, workers: u8) -> Appliance {
    Appliance::with(lab, &Settings { policy: policy.to_owned(), workers, ..Settings::default() })
}

/// curl in passive (PASV, EPSV) and active (PORT, EPRT) mode. Data sessions may be another worker's than control sessions.
#[test]
fn curl_moves_files_by_ftp_in_four_modes_over_ipv4() {
    let lab = Lab::up();
    let appliance = with_workers(&lab, POLICY, 2);
    let server = vsftpd(&lab.wan, WAN);
    let modes: [(&str, &[&str]); 4] = [
        ("pasv", &["--disable-epsv"]),
        ("epsv", &[]),
        ("port", &["--disable-eprt", "--ftp-port", LAN]),
        ("eprt", &["--ftp-port", LAN]),
    ];
    for (number, (name, options)) in (1..).zip(modes) {
        curl(&lab, server.folder.path(), &format!("ftp://{WAN}"), name, options);
        wait::until(LIMIT, "each file had a data session of its own", || {
            appliance.count("session-expected") == 2 * number
        });
    }
    let figures = helper(&appliance, "ftp");
    assert_eq!(
        (&figures["followed"], &figures["opened"], &figures["used"]),
        (&8.into(), &8.into(), &8.into())
    );
    // The flow log names the control session of each.
    wait::until(LIMIT, "the log tells whose the data sessions were", || {
        let log = appliance.flow_log();
        let controls: Vec<_> = log.iter().filter(|line| line["destination_port"] == 21).collect();
        let begun = |line: &&Value| line["event"] == "session-start" && line["parent"].is_string();
        let data: Vec<_> = log.iter().filter(begun).collect();
        data.len() == 8
            && data.iter().all(|line| {
                line["helper"] == "ftp"
                    && line["rule"] == "files"
                    && controls.iter().any(|control| control["session"] == line["parent"])
            })
    });
}

#[test]
fn curl_moves_files_by_ftp_in_both_modes_over_ipv6() {
    let lab = Lab::up();
    let appliance = with_workers(&lab, POLICY, 2);
    let server = vsftpd(&lab.wan, WAN6);
    let url = format!("ftp://[{WAN6}]");
    curl(&lab, server.folder.path(), &url, "epsv", &[]);
    curl(&lab, server.folder.path(), &url, "eprt", &["--ftp-port", LAN6]);
    wait::until(LIMIT, "each file had a data session", || appliance.count("session-expected") == 4);
}

#[test]
fn lftp_moves_files_in_three_modes_over_ipv4() {
    let lab = Lab::up();
    let appliance = Appliance::start(&lab, POLICY);
    let server = vsftpd(&lab.wan, WAN);
    let modes = [
        ("pasv", "set ftp:passive-mode on; set ftp:prefer-epsv off"),
        ("epsv", "set ftp:passive-mode on; set ftp:prefer-epsv on"),
        ("port", "set ftp:passive-mode off"),
    ];
    let settings = "set net:timeout 5; set net:max-retries 1; set ftp:ssl-allow no; set ftp:auto-passive-mode off; set dns:order inet";
    let own = tempfile::tempdir().expect("a temporary folder");
    let local = own.path().join("got");
    for (name, mode) in modes {
        let script = format!(
            "{settings}; {mode}; open {WAN}; ls; get -e file -o {}; put {} -o in/{name}; bye",
            local.display(),
            local.display()
        );
        must(&mut lab.lan.command_of(["lftp", "-c", &script]));
        assert!(fs::read(&local).expect("it was fetched") == content(), "{name}");
        assert!(
            fs::read(server.folder.path().join("in").join(name)).is_ok_and(|there| there == content()),
            "{name}"
        );
    }
    wait::until(LIMIT, "a list and two files in each mode", || appliance.count("session-expected") == 9);
}

#[test]
fn lftp_moves_files_in_both_modes_over_ipv6() {
    let lab = Lab::up();
    let appliance = Appliance::start(&lab, POLICY);
    let _server = vsftpd(&lab.wan, WAN6);
    let own = tempfile::tempdir().expect("a temporary folder");
    let local = own.path().join("got");
    for mode in ["on", "off"] {
        let script = format!(
            "set net:timeout 5; set net:max-retries 1; set ftp:ssl-allow no; set ftp:auto-passive-mode off; \
             set ftp:passive-mode {mode}; open ftp://[{WAN6}]; get -e file -o {}; bye",
            local.display()
        );
        must(&mut lab.lan.command_of(["lftp", "-c", &script]));
        assert!(fs::read(&local).expect("it was fetched") == content(), "passive mode {mode}");
    }
    wait::until(LIMIT, "a file in each mode", || appliance.count("session-expected") == 2);
}

#[test]
fn without_its_helper_ftp_moves_nothing() {
    let lab = Lab::up();
    let appliance = Appliance::start(&lab, &POLICY.replace(", helper: ftp", ""));
    let _server = vsftpd(&lab.wan, WAN);
    let url = format!("ftp://{WAN}/file");
    for options in [&[][..], &["--ftp-port", LAN]] {
        let words = [&["curl", "-sS", "--max-time", "4"], options, &[url.as_str()]].concat();
        assert!(!run(&mut lab.lan.command_of(words)).status.success(), "{options:?}");
    }
    assert_eq!(appliance.count("session-expected"), 0);
    assert!(appliance.count("default-drop") > 0);
}

/// What waits for its connection is in the listing, in the metrics, and gone with its control session.
#[test]
fn expectations_are_listed_until_their_control_session_ends() {
    let lab = Lab::up();
    let appliance = Appliance::start(&lab, POLICY);
    let _server = vsftpd(&lab.wan, WAN);
    let mut client = lab.lan.start(&format!("nc -n {WAN} 21"));
    client.says(LIMIT, "220");
    for (command, reply) in [("USER anonymous", "230"), ("PASV", "227"), ("EPSV", "229")] {
        client.write(&format!("{command}\r\n"));
        client.says(LIMIT, reply);
    }
    let expected = |filter: &[&str]| {
        let listed = appliance.json(&[&["sessions", "--expectations"], filter].concat());
        listed["expectations"].as_array().expect("a list").clone()
    };
    let all = wait::until_some(LIMIT, "both are listed", || Some(expected(&[])).filter(|all| all.len() == 2));
    let control = &appliance.sessions(&["--port", "21"])[0];
    for one in &all {
        assert_eq!(
            (&one["helper"], &one["rule"], &one["from"]),
            (&"ftp".into(), &"files".into(), &"lan".into())
        );
        assert_eq!((&one["source"], &one["destination"]), (&LAN.into(), &WAN.into()));
        assert_eq!((&one["parent"], &control["helper"]), (&control["id"], &"ftp".into()));
        assert!(one["expires_in_seconds"].as_f64().is_some_and(|left| left > 30.0 && left <= 60.0), "{one}");
    }
    assert_eq!(expected(&["--address", WAN]).len(), 2);
    assert_eq!(expected(&["--address", WAN6]).len(), 0);
    assert_eq!(expected(&["--port", &all[0]["destination_port"].to_string()]).len(), 1);
    let listing = text(&appliance.command(&["sessions"]).stdout);
    assert!(listing.contains("EXPECTED") && listing.lines().count() == 6, "{listing}");
    let metrics = appliance.metrics();
    assert!(metrics.contains("sekisho_expectations{helper=\"ftp\"} 2"), "{metrics}");
    assert!(metrics.contains("sekisho_helper_sessions{helper=\"ftp\"} 1"), "{metrics}");

    let ended = appliance.command(&["sessions", "--port", "21", "--end"]);
    assert!(ended.status.success(), "{}", text(&ended.stderr));
    wait::until(LIMIT, "they went with their session", || expected(&[]).is_empty());
    let figures = helper(&appliance, "ftp");
    assert_eq!(
        (&figures["following"], &figures["open"], &figures["withdrawn"]),
        (&0.into(), &0.into(), &2.into())
    );
}

#[test]
fn tftp_moves_files_both_ways_over_ipv4_and_ipv6() {
    let lab = Lab::up();
    let appliance = with_workers(&lab, POLICY, 2);
    let folder = shared();
    let small = &content()[..100_000];
    fs::write(folder.path().join("small"), small).expect("a file is written");
    let own = tempfile::tempdir().expect("a temporary folder");
    let local = own.path().join("got").display().to_string();
    for (number, (option, address)) in (1..).zip([("-4", WAN.to_owned()), ("-6", format!("[{WAN6}]"))]) {
        let line = format!(
            "in.tftpd --foreground {option} --user root --create --permissive --address {address}:69 --secure {}",
            folder.path().display()
        );
        let _server = lab.wan.serve(&line, "udp", 69);
        let url = format!("tftp://{address}");
        must(&mut lab.lan.command_of([
            "curl",
            "-sSg",
            "--max-time",
            "20",
            "-o",
            &local,
            &format!("{url}/small"),
        ]));
        assert!(fs::read(&local).is_ok_and(|got| got == small), "{address}");
        let name = format!("{url}/in/{number}");
        must(&mut lab.lan.command_of(["curl", "-sSg", "--max-time", "20", "-T", &local, &name]));
        let there = folder.path().join(format!("in/{number}"));
        wait::until(LIMIT, "what was brought is there", || {
            fs::read(&there).is_ok_and(|there| there == small)
        });
        wait::until(LIMIT, "each transfer was expected", || {
            appliance.count("session-expected") == 2 * number
        });
    }
    assert_eq!(helper(&appliance, "tftp")["used"], 4);
}

/// A call between two agents over UDP and over TCP, whose voice passes both ways.
#[test]
fn a_sip_call_carries_voice_both_ways() {
    for transport in ["u1", "t1"] {
        let lab = Lab::up();
        let appliance = with_workers(&lab, POLICY, 2);
        let protocol = if transport == "u1" { "udp" } else { "tcp" };
        let callee = format!(
            "sipp -sn uas -i {WAN} -p 5060 -mi {WAN} -mp 8000 -rtp_echo -t {transport} -nostdin -m 1"
        );
        let _callee = lab.wan.serve(&callee, protocol, 5060);
        // The agent's own call, with the voice of another program at its port, and no hurry to hang up.
        let folder = tempfile::tempdir().expect("a temporary folder");
        let scenario = folder.path().join("call.xml");
        let own =
            text(&run(Command::new("sipp").args(["-sd", "uac"])).stdout).replace("[media_port]", "6200");
        assert!(own.contains("m=audio 6200"), "{own}");
        fs::write(&scenario, own).expect("a scenario is written");
        let caller = format!(
            "sipp {WAN}:5060 -sf {} -i {LAN} -p 5070 -mi {LAN} -t {transport} -nostdin -m 1 -d 4000",
            scenario.display()
        );
        let mut caller = lab.lan.start(&caller);
        wait::until(LIMIT, "RTP and RTCP of both ends are expected", || {
            helper(&appliance, "sip")["open"] == 4
        });
        let mut voice = lab.lan.start(&format!("nc -n -u -s {LAN} -p 6200 {WAN} 8000"));
        voice.write("hello from the lan\n");
        voice.says(LIMIT, "hello from the lan");
        // The callee reports first.
        let mut ear = lab.lan.serve(&format!("nc -n -u -l {LAN} 6201"), "udp", 6201);
        let mut report = lab.wan.start(&format!("nc -n -u -s {WAN} -p 8001 {LAN} 6201"));
        report.write("a report from the wan\n");
        ear.says(LIMIT, "a report from the wan");
        ear.write("a report from the lan\n");
        report.says(LIMIT, "a report from the lan");
        let sessions = appliance.sessions(&["--rule", "calls", "--protocol", "udp"]);
        let media: Vec<_> = sessions.iter().filter(|session| session["parent"].is_string()).collect();
        assert_eq!(media.len(), 2, "{sessions:?}");
        // It ends well only when the callee has said its last word.
        caller.succeeds(LIMIT);
        assert_eq!(helper(&appliance, "sip")["used"], 2);
    }
}
