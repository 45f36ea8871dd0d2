//! From rules to boxes, and to the tree in which each is kept.

use super::checks::Checks;
use super::classes::{Run, Runs};
use super::fields::{FIELDS, Spec};
use super::forest::{CHECK, Entry, REST};
use super::zones::Allowed;
use crate::policy::ruleset::Ruleset;

/// Boxes that a rule may have in a list. A rule whose sets need more has runs of them joined, and gets a check.
const BOXES_MAX: usize = 6;
/// A field with the sets that rules ask for.
#[derive(Debug)]
pub(super) struct Field<'a> {
    /// How many classes there are.
    pub(super) classes: u32,
    runs: &'a Runs,
    weights: Vec<Weight>,
}

/// What a set weighs.
#[derive(Clone, Copy, Debug)]
struct Weight {
    /// How many classes it has.
    width: u32,
    /// How many rules are met, on average, in one of its classes, if all were kept under this field.
    load: u32,
}

impl<'a> Field<'a> {
    /// The field with these classes and sets, as `users` use them.
    pub(super) fn of(classes: u32, runs: &'a Runs, users: impl Iterator<Item = Option<u32>>) -> Self {
        let mut rules = vec![0_i64; runs.sets() as usize];
        users.flatten().for_each(|set| rules[set as usize] += 1);
        let mut change = vec![0; classes as usize + 1];
        for (set, rules) in (0..).zip(&rules) {
            for run in runs.of_set(set) {
                change[run.first as usize] += rules;
                change[run.last as usize + 1] -= rules;
            }
        }
        // Rules met in each class, and then in all classes before it.
        let mut met = 0;
        let mut total = 0_u64;
        let mut before = Vec::with_capacity(change.len());
        for change in change {
            before.push(total);
            met += change;
            total += met.unsigned_abs();
        }
        let weights = (0..runs.sets()).map(|set| {
            let runs = runs.of_set(set);
            let width: u32 = runs.iter().map(|run| run.last - run.first + 1).sum();
            let met = runs.iter().map(|run| before[run.last as usize + 1] - before[run.first as usize]);
            let load = met.sum::<u64>() / u64::from(width.max(1));
            Weight { width, load: u32::try_from(load).unwrap_or(u32::MAX) }
        });
        let weights = weights.collect();
        Self { classes, runs, weights }
    }

    /// All classes.
    pub(super) fn everything(&self) -> Run {
        Run { first: 0, last: self.classes - 1 }
    }

    fn width(&self, set: Option<u32>) -> usize {
        set.map_or(self.classes, |set| self.weights[set as usize].width) as usize
    }

    fn load(&self, set: Option<u32>) -> u32 {
        set.map_or(u32::MAX, |set| self.weights[set as usize].load)
    }

    fn run_count(&self, set: Option<u32>) -> usize {
        set.map_or(1, |set| self.runs.of_set(set).len())
    }

    /// Puts the runs of `set` in `into`, joined across the smallest gaps until there are at most `runs_max`. Returns
    /// whether they still are exactly the set.
    fn runs_within(&self, set: Option<u32>, runs_max: usize, into: &mut Vec<Run>) -> bool {
        into.clear();
        let Some(set) = set else {
            into.push(self.everything());
            return true;
        };
        let runs = self.runs.of_set(set);
        if runs.len() <= runs_max {
            into.extend_from_slice(runs);
            return true;
        }
        // The gaps that stay are the widest.
        let mut gaps: Vec<(u32, usize)> =
            runs.windows(2).zip(1..).map(|(pair, at)| (pair[1].first - pair[0].last, at)).collect();
        gaps.sort_unstable_by(|a, b| b.cmp(a));
        gaps.truncate(runs_max - 1);
        let mut starts: Vec<usize> = gaps.into_iter().map(|(_, at)| at).collect();
        starts.push(0);
        starts.sort_unstable();
        let ends = starts[1..].iter().copied().chain([runs.len()]);
        into.extend(
            starts
                .iter()
                .zip(ends)
                .map(|(start, end)| Run { first: runs[*start].first, last: runs[end - 1].last }),
        );
        false
    }
}

/// The boxes of each tree in the order of their rules: those of the three fields, and the rest.
pub(super) type Boxes = [Vec<Entry>; FIELDS + 1];

/// Makes the boxes of all rules. The trees of single fields may have up to `budget` entries; the rules that would need
/// most go without, and to the rest.
pub(super) fn compile(
    ruleset: &Ruleset,
    specs: &[Spec],
    allowed: &[Allowed],
    fields: &[Field<'_>; FIELDS],
    budget: usize,
) -> (Boxes, Checks) {
    let trees = assign(specs, fields, budget);
    let mut checks = Checks::default();
    let mut boxes = Boxes::default();
    let mut runs: [Vec<Run>; FIELDS] = Default::default();
    for (spec, tree) in specs.iter().zip(trees) {
        let allowed = allowed[spec.rule as usize];
        let limits = limits(spec, fields, tree);
        let mut exact = allowed.exact;
        for (field, runs) in runs.iter_mut().enumerate() {
            exact &= fields[field].runs_within(spec.sets[field], limits[field], runs);
        }
        let identity = if exact {
            spec.rule
        } else {
            let rule = &ruleset.rules[spec.rule as usize];
            CHECK | checks.push(spec.rule, spec.sets, rule.from.as_deref(), rule.to.as_deref())
        };
        for source in &runs[0] {
            for destination in &runs[1] {
                for service in &runs[2] {
                    let ranges = [*source, *destination, *service];
                    boxes[tree].push(Entry { ranges, forbidden: allowed.forbidden, identity });
                }
            }
        }
    }
    (boxes, checks)
}

/// How many runs of each field a rule may keep in `tree`: in the field by which the tree is entered all, in the others
/// so many that their boxes are at most [`BOXES_MAX`].
fn limits(spec: &Spec, fields: &[Field<'_>; FIELDS], tree: usize) -> [usize; FIELDS] {
    let mut limits: [usize; FIELDS] = core::array::from_fn(|field| fields[field].run_count(spec.sets[field]));
    let compared = |field: &usize| *field != tree;
    while (0..FIELDS).filter(compared).map(|field| limits[field]).fold(1, usize::saturating_mul) > BOXES_MAX {
        if let Some(most) = (0..FIELDS).filter(compared).max_by_key(|field| limits[*field]) {
            limits[most] = limits[most].min(2 * BOXES_MAX).div_ceil(2);
        }
    }
    limits
}

/// Finds for each rule its tree: that of the field in which it takes the fewest entries; if that is several, the one
/// where it shares its lists with the fewest other rules.
fn assign(specs: &[Spec], fields: &[Field<'_>; FIELDS], budget: usize) -> Vec<usize> {
    let mut trees = vec![REST; specs.len()];
    let mut costs: Vec<(usize, usize, usize)> = Vec::with_capacity(specs.len());
    for (index, spec) in specs.iter().enumerate() {
        let cost = |field: usize| {
            let limits = limits(spec, fields, field);
            let boxes = (0..FIELDS).filter(|other| *other != field).map(|other| limits[other]);
            fields[field].width(spec.sets[field]).saturating_mul(boxes.product())
        };
        let load = |field: usize| fields[field].load(spec.sets[field]);
        let best = (0..FIELDS).map(|field| (cost(field), load(field), field)).min();
        if let Some((cost, _, field)) = best {
            costs.push((cost, index, field));
        }
    }
    costs.sort_unstable();
    let mut left = budget;
    for (cost, index, field) in costs {
        let Some(after) = left.checked_sub(cost) else { break };
        left = after;
        trees[index] = field;
    }
    trees
}
