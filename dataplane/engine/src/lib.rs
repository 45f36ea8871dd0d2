//! The inspection engine: frames and a clock value in, verdicts and frames out.

pub mod time;
