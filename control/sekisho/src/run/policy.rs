//! The policy in force, and the way of another one from text to all workers.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use sekisho_engine::counters::RuleHits;
use sekisho_engine::policy::{Policy, RuleNames};
use sekisho_policy::{Diagnostics, Loaded, ResolvedPolicy};

/// Where a policy comes from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// A file on this machine.
    File(PathBuf),
    /// Text that somebody sent.
    Text {
        /// Stands for the file in messages.
        name: String,
        /// The text.
        text: String,
        /// Where feed files are looked for.
        directory: PathBuf,
    },
}

/// A policy that is ready for the workers.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) policy: Arc<Policy>,
    /// What else its file says.
    pub(crate) resolved: Arc<ResolvedPolicy>,
    pub(crate) name: String,
    pub(crate) sha256: String,
    pub(crate) warnings: Diagnostics,
}

/// Keys of rule names; only a deploy needs them, and there is one at a time.
pub(crate) type Keys = Arc<Mutex<RuleNames>>;

/// Reads, checks and compiles a policy, which is to follow on `before`. Takes milliseconds for most, seconds for the largest.
pub(crate) fn prepare(
    source: &Source,
    generation: u32,
    keys: &Keys,
    before: Option<&Policy>,
) -> Result<Ready, Diagnostics> {
    let loaded = load(source)?;
    let mut keys = keys.lock().unwrap_or_else(PoisonError::into_inner);
    if !keys.has_room_for(loaded.ruleset.rules.len()) {
        let message = format!(
            "with its rules there would be more than {} rule names since the start",
            RuleNames::LEN_MAX
        );
        let remedy =
            "keep the names of rules from deploy to deploy; a restart forgets those that are no more";
        return Err(Diagnostics::of_file(&loaded.policy.file, message, remedy));
    }
    let Loaded { policy: resolved, ruleset, sha256, warnings } = loaded;
    let policy = Policy::compile(generation, ruleset, &mut keys);
    let policy = Arc::new(match before {
        Some(before) => policy.after(before),
        None => policy,
    });
    Ok(Ready { policy, name: resolved.file.clone(), resolved: Arc::new(resolved), sha256, warnings })
}

/// The same for a policy that is not to be deployed: `keys` learn no name from it, though its rules have their keys.
/// Returns also how many names there were.
pub(crate) fn prepare_dry(source: &Source, keys: &Keys) -> Result<(Ready, usize), Diagnostics> {
    let scratch = keys.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let names = scratch.len();
    let ready = prepare(source, 0, &Arc::new(Mutex::new(scratch)), None)?;
    Ok((ready, names))
}

fn load(source: &Source) -> Result<Loaded, Diagnostics> {
    match source {
        Source::File(path) => sekisho_policy::load(path),
        Source::Text { name, text, directory } => sekisho_policy::load_str(name, text, Path::new(directory)),
    }
}

/// What is counted of a rule, by all workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RuleSums {
    /// Packets that it decided.
    pub(crate) hits: u64,
    /// Sessions of it that were cut because they were idle.
    pub(crate) cut_idle: u64,
    /// Packets of sessions that had been cut before.
    pub(crate) spoke_again: u64,
    /// The timeouts under which those had been cut, a bit each in the order of `TimeoutKey::ALL`.
    pub(crate) too_short: u64,
}

impl RuleSums {
    fn add(&mut self, more: Self) {
        self.hits += more.hits;
        self.cut_idle += more.cut_idle;
        self.spoke_again += more.spoke_again;
        self.too_short |= more.too_short;
    }
}

/// The policy in force.
#[derive(Debug)]
pub(crate) struct InForce {
    pub(crate) policy: Arc<Policy>,
    /// What else its file says.
    pub(crate) resolved: Arc<ResolvedPolicy>,
    pub(crate) name: String,
    pub(crate) sha256: String,
    pub(crate) deployed: Timestamp,
    /// What is counted of its rules, by worker.
    counts: Vec<Arc<RuleHits>>,
    /// What was counted of all rules under the policies before, by name.
    before: HashMap<Box<str>, RuleSums>,
}

impl InForce {
    /// The first policy of the process.
    pub(crate) fn first(ready: &Ready, counts: Vec<Arc<RuleHits>>, deployed: Timestamp) -> Self {
        Self {
            policy: Arc::clone(&ready.policy),
            resolved: Arc::clone(&ready.resolved),
            name: ready.name.clone(),
            sha256: ready.sha256.clone(),
            deployed,
            counts,
            before: HashMap::new(),
        }
    }

    /// Another policy takes its place; the counts of the rules stay with their names.
    pub(crate) fn replace(&mut self, ready: &Ready, counts: Vec<Arc<RuleHits>>, deployed: Timestamp) {
        for (rule, more) in self.policy.ruleset.rules.iter().zip(self.sums()) {
            if more != RuleSums::default() {
                self.before.entry(rule.name.clone()).or_default().add(more);
            }
        }
        let before = std::mem::take(&mut self.before);
        *self = Self { before, ..Self::first(ready, counts, deployed) };
    }

    /// The rules in order, with what was counted of each since the start.
    pub(crate) fn rules(&self) -> impl Iterator<Item = (&str, RuleSums)> {
        self.policy.ruleset.rules.iter().zip(self.sums()).map(|(rule, mut sums)| {
            sums.add(self.before.get(&rule.name).copied().unwrap_or_default());
            (rule.name.as_ref(), sums)
        })
    }

    /// What was counted of each rule under this policy.
    fn sums(&self) -> Vec<RuleSums> {
        let mut sums = vec![RuleSums::default(); self.policy.ruleset.rules.len()];
        for worker in &self.counts {
            for (sum, counts) in sums.iter_mut().zip(worker.all()) {
                let (hits, cut_idle) = (counts.hits.get(), counts.cut_idle.get());
                let (spoke_again, too_short) = (counts.spoke_again.get(), counts.too_short.get());
                sum.add(RuleSums { hits, cut_idle, spoke_again, too_short });
            }
        }
        sums
    }
}
