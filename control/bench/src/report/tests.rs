use super::*;

fn line(sessions: u64, subject: &str, round: u32, figure: &str, value: f64) -> String {
    format!(
        "{{\"workload\":\"established\",\"variant\":{{\"family\":4,\"protocol\":\"udp\",\"sessions\":{sessions},\"size\":64,\"workers\":1}},\
         \"subject\":\"{subject}\",\"round\":{round},\"figure\":\"{figure}\",\"value\":{value}}}\n"
    )
}

/// Three rounds in which the machine gets slower, and ratios stay.
fn small() -> String {
    let mut text = String::from("{\"machine\":{\"cores\":\"2\",\"date\":\"2026-01-02\"}}\n");
    for (round, speed) in [(1, 1.0), (2, 0.5), (3, 0.25)] {
        for (sessions, ours) in [(65_536, 20.0), (1_000, 24.0)] {
            text += &line(sessions, "sekisho", round, "mpps", ours * speed);
            text += &line(sessions, "testpmd", round, "mpps", 48.0 * speed);
        }
        text += &line(65_536, "sekisho", round, "cycles_per_packet", 80.0);
    }
    text
}

fn report(text: &str) -> BTreeMap<String, String> {
    files(&Results::read(text).unwrap())
}

#[test]
fn the_page_shows_medians_and_ratios_round_by_round() {
    let page = &report(&small())["established.md"];
    let expected = "\
## mpps: million packets a second (higher is better)

All with family 4, protocol udp, size 64, workers 1.

| sessions | sekisho | testpmd | ratio to testpmd |
| --- | --- | --- | --- |
| 1k | 12.0 [6.00..24.0] | 24.0 [12.0..48.0] | 0.500 [0.500..0.500] |
| 64k | 10.0 [5.00..20.0] | 24.0 [12.0..48.0] | 0.417 [0.417..0.417] |

![established: mpps, family 4, protocol udp, size 64, workers 1](established-mpps-family-4-protocol-udp-size-64-workers-1.svg)
";
    assert!(page.contains(expected), "{page}");
}

#[test]
fn the_front_page_says_which_goals_are_reached() {
    let mut text = small();
    text += &line(10_000_000, "sekisho", 1, "cycles_per_packet", 800.0);
    let front = &report(&text)["README.md"];
    for row in [
        "| cores | 2 |",
        "| established, UDP, 64k sessions, 64 B: of testpmd io | at least 0.350 | 0.417 [0.417..0.417] | yes |",
        "| established, UDP, 64k sessions, 64 B: cycles a packet | at most 85.0 | 80.0 [80.0..80.0] | yes |",
        "| established, UDP, 64k sessions, 64 B: times OVS-DPDK | at least 10.0 | - | not measured |",
        "- [established](established.md) ",
    ] {
        assert!(front.contains(row), "{row}\n{front}");
    }
    let slower = small().replace("\"value\":80", "\"value\":90");
    let row = "cycles a packet | at most 85.0 | 90.0 [90.0..90.0] | **no** |";
    assert!(report(&slower)["README.md"].contains(row));
}

#[test]
fn a_second_variant_is_a_ratio_to_the_first() {
    let text = small();
    let v6: String =
        text.lines().skip(1).map(|line| line.replace("\"family\":4", "\"family\":6") + "\n").collect();
    let front = &report(&(text + &v6))["README.md"];
    assert!(
        front
            .contains("| established: IPv6 of IPv4 | at least 0.850 | 1.00 [1.00..1.00], worst of 2 | yes |"),
        "{front}"
    );
}

#[test]
fn the_plot_has_a_line_for_each_subject_and_the_goals() {
    let files = report(&small());
    let plot = &files["established-mpps-family-4-protocol-udp-size-64-workers-1.svg"];
    assert!(plot.starts_with("<svg ") && plot.trim_end().ends_with("</svg>"));
    assert!(plot.matches("<polyline").count() >= 2);
    for word in ["sekisho", "testpmd", "goal", "10k", "1k"] {
        assert!(plot.contains(&format!("\n{word}\n")), "{word}: {plot}");
    }
    // The goal is 0.35 of testpmd's median; one that has no size to grow with is only in the table.
    assert_eq!(plot.matches("<polygon").count(), 2, "one in the plot, one in the legend");
    assert_eq!(files.keys().filter(|name| name.ends_with(".svg")).count(), 1);
}

#[test]
fn the_same_results_make_the_same_report_in_any_order() {
    let text = small();
    let mut lines: Vec<&str> = text.lines().collect();
    lines[1..].reverse();
    assert_eq!(report(&text), report(&lines.join("\n")));
}

#[test]
fn unknown_workloads_and_figures_are_reported_as_they_are() {
    let text =
        r#"{"workload":"Odd One","variant":{},"subject":"nftables","round":1,"figure":"stars","value":5}"#;
    let files = report(text);
    assert!(
        files["odd-one.md"].contains("## stars: stars\n\n| nftables |\n| --- |\n| 5.00 |\n"),
        "{files:?}"
    );
}
