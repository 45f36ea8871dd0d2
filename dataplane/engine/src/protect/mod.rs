//! Protections that look at single packets before any session or rule does.

pub(crate) mod spoofing;
