//! The block list: sources that may open no session for a while.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::words::Prefix;

/// Which blocked sources: those that fit every field that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct BlockFilter {
    /// Their addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Prefix>,
    /// Why they are blocked: port-scan, host-sweep or operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

/// A source to block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Block {
    /// Its address.
    #[param(value_type = String)]
    pub source: IpAddr,
    /// For so many seconds from now on.
    #[param(minimum = 1, maximum = 1728000)]
    pub seconds: u32,
    /// Only if it is blocked already: it then is so for these seconds, be that longer or shorter than before.
    #[serde(default)]
    pub extend: bool,
}

/// The block list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Blocks {
    /// The blocked sources that fit, by address.
    pub blocks: Vec<BlockedSource>,
}

/// A source that may open no session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BlockedSource {
    /// Its address.
    #[schema(value_type = String)]
    pub source: IpAddr,
    /// Why: `port-scan`, `host-sweep` or `operator`.
    pub cause: String,
    /// Seconds since it was blocked.
    pub age_seconds: f64,
    /// Seconds that are left.
    pub expires_in_seconds: f64,
    /// Packets that were dropped for it.
    pub packets: u64,
    /// Whether it is in force: a scanner's is not where the policy in force looks for no scans or never blocks the source.
    pub in_force: bool,
}

/// A number of blocked sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlockCount {
    /// How many.
    pub blocks: u64,
}
