//! `sekisho check`: validates policy files, without a NIC, hugepages or root.

use std::fmt::Write as _;
use std::path::PathBuf;

use sekisho_policy::{Diagnostic, Diagnostics};
use serde::Serialize;

use crate::failure::{Failure, Outcome};
use crate::output::{counted, json};

/// What the command line says.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Policy files
    #[arg(required = true, value_name = "POLICY")]
    policies: Vec<PathBuf>,
    /// Print JSON: for each file whether it is valid, and everything that was found
    #[arg(long)]
    json: bool,
}

/// What was found about a file.
#[derive(Debug, Serialize)]
struct Finding {
    file: String,
    valid: bool,
    /// Rules, if the file is valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<usize>,
    /// What names this policy in logs and listings, if the file is valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    diagnostics: Vec<Diagnostic>,
    /// How many more there were than are listed.
    omitted: usize,
}

impl Finding {
    fn of(path: &std::path::Path) -> (Self, Diagnostics) {
        let (found, valid) = match sekisho_policy::load(path) {
            Ok(loaded) => (loaded.all_warnings(), Some(loaded)),
            Err(faults) => (faults, None),
        };
        let finding = Self {
            file: path.display().to_string(),
            valid: valid.is_some(),
            rules: valid.as_ref().map(|loaded| loaded.ruleset.rules.len()),
            sha256: valid.map(|loaded| loaded.sha256),
            diagnostics: found.iter().cloned().collect(),
            omitted: found.omitted(),
        };
        (finding, found)
    }

    fn summary(&self) -> Option<String> {
        let mut line = format!("{}: valid, {}", self.file, counted(self.rules?, "rule"));
        let warnings = self.diagnostics.len() + self.omitted;
        if warnings > 0 {
            let _ = write!(line, ", {}", counted(warnings, "warning"));
        }
        Some(line + "\n")
    }
}

/// Runs the command. Faults and warnings go to standard error; standard output has a line for each valid file.
pub(crate) fn run(args: &Args) -> Outcome {
    let (findings, found): (Vec<_>, Vec<_>) = args.policies.iter().map(|path| Finding::of(path)).unzip();
    let text = match args.json {
        true => json(&findings)?,
        false => findings.iter().filter_map(Finding::summary).collect(),
    };
    super::print(&text)?;
    let told = found.iter().filter(|found| !found.is_empty()).map(Diagnostics::to_string);
    let told = told.collect::<Vec<_>>().join("\n");
    if findings.iter().any(|finding| !finding.valid) {
        return Err(Failure::Input(told));
    }
    if !told.is_empty() {
        super::warn(&told);
    }
    Ok(())
}
