//! A policy file from the disk to the engine.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sekisho_engine::policy::{Policy, RuleNames, Ruleset};

use crate::diagnostic::{Diagnostics, Place, Report};
use crate::feed::plain;
use crate::keys::policy::POLICY;
use crate::model::ResolvedPolicy;
use crate::resolve::{self, Resolved};
use crate::shadow;
use crate::shape::Shape;
use crate::yaml;

/// A policy of a hundred thousand rules has some 20 MiB.
pub const POLICY_BYTES_MAX: u64 = 128 << 20;

/// A policy without faults.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the engine does not need: where things stand, and what later issues will enforce.
    pub policy: ResolvedPolicy,
    /// What the engine runs.
    pub ruleset: Ruleset,
    /// What was found odd while reading; [`Loaded::all_warnings`] has more.
    pub warnings: Diagnostics,
    /// SHA-256 of the policy file followed by its feed files in the order in which they are first read (addresses,
    /// zones, rules), in hexadecimal: `cat policy.yaml feeds/a.txt | sha256sum`.
    pub sha256: String,
}

/// Reads and checks the policy file at `path`; feed files are looked for beside it.
pub fn load(path: &Path) -> Result<Loaded, Diagnostics> {
    let name = path.display().to_string();
    let text = read_text(path, POLICY_BYTES_MAX)?;
    load_str(&name, &text, path.parent().unwrap_or(Path::new("")))
}

/// Checks a policy given as text. `name` stands in messages; feed files are looked for in `directory`.
pub fn load_str(name: &str, text: &str, directory: &Path) -> Result<Loaded, Diagnostics> {
    let mut report = Report::new(name);
    let Some(root) = yaml::parse(text, &mut report) else {
        return Err(report.finish());
    };
    Shape::Object(&POLICY).check(&root, "the policy", &mut report);
    let Resolved { policy, ruleset, sha256 } = resolve::resolve(&root, text, directory, &mut report);
    let (errors, warnings) = report.into_parts();
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(Loaded { policy, ruleset, warnings, sha256 })
}

impl Loaded {
    /// The policy as the workers run it. `names` keeps the rules' keys from one deploy to the next.
    pub fn compile(&self, generation: u32, names: &mut RuleNames) -> Policy {
        Policy::compile(generation, self.ruleset.clone(), names)
    }

    /// Every warning there is, those that take an analysis of all rules included: what `check` prints.
    pub fn all_warnings(&self) -> Diagnostics {
        let mut report = Report::new(&self.policy.file);
        if self.ruleset.rules.is_empty() {
            let remedy = "every first packet gets defaults.action";
            report.warning(Place::START, "the policy has no rules", remedy);
        }
        shadow::warn(&self.policy, &self.ruleset, &mut report);
        let file = &self.policy.file;
        report.finish().join(self.warnings.clone(), file).join(resolve::unused(&self.policy), file)
    }
}

/// The text of a file, within `bytes_max`.
pub(crate) fn read_text(path: &Path, bytes_max: u64) -> Result<String, Diagnostics> {
    let name = path.display().to_string();
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(bytes_max + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        let message = format!("the file cannot be read: {}", plain(&error));
        return Err(Diagnostics::of_file(&name, message, "name a file that is there and may be read"));
    }
    if bytes.len() as u64 > bytes_max {
        let message = format!("the file is larger than {} MiB", bytes_max >> 20);
        return Err(Diagnostics::of_file(&name, message, "put large sets of addresses into feed files"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(1, |last| last.chars().count() + 1);
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let mut report = Report::new(&name);
        let place = Place { line: number(line), column: number(column) };
        report.error(place, "this is not UTF-8", "save the file as UTF-8");
        report.finish()
    })
}
