//! What is wrong with a file, where, and what would be right.

use std::collections::HashSet;
use std::fmt;

use serde::Serialize;

/// A place in a file; both count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Place {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

impl Place {
    /// The beginning of a file: where faults of the file as a whole are reported.
    pub const START: Self = Self { line: 1, column: 1 };
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is accepted, and probably not what its author means.
    Warning,
}

/// One fault or warning. Displayed as `FILE:LINE:COLUMN: what is wrong; what would be right`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Diagnostic {
    /// Whether the file is refused for it.
    pub severity: Severity,
    /// The file, as the user named it; for a feed, as the policy names it, beside the policy.
    pub file: String,
    /// Where in the file.
    #[serde(flatten)]
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.place.line, self.place.column)?;
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        f.write_str(&self.message)?;
        match &self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

/// Everything that was found in a file and the files it names, sorted by place, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    omitted: usize,
}

impl Diagnostics {
    /// A single fault of the file as a whole.
    pub fn of_file(file: &str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        let mut report = Report::new(file);
        report.error(Place::START, message, remedy);
        report.finish()
    }

    /// The list, sorted by place.
    pub fn as_slice(&self) -> &[Diagnostic] {
        &self.list
    }

    /// One after the other.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many there are, those left out included.
    pub fn len(&self) -> usize {
        self.list.len() + self.omitted
    }

    /// How many were left out because there were too many.
    pub fn omitted(&self) -> usize {
        self.omitted
    }

    /// Whether one of them is an error.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|one| one.severity == Severity::Error)
    }

    /// These and `others`, sorted again; `main` is the file whose diagnostics come first.
    pub(crate) fn join(self, others: Self, main: &str) -> Self {
        let mut report = Report::new(main);
        report.omitted = self.omitted + others.omitted;
        for one in self.list.into_iter().chain(others.list) {
            report.keep(one);
        }
        report.finish()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, one) in self.list.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            one.fmt(f)?;
        }
        if self.omitted > 0 {
            write!(f, "\nand {} more", self.omitted)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// What is wrong with a piece of text, and the remedy; the place is known to whoever asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) message: String,
    pub(crate) remedy: String,
}

impl Fault {
    pub(crate) fn new(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { message: message.into(), remedy: remedy.into() }
    }
}

/// More than this helps nobody, and a file of a million faults must not fill the memory.
const KEPT_MAX: usize = 1000;

/// Gathers diagnostics while a file is read.
#[derive(Debug)]
pub(crate) struct Report {
    file: String,
    list: Vec<Diagnostic>,
    seen: HashSet<Diagnostic>,
    omitted: usize,
}

impl Report {
    /// An empty report on `file`.
    pub(crate) fn new(file: &str) -> Self {
        Self { file: file.to_owned(), list: Vec::new(), seen: HashSet::new(), omitted: 0 }
    }

    /// The file reported on.
    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    /// A fault of the file.
    pub(crate) fn error(&mut self, place: Place, message: impl Into<String>, remedy: impl Into<String>) {
        self.push(Severity::Error, None, place, message.into(), remedy.into());
    }

    /// A fault found in a piece of text at `place`.
    pub(crate) fn fault(&mut self, place: Place, fault: Fault) {
        self.push(Severity::Error, None, place, fault.message, fault.remedy);
    }

    /// A fault of another file, that this one names.
    pub(crate) fn fault_in(&mut self, file: &str, place: Place, fault: Fault) {
        self.push(Severity::Error, Some(file), place, fault.message, fault.remedy);
    }

    /// A warning.
    pub(crate) fn warning(&mut self, place: Place, message: impl Into<String>, remedy: impl Into<String>) {
        self.push(Severity::Warning, None, place, message.into(), remedy.into());
    }

    /// Sorted by place, this file before those it names.
    pub(crate) fn finish(mut self) -> Diagnostics {
        let main = &self.file;
        self.list.sort_by(|a, b| {
            let key = |one: &Diagnostic| (one.file != *main, one.place, one.severity);
            (a.file != *main, &a.file).cmp(&(b.file != *main, &b.file)).then_with(|| key(a).cmp(&key(b)))
        });
        Diagnostics { list: self.list, omitted: self.omitted }
    }

