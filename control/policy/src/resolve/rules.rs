//! The rules.

use std::collections::HashMap;

use sekisho_engine::policy::{Action, AddressSetId, Limits, Quota, Rule, Timeouts, TimeoutsId, Zone, ZoneId};

use super::addresses::{AddressBook, Field, written};
use super::options::{count, rule_timeouts, word};
use super::services::ServiceBook;
use super::{any_beside, unknown, zones};
use crate::diagnostic::{Place, Report, quoted};
use crate::model::{Defined, RuleInfo, Written};
use crate::yaml::Node;

/// Longer fields are cut where people read them.
const WRITTEN_MAX: usize = 120;

/// What rules refer to.
#[derive(Debug)]
pub(super) struct Reader<'a, 'b> {
    zones: HashMap<&'b str, ZoneId>,
    zones_defined: &'b mut [Defined],
    book: &'b mut AddressBook<'a>,
    services: &'b mut ServiceBook<'a>,
    timeouts: Vec<Timeouts>,
    timeouts_known: HashMap<Timeouts, TimeoutsId>,
}

impl<'a, 'b> Reader<'a, 'b> {
    pub(super) fn new(
        zones: &'b [Zone],
        zones_defined: &'b mut [Defined],
        book: &'b mut AddressBook<'a>,
        services: &'b mut ServiceBook<'a>,
        timeouts: Timeouts,
    ) -> Self {
        Self {
            zones: zones.iter().enumerate().map(|(index, zone)| (&*zone.name, zones::id(index))).collect(),
            zones_defined,
            book,
            services,
            timeouts_known: HashMap::from([(timeouts.clone(), TimeoutsId(0))]),
            timeouts: vec![timeouts],
        }
    }

    /// All rules, in order, and what the engine does not need of them.
    pub(super) fn rules(
        &mut self,
        section: Option<&Node>,
        report: &mut Report,
    ) -> (Vec<Rule>, Vec<RuleInfo>) {
        let items = section.map_or(&[][..], Node::items);
        let mut lines: HashMap<&str, u32> = HashMap::with_capacity(items.len());
        let (mut rules, mut infos) = (Vec::with_capacity(items.len()), Vec::with_capacity(items.len()));
        for item in items {
            let name = item.get("name");
            if let Some((name, text)) = name.and_then(|name| Some((name, name.text()?))) {
                match lines.get(text) {
                    Some(line) => {
                        let message = format!("the rule in line {line} is named {} already", quoted(text));
                        report.error(name.place, message, "give this one another name");
                    }
                    None => drop(lines.insert(text, name.place.line)),
                }
            }
            let (rule, info) = self.rule(item, report);
            rules.push(rule);
            infos.push(info);
        }
        (rules, infos)
    }

    /// The policy's timeouts and those of rules that have their own.
    pub(super) fn into_timeouts(self) -> Vec<Timeouts> {
        self.timeouts
    }

    fn rule(&mut self, node: &Node, report: &mut Report) -> (Rule, RuleInfo) {
        let services = node.get("service").and_then(|node| self.services.field(node, report));
        let (services, helpers) = match services {
            Some(services) => (Some(services.matches), services.helpers),
            None => (None, Vec::new()),
        };
        let rule = Rule {
            name: node.get("name").and_then(Node::text).unwrap_or_default().into(),
            from: self.zones(node, "from", report),
            to: self.zones(node, "to", report),
            source: self.addresses(node, "source", report),
            destination: self.addresses(node, "destination", report),
            services,
            action: word(Some(node), "action").unwrap_or(Action::Drop),
            log: node.get("log").and_then(Node::flag),
            timeouts: node.get("timeout").map_or(TimeoutsId(0), |node| self.timeouts(node, report)),
            sessions_on_deploy: word(Some(node), "sessions_on_deploy"),
            helpers,
            syn_proxy: word(Some(node), "syn_proxy").unwrap_or_default(),
            sequence_numbers: word(Some(node), "sequence_numbers").unwrap_or_default(),
            limits: node.get("limits").map(|node| Box::new(limits(node, report))),
        };
        let info = RuleInfo {
            place: node.place,
            written: Written {
                source: rule.source.and_then(|_| as_written(node, "source")),
                destination: rule.destination.and_then(|_| as_written(node, "destination")),
                service: rule.services.as_ref().and_then(|_| as_written(node, "service")),
            },
        };
        self.check_action(node, &rule, report);
        (rule, info)
    }

