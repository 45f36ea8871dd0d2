//! `sekisho run`: the appliance in the foreground.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use tracing_subscriber::EnvFilter;

use crate::failure::Outcome;

/// What the command line says.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Signals: SIGTERM and SIGINT end it; SIGHUP deploys the policy file again; SIGUSR1 opens the \
                        flow log again.\nIts own log goes to standard error; SEKISHO_LOG=debug says more."
)]
pub(crate) struct Args {
    /// The appliance file: ports, workers, tables, the policy file, sockets, logs
    #[arg(long, value_name = "FILE", default_value = "/etc/sekisho/appliance.yaml")]
    appliance: PathBuf,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Outcome {
    start_log();
    crate::run::run(&args.appliance)
}

/// The appliance's own log, on standard error; with time stamps unless the journal adds its own.
fn start_log() {
    let filter = EnvFilter::try_from_env("SEKISHO_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    match std::env::var_os("JOURNAL_STREAM") {
        Some(_) => log.without_time().init(),
        None => log.init(),
    }
}
