//! `sekisho replay`: captures through the real inspection, offline, in their own time.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::num::NonZeroU8;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sekisho_engine::policy::Ruleset;
use sekisho_engine::reason::Reason;
use sekisho_engine::session::room::Budgets;
use sekisho_engine::time::Duration;
use sekisho_replay::{Capture, Deploy, Error, Job, Outputs, Summary};

use crate::failure::{Failure, Outcome};
use crate::output::{Table, json};

/// What the command line says.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("captures").args(["lan", "wan"]).required(true).multiple(true)))]
pub(crate) struct Args {
    /// The policy file
    #[arg(long)]
    policy: PathBuf,
    /// Frames that arrive on the LAN port: pcap or pcapng
    #[arg(long, value_name = "LAN.pcap")]
    lan: Option<PathBuf>,
    /// Frames that arrive on the WAN port: pcap or pcapng
    #[arg(long, value_name = "WAN.pcap")]
    wan: Option<PathBuf>,
    /// Write a line of JSON for every frame and event; `-` is standard output
    #[arg(long, value_name = "OUT.jsonl")]
    verdicts: Option<PathBuf>,
    /// Write the frames that leave by the LAN port
    #[arg(long, value_name = "F.pcap")]
    lan_out: Option<PathBuf>,
    /// Write the frames that leave by the WAN port
    #[arg(long, value_name = "F.pcap")]
    wan_out: Option<PathBuf>,
    /// Deploy this policy so many seconds after the first frame; may be given more than once
    #[arg(long = "deploy", value_name = "SECONDS=POLICY", value_parser = planned)]
    deploys: Vec<Planned>,
    /// Engines that share the work: the result is the same for any number
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u8).range(1..=i64::from(Job::WORKERS_MAX)))]
    workers: u8,
    /// Sessions that each engine can hold
    #[arg(long, value_name = "N", default_value_t = Job::SESSIONS_MAX, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    sessions_max: u32,
    /// The appliance started so many seconds before the first frame: `inspection.grace` counts from then. Left out: it
    /// started long ago
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    started: Option<Duration>,
    /// Print the figures of the replay as JSON
    #[arg(long)]
    json: bool,
}

/// A deploy as the command line has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Planned {
    at: Duration,
    policy: PathBuf,
}

/// Runs the command. Figures go to standard output if they, or nothing else, were asked for.
pub(crate) fn run(args: &Args) -> Outcome {
    let stdout_is_taken = args.verdicts.as_deref() == Some(Path::new("-"));
    if args.json && stdout_is_taken {
        let message = "sekisho replay: --json and --verdicts - both write to standard output; name a file";
        return Err(Failure::Input(message.into()));
    }
    let job = Job {
        ruleset: ruleset(&args.policy)?,
        captures: [open(args.lan.as_deref())?, open(args.wan.as_deref())?],
        deploys: deploys(&args.deploys)?,
        workers: NonZeroU8::new(args.workers).unwrap_or(NonZeroU8::MIN),
        sessions_max: args.sessions_max,
        budgets: Budgets::default(),
        started: args.started,
    };
    let last_planned = args.deploys.len();
    spare_inputs(args)?;
    let outputs = Outputs {
        verdicts: args.verdicts.as_deref().map(create).transpose()?,
        lan: args.lan_out.as_deref().map(create).transpose()?,
        wan: args.wan_out.as_deref().map(create).transpose()?,
    };
    let summary = sekisho_replay::run(job, outputs).map_err(failure)?;
    warn(&summary, last_planned);
    let asked_for_files = args.verdicts.is_some() || args.lan_out.is_some() || args.wan_out.is_some();
    match (args.json, asked_for_files) {
        (true, _) => super::print(&json(&summary)?),
        (false, true) => Ok(()),
        (false, false) => super::print(&figures(&summary)),
    }
}

/// The rules of a policy file. One that asks for what nothing enforces yet is refused.
fn ruleset(path: &Path) -> Result<Ruleset, Failure> {
    let refuse = |faults: sekisho_policy::Diagnostics| Failure::Input(faults.to_string());
    let loaded = sekisho_policy::load(path).map_err(refuse)?;
    Ok(loaded.ruleset)
}

fn deploys(planned: &[Planned]) -> Result<Vec<Deploy>, Failure> {
    let deploy = |one: &Planned| {
        Ok(Deploy { at: one.at, name: one.policy.display().to_string(), ruleset: ruleset(&one.policy)? })
    };
    planned.iter().map(deploy).collect()
}

fn open(path: Option<&Path>) -> Result<Option<Capture<'static>>, Failure> {
    let Some(path) = path else { return Ok(None) };
    let name = path.display().to_string();
    let file = File::open(path).map_err(|error| {
        Failure::Input(format!("{name}: {error}; name a capture that is there and may be read"))
    })?;
    Capture::new(name, file).map(Some).map_err(|error| failure(error.into()))
}

/// Refuses to write over what is to be read, and to write two things into one file.
fn spare_inputs(args: &Args) -> Outcome {
    let policies = args.deploys.iter().map(|planned| &planned.policy);
    let inputs =
        [Some(&args.policy), args.lan.as_ref(), args.wan.as_ref()].into_iter().flatten().chain(policies);
    let mut taken: Vec<&PathBuf> = inputs.collect();
    for output in [&args.verdicts, &args.lan_out, &args.wan_out].into_iter().flatten() {
        if let Some(other) = taken.iter().find(|other| is_same_file(output, other)) {
            let (output, other) = (output.display(), other.display());
            let message = format!("{output}: this is the same file as {other}; name another one to write to");
            return Err(Failure::Input(message));
        }
        taken.push(output);
    }
    Ok(())
}

