//! `sekisho bench`: measures the inspection, and reports what was measured.

use std::fs::OpenOptions;
use std::io::{BufWriter, IsTerminal, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::Subcommand;
use sekisho_bench::plan::{Plan, Tell, pin};
use sekisho_bench::results::{Header, Results, Sample, Variant, write_line};
use sekisho_bench::{Error, machine, report};

use crate::failure::{Failure, Outcome};

mod made;
mod workloads;

/// What the command line says.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

/// What to measure, or to make of what was measured.
#[derive(Debug, Subcommand)]
enum What {
    /// Packets of sessions that live: the rate, and cycles a packet by stage
    Established(workloads::Established),
    /// New sessions without end: how many a second
    Setup(workloads::Setup),
    /// Rules: lookups a second, milliseconds to compile, bytes
    Rules(workloads::Rules),
    /// All sessions die within one second: the longest time between two bursts
    Expiry(workloads::Expiry),
    /// What a session takes, all told
    Memory(workloads::Memory),
    /// Floods beside established sessions: what is kept of their rate, what a packet of the flood costs
    Hostile(workloads::Hostile),
    /// All of these
    All(workloads::All),
    /// Print the line that begins a run in a file of results: this machine
    Machine,
    /// Make pages with tables and plots of what was measured
    Report(made::Args),
}

/// How to measure, whatever it is.
#[derive(Debug, clap::Args)]
struct Common {
    /// Rounds, in each of which everything is measured once, side by side
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// How long each part of a round is measured
    #[arg(long, value_name = "MILLISECONDS", default_value = "300", value_parser = clap::value_parser!(u64).range(1..=60_000))]
    span: u64,
    /// The core to measure on. Left out: the last one that is open to this process
    #[arg(long, value_name = "N")]
    core: Option<usize>,
    /// Append each figure of each round to this file, one JSON object a line
    #[arg(long, value_name = "RESULTS.jsonl")]
    results: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Outcome {
    match &args.what {
        What::Established(args) => measure(&args.common, |run| args.run(run)),
        What::Setup(args) => measure(&args.common, |run| args.run(run)),
        What::Rules(args) => args.run(),
        What::Expiry(args) => measure(&args.common, |run| args.run(run)),
        What::Memory(args) => alone().and_then(|()| measure(&args.common, |run| args.run(run))),
        What::Hostile(args) => measure(&args.common, |run| args.run(run)),
        What::All(args) => alone().and_then(|()| measure(&args.common, |run| args.run(run))),
        What::Machine => print_line(&machine::header(None, &today())),
        What::Report(args) => made::run(args),
    }
}

/// A run under way: what was measured so far, and where else it goes.
struct Run {
    plan: Plan,
    results: Results,
    file: Option<(PathBuf, BufWriter<std::fs::File>)>,
}

impl Run {
    /// Measures one variant.
    fn variant(
        &mut self,
        workload: &str,
        variant: &Variant,
        measure: impl FnOnce(&Plan, &mut Tell<'_>) -> Result<(), Error>,
    ) -> Outcome {
        if std::io::stderr().is_terminal() {
            super::warn(&format!("{workload} {variant}"));
        }
        let mut samples: Vec<Sample> = Vec::new();
        let plan = self.plan;
        measure(&plan, &mut |sample| samples.push(sample))
            .map_err(|error| anyhow::Error::new(error).context(format!("{workload}: {variant}")))?;
        for sample in samples {
            self.keep(&sample)?;
            self.results.samples.push((1, sample));
        }
        if let Some((path, file)) = &mut self.file {
            file.flush().map_err(|error| refuse(path, &error, "what was measured is lost"))?;
        }
        Ok(())
    }

    fn keep(&mut self, line: &impl serde::Serialize) -> Outcome {
        let Some((path, file)) = &mut self.file else { return Ok(()) };
        write_line(file, line).map_err(|error| refuse(path, &error, "what was measured is lost"))
    }
}

/// Begins again with an allocator that gives all large memory back when it is freed: else a table would be made of what the
/// one before it left, and the process would not seem to grow.
fn alone() -> Outcome {
    const THRESHOLD: &str = "MALLOC_MMAP_THRESHOLD_";
    if std::env::var_os(THRESHOLD).is_some() {
        return Ok(());
    }
    let mut again = Command::new("/proc/self/exe");
    again.args(std::env::args_os().skip(1)).env(THRESHOLD, "131072");
    Err(anyhow::Error::new(again.exec()).context("cannot begin again").into())
}

/// Prepares, measures, prints.
fn measure(common: &Common, work: impl FnOnce(&mut Run) -> Outcome) -> Outcome {
    let pinned = pin(common.core);
    if let (Some(core), None) = (common.core, pinned) {
        let message = format!("--core {core}: that core is not open to this process; name another one");
        return Err(Failure::Input(message));
    }
    let file = common.results.as_ref().map(|path| {
        let file = OpenOptions::new().create(true).append(true).open(path);
        file.map(|file| (path.clone(), BufWriter::new(file)))
            .map_err(|error| refuse(path, &error, "name a file that may be written"))
    });
    let plan = Plan { rounds: common.rounds, span: Duration::from_millis(common.span) };
    let mut run = Run { plan, results: Results::default(), file: file.transpose()? };
    run.keep(&machine::header(pinned, &today()))?;
    work(&mut run)?;
    super::print(&report::tables(&run.results))
}

fn print_line(header: &Header) -> Outcome {
    let mut line = Vec::new();
    write_line(&mut line, header).map_err(Failure::of_output)?;
    super::print(&String::from_utf8_lossy(&line))
}

fn today() -> String {
    jiff::Zoned::now().date().to_string()
}

/// A file could not be read or written, and what to do.
fn refuse(path: &Path, error: &dyn std::fmt::Display, remedy: &str) -> Failure {
    Failure::Input(format!("{}: {error}; {remedy}", path.display()))
}
