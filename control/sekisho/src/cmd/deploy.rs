//! `sekisho deploy`: sends a policy to the running appliance.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use sekisho_api::Deploy;
use sekisho_policy::POLICY_BYTES_MAX;

use super::remote::{Remote, diagnostic, failure};
use crate::failure::{Failure, Outcome};
use crate::output::{counted, json};

/// What the command line says.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The policy file; feed files are looked for beside it
    #[arg(value_name = "POLICY")]
    policy: PathBuf,
    /// Print JSON: generation, SHA-256, rules, warnings
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Outcome {
    let deploy = read(&args.policy)?;
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
