//! The management interface of a running appliance: requests, answers and a client for its Unix socket.
//!
//! [`Request`] is the whole of it: each request is a documented variant with a typed payload, and the socket, the
//! command line and the tests build the same values. [`http`] says how they travel (HTTP/1.1 with JSON, below
//! `/v1/`), [`openapi`] describes that for other programs, [`Client`] speaks it.
//!
//! What it is not: it knows nothing of engine, workers or DPDK, and changes on its own clock. A new field in an
//! answer is no new version; a field that goes or changes its meaning is one.
#![forbid(unsafe_code)]

mod answer;
mod blocks;
mod client;
pub mod http;
pub mod openapi;
mod request;
mod words;

pub use answer::{
    Asymmetric, AsymmetricPrefix, AttackStatus, CauseCount, Counters, CountersOfHelper, CountersOfPort,
    CountersOfWorker, Deployed, Diagnostic, Drop, Drops, DryRun, DryRunRule, DryRunSample, Ended,
    EndedSession, EvidenceCount, Expectation, Expectations, Fault, FaultKind, FiveTuple, Link,
    LiveExplanation, LogStatus, Packets, PolicyStatus, PortStatus, ReasonCount, RuleCount, Session,
    SessionCount, SessionPage, SessionsByState, Status, TimeoutOfRule, WorkerStatus,
};
pub use blocks::{Block, BlockCount, BlockFilter, BlockedSource, Blocks};
pub use client::{Client, ClientError};
pub use request::{
    Deploy, DropFilter, DropPageQuery, ExpectationFilter, Explain, ListDrops, ListSessions, Request,
    SessionFilter, SessionPageQuery,
};
pub use words::{PortName, Prefix, Protocol, RuleName, SessionId, SessionState, WordError};

/// Where the socket is, where nothing is said.
pub const SOCKET: &str = "/run/sekisho/sekisho.sock";

/// Sessions on a page, at most.
pub const PAGE_MAX: u32 = 10_000;
/// Sessions on a page where the request does not say.
pub const PAGE_DEFAULT: u32 = 1_000;
/// Drops that the appliance remembers, and the most that a request can ask for.
pub const DROPS_MAX: u32 = 4_096;
/// Seconds that a source can be blocked: 20 days.
pub const BLOCK_SECONDS_MAX: u32 = 1_728_000;
/// Bytes of a request's body: the largest policy, with every byte escaped a little.
pub const BODY_BYTES_MAX: usize = 160 << 20;
/// Bytes of a request's path and query.
pub const PATH_BYTES_MAX: usize = 4_096;
