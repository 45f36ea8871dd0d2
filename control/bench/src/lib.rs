//! Measures the inspection, and reports what was measured.
//!
//! The workloads here need no device, no peer and no root: the real engine is driven by the real worker loop, over
//! queues in memory that make frames and take them back. Everything is measured in rounds, beside the same loop without
//! inspection, because a machine is never twice the same: it is ratios within a round that count.
//!
//! [`results`] is what crosses between whoever measures (this crate, `scripts/bench`) and [`report`], which makes pages
//! and plots of it. Nothing here prints.
#![forbid(unsafe_code)]

pub mod established;
pub mod expiry;
pub mod hostile;
mod io;
pub mod machine;
pub mod memory;
pub mod plan;
pub mod report;
pub mod results;
mod rig;
pub mod rules;
pub mod setup;
pub mod statistics;
pub mod traffic;

pub use rig::Error;
