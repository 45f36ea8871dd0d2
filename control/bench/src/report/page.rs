//! The page of a workload: a table for each figure, and plots of those that grow with something.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::results::Variant;
use crate::statistics::{Summary, number};

use super::goals::GOALS;
use super::index::{OURS, Variants, subjects};
use super::plot::Plot;
use super::vocabulary;

/// A page, and the plots it shows by file name.
pub(super) struct Page {
    pub(super) text: String,
    pub(super) plots: BTreeMap<String, String>,
}

/// Makes the page of a workload.
pub(super) fn page(workload: &str, figures: &BTreeMap<String, Variants>) -> Page {
    let known = vocabulary::workload(workload);
    let mut text = format!("# {workload}\n{}\n", known.map_or("", |known| known.about));
    text.push_str(
        "\nMedians of the rounds, the lowest and the highest in brackets. Ratios are those of sekisho's figure to the \
         peer's in the same round, then the median.\n",
    );
    let mut plots = BTreeMap::new();
    for name in ordered(figures) {
        let (variants, known_figure) = (&figures[name], vocabulary::figure_of(name));
        let title = known_figure.map_or(name.as_str(), |figure| figure.title);
        let _ = write!(text, "\n## {name}: {title}\n\n{}", table(variants));
        let axis = known.map_or("", |known| known.axis);
        if known_figure.is_some_and(|figure| figure.is_plotted) {
            for (rest, plot) in drawn(workload, name, axis, variants) {
                let file = format!("{}.svg", slug(&format!("{workload} {name} {rest}")));
                let _ = write!(text, "\n![{}]({file})\n", plot.title);
                plots.insert(file, plot.svg());
            }
        }
    }
    Page { text, plots }
}

/// The tables of a workload alone.
pub(super) fn tables(workload: &str, figures: &BTreeMap<String, Variants>) -> String {
    let table = |name: &String| {
        let title = vocabulary::figure_of(name).map_or(name.as_str(), |figure| figure.title);
        format!("{workload}: {title}\n{}", table(&figures[name]))
    };
    ordered(figures).into_iter().map(table).collect::<Vec<_>>().join("\n")
}

fn ordered(figures: &BTreeMap<String, Variants>) -> Vec<&String> {
    let mut names: Vec<&String> = figures.keys().collect();
    names.sort_by_key(|name| (vocabulary::rank(name), *name));
    names
}

/// A row for each variant: its settings, the figure of each subject, the ratio to each peer.
fn table(variants: &Variants) -> String {
    let all = subjects(variants);
    let peers: Vec<&str> = match all.contains(&OURS) {
        true => all.iter().copied().filter(|name| *name != OURS).collect(),
        false => Vec::new(),
    };
    let names: BTreeSet<&str> =
        variants.keys().flat_map(|variant| variant.0.keys()).map(String::as_str).collect();
    let values = |name: &str| variants.keys().map(|variant| variant.get(name)).collect::<BTreeSet<_>>();
    let (changing, fixed): (Vec<&str>, Vec<&str>) =
        names.into_iter().partition(|name| values(name).len() > 1);
    let mut text = String::new();
    if let (Some(variant), false) = (variants.keys().next(), fixed.is_empty()) {
        let said = fixed.iter().filter_map(|name| Some(format!("{name} {}", variant.get(name)?)));
        let said: Vec<String> = said.collect();
        let _ = write!(text, "All with {}.\n\n", said.join(", "));
    }
    let headings = changing.iter().map(|name| (*name).to_owned());
    let headings: Vec<String> = headings
        .chain(all.iter().map(|name| (*name).to_owned()))
        .chain(peers.iter().map(|peer| format!("ratio to {peer}")))
        .collect();
    let _ = writeln!(text, "| {} |\n|{}", headings.join(" | "), " --- |".repeat(headings.len()));
    for (variant, subjects) in variants {
        let settings =
            changing.iter().map(|name| variant.get(name).map_or("-".to_owned(), ToString::to_string));
        let figures = all.iter().map(|name| cell(subjects.get(*name).and_then(|rounds| rounds.summary())));
        let ratios = peers
            .iter()
            .map(|peer| cell(subjects.get(OURS).and_then(|ours| ours.ratio(subjects.get(*peer)?))));
        let cells: Vec<String> = settings.chain(figures).chain(ratios).collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text
}

/// `12.3 [11.9..12.5]`.
pub(super) fn cell(summary: Option<Summary>) -> String {
    match summary {
        None => "-".to_owned(),
        Some(Summary { median, rounds: 1, .. }) => number(median),
        Some(Summary { median, min, max, .. }) => {
            format!("{} [{}..{}]", number(median), number(min), number(max))
        }
    }
}

/// The plots of a figure, by the settings that all of their points share.
fn drawn(workload: &str, figure: &str, axis: &str, variants: &Variants) -> BTreeMap<Variant, Plot> {
    let names = subjects(variants);
    let mut plots: BTreeMap<Variant, Plot> = BTreeMap::new();
    for (variant, subjects) in variants {
        let Some(number) = variant.number(axis) else { continue };
        let x = place(if vocabulary::is_share(axis) { 100.0 * number } else { number });
        let rest = variant.without(axis);
        let plot = plots.entry(rest.clone()).or_insert_with(|| Plot {
            title: format!("{workload}: {figure}, {rest}").trim_end_matches(", ").to_owned(),
            axis: if vocabulary::is_share(axis) { format!("{axis}, percent") } else { axis.to_owned() },
            lines: names.iter().map(|name| ((*name).to_owned(), BTreeMap::new())).collect(),
            goals: BTreeMap::new(),
        });
        for (name, points) in &mut plot.lines {
            let median = subjects.get(name).and_then(|rounds| rounds.summary()).map(|summary| summary.median);
            points.extend(median.map(|median| (x, median)));
        }
        let marks = GOALS.iter().filter_map(|goal| goal.mark(workload, figure, variant, subjects));
        // Of two goals in one place the farther one is the one to reach.
        if let Some(mark) = marks.reduce(f64::max) {
            plot.goals.insert(x, mark);
        }
    }
    for plot in plots.values_mut() {
        plot.lines.retain(|(_, points)| !points.is_empty());
    }
    plots.retain(|_, plot| plot.grows());
    plots
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a setting, not negative")]
fn place(number: f64) -> u64 {
    number.round() as u64
}

/// A file name of what is said.
pub(super) fn slug(text: &str) -> String {
    let letters = text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' });
    let parts: String = letters.collect();
    parts.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}
