//! The classifier against the linear matcher, on small sets that meet in every way and on large ones.

mod against_linear;
mod large;
mod strategies;

use sekisho_bench::rules::sets;
