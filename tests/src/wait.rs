//! Waiting for a condition, never for luck.

use std::time::{Duration, Instant};

/// How often a condition is looked at.
const TURN: Duration = Duration::from_millis(20);

/// Waits until `condition` holds, and fails the test when it does not within `limit`.
pub fn until(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    assert!(holds_within(limit, &mut condition), "not within {limit:?}: {what}");
}

/// Waits until `condition` gives a value, and fails the test when it does not within `limit`.
pub fn until_some<T>(limit: Duration, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let mut value = None;
    until(limit, what, || {
        value = condition();
        value.is_some()
    });
    value.expect("the wait ended with a value")
}

/// Whether `condition` comes to hold within `limit`.
pub fn holds_within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(TURN);
    }
}
