//! Rules that decide nothing: shadowed (an earlier rule matches everything they match), redundant (without them the
//! same would happen), unreachable (earlier rules together, or the zones, leave nothing for them).
//!
//! What is reported is certain: a reported rule can be removed, and nothing changes. It is not complete: where earlier
//! rules overlap so badly that saying what they leave would take too long, nothing is said.

mod effect;
mod feasible;
mod hull;
mod index;
mod space;

#[cfg(test)]
mod tests;

use sekisho_engine::policy::Ruleset;

use crate::diagnostic::{Report, quoted};
use crate::model::ResolvedPolicy;
use effect::Effect;
use hull::{Hull, Quick};
use index::Index;
use space::{Cube, Point, Remainder, Space};

/// Pairs of rules that are compared, some 20 ns each: more than a hundred thousand rules of the usual kind need.
const PAIRS_MAX: usize = 400_000_000;

/// Warns of every rule that decides nothing.
pub(crate) fn warn(policy: &ResolvedPolicy, ruleset: &Ruleset, report: &mut Report) {
    let mut analysis = Analysis::new(policy, ruleset);
    analysis.find_dead();
    analysis.find_redundant();
    for (index, finding) in analysis.findings.iter().enumerate() {
        if let Some(finding) = finding {
            let (message, remedy) = analysis.say(index, finding);
            report.warning(policy.rules[index].place, message, remedy);
        }
    }
    if let Some(info) = analysis.end.and_then(|end| policy.rules.get(end)) {
        let message =
            "the rules from here on were not looked at for shadowed, redundant and unreachable ones";
        report.warning(
            info.place,
            message,
            "the policy is too long for that: put addresses into sets, to need fewer",
        );
    }
}

/// Why a rule decides nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Finding {
    /// Nothing fits all its fields at once.
    Impossible(String),
    /// This earlier rule matches everything it matches, and does something else.
    Shadowed(usize),
    /// This earlier rule matches everything it matches, and does the same.
    RedundantBefore(usize),
    /// These earlier rules together match everything it matches.
    Unreachable(Vec<usize>),
    /// These later rules, or the default, would do the same.
    RedundantAfter(Vec<usize>),
}

/// A packet that a rule decides: proof that it is reachable.
#[derive(Clone, Copy, Debug)]
struct Witness {
    is_v4: bool,
    point: Point,
}

#[derive(Debug)]
struct Analysis<'a> {
    policy: &'a ResolvedPolicy,
    ruleset: &'a Ruleset,
    cubes: Vec<Vec<Cube>>,
    hulls: Vec<Hull>,
    index: Index,
    effects: Vec<Effect>,
    witnesses: Vec<Option<Witness>>,
    findings: Vec<Option<Finding>>,
    /// The first rule that was not looked at.
    end: Option<usize>,
}

impl<'a> Analysis<'a> {
    fn new(policy: &'a ResolvedPolicy, ruleset: &'a Ruleset) -> Self {
        let mut space = Space::new(ruleset);
        let cubes: Vec<_> = ruleset.rules.iter().map(|rule| space.cubes(rule)).collect();
        let count = cubes.len();
        Self {
            policy,
            ruleset,
            hulls: cubes.iter().map(|cubes| Hull::new(cubes)).collect(),
            index: Index::new(&cubes),
            cubes,
            effects: (0..count).map(|index| Effect::of_rule(ruleset, index)).collect(),
            witnesses: vec![None; count],
            findings: vec![None; count],
            end: None,
        }
    }

    /// Rules that no packet reaches, or none that fits them.
    fn find_dead(&mut self) {
        let feasibility = feasible::Feasibility::new(self.ruleset);
        let mut pairs = 0;
        for index in 0..self.cubes.len() {
            pairs += self.index.size(index);
            if pairs > PAIRS_MAX {
                self.end = Some(index);
                return;
            }
            self.findings[index] = match feasibility.refute(&self.ruleset.rules[index], &self.cubes[index]) {
                Some(why) => Some(Finding::Impossible(why)),
                None => self.covered_before(index),
            };
        }
    }

