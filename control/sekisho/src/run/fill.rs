//! How full the session tables are: told to the workers, whose timeouts shorten as they fill, to the log when a mark is
//! passed, and to whoever scrapes.

use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use sekisho_engine::session::room::Pressure;

use crate::run::control::Control;

/// How often control looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// An alarm is over when the table is this much below its mark, in percent of the table: one that fills and empties
/// around a mark is told of once.
const HYSTERESIS_PERCENT: u64 = 5;

/// The alarm of the session table: the highest mark that was passed and not left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Alarm {
    /// How many of the marks of [`Pressure::MARKS_PERCENT`] are passed.
    passed: usize,
}

impl Alarm {
    /// The mark, in percent of the table; 0: there is no alarm.
    pub(crate) fn percent(self) -> u64 {
        self.passed.checked_sub(1).map_or(0, |at| Pressure::MARKS_PERCENT[at])
    }

    /// The alarm after a look at a table of `capacity` sessions that holds `live`.
    fn after(self, live: u64, capacity: u64) -> Self {
        let reaches = |percent: u64| live * 100 >= percent * capacity.max(1);
        let risen = Pressure::MARKS_PERCENT.iter().filter(|mark| reaches(**mark)).count();
        let kept = Pressure::MARKS_PERCENT.iter().filter(|mark| reaches(**mark - HYSTERESIS_PERCENT)).count();
        Self { passed: risen.max(self.passed.min(kept)) }
    }
}

/// Looks at the tables for as long as the task lives.
pub(crate) async fn watch(control: Rc<Control>) {
    loop {
        look(&control);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Looks once.
pub(crate) fn look(control: &Control) {
    let fleet = &control.fleet;
    let (live, capacity) = (fleet.sessions_live(), fleet.capacity());
    fleet.switch.pressure.store(Pressure::of(live, capacity).level(), Relaxed);
    let (before, now) = (control.alarm.get(), control.alarm.get().after(live, capacity));
    if now == before {
        return;
    }
    control.alarm.set(now);
    let (percent, mark) = (live * 100 / capacity.max(1), now.percent());
    if now.passed > before.passed {
        control.alarms_raised.set(control.alarms_raised.get() + 1);
        let [half_open, one_way] = unestablished(control);
        tracing::warn!(
            "the session table is {percent} % full, over its mark of {mark} %: {live} sessions of {capacity}, \
             {half_open} of them half-open, {one_way} unanswered; timeouts of those shorten unless the appliance file \
             says otherwise"
        );
    } else {
        let marks = Pressure::MARKS_PERCENT;
        let left = marks[now.passed];
        tracing::info!("the session table is {percent} % full, below its mark of {left} % again");
    }
}

/// Sessions whose handshake is not done, and those of which only one side has spoken.
pub(crate) fn unestablished(control: &Control) -> [u64; 2] {
    let workers = &control.fleet.workers;
    [
        workers.iter().map(|worker| worker.engine.half_open.get()).sum(),
        workers.iter().map(|worker| worker.engine.one_way.get()).sum(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::tests::{Appliance, OPEN, datagram};

    #[test]
    fn an_alarm_rises_at_its_mark_and_ends_five_percent_below() {
        let mut alarm = Alarm::default();
        let mut seen = Vec::new();
        for live in [0, 59, 60, 56, 60, 55, 54, 79, 80, 94, 95, 100, 91, 90, 89, 76, 75, 74, 0] {
            alarm = alarm.after(live, 100);
            seen.push(alarm.percent());
        }
        assert_eq!(seen, [0, 0, 60, 60, 60, 60, 0, 60, 80, 80, 95, 95, 95, 95, 80, 80, 80, 60, 0]);
        assert_eq!(Alarm::default().after(0, 0).percent(), 0);
    }

    #[tokio::test]
    async fn a_table_that_fills_is_told_of_once() {
        // It has 1,024 places more than there are frames.
        let appliance = Appliance::start(OPEN, 1, (0..4_000).map(datagram).collect(), None);
        let control = &appliance.control;
        look(control);
        appliance.until(|control| control.fleet.sessions_live() == 4_000).await;
        look(control);
        look(control);
        assert_eq!((control.alarm.get().percent(), control.alarms_raised.get()), (60, 1));
        assert_eq!(control.fleet.switch.pressure.load(Relaxed), 1);
        appliance.until(|control| unestablished(control) == [0, 4_000]).await;
    }
}