fn is_same_file(a: &Path, b: &Path) -> bool {
    let of = |path: &Path| path.metadata().ok().map(|meta| (meta.is_file(), meta.dev(), meta.ino()));
    match (of(a), of(b)) {
        (Some((true, ..)), _) => of(a) == of(b),
        (None, None) => a == b,
        // A device such as /dev/null takes everything.
        _ => false,
    }
}

fn create(path: &Path) -> Result<Box<dyn Write>, Failure> {
    if path == Path::new("-") {
        return Ok(Box::new(BufWriter::new(io::stdout())));
    }
    match File::create(path) {
        Ok(file) => Ok(Box::new(BufWriter::with_capacity(1 << 16, file))),
        Err(error) => {
            Err(Failure::Input(format!("{}: {error}; name a file that may be written", path.display())))
        }
    }
}

fn failure(error: Error) -> Failure {
    match error {
        Error::Capture(error) => Failure::Input(format!("{:#}", anyhow::Error::new(error))),
        Error::Write(error) if error.kind() == io::ErrorKind::BrokenPipe => Failure::ReaderGone,
        Error::Write(error) => {
            Failure::Failed(anyhow::Error::new(error).context("cannot write what happened"))
        }
    }
}

/// Says what may surprise whoever reads the result.
fn warn(summary: &Summary, planned: usize) {
    for (port, count) in ["lan", "wan"].into_iter().zip(summary.went_back).filter(|(_, count)| *count > 0) {
        super::warn(&format!(
            "warning: time stamps go back in the {port} capture; frames taken as of the one before: {count}"
        ));
    }
    if summary.deploys < planned {
        let missed = planned - summary.deploys;
        super::warn(&format!(
            "warning: deploys that are due after the last frame, and did not happen: {missed}"
        ));
    }
    if summary.table_was_full {
        super::warn("warning: the session table was full; --sessions-max gives it more room");
    }
}

/// The figures for people.
fn figures(summary: &Summary) -> String {
    let Summary { frames, forwarded, dropped, sent, sessions_begun, sessions_live, .. } = summary;
    let duration = Duration::from_nanos(summary.duration_ns);
    let mut text = format!(
        "frames: {frames} in {duration}, {forwarded} forwarded, {dropped} dropped, {sent} sent by the appliance itself\n\
         sessions: {sessions_begun} began, {sessions_live} live at the end\n"
    );
    if summary.blocked > 0 {
        let _ = writeln!(text, "block list: sources were put on it {} times", summary.blocked);
    }
    let mut reasons = Table::new(["KIND", "REASON", "COUNT"]);
    for (name, count) in &summary.reasons {
        let kind = Reason::from_name(name).map_or("", |reason| reason.kind().name());
        reasons.row([kind.into(), (*name).into(), count.to_string()]);
    }
    let mut rules = Table::new(["RULE", "HITS"]);
    for rule in &summary.rules {
        rules.row([rule.rule.to_string(), rule.hits.to_string()]);
    }
    let mut helpers =
        Table::new(["HELPER", "FOLLOWED", "OPENED", "USED", "EXPIRED", "REFUSED", "NOT FOLLOWED"]);
    for (name, of) in &summary.helpers {
        let (refused, not_followed) =
            (of.refused.values().sum::<u64>(), of.not_followed.values().sum::<u64>());
        let figures = [of.followed, of.opened, of.used, of.expired, refused, not_followed];
        let [followed, opened, used, expired, refused, not_followed] =
            figures.map(|figure| figure.to_string());
        helpers.row([(*name).into(), followed, opened, used, expired, refused, not_followed]);
    }
    for table in
        [Some(reasons), Some(rules), (!summary.helpers.is_empty()).then_some(helpers)].iter().flatten()
    {
        text.push('\n');
        text.push_str(&table.to_text());
    }
    text
}

/// Reads `SECONDS=POLICY`.
fn planned(text: &str) -> Result<Planned, String> {
    let (seconds, policy) = text.split_once('=').ok_or("write it as SECONDS=POLICY, such as 12.5=b.yaml")?;
    let at = self::seconds(seconds)?;
    if policy.is_empty() {
        return Err("the policy file is missing behind the =".into());
    }
    Ok(Planned { at, policy: policy.into() })
}

/// Reads `SECONDS`.
fn seconds(text: &str) -> Result<Duration, String> {
    let nanos = nanos(text)
        .ok_or("the seconds are a number such as 12 or 12.5, of at most nine decimals, below ten billion")?;
    Ok(Duration::from_nanos(nanos))
}

/// Seconds with up to nine decimals, exactly, in nanoseconds.
fn nanos(seconds: &str) -> Option<u64> {
    let (whole, decimals) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let is_number = |digits: &str, max| {
        (1..=max).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !is_number(whole, 10) || !is_number(decimals, 9) {
        return None;
    }
    let decimals: u64 = format!("{decimals:0<9}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(1_000_000_000)?.checked_add(decimals)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deploys_are_planned_to_the_nanosecond() {
        let at = |text| planned(text).map(|planned| planned.at.as_nanos());
        assert_eq!(at("12.5=b.yaml"), Ok(12_500_000_000));
        assert_eq!(at("0=b.yaml"), Ok(0));
        assert_eq!(at("0.000000001=b.yaml"), Ok(1));
        assert_eq!(at("3=a=b.yaml"), Ok(3_000_000_000));
        assert_eq!(planned("3=a=b.yaml").unwrap().policy, Path::new("a=b.yaml"));
        for wrong in [
            "",
            "b.yaml",
            "=b.yaml",
            "1=",
            "-1=b",
            "1e3=b",
            ".5=b",
            "5.=b",
            "0.1234567891=b",
            "99999999999=b",
            "inf=b",
        ] {
            assert!(planned(wrong).is_err(), "{wrong:?}");
        }
    }
}
