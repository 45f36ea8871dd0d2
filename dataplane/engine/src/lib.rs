//! The inspection engine: frames and a clock value in, verdicts and frames out.
#![forbid(unsafe_code)]

pub mod policy;
pub mod port;
pub mod time;
