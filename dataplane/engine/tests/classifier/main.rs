//! The classifier against the linear matcher, on small sets that meet in every way and on large ones.

mod against_linear;
mod large;
#[allow(dead_code, unreachable_pub, clippy::cast_possible_truncation, reason = "shared with the benchmark")]
#[path = "../../benches/classify/sets.rs"]
mod sets;
mod strategies;
