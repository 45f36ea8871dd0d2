//! `sekisho status`: what the running appliance is and how it is.

use std::fmt::Write as _;

use sekisho_api::{Link, PortStatus, Status};

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
    line("sessions", format!("{} of {}", status.sessions, status.sessions_capacity));
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
