//! Results, found by what they are of.

use std::collections::{BTreeMap, BTreeSet};

use crate::results::{Results, Variant};
use crate::statistics::Summary;

/// Values by run and round.
#[derive(Clone, Debug, Default)]
pub(super) struct Rounds(BTreeMap<(usize, u32), f64>);

/// Rounds by subject.
pub(super) type Subjects = BTreeMap<String, Rounds>;

/// The subject that is ours; all others are its peers.
pub(super) const OURS: &str = "sekisho";

/// Subjects by variant.
pub(super) type Variants = BTreeMap<Variant, Subjects>;

/// All results: by workload, figure, variant, subject, round.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) workloads: BTreeMap<String, BTreeMap<String, Variants>>,
}

impl Index {
    pub(super) fn new(results: &Results) -> Self {
        let mut index = Self::default();
        for (run, sample) in &results.samples {
            let figures = index.workloads.entry(sample.workload.clone()).or_default();
            let variants = figures.entry(sample.figure.clone()).or_default();
            let subjects = variants.entry(sample.variant.clone()).or_default();
            let rounds = subjects.entry(sample.subject.clone()).or_default();
            rounds.0.insert((*run, sample.round), sample.value);
        }
        index
    }

    /// The variants of which there is this figure of this workload.
    pub(super) fn variants(&self, workload: &str, figure: &str) -> Option<&Variants> {
        self.workloads.get(workload)?.get(figure)
    }
}

impl Rounds {
    pub(super) fn summary(&self) -> Option<Summary> {
        Summary::of(self.0.values().copied())
    }

    /// `with` of each round that both have: compared is only what was measured side by side.
    pub(super) fn beside(&self, other: &Self, with: impl Fn(f64, f64) -> f64) -> Option<Summary> {
        let pairs = self.0.iter().filter_map(|(round, ours)| Some((*ours, *other.0.get(round)?)));
        Summary::of(pairs.map(|(ours, theirs)| with(ours, theirs)).filter(|value| value.is_finite()))
    }

    /// How many times the other's.
    pub(super) fn ratio(&self, other: &Self) -> Option<Summary> {
        self.beside(other, |ours, theirs| ours / theirs)
    }
}

/// All subjects of these variants: ours first.
pub(super) fn subjects(variants: &Variants) -> Vec<&str> {
    let names: BTreeSet<&str> = variants.values().flat_map(BTreeMap::keys).map(String::as_str).collect();
    let ours = names.iter().copied().filter(|name| *name == OURS);
    ours.chain(names.iter().copied().filter(|name| *name != OURS)).collect()
}
