//! The small languages inside the values: durations, addresses, services, EtherTypes, names. Each is one function
//! from text to value or [`Fault`], and one pattern for the schema.

pub(crate) mod address;
pub(crate) mod duration;
pub(crate) mod ethertype;
pub(crate) mod icmp;
pub(crate) mod name;
pub(crate) mod protocol;
pub(crate) mod service;
pub(crate) mod vlan;
