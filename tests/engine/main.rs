//! The engine beside the replay: tables of few places, and anything thrown at it.
#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests, where clippy does not see a test")]

mod dialogues;
mod fragments;
mod full;
mod helpers;
mod invariants;
mod protections;
mod simulation;
