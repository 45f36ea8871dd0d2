//! Protections: what single packets give away before any session or rule is asked ([`spoofing`]), and what packets of a
//! session give away of it ([`hijack`]).

pub(crate) mod hijack;
pub(crate) mod spoofing;
