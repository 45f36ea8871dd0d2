//! How listings look: columns for people, JSON for programs. Only makes text; the commands print it.

use std::net::{IpAddr, SocketAddr};

use sekisho_api::FiveTuple;
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

/// `1 rule`, `2 rules`.
pub(crate) fn counted(count: usize, thing: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{plural}")
}

/// A number as a person reads it: `999`, `12.3k`, `4.56M`, in powers of ten.
pub(crate) fn amount(number: u64) -> String {
    let mut value = number as f64;
    for unit in ["", "k", "M", "G", "T", "P"] {
        // Three digits are enough, and 999.96 would be written as 1000.
        if value < 999.5 {
            return match (unit, value) {
                ("", _) => number.to_string(),
                (_, ..9.995) => format!("{value:.2}{unit}"),
                (_, ..99.95) => format!("{value:.1}{unit}"),
                _ => format!("{value:.0}{unit}"),
            };
        }
        value /= 1000.0;
    }
    format!("{value:.0}E")
}

/// The source with its port, or with the identifier of an ICMP query.
pub(crate) fn source(tuple: &FiveTuple) -> String {
    end(tuple.source, tuple.source_port, tuple.icmp_id.map(|id| format!(" id {id}")))
}

/// The destination with its port, or with the type of an ICMP message.
pub(crate) fn destination(tuple: &FiveTuple) -> String {
    end(tuple.destination, tuple.destination_port, tuple.icmp_type.map(|kind| format!(" type {kind}")))
}

fn end(address: IpAddr, port: Option<u16>, note: Option<String>) -> String {
    match port {
        Some(port) => SocketAddr::new(address, port).to_string(),
        None => address.to_string() + &note.unwrap_or_default(),
    }
}

/// `vlan 20`, `vlan 20.30` with two tags, nothing without.
pub(crate) fn vlans(vlans: &[u16]) -> String {
    match vlans {
        [] => String::new(),
        vlans => format!("vlan {}", vlans.iter().map(u16::to_string).collect::<Vec<_>>().join(".")),
    }
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

    #[test]
    fn amounts_have_three_digits() {
        let printed = [0, 999, 1_000, 12_345, 999_499, 999_999, 4_560_000_000].map(amount);
        assert_eq!(printed, ["0", "999", "1.00k", "12.3k", "999k", "1.00M", "4.56G"]);
    }
}
