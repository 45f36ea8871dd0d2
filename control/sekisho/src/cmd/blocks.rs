//! `sekisho blocks`: lists, adds, extends and releases the sources that the running appliance blocks.

use std::net::IpAddr;

use sekisho_api::{Block, BlockCount, BlockFilter, Blocks, Prefix};

use super::remote::{Remote, failure};
use crate::failure::{Failure, Outcome};
use crate::output::{Table, amount, json, span};

/// What the command line says.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Packets of a blocked source that belong to no live session are dropped (source-blocked); its live sessions \
                  go on. Blocks end by themselves. A policy says what is a scan under protections.port_scan."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    order: Option<Order>,
    #[command(flatten)]
    filter: Filter,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

/// Which blocked sources.
#[derive(Debug, clap::Args)]
struct Filter {
    /// Their address, or a prefix of it
    #[arg(long, value_name = "PREFIX")]
    source: Option<Prefix>,
    /// port-scan, host-sweep or operator
    #[arg(long)]
    cause: Option<String>,
}

impl Filter {
    fn to_api(&self) -> BlockFilter {
        BlockFilter { source: self.source, cause: self.cause.clone() }
    }
}

/// What to do with them.
#[derive(Debug, clap::Subcommand)]
enum Order {
    /// Block a source
    Add(Span),
    /// Let a source that is blocked be so for this long from now on
    Extend(Span),
    /// Let sources go
    Release {
        #[command(flatten)]
        filter: Filter,
        /// Without a filter: really all of them
        #[arg(long)]
        all: bool,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: Remote,
    },
}

/// A source and a time.
#[derive(Debug, clap::Args)]
struct Span {
    /// Its address
    source: IpAddr,
    /// For how long from now on, such as 30m or 12h, up to 20d
    #[arg(long = "for", value_name = "TIME", value_parser = seconds)]
    seconds: u32,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

fn seconds(text: &str) -> Result<u32, String> {
    Ok(sekisho_policy::duration_ms(text)?.div_ceil(1000))
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Outcome {
    match &args.order {
        None => {
            let found = args.remote.connect()?.blocks(args.filter.to_api()).map_err(failure)?;
            super::print(&if args.json { json(&found)? } else { text(&found) })
        }
        Some(Order::Add(span)) => block(span, false),
        Some(Order::Extend(span)) => block(span, true),
        Some(Order::Release { filter, all, json, remote }) => {
            let filter = filter.to_api();
            if !all && filter == BlockFilter::default() {
                let message = "sekisho: release without a filter would let every source go: name which (--source), or say --all";
                return Err(Failure::Input(message.to_owned()));
            }
            let count = remote.connect()?.release_blocks(filter).map_err(failure)?;
            tell(&count, *json)
        }
    }
}

fn block(order: &Span, extend: bool) -> Outcome {
    let block = Block { source: order.source, seconds: order.seconds, extend };
    let count = order.remote.connect()?.block(block).map_err(failure)?;
    if count.blocks == 0 {
        return Err(Failure::Failed(anyhow::anyhow!("{} is not blocked: add it", order.source)));
    }
    tell(&count, order.json)
}

/// How many it were.
fn tell(count: &BlockCount, as_json: bool) -> Outcome {
    super::print(&if as_json { json(count)? } else { format!("{}\n", count.blocks) })
}

fn text(found: &Blocks) -> String {
    if found.blocks.is_empty() {
        return "no source is blocked\n".to_owned();
    }
    let mut table = Table::new(["SOURCE", "CAUSE", "SINCE", "LEFT", "PACKETS", "IN FORCE"]);
    for one in &found.blocks {
        table.row([
            one.source.to_string(),
            one.cause.clone(),
            span(one.age_seconds),
            span(one.expires_in_seconds),
            amount(one.packets),
            if one.in_force { "yes" } else { "no" }.to_owned(),
        ]);
    }
    table.to_text()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sekisho_api::BlockedSource;

    #[test]
    fn each_source_is_a_line() {
        let blocked = BlockedSource {
            source: "198.51.100.7".parse().unwrap(),
            cause: "port-scan".into(),
            age_seconds: 61.0,
            expires_in_seconds: 239.0,
            packets: 12_345,
            in_force: true,
        };
        assert_eq!(
            text(&Blocks { blocks: vec![blocked] }),
            "SOURCE        CAUSE      SINCE  LEFT   PACKETS  IN FORCE\n\
             198.51.100.7  port-scan  1m1s   3m59s  12.3k    yes\n"
        );
        assert_eq!(text(&Blocks { blocks: Vec::new() }), "no source is blocked\n");
    }

    #[test]
    fn times_have_units() {
        assert_eq!(seconds("5m"), Ok(300));
        assert_eq!(seconds("1500ms"), Ok(2));
        assert!(seconds("300").unwrap_err().contains("300s"));
        assert!(seconds("30d").is_err());
    }
}
