//! `sekisho drops`: the last frames that the running appliance dropped, and why.

use std::fmt::Write as _;
use std::time::Duration;

use sekisho_api::{
    DROPS_MAX, Drop, DropFilter, DropPageQuery, Drops, Ended, ListDrops, PortName, Prefix, Protocol, RuleName,
};

use super::remote::{Remote, failure};
use crate::failure::{Failure, Outcome};
use crate::output::{destination, json, source, span, vlans};

/// How often `--follow` asks for more.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// What the command line says.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The appliance remembers the last 4096 drops; the flow log has those that the policy logs. \
                        Filters are joined by and.\n--json prints one document; with --follow one JSON object a line."
)]
pub(crate) struct Args {
    #[command(flatten)]
    filter: Filter,
    /// Show the newest so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=i64::from(DROPS_MAX)))]
    last: u32,
    /// Go on showing drops as they happen
    #[arg(long)]
    follow: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

/// Which drops.
#[derive(Debug, clap::Args)]
struct Filter {
    /// The source or the destination address, or a prefix of it
    #[arg(long, value_name = "PREFIX")]
    address: Option<Prefix>,
    /// The source address
    #[arg(long, value_name = "PREFIX")]
    source: Option<Prefix>,
    /// The destination address
    #[arg(long, value_name = "PREFIX")]
    destination: Option<Prefix>,
    /// The source or the destination port
    #[arg(long)]
    port: Option<u16>,
    /// tcp, udp, icmp, icmpv6, sctp, ... or a number
    #[arg(long)]
    protocol: Option<Protocol>,
    /// Source or destination zone
    #[arg(long)]
    zone: Option<String>,
    /// Why: `sekisho reasons` lists them
    #[arg(long)]
    reason: Option<String>,
    /// The rule that decided; - where none did
    #[arg(long, allow_hyphen_values = true)]
    rule: Option<RuleName>,
    /// The outer VLAN; 0 for untagged
    #[arg(long, value_parser = clap::value_parser!(u16).range(0..=4094))]
    vlan: Option<u16>,
    /// The port of the appliance on which it arrived: lan or wan
    #[arg(long, value_name = "PORT")]
    from: Option<PortName>,
}

impl Filter {
    fn to_api(&self) -> DropFilter {
        DropFilter {
            address: self.address,
            source: self.source,
            destination: self.destination,
            port: self.port,
            protocol: self.protocol,
            zone: self.zone.clone(),
            reason: self.reason.clone(),
            rule: self.rule.clone(),
            vlan: self.vlan,
            from: self.from,
        }
    }
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Outcome {
    let mut client = args.remote.connect()?;
    let filter = args.filter.to_api();
    let page = DropPageQuery { limit: Some(args.last), after: None };
    let mut shown = client.drops(ListDrops { filter: filter.clone(), page }).map_err(failure)?;
    if !args.follow {
        return super::print(&if args.json { json(&shown)? } else { text(&shown) });
    }
    loop {
        super::print(&if args.json { lines(&shown)? } else { text(&shown) })?;
        std::thread::sleep(ASK_EVERY);
        let page = DropPageQuery { limit: None, after: Some(shown.last) };
        let next = client.drops(ListDrops { filter: filter.clone(), page }).map_err(failure)?;
        let unseen = (next.last - shown.last).saturating_sub(u64::from(DROPS_MAX));
        if unseen > 0 {
            super::warn(&format!("{unseen} drops came and went unseen: there are too many to follow"));
        }
        shown = next;
    }
}

fn lines(drops: &Drops) -> Result<String, Failure> {
    let mut text = String::new();
    for drop in &drops.drops {
        text += &serde_json::to_string(drop).map_err(anyhow::Error::from)?;
        text.push('\n');
    }
    Ok(text)
}

fn text(drops: &Drops) -> String {
    lines_of(&drops.drops)
}

/// A line for each drop, two where its session had been cut.
pub(crate) fn lines_of(drops: &[Drop]) -> String {
    let mut text = String::new();
    for drop in drops {
        let protocol = drop.five_tuple.as_ref().map(|tuple| tuple.protocol.to_string());
        let ends = drop.five_tuple.as_ref().map(|tuple| (source(tuple), destination(tuple)));
        let (source, destination) = ends.unwrap_or_default();
        let line = format!(
            "{} {} {:<21} {:<14} {:<6} {:<21} {:<21} {} {}",
            time(&drop.time),
            drop.from,
            drop.reason,
            drop.rule.as_deref().unwrap_or("-"),
            protocol.unwrap_or_else(|| format!("0x{:04x}", drop.ethertype)),
            source,
            destination,
            drop.tcp_flags.as_deref().unwrap_or_default(),
            vlans(&drop.vlans),
        );
        let _ = writeln!(text, "{}", line.trim_end());
        if let Some(explained) = explained(drop) {
            let _ = writeln!(text, "{:19}{explained}", "");
        }
    }
    text
}

/// The riddle's answer: what became of the session that the packet speaks of.
fn explained(drop: &Drop) -> Option<String> {
    Some(format!("its session ended {}", how_it_ended(drop.ended.as_ref()?)))
}

/// When a session ended, why, after how long idle, under which rule and timeout.
pub(crate) fn how_it_ended(ended: &Ended) -> String {
    let (ago, rule) = (span(ended.ago_seconds), ended.rule.as_deref().unwrap_or("-"));
    let how = if ended.idle_seconds >= ended.timeout_seconds {
        format!(
            "idle for {}, and {} is all that rule {rule} gives",
            span(ended.idle_seconds),
            span(ended.timeout_seconds)
        )
    } else {
        format!("of rule {rule}")
    };
    format!("{ago} ago ({}), {}: {how}", ended.reason, ended.state)
}

/// Month, day and time of a moment in RFC 3339, to the millisecond.
fn time(rfc3339: &str) -> String {
    let text = rfc3339.get(5..23).unwrap_or(rfc3339);
    text.replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use sekisho_api::{FiveTuple, SessionState};

    fn drop_of(ended: Option<Ended>) -> Drop {
        Drop {
            number: 1,
            time: "2026-11-21T05:37:56.828520Z".into(),
            from: PortName::Lan,
            reason: "tcp-no-session".into(),
            rule: None,
            session: None,
            five_tuple: Some(FiveTuple {
                protocol: Protocol(6),
                source: [192, 0, 2, 10].into(),
                destination: [203, 0, 113, 80].into(),
                source_port: Some(40_000),
                destination_port: Some(443),
                icmp_type: None,
                icmp_id: None,
            }),
            source_zone: None,
            destination_zone: None,
            vlans: vec![20],
            ethertype: 0x800,
            tcp_flags: Some("PA".into()),
            bytes: 66,
            ended,
        }
    }

    #[test]
    fn a_drop_is_a_line_that_fits_a_screen() {
        let text = text(&Drops { drops: vec![drop_of(None)], last: 1 });
        assert_eq!(
            text,
            "11-21 05:37:56.828 lan tcp-no-session        -              tcp    192.0.2.10:40000      203.0.113.80:443      PA vlan 20\n"
        );
    }

    #[test]
    fn a_late_packet_is_told_what_happened_to_its_session() {
        let mut ended = Ended {
            ago_seconds: 180.0,
            reason: "idle-timeout".into(),
            state: SessionState::Established,
            idle_seconds: 7_440.0,
            timeout_seconds: 7_440.0,
            rule: Some("browse".into()),
        };
        let told = |ended: &Ended| explained(&drop_of(Some(ended.clone()))).unwrap();
        assert_eq!(
            told(&ended),
            "its session ended 3m0s ago (idle-timeout), established: idle for 2h4m, and 2h4m is all that rule browse gives"
        );
        ended = Ended { reason: "operator-ended".into(), idle_seconds: 3.0, ..ended };
        assert_eq!(told(&ended), "its session ended 3m0s ago (operator-ended), established: of rule browse");
        let text = text(&Drops { drops: vec![drop_of(Some(ended))], last: 1 });
        assert_eq!(text.lines().count(), 2);
    }
}
