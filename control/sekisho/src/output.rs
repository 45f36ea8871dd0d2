//! How listings look: columns for people, JSON for programs. Only makes text; the commands print it.

use serde::Serialize;

/// Rows under a heading, in columns as wide as their widest cell.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these headings.
    pub(crate) fn new<const N: usize>(headings: [&str; N]) -> Self {
        Self { rows: vec![headings.map(str::to_owned).to_vec()] }
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }

    /// The table as text; columns of numbers are aligned to the right.
    pub(crate) fn to_text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cells = |column: usize| self.rows.iter().filter_map(move |row| row.get(column));
        let widths: Vec<usize> = (0..columns)
            .map(|column| cells(column).map(|cell| cell.chars().count()).max().unwrap_or(0))
            .collect();
        let is_number = |cell: &String| cell == "-" || cell.bytes().all(|byte| byte.is_ascii_digit());
        let numeric: Vec<bool> =
            (0..columns).map(|column| self.rows.len() > 1 && cells(column).skip(1).all(is_number)).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let padding = " ".repeat(widths[column] - cell.chars().count());
                match numeric[column] {
                    true => line.extend([padding.as_str(), cell]),
                    false => line.extend([cell, padding.as_str()]),
                }
                line.push_str("  ");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// `value` as indented JSON with a line feed at its end.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// A span as a person reads it: `2d3h`, `4m20s`, `1.5s`; two units are enough.
pub(crate) fn span(seconds: f64) -> String {
    let whole =
        std::time::Duration::try_from_secs_f64(seconds.max(0.0)).map_or(u64::MAX, |span| span.as_secs());
    let (days, hours, minutes) = (whole / 86_400, whole / 3_600 % 24, whole / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) if whole < 10 => format!("{seconds:.1}s"),
        (0, 0, 0) => format!("{whole}s"),
        (0, 0, minutes) => format!("{minutes}m{}s", whole % 60),
        (0, hours, minutes) => format!("{hours}h{minutes}m"),
        (days, hours, _) => format!("{days}d{hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must_be_and_numbers_stand_right() {
        let mut table = Table::new(["reason", "frames"]);
        table.row(["session".into(), "7".into()]);
        table.row(["tcp-no-session".into(), "12345".into()]);
        assert_eq!(
            table.to_text(),
            "reason          frames\nsession              7\ntcp-no-session   12345\n"
        );
    }

    #[test]
    fn spans_have_two_units() {
        let printed = [0.0, 1.25, 59.0, 61.0, 7_440.0, 200_000.0].map(span);
        assert_eq!(printed, ["0.0s", "1.2s", "59s", "1m1s", "2h4m", "2d7h"]);
    }
}
