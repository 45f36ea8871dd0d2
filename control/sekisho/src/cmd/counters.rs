//! `sekisho counters`: what the running appliance has counted since its start.

use std::cmp::Reverse;

use sekisho_api::{CauseCount, Counters, CountersOfHelper, CountersOfWorker, RuleCount};

use super::remote::{Remote, failure};
use crate::failure::Outcome;
use crate::output::{Table, amount, json, span};

/// What the command line says.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show reasons that never happened, too
    #[arg(long)]
    zeros: bool,
    /// Only show the timeouts that are too short: whose sessions were cut idle and spoke again, the most first
    #[arg(long, conflicts_with = "zeros")]
    timeouts: bool,
    /// Print one JSON document, zeros included
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Outcome {
    let counters = args.remote.connect()?.counters().map_err(failure)?;
    super::print(&match (args.json, args.timeouts) {
        (true, true) => json(&too_short(&counters))?,
        (true, false) => json(&counters)?,
        (false, true) => timeouts(&counters),
        (false, false) => text(&counters, args.zeros),
    })
}

/// The rules with a timeout to raise: whose sessions spoke again after they were cut, the most first.
fn too_short(counters: &Counters) -> Vec<&RuleCount> {
    let mut rules: Vec<_> = counters.rules.iter().filter(|rule| rule.spoke_again > 0).collect();
    rules.sort_by_key(|rule| Reverse(rule.spoke_again));
    rules
}

fn timeouts(counters: &Counters) -> String {
    let rules = too_short(counters);
    if rules.is_empty() {
        return "no session spoke again after it was cut: no timeout is too short\n".to_owned();
    }
    let mut table = Table::new(["RULE", "TIMEOUT", "NOW", "CUT IDLE", "SPOKE AGAIN"]);
    for rule in rules {
        // The counts are the rule's; they stand in its first line.
        let mut counts = [rule.cut_idle.to_string(), rule.spoke_again.to_string()];
        let mut name = rule.rule.clone();
        for one in &rule.timeouts_too_short {
            let [cut_idle, spoke_again] = std::mem::take(&mut counts);
            table.row([
                std::mem::take(&mut name),
                one.timeout.clone(),
                span(one.seconds),
                cut_idle,
                spoke_again,
            ]);
        }
    }
    table.to_text()
}

fn text(counters: &Counters, zeros: bool) -> String {
    let tables = [
        ports(counters),
        reasons(counters, zeros),
        rules(counters),
        one_sided(counters),
        sessions(counters),
        helpers(counters, zeros),
        workers(counters),
    ];
    let tables: Vec<_> = tables.iter().flatten().map(Table::to_text).collect();
    let lines = (counters.log_lines_written, counters.log_lines_lost);
    tables.join("\n") + &format!("\nflow log: {} lines written, {} lost\n", lines.0, lines.1)
}

fn ports(counters: &Counters) -> Option<Table> {
    let mut table = Table::new([
        "PORT",
        "RECEIVED",
        "BYTES",
        "SENT",
        "BYTES",
        "SUSPICIOUS",
        "MISSED",
        "RX ERRORS",
        "TX ERRORS",
    ]);
    let told = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    for port in &counters.ports {
        table.row([
            port.port.to_string(),
            port.received.packets.to_string(),
            amount(port.received.bytes),
            port.sent.packets.to_string(),
            amount(port.sent.bytes),
            port.suspicious.to_string(),
            told(port.device_missed),
            told(port.device_receive_errors),
            told(port.device_transmit_errors),
        ]);
    }
    Some(table)
}

fn reasons(counters: &Counters, zeros: bool) -> Option<Table> {
    let mut table = Table::new(["REASON", "KIND", "COUNT"]);
    let shown: Vec<_> = counters.reasons.iter().filter(|reason| zeros || reason.count > 0).collect();
    for reason in &shown {
        table.row([reason.reason.clone(), reason.kind.clone(), reason.count.to_string()]);
    }
    (!shown.is_empty()).then_some(table)
}

