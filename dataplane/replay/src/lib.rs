//! Captures through the real engine, offline, in the captures' own time.
//!
//! [`run()`] reads one capture for each port ([`capture`]), merges them by time stamp ([`merge`]) and lets a
//! [`simulation`] of N engines inspect every frame: virtual time goes from time stamp to time stamp, and timers fire
//! in between, each at its moment. What happens is written down in order by the [`journal`]: verdict lines, and the
//! frames that leave by each port.
//!
//! The same input gives the same output byte for byte, whatever the number of engines: secrets are fixed, sessions
//! have numbers of their own, and what happens at one moment is ordered by them. There is no thread and no clock here,
//! and nothing is kept of a frame once it is dealt with (fragments wait for the rest of their datagram), so that a
//! capture may be larger than the memory.
#![forbid(unsafe_code)]

pub mod capture;
pub mod journal;
pub mod merge;
pub mod pcap;
pub mod run;
pub mod simulation;
mod summary;

pub use capture::{Capture, CaptureError};
pub use run::{Deploy, Error, Job, Outputs, run};
pub use summary::{HelperFigures, RuleHits, Summary};