    /// Whether earlier rules match everything that rule `index` matches; leaves a witness if not.
    fn covered_before(&mut self, index: usize) -> Option<Finding> {
        let mut witnesses = corners(&self.cubes[index], index);
        let mut meeting = Vec::new();
        for earlier in self.index.before(index) {
            if !self.meets(earlier, index) {
                continue;
            }
            if self.covers(earlier, index) {
                return Some(if self.effects[earlier] == self.effects[index] {
                    Finding::RedundantBefore(earlier)
                } else {
                    Finding::Shadowed(earlier)
                });
            }
            witnesses.retain(|witness| !self.holds(earlier, witness));
            meeting.push(earlier);
        }
        self.witnesses[index] = witnesses.first().copied();
        if self.witnesses[index].is_some() {
            return None;
        }
        let mut remainder = Remainder::new(&self.cubes[index]);
        let mut takers = Vec::new();
        for earlier in meeting {
            if remainder.pieces.iter().any(|piece| self.cubes[earlier].iter().any(|cube| piece.meets(cube))) {
                takers.push(earlier);
                remainder.take_away(&self.cubes[earlier])?;
            }
            if remainder.pieces.is_empty() {
                return Some(Finding::Unreachable(takers));
            }
        }
        self.witnesses[index] = remainder.pieces.first().map(first_point);
        None
    }

    /// Rules without which later ones or the default would do the same. Only what they match as a whole counts, not
    /// what earlier rules leave of it, and no dead rule counts as support: so all of them can go at once.
    fn find_redundant(&mut self) {
        let default = Effect::of_default(self.ruleset);
        let end = self.end.unwrap_or(self.cubes.len());
        let mut pairs = 0;
        for index in 0..end {
            let Some(witness) = self.witnesses[index] else { continue };
            pairs += self.index.size(index);
            if pairs > PAIRS_MAX {
                return;
            }
            let next = self.index.after(index).find(|later| self.holds(*later, &witness));
            let next_effect = next.map_or(&default, |later| &self.effects[later]);
            if *next_effect == self.effects[index] {
                self.findings[index] = self.same_after(index, &default).map(Finding::RedundantAfter);
            }
        }
    }

    /// The later rules that would do the same for everything that rule `index` matches; none if only the default.
    fn same_after(&self, index: usize, default: &Effect) -> Option<Vec<usize>> {
        let mut remainder = Remainder::new(&self.cubes[index]);
        let mut takers = Vec::new();
        for later in self.index.after(index) {
            if !self.meets(later, index)
                || !remainder
                    .pieces
                    .iter()
                    .any(|piece| self.cubes[later].iter().any(|cube| piece.meets(cube)))
            {
                continue;
            }
            let is_live = self.witnesses[later].is_some();
            if self.effects[later] != self.effects[index] || !is_live {
                return None;
            }
            takers.push(later);
            remainder.take_away(&self.cubes[later])?;
            if remainder.pieces.is_empty() {
                return Some(takers);
            }
        }
        (*default == self.effects[index]).then_some(takers)
    }

    fn meets(&self, a: usize, b: usize) -> bool {
        match self.hulls[a].meets(&self.hulls[b]) {
            Quick::No => false,
            Quick::Yes => true,
            Quick::Maybe => self.cubes[a].iter().any(|x| self.cubes[b].iter().any(|y| x.meets(y))),
        }
    }

    fn covers(&self, outer: usize, inner: usize) -> bool {
        match self.hulls[outer].covers(&self.hulls[inner]) {
            Quick::No => false,
            Quick::Yes => true,
            Quick::Maybe => self.cubes[inner].iter().all(|x| self.cubes[outer].iter().any(|y| y.covers(x))),
        }
    }

