//! `sekisho status`: what the running appliance is and how it is.

use std::fmt::Write as _;

use sekisho_api::{AttackStatus, Link, PortStatus, Status};

use super::remote::{Remote, failure};
use crate::failure::Outcome;
use crate::output::{Table, counted, json, span};

/// What the command line says.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Outcome {
    let status = args.remote.connect()?.status().map_err(failure)?;
    super::print(&if args.json { json(&status)? } else { text(&status) })
}

fn text(status: &Status) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<10}{value}");
    };
    let policy = &status.policy;
    line("sekisho", format!("{}, {}, process {}", status.version, status.dpdk, status.pid));
    line("up", format!("{}, since {}", span(status.uptime_seconds), status.started));
    if let Some(left) = status.grace_remaining_seconds {
        line(
            "grace",
            format!("for {} more: sessions are picked up in midstream, windows only logged", span(left)),
        );
    }
    line(
        "policy",
        format!("{}, {}", policy.name, counted(usize::try_from(policy.rules).unwrap_or(usize::MAX), "rule")),
    );
    let age = span(policy.age_seconds);
    let sha256 = policy.sha256.get(..16).unwrap_or(&policy.sha256);
    line("", format!("generation {}, in force for {age}, SHA-256 {sha256}...", policy.generation));
    let attacks = &status.attacks;
    let alarm = match attacks.table_alarm_percent {
        0 => String::new(),
        mark => format!(", ALARM: over {mark} %"),
    };
    line("sessions", format!("{} of {}{alarm}", status.sessions, status.sessions_capacity));
    line("", format!("{} half-open, {} unanswered", attacks.sessions_half_open, attacks.sessions_one_way));
    line("attacks", attacks_text(attacks));
    line(
        "metrics",
        status.metrics.as_ref().map_or("off".into(), |address| format!("http://{address}/metrics")),
    );
    match &status.log {
        Some(log) => {
            line("flow log", format!("{}: {} lines, {} lost", log.file, log.lines_written, log.lines_lost));
        }
        None => line("flow log", "off".into()),
    }
    line("memory", if status.hugepages { "hugepages".into() } else { "normal pages".into() });

    let mut ports = Table::new(["PORT", "LINK", "MTU", "RX QUEUES", "TX QUEUES", "DEVICE"]);
    for port in &status.ports {
        let queues = [port.rx_queues, port.tx_queues].map(|queues| queues.to_string());
        let [rx, tx] = queues;
        let device = device_name(&port.device).to_owned();
        ports.row([port.port.to_string(), link_text(port), port.mtu.to_string(), rx, tx, device]);
    }
    let mut workers = Table::new(["WORKER", "CORE", "SESSIONS", "CAPACITY", "BUSY"]);
    for worker in &status.workers {
        workers.row([
            worker.worker.to_string(),
            worker.core.to_string(),
            worker.sessions.to_string(),
            worker.sessions_capacity.to_string(),
            format!("{:.1} %", worker.busy_share * 100.0),
        ]);
    }
    text + "\n" + &ports.to_text() + "\n" + &workers.to_text()
}

/// What there is to know of attacks; nothing of those that there are none of.
fn attacks_text(attacks: &AttackStatus) -> String {
    let parts = [
        (attacks.flooded_destinations, "flooded destinations"),
        (attacks.syn_proxy_handshakes, "handshakes with servers"),
        (attacks.verified_sources, "verified sources"),
        (attacks.blocked_sources, "blocked sources"),
        (attacks.hijack_signs, "signs of hijacked sessions"),
    ];
    let seen = parts.into_iter().filter(|(count, _)| *count > 0);
    let told: Vec<_> = seen.map(|(count, what)| format!("{what}: {count}")).collect();
    if told.is_empty() { "none seen".to_owned() } else { told.join(", ") }
}

/// The device without what the appliance added to it, but with its interface.
fn device_name(device: &str) -> &str {
    let end = device.match_indices(',').nth(1).map_or(device.len(), |(end, _)| end);
    &device[..end]
}

fn link_text(port: &PortStatus) -> String {
    let text = match port.link {
        None => "unknown".to_owned(),
        Some(Link { up: false, .. }) => "down".to_owned(),
        Some(Link { speed_mbps: Some(speed), .. }) => format!("up, {speed} Mbit/s"),
        Some(_) => "up".to_owned(),
    };
    if port.held_down { text + ", held down" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attacks_are_told_of_where_there_are_any() {
        assert_eq!(attacks_text(&AttackStatus::default()), "none seen");
        let attacks = AttackStatus {
            flooded_destinations: 2,
            blocked_sources: 13,
            hijack_signs: 1,
            sessions_half_open: 5,
            ..AttackStatus::default()
        };
        let told = "flooded destinations: 2, blocked sources: 13, signs of hijacked sessions: 1";
        assert_eq!(attacks_text(&attacks), told);
    }
}
