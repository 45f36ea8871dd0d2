//! The limits of a rule, for whoever asks what a packet's session means.

use std::net::IpAddr;

use sekisho_engine::policy::{Limits, Quota};
use serde::Serialize;

/// A limit of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LimitMeans {
    /// Its key in `limits`.
    pub limit: &'static str,
    /// So much at the most.
    pub max: u64,
    /// The prefix that it counts by: that of the packet's source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
}

impl LimitMeans {
    pub(super) fn text(&self) -> String {
        match &self.prefix {
            Some(prefix) => format!("{} {} ({prefix})", self.limit, self.max),
            None => format!("{} {}", self.limit, self.max),
        }
    }
}

/// Those that hold for a session of `source`.
pub(super) fn means(limits: &Limits, source: IpAddr) -> Vec<LimitMeans> {
    let bits = limits.prefix_bits[usize::from(source.is_ipv6())];
    let prefix = || Some(format!("{}/{bits}", limits.prefix_of(source)));
    let quota = |quota: Quota, keys: [&'static str; 2], prefix: Option<String>| {
        let maxima = [quota.sessions, quota.new_per_second];
        let found = keys.into_iter().zip(maxima).filter_map(|(limit, max)| Some((limit, max?)));
        found
            .map(|(limit, max)| LimitMeans { limit, max: max.into(), prefix: prefix.clone() })
            .collect::<Vec<_>>()
    };
    let rate = |limit, max: Option<u64>| max.map(|max| LimitMeans { limit, max, prefix: None });
    [
        quota(limits.source, ["sessions_per_source", "new_sessions_per_second_per_source"], None),
        quota(limits.prefix, ["sessions_per_prefix", "new_sessions_per_second_per_prefix"], prefix()),
        quota(limits.rule, ["sessions", "new_sessions_per_second"], None),
        rate("packets_per_second", limits.packets_per_second).into_iter().collect(),
        rate("bits_per_second", limits.bits_per_second).into_iter().collect(),
    ]
    .concat()
}
