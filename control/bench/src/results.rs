//! What was measured, one JSON object a line: how it is written, and how it is read back.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Write;

use serde::{Deserialize, Serialize};

use crate::statistics::amount;

/// A figure of one round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// What was done, such as `established`.
    pub workload: String,
    /// With how much of what.
    pub variant: Variant,
    /// What was measured: `sekisho`, `none` (the same loop without inspection), or a peer.
    pub subject: String,
    /// The round within the run, from 1: what has the same number was measured side by side.
    pub round: u32,
    /// Which figure, such as `mpps`.
    pub figure: String,
    /// Its value, finite.
    pub value: f64,
}

/// The settings of a workload by name, in the order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Variant(pub BTreeMap<String, Setting>);

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged, expecting = "a setting is a number, not negative, or a word")]
pub enum Setting {
    /// How much.
    Number(u64),
    /// Which share.
    Share(Share),
    /// Which.
    Word(String),
}

/// A number that is not whole; all of them are in one order.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Share(pub f64);

impl PartialEq for Share {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Share {}

impl PartialOrd for Share {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Share {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Variant {
    /// The same with one setting more.
    #[must_use]
    pub fn with(mut self, name: &str, setting: impl Into<Setting>) -> Self {
        self.0.insert(name.to_owned(), setting.into());
        self
    }

    /// The setting of that name.
    pub fn get(&self, name: &str) -> Option<&Setting> {
        self.0.get(name)
    }

    /// The setting of that name, if it is a number or a share.
    pub fn number(&self, name: &str) -> Option<f64> {
        match self.get(name) {
            Some(Setting::Number(number)) => Some(*number as f64),
            Some(Setting::Share(share)) => Some(share.0),
            _ => None,
        }
    }

    /// The same without the setting of that name.
    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        let mut rest = self.clone();
        rest.0.remove(name);
        rest
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (name, setting)) in self.0.iter().enumerate() {
            let comma = if place > 0 { ", " } else { "" };
            write!(f, "{comma}{name} {setting}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => f.write_str(&amount(*number)),
            Self::Share(share) => write!(f, "{}", share.0),
            Self::Word(word) => f.write_str(word),
        }
    }
}

impl From<u64> for Setting {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Setting {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

/// A share; of nothing and of all as a number, which is how they are read back.
impl From<f64> for Setting {
    fn from(share: f64) -> Self {
        if share == 0.0 || share == 1.0 {
            Self::Number(u64::from(share == 1.0))
        } else {
            Self::Share(Share(share))
        }
    }
}

impl From<&str> for Setting {
    fn from(word: &str) -> Self {
        Self::Word(word.to_owned())
    }
}

/// Where it was measured, with which versions, and when: whoever measures writes one before its samples, and with it a
/// run begins. Rounds are compared within a run only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// By name: `cpu`, `cores`, `kernel`, `date`, `sekisho`, a peer.
    pub machine: BTreeMap<String, String>,
}

/// A line is not what it should be.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct WrongLine {
    line: usize,
    fault: String,
}

/// All that was measured.
#[derive(Clone, Debug, Default)]
pub struct Results {
    /// Of each run, in order. A file without a header is one run.
    pub headers: Vec<Header>,
    /// With the number of the run each belongs to.
    pub samples: Vec<(usize, Sample)>,
}

impl Results {
    /// Reads the lines of a file of results.
    pub fn read(text: &str) -> Result<Self, WrongLine> {
        let mut results = Self::default();
        let mut seen = BTreeSet::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let wrong = |fault: String| WrongLine { line: number + 1, fault };
            let read = |error: serde_json::Error| wrong(error.to_string());
            let object: serde_json::Value = serde_json::from_str(line).map_err(read)?;
            if object.get("machine").is_some() {
                results.headers.push(serde_json::from_value(object).map_err(read)?);
                continue;
            }
            let sample: Sample = serde_json::from_value(object).map_err(read)?;
            let run = results.headers.len();
            let Sample { workload, variant, subject, round, figure, .. } = sample.clone();
            if !seen.insert((run, workload, variant, subject, round, figure)) {
                let fault =
                    "this figure of this round was there before; a run begins with a line {\"machine\": {…}}";
                return Err(wrong(fault.to_owned()));
            }
            results.samples.push((run, sample));
        }
        Ok(results)
    }
}

/// Writes a header or a sample as a line.
pub fn write_line(out: &mut impl Write, line: &impl Serialize) -> std::io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"workload":"established","variant":{"protocol":"udp","sessions":65536},"subject":"sekisho","round":1,"figure":"mpps","value":12.5}"#;

    #[test]
    fn a_line_is_written_as_it_was_read() {
        let results = Results::read(LINE).unwrap();
        let mut out = Vec::new();
        write_line(&mut out, &results.samples[0].1).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), format!("{LINE}\n"));
    }

    #[test]
    fn a_share_is_written_as_it_was_read() {
        let line = LINE.replace("65536", "0.25");
        let results = Results::read(&line).unwrap();
        assert_eq!(
            results.samples[0].1.variant,
            Variant::default().with("protocol", "udp").with("sessions", 0.25)
        );
        assert_eq!(serde_json::to_string(&results.samples[0].1).unwrap(), line);
        assert_eq!([0.0, 1.0, 0.5].map(|share| Setting::from(share).to_string()), ["0", "1", "0.5"]);
    }

    #[test]
    fn a_header_begins_a_run() {
        let text = format!("{{\"machine\":{{\"cores\":\"2\"}}}}\n{LINE}\n\n{{\"machine\":{{}}}}\n{LINE}\n");
        let results = Results::read(&text).unwrap();
        assert_eq!(results.headers[0].machine["cores"], "2");
        assert_eq!(results.samples.iter().map(|(run, _)| *run).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let twice = format!("{LINE}\n{LINE}");
        let list = LINE.replace("65536", "[1]");
        let unknown = LINE.replace("\"value\"", "\"valve\"");
        for (text, said) in [
            (twice.as_str(), "line 2: this figure of this round was there before"),
            (list.as_str(), "line 1: a setting is a number, not negative, or a word"),
            (unknown.as_str(), "line 1: unknown field `valve`"),
            ("\n{", "line 2: EOF"),
        ] {
            let error = Results::read(text).unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
    }
}
