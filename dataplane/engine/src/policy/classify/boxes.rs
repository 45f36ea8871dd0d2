//! From rules to boxes, and to the tree in which each is kept.

use super::checks::Checks;
use super::classes::{Run, Runs};
use super::fields::{FIELDS, Spec};
use super::forest::{CHECK, Entry, REST};
use super::zones::Allowed;
use crate::policy::ruleset::Ruleset;

/// Boxes that a rule may have in a list. A rule whose sets need more has runs of them joined, and gets a check.
const BOXES_MAX: usize = 16;
/// Entries that the trees of single fields may have: this many a rule and [`ENTRIES_SPARE`]. The rules that would
/// need most go without, and to the rest.
const ENTRIES_PER_RULE: usize = 8;
/// So that small policies need not save.
const ENTRIES_SPARE: usize = 4096;

/// A field in classes of 16 bits: where there are more, neighbours share one, and sets that part them get checks.
#[derive(Debug)]
pub(super) struct Field {
    /// How far classes are shifted to the right.
    pub(super) shift: u32,
    /// The last coarse class.
    pub(super) last: u16,
    sets: Vec<CoarseSet>,
    runs: Vec<Run<u16>>,
}

/// A set in coarse classes.
#[derive(Clone, Copy, Debug)]
struct CoarseSet {
    /// Its runs in [`Field::runs`].
    first: u32,
    count: u32,
    /// How many coarse classes it covers.
    width: u32,
    /// Whether it covers nothing else.
    exact: bool,
    /// How many rules are met, on average, in one of its classes, if all were kept under this field.
    load: u32,
}

impl Field {
    /// The field with these classes and sets, as `specs` use it.
    pub(super) fn of(classes: u32, runs: &Runs, specs: impl Iterator<Item = Option<u32>>) -> Self {
        let last = classes - 1;
        let shift = (u32::BITS - last.leading_zeros()).saturating_sub(u16::BITS);
        let coarse = |class: u32| u16::try_from(class >> shift).expect("that is what the shift is for");
        let mut field = Self {
            shift,
            last: coarse(last),
            sets: Vec::new(),
            runs: Vec::with_capacity(runs.sets() as usize),
        };
        for set in 0..runs.sets() {
            let first = field.runs.len();
            let mut exact = true;
            for run in runs.of_set(set) {
                let (begin, end) = (coarse(run.first), coarse(run.last));
                exact &= run.first == u32::from(begin) << shift;
                exact &= run.last == last || run.last + 1 == (u32::from(end) + 1) << shift;
                match field.runs[first..].last_mut() {
                    Some(before) if before.last >= begin => before.last = end,
                    _ => field.runs.push(Run { first: begin, last: end }),
                }
            }
            let number = |count: usize| u32::try_from(count).expect("runs have 32-bit numbers");
            let width = field.runs[first..].iter().map(|run| width(*run)).sum();
            let count = number(field.runs.len() - first);
            field.sets.push(CoarseSet { first: number(first), count, width, exact, load: 0 });
        }
        field.weigh(specs);
        field
    }

    /// Sets the loads.
    fn weigh(&mut self, specs: impl Iterator<Item = Option<u32>>) {
        let mut users = vec![0_u32; self.sets.len()];
        specs.flatten().for_each(|set| users[set as usize] += 1);
        let classes = usize::from(self.last) + 1;
        let mut change = vec![0_i64; classes + 1];
        for (set, users) in self.sets.iter().zip(users) {
            for run in &self.runs[set.first as usize..][..set.count as usize] {
                change[usize::from(run.first)] += i64::from(users);
                change[usize::from(run.last) + 1] -= i64::from(users);
            }
        }
        // Rules met in each class, and then in all classes before it.
        let mut met = 0;
        let mut before = Vec::with_capacity(classes + 1);
        let mut total = 0_u64;
        for change in change {
            before.push(total);
            met += change;
            total += met.unsigned_abs();
        }
        for set in &mut self.sets {
            let runs = &self.runs[set.first as usize..][..set.count as usize];
            let met: u64 = runs
                .iter()
                .map(|run| before[usize::from(run.last) + 1] - before[usize::from(run.first)])
                .sum();
            set.load = u32::try_from(met / u64::from(set.width.max(1))).unwrap_or(u32::MAX);
        }
    }

    fn everything(&self) -> Run<u16> {
        Run { first: 0, last: self.last }
    }

    fn runs_of(&self, set: u32) -> &[Run<u16>] {
        let set = &self.sets[set as usize];
        &self.runs[set.first as usize..][..set.count as usize]
    }

    fn width(&self, set: Option<u32>) -> usize {
        set.map_or(usize::from(self.last) + 1, |set| self.sets[set as usize].width as usize)
    }

    fn run_count(&self, set: Option<u32>) -> usize {
        set.map_or(1, |set| self.sets[set as usize].count as usize)
    }

    /// Puts the runs of `set` in `into`, joined across the smallest gaps until there are at most `runs_max`. Returns
    /// whether they still are exactly the set.
    fn runs_within(&self, set: Option<u32>, runs_max: usize, into: &mut Vec<Run<u16>>) -> bool {
        into.clear();
        let Some(set) = set else {
            into.push(self.everything());
            return true;
        };
        let runs = self.runs_of(set);
        let exact = self.sets[set as usize].exact;
        if runs.len() <= runs_max {
            into.extend_from_slice(runs);
            return exact;
        }
        // The gaps that stay are the widest.
        let mut gaps: Vec<(u16, usize)> =
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

fn width(run: Run<u16>) -> u32 {
    u32::from(run.last - run.first) + 1
}

/// The boxes of each tree in the order of their rules: those of the three fields, and the rest.
pub(super) type Boxes = [Vec<Entry>; FIELDS + 1];

/// Makes the boxes of all rules.
pub(super) fn compile(
    ruleset: &Ruleset,
    specs: &[Spec],
    allowed: &[Allowed],
    fields: &[Field; FIELDS],
    checks: &mut Checks,
) -> Boxes {
    let trees = assign(specs, fields);
    let mut boxes = Boxes::default();
    let mut runs: [Vec<Run<u16>>; FIELDS] = Default::default();
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
    boxes
}

/// How many runs of each field a rule may keep in `tree`: in the field by which the tree is entered all, in the others
/// so many that their boxes are at most [`BOXES_MAX`].
fn limits(spec: &Spec, fields: &[Field; FIELDS], tree: usize) -> [usize; FIELDS] {
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
fn assign(specs: &[Spec], fields: &[Field; FIELDS]) -> Vec<usize> {
    let mut trees = vec![REST; specs.len()];
    let mut costs: Vec<(usize, usize, usize)> = Vec::with_capacity(specs.len());
    for (index, spec) in specs.iter().enumerate() {
        let cost = |field: usize| {
            let limits = limits(spec, fields, field);
            let boxes = (0..FIELDS).filter(|other| *other != field).map(|other| limits[other]);
            fields[field].width(spec.sets[field]).saturating_mul(boxes.product())
        };
        let load =
            |field: usize| spec.sets[field].map_or(u32::MAX, |set| fields[field].sets[set as usize].load);
        let best = (0..FIELDS).map(|field| (cost(field), load(field), field)).min();
        if let Some((cost, _, field)) = best {
            costs.push((cost, index, field));
        }
    }
    costs.sort_unstable();
    let mut left = specs.len() * ENTRIES_PER_RULE + ENTRIES_SPARE;
    for (cost, index, field) in costs {
        let Some(after) = left.checked_sub(cost) else { break };
        left = after;
        trees[index] = field;
    }
    trees
}