fn rules(counters: &Counters) -> Option<Table> {
    let mut table = Table::new(["RULE", "HITS", "CUT IDLE", "SPOKE AGAIN"]);
    for rule in &counters.rules {
        let counts = [rule.hits, rule.cut_idle, rule.spoke_again].map(|count| count.to_string());
        let [hits, cut_idle, spoke_again] = counts;
        table.row([rule.rule.clone(), hits, cut_idle, spoke_again]);
    }
    (!counters.rules.is_empty()).then_some(table)
}

fn one_sided(counters: &Counters) -> Option<Table> {
    let mut table = Table::new(["ONE-SIDED", "PACKETS"]);
    let seen: Vec<_> = counters.one_sided.iter().filter(|one| one.count > 0).collect();
    for one in &seen {
        table.row([one.evidence.clone(), one.count.to_string()]);
    }
    (!seen.is_empty()).then_some(table)
}

fn sessions(counters: &Counters) -> Option<Table> {
    let mut table = Table::new(["PROTOCOL", "STATE", "SESSIONS"]);
    for one in &counters.sessions {
        table.row([one.protocol.clone(), one.state.to_string(), one.sessions.to_string()]);
    }
    (!counters.sessions.is_empty()).then_some(table)
}

/// Helpers that had anything to do; causes with their counts.
fn helpers(counters: &Counters, zeros: bool) -> Option<Table> {
    let mut table = Table::new([
        "HELPER",
        "FOLLOWS",
        "FOLLOWED",
        "EXPECTS",
        "OPENED",
        "USED",
        "EXPIRED",
        "WITHDRAWN",
        "NOT FOLLOWED",
        "REFUSED",
    ]);
    let causes = |causes: &[CauseCount]| {
        let some = causes.iter().filter(|one| one.count > 0);
        let some: Vec<_> = some.map(|one| format!("{} {}", one.count, one.cause)).collect();
        if some.is_empty() { "-".to_owned() } else { some.join(", ") }
    };
    let is_idle = |one: &CountersOfHelper| {
        let all = one.not_followed.iter().chain(&one.refused).map(|cause| cause.count).sum::<u64>();
        one.followed == 0 && all == 0
    };
    let shown: Vec<_> = counters.helpers.iter().filter(|one| zeros || !is_idle(one)).collect();
    for one in &shown {
        let figures =
            [one.following, one.followed, one.open, one.opened, one.used, one.expired, one.withdrawn];
        let [following, followed, open, opened, used, expired, withdrawn] = figures.map(|n| n.to_string());
        table.row([
            one.helper.clone(),
            following,
            followed,
            open,
            opened,
            used,
            expired,
            withdrawn,
            causes(&one.not_followed),
            causes(&one.refused),
        ]);
    }
    (!shown.is_empty()).then_some(table)
}

fn workers(counters: &Counters) -> Option<Table> {
    let mut table = Table::new([
        "WORKER",
        "SESSIONS",
        "BUSY",
        "FRAMES/BURST",
        "HANDED OVER",
        "HANDED IN",
        "EVENTS LOST",
        "FRAMES LOST",
    ]);
    for worker in &counters.workers {
        table.row([
            worker.worker.to_string(),
            worker.sessions.to_string(),
            format!("{:.1} %", busy_share(worker) * 100.0),
            format!("{:.1}", (worker.received + worker.handed_in) as f64 / worker.bursts.max(1) as f64),
            worker.handed_over.to_string(),
            worker.handed_in.to_string(),
            worker.events_lost.to_string(),
            worker.own_frames_lost.to_string(),
        ]);
    }
    Some(table)
}

fn busy_share(worker: &CountersOfWorker) -> f64 {
    if worker.total_seconds > 0.0 { worker.busy_seconds / worker.total_seconds } else { 0.0 }
}
