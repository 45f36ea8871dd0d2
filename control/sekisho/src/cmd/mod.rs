//! The commands, one module each. Only these and `main` print.

mod asymmetric;
mod bench;
mod blocks;
mod check;
mod counters;
mod deploy;
mod drops;
mod explain;
mod reasons;
mod remote;
mod replay;
mod run;
mod sessions;
mod status;

use std::io::{self, Write};

use clap::Subcommand;

use crate::failure::{Failure, Outcome};

/// What sekisho can be asked to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the appliance, in the foreground
    Run(run::Args),
    /// Send a policy to the running appliance: all workers switch to it at once, or none does
    Deploy(deploy::Args),
    /// Show what the running appliance is and how it is
    Status(status::Args),
    /// List, count or end the live sessions of the running appliance
    Sessions(sessions::Args),
    /// Show what the running appliance has counted since its start
    Counters(counters::Args),
    /// Show the last frames that the running appliance dropped, and why
    Drops(drops::Args),
    /// List prefixes of which only one direction of TCP comes through the running appliance
    Asymmetric(asymmetric::Args),
    /// List the sources that the running appliance blocks; add, extend and release them
    Blocks(blocks::Args),
    /// Validate policy files, and warn of what their author probably does not mean
    Check(check::Args),
    /// Tell which rule decides a packet and why, rule by rule
    Explain(explain::Args),
    /// Let the inspection run over captures, offline, in their own time
    Replay(replay::Args),
    /// Measure the inspection on this machine, and report what was measured
    Bench(bench::Args),
    /// List the vocabulary of reasons: why frames are forwarded or dropped, why sessions end
    Reasons(reasons::Args),
}

/// Does what `command` says.
pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::Run(args) => run::run(&args),
        Command::Deploy(args) => deploy::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Sessions(args) => sessions::run(&args),
        Command::Counters(args) => counters::run(&args),
        Command::Drops(args) => drops::run(&args),
        Command::Asymmetric(args) => asymmetric::run(&args),
        Command::Blocks(args) => blocks::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Reasons(args) => reasons::run(&args),
    }
}

/// Prints `text` to standard output.
fn print(text: &str) -> Outcome {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failure::of_output)
}

/// Says `text` on standard error, beside the output: nothing that changes the exit status.
fn warn(text: &str) {
    // If standard error is gone there is nobody to tell.
    let _ = writeln!(io::stderr().lock(), "{text}");
}
