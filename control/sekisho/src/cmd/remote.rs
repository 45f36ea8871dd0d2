//! What the commands that speak to the running appliance share.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Error;
use sekisho_api::{Client, ClientError, Fault, FaultKind, SOCKET};

use crate::failure::Failure;

/// Where the running appliance is.
#[derive(Debug, clap::Args)]
pub(crate) struct Remote {
    /// The socket of the running appliance
    #[arg(long, value_name = "PATH", default_value = SOCKET)]
    socket: PathBuf,
}

impl Remote {
    /// Connects to it.
    pub(crate) fn connect(&self) -> Result<Client, Failure> {
        Client::connect(&self.socket).map_err(failure)
    }
}

/// A wrong request or policy is wrong input; everything else is a failure, that it is refused among them.
pub(crate) fn failure(error: ClientError) -> Failure {
    match error {
        ClientError::Refused(fault) if fault.kind == FaultKind::PolicyWrong => {
            Failure::Input(policy_faults(&fault))
        }
        ClientError::Refused(fault) if !matches!(fault.kind, FaultKind::Failed | FaultKind::Forbidden) => {
            Failure::Input(format!("sekisho: {}", fault.message))
        }
        error => Failure::Failed(Error::from(error)),
    }
}

/// The faults of a policy, a line each, as `sekisho check` prints them.
fn policy_faults(fault: &Fault) -> String {
    let mut text = String::new();
    for one in &fault.diagnostics {
        if !text.is_empty() {
            text.push('\n');
        }
        let _ = write!(text, "{}", diagnostic(one));
    }
    if fault.diagnostics_omitted > 0 {
        let _ = write!(text, "\nand {} more", fault.diagnostics_omitted);
    }
    text
}

/// `FILE:LINE:COLUMN: what is wrong; what would be right`.
pub(crate) fn diagnostic(one: &sekisho_api::Diagnostic) -> String {
    let mut text = format!("{}:{}:{}: ", one.file, one.line, one.column);
    if one.severity == "warning" {
        text.push_str("warning: ");
    }
    text.push_str(&one.message);
    if let Some(remedy) = &one.remedy {
        let _ = write!(text, "; {remedy}");
    }
    text
}
