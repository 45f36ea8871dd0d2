//! Protections: what single packets give away before any session or rule is asked ([`spoofing`]), connections whose
//! source has to prove that it is real ([`syn_proxy`]), what packets of a session give away of it ([`hijack`]), limits of
//! rules ([`limits`]), scans ([`port_scan`]) and the sources that are kept out for them ([`blocks`]).

pub mod blocks;
mod gates;
pub(crate) mod hijack;
pub(crate) mod limits;
pub(crate) mod port_scan;
pub(crate) mod spoofing;
pub(crate) mod syn_proxy;

use blocks::Blocks;
use limits::LimitTable;

use crate::flow::HashSecret;

/// What the protections of all engines of an appliance share.
#[derive(Debug)]
pub struct Guards {
    pub(crate) secret: HashSecret,
    pub(crate) limits: LimitTable,
    /// Sources that may open no session.
    pub blocks: Blocks,
}

impl Guards {
    /// For engines that hold so many sessions together.
    pub fn new(sessions_max: u32, secret: HashSecret) -> Self {
        Self { secret, limits: LimitTable::new(sessions_max), blocks: Blocks::new(secret) }
    }

    /// Sessions that have a part in what is limited, each as often as it has one; entries that are taken; entries that
    /// there are. This looks at the whole table: it is for metrics.
    pub fn limit_totals(&self) -> (u64, u64, u64) {
        let (parts, entries) = self.limits.totals();
        (parts, entries, self.limits.capacity() as u64)
    }
}
