//! Instructions and allocations of the fast path: `cargo bench -p sekisho-worker --bench instructions`.
//!
//! Each scene of [`scenes`] runs twice. First by itself, under an allocator that counts: it must not be called. Then under
//! callgrind (Debian package `valgrind`), which counts instructions: the same for the same program, however busy the machine
//! is. The counts are held against `counts.txt` beside this file ([`counts`]); with `UPDATE_COUNTS=1` they are written
//! there instead. Other arguments select the scenes whose names contain one of them.

#![allow(
    dead_code,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    missing_docs,
    unreachable_pub,
    reason = "a benchmark prints what it measures; its sets of rules are those of the engine's benchmark"
)]

mod counts;
mod frames;
mod io;
mod scenes;
#[path = "../../../../control/bench/src/rules/sets.rs"]
mod sets;

use std::hint::black_box;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use self::counts::{Counts, TakenWith};
use self::scenes::{SCENES, Scene};

/// [`counted_part`] as callgrind names it.
const COUNTED: &str = concat!(module_path!(), "::counted_part");
/// Argument with which the program calls itself under callgrind.
const COUNT: &str = "--count";

fn main() -> ExitCode {
    // `cargo bench` passes `--bench`.
    let mut words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let is_counted = words.iter().any(|word| word == COUNT);
    words.retain(|word| word != COUNT);
    let selected: Vec<_> = SCENES
        .iter()
        .copied()
        .filter(|(name, _)| words.is_empty() || words.iter().any(|word| name.contains(word)))
        .collect();
    if is_counted {
        for (_, scene) in selected {
            let Scene { mut run, check, .. } = scene();
            counted_part(&mut *run);
            check();
        }
        println!("{}", counts::processor());
        return ExitCode::SUCCESS;
    }
    let one = allocation_counter::measure(|| drop(black_box(Box::new(0))));
    assert_eq!(one.count_total, 1, "allocations are counted");
    let operations: Vec<_> =
        selected.iter().map(|(name, scene)| (*name, run_without_allocations(name, scene()))).collect();
    println!("{} scenes, no allocation in any", operations.len());
    let (taken_with, counts) = count(&words, &operations);
    counts::judge(&taken_with, &counts, words.is_empty())
}

/// How often [`counted_part`] ran.
static RUNS: AtomicUsize = AtomicUsize::new(0);

/// What callgrind counts: it finds the function by this name. It adds something up so that it is like no other function (the
/// compiler would make one of two that are alike), and after the call (which else would be a jump, without a return).
#[inline(never)]
fn counted_part(run: &mut dyn FnMut()) {
    run();
    RUNS.fetch_add(1, Relaxed);
}

/// Runs a scene, and insists that it allocates nothing. Returns its operations.
fn run_without_allocations(name: &str, scene: Scene) -> u64 {
    let Scene { operations, mut run, check } = scene;
    let allocations = allocation_counter::measure(&mut run);
    check();
    assert_eq!(allocations.count_total, 0, "{name}: the fast path allocates: {allocations:?}");
    operations
}

/// Runs the scenes under callgrind. Returns instructions an operation.
fn count(words: &[String], operations: &[(&'static str, u64)]) -> (TakenWith, Counts) {
    let program = std::env::current_exe().expect("this program is a file");
    let directory = program.with_extension("callgrind");
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).expect("a directory beside this program");
    let out = directory.join("out");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--error-exitcode=1", "--collect-atstart=no"])
        // Counts while that function runs, and writes what it counted each time that it returns.
        .arg(format!("--toggle-collect={COUNTED}"))
        .arg(format!("--dump-after={COUNTED}"))
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(&program)
        .arg(COUNT)
        .args(words)
        // The environment lies on the stack, and moves what comes after it.
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .output()
        .unwrap_or_else(|error| {
            fail(&format!("valgrind: {error}; scripts/install-deps --tests installs it"))
        });
    if !output.status.success() {
        fail(&String::from_utf8_lossy(&output.stderr));
    }
    let counts = (1..)
        .zip(operations)
        .map(|(dump, (name, operations))| {
            let total = total(&out.with_extension(dump.to_string()));
            (*name, total as f64 / *operations as f64)
        })
        .collect();
    let _ = std::fs::remove_dir_all(&directory);
    let processor = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (TakenWith { compiler: counts::compiler(), processor }, counts)
}

/// The instructions in a file that callgrind wrote.
fn total(dump: &Path) -> u64 {
    let text = std::fs::read_to_string(dump).unwrap_or_default();
    let total =
        text.lines().find_map(|line| line.strip_prefix("totals: ").or(line.strip_prefix("summary: ")));
    let total = total.and_then(|total| total.trim().parse().ok()).filter(|total| *total > 0);
    total.unwrap_or_else(|| fail(&format!("{}: no count in what callgrind wrote", dump.display())))
}

#[expect(clippy::print_stderr, reason = "it is a program's last word")]
fn fail(why: &str) -> ! {
    eprintln!("{why}");
    std::process::exit(1)
}
