//! The appliance between two network namespaces, with real programs talking through it. Root.
//!
//! One behaviour a test. Each builds a lab and starts an appliance of its own, so that they can run beside each other;
//! the appliance of a test that passes must also stop cleanly, in a second.

use std::time::Duration;

mod bad_network;
mod checksums;
mod deploy;
mod fragments;
mod helpers;
mod lab;
mod leftovers;
mod lifecycle;
mod linux;
mod management;
mod observe;
mod operators;
mod paths;
mod ping;
mod programs;
mod protections;
mod refuse;
mod scan;
mod servers;
mod syn_proxy;
mod table;
mod vlan;
mod workers;

/// The longest that anything here may take that is not measured.
const LIMIT: Duration = Duration::from_secs(10);

/// The head of a policy: two zones, one a port.
const ZONES: &str = "version: 1\nzones:\n  lan: {port: lan}\n  wan: {port: wan}\n";

/// A policy of these rules, one a line as a YAML mapping.
fn policy(rules: &[&str]) -> String {
    let mut text = format!("{ZONES}defaults: {{log: all}}\nrules:");
    text.push_str(if rules.is_empty() { " []\n" } else { "\n" });
    for rule in rules {
        text.push_str("  - ");
        text.push_str(rule);
        text.push('\n');
    }
    text
}

/// Lets the LAN out.
const LAN_OUT: &str = "{name: lan-out, from: lan, to: wan, action: allow}";
