use std::collections::BTreeSet;
use std::path::Path;

use sekisho_engine::helper::{Refusal, Stop};
use sekisho_engine::protect::blocks::BlockCause;
use sekisho_engine::reason::Reason;

use super::*;
use crate::run::tests::{Appliance, OPEN, datagram, stray};

/// The table of docs/metrics.md, as the code has it.
fn table() -> String {
    let mut text = String::from("| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n");
    for metric in METRICS {
        let kind = if metric.kind == Kind::Counter { "counter" } else { "gauge" };
        let labels = if metric.labels.is_empty() { "-".into() } else { metric.labels.join(", ") };
        text += &format!("| `{}` | {kind} | {labels} | {} |\n", metric.name, metric.help);
    }
    text
}

#[test]
fn the_documentation_is_that_of_the_code() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let (begin, end) = ("<!-- begin: made from the code -->\n", "<!-- end -->\n");
    let document = std::fs::read_to_string(&file).unwrap();
    let (before, rest) = document.split_once(begin).unwrap();
    let (found, after) = rest.split_once(end).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, format!("{before}{begin}{}{end}{after}", table())).unwrap();
    } else {
        assert!(
            found == table(),
            "docs/metrics.md differs from the code: UPDATE_DOCS=1 cargo nextest run -p sekisho metrics"
        );
    }
}

#[test]
fn dashboard_and_alerts_name_only_metrics_that_there_are() {
    let known: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
    for file in ["prometheus-alerts.yaml", "grafana-dashboard.json"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs").join(file);
        let text = std::fs::read_to_string(path).unwrap();
        let mut named = 0;
        for (at, _) in text.match_indices("sekisho_") {
            let end = text[at..].find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap();
            assert!(known.contains(&text[at..at + end]), "{file}: {}", &text[at..at + end]);
            named += 1;
        }
        assert!(named > 5, "{file} names no metrics");
    }
}

#[test]
fn dashboard_and_alerts_name_only_reasons_and_causes_that_there_are() {
    let reasons: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
    let stops = Stop::ALL.iter().map(|cause| cause.name());
    let refusals = Refusal::ALL.iter().map(|cause| cause.name());
    let causes: BTreeSet<_> =
        stops.chain(refusals).chain(BlockCause::ALL.iter().map(|cause| cause.name())).collect();
    for file in ["prometheus-alerts.yaml", "grafana-dashboard.json"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs").join(file);
        let text = std::fs::read_to_string(path).unwrap().replace('\\', "");
        for (label, known) in [("reason", &reasons), ("cause", &causes)] {
            let wanted = [format!("{label}=\""), format!("{label}=~\"")];
            let values = wanted.iter().flat_map(|begin| text.split(begin.as_str()).skip(1));
            let mut named = 0;
            for value in values.flat_map(|rest| rest.split('"').next().unwrap_or_default().split('|')) {
                assert!(known.contains(value), "{file}: {label} {value}");
                named += 1;
            }
            // The dashboard shows all causes, and names none.
            assert!(named > 0 || (file, label) == ("grafana-dashboard.json", "cause"), "{file}: no {label}");
        }
    }
}

/// What the dashboard leaves out is what a device says of itself, and versions.
#[test]
fn every_metric_of_an_attack_is_on_the_dashboard() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/grafana-dashboard.json");
    let text = std::fs::read_to_string(path).unwrap();
    let parts = ["_syn_", "_block", "_scan_", "_hijack_", "_session_table_", "_management_", "_own_frames_"];
    let is_of_an_attack = |metric: &&Metric| parts.iter().any(|part| metric.name.contains(part));
    let of_attacks: Vec<_> = METRICS.iter().filter(is_of_an_attack).map(|metric| metric.name).collect();
    assert!(of_attacks.len() > 12, "{of_attacks:?}");
    for name in of_attacks {
        // How often the alarm rose is for alerts.
        let is_shown = text.contains(&format!("{name}{{"));
        assert!(is_shown || name == "sekisho_session_table_alarms_total", "{name}");
    }
}

#[tokio::test]
async fn every_metric_that_needs_no_device_is_on_the_page_with_its_labels() {
    let appliance = Appliance::start(OPEN, 2, vec![datagram(1), datagram(2), stray()], None);
    appliance.until(|control| control.fleet.sessions_live() == 2).await;
    let text = text(&appliance.control).unwrap();
    for metric in METRICS {
        let of_a_device =
            metric.name.starts_with("sekisho_device") || metric.name.starts_with("sekisho_link");
        let sample = text
            .lines()
            .find(|line| line.strip_prefix(metric.name).is_some_and(|rest| rest.starts_with(['{', ' '])));
        assert_eq!(sample.is_some(), !of_a_device, "{}", metric.name);
        for label in metric.labels.iter().filter(|_| !of_a_device) {
            assert!(sample.unwrap().contains(&format!("{label}=\"")), "{sample:?}");
        }
    }
    for expected in [
        "sekisho_port_packets_total{direction=\"receive\",port=\"lan\"} 3",
        "sekisho_port_packets_total{direction=\"transmit\",port=\"wan\"} 2",
        "sekisho_dropped_packets_total{reason=\"tcp-no-session\"} 1",
        "sekisho_forwarded_packets_total{reason=\"session-new\"} 2",
        "sekisho_rule_hits_total{rule=\"lan-out\"} 2",
        "sekisho_sessions{protocol=\"udp\",state=\"unreplied\"} 2",
        "sekisho_policy_generation 1",
    ] {
        assert!(text.lines().any(|line| line == expected), "{expected}\n{text}");
    }
}

#[tokio::test]
async fn the_page_has_as_many_lines_for_a_million_packets_as_for_one() {
    let appliance = Appliance::start(OPEN, 1, (0..5_000).map(datagram).collect(), None);
    let before = text(&appliance.control).unwrap().lines().count();
    appliance.until(|control| control.fleet.sessions_live() == 5_000).await;
    assert_eq!(text(&appliance.control).unwrap().lines().count(), before);
}
