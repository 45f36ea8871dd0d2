//! `sekisho reasons`: the vocabulary that verdicts, logs and metrics share.

use sekisho_engine::reason::Reason;
use serde::Serialize;

use crate::failure::Outcome;
use crate::output::{Table, json};

/// What the command line says.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Row {
    reason: &'static str,
    kind: &'static str,
    meaning: &'static str,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Outcome {
    let rows = Reason::ALL.iter().map(|reason| Row {
        reason: reason.name(),
        kind: reason.kind().name(),
        meaning: reason.text(),
    });
    if args.json {
        return super::print(&json(&rows.collect::<Vec<_>>())?);
    }
    let mut table = Table::new(["REASON", "KIND", "MEANING"]);
    rows.for_each(|row| table.row([row.reason.into(), row.kind.into(), row.meaning.into()]));
    super::print(&table.to_text())
}
