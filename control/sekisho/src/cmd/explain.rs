//! `sekisho explain`: which rule decides a packet and why, rule by rule; with `--live` what the running appliance knows of
//! it.

use std::fmt::Write as _;
use std::path::PathBuf;

use sekisho_api::{Explain, LiveExplanation};
use sekisho_policy::explain::{ExplainQuery, explain};

use super::drops;
use super::remote::{Remote, failure};
use crate::failure::{Failure, Outcome};
use crate::output::{json, span};

/// What the command line says.
#[derive(Debug, clap::Args)]
#[command(override_usage = "sekisho explain POLICY --from <PORT|ZONE> [OPTIONS] PACKET...\n       \
                            sekisho explain --live --from <PORT|ZONE> [OPTIONS] PACKET...")]
pub(crate) struct Args {
    /// Where the packet comes from: `lan`, `wan`, or a zone of the policy
    #[arg(long, value_name = "PORT|ZONE")]
    from: String,
    /// The VLAN of its frame; left out: that of the zone, or none
    #[arg(long, value_name = "ID")]
    vlan: Option<u16>,
    /// Ask the running appliance: what its policy would do now, the live session of the packet, the session that was
    /// cut, its last drops
    #[arg(long)]
    live: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
    /// The policy file, unless --live; then the packet: `tcp 192.0.2.10:40000 203.0.113.5:443`,
    /// `icmp 192.0.2.10 203.0.113.5 echo`
    #[arg(required = true, num_args = 1.., value_name = "POLICY PACKET")]
    words: Vec<String>,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Outcome {
    if args.live {
        let packet = args.words.join(" ");
        let asked = Explain { from: args.from.clone(), vlan: args.vlan, packet };
        let explained = args.remote.connect()?.explain(asked).map_err(failure)?;
        return super::print(&if args.json { json(&explained)? } else { live(&explained) });
    }
    let (policy, packet) = args.words.split_first().unwrap_or((&args.from, &[]));
    let loaded =
        sekisho_policy::load(&PathBuf::from(policy)).map_err(|faults| Failure::Input(faults.to_string()))?;
    let query = ExplainQuery::parse(&loaded, &args.from, args.vlan, packet)
        .map_err(|fault| Failure::Input(format!("sekisho explain: {fault}")))?;
    let explanation = explain(&loaded, &query);
    super::print(&if args.json { json(&explanation)? } else { explanation.to_string() })
}

/// What the appliance knows, under headings.
fn live(explained: &LiveExplanation) -> String {
    let mut text = String::from("If it were the first of a session now:\n");
    text += &explained.explanation;
    let rule = |rule: &Option<String>| rule.clone().unwrap_or_else(|| "-".into());
    let _ = match &explained.session {
        Some(session) => writeln!(
            text,
            "\nlive     it belongs to session {}, {}, of rule {}, on worker {}: {} old, idle for {} of {}\n         \
             {} packets from LAN, {} from WAN; it was opened from {}",
            session.id,
            session.state,
            rule(&session.rule),
            explained.worker.map_or_else(|| "-".into(), |worker| worker.to_string()),
            span(session.age_seconds),
            span(session.idle_seconds),
            span(session.timeout_seconds),
            session.from_lan.packets,
            session.from_wan.packets,
            session.from,
        ),
        None => writeln!(text, "\nlive     there is no session of it"),
    };
    let _ = match &explained.ended {
        Some(cut) => writeln!(
            text,
            "ended    session {} of it was cut at {}: {}",
            cut.session,
            cut.time,
            drops::how_it_ended(&cut.ended)
        ),
        None => writeln!(text, "ended    no session of it was cut lately"),
    };
    if let Some(blocked) = &explained.blocked {
        let (cause, left) = (&blocked.cause, span(blocked.expires_in_seconds));
        let force = if blocked.in_force { "" } else { "; not in force under this policy" };
        let _ = writeln!(
            text,
            "blocked  {} is on the block list ({cause}) for {left} more{force}",
            blocked.source
        );
    }
    if explained.drops.is_empty() {
        text += "drops    none that is remembered\n";
    } else {
        text += "drops    the last that are remembered:\n";
        text += &drops::lines_of(&explained.drops);
    }
    text
}
