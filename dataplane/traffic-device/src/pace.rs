//! When packets are due, where a rate is asked for.

/// Packets that wait for the program, as in a NIC's ring of descriptors; what is more is lost.
const WAIT_MAX: u64 = 1024;
/// Fractions of a tick.
const FRACTION: u32 = 16;

/// Packets of one queue of one side at a steady rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    interval: u64,
    /// When the next one is due; 0 until the first question.
    next: u64,
    /// Packets that nobody took in time.
    pub(crate) lost: u64,
}

impl Pace {
    /// So many packets a second, with ticks of that frequency. The clock must stay below 2^48.
    pub(crate) fn new(rate: f64, ticks_hz: u64) -> Option<Self> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of ticks")]
        let interval = (ticks_hz as f64 / rate * f64::from(1u32 << FRACTION)) as u64;
        (rate > 0.0 && interval > 0).then_some(Self { interval, next: 0, lost: 0 })
    }

    /// How many are due at `now`.
    pub(crate) fn due(&mut self, now: u64) -> usize {
        let now = now << FRACTION;
        if self.next == 0 {
            self.next = now;
        }
        let mut due = if now < self.next { 0 } else { (now - self.next) / self.interval + 1 };
        if due > WAIT_MAX {
            let lost = due - WAIT_MAX;
            self.lost += lost;
            self.next += lost * self.interval;
            due = WAIT_MAX;
        }
        usize::try_from(due).unwrap_or(0)
    }

    /// Takes one that is due: when it was.
    #[inline]
    pub(crate) fn take(&mut self) -> u64 {
        let due = self.next >> FRACTION;
        self.next += self.interval;
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_come_at_their_rate() {
        let mut pace = Pace::new(1e6, 2_000_000_000).unwrap();
        let mut taken = 0u64;
        // A second in steps of a microsecond and a half.
        for step in 0..666_667u64 {
            for _ in 0..pace.due(1000 + step * 3000) {
                let due = pace.take();
                assert!(due <= 1000 + step * 3000);
                taken += 1;
            }
        }
        assert!((999_990..=1_000_010).contains(&taken), "{taken}");
        assert_eq!(pace.lost, 0);
    }

    #[test]
    fn what_waits_too_long_is_lost() {
        let mut pace = Pace::new(1e6, 1_000_000_000).unwrap();
        assert_eq!(pace.due(5000), 1);
        assert_eq!(pace.due(5_000_000 + 5000), 1024);
        assert_eq!(pace.lost, 5001 - 1024);
        // The oldest went: what is left was due lately.
        assert_eq!(pace.take(), (5001 - 1024) * 1000 + 5000);
    }
}
