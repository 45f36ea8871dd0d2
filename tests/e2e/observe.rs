//! What the operator sees: listings, metrics, the flow log.

use sekisho_tests::appliance::free_address;
use sekisho_tests::lab::{LAN, WAN};
use sekisho_tests::process::{run, text};
use sekisho_tests::repo::top;
use sekisho_tests::{Appliance, Lab, Running, wait};

use crate::{LAN_OUT, LIMIT, policy};

#[test]
fn drops_name_the_five_tuple_the_reason_and_the_rule() {
    let lab = Lab::up();
    let rule = "{name: no-telnet, from: lan, to: wan, service: tcp/23, action: drop}";
    let appliance = Appliance::start(&lab, &policy(&[rule, LAN_OUT]));
    assert!(!lab.lan.connects(WAN, 23));
    let drop = wait::until_some(LIMIT, "the drop is listed", || {
        appliance.drops().into_iter().find(|drop| drop["rule"] == "no-telnet")
    });
    assert_eq!(drop["reason"], "rule-drop");
    assert_eq!(drop["from"], "lan");
    let tuple = &drop["five_tuple"];
    assert_eq!(
        (&tuple["protocol"], &tuple["source"], &tuple["destination"]),
        (&"tcp".into(), &LAN.into(), &WAN.into())
    );
    assert_eq!(tuple["destination_port"], 23);
}

#[test]
fn sessions_are_listed_filtered_and_ended() {
    let lab = Lab::up();
    let appliance = Appliance::start(&lab, &policy(&[LAN_OUT]));
    let mut servers = [7000, 7001].map(|port| lab.wan.serve(&format!("nc -ln {WAN} {port}"), "tcp", port));
    let mut clients = [7000, 7001].map(|port| lab.lan.start(&format!("nc -n {WAN} {port}")));
    for (client, server) in clients.iter_mut().zip(&mut servers) {
        client.write("hello\n");
        server.says(LIMIT, "hello");
    }
    let ports = |filter: &[&str]| {
        let sessions = appliance.sessions(filter);
        let mut ports: Vec<u64> = sessions.iter().filter_map(|s| s["destination_port"].as_u64()).collect();
        ports.sort_unstable();
        ports
    };
    assert_eq!(ports(&["--protocol", "tcp"]), [7000, 7001]);
    assert_eq!(ports(&["--address", LAN, "--state", "established", "--rule", "lan-out"]), [7000, 7001]);
    assert_eq!(ports(&["--port", "7000", "--zone", "wan"]), [7000]);
    assert_eq!(ports(&["--state", "syn-sent"]), [0; 0]);
    // An ended session is a stranger: what either end still says goes nowhere.
    let ended = appliance.command(&["sessions", "--port", "7000", "--end"]);
    assert!(ended.status.success(), "{}", text(&ended.stderr));
    clients[0].write("into the void\n");
    clients[1].write("still here\n");
    servers[1].says(LIMIT, "still here");
    assert!(!servers[0].output().contains("void"));
    assert_eq!(ports(&["--port", "7000"]), [0; 0]);
    wait::until(LIMIT, "the straggler has a reason", || appliance.count("session-expired") > 0);
}

#[test]
fn the_flow_log_has_the_start_the_end_and_the_drops() {
    let lab = Lab::up();
    let appliance =
        Appliance::start(&lab, &policy(&["{name: web, from: lan, to: wan, service: tcp/80, action: allow}"]));
    let _server = lab.wan.listen(WAN, 80);
    assert!(lab.lan.connects(WAN, 80));
    assert!(!lab.lan.connects(WAN, 81));
    wait::until(LIMIT, "the log tells of the session and of the drop", || {
        let log = appliance.flow_log();
        let of =
            |event: &str, port: u16| log.iter().any(|l| l["event"] == event && l["destination_port"] == port);
        of("session-start", 80) && of("drop", 81)
    });
    // The end has what passed each way, and why it ended.
    assert!(appliance.command(&["sessions", "--port", "80", "--end"]).status.success());
    let end = wait::until_some(LIMIT, "the log tells of the end", || {
        appliance.flow_log().into_iter().find(|line| line["event"] == "session-end")
    });
    assert_eq!(end["reason"], "operator-ended");
    assert_eq!(end["rule"], "web");
    for direction in ["from_lan", "from_wan"] {
        assert!(end[direction]["packets"].as_u64() >= Some(1), "{end}");
    }
}

#[test]
fn promtool_finds_nothing_to_complain_of() {
    let lab = Lab::up();
    let appliance = Appliance::start(&lab, &policy(&[LAN_OUT]));
    assert!(lab.lan.pings(WAN, 2) && !lab.wan.pings(LAN, 1));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("metrics");
    std::fs::write(&file, appliance.metrics()).expect("the metrics are written");
    let mut lint = std::process::Command::new("sh");
    let output = run(lint.args(["-c", "promtool check metrics <\"$1\"", "sh"]).arg(&file));
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}\n{}", appliance.metrics());
}

