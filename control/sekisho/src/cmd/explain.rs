//! `sekisho explain`: which rule decides a packet and why, rule by rule.

use std::path::PathBuf;

use sekisho_policy::explain::{ExplainQuery, explain};

use crate::failure::{Failure, Outcome};
use crate::output::json;

/// What the command line says.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The policy file
    policy: PathBuf,
    /// Where the packet comes from: `lan`, `wan`, or a zone of the policy
    #[arg(long, value_name = "PORT|ZONE")]
    from: String,
    /// The VLAN of its frame; left out: that of the zone, or none
    #[arg(long, value_name = "ID")]
    vlan: Option<u16>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// The packet: `tcp 192.0.2.10:40000 203.0.113.5:443`, `icmp 192.0.2.10 203.0.113.5 echo`
    #[arg(required = true, num_args = 1.., value_name = "PACKET")]
    packet: Vec<String>,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Outcome {
    let loaded = sekisho_policy::load(&args.policy).map_err(|faults| Failure::Input(faults.to_string()))?;
    let query = ExplainQuery::parse(&loaded, &args.from, args.vlan, &args.packet)
        .map_err(|fault| Failure::Input(format!("sekisho explain: {fault}")))?;
    let explanation = explain(&loaded, &query);
    super::print(&if args.json { json(&explanation)? } else { explanation.to_string() })
}
