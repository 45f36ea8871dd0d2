//! Nothing is left behind: not after a stop, not after a kill.

use std::path::Path;

use rustix::process::Signal;
use sekisho_tests::lab::WAN;
use sekisho_tests::{Appliance, Lab};

use crate::{LAN_OUT, policy};

/// Files and folders of DPDK that belong to a process: their names hold its number.
fn of_process(pid: u32) -> Vec<String> {
    let pid = pid.to_string();
    let mut found = Vec::new();
    for folder in ["/var/run/dpdk", "/run/sekisho", "/dev/hugepages", "/dev/shm", "/tmp"] {
        let Ok(entries) = Path::new(folder).read_dir() else { continue };
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let belongs = |name: &String| name.split(|c: char| !c.is_ascii_digit()).any(|part| part == pid);
        found.extend(names.filter(belongs).map(|name| format!("{folder}/{name}")));
    }
    found
}

/// Hugepages that are in use by whomever, in pages of 2 MiB and of 1 GiB.
fn hugepages_in_use() -> u64 {
    let read = |size: &str, what: &str| {
        let file = format!("/sys/kernel/mm/hugepages/hugepages-{size}/{what}");
        std::fs::read_to_string(file)
            .ok()
            .and_then(|text| text.trim().parse::<u64>().ok())
            .unwrap_or_default()
    };
    ["2048kB", "1048576kB"].map(|size| read(size, "nr_hugepages") - read(size, "free_hugepages")).iter().sum()
}

#[test]
fn nothing_is_left_after_a_stop() {
    let lab = Lab::up();
    let before = hugepages_in_use();
    let mut appliance = Appliance::start(&lab, &policy(&[LAN_OUT]));
    assert!(lab.lan.pings(WAN, 1));
    let pid = appliance.pid();
    appliance.stop(Signal::TERM);
    assert_eq!(of_process(pid), [""; 0]);
    assert!(hugepages_in_use() <= before, "hugepages are still in use");
}

#[test]
fn nothing_but_the_socket_is_left_after_a_kill() {
    let lab = Lab::up();
    let before = hugepages_in_use();
    let mut appliance = Appliance::start(&lab, &policy(&[LAN_OUT]));
    assert!(lab.lan.pings(WAN, 1));
    let pid = appliance.pid();
    appliance.kill();
    assert_eq!(of_process(pid), [""; 0]);
    assert!(hugepages_in_use() <= before, "hugepages are still in use");
}
