//! The front page: the machine, the goals, and where to read on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::results::Results;

use super::goals::GOALS;
use super::index::Index;
use super::page::{cell, slug};
use super::vocabulary;

const REPEAT: &str = "## How to repeat
```
cargo build --release -p sekisho
target/release/sekisho bench all --quick --results results.jsonl    # minutes; without --quick all sizes, half an hour
target/release/sekisho bench report results.jsonl
```
Each command appends to the file of results, so peers that were measured beside sekisho join the same report. `sekisho bench
--help` lists the workloads. Nothing there needs a device, a peer or root: the worker loop of the appliance runs over queues
in memory, on one core, in turns with the same loop without inspection (`none`). The making of frames is part of both; it is taken
off where cycles are shown. Cycles are those of the time stamp counter. Time is cut into slices of 0.25 ms, and those in which a packet took more
than twice what it took in the median one are left out of rates: something else had the core. A busy neighbour changes every figure all
the same: ratios within a round count, absolute figures are only beside them.
";

/// Makes the front page.
pub(super) fn front(results: &Results, index: &Index) -> String {
    let mut text = String::from(
        "# Benchmarks\nMade by `sekisho bench report` from what was measured; not written by hand.\n",
    );
    let mut machine: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, value) in results.headers.iter().flat_map(|header| &header.machine) {
        machine.entry(name).or_default().insert(value);
    }
    if !machine.is_empty() {
        text.push_str("\n## Machine\n| | |\n| --- | --- |\n");
        for (name, values) in machine {
            let values: Vec<&str> = values.into_iter().collect();
            let _ = writeln!(text, "| {name} | {} |", values.join("; "));
        }
    }
    text.push_str(
        "\n## Goals\nWhere several variants were measured, the one that is furthest from the goal.\n\n\
         | what | goal | measured | reached |\n| --- | --- | --- | --- |\n",
    );
    for goal in GOALS {
        let (measured, reached) = match goal.outcome(index) {
            None => ("-".to_owned(), "not measured"),
            Some(outcome) => {
                let of = if outcome.variants > 1 {
                    format!(", worst of {}", outcome.variants)
                } else {
                    String::new()
                };
                (cell(Some(outcome.value)) + &of, if outcome.is_reached { "yes" } else { "**no**" })
            }
        };
        let _ = writeln!(text, "| {} | {} | {measured} | {reached} |", goal.what, goal.limit());
    }
    text.push_str("\n## Workloads\n");
    for workload in index.workloads.keys() {
        let about = vocabulary::workload(workload).map_or("", |known| known.about);
        let _ = writeln!(text, "- [{workload}]({}.md) {about}", slug(workload));
    }
    text.push('\n');
    text.push_str(REPEAT);
    text
}
