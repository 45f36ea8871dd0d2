//! `sekisho deploy`: sends a policy to the running appliance.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use sekisho_api::{Deploy, DryRun, DryRunSample};
use sekisho_policy::POLICY_BYTES_MAX;

use super::remote::{Remote, diagnostic, failure};
use crate::failure::{Failure, Outcome};
use crate::output::{Table, counted, destination, json, source, span};

/// What the command line says.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The policy file; feed files are looked for beside it
    #[arg(value_name = "POLICY")]
    policy: PathBuf,
    /// Only tell which live sessions the policy would end, and which would go on though it does not allow them;
    /// nothing changes
    #[arg(long)]
    dry_run: bool,
    /// Print JSON: generation, SHA-256, rules, warnings; with --dry-run what would become of sessions
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Outcome {
    let deploy = read(&args.policy)?;
    if args.dry_run {
        let weighed = args.remote.connect()?.dry_run(deploy).map_err(failure)?;
        if args.json {
            return super::print(&json(&weighed)?);
        }
        weighed.warnings.iter().for_each(|one| super::warn(&diagnostic(one)));
        return super::print(&prospects(&args.policy, &weighed));
    }
    let deployed = args.remote.connect()?.deploy(deploy).map_err(failure)?;
    if args.json {
        return super::print(&json(&deployed)?);
    }
    deployed.warnings.iter().for_each(|one| super::warn(&diagnostic(one)));
    super::print(&format!(
        "{}: in force as generation {}, {}\n",
        args.policy.display(),
        deployed.generation,
        counted(usize::try_from(deployed.rules).unwrap_or(usize::MAX), "rule")
    ))
}

/// What would become of the live sessions.
fn prospects(policy: &Path, weighed: &DryRun) -> String {
    let DryRun { sessions, ends, outlives, .. } = weighed;
    let live = counted(usize::try_from(*sessions).unwrap_or(usize::MAX), "live session");
    let rules = counted(usize::try_from(weighed.rules).unwrap_or(usize::MAX), "rule");
    let mut text = format!(
        "{}: {rules}; a dry run, nothing has changed\n{live}: {ends} would end, {outlives} would go on though not \
         allowed any more\n",
        policy.display()
    );
    if weighed.by_rule.is_empty() {
        return text;
    }
    let mut table = Table::new(["RULE", "WOULD END", "WOULD GO ON"]);
    for rule in &weighed.by_rule {
        let name = rule.rule.clone().unwrap_or_else(|| "-".into());
        table.row([name, rule.ends.to_string(), rule.outlives.to_string()]);
    }
    text += &format!("\n{}\n", table.to_text());
    let mut samples =
        Table::new(["FOR EXAMPLE", "RULE", "PROTOCOL", "SOURCE", "DESTINATION", "STATE", "AGE"]);
    for DryRunSample { ends, session } in &weighed.samples {
        samples.row([
            if *ends { "would end" } else { "would go on" }.to_owned(),
            session.rule.clone().unwrap_or_else(|| "-".into()),
            session.five_tuple.protocol.to_string(),
            source(&session.five_tuple),
            destination(&session.five_tuple),
            session.state.to_string(),
            span(session.age_seconds),
        ]);
    }
    text + &samples.to_text()
}

/// The text goes to the appliance, which need not be able to read where it comes from; feed files it reads itself.
fn read(path: &Path) -> Result<Deploy, Failure> {
    let name = path.display().to_string();
    let wrong = |what: String| Failure::Input(format!("{name}:1:1: {what}"));
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(POLICY_BYTES_MAX + 1).read_to_end(&mut bytes));
    read.map_err(|error| wrong(format!("the file cannot be read: {error}")))?;
    if bytes.len() as u64 > POLICY_BYTES_MAX {
        return Err(wrong(format!("the file is larger than {} MiB", POLICY_BYTES_MAX >> 20)));
    }
    let text =
        String::from_utf8(bytes).map_err(|_| wrong("this is not UTF-8; save the file as UTF-8".into()))?;
    let absolute = std::path::absolute(path).map_err(|error| wrong(error.to_string()))?;
    let directory = absolute.parent().map(|directory| directory.display().to_string());
    Ok(Deploy { name, text, directory })
}
