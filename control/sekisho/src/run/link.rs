//! Link-state propagation: a port is held down while the link of the other is down, so that hosts and switches on
//! one side see that the way to the other is broken.

use std::rc::Rc;
use std::time::Duration;

use crate::run::control::Control;
use crate::run::ports::ControlledPort;

/// How often links are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Propagates for as long as the task lives.
pub(crate) async fn propagate(control: Rc<Control>) {
    loop {
        if let [lan, wan] = &control.ports.0[..] {
            look(lan, wan);
            look(wan, lan);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Holds `other` down, or lets it go, by the link of `port`.
fn look(port: &ControlledPort, other: &ControlledPort) {
    // A port that does not tell has no say, as one that is held down itself.
    let Some(up) = port.device.link().ok().map(|link| link.up) else { return };
    let Some(hold) = decide(up, port.held_down.get(), other.held_down.get()) else { return };
    let done = other.device.set_link(!hold);
    other.held_down.set(hold);
    match (done, hold) {
        (Ok(()), true) => tracing::warn!("port {}: no link; port {} is held down", port.which, other.which),
        (Ok(()), false) => {
            tracing::info!("port {}: link is back; port {} is let go", port.which, other.which)
        }
        (Err(error), _) => tracing::warn!("link state cannot be propagated: {error}"),
    }
}

/// Whether the other port is to be held down (`true`) or let go (`false`); `None`: nothing is to be done.
const fn decide(up: bool, is_held_down: bool, other_is_held_down: bool) -> Option<bool> {
    match (up, is_held_down, other_is_held_down) {
        // The link of a port that is held down says nothing.
        (_, true, _) => None,
        (false, false, false) => Some(true),
        (true, false, true) => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_link_takes_the_other_down_and_brings_it_back() {
        assert_eq!(decide(true, false, false), None);
        assert_eq!(decide(false, false, false), Some(true));
        assert_eq!(decide(false, false, true), None, "once is enough");
        assert_eq!(decide(true, false, true), Some(false));
    }

    #[test]
    fn a_port_that_is_held_down_does_not_hold_the_other() {
        assert_eq!(decide(false, true, false), None);
        assert_eq!(decide(true, true, true), None);
    }
}