    /// Splits the report into what was found so far, with errors and warnings apart.
    pub(crate) fn into_parts(self) -> (Diagnostics, Diagnostics) {
        let all = self.finish();
        let (errors, warnings) = all.list.into_iter().partition(|one| one.severity == Severity::Error);
        (Diagnostics { list: errors, omitted: all.omitted }, Diagnostics { list: warnings, omitted: 0 })
    }

    fn push(
        &mut self,
        severity: Severity,
        file: Option<&str>,
        place: Place,
        message: String,
        remedy: String,
    ) {
        let one = Diagnostic {
            severity,
            file: file.unwrap_or(&self.file).to_owned(),
            place,
            message,
            remedy: (!remedy.is_empty()).then_some(remedy),
        };
        self.keep(one);
    }

    /// Keeps what was not found already: a value behind an alias is looked at more than once.
    fn keep(&mut self, one: Diagnostic) {
        if self.seen.contains(&one) {
            return;
        }
        if self.list.len() < KEPT_MAX {
            self.seen.insert(one.clone());
            self.list.push(one);
        } else {
            self.omitted += 1;
        }
    }
}

/// The word of `known` that a mistyped `word` most likely means.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let tolerance = (word.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= tolerance)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `a`, `a or b`, `a, b or c`.
pub(crate) fn either(words: &[impl AsRef<str>]) -> String {
    match words {
        [] => String::new(),
        [only] => only.as_ref().to_owned(),
        [most @ .., last] => {
            let most: Vec<&str> = most.iter().map(AsRef::as_ref).collect();
            format!("{} or {}", most.join(", "), last.as_ref())
        }
    }
}

/// `text` as it is quoted in messages: control characters made visible, cut when it is long.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN_MAX: usize = 60;
    let mut shown: String = text.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_MAX).is_some() {
        shown.push('…');
    }
    format!("\"{shown}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_reads_file_line_column_wrong_right() {
        let mut report = Report::new("dir/p.yaml");
        report.warning(Place { line: 9, column: 2 }, "odd", "");
        report.error(Place { line: 3, column: 7 }, "wrong", "right");
        let all = report.finish();
        assert_eq!(all.to_string(), "dir/p.yaml:3:7: wrong; right\ndir/p.yaml:9:2: warning: odd");
        assert!(all.has_errors());
    }

    #[test]
    fn this_file_comes_before_those_it_names_and_nothing_stands_twice() {
        let mut report = Report::new("p.yaml");
        report.fault_in("a.txt", Place::START, Fault::new("feed", ""));
        report.error(Place { line: 3, column: 7 }, "late", "");
        report.error(Place { line: 3, column: 7 }, "late", "");
        report.error(Place { line: 1, column: 7 }, "early", "");
        let messages: Vec<_> = report.finish().iter().map(|one| one.message.clone()).collect();
        assert_eq!(messages, ["early", "late", "feed"]);
    }

    #[test]
    fn a_flood_of_faults_is_counted_not_kept() {
        let mut report = Report::new("p.yaml");
        for line in 0..5000 {
            report.error(Place { line, column: 1 }, "wrong", "");
        }
        let all = report.finish();
        assert_eq!((all.as_slice().len(), all.omitted(), all.len()), (KEPT_MAX, 4000, 5000));
        assert!(all.to_string().ends_with("and 4000 more"));
    }

    #[test]
    fn mistyped_words_find_the_nearest() {
        assert_eq!(nearest("acton", ["name", "action", "from"]), Some("action"));
        assert_eq!(nearest("zzz", ["name", "action"]), None);
        assert_eq!(either(&["a", "b", "c"]), "a, b or c");
    }

    #[test]
    fn quoted_text_is_short_and_visible() {
        assert_eq!(quoted("a\tb"), "\"a\\tb\"");
        assert!(quoted(&"x".repeat(500)).chars().count() < 70);
    }
}
