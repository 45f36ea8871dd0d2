//! What starting and ending the environment does to the process and the host: nothing that stays.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic and print, its helpers too")]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Lines, Read, Seek};
use std::os::fd::AsRawFd;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};

use sekisho_dpdk::{
    Burst, Clock, Eal, EalConfig, EalError, Hugepages, Lcore, LogLevel, PageSizes, PoolConfig, PortConfig,
    clock, cores_open,
};
use support::{config, eal, open, pool};

#[test]
fn it_starts_once() {
    let eal = eal();
    assert!(!eal.uses_hugepages());
    assert!(matches!(Eal::start(&config()), Err(EalError::StartedBefore)));
    drop(eal);
    assert!(matches!(Eal::start(&config()), Err(EalError::StartedBefore)), "not after its end either");
}

#[test]
fn the_interrupt_thread_does_an_errand_and_survives_one_that_panics() {
    let eal = eal();
    let here = std::thread::current().id();
    for _ in 0..3 {
        let (tell, told) = std::sync::mpsc::channel();
        eal.on_interrupt_thread(move || tell.send(std::thread::current().id()).unwrap()).unwrap();
        assert_ne!(told.try_recv().unwrap(), here, "done by the time that it returns, and elsewhere");
        let fault = eal.on_interrupt_thread(|| panic!("as a test")).unwrap_err();
        assert!(matches!(fault, sekisho_dpdk::ErrandError::NotDone), "{fault}");
    }
}

/// Address and mask of the handlers of the signals that a daemon lives by.
fn handlers() -> Vec<(usize, i32)> {
    let signals = [libc::SIGHUP, libc::SIGINT, libc::SIGTERM, libc::SIGPIPE, libc::SIGCHLD, libc::SIGUSR1];
    let of = |&signal: &i32| {
        // SAFETY: all-zero is a valid sigaction.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: FFI; reads into a valid place.
        unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) };
        (action.sa_sigaction, action.sa_flags)
    };
    signals.iter().map(of).collect()
}

#[test]
fn handlers_and_affinity_stay_as_they_were() {
    let (handlers_before, cores_before) = (handlers(), cores_open());
    let eal = Eal::start(&EalConfig { main_cores: vec![cores_before[0]], ..config() }).unwrap();
    assert_eq!(handlers(), handlers_before);
    assert_eq!(cores_open(), cores_before);
    drop(eal);
    assert_eq!(handlers(), handlers_before);
    assert_eq!(cores_open(), cores_before);
}

/// Runs `run` with standard output into a file, and returns what was written.
fn stdout_of(run: impl FnOnce()) -> String {
    let mut file = tempfile::tempfile().unwrap();
    // SAFETY: FFI; duplicates a descriptor of ours.
    let saved = unsafe { libc::dup(1) };
    // SAFETY: FFI; both descriptors are open.
    unsafe { libc::dup2(file.as_raw_fd(), 1) };
    run();
    // SAFETY: FFI; as above.
    unsafe { libc::dup2(saved, 1) };
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn standard_output_stays_clean_and_the_log_goes_to_the_sink() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = lines.clone();
    let log =
        Arc::new(move |level: LogLevel, line: &str| sink.lock().unwrap().push((level, line.to_owned())));
    let written = stdout_of(|| {
        let eal = Eal::start(&EalConfig { log, log_level: LogLevel::Debug, ..config() }).unwrap();
        let pool = pool(&eal, &PoolConfig { size: 511, ..PoolConfig::default() });
        open(&eal, "net_ring0", &PortConfig::default(), &pool);
    });
    assert_eq!(written, "");
    let lines = lines.lock().unwrap();
    assert!(
        lines.iter().any(|(level, line)| *level == LogLevel::Debug && line.contains("EAL:")),
        "{lines:?}"
    );
    assert!(lines.iter().all(|(_, line)| !line.contains('\n') && !line.is_empty()));
}

#[test]
fn a_wrong_argument_does_not_print_the_usage_to_standard_output() {
    let config = EalConfig { extra_args: vec!["--no-such".into()], ..config() };
    assert_eq!(stdout_of(|| assert!(Eal::start(&config).is_err())), "");
}

fn folders_of(prefix: &str) -> Vec<String> {
    let entries = fs::read_dir("/var/run/dpdk").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(prefix))
        .collect()
}

fn memory_of_eal() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssShmem:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn nothing_is_left_after_the_end() {
    let prefix = "dpdk-end";
    let eal = Eal::start(&EalConfig { file_prefix: prefix.into(), ..config() }).unwrap();
    assert_eq!(folders_of(prefix), Vec::<String>::new(), "the folder goes while it runs");
    let pool = pool(&eal, &PoolConfig { size: 8191, ..PoolConfig::default() });
    let started = open(&eal, "net_null0", &PortConfig::default(), &pool);
    assert!(memory_of_eal() > 16 << 10, "{} KiB", memory_of_eal());
    drop(eal);
    assert!(memory_of_eal() > 16 << 10, "the port and the pool hold the environment");
    drop((started, pool));
    assert!(memory_of_eal() < 4 << 10, "{} KiB", memory_of_eal());
}

