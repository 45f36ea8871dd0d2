//! The counts that are kept, and what those of today are to them.

use std::collections::BTreeMap;
use std::process::{Command, ExitCode};

/// Instructions an operation, by scene.
pub type Counts = BTreeMap<&'static str, f64>;

/// So far a count may move without anybody saying so, in percent.
const TOLERANCE: f64 = 3.0;
/// The same when another compiler made the program.
const TOLERANCE_OF_COMPILERS: f64 = 10.0;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions/counts.txt");
const HEAD: &str = "\
# Instructions a packet, or a lookup. Written by
#   UPDATE_COUNTS=1 cargo bench -p sekisho-worker --bench instructions
# and held by the same without UPDATE_COUNTS: docs/contributing.md, \"Instruction counts\".
";
const COMPILER: &str = "compiler: ";
const PROCESSOR: &str = "processor: ";

/// What a count depends on besides the code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TakenWith {
    /// The compiler's version.
    pub compiler: String,
    /// The processor's features, as far as callgrind lets the program see them.
    pub processor: String,
}

/// The compiler's version: of the one that cargo calls in this directory.
pub fn compiler() -> String {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(compiler).arg("--version").output();
    output.map_or_else(
        |_| "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

/// The features of the processor by which programs choose their code. Callgrind of Debian 12 knows none beyond AVX2, so
/// most processors look the same to a program under it.
pub fn processor() -> String {
    #[cfg(target_arch = "x86_64")]
    {
        let features = [
            ("sse4.2", std::arch::is_x86_feature_detected!("sse4.2")),
            ("avx", std::arch::is_x86_feature_detected!("avx")),
            ("avx2", std::arch::is_x86_feature_detected!("avx2")),
            ("bmi2", std::arch::is_x86_feature_detected!("bmi2")),
            ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
        ];
        let present: Vec<_> = features.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
        format!("x86_64 {}", present.join(" "))
    }
    #[cfg(not(target_arch = "x86_64"))]
    std::env::consts::ARCH.to_owned()
}

/// Prints was, is and the difference; or writes what is. Fails if a count has moved too far either way: what was won is to
/// be kept as well. `is_all`: no scene was left out.
pub fn judge(taken_with: &TakenWith, counts: &Counts, is_all: bool) -> ExitCode {
    if std::env::var_os("UPDATE_COUNTS").is_some() {
        if !is_all {
            crate::fail("UPDATE_COUNTS writes all scenes: give no other argument");
        }
        std::fs::write(FILE, to_text(taken_with, counts))
            .unwrap_or_else(|error| crate::fail(&format!("{FILE}: {error}")));
        println!("written to {FILE}");
        return ExitCode::SUCCESS;
    }
    let text = std::fs::read_to_string(FILE).unwrap_or_else(|error| crate::fail(&format!("{FILE}: {error}")));
    let (kept_with, kept) = from_text(&text);
    let tolerance = tolerance(taken_with, &kept_with);
    println!("{:<28} {:>10} {:>10} {:>8}", "instructions", "was", "is", "");
    let mut faults = Vec::new();
    for (name, is) in counts {
        let Some(was) = kept.get(*name) else {
            println!("{name:<28} {:>10} {is:>10.1}", "");
            faults.push(format!("{name} is not in the file"));
            continue;
        };
        // Rounded, and no -0.0.
        let percent = ((is / was - 1.0) * 1000.0).round() / 10.0 + 0.0;
        println!("{name:<28} {was:>10.1} {is:>10.1} {percent:>+7.1}%");
        if percent.abs() > tolerance {
            let way = if percent > 0.0 { "more" } else { "less" };
            faults.push(format!("{name}: {was:.1} -> {is:.1} instructions, {:.1} % {way}", percent.abs()));
        }
    }
    if is_all {
        let gone = kept.keys().filter(|name| !counts.contains_key(name.as_str()));
        faults.extend(gone.map(|name| format!("{name} is in the file, and no scene")));
    }
    if faults.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("\n{}", faults.join("\n"));
    println!(
        "\nA count moved by more than {tolerance} % from {FILE}.\n\
         If it grew: find what the change costs the fast path, and take it off it. If that is the price of\n\
         something worth it, or if it fell: UPDATE_COUNTS=1 cargo bench -p sekisho-worker --bench instructions,\n\
         and say in the commit what it bought."
    );
    ExitCode::FAILURE
}

/// How far counts may move, in percent. Says so if it is not as usual.
fn tolerance(is: &TakenWith, was: &TakenWith) -> f64 {
    if is.processor != was.processor {
        println!(
            "NOT JUDGED: the counts were taken on {}, this is {}; they are shown only",
            was.processor, is.processor
        );
        return f64::INFINITY;
    }
    if is.compiler != was.compiler {
        println!(
            "another compiler: the counts were taken with {}, this is {}; {TOLERANCE_OF_COMPILERS} % are tolerated, \
             not {TOLERANCE}.\nTake them anew in a commit of their own.",
            was.compiler, is.compiler
        );
        return TOLERANCE_OF_COMPILERS;
    }
    TOLERANCE
}

fn to_text(taken_with: &TakenWith, counts: &Counts) -> String {
    let mut text = HEAD.to_owned();
    text.push_str(&format!("{COMPILER}{}\n{PROCESSOR}{}\n", taken_with.compiler, taken_with.processor));
    for (name, count) in counts {
        text.push_str(&format!("{name:<28} {count:>8.1}\n"));
    }
    text
}

fn from_text(text: &str) -> (TakenWith, BTreeMap<String, f64>) {
    let mut taken_with = TakenWith::default();
    let mut counts = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(compiler) = line.strip_prefix(COMPILER) {
            taken_with.compiler = compiler.to_owned();
        } else if let Some(processor) = line.strip_prefix(PROCESSOR) {
            taken_with.processor = processor.to_owned();
        } else {
            let entry =
                line.split_once(' ').and_then(|(name, count)| Some((name, count.trim().parse().ok()?)));
            let (name, count) = entry.unwrap_or_else(|| crate::fail(&format!("{FILE}: not a count: {line}")));
            counts.insert(name.to_owned(), count);
        }
    }
    (taken_with, counts)
}
