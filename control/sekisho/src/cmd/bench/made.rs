//! `sekisho bench report`.

use std::fs;
use std::path::PathBuf;

use sekisho_bench::report;
use sekisho_bench::results::Results;

use super::refuse;
use crate::failure::Outcome;
use crate::output::counted;

/// What the command line says.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What was measured, one JSON object a line: by `sekisho bench` and `scripts/bench` with `--results`
    #[arg(value_name = "RESULTS.jsonl")]
    results: PathBuf,
    /// The folder to write to; pages and plots that are there are written over
    #[arg(long, value_name = "FOLDER", default_value = "docs/benchmarks")]
    out: PathBuf,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Outcome {
    let path = &args.results;
    let text = fs::read_to_string(path).map_err(|error| refuse(path, &error, "name a file of results"))?;
    let results = Results::read(&text)
        .map_err(|error| refuse(path, &error, "each line is one figure of one round, or a header"))?;
    let out = &args.out;
    let cannot_write = |error| refuse(out, &error, "name a folder that may be written");
    fs::create_dir_all(out).map_err(cannot_write)?;
    let files = report::files(&results);
    for (name, text) in &files {
        fs::write(out.join(name), text).map_err(cannot_write)?;
    }
    super::super::print(&format!("{}: {} written\n", out.display(), counted(files.len(), "file")))
}
