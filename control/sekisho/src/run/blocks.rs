//! The block list: shown, searched, extended, and let go.

use std::net::IpAddr;

use sekisho_api as api;
use sekisho_engine::Event;
use sekisho_engine::protect::blocks::{BlockCause, BlockView};
use sekisho_engine::time::Duration;

use crate::run::control::Control;
use crate::run::convert;

/// The blocked sources that fit, by address.
pub(crate) fn list(control: &Control, filter: &api::BlockFilter) -> Result<api::Blocks, api::Fault> {
    let mut found = fitting(control, filter)?;
    found.sort_by_key(|view| view.source);
    Ok(api::Blocks { blocks: found.iter().map(|view| blocked(control, view)).collect() })
}

/// The block of a source, if it is blocked.
pub(crate) fn of(control: &Control, source: IpAddr) -> Option<api::BlockedSource> {
    let mut found = None;
    control.fleet.shared.guards.blocks.list(control.engine_now(), |view| {
        if view.source == source {
            found = Some(*view);
        }
    });
    found.map(|view| blocked(control, &view))
}

/// Blocks a source, or only changes until when it is blocked.
pub(crate) fn block(control: &Control, block: &api::Block) -> Result<api::BlockCount, api::Fault> {
    let (blocks, now) = (&control.fleet.shared.guards.blocks, control.engine_now());
    let source = block.source.to_canonical();
    let span = Duration::from_secs(block.seconds.into());
    if block.extend {
        let is_blocked = blocks.extend(source, now, span);
        if is_blocked {
            tracing::info!("{source} is blocked for {} s from now on, by order", block.seconds);
        }
        return Ok(api::BlockCount { blocks: is_blocked.into() });
    }
    if control.in_force.borrow().policy.is_never_blocked(source) {
        let message = format!("{source} is never blocked: the policy has it in protections.port_scan.allow");
        return Err(api::Fault::new(api::FaultKind::BadRequest, message));
    }
    let cause = BlockCause::Operator;
    if !blocks.block(source, cause, now, span) {
        let message = format!("{source} could not be blocked: workers kept at the list; try again");
        return Err(api::Fault::new(api::FaultKind::Failed, message));
    }
    control.report(&Event::Block { time: now, source, cause, span });
    Ok(api::BlockCount { blocks: 1 })
}

/// Lets the blocked sources go that fit.
pub(crate) fn release(control: &Control, filter: &api::BlockFilter) -> Result<api::BlockCount, api::Fault> {
    let now = control.engine_now();
    let mut released = 0;
    for view in fitting(control, filter)? {
        if control.fleet.shared.guards.blocks.release(view.source, now) {
            tracing::info!("{} is blocked no more, by order", view.source);
            released += 1;
        }
    }
    Ok(api::BlockCount { blocks: released })
}

fn fitting(control: &Control, filter: &api::BlockFilter) -> Result<Vec<BlockView>, api::Fault> {
    let cause = filter.cause.as_deref().map(cause_of).transpose()?;
    let prefix = filter.source.map(convert::prefix);
    let mut found = Vec::new();
    control.fleet.shared.guards.blocks.list(control.engine_now(), |view| {
        let fits = prefix.is_none_or(|prefix| prefix.contains(view.source))
            && cause.is_none_or(|cause| cause == view.cause);
        if fits {
            found.push(*view);
        }
    });
    Ok(found)
}

fn cause_of(name: &str) -> Result<BlockCause, api::Fault> {
    let found = BlockCause::ALL.into_iter().find(|cause| cause.name() == name);
    found.ok_or_else(|| {
        let known = BlockCause::ALL.map(BlockCause::name).join(", ");
        api::Fault::new(api::FaultKind::BadRequest, format!("there is no cause {name}: there are {known}"))
    })
}

fn blocked(control: &Control, view: &BlockView) -> api::BlockedSource {
    let in_force = control.in_force.borrow();
    let looks_for_scans = in_force.policy.ruleset.protections.port_scan.is_some();
    api::BlockedSource {
        source: view.source,
        cause: view.cause.name().to_owned(),
        age_seconds: convert::seconds(view.age),
        expires_in_seconds: convert::seconds(view.expires_in),
        packets: view.packets,
        in_force: (looks_for_scans || view.cause == BlockCause::Operator)
            && !in_force.policy.is_never_blocked(view.source),
    }
}

#[cfg(test)]
#[path = "blocks/tests.rs"]
mod tests;