    fn zones(&mut self, node: &Node, key: &str, report: &mut Report) -> Option<Vec<ZoneId>> {
        let node = node.get(key)?;
        let items = node.items();
        let mut found = Vec::with_capacity(items.len());
        for item in items {
            match item.text() {
                Some("any") if items.len() == 1 => return None,
                Some("any") => report.fault(item.place, any_beside(key)),
                Some(name) => match self.zones.get(name) {
                    Some(id) => {
                        self.zones_defined[usize::from(id.0)].is_used = true;
                        if found.contains(id) {
                            let message = format!("{key}: the zone {} stands twice", quoted(name));
                            report.warning(item.place, message, "once is enough");
                        } else {
                            found.push(*id);
                        }
                    }
                    None => {
                        report.fault(item.place, unknown("zone", name, "zones", self.zones.keys().copied()))
                    }
                },
                None => {}
            }
        }
        found.sort_unstable();
        Some(found)
    }

    fn addresses(&mut self, node: &Node, key: &str, report: &mut Report) -> Option<AddressSetId> {
        match self.book.field(node.get(key)?, key, true, report) {
            Field::Set(id) => Some(id),
            Field::Any | Field::Refused => None,
        }
    }

    fn timeouts(&mut self, node: &Node, report: &mut Report) -> TimeoutsId {
        let timeouts = rule_timeouts(node, &self.timeouts[0]);
        if let Some(id) = self.timeouts_known.get(&timeouts) {
            return *id;
        }
        let index = u16::try_from(self.timeouts.len()).ok().filter(|index| *index <= TimeoutsId::MAX);
        let Some(index) = index else {
            let message = format!("{} rules have timeouts, each different", self.timeouts.len());
            report.error(node.place, message, "let rules share their timeouts");
            return TimeoutsId(0);
        };
        self.timeouts.push(timeouts.clone());
        self.timeouts_known.insert(timeouts, TimeoutsId(index));
        TimeoutsId(index)
    }

    /// What only sessions have makes no sense on a rule that opens none.
    fn check_action(&self, node: &Node, rule: &Rule, report: &mut Report) {
        if rule.action == Action::Allow || word::<Action>(Some(node), "action").is_none() {
            return;
        }
        for entry in node.entries() {
            if matches!(
                &*entry.key,
                "timeout" | "sessions_on_deploy" | "limits" | "syn_proxy" | "sequence_numbers"
            ) {
                warn_without_session(entry.place, &entry.key, report);
            }
        }
    }
}

fn limits(node: &Node, report: &mut Report) -> Limits {
    let quota = |of: &str| Quota {
        sessions: count(node, &format!("sessions{of}")),
        new_per_second: count(node, &format!("new_sessions_per_second{of}")),
    };
    let rate = |key| node.get(key)?.integer().and_then(|rate| u64::try_from(rate).ok());
    let mut limits = Limits {
        source: quota("_per_source"),
        prefix: quota("_per_prefix"),
        rule: quota(""),
        packets_per_second: rate("packets_per_second"),
        bits_per_second: rate("bits_per_second"),
        ..Limits::default()
    };
    if let Some(prefix) = node.get("prefix") {
        for (key, bits) in ["ipv4", "ipv6"].into_iter().zip(&mut limits.prefix_bits) {
            *bits = count(prefix, key).and_then(|bits| u8::try_from(bits).ok()).unwrap_or(*bits);
        }
        if limits.prefix == Quota::default() {
            let message = "prefix says nothing where no limit counts by prefix";
            let remedy = "set sessions_per_prefix or new_sessions_per_second_per_prefix, or remove it";
            report.warning(prefix.place, message, remedy);
        }
    }
    limits
}

fn warn_without_session(place: Place, key: &str, report: &mut Report) {
    let message = format!("{key} says nothing on a rule that does not allow");
    report.warning(place, message, "remove it, or let the rule allow");
}

fn as_written(node: &Node, key: &str) -> Option<Box<str>> {
    let mut text = written(node.get(key)?);
    if let Some((cut, _)) = text.char_indices().nth(WRITTEN_MAX) {
        text.truncate(cut);
        text.push('…');
    }
    Some(text.into())
}
