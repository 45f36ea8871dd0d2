//! What a replay comes to, in figures.

use serde::Serialize;
use std::collections::BTreeMap;

/// Hits of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleHits {
    /// Its name.
    pub rule: Box<str>,
    /// Packets that it decided.
    pub hits: u64,
}

/// What a helper did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HelperFigures {
    /// Control sessions that it began to follow.
    pub followed: u64,
    /// Control sessions that it follows at the end.
    pub following: u64,
    /// Control sessions that it did not follow, or not to their end, by cause.
    pub not_followed: BTreeMap<&'static str, u64>,
    /// Expectations opened.
    pub opened: u64,
    /// Expectations whose connection came.
    pub used: u64,
    /// Expectations that ended with their control session, or were replaced by another's.
    pub withdrawn: u64,
    /// Expectations whose connection did not come in time.
    pub expired: u64,
    /// Expectations that are open at the end.
    pub open: u64,
    /// Announcements that opened nothing, by cause.
    pub refused: BTreeMap<&'static str, u64>,
}

/// Figures of a replay that ran to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Frames read.
    pub frames: u64,
    /// Frames that left by the other port.
    pub forwarded: u64,
    /// Frames that did not.
    pub dropped: u64,
    /// Frames of the appliance's own.
    pub sent: u64,
    /// Sources that were put on the block list, each as often as it was.
    pub blocked: u64,
    /// Frames that only `log` in the policy kept from being dropped.
    pub suspicious: u64,
    /// What gave away that only one direction of TCP is in the captures (asymmetric routing), by its kind; kinds that
    /// were never seen are left out.
    pub one_sided: BTreeMap<&'static str, u64>,
    /// What gave away that sessions were hijacked, by its kind.
    pub hijack: BTreeMap<&'static str, u64>,
    /// From the first frame to the last.
    pub duration_ns: u64,
    /// Sessions that began.
    pub sessions_begun: u64,
    /// Sessions that live at the end.
    pub sessions_live: u64,
    /// How often each reason was given, for frames, ends of sessions and frames of the appliance's own; those that
    /// were never given are left out.
    pub reasons: BTreeMap<&'static str, u64>,
    /// Hits of each rule of the policies deployed, in the order of their names.
    pub rules: Vec<RuleHits>,
    /// What each helper did; one that had nothing to do is left out.
    pub helpers: BTreeMap<&'static str, HelperFigures>,
    /// Policies that were deployed on the way.
    pub deploys: usize,
    /// Frames whose time stamps lay before that of a frame before them, by port of arrival, LAN first.
    pub went_back: [u64; 2],
    /// The session table of an engine was full: with another number of engines the result may differ.
    pub table_was_full: bool,
}
