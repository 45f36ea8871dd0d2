//! What the language has and nothing enforces yet. `check` warns of it; whatever would carry traffic refuses it: a
//! firewall never pretends. When something is built, its line goes.

use serde::Serialize;

use crate::diagnostic::{Place, Report};
use crate::yaml::Node;

/// Everything that is not built yet: where it stands (`*` is each value of a mapping, or each item of a list or the
/// single one), and the one word of it that is built.
const NOT_YET: &[(&[&str], &str)] = &[];

/// Something that a policy asks for and nothing enforces yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unenforced {
    /// Where the policy asks for it.
    pub place: Place,
    /// What it is: `protections.syn_flood`, `rules.syn_proxy: auto`.
    pub feature: String,
}

/// Everything that `root` asks for and nothing enforces, in the order of the table.
pub(crate) fn find(root: &Node) -> Vec<Unenforced> {
    let mut found = Vec::new();
    for (path, built) in NOT_YET {
        let mut name: Vec<&str> = path.to_vec();
        name.retain(|part| *part != "*");
        walk(root, path, built, &name.join("."), &mut found);
    }
    found.sort_by_key(|one: &Unenforced| one.place);
    found.dedup();
    found
}

fn walk(node: &Node, path: &[&str], built: &str, name: &str, found: &mut Vec<Unenforced>) {
    match path {
        [] => {
            let word = node.text();
            if word == Some(built) {
                return;
            }
            let feature = word.map_or_else(|| name.to_owned(), |word| format!("{name}: {word}"));
            found.push(Unenforced { place: node.place, feature });
        }
        ["*", rest @ ..] if node.entries().is_empty() || is_single(node, rest) => {
            node.items().iter().for_each(|item| walk(item, rest, built, name, found));
        }
        ["*", rest @ ..] => {
            node.entries().iter().for_each(|entry| walk(&entry.node, rest, built, name, found));
        }
        [key, rest @ ..] => {
            if let Some(value) = node.get(key) {
                walk(value, rest, built, name, found);
            }
        }
    }
}

/// A single value where a list could stand.
fn is_single(node: &Node, rest: &[&str]) -> bool {
    rest.first().is_some_and(|key| node.get(key).is_some())
}

/// The warnings of `check`.
pub(crate) fn warn(unenforced: &[Unenforced], report: &mut Report) {
    for one in unenforced {
        let remedy = "run, deploy and replay refuse this policy; leave it out until it is built";
        report.warning(one.place, format!("{} is not enforced yet", one.feature), remedy);
    }
}

/// The errors of whatever would carry traffic.
pub(crate) fn refuse(unenforced: &[Unenforced], report: &mut Report) {
    for one in unenforced {
        report.error(
            one.place,
            format!("{} is not enforced yet", one.feature),
            "leave it out until it is built",
        );
    }
}