/// Which alert each series raises, and no other.
const ALERTS: [(&str, &str); 14] = [
    ("sekisho_link_up{port='wan'} 0x20", "SekishoLinkDown"),
    ("sekisho_dropped_packets_total{reason='session-table-full'} 0+9x20", "SekishoTableFull"),
    ("sekisho_dropped_packets_total{reason='session-budget-full'} 0+9x20", "SekishoTableFull"),
    ("sekisho_session_table_alarm_ratio 0.6x20", "SekishoTableFilling"),
    ("sekisho_session_table_alarm_ratio 0.8x20", "SekishoTableNearlyFull"),
    ("sekisho_session_table_alarm_ratio 0.95x20", "SekishoTableAlmostExhausted"),
    (
        "sekisho_helper_sessions_not_followed_total{helper='ftp',cause='table-full'} 0+9x20",
        "SekishoHelperFull",
    ),
    ("sekisho_expectations_refused_total{helper='sip',cause='session-full'} 0+9x20", "SekishoHelperFull"),
    (
        "sekisho_helper_sessions_not_followed_total{helper='ftp',cause='lost'} 0+9x20",
        "SekishoHelperLosesSessions",
    ),
    ("sekisho_expectations_refused_total{helper='ftp',cause='third-party'} 0+9x20", "SekishoHelperRefuses"),
    ("sekisho_dropped_packets_total{reason='checksum-partial'} 0+9x20", "SekishoChecksumsUnfinished"),
    ("sekisho_dropped_packets_total{reason='tcp-bad-checksum'} 0+900x20", "SekishoChecksumsWrong"),
    ("sekisho_dropped_packets_total{reason='sctp-bad-tag'} 0+900x20", "SekishoSctpTagsGuessed"),
    ("sekisho_dropped_packets_total{reason='fragment-evicted'} 0+900x20", "SekishoFragmentsEvicted"),
];

#[test]
fn each_alert_is_raised_by_what_it_is_about() {
    let rules = top().join("configs/prometheus-alerts.yaml");
    let text_of_rules = std::fs::read_to_string(&rules).expect("the alerts are there");
    let names: Vec<_> =
        text_of_rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let mut file = format!("rule_files: ['{}']\nevaluation_interval: 1m\ntests:\n", rules.display());
    for (series, alert) in ALERTS {
        let (series, values) = series.split_once(' ').expect("a series and its values");
        file += &format!("  - interval: 1m\n    name: {alert}\n    input_series:\n");
        file += &format!("      - {{series: \"{series}\", values: '{values}'}}\n    promql_expr_test:\n");
        // This one is raised, once, and no other.
        file += "      - expr: count by (alertname) (ALERTS{alertstate='firing'})\n        eval_time: 15m\n";
        file += &format!("        exp_samples: [{{labels: \"{{alertname='{alert}'}}\", value: 1}}]\n");
        assert!(names.contains(&alert), "{alert} is no alert");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("alerts-test.yaml");
    std::fs::write(&path, file).expect("the test is written");
    for arguments in [["check", "rules"], ["test", "rules"]] {
        let file = if arguments[0] == "check" { &rules } else { &path };
        let output = run(std::process::Command::new("promtool").args(arguments).arg(file));
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(output.status.success(), "{said}");
    }
}

#[test]
fn a_prometheus_server_scrapes_it() {
    let lab = Lab::up();
    let appliance = Appliance::start(&lab, &policy(&[LAN_OUT]));
    assert!(lab.lan.pings(WAN, 3));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let target = appliance.metrics_address();
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n  - job_name: sekisho\n    static_configs: [{{targets: ['{target}']}}]\n"
    );
    std::fs::write(folder.path().join("prometheus.yml"), config).expect("a configuration is written");
    let address = free_address();
    let mut server = std::process::Command::new("prometheus");
    server.arg(format!("--config.file={}", folder.path().join("prometheus.yml").display()));
    server.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
    server.arg(format!("--web.listen-address={address}"));
    let server = Running::start(&server);
    let asked = |query: &str| {
        let url = format!("http://{address}/api/v1/query?query={query}");
        text(&run(std::process::Command::new("curl").args(["-s", "--max-time", "2", &url])).stdout)
    };
    let scraped = wait::holds_within(LIMIT, || asked("up").contains("\"1\"]"));
    assert!(scraped, "up: {}\n{}", asked("up"), server.output());
    let packets = asked("sum(sekisho_port_packets_total)");
    assert!(packets.contains("\"value\":[") && !packets.contains("\"0\"]"), "{packets}");
}
