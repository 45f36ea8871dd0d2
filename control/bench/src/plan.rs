//! How often and how long is measured, and who is told.

use std::time::Duration;

use crate::results::{Sample, Variant};

/// How often and how long.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Rounds, each of which measures all subjects one after the other; at least 1.
    pub rounds: u32,
    /// How long each subject is measured in a round.
    pub span: Duration,
}

/// Takes what was measured.
pub type Tell<'t> = dyn FnMut(Sample) + 't;

impl Default for Plan {
    fn default() -> Self {
        Self { rounds: 5, span: Duration::from_millis(300) }
    }
}

impl Plan {
    pub(crate) fn sample(
        &self,
        workload: &str,
        variant: &Variant,
        subject: &str,
        round: u32,
        figure: &str,
        value: f64,
    ) -> Sample {
        debug_assert!(round <= self.rounds);
        Sample {
            workload: workload.to_owned(),
            variant: variant.clone(),
            subject: subject.to_owned(),
            round,
            figure: figure.to_owned(),
            value,
        }
    }
}

/// Keeps the calling thread on the core of that number, or on the last one that is open to it; returns which.
pub fn pin(core: Option<usize>) -> Option<usize> {
    let open = core_affinity::get_core_ids()?;
    let wanted = match core {
        Some(core) => *open.iter().find(|open| open.id == core)?,
        None => *open.iter().max_by_key(|open| open.id)?,
    };
    core_affinity::set_for_current(wanted).then_some(wanted.id)
}
