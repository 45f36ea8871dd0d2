//! Explanations of the shipped policy, and that they say what the engine does.

use std::path::Path;

use super::*;
use crate::{load, load_str};

fn shipped() -> Loaded {
    load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/policy.yaml")).unwrap()
}

fn ask(loaded: &Loaded, from: &str, words: &str) -> Explanation {
    let words: Vec<_> = words.split(' ').collect();
    explain(loaded, &ExplainQuery::parse(loaded, from, None, &words).unwrap())
}

fn refused(from: &str, vlan: Option<u16>, words: &str) -> String {
    let words: Vec<_> = words.split(' ').collect();
    ExplainQuery::parse(&shipped(), from, vlan, &words).unwrap_err().to_string()
}

#[test]
fn the_deciding_rule_is_found_and_each_before_it_says_why_not() {
    let explanation = ask(&shipped(), "lan", "tcp 192.0.2.10:40000 203.0.113.5:443");
    assert_eq!(explanation.from.zone.as_deref(), Some("lan"));
    assert_eq!(explanation.to.zone.as_deref(), Some("wan"));
    let differs: Vec<_> =
        explanation.rules.iter().map(|step| (step.rule.as_str(), step.differs_in)).collect();
    assert_eq!(differs, [("threats", Some("from")), ("resolve", Some("destination")), ("browse", None)]);
    assert_eq!(explanation.rules[1].why, "203.0.113.5 is not in resolvers");
    assert!(
        matches!(&explanation.decided_by, Decider::Rule { name, line: 48, action: "allow" } if name == "browse"),
        "{explanation:?}"
    );
    assert_eq!((explanation.verdict, explanation.reason), ("forward", "session-new"));
    let session = explanation.session.as_ref().unwrap();
    assert_eq!(session.timeouts[2], StateTimeout { state: "established", milliseconds: 7_440_000 });
    let text = explanation.to_string();
    assert!(text.contains("idle timeouts: syn_sent 30s, syn_received 30s, established 2h4m"), "{text}");
    assert!(text.contains("rule     no  resolve (line 41): 203.0.113.5 is not in resolvers"), "{text}");
}

#[test]
fn a_helper_that_would_follow_is_named() {
    let control = ask(&shipped(), "lan", "tcp 192.0.2.10:40000 203.0.113.5:21");
    assert_eq!(control.session.as_ref().and_then(|session| session.helper), Some("ftp"));
    assert!(control.to_string().contains("the helper ftp follows it"), "{control}");
    let web = ask(&shipped(), "lan", "tcp 192.0.2.10:40000 203.0.113.5:443");
    assert_eq!(web.session.unwrap().helper, None);
}

#[test]
fn the_default_decides_what_no_rule_matches() {
    let explanation = ask(&shipped(), "wan", "tcp 203.0.113.5:40000 192.0.2.10:22");
    assert_eq!(explanation.decided_by, Decider::Default { action: "drop" });
    assert_eq!((explanation.verdict, explanation.reason), ("drop", "default-drop"));
    assert_eq!(explanation.rules.len(), 6);
    assert!(explanation.to_string().contains("the sender is told nothing"));
}

#[test]
fn rejection_and_inspection_are_told() {
    let explanation = ask(&shipped(), "lan", "tcp 192.0.2.210:40000 203.0.113.5:443");
    assert_eq!((explanation.reason, explanation.answer), ("rule-reject", Some("reject-tcp-reset")));
    let spoofed = ask(&shipped(), "lan", "udp 203.0.113.9:4000 203.0.113.53:53");
    assert_eq!((spoofed.reason, &spoofed.decided_by), ("spoofed-source", &Decider::Inspection));
    assert!(spoofed.rules.is_empty());
}

