//! What the engines of an appliance share.

use std::sync::Arc;

use crate::flow::HashSecret;
use crate::helper::Expectations;
use crate::protect::Guards;
use crate::protect::syn_proxy::SynProxy;

/// What all engines of an appliance share: tables of fixed size, made of atomics. A clone is the same tables.
#[derive(Clone, Debug)]
pub struct Shared {
    /// What their helpers expect.
    pub expectations: Arc<Expectations>,
    /// What their protections remember: limits and blocks hold for all of them together.
    pub guards: Arc<Guards>,
    /// What is known of sources that have to prove that they are real, and of the servers behind.
    pub syn_proxy: Arc<SynProxy>,
}

impl Shared {
    /// For engines that hold so many sessions together, and whose tables are keyed by `secret`.
    pub fn new(sessions_max: u32, secret: HashSecret) -> Self {
        Self {
            expectations: Arc::new(Expectations::new(sessions_max, secret)),
            guards: Arc::new(Guards::new(sessions_max, secret)),
            syn_proxy: Arc::new(SynProxy::new(sessions_max, secret)),
        }
    }
}
