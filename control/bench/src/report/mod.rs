//! The report: a page with tables and plots for each workload, and a front page with the goals.
//!
//! The same results make the same report, byte for byte.

mod front;
mod goals;
mod index;
mod page;
mod plot;
mod vocabulary;

use std::collections::BTreeMap;

use crate::results::Results;

/// The files of the report by name: `README.md`, a page a workload, plots.
pub fn files(results: &Results) -> BTreeMap<String, String> {
    let index = index::Index::new(results);
    let mut files = BTreeMap::from([("README.md".to_owned(), front::front(results, &index))]);
    for (workload, figures) in &index.workloads {
        let page = page::page(workload, figures);
        files.insert(format!("{}.md", page::slug(workload)), page.text);
        files.extend(page.plots);
    }
    files
}

/// The tables of all figures, for a terminal.
pub fn tables(results: &Results) -> String {
    let index = index::Index::new(results);
    let all = index.workloads.iter().map(|(workload, figures)| page::tables(workload, figures));
    all.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests;
