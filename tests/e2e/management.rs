//! The management side: who is let in, what a flood there does, and what the process may do.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use sekisho_tests::appliance::Settings;
use sekisho_tests::lab::{LAN, WAN};
use sekisho_tests::process::{run, text};
use sekisho_tests::repo::top;
use sekisho_tests::{Appliance, Lab, program, wait};

use crate::{LAN_OUT, LIMIT, policy};

/// Groups that every Debian has, and that nobody here is in.
const READERS: &str = "games";
const ADMINS: &str = "mail";

fn appliance(lab: &Lab, more: &str) -> Appliance {
    let settings = Settings { policy: policy(&[LAN_OUT]), more: format!("{more}\n"), ..Settings::default() };
    Appliance::with(lab, &settings)
}

/// The program, and the appliance's folder, where any user can get at them.
struct Users<'a> {
    appliance: &'a Appliance,
    program: PathBuf,
}

impl<'a> Users<'a> {
    fn of(appliance: &'a Appliance) -> Self {
        let folder = appliance.folder();
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("the folder is ours");
        let program = folder.join("sekisho");
        fs::copy(program::sekisho(), &program).expect("the program is copied");
        Self { appliance, program }
    }

    /// Runs a command as a user of these groups, the first of them his own.
    fn command(&self, uid: u32, groups: &str, args: &[&str]) -> Output {
        let group = groups.split(',').next().expect("one at least");
        let mut command = Command::new("setpriv");
        command.args([&format!("--reuid={uid}"), &format!("--regid={group}"), "--clear-groups"]);
        command.arg(&self.program).args(args).arg("--socket").arg(self.appliance.socket());
        run(&mut command)
    }
}

fn refused(output: &Output, because: &str) {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(because) && output.stdout.is_empty(), "{said}");
}

#[test]
fn without_groups_nobody_but_root_gets_through_the_file() {
    let lab = Lab::up();
    let appliance = appliance(&lab, "");
    let users = Users::of(&appliance);
    assert_eq!(appliance.socket().metadata().expect("it is there").mode() & 0o777, 0o660);
    refused(&users.command(65_534, "nogroup", &["status"]), "may not be opened by this user");
    assert!(appliance.command(&["status"]).status.success());
}

#[test]
fn a_group_that_reads_may_ask_and_change_nothing() {
    let lab = Lab::up();
    let appliance = appliance(&lab, &format!("access: {{read_group: {READERS}}}"));
    let users = Users::of(&appliance);
    let socket = appliance.socket().metadata().expect("it is there");
    assert_eq!((socket.mode() & 0o777, socket.gid()), (0o660, 60), "the group of the file is {READERS}");
    assert!(lab.lan.pings(WAN, 1));
    for listing in ["status", "sessions", "counters", "drops"] {
        let output = users.command(65_534, READERS, &[listing]);
        assert!(output.status.success(), "{listing}: {}", text(&output.stderr));
    }
    refused(&users.command(65_534, READERS, &["sessions", "--end", "--all"]), "may ask, and change nothing");
    let candidate = appliance.folder().join("policy.yaml");
    let candidate = candidate.display().to_string();
    refused(&users.command(65_534, READERS, &["deploy", &candidate]), "access.admin_group");
    refused(&users.command(65_534, READERS, &["deploy", "--dry-run", &candidate]), "only root may");
    assert!(!appliance.sessions(&[]).is_empty(), "none was ended");
    assert_eq!(appliance.generation(), 1);
    refused(&users.command(65_534, "nogroup", &["status"]), "may not be opened by this user");
}

#[test]
fn with_two_groups_the_peer_decides_and_a_stranger_is_told_so() {
    let lab = Lab::up();
    let appliance = appliance(&lab, &format!("access: {{read_group: {READERS}, admin_group: {ADMINS}}}"));
    let users = Users::of(&appliance);
    let candidate = appliance.folder().join("policy.yaml").display().to_string();
    assert!(users.command(65_534, READERS, &["status"]).status.success());
    refused(&users.command(65_534, READERS, &["deploy", &candidate]), "members of the group mail may");
    let deployed = users.command(65_534, ADMINS, &["deploy", &candidate]);
    assert!(deployed.status.success(), "{}", text(&deployed.stderr));
    assert_eq!(appliance.generation(), 2);
    refused(&users.command(65_533, "nogroup", &["status"]), "user 65533 may not speak to the appliance");
    let metrics = appliance.metrics();
    let forbidden = metrics.lines().find_map(|line| {
        line.strip_prefix("sekisho_management_requests_forbidden_total ")?.parse::<u64>().ok()
    });
    assert_eq!(forbidden, Some(2), "{metrics}");
}

