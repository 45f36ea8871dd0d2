//! Names of services, and what stands behind them.

use std::collections::HashMap;

use sekisho_engine::policy::{Protocols, ServiceMatch};

use super::{any_beside, any_inside, unknown};
use crate::diagnostic::{Place, Report, quoted};
use crate::model::Defined;
use crate::text::service::{self, Reference};
use crate::text::{icmp, protocol};
use crate::words::{Helper, Word};
use crate::yaml::Node;

/// Names inside names.
const DEPTH_MAX: usize = 16;

/// Protocols and ports that one service or rule may come to.
const MATCHES_MAX: usize = 4096;

const NOT_BY_RULES: &str = "errors pass with the session that they speak of, answers with their question, neighbour \
                            discovery by itself; other types do not pass";

const SPOKEN: &str = "ftp follows TCP, tftp follows UDP, sip follows both: name ports of those";

/// What services come to.
#[derive(Clone, Debug, Default)]
pub(super) struct Services {
    pub(super) matches: Vec<ServiceMatch>,
    pub(super) helpers: Vec<(Helper, Vec<ServiceMatch>)>,
}

/// All named services.
#[derive(Debug)]
pub(super) struct ServiceBook<'a> {
    names: HashMap<&'a str, usize>,
    entries: Vec<Entry<'a>>,
}

#[derive(Debug)]
struct Entry<'a> {
    name: &'a str,
    place: Place,
    node: &'a Node,
    state: State,
    is_used: bool,
}

#[derive(Debug)]
enum State {
    Unread,
    Open,
    Done(Option<Services>),
}

impl<'a> ServiceBook<'a> {
    pub(super) fn new(section: Option<&'a Node>) -> Self {
        let entries: Vec<_> = section
            .map_or(&[][..], Node::entries)
            .iter()
            .map(|entry| Entry {
                name: &entry.key,
                place: entry.place,
                node: &entry.node,
                state: State::Unread,
                is_used: false,
            })
            .collect();
        let names = entries.iter().enumerate().map(|(index, entry)| (entry.name, index)).collect();
        Self { names, entries }
    }

    /// Resolves every name, used or not.
    pub(super) fn resolve_all(&mut self, report: &mut Report) {
        for index in 0..self.entries.len() {
            self.named(index, 0, report);
        }
    }

    /// What the field `service` of a rule means; `None`: every service, or refused.
    pub(super) fn field(&mut self, node: &Node, report: &mut Report) -> Option<Services> {
        let items = node.items();
        if let Some(any) = items.iter().find(|item| item.text() == Some("any")) {
            if items.len() > 1 {
                report.fault(any.place, any_beside("service"));
            }
            return None;
        }
        self.union(items, 0, report)
    }

    /// The names, and which of them are used.
    pub(super) fn defined(&self) -> Vec<Defined> {
        let defined = |entry: &Entry<'_>| Defined {
            name: entry.name.into(),
            place: entry.place,
            is_used: entry.is_used,
        };
        self.entries.iter().map(defined).collect()
    }

    fn named(&mut self, index: usize, depth: usize, report: &mut Report) -> Option<Services> {
        let entry = &mut self.entries[index];
        match std::mem::replace(&mut entry.state, State::Open) {
            State::Done(services) => {
                entry.state = State::Done(services.clone());
                return services;
            }
            State::Open => {
                let message = format!("the service {} contains itself", quoted(entry.name));
                report.error(entry.place, message, "break the circle");
                return None;
            }
            State::Unread => {}
        }
        let node = entry.node;
        let services = self.union(node.items(), depth, report);
        self.entries[index].state = State::Done(services.clone());
        services
    }

    /// All items together, each once. `None` if one of them was refused.
    fn union(&mut self, items: &[Node], depth: usize, report: &mut Report) -> Option<Services> {
        let (mut all, mut whole) = (Services::default(), !items.is_empty());
        for item in items {
            match self.item(item, depth, report) {
                Some(services) => {
                    all.matches.extend(services.matches);
                    all.helpers.extend(services.helpers);
                }
                None => whole = false,
            }
            if all.matches.len() > MATCHES_MAX {
                let message =
                    format!("the services come to more than {MATCHES_MAX} protocols and ports by here");
                report.error(item.place, message, "use ranges of ports");
                return None;
            }
        }
        let mut seen = std::collections::HashSet::new();
        all.matches.retain(|one| seen.insert(one.clone()));
        whole.then_some(all)
    }

    fn item(&mut self, node: &Node, depth: usize, report: &mut Report) -> Option<Services> {
        if let Some(ports) = node.get("ports") {
            let mut services = self.union(ports.items(), depth + 1, report)?;
            if let Some(helper) = node.get("helper").and_then(Node::text).and_then(Helper::find) {
                let speaks =
                    |one: &ServiceMatch| one.protocol.is_some_and(|protocol| helper.speaks(protocol));
                if !services.matches.iter().any(speaks) {
                    let message = format!("the helper {} follows none of these", helper.word());
                    report.warning(node.place, message, SPOKEN);
                }
                services.helpers.push((helper, services.matches.clone()));
            }
            return Some(services);
        }
        match service::reference(node.text()?) {
            Ok(Reference::Inline(matches)) => {
                if !matches.iter().any(is_decided_by_rules) {
                    let message = format!("no rule decides {}", quoted(node.text()?));
                    report.warning(node.place, message, NOT_BY_RULES);
                }
                Some(Services { matches, helpers: Vec::new() })
            }
            Ok(Reference::Any) => {
                report.fault(node.place, any_inside("a service"));
                None
            }
            Ok(Reference::Name(name)) => {
                let Some(index) = self.names.get(name).copied() else {
                    let known = self.entries.iter().map(|entry| entry.name);
                    report.fault(node.place, unknown("service", name, "services", known));
                    return None;
                };
                self.entries[index].is_used = true;
                if depth >= DEPTH_MAX {
                    let message = format!("services are named inside services more than {DEPTH_MAX} deep");
                    report.error(node.place, message, "name the innermost ones directly");
                    return None;
                }
                self.named(index, depth + 1, report)
            }
            Err(fault) => {
                report.fault(node.place, fault);
                None
            }
        }
    }
}

/// Whether rules are asked about such packets at all.
fn is_decided_by_rules(service: &ServiceMatch) -> bool {
    match (service.family, service.protocol) {
        (Protocols::V4, Some(protocol::ICMP)) => icmp::is_decided_by_rules(true, &service.selector),
        (Protocols::V6, Some(protocol::ICMPV6)) => icmp::is_decided_by_rules(false, &service.selector),
        _ => true,
    }
}
