//! `sekisho asymmetric`: prefixes of which only one direction of TCP comes through the running appliance.

use sekisho_api::{Asymmetric, AsymmetricPrefix};

use super::remote::{Remote, failure};
use crate::failure::Outcome;
use crate::output::{Table, json, span};

/// What the command line says.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "SYN/ACK: SYN/ACKs whose SYN was not seen. STRAY: packets of sessions that nobody saw begin. HANDSHAKE: \
                        answers to SYN/ACKs that were not seen. SESSION: sessions picked up in midstream of which only one \
                        side was ever heard.\nEach is a packet that comes through from the prefix, while what it \
                        answers took another way: the routing is asymmetric, or somebody scans."
)]
pub(crate) struct Args {
    /// Only prefixes with so many packets or more
    #[arg(long, value_name = "N", default_value_t = 1)]
    packets: u64,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Outcome {
    let mut found = args.remote.connect()?.asymmetric().map_err(failure)?;
    found.prefixes.retain(|prefix| prefix.packets >= args.packets);
    super::print(&if args.json { json(&found)? } else { text(&found) })
}

fn text(found: &Asymmetric) -> String {
    if found.prefixes.is_empty() {
        return "no prefix of which only one direction comes through\n".to_owned();
    }
    let mut table =
        Table::new(["PREFIX", "FROM", "PACKETS", "SYN/ACK", "STRAY", "HANDSHAKE", "SESSION", "LAST"]);
    for one in &found.prefixes {
        let [syn_ack, stray, handshake, session] =
            ["syn-ack-without-syn", "packet-without-session", "handshake-half-seen", "one-sided-session"]
                .map(|kind| count(one, kind).to_string());
        table.row([
            one.prefix.to_string(),
            one.from.to_string(),
            one.packets.to_string(),
            syn_ack,
            stray,
            handshake,
            session,
            format!("{} ago", span(one.last_seconds_ago)),
        ]);
    }
    table.to_text()
}

fn count(prefix: &AsymmetricPrefix, kind: &str) -> u64 {
    prefix.evidence.iter().filter(|one| one.evidence == kind).map(|one| one.count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sekisho_api::{EvidenceCount, PortName};

    #[test]
    fn each_prefix_is_a_line() {
        let evidence = vec![
            EvidenceCount { evidence: "syn-ack-without-syn".into(), count: 2 },
            EvidenceCount { evidence: "packet-without-session".into(), count: 118 },
        ];
        let prefix = AsymmetricPrefix {
            prefix: "203.0.113.0/24".parse().unwrap(),
            from: PortName::Wan,
            packets: 120,
            evidence,
            last_seconds_ago: 3.0,
        };
        let told = text(&Asymmetric { prefixes: vec![prefix], evidence: Vec::new() });
        assert_eq!(
            told,
            "PREFIX          FROM  PACKETS  SYN/ACK  STRAY  HANDSHAKE  SESSION  LAST\n\
             203.0.113.0/24  wan       120        2    118          0        0  3.0s ago\n"
        );
        assert!(text(&Asymmetric { prefixes: Vec::new(), evidence: Vec::new() }).starts_with("no prefix"));
    }
}
