//! The closed vocabularies of the files: each word, what it stands for and what it means, in one table.

pub use sekisho_engine::policy::Helper;
use sekisho_engine::policy::{
    Action, FragmentMode, HijackMode, LogLevel, MidstreamMode, OnDeploy, OnExpiry, SequenceNumbers,
    SpoofingMode, SynProxyMode, TcpWindowMode,
};
use sekisho_engine::port::Port;
use serde::Serialize;

/// A value that a file gives by a word.
pub trait Word: Copy + PartialEq + 'static {
    /// Each word and its value, in the order in which messages list them.
    const WORDS: &'static [(&'static str, Self)];

    /// The value of a word.
    fn find(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(known, _)| *known == word).map(|(_, value)| *value)
    }

    /// The word of this value.
    fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, value)| *value == self).map_or("", |(word, _)| word)
    }
}

/// The words of `T`, for messages and the schema.
pub(crate) fn names<T: Word>() -> Vec<&'static str> {
    T::WORDS.iter().map(|(word, _)| *word).collect()
}

impl Word for Action {
    const WORDS: &'static [(&'static str, Self)] =
        &[("drop", Self::Drop), ("reject", Self::Reject), ("allow", Self::Allow)];
}

impl Word for LogLevel {
    const WORDS: &'static [(&'static str, Self)] =
        &[("none", Self::None), ("drops", Self::Drops), ("sessions", Self::Sessions), ("all", Self::All)];
}

impl Word for Port {
    const WORDS: &'static [(&'static str, Self)] = &[("lan", Self::Lan), ("wan", Self::Wan)];
}

impl Word for OnExpiry {
    const WORDS: &'static [(&'static str, Self)] =
        &[("silent", Self::Silent), ("reset", Self::Reset), ("probe", Self::Probe)];
}

impl Word for OnDeploy {
    const WORDS: &'static [(&'static str, Self)] = &[("keep", Self::Keep), ("rematch", Self::Rematch)];
}

impl Word for TcpWindowMode {
    const WORDS: &'static [(&'static str, Self)] =
        &[("strict", Self::Strict), ("log", Self::Log), ("off", Self::Off)];
}

impl Word for MidstreamMode {
    const WORDS: &'static [(&'static str, Self)] = &[("drop", Self::Drop), ("pickup", Self::Pickup)];
}

impl Word for FragmentMode {
    const WORDS: &'static [(&'static str, Self)] = &[("reassemble", Self::Reassemble), ("drop", Self::Drop)];
}

impl Word for HijackMode {
    const WORDS: &'static [(&'static str, Self)] =
        &[("off", Self::Off), ("log", Self::Log), ("end", Self::End)];
}

impl Word for SpoofingMode {
    const WORDS: &'static [(&'static str, Self)] =
        &[("drop", Self::Drop), ("log", Self::Log), ("off", Self::Off)];
}

impl Word for SynProxyMode {
    const WORDS: &'static [(&'static str, Self)] =
        &[("off", Self::Off), ("auto", Self::Auto), ("always", Self::Always), ("verify", Self::Verify)];
}

impl Word for SequenceNumbers {
    const WORDS: &'static [(&'static str, Self)] =
        &[("keep", Self::Keep), ("randomise", Self::Randomise), ("randomise-both", Self::RandomiseBoth)];
}

impl Word for Helper {
    const WORDS: &'static [(&'static str, Self)] =
        &[("ftp", Self::Ftp), ("tftp", Self::Tftp), ("sip", Self::Sip)];
}

/// Protocols of 01-80-C2-00-00-0x, as `link_local` names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkLocalProtocol {
    Stp,
    Pause,
    Lacp,
    Dot1x,
    Lldp,
}

impl Word for LinkLocalProtocol {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("stp", Self::Stp),
        ("pause", Self::Pause),
        ("lacp", Self::Lacp),
        ("dot1x", Self::Dot1x),
        ("lldp", Self::Lldp),
    ];
}

/// Whether the packet memory lies in huge pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Hugepages {
    /// If there are any.
    #[default]
    Auto,
    /// Yes: the appliance does not start without them.
    Required,
    /// No: for a try.
    Off,
}

impl Word for Hugepages {
    const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("required", Self::Required), ("off", Self::Off)];
}

/// What a worker does when no frame arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Poll {
    /// It asks again at once: for an appliance whose cores are its own.
    #[default]
    Busy,
    /// It sleeps: for the lab.
    Adaptive,
}

impl Word for Poll {
    const WORDS: &'static [(&'static str, Self)] = &[("busy", Self::Busy), ("adaptive", Self::Adaptive)];
}

/// The only value of a key that can be turned off by a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Off;

impl Word for Off {
    const WORDS: &'static [(&'static str, Self)] = &[("off", Self)];
}
