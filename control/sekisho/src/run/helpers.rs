//! What helpers do and expect, for listings and metrics.

use std::sync::Arc;

use sekisho_api as api;
use sekisho_engine::flow::FiveTuple;
use sekisho_engine::helper::{ExpectationView, Helper, HelperCounts, Refusal, Stop};
use sekisho_engine::policy::RuleKey;

use crate::run::control::Control;
use crate::run::convert;

/// The figures of a helper, over all workers.
pub(crate) struct Figures<'c> {
    control: &'c Control,
    pub(crate) helper: Helper,
    /// Expectations that are open now.
    pub(crate) open: u64,
}

impl Figures<'_> {
    /// A count, over all workers.
    pub(crate) fn sum(&self, of: impl Fn(&HelperCounts) -> u64) -> u64 {
        self.of_workers().map(of).sum()
    }

    /// Expectations whose connection did not come in time. Never less than what was told before.
    pub(crate) fn expired(&self) -> u64 {
        let open =
            || self.control.fleet.shared.expectations.open(self.control.engine_now())[self.helper.index()];
        let told = &self.control.expectations_expired[self.helper.index()];
        told.set(told.get().max(HelperCounts::expired(self.of_workers(), open)));
        told.get()
    }

    fn of_workers(&self) -> impl Iterator<Item = &HelperCounts> + Clone {
        self.control.fleet.workers.iter().map(|worker| &worker.engine.helpers[self.helper.index()])
    }
}

/// The figures of every helper.
pub(crate) fn figures(control: &Control) -> impl Iterator<Item = Figures<'_>> {
    let open = control.fleet.shared.expectations.open(control.engine_now());
    Helper::ALL.into_iter().map(move |helper| Figures { control, helper, open: open[helper.index()] })
}

/// The counters of every helper, as the interface shows them.
pub(crate) fn counters(control: &Control) -> impl Iterator<Item = api::CountersOfHelper> {
    figures(control).map(|of| {
        let cause = |(cause, count): (&str, u64)| api::CauseCount { cause: cause.to_owned(), count };
        let stopped =
            Stop::ALL.iter().map(|cause| (cause.name(), of.sum(|counts| counts.stopped(*cause).get())));
        let refused =
            Refusal::ALL.iter().map(|cause| (cause.name(), of.sum(|counts| counts.refused(*cause).get())));
        api::CountersOfHelper {
            helper: of.helper.name().to_owned(),
            following: of.sum(|counts| counts.following.get()),
            followed: of.sum(|counts| counts.followed.get()),
            not_followed: stopped.map(cause).collect(),
            open: of.open,
            opened: of.sum(|counts| counts.opened.get()),
            used: of.sum(|counts| counts.used.get()),
            expired: of.expired(),
            withdrawn: of.sum(|counts| counts.withdrawn.get()),
            refused: refused.map(cause).collect(),
        }
    })
}

/// The expectations that fit, by control session.
pub(crate) fn expectations(
    control: &Control,
    filter: &api::ExpectationFilter,
) -> Result<api::Expectations, api::Fault> {
    let names = control.names.borrow();
    let rule = filter.rule.as_ref().map(|rule| convert::rule_of(rule, &names)).transpose()?;
    let mut expectations = Vec::new();
    control.fleet.shared.expectations.list(control.engine_now(), |view| {
        if fits(view, filter, rule) {
            expectations.push(expectation(view, names.rule(view.rule)));
        }
    });
    expectations
        .sort_by_key(|one| (one.parent.0, one.five_tuple.protocol.0, one.five_tuple.destination_port));
    Ok(api::Expectations { expectations })
}

fn fits(view: &ExpectationView, filter: &api::ExpectationFilter, rule: Option<RuleKey>) -> bool {
    let holds = |wanted: Option<api::Prefix>, address| {
        wanted.is_none_or(|one| convert::prefix(one).contains(address))
    };
    holds(filter.source, view.source)
        && holds(filter.destination, view.destination)
        && (holds(filter.address, view.source) || holds(filter.address, view.destination))
        && filter.port.is_none_or(|port| port == view.destination_port)
        && filter.protocol.is_none_or(|protocol| protocol.0 == view.protocol)
        && rule.is_none_or(|rule| rule == view.rule)
        && filter.vlan.is_none_or(|vlan| vlan == view.vlan.outer())
        && filter.from.is_none_or(|from| convert::port_of(from) == view.from)
        && filter.parent.is_none_or(|parent| parent == convert::session_id(view.parent))
}

fn expectation(view: &ExpectationView, rule: Option<Arc<str>>) -> api::Expectation {
    let tuple = FiveTuple {
        source: view.source,
        destination: view.destination,
        source_port: 0,
        destination_port: view.destination_port,
        protocol: view.protocol,
    };
    api::Expectation {
        helper: view.helper.name().to_owned(),
        parent: convert::session_id(view.parent),
        // Any port of the source will do.
        five_tuple: api::FiveTuple { source_port: None, ..convert::five_tuple(&tuple) },
        rule: rule.map(|name| name.as_ref().to_owned()),
        from: convert::port_name(view.from),
        vlans: convert::vlans(view.vlan),
        expires_in_seconds: convert::seconds(view.expires_in),
    }
}

#[cfg(test)]
#[path = "helpers/tests.rs"]
mod tests;
