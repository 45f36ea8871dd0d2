//! Protections: source addresses that cannot be ([`spoofing`]), connections whose source has to prove that it is real
//! ([`syn_proxy`]).

pub(crate) mod spoofing;
pub(crate) mod syn_proxy;