    fn holds(&self, rule: usize, witness: &Witness) -> bool {
        match self.hulls[rule].holds(witness.is_v4, &witness.point) {
            Quick::No => false,
            Quick::Yes => true,
            Quick::Maybe => {
                self.cubes[rule].iter().any(|cube| cube.is_v4 == witness.is_v4 && cube.holds(&witness.point))
            }
        }
    }

    /// The finding in words, and the remedy.
    fn say(&self, index: usize, finding: &Finding) -> (String, String) {
        let name = quoted(&self.ruleset.rules[index].name);
        match finding {
            Finding::Impossible(why) => {
                (format!("the rule {name} is unreachable: {why}"), "correct it, or remove it".to_owned())
            }
            Finding::Shadowed(by) => (
                format!(
                    "the rule {name} is shadowed: {} matches everything that it does, first",
                    self.name(*by)
                ),
                format!("move it above {}, or remove it", quoted(&self.ruleset.rules[*by].name)),
            ),
            Finding::RedundantBefore(by) => (
                format!(
                    "the rule {name} is redundant: {} matches everything that it does, first, and does the same",
                    self.name(*by)
                ),
                "remove it".to_owned(),
            ),
            Finding::Unreachable(by) => (
                format!(
                    "the rule {name} is unreachable: {} together match everything that it does, first",
                    self.names(by)
                ),
                "move it above them, or remove it".to_owned(),
            ),
            Finding::RedundantAfter(by) => {
                let whoever = match by[..] {
                    [] => "the default does the same".to_owned(),
                    _ => format!("{} would do the same", self.names(by)),
                };
                (format!("the rule {name} is redundant: without it {whoever}"), "remove it".to_owned())
            }
        }
    }

    fn name(&self, index: usize) -> String {
        let line = self.policy.rules[index].place.line;
        format!("the rule {} (line {line})", quoted(&self.ruleset.rules[index].name))
    }

    /// The first few of several rules.
    fn names(&self, indices: &[usize]) -> String {
        const SHOWN_MAX: usize = 4;
        let shown: Vec<_> = indices.iter().take(SHOWN_MAX).map(|index| self.name(*index)).collect();
        match indices.len() {
            0..=1 => shown.concat(),
            2..=SHOWN_MAX => {
                format!("{} and {}", shown[..shown.len() - 1].join(", "), shown[shown.len() - 1])
            }
            count => format!("{} and {} more rules", shown.join(", "), count - SHOWN_MAX),
        }
    }
}

/// A few packets of a rule: corners of its boxes, and points inside. If one of them reaches the rule, the rule is
/// reachable, and nothing more needs to be known.
fn corners(cubes: &[Cube], seed: usize) -> Vec<Witness> {
    let mut found = Vec::with_capacity(cubes.len() * 6);
    let mut state = (seed as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for cube in cubes {
        // Bit d of a pattern: the high end of dimension d.
        for pattern in [0b00000u8, 0b11111, 0b00100, 0b01000] {
            let point = std::array::from_fn(|dimension| {
                let side = &cube.sides[dimension];
                let (first, last) = (&side[0], &side[side.len() - 1]);
                if pattern >> dimension & 1 == 0 { *first.start() } else { *last.end() }
            });
            found.push(Witness { is_v4: cube.is_v4, point });
        }
        for _ in 0..2 {
            let point = std::array::from_fn(|dimension| {
                let side = &cube.sides[dimension];
                let range = &side[usize::try_from(next(&mut state)).unwrap_or(0) % side.len()];
                let random = u128::from(next(&mut state)) << 64 | u128::from(next(&mut state));
                match (range.end() - range.start()).checked_add(1) {
                    Some(span) => range.start() + random % span,
                    None => random,
                }
            });
            found.push(Witness { is_v4: cube.is_v4, point });
        }
    }
    found
}

fn first_point(cube: &Cube) -> Witness {
    Witness { is_v4: cube.is_v4, point: std::array::from_fn(|dimension| *cube.sides[dimension][0].start()) }
}

/// Xorshift: the same points at each run.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}
