//! From a checked tree to the policy it means: names to indices, texts to values, defaults filled in. Faults are
//! reported and resolving goes on, so that all of them are told at once; nothing made here is used if there were any.

mod addresses;
mod options;
mod rules;
mod services;
mod zones;

use std::path::Path;

use sekisho_engine::packet::protocol;
use sekisho_engine::policy::{Action, Protections, Rule, Ruleset, SequenceNumbers, SynFlood, SynProxyMode};
use sha2::{Digest, Sha256};

use crate::diagnostic::{Diagnostics, Fault, Report, nearest, quoted};
use crate::model::{ResolvedPolicy, RuleInfo};
use crate::yaml::Node;
use addresses::AddressBook;
use services::ServiceBook;

/// What a file means.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) policy: ResolvedPolicy,
    pub(crate) ruleset: Ruleset,
    pub(crate) sha256: String,
}

/// Resolves a policy whose shape was checked. `directory` is where its feed files are looked for.
pub(crate) fn resolve(root: &Node, text: &str, directory: &Path, report: &mut Report) -> Resolved {
    let mut hasher = Sha256::new();
    hasher.update(text);
    let mut book = AddressBook::new(root.get("addresses"), directory, hasher);
    book.resolve_all(report);
    let mut services = ServiceBook::new(root.get("services"));
    services.resolve_all(report);
    let (zones, mut zones_defined) = zones::zones(root.get("zones"), &mut book, report);
    let options = options::options(root, zones.iter().any(|zone| zone.networks.is_some()), &mut book, report);
    let mut reader =
        rules::Reader::new(&zones, &mut zones_defined, &mut book, &mut services, options.timeouts.clone());
    let (rules, rule_infos) = reader.rules(root.get("rules"), report);
    let timeouts = reader.into_timeouts();
    check_floods(&rules, &rule_infos, &options.protections, report);
    let policy = ResolvedPolicy {
        file: report.file().to_owned(),
        zones: zones_defined,
        addresses: book.defined(),
        services: services.defined(),
        rules: rule_infos,
    };
    let (address_sets, hasher) = book.into_sets();
    let ruleset = Ruleset {
        default_action: options.default_action,
        default_log: options.default_log,
        zones,
        address_sets,
        rules,
        timeouts,
        inspection: options.inspection,
        protections: options.protections,
    };
    let sha256 = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Resolved { policy, ruleset, sha256 }
}

/// Cookies that never begin, and figures that nothing looks at.
fn check_floods(rules: &[Rule], infos: &[RuleInfo], protections: &Protections, report: &mut Report) {
    let begins = protections.syn_flood != SynFlood::default();
    for (rule, info) in rules.iter().zip(infos) {
        let has_tcp = rule.services.as_ref().is_none_or(|services| {
            services.iter().any(|service| service.protocol.is_none_or(|number| number == protocol::TCP))
        });
        if rule.syn_proxy == SynProxyMode::Auto && !begins {
            let message = format!("the rule {} has syn_proxy: auto, which never begins", quoted(&rule.name));
            report.warning(
                info.place,
                message,
                "say under protections.syn_flood when it does, or write always",
            );
        }
        let asks = rule.syn_proxy != SynProxyMode::Off || rule.sequence_numbers != SequenceNumbers::Keep;
        if asks && !has_tcp && rule.action == Action::Allow {
            let message = format!(
                "the rule {} has no TCP, of which alone syn_proxy and sequence_numbers speak",
                quoted(&rule.name)
            );
            report.warning(info.place, message, "remove them, or add a TCP service");
        }
    }
}

/// Warnings about what the file defines and nothing names.
pub(crate) fn unused(policy: &ResolvedPolicy) -> Diagnostics {
    let mut report = Report::new(&policy.file);
    let kinds = [("zone", &policy.zones), ("address set", &policy.addresses), ("service", &policy.services)];
    for (kind, defined) in kinds {
        for one in defined.iter().filter(|one| !one.is_used) {
            let whoever = if kind == "zone" { "no rule names it" } else { "nothing names it" };
            let message = format!("the {kind} {} is unused: {whoever}", quoted(&one.name));
            report.warning(one.place, message, "name it in a rule, or remove it");
        }
    }
    report.finish()
}

/// A name that is not defined. `section` is where it would be.
fn unknown<'a>(
    kind: &str,
    name: &str,
    section: &str,
    known: impl ExactSizeIterator<Item = &'a str>,
) -> Fault {
    /// Comparing with more names than this, for each of many unknown ones, takes longer than it helps.
    const COMPARED_MAX: usize = 2000;
    let meant = if known.len() <= COMPARED_MAX { nearest(name, known) } else { None };
    let remedy = match meant {
        Some(meant) => format!("did you mean {}?", quoted(meant)),
        None => format!("define it under \"{section}\""),
    };
    Fault::new(format!("there is no {kind} named {}", quoted(name)), remedy)
}

/// `any` where only things with a name can stand.
fn any_inside(what: &str) -> Fault {
    Fault::new(
        format!("\"any\" stands inside {what}"),
        "only a rule can say any; leave out the key that names this",
    )
}

/// `any` beside others.
fn any_beside(label: &str) -> Fault {
    Fault::new(format!("{label}: \"any\" stands beside others"), "write any alone, or leave out the key")
}
