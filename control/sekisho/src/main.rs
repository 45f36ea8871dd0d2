//! sekisho, a stateful firewall appliance that stands in the wire between LAN and WAN.
//!
//! `main` reads the command line and hands over to the one module of [`cmd`] that the command names. What a command
//! prints is made by [`output`]; how it fails, and with which exit status, is said by [`failure`]. The appliance
//! itself is [`run`].

#![forbid(unsafe_code)]

mod cmd;
mod failure;
mod output;
mod run;

use std::process::ExitCode;

use clap::Parser;

/// A stateful firewall appliance that stands in the wire between LAN and WAN.
#[derive(Debug, Parser)]
#[command(name = "sekisho", version, arg_required_else_help = true, after_help = EXIT_STATUS)]
struct Line {
    #[command(subcommand)]
    command: cmd::Command,
}

const EXIT_STATUS: &str =
    "Exit status: 0 done; 1 it failed; 2 the input (arguments, a file, a policy) is wrong.";

fn main() -> ExitCode {
    // A wrong command line ends here, with exit status 2 and a message; so does --help, with 0.
    let line = Line::parse();
    match cmd::run(line.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report(&mut std::io::stderr().lock());
            failure.exit_code()
        }
    }
}
