//! Protections: what single packets give away before any session or rule is asked ([`spoofing`]), connections whose
//! source has to prove that it is real ([`syn_proxy`]), and what packets of a session give away of it ([`hijack`]).

pub(crate) mod hijack;
pub(crate) mod spoofing;
pub(crate) mod syn_proxy;