#[test]
fn a_group_that_is_not_there_is_refused_with_its_place() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("a.yaml");
    let policy_file = folder.path().join("policy.yaml");
    fs::write(&policy_file, policy(&[LAN_OUT])).expect("the policy is written");
    let text_of_file = "version: 1\nports: {lan: {device: net_null0}, wan: {device: net_null1}}\n\
        policy: policy.yaml\naccess: {read_group: no-such-group}\n";
    fs::write(&file, text_of_file).expect("the file is written");
    let output = run(program::command(&["run", "--appliance"]).arg(&file));
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("a.yaml:4:22: there is no group \"no-such-group\""), "{said}");
}

/// An answer of the metrics over a connection of its own.
fn scrape(appliance: &Appliance) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(appliance.metrics_address())?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Who opens connections and says nothing, or only half of it, is cut for those who say something.
#[test]
fn floods_of_connections_leave_room_for_those_who_ask() {
    let lab = Lab::up();
    let appliance = appliance(&lab, "");
    let mut held: Vec<Box<dyn Read>> = Vec::new();
    for number in 0..400 {
        if let Ok(mut stream) = UnixStream::connect(appliance.socket()) {
            if number % 2 == 0 {
                let _ = stream.write_all(b"GET /v1/status HTTP/1.1\r\nHost: ");
            }
            held.push(Box::new(stream));
        }
        if let Ok(mut stream) = TcpStream::connect(appliance.metrics_address()) {
            if number % 2 == 0 {
                let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\n");
            }
            held.push(Box::new(stream));
        }
    }
    assert!(held.len() >= 700, "the flood was none: {}", held.len());
    for _ in 0..5 {
        let before = Instant::now();
        assert!(appliance.command(&["status"]).status.success());
        let page = scrape(&appliance).expect("the metrics are served");
        assert!(page.contains("sekisho_sessions_opened_total"), "{page}");
        assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
    }
    assert!(lab.lan.pings(WAN, 2));
    // Those that say nothing any more are cut.
    let cut = |door: &str| {
        let metrics = appliance.metrics();
        let line = format!("sekisho_management_connections_total{{door=\"{door}\",outcome=\"cut\"}} ");
        metrics.lines().find_map(|found| found.strip_prefix(&line)?.parse::<u64>().ok()).unwrap_or(0)
    };
    wait::until(LIMIT * 2, "all are cut", || cut("socket") >= 400 && cut("metrics") >= 400);
}

/// Who asks all the time costs the others no answer.
#[test]
fn a_flood_of_scrapes_is_answered_and_so_is_everybody_else() {
    let lab = Lab::up();
    let appliance = appliance(&lab, "");
    let until = Instant::now() + Duration::from_secs(3);
    std::thread::scope(|threads| {
        for _ in 0..8 {
            threads.spawn(|| {
                while Instant::now() < until {
                    let _ = scrape(&appliance);
                }
            });
        }
        while Instant::now() < until {
            let before = Instant::now();
            assert!(appliance.command(&["status"]).status.success());
            assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
        }
    });
    assert!(lab.lan.pings(WAN, 2));
}

/// Sizes are bounded before anything is kept.
#[test]
fn requests_that_are_too_long_are_refused() {
    let lab = Lab::up();
    let appliance = appliance(&lab, "");
    let asked = |request: String| {
        let mut stream = UnixStream::connect(appliance.socket()).expect("the socket is there");
        stream.set_read_timeout(Some(LIMIT)).expect("a timeout");
        let _ = stream.write_all(request.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        text(&answer)
    };
    let long = asked(format!("GET /v1/status?x={} HTTP/1.1\r\nHost: x\r\n\r\n", "y".repeat(1 << 20)));
    assert!(
        long.starts_with("HTTP/1.1 414") || long.starts_with("HTTP/1.1 431") || long.is_empty(),
        "{long}"
    );
    let many = (0..500).map(|number| format!("X-{number}: y\r\n")).collect::<String>();
    let many = asked(format!("GET /v1/status HTTP/1.1\r\nHost: x\r\n{many}\r\n"));
    assert!(many.starts_with("HTTP/1.1 431"), "{many}");
    let big = "PUT /v1/policy HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\n".to_owned();
    assert!(asked(big).starts_with("HTTP/1.1 413"));
    assert!(appliance.command(&["status"]).status.success());
}

/// What each thread of the process may do, as the kernel has it.
fn capabilities(appliance: &Appliance) -> Vec<(String, u64, u64, bool)> {
    let tasks = format!("/proc/{}/task", appliance.pid());
    let tasks = fs::read_dir(tasks).expect("it runs");
    tasks
        .map(|task| {
            let status = fs::read_to_string(task.expect("a task").path().join("status")).expect("it lives");
            let field = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the kernel tells");
                line.trim().to_owned()
            };
            let set = |name: &str| u64::from_str_radix(&field(name), 16).expect("a set in hexadecimal");
            (field("Name:"), set("CapPrm:"), set("CapBnd:"), field("NoNewPrivs:") == "1")
        })
        .collect()
}