#[test]
fn icmp_other_protocols_and_ipv6_are_asked_about_alike() {
    let loaded = shipped();
    assert_eq!(ask(&loaded, "lan", "icmp 192.0.2.10 203.0.113.5 echo").rules.last().unwrap().rule, "browse");
    assert_eq!(ask(&loaded, "lan", "icmp 192.0.2.10 203.0.113.5").reason, "session-new");
    assert_eq!(ask(&loaded, "lan", "gre 192.0.2.10 203.0.113.5").reason, "default-drop");
    assert_eq!(ask(&loaded, "lan", "sctp 192.0.2.10:1 203.0.113.5:2").reason, "default-drop");
    assert_eq!(ask(&loaded, "lan", "ip/50 192.0.2.10 203.0.113.5").reason, "default-drop");
    let dns = ask(&loaded, "lan", "udp [2001:db8:1::5]:4000 [2001:db8:ffff::53]:53");
    assert_eq!((dns.reason, dns.rules.last().unwrap().rule.as_str()), ("session-new", "resolve"));
    let dmz = ask(&loaded, "dmz", "tcp 198.51.100.10:443 203.0.113.5:80");
    assert!(dmz.packet.ends_with("arriving on lan, VLAN 20"), "{}", dmz.packet);
    assert_eq!(dmz.from.zone.as_deref(), Some("dmz"));
}

#[test]
fn zones_say_why_they_were_chosen() {
    let loaded = load_str(
        "p",
        "version: 1\nzones:\n  a: {port: lan, networks: 10.0.0.0/24}\n  b: {port: lan, networks: 10.0.1.0/24}\n\
         rules: [{name: all, action: allow}]\nprotections: {spoofing: off}\n",
        Path::new(""),
    )
    .unwrap();
    let explanation = ask(&loaded, "lan", "tcp 10.0.1.1:1 10.9.9.9:2");
    assert_eq!(explanation.from.zone.as_deref(), Some("b"));
    assert_eq!(explanation.from.why, "of the zones with port lan, untagged, its networks hold 10.0.1.1");
    assert_eq!(explanation.to.why, "no zone has port wan, untagged");
    assert_eq!(explanation.reason, "session-new");
    let nowhere = ask(&loaded, "lan", "tcp 10.0.9.1:1 10.9.9.9:2");
    assert_eq!(nowhere.from.zone, None);
}

#[test]
fn a_zone_of_another_vlan_is_pointed_out() {
    let loaded = shipped();
    let untagged = ask(&loaded, "wan", "tcp 203.0.113.5:40000 198.51.100.10:443");
    let why = "the only zone with port lan, untagged (dmz holds 198.51.100.10, with VLAN 20)";
    assert_eq!((untagged.to.zone.as_deref(), untagged.to.why.as_str()), (Some("lan"), why));
    let words = ["tcp", "203.0.113.5:40000", "198.51.100.10:443"];
    let tagged = ExplainQuery::parse(&loaded, "wan", Some(20), &words).unwrap();
    assert_eq!(explain(&loaded, &tagged).rules.last().unwrap().rule, "publish-web");
}

#[test]
fn bad_questions_say_what_would_be_right() {
    for (from, vlan, words, wanted) in [
        ("lan", None, "tcp", "a packet has a protocol"),
        ("dzm", None, "tcp 192.0.2.1:1 192.0.2.2:2", "neither a port nor a zone"),
        ("lan", Some(5000), "tcp 192.0.2.1:1 192.0.2.2:2", "out of range"),
        ("dmz", Some(7), "tcp 192.0.2.1:1 192.0.2.2:2", "its VLANs are 20"),
        ("lan", None, "tpc 192.0.2.1:1 192.0.2.2:2", "is no protocol"),
        ("lan", None, "tcp 192.0.2.1 192.0.2.2:2", "tcp has ports: 192.0.2.1:443"),
        ("lan", None, "tcp 2001:db8::1 192.0.2.2:2", "tcp has ports: [2001:db8::1]:443"),
        ("lan", None, "tcp 192.0.2.1:0 192.0.2.2:2", "has port 0"),
        ("lan", None, "tcp 192.0.2.1:1 [2001:db8::1]:2", "different families"),
        ("lan", None, "tcp 192.0.2.1:1 192.0.2.2:2 x", "stands behind the packet"),
        ("lan", None, "gre 192.0.2.1:1 192.0.2.2", "gre has no ports: 192.0.2.1"),
        ("lan", None, "icmp 192.0.2.1 192.0.2.2 eco", "is no type of ICMP"),
        ("lan", None, "icmp 192.0.2.1 192.0.2.2 mld", "ICMP has no mld"),
        ("lan", None, "icmpv6 192.0.2.1 192.0.2.2", "write icmp"),
    ] {
        let told = refused(from, vlan, words);
        assert!(told.contains(wanted), "{words}: {told}");
    }
}

