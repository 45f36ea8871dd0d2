//! How a command fails: what it says on standard error, and its exit status.

use std::io::{self, Write};
use std::process::ExitCode;

/// The result of a command.
pub(crate) type Outcome = Result<(), Failure>;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The input is wrong (arguments, a file, a policy): one message, or several lines of them. Exit status 2.
    Input(String),
    /// It could not be done, though nothing is wrong with the input. Exit status 1.
    Failed(anyhow::Error),
    /// Whoever read the output went away (`sekisho ... | head`): no fault of anybody's. Exit status 0.
    ReaderGone,
}

impl Failure {
    /// Standard output could not be written.
    pub(crate) fn of_output(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::ReaderGone;
        }
        Self::Failed(anyhow::Error::new(error).context("cannot write to standard output"))
    }

    /// Says on `out` what is wrong.
    pub(crate) fn report(&self, out: &mut impl Write) {
        // If even standard error is gone there is nobody left to tell.
        let _ = match self {
            Self::Input(message) => writeln!(out, "{message}"),
            Self::Failed(error) => writeln!(out, "sekisho: {error:#}"),
            Self::ReaderGone => Ok(()),
        };
    }

    /// The exit status.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Input(_) => 2,
            Self::Failed(_) => 1,
            Self::ReaderGone => 0,
        })
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(failure: &Failure) -> String {
        let mut out = Vec::new();
        failure.report(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_failure_is_told_with_its_causes() {
        let cause = io::Error::other("the disk is full");
        let failure = Failure::from(anyhow::Error::new(cause).context("cannot write out.pcap"));
        assert_eq!(said(&failure), "sekisho: cannot write out.pcap: the disk is full\n");
        assert_eq!(failure.exit_code(), ExitCode::from(1));
    }

    #[test]
    fn wrong_input_is_told_as_it_is() {
        let failure = Failure::Input("p.yaml:1:2: wrong; right".into());
        assert_eq!(said(&failure), "p.yaml:1:2: wrong; right\n");
        assert_eq!(failure.exit_code(), ExitCode::from(2));
    }

    #[test]
    fn a_reader_that_went_away_is_no_fault() {
        let failure = Failure::of_output(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(said(&failure), "");
        assert_eq!(failure.exit_code(), ExitCode::SUCCESS);
    }
}