/// NET_ADMIN, IPC_LOCK and DAC_READ_SEARCH.
const TO_RUN: u64 = 1 << 12 | 1 << 14 | 1 << 2;
/// Those, and NET_RAW, SYS_RAWIO, SYS_ADMIN, SYS_NICE, SYS_RESOURCE, PERFMON, BPF, DAC_OVERRIDE.
const TO_START: u64 = TO_RUN | 1 << 13 | 1 << 17 | 1 << 21 | 1 << 23 | 1 << 24 | 1 << 38 | 1 << 39 | 1 << 1;

#[test]
fn a_running_appliance_has_given_up_what_only_its_start_took() {
    let lab = Lab::up();
    let appliance = appliance(&lab, "link_state_propagation: true");
    let all = capabilities(&appliance);
    assert!(all.iter().any(|(name, ..)| name == "worker-0"), "{all:?}");
    let of_dpdk = ["dpdk-", "eal-", "rte_"];
    assert!(all.iter().any(|(name, ..)| of_dpdk.iter().any(|prefix| name.starts_with(prefix))), "{all:?}");
    for (name, permitted, bounding, no_new) in &all {
        assert!(*no_new, "{name} may get more");
        assert_eq!(bounding & !TO_START, 0, "{name}: {bounding:x}");
        assert_eq!(permitted & !TO_RUN, 0, "{name}: {permitted:x}");
    }
    // What it still has to do it still can: read the policy file again, and take a port down.
    appliance.signal(rustix::process::Signal::HUP);
    wait::until(LIMIT, "the policy is deployed again", || appliance.generation() == 2);
    assert!(lab.lan.pings(WAN, 1));
}

/// As `configs/sekisho.service` starts it: with the capabilities that are listed there and no others.
#[test]
fn the_capabilities_of_the_unit_are_enough() {
    let unit = fs::read_to_string(top().join("configs/sekisho.service")).expect("the unit ships");
    let listed =
        unit.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet=")).expect("it lists them");
    let set = listed.split_whitespace().map(|one| one.trim_start_matches("CAP_").to_lowercase());
    let set = set.fold("-all".to_owned(), |set, one| format!("{set},+{one}"));
    let under = ["setpriv", "--bounding-set", &set, "--inh-caps=-all", "--no-new-privs"];
    let lab = Lab::up();
    let settings = Settings {
        policy: policy(&[LAN_OUT]),
        more: format!("access: {{read_group: {READERS}}}\n"),
        under: under.map(str::to_owned).to_vec(),
        ..Settings::default()
    };
    let appliance = Appliance::with(&lab, &settings);
    assert!(lab.lan.pings(WAN, 2) && !lab.wan.pings(LAN, 1));
    let all = capabilities(&appliance);
    assert!(all.iter().all(|(_, permitted, ..)| permitted & !(TO_START & !(1 << 21)) == 0), "{all:?}");
}

/// The figure that docs/threats.md tells.
#[test]
fn the_sandbox_of_the_unit_is_as_tight_as_the_documentation_says() {
    let unit = top().join("configs/sekisho.service");
    let mut analyze = Command::new("systemd-analyze");
    let Ok(output) = analyze.args(["security", "--offline=true", "--no-pager"]).arg(&unit).output() else {
        eprintln!("skipped: there is no systemd-analyze here");
        return;
    };
    let said = text(&output.stdout);
    let level = said.lines().find_map(|line| line.split_once("Overall exposure level for sekisho.service: "));
    let Some((_, level)) = level else {
        eprintln!("skipped: systemd-analyze here knows no --offline: {}", text(&output.stderr));
        return;
    };
    let level: f64 = level.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number");
    let document = fs::read_to_string(top().join("docs/threats.md")).expect("docs/threats.md is there");
    let told = document.split_once("`systemd-analyze security`: ").expect("it tells the figure").1;
    let told: f64 = told.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number");
    assert!(level <= told, "{level} is more than the {told} that the documentation tells\n{said}");
}