#[test]
fn a_packet_that_outlives_the_environment_stays_valid() {
    let eal = eal();
    let pool = pool(&eal, &PoolConfig { size: 511, ..PoolConfig::default() });
    let packet = pool.packet(&[7; 100]).unwrap();
    drop((eal, pool));
    assert_eq!(packet.packet().data(), [7; 100]);
}

/// What the next test starts and kills: by itself, without the variable, it does nothing.
#[test]
fn runs_until_killed() {
    let Ok(prefix) = std::env::var("DPDK_TEST_PREFIX") else { return };
    let eal = Eal::start(&EalConfig { file_prefix: prefix, ..config() }).unwrap();
    let pool = pool(&eal, &PoolConfig { size: 511, ..PoolConfig::default() });
    let _started = open(&eal, "net_null0", &PortConfig::default(), &pool);
    println!("\nrunning");
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

struct Other {
    process: Child,
    // Held: with nobody to read, the other process could not end in peace.
    _output: Lines<BufReader<ChildStdout>>,
}

/// Another process with an environment of its own, which runs when this returns.
fn other(prefix: &str) -> Other {
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "runs_until_killed", "--nocapture"])
        .env("DPDK_TEST_PREFIX", prefix)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(process.stdout.take().unwrap()).lines();
    assert!(output.any(|line| line.unwrap() == "running"), "it started");
    Other { process, _output: output }
}

#[test]
fn a_killed_process_leaves_nothing() {
    let prefix = "dpdk-killed";
    let mut other = other(prefix);
    other.process.kill().unwrap();
    other.process.wait().unwrap();
    assert_eq!(folders_of(prefix), Vec::<String>::new());
    for folder in ["/dev/hugepages", "/dev/shm"] {
        let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
        let ours: Vec<_> = names.filter(|name| name.to_string_lossy().contains(prefix)).collect();
        assert!(ours.is_empty(), "{folder}: {ours:?}");
    }
}

#[test]
fn two_environments_on_one_machine_do_not_meet() {
    // The other process runs while this one starts, both with a device of the same name.
    let mut other = other("dpdk-two");
    let eal = Eal::start(&EalConfig { file_prefix: "dpdk-two".into(), ..config() }).unwrap();
    let pool = pool(&eal, &PoolConfig { size: 511, ..PoolConfig::default() });
    let started = open(&eal, "net_null0", &PortConfig::default(), &pool);
    assert_eq!(started.port.id(), 0);
    drop(other.process.stdin.take());
    assert!(other.process.wait().unwrap().success());
}

#[test]
fn hugepages_are_used_where_there_are_some() {
    let before = PageSizes::now();
    if before.free_mib() < 64 {
        println!("SKIPPED: {before}; 64 MiB are needed for this test");
        return;
    }
    let eal = Eal::start(&EalConfig { hugepages: Hugepages::Required, ..config() }).unwrap();
    assert!(eal.uses_hugepages() && eal.notes().is_empty());
    let pool = pool(&eal, &PoolConfig { size: 8191, ..PoolConfig::default() });
    assert_eq!(pool.available(), 8191);
    assert!(PageSizes::now().free_mib() < before.free_mib());
    drop((pool, eal));
}

#[test]
fn threads_enter_and_leave() {
    let eal = eal();
    let core = cores_open()[0];
    let pool = pool(&eal, &PoolConfig { size: 1023, ..PoolConfig::default() });
    for _ in 0..300 {
        // More threads than EAL has places: each gives its place back.
        let (eal, pool) = (eal.clone(), pool.clone());
        let run = move || {
            let lcore = Lcore::enter(&eal, Some(core)).unwrap();
            assert_eq!(cores_open(), [core]);
            let mut burst = Burst::new(&eal);
            assert!(burst.push_frame(&pool, &[0; 60]));
            lcore.id()
        };
        assert!(std::thread::spawn(run).join().unwrap() > 0, "0 is the thread that started EAL");
    }
    assert_eq!(pool.in_use(), 0, "caches of threads that left count as free");
}

#[test]
fn the_clock_keeps_the_kernels_time() {
    let eal = eal();
    let now = || {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: FFI; a valid place.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
        time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
    };
    let mut clock = Clock::new(&eal);
    assert!(clock::hertz(&eal) > 1_000_000);
    let (start, mut last) = (now(), 0);
    while now() - start < 300_000_000 {
        let ns = clock.now_ns();
        assert!(ns >= last);
        last = ns;
    }
    // EAL's frequency may be off by some parts in a thousand; once disciplined, it is not.
    assert!(clock.now_ns().abs_diff(now()) < 5_000_000);
    clock.discipline();
    let start = now();
    while now() - start < 100_000_000 {}
    let (before, ours, after) = (now(), clock.now_ns(), now());
    assert!(ours + 200_000 > before && ours < after + 200_000, "{before} {ours} {after}");
}