#[test]
fn an_explanation_is_json_too() {
    let json = serde_json::to_value(ask(&shipped(), "lan", "icmp 192.0.2.10 203.0.113.5 echo")).unwrap();
    assert_eq!(json["decided_by"]["by"], "rule");
    assert_eq!(json["rules"][0]["differs_in"], "from");
    assert_eq!(json["session"]["timeouts"][0]["milliseconds"], 60_000);
}

/// The linear matcher that is shown and the engine that decides agree, whatever is asked.
#[test]
fn what_is_shown_is_what_the_engine_does() {
    let loaded = shipped();
    let policy = Arc::new(loaded.compile(1, &mut RuleNames::default()));
    let hosts =
        ["192.0.2.10", "192.0.2.210", "198.51.100.10", "203.0.113.53", "203.0.113.66", "203.0.113.80"];
    let services = ["tcp 443", "tcp 5432", "udp 53", "udp 123", "tcp 21"];
    let mut decided = 0;
    for from in ["lan", "wan", "dmz"] {
        for (source, destination) in hosts.iter().flat_map(|a| hosts.iter().map(move |b| (*a, *b))) {
            for service in services {
                let (name, port) = service.split_once(' ').unwrap();
                let words = [name.to_owned(), format!("{source}:4000"), format!("{destination}:{port}")];
                let query = ExplainQuery::parse(&loaded, from, None, &words).unwrap();
                let (verdict, _) = inspect(&policy, &query);
                let rule = verdict.rule.map(|id| policy.rule(id).name.to_string());
                match explain(&loaded, &query).decided_by {
                    Decider::Rule { name, .. } => {
                        decided += 1;
                        assert_eq!(rule, Some(name), "{words:?}");
                    }
                    _ => assert_eq!(rule, None, "{words:?}"),
                }
            }
        }
    }
    assert!(decided > 20, "{decided}");
}

/// The table of ICMP types that rules decide is the engine's.
#[test]
fn rules_decide_the_types_that_the_engine_asks_them_about() {
    let text =
        "version: 1\nzones: {lan: {port: lan}, wan: {port: wan}}\nrules: [{name: all, action: allow}]\n";
    let policy = Arc::new(load_str("p", text, Path::new("")).unwrap().compile(1, &mut RuleNames::default()));
    for (source, destination, number) in [("192.0.2.1", "192.0.2.2", 1), ("2001:db8::1", "2001:db8::2", 58)] {
        for kind in 0..=255u16 {
            let query = ExplainQuery {
                from: Port::Lan,
                vlan: 0,
                source: source.parse().unwrap(),
                destination: destination.parse().unwrap(),
                protocol: number,
                source_port: 0,
                selector: kind << 8,
            };
            let asked = inspect(&policy, &query).0.rule.is_some();
            let selector = kind << 8..=(kind << 8 | 0xff);
            let said = crate::text::icmp::is_decided_by_rules(number == 1, &selector);
            assert_eq!(said, asked, "protocol {number} type {kind}");
        }
    }
}

#[test]
fn the_limits_of_the_rule_are_told() {
    let shipped_policy = shipped();
    let words = ["tcp", "203.0.113.9:40000", "198.51.100.10:443"];
    let query = ExplainQuery::parse(&shipped_policy, "wan", Some(20), &words).unwrap();
    let text = explain(&shipped_policy, &query).to_string();
    let told = "limits of the rule: sessions_per_source 200, new_sessions_per_second_per_source 50\n";
    assert!(text.contains(told), "{text}");
    let policy = "version: 1\nrules: [{name: r, action: allow, limits: {sessions_per_prefix: 9, bits_per_second: 1000000}}]\n";
    let loaded = load_str("p", policy, Path::new("")).unwrap();
    let text = ask(&loaded, "lan", "udp [2001:db8:1:2fff::1]:1 [2001:db8::2]:53").to_string();
    let told = "limits of the rule: sessions_per_prefix 9 (2001:db8:1:2f00::/56), bits_per_second 1000000\n";
    assert!(text.contains(told), "{text}");
    let browsed = ask(&shipped(), "lan", "tcp 192.0.2.10:40000 203.0.113.5:443").session.unwrap();
    assert!(browsed.limits.is_empty());
}
